//! Judging a fire on what the store knows, and writing what follows, in one transaction.
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    instances::{know, next_generation, raise_floor, raise_watermark},
    order,
    rows::{OpenRow, instance, maybe_instant, open, open_row},
    runs::{Ending, ask_stop, end_run},
};
use crate::core::{
    event::{Asked, JudgeRequest, Judgement, Rival, RunEnd, Skip, StopReason},
    guard::{self, Bench, HeldLock, OpenRun, Verdict},
    task::{Generation, InstanceName, LockName, ProcessId, RunId, Trigger},
};

pub(super) fn judge(conn: &Connection, process: ProcessId, request: &JudgeRequest, at: i64) -> rusqlite::Result<Judgement> {
    if let Some(run) = request.waiting {
        match open_row(conn, run)? {
            Some(OpenRow { process: owner, generation: None, stop, orphan, .. }) if owner == Some(process) || orphan => {
                // An orphan goes on waiting as this process's.
                conn.prepare_cached("UPDATE runs SET process = ?2 WHERE id = ?1")?.execute(params![run.0, process.0])?;
                // Whoever told it to stop will see to its end.
                if stop.is_some() {
                    return Ok(Judgement::LockWait { run, holder_hangs: false });
                }
            }
            Some(_) | None => return Ok(Judgement::AlreadyJudged),
        }
    }
    let bench = bench(conn, process, request, at)?;
    let verdict = guard::judge(request, &bench);
    if let Verdict::Suspect(suspects) = verdict {
        return Ok(Judgement::Suspect(suspects));
    }
    if let Verdict::NotYet { last_end } = verdict {
        return Ok(Judgement::NotYet { last_end });
    }
    let fire = Fire { process, request, at };
    know(conn, &request.instance.name, at)?;
    for skip in request.skips.iter().filter(|skip| bench.watermark.is_none_or(|watermark| watermark < skip.last_at)) {
        fire.skip(conn, skip, Trigger::Schedule, None)?;
    }
    fire.move_watermark(conn)?;
    let Some(asked) = request.asked else { return Ok(Judgement::Recorded) };
    let cause = match request.follow_up {
        Some(id) => order::take(conn, id)?,
        None => None,
    };
    match verdict {
        Verdict::AlreadyJudged => Ok(Judgement::AlreadyJudged),
        Verdict::NotYet { last_end } => Ok(Judgement::NotYet { last_end }),
        Verdict::Suspect(suspects) => Ok(Judgement::Suspect(suspects)),
        Verdict::Skip { reason, detail } => {
            let skip = Skip { first_at: asked.fire_at, last_at: asked.fire_at, count: 1, at_least: false, reason, detail };
            let run = match request.waiting {
                Some(run) => skip_waiter(conn, run, &skip, at)?,
                None => fire.skip(conn, &skip, asked.trigger, cause)?,
            };
            Ok(Judgement::Skipped { run, reason, detail: skip.detail })
        }
        Verdict::LockWait { holder_hangs } => Ok(Judgement::LockWait { run: fire.row(conn, asked, None, cause)?, holder_hangs }),
        Verdict::Admit { supersede, behind, broken } => {
            let generation = next_generation(conn, &request.instance.name)?;
            let run = fire.row(conn, asked, Some(generation), cause)?;
            fire.shut_out(conn, &broken)?;
            fire.claim_locks(conn, run)?;
            let rivals = tell_rivals(conn, run, &bench, &supersede, &behind)?;
            Ok(Judgement::Admitted { run, generation: Generation(generation), rivals })
        }
    }
}

/// What is judged, by whom and when.
struct Fire<'a> {
    process: ProcessId,
    request: &'a JudgeRequest,
    at: i64,
}

