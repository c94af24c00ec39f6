//! The writes under way at the shops.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    SqliteStore, asin,
    catalogue::{PriceChange, insert_price_change},
    guarded,
    rows::word,
};
use crate::{
    core::task::RunId,
    shop::{difference::Edit, product::Platform},
    store::{
        Answer, Fence,
        shop::{AccountKey, Fate, Guarded, Intent, IntentId, Intents, OpenIntent},
    },
};

impl Intents for SqliteStore {
    fn open_intent(&self, fence: Fence, intent: Intent, at: Timestamp) -> Answer<Guarded<IntentId>> {
        self.db.write("record a write before it is made", move |conn| guarded(conn, &fence, || open_intent(conn, &fence, &intent, at)))
    }

    fn settle_intent(&self, fence: Fence, id: IntentId, fate: Fate, at: Timestamp) -> Answer<Guarded<()>> {
        self.db.write("settle a write", move |conn| guarded(conn, &fence, || settle_intent(conn, id, fate, at)))
    }

    fn open_edits(&self, shop: AccountKey) -> Answer<Vec<OpenIntent>> {
        self.db.read("read the writes under way", move |conn| open_edits(conn, &shop))
    }
}

fn open_intent(conn: &Connection, fence: &Fence, intent: &Intent, at: Timestamp) -> rusqlite::Result<IntentId> {
    let Intent { shop, asin, item_id, edit } = intent;
    conn.prepare_cached(
        "INSERT INTO intents (kind, instance, run, platform, account, asin, item_id, price_yen, visible, stock, created_at_ms)
         VALUES ('edit', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
    )?
    .query_row(
        params![
            fence.instance.as_str(),
            fence.run.0,
            shop.platform.word(),
            shop.account,
            asin.as_str(),
            item_id,
            edit.price,
            edit.visible,
            edit.stock,
            at.as_millisecond()
        ],
        |row| row.get(0).map(IntentId),
    )
}

fn settle_intent(conn: &Connection, id: IntentId, fate: Fate, at: Timestamp) -> rusqlite::Result<()> {
    if fate == Fate::Made {
        record_price(conn, id, at)?;
        conn.prepare_cached(
            "UPDATE listings SET price_yen = coalesce(i.price_yen, listings.price_yen), visible = coalesce(i.visible, listings.visible), written_at_ms = ?2
             FROM intents i WHERE i.id = ?1 AND i.platform = listings.platform AND i.account = listings.account AND i.item_id = listings.item_id",
        )?
        .execute(params![id.0, at.as_millisecond()])?;
    }
    conn.prepare_cached("DELETE FROM intents WHERE id = ?1")?.execute([id.0]).map(drop)
}

/// The price that the listing is about to take over goes into the history.
fn record_price(conn: &Connection, id: IntentId, at: Timestamp) -> rusqlite::Result<()> {
    let found = conn
        .prepare_cached(
            "SELECT i.asin, i.platform, i.account, i.run, i.price_yen AS new_yen, l.price_yen AS old_yen
             FROM intents i JOIN listings l ON l.platform = i.platform AND l.account = i.account AND l.item_id = i.item_id
             WHERE i.id = ?1 AND i.price_yen IS NOT NULL",
        )?
        .query_row([id.0], |row| {
            let shop =
                AccountKey { platform: word(row, "platform", Platform::from_word)?, account: row.get::<_, Box<str>>("account")?.into() };
            Ok((asin(row)?, shop, RunId(row.get("run")?), row.get("old_yen")?, row.get("new_yen")?))
        })
        .optional()?;
    let Some((asin, shop, run, old, new)) = found else { return Ok(()) };
    insert_price_change(conn, &PriceChange { shop: &shop, asin: &asin, old, new, reason: "sync", run: Some(run) }, at)
}

fn open_edits(conn: &Connection, shop: &AccountKey) -> rusqlite::Result<Vec<OpenIntent>> {
    let intent = |row: &Row<'_>| {
        Ok(OpenIntent {
            id: IntentId(row.get("id")?),
            intent: Intent {
                shop: shop.clone(),
                asin: asin(row)?,
                item_id: row.get::<_, Box<str>>("item_id")?.into(),
                edit: Edit { price: row.get("price_yen")?, visible: row.get("visible")?, stock: row.get("stock")? },
            },
        })
    };
    conn.prepare_cached("SELECT * FROM intents WHERE kind = 'edit' AND platform = ?1 AND account = ?2 ORDER BY id")?
        .query_map(params![shop.platform.word(), shop.account], intent)?
        .collect()
}
