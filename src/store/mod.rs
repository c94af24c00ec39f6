//! Where runs are written down: traits that speak in the domain's steps, and the types of their rows.
//!
//! Nothing above this folder knows which database it is. `RunStore` is the engine's, `ShopStore` the handlers', so a handler cannot touch a run.
#![warn(missing_docs)]
use std::{path::PathBuf, sync::Arc};

use jiff::{SignedDuration, Timestamp};

pub use crate::clock::BoxFuture;
use crate::core::{
    event::{
        AdoptAnswer, CloseAnswer, JudgeRequest, Judgement, LeftRun, Mark, Outcome, OutcomeKind, RunEnd, SkipReason, StartAnswer, StopReason,
    },
    order::{FollowUp, FollowUpId, LastRun},
    task::{Generation, Instance, InstanceName, ProcessId, RunId, Trigger},
};

pub mod inspect;
pub mod memory;
pub mod notices;
pub mod shop;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod upkeep;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened or prepared.
    #[error("failed to open the store `{path}`")]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file was written by a newer taskrun.
    #[error(
        "the store `{path}` has schema {found}, this taskrun knows up to {known}: it was written by a newer version; install that one, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The schema in the file.
        found: i64,
        /// The newest schema this program knows.
        known: i64,
    },
    /// The SQLite that is linked has the WAL-reset bug.
    #[error("SQLite {found} can damage a WAL database (fixed in 3.51.3): this build must not run")]
    UnsafeVersion {
        /// The linked version.
        found: String,
    },
    /// The file is damaged.
    #[error("the store `{path}` is damaged: {detail}; stop taskrun, keep the file, and restore a backup")]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What the check said.
        detail: String,
    },
    /// The file is a database, but not ours.
    #[error("`{path}` is a database of another program")]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// The file system cannot share the file between processes.
    #[error("the store `{path}` cannot have a write-ahead log (its mode stays `{mode}`): put it on a local disk")]
    NoWal {
        /// The database file.
        path: PathBuf,
        /// The journal mode that SQLite offers there.
        mode: String,
    },
    /// The file is on a network file system.
    #[error("the store `{path}` is on a network file system ({kind}), where SQLite files get damaged: put it on a local disk")]
    Network {
        /// The database file.
        path: PathBuf,
        /// The file system's name.
        kind: &'static str,
    },
    /// A statement failed: the disk is full, the file locked for too long, or unreadable. Nothing was changed.
    #[error("failed to {step}")]
    Failed {
        /// What was being done, as a verb phrase.
        step: &'static str,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The writer is gone; only at shutdown.
    #[error("the store is closed")]
    Closed,
}

/// A result of the store.
pub type StoreResult<T> = Result<T, StoreError>;
/// An answer of the store, when it comes. The work is on its way whether or not anybody waits for the answer.
pub type Answer<T> = BoxFuture<'static, StoreResult<T>>;

/// A running taskrun, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRow {
    /// Its number.
    pub id: ProcessId,
    /// The operating system's process id.
    pub pid: u32,
    /// A `once`; otherwise a daemon.
    pub once: bool,
    /// The name of its process record, a file beside the database that it keeps locked.
    pub record: String,
    /// When it registered.
    pub started_at: Timestamp,
}

/// A child process group of a run: enough to kill it and nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildGroup {
    /// The run whose attempt started it.
    pub run: RunId,
    /// The process group, which is the child's pid.
    pub pgid: u32,
    /// The child's start time in clock ticks since boot, as the kernel gives it.
    pub start_time: u64,
    /// The boot the start time belongs to.
    pub boot_id: String,
}

/// What identifies an instance's past: a changed schedule or a return after an absence starts afresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSeen {
    /// The instance.
    pub name: InstanceName,
    /// The schedule as text, zone and hours included.
    pub schedule: String,
}

/// A pause, by a person's hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The instance, or the task for all its instances.
    pub name: String,
    /// Until when; `None`: until `resume`.
    pub until: Option<Timestamp>,
    /// Why, in that person's words.
    pub reason: Option<String>,
    /// When it was said.
    pub since: Timestamp,
}

