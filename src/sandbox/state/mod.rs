//! What the practice marketplace remembers: clients, accounts, tokens, items and the ledger, in an SQLite file of its own.
//!
//! A killed process loses nothing that was answered.
use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, params};

mod feeds;
mod items;
mod ledger;
mod limits;
mod offers;
mod tokens;

pub(super) use feeds::{Document, Kept};
pub use feeds::{FeedFate, SellerFeed, SellerListing};
pub use items::Item;
pub use ledger::Entry;
pub(super) use ledger::Filter;
pub(super) use limits::Count;
pub use offers::Offer;
pub(super) use tokens::{Code, Opened, Rotation};

/// Whose protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Amazon,
    Base,
    Ebay,
    /// Where messages to people go.
    Chat,
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

/// Everything there is when the marketplace is opened for the first time.
#[derive(Clone, Debug)]
pub struct World {
    pub clients: Vec<Client>,
    pub accounts: Vec<Account>,
    pub items: Vec<Item>,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS clients (side TEXT NOT NULL, id TEXT NOT NULL, secret TEXT NOT NULL, redirect_uri TEXT NOT NULL, active INTEGER NOT NULL, PRIMARY KEY (side, id)) STRICT;
CREATE TABLE IF NOT EXISTS accounts (side TEXT NOT NULL, name TEXT NOT NULL, client TEXT NOT NULL, scopes TEXT NOT NULL, PRIMARY KEY (side, name)) STRICT;
CREATE TABLE IF NOT EXISTS access (side TEXT NOT NULL, token TEXT NOT NULL, account TEXT NOT NULL, expires_ms INTEGER NOT NULL, PRIMARY KEY (side, token)) STRICT;
CREATE TABLE IF NOT EXISTS refresh (side TEXT NOT NULL, token TEXT NOT NULL, account TEXT NOT NULL, expires_ms INTEGER NOT NULL, PRIMARY KEY (side, token)) STRICT;
CREATE TABLE IF NOT EXISTS codes (code TEXT PRIMARY KEY, client TEXT NOT NULL, account TEXT NOT NULL, scopes TEXT NOT NULL, expires_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS items (item_id INTEGER PRIMARY KEY, account TEXT NOT NULL, title TEXT NOT NULL, detail TEXT NOT NULL, price INTEGER NOT NULL, stock INTEGER NOT NULL,
  visible INTEGER NOT NULL, identifier TEXT, modified INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS items_account ON items (account, item_id);
CREATE TABLE IF NOT EXISTS images (item_id INTEGER NOT NULL, image_no INTEGER NOT NULL, url TEXT NOT NULL, PRIMARY KEY (item_id, image_no)) STRICT;
CREATE TABLE IF NOT EXISTS adds (item_id INTEGER PRIMARY KEY, account TEXT NOT NULL, identifier TEXT, at_ms INTEGER NOT NULL, found_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counts (account TEXT NOT NULL, what TEXT NOT NULL, began_ms INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (account, what)) STRICT;
CREATE TABLE IF NOT EXISTS buckets (operation TEXT NOT NULL, account TEXT NOT NULL, client TEXT NOT NULL, tokens REAL NOT NULL, at_ms INTEGER NOT NULL,
  PRIMARY KEY (operation, account, client)) STRICT;
CREATE TABLE IF NOT EXISTS rates (operation TEXT PRIMARY KEY, rate REAL NOT NULL, burst REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS forced (asin TEXT PRIMARY KEY, force TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS ledger (seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, account TEXT NOT NULL, written INTEGER NOT NULL,
  status INTEGER NOT NULL, detail TEXT NOT NULL) STRICT;
";
/// What came later: a folder of an earlier version is brought up to date.
const LATER: &str = "
ALTER TABLE ledger ADD COLUMN fault TEXT NOT NULL DEFAULT '';
ALTER TABLE refresh ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;
DROP TABLE IF EXISTS calls;
PRAGMA user_version = 1;
";

/// The file.
#[derive(Debug)]
pub(super) struct State {
    conn: Mutex<Connection>,
}

impl Side {
    pub(super) const ALL: [Self; 4] = [Self::Amazon, Self::Base, Self::Ebay, Self::Chat];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Amazon => "amazon",
            Self::Base => "base",
            Self::Ebay => "ebay",
            Self::Chat => "chat",
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
        tx.execute_batch(offers::SCHEMA)?;
        tx.execute_batch(feeds::SCHEMA)?;
        if tx.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))? == 0 {
            tx.execute_batch(LATER)?;
        }
        take_in(&tx, world, now_ms)?;
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

    /// The first application of a side that may ask for tokens.
    pub(super) fn any_client(&self, side: Side) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT id FROM clients WHERE side = ?1 AND active ORDER BY rowid";
        self.conn().query_row(sql, [side.word()], |row| row.get(0)).optional()
    }

    /// The names of a side's accounts, and the application that each has let in.
    pub(super) fn accounts(&self, side: Side) -> rusqlite::Result<Vec<(String, String)>> {
        let sql = "SELECT name, client FROM accounts WHERE side = ?1 ORDER BY name";
        self.conn().prepare_cached(sql)?.query_map([side.word()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// A switch that somebody has set by hand.
    pub(super) fn setting(&self, key: &str) -> rusqlite::Result<Option<String>> {
        self.conn().prepare_cached("SELECT value FROM settings WHERE key = ?1")?.query_row([key], |row| row.get(0)).optional()
    }

    pub(super) fn set(&self, key: &str, value: &str) -> rusqlite::Result<()> {
        self.conn().execute("INSERT OR REPLACE INTO settings VALUES (?1, ?2)", [key, value]).map(drop)
    }

    /// What a product is forced to be, as text.
    pub(super) fn forced(&self, asin: &str) -> rusqlite::Result<Option<String>> {
        self.conn().prepare_cached("SELECT force FROM forced WHERE asin = ?1")?.query_row([asin], |row| row.get(0)).optional()
    }

    pub(super) fn all_forced(&self) -> rusqlite::Result<Vec<(String, String)>> {
        let conn = self.conn();
        conn.prepare_cached("SELECT asin, force FROM forced ORDER BY asin")?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// All or none of these: `None` lets the rule speak again.
    pub(super) fn force(&self, forces: &[(String, Option<String>)]) -> rusqlite::Result<()> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        for (asin, force) in forces {
            match force {
                Some(force) => tx.execute("INSERT OR REPLACE INTO forced VALUES (?1, ?2)", [asin, force])?,
                None => tx.execute("DELETE FROM forced WHERE asin = ?1", [asin])?,
            };
        }
        tx.commit()
    }

    pub(super) fn force_nothing(&self) -> rusqlite::Result<()> {
        self.conn().execute("DELETE FROM forced", []).map(drop)
    }
}

/// Takes in the sides of the world that are new to the state.
fn take_in(conn: &Connection, world: &World, now_ms: i64) -> rusqlite::Result<()> {
    let known = "SELECT side FROM clients UNION SELECT side FROM accounts";
    let known: Vec<String> = conn.prepare(known)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let is_new = |side: Side| !known.iter().any(|known| known == side.word());
    for client in world.clients.iter().filter(|client| is_new(client.side)) {
        conn.execute(
            "INSERT INTO clients VALUES (?1, ?2, ?3, ?4, ?5)",
            params![client.side.word(), client.id, client.secret, client.redirect_uri, client.active],
        )?;
    }
    for account in world.accounts.iter().filter(|account| is_new(account.side)) {
        take_in_account(conn, account, now_ms)?;
    }
    world.items.iter().filter(|_| is_new(Side::Base)).try_for_each(|item| items::insert(conn, item))
}

fn take_in_account(conn: &Connection, account: &Account, now_ms: i64) -> rusqlite::Result<()> {
    let side = account.side.word();
    conn.execute("INSERT OR REPLACE INTO accounts VALUES (?1, ?2, ?3, ?4)", params![side, account.name, account.client, account.scopes])?;
    let (expires_ms, access_lives_ms) = match account.side {
        Side::Amazon | Side::Chat => (i64::MAX, super::ACCESS_LIVES_MS),
        Side::Base => (now_ms + super::base::REFRESH_LIVES_MS, super::ACCESS_LIVES_MS),
        Side::Ebay => (now_ms + super::ebay::REFRESH_LIVES_MS, super::ebay::ACCESS_LIVES_MS),
    };
    conn.execute("INSERT OR REPLACE INTO refresh VALUES (?1, ?2, ?3, ?4, 0)", params![side, account.refresh, account.name, expires_ms])?;
    if let Some(access) = &account.access {
        let expires_ms = now_ms + access_lives_ms;
        conn.execute("INSERT OR REPLACE INTO access VALUES (?1, ?2, ?3, ?4)", params![side, access, account.name, expires_ms])?;
    }
    Ok(())
}
