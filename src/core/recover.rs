//! What is taken over from before: the instances' past at a start or a reload, and the runs of processes that are gone.
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    event::{AdoptAnswer, AskAnswer, Command, LeftRun, Mark, Notice, RunEnd, StopReason},
    state::{Active, Known, Phase, State},
    step::Step,
    task::{Instance, InstanceName, InstanceSet, Now, OnLost, Overlap, ProcessId, RunId},
    timing::Anchors,
};

#[cfg(test)]
mod tests;

/// What a process begins with.
#[derive(Clone, Debug)]
pub struct Beginning {
    pub me: ProcessId,
    /// A daemon; otherwise a `once`.
    pub scheduling: bool,
    pub running_max: usize,
    pub instances: InstanceSet,
    pub marks: Vec<Mark>,
    /// Runs of dead processes, and those that an orderly stop set aside.
    pub left: Vec<LeftRun>,
    /// When this daemon started: what `@start` fires at.
    pub started_at: Timestamp,
}

/// Starting is recovering: there is no other way to start.
pub fn recover(beginning: Beginning, now: Now) -> (State, Vec<Command>) {
    let Beginning { me, scheduling, running_max, instances, marks, left, started_at } = beginning;
    let mut state = State::new(me, scheduling, running_max, now);
    let mut marks = by_name(marks);
    for (name, instance) in instances {
        insert(&mut state, &name, instance, marks.remove(&name), Some(started_at), now);
    }
    look_ahead(&mut state);
    let mut step = Step { state: &mut state, now, draw: 0.0, commands: Vec::new() };
    orphaned(&mut step, left);
    if scheduling {
        // What succeeded before may have asked for fires that nobody has judged.
        step.push(Command::LookForFollowUps);
    }
    let commands = step.commands;
    (state, commands)
}

/// Watermarks from the store may lie far ahead, as the clock was set back since: to the next tick that is a clock that was set back just now.
fn look_ahead(state: &mut State) {
    let newest = state.instances.values().map(|known| known.watermark).max();
    state.last_wall = newest.map_or(state.last_wall, |newest| newest.max(state.last_wall));
}

/// A new configuration: unchanged instances keep their next fire, open runs keep their definition.
pub(super) fn reloaded(step: &mut Step<'_>, instances: InstanceSet, marks: Vec<Mark>) {
    let now = step.now;
    let mut marks = by_name(marks);
    let gone: Vec<InstanceName> = step.state.instances.keys().filter(|name| !instances.contains_key(*name)).cloned().collect();
    for name in gone {
        if let Some(known) = step.state.instances.remove(&name) {
            if let Some(at) = known.due_at {
                step.state.agenda.remove(&(at, name));
            }
            for (ask, _) in known.asks {
                step.push(Command::AnswerAsk { ask, answer: AskAnswer::Refused("the instance was removed by a reload".into()) });
            }
            for follow_up in known.follow_ups {
                step.push(Command::DropFollowUp { id: follow_up.id });
                step.notice(Notice::FollowsNobody { instance: follow_up.instance, cause: follow_up.cause });
            }
        }
    }
    for (name, instance) in instances {
        match step.state.instances.get_mut(&name) {
            Some(known) if known.instance == instance => {}
            Some(known) => {
                if (known.instance.timing != instance.timing || known.instance.enabled != instance.enabled)
                    && let Some(mark) = marks.remove(&name)
                {
                    known.watermark = mark.watermark.max(known.watermark.min(now.wall));
                }
                if !known.instance.enabled {
                    // `@start` is over for what was not there at the start.
                    known.anchors.start = None;
                }
                known.instance = instance;
                step.state.reschedule(&name);
            }
            None => insert(step.state, &name, instance, marks.remove(&name), None, now),
        }
    }
    look_ahead(step.state);
}

fn by_name(marks: Vec<Mark>) -> BTreeMap<InstanceName, Mark> {
    marks.into_iter().map(|mark| (mark.instance.clone(), mark)).collect()
}

fn insert(state: &mut State, name: &InstanceName, instance: Arc<Instance>, mark: Option<Mark>, start: Option<Timestamp>, now: Now) {
    let (watermark, last_end) = mark.map_or((now.wall, now.wall), |mark| (mark.watermark, mark.last_end));
    let anchors = Anchors { last_end: Some(last_end.min(now.wall)), start };
    let (asks, follow_ups) = (VecDeque::new(), VecDeque::new());
    let known = Known { instance, watermark, anchors, asks, follow_ups, follow_ups_at: None, skipping: None, starving: 0, due_at: None };
    state.instances.insert(name.clone(), known);
    state.reschedule(name);
}

/// Runs whose process is gone. The newest of an instance goes on if it may; the others are closed. A `once` only closes what stands in its way.
pub(super) fn orphaned(step: &mut Step<'_>, left: Vec<LeftRun>) {
    let mut newest: BTreeMap<InstanceName, RunId> = BTreeMap::new();
    for left in &left {
        let newest = newest.entry(left.instance.clone()).or_insert(left.run);
        *newest = (*newest).max(left.run);
    }
    for left in left {
        // What a stop set aside is for the next daemon, unless it stands in a `once`'s way.
        let not_ours = !step.state.scheduling && left.process.is_none() && !stands_in_the_way(step.state, left.run);
        if not_ours || step.state.runs.contains(left.run) {
            continue;
        }
        let waiter = step.state.runs.waiters().into_iter().find(|run| waits_for(step.state, *run, left.run));
        let resumes = waiter.is_none() && newest.get(&left.instance) == Some(&left.run);
        match (waiter, resumable(step, &left).filter(|_| resumes)) {
            (Some(by), _) => close_orphan(step, &left, RunEnd::Superseded, Some(by)),
            (None, Some(instance)) => adopt(step, &left, instance),
            (None, None) => {
                let (end, by) = orphan_end(&left);
                close_orphan(step, &left, end, by);
            }
        }
    }
}

