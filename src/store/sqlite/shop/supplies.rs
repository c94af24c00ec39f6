//! Supplies in SQLite.
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::{
    SqliteStore, guarded,
    rows::{instant, maybe_instant, word},
};
use crate::{
    core::task::RunId,
    shop::upload::{PRIORITY, Work},
    store::{
        Answer, Fence,
        shop::{
            ChecksDue, Found, Guarded, Missing, NewItem, Replaced, Supplies, Supply, SupplyCount, SupplyFilter, SupplyKey, SupplyRow,
            SupplyState, TakenIn,
        },
    },
};

impl Supplies for SqliteStore {
    fn take_in_supplies(&self, rows: Vec<SupplyRow>, at: Timestamp) -> Answer<Vec<TakenIn>> {
        self.db.write("take in supplies", move |conn| rows.iter().map(|row| take_in(conn, row, at)).collect())
    }

    fn supplies(&self, filter: SupplyFilter) -> Answer<Vec<Supply>> {
        self.db.read("list supplies", move |conn| list(conn, &filter))
    }

    fn supply(&self, key: SupplyKey) -> Answer<Option<Supply>> {
        self.db.read("read a supply", move |conn| find(conn, &key))
    }

    fn supply_counts(&self) -> Answer<Vec<SupplyCount>> {
        self.db.read("count supplies", counts)
    }

    fn queue_checks(&self, fence: Fence, due: ChecksDue, at: Timestamp) -> Answer<Guarded<u32>> {
        self.db.write("queue checks", move |conn| guarded(conn, &fence, || queue_checks(conn, &fence, &due, at)))
    }

    fn checks_due(&self, due: ChecksDue) -> Answer<Vec<Supply>> {
        self.db.read("read which checks are due", move |conn| {
            let (twice, four) = (due.twice_since.as_millisecond(), due.four_since.as_millisecond());
            conn.prepare_cached(WOULD_BE_CHECKED)?.query_map(params![due.source, twice, four, many(due.limit)], supply)?.collect()
        })
    }

    fn supply_seen(&self, fence: Fence, key: SupplyKey, item: Arc<str>, price: Option<i64>, at: Timestamp) -> Answer<Guarded<bool>> {
        self.db.write("keep that an item is there", move |conn| {
            guarded(conn, &fence, || checked(conn, &fence, (&key, &item), Said::There(price), at))
        })
    }

    fn supply_missing(&self, fence: Fence, key: SupplyKey, item: Arc<str>, at: Timestamp) -> Answer<Guarded<bool>> {
        self.db
            .write("keep that an item is gone", move |conn| guarded(conn, &fence, || checked(conn, &fence, (&key, &item), Said::Gone, at)))
    }

    fn found(&self, run: RunId, source: Arc<str>) -> Answer<Found> {
        self.db.read("count what a run has found", move |conn| found(conn, run, &source))
    }

    fn settle_missing(&self, fence: Fence, source: Arc<str>, what: Missing, at: Timestamp) -> Answer<Guarded<Vec<SupplyKey>>> {
        self.db.write("settle what is gone", move |conn| guarded(conn, &fence, || settle_missing(conn, &fence, &source, what, at)))
    }

    fn queue_replacements(&self, fence: Fence, source: Arc<str>, since: Timestamp, limit: usize, at: Timestamp) -> Answer<Guarded<u32>> {
        self.db.write("queue replacements", move |conn| guarded(conn, &fence, || queue_replacements(conn, &source, since, limit, at)))
    }

    fn replace_supply(&self, fence: Fence, key: SupplyKey, gone: Arc<str>, new: NewItem, at: Timestamp) -> Answer<Guarded<Replaced>> {
        self.db.write("replace an item", move |conn| guarded(conn, &fence, || replace(conn, &key, &gone, &new, at)))
    }

    fn supply_searched(&self, fence: Fence, key: SupplyKey, at: Timestamp) -> Answer<Guarded<()>> {
        self.db.write("keep that a search was made", move |conn| {
            guarded(conn, &fence, || {
                conn.prepare_cached("UPDATE supplies SET searched_at_ms = ?3 WHERE account = ?1 AND sku = ?2")?
                    .execute(params![key.account, key.sku, at.as_millisecond()])
                    .map(drop)
            })
        })
    }

