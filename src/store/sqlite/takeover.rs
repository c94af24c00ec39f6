//! Runs that change hands: taken over from a process that hangs, or orphaned by one that is gone.
use rusqlite::{Connection, Row, params};

use super::{
    instances::{next_generation, raise_floor},
    rows::{OpenRow, instance, instant, json, maybe_instant, not_yet, open, open_row, stop, trigger, waits},
    runs::{Ending, end_attempt, end_run, free_locks, set_floor},
};
use crate::core::{
    event::{AdoptAnswer, LeftRun, NotYet, OutcomeKind, Rival, RunEnd},
    task::{Generation, Instance, LockName, Overlap, ProcessId, RunId},
};

pub(super) fn take_over(conn: &Connection, run: RunId, rivals: &[RunId], at: i64) -> rusqlite::Result<()> {
    let Some(OpenRow { generation: Some(generation), instance, process, .. }) = open_row(conn, run)? else { return Ok(()) };
    set_floor(conn, &instance, generation)?;
    for rival in rivals {
        let Some(rival) = open_row(conn, *rival)? else { continue };
        if rival.instance == instance && rival.generation < Some(generation) {
            end_run(conn, &rival, &Ending::lost(&rival, RunEnd::Superseded, Some(run), process, at))?;
        }
    }
    Ok(())
}

pub(super) fn still_open(conn: &Connection, runs: &[RunId]) -> rusqlite::Result<Vec<(RunId, Option<ProcessId>)>> {
    conn.prepare_cached(concat!(
        "SELECT id, process FROM runs WHERE id IN (SELECT value FROM json_each(?1)) AND ",
        open!(),
        " ORDER BY id"
    ))?
    .query_map([json(runs.iter().map(|run| run.0))], |row| {
        Ok((RunId(row.get("id")?), row.get::<_, Option<i64>>("process")?.map(ProcessId)))
    })?
    .collect()
}

pub(super) fn leftover(conn: &Connection, dead: &[ProcessId], set_aside: bool) -> rusqlite::Result<Vec<LeftRun>> {
    let dead = json(dead.iter().map(|process| process.0));
    conn.prepare_cached("UPDATE processes SET dead = 1 WHERE id IN (SELECT value FROM json_each(?1))")?.execute([&dead])?;
    let sql = concat!(
        "SELECT r.id, r.instance, r.fire_at_ms, r.trigger, r.process, coalesce(p.once, 0) AS once, r.generation, r.attempts,
           r.state = 'running' AS running, r.stop, r.stop_by, r.started_at_ms, r.text, ",
        waits!(),
        " AS waits, iif(",
        not_yet!(),
        ", r.retry_at_ms, NULL) AS until_ms,
           (SELECT group_concat(name) FROM (SELECT name FROM locks WHERE run = r.id ORDER BY name)) AS locks
         FROM runs r INDEXED BY runs_open LEFT JOIN processes p ON p.id = r.process
         WHERE r.",
        open!(),
        " AND (r.process IN (SELECT value FROM json_each(?1)) OR (?2 AND r.process IS NULL)) ORDER BY r.id"
    );
    conn.prepare_cached(sql)?.query_map(params![dead, set_aside], left_run)?.collect()
}

fn left_run(row: &Row<'_>) -> rusqlite::Result<LeftRun> {
    let why = row.get::<_, Option<Box<str>>>("text")?.unwrap_or_default();
    Ok(LeftRun {
        run: RunId(row.get("id")?),
        instance: instance(row)?,
        fire_at: instant(row, "fire_at_ms")?,
        trigger: trigger(row)?,
        process: row.get::<_, Option<i64>>("process")?.map(ProcessId),
        once: row.get("once")?,
        generation: row.get::<_, Option<i64>>("generation")?.map(Generation),
        attempts: row.get("attempts")?,
        waits: row.get("waits")?,
        not_yet: maybe_instant(row, "until_ms")?.map(|until| NotYet { until, why: why.into() }),
        running: row.get("running")?,
        stop: stop(row)?,
        started_at: maybe_instant(row, "started_at_ms")?,
        // No name has a comma in it.
        locks: row.get::<_, Option<Box<str>>>("locks")?.map(|locks| locks.split(',').map(LockName::from).collect()).unwrap_or_default(),
    })
}