impl Fire<'_> {
    /// Writes a skip, or adds it to the row before, where that is an equal skip of the schedule.
    fn skip(&self, conn: &Connection, skip: &Skip, trigger: Trigger, cause: Option<RunId>) -> rusqlite::Result<RunId> {
        let name = self.request.instance.name.as_str();
        let (first, last) = (skip.first_at.as_millisecond(), skip.last_at.as_millisecond());
        if trigger.scheduled() {
            let folded = conn
                .prepare_cached(
                    "UPDATE runs SET count = min(count + ?5, 4294967295), at_least = at_least OR ?6, last_at_ms = ?4, ended_at_ms = ?7
                     WHERE id = (SELECT max(id) FROM runs WHERE instance = ?1) AND state = 'skipped' AND trigger IN ('schedule', 'catch_up')
                       AND reason = ?2 AND text IS ?8 AND last_at_ms < ?3 RETURNING id",
                )?
                .query_row(
                    params![name, skip.reason.word(), first, last, skip.count, skip.at_least, self.at, skip.detail.as_deref()],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(run) = folded {
                return Ok(RunId(run));
            }
        }
        conn.prepare_cached(
            "INSERT INTO runs (instance, fire_at_ms, trigger, state, reason, count, at_least, last_at_ms, ended_at_ms, text, cause)
             VALUES (?1, ?2, ?3, 'skipped', ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
        )?
        .query_row(
            params![
                name,
                first,
                trigger.word(),
                skip.reason.word(),
                skip.count,
                skip.at_least,
                last,
                self.at,
                skip.detail.as_deref(),
                cause.map(|cause| cause.0)
            ],
            |row| row.get(0),
        )
        .map(RunId)
    }

    /// Everything that the request names has its answer now.
    fn move_watermark(&self, conn: &Connection) -> rusqlite::Result<()> {
        let fire =
            self.request.asked.filter(|asked| asked.trigger.scheduled() && self.request.waiting.is_none()).map(|asked| asked.fire_at);
        match self.request.skips.iter().map(|skip| skip.last_at).chain(fire).max() {
            Some(to) => raise_watermark(conn, &self.request.instance.name, to.as_millisecond()),
            None => Ok(()),
        }
    }

    /// The row of the fire, with its generation if it is admitted.
    fn row(&self, conn: &Connection, asked: Asked, generation: Option<i64>, cause: Option<RunId>) -> rusqlite::Result<RunId> {
        if let Some(run) = self.request.waiting {
            conn.prepare_cached("UPDATE runs SET generation = ?2 WHERE id = ?1")?.execute(params![run.0, generation])?;
            return Ok(run);
        }
        conn.prepare_cached(
            "INSERT INTO runs (instance, fire_at_ms, trigger, state, generation, process, cause) VALUES (?1, ?2, ?3, 'waiting', ?4, ?5, ?6)
             RETURNING id",
        )?
        .query_row(
            params![
                self.request.instance.name.as_str(),
                asked.fire_at.as_millisecond(),
                asked.trigger.word(),
                generation,
                self.process.0,
                cause.map(|cause| cause.0)
            ],
            |row| row.get(0),
        )
        .map(RunId)
    }

    /// Ends hung holders of named locks as lost; their claims go with them.
    fn shut_out(&self, conn: &Connection, broken: &[RunId]) -> rusqlite::Result<()> {
        for run in broken {
            let Some(row) = open_row(conn, *run)? else { continue };
            end_run(conn, &row, &Ending::lost(&row, RunEnd::Lost, None, Some(self.process), self.at))?;
            if let Some(generation) = row.generation {
                raise_floor(conn, &row.instance, generation.0.saturating_add(1))?;
            }
        }
        Ok(())
    }

    fn claim_locks(&self, conn: &Connection, run: RunId) -> rusqlite::Result<()> {
        for lock in &self.request.instance.locks {
            conn.prepare_cached("INSERT INTO locks (name, run) VALUES (?1, ?2)")?.execute(params![lock.as_str(), run.0])?;
        }
        Ok(())
    }
}

/// Tells the superseded runs to stop, and lists all that must end first.
fn tell_rivals(conn: &Connection, run: RunId, bench: &Bench, supersede: &[RunId], behind: &[RunId]) -> rusqlite::Result<Vec<Rival>> {
    for rival in supersede {
        ask_stop(conn, *rival, StopReason::Superseded(run))?;
    }
    let process = |run: RunId| bench.open.iter().find(|open| open.run == run).and_then(|open| open.process);
    let rival = |told: bool| move |run: &RunId| Rival { run: *run, process: process(*run), told };
    Ok(supersede.iter().map(rival(true)).chain(behind.iter().map(rival(false))).collect())
}

/// A run that waited for named locks becomes a skip.
fn skip_waiter(conn: &Connection, run: RunId, skip: &Skip, at: i64) -> rusqlite::Result<RunId> {
    conn.prepare_cached(
        "UPDATE runs SET state = 'skipped', reason = ?2, count = 1, at_least = 0, last_at_ms = fire_at_ms, ended_at_ms = ?3, text = ?4,
           process = NULL WHERE id = ?1",
    )?
    .execute(params![run.0, skip.reason.word(), at, skip.detail.as_deref()])?;
    Ok(run)
}

fn bench(conn: &Connection, me: ProcessId, request: &JudgeRequest, at: i64) -> rusqlite::Result<Bench> {
    let instance = &request.instance;
    let (watermark, last_end) = conn
        .prepare_cached("SELECT watermark_ms, last_end_ms FROM instances WHERE name = ?1")?
        .query_row([instance.name.as_str()], |row| Ok((maybe_instant(row, "watermark_ms")?, maybe_instant(row, "last_end_ms")?)))
        .optional()?
        .unwrap_or_default();
    let ran = match request.asked {
        Some(asked) => ran(conn, &instance.name, asked.fire_at)?,
        None => false,
    };
    let paused = paused(conn, &instance.name, instance.task.as_str(), at)?;
    let parked = match &instance.account {
        Some(account) if instance.parks => parked(conn, account, at)?,
        Some(_) | None => None,
    };
    let open = open_runs(conn, &instance.name, request.waiting)?;
    let mut held = Vec::new();
    for lock in &instance.locks {
        held.extend(holders(conn, lock)?);
    }
    let followed = match request.follow_up {
        Some(id) => !order::waits(conn, id)?,
        None => false,
    };
    let needed = order::last_runs(conn, instance.needs.iter().map(|need| &need.of))?;
    let at = Timestamp::from_millisecond(at).unwrap_or_default();
    Ok(Bench { me, at, watermark, ran, followed, needed, last_end, paused, parked, open, held })
}

/// Whether the schedule's instant became a run before.
fn ran(conn: &Connection, name: &InstanceName, fire_at: Timestamp) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM runs WHERE instance = ?1 AND fire_at_ms = ?2
           AND trigger IN ('schedule', 'catch_up') AND state <> 'skipped' AND dry = 0)",
    )?
    .query_row(params![name.as_str(), fire_at.as_millisecond()], |row| row.get(0))
}

