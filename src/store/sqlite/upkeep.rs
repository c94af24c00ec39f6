//! Housekeeping of the file: pruning, checkpoints, copies.
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Row, params};

use super::{SqliteStore, disk};
use crate::store::{
    Answer, StoreError,
    upkeep::{PRUNE_PORTION, Pruned, Upkeep},
};

impl Upkeep for SqliteStore {
    fn prune_history(&self, before: Timestamp, from: i64, dry: bool) -> Answer<Pruned> {
        let before = before.as_millisecond();
        if dry {
            self.db.read("count old history", move |conn| prune(conn, before, from, true))
        } else {
            self.db.write("remove old history", move |conn| prune(conn, before, from, false))
        }
    }

    fn checkpoint(&self) -> Answer<()> {
        self.db.apart("bring the log into the database", |conn| conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())))
    }

    fn copy(&self, into: PathBuf) -> Answer<()> {
        const STEP: &str = "copy the store";
        let db = self.db.clone();
        let copy = move || {
            disk::create_private(&into).map_err(|source| StoreError::Failed { step: STEP, source: source.into() })?;
            db.copy_to(STEP, &into)?;
            verify(&into)
        };
        Box::pin(async move { tokio::task::spawn_blocking(copy).await.unwrap_or(Err(StoreError::Closed)) })
    }
}

fn prune(conn: &Connection, before: i64, from: i64, dry: bool) -> rusqlite::Result<Pruned> {
    let (last, looked_at, is_old): (Option<i64>, i64, Option<bool>) = conn
        .prepare_cached(
            "SELECT max(id), count(*), min(fire_at_ms) < ?3 FROM (SELECT id, fire_at_ms FROM runs WHERE id >= ?1 ORDER BY id LIMIT ?2)",
        )?
        .query_row(params![from, PRUNE_PORTION, before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let Some(last) = last else { return Ok(Pruned::default()) };
    // Each instance keeps its newest row, and its newest end: others may need it.
    let old = "id BETWEEN ?1 AND ?2 AND state IN ('ended', 'skipped') AND ended_at_ms < ?3
       AND id < (SELECT max(id) FROM runs newer INDEXED BY runs_instance WHERE newer.instance = runs.instance AND newer.dry = 0)
       AND id IS NOT (SELECT max(id) FROM runs own INDEXED BY runs_own_end WHERE own.instance = runs.instance
         AND own.run_end IS NOT NULL AND own.run_end <> 'superseded' AND own.dry = 0)";
    let rows = if dry {
        let count = |row: &Row<'_>| row.get::<_, i64>(0);
        u64::try_from(
            conn.prepare_cached(&["SELECT count(*) FROM runs WHERE ", old].concat())?.query_row(params![from, last, before], count)?,
        )
    } else {
        u64::try_from(conn.prepare_cached(&["DELETE FROM runs WHERE ", old].concat())?.execute(params![from, last, before])?)
    };
    let rows = rows.unwrap_or(0);
    // Ids follow the time: a full portion without anything old is followed by nothing old.
    let more = looked_at == PRUNE_PORTION && is_old == Some(true);
    Ok(Pruned { rows, next: more.then_some(last.saturating_add(1)) })
}

/// Whether a file is a whole store of ours, and none from the future.
pub(super) fn verify(path: &Path) -> Result<(), StoreError> {
    let damaged = |detail: String| StoreError::Damaged { path: path.to_owned(), detail };
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| damaged(error.to_string()))?;
    let detail: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(|error| damaged(error.to_string()))?;
    if detail == "ok" { Ok(()) } else { Err(damaged(detail)) }
}