    fn stock_to_push(&self, account: Arc<str>, limit: usize) -> Answer<Vec<(Arc<str>, u32)>> {
        self.db.read("read what Amazon is to be told", move |conn| {
            conn.prepare_cached(TO_PUSH)?
                .query_map(params![account, many(limit)], |row| Ok((text(row, "sku")?, row.get("wanted")?)))?
                .collect()
        })
    }

    fn stock_pushed(&self, fence: Fence, account: Arc<str>, told: Vec<(Arc<str>, u32)>, _at: Timestamp) -> Answer<Guarded<()>> {
        self.db.write("keep what Amazon was told", move |conn| {
            guarded(conn, &fence, || {
                let mut keep = conn.prepare_cached("UPDATE supplies SET pushed = ?3 WHERE account = ?1 AND sku = ?2")?;
                told.iter().try_for_each(|(sku, stock)| keep.execute(params![account, sku, stock]).map(drop))
            })
        })
    }

    fn listings_to_withdraw(&self, account: Arc<str>, limit: usize) -> Answer<Vec<Arc<str>>> {
        self.db.read("read what is to be withdrawn", move |conn| {
            conn.prepare_cached(TO_WITHDRAW)?.query_map(params![account, many(limit)], |row| text(row, "sku"))?.collect()
        })
    }

    fn listings_withdrawn(&self, fence: Fence, account: Arc<str>, skus: Vec<Arc<str>>, at: Timestamp) -> Answer<Guarded<()>> {
        self.db.write("keep what was withdrawn", move |conn| {
            guarded(conn, &fence, || {
                // One that is backed anew meanwhile stays so, but Amazon knows no stock of it any more.
                let mut keep = conn.prepare_cached(
                    "UPDATE supplies SET pushed = NULL, changed_at_ms = iif(state = 'withdraw', ?3, changed_at_ms),
                       state = iif(state = 'withdraw', 'withdrawn', state) WHERE account = ?1 AND sku = ?2",
                )?;
                skus.iter().try_for_each(|sku| keep.execute(params![account, sku, at.as_millisecond()]).map(drop))
            })
        })
    }

    fn expired_supplies(&self, before: Timestamp, limit: usize) -> Answer<Vec<Supply>> {
        self.db.read("read old supplies", move |conn| {
            conn.prepare_cached(EXPIRED)?.query_map(params![before.as_millisecond(), many(limit)], supply)?.collect()
        })
    }

    fn delete_supply(&self, fence: Fence, key: SupplyKey, before: Timestamp) -> Answer<Guarded<bool>> {
        self.db.write("forget a supply", move |conn| {
            guarded(conn, &fence, || {
                conn.prepare_cached(
                    "DELETE FROM supplies WHERE account = ?1 AND sku = ?2 AND changed_at_ms < ?3
                       AND (state = 'withdrawn' OR (state = 'gone' AND pushed = 0))",
                )?
                .execute(params![key.account, key.sku, before.as_millisecond()])
                .map(|deleted| deleted > 0)
            })
        })
    }
}

pub(super) const TO_PUSH: &str = "SELECT sku, wanted FROM supplies
     WHERE account = ?1 AND wanted IS NOT pushed AND state IN ('backed', 'gone') ORDER BY changed_at_ms, sku LIMIT ?2";
pub(super) const TO_WITHDRAW: &str =
    "SELECT sku FROM supplies WHERE account = ?1 AND state = 'withdraw' ORDER BY changed_at_ms, sku LIMIT ?2";
pub(super) const EXPIRED: &str = "SELECT * FROM supplies WHERE state IN ('gone', 'withdrawn') AND changed_at_ms < ?1
       AND (state = 'withdrawn' OR pushed = 0) ORDER BY changed_at_ms, account, sku LIMIT ?2";

