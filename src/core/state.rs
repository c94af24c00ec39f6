//! What the core remembers between two steps.
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    event::{AskId, NotYet, Notice, SkipReason, StopReason},
    order::FollowUp,
    plan,
    runs::Runs,
    task::{CatchUp, Generation, Instance, InstanceName, Now, ProcessId, RunId, Trigger},
    timing::Anchors,
};

/// Everything the core remembers.
#[derive(Clone, Debug)]
pub struct State {
    /// The process that this core decides for.
    pub me: ProcessId,
    /// A daemon fires schedules and adopts orphans; a `once` does neither.
    pub scheduling: bool,
    /// At most this many attempts at once; manual starts do not count against it.
    pub running_max: usize,
    pub instances: BTreeMap<InstanceName, Known>,
    /// When each instance is next due, soonest first; instances whose fire is being judged are not in it.
    pub agenda: BTreeSet<(Timestamp, InstanceName)>,
    pub runs: Runs,
    /// Instances of which the store judges a fire. One fire at a time, so that answers come in the order of the fires; a reload may have removed
    /// the instance meanwhile, and another may have brought it back.
    pub judging: BTreeSet<InstanceName>,
    /// The store has more follow-ups than it named at once.
    pub more_follow_ups: bool,
    /// The process was told to stop: the grace period no attempt may exceed.
    pub stopping: Option<SignedDuration>,
    /// The wall clock at the last tick, to notice when it is set back.
    pub last_wall: Timestamp,
}

/// An instance of the configuration in force.
#[derive(Clone, Debug)]
pub struct Known {
    pub instance: Arc<Instance>,
    /// The last fire time judged. Moves back only when the clock is set back.
    pub watermark: Timestamp,
    pub anchors: Anchors,
    /// Starts by hand that wait for their turn to be judged.
    pub asks: VecDeque<(AskId, Trigger)>,
    /// Fires that other runs' success asked for, which wait for their turn to be judged.
    pub follow_ups: VecDeque<FollowUp>,
    /// When those that `defer` put off have their turn.
    pub follow_ups_at: Option<Timestamp>,
    /// The reason of its last skip, if nothing ran since: only the first of a row is worth a word.
    pub skipping: Option<SkipReason>,
    /// How often in a row it had been superseded when that was last said; 0 after an end of its own.
    pub starving: u32,
    /// Its place in the agenda.
    pub due_at: Option<Timestamp>,
}

/// An open run of this process.
#[derive(Clone, Debug)]
pub struct Active {
    /// The definition this run was admitted with; a reload does not change it.
    pub instance: Arc<Instance>,
    pub trigger: Trigger,
    pub fire_at: Timestamp,
    pub generation: Option<Generation>,
    /// Attempts begun, those of an earlier process included.
    pub attempts: u32,
    /// Those of them that ended as not yet: they were no tries.
    pub waits: u32,
    /// Its next attempt does not begin before this.
    pub not_yet: Option<NotYet>,
    pub phase: Phase,
    /// It was told to stop, and why.
    pub stop: Option<StopReason>,
    /// When its first attempt began, on the uptime of this process.
    pub began: Option<SignedDuration>,
    /// When the whole run has to be over.
    pub deadline_at: Option<SignedDuration>,
    /// What people hear once its end is committed.
    pub ending: Option<Notice>,
}

/// Where a run is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Has its row, but not its named locks; has harmed nobody. `look_at` is far away while the store judges it.
    LockWait {
        until: SignedDuration,
        look_at: SignedDuration,
        /// Since when the holders' processes have not answered.
        hangs_since: Option<SignedDuration>,
    },
    /// Has its generation; older runs have not ended yet. `look_at` is for those of other processes, and far away while they are looked at.
    Waiting {
        rivals: BTreeSet<RunId>,
        told: bool,
        since: SignedDuration,
        look_at: SignedDuration,
        /// Since when the others' processes have not answered.
        hangs_since: Option<SignedDuration>,
    },
    /// Behind `running_max`.
    Queued,
    /// The store was asked to count the attempt.
    Starting {
        attempt: u32,
    },
    Running {
        attempt: u32,
        timeout_at: Option<SignedDuration>,
    },
    /// Told to stop; its handler has not returned yet. `killed`: its children were killed, it is given a last moment.
    Stopping {
        attempt: u32,
        until: SignedDuration,
        timed_out: bool,
        killed: bool,
    },
    /// Between two attempts.
    Backoff {
        at: SignedDuration,
    },
    /// Nothing failed: it goes on when the wall clock says what [`Active::not_yet`] does, but not before it has rested.
    NotYet {
        rest: Option<SignedDuration>,
    },
    /// The store was asked to close it.
    Closing,
    /// The store was asked to make an orphan ours.
    Adopting,
}

