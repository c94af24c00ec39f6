//! The handlers' half in SQLite, one file a topic.
use rusqlite::{Connection, Row};

use super::{SqliteStore, check_fence, rows};
use crate::{
    shop::product::Asin,
    store::{
        Fence,
        shop::{Guarded, ShopStore},
    },
};

mod catalogue;
mod credentials;
mod delistings;
mod feeds;
mod intents;
mod parks;
mod queue;
mod quotas;
mod removals;
mod settings;
mod supplies;
mod tokens;

impl ShopStore for SqliteStore {}

/// Writes, if the fence allows it.
fn guarded<T>(conn: &Connection, fence: &Fence, write: impl FnOnce() -> rusqlite::Result<T>) -> rusqlite::Result<Guarded<T>> {
    if check_fence(conn, fence)? { write().map(Guarded::Done) } else { Ok(Guarded::Fenced) }
}

fn asin(row: &Row<'_>) -> rusqlite::Result<Asin> {
    rows::word(row, "asin", Asin::parse)
}
