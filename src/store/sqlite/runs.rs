//! The life of a run after it was judged: attempts, stop requests, its end.
use rusqlite::{Connection, params};

use super::{
    instances::raise_floor,
    notices, order,
    rows::{OpenRow, not_yet, open, own_row, stop, stop_columns},
};
use crate::{
    core::{
        event::{CloseAnswer, Outcome, OutcomeKind, RunEnd, StartAnswer, StopReason},
        task::{Generation, InstanceName, ProcessId, RunId},
    },
    store::{CloseRequest, PostponeRequest},
};

pub(super) fn start(
    conn: &Connection,
    process: ProcessId,
    run: RunId,
    attempt: u32,
    shut_out: bool,
    at: i64,
) -> rusqlite::Result<StartAnswer> {
    let Some(OpenRow { generation: Some(generation), instance, stop, .. }) = own_row(conn, process, run)? else {
        return Ok(StartAnswer::Fenced);
    };
    if let Some(reason) = stop {
        return Ok(StartAnswer::Stop(reason));
    }
    conn.prepare_cached(
        "UPDATE runs SET state = 'running', attempts = ?2, started_at_ms = coalesce(started_at_ms, ?3), retry_at_ms = NULL WHERE id = ?1",
    )?
    .execute(params![run.0, attempt, at])?;
    // An attempt that did not count (its process stopped in order) is begun again under its number.
    conn.prepare_cached("INSERT OR REPLACE INTO attempts (run, attempt, started_at_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![run.0, attempt, at])?;
    if shut_out {
        set_floor(conn, &instance, generation)?;
    }
    Ok(StartAnswer::Started)
}

/// Shuts out everything older than the generation.
pub(super) fn set_floor(conn: &Connection, instance: &InstanceName, generation: Generation) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE instances SET floor = max(floor, ?2) WHERE name = ?1")?
        .execute(params![instance.as_str(), generation.0])?;
    Ok(())
}

pub(super) fn postpone(conn: &Connection, request: &PostponeRequest, at: i64) -> rusqlite::Result<()> {
    let PostponeRequest { run, process, attempt, ref outcome, retry_at } = *request;
    let Some(OpenRow { running: true, attempts, .. }) = own_row(conn, process, run)? else { return Ok(()) };
    if attempts != attempt {
        return Ok(());
    }
    conn.prepare_cached("UPDATE runs SET state = 'backoff', retry_at_ms = ?2, text = ?3 WHERE id = ?1")?.execute(params![
        run.0,
        retry_at.as_millisecond(),
        outcome.text()
    ])?;
    end_attempt(conn, run, outcome.kind(), outcome.text(), at)
}

/// Ends the run's attempt, if one runs.
pub(super) fn end_attempt(conn: &Connection, run: RunId, outcome: OutcomeKind, text: Option<&str>, at: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE attempts SET outcome = ?2, text = ?3, ended_at_ms = ?4 WHERE run = ?1 AND outcome IS NULL")?
        .execute(params![run.0, outcome.word(), text, at])?;
    Ok(())
}

pub(super) fn close(conn: &Connection, request: &CloseRequest, at: i64) -> rusqlite::Result<CloseAnswer> {
    let Some(row) = own_row(conn, request.process, request.run)? else {
        // By this it has heard that somebody else closed the run.
        conn.prepare_cached(concat!("UPDATE runs SET process = NULL WHERE id = ?1 AND process = ?2 AND NOT ", open!()))?
            .execute(params![request.run.0, request.process.0])?;
        return Ok(CloseAnswer::Fenced);
    };
    let ending = Ending { end: request.end, by: request.by, outcome: request.outcome.as_ref(), closer: Some(request.process), at };
    let superseded_in_row = end_run(conn, &row, &ending)?;
    order::ask(conn, request.run, &request.follow_ups, at)?;
    if let Some(generation) = row.generation.filter(|_| request.raise_floor) {
        raise_floor(conn, &row.instance, generation.0.saturating_add(1))?;
    }
    Ok(CloseAnswer::Closed { superseded_in_row })
}

/// How a run ends.
pub(super) struct Ending<'a> {
    pub(super) end: RunEnd,
    pub(super) by: Option<RunId>,
    /// How its last attempt ended.
    pub(super) outcome: Option<&'a Outcome>,
    /// Who ends it. The process that has it and is not asked will be told; `None`: there is none.
    pub(super) closer: Option<ProcessId>,
    pub(super) at: i64,
}

