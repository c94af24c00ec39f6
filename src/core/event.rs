//! The words of the core: what can happen to it, and what it can ask for.
use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{
    order::{FollowUp, FollowUpId},
    task::{Generation, Instance, InstanceName, InstanceSet, LockName, ProcessId, RunId, Trigger, words},
};

words! {
    /// Why a fire became no run.
    SkipReason {
        OutsideHours = "outside_hours",
        Calendar = "calendar",
        Overlap = "overlap",
        LockBusy = "lock_busy",
        Misfire = "misfire",
        Paused = "paused",
        NeedsUnmet = "needs_unmet",
        Parked = "parked",
        Disabled = "disabled",
    }
}

words! {
    /// How a run ended.
    RunEnd {
        Succeeded = "succeeded",
        Failed = "failed",
        TimedOut = "timed_out",
        Superseded = "superseded",
        Cancelled = "cancelled",
        Lost = "lost",
    }
}

words! {
    /// How an attempt ended.
    OutcomeKind {
        Succeeded = "succeeded",
        Failed = "failed",
        TimedOut = "timed_out",
        Cancelled = "cancelled",
        Panicked = "panicked",
        Lost = "lost",
        NotYet = "not_yet",
    }
}

/// What a run waits for that can do nothing more before then: nothing failed, but a limit is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotYet {
    pub until: Timestamp,
    /// What is used up, for a person.
    pub why: Arc<str>,
}

/// How an attempt ended, with what the next step needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded {
        summary: Arc<str>,
    },
    /// `retry_after` is what a server asked for.
    Failed {
        transient: bool,
        retry_after: Option<SignedDuration>,
        error: Arc<str>,
    },
    TimedOut {
        error: Arc<str>,
    },
    /// Stopped because it was asked to.
    Cancelled,
    Panicked {
        error: Arc<str>,
    },
    /// Its process died in the middle.
    Lost,
    /// It could do no more before then. It is no try: a run has as many of these as it needs.
    NotYet(NotYet),
}

impl Outcome {
    /// The outcome without its details.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Succeeded { .. } => OutcomeKind::Succeeded,
            Self::Failed { .. } => OutcomeKind::Failed,
            Self::TimedOut { .. } => OutcomeKind::TimedOut,
            Self::Cancelled => OutcomeKind::Cancelled,
            Self::Panicked { .. } => OutcomeKind::Panicked,
            Self::Lost => OutcomeKind::Lost,
            Self::NotYet(_) => OutcomeKind::NotYet,
        }
    }

    /// What to tell a person: the summary of a success, or the error.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Succeeded { summary: text }
            | Self::Failed { error: text, .. }
            | Self::TimedOut { error: text }
            | Self::Panicked { error: text }
            | Self::NotYet(NotYet { why: text, .. }) => Some(text).filter(|text| !text.is_empty()).map(AsRef::as_ref),
            Self::Cancelled | Self::Lost => None,
        }
    }
}

/// Why a run is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A newer run of the instance won.
    Superseded(RunId),
    /// A person asked for it.
    Cancelled,
    /// The process stops.
    Shutdown,
    /// The run's `deadline` passed.
    Deadline,
    /// Somebody else closed the run or raised the floor above it.
    Fenced,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superseded(by) => write!(f, "superseded by run {by}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Shutdown => f.write_str("taskrun stops"),
            Self::Deadline => f.write_str("its time is up"),
            Self::Fenced => f.write_str("a newer run has taken over"),
        }
    }
}

/// One skip, standing for `count` adjacent fire times that were skipped for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// How many fire times; at least this many where [`Skip::at_least`] is set.
    pub count: u32,
    /// More fire times passed than were worth counting.
    pub at_least: bool,
    pub reason: SkipReason,
    /// One sentence for a person, where the reason alone does not say it.
    pub detail: Option<Arc<str>>,
}

/// The fire that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub fire_at: Timestamp,
    pub trigger: Trigger,
}

/// What the store is asked to judge and record, in one transaction.
#[derive(Clone, Debug)]
pub struct JudgeRequest {
    pub instance: Arc<Instance>,
    /// Written first, in this order: fires that the clock, the hours or the calendar already refused.
    pub skips: Vec<Skip>,
    /// The fire that may become a run.
    pub asked: Option<Asked>,
    /// A fire of `after`: the end that it counts from. Where the store knows of a later one, or of an open run, it is not due yet.
    pub ended_at: Option<Timestamp>,
    /// The follow-up that `asked` is the fire of: it is answered once, and gone with its answer.
    pub follow_up: Option<FollowUpId>,
    /// Why this follow-up is skipped without a look at the store: hours, calendar, a task that is off, or too late.
    pub refused: Option<SkipReason>,
    /// A run that already has its row and waits for its named locks; then `asked` is that row's.
    pub waiting: Option<RunId>,
    /// The wait for named locks is over: take them or be skipped.
    pub last_chance: bool,
    /// Holders of named locks that hang have done so for long enough: their locks are broken.
    pub break_locks: bool,
    /// Foreign processes that were looked at just now, and whether each answered. Others make the verdict [`Judgement::Suspect`].
    pub vouched: Vec<(ProcessId, bool)>,
}

