//! Listings that a shop no longer knows.
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, asin, guarded, rows::instant};
use crate::{
    shop::product::Asin,
    store::{
        Answer, Fence,
        shop::{AccountKey, Delisted, Delistings, Guarded},
    },
};

impl Delistings for SqliteStore {
    fn delist(&self, fence: Fence, shop: AccountKey, asin: Asin, why: Arc<str>, at: Timestamp) -> Answer<Guarded<bool>> {
        self.db
            .write("take a listing out of the books", move |conn| guarded(conn, &fence, || delist(conn, &fence, (&shop, &asin), &why, at)))
    }

    fn undo_delist(&self, shop: AccountKey, asin: Asin) -> Answer<bool> {
        self.db.write("put a listing back into the books", move |conn| undo_delist(conn, &shop, &asin))
    }

    fn delisted(&self, shop: AccountKey) -> Answer<Vec<Delisted>> {
        self.db.read("read what was taken out of the books", move |conn| delisted(conn, &shop))
    }
}

fn delist(conn: &Connection, fence: &Fence, (shop, asin): (&AccountKey, &Asin), why: &str, at: Timestamp) -> rusqlite::Result<bool> {
    let changed = conn
        .prepare_cached(
            "UPDATE listings SET state = 'delisted', delisted_at_ms = ?4, delisted_why = ?5, delisted_run = ?6
             WHERE platform = ?1 AND account = ?2 AND asin = ?3 AND state = 'listed'",
        )?
        .execute(params![shop.platform.word(), shop.account, asin.as_str(), at.as_millisecond(), why, fence.run.0])?;
    Ok(changed > 0)
}

fn undo_delist(conn: &Connection, shop: &AccountKey, asin: &Asin) -> rusqlite::Result<bool> {
    let changed = conn
        .prepare_cached(
            "UPDATE listings SET state = 'listed', delisted_at_ms = NULL, delisted_why = NULL, delisted_run = NULL
             WHERE platform = ?1 AND account = ?2 AND asin = ?3 AND state = 'delisted' AND item_id IS NOT NULL",
        )?
        .execute(params![shop.platform.word(), shop.account, asin.as_str()])?;
    Ok(changed > 0)
}

fn delisted(conn: &Connection, shop: &AccountKey) -> rusqlite::Result<Vec<Delisted>> {
    let listing = |row: &Row<'_>| {
        Ok(Delisted {
            asin: asin(row)?,
            item_id: row.get::<_, Option<Box<str>>>("item_id")?.map(Into::into),
            at: instant(row, "delisted_at_ms")?,
            why: row.get::<_, Box<str>>("delisted_why")?.into(),
        })
    };
    conn.prepare_cached(
        "SELECT * FROM listings WHERE platform = ?1 AND account = ?2 AND state = 'delisted' AND delisted_at_ms IS NOT NULL
         ORDER BY delisted_at_ms DESC, asin",
    )?
    .query_map(params![shop.platform.word(), shop.account], listing)?
    .collect()
}
