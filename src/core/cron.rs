//! Cron expressions: our parser, the `cron` crate's calendar search, and a thin layer for zones.
use jiff::{Timestamp, tz::TimeZone};

use super::value::Misread;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct CronExpr {}

impl CronExpr {
    /// Reads five fields, six (seconds first), seven (year last), or an alias such as `@daily`.
    ///
    /// # Errors
    /// When a field cannot be read; the message names the field and the offending part.
    pub fn parse(_text: &str) -> Result<Self, Misread> {
        Ok(Self {})
    }

    /// The first fire time strictly after `after`, in the zone; `None` if there is none before the year 2100.
    pub fn next_after(&self, _after: Timestamp, _zone: &TimeZone) -> Option<Timestamp> {
        None
    }

    /// What is odd about the expression though it can be read: one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}
