//! Jobs: the queue's items whose lane is a source's.
use std::{cmp::Reverse, sync::Arc};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::alive;
use crate::{
    core::task::{Generation, RunId},
    shop::upload::{self, Act, ItemId, Obeyed, Order, State, Work},
    store::{
        Answer, Fence,
        shop::{
            DEATHS_MAX, Disobeyed, Guarded, ItemError, Job, JobCount, JobEnd, JobFilter, Lease, Ordered, POISON, Reclaimed, SupplyKey,
            WorkLane, WorkQueue,
        },
        sqlite::{
            SqliteStore,
            rows::{instant, maybe_instant, word},
            shop::guarded,
        },
    },
};

impl WorkQueue for SqliteStore {
    fn reclaim_jobs(&self, fence: Fence, lane: WorkLane, own: bool, at: Timestamp) -> Answer<Guarded<Reclaimed>> {
        self.db.write("take back jobs", move |conn| guarded(conn, &fence, || reclaim(conn, &fence, &lane, own, at)))
    }

    fn claim_jobs(
        &self,
        fence: Fence,
        lane: WorkLane,
        suspect: bool,
        limit: usize,
        (at, until): (Timestamp, Timestamp),
    ) -> Answer<Guarded<Vec<Job>>> {
        self.db.write("claim jobs", move |conn| guarded(conn, &fence, || claim(conn, &fence, &lane, (suspect, limit), (at, until))))
    }

    fn renew_jobs(&self, fence: Fence, lane: WorkLane, until: Timestamp) -> Answer<Guarded<()>> {
        self.db.write("renew leases", move |conn| {
            guarded(conn, &fence, || {
                conn.prepare_cached(
                    "UPDATE queue SET lease_until_ms = max(lease_until_ms, ?4)
                     WHERE kind = ?1 AND platform = ?2 AND state = 'uploading' AND run = ?3 AND generation = ?5",
                )?
                .execute(params![lane.work.word(), lane.source, fence.run.0, until.as_millisecond(), fence.generation.0])
                .map(drop)
            })
        })
    }

    fn next_job_at(&self, lane: WorkLane) -> Answer<Option<Timestamp>> {
        self.db.read("look when a job is due", move |conn| {
            conn.prepare_cached(
                "SELECT min(coalesce(retry_at_ms, scheduled_at_ms)) AS at FROM queue
                 WHERE kind = ?1 AND platform = ?2 AND state = 'pending' AND deaths = 0",
            )?
            .query_row(params![lane.work.word(), lane.source], |row| maybe_instant(row, "at"))
        })
    }

    fn settle_job(&self, fence: Fence, job: ItemId, how: JobEnd, at: Timestamp) -> Answer<Guarded<Option<State>>> {
        self.db.write("settle a job", move |conn| guarded(conn, &fence, || settle(conn, &fence, job, &how, at)))
    }

    fn jobs(&self, filter: JobFilter) -> Answer<Vec<Job>> {
        self.db.read("list jobs", move |conn| list(conn, &filter))
    }

    fn job(&self, id: ItemId) -> Answer<Option<Job>> {
        self.db.read("read a job", move |conn| find(conn, id))
    }

    fn job_counts(&self, at: Timestamp) -> Answer<Vec<JobCount>> {
        self.db.read("count jobs", move |conn| counts(conn, at))
    }

    fn order_jobs(&self, jobs: Vec<ItemId>, order: Order, at: Timestamp) -> Answer<Vec<Ordered>> {
        self.db.write("follow an order for jobs", move |conn| jobs.iter().map(|id| Ok((*id, obey(conn, *id, order, at)?))).collect())
    }
}

fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let text = |column| Ok::<Arc<str>, rusqlite::Error>(row.get::<_, Box<str>>(column)?.into());
    let maybe = |column| Ok::<Option<Arc<str>>, rusqlite::Error>(row.get::<_, Option<Box<str>>>(column)?.map(Into::into));
    let lease = match (row.get::<_, Option<i64>>("run")?, row.get::<_, Option<i64>>("generation")?, maybe_instant(row, "lease_until_ms")?) {
        (Some(run), Some(generation), Some(until)) => Some(Lease { run: RunId(run), generation: Generation(generation), until }),
        _ => None,
    };
    Ok(Job {
        id: ItemId(row.get("id")?),
        work: word(row, "kind", Work::from_word)?,
        source: text("platform")?,
        key: SupplyKey { account: text("account")?, sku: text("subject")? },
        state: word(row, "state", State::from_word)?,
        priority: row.get("priority")?,
        scheduled_at: instant(row, "scheduled_at_ms")?,
        retry_at: maybe_instant(row, "retry_at_ms")?,
        attempts: row.get("attempts")?,
        deaths: row.get("deaths")?,
        lease,
        error: maybe("error_code")?.zip(maybe("error_text")?).map(|(code, text)| ItemError { code, text }),
        created_at: instant(row, "created_at_ms")?,
        ended_at: maybe_instant(row, "ended_at_ms")?,
    })
}

