//! Housekeeping of the file: pruning, checkpoints, copies.
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Row, params};

use super::{SqliteStore, db::failed, disk};
use crate::store::{
    Answer, StoreError,
    upkeep::{Old, PRUNE_PORTION, Pruned, Upkeep},
};

impl Upkeep for SqliteStore {
    fn prune(&self, what: Old, before: Timestamp, from: i64, dry: bool) -> Answer<Pruned> {
        let before = before.as_millisecond();
        if dry {
            self.db.read("count old rows", move |conn| prune(conn, what, before, from, true))
        } else {
            self.db.write("remove old rows", move |conn| prune(conn, what, before, from, false))
        }
    }

    fn instance_names(&self) -> Answer<Vec<String>> {
        self.db.read("read the instances' names", |conn| {
            conn.prepare_cached("SELECT name FROM instances")?.query_map([], |row| row.get(0))?.collect()
        })
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

/// A table, its column that says when a row began, and which of its rows from ?1 to ?2 are over since before ?3. Ids follow the time.
fn rule(what: Old) -> (&'static str, &'static str, &'static str) {
    match what {
        // Others may need its newest end.
        Old::History => (
            "runs",
            "fire_at_ms",
            "state IN ('ended', 'skipped') AND ended_at_ms < ?3
             AND id < (SELECT max(id) FROM runs newer INDEXED BY runs_instance WHERE newer.instance = runs.instance AND newer.dry = 0)
             AND id IS NOT (SELECT max(id) FROM runs own INDEXED BY runs_own_end WHERE own.instance = runs.instance
               AND own.run_end IS NOT NULL AND own.run_end <> 'superseded' AND own.dry = 0)",
        ),
        Old::Work => (
            "queue",
            "created_at_ms",
            "state IN ('success', 'cancelled') AND ended_at_ms < ?3
             AND id < (SELECT max(id) FROM queue newer INDEXED BY queue_subject WHERE newer.subject = queue.subject AND newer.kind = queue.kind
                         AND newer.platform = queue.platform AND newer.account = queue.account)
             AND NOT EXISTS (SELECT 1 FROM queue_steps s WHERE s.item = queue.id AND s.step = 'create' AND s.done_at_ms IS NULL)",
        ),
        Old::DeadLetters => (
            "queue",
            "created_at_ms",
            "state = 'failed' AND ended_at_ms < ?3
             AND NOT EXISTS (SELECT 1 FROM queue_steps s WHERE s.item = queue.id AND s.step = 'create' AND s.done_at_ms IS NULL)",
        ),
        Old::Prices => (
            "price_history",
            "at_ms",
            "at_ms < ?3 AND id < (SELECT max(id) FROM price_history newer INDEXED BY price_history_asin WHERE newer.asin = price_history.asin
                                    AND newer.platform = price_history.platform AND newer.account = price_history.account)",
        ),
        Old::Costs => (
            "cost_history",
            "at_ms",
            "at_ms < ?3 AND id < (SELECT max(id) FROM cost_history newer INDEXED BY cost_history_asin WHERE newer.asin = cost_history.asin)",
        ),
    }
}

fn prune(conn: &Connection, what: Old, before: i64, from: i64, dry: bool) -> rusqlite::Result<Pruned> {
    let (table, began, is_over) = rule(what);
    let portion =
        format!("SELECT max(id), count(*), min({began}) < ?3 FROM (SELECT id, {began} FROM {table} WHERE id >= ?1 ORDER BY id LIMIT ?2)");
    let (last, looked_at, is_old): (Option<i64>, i64, Option<bool>) = conn
        .prepare_cached(&portion)?
        .query_row(params![from, PRUNE_PORTION, before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let Some(last) = last else { return Ok(Pruned::default()) };
    let old = format!("FROM {table} WHERE id BETWEEN ?1 AND ?2 AND {is_over}");
    let rows = if dry {
        let count = |row: &Row<'_>| row.get::<_, i64>(0);
        u64::try_from(conn.prepare_cached(&format!("SELECT count(*) {old}"))?.query_row(params![from, last, before], count)?)
    } else {
        u64::try_from(conn.prepare_cached(&format!("DELETE {old}"))?.execute(params![from, last, before])?)
    };
    let rows = rows.unwrap_or(0);
    // A full portion without anything old is followed by nothing old.
    let more = looked_at == PRUNE_PORTION && is_old == Some(true);
    Ok(Pruned { rows, next: more.then_some(last.saturating_add(1)) })
}

/// Whether a file is a whole store of ours, and none from the future. What keeps it from being read is not called damage.
pub(super) fn verify(path: &Path) -> Result<(), StoreError> {
    let failed = |error| failed(path, "read the whole store", error);
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    let detail: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if detail == "ok" { Ok(()) } else { Err(StoreError::Damaged { path: path.to_owned(), detail }) }
}
