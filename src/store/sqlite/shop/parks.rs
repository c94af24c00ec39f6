//! Accounts that are not to be called.
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{
    SqliteStore,
    rows::{instant, maybe_instant, word},
};
use crate::{
    shop::product::Platform,
    store::{
        Answer,
        shop::{AccountKey, Park, Parked, Parks},
    },
};

impl Parks for SqliteStore {
    fn park(&self, park: Park) -> Answer<bool> {
        self.db.write("park an account", move |conn| set(conn, &park))
    }

    fn unpark(&self, account: AccountKey, cause: Option<Parked>, at: Timestamp) -> Answer<usize> {
        self.db.write("end an account's parks", move |conn| end(conn, &account, cause, at))
    }

    fn parks(&self, account: Option<AccountKey>, at: Timestamp) -> Answer<Vec<Park>> {
        self.db.read("read the parks", move |conn| in_force(conn, account.as_ref(), at))
    }
}

fn set(conn: &Connection, park: &Park) -> rusqlite::Result<bool> {
    let Park { account, cause, detail, since, until } = park;
    // One that is over by now is a new one.
    let was_parked: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM parks WHERE platform = ?1 AND account = ?2 AND cause = ?3 AND (until_ms IS NULL OR until_ms > ?4))",
        )?
        .query_row(params![account.platform.word(), account.account, cause.word(), since.as_millisecond()], |row| row.get(0))?;
    conn.prepare_cached(
        "INSERT INTO parks (platform, account, cause, detail, since_ms, until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (platform, account, cause) DO UPDATE SET detail = excluded.detail, until_ms = excluded.until_ms,
           since_ms = iif(?7, since_ms, excluded.since_ms)",
    )?
    .execute(params![
        account.platform.word(),
        account.account,
        cause.word(),
        detail,
        since.as_millisecond(),
        until.map(Timestamp::as_millisecond),
        was_parked
    ])?;
    Ok(!was_parked)
}

fn end(conn: &Connection, account: &AccountKey, cause: Option<Parked>, at: Timestamp) -> rusqlite::Result<usize> {
    let ended = in_force(conn, Some(account), at)?.iter().filter(|park| cause.is_none_or(|cause| cause == park.cause)).count();
    conn.prepare_cached("DELETE FROM parks WHERE platform = ?1 AND account = ?2 AND (?3 IS NULL OR cause = ?3)")?.execute(params![
        account.platform.word(),
        account.account,
        cause.map(Parked::word)
    ])?;
    Ok(ended)
}

pub(super) fn in_force(conn: &Connection, account: Option<&AccountKey>, at: Timestamp) -> rusqlite::Result<Vec<Park>> {
    let park = |row: &Row<'_>| {
        let account =
            AccountKey { platform: word(row, "platform", Platform::from_word)?, account: row.get::<_, Box<str>>("account")?.into() };
        Ok(Park {
            account,
            cause: word(row, "cause", Parked::from_word)?,
            detail: row.get::<_, Box<str>>("detail")?.into(),
            since: instant(row, "since_ms")?,
            until: maybe_instant(row, "until_ms")?,
        })
    };
    conn.prepare_cached(
        "SELECT * FROM parks WHERE (?1 IS NULL OR (platform = ?1 AND account = ?2)) AND (until_ms IS NULL OR until_ms > ?3)
         ORDER BY platform, account, cause",
    )?
    .query_map(params![account.map(|account| account.platform.word()), account.map(|account| &account.account), at.as_millisecond()], park)?
    .collect()
}
