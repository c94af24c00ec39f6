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
