//! The laws about fires: each has one answer, in order, for the reason that tasks.yaml gives.
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use taskrun::{
    core::{
        event::{Judgement, SkipReason},
        plan::{BACKLOG_MAX, LATE_AFTER},
        schedule::Schedule,
        task::{CatchUp, Instance, InstanceSet, Overlap, ProcessId, RunId, Trigger},
        timing::{Anchors, Fire, Timing},
    },
    engine::view::schedule_key,
    store::{RowState, RunStore},
};

use crate::{
    calls::{Judging, answer},
    engine::millis,
    laws::{Story, skip_name},
    world::World,
};

/// The fires of an instance so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// The last fire time that has its answer.
    pub(crate) judged: Timestamp,
    /// The latest fire time that ever had one; the same unless the clock was set back.
    highest: Timestamp,
    /// When its schedule was last changed: what was due before and is not judged by then is not missed.
    since: Timestamp,
    schedule: String,
    absent: bool,
    /// Answers that stand in the history.
    pub(crate) answers: u64,
    /// Fire times that became runs.
    pub(crate) fired: BTreeSet<Timestamp>,
    /// The clock was set back at some time: what was skipped may be answered again.
    pub(crate) set_back: bool,
    /// When a run of it last ended, on the machine's uptime.
    pub(crate) ended_at: i64,
}

fn is_after(timing: &Timing) -> bool {
    timing.schedules.iter().any(|schedule| matches!(schedule, Schedule::After { .. }))
}

/// The next fire that counts, but not one after `until`.
fn next_open(timing: &Timing, mut after: Timestamp, until: Timestamp, anchors: Anchors) -> Option<Timestamp> {
    for _ in 0..2000 {
        let fire = timing.next_after(after, anchors).filter(|fire| fire.at <= until)?;
        if fire.closed.is_none() {
            return Some(fire.at);
        }
        after = fire.at;
    }
    None
}

impl World {
    /// The store knows a configuration: what is new or changed begins now, the rest goes on where it was.
    pub(crate) fn registered(&mut self, version: usize, at: Timestamp, marks: &[taskrun::core::event::Mark]) {
        let set_back = self.climate.set_back && self.laws.jumped_at > 0;
        for mark in marks {
            let schedule = schedule_key(&self.file[version].instances[&mark.instance]);
            let ledger = self.laws.ledgers.entry(mark.instance.clone()).or_default();
            ledger.set_back |= set_back;
            if ledger.absent || ledger.schedule != schedule {
                ledger.judged = ledger.judged.max(at);
                (ledger.highest, ledger.since) = (ledger.judged, at);
            }
            assert_eq!(ledger.judged, mark.watermark, "the watermark of {} is not its last fire judged", mark.instance);
            (ledger.absent, ledger.schedule) = (false, schedule);
        }
        for (name, ledger) in &mut self.laws.ledgers {
            ledger.absent = !self.file[version].instances.contains_key(name);
        }
        // A reload that takes the instance out takes its `@start` along.
        let kept = &self.file[version].instances;
        let starts = |instance: &Instance| instance.enabled && instance.timing.schedules.contains(&Schedule::Start);
        self.laws.starts.retain(|(_, name, _)| kept.get(name).is_some_and(|instance| starts(instance)));
    }

