//! What was found when accounts' credentials were looked at.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    SqliteStore,
    rows::{instant, word},
};
use crate::{
    shop::product::Platform,
    store::{
        Answer,
        shop::{AccountKey, CredentialCheck, Credentials, Verdict},
    },
};

impl Credentials for SqliteStore {
    fn keep_verdict(&self, account: AccountKey, verdict: Verdict, detail: String, at: Timestamp) -> Answer<Option<Verdict>> {
        self.db.write("keep what was found of an account's credentials", move |conn| keep(conn, &account, verdict, &detail, at))
    }

    fn verdicts(&self) -> Answer<Vec<CredentialCheck>> {
        self.db.read("read what was found of credentials", all)
    }
}

fn keep(conn: &Connection, account: &AccountKey, verdict: Verdict, detail: &str, at: Timestamp) -> rusqlite::Result<Option<Verdict>> {
    let before = conn
        .prepare_cached("SELECT verdict FROM credentials WHERE platform = ?1 AND account = ?2")?
        .query_row(params![account.platform.word(), account.account], |row| word(row, "verdict", Verdict::from_word))
        .optional()?;
    conn.prepare_cached(
        "INSERT INTO credentials (platform, account, verdict, detail, since_ms, checked_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
         ON CONFLICT (platform, account) DO UPDATE SET since_ms = iif(verdict = excluded.verdict, since_ms, excluded.since_ms),
           verdict = excluded.verdict, detail = excluded.detail, checked_at_ms = excluded.checked_at_ms",
    )?
    .execute(params![account.platform.word(), account.account, verdict.word(), detail, at.as_millisecond()])?;
    Ok(before)
}

fn all(conn: &Connection) -> rusqlite::Result<Vec<CredentialCheck>> {
    conn.prepare_cached("SELECT * FROM credentials ORDER BY platform, account")?
        .query_map([], |row| {
            let account =
                AccountKey { platform: word(row, "platform", Platform::from_word)?, account: row.get::<_, Box<str>>("account")?.into() };
            Ok(CredentialCheck {
                account,
                verdict: word(row, "verdict", Verdict::from_word)?,
                detail: row.get("detail")?,
                since: instant(row, "since_ms")?,
                checked_at: instant(row, "checked_at_ms")?,
            })
        })?
        .collect()
}
