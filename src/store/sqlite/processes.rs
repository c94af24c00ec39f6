//! Processes and the child process groups that may outlive them.
use rusqlite::{Connection, Row, params};

use super::rows::{instant, json, open};
use crate::{
    core::task::{ProcessId, RunId},
    store::{ChildGroup, ProcessRow},
};

pub(super) fn register(conn: &Connection, pid: u32, once: bool, record: &str, at: i64) -> rusqlite::Result<ProcessId> {
    conn.prepare_cached("INSERT INTO processes (pid, once, record, started_at_ms) VALUES (?1, ?2, ?3, ?4) RETURNING id")?
        .query_row(params![pid, once, record, at], |row| row.get(0))
        .map(ProcessId)
}

pub(super) fn retire(conn: &Connection, process: ProcessId) -> rusqlite::Result<()> {
    let open_runs = concat!("SELECT EXISTS (SELECT 1 FROM runs WHERE process = ?1 AND ", open!(), ")");
    if conn.prepare_cached(open_runs)?.query_row([process.0], |row| row.get(0))? {
        return Ok(());
    }
    // What is left are runs that somebody else closed and that this process never heard of.
    conn.prepare_cached("UPDATE runs SET process = NULL WHERE process = ?1")?.execute([process.0])?;
    conn.prepare_cached("DELETE FROM processes WHERE id = ?1")?.execute([process.0])?;
    Ok(())
}

pub(super) fn all(conn: &Connection) -> rusqlite::Result<Vec<ProcessRow>> {
    conn.prepare_cached("SELECT id, pid, once, record, started_at_ms FROM processes ORDER BY id")?
        .query_map([], |row| {
            Ok(ProcessRow {
                id: ProcessId(row.get("id")?),
                pid: row.get("pid")?,
                once: row.get("once")?,
                record: row.get("record")?,
                started_at: instant(row, "started_at_ms")?,
            })
        })?
        .collect()
}

pub(super) fn record_child(conn: &Connection, child: &ChildGroup) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO children (run, pgid, start_time, boot_id, process) SELECT id, ?2, ?3, ?4, process FROM runs WHERE id = ?1",
    )?
    .execute(params![child.run.0, child.pgid, child.start_time.cast_signed(), child.boot_id])?;
    Ok(())
}

pub(super) fn forget_children(conn: &Connection, run: RunId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM children WHERE run = ?1")?.execute([run.0])?;
    Ok(())
}

pub(super) fn children(conn: &Connection, processes: &[ProcessId], runs: &[RunId]) -> rusqlite::Result<Vec<ChildGroup>> {
    conn.prepare_cached(
        "SELECT run, pgid, start_time, boot_id FROM children
         WHERE process IN (SELECT value FROM json_each(?1)) OR run IN (SELECT value FROM json_each(?2)) ORDER BY run, pgid",
    )?
    .query_map(params![json(processes.iter().map(|id| id.0)), json(runs.iter().map(|id| id.0))], child)?
    .collect()
}

fn child(row: &Row<'_>) -> rusqlite::Result<ChildGroup> {
    let start_time: i64 = row.get("start_time")?;
    Ok(ChildGroup {
        run: RunId(row.get("run")?),
        pgid: row.get("pgid")?,
        start_time: start_time.cast_unsigned(),
        boot_id: row.get("boot_id")?,
    })
}
