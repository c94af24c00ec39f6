//! The laws about what is open: everything that waits, waits for something that exists, and not for ever.
use jiff::SignedDuration;
use taskrun::{
    core::{
        state::{Active, Phase},
        task::{Instance, ProcessId, RunId},
    },
    store::RunStore,
};

use crate::{calls::answer, engine::millis, world::World};

/// Whatever takes longer than it may gets this much more, for a slow machine.
const SLACK: i64 = 20_000;

impl World {
    pub(crate) fn audit(&mut self) {
        for pid in self.processes.keys().copied().collect::<Vec<_>>() {
            let process = &self.processes[&pid];
            if process.frozen || process.leaving {
                continue;
            }
            let trouble = process.thawed_at.max(process.born).max(self.stalled_until).max(self.laws.jumped_at);
            self.check_attempts(pid, trouble);
            self.check_runs(pid, trouble);
            if !self.processes[&pid].once {
                self.check_overdue(pid, trouble);
                self.check_waiting(pid, trouble);
            }
            let asks = self.processes[&pid].asks.values().any(|at| *at + 300_000 < self.now);
            assert!(self.is_patient("ask", (pid, 0), asks, trouble, 60_000), "nobody answers a start by hand");
        }
        self.check_owners();
    }

    /// False when something has been wrong for longer than it may, troubled times not counted.
    pub(crate) fn is_patient(&mut self, what: &'static str, (pid, about): (ProcessId, i64), wrong: bool, trouble: i64, limit: i64) -> bool {
        if !wrong {
            self.laws.wrong_since.remove(&(what, pid, about));
            return true;
        }
        let since = *self.laws.wrong_since.entry((what, pid, about)).or_insert(self.now);
        self.now - since.max(trouble) <= limit
    }

    fn check_attempts(&mut self, pid: ProcessId, trouble: i64) {
        let mut found = Vec::new();
        let process = &self.processes[&pid];
        for ((run, attempt), running) in process.attempts.iter().filter(|(_, running)| !running.ghost) {
            let truth = &running.truth;
            let limit = truth.timeout.into_iter().chain(truth.deadline).min().map_or(i64::MAX / 2, millis);
            let too_long = limit + millis(truth.grace) + SLACK < self.now - running.begun;
            let phase = process.state.runs.get(*run).map(|active| active.phase.clone());
            let untold = running.told.is_none() && matches!(phase, Some(Phase::Stopping { attempt: of, .. }) if of == *attempt);
            let story = &self.laws.stories[run];
            let deaf = story.told_at.is_some() && running.told.is_none() && story.ended.is_none();
            found.push((*run, too_long, untold, deaf, phase));
        }
        for (run, too_long, untold, deaf, phase) in found {
            assert!(!untold, "run {run} is said to stop, but its attempt was not told");
            assert!(
                self.is_patient("too long", (pid, run.0), too_long, trouble, SLACK),
                "an attempt of run {run} works beyond its limit: {phase:?}"
            );
            assert!(
                self.is_patient("deaf", (pid, run.0), deaf, trouble, SLACK),
                "run {run} was told to stop, but its attempt never heard: {phase:?}"
            );
        }
    }

    fn check_runs(&mut self, pid: ProcessId, trouble: i64) {
        let process = &self.processes[&pid];
        let uptime = self.now - process.born;
        let mut found = Vec::new();
        for (run, active) in process.state.runs.iter() {
            let over = self.laws.stories.get(&run).is_none_or(|story| story.ended.is_some());
            found.push((run, (active.phase.word(), active.attempts), self.patience(pid, run, active, uptime), over));
        }
        for (run, phase, (limit, wrong), over) in found {
            // A run that has moved on has its patience back.
            if self.laws.phases.insert((pid, run), phase) != Some(phase) {
                self.laws.wrong_since.remove(&("phase", pid, run.0));
            }
            let story = self.laws.stories.get(&run).cloned();
            assert!(self.is_patient("phase", (pid, run.0), wrong, trouble, limit), "run {run} is {} for too long: {story:?}", phase.0);
            assert!(self.is_patient("over", (pid, run.0), over, trouble, SLACK), "run {run} has ended, but its process does not know");
        }
    }

