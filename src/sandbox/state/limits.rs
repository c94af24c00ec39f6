//! What limits count: Amazon's token buckets, BASE's hours and days. A new process goes on counting.
use rusqlite::{Connection, OptionalExtension, params};

use super::State;
use crate::sandbox::operation::Operation;

/// What is counted in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Count {
    /// Calls in a clock hour.
    Hour,
    /// Calls on a date in Japan.
    Day,
    /// Items added on a date in Japan.
    Adds,
}

/// What a bucket said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sandbox) struct Taken {
    /// There was a token.
    pub(in crate::sandbox) granted: bool,
    /// Tokens per second.
    pub(in crate::sandbox) rate: f64,
}

impl Count {
    pub(in crate::sandbox) fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Adds => "adds",
        }
    }
}

impl State {
    /// Counts one more in its period; false: the limit is used up, and nothing was counted.
    pub(in crate::sandbox) fn count(&self, account: &str, what: Count, began_ms: i64, limit: i64) -> rusqlite::Result<bool> {
        let sql = "INSERT INTO counts VALUES (?1, ?2, ?3, 1) ON CONFLICT DO UPDATE SET count = iif(began_ms = excluded.began_ms, count + 1, 1), began_ms = excluded.began_ms
            WHERE began_ms <> excluded.began_ms OR count < ?4";
        Ok(self.conn().prepare_cached(sql)?.execute(params![account, what.word(), began_ms, limit])? > 0)
    }

    /// How many there were in the period that began then.
    pub(in crate::sandbox) fn counted(&self, account: &str, what: Count, began_ms: i64) -> rusqlite::Result<i64> {
        let sql = "SELECT count FROM counts WHERE account = ?1 AND what = ?2 AND began_ms = ?3";
        Ok(self.conn().query_row(sql, params![account, what.word(), began_ms], |row| row.get(0)).optional()?.unwrap_or(0))
    }

    pub(in crate::sandbox) fn set_count(&self, account: &str, what: Count, began_ms: i64, count: i64) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO counts VALUES (?1, ?2, ?3, ?4)";
        self.conn().execute(sql, params![account, what.word(), began_ms, count]).map(drop)
    }

    /// The rate and the burst of an operation; `usual` unless somebody has set others.
    pub(in crate::sandbox) fn rate(&self, operation: Operation, usual: (f64, f64)) -> rusqlite::Result<(f64, f64)> {
        rate(&self.conn(), operation, usual)
    }

    /// From `now_ms` on the buckets fill at another rate, up to another burst; what is in them stays.
    pub(in crate::sandbox) fn set_rate(
        &self,
        operation: Operation,
        usual: (f64, f64),
        new: (f64, f64),
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        let (old_rate, old_burst) = rate(&tx, operation, usual)?;
        let sql = "UPDATE buckets SET tokens = min(?3, ?5, tokens + max(0, ?4 - at_ms) * ?2 / 1000.0), at_ms = max(at_ms, ?4) WHERE operation = ?1";
        tx.execute(sql, params![operation.word(), old_rate, old_burst, now_ms, new.1])?;
        tx.execute("INSERT OR REPLACE INTO rates VALUES (?1, ?2, ?3)", params![operation.word(), new.0, new.1])?;
        tx.commit()
    }

    /// Takes a token from the bucket of an operation, a seller and an application. `usual`: the rate and burst it has by itself.
    pub(in crate::sandbox) fn take(
        &self,
        operation: Operation,
        who: (&str, &str),
        usual: (f64, f64),
        now_ms: i64,
    ) -> rusqlite::Result<Taken> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        let (rate, burst) = rate(&tx, operation, usual)?;
        let key = params![operation.word(), who.0, who.1];
        let sql = "SELECT tokens, at_ms FROM buckets WHERE operation = ?1 AND account = ?2 AND client = ?3";
        let bucket: Option<(f64, i64)> = tx.query_row(sql, key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let tokens = bucket.map_or(burst, |(tokens, at_ms)| {
            let passed = std::time::Duration::from_millis(u64::try_from(now_ms - at_ms).unwrap_or(0));
            (tokens + passed.as_secs_f64() * rate).min(burst)
        });
        // What a refusal leaves is computed again from the last token that was taken, so that no fraction of it is lost to rounding.
        let granted = tokens >= 1.0 - 1e-9;
        if granted {
            let sql = "INSERT OR REPLACE INTO buckets VALUES (?1, ?2, ?3, ?4, ?5)";
            tx.execute(sql, params![operation.word(), who.0, who.1, (tokens - 1.0).max(0.0), now_ms])?;
        }
        tx.commit()?;
        Ok(Taken { granted, rate })
    }
}

fn rate(conn: &Connection, operation: Operation, usual: (f64, f64)) -> rusqlite::Result<(f64, f64)> {
    let sql = "SELECT rate, burst FROM rates WHERE operation = ?1";
    let set = conn.prepare_cached(sql)?.query_row([operation.word()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(set.unwrap_or(usual))
}
