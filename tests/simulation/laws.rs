//! The laws about runs: what may be written, who may work, and what has ended stays ended.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use taskrun::{
    core::{
        event::{AdoptAnswer, CloseAnswer, Outcome, StartAnswer},
        order::FollowUpId,
        task::{Generation, Instance, InstanceName, Overlap, ProcessId, RunId, Trigger},
    },
    store::{CloseRequest, Fence, HistoryRow, PostponeRequest, RowState, RunStore},
};

use crate::{calls::answer, engine::millis, fires::Ledger, world::World};

/// What the world knows of a run, whatever the core believes.
#[derive(Clone)]
pub(crate) struct Story {
    /// The definition that counts for it, as tasks.yaml had it.
    pub(crate) truth: Arc<Instance>,
    pub(crate) trigger: Trigger,
    pub(crate) fire_at: Timestamp,
    pub(crate) owner: ProcessId,
    pub(crate) row_at: i64,
    pub(crate) generation: Option<Generation>,
    pub(crate) admitted_at: Option<i64>,
    /// When a newer run told it to stop, or a person.
    pub(crate) told_at: Option<i64>,
    /// Attempts that count.
    pub(crate) begun: u32,
    pub(crate) running: bool,
    /// Those of them that were no tries.
    pub(crate) waits: u32,
    /// Until when its handler last said that it has to wait.
    pub(crate) said: Option<Timestamp>,
    /// Since when it waits for a limit, and until when.
    pub(crate) not_yet: Option<(i64, Timestamp)>,
    /// By which process, when and for how long it was put off.
    pub(crate) postponed: Option<(ProcessId, i64, SignedDuration)>,
    pub(crate) ended: Option<HistoryRow>,
}

impl std::fmt::Debug for Story {
    /// In a line: the definition alone would take a page.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { truth, trigger, owner, row_at, generation, begun, .. } = self;
        write!(
            f,
            "{} ({}, {}, locks {:?}, wait {:?}) by {trigger}",
            truth.name, truth.overlap, truth.catch_up, truth.locks, truth.lock_wait
        )?;
        write!(f, " in process {owner} since {row_at}, {generation:?}, attempts {begun}")
    }
}

