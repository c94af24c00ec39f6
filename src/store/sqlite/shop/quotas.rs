//! What has been taken of the marketplaces' limits, by all processes together.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use crate::{
    shop::quota::{self, Place, Rule, Use},
    store::{
        Answer,
        shop::{QuotaKey, Quotas},
    },
};

impl Quotas for SqliteStore {
    fn take_place(&self, key: QuotaKey, rule: Rule, at: Timestamp, latest: Timestamp) -> Answer<Place> {
        self.db.write("take a place in a quota", move |conn| take_place(conn, &key, rule, at, latest))
    }

    fn exhaust(&self, key: QuotaKey, rule: Rule, at: Timestamp) -> Answer<()> {
        self.db.write("mark a quota as used up", move |conn| exhaust(conn, &key, rule, at))
    }

    fn learn_interval(&self, key: QuotaKey, interval_ms: i64) -> Answer<()> {
        self.db.write("keep a quota's rate", move |conn| learn_interval(conn, &key, interval_ms))
    }
}

fn take_place(conn: &Connection, key: &QuotaKey, rule: Rule, at: Timestamp, latest: Timestamp) -> rusqlite::Result<Place> {
    let (used, rule) = find(conn, key, rule)?;
    let (place, used) = quota::take(rule, used, at.as_millisecond(), latest.as_millisecond());
    keep(conn, key, used)?;
    Ok(place)
}

fn exhaust(conn: &Connection, key: &QuotaKey, rule: Rule, at: Timestamp) -> rusqlite::Result<()> {
    let (used, rule) = find(conn, key, rule)?;
    keep(conn, key, quota::exhaust(rule, used, at.as_millisecond()))
}

fn learn_interval(conn: &Connection, key: &QuotaKey, interval_ms: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO quotas (application, account, operation, at_ms, calls, interval_ms) VALUES (?1, ?2, ?3, 0, 0, ?4)
         ON CONFLICT (application, account, operation) DO UPDATE SET interval_ms = ?4 WHERE interval_ms IS NOT ?4",
    )?
    .execute(params![key.application, key.account, key.operation, interval_ms])
    .map(drop)
}

/// What has been taken, and the rule with the rate that the marketplace said last.
fn find(conn: &Connection, key: &QuotaKey, rule: Rule) -> rusqlite::Result<(Use, Rule)> {
    let found = conn
        .prepare_cached("SELECT at_ms, calls, interval_ms FROM quotas WHERE application = ?1 AND account = ?2 AND operation = ?3")?
        .query_row(params![key.application, key.account, key.operation], |row| {
            Ok((Use { at_ms: row.get(0)?, calls: row.get(1)? }, row.get::<_, Option<i64>>(2)?))
        })
        .optional()?;
    let (used, learned) = found.unwrap_or_default();
    Ok((used, rule.at_interval(learned)))
}

fn keep(conn: &Connection, key: &QuotaKey, used: Use) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO quotas (application, account, operation, at_ms, calls) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (application, account, operation) DO UPDATE SET at_ms = excluded.at_ms, calls = excluded.calls",
    )?
    .execute(params![key.application, key.account, key.operation, used.at_ms, used.calls])
    .map(drop)
}
