//! The handlers: good ones, slow ones, deaf ones, and some that never return.
use std::sync::Arc;

use taskrun::{
    core::{
        event::{Event, NotYet, Outcome},
        task::{Generation, Instance, ProcessId, RunId},
    },
    store::Fence,
};

use crate::{
    calls::answer,
    engine::millis,
    shop::secs,
    world::{News, World},
};

/// An attempt on its thread.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) truth: Arc<Instance>,
    pub(crate) generation: Generation,
    pub(crate) begun: i64,
    /// When it was told to stop.
    pub(crate) told: Option<i64>,
    /// The engine has given up on it.
    pub(crate) ghost: bool,
    /// Nothing it writes may count any more.
    pub(crate) shut_out: bool,
    ears: Ears,
    outcome: Outcome,
    /// Its place in the world's queue, if it is going to end by itself.
    ends: Option<(i64, u64)>,
}

/// How a handler takes it to be told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ears {
    Good,
    Late,
    /// Stops when its children are killed.
    Deaf,
    /// Does not stop.
    Stone,
}

impl World {
    pub(crate) fn launch(&mut self, pid: ProcessId, run: RunId, attempt: u32, generation: Generation, instance: &Arc<Instance>) {
        let truth = self.laws.truth(run).unwrap_or_else(|| Arc::clone(instance));
        self.check_launch(pid, run, attempt, &truth);
        self.tally.add("attempts");
        self.trace.note(self.now, pid, "launches", run.0, attempt.into());
        let (lasts, outcome) = self.nature(&truth);
        let ears = match self.rng.below(100) {
            _ if self.kind => Ears::Good,
            0..72 => Ears::Good,
            72..84 => Ears::Late,
            84..93 => Ears::Deaf,
            _ => Ears::Stone,
        };
        let ends = lasts.map(|lasts| self.tell(pid, lasts, News::HandlerEnds(run, attempt)));
        for _ in 0..self.rng.below(3) {
            let wait = self.rng.below(lasts.unwrap_or(600_000).max(1));
            self.tell(pid, wait, News::HandlerWrites(run, attempt));
        }
        let begun = self.now;
        let attempt_begun = Attempt { truth, generation, begun, told: None, ghost: false, shut_out: false, ears, outcome, ends };
        let before = self.processes.get_mut(&pid).and_then(|process| process.attempts.insert((run, attempt), attempt_begun));
        assert!(before.is_none(), "attempt {attempt} of run {run} was launched twice");
    }

    /// How long an attempt lasts if nobody stops it, and what comes of it.
    fn nature(&mut self, truth: &Instance) -> (Option<i64>, Outcome) {
        let lasts = match self.rng.below(100) {
            _ if self.kind => self.rng.between(20, 2000),
            0..60 => self.rng.between(20, 4000),
            60..88 => self.rng.between(4000, 60_000),
            _ => self.rng.between(60_000, 400_000),
        };
        let error: Arc<str> = "practice".into();
        let succeeded = Outcome::Succeeded { summary: "done".into() };
        let retry_after = self.rng.chance(200).then(|| secs(self.rng.between(1, 200)));
        let until = self.wall() + secs(self.rng.between(-5, 400));
        let outcome = match self.rng.below(100) {
            _ if self.kind => succeeded,
            0..66 => succeeded,
            66..76 => Outcome::Failed { transient: true, retry_after, error },
            76..82 => Outcome::NotYet(NotYet { until, why: error }),
            82..88 => Outcome::Failed { transient: false, retry_after: None, error },
            88..92 => Outcome::Panicked { error },
            92..94 => Outcome::Cancelled,
            _ if truth.timeout.is_some() || truth.deadline.is_some() => return (None, succeeded),
            _ => succeeded,
        };
        (Some(lasts), outcome)
    }

