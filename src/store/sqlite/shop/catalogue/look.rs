//! What people and alerts ask the catalogue.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::{
    asin, dated, listing, product as offers_of,
    take_in::{images, read_details},
    text,
};
use crate::{
    core::task::RunId,
    shop::product::{Asin, DatedDetails, Details, Listing, ListingState, Platform, Stock},
    store::{
        shop::{AccountKey, CatalogueEntry, CatalogueFilter, CatalogueRow, CostRow, DataAge, PriceRow},
        sqlite::rows::{instant, maybe_instant, word},
    },
};

/// A listed product, as a condition on `products`.
macro_rules! is_listed {
    () => {
        "EXISTS (SELECT 1 FROM listings WHERE state = 'listed' AND listings.asin = products.asin)"
    };
}

/// What a row of a list shows.
macro_rules! columns {
    () => {
        "asin, title, title_fetched_at_ms, cost_yen, cost_before_yen, cost_fetched_at_ms, stock, stock_fetched_at_ms"
    };
}

/// The statement for a filter. Each shape of it has an index that it walks in the order of the answer, or a short list that it looks up.
pub(super) fn products_sql(filter: &CatalogueFilter) -> String {
    let listed = match (&filter.account, filter.state) {
        (Some(_), Some(_)) => Some("platform = :platform AND account = :account AND state = :state"),
        (Some(_), None) => Some("platform = :platform AND account = :account"),
        (None, Some(_)) => Some("state = :state"),
        (None, None) => None,
    };
    // Where nothing else is asked, the first listings are those of the first products.
    let first = if filter.stock.is_none() && filter.older_than.is_none() { " ORDER BY asin LIMIT :limit" } else { "" };
    let listed = listed.map(|listed| format!("asin IN (SELECT DISTINCT asin FROM listings WHERE {listed}{first})"));
    let stock = filter.stock.map(|_| "stock = :stock".to_owned());
    let conditions = listed.into_iter().chain(stock);
    if filter.older_than.is_none() {
        let conditions: Vec<String> = conditions.collect();
        let filtered = if conditions.is_empty() { String::new() } else { format!("WHERE {} ", conditions.join(" AND ")) };
        return format!("SELECT {} FROM products {filtered}ORDER BY asin LIMIT :limit", columns!());
    }
    // The plus keeps SQLite from another index than that of the ages, which has all that is asked here, and in the right order.
    let more: String = conditions.flat_map(|condition| [" AND +".to_owned(), condition]).collect();
    format!(
        "SELECT {} FROM products WHERE asin IN (SELECT asin FROM products WHERE coalesce(stock_fetched_at_ms, 0) < :older_than{more}
           ORDER BY coalesce(stock_fetched_at_ms, 0), asin LIMIT :limit) ORDER BY coalesce(stock_fetched_at_ms, 0), asin",
        columns!()
    )
}

pub(super) fn products(conn: &Connection, filter: &CatalogueFilter) -> rusqlite::Result<Vec<CatalogueRow>> {
    let mut statement = conn.prepare_cached(&products_sql(filter))?;
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let (platform, account) = filter.account.as_ref().map(|shop| (shop.platform.word(), &shop.account)).unzip();
    let (state, stock) = (filter.state.map(ListingState::word), filter.stock.map(Stock::word));
    let older_than = filter.older_than.map(Timestamp::as_millisecond);
    let given: [(&str, &dyn rusqlite::ToSql, bool); 6] = [
        (":platform", &platform, platform.is_some()),
        (":account", &account, account.is_some()),
        (":state", &state, state.is_some()),
        (":stock", &stock, stock.is_some()),
        (":older_than", &older_than, older_than.is_some()),
        (":limit", &limit, true),
    ];
    let given: Vec<(&str, &dyn rusqlite::ToSql)> = given.into_iter().filter(|one| one.2).map(|(name, value, _)| (name, value)).collect();
    let found = statement.query_map(given.as_slice(), |row| {
        let product = offers_of(row)?;
        let listings = listings_of(conn, &product.asin)?;
        Ok(CatalogueRow { product, title: dated(row, row.get("title")?, "title_fetched_at_ms")?, listings })
    })?;
    found.collect()
}

pub(super) fn listed_details(conn: &Connection, after: Option<&Asin>, limit: usize) -> rusqlite::Result<Vec<(Asin, Details)>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    conn.prepare_cached(LISTED_DETAILS)?
        .query_map(params![after.map_or("", Asin::as_str), limit], |row| Ok((asin(row)?, read_details(row)?)))?
        .collect()
}

