//! What has been taken of the marketplaces' limits, by all processes together.
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, rows::word};
use crate::{
    shop::quota::{self, PerPurpose, Period, Place, Rule, Use},
    store::{
        Answer,
        shop::{Demand, Limit, QuotaKey, QuotaRow, Quotas},
    },
};

impl Quotas for SqliteStore {
    fn take_place(&self, demand: Demand, at: Timestamp, latest: Timestamp) -> Answer<Place> {
        self.db.write("take a place in a quota", move |conn| take_place(conn, &demand, at, latest))
    }

    fn give_back(&self, demand: Demand, place: Timestamp) -> Answer<()> {
        self.db.write("give a place in a quota back", move |conn| {
            let place = place.as_millisecond();
            change_each(conn, &demand.limits, demand.guard_ms, |rule, used| quota::give_back(rule, used, demand.purpose, place))
        })
    }

    fn put_off(&self, demand: Demand, place: Timestamp, sent: Timestamp) -> Answer<()> {
        self.db.write("note that a call was late", move |conn| {
            let (place, sent) = (place.as_millisecond(), sent.as_millisecond());
            change_each(conn, &demand.limits, demand.guard_ms, |rule, used| quota::put_off(rule, used, place, sent))
        })
    }

    fn exhaust(&self, limit: Limit, guard_ms: i64, at: Timestamp) -> Answer<Timestamp> {
        self.db.write("mark a quota as used up", move |conn| exhaust(conn, &limit, guard_ms, at))
    }

    fn accept(&self, limits: Arc<[Limit]>) -> Answer<()> {
        self.db.write("note that a quota has places", move |conn| change_each(conn, &limits, 0, |_, used| quota::accept(used)))
    }

    fn learn_interval(&self, limit: Limit, interval_ms: i64) -> Answer<()> {
        self.db.write("keep a quota's rate", move |conn| {
            let known = find(conn, &limit.key)?;
            keep(conn, &limit, &Known { learned_ms: Some(interval_ms), ..known })
        })
    }

    fn quotas(&self, at: Timestamp) -> Answer<Vec<QuotaRow>> {
        self.db.read("read the quotas", move |conn| all(conn, at))
    }
}

/// What a row says besides the rule.
#[derive(Clone, Copy, Default)]
struct Known {
    used: Use,
    learned_ms: Option<i64>,
}

fn take_place(conn: &Connection, demand: &Demand, at: Timestamp, latest: Timestamp) -> rusqlite::Result<Place> {
    let known = demand.limits.iter().map(|limit| find(conn, &limit.key)).collect::<Result<Vec<_>, _>>()?;
    let limits: Vec<_> =
        demand.limits.iter().zip(&known).map(|(limit, known)| (in_force(limit, known, demand.guard_ms), known.used)).collect();
    let (place, uses) = quota::take(&limits, demand.purpose, at.as_millisecond(), latest.as_millisecond());
    for ((limit, known), used) in demand.limits.iter().zip(&known).zip(uses) {
        keep(conn, limit, &Known { used, ..*known })?;
    }
    Ok(place)
}

fn exhaust(conn: &Connection, limit: &Limit, guard_ms: i64, at: Timestamp) -> rusqlite::Result<Timestamp> {
    let known = find(conn, &limit.key)?;
    let (rule, at) = (in_force(limit, &known, guard_ms), at.as_millisecond());
    let used = quota::exhaust(rule, known.used, at);
    keep(conn, limit, &Known { used, ..known })?;
    Ok(Timestamp::from_millisecond(quota::earliest(rule, used, None, at)).unwrap_or(Timestamp::MAX))
}

fn change_each(conn: &Connection, limits: &[Limit], guard_ms: i64, change: impl Fn(Rule, Use) -> Use) -> rusqlite::Result<()> {
    for limit in limits {
        let known = find(conn, &limit.key)?;
        let used = change(in_force(limit, &known, guard_ms), known.used);
        if used != known.used {
            keep(conn, limit, &Known { used, ..known })?;
        }
    }
    Ok(())
}

fn in_force(limit: &Limit, known: &Known, guard_ms: i64) -> Rule {
    limit.rule.at_interval(known.learned_ms).padded(guard_ms)
}

fn find(conn: &Connection, key: &QuotaKey) -> rusqlite::Result<Known> {
    let found = conn
        .prepare_cached("SELECT * FROM quotas WHERE application = ?1 AND account = ?2 AND operation = ?3")?
        .query_row(params![key.application, key.account, key.operation], known)
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    let calls = PerPurpose { sync: row.get("calls_sync")?, upload: row.get("calls_upload")?, manual: row.get("calls_manual")? };
    let used = Use {
        at_ms: row.get("at_ms")?,
        shut_until_ms: row.get("shut_until_ms")?,
        calls,
        day_ms: row.get("day_ms")?,
        refused: row.get("refused")?,
        refused_in_row: row.get("refused_in_row")?,
    };
    Ok(Known { used, learned_ms: row.get("learned_ms")? })
}

fn keep(conn: &Connection, limit: &Limit, known: &Known) -> rusqlite::Result<()> {
    let (interval_ms, burst, period, calls_max) = match limit.rule {
        Rule::Bucket { interval_ms, burst } => (Some(interval_ms), Some(burst), None, None),
        Rule::Window { period, calls, .. } => (None, None, Some(period.word()), Some(calls)),
    };
    let Known { used, learned_ms } = known;
    conn.prepare_cached("INSERT OR REPLACE INTO quotas VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)")?
        .execute(params![
            limit.key.application,
            limit.key.account,
            limit.key.operation,
            interval_ms,
            burst,
            period,
            calls_max,
            learned_ms,
            used.at_ms,
            used.shut_until_ms,
            used.calls.sync,
            used.calls.upload,
            used.calls.manual,
            used.day_ms,
            used.refused,
            used.refused_in_row
        ])
        .map(drop)
}

fn all(conn: &Connection, at: Timestamp) -> rusqlite::Result<Vec<QuotaRow>> {
    let read = |row: &Row<'_>| {
        let Known { used, learned_ms } = known(row)?;
        let rule = match row.get::<_, Option<i64>>("interval_ms")? {
            Some(interval_ms) => Rule::Bucket { interval_ms, burst: row.get("burst")? },
            None => Rule::Window {
                period: word(row, "period", Period::from_word)?,
                calls: row.get("calls_max")?,
                reserve: PerPurpose::default(),
            },
        };
        let rule = rule.at_interval(learned_ms);
        let text = |column| Ok::<_, rusqlite::Error>(Arc::from(row.get::<_, Box<str>>(column)?));
        Ok(QuotaRow {
            application: text("application")?,
            account: text("account")?,
            operation: text("operation")?,
            rule,
            learned_ms,
            used: quota::as_of(rule, used, at.as_millisecond()),
        })
    };
    conn.prepare_cached("SELECT * FROM quotas ORDER BY account, operation, application")?.query_map([], read)?.collect()
}