/// What the laws remember.
#[derive(Debug, Default)]
pub(crate) struct Laws {
    pub(crate) stories: BTreeMap<RunId, Story>,
    pub(crate) open: BTreeSet<RunId>,
    pub(crate) ledgers: BTreeMap<InstanceName, Ledger>,
    /// `@start` fires that have no answer yet: whose, of which instance, when.
    pub(crate) starts: Vec<(ProcessId, InstanceName, Timestamp)>,
    /// Since when something has been wrong that has to pass.
    pub(crate) wrong_since: BTreeMap<(&'static str, ProcessId, i64), i64>,
    /// Where each run was when it was last looked at.
    pub(crate) phases: BTreeMap<(ProcessId, RunId), (&'static str, u32)>,
    pub(crate) by_hand: BTreeSet<RunId>,
    /// Accounts that are not to be called, and until when.
    pub(crate) parks: BTreeMap<String, Option<Timestamp>>,
    /// Who asked to close what.
    pub(crate) closes: BTreeSet<(ProcessId, RunId)>,
    /// How long the instance has been starving when a notice said so.
    pub(crate) starving: BTreeMap<InstanceName, u32>,
    /// Fires that successes asked for and that have no answer yet: whose success, of which instance, since when.
    pub(crate) promised: BTreeMap<FollowUpId, (RunId, InstanceName, i64)>,
    /// When a clock last jumped.
    pub(crate) jumped_at: i64,
    pub(crate) calm_since: Option<i64>,
}

impl Laws {
    pub(crate) fn truth(&self, run: RunId) -> Option<Arc<Instance>> {
        self.stories.get(&run).map(|story| Arc::clone(&story.truth))
    }

    pub(crate) fn open_runs(&self) -> Vec<RunId> {
        self.open.iter().copied().collect()
    }

    pub(crate) fn open_of<'a>(&'a self, name: &'a InstanceName) -> impl Iterator<Item = (RunId, &'a Story)> {
        self.open.iter().filter_map(|run| Some((*run, self.stories.get(run)?))).filter(move |(_, story)| story.truth.name == *name)
    }

    pub(crate) fn cancelled_by_hand(&mut self, run: RunId) {
        self.by_hand.insert(run);
    }

    pub(crate) fn jumped(&mut self, now: i64, by: i64) {
        self.jumped_at = now;
        if by < 0 {
            for ledger in self.ledgers.values_mut() {
                ledger.set_back = true;
            }
        }
    }

    pub(crate) fn calm(&mut self, now: i64) {
        self.calm_since = Some(now);
    }

    pub(crate) fn process_gone(&mut self, pid: ProcessId) {
        self.starts.retain(|(of, _, _)| *of != pid);
        self.wrong_since.retain(|(_, of, _), _| *of != pid);
        self.phases.retain(|(of, _), _| *of != pid);
    }
}

impl World {
    /// The store counted an attempt, or did not.
    pub(crate) fn started(&mut self, pid: ProcessId, run: RunId, (attempt, raise_floor): (u32, bool), answer: StartAnswer) {
        let newer = self.newer_winner(run);
        let (now, wall, set_at) = (self.now, self.wall(), self.laws.jumped_at);
        let Some(story) = self.laws.stories.get_mut(&run) else { return };
        match answer {
            StartAnswer::Started => {}
            StartAnswer::Stop(_) => return self.tally.add("starts refused: told to stop"),
            StartAnswer::Fenced => return self.tally.add("starts refused: fenced"),
        }
        let truth = &story.truth;
        assert_eq!(story.owner, pid, "an attempt of run {run} was begun by a process that does not have it");
        assert_eq!(attempt, story.begun + 1, "the attempts of run {run} are not counted through");
        assert!(attempt - story.waits <= 1 + truth.retries.max, "run {run} of {} was tried once too often: attempt {attempt}", truth.name);
        assert_eq!(newer, None, "an attempt of run {run} begins although a newer run won");
        assert_eq!(raise_floor, truth.overlap == Overlap::LastWins, "run {run}: the floor rises exactly where the last one wins");
        if let Some((by, at, wait)) = story.postponed.take().filter(|(by, _, _)| *by == pid) {
            assert!(at + millis(wait) <= now + 1, "run {run} of process {by} was tried again before its time");
        }
        if let Some((since, until)) = story.not_yet.take() {
            assert!(until <= wall || since <= set_at, "run {run} went on at {wall} although it waits until {until}");
        }
        story.begun = attempt;
        story.running = true;
        if attempt > 1 {
            self.tally.add("retries");
        }
    }

    /// A newer run of the instance that was admitted under `last_wins`.
    fn newer_winner(&self, run: RunId) -> Option<RunId> {
        let story = self.laws.stories.get(&run)?;
        let wins = |(other, newer): (&RunId, &Story)| {
            let newest = newer.generation > story.generation && newer.truth.name == story.truth.name;
            (newest && newer.truth.overlap == Overlap::LastWins).then_some(*other)
        };
        // A generation grows with the run's number, but for runs that were adopted.
        self.laws
            .stories
            .range(run..)
            .skip(1)
            .chain(self.laws.open.iter().filter_map(|run| self.laws.stories.get_key_value(run)))
            .find_map(wins)
    }

    pub(crate) fn closed(&mut self, pid: ProcessId, request: &CloseRequest, answer_of: CloseAnswer) {
        let run = request.run;
        match answer_of {
            CloseAnswer::Closed { .. } => {
                assert!(self.laws.open.contains(&run), "run {run} was closed twice");
                if request.raise_floor {
                    self.tally.add("closes that raise the floor");
                }
                self.check_promises(request);
            }
            CloseAnswer::Fenced => {
                self.tally.add("closes refused");
                let row = answer(self.store.row(run));
                let owns = row.is_some_and(|row| row.process == Some(pid));
                assert!(!owns, "the owner of run {run} was not allowed to close it");
            }
        }
        self.look_at_row(run);
    }

