//! Old supplies that go with their images.
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStore, guarded};
use crate::store::{
    Answer, Fence,
    shop::{Guarded, OldSupply, Removals},
};

impl Removals for SqliteStore {
    fn begin_removal(&self, fence: Fence, old: OldSupply, at: Timestamp) -> Answer<Guarded<bool>> {
        self.db.write("begin to remove an old supply", move |conn| guarded(conn, &fence, || begin(conn, &old, at)))
    }

    fn removals(&self, root: Arc<str>) -> Answer<Vec<Arc<str>>> {
        self.db.read("read what is left to remove", move |conn| {
            let found = conn
                .prepare_cached("SELECT folder FROM removals WHERE root = ?1 ORDER BY begun_at_ms, folder")?
                .query_map([&root], |row| row.get::<_, Box<str>>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let needed = folders(conn)?;
            Ok(found.into_iter().filter(|folder| !is_needed(folder, &needed)).map(Into::into).collect())
        })
    }

    fn end_removal(&self, fence: Fence, root: Arc<str>, folder: Arc<str>) -> Answer<Guarded<()>> {
        self.db.write("keep that a folder is gone", move |conn| {
            guarded(conn, &fence, || {
                conn.prepare_cached("DELETE FROM removals WHERE root = ?1 AND folder = ?2")?.execute(params![root, folder]).map(drop)
            })
        })
    }

    fn image_folders(&self) -> Answer<Vec<Arc<str>>> {
        self.db.read("read the folders of images", folders)
    }
}

fn begin(conn: &Connection, old: &OldSupply, at: Timestamp) -> rusqlite::Result<bool> {
    let images: Option<Option<Box<str>>> = conn
        .prepare_cached(
            "DELETE FROM supplies WHERE account = ?1 AND sku = ?2 AND changed_at_ms < ?3
               AND (state = 'withdrawn' OR (state = 'gone' AND pushed = 0)) RETURNING images",
        )?
        .query_row(params![old.key.account, old.key.sku, old.before.as_millisecond()], |row| row.get(0))
        .optional()?;
    let Some(images) = images else { return Ok(false) };
    if let (Some(folder), Some(root)) = (images, &old.root)
        && !is_needed(&folder, &folders(conn)?)
    {
        conn.prepare_cached("INSERT INTO removals (root, folder, begun_at_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute(params![root, folder, at.as_millisecond()])?;
    }
    Ok(true)
}

fn folders(conn: &Connection) -> rusqlite::Result<Vec<Arc<str>>> {
    conn.prepare_cached("SELECT DISTINCT images FROM supplies WHERE images IS NOT NULL")?
        .query_map([], |row| row.get::<_, Box<str>>(0).map(Into::into))?
        .collect()
}

/// Whether a supply's folder is this one, lies in it, or has it in itself.
fn is_needed(folder: &str, needed: &[Arc<str>]) -> bool {
    let parts = |text: &str| text.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect::<Vec<_>>();
    let folder = parts(folder);
    needed.iter().map(|needed| parts(needed)).any(|needed| needed.starts_with(&folder) || folder.starts_with(&needed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_in_each_other_are_needed_by_each_other() {
        let needed: Vec<Arc<str>> = vec!["a/b".into(), "./c/".into()];
        for folder in ["a", "a/b", "a/b/c", "c", "c//d", ""] {
            assert!(is_needed(folder, &needed), "{folder}");
        }
        for folder in ["a/bc", "b", "ab", "d/c"] {
            assert!(!is_needed(folder, &needed), "{folder}");
        }
    }
}