fn many(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn text(row: &Row<'_>, column: &str) -> rusqlite::Result<Arc<str>> {
    row.get::<_, Box<str>>(column).map(Into::into)
}

fn maybe(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Arc<str>>> {
    row.get::<_, Option<Box<str>>>(column).map(|text| text.map(Into::into))
}

fn key(row: &Row<'_>) -> rusqlite::Result<SupplyKey> {
    Ok(SupplyKey { account: text(row, "account")?, sku: text(row, "sku")? })
}

fn supply(row: &Row<'_>) -> rusqlite::Result<Supply> {
    Ok(Supply {
        key: key(row)?,
        source: text(row, "source")?,
        item: text(row, "source_item")?,
        query: maybe(row, "query")?,
        max_price: row.get("max_price_yen")?,
        checks_per_day: row.get("checks_per_day")?,
        restock: row.get("restock")?,
        images: maybe(row, "images")?,
        state: word(row, "state", SupplyState::from_word)?,
        wanted: row.get("wanted")?,
        pushed: row.get("pushed")?,
        price: row.get("price_yen")?,
        gone_at: maybe_instant(row, "gone_at_ms")?,
        checked_at: maybe_instant(row, "checked_at_ms")?,
        changed_at: instant(row, "changed_at_ms")?,
        searched_at: maybe_instant(row, "searched_at_ms")?,
    })
}

fn find(conn: &Connection, key: &SupplyKey) -> rusqlite::Result<Option<Supply>> {
    conn.prepare_cached("SELECT * FROM supplies WHERE account = ?1 AND sku = ?2")?
        .query_row(params![key.account, key.sku], supply)
        .optional()
}

fn list(conn: &Connection, filter: &SupplyFilter) -> rusqlite::Result<Vec<Supply>> {
    conn.prepare_cached(
        "SELECT * FROM supplies WHERE (?1 IS NULL OR source = ?1) AND (?2 IS NULL OR account = ?2) AND (?3 IS NULL OR state = ?3)
         ORDER BY account, sku LIMIT ?4",
    )?
    .query_map(params![filter.source, filter.account, filter.state.map(SupplyState::word), many(filter.limit)], supply)?
    .collect()
}

fn counts(conn: &Connection) -> rusqlite::Result<Vec<SupplyCount>> {
    conn.prepare_cached(
        "SELECT source, state, count(*) AS supplies, sum(wanted IS NOT pushed AND state <> 'withdrawn') AS unpushed,
           iif(count(checked_at_ms) = count(*), min(checked_at_ms), NULL) AS oldest
         FROM supplies GROUP BY source, state ORDER BY source, state",
    )?
    .query_map([], |row| {
        Ok(SupplyCount {
            source: text(row, "source")?,
            state: word(row, "state", SupplyState::from_word)?,
            supplies: row.get("supplies")?,
            unpushed: row.get("unpushed")?,
            oldest_check: maybe_instant(row, "oldest")?,
        })
    })?
    .collect()
}

/// Whether an item that is there backs another listing.
fn is_taken(conn: &Connection, (source, item): (&str, &str), key: &SupplyKey) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM supplies WHERE source = ?1 AND source_item = ?2 AND state = 'backed' AND (account, sku) <> (?3, ?4))",
    )?
    .query_row(params![source, item, key.account, key.sku], |row| row.get(0))
}

fn take_in(conn: &Connection, row: &SupplyRow, at: Timestamp) -> rusqlite::Result<TakenIn> {
    let known = find(conn, &row.key)?;
    let is_moved = known.as_ref().is_none_or(|known| (&known.source, &known.item) != (&row.source, &row.item));
    if is_moved && is_taken(conn, (&row.source, &row.item), &row.key)? {
        return Ok(TakenIn::Taken);
    }
    if let Some(known) = &known {
        let is_same = !is_moved
            && (row.query.is_none() || row.query == known.query)
            && (row.max_price.is_none() || row.max_price == known.max_price)
            && (row.checks_per_day.is_none_or(|checks| checks == known.checks_per_day))
            && (row.restock.is_none_or(|restock| restock == known.restock))
            && (row.images.is_none() || row.images == known.images);
        if is_same {
            return Ok(TakenIn::Same);
        }
    }
    let restock = row.restock.or(known.as_ref().map(|known| known.restock)).unwrap_or(1);
    conn.prepare_cached(
        "INSERT INTO supplies (account, sku, source, source_item, query, max_price_yen, checks_per_day, restock, images, state, wanted,
           changed_at_ms, created_at_ms)
         VALUES (:account, :sku, :source, :item, :query, :max_price, coalesce(:checks, 2), :restock, :images, 'backed', :restock, :at, :at)
         ON CONFLICT (account, sku) DO UPDATE SET
           query = coalesce(:query, query), max_price_yen = coalesce(:max_price, max_price_yen),
           checks_per_day = coalesce(:checks, checks_per_day), restock = :restock, images = coalesce(:images, images),
           wanted = iif(:moved OR state = 'backed', :restock, wanted),
           state = iif(:moved, 'backed', state), gone_at_ms = iif(:moved, NULL, gone_at_ms), missing = iif(:moved, 0, missing),
           price_yen = iif(:moved, NULL, price_yen), queued_at_ms = iif(:moved, NULL, queued_at_ms),
           changed_at_ms = iif(:moved, :at, changed_at_ms), source = :source, source_item = :item",
    )?
    .execute(named_params! {
        ":account": row.key.account, ":sku": row.key.sku, ":source": row.source, ":item": row.item, ":query": row.query,
        ":max_price": row.max_price, ":checks": row.checks_per_day, ":restock": restock, ":images": row.images, ":moved": is_moved,
        ":at": at.as_millisecond(),
    })?;
    Ok(if known.is_some() { TakenIn::Changed } else { TakenIn::Added })
}