    pub(crate) fn set_aside(&mut self, pid: ProcessId, run: RunId) {
        let Some(row) = answer(self.store.row(run)) else { return };
        let Some(story) = self.laws.stories.get_mut(&run).filter(|story| story.ended.is_none() && story.owner == pid) else { return };
        assert_eq!(row.attempts, story.begun - u32::from(story.running), "run {run}: an orderly stop uses no attempt");
        story.begun = row.attempts;
        story.running = false;
        story.postponed = None;
        self.tally.add("runs set aside");
    }

    pub(crate) fn adopted(&mut self, pid: ProcessId, run: RunId, answer: &AdoptAnswer) {
        let generation = match answer {
            AdoptAnswer::Adopted { generation, .. } => Some(*generation),
            AdoptAnswer::LockWait => None,
            AdoptAnswer::Gone => return self.tally.add("adoptions that came too late"),
        };
        assert!(!self.processes[&pid].once, "a `once` adopted run {run}");
        let now = self.now;
        let Some(story) = self.laws.stories.get_mut(&run) else { return };
        assert!(!self.processes.contains_key(&story.owner) || story.owner == pid, "run {run} was adopted from a living process");
        assert!(generation.is_none() || story.generation < generation, "run {run} was adopted under an old generation");
        story.generation = generation;
        story.admitted_at = generation.map(|_| now);
        story.not_yet = story.not_yet.filter(|_| generation.is_some());
        story.owner = pid;
        story.running = false;
        story.postponed = None;
        self.tally.add(if generation.is_some() { "runs adopted" } else { "runs adopted that wait for their locks" });
    }

    /// The end of an attempt after which the run goes on is written down, and what was no try does not count as one.
    pub(crate) fn postponed(&mut self, request: &PostponeRequest) {
        let (run, attempt) = (request.run, request.attempt);
        let Some(row) = answer(self.store.row(run)) else { return };
        let Some(story) = self.laws.stories.get_mut(&run) else { return };
        assert!(row.attempts <= attempt, "run {run} began attempt {} before the end of attempt {attempt} was written down", row.attempts);
        if let (Outcome::NotYet(_), RowState::NotYet { until }) = (&request.outcome, row.state) {
            assert_eq!(Some(until), story.said, "run {run} waits for another instant than its handler said");
            story.waits += 1;
            story.not_yet = Some((self.now, until));
            self.tally.add("waits for a limit");
        }
        assert_eq!(row.waits, story.waits, "run {run}: what was no try is not counted apart");
    }

    /// Compares a run's row with what was seen of it before.
    pub(crate) fn look_at_row(&mut self, run: RunId) {
        let Some(row) = answer(self.store.row(run)) else { return };
        let Some(story) = self.laws.stories.get_mut(&run) else { return };
        story.running &= row.state == RowState::Running;
        if let Some(before) = &story.ended {
            let skipped = matches!(row.state, RowState::Skipped { .. });
            assert!(skipped || *before == row, "the end of run {run} changed: {before:?} became {row:?}");
            return;
        }
        let end = match &row.state {
            RowState::Waiting | RowState::Running | RowState::Backoff { .. } | RowState::NotYet { .. } => return,
            RowState::Ended { end, .. } => end.word(),
            RowState::Skipped { reason, .. } => reason.word(),
        };
        self.trace.note(self.now, story.owner, end, run.0, 0);
        self.tally.add(end_name(end));
        let name = story.truth.name.clone();
        let skipped = matches!(row.state, RowState::Skipped { .. });
        let (fire_at, scheduled) = (story.fire_at, matches!(story.trigger, Trigger::Schedule | Trigger::CatchUp));
        story.ended = Some(row);
        self.laws.open.remove(&run);
        let ledger = self.laws.ledgers.entry(name).or_default();
        if skipped && scheduled {
            ledger.fired.remove(&fire_at);
        }
        ledger.ended_at = self.now;
        for process in self.processes.values_mut() {
            for (_, attempt) in process.attempts.iter_mut().filter(|((of, _), _)| *of == run) {
                attempt.shut_out = true;
            }
        }
    }

