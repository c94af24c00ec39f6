//! A seller's listings at Amazon, its feeds, and their documents.
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::State;

/// A listing of a seller that was touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SellerListing {
    pub sku: String,
    pub quantity: i64,
    /// `live`, `gone`, or `invalid`: Amazon finds fault with every change of it.
    pub state: String,
}

/// What becomes of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedFate {
    Done,
    Fatal,
    Cancelled,
}

/// A feed, as Amazon has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SellerFeed {
    pub feed_id: i64,
    pub feed_type: String,
    /// `IN_QUEUE`, `DONE`, `FATAL`, `CANCELLED`; what is in between is told by the clock.
    pub status: String,
    pub created_ms: i64,
    pub messages: i64,
    pub invalid: i64,
}

/// A feed with what is needed to work on it.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Kept {
    pub(in crate::sandbox) feed: SellerFeed,
    /// When the work on it begins and ends.
    pub(in crate::sandbox) begins_ms: i64,
    pub(in crate::sandbox) ends_ms: i64,
    pub(in crate::sandbox) fate: FeedFate,
    /// What was handed in.
    pub(in crate::sandbox) document: String,
    /// What came of it.
    pub(in crate::sandbox) result: Option<String>,
}

/// A document and its address.
#[derive(Clone, Debug, Default)]
pub(in crate::sandbox) struct Document {
    pub(in crate::sandbox) id: String,
    pub(in crate::sandbox) account: String,
    /// The last part of its address.
    pub(in crate::sandbox) key: String,
    pub(in crate::sandbox) content_type: String,
    pub(in crate::sandbox) open_until_ms: i64,
    pub(in crate::sandbox) body: Option<Vec<u8>>,
}

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS seller_listings (account TEXT NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL, state TEXT NOT NULL, changed_ms INTEGER NOT NULL,
  PRIMARY KEY (account, sku)) STRICT;
CREATE TABLE IF NOT EXISTS feed_documents (id TEXT PRIMARY KEY, account TEXT NOT NULL, key TEXT NOT NULL UNIQUE, content_type TEXT NOT NULL, open_until_ms INTEGER NOT NULL, body BLOB) STRICT;
CREATE TABLE IF NOT EXISTS feeds (feed_id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, feed_type TEXT NOT NULL, status TEXT NOT NULL, created_ms INTEGER NOT NULL,
  messages INTEGER NOT NULL, invalid INTEGER NOT NULL, begins_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL, fate TEXT NOT NULL, document TEXT NOT NULL, result TEXT) STRICT;
INSERT INTO sqlite_sequence SELECT 'feeds', 50000019000 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'feeds');
";

impl FeedFate {
    pub(in crate::sandbox) fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Fatal => "fatal",
            Self::Cancelled => "cancelled",
        }
    }

    pub(in crate::sandbox) fn from_word(word: &str) -> Option<Self> {
        [Self::Done, Self::Fatal, Self::Cancelled].into_iter().find(|fate| fate.word() == word)
    }
}

impl State {
    pub(in crate::sandbox) fn seller_listings(&self, account: &str) -> rusqlite::Result<Vec<SellerListing>> {
        let sql = "SELECT sku, quantity, state FROM seller_listings WHERE account = ?1 ORDER BY sku";
        self.conn().prepare_cached(sql)?.query_map([account], listing)?.collect()
    }

    /// One that was touched.
    pub(in crate::sandbox) fn seller_listing(&self, account: &str, sku: &str) -> rusqlite::Result<Option<SellerListing>> {
        let sql = "SELECT sku, quantity, state FROM seller_listings WHERE account = ?1 AND sku = ?2";
        self.conn().prepare_cached(sql)?.query_row([account, sku], listing).optional()
    }

    pub(in crate::sandbox) fn put_seller_listing(&self, account: &str, listing: &SellerListing, now_ms: i64) -> rusqlite::Result<()> {
        put(&self.conn(), account, listing, now_ms)
    }

    pub(in crate::sandbox) fn add_document(&self, document: &Document) -> rusqlite::Result<()> {
        let Document { id, account, key, content_type, open_until_ms, body } = document;
        let sql = "INSERT OR REPLACE INTO feed_documents VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.conn().execute(sql, params![id, account, key, content_type, open_until_ms, body]).map(drop)
    }