    /// A fire was judged by the store.
    pub(crate) fn fire_judged(&mut self, pid: ProcessId, judging: &Judging, answer: &Judgement) {
        if judging.ticket.upto.is_some() && !matches!(answer, Judgement::NotYet { .. }) {
            assert!(!self.processes[&pid].once, "a `once` judged the schedule of {}", judging.truth.name);
            self.check_answers(pid, judging, answer);
        }
        match answer {
            Judgement::Recorded | Judgement::Suspect(_) => {}
            Judgement::NotYet { .. } => self.tally.add("fires of `after` put off for a run elsewhere"),
            Judgement::AlreadyJudged => self.tally.add("fires judged before"),
            Judgement::Skipped { run, reason, .. } => {
                if judging.ticket.waiting.is_some() {
                    self.check_patience(*run, *reason);
                    self.look_at_row(*run);
                } else {
                    self.tally.add(skip_name(reason.word()));
                }
            }
            Judgement::LockWait { run, .. } => {
                self.row_written(pid, judging, *run);
                self.tally.add("looks of waiters at their locks");
            }
            Judgement::Admitted { run, generation, rivals } => {
                self.row_written(pid, judging, *run);
                self.check_overlap(judging, *run);
                self.check_parks(&judging.truth, *run);
                let now = self.now;
                if let Some(story) = self.laws.stories.get_mut(run) {
                    (story.generation, story.admitted_at) = (Some(*generation), Some(now));
                }
                for rival in rivals {
                    assert!(self.laws.open.contains(&rival.run), "run {run} is to wait for run {}, which has ended", rival.run);
                    if let Some(told) = self.laws.stories.get_mut(&rival.run).filter(|_| rival.told) {
                        told.told_at = told.told_at.or(Some(now));
                    }
                }
                self.tally.add("runs admitted");
            }
        }
        self.check_broken(judging);
        self.check_order(judging, answer);
    }

    /// Who is skipped for its named locks has waited as long as it may.
    fn check_patience(&mut self, run: RunId, reason: SkipReason) {
        let Some(story) = self.laws.stories.get(&run).filter(|_| reason == SkipReason::LockBusy) else { return };
        let waited = self.now - story.row_at;
        assert!(millis(story.truth.lock_wait) <= waited + 1, "run {run} gave up its named locks after {waited} ms: {story:?}");
        self.tally.add("lock waits in vain");
    }

    /// Named locks of hung holders may have been broken: after a wait, and only theirs.
    fn check_broken(&mut self, judging: &Judging) {
        let hung: Vec<ProcessId> = judging.request.vouched.iter().filter(|(_, answers)| !answers).map(|(process, _)| *process).collect();
        if hung.is_empty() {
            return;
        }
        let open = self.laws.open_runs();
        for run in &open {
            self.look_at_row(*run);
        }
        for broken in open.iter().filter(|run| !self.laws.open.contains(run) && Some(**run) != judging.ticket.waiting) {
            // It may have died since it was looked at.
            let owner = self.laws.stories[broken].owner;
            let Some(hung) = judging.hung.get(&owner).filter(|_| !self.is_dead(owner)) else { continue };
            // Asking it is part of the wait.
            let enough = millis(judging.truth.takeover) <= hung + 3500;
            assert!(enough, "{} broke the named locks of run {broken}, whose process hung for {hung} ms", judging.truth.name);
            self.tally.add("locks broken");
        }
    }

    fn row_written(&mut self, pid: ProcessId, judging: &Judging, run: RunId) {
        let now = self.now;
        if let Some(story) = self.laws.stories.get_mut(&run) {
            assert_eq!(judging.ticket.waiting, Some(run), "the store gave the number of run {run} twice");
            story.owner = pid;
            return;
        }
        let Some(asked) = judging.request.asked else { return };
        let scheduled = asked.trigger.scheduled();
        let ledger = self.laws.ledgers.entry(judging.truth.name.clone()).or_default();
        assert!(!scheduled || ledger.fired.insert(asked.fire_at), "{} ran twice for {}", judging.truth.name, asked.fire_at);
        let story = Story {
            truth: std::sync::Arc::clone(&judging.truth),
            trigger: asked.trigger,
            fire_at: asked.fire_at,
            owner: pid,
            row_at: now,
            generation: None,
            admitted_at: None,
            told_at: None,
            begun: 0,
            running: false,
            waits: 0,
            said: None,
            not_yet: None,
            postponed: None,
            ended: None,
        };
        self.laws.stories.insert(run, story);
        self.laws.open.insert(run);
        if let Some(process) = self.processes.get_mut(&pid) {
            process.expected.insert(run);
        }
        self.trace.note(now, pid, "has a run", run.0, asked.fire_at.as_millisecond());
        self.tally.add(match asked.trigger {
            Trigger::Schedule => "runs of the schedule",
            Trigger::CatchUp => "runs caught up",
            Trigger::Manual => "runs by hand",
            Trigger::Api => "runs by the api",
            Trigger::FollowUp => "runs after a success",
        });
    }