/// A row of the history: a run, or skips that share a row.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    /// The row's number.
    pub run: RunId,
    /// The instance.
    pub instance: InstanceName,
    /// The fire time; the first of them where skips share the row.
    pub fire_at: Timestamp,
    /// Why it was asked for.
    pub trigger: Trigger,
    /// The run whose success asked for it.
    pub cause: Option<RunId>,
    /// What became of it.
    pub state: RowState,
    /// Counts the instance's runs; `None` for a skip.
    pub generation: Option<Generation>,
    /// Attempts begun.
    pub attempts: u32,
    /// Those of them that ended as not yet: it waited for a limit, and none was used up.
    pub waits: u32,
    /// When the first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended, or was skipped.
    pub ended_at: Option<Timestamp>,
    /// The error of the last attempt, the summary of a success, or the detail of a skip.
    pub text: Option<String>,
    /// A dry run: nothing was written anywhere.
    pub dry: bool,
    /// The process that has it, while it is open.
    pub process: Option<ProcessId>,
}

/// What became of a fire so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    /// Has its row; its attempt has not begun.
    Waiting,
    /// An attempt is running.
    Running,
    /// Between two attempts; the next is due then.
    Backoff {
        /// When the next attempt is due.
        retry_at: Timestamp,
    },
    /// Between two attempts, the last of which could do no more for now: a limit is used up. The next is due then.
    NotYet {
        /// When the next attempt is due.
        until: Timestamp,
    },
    /// It was a run, and ended.
    Ended {
        /// How.
        end: RunEnd,
        /// The run that superseded it.
        by: Option<RunId>,
    },
    /// It was no run.
    Skipped {
        /// Why.
        reason: SkipReason,
        /// How many fire times share the row.
        count: u32,
        /// There were more than were worth counting.
        at_least: bool,
        /// The last of them.
        last_at: Timestamp,
    },
}

/// One attempt of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// The run.
    pub run: RunId,
    /// Counted from 1.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended; `None` while it runs.
    pub outcome: Option<OutcomeKind>,
    /// Its error or summary.
    pub text: Option<String>,
}

/// Which rows of the history are wanted, newest first.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// Only these: an instance, or a task with all its instances.
    pub name: Option<String>,
    /// Only runs that did not end well (`failed`, `timed_out`, `lost`).
    pub failed: bool,
    /// Only fires at or after this instant.
    pub since: Option<Timestamp>,
    /// Only rows that are still open.
    pub open: bool,
    /// Only rows with a smaller number: where the page before this one ended.
    pub before: Option<RunId>,
    /// At most this many rows, and never more than [`HISTORY_MAX`].
    pub limit: usize,
}

/// Rows of the history that one call may give: more than a person reads, few enough to hold in memory.
pub const HISTORY_MAX: usize = 10_000;

/// An attempt after which the run is to go on with another.
#[derive(Clone, Debug)]
pub struct PostponeRequest {
    /// The run.
    pub run: RunId,
    /// The process that has it.
    pub process: ProcessId,
    /// The attempt that ended.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// When the next one is due.
    pub retry_at: Timestamp,
}

/// A run to be closed.
#[derive(Clone, Debug)]
pub struct CloseRequest {
    /// The run.
    pub run: RunId,
    /// Who closes it: the process that has it.
    pub process: ProcessId,
    /// How it ended.
    pub end: RunEnd,
    /// The run that superseded it.
    pub by: Option<RunId>,
    /// The attempt that ended it; 0 where none had begun.
    pub attempt: u32,
    /// How that attempt ended.
    pub outcome: Option<Outcome>,
    /// Shut out whatever the run may still do: the floor rises above its generation.
    pub raise_floor: bool,
    /// The instances that get a fire with this end.
    pub follow_ups: Vec<InstanceName>,
}

/// Follow-ups that [`RunStore::follow_ups`] names at once: more than a shop has tasks, few enough to hold in memory.
pub const FOLLOW_UPS_MAX: usize = 1_000;

