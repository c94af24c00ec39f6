//! Accounts' tokens, and whose turn it is to refresh them.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::{
    SqliteStore,
    rows::{instant, maybe_instant},
};
use crate::{
    core::value::Secret,
    store::{
        Answer,
        shop::{AccountKey, Claim, Claimant, NoPair, Token, TokenPair, Tokens},
    },
};

impl Tokens for SqliteStore {
    fn token(&self, account: AccountKey, configured: Option<Secret>) -> Answer<Option<Token>> {
        self.db.write("read an account's tokens", move |conn| token(conn, &account, configured.as_ref()))
    }

    fn claim_refresh(&self, account: AccountKey, generation: i64, claimant: Claimant) -> Answer<Claim> {
        self.db.write("claim a refresh", move |conn| claim(conn, &account, generation, &claimant))
    }

    fn keep_token(&self, account: AccountKey, generation: i64, pair: TokenPair, at: Timestamp) -> Answer<bool> {
        self.db.write("keep new tokens", move |conn| keep(conn, &account, generation, &pair, at))
    }

    fn end_refresh(&self, account: AccountKey, generation: i64, why: NoPair) -> Answer<()> {
        self.db.write("end a refresh", move |conn| end(conn, &account, generation, &why))
    }

    fn log_in(&self, account: AccountKey, configured: Option<Secret>, pair: TokenPair, at: Timestamp) -> Answer<()> {
        self.db.write("keep a login", move |conn| log_in(conn, &account, configured.as_ref(), &pair, at))
    }

    fn try_again(&self, account: AccountKey) -> Answer<()> {
        self.db.write("try a refresh again", move |conn| {
            conn.prepare_cached(
                "UPDATE tokens SET refused = NULL, claimed_until_ms = iif(resting, NULL, claimed_until_ms), resting = 0
                 WHERE platform = ?1 AND account = ?2",
            )?
            .execute(params![account.platform.word(), account.account])
            .map(drop)
        })
    }
}

fn token(conn: &Connection, account: &AccountKey, configured: Option<&Secret>) -> rusqlite::Result<Option<Token>> {
    if let Some(configured) = configured {
        // A token that a person changed in the configuration replaces the pair; the same one again does not.
        let replaced = conn
            .prepare_cached(
                "INSERT INTO tokens (platform, account, configured, refresh, generation) VALUES (?1, ?2, ?3, ?3, 0)
                 ON CONFLICT (platform, account) DO UPDATE SET configured = ?3, refresh = ?3, access = NULL, expires_at_ms = NULL,
                   generation = generation + 1, claimed_until_ms = NULL, resting = 0, sent_at_ms = NULL, refused = NULL, refreshed_at_ms = NULL,
                   previous_refresh = iif(access IS NULL, coalesce(previous_refresh, refresh), refresh),
                   previous_refreshed_at_ms = iif(access IS NULL, previous_refreshed_at_ms, refreshed_at_ms)
                 WHERE configured IS NOT ?3",
            )?
            .execute(params![account.platform.word(), account.account, configured.expose()])?;
        if replaced > 0 {
            unpark(conn, account)?;
        }
    }
    find(conn, account)
}

/// New tokens are what an account waits for that is parked for its login.
fn unpark(conn: &Connection, account: &AccountKey) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM parks WHERE platform = ?1 AND account = ?2 AND cause = 'login'")?
        .execute(params![account.platform.word(), account.account])
        .map(drop)
}

fn find(conn: &Connection, account: &AccountKey) -> rusqlite::Result<Option<Token>> {
    let read = |row: &Row<'_>| {
        Ok(Token {
            access: row.get::<_, Option<Box<str>>>("access")?.map(Secret::new),
            expires_at: maybe_instant(row, "expires_at_ms")?,
            refresh: Secret::new(row.get::<_, Box<str>>("refresh")?),
            refreshed_at: maybe_instant(row, "refreshed_at_ms")?,
            sent_at: maybe_instant(row, "sent_at_ms")?,
            refused: row.get::<_, Option<Box<str>>>("refused")?.map(Into::into),
            generation: row.get("generation")?,
        })
    };
    conn.prepare_cached("SELECT * FROM tokens WHERE platform = ?1 AND account = ?2")?
        .query_row(params![account.platform.word(), account.account], read)
        .optional()
}