    /// A shop that is not to be called has no new runs, but for what brings it back.
    fn check_parks(&self, truth: &Instance, run: RunId) {
        let until = truth.account.as_ref().filter(|_| truth.parks).and_then(|account| self.laws.parks.get(&**account));
        assert!(until.is_none_or(|until| until.is_some_and(|until| until <= self.wall())), "run {run} is of an account that is parked");
    }

    /// The policy decides what an open run means for a newcomer.
    fn check_overlap(&mut self, judging: &Judging, run: RunId) {
        let truth = &judging.truth;
        let others = self.laws.open_of(&truth.name).filter(|(other, _)| *other != run).count();
        match truth.overlap {
            // Nobody has a run that a stop set aside.
            Overlap::Skip => {
                let open = self.laws.open_of(&truth.name).map(|(other, _)| other).filter(|other| *other != run);
                let somebodys = open.filter(|other| answer(self.store.row(*other)).is_some_and(|row| row.process.is_some())).count();
                assert_eq!(somebodys, 0, "run {run} of {} did not give way to an open one", truth.name);
            }
            Overlap::Queue if others > 0 => self.tally.add("runs that queue"),
            Overlap::LastWins if others > 0 => self.tally.add("runs that supersede"),
            Overlap::Allow if others > 0 => self.tally.add("runs beside others"),
            Overlap::LastWins | Overlap::Queue | Overlap::Allow => {}
        }
    }

    /// The request's answers are the fires that follow the last one judged, one by one.
    fn check_answers(&mut self, pid: ProcessId, judging: &Judging, answer: &Judgement) {
        let (truth, request) = (&judging.truth, &judging.request);
        let name = &truth.name;
        let Some(upto) = judging.ticket.upto else { return };
        let ledger = self.laws.ledgers.entry(name.clone()).or_default();
        let before = *answer == Judgement::AlreadyJudged;
        let first = request.skips.first().map(|skip| skip.first_at).or(request.asked.map(|asked| asked.fire_at));
        let stale = first.is_some_and(|first| first <= ledger.judged);
        let excused = ledger.set_back || first.is_some_and(|first| first <= ledger.since);
        assert!(excused || !(before || stale), "{name}: {first:?} to {upto} was judged after {}: {answer:?}", ledger.judged);
        let mut count = u64::from(request.asked.is_some() && !before);
        // What a reload has overtaken is not written.
        for skip in request.skips.iter().filter(|skip| ledger.judged < skip.last_at) {
            count += u64::from(skip.count);
            self.tally.add_many(skip_name(skip.reason.word()), skip.count.into());
            if skip.at_least {
                self.tally.add("skips not counted through");
            }
        }
        ledger.answers += count;
        // After the clock was set back, a core may know of more answers than the store's watermark says.
        let after = ledger.judged.max(judging.watermark.min(ledger.highest));
        ledger.judged = ledger.judged.max(upto);
        ledger.highest = ledger.highest.max(upto);
        let starts = truth.timing.schedules.contains(&Schedule::Start);
        let covers = |start: &Timestamp| starts && first.is_some_and(|first| first <= *start) && *start <= upto;
        if let Some(start) = judging.anchors.start.filter(covers) {
            let due = self.laws.starts.iter().position(|(of, of_instance, _)| *of == pid && of_instance == name);
            let (_, _, started_at) =
                self.laws.starts.remove(due.unwrap_or_else(|| panic!("{name}: `@start` fired twice: {judging:?} {:?}", self.laws.starts)));
            assert!(started_at <= start || ledger.set_back, "{name}: `@start` fired before the start");
            self.tally.add("`@start` fires");
        }
        if !stale && !is_after(&truth.timing) {
            check_sequence(judging, after, upto);
        }
    }

    pub(crate) fn daemon_started(&mut self, pid: ProcessId, instances: &InstanceSet, started_at: Timestamp) {
        for (name, instance) in instances {
            if instance.enabled && instance.timing.schedules.contains(&Schedule::Start) {
                self.laws.starts.push((pid, name.clone(), started_at));
            }
        }
    }

