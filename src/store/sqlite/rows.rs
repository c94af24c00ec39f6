//! Between columns and the words of the domain.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, types::Type};

use crate::{
    core::{
        event::{OutcomeKind, RunEnd, SkipReason, StopReason},
        task::{Generation, InstanceName, ProcessId, RunId, Trigger},
    },
    store::{HistoryRow, RowState},
};

/// What the open states have in common, as a condition; the partial indexes of the schema have the same words.
macro_rules! open {
    () => {
        "state IN ('waiting', 'running', 'backoff')"
    };
}
pub(super) use open;

/// Whether the run `r` waits for a limit, as a condition.
macro_rules! not_yet {
    () => {
        "(r.state = 'backoff' AND EXISTS (SELECT 1 FROM attempts WHERE run = r.id AND attempt = r.attempts AND outcome = 'not_yet'))"
    };
}
pub(super) use not_yet;

/// How many attempts of the run `r` ended as not yet.
macro_rules! waits {
    () => {
        "(SELECT count(*) FROM attempts WHERE run = r.id AND outcome = 'not_yet')"
    };
}
pub(super) use waits;

/// The columns that [`history_row`] reads.
macro_rules! history_columns {
    () => {
        concat!(
            "r.id, r.instance, r.fire_at_ms, r.trigger, r.cause, r.dry, r.state, r.generation, r.process, r.attempts, r.run_end, r.superseded_by,
             r.reason, r.count, r.at_least, r.last_at_ms, r.started_at_ms, r.ended_at_ms, r.retry_at_ms, r.text, ",
            not_yet!(),
            " AS not_yet, ",
            waits!(),
            " AS waits"
        )
    };
}
pub(super) use history_columns;

/// An open run, with what its writes are checked against.
#[derive(Debug)]
pub(super) struct OpenRow {
    pub(super) run: RunId,
    pub(super) instance: InstanceName,
    pub(super) process: Option<ProcessId>,
    pub(super) generation: Option<Generation>,
    pub(super) running: bool,
    pub(super) attempts: u32,
    pub(super) stop: Option<StopReason>,
    /// Below the floor its writes are refused.
    pub(super) fenced: bool,
    /// Nobody has it: its process is dead, or it was set aside.
    pub(super) orphan: bool,
}

/// The run, if it is open.
pub(super) fn open_row(conn: &Connection, run: RunId) -> rusqlite::Result<Option<OpenRow>> {
    let sql = concat!(
        "SELECT r.instance, r.process, r.generation, r.state = 'running' AS running, r.attempts, r.stop, r.stop_by,
           coalesce(r.generation < i.floor, 0) AS fenced, coalesce(p.dead, 1) AS orphan
         FROM runs r JOIN instances i ON i.name = r.instance LEFT JOIN processes p ON p.id = r.process WHERE r.id = :run AND r.",
        open!()
    );
    conn.prepare_cached(sql)?
        .query_row(named_params! { ":run": run.0 }, |row| {
            Ok(OpenRow {
                run,
                instance: instance(row)?,
                process: row.get::<_, Option<i64>>("process")?.map(ProcessId),
                generation: row.get::<_, Option<i64>>("generation")?.map(Generation),
                running: row.get("running")?,
                attempts: row.get("attempts")?,
                stop: stop(row)?,
                fenced: row.get("fenced")?,
                orphan: row.get("orphan")?,
            })
        })
        .optional()
}

/// The run, if the process may write to it.
pub(super) fn own_row(conn: &Connection, process: ProcessId, run: RunId) -> rusqlite::Result<Option<OpenRow>> {
    Ok(open_row(conn, run)?.filter(|row| row.process == Some(process) && !row.fenced))
}

pub(super) fn instance(row: &Row<'_>) -> rusqlite::Result<InstanceName> {
    Ok(InstanceName(row.get::<_, Box<str>>("instance")?.into()))
}

pub(super) fn instant(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    maybe_instant(row, column)?.ok_or_else(|| unreadable(row, column, "an instant is missing".into()))
}

pub(super) fn maybe_instant(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    millis.map(|millis| Timestamp::from_millisecond(millis).map_err(|error| unreadable(row, column, error.into()))).transpose()
}

