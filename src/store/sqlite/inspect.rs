//! Looks over all tables at once.
use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{
    SqliteStore, check_fence, order,
    rows::{self, instant, maybe_instant},
};
use crate::{
    core::{order::LastRun, task::InstanceName},
    shop::{
        drift::{Drift, Kind, Mark},
        product::Asin,
        upload::Work,
    },
    store::{
        Answer, Fence,
        inspect::{DRIFTS_MAX, Depth, Inspect, Turn},
        shop::{AccountKey, Guarded},
    },
};

/// What is said of a damaged file; the first words are enough to act on.
const FAULTS_MAX: usize = 20;

impl Inspect for SqliteStore {
    fn check_file(&self) -> Answer<Vec<String>> {
        self.db.apart("check the store", check_file)
    }

    fn drifts(&self, accounts: Vec<AccountKey>, stale: Timestamp) -> Answer<Vec<Drift>> {
        self.db.read("hold the store's parts against each other", move |conn| drifts(conn, &accounts, stale.as_millisecond()))
    }

    fn upload_marks(&self, shop: AccountKey) -> Answer<BTreeMap<Asin, Mark>> {
        self.db.read("read what the queue knows of a shop", move |conn| upload_marks(conn, &shop))
    }

    fn depth(&self, work: Work, account: Option<Arc<str>>, at: Timestamp) -> Answer<Depth> {
        self.db.read("measure a queue", move |conn| depth(conn, work, account.as_deref(), at.as_millisecond()))
    }

    fn last_successes(&self, of: Vec<InstanceName>) -> Answer<Vec<LastRun>> {
        self.db.read("read the last successes", move |conn| order::last_successes(conn, &of))
    }

    fn keep_health(&self, fence: Fence, found: Vec<(Arc<str>, Option<String>)>, at: Timestamp) -> Answer<Guarded<Vec<Turn>>> {
        self.db.write("keep what the checks found", move |conn| {
            if check_fence(conn, &fence)? { keep_health(conn, &fence, found, at).map(Guarded::Done) } else { Ok(Guarded::Fenced) }
        })
    }
}

fn check_file(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut faults: Vec<String> =
        conn.prepare("PRAGMA quick_check(20)")?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    faults.retain(|fault| fault != "ok");
    let orphan = |row: &Row<'_>| {
        let (table, id, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let id = id.map_or_else(String::new, |id| format!(" {id}"));
        Ok(format!("row{id} of {table} names a row of {parent} that is not there"))
    };
    let mut orphans = conn.prepare("PRAGMA foreign_key_check")?;
    let orphans = orphans.query_map([], orphan)?.take(FAULTS_MAX).collect::<rusqlite::Result<Vec<_>>>()?;
    faults.extend(orphans);
    Ok(faults)
}

