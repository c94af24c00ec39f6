//! What people want of items.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{alive, find, is_unsettled, open};
use crate::{
    shop::{
        spread::Rhythm,
        upload::{ItemId, Obeyed, Order, State, Work, obey},
    },
    store::shop::{AccountKey, Disobeyed, Item, Moved, Ordered, Which},
};

pub(super) fn follow(conn: &Connection, which: &Which, order: Order, at: Timestamp) -> rusqlite::Result<Vec<Ordered>> {
    let ids = match which {
        Which::Ids(ids) => ids.clone(),
        Which::Every { state, account, code } => every(conn, *state, account.as_ref(), code.as_deref())?,
    };
    ids.into_iter().map(|id| Ok((id, follow_one(conn, id, order, at)?))).collect()
}

pub(super) const EVERY_OF: &str =
    "SELECT id FROM queue WHERE kind = ?1 AND state = ?2 AND platform = ?3 AND account = ?4 AND (?5 IS NULL OR error_code = ?5)
                 ORDER BY id";
pub(super) const EVERY: &str = "SELECT id FROM queue WHERE kind = ?1 AND state = ?2 AND (?3 IS NULL OR error_code = ?3) ORDER BY id";

fn every(conn: &Connection, state: State, account: Option<&AccountKey>, code: Option<&str>) -> rusqlite::Result<Vec<ItemId>> {
    let id = |row: &Row<'_>| row.get(0).map(ItemId);
    let work = Work::Upload.word();
    match account {
        Some(account) => conn
            .prepare_cached(EVERY_OF)?
            .query_map(params![work, state.word(), account.platform.word(), account.account, code], id)?
            .collect(),
        None => conn.prepare_cached(EVERY)?.query_map(params![work, state.word(), code], id)?.collect(),
    }
}

fn follow_one(conn: &Connection, id: ItemId, order: Order, at: Timestamp) -> rusqlite::Result<Result<Obeyed, Disobeyed>> {
    let Some(item) = find(conn, id)? else { return Ok(Err(Disobeyed::Missing)) };
    let state = real_state(conn, &item, at)?;
    let obeyed = match obey(state, order) {
        Ok(obeyed) => obeyed,
        Err(illegal) => return Ok(Err(Disobeyed::Illegal(illegal))),
    };
    match obeyed {
        Obeyed::Later(wish) => {
            conn.prepare_cached("UPDATE queue SET wish = ?2 WHERE id = ?1")?.execute(params![id.0, wish.word()])?;
        }
        Obeyed::Now(new) => {
            if new.is_open()
                && let Some(twin) = twin(conn, &item)?
            {
                return Ok(Err(Disobeyed::Twin(twin)));
            }
            set(conn, &item, order, new, at)?;
        }
    }
    Ok(Ok(obeyed))
}

/// The state of an item whose worker is gone: nobody but a person will tell what became of it, if nobody claims it.
fn real_state(conn: &Connection, item: &Item, at: Timestamp) -> rusqlite::Result<State> {
    let Some(lease) = item.lease else { return Ok(item.state) };
    let is_alive: bool =
        conn.prepare_cached(concat!("SELECT ", alive!(), " FROM queue q WHERE q.id = ?1"))?.query_row([item.id.0], |row| row.get(0))?;
    if is_alive && at < lease.until {
        return Ok(item.state);
    }
    Ok(if is_unsettled(conn, item.id)? { State::Uncertain } else { State::Pending })
}

/// Another open item for the same thing.
fn twin(conn: &Connection, item: &Item) -> rusqlite::Result<Option<ItemId>> {
    conn.prepare_cached(concat!(
        "SELECT id FROM queue WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND subject = ?4 AND id <> ?5 AND ",
        open!()
    ))?
    .query_row(params![item.work.word(), item.account.platform.word(), item.account.account, item.subject, item.id.0], |row| {
        row.get(0).map(ItemId)
    })
    .optional()
}

fn set(conn: &Connection, item: &Item, order: Order, new: State, at: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE queue SET state = ?2, run = NULL, generation = NULL, lease_until_ms = NULL, wish = NULL, retry_at_ms = NULL,
           attempts = iif(?3, 0, attempts), approved = approved OR ?4, ended_at_ms = ?5,
           counted_at_ms = iif(item_id IS NOT NULL OR ?6, counted_at_ms, NULL) WHERE id = ?1",
    )?
    .execute(params![
        item.id.0,
        new.word(),
        order == Order::Retry,
        order == Order::Approve,
        Some(at.as_millisecond()).filter(|_| !new.is_open()),
        // What was or may have been made goes on counting for its day.
        is_unsettled(conn, item.id)?
    ])
    .map(drop)
}

pub(super) fn reschedule(conn: &Connection, account: &AccountKey, rhythm: &Rhythm) -> rusqlite::Result<Moved> {
    let ids: Vec<i64> = conn
        .prepare_cached(
            "SELECT id FROM queue WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND state = 'pending' ORDER BY scheduled_at_ms, priority DESC, id",
        )?
        .query_map(params![Work::Upload.word(), account.platform.word(), account.account], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let times = rhythm.times(ids.len());
    let mut set = conn.prepare_cached("UPDATE queue SET scheduled_at_ms = ?2, retry_at_ms = NULL WHERE id = ?1")?;
    for (id, at) in ids.iter().zip(&times) {
        set.execute(params![id, at.as_millisecond()])?;
    }
    Ok(Moved { account: account.clone(), items: ids.len().min(times.len()), last: times.last().copied() })
}
