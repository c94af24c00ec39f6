//! What the practice marketplace remembers: clients, accounts, tokens, items and the ledger, in an SQLite file of its own.
//!
//! A killed process loses nothing that was answered.
use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, Row, params};

/// Whose protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Amazon,
    Base,
}

/// An application that may ask for tokens.
#[derive(Clone, Debug)]
pub struct Client {
    pub side: Side,
    pub id: String,
    pub secret: String,
    pub redirect_uri: String,
    pub active: bool,
}

/// A seller or a shop, and the tokens it begins with.
#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    pub side: Side,
    /// The application it has let in.
    pub client: String,
    /// Separated by blanks.
    pub scopes: String,
    pub access: Option<String>,
    pub refresh: String,
}

/// An item in a shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub item_id: i64,
    pub account: String,
    pub title: String,
    pub detail: String,
    pub price: i64,
    pub stock: i64,
    pub visible: bool,
    pub identifier: Option<String>,
    /// Seconds since 1970.
    pub modified: i64,
}

/// Everything there is when the marketplace is opened for the first time.
#[derive(Clone, Debug)]
pub struct World {
    pub clients: Vec<Client>,
    pub accounts: Vec<Account>,
    pub items: Vec<Item>,
}

/// One request, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: i64,
    /// When it arrived, by the marketplace's clock, in milliseconds.
    pub at_ms: i64,
    pub method: String,
    pub path: String,
    /// Whose token it carried; empty where none was good.
    pub account: String,
    /// It was there to change something that buyers see.
    pub write: bool,
    pub status: u16,
    /// What it asked for, without secrets.
    pub detail: String,
}

/// What a token opens.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) account: String,
    pub(super) scopes: String,
    pub(super) expires_ms: i64,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS clients (side TEXT NOT NULL, id TEXT NOT NULL, secret TEXT NOT NULL, redirect_uri TEXT NOT NULL, active INTEGER NOT NULL, PRIMARY KEY (side, id)) STRICT;
CREATE TABLE IF NOT EXISTS accounts (side TEXT NOT NULL, name TEXT NOT NULL, client TEXT NOT NULL, scopes TEXT NOT NULL, PRIMARY KEY (side, name)) STRICT;
CREATE TABLE IF NOT EXISTS access (side TEXT NOT NULL, token TEXT NOT NULL, account TEXT NOT NULL, expires_ms INTEGER NOT NULL, PRIMARY KEY (side, token)) STRICT;
CREATE TABLE IF NOT EXISTS refresh (side TEXT NOT NULL, token TEXT NOT NULL, account TEXT NOT NULL, expires_ms INTEGER NOT NULL, PRIMARY KEY (side, token)) STRICT;
CREATE TABLE IF NOT EXISTS items (item_id INTEGER PRIMARY KEY, account TEXT NOT NULL, title TEXT NOT NULL, detail TEXT NOT NULL, price INTEGER NOT NULL, stock INTEGER NOT NULL,
  visible INTEGER NOT NULL, identifier TEXT, modified INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS items_account ON items (account, item_id);
CREATE TABLE IF NOT EXISTS calls (account TEXT NOT NULL, length_ms INTEGER NOT NULL, began_ms INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (account, length_ms)) STRICT;
CREATE TABLE IF NOT EXISTS ledger (seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, account TEXT NOT NULL, written INTEGER NOT NULL,
  status INTEGER NOT NULL, detail TEXT NOT NULL) STRICT;
";

/// The file.
#[derive(Debug)]
pub(super) struct State {
    conn: Mutex<Connection>,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Self::Amazon => "amazon",
            Self::Base => "base",
        }
    }
}

impl State {
    /// Opens the file; a new one takes in the world.
    pub(super) fn open(path: &Path, world: &World, now_ms: i64) -> rusqlite::Result<Self> {
        let mut conn = Connection::open(path)?;
        // Safe against a killed process, which is all that practice needs; not against a power cut.
        conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        tx.execute_batch(SCHEMA)?;
        let is_new: bool = tx.query_row("SELECT NOT EXISTS (SELECT 1 FROM clients)", [], |row| row.get(0))?;
        if is_new {
            take_in(&tx, world, now_ms)?;
        }
        tx.commit()?;
        Ok(Self { conn: Mutex::new(conn) })
    }