    /// How long a run may be where it is, and whether the clock of that patience runs.
    fn patience(&self, pid: ProcessId, run: RunId, active: &Active, uptime: i64) -> (i64, bool) {
        let truth = self.laws.truth(run);
        let instance = truth.as_ref().unwrap_or(&active.instance);
        let stop = millis(instance.grace) + 2000 + SLACK;
        let takeover = millis(instance.takeover);
        match &active.phase {
            Phase::LockWait { until, .. } => {
                // What a stop set aside waits as long as it takes, but not for nobody.
                let shares = |other: &Instance| other.locks.iter().any(|lock| active.instance.locks.contains(lock));
                let mut open = self.laws.open.iter().filter(|other| **other != run).filter_map(|other| self.laws.stories.get(other));
                let held = open.any(|other| other.generation.is_some() && shares(&other.truth));
                (millis(instance.lock_wait).max(takeover) + SLACK, *until < SignedDuration::MAX || !held)
            }
            Phase::Waiting { rivals, told, .. } => {
                let open = rivals.iter().any(|rival| self.laws.open.contains(rival));
                // It queues in the others' own time, as long as they are there.
                if *told || !open { (stop + takeover, true) } else { (0, false) }
            }
            Phase::Queued => (0, false),
            Phase::Starting { .. } | Phase::Closing | Phase::Adopting => (SLACK, true),
            Phase::Running { .. } => {
                let works = self.processes[&pid].attempts.keys().any(|(of, _)| *of == run);
                (SLACK, !works)
            }
            Phase::Stopping { .. } => (stop, true),
            Phase::NotYet { rest } => {
                let until = active.not_yet.as_ref().map_or(self.wall(), |not_yet| not_yet.until);
                (SLACK, rest.is_none_or(|rest| i64::try_from(rest.as_millis()).unwrap() < uptime) && until < self.wall())
            }
            Phase::Backoff { at } => (SLACK, i64::try_from(at.as_millis()).unwrap() < uptime),
        }
    }

    /// No row stays open without an owner in memory; what the dead and a stop left open, a daemon goes on with or closes.
    fn check_owners(&mut self) {
        let open = answer(self.store.still_open(self.laws.open_runs()));
        assert_eq!(open.len(), self.laws.open.len(), "runs ended and nobody saw it: {:?} and {open:?}", self.laws.open);
        for (run, owner) in open {
            let (pid, wrong) = match owner.and_then(|owner| Some((owner, self.processes.get(&owner)?))) {
                Some((pid, owner)) => {
                    let known = owner.state.runs.contains(run) || owner.expected.contains(&run);
                    (pid, !known && !owner.leaving && !owner.frozen)
                }
                None => (self.daemon.unwrap_or(ProcessId(0)), self.daemon_works()),
            };
            let thawed_at = self.processes.get(&pid).map_or(0, |process| process.thawed_at.max(process.born));
            let trouble = self.stalled_until.max(thawed_at);
            assert!(
                self.is_patient("ownerless", (pid, run.0), wrong, trouble, SLACK),
                "run {run} is open and nobody goes on with it: {owner:?}"
            );
        }
    }

    fn daemon_works(&self) -> bool {
        let daemon = self.daemon.and_then(|daemon| self.processes.get(&daemon));
        daemon.is_some_and(|daemon| !daemon.frozen && !daemon.leaving && daemon.shutdown.is_none())
    }

    /// At the very end: what began in the storm is over.
    pub(crate) fn last_look(&mut self) {
        let calm = self.laws.calm_since.unwrap_or(self.now);
        for run in self.laws.open_runs() {
            let story = &self.laws.stories[&run];
            let phase = |process: &crate::world::Process| Some(process.state.runs.get(run)?.phase.clone());
            let phases: Vec<_> = self.processes.values().filter_map(phase).collect();
            // Its handler named an instant, and then the clock was set back by hours.
            let waits = story.not_yet.is_some_and(|(_, until)| self.wall() < until);
            assert!(waits || story.row_at > calm, "run {run} never ended: {story:?} {phases:?}");
        }
        for run in self.laws.stories.keys().copied().collect::<Vec<_>>() {
            self.look_at_row(run);
        }
        self.check_history();
        self.tally.add_many("runs", u64::try_from(self.laws.stories.len()).unwrap());
    }
}
