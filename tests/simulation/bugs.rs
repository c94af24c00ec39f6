//! Planted bugs: each is a mistake that somebody could make in the core, made here to what goes into it, comes out of it or stays in it.
//! A simulation that one of them passes is decoration.
use std::sync::Arc;

use jiff::{SignedDuration, tz::TimeZone};
use taskrun::core::{
    event::{Command, Event, Judgement, LeftRun, Notice, Outcome, RunEnd, StopReason},
    state::Phase,
    task::{Instance, OnLost, Overlap, ProcessId, Trigger},
};

use crate::world::{News, World};

/// Makes the enum and the list of all from one table.
macro_rules! bugs {
    ($($(#[$meta:meta])* $bug:ident),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug { $($(#[$meta])* $bug),* }
        impl Bug {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$bug),*];
        }
    };
}

bugs! {
    // Fires.
    /// The skips that belong to a fire are not written.
    DropsSkips,
    /// A skip stands for one fire more than there were.
    MiscountsSkips,
    /// The watermark stays behind: a fire is judged again and again.
    ForgetsTheWatermark,
    /// `@start` never fires.
    ForgetsStart,
    /// A clock that was set back is not noticed: instances are silent until it has caught up.
    MissesAClockSetBack,
    /// A backlog is caught up all at once.
    CatchesUpAllAtOnce,
    /// What is too late to start starts.
    IgnoresTheStartDeadline,
    /// A task that a reload removed goes on firing.
    KeepsARemovedTask,
    /// A disabled task fires.
    IgnoresDisabled,
    /// Fires outside the business hours run.
    IgnoresTheHours,
    /// Cron fields are read in UTC.
    IgnoresTheZone,
    /// Starts are not spread.
    IgnoresTheSplay,
    // Overlap and locks.
    /// A newcomer does not wait for those it superseded.
    StartsBesideItsRivals,
    /// Every policy is `allow`.
    IgnoresOverlap,
    /// Named locks are not taken.
    ForgetsTheLocks,
    /// A run that waits for named locks already tells the older one to stop.
    StopsForAWaiter,
    /// An attempt that is superseded is not told.
    DoesNotCancelTheSuperseded,
    /// What another process asks for is not heard.
    IgnoresStopRequests,
    /// What hangs is taken over at once.
    TakesOverWithoutWaiting,
    /// What hangs is never taken over.
    NeverTakesOver,
    /// Nothing older is shut out when an attempt begins.
    NeverRaisesTheFloor,
    /// Nobody hears that an instance starves.
    KeepsStarvingToItself,
    // Attempts and ends.
    /// One retry too many.
    RetriesOnceTooOften,
    /// Retries do not wait.
    RetriesAtOnce,
    /// A run has all the time in the world.
    IgnoresTheDeadline,
    /// An attempt has all the time in the world.
    IgnoresTheTimeout,
    /// The handler is called twice.
    LaunchesTwice,
    /// An attempt that does not stop is tried again beside its own ghost.
    RetriesBesideAGhost,
    /// What an abandoned attempt still writes counts.
    AbandonsWithoutAFloor,
    /// A run is closed twice.
    ClosesTwice,
    /// The store's answer to a close is not heard.
    DropsTheAnswerToAClose,
    /// Starts by hand wait for a place like any other.
    QueuesStartsByHand,
    /// Whoever asked for a run hears nothing.
    NeverAnswers,
    // Recovery and stopping.
    /// A stop closes what the next start should go on with.
    ClosesAtShutdown,
    /// A start leaves open what the dead left open.
    ForgetsOrphans,
    /// A `once` goes on with another's run.
    AdoptsInAOnce,
    /// A process that hangs is treated as dead.
    TakesTheHungForDead,
    /// An orphan begins to count its attempts again.
    ForgetsLostAttempts,
    /// What must not be repeated is repeated after a crash.
    RepeatsWhatMustNotBe,
}

