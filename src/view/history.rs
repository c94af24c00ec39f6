//! Runs, their attempts, and skips.
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{AttemptRow, HistoryRow, RowState, took};

/// A row of the history as JSON; stable.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HistoryView {
    pub run: i64,
    pub instance: String,
    pub fire_at: String,
    pub trigger: &'static str,
    /// The run whose success asked for it.
    pub cause: Option<i64>,
    /// `waiting`, `running`, `backoff`, `not_yet` (it waits for a limit, and goes on at `retry_at`), an end (`succeeded`, `failed`, `timed_out`, `superseded`, `cancelled`, `lost`), or `skipped`.
    pub state: &'static str,
    /// Why it was skipped.
    pub reason: Option<&'static str>,
    /// How many fire times the row stands for.
    pub count: u32,
    /// There were more than were counted.
    pub at_least: bool,
    /// The last of the fire times the row stands for.
    pub last_fire_at: String,
    pub superseded_by: Option<i64>,
    pub retry_at: Option<String>,
    pub generation: Option<i64>,
    pub attempts: u32,
    /// Those of the attempts that ended as not yet: none of them is a try.
    pub waits: u32,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    pub took_s: Option<f64>,
    pub dry: bool,
    pub text: Option<String>,
}

impl HistoryView {
    /// A row of the store.
    pub fn of(row: &HistoryRow) -> Self {
        let (mut reason, mut count, mut at_least, mut last_at) = (None, 1, false, row.fire_at);
        let (mut superseded_by, mut retry) = (None, None);
        match &row.state {
            RowState::Waiting | RowState::Running => {}
            RowState::Backoff { retry_at: at } | RowState::NotYet { until: at } => retry = Some(at.to_string()),
            RowState::Ended { end: _, by } => superseded_by = by.map(|run| run.0),
            RowState::Skipped { reason: why, count: many, at_least: more, last_at: last } => {
                (reason, count, at_least, last_at) = (Some(why.word()), *many, *more, *last);
            }
        }
        Self {
            run: row.run.0,
            instance: row.instance.to_string(),
            fire_at: row.fire_at.to_string(),
            trigger: row.trigger.word(),
            cause: row.cause.map(|cause| cause.0),
            state: state_word(&row.state),
            reason,
            count,
            at_least,
            last_fire_at: last_at.to_string(),
            superseded_by,
            retry_at: retry,
            generation: row.generation.map(|generation| generation.0),
            attempts: row.attempts,
            waits: row.waits,
            started_at: row.started_at.map(|at| at.to_string()),
            ended_at: row.ended_at.map(|at| at.to_string()),
            took_s: took(row).map(|took| took.as_secs_f64()),
            dry: row.dry,
            text: row.text.clone(),
        }
    }
}

/// The word of a row's state in JSON.
pub fn state_word(state: &RowState) -> &'static str {
    match state {
        RowState::Waiting => "waiting",
        RowState::Running => "running",
        RowState::Backoff { .. } => "backoff",
        RowState::NotYet { .. } => "not_yet",
        RowState::Ended { end, .. } => end.word(),
        RowState::Skipped { .. } => "skipped",
    }
}

/// An attempt of a run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AttemptView {
    /// Counted from 1.
    pub attempt: u32,
    pub started_at: String,
    pub ended_at: Option<String>,
    /// `succeeded`, `failed`, `timed_out`, `cancelled`, `panicked`, `lost`, `not_yet`; null while it runs.
    pub outcome: Option<&'static str>,
    /// Its error or summary.
    pub text: Option<String>,
}

impl AttemptView {
    /// A row of the store.
    pub fn of(row: &AttemptRow) -> Self {
        Self {
            attempt: row.attempt,
            started_at: row.started_at.to_string(),
            ended_at: row.ended_at.map(|at| at.to_string()),
            outcome: row.outcome.map(crate::core::event::OutcomeKind::word),
            text: row.text.clone(),
        }
    }
}

/// A page of the history, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunsPage {
    pub runs: Vec<HistoryView>,
    /// Where the next page begins, as `before`; null: this is the last one.
    pub next: Option<i64>,
}

/// A run and its attempts, oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunPage {
    #[serde(flatten)]
    pub run: HistoryView,
    pub attempt_rows: Vec<AttemptView>,
}