    pub(crate) fn cancel(&mut self, pid: ProcessId, run: RunId) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Some(((_, attempt), running)) = process.attempts.iter_mut().rfind(|((of, _), running)| *of == run && !running.ghost) else {
            return;
        };
        running.told = running.told.or(Some(now));
        let (attempt, ears, grace) = (*attempt, running.ears, millis(running.truth.grace));
        self.tally.add("attempts told to stop");
        match ears {
            Ears::Good => self.stops_within(pid, run, attempt, (0, 1500)),
            Ears::Late => self.stops_within(pid, run, attempt, (grace / 2, grace + 1500)),
            Ears::Deaf | Ears::Stone => {}
        }
    }

    pub(crate) fn kill_children(&mut self, pid: ProcessId, run: RunId) {
        self.tally.add("attempts whose children were killed");
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Some(((_, attempt), running)) = process.attempts.iter().rfind(|((of, _), running)| *of == run && !running.ghost) else {
            return;
        };
        let (attempt, ears) = (*attempt, running.ears);
        if ears != Ears::Stone {
            self.stops_within(pid, run, attempt, (0, 3000));
        }
    }

    fn stops_within(&mut self, pid: ProcessId, run: RunId, attempt: u32, (soonest, latest): (i64, i64)) {
        let wait = self.rng.between(soonest, latest);
        let outcome = match self.rng.below(10) {
            0 => Outcome::Succeeded { summary: "just in time".into() },
            1 => Outcome::Failed { transient: true, retry_after: None, error: "stopped in the middle".into() },
            _ => Outcome::Cancelled,
        };
        let at = self.now + wait;
        let Some(running) = self.processes.get_mut(&pid).and_then(|process| process.attempts.get_mut(&(run, attempt))) else { return };
        if running.ends.is_some_and(|(ends, _)| ends <= at) {
            return;
        }
        let before = running.ends.take();
        running.outcome = outcome;
        if let Some(before) = before {
            self.untell(before);
        }
        let ends = self.tell(pid, wait, News::HandlerEnds(run, attempt));
        if let Some(running) = self.processes.get_mut(&pid).and_then(|process| process.attempts.get_mut(&(run, attempt))) {
            running.ends = Some(ends);
        }
    }

    pub(crate) fn abandon(&mut self, pid: ProcessId, run: RunId, attempt: u32) {
        self.tally.add("attempts abandoned");
        let soon = self.rng.between(10_000, 1_800_000);
        let Some(running) = self.processes.get_mut(&pid).and_then(|process| process.attempts.get_mut(&(run, attempt))) else { return };
        running.ghost = true;
        let ends = running.ends;
        if ends.is_none() {
            self.tell(pid, soon, News::HandlerEnds(run, attempt));
        }
        let writes = self.rng.between(0, soon);
        self.tell(pid, writes, News::HandlerWrites(run, attempt));
    }

    pub(crate) fn handler_ends(&mut self, pid: ProcessId, run: RunId, attempt: u32) {
        let Some(ended) = self.processes.get_mut(&pid).and_then(|process| process.attempts.remove(&(run, attempt))) else { return };
        self.trace.note(self.now, pid, "handler ends", run.0, attempt.into());
        if ended.ghost {
            self.tally.add("ghosts that returned");
        }
        self.tally.add(outcome_name(&ended.outcome));
        if let (Outcome::NotYet(NotYet { until, .. }), Some(story)) = (&ended.outcome, self.laws.stories.get_mut(&run)) {
            story.said = Some(*until);
        }
        let wait = self.latency();
        self.tell(pid, wait, News::Event(Event::AttemptEnded { run, attempt, outcome: ended.outcome }));
    }

    /// A handler writes to the store; who was shut out may not.
    pub(crate) fn handler_writes(&mut self, pid: ProcessId, run: RunId, attempt: u32) {
        let Some(running) = self.processes.get(&pid).and_then(|process| process.attempts.get(&(run, attempt))) else { return };
        let fence = Fence { instance: running.truth.name.clone(), run, generation: running.generation };
        let allowed = answer(self.store.may_write(&fence));
        if running.shut_out {
            assert!(!allowed, "an attempt that was shut out could still write: run {run}");
            self.tally.add("zombie writes refused");
        } else {
            assert!(allowed, "an attempt that is nobody's rival could not write: run {run}");
            self.tally.add("writes");
        }
    }
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded { .. } => "outcome: succeeded",
        Outcome::Failed { transient: true, retry_after: None, .. } => "outcome: failed for now",
        Outcome::Failed { transient: true, .. } => "outcome: failed for now, with a time to retry after",
        Outcome::Failed { .. } => "outcome: failed for good",
        Outcome::TimedOut { .. } => "outcome: timed out",
        Outcome::Cancelled => "outcome: cancelled",
        Outcome::Panicked { .. } => "outcome: panicked",
        Outcome::Lost => "outcome: lost",
        Outcome::NotYet(_) => "outcome: not yet",
    }
}