/// Runs, attempts, locks, generations, process records, pauses: the engine's part of the store.
///
/// Each method is one transaction, and they happen in the order in which they are called, not in the order in which their futures are polled.
/// `start`, `postpone`, `close` and `set_aside` are refused (an answer, not an error) and change nothing when the run is not open, is not the
/// process's own (any more), or has a generation below its instance's floor. `at` is the caller's wall clock, for what people read; no decision
/// about ownership depends on it.
pub trait RunStore: Send + Sync + std::fmt::Debug {
    /// Registers this process. The record file is already locked by then.
    fn register_process(&self, pid: u32, once: bool, record: String, at: Timestamp) -> Answer<ProcessId>;
    /// Removes a process that ended in order, or was proved dead and has no open run left. Its children rows go with it. While it has an open run,
    /// nothing happens.
    fn retire_process(&self, process: ProcessId) -> Answer<()>;
    /// Every registered process.
    fn processes(&self) -> Answer<Vec<ProcessRow>>;

    /// Registers the configuration's instances and gives what is remembered of each. One that is new, was absent last time, or whose schedule
    /// text differs gets `at` as its watermark: nothing before counts as missed. `all`: instances that are not named become absent.
    fn register_instances(&self, seen: Vec<InstanceSeen>, all: bool, at: Timestamp) -> Answer<Vec<Mark>>;

    /// The clock was set back: watermarks and ends later than `to` become `to`, so that nobody waits for years. What ran keeps its row and is not
    /// run again.
    fn lower_watermarks(&self, to: Timestamp) -> Answer<()>;

    /// Writes the skips, then judges the fire by [`crate::core::guard::judge`] on the rows of the instance and its named locks, and writes what
    /// follows, all in one transaction; a follow-up is taken with its answer. Fire times at or below the watermark are never judged again (manual and API triggers have none).
    /// A run that waits for its named locks and was told to stop goes on waiting; one that another process has is `AlreadyJudged`; an orphan
    /// becomes this process's.
    fn judge(&self, process: ProcessId, request: JudgeRequest, at: Timestamp) -> Answer<Judgement>;
    /// Counts an attempt, unless the run was told to stop. `raise_floor`: the floor becomes its generation.
    fn start(&self, process: ProcessId, run: RunId, attempt: u32, raise_floor: bool, at: Timestamp) -> Answer<StartAnswer>;
    /// Ends an attempt after which the run is to go on with another.
    fn postpone(&self, request: PostponeRequest, at: Timestamp) -> Answer<()>;
    /// Closes a run, ends its attempt, and frees its named locks (a lock that another run of the instance was admitted with goes on being that run's) in one
    /// transaction, with a follow-up for each instance that this success starts. The floor never rises above the generation of another open run of the instance.
    fn close(&self, request: CloseRequest, at: Timestamp) -> Answer<CloseAnswer>;
    /// The oldest [`FOLLOW_UPS_MAX`] fires that successes asked for and that were not judged yet.
    fn follow_ups(&self) -> Answer<Vec<FollowUp>>;
    /// Removes a follow-up without an answer: its instance is gone.
    fn drop_follow_up(&self, id: FollowUpId) -> Answer<()>;
    /// The last run of each of these instances that had an end of its own: none that was superseded or dry. The history keeps it, whatever its age.
    fn last_runs(&self, of: Vec<InstanceName>) -> Answer<Vec<LastRun>>;
    /// The last run of each of these instances that succeeded and was not dry, as far as the history goes back.
    fn last_successes(&self, of: Vec<InstanceName>) -> Answer<Vec<LastRun>>;
    /// Sets a run aside for the next start: no process has it, and its running attempt does not count. One that waits for a limit goes on waiting.
    /// `frees_locks`: its named locks are free until somebody adopts it; false where a thread of it may still be at work.
    fn set_aside(&self, process: ProcessId, run: RunId, frees_locks: bool, at: Timestamp) -> Answer<()>;

