//! The ledger's table.
use rusqlite::{Row, params};

use super::State;
use crate::sandbox::operation::Operation;

/// One request, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: i64,
    /// When it arrived, by the marketplace's clock, in milliseconds.
    pub at_ms: i64,
    pub method: String,
    pub path: String,
    /// Whose token it carried, good or ended; empty where it was nobody's.
    pub account: String,
    /// It was there to change something that buyers see.
    pub write: bool,
    /// What it was answered; where it was carried out and then went wrong, what it would have been answered; 0: it was not carried out, and
    /// nothing was answered.
    pub status: u16,
    /// What it asked for, without secrets.
    pub detail: String,
    /// The trouble that it met, as in a fault plan.
    pub fault: String,
}

impl Entry {
    /// What it asked for.
    pub fn operation(&self) -> Option<Operation> {
        Operation::of(&self.method, &self.path)
    }

    /// A limit refused it.
    pub fn limited(&self) -> bool {
        self.status == 429 || ["hour_api_limit", "day_api_limit", "exceed_daily_limit"].contains(&self.detail.as_str())
    }
}

/// Which entries; what is `None` is any.
#[derive(Clone, Debug, Default)]
pub(in crate::sandbox) struct Filter {
    /// Those with a greater number.
    pub(in crate::sandbox) after: i64,
    /// From this instant on.
    pub(in crate::sandbox) since_ms: Option<i64>,
    pub(in crate::sandbox) account: Option<String>,
    /// Its word, or a path's beginning.
    pub(in crate::sandbox) operation: Option<Operation>,
    pub(in crate::sandbox) status: Option<u16>,
    /// Only writes, or only what is none.
    pub(in crate::sandbox) writes: Option<bool>,
    /// Only what met trouble, or only what met none.
    pub(in crate::sandbox) fault: Option<bool>,
}

impl Filter {
    fn takes(&self, entry: &Entry) -> bool {
        self.since_ms.is_none_or(|since_ms| since_ms <= entry.at_ms)
            && self.account.as_ref().is_none_or(|account| *account == entry.account)
            && self.operation.is_none_or(|operation| entry.operation() == Some(operation))
            && self.status.is_none_or(|status| status == entry.status)
            && self.writes.is_none_or(|writes| writes == entry.write)
            && self.fault.is_none_or(|fault| fault != entry.fault.is_empty())
    }
}

impl State {
    /// Writes a request into the ledger and gives it its number.
    pub(in crate::sandbox) fn record(&self, entry: &Entry) -> rusqlite::Result<i64> {
        let conn = self.conn();
        let Entry { seq: _, at_ms, method, path, account, write, status, detail, fault } = entry;
        let sql =
            "INSERT INTO ledger (at_ms, method, path, account, written, status, detail, fault) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        conn.prepare_cached(sql)?.execute(params![at_ms, method, path, account, write, status, detail, fault])?;
        Ok(conn.last_insert_rowid())
    }

    /// Hands each entry that the filter takes to `visit`, oldest first, until it says false.
    pub(in crate::sandbox) fn visit(&self, filter: &Filter, mut visit: impl FnMut(Entry) -> bool) -> rusqlite::Result<()> {
        let conn = self.conn();
        let mut select = conn.prepare_cached("SELECT * FROM ledger WHERE seq > ?1 ORDER BY seq")?;
        let mut rows = select.query([filter.after])?;
        while let Some(row) = rows.next()? {
            let entry = read(row)?;
            if filter.takes(&entry) && !visit(entry) {
                break;
            }
        }
        Ok(())
    }

    /// How many of the last requests for a path have had this answer since an instant.
    pub(in crate::sandbox) fn answered(&self, path: &str, status: u16, since_ms: i64) -> rusqlite::Result<i64> {
        let sql = "SELECT count(*) FROM (SELECT * FROM ledger ORDER BY seq DESC LIMIT 1000) WHERE path = ?1 AND status = ?2 AND at_ms > ?3";
        self.conn().prepare_cached(sql)?.query_row(params![path, status, since_ms], |row| row.get(0))
    }

    /// How many of the last requests for paths that begin so have come from an instant on and have had another answer than this.
    pub(in crate::sandbox) fn asked(&self, start: &str, but: u16, from_ms: i64) -> rusqlite::Result<i64> {
        let sql = "SELECT count(*) FROM (SELECT * FROM ledger ORDER BY seq DESC LIMIT 1000)
            WHERE substr(path, 1, length(?1)) = ?1 AND status <> ?2 AND at_ms >= ?3";
        self.conn().prepare_cached(sql)?.query_row(params![start, but, from_ms], |row| row.get(0))
    }

    /// When the last request came.
    pub(in crate::sandbox) fn last_ms(&self) -> rusqlite::Result<i64> {
        self.conn().query_row("SELECT coalesce((SELECT at_ms FROM ledger ORDER BY seq DESC LIMIT 1), 0)", [], |row| row.get(0))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        seq: row.get(0)?,
        at_ms: row.get(1)?,
        method: row.get(2)?,
        path: row.get(3)?,
        account: row.get(4)?,
        write: row.get(5)?,
        status: row.get(6)?,
        detail: row.get(7)?,
        fault: row.get(8)?,
    })
}
