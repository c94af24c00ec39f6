//! Brings a file to the newest schema, one migration a transaction, and refuses a file from the future.
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// Numbered from 1; never edited after a release. `PRAGMA user_version` says how many a file has had.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_runs.sql"),
    include_str!("../migrations/0002_shop.sql"),
    include_str!("../migrations/0003_parks.sql"),
    include_str!("../migrations/0004_stock.sql"),
    include_str!("../migrations/0005_catalogue.sql"),
    include_str!("../migrations/0006_delisting.sql"),
    include_str!("../migrations/0007_tokens.sql"),
    include_str!("../migrations/0008_not_yet.sql"),
    include_str!("../migrations/0009_queue.sql"),
    include_str!("../migrations/0010_quotas.sql"),
    include_str!("../migrations/0011_settings.sql"),
    include_str!("../migrations/0012_supplies.sql"),
    include_str!("../migrations/0013_order.sql"),
    include_str!("../migrations/0014_notices.sql"),
    include_str!("../migrations/0015_removals.sql"),
    include_str!("../migrations/0016_feeds.sql"),
    include_str!("../migrations/0017_health.sql"),
    include_str!("../migrations/0018_cost_before.sql"),
];

/// Marks a file as ours: "task" in ASCII.
const APPLICATION_ID: i64 = 0x7461_736b;

/// The newest schema this program knows.
pub fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The file's schema; refuses a newer one and another program's file without writing.
pub(super) fn inspect(conn: &mut Connection, path: &Path) -> Result<i64, Fault> {
    // One transaction: another process may be creating the schema at this moment.
    let tx = conn.transaction()?;
    schema_of(&tx, path)
}

fn schema_of(conn: &Connection, path: &Path) -> Result<i64, Fault> {
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let empty: bool = conn.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    if application != APPLICATION_ID && !(empty && found == 0 && application == 0) {
        return Err(Fault::Refused(StoreError::Foreign { path: path.to_owned() }));
    }
    if found > known() {
        return Err(Fault::Refused(StoreError::Newer { path: path.to_owned(), found, known: known() }));
    }
    Ok(found)
}

/// Applies what the file lacks. Two processes may do this at once: each looks again inside its transaction. One that is killed leaves a file that
/// has had a migration whole or not at all.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), Fault> {
    while inspect(conn, path)? < known() {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let have = schema_of(&tx, path)?;
        let Some(next) = usize::try_from(have).ok().and_then(|have| MIGRATIONS.get(have)) else { continue };
        tx.execute_batch(next)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", have + 1)?;
        tx.commit()?;
    }
    Ok(())
}

/// Why a file was not brought up to date.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not for us.
    Refused(StoreError),
    /// A statement failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(conn: &Connection) -> i64 {
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    fn set_version(conn: &Connection, version: usize) {
        conn.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
    }

    fn schema(conn: &Connection) -> Vec<String> {
        let mut tables = conn.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        tables.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_migration_that_is_cut_off_anywhere_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taskrun.db");
        let mut whole = Connection::open_in_memory().unwrap();
        migrate(&mut whole, &path).unwrap();
        // Each process dies one statement later than the one before it, without committing.
        for (number, migration) in MIGRATIONS.iter().enumerate() {
            let statements: Vec<&str> = migration.split_inclusive(";\n").collect();
            for done in 1..=statements.len() {
                let conn = Connection::open(&path).unwrap();
                conn.execute_batch(&format!("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; {}", statements[..done].concat())).unwrap();
                set_version(&conn, number + 1);
                drop(conn);
                assert_eq!(version(&Connection::open(&path).unwrap()), i64::try_from(number).unwrap());
            }
            let conn = Connection::open(&path).unwrap();
            conn.execute_batch(&format!("BEGIN IMMEDIATE; {migration}")).unwrap();
            conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            set_version(&conn, number + 1);
            conn.execute_batch("COMMIT").unwrap();
        }
        let mut conn = Connection::open(&path).unwrap();
        migrate(&mut conn, &path).unwrap();
        assert_eq!((version(&conn), schema(&conn)), (known(), schema(&whole)));
    }

    #[test]
    fn a_file_of_any_older_schema_is_brought_up_to_date() {
        let path = Path::new("taskrun.db");
        let mut whole = Connection::open_in_memory().unwrap();
        migrate(&mut whole, path).unwrap();
        for have in 0..=MIGRATIONS.len() {
            let mut conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(&MIGRATIONS[..have].concat()).unwrap();
            set_version(&conn, have);
            if have > 0 {
                conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            }
            migrate(&mut conn, path).unwrap();
            assert_eq!((version(&conn), schema(&conn)), (known(), schema(&whole)));
        }
    }

    #[test]
    fn a_title_that_was_there_is_as_old_as_its_product() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(&MIGRATIONS[..4].concat()).unwrap();
        conn.execute_batch("INSERT INTO products (asin, title, created_at_ms) VALUES ('B0TEST0001', '水筒', 7), ('B0TEST0002', NULL, 8)")
            .unwrap();
        conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        set_version(&conn, 4);
        migrate(&mut conn, Path::new("taskrun.db")).unwrap();
        let mut products = conn.prepare("SELECT title_fetched_at_ms FROM products ORDER BY asin").unwrap();
        let dates: Vec<Option<i64>> = products.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(dates, [Some(7), None]);
    }

    #[test]
    fn the_file_of_another_program_is_refused() {
        let path = Path::new("taskrun.db");
        for foreign in ["CREATE TABLE notes (text)", "PRAGMA user_version = 3", "PRAGMA application_id = 252006675"] {
            let mut conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(foreign).unwrap();
            assert!(matches!(migrate(&mut conn, path), Err(Fault::Refused(StoreError::Foreign { .. }))), "{foreign}");
        }
    }
}
