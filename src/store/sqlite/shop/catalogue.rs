//! Products, and where they are listed.
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{
    SqliteStore, asin, guarded,
    rows::{maybe_instant, maybe_word, word},
};
use crate::{
    core::task::RunId,
    shop::{
        offer::Finding,
        product::{Asin, Dated, Listing, ListingState, Product, Stock},
    },
    store::{
        Answer, Fence,
        shop::{AccountKey, Catalogue, Guarded, NewListing},
    },
};

impl Catalogue for SqliteStore {
    fn listed_products(&self) -> Answer<Vec<Product>> {
        self.db.read("read the catalogue", listed_products)
    }

    fn listings(&self, shop: AccountKey) -> Answer<Vec<Listing>> {
        self.db.read("read a shop's listings", move |conn| listings(conn, &shop))
    }

    fn add_listings(&self, listings: Vec<NewListing>, at: Timestamp) -> Answer<usize> {
        self.db.write("take in listings", move |conn| listings.iter().map(|listing| add_listing(conn, listing, at)).sum())
    }

    fn learn(&self, fence: Fence, findings: Vec<(Asin, Finding)>, at: Timestamp) -> Answer<Guarded<()>> {
        self.db.write("keep what was found", move |conn| {
            guarded(conn, &fence, || findings.iter().try_for_each(|(asin, finding)| learn(conn, asin, finding, at)))
        })
    }
}

fn listed_products(conn: &Connection) -> rusqlite::Result<Vec<Product>> {
    let product = |row: &Row<'_>| {
        let cost: Option<i64> = row.get("cost_yen")?;
        let stock = maybe_word(row, "stock", Stock::from_word)?;
        Ok(Product {
            asin: asin(row)?,
            cost: cost.zip(maybe_instant(row, "cost_fetched_at_ms")?).map(|(value, fetched_at)| Dated { value, fetched_at }),
            stock: stock.zip(maybe_instant(row, "stock_fetched_at_ms")?).map(|(value, fetched_at)| Dated { value, fetched_at }),
        })
    };
    conn.prepare_cached(
        "SELECT * FROM products WHERE asin IN (SELECT asin FROM listings WHERE state = 'listed') ORDER BY stock_fetched_at_ms NULLS FIRST, asin",
    )?
    .query_map([], product)?
    .collect()
}

fn listings(conn: &Connection, shop: &AccountKey) -> rusqlite::Result<Vec<Listing>> {
    let listing = |row: &Row<'_>| {
        Ok(Listing {
            asin: asin(row)?,
            platform: shop.platform,
            account: Arc::clone(&shop.account),
            item_id: row.get::<_, Option<Box<str>>>("item_id")?.map(Into::into),
            sku: row.get::<_, Box<str>>("sku")?.into(),
            price: row.get("price_yen")?,
            visible: row.get("visible")?,
            state: word(row, "state", ListingState::from_word)?,
        })
    };
    conn.prepare_cached("SELECT * FROM listings WHERE platform = ?1 AND account = ?2 AND state = 'listed' ORDER BY asin")?
        .query_map(params![shop.platform.word(), shop.account], listing)?
        .collect()
}

fn add_listing(conn: &Connection, new: &NewListing, at: Timestamp) -> rusqlite::Result<usize> {
    // An absent title never overwrites one that is known.
    conn.prepare_cached(
        "INSERT INTO products (asin, title, title_fetched_at_ms, created_at_ms) VALUES (?1, ?2, iif(?2 IS NULL, NULL, ?3), ?3)
         ON CONFLICT (asin) DO UPDATE SET title = excluded.title, title_fetched_at_ms = excluded.title_fetched_at_ms, updated_at_ms = ?3
           WHERE title IS NULL AND excluded.title IS NOT NULL",
    )?
    .execute(params![new.asin.as_str(), new.title, at.as_millisecond()])?;
    let state = if new.item_id.is_some() { ListingState::Listed } else { ListingState::Pending };
    conn.prepare_cached(
        "INSERT INTO listings (asin, platform, account, item_id, sku, state, created_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        new.asin.as_str(),
        new.shop.platform.word(),
        new.shop.account,
        new.item_id,
        new.sku,
        state.word(),
        at.as_millisecond()
    ])
}

fn learn(conn: &Connection, asin: &Asin, finding: &Finding, at: Timestamp) -> rusqlite::Result<()> {
    let (cost, stock) = match finding {
        Finding::Ok { cost } => (Some(*cost), Stock::InStock),
        Finding::NoOffer => (None, Stock::NoOffer),
        Finding::Filtered(_) => (None, Stock::Filtered),
        Finding::Error { .. } => return Ok(()),
    };
    conn.prepare_cached(
        "INSERT INTO cost_history (asin, old_yen, new_yen, at_ms) SELECT asin, cost_yen, ?2, ?3 FROM products WHERE asin = ?1 AND cost_yen IS NOT ?2 AND ?2 IS NOT NULL",
    )?
    .execute(params![asin.as_str(), cost, at.as_millisecond()])?;
    conn.prepare_cached(
        "UPDATE products SET cost_yen = coalesce(?2, cost_yen), cost_fetched_at_ms = iif(?2 IS NULL, cost_fetched_at_ms, ?4),
           stock = ?3, stock_fetched_at_ms = ?4 WHERE asin = ?1",
    )?
    .execute(params![asin.as_str(), cost, stock.word(), at.as_millisecond()])
    .map(drop)
}

/// A change of what a shop asks for a product.
#[derive(Debug)]
pub(super) struct PriceChange<'a> {
    pub(super) shop: &'a AccountKey,
    pub(super) asin: &'a Asin,
    /// In yen; `None`: none was known.
    pub(super) old: Option<i64>,
    /// In yen.
    pub(super) new: i64,
    /// Why, for people; not empty.
    pub(super) reason: &'a str,
    /// `None`: no run's, but a person's import.
    pub(super) run: Option<RunId>,
}

/// Writes a change of a price into the history, with what the product costs now. One that changes nothing leaves no row.
pub(super) fn insert_price_change(conn: &Connection, change: &PriceChange<'_>, at: Timestamp) -> rusqlite::Result<()> {
    if change.old == Some(change.new) {
        return Ok(());
    }
    conn.prepare_cached(
        "INSERT INTO price_history (asin, platform, account, old_yen, new_yen, cost_yen, reason, run, at_ms)
         SELECT asin, ?2, ?3, ?4, ?5, cost_yen, ?6, ?7, ?8 FROM products WHERE asin = ?1",
    )?
    .execute(params![
        change.asin.as_str(),
        change.shop.platform.word(),
        change.shop.account,
        change.old,
        change.new,
        change.reason,
        change.run.map(|run| run.0),
        at.as_millisecond()
    ])
    .map(drop)
}
