//! Rows of an import: what is known beside them, and what they add and change.
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params, types::Type};

use super::{PriceChange, insert_price_change, maybe_text, text};
use crate::{
    shop::{
        import::{self, Change, Known, KnownListing, ListingNow, Placing},
        product::{Asin, Details, ListingState},
    },
    store::{
        shop::{AccountKey, Weighed},
        sqlite::rows::word,
    },
};

/// Why a price changed, in the history.
const REASON: &str = "import";

/// Takes in all rows that are not refused.
pub(super) fn take_in(conn: &Connection, rows: impl IntoIterator<Item = import::Row>, at: Timestamp) -> rusqlite::Result<Weighed> {
    let one = |row: import::Row| {
        let known = known(conn, &row)?;
        let weight = import::weigh(&row, &known);
        if weight.as_ref().is_ok_and(|weight| weight.writes()) {
            apply(conn, &row, &known, at)?;
        }
        Ok(weight)
    };
    rows.into_iter().map(one).collect()
}

/// What is known beside a row.
pub(super) fn known(conn: &Connection, row: &import::Row) -> rusqlite::Result<Known> {
    Ok(Known {
        details: details(conn, &row.asin)?,
        listings: row.listings.iter().map(|placing| known_listing(conn, &row.asin, placing)).collect::<Result<_, _>>()?,
    })
}

fn details(conn: &Connection, asin: &Asin) -> rusqlite::Result<Option<Details>> {
    conn.prepare_cached(
        "SELECT title, description, brand, category, images FROM products LEFT JOIN product_texts USING (asin) WHERE asin = ?1",
    )?
    .query_row([asin.as_str()], read_details)
    .optional()
}

/// What people see of a product, undated.
pub(super) fn read_details(row: &Row<'_>) -> rusqlite::Result<Details> {
    Ok(Details {
        title: row.get("title")?,
        description: row.get("description")?,
        brand: row.get("brand")?,
        category: row.get("category")?,
        images: images(row)?,
    })
}

/// The addresses in the column `images`.
pub(super) fn images(row: &Row<'_>) -> rusqlite::Result<Option<Vec<String>>> {
    let list: Option<Box<str>> = row.get("images")?;
    let failed = |error: serde_json::Error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into());
    list.map(|list| serde_json::from_str(&list).map_err(failed)).transpose()
}

fn known_listing(conn: &Connection, asin: &Asin, placing: &Placing) -> rusqlite::Result<KnownListing> {
    let read = |row: &Row<'_>| {
        Ok(ListingNow {
            state: word(row, "state", ListingState::from_word)?,
            item_id: maybe_text(row, "item_id")?,
            sku: text(row, "sku")?,
            price: row.get("price_yen")?,
            visible: row.get("visible")?,
        })
    };
    let (platform, account) = (placing.platform.word(), &placing.account);
    let now = conn
        .prepare_cached("SELECT state, item_id, sku, price_yen, visible FROM listings WHERE asin = ?1 AND platform = ?2 AND account = ?3")?
        .query_row(params![asin.as_str(), platform, account], read)
        .optional()?;
    let other =
        |sql, name: &Arc<str>| conn.prepare_cached(sql)?.query_row(params![platform, account, name, asin.as_str()], super::asin).optional();
    let sku = if now.is_some() { placing.sku.clone() } else { Some(placing.sku_of(asin)) };
    let sku_of = "SELECT asin FROM listings WHERE platform = ?1 AND account = ?2 AND sku = ?3 AND asin <> ?4";
    let item_of = "SELECT asin FROM listings WHERE platform = ?1 AND account = ?2 AND item_id = ?3 AND asin <> ?4";
    Ok(KnownListing {
        now,
        sku_of: sku.map(|sku| other(sku_of, &sku)).transpose()?.flatten(),
        item_of: placing.item_id.as_ref().map(|item| other(item_of, item)).transpose()?.flatten(),
    })
}

fn apply(conn: &Connection, row: &import::Row, known: &Known, at: Timestamp) -> rusqlite::Result<()> {
    if known.details.as_ref().is_none_or(|details| import::weigh_details(&row.details, details) != Change::Nothing) {
        put_details(conn, &row.asin, &row.details, at)?;
    }
    for (placing, known) in row.listings.iter().zip(&known.listings) {
        match &known.now {
            None => add_listing(conn, &row.asin, placing, at)?,
            Some(now) => change_listing(conn, &row.asin, placing, now, at)?,
        }
    }
    Ok(())
}