fn listings_of(conn: &Connection, asin: &Asin) -> rusqlite::Result<Vec<Listing>> {
    conn.prepare_cached("SELECT * FROM listings WHERE asin = ?1 ORDER BY platform, account")?.query_map([asin.as_str()], listing)?.collect()
}

pub(super) fn product(conn: &Connection, asin: &Asin, history: usize) -> rusqlite::Result<Option<CatalogueEntry>> {
    let limit = i64::try_from(history).unwrap_or(i64::MAX);
    let read = |row: &Row<'_>| {
        Ok(CatalogueEntry {
            product: offers_of(row)?,
            details: DatedDetails {
                title: dated(row, row.get("title")?, "title_fetched_at_ms")?,
                description: dated(row, row.get("description")?, "description_fetched_at_ms")?,
                brand: dated(row, row.get("brand")?, "brand_fetched_at_ms")?,
                category: dated(row, row.get("category")?, "category_fetched_at_ms")?,
                images: dated(row, images(row)?, "images_fetched_at_ms")?,
            },
            created_at: instant(row, "created_at_ms")?,
            updated_at: maybe_instant(row, "updated_at_ms")?,
            listings: listings_of(conn, asin)?,
            prices: prices(conn, asin, limit)?,
            costs: costs(conn, asin, limit)?,
        })
    };
    conn.prepare_cached("SELECT * FROM products LEFT JOIN product_texts USING (asin) WHERE asin = ?1")?
        .query_row([asin.as_str()], read)
        .optional()
}

fn prices(conn: &Connection, asin: &Asin, limit: i64) -> rusqlite::Result<Vec<PriceRow>> {
    let read = |row: &Row<'_>| {
        Ok(PriceRow {
            shop: AccountKey { platform: word(row, "platform", Platform::from_word)?, account: text(row, "account")? },
            old: row.get("old_yen")?,
            new: row.get("new_yen")?,
            cost: row.get("cost_yen")?,
            reason: row.get("reason")?,
            run: row.get::<_, Option<i64>>("run")?.map(RunId),
            at: instant(row, "at_ms")?,
        })
    };
    conn.prepare_cached("SELECT * FROM price_history WHERE asin = ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![asin.as_str(), limit], read)?
        .collect()
}

fn costs(conn: &Connection, asin: &Asin, limit: i64) -> rusqlite::Result<Vec<CostRow>> {
    let read = |row: &Row<'_>| Ok(CostRow { old: row.get("old_yen")?, new: row.get("new_yen")?, at: instant(row, "at_ms")? });
    conn.prepare_cached("SELECT * FROM cost_history WHERE asin = ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![asin.as_str(), limit], read)?
        .collect()
}

pub(super) const LISTED_DETAILS: &str = concat!(
    "SELECT asin, title, description, brand, category, images FROM products LEFT JOIN product_texts USING (asin) WHERE asin > ?1 AND ",
    is_listed!(),
    " ORDER BY asin LIMIT ?2"
);

/// Each part looks only at what it counts, oldest first: where nothing is too old, next to nothing is looked at.
pub(super) const DATA_AGE: &str = concat!(
    "SELECT (SELECT count(DISTINCT asin) FROM listings WHERE state = 'listed') AS listed,
       (SELECT count(*) FROM products WHERE coalesce(stock_fetched_at_ms, 0) = 0 AND ",
    is_listed!(),
    ") AS never,
       (SELECT count(*) FROM products WHERE coalesce(stock_fetched_at_ms, 0) < :at AND ",
    is_listed!(),
    ") AS older,
       (SELECT stock_fetched_at_ms FROM products WHERE coalesce(stock_fetched_at_ms, 0) > 0 AND ",
    is_listed!(),
    " ORDER BY coalesce(stock_fetched_at_ms, 0) LIMIT 1) AS oldest"
);

pub(super) fn data_age(conn: &Connection, at: Timestamp) -> rusqlite::Result<DataAge> {
    conn.prepare_cached(DATA_AGE)?.query_row(named_params! { ":at": at.as_millisecond() }, |row| {
        Ok(DataAge {
            listed: row.get("listed")?,
            never: row.get("never")?,
            older: row.get("older")?,
            oldest: maybe_instant(row, "oldest")?,
        })
    })
}