    fn conn(&self) -> MutexGuard<'_, Connection> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn client(&self, side: Side, id: &str) -> rusqlite::Result<Option<Client>> {
        self.conn()
            .query_row("SELECT secret, redirect_uri, active FROM clients WHERE side = ?1 AND id = ?2", params![side.word(), id], |row| {
                Ok(Client { side, id: id.to_owned(), secret: row.get(0)?, redirect_uri: row.get(1)?, active: row.get(2)? })
            })
            .optional()
    }

    /// What an access token opens, expired or not.
    pub(super) fn opened_by(&self, side: Side, token: &str) -> rusqlite::Result<Option<Opened>> {
        let read = |row: &Row<'_>| Ok(Opened { account: row.get(0)?, scopes: row.get(1)?, expires_ms: row.get(2)? });
        let sql = "SELECT access.account, scopes, expires_ms FROM access JOIN accounts ON accounts.side = access.side AND name = account WHERE access.side = ?1 AND token = ?2";
        self.conn().query_row(sql, params![side.word(), token], read).optional()
    }

    /// Whose refresh token it is and when it ends, if this client may use it.
    pub(super) fn refresher(&self, side: Side, token: &str, client: &str) -> rusqlite::Result<Option<(String, i64)>> {
        let sql = "SELECT account, expires_ms FROM refresh JOIN accounts ON accounts.side = refresh.side AND name = account WHERE refresh.side = ?1 AND token = ?2 AND client = ?3";
        self.conn().query_row(sql, params![side.word(), token, client], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }

    /// Gives out an access token, and with `rotate` replaces the refresh token by another, both or neither.
    pub(super) fn grant(&self, side: Side, account: &str, access: (&str, i64), rotate: Option<(&str, &str, i64)>) -> rusqlite::Result<()> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        tx.execute("INSERT INTO access VALUES (?1, ?2, ?3, ?4)", params![side.word(), access.0, account, access.1])?;
        if let Some((old, new, expires_ms)) = rotate {
            tx.execute("DELETE FROM refresh WHERE side = ?1 AND token = ?2", params![side.word(), old])?;
            tx.execute("INSERT INTO refresh VALUES (?1, ?2, ?3, ?4)", params![side.word(), new, account, expires_ms])?;
        }
        tx.commit()
    }

    /// Counts a call in its period; false: the limit is used up, and nothing was counted.
    pub(super) fn count_call(&self, account: &str, length_ms: i64, began_ms: i64, limit: i64) -> rusqlite::Result<bool> {
        let sql = "INSERT INTO calls VALUES (?1, ?2, ?3, 1) ON CONFLICT DO UPDATE SET count = iif(began_ms = excluded.began_ms, count + 1, 1), began_ms = excluded.began_ms
            WHERE began_ms <> excluded.began_ms OR count < ?4";
        Ok(self.conn().execute(sql, params![account, length_ms, began_ms, limit])? > 0)
    }

    pub(super) fn set_calls(&self, account: &str, length_ms: i64, began_ms: i64, count: i64) -> rusqlite::Result<()> {
        self.conn().execute("INSERT OR REPLACE INTO calls VALUES (?1, ?2, ?3, ?4)", params![account, length_ms, began_ms, count]).map(drop)
    }

    /// A page of a shop's items; `order` is one of our own words.
    pub(super) fn items(&self, account: &str, order: &'static str, limit: i64, offset: i64) -> rusqlite::Result<Vec<Item>> {
        let sql = format!("SELECT * FROM items WHERE account = ?1 ORDER BY {order} LIMIT ?2 OFFSET ?3");
        self.conn().prepare_cached(&sql)?.query_map(params![account, limit, offset], read_item)?.collect()
    }

    pub(super) fn item(&self, account: &str, item_id: i64) -> rusqlite::Result<Option<Item>> {
        self.conn().query_row("SELECT * FROM items WHERE account = ?1 AND item_id = ?2", params![account, item_id], read_item).optional()
    }

    pub(super) fn put_item(&self, item: &Item) -> rusqlite::Result<()> {
        insert_item(&self.conn(), item)
    }

    pub(super) fn remove_item(&self, item_id: i64) -> rusqlite::Result<()> {
        self.conn().execute("DELETE FROM items WHERE item_id = ?1", [item_id]).map(drop)
    }

    /// Writes a request into the ledger and gives it its number.
    pub(super) fn record(&self, entry: &Entry) -> rusqlite::Result<i64> {
        let conn = self.conn();
        conn.execute(
            "INSERT INTO ledger (at_ms, method, path, account, written, status, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![entry.at_ms, entry.method, entry.path, entry.account, entry.write, entry.status, entry.detail],
        )?;
        Ok(conn.last_insert_rowid())
    }

    /// The requests after a number, at most `limit`, oldest first.
    pub(super) fn ledger(&self, after: i64, limit: i64) -> rusqlite::Result<Vec<Entry>> {
        let read = |row: &Row<'_>| {
            Ok(Entry {
                seq: row.get(0)?,
                at_ms: row.get(1)?,
                method: row.get(2)?,
                path: row.get(3)?,
                account: row.get(4)?,
                write: row.get(5)?,
                status: row.get(6)?,
                detail: row.get(7)?,
            })
        };
        self.conn().prepare_cached("SELECT * FROM ledger WHERE seq > ?1 ORDER BY seq LIMIT ?2")?.query_map([after, limit], read)?.collect()
    }
}

fn take_in(conn: &Connection, world: &World, now_ms: i64) -> rusqlite::Result<()> {
    for client in &world.clients {
        conn.execute(
            "INSERT INTO clients VALUES (?1, ?2, ?3, ?4, ?5)",
            params![client.side.word(), client.id, client.secret, client.redirect_uri, client.active],
        )?;
    }
    for account in &world.accounts {
        let side = account.side.word();
        conn.execute("INSERT INTO accounts VALUES (?1, ?2, ?3, ?4)", params![side, account.name, account.client, account.scopes])?;
        let expires_ms = match account.side {
            Side::Amazon => i64::MAX,
            Side::Base => now_ms + super::base::REFRESH_LIVES_MS,
        };
        conn.execute("INSERT INTO refresh VALUES (?1, ?2, ?3, ?4)", params![side, account.refresh, account.name, expires_ms])?;
        if let Some(access) = &account.access {
            conn.execute(
                "INSERT INTO access VALUES (?1, ?2, ?3, ?4)",
                params![side, access, account.name, now_ms + super::ACCESS_LIVES_MS],
            )?;
        }
    }
    world.items.iter().try_for_each(|item| insert_item(conn, item))
}

fn insert_item(conn: &Connection, item: &Item) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT OR REPLACE INTO items VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
    insert
        .execute(params![
            item.item_id,
            item.account,
            item.title,
            item.detail,
            item.price,
            item.stock,
            item.visible,
            item.identifier,
            item.modified
        ])
        .map(drop)
}

fn read_item(row: &Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item {
        item_id: row.get(0)?,
        account: row.get(1)?,
        title: row.get(2)?,
        detail: row.get(3)?,
        price: row.get(4)?,
        stock: row.get(5)?,
        visible: row.get(6)?,
        identifier: row.get(7)?,
        modified: row.get(8)?,
    })
}