/// What became of a fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Only skips were to be written, and they are.
    Recorded,
    /// The fire time was judged before; nothing was written for it.
    AlreadyJudged,
    /// The fire is recorded as skipped. `run` is its row.
    Skipped { run: RunId, reason: SkipReason, detail: Option<Arc<str>> },
    /// It has its row and waits for named locks; nobody was told to stop. `holder_hangs`: the holder's process does not answer.
    LockWait { run: RunId, holder_hangs: bool },
    /// It has its row and its generation.
    Admitted { run: RunId, generation: Generation, rivals: Vec<Rival> },
    /// Nothing was written: a fire of `after` counts from a later end, which is this one; `None`: a run of another process is open.
    NotYet { last_end: Option<Timestamp> },
    /// Nothing was written: these processes hold what the run wants, and must be looked at first.
    Suspect(Vec<ProcessId>),
}

/// An open run that must end before the newcomer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival {
    pub run: RunId,
    pub process: Option<ProcessId>,
    /// It was told to stop; otherwise the newcomer queues behind it.
    pub told: bool,
}

/// What the store answers when an attempt is about to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAnswer {
    /// The attempt is counted; the handler may be called.
    Started,
    /// The run was told to stop in the meantime.
    Stop(StopReason),
    /// The run is closed, or its generation is below the floor.
    Fenced,
}

/// What the store answers to a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseAnswer {
    /// Closed and its locks are free. `superseded_in_row` counts the instance's runs since one had an end of its own.
    Closed { superseded_in_row: u32 },
    /// Somebody else closed it, or its generation is below the floor; nothing changed.
    Fenced,
}

/// An open run whose process is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftRun {
    pub run: RunId,
    pub instance: InstanceName,
    pub fire_at: Timestamp,
    pub trigger: Trigger,
    /// `None`: it was set aside by an orderly stop.
    pub process: Option<ProcessId>,
    /// The process was a `once`: its runs are never resumed, only closed.
    pub once: bool,
    /// `None`: it waited for named locks.
    pub generation: Option<Generation>,
    /// Attempts begun.
    pub attempts: u32,
    /// Those of them that ended as not yet.
    pub waits: u32,
    /// What it waits for.
    pub not_yet: Option<NotYet>,
    /// An attempt was running when the process died.
    pub running: bool,
    pub stop: Option<StopReason>,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// The named locks that it was admitted with, sorted.
    pub locks: Vec<LockName>,
}

/// What is remembered of an instance from earlier processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub instance: InstanceName,
    /// The last fire time judged; never moves back.
    pub watermark: Timestamp,
    /// When the last run ended, or when the instance was first seen.
    pub last_end: Timestamp,
}

/// A number by which whoever asked for a run by hand hears what became of it.
pub type AskId = u64;

/// Everything that can happen to the core.
#[derive(Clone, Debug)]
pub enum Event {
    /// The wake time came.
    Tick,
    /// Somebody asked for a run now.
    Asked {
        ask: AskId,
        instance: InstanceName,
        trigger: Trigger,
    },
    /// The answer to a `Judge`, with the definition that was judged: a reload may have removed it since.
    Judged {
        instance: Arc<Instance>,
        request: Ticket,
        answer: Judgement,
    },
    StartAnswered {
        run: RunId,
        attempt: u32,
        answer: StartAnswer,
    },
    AttemptEnded {
        run: RunId,
        attempt: u32,
        outcome: Outcome,
    },
    CloseAnswered {
        run: RunId,
        answer: CloseAnswer,
    },
    /// Which of the rivals that were asked after are still open, and whether all their processes hang.
    RivalsSeen {
        run: RunId,
        open: Vec<RunId>,
        hang: bool,
    },
    /// The rivals' floor is raised; they can change nothing any more.
    TookOver {
        run: RunId,
    },
    /// The rivals still have time: their process answers and their grace period is not over.
    TakeoverRefused {
        run: RunId,
    },
    /// The store, or a person, wants the run stopped.
    StopAsked {
        run: RunId,
        reason: StopReason,
    },
    /// Runs whose processes were proved dead, or that an orderly stop set aside.
    Orphaned {
        left: Vec<LeftRun>,
    },
    Adopted {
        run: RunId,
        answer: AdoptAnswer,
    },
    /// Fires that successes asked for and that have no answer yet, oldest first. `more`: there are more than these.
    FollowUps {
        waiting: Vec<FollowUp>,
        more: bool,
    },
    /// A new configuration was read and is valid; the marks are those of its new instances.
    Reloaded {
        instances: InstanceSet,
        marks: Vec<Mark>,
    },
    /// The process was told to stop: no attempt gets more than this as its grace period.
    Stopping {
        grace: SignedDuration,
    },
    /// The process was told to stop a second time, or its grace period is over.
    Aborting,
}

/// What a judge request was for; comes back with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub asked: Option<Asked>,
    /// Who asked by hand.
    pub ask: Option<AskId>,
    /// The follow-up that is judged.
    pub follow_up: Option<FollowUpId>,
    /// The run that waited for named locks.
    pub waiting: Option<RunId>,
    /// The last fire time that the request covers: the watermark once it is answered.
    pub upto: Option<Timestamp>,
    /// The request covers this start of the daemon: `@start` has fired.
    pub start: bool,
}

