//! Reads logs back: what a line says, and all logs of a folder as one stream.
//!
//! `taskrun.log` has what the daemon says, and each instance's file what happened in its runs, whoever ran them. An instance's line is taken from
//! its own file, which also has what a `once` wrote; the copy in `taskrun.log` is passed over.
use std::borrow::Cow;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::Level;

pub use self::files::{Follower, Logs};
use super::log::DAEMON;

mod files;

/// The time in a text line.
const STAMP: &str = "%Y-%m-%d %H:%M:%S";
/// How long such a time is.
const STAMP_LEN: usize = 19;

/// A line of a log, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When. `None` for what no taskrun wrote.
    pub at: Option<Timestamp>,
    /// How much it matters.
    pub level: Level,
    /// Whose it is: an instance, or `taskrun`.
    pub name: String,
    /// In which run.
    pub run: Option<i64>,
    /// What happened, with its fields.
    pub message: String,
    /// As it stands in the file.
    pub text: String,
}

/// A line in JSON; read and written alike.
#[derive(Debug, Deserialize, Serialize)]
struct JsonLine<'a> {
    ts: Cow<'a, str>,
    level: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<i64>,
    message: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

impl Line {
    /// Takes a line apart, in whichever of the two formats it is. `zone`: of the times in text lines.
    pub fn parse(text: &str, zone: &TimeZone) -> Self {
        Self::of_json(text).or_else(|| Self::of_text(text, zone)).unwrap_or_else(|| Self {
            at: None,
            level: Level::INFO,
            name: DAEMON.to_owned(),
            run: None,
            message: text.to_owned(),
            text: text.to_owned(),
        })
    }

    fn of_json(text: &str) -> Option<Self> {
        let line: JsonLine<'_> = text.starts_with('{').then(|| serde_json::from_str(text).ok())??;
        let mut message = line.message.into_owned();
        for (name, value) in &line.fields {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            message.extend([" ", name, "=", &value]);
        }
        Some(Self {
            at: Some(line.ts.parse().ok()?),
            level: line.level.parse().ok()?,
            name: line.instance.map_or_else(|| DAEMON.to_owned(), Cow::into_owned),
            run: line.run,
            message,
            text: text.to_owned(),
        })
    }

    /// `2026-11-22 13:48:00 [INFO] sync_inventory#41: ...`; with the process id after the level where the log is detailed.
    fn of_text(text: &str, zone: &TimeZone) -> Option<Self> {
        let (time, rest) = text.split_at_checked(STAMP_LEN)?;
        let at = DateTime::strptime(STAMP, time).ok()?.to_zoned(zone.clone()).ok()?.timestamp();
        let (level, rest) = rest.strip_prefix(" [")?.split_once("] ")?;
        let rest = rest.strip_prefix('[').and_then(|pid| pid.split_once("] ")).map_or(rest, |(_, rest)| rest);
        let (whose, message) = rest.split_once(": ")?;
        let (name, run) = whose.rsplit_once('#').map_or((whose, None), |(name, run)| (name, run.parse().ok()));
        Some(Self {
            at: Some(at),
            level: level.parse().ok()?,
            name: name.to_owned(),
            run,
            message: message.to_owned(),
            text: text.to_owned(),
        })
    }

    /// The account that its instance works for.
    pub fn account(&self) -> Option<&str> {
        self.name.split_once('@').map(|(_, account)| account)
    }

    /// The instance that it is of; nothing for the daemon's own.
    pub fn instance(&self) -> Option<&str> {
        Some(&*self.name).filter(|name| *name != DAEMON)
    }
}

/// Which lines are wanted. All that is `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this task or instance; `taskrun` is the daemon.
    pub task: Option<String>,
    /// Of this account's instances.
    pub account: Option<String>,
    /// At least this important.
    pub level: Option<Level>,
    /// Of this run.
    pub run: Option<i64>,
    /// Not before then.
    pub since: Option<Timestamp>,
}

impl Wanted {
    /// Whether a line is wanted.
    pub fn takes(&self, line: &Line) -> bool {
        self.wants_log(&line.name)
            && self.level.is_none_or(|level| line.level <= level)
            && self.run.is_none_or(|run| line.run == Some(run))
            && self.since.is_none_or(|since| line.at.is_some_and(|at| at >= since))
    }

    /// Whether lines of this name may be wanted.
    fn wants_log(&self, name: &str) -> bool {
        let (task, account) = name.split_once('@').map_or((name, None), |(task, account)| (task, Some(account)));
        self.task.as_deref().is_none_or(|wanted| wanted == task || wanted == name)
            && self.account.as_deref().is_none_or(|wanted| account == Some(wanted))
    }
}

#[cfg(test)]
mod tests;
