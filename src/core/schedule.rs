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
    /// That long after the previous run ended.
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
    /// The first fire time strictly after `after`; `None` if there is none (before the year 9999, or until a run ends, or after the start).
    pub fn next_after(&self, _after: Timestamp, _zone: &TimeZone, _anchors: Anchors) -> Option<Timestamp> {
        None
    }

    /// Whether it can never fire from `from` on: an impossible date such as 30 February.
    pub fn never_fires(&self, _from: Timestamp, _zone: &TimeZone) -> bool {
        false
    }
}