    pub(in crate::sandbox) fn document(&self, id: &str) -> rusqlite::Result<Option<Document>> {
        self.conn().query_row("SELECT * FROM feed_documents WHERE id = ?1", [id], document).optional()
    }

    pub(in crate::sandbox) fn document_at(&self, key: &str) -> rusqlite::Result<Option<Document>> {
        self.conn().query_row("SELECT * FROM feed_documents WHERE key = ?1", [key], document).optional()
    }

    /// Takes a feed in; its number.
    pub(in crate::sandbox) fn add_feed(&self, account: &str, kept: &Kept) -> rusqlite::Result<i64> {
        let Kept { feed, begins_ms, ends_ms, fate, document, .. } = kept;
        let SellerFeed { feed_type, created_ms, messages, .. } = feed;
        let sql = "INSERT INTO feeds (account, feed_type, status, created_ms, messages, invalid, begins_ms, ends_ms, fate, document)
            VALUES (?1, ?2, 'IN_QUEUE', ?3, ?4, 0, ?5, ?6, ?7, ?8) RETURNING feed_id";
        let values = params![account, feed_type, created_ms, messages, begins_ms, ends_ms, fate.word(), document];
        self.conn().query_row(sql, values, |row| row.get(0))
    }

    pub(in crate::sandbox) fn seller_feeds(&self, account: &str) -> rusqlite::Result<Vec<SellerFeed>> {
        Ok(self.kept_feeds(account)?.into_iter().map(|kept| kept.feed).collect())
    }

    pub(in crate::sandbox) fn kept_feeds(&self, account: &str) -> rusqlite::Result<Vec<Kept>> {
        let sql = "SELECT * FROM feeds WHERE account = ?1 ORDER BY feed_id";
        self.conn().prepare_cached(sql)?.query_map([account], kept)?.collect()
    }

    /// How many feeds a seller has handed in from an instant on.
    pub(in crate::sandbox) fn feeds_since(&self, account: &str, since_ms: i64) -> rusqlite::Result<i64> {
        let sql = "SELECT count(*) FROM feeds WHERE account = ?1 AND created_ms > ?2";
        self.conn().query_row(sql, params![account, since_ms], |row| row.get(0))
    }

    /// The work on a feed is over: all of it, or nothing.
    pub(in crate::sandbox) fn end_feed(
        &self,
        account: &str,
        kept: &Kept,
        changed: &[SellerListing],
        result: Option<&Document>,
    ) -> rusqlite::Result<()> {
        if let Some(result) = result {
            self.add_document(result)?;
        }
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        let SellerFeed { feed_id, status, invalid, .. } = &kept.feed;
        let sql = "UPDATE feeds SET status = ?2, invalid = ?3, result = ?4 WHERE feed_id = ?1 AND status = 'IN_QUEUE'";
        if tx.execute(sql, params![feed_id, status, invalid, result.map(|result| &result.id)])? > 0 {
            changed.iter().try_for_each(|listing| put(&tx, account, listing, kept.ends_ms))?;
        }
        tx.commit()
    }
}

fn put(conn: &Connection, account: &str, listing: &SellerListing, now_ms: i64) -> rusqlite::Result<()> {
    let SellerListing { sku, quantity, state } = listing;
    let sql = "INSERT OR REPLACE INTO seller_listings VALUES (?1, ?2, ?3, ?4, ?5)";
    conn.prepare_cached(sql)?.execute(params![account, sku, quantity, state, now_ms]).map(drop)
}

fn listing(row: &Row<'_>) -> rusqlite::Result<SellerListing> {
    Ok(SellerListing { sku: row.get(0)?, quantity: row.get(1)?, state: row.get(2)? })
}

fn document(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        id: row.get("id")?,
        account: row.get("account")?,
        key: row.get("key")?,
        content_type: row.get("content_type")?,
        open_until_ms: row.get("open_until_ms")?,
        body: row.get("body")?,
    })
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept {
        feed: SellerFeed {
            feed_id: row.get("feed_id")?,
            feed_type: row.get("feed_type")?,
            status: row.get("status")?,
            created_ms: row.get("created_ms")?,
            messages: row.get("messages")?,
            invalid: row.get("invalid")?,
        },
        begins_ms: row.get("begins_ms")?,
        ends_ms: row.get("ends_ms")?,
        fate: FeedFate::from_word(&row.get::<_, String>("fate")?).unwrap_or(FeedFate::Done),
        document: row.get("document")?,
        result: row.get("result")?,
    })
}
