//! What people see of the queue.
use std::ops::Range;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{account, counted, item};
use crate::{
    shop::upload::{State, Work},
    store::{
        shop::{AccountKey, Count, Item, ItemFilter, Today},
        sqlite::rows::{maybe_instant, word},
    },
};

pub(super) fn items(conn: &Connection, work: Work, filter: &ItemFilter) -> rusqlite::Result<Vec<Item>> {
    let accounts = match &filter.account {
        Some(account) => vec![account.clone()],
        None => lanes(conn, work)?,
    };
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    for account in &accounts {
        let states: &[State] = match (&filter.state, filter.due_at) {
            (_, Some(_)) => &[State::Pending],
            (Some(state), None) => std::slice::from_ref(state),
            (None, None) => State::ALL,
        };
        for state in states {
            found.extend(of_lane(conn, work, account, *state, filter, limit)?);
        }
    }
    // Each lane gave its first ones in order; the first of all are among them.
    if in_turn(filter) {
        found.sort_by_key(|item| (item.scheduled_at, std::cmp::Reverse(item.priority), item.id));
    } else {
        found.sort_by_key(|item| std::cmp::Reverse(item.id));
    }
    found.truncate(filter.limit);
    Ok(found)
}

/// Whether items are wanted in the order in which they will be taken.
fn in_turn(filter: &ItemFilter) -> bool {
    filter.due_at.is_some() || filter.state == Some(State::Pending)
}

pub(super) const LANES: &str =
    "SELECT platform, account FROM queue WHERE kind = ?1 AND (platform, account) > (?2, ?3) ORDER BY platform, account LIMIT 1";

/// The accounts that have items.
fn lanes(conn: &Connection, work: Work) -> rusqlite::Result<Vec<AccountKey>> {
    // Steps from one account to the next instead of walking through all of its items.
    let mut lanes: Vec<AccountKey> = Vec::new();
    let mut next = conn.prepare_cached(LANES)?;
    loop {
        let (platform, name) = lanes.last().map_or(("", ""), |lane| (lane.platform.word(), &*lane.account));
        let found: Option<AccountKey> = next.query_map(params![work.word(), platform, name], account)?.next().transpose()?;
        let Some(found) = found else { return Ok(lanes) };
        lanes.push(found);
    }
}

pub(super) const OF_STATE: &str =
    "SELECT * FROM queue WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND state = ?4 ORDER BY id DESC LIMIT ?5";

fn of_lane(
    conn: &Connection,
    work: Work,
    account: &AccountKey,
    state: State,
    filter: &ItemFilter,
    limit: i64,
) -> rusqlite::Result<Vec<Item>> {
    let lane = (work.word(), account.platform.word(), &account.account);
    if !in_turn(filter) {
        return conn.prepare_cached(OF_STATE)?.query_map(params![lane.0, lane.1, lane.2, state.word(), limit], item)?.collect();
    }
    let due_at = filter.due_at.unwrap_or(Timestamp::MAX).as_millisecond();
    let mut found = Vec::new();
    for sql in TURNS {
        let mut turn = conn.prepare_cached(sql)?;
        let items = turn.query_map(params![lane.0, lane.1, lane.2, due_at, limit], item)?;
        found.extend(items.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(found)
}

macro_rules! turn {
    ($waits:literal, $order:literal) => {
        concat!(
            "SELECT * FROM queue WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND state = 'pending' AND ",
            $waits,
            " <= ?4 ORDER BY ",
            $order,
            " LIMIT ?5"
        )
    };
}

/// The pending items of a lane, each query along an index: those still to be listed, those whose listing is made, and those that were put back.
pub(super) const TURNS: [&str; 3] = [
    turn!("retry_at_ms IS NULL AND item_id IS NULL AND scheduled_at_ms", "scheduled_at_ms, priority DESC, id"),
    turn!("retry_at_ms IS NULL AND item_id IS NOT NULL AND scheduled_at_ms", "scheduled_at_ms, priority DESC, id"),
    turn!("retry_at_ms IS NOT NULL AND retry_at_ms", "retry_at_ms"),
];

pub(super) const COUNTS: &str =
    "SELECT platform, account, state, count(*) AS items FROM queue WHERE kind = ?1 GROUP BY platform, account, state
         ORDER BY platform, account, state";

pub(super) fn counts(conn: &Connection, work: Work) -> rusqlite::Result<Vec<Count>> {
    let count =
        |row: &Row<'_>| Ok(Count { account: account(row)?, state: word(row, "state", State::from_word)?, items: row.get("items")? });
    conn.prepare_cached(COUNTS)?.query_map([work.word()], count)?.collect()
}

pub(super) const DUE: &str = "SELECT count(*) AS due, min(scheduled_at_ms) AS oldest FROM queue
             WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND state = 'pending' AND retry_at_ms IS NULL AND item_id IS NULL
               AND scheduled_at_ms <= ?4";

pub(super) fn today(conn: &Connection, work: Work, account: &AccountKey, day: &Range<Timestamp>, at: Timestamp) -> rusqlite::Result<Today> {
    let lane = params![work.word(), account.platform.word(), account.account, at.as_millisecond()];
    let waiting = |row: &Row<'_>| Ok((row.get::<_, u32>("due")?, maybe_instant(row, "oldest")?));
    let (due, oldest) = conn.prepare_cached(DUE)?.query_row(lane, waiting)?;
    Ok(Today { counted: counted(conn, work, account, day)?, due, oldest })
}
