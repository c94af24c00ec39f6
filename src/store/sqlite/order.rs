//! What others need of a run's end, and what its success starts.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{instance, instant, word};
use crate::{
    core::{
        event::RunEnd,
        order::{FollowUp, FollowUpId, LastRun},
        task::{InstanceName, RunId},
    },
    store::FOLLOW_UPS_MAX,
};

/// The last run of each that had an end of its own.
pub(super) fn last_runs<'a>(conn: &Connection, names: impl IntoIterator<Item = &'a InstanceName>) -> rusqlite::Result<Vec<LastRun>> {
    newest(
        conn,
        "SELECT id, instance, run_end, ended_at_ms FROM runs INDEXED BY runs_own_end
         WHERE instance = ?1 AND run_end IS NOT NULL AND run_end <> 'superseded' AND dry = 0 ORDER BY id DESC LIMIT 1",
        names,
    )
}

/// The last run of each that succeeded.
pub(super) fn last_successes<'a>(conn: &Connection, names: impl IntoIterator<Item = &'a InstanceName>) -> rusqlite::Result<Vec<LastRun>> {
    newest(
        conn,
        "SELECT id, instance, run_end, ended_at_ms FROM runs INDEXED BY runs_own_end
         WHERE instance = ?1 AND run_end IS NOT NULL AND run_end <> 'superseded' AND dry = 0 AND run_end = 'succeeded'
         ORDER BY id DESC LIMIT 1",
        names,
    )
}

fn newest<'a>(conn: &Connection, sql: &str, names: impl IntoIterator<Item = &'a InstanceName>) -> rusqlite::Result<Vec<LastRun>> {
    let mut newest = conn.prepare_cached(sql)?;
    let mut last = Vec::new();
    for name in names {
        last.extend(newest.query_row([name.as_str()], last_run).optional()?);
    }
    Ok(last)
}

fn last_run(row: &Row<'_>) -> rusqlite::Result<LastRun> {
    Ok(LastRun {
        instance: instance(row)?,
        run: RunId(row.get("id")?),
        end: word(row, "run_end", RunEnd::from_word)?,
        ended_at: instant(row, "ended_at_ms")?,
    })
}

/// Writes down the fires that a success asks for.
pub(super) fn ask(conn: &Connection, cause: RunId, instances: &[InstanceName], at: i64) -> rusqlite::Result<()> {
    for instance in instances {
        conn.prepare_cached("INSERT OR IGNORE INTO follow_ups (instance, cause, at_ms) VALUES (?1, ?2, ?3)")?.execute(params![
            instance.as_str(),
            cause.0,
            at
        ])?;
    }
    Ok(())
}

/// Takes a follow-up, as it has its answer, and gives its cause. `None`: it had one before.
pub(super) fn take(conn: &Connection, id: FollowUpId) -> rusqlite::Result<Option<RunId>> {
    conn.prepare_cached("DELETE FROM follow_ups WHERE id = ?1 RETURNING cause")?
        .query_row([id.0], |row| row.get(0))
        .optional()
        .map(|cause| cause.map(RunId))
}

/// Whether a follow-up still waits for its answer.
pub(super) fn waits(conn: &Connection, id: FollowUpId) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM follow_ups WHERE id = ?1)")?.query_row([id.0], |row| row.get(0))
}

/// The oldest follow-ups that wait for their answers.
pub(super) fn waiting(conn: &Connection) -> rusqlite::Result<Vec<FollowUp>> {
    let follow_up = |row: &Row<'_>| {
        let at: Timestamp = instant(row, "at_ms")?;
        Ok(FollowUp { id: FollowUpId(row.get("id")?), instance: instance(row)?, cause: RunId(row.get("cause")?), at })
    };
    conn.prepare_cached("SELECT id, instance, cause, at_ms FROM follow_ups ORDER BY id LIMIT ?1")?
        .query_map([i64::try_from(FOLLOW_UPS_MAX).unwrap_or(i64::MAX)], follow_up)?
        .collect()
}