    /// What the core asks to be judged is due, and for the reason it gives.
    pub(crate) fn check_due(&self, pid: ProcessId, request: &taskrun::core::event::JudgeRequest, anchors: Anchors) {
        let process = &self.processes[&pid];
        let name = &request.instance.name;
        let Some(truth) = self.file[process.version].instances.get(name) else {
            panic!("{name} fired although it is no longer in tasks.yaml");
        };
        assert!(process.state.scheduling && process.state.stopping.is_none(), "{name} fired in a process that fires nothing");
        assert!(truth.enabled, "{name} fired although it is disabled");
        let until = self.wall().checked_sub(truth.timing.splay).unwrap();
        for skip in request.skips.iter().filter(|skip| skip.reason == SkipReason::Misfire && truth.catch_up == CatchUp::All) {
            let in_time = truth.start_deadline.is_none_or(|deadline| until.duration_since(skip.last_at) <= deadline);
            assert!(
                !in_time || BACKLOG_MAX <= newer(&truth.timing, skip.last_at, until, anchors),
                "{name} gave up a fire that it could catch up"
            );
        }
        let Some(asked) = request.asked else { return };
        let behind = until.duration_since(asked.fire_at);
        assert!(!behind.is_negative(), "{name} fired {behind:?} before its time");
        let newer = next_open(&truth.timing, asked.fire_at, until, anchors);
        let late = behind > LATE_AFTER || (newer.is_some() && truth.catch_up == CatchUp::All);
        assert_eq!(late, asked.trigger == Trigger::CatchUp, "{name}: a fire is caught up exactly if it is late: {behind:?}");
        assert!(!late || truth.catch_up != CatchUp::None, "{name} caught up a fire although it catches up none");
        assert!(truth.start_deadline.is_none_or(|deadline| behind <= deadline), "{name} fired after its start deadline: {behind:?}");
        if truth.catch_up == CatchUp::All {
            let caught_up = self.laws.open_of(name).any(|(_, story)| story.trigger == Trigger::CatchUp && story.owner == pid);
            assert!(!caught_up, "{name} catches up several at once");
        } else if !is_after(&truth.timing) {
            assert_eq!(newer, None, "{name} runs for {} although a newer fire is due", asked.fire_at);
        }
    }

    pub(crate) fn watermarks_lowered(&mut self, to: Timestamp) {
        for ledger in self.laws.ledgers.values_mut() {
            ledger.judged = ledger.judged.min(to);
            ledger.set_back = true;
        }
        self.tally.add("watermarks lowered");
    }

    /// Every instance of the daemon: nothing that is due waits.
    pub(crate) fn check_overdue(&mut self, pid: ProcessId, trouble: i64) {
        let wall = self.wall();
        let process = &self.processes[&pid];
        if process.shutdown.is_some() || process.reloading {
            return;
        }
        let mut found = Vec::new();
        for (index, (name, instance)) in self.file[process.version].instances.iter().enumerate() {
            let Some(known) = process.state.instances.get(name) else { panic!("{name} is not known to the daemon") };
            let Some(ledger) = self.laws.ledgers.get(name) else { continue };
            let silent = SignedDuration::from_secs(61) < known.watermark.max(ledger.judged).duration_since(wall);
            let busy = process.state.runs.of(name).next().is_some();
            // `after` waits for the run's end, and a backlog for the run before.
            let waits = busy && (is_after(&instance.timing) || instance.catch_up == CatchUp::All);
            let judged = ledger.judged.max(known.watermark.min(ledger.highest));
            let next =
                instance.timing.next_after(judged, process.state.anchors(name)).filter(|_| instance.enabled && !waits).map(|fire| fire.at);
            let due = next.is_some_and(|at| at <= wall.checked_sub(instance.timing.splay).unwrap());
            found.push((i64::try_from(index).unwrap(), name.clone(), (silent, due), next, process.state.judging.contains(name)));
        }
        for (index, name, (silent, due), at, judging) in found {
            let patience = if judging { 90_000 } else { 5000 };
            let patient = self.is_patient("silent", (pid, index), silent, trouble, 30_000);
            let known = &self.processes[&pid].state.instances[&name];
            let judged = self.laws.ledgers[&name].judged;
            assert!(patient, "{name} is silent at {wall}: the core is at {}, the store at {judged}", known.watermark);
            // Each fire has a patience of its own.
            let fire = at.map_or(0, Timestamp::as_millisecond) * 64 + index;
            let patient = self.is_patient("overdue", (pid, fire), due, trouble, patience);
            let known = &self.processes[&pid].state.instances[&name];
            let believed = (known.watermark, known.due_at, judging);
            assert!(patient, "{name} should have fired at {at:?}, it is {wall}, and the core believes {believed:?}");
        }
        // Behind a backlog that is caught up one by one, `@start` has its turn when it comes.
        let runs = &self.processes[&pid].state.runs;
        let unanswered = self.laws.starts.iter().any(|(of, name, _)| *of == pid && runs.of(name).next().is_none());
        assert!(self.is_patient("@start", (pid, 0), unanswered, trouble, 90_000), "`@start` did not fire: {:?}", self.laws.starts);
    }