impl Bug {
    /// What is made of an instance's definition.
    pub(crate) fn misread(self, truth: &Arc<Instance>) -> Arc<Instance> {
        let mut instance = Instance::clone(truth);
        match self {
            Self::IgnoresTheStartDeadline => instance.start_deadline = None,
            Self::IgnoresDisabled => instance.enabled = true,
            Self::IgnoresTheHours => instance.timing.hours = None,
            Self::IgnoresTheZone => instance.timing.zone = TimeZone::UTC,
            Self::IgnoresTheSplay => instance.timing.splay = SignedDuration::ZERO,
            Self::IgnoresOverlap => instance.overlap = Overlap::Allow,
            Self::ForgetsTheLocks => instance.locks.clear(),
            Self::NeverTakesOver => instance.takeover = SignedDuration::from_hours(24),
            Self::RetriesOnceTooOften => instance.retries.max += 1,
            Self::RetriesAtOnce => instance.retries.delay = SignedDuration::ZERO,
            Self::IgnoresTheDeadline => instance.deadline = None,
            Self::IgnoresTheTimeout => instance.timeout = None,
            Self::RepeatsWhatMustNotBe => instance.on_lost = OnLost::Retry,
            _ => return Arc::clone(truth),
        }
        Arc::new(instance)
    }
}

impl World {
    /// What reaches the core of an event, if anything.
    pub(crate) fn misheard(&mut self, pid: ProcessId, mut event: Event) -> Option<Event> {
        let Some(bug) = self.bug else { return Some(event) };
        let process = self.processes.get_mut(&pid)?;
        match (bug, &mut event) {
            (Bug::IgnoresStopRequests, Event::StopAsked { .. }) | (Bug::DropsTheAnswerToAClose, Event::CloseAnswered { .. }) => return None,
            (Bug::MissesAClockSetBack, Event::Tick) => {
                process.state.last_wall = jiff::Timestamp::from_millisecond(self.now + self.ahead).unwrap();
            }
            (Bug::KeepsARemovedTask, Event::Reloaded { instances, .. }) => {
                for (name, known) in &process.state.instances {
                    instances.entry(name.clone()).or_insert_with(|| Arc::clone(&known.instance));
                }
            }
            (Bug::StartsBesideItsRivals, Event::Judged { answer: Judgement::Admitted { rivals, .. }, .. }) => rivals.clear(),
            (Bug::QueuesStartsByHand, Event::Judged { request, .. }) => {
                if let Some(asked) = &mut request.asked {
                    asked.trigger = Trigger::Schedule;
                }
            }
            (Bug::AdoptsInAOnce, Event::Orphaned { .. }) => process.state.scheduling = true,
            (Bug::ForgetsLostAttempts, Event::Orphaned { left }) => forget_attempts(left),
            _ => {}
        }
        Some(event)
    }

