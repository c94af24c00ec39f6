//! The one entry into the core: an event goes in, commands come out, to be performed in this order.
use std::{collections::BTreeSet, sync::Arc};

use jiff::SignedDuration;

use super::{
    attempt::{self, NOT_YET_MAX, Next, REST_MIN},
    event::{AskAnswer, CloseAnswer, Command, Event, NotYet, Notice, Outcome, RunEnd, StartAnswer, StopReason},
    guard::STARVING_AT,
    recover,
    state::{Phase, State},
    task::{Instance, InstanceName, Now, Overlap, RunId},
    timer,
};

#[cfg(test)]
mod tests;

/// How often runs of other processes are looked at while somebody waits for their end or their named locks.
pub const LOOK_EVERY: SignedDuration = SignedDuration::from_millis(200);

/// What one step works with.
pub(super) struct Step<'a> {
    pub state: &'a mut State,
    pub now: Now,
    pub draw: f64,
    pub commands: Vec<Command>,
}

/// Applies one event and returns what is to be done, in this order. `draw` is a uniform number in `[0, 1)`.
pub fn step(state: &mut State, event: Event, now: Now, draw: f64) -> Vec<Command> {
    let mut step = Step { state, now, draw, commands: Vec::new() };
    match event {
        Event::Tick => timer::tick(&mut step),
        Event::Asked { ask, instance, trigger } => step.asked(ask, &instance, trigger),
        Event::Judged { instance, request, answer } => step.judged(&instance, request, answer),
        Event::StartAnswered { run, attempt, answer } => step.start_answered(run, attempt, answer),
        Event::AttemptEnded { run, attempt, outcome } => step.attempt_ended(run, attempt, outcome),
        Event::CloseAnswered { run, answer } => step.close_answered(run, answer),
        Event::RivalsSeen { run, open, hang } => step.rivals_seen(run, &open, hang),
        Event::TookOver { run } => step.took_over(run),
        Event::TakeoverRefused { run } => timer::takeover_refused(&mut step, run),
        Event::StopAsked { run, reason } => step.stop(run, reason),
        Event::Orphaned { left } => recover::orphaned(&mut step, left),
        Event::Adopted { run, answer } => recover::adopted(&mut step, run, &answer),
        Event::FollowUps { waiting, more } => step.follow_ups(waiting, more),
        Event::Reloaded { instances, marks } => recover::reloaded(&mut step, instances, marks),
        Event::Stopping { grace } => step.stopping(grace),
        Event::Aborting => timer::abort(&mut step),
    }
    step.fill_places();
    step.commands
}

