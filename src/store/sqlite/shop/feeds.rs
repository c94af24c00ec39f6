//! What is on its way to a seller's listings at Amazon.
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{SqliteStore, guarded, rows::instant};
use crate::store::{
    Answer, Fence,
    shop::{FeedEnd, FeedRow, Feeds, Guarded, IntentId, OpenFeed, Push, Refusal},
};

/// Feeds of a seller that are remembered; Amazon forgets them after 90 days.
const KEPT_MAX: i64 = 500;

impl Feeds for SqliteStore {
    fn open_push(&self, fence: Fence, account: Arc<str>, push: Push, at: Timestamp) -> Answer<Guarded<IntentId>> {
        self.db.write("record a push before it is made", move |conn| {
            guarded(conn, &fence, || put(conn, &account, &push, None, at).map(IntentId))
        })
    }

    fn close_push(&self, fence: Fence, id: IntentId) -> Answer<Guarded<()>> {
        self.db.write("close a push", move |conn| {
            guarded(conn, &fence, || conn.prepare_cached("DELETE FROM pushes WHERE id = ?1")?.execute([id.0]).map(drop))
        })
    }

    fn doubtful_pushes(&self, account: Arc<str>, limit: usize) -> Answer<Vec<Arc<str>>> {
        self.db.read("read the doubtful pushes", move |conn| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            conn.prepare_cached("SELECT sku FROM pushes WHERE account = ?1 AND feed IS NULL ORDER BY id LIMIT ?2")?
                .query_map(params![account, limit], sku)?
                .collect()
        })
    }

    fn end_pushes(&self, fence: Fence, account: Arc<str>, skus: Vec<Arc<str>>) -> Answer<Guarded<()>> {
        self.db.write("end pushes", move |conn| {
            guarded(conn, &fence, || {
                skus.iter().try_for_each(|sku| {
                    forget(conn, &account, sku)?;
                    conn.prepare_cached("DELETE FROM refusals WHERE account = ?1 AND sku = ?2")?.execute(params![account, sku]).map(drop)
                })
            })
        })
    }

    fn refuse_pushes(&self, fence: Fence, account: Arc<str>, refused: Vec<Refusal>) -> Answer<Guarded<()>> {
        self.db.write("keep what was refused", move |conn| {
            guarded(conn, &fence, || refused.iter().try_for_each(|refusal| refuse(conn, &account, refusal)))
        })
    }

    fn refusals(&self, account: Arc<str>) -> Answer<Vec<Refusal>> {
        self.db.read("read what was refused", move |conn| {
            conn.prepare_cached("SELECT * FROM refusals WHERE account = ?1 ORDER BY sku")?.query_map([account], refusal)?.collect()
        })
    }

    fn open_feed(&self, account: Arc<str>) -> Answer<Option<OpenFeed>> {
        self.db.read("read the feed in flight", move |conn| {
            conn.prepare_cached("SELECT * FROM feeds WHERE account = ?1 AND state = 'open'")?.query_row([account], open_feed).optional()
        })
    }

    fn begin_feed(&self, fence: Fence, account: Arc<str>, pushes: Vec<Push>, at: Timestamp) -> Answer<Guarded<Option<FeedRow>>> {
        self.db.write("record a feed before it is handed in", move |conn| {
            guarded(conn, &fence, || begin_feed(conn, &fence, &account, &pushes, at))
        })
    }

    fn feed_submitted(&self, fence: Fence, row: FeedRow, feed_id: Arc<str>) -> Answer<Guarded<()>> {
        self.db.write("keep a feed's number", move |conn| {
            let sql = "UPDATE feeds SET feed_id = ?2 WHERE id = ?1";
            guarded(conn, &fence, || conn.prepare_cached(sql)?.execute(params![row.0, feed_id]).map(drop))
        })
    }

    fn feed_pushes(&self, row: FeedRow) -> Answer<Vec<(u32, Push)>> {
        self.db.read("read what a feed is about", move |conn| {
            conn.prepare_cached("SELECT * FROM pushes WHERE feed = ?1 ORDER BY message")?
                .query_map([row.0], |row| Ok((row.get("message")?, push(row)?)))?
                .collect()
        })
    }

    fn end_feed(&self, fence: Fence, row: FeedRow, end: FeedEnd, at: Timestamp) -> Answer<Guarded<()>> {
        self.db.write("end a feed", move |conn| guarded(conn, &fence, || end_feed(conn, row, &end, at)))
    }

    fn feed_ids(&self, account: Arc<str>) -> Answer<Vec<Arc<str>>> {
        self.db.read("read the numbers of feeds", move |conn| {
            conn.prepare_cached("SELECT feed_id FROM feeds WHERE account = ?1 AND feed_id IS NOT NULL ORDER BY id")?
                .query_map([account], |row| row.get::<_, Box<str>>(0).map(Arc::from))?
                .collect()
        })
    }
}