type Paused = (Option<Timestamp>, Option<Arc<str>>);

/// The pause in force that lasts longest.
fn paused(conn: &Connection, name: &InstanceName, task: &str, at: i64) -> rusqlite::Result<Option<Paused>> {
    conn.prepare_cached(
        "SELECT until_ms, reason FROM pauses WHERE name IN (?1, ?2) AND (until_ms IS NULL OR ?3 < until_ms)
         ORDER BY until_ms IS NULL DESC, until_ms DESC, name LIMIT 1",
    )?
    .query_row(params![name.as_str(), task, at], |row| {
        let reason: Option<Box<str>> = row.get("reason")?;
        Ok((maybe_instant(row, "until_ms")?, reason.map(Into::into)))
    })
    .optional()
}

/// The park in force that lasts longest. An account's name is one for all marketplaces.
fn parked(conn: &Connection, account: &str, at: i64) -> rusqlite::Result<Option<(Option<Timestamp>, Arc<str>)>> {
    conn.prepare_cached(
        "SELECT until_ms, detail FROM parks WHERE account = ?1 AND (until_ms IS NULL OR ?2 < until_ms)
         ORDER BY until_ms IS NULL DESC, until_ms DESC, cause LIMIT 1",
    )?
    .query_row(params![account, at], |row| Ok((maybe_instant(row, "until_ms")?, row.get::<_, Box<str>>("detail")?.into())))
    .optional()
}

fn open_runs(conn: &Connection, name: &InstanceName, but: Option<RunId>) -> rusqlite::Result<Vec<OpenRun>> {
    let open_run = |row: &Row<'_>| {
        Ok(OpenRun {
            run: RunId(row.get("id")?),
            process: row.get::<_, Option<i64>>("process")?.map(ProcessId),
            generation: row.get::<_, Option<i64>>("generation")?.map(Generation),
            waits: row.get("waits")?,
        })
    };
    conn.prepare_cached(concat!(
        "SELECT id, process, generation, state <> 'running' AS waits FROM runs WHERE instance = ?1 AND id IS NOT ?2 AND ",
        open!(),
        " ORDER BY id"
    ))?
    .query_map(params![name.as_str(), but.map(|run| run.0)], open_run)?
    .collect()
}

fn holders(conn: &Connection, lock: &LockName) -> rusqlite::Result<Vec<HeldLock>> {
    let held = |row: &Row<'_>| {
        Ok(HeldLock {
            lock: lock.clone(),
            run: RunId(row.get("id")?),
            instance: instance(row)?,
            process: row.get::<_, Option<i64>>("process")?.map(ProcessId),
        })
    };
    conn.prepare_cached("SELECT r.id, r.instance, r.process FROM locks l JOIN runs r ON r.id = l.run WHERE l.name = ?1 ORDER BY r.id")?
        .query_map([lock.as_str()], held)?
        .collect()
}