fn find(conn: &Connection, id: ItemId) -> rusqlite::Result<Option<Job>> {
    conn.prepare_cached("SELECT * FROM queue WHERE id = ?1 AND kind <> 'upload'")?.query_row([id.0], job).optional()
}

/// The sellers of a lane. Steps from one to the next instead of walking through all of their jobs.
fn sellers(conn: &Connection, lane: &WorkLane) -> rusqlite::Result<Vec<Arc<str>>> {
    let mut sellers: Vec<Arc<str>> = Vec::new();
    let mut next =
        conn.prepare_cached("SELECT account FROM queue WHERE kind = ?1 AND platform = ?2 AND account > ?3 ORDER BY account LIMIT 1")?;
    loop {
        let last = sellers.last().map_or("", |last| last);
        let found: Option<Box<str>> = next.query_row(params![lane.work.word(), lane.source, last], |row| row.get(0)).optional()?;
        let Some(found) = found else { return Ok(sellers) };
        sellers.push(found.into());
    }
}

pub(super) const ABANDONED: &str = concat!(
    "SELECT q.* FROM queue q WHERE q.kind = ?1 AND q.platform = ?2 AND q.account = ?3 AND q.state = 'uploading'
       AND (q.lease_until_ms <= ?4 OR (?5 AND q.run = ?6) OR NOT ",
    alive!(),
    ") ORDER BY q.id"
);

fn reclaim(conn: &Connection, fence: &Fence, lane: &WorkLane, own: bool, at: Timestamp) -> rusqlite::Result<Reclaimed> {
    let mut reclaimed = Reclaimed::default();
    for seller in sellers(conn, lane)? {
        let lost: Vec<Job> = conn
            .prepare_cached(ABANDONED)?
            .query_map(params![lane.work.word(), lane.source, seller, at.as_millisecond(), own, fence.run.0], job)?
            .collect::<rusqlite::Result<_>>()?;
        for lost in lost {
            let deaths = lost.deaths.saturating_add(1);
            conn.prepare_cached("UPDATE queue SET deaths = ?2 WHERE id = ?1")?.execute(params![lost.id.0, deaths])?;
            if deaths < DEATHS_MAX {
                close(conn, lost.id, &JobEnd::PutBack { until: at, counts: true, error: lost.error }, None, at)?;
                reclaimed.back = reclaimed.back.saturating_add(1);
                continue;
            }
            let text = format!(
                "its worker died or vanished {deaths} times with it in hand; see the log, then `taskrun work dead requeue {}`",
                lost.id
            );
            close(conn, lost.id, &JobEnd::Failed(ItemError { code: POISON.into(), text: text.into() }), None, at)?;
            reclaimed.poisoned.extend(find(conn, lost.id)?);
        }
    }
    Ok(reclaimed)
}

pub(super) const WAKE: &str =
    "UPDATE queue SET retry_at_ms = NULL WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND state = 'pending' AND retry_at_ms <= ?4";

pub(super) const WAITING: &str = "SELECT scheduled_at_ms, priority, id FROM queue
     WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND state = 'pending' AND retry_at_ms IS NULL AND item_id IS NULL
       AND scheduled_at_ms <= ?4 AND (deaths > 0) = ?5 ORDER BY scheduled_at_ms, priority DESC, id LIMIT ?6";

fn claim(
    conn: &Connection,
    fence: &Fence,
    lane: &WorkLane,
    (suspect, limit): (bool, usize),
    (at, until): (Timestamp, Timestamp),
) -> rusqlite::Result<Vec<Job>> {
    let mut turns: Vec<(i64, Reverse<u8>, i64)> = Vec::new();
    for seller in sellers(conn, lane)? {
        let whose = (lane.work.word(), &lane.source, &seller, at.as_millisecond());
        conn.prepare_cached(WAKE)?.execute(whose)?;
        let mut waiting = conn.prepare_cached(WAITING)?;
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = waiting.query_map(params![whose.0, whose.1, whose.2, whose.3, suspect, most], |row| {
            Ok((row.get(0)?, Reverse(row.get(1)?), row.get(2)?))
        })?;
        turns.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    turns.sort_unstable();
    let mut jobs = Vec::new();
    for (.., id) in turns.into_iter().take(limit) {
        conn.prepare_cached(
            "UPDATE queue SET state = 'uploading', run = ?2, generation = ?3, lease_until_ms = ?4, attempts = attempts + 1 WHERE id = ?1",
        )?
        .execute(params![id, fence.run.0, fence.generation.0, until.as_millisecond()])?;
        jobs.extend(find(conn, ItemId(id))?);
    }
    Ok(jobs)
}

fn settle(conn: &Connection, fence: &Fence, id: ItemId, how: &JobEnd, at: Timestamp) -> rusqlite::Result<Option<State>> {
    let is_ours = |job: &Job| job.lease.is_some_and(|lease| lease.run == fence.run && lease.generation == fence.generation);
    if !find(conn, id)?.is_some_and(|job| is_ours(&job)) {
        return Ok(None);
    }
    let wish: Option<Box<str>> = conn.prepare_cached("SELECT wish FROM queue WHERE id = ?1")?.query_row([id.0], |row| row.get(0))?;
    close(conn, id, how, wish.as_deref().and_then(State::from_word), at).map(Some)
}

/// Writes that a job is in no hand any more. Whoever did not die of it is not suspected any more.
fn close(conn: &Connection, id: ItemId, how: &JobEnd, wish: Option<State>, at: Timestamp) -> rusqlite::Result<State> {
    let (act, retry_at, refund, error) = match how {
        JobEnd::Done => (Act::Finish, None, false, None),
        JobEnd::PutBack { until, counts, error } => (Act::PutBack, Some(*until), !counts, error.as_ref()),
        JobEnd::Failed(error) => (Act::Fail, None, false, Some(error)),
    };
    let state = upload::act(act, wish);
    conn.prepare_cached(
        "UPDATE queue SET state = ?2, run = NULL, generation = NULL, lease_until_ms = NULL, wish = NULL, retry_at_ms = ?3,
           attempts = max(attempts - ?4, 0), error_code = ?5, error_text = ?6, ended_at_ms = ?7 WHERE id = ?1",
    )?
    .execute(params![
        id.0,
        state.word(),
        retry_at.filter(|until| *until > at && state == State::Pending).map(Timestamp::as_millisecond),
        refund,
        error.map(|error| &error.code),
        error.map(|error| &error.text),
        Some(at.as_millisecond()).filter(|_| !state.is_open())
    ])?;
    Ok(state)
}

fn list(conn: &Connection, filter: &JobFilter) -> rusqlite::Result<Vec<Job>> {
    conn.prepare_cached(
        "SELECT * FROM queue WHERE kind <> 'upload' AND (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR platform = ?2)
           AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR error_code = ?4) ORDER BY id DESC LIMIT ?5",
    )?
    .query_map(
        params![
            filter.work.map(Work::word),
            filter.source,
            filter.state.map(State::word),
            filter.code,
            i64::try_from(filter.limit).unwrap_or(i64::MAX)
        ],
        job,
    )?
    .collect()
}

fn counts(conn: &Connection, at: Timestamp) -> rusqlite::Result<Vec<JobCount>> {
    conn.prepare_cached(
        "SELECT kind, platform, state, count(*) AS jobs,
           sum(state = 'pending' AND coalesce(retry_at_ms, scheduled_at_ms) <= ?1) AS due,
           min(iif(state = 'pending' AND coalesce(retry_at_ms, scheduled_at_ms) <= ?1, coalesce(retry_at_ms, scheduled_at_ms), NULL)) AS oldest
         FROM queue GROUP BY kind, platform, state ORDER BY kind, platform, state",
    )?
    .query_map([at.as_millisecond()], |row| {
        Ok(JobCount {
            lane: WorkLane { work: word(row, "kind", Work::from_word)?, source: row.get::<_, Box<str>>("platform")?.into() },
            state: word(row, "state", State::from_word)?,
            jobs: row.get("jobs")?,
            due: row.get("due")?,
            oldest_due: maybe_instant(row, "oldest")?,
        })
    })?
    .collect()
}

fn obey(conn: &Connection, id: ItemId, order: Order, at: Timestamp) -> rusqlite::Result<Result<Obeyed, Disobeyed>> {
    let Some(job) = find(conn, id)? else { return Ok(Err(Disobeyed::Missing)) };
    let obeyed = match upload::obey(job.state, order) {
        Ok(obeyed) => obeyed,
        Err(illegal) => return Ok(Err(Disobeyed::Illegal(illegal))),
    };
    match obeyed {
        Obeyed::Now(state) => {
            let twin = twin(conn, &job)?.filter(|_| state.is_open() && !job.state.is_open());
            if let Some(twin) = twin {
                return Ok(Err(Disobeyed::Twin(twin)));
            }
            conn.prepare_cached(
                "UPDATE queue SET state = ?2, retry_at_ms = NULL, ended_at_ms = ?3, attempts = iif(?4, 0, attempts), deaths = iif(?4, 0, deaths)
                 WHERE id = ?1",
            )?
            .execute(params![id.0, state.word(), Some(at.as_millisecond()).filter(|_| !state.is_open()), state == State::Pending])?;
        }
        Obeyed::Later(state) => {
            conn.prepare_cached("UPDATE queue SET wish = ?2 WHERE id = ?1")?.execute(params![id.0, state.word()])?;
        }
    }
    Ok(Ok(obeyed))
}

/// Another job that is open for the same.
fn twin(conn: &Connection, job: &Job) -> rusqlite::Result<Option<ItemId>> {
    conn.prepare_cached(
        "SELECT id FROM queue WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND subject = ?4 AND id <> ?5
           AND state IN ('pending', 'uploading', 'uncertain', 'review', 'on_hold')",
    )?
    .query_row(params![job.work.word(), job.source, job.key.account, job.key.sku, job.id.0], |row| row.get(0).map(ItemId))
    .optional()
}