pub(super) fn adopt(
    conn: &Connection,
    run: RunId,
    process: ProcessId,
    task: &Instance,
    lost: bool,
    at: i64,
) -> rusqlite::Result<AdoptAnswer> {
    let Some(row @ OpenRow { orphan: true, generation: Some(before), .. }) = open_row(conn, run)? else { return Ok(AdoptAnswer::Gone) };
    if lost {
        end_attempt(conn, run, OutcomeKind::Lost, None, at)?;
    }
    if !take_locks(conn, &row, task)? {
        free_locks(conn, run)?;
        conn.prepare_cached(
            "UPDATE runs SET state = 'waiting', process = ?2, generation = NULL, retry_at_ms = NULL, stop = nullif(stop, 'shutdown') WHERE id = ?1",
        )?
        .execute(params![run.0, process.0])?;
        return Ok(AdoptAnswer::LockWait);
    }
    let rivals = older_runs(conn, &row, before)?;
    let generation = next_generation(conn, &row.instance)?;
    conn.prepare_cached(concat!(
        "UPDATE runs AS r SET state = iif(",
        not_yet!(),
        ", state, 'waiting'), retry_at_ms = iif(",
        not_yet!(),
        ", retry_at_ms, NULL), process = ?2, generation = ?3, stop = nullif(stop, 'shutdown') WHERE id = ?1",
    ))?
    .execute(params![run.0, process.0, generation])?;
    raise_floor(conn, &row.instance, generation)?;
    Ok(AdoptAnswer::Adopted { generation: Generation(generation), rivals })
}

/// Takes what named locks of its definition the run does not have; false where somebody else has one.
fn take_locks(conn: &Connection, row: &OpenRow, task: &Instance) -> rusqlite::Result<bool> {
    let others_wait = task.overlap != Overlap::Allow;
    for lock in &task.locks {
        let busy: bool = conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM locks l JOIN runs r ON r.id = l.run WHERE l.name = ?1 AND l.run <> ?2
                   AND NOT (?4 AND r.instance = ?3 AND r.state = 'waiting' AND r.attempts = 0))
                 AND NOT EXISTS (SELECT 1 FROM locks WHERE name = ?1 AND run = ?2)",
            )?
            .query_row(params![lock.as_str(), row.run.0, row.instance.as_str(), others_wait], |row| row.get(0))?;
        if busy {
            return Ok(false);
        }
        conn.prepare_cached("INSERT OR IGNORE INTO locks (name, run) VALUES (?1, ?2)")?.execute(params![lock.as_str(), row.run.0])?;
    }
    Ok(true)
}

/// The open runs of the instance that a run waits for.
fn older_runs(conn: &Connection, row: &OpenRow, generation: Generation) -> rusqlite::Result<Vec<Rival>> {
    let rival = |row: &Row<'_>| {
        Ok(Rival { run: RunId(row.get("id")?), process: row.get::<_, Option<i64>>("process")?.map(ProcessId), told: row.get("told")? })
    };
    conn.prepare_cached(concat!(
        "SELECT id, process, stop IS 'superseded' AND stop_by IS ?3 AS told FROM runs WHERE instance = ?1 AND generation < ?2 AND ",
        open!(),
        " ORDER BY id"
    ))?
    .query_map(params![row.instance.as_str(), generation.0, row.run.0], rival)?
    .collect()
}

pub(super) fn close_orphan(conn: &Connection, run: RunId, end: RunEnd, by: Option<RunId>, at: i64) -> rusqlite::Result<()> {
    let Some(row @ OpenRow { orphan: true, .. }) = open_row(conn, run)? else { return Ok(()) };
    end_run(conn, &row, &Ending::lost(&row, end, by, None, at))?;
    match row.generation {
        Some(generation) => raise_floor(conn, &row.instance, generation.0.saturating_add(1)),
        None => Ok(()),
    }
}
