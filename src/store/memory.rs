//! The store in memory: for the simulation, and for tests that need no file.
//!
//! [`Tables`] does the work and waits for nothing; [`MemoryStore`] puts it behind the trait. It is written apart from the SQLite half on purpose:
//! the conformance tests hold both to the same answers, so a mistake would have to be made twice.
#![expect(missing_docs, reason = "the methods of `Tables` are those of `RunStore`, and documented there")]
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

pub use self::tables::Tables;
use super::{
    Answer, AttemptRow, ChildGroup, CloseRequest, Fence, HistoryFilter, HistoryRow, InstanceSeen, Pause, PostponeRequest, ProcessRow,
    RunStore,
};
use crate::core::{
    event::{AdoptAnswer, CloseAnswer, JudgeRequest, Judgement, LeftRun, Mark, RunEnd, StartAnswer, StopReason},
    order::{FollowUp, FollowUpId, LastRun},
    task::{Instance, InstanceName, ProcessId, RunId},
};

mod judge;
mod reads;
mod tables;
mod takeover;

/// The store in memory, shared by its clones.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
}

impl MemoryStore {
    /// Whether a handler's write may happen at this moment: its run is open under that generation, which is at or above the floor.
    ///
    /// # Errors
    /// None.
    pub fn may_write(&self, fence: &Fence) -> Answer<bool> {
        self.now(|tables| tables.may_write(fence))
    }

    /// Parks an account. The handlers' half of the file does this; here it is for tests, and an account has one park at most.
    ///
    /// # Errors
    /// None.
    pub fn park(&self, account: &str, until: Option<Timestamp>, why: &str) -> Answer<()> {
        self.now(|tables| tables.park(account.into(), until, why.into()))
    }

    /// Ends an account's park.
    ///
    /// # Errors
    /// None.
    pub fn unpark(&self, account: &str) -> Answer<()> {
        self.now(|tables| tables.unpark(account))
    }

    /// Works at the time of the call, not of the first poll.
    fn now<T: Send + 'static>(&self, work: impl FnOnce(&mut Tables) -> T) -> Answer<T> {
        let done = work(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(std::future::ready(Ok(done)))
    }
}

impl RunStore for MemoryStore {
    fn register_process(&self, pid: u32, once: bool, record: String, at: Timestamp) -> Answer<ProcessId> {
        self.now(|tables| tables.register_process(pid, once, record, at))
    }

    fn retire_process(&self, process: ProcessId) -> Answer<()> {
        self.now(|tables| tables.retire_process(process))
    }

    fn processes(&self) -> Answer<Vec<ProcessRow>> {
        self.now(|tables| tables.processes())
    }

    fn register_instances(&self, seen: Vec<InstanceSeen>, all: bool, at: Timestamp) -> Answer<Vec<Mark>> {
        self.now(|tables| tables.register_instances(&seen, all, at))
    }

    fn lower_watermarks(&self, to: Timestamp) -> Answer<()> {
        self.now(|tables| tables.lower_watermarks(to))
    }

    fn judge(&self, process: ProcessId, request: JudgeRequest, at: Timestamp) -> Answer<Judgement> {
        self.now(|tables| tables.judge(process, &request, at))
    }

    fn start(&self, process: ProcessId, run: RunId, attempt: u32, raise_floor: bool, at: Timestamp) -> Answer<StartAnswer> {
        self.now(|tables| tables.start(process, run, attempt, raise_floor, at))
    }

    fn postpone(&self, request: PostponeRequest, at: Timestamp) -> Answer<()> {
        self.now(|tables| tables.postpone(&request, at))
    }

    fn close(&self, request: CloseRequest, at: Timestamp) -> Answer<CloseAnswer> {
        self.now(|tables| tables.close(&request, at))
    }

    fn follow_ups(&self) -> Answer<Vec<FollowUp>> {
        self.now(|tables| tables.follow_ups())
    }

    fn drop_follow_up(&self, id: FollowUpId) -> Answer<()> {
        self.now(|tables| drop(tables.follow_ups.remove(&id)))
    }

    fn last_runs(&self, of: Vec<InstanceName>) -> Answer<Vec<LastRun>> {
        self.now(|tables| of.iter().filter_map(|name| tables.last_run(name)).collect())
    }

    fn last_successes(&self, of: Vec<InstanceName>) -> Answer<Vec<LastRun>> {
        self.now(|tables| of.iter().filter_map(|name| tables.last_success(name)).collect())
    }

    fn set_aside(&self, process: ProcessId, run: RunId, frees_locks: bool, at: Timestamp) -> Answer<()> {
        self.now(|tables| tables.set_aside(process, run, frees_locks, at))
    }

    fn take_over(&self, run: RunId, rivals: Vec<RunId>, at: Timestamp) -> Answer<()> {
        self.now(|tables| tables.take_over(run, &rivals, at))
    }

    fn still_open(&self, runs: Vec<RunId>) -> Answer<Vec<(RunId, Option<ProcessId>)>> {
        self.now(|tables| tables.still_open(&runs))
    }

    fn leftover(&self, dead: Vec<ProcessId>, set_aside: bool) -> Answer<Vec<LeftRun>> {
        self.now(|tables| tables.leftover(&dead, set_aside))
    }

    fn adopt(&self, run: RunId, process: ProcessId, instance: Arc<Instance>, lost: bool, at: Timestamp) -> Answer<AdoptAnswer> {
        self.now(|tables| tables.adopt(run, process, &instance, lost, at))
    }

    fn close_orphan(&self, run: RunId, end: RunEnd, by: Option<RunId>, at: Timestamp) -> Answer<()> {
        self.now(|tables| tables.close_orphan(run, end, by, at))
    }

    fn ask_stop(&self, run: RunId, reason: StopReason) -> Answer<bool> {
        self.now(|tables| tables.ask_stop(run, reason))
    }

    fn stop_requests(&self, process: ProcessId) -> Answer<Vec<(RunId, Option<StopReason>)>> {
        self.now(|tables| tables.stop_requests(process))
    }

    fn record_child(&self, child: ChildGroup) -> Answer<()> {
        self.now(|tables| tables.record_child(child))
    }

    fn forget_children(&self, run: RunId) -> Answer<()> {
        self.now(|tables| tables.forget_children(run))
    }

    fn children(&self, processes: Vec<ProcessId>, runs: Vec<RunId>) -> Answer<Vec<ChildGroup>> {
        self.now(|tables| tables.children(&processes, &runs))
    }

    fn pause(&self, pause: Pause) -> Answer<()> {
        self.now(|tables| tables.pause(pause))
    }

    fn resume(&self, name: String) -> Answer<bool> {
        self.now(|tables| tables.resume(&name))
    }

    fn pauses(&self) -> Answer<Vec<Pause>> {
        self.now(|tables| tables.pauses())
    }

    fn record_dry(&self, instance: InstanceName, end: RunEnd, text: Option<String>, started_at: Timestamp, at: Timestamp) -> Answer<RunId> {
        self.now(|tables| tables.record_dry(&instance, end, text, started_at, at))
    }

    fn history(&self, filter: HistoryFilter) -> Answer<Vec<HistoryRow>> {
        self.now(|tables| tables.history(&filter))
    }

    fn row(&self, run: RunId) -> Answer<Option<HistoryRow>> {
        self.now(|tables| tables.row(run))
    }

    fn attempts(&self, run: RunId) -> Answer<Vec<AttemptRow>> {
        self.now(|tables| tables.attempts(run))
    }

    fn last_ends(&self) -> Answer<Vec<HistoryRow>> {
        self.now(|tables| tables.last_ends())
    }
}