/// Rows of (account, subject, detail, mend), for times before `?1`.
const QUERIES: &[(Kind, &str)] = &[
    (
        Kind::Unlisted,
        "SELECT q.account, 'queue item ' || q.id || ' (' || q.subject || ')',
                'it was listed as item ' || q.item_id || ', and in the books it is ' || coalesce(l.state, 'nothing'),
                'taskrun products import with asin=' || q.subject || ', account=' || q.account || ', item_id=' || q.item_id
           FROM queue q LEFT JOIN listings l ON l.asin = q.subject AND l.platform = q.platform AND l.account = q.account
          WHERE q.kind = 'upload' AND q.state = 'success' AND q.ended_at_ms < ?1 AND coalesce(l.state, 'pending') = 'pending'
            AND NOT EXISTS (SELECT 1 FROM queue n WHERE n.kind = 'upload' AND n.platform = q.platform AND n.account = q.account
                              AND n.subject = q.subject AND n.id > q.id)",
    ),
    (
        Kind::Unqueued,
        "SELECT account, asin, 'it is to be listed, and nothing in the queue will do it',
                'taskrun queue add ' || asin || ' --account ' || account
           FROM listings l
          WHERE state = 'pending' AND created_at_ms < ?1
            AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.kind = 'upload' AND q.platform = l.platform AND q.account = l.account
                              AND q.subject = l.asin)",
    ),
    (
        Kind::Stuck,
        "SELECT account, kind || ' item ' || id || ' (' || subject || ')',
                'run ' || run || ' has it in hand, and was to be done an hour ago or more',
                iif(kind = 'upload', 'taskrun once upload_tick@' || account, 'the next run of its task') || ' takes it over; is the task enabled?'
           FROM queue WHERE state = 'uploading' AND lease_until_ms < ?1",
    ),
    (
        Kind::OpenCreate,
        "SELECT q.account, 'queue item ' || q.id || ' (' || q.subject || ')',
                'it is ' || q.state || ', and a listing of it may have been made that nobody knows of',
                'taskrun queue retry ' || q.id || ' looks it up at the shop'
           FROM queue_steps s JOIN queue q ON q.id = s.item
          WHERE s.step = 'create' AND s.done_at_ms IS NULL AND s.begun_at_ms < ?1 AND q.state NOT IN ('pending', 'uploading')",
    ),
    (
        Kind::OpenEdit,
        "SELECT account, 'item ' || item_id || ' (' || asin || ')', 'run ' || run || ' sent an edit whose answer was lost',
                'taskrun once sync_inventory looks it up'
           FROM intents WHERE created_at_ms < ?1 - 86400000",
    ),
    (
        Kind::UnknownProduct,
        "SELECT account, 'queue item ' || id || ' (' || subject || ')', 'the catalogue has no such product',
                'taskrun queue cancel ' || id
           FROM queue WHERE kind = 'upload' AND state IN ('pending', 'uploading', 'uncertain', 'review', 'on_hold')
            AND created_at_ms < ?1 AND subject NOT IN (SELECT asin FROM products)",
    ),
    (
        Kind::Supply,
        "SELECT account, sku, 'Amazon was told ' || coalesce(pushed, 'nothing') || ' for a day or more, and should be told ' || wanted,
                'taskrun once update_feed'
           FROM supplies WHERE wanted IS NOT pushed AND state IN ('backed', 'gone') AND changed_at_ms < ?1 - 86400000",
    ),
    (
        Kind::Supply,
        "SELECT account, sku, 'nobody has looked for two days or more whether ' || source || ' still has ' || source_item,
                'taskrun once check_items'
           FROM supplies WHERE state = 'backed' AND coalesce(checked_at_ms, created_at_ms) < ?1 - 172800000",
    ),
];

/// What each table has of an account, in words.
const BY_ACCOUNT: &str = "SELECT platform, account, sum(listings), sum(work) FROM (
    SELECT platform, account, count(*) AS listings, 0 AS work FROM listings WHERE state IN ('listed', 'pending') GROUP BY platform, account
    UNION ALL
    SELECT platform, account, 0, count(*) FROM queue WHERE kind = 'upload' AND state IN ('pending', 'uploading', 'uncertain', 'review', 'on_hold')
     GROUP BY platform, account
    UNION ALL
    SELECT 'amazon', account, count(*), 0 FROM supplies WHERE state = 'backed' GROUP BY account) GROUP BY platform, account";

fn drifts(conn: &Connection, accounts: &[AccountKey], stale: i64) -> rusqlite::Result<Vec<Drift>> {
    let mut found = Vec::new();
    for (kind, query) in QUERIES {
        let mut rows = conn.prepare_cached(query)?;
        for drift in rows.query_map([stale], |row| drift(row, *kind))?.take(DRIFTS_MAX) {
            found.push(drift?);
        }
    }
    let mut rows = conn.prepare_cached(BY_ACCOUNT)?;
    let of = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Box<str>>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?));
    for row in rows.query_map([], of)? {
        let (platform, account, listings, work) = row?;
        if !accounts.iter().any(|known| known.platform.word() == platform && *known.account == *account) {
            found.push(Drift {
                kind: Kind::UnknownAccount,
                subject: format!("{platform} account {account}"),
                detail: format!("the file names no such account; it has {listings} listings and {work} items of work"),
                mend: "put the account back into tasks.yaml, or cancel its work with `taskrun queue cancel`".to_owned(),
                account: account.into(),
            });
        }
    }
    Ok(found)
}

