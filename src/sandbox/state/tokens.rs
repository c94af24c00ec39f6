//! Tokens: what each opens, and until when.
use rusqlite::{OptionalExtension, Row, params};

use super::{Account, Side, State};

/// What a token opens.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Opened {
    pub(in crate::sandbox) account: String,
    pub(in crate::sandbox) client: String,
    pub(in crate::sandbox) scopes: String,
    pub(in crate::sandbox) expires_ms: i64,
}

/// A refresh token in place of another.
#[derive(Clone, Copy, Debug)]
pub(in crate::sandbox) struct Rotation<'a> {
    /// The one that was used; `None` where a person let the application in.
    pub(in crate::sandbox) old: Option<&'a str>,
    /// Until when it still works.
    pub(in crate::sandbox) old_until_ms: i64,
    pub(in crate::sandbox) new: &'a str,
    pub(in crate::sandbox) expires_ms: i64,
}

/// A person's yes, which an application can turn into tokens once.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Code {
    pub(in crate::sandbox) client: String,
    pub(in crate::sandbox) account: String,
    pub(in crate::sandbox) scopes: String,
    pub(in crate::sandbox) expires_ms: i64,
}

impl State {
    /// What an access token opens, expired or not.
    pub(in crate::sandbox) fn opened_by(&self, side: Side, token: &str) -> rusqlite::Result<Option<Opened>> {
        let read = |row: &Row<'_>| Ok(Opened { account: row.get(0)?, client: row.get(1)?, scopes: row.get(2)?, expires_ms: row.get(3)? });
        let sql = "SELECT name, client, scopes, expires_ms FROM access JOIN accounts ON accounts.side = access.side AND name = account WHERE access.side = ?1 AND token = ?2";
        self.conn().prepare_cached(sql)?.query_row(params![side.word(), token], read).optional()
    }

    /// Whose refresh token it is and when it ends, if this client may use it. A retired one that has ended is as unknown as any other.
    pub(in crate::sandbox) fn refresher(
        &self,
        side: Side,
        token: &str,
        client: &str,
        now_ms: i64,
    ) -> rusqlite::Result<Option<(String, i64)>> {
        let sql = "SELECT account, expires_ms FROM refresh JOIN accounts ON accounts.side = refresh.side AND name = account
            WHERE refresh.side = ?1 AND token = ?2 AND client = ?3 AND (NOT retired OR ?4 < expires_ms)";
        self.conn().query_row(sql, params![side.word(), token, client, now_ms], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }

    /// What the application may do for an account.
    pub(in crate::sandbox) fn scopes(&self, side: Side, account: &str) -> rusqlite::Result<String> {
        let sql = "SELECT scopes FROM accounts WHERE side = ?1 AND name = ?2";
        self.conn().query_row(sql, params![side.word(), account], |row| row.get(0))
    }

    /// Whose refresh token it is or was.
    pub(in crate::sandbox) fn refresh_owner(&self, side: Side, token: &str) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT account FROM refresh WHERE side = ?1 AND token = ?2";
        self.conn().query_row(sql, params![side.word(), token], |row| row.get(0)).optional()
    }

    /// Gives out an access token, and where asked another refresh token: both or neither.
    pub(in crate::sandbox) fn grant(
        &self,
        side: Side,
        account: &str,
        access: (&str, i64),
        rotation: Option<Rotation<'_>>,
    ) -> rusqlite::Result<()> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        tx.execute("INSERT INTO access VALUES (?1, ?2, ?3, ?4)", params![side.word(), access.0, account, access.1])?;
        if let Some(Rotation { old, old_until_ms, new, expires_ms }) = rotation {
            let retire = "UPDATE refresh SET expires_ms = min(expires_ms, ?3), retired = 1 WHERE side = ?1 AND token = ?2 AND NOT retired";
            tx.execute(retire, params![side.word(), old, old_until_ms])?;
            tx.execute("INSERT INTO refresh VALUES (?1, ?2, ?3, ?4, 0)", params![side.word(), new, account, expires_ms])?;
        }
        tx.commit()
    }

    /// No refresh token of the account works any more. Whose they were is still known.
    pub(in crate::sandbox) fn revoke(&self, account: &str) -> rusqlite::Result<usize> {
        self.conn().execute("UPDATE refresh SET expires_ms = 0, retired = 1 WHERE account = ?1", [account])
    }

    /// Takes in an account with this refresh token; one that is there has it besides those it has.
    pub(in crate::sandbox) fn take_in(&self, account: &Account, now_ms: i64) -> rusqlite::Result<()> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        super::take_in_account(&tx, account, now_ms)?;
        tx.commit()
    }

    /// No access token of the account works any more.
    pub(in crate::sandbox) fn expire(&self, account: &str, now_ms: i64) -> rusqlite::Result<usize> {
        self.conn().execute("UPDATE access SET expires_ms = min(expires_ms, ?2) WHERE account = ?1", params![account, now_ms])
    }

    pub(in crate::sandbox) fn keep_code(&self, text: &str, code: &Code) -> rusqlite::Result<()> {
        let values = params![text, code.client, code.account, code.scopes, code.expires_ms];
        self.conn().execute("INSERT INTO codes VALUES (?1, ?2, ?3, ?4, ?5)", values).map(drop)
    }

    /// Takes a code away: it works once. The account has the scopes that it was given for from then on.
    pub(in crate::sandbox) fn take_code(&self, text: &str, client: &str) -> rusqlite::Result<Option<Code>> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        let read = |row: &Row<'_>| Ok(Code { client: row.get(0)?, account: row.get(1)?, scopes: row.get(2)?, expires_ms: row.get(3)? });
        let sql = "DELETE FROM codes WHERE code = ?1 AND client = ?2 RETURNING client, account, scopes, expires_ms";
        let code = tx.query_row(sql, [text, client], read).optional()?;
        if let Some(code) = &code {
            let sql = "UPDATE accounts SET scopes = ?1, client = ?2 WHERE side = 'base' AND name = ?3";
            tx.execute(sql, [&code.scopes, &code.client, &code.account])?;
        }
        tx.commit()?;
        Ok(code)
    }
}