fn claim(conn: &Connection, account: &AccountKey, generation: i64, claimant: &Claimant) -> rusqlite::Result<Claim> {
    let Claimant { holder, dead, at, until } = claimant;
    let Some(token) = find(conn, account)? else { return Ok(Claim::Refused("there is no refresh token any more".into())) };
    if token.generation != generation {
        return Ok(Claim::Renewed(token));
    }
    if let Some(refused) = token.refused {
        return Ok(Claim::Refused(refused));
    }
    // A claim that lies much further ahead than this one was made before the clock was set back.
    let claimed = conn
        .prepare_cached(
            "UPDATE tokens SET claimed_until_ms = :until, claimed_by = :holder, sent_at_ms = :at, resting = 0
             WHERE platform = :platform AND account = :account AND (claimed_until_ms IS NULL OR claimed_until_ms <= :at
               OR claimed_until_ms > 2 * :until - :at OR (claimed_by = :dead AND NOT resting))",
        )?
        .execute(named_params! {
            ":platform": account.platform.word(), ":account": account.account, ":at": at.as_millisecond(), ":until": until.as_millisecond(),
            ":holder": holder, ":dead": dead,
        })?;
    if claimed > 0 {
        return Ok(Claim::Yours(token));
    }
    conn.prepare_cached(
        "SELECT resting, claimed_until_ms, coalesce(claimed_by, '') AS holder FROM tokens WHERE platform = ?1 AND account = ?2",
    )?
    .query_row(params![account.platform.word(), account.account], |row| {
        if row.get("resting")? {
            return Ok(Claim::Resting(instant(row, "claimed_until_ms")?));
        }
        Ok(Claim::Busy(row.get::<_, Box<str>>("holder")?.into()))
    })
}

/// What makes way for a new pair, and what holds no more once it is there.
macro_rules! newer {
    () => {
        "generation = generation + 1, claimed_until_ms = NULL, resting = 0, sent_at_ms = NULL, refused = NULL, refreshed_at_ms = :at,
         previous_refresh = refresh, previous_refreshed_at_ms = refreshed_at_ms"
    };
}

fn keep(conn: &Connection, account: &AccountKey, generation: i64, pair: &TokenPair, at: Timestamp) -> rusqlite::Result<bool> {
    let kept = conn
        .prepare_cached(concat!(
            "UPDATE tokens SET access = :access, expires_at_ms = :expires_at, refresh = coalesce(:refresh, refresh), ",
            newer!(),
            " WHERE platform = :platform AND account = :account AND generation = :generation"
        ))?
        .execute(named_params! {
            ":platform": account.platform.word(), ":account": account.account, ":generation": generation, ":access": pair.access.expose(),
            ":expires_at": pair.expires_at.as_millisecond(), ":refresh": pair.refresh.as_ref().map(Secret::expose), ":at": at.as_millisecond(),
        })?;
    if kept > 0 {
        unpark(conn, account)?;
    }
    Ok(kept > 0)
}

fn end(conn: &Connection, account: &AccountKey, generation: i64, why: &NoPair) -> rusqlite::Result<()> {
    let (resting_until, is_open, refused) = match why {
        NoPair::Nothing => (None, false, None),
        NoPair::Lost(until) => (Some(*until), true, None),
        NoPair::Denied(until) => (Some(*until), false, None),
        NoPair::Refused(said) => (None, false, Some(said)),
    };
    if refused.is_some() && rescue(conn, account, generation)? {
        return Ok(());
    }
    conn.prepare_cached(
        "UPDATE tokens SET claimed_until_ms = ?4, resting = (?4 IS NOT NULL), sent_at_ms = iif(?5, sent_at_ms, NULL), refused = ?6
         WHERE platform = ?1 AND account = ?2 AND generation = ?3",
    )?
    .execute(params![account.platform.word(), account.account, generation, resting_until.map(Timestamp::as_millisecond), is_open, refused])
    .map(drop)
}

/// Puts the refresh token before back in place of a configured one that never gave a pair: a slip of the pen must not cost the shop its login.
fn rescue(conn: &Connection, account: &AccountKey, generation: i64) -> rusqlite::Result<bool> {
    let rescued = conn
        .prepare_cached(
            "UPDATE tokens SET refresh = previous_refresh, refreshed_at_ms = previous_refreshed_at_ms, previous_refresh = NULL,
               previous_refreshed_at_ms = NULL, generation = generation + 1, claimed_until_ms = NULL, resting = 0, sent_at_ms = NULL
             WHERE platform = ?1 AND account = ?2 AND generation = ?3 AND access IS NULL AND previous_refresh IS NOT NULL",
        )?
        .execute(params![account.platform.word(), account.account, generation])?;
    Ok(rescued > 0)
}

fn log_in(conn: &Connection, account: &AccountKey, configured: Option<&Secret>, pair: &TokenPair, at: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(concat!(
        "INSERT INTO tokens (platform, account, configured, access, expires_at_ms, refresh, refreshed_at_ms, generation)
         VALUES (:platform, :account, :configured, :access, :expires_at, :refresh, :at, 0)
         ON CONFLICT (platform, account) DO UPDATE SET configured = coalesce(:configured, configured), access = :access,
           expires_at_ms = :expires_at, refresh = coalesce(:refresh, refresh), ",
        newer!()
    ))?
    .execute(named_params! {
        ":platform": account.platform.word(), ":account": account.account, ":configured": configured.map(Secret::expose),
        ":access": pair.access.expose(), ":expires_at": pair.expires_at.as_millisecond(), ":refresh": pair.refresh.as_ref().map(Secret::expose),
        ":at": at.as_millisecond(),
    })?;
    unpark(conn, account)
}
