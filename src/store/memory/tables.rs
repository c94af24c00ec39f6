//! The rows and every write but the judging.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    core::{
        event::{CloseAnswer, Mark, NotYet, Outcome, OutcomeKind, RunEnd, StartAnswer, StopReason},
        order::{FollowUp, FollowUpId},
        task::{Generation, InstanceName, LockName, ProcessId, RunId, Trigger},
    },
    store::{AttemptRow, ChildGroup, CloseRequest, Fence, HistoryRow, InstanceSeen, Pause, PostponeRequest, ProcessRow, RowState},
};

/// Everything that the store keeps.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    pub(super) processes: BTreeMap<ProcessId, Process>,
    pub(super) instances: BTreeMap<InstanceName, Instance>,
    pub(super) runs: BTreeMap<RunId, Run>,
    /// The open ones of the runs.
    pub(super) open: BTreeSet<RunId>,
    /// Runs that somebody else closed and whose process has not heard of it.
    pub(super) unheard: BTreeSet<RunId>,
    pub(super) children: BTreeMap<(RunId, u32), (ChildGroup, Option<ProcessId>)>,
    pub(super) pauses: BTreeMap<String, Pause>,
    /// Parked accounts: until when and why.
    pub(super) parks: BTreeMap<Arc<str>, (Option<Timestamp>, Arc<str>)>,
    pub(super) follow_ups: BTreeMap<FollowUpId, FollowUp>,
    /// Numbers are never given twice.
    follow_ups_ever: i64,
    processes_ever: i64,
    runs_ever: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) row: ProcessRow,
    /// Proved dead: its open runs are orphans.
    pub(super) dead: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Instance {
    schedule: Option<String>,
    absent: bool,
    first_seen: Timestamp,
    pub(super) last_end: Option<Timestamp>,
    pub(super) watermark: Option<Timestamp>,
    generation: i64,
    pub(super) floor: i64,
    superseded_in_row: u32,
    /// The newest row.
    pub(super) newest: Option<RunId>,
    /// The schedule's instants that became runs.
    pub(super) fired: BTreeSet<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) struct Run {
    /// What the history shows; but it shows a process only while the run is open.
    pub(super) row: HistoryRow,
    pub(super) stop: Option<StopReason>,
    /// Its claims on named locks.
    pub(super) locks: Vec<LockName>,
    pub(super) attempts: Vec<AttemptRow>,
}

/// Instants are kept to the millisecond.
pub(super) fn millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

impl Tables {
    pub fn register_process(&mut self, pid: u32, once: bool, record: String, at: Timestamp) -> ProcessId {
        self.processes_ever += 1;
        let id = ProcessId(self.processes_ever);
        self.processes.insert(id, Process { row: ProcessRow { id, pid, once, record, started_at: millis(at) }, dead: false });
        id
    }

    pub fn retire_process(&mut self, process: ProcessId) {
        let has = |run: &RunId| self.runs.get(run).is_some_and(|run| run.row.process == Some(process));
        if self.open.iter().any(has) {
            return;
        }
        let runs = &self.runs;
        self.unheard.retain(|run| runs.get(run).is_some_and(|run| run.row.process != Some(process)));
        self.children.retain(|_, (_, owner)| *owner != Some(process));
        self.processes.remove(&process);
    }

    pub fn register_instances(&mut self, seen: &[InstanceSeen], all: bool, at: Timestamp) -> Vec<Mark> {
        let at = millis(at);
        let mut marks = Vec::with_capacity(seen.len());
        for InstanceSeen { name, schedule } in seen {
            let known = self.know(name, at);
            if known.absent || known.schedule.as_ref() != Some(schedule) {
                known.watermark = known.watermark.max(Some(at));
            }
            known.absent = false;
            known.schedule = Some(schedule.clone());
            let (watermark, last_end) = (known.watermark.unwrap_or(at), known.last_end.unwrap_or(known.first_seen));
            marks.push(Mark { instance: name.clone(), watermark, last_end });
        }
        if all {
            let named: BTreeSet<&InstanceName> = seen.iter().map(|seen| &seen.name).collect();
            for (_, instance) in self.instances.iter_mut().filter(|(name, _)| !named.contains(name)) {
                instance.absent = true;
            }
        }
        marks
    }

