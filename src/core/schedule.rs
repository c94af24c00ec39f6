//! A schedule: cron, `every`, `after`, `@start`.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{cron::CronExpr, timing::Anchors};

/// What yields fire times.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// A cron expression, with its text as it was written.
    Cron { expr: Arc<CronExpr>, text: Arc<str> },
    /// At whole multiples of the interval since the Unix epoch: the phase outlives restarts and reloads.
    Every { interval: SignedDuration },
    /// That long after the previous run ended. Where that fire became no run, the next is as much later again.
    After { delay: SignedDuration },
    /// Once at each start of the daemon.
    Start,
}

impl std::fmt::Display for Schedule {
    /// As people write it: `0 */3 * * *`, `every 90s`, `after 1h 30m`, `@start`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cron { text, .. } => f.write_str(text),
            Self::Every { interval } => write!(f, "every {}", short(*interval)),
            Self::After { delay } => write!(f, "after {}", short(*delay)),
            Self::Start => f.write_str("@start"),
        }
    }
}

/// A duration as people write it: `90s`, `1h 30m`.
fn short(duration: SignedDuration) -> String {
    let all = duration.as_secs();
    if all <= 120 || duration.subsec_nanos() != 0 {
        return format!("{}s", duration.as_secs_f64());
    }
    let (hours, minutes, seconds) = (all.div_euclid(3600), all.rem_euclid(3600).div_euclid(60), all.rem_euclid(60));
    let parts = [(hours, "h"), (minutes, "m"), (seconds, "s")];
    let parts: Vec<String> = parts.iter().filter(|(count, _)| *count != 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    parts.join(" ")
}

impl Schedule {
    /// The first fire time strictly after `after`; `None` if there is none (up to the year 2100, or until a run ends, or after the start).
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone, anchors: Anchors) -> Option<Timestamp> {
        match self {
            Self::Cron { expr, .. } => expr.next_after(after, zone),
            Self::Every { interval } => next_multiple(Timestamp::UNIX_EPOCH, *interval, after),
            Self::After { delay } => anchors.last_end.and_then(|end| next_multiple(end, *delay, after.max(end))),
            Self::Start => anchors.start.filter(|start| *start > after),
        }
    }

    /// Whether it can never fire from `from` on: an impossible date such as 30 February.
    pub fn never_fires(&self, from: Timestamp, zone: &TimeZone) -> bool {
        match self {
            Self::Cron { expr, .. } => expr.next_after(from, zone).is_none(),
            Self::Every { .. } | Self::After { .. } | Self::Start => false,
        }
    }
}

/// The first whole multiple of the interval since `origin` that is strictly after `after`.
fn next_multiple(origin: Timestamp, interval: SignedDuration, after: Timestamp) -> Option<Timestamp> {
    let interval = Some(interval.as_nanos()).filter(|interval| *interval > 0)?;
    let origin = origin.as_nanosecond();
    let passed = after.as_nanosecond().checked_sub(origin)?.checked_div_euclid(interval)?;
    let next = passed.checked_add(1)?.checked_mul(interval)?.checked_add(origin)?;
    Timestamp::from_nanosecond(next).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(schedule: &Schedule, after: &str, anchors: Anchors) -> Option<Timestamp> {
        schedule.next_after(at(after), &TimeZone::UTC, anchors)
    }

    #[test]
    fn every_keeps_its_phase_since_the_epoch() {
        let every = Schedule::Every { interval: SignedDuration::from_hours(3) };
        assert_eq!(next(&every, "2026-03-30T02:59:59.999Z", Anchors::default()), Some(at("2026-03-30T03:00Z")));
        assert_eq!(next(&every, "2026-03-30T03:00Z", Anchors::default()), Some(at("2026-03-30T06:00Z")));
        assert_eq!(next(&every, "1969-12-31T23:00Z", Anchors::default()), Some(at("1970-01-01T00:00Z")));
    }

    #[test]
    fn after_counts_from_the_last_end_and_goes_on_where_a_fire_became_no_run() {
        let after = Schedule::After { delay: SignedDuration::from_hours(1) };
        let ended = Anchors { last_end: Some(at("2026-03-30T09:10Z")), start: None };
        assert_eq!(next(&after, "2026-03-30T08:00Z", ended), Some(at("2026-03-30T10:10Z")));
        assert_eq!(next(&after, "2026-03-30T09:10Z", ended), Some(at("2026-03-30T10:10Z")));
        assert_eq!(next(&after, "2026-03-30T10:10Z", ended), Some(at("2026-03-30T11:10Z")));
        assert_eq!(next(&after, "2026-03-30T10:10Z", Anchors::default()), None, "a run is open");
    }

    #[test]
    fn a_start_fires_once() {
        let started = Anchors { last_end: None, start: Some(at("2026-03-30T09:00Z")) };
        assert_eq!(next(&Schedule::Start, "2026-03-30T08:59:59.999Z", started), started.start);
        assert_eq!(next(&Schedule::Start, "2026-03-30T09:00Z", started), None);
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        let interval = SignedDuration::from_hours(24 * 365 * 5000);
        for after in [Timestamp::MIN, Timestamp::MAX] {
            let next = Schedule::Every { interval }.next_after(after, &TimeZone::UTC, Anchors::default());
            assert!(next.is_none_or(|next| next > after));
        }
        assert_eq!(next(&Schedule::Every { interval: SignedDuration::ZERO }, "2026-03-30T09:00Z", Anchors::default()), None);
    }

    #[test]
    fn only_an_impossible_date_never_fires() {
        let cron = |text: &str| Schedule::Cron { expr: Arc::new(CronExpr::parse(text).unwrap()), text: text.into() };
        assert!(cron("0 0 30 2 *").never_fires(at("2026-01-01T00:00Z"), &TimeZone::UTC));
        assert!(!cron("0 0 29 2 *").never_fires(at("2026-01-01T00:00Z"), &TimeZone::UTC));
        assert!(!Schedule::Start.never_fires(at("2026-01-01T00:00Z"), &TimeZone::UTC));
    }
}