/// Whether one of our runs waits for the orphan's end, however it came to.
fn stands_in_the_way(state: &State, left: RunId) -> bool {
    let waits = |active: &Active| matches!(&active.phase, Phase::Waiting { rivals, .. } if rivals.contains(&left));
    state.runs.waiters().into_iter().any(|run| state.runs.get(run).is_some_and(waits))
}

/// Whether one of our runs told the orphan to stop, and waits for its end.
fn waits_for(state: &State, run: RunId, left: RunId) -> bool {
    let phase = state.runs.get(run).map(|active| &active.phase);
    matches!(phase, Some(Phase::Waiting { rivals, told: true, .. }) if rivals.contains(&left))
}

/// What a run that does not go on ended as: what it was told to end as, or lost.
fn orphan_end(left: &LeftRun) -> (RunEnd, Option<RunId>) {
    match left.stop {
        Some(StopReason::Superseded(by)) => (RunEnd::Superseded, Some(by)),
        Some(StopReason::Fenced) => (RunEnd::Superseded, None),
        Some(StopReason::Cancelled) => (RunEnd::Cancelled, None),
        Some(StopReason::Shutdown | StopReason::Deadline) | None => (RunEnd::Lost, None),
    }
}

fn close_orphan(step: &mut Step<'_>, left: &LeftRun, end: RunEnd, by: Option<RunId>) {
    step.push(Command::CloseOrphan { run: left.run, end, by });
    step.notice(Notice::Lost { instance: left.instance.clone(), run: left.run, resumed: false });
}

/// The definition under which an orphan may go on, if it may.
fn resumable(step: &Step<'_>, left: &LeftRun) -> Option<Arc<Instance>> {
    if !step.state.scheduling || step.state.stopping.is_some() || left.once || left.stop.is_some() {
        return None;
    }
    let instance = &step.state.instances.get(&left.instance)?.instance;
    let newer_runs = step.state.runs.of(&left.instance).any(|(run, _)| left.run < run);
    let late = step.now.wall.duration_since(left.fire_at);
    let too_late = instance.start_deadline.is_some_and(|deadline| deadline < late);
    let attempts_left = left.attempts.saturating_sub(left.waits) <= instance.retries.max;
    let effects_known = !left.running || instance.on_lost == OnLost::Retry;
    // It goes on under today's definition, but with the locks it has; what a stop set aside takes them again.
    let has_its_locks = left.generation.is_none() || left.process.is_none() || instance.locks.iter().all(|lock| left.locks.contains(lock));
    let may = !newer_runs && !too_late && attempts_left && effects_known && has_its_locks;
    may.then(|| Arc::clone(instance))
}

fn adopt(step: &mut Step<'_>, left: &LeftRun, instance: Arc<Instance>) {
    let age = left.started_at.map_or(SignedDuration::ZERO, |started| step.now.wall.duration_since(started).max(SignedDuration::ZERO));
    let deadline_at = instance.deadline.map(|deadline| step.after(deadline.saturating_sub(age)));
    let active = Active {
        instance,
        trigger: left.trigger,
        fire_at: left.fire_at,
        generation: None,
        attempts: left.attempts,
        waits: left.waits,
        not_yet: left.not_yet.clone(),
        phase: Phase::Adopting,
        stop: None,
        began: None,
        deadline_at: deadline_at.filter(|_| left.started_at.is_some()),
        ending: None,
    };
    if left.generation.is_none() {
        // It waited for named locks: being judged again makes it ours.
        let until = step.after(active.instance.lock_wait);
        let phase = Phase::LockWait { until, look_at: step.now.uptime, hangs_since: None };
        step.state.runs.insert(left.run, Active { phase, ..active });
    } else {
        let instance = Arc::clone(&active.instance);
        step.state.runs.insert(left.run, active);
        step.push(Command::Adopt { run: left.run, lost: left.running, instance });
    }
    step.state.reschedule(&left.instance);
    step.notice(Notice::Lost { instance: left.instance.clone(), run: left.run, resumed: true });
}

pub(super) fn adopted(step: &mut Step<'_>, run: RunId, answer: &AdoptAnswer) {
    match answer {
        AdoptAnswer::Gone => step.gone(run),
        AdoptAnswer::Adopted { generation, rivals } => {
            // It may have been admitted under another policy, with a claim on named locks that a rival holds.
            let beside = |instance: &Instance| instance.overlap == Overlap::Allow && instance.locks.is_empty();
            let beside = step.state.runs.get(run).is_some_and(|active| beside(&active.instance));
            step.enters(run, *generation, if beside { &[] } else { rivals });
            heed_a_stop(step, run);
        }
        AdoptAnswer::LockWait => {
            // It had its locks once: it waits for them as long as it takes.
            let look_at = step.now.uptime;
            let waits = step.state.runs.change(run, |active| {
                active.phase = Phase::LockWait { until: SignedDuration::MAX, look_at, hangs_since: None };
                (active.instance.name.clone(), active.instance.locks.clone())
            });
            if let Some((instance, locks)) = waits {
                step.notice(Notice::LockWaits { instance, run, locks });
            }
            heed_a_stop(step, run);
        }
    }
}

/// It was told to stop while it was on its way to us.
fn heed_a_stop(step: &mut Step<'_>, run: RunId) {
    if let Some(reason) = step.state.runs.get(run).and_then(|active| active.stop) {
        step.stop(run, reason);
    }
}
