//! When an instance is due: its schedules, zone, business hours and calendar taken together.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{calendar::{BusinessHours, Calendar}, event::SkipReason, schedule::Schedule};

/// Everything that decides when an instance is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// Their union; one instant fires once.
    pub schedules: Vec<Schedule>,
    /// The zone of cron fields, business hours and calendars.
    pub zone: TimeZone,
    /// The zone's IANA name, for people.
    pub zone_name: Arc<str>,
    /// `None`: always open.
    pub hours: Option<BusinessHours>,
    /// Days on which the instance does, or does not, fire. `None`: every day.
    pub calendar: Option<Calendar>,
    /// Fires outside the hours move to the next opening, once, however many they are.
    pub defer: bool,
    /// Starts are moved by this much after the fire time; fixed per instance.
    pub splay: SignedDuration,
}

/// One instant at which an instance is due, before the splay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fire {
    pub at: Timestamp,
    /// Why this instant is passed over by business hours or calendar; `None` when it counts.
    pub closed: Option<SkipReason>,
    /// An opening that stands for the fires that were deferred to it.
    pub deferred: bool,
}

/// What `after` and `@start` need to know of the instance's past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchors {
    /// When the last run ended, or when the instance was first seen: `after` counts from here. `None` while a run of the instance is open, or
    /// `after` would fire again before it ended.
    pub last_end: Option<Timestamp>,
    /// When this daemon started, as long as `@start` has not fired for it.
    pub start: Option<Timestamp>,
}

impl Timing {
    /// The first fire strictly after `after`, closed ones included.
    pub fn next_after(&self, _after: Timestamp, _anchors: Anchors) -> Option<Fire> {
        None
    }

    /// The latest fire at or before `until` and strictly after `after`, found by bisection and not by counting.
    pub fn latest_between(&self, _after: Timestamp, _until: Timestamp, _anchors: Anchors) -> Option<Fire> {
        None
    }
}

/// A fire to come, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// When it is due, before the splay.
    pub at: Timestamp,
    /// Why it is passed over; `None` when it counts.
    pub closed: Option<SkipReason>,
    /// It stands for fires that were deferred to this opening.
    pub deferred: bool,
    /// What a change of the clocks did to it: "02:30 does not exist that day: runs at 03:00".
    pub note: Option<String>,
}

/// The next `n` fires after `from`.
pub fn preview(_timing: &Timing, _from: Timestamp, _n: usize, _anchors: Anchors) -> Vec<Preview> {
    Vec::new()
}
