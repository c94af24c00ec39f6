//! What the passing of time does: fires come due, waits end, limits are reached.
use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{
    event::{Command, Notice, Outcome, RunEnd, StopReason},
    state::{Active, Phase},
    step::{LOOK_EVERY, Step, timed_out_outcome},
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
    let runs: Vec<RunId> = step.state.runs.keys().copied().collect();
    for run in runs {
        deadline(step, run);
        timers(step, run);
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
        }
        step.state.reschedule(&name);
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
    let Some(active) = step.state.runs.get(&run) else { return };
    let over = active.deadline_at.is_some_and(|deadline| deadline <= step.now.uptime);
    if over && active.stop.is_none() {
        step.stop(run, StopReason::Deadline);
    }
}

fn timers(step: &mut Step<'_>, run: RunId) {
    let uptime = step.now.uptime;
    let Some(active) = step.state.runs.get_mut(&run) else { return };
    match active.phase {
        Phase::LockWait { look_at, .. } if look_at <= uptime => {
            let name = active.instance.name.clone();
            step.judge_next(&name);
            if let Some(Active { phase: Phase::LockWait { until, look_at }, .. }) = step.state.runs.get_mut(&run) {
                let next = uptime.saturating_add(LOOK_EVERY);
                *look_at = if uptime < *until { next.min(*until) } else { next };
            }
        }
        Phase::Waiting { .. } => waiting(step, run),
        Phase::Running { attempt, timeout_at: Some(at) } if at <= uptime => {
            let until = uptime.saturating_add(active.instance.grace);
            active.phase = Phase::Stopping { attempt, until, timed_out: true, killed: false };
            step.push(Command::Cancel { run, reason: StopReason::Deadline });
        }
        Phase::Stopping { attempt, until, timed_out, killed: false } if until <= uptime => {
            active.phase = Phase::Stopping { attempt, until: uptime.saturating_add(KILL_WAIT), timed_out, killed: true };
            step.push(Command::Kill { run });
        }
        Phase::Stopping { attempt, until, timed_out, killed: true } if until <= uptime => abandon(step, run, attempt, timed_out),
        Phase::Backoff { at } if at <= uptime => active.phase = Phase::Queued,
        Phase::LockWait { .. }
        | Phase::Queued
        | Phase::Starting { .. }
        | Phase::Running { .. }
        | Phase::Stopping { .. }
        | Phase::Backoff { .. }
        | Phase::Closing
        | Phase::Adopting => {}
    }
}

/// Looks at the rivals that other processes have, and takes over from those that do not end.
fn waiting(step: &mut Step<'_>, run: RunId) {
    let now = step.now.uptime;
    let ours: BTreeSet<RunId> = step.state.runs.keys().copied().collect();
    let Some(active) = step.state.runs.get_mut(&run) else { return };
    let Phase::Waiting { rivals, told, since, look_at, takeover_at } = &mut active.phase else { return };
    let foreign: Vec<RunId> = rivals.difference(&ours).copied().collect();
    if foreign.is_empty() {
        // Ours end by themselves: a close wakes this run.
        (*look_at, *takeover_at) = (SignedDuration::MAX, SignedDuration::MAX);
        return;
    }
    if *takeover_at <= now {
        *takeover_at = SignedDuration::MAX;
        let patience = active.instance.grace.saturating_add(active.instance.takeover);
        let even_if_alive = *told && since.saturating_add(patience) <= now;
        let Some(generation) = active.generation else { return };
        step.push(Command::TakeOver { run, generation, rivals: foreign, even_if_alive });
    } else if *look_at <= now {
        *look_at = SignedDuration::MAX;
        step.push(Command::LookAtRivals { run, rivals: foreign });
    }
}

pub(super) fn takeover_refused(step: &mut Step<'_>, run: RunId) {
    let (again, look) = (step.after(TAKEOVER_AGAIN), step.now.uptime);
    if let Some(active) = step.state.runs.get_mut(&run)
        && let Phase::Waiting { takeover_at, look_at, .. } = &mut active.phase
    {
        *takeover_at = again;
        *look_at = look;
    }
}

/// Its thread may still run, so its floor rises: nothing it does counts any more. It is not tried again beside its own ghost.
fn abandon(step: &mut Step<'_>, run: RunId, attempt: u32, timed_out: bool) {
    let Some(active) = step.state.runs.get(&run) else { return };
    let (instance, reason) = (active.instance.name.clone(), active.stop);
    let outcome = if timed_out { timed_out_outcome(&active.instance) } else { Outcome::Cancelled };
    let end = match reason {
        Some(StopReason::Superseded(_) | StopReason::Fenced) => RunEnd::Superseded,
        Some(StopReason::Cancelled | StopReason::Shutdown) => RunEnd::Cancelled,
        Some(StopReason::Deadline) | None => RunEnd::TimedOut,
    };
    step.push(Command::Abandon { run, attempt });
    step.notice(Notice::Stuck { instance, run });
    step.close(run, end, Some(outcome), true);
}

/// Everything that was told to stop has had its time.
pub(super) fn abort(step: &mut Step<'_>) {
    let uptime = step.now.uptime;
    step.state.stopping = Some(SignedDuration::ZERO);
    let runs: Vec<RunId> = step.state.runs.keys().copied().collect();
    for run in runs {
        step.stop(run, StopReason::Shutdown);
        let Some(active) = step.state.runs.get_mut(&run) else { continue };
        if let Phase::Stopping { attempt, timed_out, killed: false, .. } = active.phase {
            active.phase = Phase::Stopping { attempt, until: uptime.saturating_add(KILL_WAIT), timed_out, killed: true };
            step.push(Command::Kill { run });
        }
    }
}