/// Puts work for a supply into the queue; false: it is there already.
fn enqueue(conn: &Connection, work: Work, source: &str, key: &SupplyKey, at: Timestamp) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "INSERT INTO queue (kind, platform, account, subject, state, priority, scheduled_at_ms, created_at_ms)
         VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?6) ON CONFLICT DO NOTHING",
    )?
    .execute(params![work.word(), source, key.account, key.sku, PRIORITY, at.as_millisecond()])
    .map(|added| added > 0)
}

pub(super) const DUE: &str = "SELECT account, sku FROM supplies
     WHERE source = ?1 AND checks_per_day = ?2 AND state = 'backed' AND (queued_at_ms IS NULL OR queued_at_ms < ?3)
       AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.kind = 'check' AND q.platform = ?1 AND q.account = supplies.account
                       AND q.subject = supplies.sku AND q.state = 'failed' AND q.error_code = 'poison')
     ORDER BY queued_at_ms LIMIT ?4";

/// What a run would check: what it would queue, as above, and what waits in the queue.
const WOULD_BE_CHECKED: &str = "SELECT * FROM supplies
     WHERE source = ?1 AND state = 'backed'
       AND (queued_at_ms IS NULL OR missing = 1 OR queued_at_ms < CASE checks_per_day WHEN 4 THEN ?3 ELSE ?2 END
            OR EXISTS (SELECT 1 FROM queue q WHERE q.kind = 'check' AND q.platform = ?1 AND q.account = supplies.account
                       AND q.subject = supplies.sku AND q.state = 'pending'))
       AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.kind = 'check' AND q.platform = ?1 AND q.account = supplies.account
                       AND q.subject = supplies.sku AND q.state = 'failed' AND q.error_code = 'poison')
     ORDER BY checks_per_day, queued_at_ms, account, sku LIMIT ?4";

fn queue_checks(conn: &Connection, fence: &Fence, due: &ChecksDue, at: Timestamp) -> rusqlite::Result<u32> {
    // What a run found gone that never came to its end is asked anew.
    conn.prepare_cached("UPDATE supplies SET missing = 0, queued_at_ms = NULL WHERE source = ?1 AND missing = 1 AND checked_run <> ?2")?
        .execute(params![due.source, fence.run.0])?;
    let mut queued: u32 = 0;
    for (class, since) in [(2_u8, due.twice_since), (4, due.four_since)] {
        let left = due.limit.saturating_sub(usize::try_from(queued).unwrap_or(usize::MAX));
        let found: Vec<SupplyKey> = conn
            .prepare_cached(DUE)?
            .query_map(params![due.source, class, since.as_millisecond(), many(left)], key)?
            .collect::<rusqlite::Result<_>>()?;
        for key in found {
            enqueue(conn, Work::Check, &due.source, &key, at)?;
            conn.prepare_cached("UPDATE supplies SET queued_at_ms = ?3 WHERE account = ?1 AND sku = ?2")?.execute(params![
                key.account,
                key.sku,
                at.as_millisecond()
            ])?;
            queued = queued.saturating_add(1);
        }
    }
    Ok(queued)
}

/// What a source said of an item.
#[derive(Clone, Copy, Debug)]
enum Said {
    /// It is on sale, for this price if it said one.
    There(Option<i64>),
    Gone,
}

