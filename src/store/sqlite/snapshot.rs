//! Copies of the whole store beside it, made before a change that a person may want to take back.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{SqliteStore, db::Db, disk};
use crate::store::{Answer, StoreError, StoreResult};

/// As many are kept, the newest ones; a draft that a killed process left behind counts as one of them.
const KEPT: usize = 5;
const STEP: &str = "copy the store";

impl SqliteStore {
    /// Copies the store to a file beside it, named after `at` and for this user alone; says which. Of the copies the newest five stay.
    ///
    /// # Errors
    /// The copy cannot be written; then there is none.
    pub fn snapshot(&self, at: Timestamp) -> Answer<PathBuf> {
        let db = self.db.clone();
        Box::pin(async move {
            let copied = tokio::task::spawn_blocking(move || snapshot(&db, at)).await;
            copied.map_err(|_| StoreError::Closed)?
        })
    }
}

fn snapshot(db: &Db, at: Timestamp) -> StoreResult<PathBuf> {
    let failed = |source: io::Error| StoreError::Failed { step: STEP, source: source.into() };
    let path = db.path();
    let copy = disk::beside(&path.with_extension(""), &format!("{MARK}{}.db", at.strftime("%Y%m%dT%H%M%S.%3fZ")));
    let draft = disk::beside(&copy, ".part");
    let written = write(db, &draft, &copy, failed);
    if written.is_err() {
        // What is left of it is nobody's.
        fs::remove_file(&draft).unwrap_or_default();
    }
    written?;
    prune(path).map_err(failed)?;
    Ok(copy)
}

/// What a copy's name has after the store's.
const MARK: &str = ".snapshot-";

/// A copy has its name only when it is whole and on disk.
fn write(db: &Db, draft: &Path, copy: &Path, failed: impl Fn(io::Error) -> StoreError) -> StoreResult<()> {
    disk::create_private(draft).map_err(&failed)?;
    db.copy_to(STEP, draft)?;
    fs::File::open(draft).and_then(|file| file.sync_all()).map_err(&failed)?;
    fs::rename(draft, copy).map_err(&failed)
}

fn prune(path: &Path) -> io::Result<()> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else { return Ok(()) };
    let begin = format!("{}{MARK}", stem.to_string_lossy());
    let is_copy = |name: &str| name.starts_with(&begin);
    let mut copies: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(is_copy))
        .map(|entry| entry.path())
        .collect();
    // Their names sort as their instants do.
    copies.sort_unstable();
    let older = copies.len().saturating_sub(KEPT);
    copies.iter().take(older).try_for_each(fs::remove_file)
}
