//! The catalogue, and the writes under way at the shops.
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{
    SqliteStore, check_fence, quotas,
    rows::{maybe_instant, maybe_word, word},
    tokens,
};
use crate::{
    core::value::Secret,
    shop::{
        difference::Edit,
        offer::Finding,
        product::{Asin, Dated, Listing, ListingState, Product, Stock},
        quota::{Place, Rule},
    },
    store::{
        Answer, Fence,
        shop::{AccountKey, Claim, Fate, Guarded, Intent, IntentId, NewListing, OpenIntent, QuotaKey, ShopStore, Token, TokenPair},
    },
};

impl ShopStore for SqliteStore {
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

    fn open_intent(&self, fence: Fence, intent: Intent, at: Timestamp) -> Answer<Guarded<IntentId>> {
        self.db.write("record a write before it is made", move |conn| guarded(conn, &fence, || open_intent(conn, &fence, &intent, at)))
    }

    fn settle_intent(&self, fence: Fence, id: IntentId, fate: Fate, at: Timestamp) -> Answer<Guarded<()>> {
        self.db.write("settle a write", move |conn| guarded(conn, &fence, || settle_intent(conn, id, fate, at)))
    }

    fn open_intents(&self, shop: AccountKey) -> Answer<Vec<OpenIntent>> {
        self.db.read("read the writes under way", move |conn| open_intents(conn, &shop))
    }

    fn token(&self, account: AccountKey, configured: Option<Secret>) -> Answer<Option<Token>> {
        self.db.write("read an account's tokens", move |conn| tokens::token(conn, &account, configured.as_ref()))
    }

    fn claim_refresh(&self, account: AccountKey, generation: i64, at: Timestamp, until: Timestamp) -> Answer<Claim> {
        self.db.write("claim a refresh", move |conn| tokens::claim(conn, &account, generation, at, until))
    }

    fn keep_token(&self, account: AccountKey, generation: i64, pair: TokenPair) -> Answer<bool> {
        self.db.write("keep new tokens", move |conn| tokens::keep(conn, &account, generation, &pair))
    }

    fn release_refresh(&self, account: AccountKey, generation: i64) -> Answer<()> {
        self.db.write("give up a refresh", move |conn| tokens::release(conn, &account, generation))
    }

    fn take_place(&self, key: QuotaKey, rule: Rule, at: Timestamp, latest: Timestamp) -> Answer<Place> {
        self.db.write("take a place in a quota", move |conn| quotas::take_place(conn, &key, rule, at, latest))
    }

    fn exhaust(&self, key: QuotaKey, rule: Rule, at: Timestamp) -> Answer<()> {
        self.db.write("mark a quota as used up", move |conn| quotas::exhaust(conn, &key, rule, at))
    }

    fn learn_interval(&self, key: QuotaKey, interval_ms: i64) -> Answer<()> {
        self.db.write("keep a quota's rate", move |conn| quotas::learn_interval(conn, &key, interval_ms))
    }
}

/// Writes, if the fence allows it.
fn guarded<T>(conn: &Connection, fence: &Fence, write: impl FnOnce() -> rusqlite::Result<T>) -> rusqlite::Result<Guarded<T>> {
    if check_fence(conn, fence)? { write().map(Guarded::Done) } else { Ok(Guarded::Fenced) }
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
        "INSERT INTO products (asin, title, created_at_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT (asin) DO UPDATE SET title = coalesce(title, excluded.title) WHERE title IS NULL AND excluded.title IS NOT NULL",
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
        "UPDATE products SET cost_yen = coalesce(?2, cost_yen), cost_fetched_at_ms = iif(?2 IS NULL, cost_fetched_at_ms, ?4),
           stock = ?3, stock_fetched_at_ms = ?4 WHERE asin = ?1",
    )?
    .execute(params![asin.as_str(), cost, stock.word(), at.as_millisecond()])
    .map(drop)
}

fn open_intent(conn: &Connection, fence: &Fence, intent: &Intent, at: Timestamp) -> rusqlite::Result<IntentId> {
    let Intent { shop, asin, item_id, edit } = intent;
    conn.prepare_cached(
        "INSERT INTO intents (instance, run, platform, account, asin, item_id, price_yen, visible, created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id",
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
            at.as_millisecond()
        ],
        |row| row.get(0).map(IntentId),
    )
}

fn settle_intent(conn: &Connection, id: IntentId, fate: Fate, at: Timestamp) -> rusqlite::Result<()> {
    if fate == Fate::Made {
        conn.prepare_cached(
            "UPDATE listings SET price_yen = coalesce(i.price_yen, listings.price_yen), visible = coalesce(i.visible, listings.visible), written_at_ms = ?2
             FROM intents i WHERE i.id = ?1 AND i.platform = listings.platform AND i.account = listings.account AND i.item_id = listings.item_id",
        )?
        .execute(params![id.0, at.as_millisecond()])?;
    }
    conn.prepare_cached("DELETE FROM intents WHERE id = ?1")?.execute([id.0]).map(drop)
}

fn open_intents(conn: &Connection, shop: &AccountKey) -> rusqlite::Result<Vec<OpenIntent>> {
    let intent = |row: &Row<'_>| {
        Ok(OpenIntent {
            id: IntentId(row.get("id")?),
            intent: Intent {
                shop: shop.clone(),
                asin: asin(row)?,
                item_id: row.get::<_, Box<str>>("item_id")?.into(),
                edit: Edit { price: row.get("price_yen")?, visible: row.get("visible")? },
            },
        })
    };
    conn.prepare_cached("SELECT * FROM intents WHERE platform = ?1 AND account = ?2 ORDER BY id")?
        .query_map(params![shop.platform.word(), shop.account], intent)?
        .collect()
}

fn asin(row: &Row<'_>) -> rusqlite::Result<Asin> {
    word(row, "asin", Asin::parse)
}
