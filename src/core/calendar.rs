//! Business hours and calendars: whether an instant is open, and when the next opening is.
use std::sync::Arc;

use jiff::{civil::{Date, Time, Weekday}, Timestamp, tz::TimeZone};

use super::value::Misread;

/// One window of the week, in the task's zone: start inclusive, end exclusive. An end at or before the start is on the next day (`22:00-02:00`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days on which the window opens.
    pub days: Vec<Weekday>,
    pub from: Time,
    /// `None`: the end of the day (`24:00`).
    pub to: Option<Time>,
}

/// When an instance may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusinessHours {
    pub windows: Vec<Window>,
    /// On these days no window opens.
    pub holidays: Vec<DateRange>,
    /// As it was written, for people.
    pub text: Arc<str>,
}

/// Days from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateRange {
    pub first: Date,
    pub last: Date,
}

/// Days on which an instance fires (`only`) or does not (`except`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    pub only: Option<Vec<DateRange>>,
    pub except: Vec<DateRange>,
}

impl BusinessHours {
    /// Whether the instant lies inside a window.
    pub fn is_open(&self, _at: Timestamp, _zone: &TimeZone) -> bool {
        true
    }

    /// The first opening strictly after `after`; `None` if no window ever opens again.
    pub fn next_open(&self, _after: Timestamp, _zone: &TimeZone) -> Option<Timestamp> {
        None
    }

    /// When the window that `at` lies in closes, adjoining windows taken together; `None` outside, or if it never closes.
    pub fn closes_at(&self, _at: Timestamp, _zone: &TimeZone) -> Option<Timestamp> {
        None
    }
}

/// Reads windows: `06:00-23:00`, `mon-fri 09:00-12:00, 13:00-18:00`, `22:00-02:00`, `sat,sun 10:00-24:00`.
///
/// # Errors
/// When a day or a time cannot be read, or a window never opens.
pub fn parse_windows(_text: &str) -> Result<Vec<Window>, Misread> {
    Ok(Vec::new())
}

/// Reads a day or days: `2026-12-31` or `2026-12-31..2027-01-03`.
///
/// # Errors
/// When a date does not exist, or the last one is before the first.
pub fn parse_dates(_text: &str) -> Result<DateRange, Misread> {
    Ok(DateRange { first: Date::ZERO, last: Date::ZERO })
}