impl Phase {
    /// The word for status and dashboard.
    pub fn word(&self) -> &'static str {
        match self {
            Self::LockWait { .. } => "lock_wait",
            Self::Waiting { .. } => "waiting",
            Self::Queued => "queued",
            Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Stopping { .. } => "stopping",
            Self::Backoff { .. } => "backoff",
            Self::NotYet { .. } => "not_yet",
            Self::Closing => "closing",
            Self::Adopting => "adopting",
        }
    }

    /// Whether it waits for other runs to end, or for named locks.
    pub(super) fn waits(&self) -> bool {
        match self {
            Self::LockWait { .. } | Self::Waiting { .. } => true,
            Self::Queued
            | Self::Starting { .. }
            | Self::Running { .. }
            | Self::Stopping { .. }
            | Self::Backoff { .. }
            | Self::NotYet { .. }
            | Self::Closing
            | Self::Adopting => false,
        }
    }

    /// The uptime at which a tick has something to do for it.
    fn wake_at(&self) -> Option<SignedDuration> {
        match self {
            Self::LockWait { look_at, .. } | Self::Waiting { look_at, .. } => Some(*look_at),
            Self::Running { timeout_at, .. } => *timeout_at,
            Self::Stopping { until, .. } => Some(*until),
            Self::Backoff { at } => Some(*at),
            Self::NotYet { rest } => *rest,
            Self::Queued | Self::Starting { .. } | Self::Closing | Self::Adopting => None,
        }
    }
}

impl Active {
    /// Whether its deadline can still be enforced by telling it to stop.
    fn deadline_wakes(&self) -> bool {
        self.stop.is_none()
            && match self.phase {
                Phase::LockWait { .. }
                | Phase::Waiting { .. }
                | Phase::Queued
                | Phase::Running { .. }
                | Phase::Backoff { .. }
                | Phase::NotYet { .. } => true,
                Phase::Starting { .. } | Phase::Stopping { .. } | Phase::Closing | Phase::Adopting => false,
            }
    }

    /// The uptime at which a tick has something to do for it.
    pub(super) fn wake_at(&self) -> Option<SignedDuration> {
        let deadline = self.deadline_at.filter(|_| self.deadline_wakes());
        self.phase.wake_at().into_iter().chain(deadline).min()
    }

    /// The instant at which a tick lets it go on.
    pub(super) fn goes_on_at(&self) -> Option<Timestamp> {
        if self.phase == (Phase::NotYet { rest: None }) { self.not_yet.as_ref().map(|not_yet| not_yet.until) } else { None }
    }

    /// Whether it takes one of the places that `max_running` bounds.
    pub(super) fn takes_place(&self) -> bool {
        let busy = matches!(self.phase, Phase::Starting { .. } | Phase::Running { .. } | Phase::Stopping { .. });
        busy && !self.by_hand()
    }

    /// Started by a person, who should not wait behind `running_max`.
    pub fn by_hand(&self) -> bool {
        self.trigger.by_hand()
    }
}

/// When to wake next, on each clock; whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    pub wall: Option<Timestamp>,
    pub uptime: Option<SignedDuration>,
}

/// The earliest instants at which a tick could have something to do.
pub fn wake(state: &State) -> Wake {
    let fire = if state.stopping.is_some() { None } else { state.agenda.first().map(|(at, _)| *at) };
    Wake { wall: fire.into_iter().chain(state.runs.goes_on_at()).min(), uptime: state.runs.wake_at() }
}

impl State {
    /// An empty state: nothing is known, nothing runs.
    pub fn new(me: ProcessId, scheduling: bool, running_max: usize, now: Now) -> Self {
        Self {
            me,
            scheduling,
            running_max,
            instances: BTreeMap::new(),
            agenda: BTreeSet::new(),
            runs: Runs::default(),
            judging: BTreeSet::new(),
            more_follow_ups: false,
            stopping: None,
            last_wall: now.wall,
        }
    }

    /// Puts an instance where it belongs in the agenda, after its watermark, anchors, open runs or definition changed.
    pub(super) fn reschedule(&mut self, name: &InstanceName) {
        if let Some(known) = self.instances.get_mut(name) {
            // A watermark from before the clock was set back, or a new schedule's, must not swallow an `@start` that is still to fire.
            let soonest = known.watermark.saturating_add(SignedDuration::from_millis(1)).unwrap_or(known.watermark);
            known.anchors.start = known.anchors.start.map(|start| start.max(soonest));
        }
        let (anchors, caught_up, judging) = (self.anchors(name), !self.catches_up(name), self.judging.contains(name));
        let Some(known) = self.instances.get_mut(name) else { return };
        if let Some(at) = known.due_at.take() {
            self.agenda.remove(&(at, name.clone()));
        }
        // While one of its missed fires runs, the next of them waits for its end.
        let ready = caught_up || known.instance.catch_up != CatchUp::All;
        if self.scheduling && !judging && ready {
            let next = plan::next_start(&known.instance, known.watermark, anchors);
            known.due_at = next.into_iter().chain(known.follow_ups_at).min();
            if let Some(at) = known.due_at {
                self.agenda.insert((at, name.clone()));
            }
        }
    }

    /// What `after` and `@start` count from. While a run is open there is no last end: `after` waits for this run's.
    pub fn anchors(&self, name: &InstanceName) -> Anchors {
        let anchors = self.instances.get(name).map(|known| known.anchors).unwrap_or_default();
        let open = self.runs.of(name).next().is_some();
        Anchors { last_end: anchors.last_end.filter(|_| !open), ..anchors }
    }

    /// Whether a run that catches up with a missed fire is open.
    pub(super) fn catches_up(&self, name: &InstanceName) -> bool {
        self.runs.of(name).any(|(_, active)| active.trigger == Trigger::CatchUp)
    }
}