    /// At the end: the history has one answer for each fire, in their order.
    pub(crate) fn check_history(&self) {
        let mut answers: std::collections::BTreeMap<_, (u64, Timestamp)> = std::collections::BTreeMap::new();
        for number in 1.. {
            let Some(row) = answer(self.store.row(RunId(number))) else { break };
            if !row.trigger.scheduled() {
                continue;
            }
            let (count, last_at) = match row.state {
                RowState::Skipped { count, last_at, .. } => (count.into(), last_at),
                RowState::Waiting | RowState::Running | RowState::Backoff { .. } | RowState::NotYet { .. } | RowState::Ended { .. } => {
                    (1, row.fire_at)
                }
            };
            let (sum, before) = answers.entry(row.instance.clone()).or_insert((0, Timestamp::MIN));
            let in_order = *before < row.fire_at && row.fire_at <= last_at;
            assert!(self.laws.ledgers[&row.instance].set_back || in_order, "{}: row {number} is out of order", row.instance);
            *sum += count;
            *before = last_at;
        }
        for (name, ledger) in self.laws.ledgers.iter().filter(|(_, ledger)| !ledger.set_back) {
            let sum = answers.get(name).map_or(0, |(sum, _)| *sum);
            assert_eq!(sum, ledger.answers, "{name}: the history does not add up");
        }
    }
}

/// How many fires that count lie after `after`, up to as many as a backlog holds.
fn newer(timing: &Timing, after: Timestamp, until: Timestamp, anchors: Anchors) -> usize {
    let next = |after: &Timestamp| next_open(timing, *after, until, anchors);
    std::iter::successors(next(&after), next).take(BACKLOG_MAX).count()
}

/// Walks through the fires one by one, and finds each in the request.
fn check_sequence(judging: &Judging, after: Timestamp, upto: Timestamp) {
    let (truth, request) = (&judging.truth, &judging.request);
    let next = |after: Timestamp| -> Fire {
        let fire = truth.timing.next_after(after, judging.anchors);
        fire.unwrap_or_else(|| panic!("{}: there is no fire after {after}, and yet {request:?}", truth.name))
    };
    let mut at = after;
    for skip in &request.skips {
        for nth in 0..skip.count {
            let fire = next(at);
            assert!(nth > 0 || fire.at == skip.first_at, "{}: a fire has no answer: {fire:?} after {after}, {skip:?}", truth.name);
            let reason = fire.closed.unwrap_or(SkipReason::Misfire);
            assert!(skip.at_least || reason == skip.reason, "{}: {fire:?} was skipped for another reason: {skip:?}", truth.name);
            at = fire.at;
        }
        assert!(skip.at_least || at == skip.last_at, "{}: skips were counted wrongly: {skip:?}, the last is {at}", truth.name);
        at = skip.last_at;
    }
    if let Some(asked) = request.asked {
        let fire = next(at);
        assert_eq!((fire.at, fire.closed), (asked.fire_at, None), "{}: a fire has no answer", truth.name);
        at = fire.at;
    }
    assert_eq!(at, upto, "{}: the watermark is not the last fire", truth.name);
}