/// Keeps what a source said of an item.
fn checked(conn: &Connection, fence: &Fence, (key, item): (&SupplyKey, &str), said: Said, at: Timestamp) -> rusqlite::Result<bool> {
    let (is_gone, price) = match said {
        Said::There(price) => (false, price),
        Said::Gone => (true, None),
    };
    conn.prepare_cached(
        "UPDATE supplies SET checked_run = ?4, checked_at_ms = ?5, missing = ?6, price_yen = coalesce(?7, price_yen)
         WHERE account = ?1 AND sku = ?2 AND source_item = ?3 AND state = 'backed'",
    )?
    .execute(params![key.account, key.sku, item, fence.run.0, at.as_millisecond(), is_gone, price])
    .map(|changed| changed > 0)
}

fn found(conn: &Connection, run: RunId, source: &str) -> rusqlite::Result<Found> {
    conn.prepare_cached(
        "SELECT count(*) AS checked, coalesce(sum(missing), 0) AS missing FROM supplies WHERE source = ?1 AND checked_run = ?2",
    )?
    .query_row(params![source, run.0], |row| Ok(Found { checked: row.get("checked")?, missing: row.get("missing")? }))
}

fn settle_missing(conn: &Connection, fence: &Fence, source: &str, what: Missing, at: Timestamp) -> rusqlite::Result<Vec<SupplyKey>> {
    let state = match what {
        Missing::OutOfStock => SupplyState::Gone,
        Missing::Withdraw => SupplyState::Withdraw,
        Missing::Forget => SupplyState::Backed,
    };
    let is_gone = state != SupplyState::Backed;
    conn.prepare_cached(
        "UPDATE supplies SET missing = 0, state = ?3, wanted = iif(?4, 0, wanted), gone_at_ms = iif(?4, checked_at_ms, NULL),
           changed_at_ms = iif(?4, ?5, changed_at_ms), searched_at_ms = iif(?4, NULL, searched_at_ms)
         WHERE source = ?1 AND checked_run = ?2 AND missing = 1 RETURNING account, sku",
    )?
    .query_map(params![source, fence.run.0, state.word(), is_gone, at.as_millisecond()], key)?
    .collect()
}

pub(super) const TO_REPLACE: &str = "SELECT account, sku FROM supplies
     WHERE source = ?1 AND state = 'gone' AND query IS NOT NULL AND (searched_at_ms IS NULL OR searched_at_ms < ?2)
       AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.kind = 'replace' AND q.platform = ?1 AND q.account = supplies.account
                       AND q.subject = supplies.sku AND (q.state IN ('pending', 'uploading', 'uncertain', 'review', 'on_hold')
                                                         OR (q.state = 'failed' AND q.error_code = 'poison')))
     ORDER BY searched_at_ms LIMIT ?3";

fn queue_replacements(conn: &Connection, source: &str, since: Timestamp, limit: usize, at: Timestamp) -> rusqlite::Result<u32> {
    let found: Vec<SupplyKey> = conn
        .prepare_cached(TO_REPLACE)?
        .query_map(params![source, since.as_millisecond(), many(limit)], key)?
        .collect::<rusqlite::Result<_>>()?;
    let mut queued: u32 = 0;
    for key in &found {
        queued = queued.saturating_add(u32::from(enqueue(conn, Work::Replace, source, key, at)?));
    }
    Ok(queued)
}

fn replace(conn: &Connection, key: &SupplyKey, gone: &str, new: &NewItem, at: Timestamp) -> rusqlite::Result<Replaced> {
    let Some(known) = find(conn, key)?.filter(|known| known.state == SupplyState::Gone && &*known.item == gone) else {
        return Ok(Replaced::NotWanted);
    };
    if is_taken(conn, (&known.source, &new.item), key)? {
        return Ok(Replaced::Taken);
    }
    conn.prepare_cached(
        "UPDATE supplies SET source_item = ?3, price_yen = ?4, state = 'backed', wanted = restock, gone_at_ms = NULL, changed_at_ms = ?5,
           searched_at_ms = ?5, queued_at_ms = ?5 WHERE account = ?1 AND sku = ?2",
    )?
    .execute(params![key.account, key.sku, new.item, new.price, at.as_millisecond()])?;
    Ok(Replaced::Made)
}