/// A word that is one of ours; the schema's checks see to that, so anything else is damage.
pub(super) fn maybe_word<T>(row: &Row<'_>, column: &str, from_word: fn(&str) -> Option<T>) -> rusqlite::Result<Option<T>> {
    let word: Option<Box<str>> = row.get(column)?;
    word.map(|word| from_word(&word).ok_or_else(|| unreadable(row, column, format!("unknown word `{word}`").into()))).transpose()
}

/// As [`maybe_word`], where the schema lets no word be missing.
pub(super) fn word<T>(row: &Row<'_>, column: &str, from_word: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    maybe_word(row, column, from_word)?.ok_or_else(|| unreadable(row, column, "a word is missing".into()))
}

pub(super) fn trigger(row: &Row<'_>) -> rusqlite::Result<Trigger> {
    word(row, "trigger", Trigger::from_word)
}

pub(super) fn outcome(row: &Row<'_>) -> rusqlite::Result<Option<OutcomeKind>> {
    maybe_word(row, "outcome", OutcomeKind::from_word)
}

pub(super) fn unreadable(row: &Row<'_>, column: &str, why: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    let index = row.as_ref().column_index(column).unwrap_or_default();
    rusqlite::Error::FromSqlConversionFailure(index, Type::Null, why)
}

/// A stop reason as its two columns.
pub(super) fn stop_columns(reason: StopReason) -> (&'static str, Option<i64>) {
    match reason {
        StopReason::Superseded(by) => ("superseded", Some(by.0)),
        StopReason::Cancelled => ("cancelled", None),
        StopReason::Shutdown => ("shutdown", None),
        StopReason::Deadline => ("deadline", None),
        StopReason::Fenced => ("fenced", None),
    }
}

pub(super) fn stop(row: &Row<'_>) -> rusqlite::Result<Option<StopReason>> {
    let word: Option<Box<str>> = row.get("stop")?;
    let Some(word) = word else { return Ok(None) };
    Ok(Some(match word.as_ref() {
        "superseded" => StopReason::Superseded(RunId(row.get("stop_by")?)),
        "cancelled" => StopReason::Cancelled,
        "shutdown" => StopReason::Shutdown,
        "deadline" => StopReason::Deadline,
        "fenced" => StopReason::Fenced,
        other => return Err(unreadable(row, "stop", format!("unknown word `{other}`").into())),
    }))
}

pub(super) fn history_row(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    let state = row_state(row)?;
    let is_open = matches!(state, RowState::Waiting | RowState::Running | RowState::Backoff { .. } | RowState::NotYet { .. });
    Ok(HistoryRow {
        run: RunId(row.get("id")?),
        instance: instance(row)?,
        fire_at: instant(row, "fire_at_ms")?,
        trigger: trigger(row)?,
        cause: row.get::<_, Option<i64>>("cause")?.map(RunId),
        state,
        generation: row.get::<_, Option<i64>>("generation")?.map(Generation),
        attempts: row.get("attempts")?,
        waits: row.get("waits")?,
        started_at: maybe_instant(row, "started_at_ms")?,
        ended_at: maybe_instant(row, "ended_at_ms")?,
        text: row.get("text")?,
        dry: row.get("dry")?,
        process: row.get::<_, Option<i64>>("process")?.filter(|_| is_open).map(ProcessId),
    })
}

fn row_state(row: &Row<'_>) -> rusqlite::Result<RowState> {
    if let Some(end) = maybe_word(row, "run_end", RunEnd::from_word)? {
        return Ok(RowState::Ended { end, by: row.get::<_, Option<i64>>("superseded_by")?.map(RunId) });
    }
    if let Some(reason) = maybe_word(row, "reason", SkipReason::from_word)? {
        let last_at = instant(row, "last_at_ms")?;
        return Ok(RowState::Skipped { reason, count: row.get("count")?, at_least: row.get("at_least")?, last_at });
    }
    if let Some(retry_at) = maybe_instant(row, "retry_at_ms")? {
        return Ok(if row.get("not_yet")? { RowState::NotYet { until: retry_at } } else { RowState::Backoff { retry_at } });
    }
    let state: Box<str> = row.get("state")?;
    Ok(if state.as_ref() == "running" { RowState::Running } else { RowState::Waiting })
}

/// Numbers as a JSON array, for `json_each`.
pub(super) fn json(ids: impl IntoIterator<Item = i64>) -> String {
    format!("{:?}", ids.into_iter().collect::<Vec<_>>())
}