    /// The instance's row. A start by hand may name one that was never registered.
    pub(super) fn know(&mut self, name: &InstanceName, at: Timestamp) -> &mut Instance {
        self.instances.entry(name.clone()).or_insert_with(|| Instance {
            schedule: None,
            absent: false,
            first_seen: at,
            last_end: None,
            watermark: None,
            generation: 0,
            floor: 0,
            superseded_in_row: 0,
            newest: None,
            fired: BTreeSet::new(),
        })
    }

    pub fn lower_watermarks(&mut self, to: Timestamp) {
        let to = millis(to);
        for instance in self.instances.values_mut() {
            instance.watermark = instance.watermark.map(|watermark| watermark.min(to));
            instance.last_end = instance.last_end.map(|end| end.min(to));
            instance.first_seen = instance.first_seen.min(to);
        }
    }

    /// Adds a row under the next number. Only what is not the same for every new row is asked for.
    pub(super) fn add(&mut self, instance: &InstanceName, (fire_at, trigger): (Timestamp, Trigger), state: RowState) -> &mut Run {
        self.runs_ever += 1;
        let id = RunId(self.runs_ever);
        let fire_at = millis(fire_at);
        let is_open = state == RowState::Waiting;
        if is_open {
            self.open.insert(id);
        }
        if let Some(known) = self.instances.get_mut(instance) {
            known.newest = Some(id);
            if is_open && trigger.scheduled() {
                known.fired.insert(fire_at);
            }
        }
        let row = HistoryRow {
            run: id,
            instance: instance.clone(),
            fire_at,
            trigger,
            cause: None,
            state,
            generation: None,
            attempts: 0,
            waits: 0,
            started_at: None,
            ended_at: None,
            text: None,
            dry: false,
            process: None,
        };
        self.runs.entry(id).or_insert(Run { row, stop: None, locks: Vec::new(), attempts: Vec::new() })
    }

    pub(super) fn open_run(&mut self, run: RunId) -> Option<&mut Run> {
        if self.open.contains(&run) { self.runs.get_mut(&run) } else { None }
    }

    /// The run, if the process may write to it.
    fn own_run(&mut self, process: ProcessId, run: RunId) -> Option<&mut Run> {
        let own = self.open.get(&run).and_then(|run| self.runs.get_mut(run)).filter(|own| own.row.process == Some(process))?;
        let floor = self.instances.get(&own.row.instance).map_or(0, |instance| instance.floor);
        if own.row.generation.is_some_and(|generation| generation.0 < floor) { None } else { Some(own) }
    }

    /// The run, if nobody has it: it was set aside, or its process is dead.
    pub(super) fn orphan(&mut self, run: RunId) -> Option<&mut Run> {
        let process = self.open_run(run)?.row.process;
        let orphan = process.is_none_or(|process| self.processes.get(&process).is_none_or(|process| process.dead));
        if orphan { self.runs.get_mut(&run) } else { None }
    }

    pub fn start(&mut self, process: ProcessId, run: RunId, attempt: u32, raise_floor: bool, at: Timestamp) -> StartAnswer {
        let at = millis(at);
        let Some(own) = self.own_run(process, run) else { return StartAnswer::Fenced };
        let Some(generation) = own.row.generation else { return StartAnswer::Fenced };
        if let Some(reason) = own.stop {
            return StartAnswer::Stop(reason);
        }
        own.row.state = RowState::Running;
        own.row.attempts = attempt;
        own.row.started_at = own.row.started_at.or(Some(at));
        own.attempts.retain(|row| row.attempt != attempt);
        own.attempts.push(AttemptRow { run, attempt, started_at: at, ended_at: None, outcome: None, text: None });
        let name = own.row.instance.clone();
        if raise_floor && let Some(instance) = self.instances.get_mut(&name) {
            instance.floor = instance.floor.max(generation.0);
        }
        StartAnswer::Started
    }

    pub fn postpone(&mut self, request: &PostponeRequest, at: Timestamp) {
        let PostponeRequest { run, process, attempt, ref outcome, retry_at } = *request;
        let Some(own) = self.own_run(process, run) else { return };
        if own.row.state != RowState::Running || own.row.attempts != attempt {
            return;
        }
        let retry_at = millis(retry_at);
        own.row.state =
            if let Outcome::NotYet(_) = outcome { RowState::NotYet { until: retry_at } } else { RowState::Backoff { retry_at } };
        own.row.text = outcome.text().map(ToOwned::to_owned);
        own.end_attempt(outcome.kind(), outcome.text(), at);
    }