    /// What becomes of a step's commands, and of the state after it.
    pub(crate) fn mistake(&mut self, pid: ProcessId, event: &Event, commands: &mut Vec<Command>) {
        let Some(bug) = self.bug else { return };
        match bug {
            Bug::DoesNotCancelTheSuperseded => {
                commands.retain(|command| !matches!(command, Command::Cancel { reason: StopReason::Superseded(_), .. }));
            }
            Bug::KeepsStarvingToItself => commands.retain(|command| !matches!(command, Command::Notice(Notice::Starving { .. }))),
            Bug::NeverAnswers => commands.retain(|command| !matches!(command, Command::AnswerAsk { .. })),
            Bug::LaunchesTwice => double(commands, |command| matches!(command, Command::Launch { .. })),
            Bug::ClosesTwice => double(commands, |command| matches!(command, Command::Close { .. })),
            Bug::StopsForAWaiter => self.stop_for_a_waiter(pid, event),
            Bug::ForgetsTheWatermark => self.forget_the_watermark(pid, event),
            Bug::RetriesBesideAGhost => self.give_up_too_early(pid, commands),
            Bug::AdoptsInAOnce => {
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.state.scheduling = !process.once;
                }
            }
            _ => commands.iter_mut().for_each(|command| spoil(bug, command)),
        }
    }

    pub(crate) fn mistake_at_start(&mut self, pid: ProcessId) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if self.bug == Some(Bug::ForgetsStart) {
            for known in process.state.instances.values_mut() {
                known.anchors.start = None;
            }
        }
    }

    /// The runs of the dead, as far as a start looks at them.
    pub(crate) fn mistaken_left(&self, mut left: Vec<LeftRun>) -> Vec<LeftRun> {
        match self.bug {
            Some(Bug::ForgetsOrphans) => left.clear(),
            Some(Bug::ForgetsLostAttempts) => forget_attempts(&mut left),
            _ => {}
        }
        left
    }

    pub(crate) fn is_taken_for_dead(&self, pid: ProcessId) -> bool {
        self.is_dead(pid) || (self.bug == Some(Bug::TakesTheHungForDead) && self.hangs(pid))
    }

    fn stop_for_a_waiter(&mut self, pid: ProcessId, event: &Event) {
        let Event::Judged { instance, answer: Judgement::LockWait { run: waiter, .. }, .. } = event else { return };
        let running = self.processes[&pid].state.runs.of(&instance.name).map(|(run, _)| run).filter(|run| run != waiter);
        for run in running.collect::<Vec<_>>() {
            self.tell(pid, 0, News::Event(Event::StopAsked { run, reason: StopReason::Superseded(*waiter) }));
        }
    }

    fn forget_the_watermark(&mut self, pid: ProcessId, event: &Event) {
        let Event::Judged { instance, request, .. } = event else { return };
        let (Some(upto), Some(process)) = (request.upto, self.processes.get_mut(&pid)) else { return };
        let Some(known) = process.state.instances.get_mut(&instance.name).filter(|known| !known.judging) else { return };
        known.watermark = upto.saturating_sub(SignedDuration::from_millis(1)).unwrap();
        if let Some(at) = known.due_at.replace(upto) {
            process.state.agenda.remove(&(at, instance.name.clone()));
        }
        process.state.agenda.insert((upto, instance.name.clone()));
    }

    /// An attempt that ran into its timeout and does not stop counts as ended.
    fn give_up_too_early(&mut self, pid: ProcessId, commands: &[Command]) {
        for command in commands {
            let Command::Kill { run } = command else { continue };
            let Some(active) = self.processes[&pid].state.runs.get(*run) else { continue };
            if let Phase::Stopping { attempt, timed_out: true, .. } = active.phase {
                let outcome = Outcome::TimedOut { error: "practice".into() };
                self.tell(pid, 0, News::Event(Event::AttemptEnded { run: *run, attempt, outcome }));
            }
        }
    }
}

fn forget_attempts(left: &mut [LeftRun]) {
    for left in left {
        left.attempts = 0;
    }
}

fn double(commands: &mut Vec<Command>, is_meant: impl Fn(&Command) -> bool) {
    *commands = commands.drain(..).flat_map(|command| if is_meant(&command) { vec![command.clone(), command] } else { vec![command] }).collect();
}

fn spoil(bug: Bug, command: &mut Command) {
    match (bug, &mut *command) {
        (Bug::DropsSkips, Command::Judge { request, .. }) => request.skips.clear(),
        (Bug::MiscountsSkips, Command::Judge { request, .. }) => request.skips.iter_mut().for_each(|skip| skip.count += 1),
        (Bug::CatchesUpAllAtOnce, Command::Judge { request, ticket }) => {
            for asked in request.asked.iter_mut().chain(&mut ticket.asked).filter(|asked| asked.trigger == Trigger::CatchUp) {
                asked.trigger = Trigger::Schedule;
            }
        }
        (Bug::NeverRaisesTheFloor, Command::Start { raise_floor, .. }) | (Bug::AbandonsWithoutAFloor, Command::Close { raise_floor, .. }) => {
            *raise_floor = false;
        }
        (Bug::TakesOverWithoutWaiting, Command::LookAtRivals { run, rivals }) => {
            *command = Command::TakeOver { run: *run, rivals: std::mem::take(rivals), even_if_alive: true };
        }
        (Bug::ClosesAtShutdown, Command::SetAside { run }) => {
            *command = Command::Close { run: *run, end: RunEnd::Cancelled, by: None, attempt: 1, outcome: Some(Outcome::Cancelled), raise_floor: false };
        }
        _ => {}
    }
}
