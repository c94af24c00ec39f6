//! Lines of the log.
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::observe::read::Line;

/// A line of the log: `taskrun logs --json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogView {
    /// Null for what no taskrun wrote.
    pub ts: Option<String>,
    /// `error`, `warn`, `info`, `debug`, `trace`.
    pub level: String,
    /// Null: the daemon's own.
    pub instance: Option<String>,
    pub run: Option<i64>,
    pub message: String,
}

impl LogView {
    /// A line that was read.
    pub fn of(line: &Line, zone: &TimeZone) -> Self {
        Self {
            ts: line.at.map(|at| rfc3339(at, zone)),
            level: line.level.as_str().to_ascii_lowercase(),
            instance: line.instance().map(ToOwned::to_owned),
            run: line.run,
            message: line.message.clone(),
        }
    }
}