    pub fn close(&mut self, request: &CloseRequest, at: Timestamp) -> CloseAnswer {
        let CloseRequest { run, process, end, by, .. } = *request;
        let Some(own) = self.own_run(process, run) else {
            // By this it has heard that somebody else closed the run.
            if self.runs.get(&run).is_some_and(|run| run.row.process == Some(process)) {
                self.unheard.remove(&run);
            }
            return CloseAnswer::Fenced;
        };
        let (name, generation) = (own.row.instance.clone(), own.row.generation);
        self.end_run(run, (end, by), request.outcome.as_ref(), Some(process), at);
        for instance in &request.follow_ups {
            if self.follow_ups.values().all(|other| other.cause != run || other.instance != *instance) {
                self.follow_ups_ever += 1;
                let id = FollowUpId(self.follow_ups_ever);
                self.follow_ups.insert(id, FollowUp { id, instance: instance.clone(), cause: run, at: millis(at) });
            }
        }
        if let Some(generation) = generation.filter(|_| request.raise_floor) {
            self.raise_floor(&name, generation.0 + 1);
        }
        CloseAnswer::Closed { superseded_in_row: self.instances.get(&name).map_or(0, |instance| instance.superseded_in_row) }
    }

    /// Ends a run, its attempt and its claims on named locks. A process that has it and is not the closer will be told.
    fn end_run(
        &mut self,
        run: RunId,
        (end, by): (RunEnd, Option<RunId>),
        outcome: Option<&Outcome>,
        closer: Option<ProcessId>,
        at: Timestamp,
    ) {
        let Some(ended) = self.open_run(run) else { return };
        let text = outcome.and_then(Outcome::text);
        ended.row.state = RowState::Ended { end, by };
        ended.row.ended_at = Some(millis(at));
        let unheard = ended.row.process.is_some_and(|process| closer.is_some_and(|closer| closer != process));
        if outcome.is_some() {
            ended.row.text = text.map(ToOwned::to_owned);
        }
        ended.end_attempt(outcome.map_or(OutcomeKind::Cancelled, Outcome::kind), text, at);
        ended.locks.clear();
        let name = ended.row.instance.clone();
        self.open.remove(&run);
        if unheard {
            self.unheard.insert(run);
        }
        if let Some(instance) = self.instances.get_mut(&name) {
            instance.last_end = Some(millis(at));
            instance.superseded_in_row = if end == RunEnd::Superseded { instance.superseded_in_row + 1 } else { 0 };
        }
    }

    /// Ends a run whose process cannot be asked what its attempt did, and gives its instance and generation.
    pub(super) fn end_lost(
        &mut self,
        run: RunId,
        end: (RunEnd, Option<RunId>),
        closer: Option<ProcessId>,
        at: Timestamp,
    ) -> Option<(InstanceName, Option<Generation>)> {
        let row = &self.open_run(run)?.row;
        let (name, generation, ran) = (row.instance.clone(), row.generation, row.state == RowState::Running);
        self.end_run(run, end, ran.then_some(&Outcome::Lost), closer, at);
        Some((name, generation))
    }

    /// Raises the floor, but not above an open run's generation: a run whose own row is closed or newer is shut out without it.
    pub(super) fn raise_floor(&mut self, name: &InstanceName, to: i64) {
        let lowest = self.open_of(name).filter_map(|run| run.row.generation).map(|generation| generation.0).min();
        if let Some(instance) = self.instances.get_mut(name) {
            instance.floor = instance.floor.max(to.min(lowest.unwrap_or(to)));
        }
    }

    /// The open runs of an instance, oldest first.
    pub(super) fn open_of<'a>(&'a self, name: &'a InstanceName) -> impl Iterator<Item = &'a Run> {
        self.open.iter().filter_map(|run| self.runs.get(run)).filter(move |run| run.row.instance == *name)
    }

    pub(super) fn next_generation(&mut self, name: &InstanceName) -> Generation {
        let Some(instance) = self.instances.get_mut(name) else { return Generation::default() };
        instance.generation += 1;
        Generation(instance.generation)
    }