impl Step<'_> {
    pub(super) fn push(&mut self, command: Command) {
        self.commands.push(command);
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.push(Command::Notice(notice));
    }

    /// The uptime this long from now.
    pub(super) fn after(&self, wait: SignedDuration) -> SignedDuration {
        self.now.uptime.saturating_add(wait)
    }

    /// Gives free places to queued runs, the oldest fire first; a person's starts take theirs at once.
    fn fill_places(&mut self) {
        while let Some((run, needs_place)) = self.state.runs.next_in_queue() {
            if needs_place && self.state.running_max <= self.state.runs.taken() {
                break;
            }
            self.begin(run);
        }
    }

    fn begin(&mut self, run: RunId) {
        let wall = self.now.wall;
        let begun = self.state.runs.change(run, |active| {
            // It was adopted in the middle of a wait. One that is too long by now is from before the clock was set back.
            let wait = active.not_yet.as_ref().map(|not_yet| not_yet.until.duration_since(wall));
            if wait.is_some_and(|wait| wait.is_positive() && wait <= NOT_YET_MAX) {
                active.phase = Phase::NotYet { rest: None };
                return None;
            }
            let attempt = active.attempts.saturating_add(1);
            active.phase = Phase::Starting { attempt };
            Some((attempt, active.instance.overlap == Overlap::LastWins))
        });
        if let Some((attempt, raise_floor)) = begun.flatten() {
            self.push(Command::Start { run, attempt, raise_floor });
        }
    }

    fn start_answered(&mut self, run: RunId, attempt: u32, answer: StartAnswer) {
        if self.state.runs.get(run).is_none_or(|active| active.phase != Phase::Starting { attempt }) {
            return;
        }
        match answer {
            StartAnswer::Fenced => self.gone(run),
            StartAnswer::Stop(reason) => {
                self.state.runs.change(run, |active| active.phase = Phase::Queued);
                self.stop(run, reason);
            }
            StartAnswer::Started => self.started(run, attempt),
        }
    }

    fn started(&mut self, run: RunId, attempt: u32) {
        let uptime = self.now.uptime;
        self.state.runs.change(run, |active| {
            active.attempts = attempt;
            active.not_yet = None;
            if active.began.is_none() {
                active.began = Some(uptime);
                let deadline_at = active.instance.deadline.map(|deadline| uptime.saturating_add(deadline));
                active.deadline_at = active.deadline_at.or(deadline_at);
            }
            let timeout_at = active.instance.timeout.map(|timeout| uptime.saturating_add(timeout));
            active.phase = Phase::Running { attempt, timeout_at };
        });
        let Some(active) = self.state.runs.get(run) else { return };
        if active.stop.is_some() {
            // Told to stop between asking and answer: the handler is never called.
            return self.attempt_ended(run, attempt, Outcome::Cancelled);
        }
        let (instance, trigger, fire_at) = (Arc::clone(&active.instance), active.trigger, active.fire_at);
        let generation = active.generation.unwrap_or_default();
        self.push(Command::Launch { run, attempt, generation, instance, trigger, fire_at });
    }

    fn attempt_ended(&mut self, run: RunId, attempt: u32, outcome: Outcome) {
        let Some(active) = self.state.runs.get(run) else { return };
        let timed_out = match active.phase {
            Phase::Running { attempt: running, .. } if running == attempt => false,
            Phase::Stopping { attempt: running, timed_out, .. } if running == attempt => timed_out,
            // It was abandoned, and returned after all.
            Phase::Running { .. }
            | Phase::Stopping { .. }
            | Phase::LockWait { .. }
            | Phase::Waiting { .. }
            | Phase::Queued
            | Phase::Starting { .. }
            | Phase::Backoff { .. }
            | Phase::NotYet { .. }
            | Phase::Closing
            | Phase::Adopting => return,
        };
        let succeeded = matches!(outcome, Outcome::Succeeded { .. });
        let outcome = if timed_out && !succeeded { timed_out_outcome(&active.instance) } else { outcome };
        match active.stop {
            Some(reason) if !succeeded => self.end_stopped(run, attempt, reason, outcome),
            Some(_) | None => self.end_attempt(run, attempt, outcome),
        }
    }

    /// The end of an attempt that nobody told to stop, or that succeeded all the same.
    fn end_attempt(&mut self, run: RunId, attempt: u32, outcome: Outcome) {
        let Some(active) = self.state.runs.get(run) else { return };
        let instance = active.instance.name.clone();
        let outcome = attempt::bounded(outcome, self.now);
        let wait = match attempt::next(&active.instance.retries, attempt.saturating_sub(active.waits), &outcome, self.draw) {
            Next::Close(end) => return self.close(run, end, Some(outcome), false),
            Next::Wait(not_yet) => return self.wait(run, attempt, not_yet),
            Next::Retry(wait) => wait,
        };
        let at = self.after(wait);
        if active.deadline_at.is_some_and(|deadline| deadline <= at) {
            return self.close(run, RunEnd::TimedOut, Some(outcome), false);
        }
        self.state.runs.change(run, |active| active.phase = Phase::Backoff { at });
        let error: Arc<str> = outcome.text().unwrap_or("stopped before its work was done").into();
        let retry_at = self.now.wall.saturating_add(wait).unwrap_or(self.now.wall);
        self.push(Command::Postpone { run, attempt, outcome, retry_at });
        self.notice(Notice::Retrying { instance, run, attempt, error, retry_in: wait });
    }

    /// The end of an attempt that could do no more for now. The run keeps its place: its generation, its named locks, its deadline.
    fn wait(&mut self, run: RunId, attempt: u32, not_yet: NotYet) {
        let (retry_at, rest) = (not_yet.until, Some(self.after(REST_MIN)));
        let instance = self.state.runs.change(run, |active| {
            active.waits = active.waits.saturating_add(1);
            active.not_yet = Some(not_yet.clone());
            active.phase = Phase::NotYet { rest };
            active.instance.name.clone()
        });
        let Some(instance) = instance else { return };
        self.push(Command::Postpone { run, attempt, outcome: Outcome::NotYet(not_yet.clone()), retry_at });
        self.notice(Notice::Waits { instance, run, attempt, not_yet });
    }

    fn end_stopped(&mut self, run: RunId, attempt: u32, reason: StopReason, outcome: Outcome) {
        match self.end_of_stopped(run, attempt, reason, &outcome) {
            Some(end) => self.close(run, end, Some(outcome), false),
            None => self.set_aside(run, true),
        }
    }

    /// How a run ends whose attempt was told to stop; `None`: it stays open for the next start.
    pub(super) fn end_of_stopped(&self, run: RunId, attempt: u32, reason: StopReason, outcome: &Outcome) -> Option<RunEnd> {
        let stopped = matches!(outcome, Outcome::Cancelled | Outcome::NotYet(_));
        Some(match reason {
            StopReason::Superseded(_) | StopReason::Fenced => RunEnd::Superseded,
            StopReason::Cancelled => RunEnd::Cancelled,
            StopReason::Deadline => RunEnd::TimedOut,
            StopReason::Shutdown => {
                let active = self.state.runs.get(run)?;
                let next = attempt::next(&active.instance.retries, attempt.saturating_sub(active.waits), outcome, self.draw);
                if self.may_set_aside(run) && (stopped || matches!(next, Next::Retry(_))) {
                    return None;
                }
                match outcome {
                    Outcome::Cancelled | Outcome::NotYet(_) => RunEnd::Cancelled,
                    Outcome::TimedOut { .. } => RunEnd::TimedOut,
                    Outcome::Succeeded { .. } | Outcome::Failed { .. } | Outcome::Panicked { .. } | Outcome::Lost => RunEnd::Failed,
                }
            }
        })
    }

    /// A shutdown leaves a run open for the next start of the daemon if repeating it can do no harm.
    fn may_set_aside(&self, run: RunId) -> bool {
        self.state.scheduling && self.state.runs.get(run).is_some_and(|active| active.instance.resumable || active.began.is_none())
    }

    pub(super) fn set_aside(&mut self, run: RunId, frees_locks: bool) {
        self.push(Command::SetAside { run, frees_locks });
        self.gone(run);
    }

    pub(super) fn close(&mut self, run: RunId, end: RunEnd, outcome: Option<Outcome>, raise_floor: bool) {
        let uptime = self.now.uptime;
        let text = outcome.as_ref().and_then(Outcome::text).map(Into::into);
        let closing = self.state.runs.change(run, |active| {
            active.phase = Phase::Closing;
            let by = if let (RunEnd::Superseded, Some(StopReason::Superseded(by))) = (end, active.stop) { Some(by) } else { None };
            let took = active.began.map_or(SignedDuration::ZERO, |began| uptime.saturating_sub(began));
            active.ending = Some(Notice::Ended { instance: active.instance.name.clone(), run, end, by, text, took });
            let follow_ups = if end == RunEnd::Succeeded { active.instance.after_success.clone() } else { Vec::new() };
            (by, active.attempts, follow_ups)
        });
        if let Some((by, attempt, follow_ups)) = closing {
            self.push(Command::Close { run, end, by, attempt, outcome, raise_floor, follow_ups });
        }
    }

    fn close_answered(&mut self, run: RunId, answer: CloseAnswer) {
        if let (CloseAnswer::Closed { superseded_in_row }, Some(active)) = (answer, self.state.runs.get(run)) {
            let (name, ending) = (active.instance.name.clone(), active.ending.clone());
            let succeeded = matches!(ending, Some(Notice::Ended { end: RunEnd::Succeeded, .. }));
            let follows = succeeded && !active.instance.after_success.is_empty();
            if let Some(known) = self.state.instances.get_mut(&name) {
                known.anchors.last_end = Some(self.now.wall);
            }
            self.commands.extend(ending.map(Command::Notice));
            if follows {
                self.push(Command::LookForFollowUps);
            }
            self.starving(name, superseded_in_row);
        }
        self.gone(run);
    }

    /// Says that an instance starves: when it begins and every ten times. Other processes may have counted some of them.
    fn starving(&mut self, instance: InstanceName, times: u32) {
        let Some(known) = self.state.instances.get_mut(&instance) else { return };
        if times < STARVING_AT {
            known.starving = 0;
        } else if known.starving == 0 || known.starving.div_euclid(10) < times.div_euclid(10) {
            known.starving = times;
            self.notice(Notice::Starving { instance, times });
        }
    }

    /// A run is no longer ours: whoever waited for its end or its named locks may go on.
    pub(super) fn gone(&mut self, run: RunId) {
        let Some(active) = self.state.runs.remove(run) else { return };
        let uptime = self.now.uptime;
        for other in self.state.runs.waiters() {
            self.state.runs.change(other, |other| {
                if let Phase::Waiting { rivals, .. } = &mut other.phase {
                    if rivals.remove(&run) && rivals.is_empty() {
                        other.phase = Phase::Queued;
                    }
                } else if let Phase::LockWait { look_at, .. } = &mut other.phase
                    && *look_at < SignedDuration::MAX
                {
                    *look_at = uptime;
                }
            });
        }
        self.state.reschedule(&active.instance.name);
        self.judge_next(&active.instance.name);
    }

    fn rivals_seen(&mut self, run: RunId, open: &[RunId], hang: bool) {
        let (now, next) = (self.now.uptime, self.after(LOOK_EVERY));
        let ours: BTreeSet<RunId> = self.state.runs.ids().into_iter().collect();
        self.state.runs.change(run, |active| {
            if let Phase::Waiting { rivals, look_at, hangs_since, .. } = &mut active.phase {
                rivals.retain(|rival| ours.contains(rival) || open.contains(rival));
                *look_at = next;
                *hangs_since = hangs_since.or(Some(now)).filter(|_| hang);
                if rivals.is_empty() {
                    active.phase = Phase::Queued;
                }
            }
        });
    }

    fn took_over(&mut self, run: RunId) {
        let next = self.after(LOOK_EVERY);
        let ours: BTreeSet<RunId> = self.state.runs.ids().into_iter().collect();
        let taken = self.state.runs.change(run, |active| {
            let Phase::Waiting { rivals, look_at, .. } = &mut active.phase else { return None };
            let foreign: Vec<RunId> = rivals.difference(&ours).copied().collect();
            rivals.retain(|rival| ours.contains(rival));
            *look_at = next;
            if rivals.is_empty() {
                active.phase = Phase::Queued;
            }
            Some((active.instance.name.clone(), foreign))
        });
        if let Some((instance, rivals)) = taken.flatten() {
            self.notice(Notice::TookOver { instance, run, rivals });
        }
    }

    /// Tells a run of ours to stop. One whose attempt has not begun ends at once.
    pub(super) fn stop(&mut self, run: RunId, reason: StopReason) {
        let uptime = self.now.uptime;
        let limit = self.state.stopping.unwrap_or(SignedDuration::MAX);
        let phase = self.state.runs.change(run, |active| {
            // A newer run or a person outranks a shutdown, which would leave the run open.
            if active.stop.is_none() || active.stop == Some(StopReason::Shutdown) {
                active.stop = Some(reason);
            }
            let before = active.phase.clone();
            if let Phase::Running { attempt, .. } = before {
                let until = uptime.saturating_add(active.instance.grace.min(limit));
                active.phase = Phase::Stopping { attempt, until, timed_out: false, killed: false };
            }
            before
        });
        match phase {
            Some(Phase::LockWait { .. } | Phase::Waiting { .. } | Phase::Queued | Phase::Backoff { .. } | Phase::NotYet { .. }) => {
                if reason == StopReason::Shutdown && self.may_set_aside(run) {
                    return self.set_aside(run, true);
                }
                let end = match reason {
                    StopReason::Superseded(_) | StopReason::Fenced => RunEnd::Superseded,
                    StopReason::Cancelled | StopReason::Shutdown => RunEnd::Cancelled,
                    StopReason::Deadline => RunEnd::TimedOut,
                };
                self.close(run, end, None, false);
            }
            Some(Phase::Running { .. }) => self.push(Command::Cancel { run, reason }),
            // Starting and Adopting: the answer finds `stop`. Stopping: it has been told. Closing: it is over.
            Some(Phase::Starting { .. } | Phase::Adopting | Phase::Stopping { .. } | Phase::Closing) | None => {}
        }
    }

    fn stopping(&mut self, grace: SignedDuration) {
        self.state.stopping = Some(grace);
        let names: Vec<InstanceName> = self.state.instances.keys().cloned().collect();
        for name in names {
            let asks = self.state.instances.get_mut(&name).map(|known| std::mem::take(&mut known.asks)).unwrap_or_default();
            for (ask, _) in asks {
                self.push(Command::AnswerAsk { ask, answer: AskAnswer::Refused("taskrun is stopping".into()) });
            }
        }
        for run in self.state.runs.ids() {
            self.stop_for_shutdown(run, grace);
        }
    }

    pub(super) fn stop_for_shutdown(&mut self, run: RunId, grace: SignedDuration) {
        let limit = self.after(grace);
        self.state.runs.change(run, |active| {
            if let Phase::Stopping { until, .. } = &mut active.phase {
                *until = (*until).min(limit);
            }
        });
        self.stop(run, StopReason::Shutdown);
    }
}

pub(super) fn timed_out_outcome(instance: &Instance) -> Outcome {
    let limit = instance.timeout.unwrap_or_default();
    Outcome::TimedOut { error: format!("did not end within its timeout of {limit:#}").into() }
}
