//! The store in one SQLite file.
//!
//! `db` owns the connections and knows nothing of runs; the other files are one topic each. Nothing outside this folder speaks SQL.
use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use rusqlite::{Connection, params};

use self::{db::Db, history::DryRow};
use super::{
    Answer, AttemptRow, ChildGroup, CloseRequest, Fence, HistoryFilter, HistoryRow, InstanceSeen, Pause, PostponeRequest, ProcessRow,
    RunStore, StoreResult,
};
use crate::core::{
    event::{AdoptAnswer, CloseAnswer, JudgeRequest, Judgement, LeftRun, Mark, RunEnd, StartAnswer, StopReason},
    order::{FollowUp, FollowUpId, LastRun},
    task::{Instance, InstanceName, ProcessId, RunId},
};

mod busy;
mod db;
mod disk;
mod history;
mod inspect;
mod instances;
mod judge;
mod migrate;
mod notices;
mod order;
mod processes;
mod restore;
mod rows;
mod runs;
mod shop;
mod takeover;
mod upkeep;

pub use disk::is_of_disk;
pub use migrate::known as newest_schema;
pub use restore::{Restored, inspect, restore};

/// The store in one SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    db: Db,
}

impl SqliteStore {
    /// Opens the file, creating it and its folder where missing, for this user alone, and brings it to the newest schema.
    ///
    /// # Errors
    /// The file cannot be opened, is damaged, is not ours, or was written by a newer version.
    pub fn open(path: &Path) -> StoreResult<Self> {
        Ok(Self { db: Db::open(path)? })
    }

    /// Whether a handler's write may happen at this moment: its run is open under that generation, which is at or above the floor.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn may_write(&self, fence: Fence) -> Answer<bool> {
        self.db.read("look at a run's fence", move |conn| check_fence(conn, &fence))
    }
}

/// [`SqliteStore::may_write`], to be asked in the transaction of the write.
fn check_fence(conn: &Connection, fence: &Fence) -> rusqlite::Result<bool> {
    conn.prepare_cached(concat!(
        "SELECT EXISTS (SELECT 1 FROM runs r JOIN instances i ON i.name = r.instance
           WHERE r.id = ?1 AND r.instance = ?2 AND r.generation = ?3 AND i.floor <= ?3 AND r.",
        rows::open!(),
        ")"
    ))?
    .query_row(params![fence.run.0, fence.instance.as_str(), fence.generation.0], |row| row.get(0))
}

impl RunStore for SqliteStore {
    fn register_process(&self, pid: u32, once: bool, record: String, at: Timestamp) -> Answer<ProcessId> {
        let at = at.as_millisecond();
        self.db.write("register this process", move |conn| processes::register(conn, pid, once, &record, at))
    }

    fn retire_process(&self, process: ProcessId) -> Answer<()> {
        self.db.write("retire a process", move |conn| processes::retire(conn, process))
    }

    fn processes(&self) -> Answer<Vec<ProcessRow>> {
        self.db.read("list the processes", processes::all)
    }

    fn register_instances(&self, seen: Vec<InstanceSeen>, all: bool, at: Timestamp) -> Answer<Vec<Mark>> {
        let at = at.as_millisecond();
        self.db.write("register the instances", move |conn| instances::register(conn, &seen, all, at))
    }

    fn lower_watermarks(&self, to: Timestamp) -> Answer<()> {
        let to = to.as_millisecond();
        self.db.write("follow the clock back", move |conn| instances::lower_watermarks(conn, to))
    }

    fn judge(&self, process: ProcessId, request: JudgeRequest, at: Timestamp) -> Answer<Judgement> {
        let at = at.as_millisecond();
        self.db.write("judge a fire", move |conn| judge::judge(conn, process, &request, at))
    }

    fn start(&self, process: ProcessId, run: RunId, attempt: u32, raise_floor: bool, at: Timestamp) -> Answer<StartAnswer> {
        let at = at.as_millisecond();
        self.db.write("count an attempt", move |conn| runs::start(conn, process, run, attempt, raise_floor, at))
    }

    fn postpone(&self, request: PostponeRequest, at: Timestamp) -> Answer<()> {
        let at = at.as_millisecond();
        self.db.write("postpone a run", move |conn| runs::postpone(conn, &request, at))
    }

    fn close(&self, request: CloseRequest, at: Timestamp) -> Answer<CloseAnswer> {
        let at = at.as_millisecond();
        self.db.write("close a run", move |conn| runs::close(conn, &request, at))
    }

    fn follow_ups(&self) -> Answer<Vec<FollowUp>> {
        self.db.read("look for follow-ups", order::waiting)
    }

