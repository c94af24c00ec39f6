//! Business hours and calendars: whether an instant is open, and when the next opening is.
//!
//! A window is a stretch of instants: where the clocks skip its start or end, that is right after the gap; in a repeated hour it is the first pass.
use std::sync::Arc;

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time, Weekday},
    tz::{AmbiguousOffset, TimeZone},
};

pub use self::parse::{parse_dates, parse_windows};
use super::event::SkipReason;

mod parse;
#[cfg(test)]
mod tests;

/// How many days are searched for an opening or a closing. Where there is none for more than a year, nobody waits for it.
const DAYS_MAX: usize = 400;
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24 * 400);

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
    /// On these days no window opens; one that opened the day before goes on to its end.
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
    pub fn is_open(&self, at: Timestamp, zone: &TimeZone) -> bool {
        let today = zone.to_datetime(at).date();
        // A window of yesterday may reach into today; where midnight repeats, one of tomorrow has been open already.
        let days = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
        days.into_iter().flatten().any(|date| {
            self.windows_on(date).any(|window| {
                let open = |from: Timestamp| from <= at && window.closing_on(date, zone).is_none_or(|to| at < to);
                first_instant(date.to_datetime(window.from), zone).is_some_and(open)
            })
        })
    }

    /// The first opening strictly after `after`; `None` if no window opens within 400 days.
    pub fn next_open(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.gate(zone).next_open(after, Timestamp::MAX)
    }

    /// When the window that `at` lies in closes, adjoining windows taken together; `None` outside, or if it does not close within 400 days.
    pub fn closes_at(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.is_open(at, zone) { self.gate(zone).next_close(at) } else { None }
    }

    /// Whether no window opens on this day.
    pub fn is_holiday(&self, date: Date) -> bool {
        contain(&self.holidays, date)
    }

    fn gate<'a>(&'a self, zone: &'a TimeZone) -> Gate<'a> {
        Gate { hours: Some(self), calendar: None, zone }
    }

    /// The windows that open on a day.
    fn windows_on(&self, date: Date) -> impl Iterator<Item = &Window> {
        let open = !self.is_holiday(date);
        self.windows.iter().filter(move |window| open && window.days.contains(&date.weekday()))
    }
}

impl Calendar {
    /// Whether the instance fires on this day.
    pub fn allows(&self, date: Date) -> bool {
        self.only.as_ref().is_none_or(|only| contain(only, date)) && !contain(&self.except, date)
    }
}

impl Window {
    /// When the window that opens on this day closes.
    fn closing_on(&self, date: Date, zone: &TimeZone) -> Option<Timestamp> {
        let date = if self.is_overnight() { date.tomorrow().ok()? } else { date };
        first_instant(date.to_datetime(self.closing_time()), zone)
    }

    fn closing_time(&self) -> Time {
        self.to.unwrap_or(Time::midnight())
    }

    fn is_overnight(&self) -> bool {
        self.closing_time() <= self.from
    }
}

/// Hours and calendar together: what may stand between a fire and its run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate<'a> {
    pub(super) hours: Option<&'a BusinessHours>,
    pub(super) calendar: Option<&'a Calendar>,
    pub(super) zone: &'a TimeZone,
}

impl Gate<'_> {
    /// Why a fire at this instant is passed over, if it is. A day that the calendar excludes has no hours.
    pub(super) fn closed(&self, at: Timestamp) -> Option<SkipReason> {
        if self.calendar.is_some_and(|calendar| !calendar.allows(self.zone.to_datetime(at).date())) {
            return Some(SkipReason::Calendar);
        }
        self.hours.filter(|hours| !hours.is_open(at, self.zone)).map(|_| SkipReason::OutsideHours)
    }

    /// The first opening strictly after `after` and at or before `until`.
    pub(super) fn next_open(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        self.next_edge(after, until, true)
    }

    /// The first closing strictly after `after`.
    pub(super) fn next_close(&self, after: Timestamp) -> Option<Timestamp> {
        self.next_edge(after, Timestamp::MAX, false)
    }

    /// The last opening at or before `at`; where there is none within 400 days, the beginning of these.
    pub(super) fn last_open(&self, at: Timestamp) -> Timestamp {
        self.last_edge(at, true).unwrap_or_else(|| at.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN))
    }

    /// The last closing at or before `at`, within 400 days.
    pub(super) fn last_close(&self, at: Timestamp) -> Option<Timestamp> {
        self.last_edge(at, false)
    }

    /// When the day after the one of `at` begins.
    pub(super) fn tomorrow(&self, at: Timestamp) -> Option<Timestamp> {
        first_instant(self.zone.to_datetime(at).date().tomorrow().ok()?.into(), self.zone)
    }

    fn next_edge(&self, after: Timestamp, until: Timestamp, opens: bool) -> Option<Timestamp> {
        let mut date = self.zone.to_datetime(after).date();
        for _ in 0..DAYS_MAX {
            for edge in self.candidates(date).into_iter().filter(|edge| *edge > after) {
                if edge > until {
                    return None;
                }
                if self.is_edge(edge, opens) {
                    return Some(edge);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn last_edge(&self, at: Timestamp, opens: bool) -> Option<Timestamp> {
        // Where midnight repeats, the day to come has begun once already.
        let mut date = self.zone.to_datetime(at).date().tomorrow().ok()?;
        for _ in 0..DAYS_MAX {
            let edge = self.candidates(date).into_iter().rev().find(|edge| *edge <= at && self.is_edge(*edge, opens));
            if edge.is_some() {
                return edge;
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    fn is_edge(&self, at: Timestamp, opens: bool) -> bool {
        let open = |at: Timestamp| self.closed(at).is_none();
        open(at) == opens && open(just_before(at)) != opens
    }

    /// The instants of a day at which something may open or close, in order.
    fn candidates(&self, date: Date) -> Vec<Timestamp> {
        let mut times = Vec::new();
        if self.calendar.is_some() {
            times.push(Time::midnight());
        }
        if let Some(hours) = self.hours {
            for window in hours.windows_on(date) {
                times.push(window.from);
                times.extend((!window.is_overnight()).then(|| window.closing_time()));
            }
            let yesterdays = date.yesterday().into_iter().flat_map(|date| hours.windows_on(date));
            times.extend(yesterdays.filter(|window| window.is_overnight()).map(Window::closing_time));
        }
        times.sort_unstable();
        times.dedup();
        times.into_iter().filter_map(|time| first_instant(date.to_datetime(time), self.zone)).collect()
    }
}

/// The last instant before another.
pub(super) fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN)
}

fn contain(ranges: &[DateRange], date: Date) -> bool {
    ranges.iter().any(|range| (range.first..=range.last).contains(&date))
}

/// The first instant at which the wall clock shows this time, or, where it is skipped, a later one.
fn first_instant(wall: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(wall);
    let (AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. }) = ambiguous.offset() else {
        let before_the_gap = ambiguous.earlier().ok()?;
        return Some(zone.following(before_the_gap).next()?.timestamp());
    };
    ambiguous.earlier().ok()
}
