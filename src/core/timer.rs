//! What the passing of time does: fires come due, waits end, limits are reached.
use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{
    event::{Command, Notice, Outcome, StopReason},
    fire::patience,
    state::Phase,
    step::{Step, timed_out_outcome},
    task::{InstanceName, RunId},
};

/// A wall clock set back by less than this is left to pass: nobody waits long for it.
pub const SET_BACK_MIN: SignedDuration = SignedDuration::from_secs(60);
/// An attempt whose children were killed gets this long to notice.
pub const KILL_WAIT: SignedDuration = SignedDuration::from_secs(2);
/// How soon a takeover that was refused is tried again.
const TAKEOVER_AGAIN: SignedDuration = SignedDuration::from_secs(1);

pub(super) fn tick(step: &mut Step<'_>) {
    clock_set_back(step);
    fires(step);
    for run in step.state.runs.due(step.now.uptime) {
        deadline(step, run);
        timers(step, run);
    }
    for run in step.state.runs.rested(step.now.wall) {
        set(step, run, Phase::Queued);
    }
}

/// After the clock was set back, watermarks in the future would silence their instances until the clock has caught up, for years if need be.
/// They come back to now; what ran keeps its row, so no fire time runs twice.
fn clock_set_back(step: &mut Step<'_>) {
    let wall = step.now.wall;
    let back = step.state.last_wall.duration_since(wall);
    if back < SignedDuration::ZERO || SET_BACK_MIN <= back {
        step.state.last_wall = wall;
    }
    if back < SET_BACK_MIN {
        return;
    }
    step.push(Command::LowerWatermarks { to: wall });
    let names: Vec<InstanceName> = step.state.instances.keys().cloned().collect();
    for name in names {
        if let Some(known) = step.state.instances.get_mut(&name) {
            known.watermark = known.watermark.min(wall);
            known.anchors.last_end = known.anchors.last_end.map(|end| end.min(wall));
            known.anchors.start = known.anchors.start.map(|start| start.min(wall));
        }
        step.state.reschedule(&name);
    }
    for run in step.state.runs.ids() {
        step.state.runs.change(run, |active| {
            // Whatever it waits for is somewhere else now: its handler says where.
            active.not_yet = None;
            if active.phase == (Phase::NotYet { rest: None }) {
                active.phase = Phase::Queued;
            }
        });
    }
}

fn fires(step: &mut Step<'_>) {
    let wall = step.now.wall;
    let due: Vec<InstanceName> = step.state.agenda.iter().take_while(|(at, _)| *at <= wall).map(|(_, name)| name.clone()).collect();
    for name in due {
        step.judge_next(&name);
    }
}

fn deadline(step: &mut Step<'_>, run: RunId) {
    let Some(active) = step.state.runs.get(run) else { return };
    let over = active.deadline_at.is_some_and(|deadline| deadline <= step.now.uptime);
    if over && active.stop.is_none() {
        step.stop(run, StopReason::Deadline);
    }
}

fn timers(step: &mut Step<'_>, run: RunId) {
    let uptime = step.now.uptime;
    let Some(active) = step.state.runs.get(run) else { return };
    let (phase, instance) = (active.phase.clone(), std::sync::Arc::clone(&active.instance));
    match phase {
        Phase::LockWait { look_at, .. } if look_at <= uptime => step.judge_waiter(run),
        Phase::Waiting { look_at, .. } if look_at <= uptime => waiting(step, run),
        Phase::Running { attempt, timeout_at: Some(at) } if at <= uptime => {
            let until = step.after(instance.grace);
            set(step, run, Phase::Stopping { attempt, until, timed_out: true, killed: false });
            step.push(Command::Cancel { run, reason: StopReason::Deadline });
        }
        Phase::Stopping { attempt, until, timed_out, killed: false } if until <= uptime => kill(step, run, attempt, timed_out),
        Phase::Stopping { attempt, until, timed_out, killed: true } if until <= uptime => abandon(step, run, attempt, timed_out),
        Phase::Backoff { at } if at <= uptime => set(step, run, Phase::Queued),
        Phase::NotYet { rest: Some(rest) } if rest <= uptime => {
            let waits = active.not_yet.is_some();
            set(step, run, if waits { Phase::NotYet { rest: None } } else { Phase::Queued });
        }
        Phase::LockWait { .. }
        | Phase::Waiting { .. }
        | Phase::Queued
        | Phase::Starting { .. }
        | Phase::Running { .. }
        | Phase::Stopping { .. }
        | Phase::Backoff { .. }
        | Phase::NotYet { .. }
        | Phase::Closing
        | Phase::Adopting => {}
    }
}