/// What the store answers to an adoption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdoptAnswer {
    /// The run is ours, under this generation. `rivals`: the instance's older runs that are still open, as it was waiting for their end.
    Adopted { generation: Generation, rivals: Vec<Rival> },
    /// The run is ours, but somebody else has a named lock of it: it waits for those, and has no generation until it has them.
    LockWait,
    /// It was closed or adopted by somebody else.
    Gone,
}

/// Everything the core can ask for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Answered by `Judged`.
    Judge { request: Box<JudgeRequest>, ticket: Ticket },
    /// Counts the attempt; answered by `StartAnswered`. `raise_floor`: everything older is shut out from here on.
    Start { run: RunId, attempt: u32, raise_floor: bool },
    /// Calls the handler; answered by `AttemptEnded`.
    Launch { run: RunId, attempt: u32, generation: Generation, instance: Arc<Instance>, trigger: Trigger, fire_at: Timestamp },
    /// Tells a running attempt of ours to stop.
    Cancel { run: RunId, reason: StopReason },
    /// Kills the child processes of an attempt that did not stop in its grace period. No answer but the attempt's end.
    Kill { run: RunId },
    /// Gives up on an attempt that still did not stop: leaves its thread behind. No answer.
    Abandon { run: RunId, attempt: u32 },
    /// Records an attempt that failed, or could do no more for now, and when the next is due. No answer.
    Postpone { run: RunId, attempt: u32, outcome: Outcome, retry_at: Timestamp },
    /// Closes a run and frees its locks; answered by `CloseAnswered`. `follow_ups`: who gets a fire with that end, in the same transaction.
    Close {
        run: RunId,
        end: RunEnd,
        by: Option<RunId>,
        attempt: u32,
        outcome: Option<Outcome>,
        raise_floor: bool,
        follow_ups: Vec<InstanceName>,
    },
    /// There may be follow-ups: a daemon asks the store for them, answered by `FollowUps`; a `once` tells the daemon.
    LookForFollowUps,
    /// Removes a follow-up whose instance is gone. No answer.
    DropFollowUp { id: FollowUpId },
    /// Sets a run aside for the next start; its attempt does not count. Its named locks are free, unless its thread may still be at work. No answer.
    SetAside { run: RunId, frees_locks: bool },
    /// Asks which rivals are still open, and whether their processes live; answered by `RivalsSeen`, maybe `Orphaned` before it.
    LookAtRivals { run: RunId, rivals: Vec<RunId> },
    /// Raises the floor over rivals that did not end; answered by `TookOver` or `TakeoverRefused`.
    TakeOver { run: RunId, rivals: Vec<RunId>, even_if_alive: bool },
    /// Takes an orphan as our own, with the named locks of this definition; answered by `Adopted`.
    Adopt { run: RunId, lost: bool, instance: Arc<Instance> },
    /// Closes an orphan under a new generation. No answer.
    CloseOrphan { run: RunId, end: RunEnd, by: Option<RunId> },
    /// The clock was set back: watermarks later than this become this. No answer.
    LowerWatermarks { to: Timestamp },
    /// Tells whoever asked that the fire became this run, or was skipped.
    AnswerAsk { ask: AskId, answer: AskAnswer },
    /// Something a person should hear of.
    Notice(Notice),
}

/// What whoever asked for a run hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskAnswer {
    Run(RunId),
    Skipped {
        reason: SkipReason,
        detail: Option<Arc<str>>,
    },
    /// taskrun is stopping, or the instance is not in the configuration.
    Refused(Arc<str>),
}

/// Something a person should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    Ended {
        instance: InstanceName,
        run: RunId,
        end: RunEnd,
        by: Option<RunId>,
        text: Option<Arc<str>>,
        took: SignedDuration,
    },
    Retrying {
        instance: InstanceName,
        run: RunId,
        attempt: u32,
        error: Arc<str>,
        retry_in: SignedDuration,
    },
    /// Nothing failed, but nothing more can be done before then.
    Waits {
        instance: InstanceName,
        run: RunId,
        attempt: u32,
        not_yet: NotYet,
    },
    Skipped {
        instance: InstanceName,
        skip: Skip,
    },
    /// A success asked for a fire of an instance that is not in tasks.yaml any more.
    FollowsNobody {
        instance: InstanceName,
        cause: RunId,
    },
    LockWaits {
        instance: InstanceName,
        run: RunId,
        locks: Vec<LockName>,
    },
    Lost {
        instance: InstanceName,
        run: RunId,
        resumed: bool,
    },
    /// Superseded this many times in a row, without an end of its own.
    Starving {
        instance: InstanceName,
        times: u32,
    },
    /// An attempt did not stop within its grace period and was abandoned.
    Stuck {
        instance: InstanceName,
        run: RunId,
    },
    /// A run of another process did not end in time; its floor was raised.
    TookOver {
        instance: InstanceName,
        run: RunId,
        rivals: Vec<RunId>,
    },
}
