//! The queue: what its files share, and where the store's methods lead. `add` is the way in, `claim` and `work` are the workers', `orders` people's.
use std::{ops::Range, sync::Arc};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    SqliteStore, guarded,
    rows::{instant, maybe_instant, maybe_word, word},
};
use crate::{
    core::task::{Generation, RunId},
    shop::{
        product::Platform,
        spread::Rhythm,
        upload::{ItemId, Order, State, Step, Work},
    },
    store::{
        Answer, Fence,
        shop::{
            AccountKey, AddReport, AddRequest, Batch, Begun, Cap, ClaimRequest, Count, Guarded, Item, ItemError, ItemFilter, Lease, Moved,
            NextStep, Ordered, Queue, Settled, StepState, Today, Which,
        },
    },
};

mod add;
mod claim;
mod jobs;
mod look;
mod orders;
mod work;

impl Queue for SqliteStore {
    fn add_uploads(&self, request: AddRequest, at: Timestamp) -> Answer<AddReport> {
        if request.dry {
            return self.db.read("plan what would be queued", move |conn| add::add(conn, &request, at));
        }
        self.db.write("queue products", move |conn| add::add(conn, &request, at))
    }

    fn claim_items(&self, fence: Fence, request: ClaimRequest, at: Timestamp) -> Answer<Guarded<Batch>> {
        self.db.write("claim items", move |conn| guarded(conn, &fence, || claim::claim(conn, &fence, &request, at)))
    }

    fn begin_step(&self, fence: Fence, next: NextStep, at: Timestamp) -> Answer<Guarded<Begun>> {
        self.db.write("write down a step before it is made", move |conn| guarded(conn, &fence, || work::begin(conn, &fence, &next, at)))
    }

    fn finish_step(&self, fence: Fence, item: ItemId, step: Step, item_id: Option<Arc<str>>, at: Timestamp) -> Answer<Guarded<bool>> {
        self.db.write("write down that a step is done", move |conn| {
            guarded(conn, &fence, || work::finish(conn, &fence, (item, step), item_id.as_deref(), at))
        })
    }

    fn withdraw_step(&self, fence: Fence, item: ItemId, step: Step) -> Answer<Guarded<bool>> {
        self.db.write("withdraw a step", move |conn| guarded(conn, &fence, || work::withdraw(conn, &fence, (item, step))))
    }

    fn settle_item(&self, fence: Fence, item: ItemId, how: Settled, at: Timestamp) -> Answer<Guarded<Option<State>>> {
        self.db.write("settle an item", move |conn| guarded(conn, &fence, || work::settle(conn, &fence, item, &how, at)))
    }

    fn order_items(&self, which: Which, order: Order, at: Timestamp) -> Answer<Vec<Ordered>> {
        self.db.write("follow an order for items", move |conn| orders::follow(conn, &which, order, at))
    }

    fn reschedule(&self, moves: Vec<(AccountKey, Rhythm)>) -> Answer<Vec<Moved>> {
        self.db.write("reschedule items", move |conn| {
            moves.iter().map(|(account, rhythm)| orders::reschedule(conn, account, rhythm)).collect()
        })
    }

    fn items(&self, work: Work, filter: ItemFilter) -> Answer<Vec<Item>> {
        self.db.read("list the queue", move |conn| look::items(conn, work, &filter))
    }

    fn item(&self, id: ItemId) -> Answer<Option<(Item, Vec<StepState>)>> {
        self.db.read("read an item", move |conn| {
            let Some(item) = find(conn, id)? else { return Ok(None) };
            Ok(Some((item, steps(conn, id)?)))
        })
    }

    fn item_counts(&self, work: Work) -> Answer<Vec<Count>> {
        self.db.read("count the queue", move |conn| look::counts(conn, work))
    }

    fn today(&self, work: Work, account: AccountKey, day: Range<Timestamp>, at: Timestamp) -> Answer<Today> {
        self.db.read("look at an account's day", move |conn| look::today(conn, work, &account, &day, at))
    }
}

/// What the open states have in common; the partial index has the same words.
macro_rules! open {
    () => {
        "state IN ('pending', 'uploading', 'uncertain', 'review', 'on_hold')"
    };
}
use open;

/// Whether the run that has an item `q` can still write: it is open, and nothing has shut it out. Otherwise its hold is worth nothing.
macro_rules! alive {
    () => {
        "EXISTS (SELECT 1 FROM runs r JOIN instances i ON i.name = r.instance
           WHERE r.id = q.run AND r.generation = q.generation AND i.floor <= r.generation AND r.state IN ('waiting', 'running', 'backoff'))"
    };
}
use alive;

fn find(conn: &Connection, id: ItemId) -> rusqlite::Result<Option<Item>> {
    conn.prepare_cached("SELECT * FROM queue WHERE id = ?1 AND kind = 'upload'")?.query_row([id.0], item).optional()
}

fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let lease = match (row.get::<_, Option<i64>>("run")?, row.get::<_, Option<i64>>("generation")?, maybe_instant(row, "lease_until_ms")?) {
        (Some(run), Some(generation), Some(until)) => Some(Lease { run: RunId(run), generation: Generation(generation), until }),
        _ => None,
    };
    let text = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<Box<str>>>(column)?.map(Arc::<str>::from));
    Ok(Item {
        id: ItemId(row.get("id")?),
        work: word(row, "kind", Work::from_word)?,
        account: account(row)?,
        subject: row.get::<_, Box<str>>("subject")?.into(),
        state: word(row, "state", State::from_word)?,
        priority: row.get("priority")?,
        scheduled_at: instant(row, "scheduled_at_ms")?,
        retry_at: maybe_instant(row, "retry_at_ms")?,
        attempts: row.get("attempts")?,
        lease,
        wish: maybe_word(row, "wish", State::from_word)?,
        item_id: text("item_id")?,
        approved: row.get("approved")?,
        error: text("error_code")?.zip(text("error_text")?).map(|(code, text)| ItemError { code, text }),
        created_at: instant(row, "created_at_ms")?,
        ended_at: maybe_instant(row, "ended_at_ms")?,
    })
}

fn account(row: &Row<'_>) -> rusqlite::Result<AccountKey> {
    Ok(AccountKey { platform: word(row, "platform", Platform::from_word)?, account: row.get::<_, Box<str>>("account")?.into() })
}

fn steps(conn: &Connection, item: ItemId) -> rusqlite::Result<Vec<StepState>> {
    let state = |row: &Row<'_>| {
        let number: u8 = row.get("number")?;
        let step = if number == 0 { Step::Create } else { Step::Image(number) };
        Ok(StepState { step, begun_at: instant(row, "begun_at_ms")?, done_at: maybe_instant(row, "done_at_ms")? })
    };
    conn.prepare_cached("SELECT * FROM queue_steps WHERE item = ?1 ORDER BY step, number")?.query_map([item.0], state)?.collect()
}

/// A step as its two columns.
fn step_columns(step: Step) -> (&'static str, u8) {
    match step {
        Step::Create => ("create", 0),
        Step::Image(number) => ("image", number),
    }
}

/// Whether a listing of the item may have been made that nobody knows of.
fn is_unsettled(conn: &Connection, item: ItemId) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM queue_steps WHERE item = ?1 AND step = 'create' AND done_at_ms IS NULL)")?
        .query_row([item.0], |row| row.get(0))
}

const COUNTED: &str =
    "SELECT count(*) FROM queue WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND counted_at_ms >= ?4 AND counted_at_ms < ?5";

/// How many items count for a day's cap.
fn counted(conn: &Connection, work: Work, account: &AccountKey, day: &Range<Timestamp>) -> rusqlite::Result<u32> {
    conn.prepare_cached(COUNTED)?.query_row(
        params![work.word(), account.platform.word(), account.account, day.start.as_millisecond(), day.end.as_millisecond()],
        |row| row.get(0),
    )
}

/// How many more the cap allows.
fn room(conn: &Connection, work: Work, account: &AccountKey, cap: &Cap) -> rusqlite::Result<usize> {
    let Some(limit) = cap.limit else { return Ok(usize::MAX) };
    Ok(limit.saturating_sub(counted(conn, work, account, &cap.day)?).try_into().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use crate::store::sqlite::migrate;

    /// How SQLite would answer.
    fn plan(sql: &str) -> String {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut conn, std::path::Path::new("taskrun.db")).unwrap();
        let mut explained = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nothing = vec![rusqlite::types::Null; explained.parameter_count()];
        let lines = explained.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>("detail")).unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_workers_ask_is_answered_along_an_index_without_a_scan_or_a_sort() {
        let queries = [
            (super::claim::FRESH, "SEARCH queue USING COVERING INDEX queue_fresh"),
            (super::claim::BEGUN, "SEARCH queue USING INDEX queue_begun"),
            (super::claim::WAKE, "SEARCH queue USING INDEX queue_put_back"),
            (super::claim::LEFT_OPEN, "SEARCH q USING INDEX queue_lane"),
            (super::COUNTED, "SEARCH queue USING COVERING INDEX queue_counted"),
            (super::add::PLANNED, "SEARCH queue USING COVERING INDEX queue_fresh"),
        ];
        for (sql, search) in queries {
            let plan = plan(sql);
            assert!(plan.starts_with(search) && !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        }
    }

    #[test]
    fn what_people_ask_is_answered_along_an_index_too() {
        let mut queries: Vec<&str> = super::look::TURNS.to_vec();
        queries.extend([
            super::look::LANES,
            super::look::OF_STATE,
            super::look::DUE,
            super::orders::EVERY,
            super::orders::EVERY_OF,
            super::add::QUEUED,
        ]);
        for sql in queries {
            let plan = plan(sql);
            assert!(plan.starts_with("SEARCH queue") && !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        }
        // A count of everything reads one index and no row.
        assert_eq!(plan(super::look::COUNTS), "SEARCH queue USING COVERING INDEX queue_lane (kind=?)");
    }
}
