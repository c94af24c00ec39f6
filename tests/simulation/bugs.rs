//! Planted bugs: each is a mistake that somebody could make in the core, made here to what goes into it, comes out of it or stays in it.
//! A simulation that one of them passes is decoration.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use taskrun::core::{
    event::{AdoptAnswer, Command, Event, Judgement, LeftRun, Notice, Outcome, RunEnd, StopReason},
    schedule::Schedule,
    state::{Active, Phase},
    task::{Instance, OnLost, Overlap, ProcessId, RunId, Trigger},
};

use crate::world::{News, World};

/// Makes the enum, the list of all, and the words of the laws that are to see each, from one table.
macro_rules! bugs {
    ($($(#[$meta:meta])* $bug:ident: $($law:literal)|+),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug { $($(#[$meta])* $bug),* }
        impl Bug {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$bug),*];
            /// What the law says that is there to see it.
            pub(crate) fn seen_by(self) -> &'static [&'static str] { match self { $(Self::$bug => &[$($law),+]),* } }
        }
    };
}

bugs! {
    // Fires.
    /// The skips that belong to a fire are not written.
    DropsSkips: "a fire has no answer" | "is not the last fire",
    /// A skip stands for one fire more than there were.
    MiscountsSkips: "skips were counted wrongly",
    /// The watermark stays behind: a fire is judged again and again.
    ForgetsTheWatermark: "was judged after",
    /// `@start` never fires.
    ForgetsStart: "`@start` did not fire" | "a fire has no answer" | "should have fired at",
    /// A clock that was set back is not noticed: instances are silent until it has caught up.
    MissesAClockSetBack: "is silent at",
    /// A backlog is caught up all at once.
    CatchesUpAllAtOnce: "caught up exactly if it is late",
    /// What is too late to start starts.
    IgnoresTheStartDeadline: "after its start deadline",
    /// A task that a reload removed goes on firing.
    KeepsARemovedTask: "no longer in tasks.yaml",
    /// A disabled task fires.
    IgnoresDisabled: "although it is disabled",
    /// Fires outside the business hours run.
    IgnoresTheHours: "a fire has no answer" | "skipped for another reason",
    /// Cron fields and hours are read in UTC.
    IgnoresTheZone: "a fire has no answer" | "skipped for another reason" | "is not the last fire",
    /// Starts are not spread.
    IgnoresTheSplay: "before its time",
    /// What is needed is not asked for.
    IgnoresNeeds: "although it needs",
    /// How old it is, is not asked.
    IgnoresTheAgeOfANeed: "although it needs",
    /// A success does not start what follows it.
    ForgetsWhatFollows: "does not start what follows it",
    /// What follows a success follows a failure, too.
    StartsWhatFollowsAfterAFailure: "does not start what follows it",
    /// What follows is started, but not taken off the list.
    StartsWhatFollowsTwice: "does not know what started it" | "that has started it before",
    /// What is to be started is looked for at the next start only.
    LooksForNothing: "was never started",
    /// Shops that are not to be called are.
    IgnoresParks: "of an account that is parked",
    // Overlap and locks.
    /// A newcomer does not wait for those it superseded.
    StartsBesideItsRivals: "begins while attempt",
    /// An orphan does not wait for those it was waiting for.
    AdoptsBesideItsRivals: "begins while attempt",
    /// A newcomer that should give way queues.
    QueuesWhatShouldSkip: "did not give way",
    /// Named locks are not taken.
    ForgetsTheLocks: "begins while attempt",
    /// Named locks are broken, or given up, at the first look.
    NeverWaitsForLocks: "gave up its named locks" | "broke the named locks",
    /// A run that waits for named locks already tells their holder to stop.
    StopsForAWaiter: "which was not admitted",
    /// An attempt that is superseded is not told.
    DoesNotCancelTheSuperseded: "its attempt was not told",
    /// What another process asks for is not heard.
    IgnoresStopRequests: "its attempt never heard",
    /// What hangs is taken over at once.
    TakesOverWithoutWaiting: "took over after",
    /// What hangs is never taken over.
    NeverTakesOver: "is waiting for too long",
    /// Nothing older is shut out when an attempt begins.
    NeverRaisesTheFloor: "the floor rises exactly",
    /// Nobody hears that an instance starves.
    KeepsStarvingToItself: "and nobody was told",
    // Attempts and ends.
    /// One retry too many.
    RetriesOnceTooOften: "tried once too often",
    /// Retries do not wait.
    RetriesAtOnce: "a retry in",
    /// A limit that is used up is tried again at once.
    IgnoresTheLimit: "another instant than its handler said",
    /// A run has all the time in the world.
    IgnoresTheDeadline: "works beyond its limit",
    /// An attempt has all the time in the world.
    IgnoresTheTimeout: "works beyond its limit",
    /// The handler is called twice.
    LaunchesTwice: "was launched twice",
    /// An attempt that does not stop is tried again beside its own ghost.
    RetriesBesideAGhost: "begins while attempt" | "works beyond its limit",
    /// What an abandoned attempt still writes counts.
    AbandonsWithoutAFloor: "but not shut out",
    /// What an abandoned attempt still does may meet others.
    FreesTheLocksOfAGhost: "but not shut out",
    /// A run is closed twice.
    ClosesTwice: "closed a second time",
    /// The store's answer to a close is not heard.
    DropsTheAnswerToAClose: "is closing for too long",
    /// Starts by hand wait for a place like any other.
    QueuesStartsByHand: "and yet it waits for a place",
    /// Whoever asked for a run hears nothing.
    NeverAnswers: "nobody answers a start by hand",
    // Recovery and stopping.
    /// A stop closes what the next start should go on with.
    ClosesAtShutdown: "must not end as cancelled",
    /// A start leaves open what the dead left open.
    ForgetsOrphans: "nobody goes on with it",
    /// A `once` goes on with another's run.
    AdoptsInAOnce: "a `once` adopted",
    /// A process that hangs is treated as dead.
    TakesTheHungForDead: "a living process was buried",
    /// An orphan begins to count its attempts again.
    ForgetsLostAttempts: "not counted through",
    /// What must not be repeated is repeated after a crash.
    RepeatsWhatMustNotBe: "must not be repeated after a crash",
}