    /// Raises the floor to the newcomer's generation and closes the rivals as superseded by it.
    fn take_over(&self, run: RunId, rivals: Vec<RunId>, at: Timestamp) -> Answer<()>;
    /// Which of these runs are still open, and who has them.
    fn still_open(&self, runs: Vec<RunId>) -> Answer<Vec<(RunId, Option<ProcessId>)>>;
    /// The open runs of these processes, which were proved dead and are remembered as such: their runs are orphans. With `set_aside` also those
    /// that an orderly stop set aside, which are orphans, too.
    fn leftover(&self, dead: Vec<ProcessId>, set_aside: bool) -> Answer<Vec<LeftRun>>;
    /// Takes an orphan: it becomes this process's, under the next generation. `lost`: its running attempt ends as lost. The floor rises to the
    /// new generation, but not above that of another open run, which the orphan goes on waiting for.
    /// It takes those named locks of the instance that it does not have. Where somebody else has one, it frees its own and waits for them as any
    /// other (`LockWait`); but a run of the same instance that has not begun, and does not run beside it, waits for it and stands in nobody's way.
    /// A run that is no orphan is `Gone`; so is one that has no generation, as it waited for its named locks and has to be judged again.
    fn adopt(&self, run: RunId, process: ProcessId, instance: Arc<Instance>, lost: bool, at: Timestamp) -> Answer<AdoptAnswer>;
    /// Closes an orphan: its attempt ends as lost, the floor rises above its generation, its named locks are free. A run that is no orphan stays.
    fn close_orphan(&self, run: RunId, end: RunEnd, by: Option<RunId>, at: Timestamp) -> Answer<()>;

    /// Asks for an open run's stop, whoever has it. The first reason counts, unless it is a shutdown. False: the run is not open.
    fn ask_stop(&self, run: RunId, reason: StopReason) -> Answer<bool>;
    /// Which of this process's runs were told to stop, or were closed by somebody else (`None`; until this process tries to close it).
    fn stop_requests(&self, process: ProcessId) -> Answer<Vec<(RunId, Option<StopReason>)>>;
    /// Remembers a child process group before the run goes on.
    fn record_child(&self, child: ChildGroup) -> Answer<()>;
    /// Forgets the children of a run once none is left.
    fn forget_children(&self, run: RunId) -> Answer<()>;
    /// The children of these processes' runs, or of these runs.
    fn children(&self, processes: Vec<ProcessId>, runs: Vec<RunId>) -> Answer<Vec<ChildGroup>>;

    /// Pauses an instance or a task.
    fn pause(&self, pause: Pause) -> Answer<()>;
    /// Ends a pause. False: there was none.
    fn resume(&self, name: String) -> Answer<bool>;
    /// Every pause.
    fn pauses(&self) -> Answer<Vec<Pause>>;

    /// Writes the row of a finished dry run: it has no generation and no attempt rows, takes no lock and moves no watermark.
    fn record_dry(&self, instance: InstanceName, end: RunEnd, text: Option<String>, started_at: Timestamp, at: Timestamp) -> Answer<RunId>;
    /// The history, newest first.
    fn history(&self, filter: HistoryFilter) -> Answer<Vec<HistoryRow>>;
    /// One row.
    fn row(&self, run: RunId) -> Answer<Option<HistoryRow>>;
    /// The attempts of a run, oldest first.
    fn attempts(&self, run: RunId) -> Answer<Vec<AttemptRow>>;
    /// The last finished row of each instance (a run's end or a skip; no dry run).
    fn last_ends(&self) -> Answer<Vec<HistoryRow>>;
}

/// What a write of a handler carries: refused when its run is no longer open under that generation, or the instance's floor is above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The instance.
    pub instance: InstanceName,
    /// The run.
    pub run: RunId,
    /// The run's generation.
    pub generation: Generation,
}

/// How long a run took, for a person.
pub fn took(row: &HistoryRow) -> Option<SignedDuration> {
    Some(row.ended_at?.duration_since(row.started_at?))
}
