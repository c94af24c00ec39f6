//! The store in one SQLite file.
//!
//! [`db`] owns the connections and knows nothing of runs; the other files are one topic each. Nothing outside this folder speaks SQL.
use std::path::Path;

use rusqlite::{Connection, params};

use self::db::Db;
use super::{Fence, StoreResult};

mod busy;
mod db;
mod migrate;

/// The store in one SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    db: Db,
}

impl SqliteStore {
    /// Opens the file, creating it and its folder where missing, for this user alone, and brings it to the newest schema.
    ///
    /// # Errors
    /// The file cannot be opened, is damaged, is not ours, or was written by a newer version.
    pub fn open(path: &Path) -> StoreResult<Self> {
        Ok(Self { db: Db::open(path)? })
    }
}

/// Whether a handler's write may happen: its run is open under that generation, which is at or above the floor. To be asked in the transaction of
/// the write.
fn check_fence(conn: &Connection, fence: &Fence) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM runs r JOIN instances i ON i.name = r.instance
           WHERE r.id = ?1 AND r.instance = ?2 AND r.generation = ?3 AND r.state IN ('waiting', 'running', 'backoff') AND i.floor <= ?3)",
    )?
    .query_row(params![fence.run.0, fence.instance.as_str(), fence.generation.0], |row| row.get(0))
}