impl Ending<'_> {
    /// The run's process cannot be asked: what its attempt did is unknown.
    pub(super) fn lost(row: &OpenRow, end: RunEnd, by: Option<RunId>, closer: Option<ProcessId>, at: i64) -> Self {
        Self { end, by, outcome: row.running.then_some(&Outcome::Lost), closer, at }
    }
}

/// Ends a run, its attempt and its claims on named locks. Gives how many runs of the instance in a row were superseded.
pub(super) fn end_run(conn: &Connection, row: &OpenRow, ending: &Ending<'_>) -> rusqlite::Result<u32> {
    let text = ending.outcome.and_then(Outcome::text);
    let told = row.process.filter(|process| ending.closer.is_some_and(|closer| closer != *process));
    conn.prepare_cached(
        "UPDATE runs SET state = 'ended', run_end = ?2, superseded_by = ?3, ended_at_ms = ?4, retry_at_ms = NULL, process = ?5,
           text = iif(?6, ?7, text) WHERE id = ?1",
    )?
    .execute(params![
        row.run.0,
        ending.end.word(),
        ending.by.map(|by| by.0),
        ending.at,
        told.map(|process| process.0),
        ending.outcome.is_some(),
        text
    ])?;
    end_attempt(conn, row.run, ending.outcome.map_or(OutcomeKind::Cancelled, Outcome::kind), text, ending.at)?;
    free_locks(conn, row.run)?;
    let superseded_in_row = conn
        .prepare_cached(
            "UPDATE instances SET last_end_ms = ?2, superseded_in_row = iif(?3, superseded_in_row + 1, 0) WHERE name = ?1
             RETURNING superseded_in_row",
        )?
        .query_row(params![row.instance.as_str(), ending.at, ending.end == RunEnd::Superseded], |row| row.get(0))?;
    notices::tell_end(conn, row, ending, superseded_in_row)?;
    Ok(superseded_in_row)
}

/// Ends the run's claims on named locks.
pub(super) fn free_locks(conn: &Connection, run: RunId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM locks WHERE run = ?1")?.execute([run.0])?;
    Ok(())
}

pub(super) fn set_aside(conn: &Connection, process: ProcessId, run: RunId, frees_locks: bool, at: i64) -> rusqlite::Result<()> {
    let Some(row) = own_row(conn, process, run)? else { return Ok(()) };
    if frees_locks {
        free_locks(conn, run)?;
    }
    end_attempt(conn, run, OutcomeKind::Cancelled, None, at)?;
    let attempts = row.attempts.saturating_sub(u32::from(row.running));
    // A run without an attempt has not begun, and its deadline does not count from here.
    conn.prepare_cached(concat!(
        "UPDATE runs AS r SET state = iif(",
        not_yet!(),
        ", state, 'waiting'), retry_at_ms = iif(",
        not_yet!(),
        ", retry_at_ms, NULL), process = NULL, attempts = ?2, started_at_ms = iif(?2 > 0, started_at_ms, NULL),
           stop = nullif(stop, 'shutdown') WHERE id = ?1",
    ))?
    .execute(params![run.0, attempts])?;
    Ok(())
}

pub(super) fn ask_stop(conn: &Connection, run: RunId, reason: StopReason) -> rusqlite::Result<bool> {
    let (stop, by) = stop_columns(reason);
    // The first reason counts, but a shutdown would leave the run open.
    let asked = concat!(
        "UPDATE runs SET stop_by = iif(stop IS NULL OR stop = 'shutdown', ?3, stop_by), stop = iif(stop IS NULL OR stop = 'shutdown', ?2, stop)
         WHERE id = ?1 AND ",
        open!()
    );
    Ok(conn.prepare_cached(asked)?.execute(params![run.0, stop, by])? > 0)
}

pub(super) fn stop_requests(conn: &Connection, process: ProcessId) -> rusqlite::Result<Vec<(RunId, Option<StopReason>)>> {
    conn.prepare_cached(concat!(
        "SELECT id, iif(",
        open!(),
        ", stop, NULL) AS stop, stop_by FROM runs
         WHERE process = ?1 AND (stop IS NOT NULL OR NOT ",
        open!(),
        ") ORDER BY id"
    ))?
    .query_map([process.0], |row| Ok((RunId(row.get("id")?), stop(row)?)))?
    .collect()
}
