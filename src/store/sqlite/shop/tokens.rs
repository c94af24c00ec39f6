//! Accounts' tokens, and whose turn it is to refresh them.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, rows::maybe_instant};
use crate::{
    core::value::Secret,
    store::{
        Answer,
        shop::{AccountKey, Claim, Token, TokenPair, Tokens},
    },
};

impl Tokens for SqliteStore {
    fn token(&self, account: AccountKey, configured: Option<Secret>) -> Answer<Option<Token>> {
        self.db.write("read an account's tokens", move |conn| token(conn, &account, configured.as_ref()))
    }

    fn claim_refresh(&self, account: AccountKey, generation: i64, at: Timestamp, until: Timestamp) -> Answer<Claim> {
        self.db.write("claim a refresh", move |conn| claim(conn, &account, generation, at, until))
    }

    fn keep_token(&self, account: AccountKey, generation: i64, pair: TokenPair) -> Answer<bool> {
        self.db.write("keep new tokens", move |conn| keep(conn, &account, generation, &pair))
    }

    fn release_refresh(&self, account: AccountKey, generation: i64) -> Answer<()> {
        self.db.write("give up a refresh", move |conn| release(conn, &account, generation))
    }
}

fn token(conn: &Connection, account: &AccountKey, configured: Option<&Secret>) -> rusqlite::Result<Option<Token>> {
    if let Some(configured) = configured {
        // A token that a person changed in the configuration replaces the pair; the same one again does not.
        conn.prepare_cached(
            "INSERT INTO tokens (platform, account, configured, refresh, generation) VALUES (?1, ?2, ?3, ?3, 0)
             ON CONFLICT (platform, account) DO UPDATE SET configured = ?3, refresh = ?3, access = NULL, expires_at_ms = NULL,
               generation = generation + 1, claimed_until_ms = NULL
             WHERE configured IS NOT ?3",
        )?
        .execute(params![account.platform.word(), account.account, configured.expose()])?;
    }
    find(conn, account)
}

fn find(conn: &Connection, account: &AccountKey) -> rusqlite::Result<Option<Token>> {
    let read = |row: &Row<'_>| {
        Ok(Token {
            access: row.get::<_, Option<Box<str>>>("access")?.map(Secret::new),
            expires_at: maybe_instant(row, "expires_at_ms")?,
            refresh: Secret::new(row.get::<_, Box<str>>("refresh")?),
            generation: row.get("generation")?,
        })
    };
    conn.prepare_cached("SELECT * FROM tokens WHERE platform = ?1 AND account = ?2")?
        .query_row(params![account.platform.word(), account.account], read)
        .optional()
}

fn claim(conn: &Connection, account: &AccountKey, generation: i64, at: Timestamp, until: Timestamp) -> rusqlite::Result<Claim> {
    // A claim that lies much further ahead than this one was made before the clock was set back.
    let claimed = conn
        .prepare_cached(
            "UPDATE tokens SET claimed_until_ms = ?5 WHERE platform = ?1 AND account = ?2 AND generation = ?3
               AND (claimed_until_ms IS NULL OR claimed_until_ms <= ?4 OR claimed_until_ms > 2 * ?5 - ?4)",
        )?
        .execute(params![account.platform.word(), account.account, generation, at.as_millisecond(), until.as_millisecond()])?;
    Ok(match find(conn, account)? {
        Some(token) if claimed > 0 => Claim::Yours(token),
        Some(token) if token.generation != generation => Claim::Renewed(token),
        Some(_) | None => Claim::Busy,
    })
}

fn keep(conn: &Connection, account: &AccountKey, generation: i64, pair: &TokenPair) -> rusqlite::Result<bool> {
    let kept = conn
        .prepare_cached(
            "UPDATE tokens SET access = ?4, expires_at_ms = ?5, refresh = coalesce(?6, refresh), generation = generation + 1, claimed_until_ms = NULL
             WHERE platform = ?1 AND account = ?2 AND generation = ?3",
        )?
        .execute(params![
            account.platform.word(),
            account.account,
            generation,
            pair.access.expose(),
            pair.expires_at.as_millisecond(),
            pair.refresh.as_ref().map(Secret::expose)
        ])?;
    Ok(kept > 0)
}

fn release(conn: &Connection, account: &AccountKey, generation: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE tokens SET claimed_until_ms = NULL WHERE platform = ?1 AND account = ?2 AND generation = ?3")?
        .execute(params![account.platform.word(), account.account, generation])
        .map(drop)
}
