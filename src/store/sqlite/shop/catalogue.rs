//! Products, and where they are listed.
//!
//! Only named columns are written, and an absent value never takes the place of one that is there.
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
        import,
        offer::Finding,
        product::{Asin, Dated, Details, Listing, ListingState, Platform, Product, Stock},
    },
    store::{
        Answer, Fence,
        shop::{AccountKey, Catalogue, CatalogueEntry, CatalogueFilter, CatalogueRow, DataAge, Guarded, NewListing, Weighed},
    },
};

mod look;
mod take_in;
#[cfg(test)]
mod tests;

impl Catalogue for SqliteStore {
    fn listed_products(&self) -> Answer<Vec<Product>> {
        self.db.read("read the catalogue", listed_products)
    }

    fn listed_details(&self, after: Option<Asin>, limit: usize) -> Answer<Vec<(Asin, Details)>> {
        self.db.read("read what is listed", move |conn| look::listed_details(conn, after.as_ref(), limit))
    }

    fn products_to_list(&self, shop: AccountKey, due: Timestamp, limit: usize) -> Answer<Vec<Product>> {
        self.db.read("read what is to be listed", move |conn| products_to_list(conn, &shop, due, limit))
    }

    fn listings(&self, shop: AccountKey) -> Answer<Vec<Listing>> {
        self.db.read("read a shop's listings", move |conn| listings(conn, &shop))
    }

    fn add_listings(&self, listings: Vec<NewListing>, at: Timestamp) -> Answer<usize> {
        self.db.write("take in listings", move |conn| {
            let taken = take_in::take_in(conn, listings.into_iter().map(row_of), at)?;
            Ok(taken.iter().flatten().filter(|weight| weight.adds).count())
        })
    }

    fn learn(&self, fence: Fence, findings: Vec<(Asin, Finding)>, at: Timestamp) -> Answer<Guarded<()>> {
        self.db.write("keep what was found", move |conn| {
            guarded(conn, &fence, || findings.iter().try_for_each(|(asin, finding)| learn(conn, asin, finding, at)))
        })
    }

    fn weigh(&self, rows: Vec<import::Row>) -> Answer<Weighed> {
        self.db.read("compare an import with the catalogue", move |conn| {
            rows.iter().map(|row| Ok(import::weigh(row, &take_in::known(conn, row)?.after_earlier_rows(row)))).collect()
        })
    }

    fn take_in(&self, rows: Vec<import::Row>, at: Timestamp) -> Answer<Weighed> {
        self.db.write("take in an import", move |conn| take_in::take_in(conn, rows, at))
    }

    fn count_products(&self) -> Answer<u32> {
        self.db.read("count the products", |conn| conn.prepare_cached("SELECT count(*) FROM products")?.query_row([], |row| row.get(0)))
    }

    fn products(&self, filter: CatalogueFilter) -> Answer<Vec<CatalogueRow>> {
        self.db.read("list products", move |conn| look::products(conn, &filter))
    }

    fn product(&self, asin: Asin, history: usize) -> Answer<Option<CatalogueEntry>> {
        self.db.read("read a product", move |conn| look::product(conn, &asin, history))
    }

    fn data_age(&self, at: Timestamp) -> Answer<DataAge> {
        self.db.read("look how old the data is", move |conn| look::data_age(conn, at))
    }
}

fn row_of(new: NewListing) -> import::Row {
    let listing = import::Placing {
        platform: new.shop.platform,
        account: new.shop.account,
        item_id: new.item_id,
        sku: Some(new.sku),
        price: None,
        visible: None,
    };
    let details = Details { title: new.title, ..Default::default() };
    import::Row { line: 0, asin: new.asin, details, listings: vec![listing], earlier: None }
}

fn listed_products(conn: &Connection) -> rusqlite::Result<Vec<Product>> {
    conn.prepare_cached(
        "SELECT asin, cost_yen, cost_before_yen, cost_fetched_at_ms, stock, stock_fetched_at_ms FROM products
         WHERE asin IN (SELECT asin FROM listings WHERE state = 'listed') ORDER BY coalesce(stock_fetched_at_ms, 0), asin",
    )?
    .query_map([], product)?
    .collect()
}

/// Products that nobody has said a shop of yet.
const WITHOUT_SHOP: &str = "SELECT asin, cost_yen, cost_before_yen, cost_fetched_at_ms, stock, stock_fetched_at_ms FROM products p
    WHERE NOT EXISTS (SELECT 1 FROM listings l WHERE l.asin = p.asin) ORDER BY coalesce(stock_fetched_at_ms, 0), asin LIMIT ?1";

