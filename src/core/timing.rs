//! When an instance is due: its schedules, zone, business hours and calendar taken together.
//!
//! A *raw* fire is what a schedule says. A fire is a raw one, open or closed, or, with `defer`, an opening that stands for the raw fires that the
//! hours closed since the opening before it. All of this follows from the definition and the instance's past; nothing is remembered here.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{
    calendar::{BusinessHours, Calendar, Gate, just_before},
    event::SkipReason,
    schedule::Schedule,
};

#[cfg(test)]
pub(crate) mod tests;

/// How many closed stretches are looked through for an open fire, and how many open ones for a deferred fire. Whatever is only open once in so
/// many stretches is as good as never open.
const STRETCHES_MAX: usize = 400;
/// The first step of the search for the latest fire; each further one is eight times as long.
const GALLOP: SignedDuration = SignedDuration::from_mins(1);

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

/// A fire to come, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// When it is due, before the splay.
    pub at: Timestamp,
    /// Why it is passed over; `None` when it counts.
    pub closed: Option<SkipReason>,
    /// It stands for fires that were deferred to this opening.
    pub deferred: bool,
    /// What shifts or skips it, in words: "02:30 does not exist that day: runs at 03:00", "a holiday".
    pub note: Option<String>,
}

impl Timing {
    /// The first fire strictly after `after`, closed ones included, where everything up to `after` was judged.
    pub fn next_after(&self, after: Timestamp, anchors: Anchors) -> Option<Fire> {
        self.fires(after, anchors).next(after)
    }

    /// The first fire strictly after `after` that counts; for people, since the engine answers closed ones, too. `None` also where hours or
    /// calendar close every fire of a year or more.
    pub fn next_open_after(&self, after: Timestamp, anchors: Anchors) -> Option<Fire> {
        self.fires(after, anchors).next_open(after)
    }

    /// The latest fire at or before `until` and strictly after `after`, found by bisection and not by counting.
    pub fn latest_between(&self, after: Timestamp, until: Timestamp, anchors: Anchors) -> Option<Fire> {
        self.fires(after, anchors).latest(after, until)
    }

    /// Why the instance does not run at that instant; `None`: it may.
    pub fn closed(&self, at: Timestamp) -> Option<SkipReason> {
        Gate { hours: self.hours.as_ref(), calendar: self.calendar.as_ref(), zone: &self.zone }.closed(at)
    }

    /// With `defer`, when what comes outside the hours has its turn: the next opening. `None` inside them, and without `defer`.
    pub fn deferred_to(&self, at: Timestamp) -> Option<Timestamp> {
        let gate = Gate { hours: self.hours.as_ref(), calendar: self.calendar.as_ref(), zone: &self.zone };
        if self.defer && gate.closed(at) == Some(SkipReason::OutsideHours) { gate.next_open(at, Timestamp::MAX) } else { None }
    }

    /// The fires of an instance that was judged up to `watermark`.
    pub(super) fn fires(&self, watermark: Timestamp, anchors: Anchors) -> Fires<'_> {
        let gate = Gate { hours: self.hours.as_ref(), calendar: self.calendar.as_ref(), zone: &self.zone };
        let mut fires = Fires { timing: self, gate, anchors, ends: Vec::new() };
        fires.ends = self.schedules.iter().map(|schedule| fires.end_of(schedule, watermark)).collect();
        fires
    }
}

/// The next `n` fires after `from`, of an instance that was judged up to `from`.
pub fn preview(timing: &Timing, from: Timestamp, n: usize, anchors: Anchors) -> Vec<Preview> {
    let fires = timing.fires(from, anchors);
    let first = fires.next(from);
    std::iter::successors(first, |fire| fires.next(fire.at)).take(n).map(|fire| describe(timing, fire)).collect()
}

fn describe(timing: &Timing, fire: Fire) -> Preview {
    let Fire { at, closed, deferred } = fire;
    let clocks = || {
        timing.schedules.iter().find_map(|schedule| match schedule {
            Schedule::Cron { expr, .. } => expr.clock_note(at, &timing.zone),
            Schedule::Every { .. } | Schedule::After { .. } | Schedule::Start => None,
        })
    };
    let note = match (&timing.hours, closed) {
        (Some(hours), Some(SkipReason::OutsideHours)) if hours.is_holiday(timing.zone.to_datetime(at).date()) => {
            Some("a holiday".to_owned())
        }
        (Some(hours), Some(SkipReason::OutsideHours)) => Some(format!("outside {}", hours.text)),
        _ if deferred => Some("the opening, for what was due before it".to_owned()),
        _ => clocks(),
    };
    Preview { at, closed, deferred, note }
}

/// The fires of an instance, given its past.
#[derive(Debug)]
pub(super) struct Fires<'a> {
    timing: &'a Timing,
    gate: Gate<'a>,
    anchors: Anchors,
    /// For each schedule, the last raw fire that can be known by now.
    ends: Vec<Timestamp>,
}

