//! What is remembered of instances between processes, and the pauses that people set.
use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::rows::{instant, maybe_instant};
use crate::{
    core::{event::Mark, task::InstanceName},
    store::{InstanceSeen, Pause},
};

pub(super) fn register(conn: &Connection, seen: &[InstanceSeen], all: bool, at: i64) -> rusqlite::Result<Vec<Mark>> {
    let mut upsert = conn.prepare_cached(
        "INSERT INTO instances (name, schedule, first_seen_ms, watermark_ms) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (name) DO UPDATE SET
           watermark_ms = iif(absent OR schedule IS NOT excluded.schedule, max(coalesce(watermark_ms, ?3), ?3), watermark_ms),
           schedule = excluded.schedule,
           absent = 0
         RETURNING watermark_ms, coalesce(last_end_ms, first_seen_ms) AS last_end_ms",
    )?;
    let mut marks = Vec::with_capacity(seen.len());
    for seen in seen {
        marks.push(upsert.query_row(params![seen.name.as_str(), seen.schedule, at], |row| {
            let (watermark, last_end) = (instant(row, "watermark_ms")?, instant(row, "last_end_ms")?);
            Ok(Mark { instance: seen.name.clone(), watermark, last_end })
        })?);
    }
    if all {
        let names = seen.iter().map(|seen| seen.name.as_str()).collect::<serde_json::Value>().to_string();
        conn.prepare_cached("UPDATE instances SET absent = 1 WHERE absent = 0 AND name NOT IN (SELECT value FROM json_each(?1))")?
            .execute([names])?;
    }
    Ok(marks)
}

/// Makes sure that the instance has a row: a start by hand may name one that was never registered.
pub(super) fn know(conn: &Connection, name: &InstanceName, at: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT OR IGNORE INTO instances (name, first_seen_ms) VALUES (?1, ?2)")?.execute(params![name.as_str(), at])?;
    Ok(())
}

pub(super) fn raise_watermark(conn: &Connection, name: &InstanceName, to: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE instances SET watermark_ms = max(coalesce(watermark_ms, ?2), ?2) WHERE name = ?1")?
        .execute(params![name.as_str(), to])?;
    Ok(())
}

pub(super) fn lower_watermarks(conn: &Connection, to: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE instances SET watermark_ms = min(watermark_ms, ?1), last_end_ms = min(last_end_ms, ?1), first_seen_ms = min(first_seen_ms, ?1)
         WHERE ?1 < max(coalesce(watermark_ms, ?1), coalesce(last_end_ms, ?1), first_seen_ms)",
    )?
    .execute([to])?;
    Ok(())
}

/// Raises the floor, but not above an open run's generation: a run whose own row is closed or has a newer generation is shut out without it.
pub(super) fn raise_floor(conn: &Connection, name: &InstanceName, to: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(concat!(
        "UPDATE instances SET floor = max(floor, min(?2, coalesce((SELECT min(generation) FROM runs WHERE instance = ?1 AND ",
        super::rows::open!(),
        "), ?2))) WHERE name = ?1"
    ))?
    .execute(params![name.as_str(), to])?;
    Ok(())
}

/// The next generation of the instance; it is taken by the call.
pub(super) fn next_generation(conn: &Connection, name: &InstanceName) -> rusqlite::Result<i64> {
    conn.prepare_cached("UPDATE instances SET generation = generation + 1 WHERE name = ?1 RETURNING generation")?
        .query_row([name.as_str()], |row| row.get(0))
}

pub(super) fn pause(conn: &Connection, pause: &Pause) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO pauses (name, until_ms, reason, since_ms) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        pause.name,
        pause.until.map(Timestamp::as_millisecond),
        pause.reason,
        pause.since.as_millisecond()
    ])?;
    Ok(())
}

pub(super) fn resume(conn: &Connection, name: &str) -> rusqlite::Result<bool> {
    Ok(conn.prepare_cached("DELETE FROM pauses WHERE name = ?1")?.execute([name])? > 0)
}

pub(super) fn pauses(conn: &Connection) -> rusqlite::Result<Vec<Pause>> {
    conn.prepare_cached("SELECT name, until_ms, reason, since_ms FROM pauses ORDER BY name")?
        .query_map([], |row| {
            let (until, since) = (maybe_instant(row, "until_ms")?, instant(row, "since_ms")?);
            Ok(Pause { name: row.get("name")?, until, reason: row.get("reason")?, since })
        })?
        .collect()
}