fn products_to_list(conn: &Connection, shop: &AccountKey, due: Timestamp, limit: usize) -> rusqlite::Result<Vec<Product>> {
    let most = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut found = conn
        .prepare_cached(
            "SELECT asin, cost_yen, cost_before_yen, cost_fetched_at_ms, stock, stock_fetched_at_ms FROM products p
         WHERE asin IN (SELECT asin FROM listings WHERE platform = ?1 AND account = ?2 AND state = 'pending')
           AND asin NOT IN (SELECT asin FROM listings WHERE state = 'listed')
         ORDER BY EXISTS (SELECT 1 FROM queue q WHERE q.subject = p.asin AND q.platform = ?1 AND q.account = ?2 AND q.state = 'pending'
             AND q.scheduled_at_ms < ?3) DESC, coalesce(stock_fetched_at_ms, 0), asin LIMIT ?4",
        )?
        .query_map(params![shop.platform.word(), shop.account, due.as_millisecond(), most(limit)], product)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let rest = most(limit.saturating_sub(found.len()));
    for product in conn.prepare_cached(WITHOUT_SHOP)?.query_map([rest], product)? {
        found.push(product?);
    }
    Ok(found)
}

fn product(row: &Row<'_>) -> rusqlite::Result<Product> {
    let stock = maybe_word(row, "stock", Stock::from_word)?;
    Ok(Product {
        asin: asin(row)?,
        cost: dated(row, row.get("cost_yen")?, "cost_fetched_at_ms")?,
        cost_before: row.get("cost_before_yen")?,
        stock: dated(row, stock, "stock_fetched_at_ms")?,
    })
}

/// A value with its date; the schema has neither without the other.
fn dated<T>(row: &Row<'_>, value: Option<T>, date: &str) -> rusqlite::Result<Option<Dated<T>>> {
    Ok(value.zip(maybe_instant(row, date)?).map(|(value, fetched_at)| Dated { value, fetched_at }))
}

fn listings(conn: &Connection, shop: &AccountKey) -> rusqlite::Result<Vec<Listing>> {
    conn.prepare_cached("SELECT * FROM listings WHERE platform = ?1 AND account = ?2 AND state = 'listed' ORDER BY asin")?
        .query_map(params![shop.platform.word(), shop.account], listing)?
        .collect()
}

fn listing(row: &Row<'_>) -> rusqlite::Result<Listing> {
    Ok(Listing {
        asin: asin(row)?,
        platform: word(row, "platform", Platform::from_word)?,
        account: text(row, "account")?,
        item_id: maybe_text(row, "item_id")?,
        sku: text(row, "sku")?,
        price: row.get("price_yen")?,
        visible: row.get("visible")?,
        written_at: maybe_instant(row, "written_at_ms")?,
        state: word(row, "state", ListingState::from_word)?,
    })
}

fn text(row: &Row<'_>, column: &str) -> rusqlite::Result<Arc<str>> {
    row.get::<_, Box<str>>(column).map(Into::into)
}

fn maybe_text(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Arc<str>>> {
    Ok(row.get::<_, Option<Box<str>>>(column)?.map(Into::into))
}

fn learn(conn: &Connection, asin: &Asin, finding: &Finding, at: Timestamp) -> rusqlite::Result<()> {
    let (cost, stock) = match finding {
        Finding::Ok { cost } => (Some(*cost), Stock::InStock),
        Finding::NoOffer => (None, Stock::NoOffer),
        Finding::Filtered(_) => (None, Stock::Filtered),
        Finding::Error { .. } => return Ok(()),
    };
    if let Some(cost) = cost {
        conn.prepare_cached(
            "INSERT INTO cost_history (asin, old_yen, new_yen, at_ms) SELECT asin, cost_yen, ?2, ?3 FROM products WHERE asin = ?1 AND cost_yen IS NOT ?2",
        )?
        .execute(params![asin.as_str(), cost, at.as_millisecond()])?;
    }
    conn.prepare_cached(
        "UPDATE products SET cost_before_yen = iif(?2 IS NULL, cost_before_yen, cost_yen), cost_yen = coalesce(?2, cost_yen),
           cost_fetched_at_ms = iif(?2 IS NULL, cost_fetched_at_ms, ?4),
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
