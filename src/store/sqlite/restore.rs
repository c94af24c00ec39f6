//! A copy in place of the store. What must not go back in time is taken along: tokens that were rotated since, quotas, fire times, numbers.
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::{
    db::{Db, failed},
    disk,
    migrate::{self, Fault},
    upkeep::verify,
};
use crate::store::{StoreError, StoreResult};

/// What became of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where the store that was there lies now; `None`: there was none.
    pub before: Option<PathBuf>,
    /// Whether it could be read, and what must not go back in time was taken along.
    pub took_along: bool,
}

/// Puts an unpacked copy in place of the store at `path`. Nobody may have either of them open. The copy is used up.
///
/// # Errors
/// When the copy is damaged, not ours or from a newer version, or a file can't be moved. The store is as it was then.
pub fn restore(copy: &Path, path: &Path, at: Timestamp) -> StoreResult<Restored> {
    let not_restored = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Failed { step: "restore a copy", source };
    verify(copy)?;
    // Both are brought to the newest schema, and what was written lately is in the files themselves.
    drop(Db::open(copy)?);
    let exists = path.exists();
    let current = exists.then(|| Db::open(path).map(drop));
    let took_along = matches!(current, Some(Ok(())));
    adapt(copy, took_along.then_some(path), at).map_err(|error| not_restored(error.into()))?;
    let moved = |from: &Path, to: &Path| match crate::os::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(|error| not_restored(error.into())),
    };
    let before = vacant(path, at);
    // The files beside it first: with another database in their place they would damage it.
    for suffix in ["-wal", "-shm"] {
        moved(&disk::beside(path, suffix), &disk::beside(&before, suffix))?;
    }
    // A second name, and then the copy takes the first one: whoever is killed here leaves a store, and no taskrun begins an empty one in its place.
    if exists && std::fs::hard_link(path, &before).is_err() {
        moved(path, &before)?;
    }
    moved(copy, path)?;
    disk::sync_folder(path).map_err(|error| not_restored(error.into()))?;
    Ok(Restored { before: exists.then_some(before), took_along })
}

/// A name beside the store that nothing has: what an earlier restore put aside stays, even one of the same second.
fn vacant(path: &Path, at: Timestamp) -> PathBuf {
    let name = disk::beside(path, &format!(".before-{}", at.strftime("%Y%m%dT%H%M%SZ")));
    let taken = |name: &Path| name.symlink_metadata().is_ok();
    let others = (2..).map(|number: u32| disk::beside(&name, &format!(".{number}")));
    std::iter::once(name.clone()).chain(others).find(|name| !taken(name)).unwrap_or(name)
}

const TAKE_ALONG: &str = "
    INSERT OR REPLACE INTO tokens SELECT * FROM before.tokens b
      WHERE NOT EXISTS (SELECT 1 FROM tokens t WHERE t.platform = b.platform AND t.account = b.account AND t.generation >= b.generation);
    INSERT OR REPLACE INTO quotas SELECT * FROM before.quotas;
    INSERT OR REPLACE INTO parks SELECT * FROM before.parks;
    INSERT OR REPLACE INTO credentials SELECT * FROM before.credentials;
    DELETE FROM notice_sends;
    DELETE FROM notice_channels;
    DELETE FROM notices;
    INSERT INTO notices SELECT * FROM before.notices;
    INSERT INTO notice_channels SELECT * FROM before.notice_channels;
    INSERT INTO notice_sends SELECT * FROM before.notice_sends;
    INSERT OR IGNORE INTO instances SELECT * FROM before.instances;
    DELETE FROM follow_ups;
    INSERT INTO follow_ups SELECT * FROM before.follow_ups;
    UPDATE instances SET
      generation = max(generation, coalesce((SELECT generation FROM before.instances b WHERE b.name = instances.name), 0)),
      floor = max(floor, coalesce((SELECT floor FROM before.instances b WHERE b.name = instances.name), 0)),
      watermark_ms = (SELECT max(watermark_ms) FROM (SELECT instances.watermark_ms UNION ALL SELECT watermark_ms FROM before.instances b WHERE b.name = instances.name));
    UPDATE sqlite_sequence SET seq = max(seq, coalesce((SELECT seq FROM before.sqlite_sequence b WHERE b.name = sqlite_sequence.name), 0));
";

/// Brings the copy to the present. Runs that it holds as open were never finished by it: nobody goes on with them.
fn adapt(copy: &Path, current: Option<&Path>, at: Timestamp) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(copy, flags)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    if let Some(current) = current {
        conn.execute("ATTACH ?1 AS before", [current.to_string_lossy()])?;
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if current.is_some() {
        tx.execute_batch(TAKE_ALONG)?;
    } else {
        // Nobody knows what has run since: fire times before now are not made up for.
        tx.execute("UPDATE instances SET watermark_ms = max(watermark_ms, ?1)", [at.as_millisecond()])?;
        tx.execute("DELETE FROM follow_ups", [])?;
    }
    tx.execute(
        "UPDATE runs SET state = 'ended', run_end = 'lost', ended_at_ms = ?1, retry_at_ms = NULL, process = NULL, text = 'a copy of the store was restored'
         WHERE state IN ('waiting', 'running', 'backoff')",
        params![at.as_millisecond()],
    )?;
    tx.execute("UPDATE attempts SET outcome = 'lost', ended_at_ms = ?1 WHERE outcome IS NULL", params![at.as_millisecond()])?;
    // What was not listed when the copy was made may have been since: the shop is asked first.
    tx.execute(
        "INSERT INTO queue_steps (item, step, number, begun_at_ms) SELECT id, 'create', 0, ?1 FROM queue WHERE kind = 'upload' AND item_id IS NULL
         ON CONFLICT DO NOTHING",
        params![at.as_millisecond()],
    )?;
    tx.execute_batch("DELETE FROM locks; DELETE FROM children; UPDATE runs SET process = NULL; DELETE FROM processes;")?;
    tx.commit()?;
    drop(conn);
    // The log of the copy goes with its last connection; anything left of it would be lost with the name.
    let conn = Connection::open_with_flags(copy, flags)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Whether a file is a store that this program can take, without changing it; its schema.
///
/// # Errors
/// When it is damaged, empty, not ours, or from a newer version, or can't be read.
pub fn inspect(path: &Path) -> StoreResult<i64> {
    verify(path)?;
    let open = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    match open.map_err(Fault::from).and_then(|mut conn| migrate::inspect(&mut conn, path)) {
        // Nothing of ours was ever written there, or it was emptied.
        Ok(0) => Err(StoreError::Damaged { path: path.to_owned(), detail: "it is empty".to_owned() }),
        Ok(schema) => Ok(schema),
        Err(Fault::Refused(error)) => Err(error),
        Err(Fault::Sqlite(error)) => Err(failed(path, "read the schema of the store", error)),
    }
}
