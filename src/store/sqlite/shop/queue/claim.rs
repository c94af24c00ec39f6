//! Items for a worker.
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{alive, find, room, steps};
use crate::{
    shop::upload::ItemId,
    store::{
        Fence,
        shop::{Batch, ClaimRequest, Claimed},
    },
};

/// Where a waiting item stands in the order: scheduled time, priority (high first), number.
type Turn = (i64, std::cmp::Reverse<u8>, i64);

/// What a new item takes of the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// A place.
    Place,
    /// None: its listing is made, or it took its place before.
    Nothing,
}

pub(super) fn claim(conn: &Connection, fence: &Fence, request: &ClaimRequest, at: Timestamp) -> rusqlite::Result<Batch> {
    wake(conn, request, at)?;
    let mut batch = Batch::default();
    for id in left_open(conn, fence, request, at)? {
        let item = take(conn, fence, request, id, Takes::Nothing, at)?;
        batch.items.extend(item.map(|item| Claimed { left_open: true, ..item }));
    }
    let wanted = request.limit.saturating_sub(batch.items.len());
    if wanted == 0 {
        return Ok(batch);
    }
    let mut fresh = waiting(conn, FRESH, request, wanted, at)?;
    let room = room(conn, request.work, &request.account, &request.cap)?;
    batch.capped = fresh.len() > room;
    fresh.truncate(room);
    let begun = waiting(conn, BEGUN, request, wanted, at)?;
    let mut turns: Vec<(Turn, Takes)> = fresh.into_iter().map(|turn| (turn, Takes::Place)).collect();
    turns.extend(begun.into_iter().map(|turn| (turn, Takes::Nothing)));
    turns.sort_unstable_by_key(|(turn, _)| *turn);
    for ((.., id), takes) in turns.into_iter().take(wanted) {
        batch.items.extend(take(conn, fence, request, ItemId(id), takes, at)?);
    }
    Ok(batch)
}

pub(super) const WAKE: &str =
    "UPDATE queue SET retry_at_ms = NULL WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND state = 'pending' AND retry_at_ms <= ?4";

/// Those that were put back and are due again stand in the line once more, so that no claim has to walk past those that are not.
fn wake(conn: &Connection, request: &ClaimRequest, at: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(WAKE)?
        .execute(params![request.work.word(), request.account.platform.word(), request.account.account, at.as_millisecond()])
        .map(drop)
}

pub(super) const LEFT_OPEN: &str = concat!(
    "SELECT q.id FROM queue q WHERE q.kind = ?1 AND q.platform = ?2 AND q.account = ?3 AND q.state = 'uploading'
       AND (q.lease_until_ms <= ?4 OR q.run = ?5 OR NOT ",
    alive!(),
    ") ORDER BY q.id LIMIT ?6"
);

/// Items in a hand that is no more: the oldest first.
fn left_open(conn: &Connection, fence: &Fence, request: &ClaimRequest, at: Timestamp) -> rusqlite::Result<Vec<ItemId>> {
    conn.prepare_cached(LEFT_OPEN)?
        .query_map(
            params![
                request.work.word(),
                request.account.platform.word(),
                request.account.account,
                at.as_millisecond(),
                fence.run.0,
                i64::try_from(request.limit).unwrap_or(i64::MAX)
            ],
            |row| row.get(0).map(ItemId),
        )?
        .collect()
}

macro_rules! waiting {
    ($item_id:literal) => {
        concat!(
            "SELECT scheduled_at_ms, priority, id FROM queue
             WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND state = 'pending' AND retry_at_ms IS NULL AND item_id ",
            $item_id,
            " AND scheduled_at_ms <= ?4 ORDER BY scheduled_at_ms, priority DESC, id LIMIT ?5"
        )
    };
}

/// Those whose listing is still to be made, and those that have it.
pub(super) const FRESH: &str = waiting!("IS NULL");
pub(super) const BEGUN: &str = waiting!("IS NOT NULL");

fn waiting(conn: &Connection, sql: &str, request: &ClaimRequest, limit: usize, at: Timestamp) -> rusqlite::Result<Vec<Turn>> {
    let turn = |row: &Row<'_>| Ok((row.get(0)?, std::cmp::Reverse(row.get(1)?), row.get(2)?));
    conn.prepare_cached(sql)?
        .query_map(
            params![
                request.work.word(),
                request.account.platform.word(),
                request.account.account,
                at.as_millisecond(),
                i64::try_from(limit).unwrap_or(i64::MAX)
            ],
            turn,
        )?
        .collect()
}

fn take(
    conn: &Connection,
    fence: &Fence,
    request: &ClaimRequest,
    id: ItemId,
    takes: Takes,
    at: Timestamp,
) -> rusqlite::Result<Option<Claimed>> {
    conn.prepare_cached(
        "UPDATE queue SET state = 'uploading', run = ?2, generation = ?3, lease_until_ms = ?4, attempts = attempts + 1,
           counted_at_ms = iif(?5, ?6, counted_at_ms) WHERE id = ?1",
    )?
    .execute(params![
        id.0,
        fence.run.0,
        fence.generation.0,
        request.lease_until.as_millisecond(),
        takes == Takes::Place,
        at.as_millisecond()
    ])?;
    let Some(item) = find(conn, id)? else { return Ok(None) };
    Ok(Some(Claimed { item, steps: steps(conn, id)?, left_open: false }))
}