impl Bug {
    /// What is made of an instance's definition.
    pub(crate) fn misread(self, truth: &Arc<Instance>) -> Arc<Instance> {
        let mut instance = Instance::clone(truth);
        match self {
            Self::IgnoresTheStartDeadline => instance.start_deadline = None,
            Self::IgnoresNeeds => instance.needs.clear(),
            Self::IgnoresTheAgeOfANeed => instance.needs.iter_mut().for_each(|need| need.max_age = None),
            Self::IgnoresParks => instance.parks = false,
            Self::IgnoresDisabled => instance.enabled = true,
            Self::IgnoresTheHours => instance.timing.hours = None,
            Self::IgnoresTheZone => instance.timing.zone = TimeZone::UTC,
            Self::IgnoresTheSplay => instance.timing.splay = SignedDuration::ZERO,
            Self::QueuesWhatShouldSkip if instance.overlap == Overlap::Skip => instance.overlap = Overlap::Queue,
            Self::ForgetsStart => instance.timing.schedules.retain(|schedule| *schedule != Schedule::Start),
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
            (Bug::IgnoresStopRequests, Event::StopAsked { .. }) | (Bug::DropsTheAnswerToAClose, Event::CloseAnswered { .. }) => {
                return None;
            }
            (Bug::MissesAClockSetBack, Event::Tick) => {
                process.state.last_wall = jiff::Timestamp::from_millisecond(self.now + self.ahead).unwrap();
            }
            (Bug::KeepsARemovedTask, Event::Reloaded { instances, .. }) => {
                for (name, known) in &process.state.instances {
                    instances.entry(name.clone()).or_insert_with(|| Arc::clone(&known.instance));
                }
            }
            (Bug::StartsBesideItsRivals, Event::Judged { answer: Judgement::Admitted { rivals, .. }, .. })
            | (Bug::AdoptsBesideItsRivals, Event::Adopted { answer: AdoptAnswer::Adopted { rivals, .. }, .. }) => rivals.clear(),
            (Bug::QueuesStartsByHand, Event::Judged { request, .. }) => {
                for asked in request.asked.iter_mut().filter(|asked| asked.trigger.by_hand()) {
                    asked.trigger = Trigger::Schedule;
                }
            }
            (Bug::IgnoresTheLimit, Event::AttemptEnded { outcome: Outcome::NotYet(not_yet), .. }) => not_yet.until = Timestamp::UNIX_EPOCH,
            (Bug::ForgetsTheWatermark, Event::Judged { request, .. }) => request.upto = None,
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
            Bug::LooksForNothing => commands.retain(|command| !matches!(command, Command::LookForFollowUps)),
            Bug::StartsWhatFollowsAfterAFailure => {
                for command in commands {
                    if let Command::Close { run, end, follow_ups, .. } = command
                        && *end != RunEnd::Superseded
                        && let Some(instance) = self.laws.truth(*run)
                    {
                        follow_ups.clone_from(&instance.after_success);
                    }
                }
            }
            Bug::NeverAnswers => commands.retain(|command| !matches!(command, Command::AnswerAsk { .. })),
            Bug::LaunchesTwice => double(commands, |command| matches!(command, Command::Launch { .. })),
            Bug::ClosesTwice => double(commands, |command| matches!(command, Command::Close { .. })),
            Bug::StopsForAWaiter => self.stop_for_a_waiter(pid, event),
            Bug::RetriesBesideAGhost => self.give_up_too_early(pid, commands),
            Bug::AdoptsInAOnce if self.processes[&pid].once => {
                for command in commands {
                    if let Command::CloseOrphan { run, .. } = *command
                        && let Some(instance) = self.laws.truth(run)
                    {
                        *command = Command::Adopt { run, lost: true, instance };
                    }
                }
            }
            _ => commands.iter_mut().for_each(|command| spoil(bug, command)),
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
        let runs = self.processes[&pid].state.runs.iter();
        let holds = |active: &Active| active.generation.is_some() && active.instance.locks.iter().any(|lock| instance.locks.contains(lock));
        let holders: Vec<RunId> = runs.filter(|(_, active)| holds(active)).map(|(run, _)| run).collect();
        for run in holders {
            self.tell(pid, 0, News::Event(Event::StopAsked { run, reason: StopReason::Superseded(*waiter) }));
        }
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
    *commands =
        commands.drain(..).flat_map(|command| if is_meant(&command) { vec![command.clone(), command] } else { vec![command] }).collect();
}

fn spoil(bug: Bug, command: &mut Command) {
    match (bug, &mut *command) {
        (Bug::ForgetsWhatFollows, Command::Close { follow_ups, .. }) => follow_ups.clear(),
        (Bug::StartsWhatFollowsTwice, Command::Judge { request, .. }) => request.follow_up = None,
        (Bug::DropsSkips, Command::Judge { request, .. }) => request.skips.clear(),
        (Bug::MiscountsSkips, Command::Judge { request, .. }) => request.skips.iter_mut().for_each(|skip| skip.count += 1),
        (Bug::CatchesUpAllAtOnce, Command::Judge { request, ticket }) => {
            for asked in request.asked.iter_mut().chain(&mut ticket.asked).filter(|asked| asked.trigger == Trigger::CatchUp) {
                asked.trigger = Trigger::Schedule;
            }
        }
        (Bug::NeverWaitsForLocks, Command::Judge { request, .. }) => {
            (request.last_chance, request.break_locks) = (request.waiting.is_some(), request.waiting.is_some());
        }
        (Bug::NeverRaisesTheFloor, Command::Start { raise_floor, .. })
        | (Bug::AbandonsWithoutAFloor, Command::Close { raise_floor, .. }) => {
            *raise_floor = false;
        }
        (Bug::FreesTheLocksOfAGhost, Command::SetAside { frees_locks, .. }) => *frees_locks = true,
        (Bug::TakesOverWithoutWaiting, Command::LookAtRivals { run, rivals }) => {
            *command = Command::TakeOver { run: *run, rivals: std::mem::take(rivals), even_if_alive: true };
        }
        (Bug::ClosesAtShutdown, Command::SetAside { run, .. }) => {
            *command = Command::Close {
                run: *run,
                end: RunEnd::Cancelled,
                by: None,
                attempt: 1,
                outcome: Some(Outcome::Cancelled),
                raise_floor: false,
                follow_ups: Vec::new(),
            };
        }
        _ => {}
    }
}
