//! What happened, for people: rows newest first.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::{
    instances,
    rows::{history_columns, history_row, instant, maybe_instant, not_yet, open, outcome, waits},
};
use crate::{
    core::{
        event::RunEnd,
        task::{InstanceName, RunId},
    },
    store::{AttemptRow, HISTORY_MAX, HistoryFilter, HistoryRow},
};

pub(super) fn history(conn: &Connection, filter: &HistoryFilter) -> rusqlite::Result<Vec<HistoryRow>> {
    let is_instance = filter.name.as_ref().is_some_and(|name| name.contains('@'));
    // Every index ends with the id, so each of these reads newest first and stops at the limit. Without statistics SQLite would have to guess.
    let index = match (filter.open, filter.failed, &filter.name) {
        (true, ..) => "INDEXED BY runs_open",
        (false, true, _) => "INDEXED BY runs_bad",
        (false, false, Some(_)) if is_instance => "INDEXED BY runs_instance",
        (false, false, Some(_)) => "INDEXED BY runs_task",
        (false, false, None) => "NOT INDEXED",
    };
    let name = if is_instance { "AND r.instance = :name" } else { "AND r.task = :name" };
    let sql = [
        concat!("SELECT ", history_columns!(), " FROM runs r"),
        index,
        "WHERE :since <= coalesce(r.last_at_ms, r.fire_at_ms) AND r.id < :before",
        if filter.name.is_some() { name } else { "AND :name IS NULL" },
        if filter.failed { "AND r.run_end IN ('failed', 'timed_out', 'lost')" } else { "" },
        if filter.open { concat!("AND r.", open!()) } else { "" },
        "ORDER BY r.id DESC LIMIT :limit",
    ]
    .join(" ");
    let since = filter.since.map_or(i64::MIN, Timestamp::as_millisecond);
    let limit = i64::try_from(filter.limit.min(HISTORY_MAX)).unwrap_or(i64::MAX);
    let before = filter.before.map_or(i64::MAX, |run| run.0);
    let params = named_params! { ":since": since, ":before": before, ":name": filter.name, ":limit": limit };
    conn.prepare_cached(&sql)?.query_map(params, history_row)?.collect()
}

pub(super) fn row(conn: &Connection, run: RunId) -> rusqlite::Result<Option<HistoryRow>> {
    conn.prepare_cached(concat!("SELECT ", history_columns!(), " FROM runs r WHERE r.id = ?1"))?.query_row([run.0], history_row).optional()
}

pub(super) fn attempts(conn: &Connection, run: RunId) -> rusqlite::Result<Vec<AttemptRow>> {
    let attempt = |row: &Row<'_>| {
        Ok(AttemptRow {
            run,
            attempt: row.get("attempt")?,
            started_at: instant(row, "started_at_ms")?,
            ended_at: maybe_instant(row, "ended_at_ms")?,
            outcome: outcome(row)?,
            text: row.get("text")?,
        })
    };
    conn.prepare_cached("SELECT attempt, started_at_ms, ended_at_ms, outcome, text FROM attempts WHERE run = ?1 ORDER BY attempt")?
        .query_map([run.0], attempt)?
        .collect()
}

pub(super) fn last_ends(conn: &Connection) -> rusqlite::Result<Vec<HistoryRow>> {
    let sql = concat!(
        "SELECT ",
        history_columns!(),
        " FROM instances i JOIN runs r ON r.id = (SELECT id FROM runs INDEXED BY runs_instance
             WHERE instance = i.name AND dry = 0 AND state IN ('ended', 'skipped') ORDER BY id DESC LIMIT 1)
         ORDER BY i.name"
    );
    conn.prepare_cached(sql)?.query_map([], history_row)?.collect()
}

/// A finished dry run.
#[derive(Debug)]
pub(super) struct DryRow<'a> {
    pub(super) instance: &'a InstanceName,
    pub(super) end: RunEnd,
    pub(super) text: Option<&'a str>,
    pub(super) started_at: i64,
    pub(super) at: i64,
}

pub(super) fn record_dry(conn: &Connection, dry: &DryRow<'_>) -> rusqlite::Result<RunId> {
    instances::know(conn, dry.instance, dry.at)?;
    conn.prepare_cached(
        "INSERT INTO runs (instance, fire_at_ms, trigger, dry, state, attempts, run_end, started_at_ms, ended_at_ms, text)
         VALUES (?1, ?2, 'manual', 1, 'ended', 1, ?3, ?2, ?4, ?5) RETURNING id",
    )?
    .query_row(params![dry.instance.as_str(), dry.started_at, dry.end.word(), dry.at, dry.text], |row| row.get(0))
    .map(RunId)
}