impl Fires<'_> {
    /// The first fire strictly after `after`.
    pub(super) fn next(&self, after: Timestamp) -> Option<Fire> {
        let raw = self.next_raw(after);
        // No raw fire lies between `after` and the first opening, so if this one stands for none, no later one up to the raw fire does.
        if self.defers()
            && let Some(at) = self.gate.next_open(after, raw.unwrap_or(Timestamp::MAX))
            && self.stands_for_some(at)
        {
            return Some(Fire { at, closed: None, deferred: true });
        }
        raw.map(|at| Fire { at, closed: self.gate.closed(at), deferred: false })
    }

    fn next_open(&self, mut after: Timestamp) -> Option<Fire> {
        for _ in 0..STRETCHES_MAX {
            let fire = self.next(after)?;
            if fire.closed.is_none() {
                return Some(fire);
            }
            after = just_before(self.gate.next_open(fire.at, Timestamp::MAX)?);
        }
        None
    }

    /// The latest fire strictly after `after` and at or before `until`.
    pub(super) fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Fire> {
        // An opening may stand for raw fires from before `after`.
        let since = if self.defers() { just_before(self.gate.last_open(after)) } else { after };
        let raw = self.latest_raw(since, until)?;
        let opening = if self.defers() { self.gate.next_open(raw, until).filter(|at| self.stands_for_some(*at)) } else { None };
        let at = opening.unwrap_or(raw);
        if at > after { self.next(just_before(at)) } else { None }
    }

    /// The latest fire that counts, strictly after `after` and at or before `until`.
    pub(super) fn latest_open(&self, after: Timestamp, mut until: Timestamp) -> Option<Fire> {
        for _ in 0..STRETCHES_MAX {
            let fire = self.latest(after, until)?;
            if fire.closed.is_none() {
                return Some(fire);
            }
            // Whatever else lies in the same closed stretch does not count either.
            until = just_before(self.gate.last_close(fire.at)?);
        }
        None
    }

    /// Whether hours closed a raw fire since the opening before this one.
    fn stands_for_some(&self, opening: Timestamp) -> bool {
        let mut cursor = just_before(self.gate.last_open(just_before(opening)));
        for _ in 0..STRETCHES_MAX {
            let Some(raw) = self.next_raw(cursor).filter(|raw| *raw < opening) else { return false };
            let go_on = match self.gate.closed(raw) {
                Some(SkipReason::OutsideHours) => return true,
                None => self.gate.next_close(raw),
                Some(_) => self.gate.tomorrow(raw),
            };
            let Some(go_on) = go_on else { return false };
            cursor = just_before(go_on);
        }
        false
    }

    fn defers(&self) -> bool {
        self.timing.defer && self.timing.hours.is_some()
    }

    /// The first raw fire strictly after `after`.
    fn next_raw(&self, after: Timestamp) -> Option<Timestamp> {
        let next = |schedule: &Schedule| schedule.next_after(after, &self.timing.zone, self.anchors);
        self.timing.schedules.iter().zip(&self.ends).filter_map(|(schedule, end)| next(schedule).filter(|at| at <= end)).min()
    }

    /// The latest raw fire strictly after `after` and at or before `until`: back from `until` in growing steps, then by bisection.
    fn latest_raw(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let next = |after: Timestamp| self.next_raw(after).filter(|at| *at <= until);
        let mut low = next(after)?;
        // There is no raw fire after `high`.
        let (mut high, mut step) = (until, GALLOP);
        while let Some(probe) = high.checked_sub(step).ok().filter(|probe| *probe > low) {
            if let Some(found) = next(probe) {
                low = found;
                break;
            }
            (high, step) = (probe, step.saturating_mul(8));
        }
        while let Some(later) = next(low) {
            let half = high.duration_since(later).checked_div(2).unwrap_or_default();
            let middle = later.checked_add(half).unwrap_or(later);
            (low, high) = next(middle).map_or((later, middle), |found| (found, high));
        }
        Some(low)
    }

    /// The last raw fire of a schedule that can be known. Only `after` has one: its first that counts and was not judged yet. If that becomes
    /// a run, the next depends on the run's end; if not, the watermark will have passed it.
    fn end_of(&self, schedule: &Schedule, watermark: Timestamp) -> Timestamp {
        let Schedule::After { .. } = schedule else { return Timestamp::MAX };
        let mut after = watermark;
        for _ in 0..STRETCHES_MAX {
            let Some(raw) = schedule.next_after(after, &self.timing.zone, self.anchors) else { break };
            if self.gate.closed(raw).is_none() {
                return raw;
            }
            let Some(opening) = self.gate.next_open(raw, Timestamp::MAX) else { break };
            after = just_before(opening);
        }
        Timestamp::MAX
    }
}