    fn drop_follow_up(&self, id: FollowUpId) -> Answer<()> {
        self.db.write("drop a follow-up", move |conn| order::take(conn, id).map(drop))
    }

    fn last_runs(&self, of: Vec<InstanceName>) -> Answer<Vec<LastRun>> {
        self.db.read("read the last runs", move |conn| order::last_runs(conn, &of))
    }

    fn last_successes(&self, of: Vec<InstanceName>) -> Answer<Vec<LastRun>> {
        self.db.read("read the last successes", move |conn| order::last_successes(conn, &of))
    }

    fn set_aside(&self, process: ProcessId, run: RunId, frees_locks: bool, at: Timestamp) -> Answer<()> {
        let at = at.as_millisecond();
        self.db.write("set a run aside", move |conn| runs::set_aside(conn, process, run, frees_locks, at))
    }

    fn take_over(&self, run: RunId, rivals: Vec<RunId>, at: Timestamp) -> Answer<()> {
        let at = at.as_millisecond();
        self.db.write("take over from older runs", move |conn| takeover::take_over(conn, run, &rivals, at))
    }

    fn still_open(&self, runs: Vec<RunId>) -> Answer<Vec<(RunId, Option<ProcessId>)>> {
        self.db.read("look at older runs", move |conn| takeover::still_open(conn, &runs))
    }

    fn leftover(&self, dead: Vec<ProcessId>, set_aside: bool) -> Answer<Vec<LeftRun>> {
        self.db.write("find orphans", move |conn| takeover::leftover(conn, &dead, set_aside))
    }

    fn adopt(&self, run: RunId, process: ProcessId, instance: Arc<Instance>, lost: bool, at: Timestamp) -> Answer<AdoptAnswer> {
        let at = at.as_millisecond();
        self.db.write("adopt a run", move |conn| takeover::adopt(conn, run, process, &instance, lost, at))
    }

    fn close_orphan(&self, run: RunId, end: RunEnd, by: Option<RunId>, at: Timestamp) -> Answer<()> {
        let at = at.as_millisecond();
        self.db.write("close an orphan", move |conn| takeover::close_orphan(conn, run, end, by, at))
    }

    fn ask_stop(&self, run: RunId, reason: StopReason) -> Answer<bool> {
        self.db.write("ask for a stop", move |conn| runs::ask_stop(conn, run, reason))
    }

    fn stop_requests(&self, process: ProcessId) -> Answer<Vec<(RunId, Option<StopReason>)>> {
        self.db.read("look for stop requests", move |conn| runs::stop_requests(conn, process))
    }

    fn record_child(&self, child: ChildGroup) -> Answer<()> {
        self.db.write("remember a child process", move |conn| processes::record_child(conn, &child))
    }

    fn forget_children(&self, run: RunId) -> Answer<()> {
        self.db.write("forget child processes", move |conn| processes::forget_children(conn, run))
    }

    fn children(&self, processes: Vec<ProcessId>, runs: Vec<RunId>) -> Answer<Vec<ChildGroup>> {
        self.db.read("list child processes", move |conn| processes::children(conn, &processes, &runs))
    }

    fn pause(&self, pause: Pause) -> Answer<()> {
        self.db.write("set a pause", move |conn| instances::pause(conn, &pause))
    }

    fn resume(&self, name: String) -> Answer<bool> {
        self.db.write("end a pause", move |conn| instances::resume(conn, &name))
    }

    fn pauses(&self) -> Answer<Vec<Pause>> {
        self.db.read("list the pauses", instances::pauses)
    }

    fn record_dry(&self, instance: InstanceName, end: RunEnd, text: Option<String>, started_at: Timestamp, at: Timestamp) -> Answer<RunId> {
        let (started_at, at) = (started_at.as_millisecond(), at.as_millisecond());
        self.db.write("record a dry run", move |conn| {
            history::record_dry(conn, &DryRow { instance: &instance, end, text: text.as_deref(), started_at, at })
        })
    }

    fn history(&self, filter: HistoryFilter) -> Answer<Vec<HistoryRow>> {
        self.db.read("read the history", move |conn| history::history(conn, &filter))
    }

    fn row(&self, run: RunId) -> Answer<Option<HistoryRow>> {
        self.db.read("read a run", move |conn| history::row(conn, run))
    }

    fn attempts(&self, run: RunId) -> Answer<Vec<AttemptRow>> {
        self.db.read("read a run's attempts", move |conn| history::attempts(conn, run))
    }

    fn last_ends(&self) -> Answer<Vec<HistoryRow>> {
        self.db.read("read the last ends", history::last_ends)
    }
}
