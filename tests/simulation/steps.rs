//! The laws about single steps of a core: what it may ask for, and what it has to say.
use jiff::SignedDuration;
use taskrun::core::{
    attempt::{self, Next, RETRY_AFTER_MAX, next},
    event::{AskAnswer, AskId, CloseAnswer, Command, Event, Notice, Outcome, RunEnd, StopReason},
    guard::STARVING_AT,
    state::{Phase, wake},
    task::{Backoff, Instance, OnLost, ProcessId, RunId},
};

use crate::world::World;

/// Starts by hand of one instance that may wait.
const ASKS_MAX: usize = 32;
/// Open runs that a process of this small shop may ever have.
const RUNS_MAX: usize = 150;

impl World {
    pub(crate) fn before_step(&mut self, pid: ProcessId, event: &Event) {
        match event {
            Event::Judged {
                answer: taskrun::core::event::Judgement::Admitted { run, .. } | taskrun::core::event::Judgement::LockWait { run, .. },
                ..
            } => {
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.expected.remove(run);
                }
            }
            Event::RivalsSeen { .. } => self.tally.add("looks at rivals"),
            Event::TakeoverRefused { .. } => self.tally.add("takeovers refused"),
            Event::StopAsked { .. } => self.tally.add("stop requests heard"),
            _ => {}
        }
    }

    pub(crate) fn after_step(&mut self, pid: ProcessId, event: &Event, commands: &[Command]) {
        self.check_wake(pid, event, commands);
        self.check_starving(pid, event, commands);
        self.check_limits(pid);
        self.check_commands(pid, commands);
    }

    pub(crate) fn check_commands(&mut self, pid: ProcessId, commands: &[Command]) {
        for command in commands {
            self.check_command(pid, command, commands);
        }
    }

    fn check_command(&mut self, pid: ProcessId, command: &Command, all: &[Command]) {
        match command {
            Command::Judge { request, ticket } => {
                self.trace.note(self.now, pid, "judge", ticket.waiting.map_or(0, |run| run.0), i64::from(request.last_chance));
                if ticket.upto.is_some() {
                    let anchors = self.processes[&pid].state.anchors(&request.instance.name);
                    self.check_due(pid, request, anchors);
                }
            }
            Command::Start { run, attempt, .. } => self.trace.note(self.now, pid, "start", run.0, (*attempt).into()),
            Command::Cancel { run, reason } => {
                self.trace.note(self.now, pid, "cancel", run.0, 0);
                self.check_cancel(*run, *reason);
            }
            Command::Kill { run } => self.trace.note(self.now, pid, "kill", run.0, 0),
            Command::Abandon { run, .. } => {
                self.trace.note(self.now, pid, "abandon", run.0, 0);
                let shut_out = |command: &Command| match command {
                    Command::Close { run: closed, raise_floor, .. } => closed == run && *raise_floor,
                    // What its thread may still do is not to meet others.
                    Command::SetAside { run: left, frees_locks } => left == run && !*frees_locks,
                    _ => false,
                };
                assert!(all.iter().any(shut_out), "run {run} was abandoned, but not shut out");
            }
            Command::Postpone { run, attempt, outcome, retry_at } => {
                self.trace.note(self.now, pid, "postpone", run.0, (*attempt).into());
                self.check_postpone(pid, *run, *attempt, outcome, retry_at.duration_since(self.wall()));
            }
            Command::Close { run, end, attempt, outcome, .. } => {
                self.trace.note(self.now, pid, "close", run.0, (*attempt).into());
                assert!(self.laws.closes.insert((pid, *run)), "run {run} is closed a second time");
                let abandoned = all.iter().any(|command| matches!(command, Command::Abandon { run: of, .. } if of == run));
                self.check_end(pid, (*run, *end), *attempt, outcome.as_ref(), abandoned);
            }
            Command::SetAside { run, .. } => self.trace.note(self.now, pid, "set aside", run.0, 0),
            Command::TakeOver { run, .. } => self.trace.note(self.now, pid, "take over", run.0, 0),
            Command::LookAtRivals { run, .. } => self.trace.note(self.now, pid, "look at rivals", run.0, 0),
            Command::Adopt { run, .. } => {
                self.trace.note(self.now, pid, "adopt", run.0, 0);
                self.check_adoption(pid, *run);
            }
            Command::CloseOrphan { run, .. } => self.trace.note(self.now, pid, "close orphan", run.0, 0),
            Command::LookForFollowUps => self.trace.note(self.now, pid, "look for follow-ups", 0, 0),
            Command::DropFollowUp { id } => {
                self.trace.note(self.now, pid, "drop follow-up", id.0, 0);
                self.check_drop(pid, *id);
            }
            Command::LowerWatermarks { .. } => self.trace.note(self.now, pid, "lower watermarks", 0, 0),
            Command::Launch { .. } | Command::AnswerAsk { .. } | Command::Notice(_) => {}
        }
    }

    /// A tick that has nothing to do says when it will have; a process never spins.
    fn check_wake(&mut self, pid: ProcessId, event: &Event, commands: &[Command]) {
        let process = &self.processes[&pid];
        if matches!(event, Event::Tick) && commands.is_empty() {
            let (now, wake) = (self.clocks(process.born), wake(&process.state));
            let later = wake.wall.is_none_or(|at| now.wall < at) && wake.uptime.is_none_or(|at| now.uptime < at);
            assert!(later, "wakes again at once, with nothing done: {wake:?} at {now:?}");
        }
    }

    /// From the third supersession in a row on, somebody hears of it.
    fn check_starving(&mut self, pid: ProcessId, event: &Event, commands: &[Command]) {
        for command in commands {
            if let Command::Notice(Notice::Starving { instance, times }) = command {
                self.laws.starving.insert(instance.clone(), *times);
                self.tally.add("starving notices");
            }
        }
        let Event::CloseAnswered { run, answer: CloseAnswer::Closed { superseded_in_row: times } } = event else { return };
        let Some(name) = self.laws.truth(*run).map(|truth| truth.name.clone()) else { return };
        if *times < STARVING_AT {
            self.laws.starving.remove(&name);
        } else if self.processes[&pid].state.instances.contains_key(&name) {
            assert!(self.laws.starving.contains_key(&name), "{name} was superseded {times} times in a row, and nobody was told");
        }
    }

    fn check_limits(&self, pid: ProcessId) {
        let state = &self.processes[&pid].state;
        let asks = state.instances.values().map(|known| known.asks.len()).max().unwrap_or(0);
        assert!(asks <= ASKS_MAX, "{asks} starts by hand wait");
        assert!(state.runs.len() <= RUNS_MAX, "{} runs are open", state.runs.len());
        let busy = |phase: &Phase| matches!(phase, Phase::Starting { .. } | Phase::Running { .. } | Phase::Stopping { .. });
        let taken = state.runs.iter().filter(|(_, active)| !active.by_hand() && busy(&active.phase)).count();
        for (run, active) in state.runs.iter().filter(|(_, active)| active.phase == Phase::Queued) {
            let by_hand = self.laws.stories.get(&run).is_some_and(|story| story.trigger.by_hand());
            assert!(!by_hand, "run {run} was started by hand, and yet it waits for a place");
            assert!(state.running_max <= taken, "run {run} of {} waits for a place although one is free", active.instance.name);
        }
    }

    /// Nobody is told to stop for a run that may never begin.
    fn check_cancel(&self, run: RunId, reason: StopReason) {
        if let StopReason::Superseded(by) = reason {
            let admitted = self.laws.stories.get(&by).is_some_and(|story| story.generation.is_some());
            assert!(admitted, "run {run} was told to stop for run {by}, which was not admitted");
        }
    }

    fn check_postpone(&mut self, pid: ProcessId, run: RunId, attempt: u32, outcome: &Outcome, wait: SignedDuration) {
        let now = self.now;
        let Some(story) = self.laws.stories.get_mut(&run) else { return };
        if matches!(outcome, Outcome::NotYet(_)) {
            story.postponed = Some((pid, now, attempt::REST_MIN));
            return;
        }
        let (least, most) = bounds(&story.truth, attempt - story.waits, outcome);
        assert!(least <= wait && wait <= most, "run {run}: a retry in {wait:?}, not between {least:?} and {most:?}");
        story.postponed = Some((pid, now, wait));
    }

    /// Only what today's tasks.yaml lets go on, goes on.
    fn check_adoption(&self, pid: ProcessId, run: RunId) {
        let Some(story) = self.laws.stories.get(&run) else { return };
        let Some(today) = self.file[self.processes[&pid].version].instances.get(&story.truth.name) else {
            panic!("run {run} of {} goes on although its task is gone", story.truth.name);
        };
        assert!(!story.running || today.on_lost == OnLost::Retry, "run {run} of {} must not be repeated after a crash", today.name);
        let late = self.wall().duration_since(story.fire_at);
        assert!(today.start_deadline.is_none_or(|deadline| late <= deadline), "run {run} of {} goes on {late:?} late", today.name);
        assert!(story.told_at.is_none(), "run {run} of {} goes on although it was told to stop", today.name);
    }

    /// A run ends as its last attempt did, or as it was told to.
    fn check_end(&self, pid: ProcessId, (run, end): (RunId, RunEnd), attempt: u32, outcome: Option<&Outcome>, abandoned: bool) {
        let (Some(story), process) = (self.laws.stories.get(&run), &self.processes[&pid]) else { return };
        let stops = process.shutdown.is_some();
        let over = outcome
            .is_some_and(|outcome| matches!(next(&story.truth.retries, attempt.saturating_sub(story.waits), outcome, 0.5), Next::Close(_)));
        let legal = match end {
            RunEnd::Succeeded => matches!(outcome, Some(Outcome::Succeeded { .. })),
            RunEnd::Failed => over || stops,
            RunEnd::TimedOut => {
                story.truth.deadline.is_some() || (over && matches!(outcome, Some(Outcome::TimedOut { .. }))) || stops || abandoned
            }
            RunEnd::Superseded => true,
            RunEnd::Cancelled => {
                let keeps = !process.once && (story.truth.resumable || attempt == 0);
                self.laws.by_hand.contains(&run) || (stops && !keeps)
            }
            RunEnd::Lost => false,
        };
        assert!(legal, "run {run} of {} must not end as {end} after attempt {attempt}: {outcome:?}", story.truth.name);
    }

    pub(crate) fn answered(&mut self, pid: ProcessId, ask: AskId, answer: &AskAnswer) {
        let asked = self.processes.get_mut(&pid).and_then(|process| process.asks.remove(&ask));
        assert!(asked.is_some(), "a start by hand was answered twice");
        self.tally.add(match answer {
            AskAnswer::Run(_) => "starts by hand that became runs",
            AskAnswer::Skipped { .. } => "starts by hand that were skipped",
            AskAnswer::Refused(_) => "starts by hand that were refused",
        });
    }

    pub(crate) fn noticed(&mut self, pid: ProcessId, notice: &Notice) {
        match notice {
            Notice::Lost { run, resumed: true, .. } => {
                // It goes on under the definition of today.
                let version = self.processes[&pid].version;
                let Some(story) = self.laws.stories.get_mut(run) else { return };
                if let Some(today) = self.file[version].instances.get(&story.truth.name) {
                    story.truth = std::sync::Arc::clone(today);
                }
            }
            Notice::Waits { .. } => self.tally.add("waits for a limit that people hear of"),
            Notice::LockWaits { .. } => self.tally.add("waits for named locks"),
            Notice::Stuck { .. } => self.tally.add("stuck notices"),
            Notice::TookOver { .. } => self.tally.add("takeover notices"),
            Notice::FollowsNobody { .. } => self.tally.add("successes that start nobody any more"),
            Notice::Lost { .. } | Notice::Ended { .. } | Notice::Retrying { .. } | Notice::Skipped { .. } | Notice::Starving { .. } => {}
        }
    }
}

/// Between what a retry has to wait, by the policy's own words.
fn bounds(truth: &Instance, attempt: u32, outcome: &Outcome) -> (SignedDuration, SignedDuration) {
    let policy = &truth.retries;
    let doublings = if policy.backoff == Backoff::Exponential { attempt - 1 } else { 0 };
    let whole = policy.delay.saturating_mul(1 << doublings.min(20)).min(policy.max_delay);
    let asked =
        if let Outcome::Failed { retry_after: Some(asked), .. } = outcome { (*asked).min(RETRY_AFTER_MAX) } else { SignedDuration::ZERO };
    let least = SignedDuration::from_secs_f64(whole.as_secs_f64() * (1.0 - policy.jitter)).saturating_sub(SignedDuration::from_millis(1));
    (least.max(asked), whole.max(asked))
}