fn set(step: &mut Step<'_>, run: RunId, phase: Phase) {
    step.state.runs.change(run, |active| active.phase = phase);
}

/// Its grace period is over: its children are killed, and it has one last moment to notice.
fn kill(step: &mut Step<'_>, run: RunId, attempt: u32, timed_out: bool) {
    let until = step.after(KILL_WAIT);
    set(step, run, Phase::Stopping { attempt, until, timed_out, killed: true });
    step.push(Command::Kill { run });
}

/// Looks at the rivals that other processes have, and takes over from those that hang, or that do not end although they were told to.
fn waiting(step: &mut Step<'_>, run: RunId) {
    let now = step.now.uptime;
    let ours: BTreeSet<RunId> = step.state.runs.ids().into_iter().collect();
    let command = step.state.runs.change(run, |active| {
        let instance = &active.instance;
        let Phase::Waiting { rivals, told, since, look_at, hangs_since } = &mut active.phase else { return None };
        // Not again before the answer. And ours end by themselves: a close wakes this run.
        *look_at = SignedDuration::MAX;
        let foreign: Vec<RunId> = rivals.difference(&ours).copied().collect();
        if foreign.is_empty() {
            return None;
        }
        let hung = hangs_since.is_some_and(|since| since.saturating_add(patience(instance)) <= now);
        let even_if_alive = *told && since.saturating_add(instance.grace).saturating_add(instance.takeover) <= now;
        Some(if hung || even_if_alive {
            Command::TakeOver { run, rivals: foreign, even_if_alive }
        } else {
            Command::LookAtRivals { run, rivals: foreign }
        })
    });
    step.commands.extend(command.flatten());
}

/// Somebody answered, or has to be looked at again.
pub(super) fn takeover_refused(step: &mut Step<'_>, run: RunId) {
    let again = step.after(TAKEOVER_AGAIN);
    step.state.runs.change(run, |active| {
        if let Phase::Waiting { look_at, hangs_since, .. } = &mut active.phase {
            (*look_at, *hangs_since) = (again, None);
        }
    });
}

/// Its thread may still run, so its floor rises: nothing it does counts any more. It is not tried again beside its own ghost; where the process
/// stops, the ghost ends with it, and the run may go on with the next start.
fn abandon(step: &mut Step<'_>, run: RunId, attempt: u32, timed_out: bool) {
    let Some(active) = step.state.runs.get(run) else { return };
    let (instance, reason) = (active.instance.name.clone(), active.stop);
    let outcome = if timed_out { timed_out_outcome(&active.instance) } else { Outcome::Cancelled };
    step.push(Command::Abandon { run, attempt });
    step.notice(Notice::Stuck { instance, run });
    match step.end_of_stopped(run, attempt, reason.unwrap_or(StopReason::Deadline), &outcome) {
        Some(end) => step.close(run, end, Some(outcome), true),
        None => step.set_aside(run, false),
    }
}

/// Everything that was told to stop has had its time.
pub(super) fn abort(step: &mut Step<'_>) {
    step.state.stopping = Some(SignedDuration::ZERO);
    for run in step.state.runs.ids() {
        step.stop(run, StopReason::Shutdown);
        let phase = step.state.runs.get(run).map(|active| active.phase.clone());
        if let Some(Phase::Stopping { attempt, timed_out, killed: false, .. }) = phase {
            kill(step, run, attempt, timed_out);
        }
    }
}
