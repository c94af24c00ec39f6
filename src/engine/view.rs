//! What others may see of the running engine: the one state behind status, the local socket and, later, metrics and the dashboard.
//!
//! These types are the JSON of `taskrun status --json` and of the local socket: times are RFC 3339, durations seconds. They are stable from now on.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    core::{task::Instance, timing::Timing},
    store::{HistoryRow, RowState, took},
};

/// Everything about a running taskrun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    pub version: String,
    pub pid: u32,
    pub started_at: String,
    pub now: String,
    /// The speed of the practice clock; absent where it is real.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub practice_speed: Option<u32>,
    pub config: ConfigView,
    /// Attempts that did not stop and were given up on; their threads are still there.
    #[serde(default)]
    pub stuck: usize,
    /// Why the daemon is not all well: the store refuses writes, the last reload failed, an attempt is stuck. Empty: all well.
    pub degraded: Vec<String>,
    pub stopping: bool,
    pub instances: Vec<InstanceView>,
    /// Open runs of this process.
    pub runs: Vec<RunView>,
}

/// Which configuration is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigView {
    pub path: String,
    pub loaded_at: String,
    pub reloads: u64,
    /// The faults of the last reload, if it failed; the configuration before it is still in force.
    pub last_reload_faults: Vec<String>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InstanceView {
    pub instance: String,
    pub task: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<String>,
    pub handler: String,
    pub enabled: bool,
    /// As people write it: `0 */3 * * *`, `every 60s`, `after 1h`, `@start`, joined by `; `.
    pub schedule: String,
    pub zone: String,
    /// `always`, or the windows as written.
    pub hours: String,
    pub overlap: String,
    /// What must have ended before, as people read it: `sync_inventory succeeded within 4h`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub needs: Vec<String>,
    /// The instances that its success starts.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub after_success: Vec<String>,
    /// The instances whose success starts it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub follows: Vec<String>,
    /// When it will next start; absent if nothing is planned.
    pub next_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused: Option<PausedView>,
    pub last: Option<LastView>,
}

/// A pause in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PausedView {
    pub since: String,
    pub until: Option<String>,
    pub reason: Option<String>,
}

/// The last finished row of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LastView {
    pub run: i64,
    /// `succeeded`, `failed`, ... or `skipped`.
    pub state: String,
    /// The reason of a skip.
    pub reason: Option<String>,
    pub ended_at: Option<String>,
    pub took_s: Option<f64>,
    pub text: Option<String>,
}

/// An open run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    pub run: i64,
    pub instance: String,
    pub trigger: String,
    pub fire_at: String,
    /// `judged`, `lock_wait`, `waiting`, `queued`, `starting`, `running`, `stopping`, `backoff`, `not_yet`, `closing`.
    pub phase: String,
    /// When a run that waits for a limit (`not_yet`) goes on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<String>,
    pub attempt: u32,
    pub started_at: Option<String>,
    pub done: u64,
    /// Zero: unknown.
    pub total: u64,
    pub note: String,
    /// Seconds to the end at the pace so far, where that can be told.
    pub left_s: Option<f64>,
    /// Seconds since its attempt last made progress, real ones; absent where none works.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub still_s: Option<f64>,
    /// It is a program with a `timeout`: that it prints nothing means nothing.
    #[serde(default)]
    pub timeout_governs: bool,
    /// How many seconds it may take to stop.
    #[serde(default)]
    pub grace_s: f64,
}

/// What came of a `trigger`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TriggeredView {
    pub instance: String,
    /// The run, if one was admitted.
    pub run: Option<i64>,
    /// Why not.
    pub skipped: Option<String>,
}

/// What came of a reload, or would come of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReloadView {
    /// False: the file has faults and the configuration before it stays in force.
    pub applied: bool,
    /// Task by task, in words.
    pub differences: Vec<String>,
    /// `file:line:column: message (hint)`.
    pub faults: Vec<String>,
}

impl InstanceView {
    /// An instance as its definition has it; last end and pause come from the store.
    pub fn of(instance: &Instance, next_at: Option<Timestamp>) -> Self {
        let timing = &instance.timing;
        Self {
            instance: instance.name.to_string(),
            task: instance.task.to_string(),
            account: instance.account.as_deref().map(ToOwned::to_owned),
            handler: instance.handler.to_string(),
            enabled: instance.enabled,
            schedule: schedule_text(timing),
            zone: timing.zone_name.to_string(),
            hours: timing.hours.as_ref().map_or_else(|| "always".to_owned(), |hours| hours.text.to_string()),
            overlap: instance.overlap.word().to_owned(),
            needs: instance.needs.iter().map(ToString::to_string).collect(),
            after_success: instance.after_success.iter().map(ToString::to_string).collect(),
            follows: Vec::new(),
            next_at: next_at.map(|at| at.to_string()),
            paused: None,
            last: None,
        }
    }
}

/// Says of each instance whose success starts it.
pub fn say_what_follows(views: &mut [InstanceView]) {
    let links: Vec<(String, String)> =
        views.iter().flat_map(|view| view.after_success.iter().map(|next| (next.clone(), view.instance.clone()))).collect();
    for (next, before) in links {
        if let Some(view) = views.iter_mut().find(|view| view.instance == next) {
            view.follows.push(before);
        }
    }
}

impl LastView {
    /// A finished row of the history.
    pub fn of(row: &HistoryRow) -> Self {
        let (state, reason) = match &row.state {
            RowState::Ended { end, .. } => (end.word(), None),
            RowState::Skipped { reason, .. } => ("skipped", Some(reason.word().to_owned())),
            RowState::Waiting => ("waiting", None),
            RowState::Running => ("running", None),
            RowState::Backoff { .. } => ("backoff", None),
            RowState::NotYet { .. } => ("not_yet", None),
        };
        Self {
            run: row.run.0,
            state: state.to_owned(),
            reason,
            ended_at: row.ended_at.map(|at| at.to_string()),
            took_s: took(row).map(|took| took.as_secs_f64()),
            text: row.text.clone(),
        }
    }
}

/// The schedules as people write them, joined by `; `; `by hand` where there is none.
pub fn schedule_text(timing: &Timing) -> String {
    let texts: Vec<String> = timing.schedules.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "by hand".to_owned() } else { texts.join("; ") }
}

/// What makes a schedule another one: when it differs from what the store remembers, nothing before counts as missed. So it is when a disabled
/// instance is enabled again.
pub fn schedule_key(instance: &Instance) -> String {
    let off = if instance.enabled { "" } else { "off | " };
    format!("{off}{} | {}", schedule_text(&instance.timing), instance.timing.zone_name)
}
