//! What workers write of an item in their hand.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{find, is_unsettled, room, step_columns};
use crate::{
    shop::{
        product::{Asin, sku},
        upload::{self, ItemId, State, Step},
    },
    store::{
        Fence,
        shop::{Begun, Item, NextStep, Settled},
        sqlite::shop::catalogue::{PriceChange, insert_price_change},
    },
};

/// The item, if it is in the run's hand.
fn in_hand(conn: &Connection, fence: &Fence, id: ItemId) -> rusqlite::Result<Option<Item>> {
    let is_ours = |item: &Item| item.lease.is_some_and(|lease| lease.run == fence.run && lease.generation == fence.generation);
    Ok(find(conn, id)?.filter(is_ours))
}

pub(super) fn begin(conn: &Connection, fence: &Fence, next: &NextStep, at: Timestamp) -> rusqlite::Result<Begun> {
    let Some(item) = in_hand(conn, fence, next.item)? else { return Ok(Begun::NotYours) };
    let state = super::steps(conn, next.item)?.into_iter().find(|state| state.step == next.step);
    if let Some(state) = state {
        if state.done_at.is_some() {
            return Ok(Begun::Done);
        }
        if next.step == Step::Create {
            return Ok(Begun::Open(state.begun_at));
        }
    }
    if next.step == Step::Create {
        if item.wish.is_some() {
            return Ok(Begun::Unwanted);
        }
        if !count(conn, &item, next, at)? {
            return Ok(Begun::Capped);
        }
    }
    let (step, number) = step_columns(next.step);
    conn.prepare_cached("INSERT INTO queue_steps (item, step, number, begun_at_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
        .execute(params![next.item.0, step, number, at.as_millisecond()])?;
    conn.prepare_cached("UPDATE queue SET lease_until_ms = max(lease_until_ms, ?2) WHERE id = ?1")?
        .execute(params![next.item.0, next.lease_until.as_millisecond()])?;
    Ok(Begun::Go)
}

/// A listing counts for the day on which it is made: one that was claimed on another day needs a place of this one. False: there is none.
fn count(conn: &Connection, item: &Item, next: &NextStep, at: Timestamp) -> rusqlite::Result<bool> {
    let counts_at: Option<i64> =
        conn.prepare_cached("SELECT counted_at_ms FROM queue WHERE id = ?1")?.query_row([item.id.0], |row| row.get(0))?;
    let day = next.cap.day.start.as_millisecond()..next.cap.day.end.as_millisecond();
    if counts_at.is_some_and(|at| day.contains(&at)) {
        return Ok(true);
    }
    if room(conn, item.work, &item.account, &next.cap)? == 0 {
        return Ok(false);
    }
    conn.prepare_cached("UPDATE queue SET counted_at_ms = ?2 WHERE id = ?1")?.execute(params![item.id.0, at.as_millisecond()])?;
    Ok(true)
}

pub(super) fn finish(
    conn: &Connection,
    fence: &Fence,
    (id, step): (ItemId, Step),
    item_id: Option<&str>,
    at: Timestamp,
) -> rusqlite::Result<bool> {
    let Some(item) = in_hand(conn, fence, id)? else { return Ok(false) };
    let (word, number) = step_columns(step);
    conn.prepare_cached("UPDATE queue_steps SET done_at_ms = ?4 WHERE item = ?1 AND step = ?2 AND number = ?3")?.execute(params![
        id.0,
        word,
        number,
        at.as_millisecond()
    ])?;
    if let (Step::Create, Some(item_id)) = (step, item_id) {
        conn.prepare_cached("UPDATE queue SET item_id = ?2 WHERE id = ?1")?.execute(params![id.0, item_id])?;
        // The shop has it from here on, whatever becomes of its images: buyers see it, so syncs and bans have to reach it.
        conn.prepare_cached(
            "UPDATE listings SET item_id = ?4, state = 'listed', delisted_at_ms = NULL, delisted_why = NULL, delisted_run = NULL
             WHERE platform = ?1 AND account = ?2 AND asin = ?3",
        )?
        .execute(params![item.account.platform.word(), item.account.account, item.subject, item_id])?;
    }
    Ok(true)
}

pub(super) fn withdraw(conn: &Connection, fence: &Fence, (id, step): (ItemId, Step)) -> rusqlite::Result<bool> {
    if in_hand(conn, fence, id)?.is_none() {
        return Ok(false);
    }
    let (word, number) = step_columns(step);
    conn.prepare_cached("DELETE FROM queue_steps WHERE item = ?1 AND step = ?2 AND number = ?3 AND done_at_ms IS NULL")?
        .execute(params![id.0, word, number])?;
    if step == Step::Create {
        conn.prepare_cached("UPDATE queue SET counted_at_ms = NULL WHERE id = ?1 AND item_id IS NULL")?.execute([id.0])?;
    }
    Ok(true)
}

pub(super) fn settle(conn: &Connection, fence: &Fence, id: ItemId, how: &Settled, at: Timestamp) -> rusqlite::Result<Option<State>> {
    let Some(item) = in_hand(conn, fence, id)? else { return Ok(None) };
    let state = upload::act(how.act(), item.wish);
    let (retry_at, refund, error) = match how {
        Settled::Finished { price, visible } => {
            list(conn, fence, &item, (*price, *visible), at)?;
            (None, false, None)
        }
        Settled::PutBack { until, counts, error } => (Some(until).filter(|_| state == State::Pending), !counts, error.as_ref()),
        Settled::Failed(error) | Settled::Doubtful(error) | Settled::Questionable(error) => (None, false, Some(error)),
    };
    // A place of the cap is given back unless a listing was or may have been made.
    let has_place = item.item_id.is_some() || is_unsettled(conn, id)?;
    conn.prepare_cached(
        "UPDATE queue SET state = ?2, run = NULL, generation = NULL, lease_until_ms = NULL, wish = NULL, retry_at_ms = ?3,
           attempts = max(attempts - ?4, 0), counted_at_ms = iif(?5, counted_at_ms, NULL), error_code = ?6, error_text = ?7, ended_at_ms = ?8
         WHERE id = ?1",
    )?
    .execute(params![
        id.0,
        state.word(),
        retry_at.filter(|until| **until > at).map(|until| until.as_millisecond()),
        refund,
        has_place,
        error.map(|error| &error.code),
        error.map(|error| &error.text),
        Some(at.as_millisecond()).filter(|_| !state.is_open())
    ])?;
    Ok(Some(state))
}

/// The listing stands in the catalogue, with what was written at the shop.
fn list(conn: &Connection, fence: &Fence, item: &Item, (price, visible): (i64, bool), at: Timestamp) -> rusqlite::Result<()> {
    let (platform, account) = (item.account.platform.word(), &item.account.account);
    let old: Option<Option<i64>> = conn
        .prepare_cached("SELECT price_yen FROM listings WHERE platform = ?1 AND account = ?2 AND asin = ?3")?
        .query_row(params![platform, account, item.subject], |row| row.get(0))
        .optional()?;
    if let Some(asin) = Asin::parse(&item.subject) {
        let change =
            PriceChange { shop: &item.account, asin: &asin, old: old.flatten(), new: price, reason: "listed", run: Some(fence.run) };
        insert_price_change(conn, &change, at)?;
        // A listing that somebody cleared away meanwhile is there again: the shop has it.
        conn.prepare_cached(
            "INSERT INTO listings (asin, platform, account, sku, item_id, state, price_yen, visible, written_at_ms, created_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, 'listed', ?6, ?7, ?8, ?8)
             ON CONFLICT (asin, platform, account) DO UPDATE SET item_id = excluded.item_id, state = 'listed', price_yen = excluded.price_yen,
               visible = excluded.visible, written_at_ms = excluded.written_at_ms",
        )?
        .execute(params![asin.as_str(), platform, account, sku(account, &asin), item.item_id, price, visible, at.as_millisecond()])?;
    }
    Ok(())
}