fn put(conn: &Connection, account: &str, push: &Push, feed: Option<(FeedRow, u32)>, at: Timestamp) -> rusqlite::Result<i64> {
    conn.prepare_cached(
        "INSERT INTO pushes (account, sku, stock, feed, message, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (account, sku) DO UPDATE SET stock = excluded.stock, feed = excluded.feed, message = excluded.message, at_ms = excluded.at_ms
         RETURNING id",
    )?
    .query_row(
        params![account, push.sku, push.stock, feed.map(|(row, _)| row.0), feed.map(|(_, message)| message), at.as_millisecond()],
        |row| row.get(0),
    )
}

fn forget(conn: &Connection, account: &str, sku: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM pushes WHERE account = ?1 AND sku = ?2")?.execute([account, sku]).map(drop)
}

fn refuse(conn: &Connection, account: &str, refusal: &Refusal) -> rusqlite::Result<()> {
    let Refusal { push, code, text, at } = refusal;
    forget(conn, account, &push.sku)?;
    conn.prepare_cached("INSERT OR REPLACE INTO refusals (account, sku, stock, code, text, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![account, push.sku, push.stock, code, text, at.as_millisecond()])
        .map(drop)
}

fn begin_feed(conn: &Connection, fence: &Fence, account: &str, pushes: &[Push], at: Timestamp) -> rusqlite::Result<Option<FeedRow>> {
    let messages = i64::try_from(pushes.len()).unwrap_or(i64::MAX);
    let row = conn
        .prepare_cached(
            "INSERT INTO feeds (account, messages, state, run, begun_at_ms) VALUES (?1, ?2, 'open', ?3, ?4) ON CONFLICT DO NOTHING RETURNING id",
        )?
        .query_row(params![account, messages, fence.run.0, at.as_millisecond()], |row| row.get(0).map(FeedRow))
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    for (message, push) in (1_u32..).zip(pushes) {
        put(conn, account, push, Some((row, message)), at)?;
    }
    Ok(Some(row))
}

fn end_feed(conn: &Connection, row: FeedRow, end: &FeedEnd, at: Timestamp) -> rusqlite::Result<()> {
    let (state, why) = match end {
        FeedEnd::Done => ("done", None),
        FeedEnd::Failed(why) => ("failed", Some(why)),
    };
    conn.prepare_cached("UPDATE pushes SET feed = NULL, message = NULL WHERE feed = ?1")?.execute([row.0])?;
    conn.prepare_cached("UPDATE feeds SET state = ?2, why = ?3, ended_at_ms = ?4 WHERE id = ?1")?.execute(params![
        row.0,
        state,
        why,
        at.as_millisecond()
    ])?;
    conn.prepare_cached("DELETE FROM feeds WHERE state <> 'open' AND id <= ?1 - ?2")?.execute([row.0, KEPT_MAX]).map(drop)
}

fn sku(row: &Row<'_>) -> rusqlite::Result<Arc<str>> {
    row.get::<_, Box<str>>("sku").map(Arc::from)
}

fn push(row: &Row<'_>) -> rusqlite::Result<Push> {
    Ok(Push { sku: sku(row)?, stock: row.get("stock")? })
}

fn refusal(row: &Row<'_>) -> rusqlite::Result<Refusal> {
    let text = |name| row.get::<_, Box<str>>(name).map(Arc::from);
    Ok(Refusal { push: push(row)?, code: text("code")?, text: text("text")?, at: instant(row, "at_ms")? })
}

fn open_feed(row: &Row<'_>) -> rusqlite::Result<OpenFeed> {
    Ok(OpenFeed {
        row: FeedRow(row.get("id")?),
        feed_id: row.get::<_, Option<Box<str>>>("feed_id")?.map(Into::into),
        at: instant(row, "begun_at_ms")?,
        messages: row.get("messages")?,
    })
}