fn drift(row: &Row<'_>, kind: Kind) -> rusqlite::Result<Drift> {
    let account: Box<str> = row.get(0)?;
    Ok(Drift { kind, account: account.into(), subject: row.get(1)?, detail: row.get(2)?, mend: row.get(3)? })
}

fn upload_marks(conn: &Connection, shop: &AccountKey) -> rusqlite::Result<BTreeMap<Asin, Mark>> {
    let mut rows = conn.prepare_cached(
        "SELECT asin, open, (SELECT count(*) FROM queue_steps WHERE item = last AND step = 'image' AND done_at_ms IS NOT NULL) AS images
           FROM (SELECT subject AS asin, max(state IN ('pending', 'uploading', 'uncertain', 'review', 'on_hold')) AS open,
                        max(iif(state = 'success', id, 0)) AS last
                   FROM queue WHERE kind = 'upload' AND platform = ?1 AND account = ?2 GROUP BY subject)",
    )?;
    let mark = |row: &Row<'_>| Ok((rows::word(row, "asin", Asin::parse)?, Mark { images: row.get("images")?, is_open: row.get("open")? }));
    rows.query_map(params![shop.platform.word(), shop.account], mark)?.collect()
}

fn depth(conn: &Connection, work: Work, account: Option<&str>, at: i64) -> rusqlite::Result<Depth> {
    conn.prepare_cached(
        "SELECT count(*) FILTER (WHERE state = 'pending' AND coalesce(retry_at_ms, scheduled_at_ms) <= ?3) AS due,
                min(coalesce(retry_at_ms, scheduled_at_ms)) FILTER (WHERE state = 'pending') AS first_ms,
                count(*) FILTER (WHERE state <> 'pending') AS dead
           FROM queue WHERE kind = ?1 AND state IN ('pending', 'failed', 'uncertain') AND (?2 IS NULL OR account = ?2)",
    )?
    .query_row(params![work.word(), account, at], |row| {
        let first = maybe_instant(row, "first_ms")?;
        Ok(Depth { due: row.get("due")?, oldest: first.filter(|first| first.as_millisecond() <= at), dead: row.get("dead")? })
    })
}

fn keep_health(conn: &Connection, fence: &Fence, found: Vec<(Arc<str>, Option<String>)>, at: Timestamp) -> rusqlite::Result<Vec<Turn>> {
    let instance = fence.instance.as_str();
    let mut rows = conn.prepare_cached("SELECT name, since_ms FROM health_checks WHERE instance = ?1")?;
    let known = rows.query_map([instance], |row| Ok((row.get::<_, String>(0)?, instant(row, "since_ms")?)))?;
    let known: BTreeMap<String, Timestamp> = known.collect::<rusqlite::Result<_>>()?;
    let mut forget = conn.prepare_cached("DELETE FROM health_checks WHERE instance = ?1 AND name = ?2")?;
    for gone in known.keys().filter(|name| found.iter().all(|(check, _)| **check != ***name)) {
        forget.execute(params![instance, gone])?;
    }
    let mut keep = conn.prepare_cached("INSERT INTO health_checks (instance, name, since_ms, detail) VALUES (?1, ?2, ?3, ?4)")?;
    let mut turns = Vec::new();
    for (check, detail) in found {
        match (known.get(&*check), detail) {
            (None, Some(detail)) => {
                keep.execute(params![instance, check, at.as_millisecond(), detail])?;
                turns.push(Turn::Bad { check, detail });
            }
            (Some(since), None) => {
                forget.execute(params![instance, check])?;
                turns.push(Turn::Good { check, since: *since });
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
    Ok(turns)
}
