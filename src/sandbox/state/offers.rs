//! eBay's items and offers, and every listing that there ever was.
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::State;

/// An offer of an item at one of eBay's marketplaces.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Offer {
    pub offer_id: i64,
    pub account: String,
    /// The shop's own number of the item.
    pub sku: String,
    pub marketplace: String,
    /// The listing, while it is published.
    pub listing_id: Option<i64>,
    /// As it was sent, with what was changed since.
    pub body: Value,
}

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS stocks (account TEXT NOT NULL, sku TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, sku)) STRICT;
CREATE TABLE IF NOT EXISTS offers (offer_id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, sku TEXT NOT NULL, marketplace TEXT NOT NULL, listing_id INTEGER, body TEXT NOT NULL,
  UNIQUE (account, sku, marketplace)) STRICT;
CREATE TABLE IF NOT EXISTS published (listing_id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, sku TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;
-- The two kinds of numbers are never the same.
INSERT INTO sqlite_sequence SELECT 'offers', 8000000000 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'offers');
INSERT INTO sqlite_sequence SELECT 'published', 110000000000 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'published');
";

impl State {
    /// Puts an item in its place; whether one was there.
    pub(in crate::sandbox) fn put_stock(&self, account: &str, sku: &str, body: &Value) -> rusqlite::Result<bool> {
        let conn = self.conn();
        let was_there = stock(&conn, account, sku)?.is_some();
        conn.execute("INSERT OR REPLACE INTO stocks VALUES (?1, ?2, ?3)", params![account, sku, body.to_string()])?;
        Ok(was_there)
    }

    pub(in crate::sandbox) fn stock(&self, account: &str, sku: &str) -> rusqlite::Result<Option<Value>> {
        stock(&self.conn(), account, sku)
    }

    /// Sets how many there are; false: there is no such item.
    pub(in crate::sandbox) fn set_stock(&self, account: &str, sku: &str, quantity: i64) -> rusqlite::Result<bool> {
        let sql = "UPDATE stocks SET body = json_set(body, '$.availability.shipToLocationAvailability.quantity', ?3) WHERE account = ?1 AND sku = ?2";
        Ok(self.conn().execute(sql, params![account, sku, quantity])? > 0)
    }

    /// Takes an item away, and its offers; whether it was there.
    pub(in crate::sandbox) fn remove_stock(&self, account: &str, sku: &str) -> rusqlite::Result<bool> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        tx.execute("DELETE FROM offers WHERE account = ?1 AND sku = ?2", [account, sku])?;
        let removed = tx.execute("DELETE FROM stocks WHERE account = ?1 AND sku = ?2", [account, sku])?;
        tx.commit()?;
        Ok(removed > 0)
    }

    /// An offer, whosever it is.
    pub(in crate::sandbox) fn offer(&self, offer_id: i64) -> rusqlite::Result<Option<Offer>> {
        self.conn().query_row("SELECT * FROM offers WHERE offer_id = ?1", [offer_id], read).optional()
    }

    /// The offers of a shop, or of one of its items.
    pub(in crate::sandbox) fn offers(&self, account: &str, sku: Option<&str>) -> rusqlite::Result<Vec<Offer>> {
        let sql = "SELECT * FROM offers WHERE account = ?1 AND sku = coalesce(?2, sku) ORDER BY offer_id";
        self.conn().prepare_cached(sql)?.query_map(params![account, sku], read)?.collect()
    }

    /// A new offer; where there is one for the item and the marketplace, that one's number.
    pub(in crate::sandbox) fn add_offer(
        &self,
        account: &str,
        sku: &str,
        marketplace: &str,
        body: &Value,
    ) -> rusqlite::Result<Result<Offer, i64>> {
        let conn = self.conn();
        let sql = "INSERT INTO offers (account, sku, marketplace, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING RETURNING *";
        if let Some(offer) = conn.query_row(sql, params![account, sku, marketplace, body.to_string()], read).optional()? {
            return Ok(Ok(offer));
        }
        let sql = "SELECT offer_id FROM offers WHERE account = ?1 AND sku = ?2 AND marketplace = ?3";
        conn.query_row(sql, [account, sku, marketplace], |row| row.get(0)).map(Err)
    }

    pub(in crate::sandbox) fn change_offer(&self, offer: &Offer) -> rusqlite::Result<()> {
        self.conn().execute("UPDATE offers SET body = ?2 WHERE offer_id = ?1", params![offer.offer_id, offer.body.to_string()]).map(drop)
    }

    pub(in crate::sandbox) fn remove_offer(&self, offer_id: i64) -> rusqlite::Result<()> {
        self.conn().execute("DELETE FROM offers WHERE offer_id = ?1", [offer_id]).map(drop)
    }

    /// Makes a listing of an offer; `None`: it is one.
    pub(in crate::sandbox) fn publish(&self, offer: &Offer, at_ms: i64) -> rusqlite::Result<Option<i64>> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        let sql = "INSERT INTO published (account, sku, at_ms) SELECT account, sku, ?2 FROM offers WHERE offer_id = ?1 AND listing_id IS NULL RETURNING listing_id";
        let listing_id: Option<i64> = tx.query_row(sql, params![offer.offer_id, at_ms], |row| row.get(0)).optional()?;
        if let Some(listing_id) = listing_id {
            tx.execute("UPDATE offers SET listing_id = ?2 WHERE offer_id = ?1", [offer.offer_id, listing_id])?;
        }
        tx.commit()?;
        Ok(listing_id)
    }

    pub(in crate::sandbox) fn withdraw(&self, offer_id: i64) -> rusqlite::Result<()> {
        self.conn().execute("UPDATE offers SET listing_id = NULL WHERE offer_id = ?1", [offer_id]).map(drop)
    }
}

fn stock(conn: &Connection, account: &str, sku: &str) -> rusqlite::Result<Option<Value>> {
    conn.query_row("SELECT body FROM stocks WHERE account = ?1 AND sku = ?2", [account, sku], |row| body(row, 0)).optional()
}

fn body(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    let wrong = |error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error));
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(wrong)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Offer> {
    Ok(Offer {
        offer_id: row.get(0)?,
        account: row.get(1)?,
        sku: row.get(2)?,
        marketplace: row.get(3)?,
        listing_id: row.get(4)?,
        body: body(row, 5)?,
    })
}