/// Writes the details that are given; a value that is another than before gets a new date.
fn put_details(conn: &Connection, asin: &Asin, details: &Details, at: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO products (asin, title, brand, category, created_at_ms, title_fetched_at_ms, brand_fetched_at_ms, category_fetched_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, iif(?2 IS NULL, NULL, ?5), iif(?3 IS NULL, NULL, ?5), iif(?4 IS NULL, NULL, ?5))
         ON CONFLICT (asin) DO UPDATE SET
           title = coalesce(?2, title), title_fetched_at_ms = iif(?2 IS NULL OR ?2 IS title, title_fetched_at_ms, ?5),
           brand = coalesce(?3, brand), brand_fetched_at_ms = iif(?3 IS NULL OR ?3 IS brand, brand_fetched_at_ms, ?5),
           category = coalesce(?4, category), category_fetched_at_ms = iif(?4 IS NULL OR ?4 IS category, category_fetched_at_ms, ?5),
           updated_at_ms = ?5",
    )?
    .execute(params![asin.as_str(), details.title, details.brand, details.category, at.as_millisecond()])?;
    if details.description.is_some() || details.images.is_some() { put_texts(conn, asin, details, at) } else { Ok(()) }
}

fn put_texts(conn: &Connection, asin: &Asin, details: &Details, at: Timestamp) -> rusqlite::Result<()> {
    let failed = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    let images = details.images.as_ref().map(|images| serde_json::to_string(images).map_err(failed)).transpose()?;
    conn.prepare_cached(
        "INSERT INTO product_texts (asin, description, images, description_fetched_at_ms, images_fetched_at_ms)
         VALUES (?1, ?2, ?3, iif(?2 IS NULL, NULL, ?4), iif(?3 IS NULL, NULL, ?4))
         ON CONFLICT (asin) DO UPDATE SET
           description = coalesce(?2, description),
           description_fetched_at_ms = iif(?2 IS NULL OR ?2 IS description, description_fetched_at_ms, ?4),
           images = coalesce(?3, images), images_fetched_at_ms = iif(?3 IS NULL OR ?3 IS images, images_fetched_at_ms, ?4)",
    )?
    .execute(params![asin.as_str(), details.description, images, at.as_millisecond()])
    .map(drop)
}

fn add_listing(conn: &Connection, asin: &Asin, placing: &Placing, at: Timestamp) -> rusqlite::Result<()> {
    let state = if placing.item_id.is_some() { ListingState::Listed } else { ListingState::Pending };
    conn.prepare_cached(
        "INSERT INTO listings (asin, platform, account, item_id, sku, price_yen, visible, state, created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        asin.as_str(),
        placing.platform.word(),
        placing.account,
        placing.item_id,
        placing.sku_of(asin),
        placing.price,
        placing.visible,
        state.word(),
        at.as_millisecond()
    ])?;
    record_price(conn, asin, placing, None, at)
}

fn change_listing(conn: &Connection, asin: &Asin, placing: &Placing, now: &ListingNow, at: Timestamp) -> rusqlite::Result<()> {
    // A number at the shop is all that an import can do to a state: it makes a pending listing a listed one.
    let changed = conn
        .prepare_cached(
            "UPDATE listings SET item_id = coalesce(?4, item_id), state = iif(?4 IS NULL, state, 'listed'),
               price_yen = coalesce(?5, price_yen), visible = coalesce(?6, visible)
             WHERE asin = ?1 AND platform = ?2 AND account = ?3 AND state IN ('pending', 'listed')",
        )?
        .execute(params![asin.as_str(), placing.platform.word(), placing.account, placing.item_id, placing.price, placing.visible])?;
    if changed == 0 { Ok(()) } else { record_price(conn, asin, placing, now.price, at) }
}

fn record_price(conn: &Connection, asin: &Asin, placing: &Placing, old: Option<i64>, at: Timestamp) -> rusqlite::Result<()> {
    let Some(new) = placing.price else { return Ok(()) };
    let shop = AccountKey { platform: placing.platform, account: Arc::clone(&placing.account) };
    insert_price_change(conn, &PriceChange { shop: &shop, asin, old, new, reason: REASON, run: None }, at)
}