    pub fn set_aside(&mut self, process: ProcessId, run: RunId, frees_locks: bool, at: Timestamp) {
        let Some(own) = self.own_run(process, run) else { return };
        if frees_locks {
            own.locks.clear();
        }
        if own.row.state == RowState::Running {
            own.end_attempt(OutcomeKind::Cancelled, None, at);
            own.row.attempts = own.row.attempts.saturating_sub(1);
        }
        if own.row.attempts == 0 {
            own.row.started_at = None;
        }
        own.row.state = own.set_back();
        own.row.process = None;
        own.stop = own.stop.filter(|reason| *reason != StopReason::Shutdown);
    }

    pub fn ask_stop(&mut self, run: RunId, reason: StopReason) -> bool {
        let Some(asked) = self.open_run(run) else { return false };
        if asked.stop.is_none_or(|first| first == StopReason::Shutdown) {
            asked.stop = Some(reason);
        }
        true
    }

    pub fn record_child(&mut self, child: ChildGroup) {
        if let Some(run) = self.runs.get(&child.run) {
            let had = self.open.contains(&child.run) || self.unheard.contains(&child.run);
            self.children.insert((child.run, child.pgid), (child, run.row.process.filter(|_| had)));
        }
    }

    pub fn forget_children(&mut self, run: RunId) {
        self.children.retain(|(of, _), _| *of != run);
    }

    pub fn pause(&mut self, pause: Pause) {
        let pause = Pause { until: pause.until.map(millis), since: millis(pause.since), ..pause };
        self.pauses.insert(pause.name.clone(), pause);
    }

    pub fn resume(&mut self, name: &str) -> bool {
        self.pauses.remove(name).is_some()
    }

    pub fn park(&mut self, account: Arc<str>, until: Option<Timestamp>, why: Arc<str>) {
        self.parks.insert(account, (until.map(millis), why));
    }

    pub fn unpark(&mut self, account: &str) {
        self.parks.remove(account);
    }

    pub fn record_dry(
        &mut self,
        instance: &InstanceName,
        end: RunEnd,
        text: Option<String>,
        started_at: Timestamp,
        at: Timestamp,
    ) -> RunId {
        self.know(instance, millis(at));
        let dry = self.add(instance, (started_at, Trigger::Manual), RowState::Ended { end, by: None });
        dry.row.dry = true;
        dry.row.attempts = 1;
        dry.row.started_at = Some(millis(started_at));
        dry.row.ended_at = Some(millis(at));
        dry.row.text = text;
        dry.row.run
    }

    /// Whether a handler's write may happen: its run is open under that generation, which is at or above the floor.
    pub fn may_write(&self, fence: &Fence) -> bool {
        let floor = self.instances.get(&fence.instance).map_or(i64::MAX, |instance| instance.floor);
        let open = self.open.contains(&fence.run).then(|| self.runs.get(&fence.run)).flatten();
        open.is_some_and(|run| {
            run.row.instance == fence.instance && run.row.generation == Some(fence.generation) && floor <= fence.generation.0
        })
    }
}

impl Run {
    /// How many attempts ended as not yet.
    pub(super) fn waits(&self) -> u32 {
        let waits = self.attempts.iter().filter(|attempt| attempt.outcome == Some(OutcomeKind::NotYet)).count();
        u32::try_from(waits).unwrap_or(u32::MAX)
    }

    pub(super) fn not_yet(&self) -> Option<NotYet> {
        let RowState::NotYet { until } = self.row.state else { return None };
        Some(NotYet { until, why: self.row.text.as_deref().unwrap_or_default().into() })
    }

    /// Where it stands once no attempt of it runs and nobody has it.
    pub(super) fn set_back(&self) -> RowState {
        if let RowState::NotYet { until } = self.row.state { RowState::NotYet { until } } else { RowState::Waiting }
    }

    /// Ends the attempt that runs, if one does.
    pub(super) fn end_attempt(&mut self, outcome: OutcomeKind, text: Option<&str>, at: Timestamp) {
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.outcome.is_none()) {
            attempt.outcome = Some(outcome);
            attempt.text = text.map(ToOwned::to_owned);
            attempt.ended_at = Some(millis(at));
        }
    }
}