    /// An attempt begins: whatever it must not meet has ended, or hangs and is shut out.
    pub(crate) fn check_launch(&mut self, pid: ProcessId, run: RunId, attempt: u32, truth: &Instance) {
        let story = self.laws.stories.get(&run);
        let (begins, own) = story.map_or((self.now, None), |story| (story.row_at, story.generation));
        let patience = millis(truth.grace) + millis(truth.takeover);
        for (other, process) in &mut self.processes {
            let hangs = process.frozen || begins - 60_000 <= process.hung_last;
            for ((rival, its), running) in process.attempts.iter_mut().filter(|(key, _)| **key != (run, attempt)) {
                // The policy of the one that was admitted last counts.
                let newer = if own < Some(running.generation) { running.truth.overlap } else { truth.overlap };
                let same = running.truth.name == truth.name && newer != Overlap::Allow;
                let shares = running.truth.locks.iter().any(|lock| truth.locks.contains(lock));
                if !same && !shares {
                    continue;
                }
                let waited = running.told.is_some_and(|told| told + patience <= self.now);
                let excused = running.shut_out || (hangs && *other != pid) || (waited && *other != pid);
                let stories = (self.laws.stories.get(&run), self.laws.stories.get(rival));
                assert!(excused, "run {run} begins while attempt {its} of run {rival} works: {stories:?}");
                let fence = Fence { instance: running.truth.name.clone(), run: *rival, generation: running.generation };
                assert!(!answer(self.store.may_write(&fence)), "run {run} begins while run {rival} may still write");
                running.shut_out = true;
                self.tally.add("attempts beside one that hangs");
            }
        }
    }

    /// Only processes that are really dead are treated so.
    pub(crate) fn check_burial(&mut self, dead: &[ProcessId]) {
        let alive = dead.iter().find(|process| !self.is_dead(**process));
        assert_eq!(alive, None, "a living process was buried");
        self.tally.add("burials");
    }

    /// Only what has hung for as long as `takeover` is taken over; or what was told to stop and has had its grace period, too.
    pub(crate) fn check_takeover(&mut self, run: RunId, rivals: &[RunId], even_if_alive: bool, hung: &BTreeMap<ProcessId, i64>) {
        let Some(story) = self.laws.stories.get(&run) else { return };
        let (takeover, grace) = (millis(story.truth.takeover), millis(story.truth.grace));
        let waited = self.now - story.admitted_at.unwrap_or(story.row_at);
        for rival in rivals.iter().filter(|rival| self.laws.open.contains(rival)) {
            let owner = self.laws.stories[rival].owner;
            let Some(hung) = hung.get(&owner).filter(|_| !self.is_dead(owner)) else { continue };
            // Asking it is part of the wait.
            let enough = takeover <= waited.min(*hung) + 3500 || (even_if_alive && takeover + grace <= waited + 1);
            assert!(enough, "run {run} took over after {waited} ms from a process that hung for {hung} ms");
        }
        self.tally.add("takeovers");
    }
}

fn end_name(end: &str) -> &'static str {
    const NAMES: [(&str, &str); 15] = [
        ("succeeded", "end: succeeded"),
        ("failed", "end: failed"),
        ("timed_out", "end: timed out"),
        ("superseded", "end: superseded"),
        ("cancelled", "end: cancelled"),
        ("lost", "end: lost"),
        ("outside_hours", "skip: outside hours"),
        ("calendar", "skip: calendar"),
        ("overlap", "skip: overlap"),
        ("lock_busy", "skip: lock busy"),
        ("misfire", "skip: misfire"),
        ("paused", "skip: paused"),
        ("needs_unmet", "skip: needs unmet"),
        ("parked", "skip: parked"),
        ("disabled", "skip: disabled"),
    ];
    NAMES.iter().find(|(word, _)| *word == end).map_or("end: of another kind", |(_, name)| name)
}

pub(crate) fn skip_name(reason: &str) -> &'static str {
    end_name(reason)
}
