//! From a fire to a run: what is sent to be judged, and what follows from the judgement.
use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{
    event::{AskAnswer, AskId, Asked, Command, JudgeRequest, Judgement, Notice, Rival, Skip, SkipReason, StopReason, Ticket},
    order::FollowUp,
    plan,
    state::{Active, Known, Phase},
    step::{LOOK_EVERY, Step},
    task::{Generation, Instance, InstanceName, Overlap, RunId, Trigger},
    timer::SET_BACK_MIN,
};

#[cfg(test)]
mod tests;

/// A process that hangs is asked before the fire is judged, to see since when it hangs, and before it is taken over; and each time its silence
/// is waited out.
const ASKING: SignedDuration = SignedDuration::from_secs(3);
/// Starts by hand of one instance that may wait for their turn; more are refused.
const ASKS_MAX: usize = 32;

impl Step<'_> {
    pub(super) fn asked(&mut self, ask: AskId, name: &InstanceName, trigger: Trigger) {
        let refusal = match self.state.instances.get_mut(name) {
            _ if self.state.stopping.is_some() => "taskrun is stopping",
            None => "there is no such instance",
            Some(known) if ASKS_MAX <= known.asks.len() => "too many starts of this instance wait already",
            Some(known) => {
                known.asks.push_back((ask, trigger));
                return self.judge_next(name);
            }
        };
        self.push(Command::AnswerAsk { ask, answer: AskAnswer::Refused(refusal.into()) });
    }

    /// Sends the instance's next fire to be judged: a start by hand, or what its schedule says. One at a time.
    pub(super) fn judge_next(&mut self, name: &InstanceName) {
        let now = self.now;
        let (busy, anchors) = (self.state.catches_up(name), self.state.anchors(name));
        if self.state.judging.contains(name) {
            return;
        }
        let Some(known) = self.state.instances.get_mut(name) else { return };
        let mut ended_at = None;
        let (mut follow_up, mut refused) = (None, None);
        let (skips, asked, ticket) = if let Some((ask, trigger)) = known.asks.pop_front() {
            let asked = Asked { fire_at: now.wall, trigger };
            (Vec::new(), Some(asked), Ticket { asked: Some(asked), ask: Some(ask), follow_up, waiting: None, upto: None, start: false })
        } else if !self.state.scheduling || self.state.stopping.is_some() {
            return;
        } else if let Some(next) = next_follow_up(known, now.wall) {
            let asked = Some(Asked { fire_at: next.at, trigger: Trigger::FollowUp });
            (follow_up, refused) = (Some(next.id), plan::refuses(&known.instance, next.at, now.wall));
            (Vec::new(), asked, Ticket { asked, ask: None, follow_up, waiting: None, upto: None, start: false })
        } else if let Some(due) = plan::due(&known.instance, known.watermark, now.wall, anchors, busy) {
            ended_at = due.asked.and_then(|asked| plan::counts_from(&known.instance, known.watermark, asked, anchors));
            let start = known.anchors.start.is_some_and(|start| start <= due.upto);
            (due.skips, due.asked, Ticket { asked: due.asked, ask: None, follow_up, waiting: None, upto: Some(due.upto), start })
        } else {
            return self.state.reschedule(name);
        };
        let instance = Arc::clone(&known.instance);
        self.state.judging.insert(name.clone());
        for skip in &skips {
            self.skipped(name, skip.clone());
        }
        let (waiting, vouched) = (None, Vec::new());
        let request =
            JudgeRequest { instance, skips, asked, ended_at, follow_up, refused, waiting, last_chance: false, break_locks: false, vouched };
        self.state.reschedule(name);
        self.push(Command::Judge { request: Box::new(request), ticket });
    }

    /// Sends a run that waits for its named locks to be judged again, under the definition that it has; its instance may be gone by now.
    pub(super) fn judge_waiter(&mut self, run: RunId) {
        let uptime = self.now.uptime;
        let judged = self.state.runs.change(run, |active| {
            let patience = patience(&active.instance);
            let Phase::LockWait { until, look_at, hangs_since } = &mut active.phase else { return None };
            // Not again before the answer.
            *look_at = SignedDuration::MAX;
            let asked = Asked { fire_at: active.fire_at, trigger: active.trigger };
            let break_locks = hangs_since.is_some_and(|since| since.saturating_add(patience) <= uptime);
            Some((Arc::clone(&active.instance), asked, *until <= uptime, break_locks))
        });
        let Some((instance, asked, last_chance, break_locks)) = judged.flatten() else { return };
        let ticket = Ticket { asked: Some(asked), ask: None, follow_up: None, waiting: Some(run), upto: None, start: false };
        let (skips, vouched, asked, waiting, refused) = (Vec::new(), Vec::new(), Some(asked), Some(run), None);
        let request =
            JudgeRequest { instance, skips, asked, ended_at: None, follow_up: None, refused, waiting, last_chance, break_locks, vouched };
        self.push(Command::Judge { request: Box::new(request), ticket });
    }

    pub(super) fn judged(&mut self, instance: &Arc<Instance>, ticket: Ticket, answer: Judgement) {
        let name = &instance.name;
        match ticket.waiting {
            // It was told to stop meanwhile: its end is on its way.
            Some(run) if !self.waits_for_locks(run) => return,
            Some(_) => {}
            None => self.watermark_passed(name, ticket, &answer),
        }
        match answer {
            // A suspect is looked at and asked again by the engine; here it means that nothing was written.
            Judgement::Recorded | Judgement::Suspect(_) => {}
            Judgement::NotYet { last_end } => self.not_yet(name, last_end),
            Judgement::AlreadyJudged => self.drop_waiter(ticket),
            Judgement::Skipped { reason, detail, .. } => {
                self.drop_waiter(ticket);
                self.answer_ask(ticket, AskAnswer::Skipped { reason, detail: detail.clone() });
                let at = ticket.asked.map_or(self.now.wall, |asked| asked.fire_at);
                let skip = Skip { first_at: at, last_at: at, count: 1, at_least: false, reason, detail };
                self.skipped(name, skip);
            }
            Judgement::LockWait { run, holder_hangs } => self.lock_wait(instance, ticket, run, holder_hangs),
            Judgement::Admitted { run, generation, rivals } => self.admitted(instance, ticket, run, generation, &rivals),
        }
        self.state.reschedule(name);
        self.judge_next(name);
        if ticket.follow_up.is_some()
            && self.state.more_follow_ups
            && self.state.instances.values().all(|known| known.follow_ups.is_empty())
        {
            self.state.more_follow_ups = false;
            self.push(Command::LookForFollowUps);
        }
    }

    /// Fires that successes asked for. Which of them had their answer meanwhile, the store knows: it judges none twice.
    pub(super) fn follow_ups(&mut self, waiting: Vec<FollowUp>, more: bool) {
        if !self.state.scheduling {
            return;
        }
        self.state.more_follow_ups = more;
        let mut names = BTreeSet::new();
        for follow_up in waiting {
            match self.state.instances.get_mut(&follow_up.instance) {
                Some(known) if known.follow_ups.iter().any(|other| other.id == follow_up.id) => {}
                Some(known) => {
                    names.insert(follow_up.instance.clone());
                    known.follow_ups.push_back(follow_up);
                }
                None => {
                    self.push(Command::DropFollowUp { id: follow_up.id });
                    self.notice(Notice::FollowsNobody { instance: follow_up.instance, cause: follow_up.cause });
                }
            }
        }
        for name in names {
            self.judge_next(&name);
        }
    }

    /// `after` counts from the end of another process's run; while that is open, from now at the earliest.
    fn not_yet(&mut self, name: &InstanceName, last_end: Option<Timestamp>) {
        let wall = self.now.wall;
        if let Some(known) = self.state.instances.get_mut(name) {
            known.anchors.last_end = Some(last_end.unwrap_or(wall));
        }
    }

    fn waits_for_locks(&self, run: RunId) -> bool {
        self.state.runs.get(run).is_some_and(|active| matches!(active.phase, Phase::LockWait { .. }))
    }

    /// The instance's fire has its answer.
    fn watermark_passed(&mut self, name: &InstanceName, ticket: Ticket, answer: &Judgement) {
        let wall = self.now.wall;
        self.state.judging.remove(name);
        let Some(known) = self.state.instances.get_mut(name) else { return };
        let Some(upto) = ticket.upto.filter(|_| !matches!(answer, Judgement::Suspect(_) | Judgement::NotYet { .. })) else { return };
        known.anchors.start = known.anchors.start.filter(|_| !ticket.start);
        if upto.duration_since(wall) < SET_BACK_MIN {
            known.watermark = upto.max(known.watermark);
        } else {
            // The clock was set back meanwhile, and this answer has raised the store's watermark again.
            self.push(Command::LowerWatermarks { to: wall });
        }
    }

    /// Says that an instance is skipped, if it was not for this reason before.
    fn skipped(&mut self, name: &InstanceName, skip: Skip) {
        let known = self.state.instances.get_mut(name);
        let before = known.and_then(|known| known.skipping.replace(skip.reason));
        if before != Some(skip.reason) {
            self.notice(Notice::Skipped { instance: name.clone(), skip });
        }
    }

    fn drop_waiter(&mut self, ticket: Ticket) {
        if let Some(run) = ticket.waiting {
            self.gone(run);
        }
    }

    fn answer_ask(&mut self, ticket: Ticket, answer: AskAnswer) {
        if let Some(ask) = ticket.ask {
            self.push(Command::AnswerAsk { ask, answer });
        }
    }

    fn lock_wait(&mut self, instance: &Arc<Instance>, ticket: Ticket, run: RunId, holder_hangs: bool) {
        let (now, look_at) = (self.now.uptime, self.after(LOOK_EVERY));
        if self.state.runs.contains(run) {
            self.state.runs.change(run, |active| {
                if let Phase::LockWait { until, look_at: look, hangs_since } = &mut active.phase {
                    *look = if now < *until { look_at.min(*until) } else { look_at };
                    *hangs_since = hangs_since.or(Some(now)).filter(|_| holder_hangs);
                }
            });
            return;
        }
        let Some(active) = new_run(instance, ticket) else { return };
        let locks = active.instance.locks.clone();
        let overlap = active.instance.overlap;
        let until = self.after(active.instance.lock_wait);
        let phase = Phase::LockWait { until, look_at, hangs_since: holder_hangs.then_some(now) };
        self.state.runs.insert(run, Active { phase, ..active });
        self.answer_ask(ticket, AskAnswer::Run(run));
        self.notice(Notice::LockWaits { instance: instance.name.clone(), run, locks });
        if overlap == Overlap::LastWins {
            // Of those that only wait, the newest counts, too.
            let older: Vec<RunId> = self
                .state
                .runs
                .of(&instance.name)
                .filter(|(other, active)| *other < run && matches!(active.phase, Phase::LockWait { .. }))
                .map(|(other, _)| other)
                .collect();
            for other in older {
                self.stop(other, StopReason::Superseded(run));
            }
        }
        self.stop_newcomer(run);
    }

    fn admitted(&mut self, instance: &Arc<Instance>, ticket: Ticket, run: RunId, generation: Generation, rivals: &[Rival]) {
        if !self.state.runs.contains(run) {
            let Some(active) = new_run(instance, ticket) else { return };
            self.state.runs.insert(run, active);
            self.answer_ask(ticket, AskAnswer::Run(run));
        }
        if let Some(known) = self.state.instances.get_mut(&instance.name) {
            known.skipping = None;
        }
        self.enters(run, generation, rivals);
        for rival in rivals.iter().filter(|rival| rival.told) {
            self.stop(rival.run, StopReason::Superseded(run));
        }
        self.stop_newcomer(run);
    }

    /// A fire that was on its way to be judged when the process was told to stop.
    fn stop_newcomer(&mut self, run: RunId) {
        if let Some(grace) = self.state.stopping {
            self.stop_for_shutdown(run, grace);
        }
    }

    /// A run has its generation: it begins, or waits for the end of its rivals.
    pub(super) fn enters(&mut self, run: RunId, generation: Generation, rivals: &[Rival]) {
        let uptime = self.now.uptime;
        self.state.runs.change(run, |active| {
            active.generation = Some(generation);
            let told = rivals.iter().any(|rival| rival.told);
            active.phase = if rivals.is_empty() {
                Phase::Queued
            } else {
                let rivals = rivals.iter().map(|rival| rival.run).collect();
                Phase::Waiting { rivals, told, since: uptime, look_at: uptime, hangs_since: None }
            };
        });
    }
}

/// The follow-up whose turn it is; with `defer`, none outside the hours.
fn next_follow_up(known: &mut Known, now: Timestamp) -> Option<FollowUp> {
    known.follow_ups_at = None;
    let first = known.follow_ups.front()?;
    let on_time = plan::refuses(&known.instance, first.at, now) == Some(SkipReason::OutsideHours);
    known.follow_ups_at = known.instance.timing.deferred_to(now).filter(|_| on_time);
    if known.follow_ups_at.is_some() { None } else { known.follow_ups.pop_front() }
}

/// How long a holder that hangs is waited for once that is known: `takeover`, less the time that asking it takes.
pub(super) fn patience(instance: &Instance) -> SignedDuration {
    instance.takeover.saturating_sub(ASKING).max(SignedDuration::ZERO)
}

/// A fire that just got its row; it keeps the definition it was judged with.
fn new_run(instance: &Arc<Instance>, ticket: Ticket) -> Option<Active> {
    let asked = ticket.asked?;
    Some(Active {
        instance: Arc::clone(instance),
        trigger: asked.trigger,
        fire_at: asked.fire_at,
        generation: None,
        attempts: 0,
        waits: 0,
        not_yet: None,
        phase: Phase::Queued,
        stop: None,
        began: None,
        deadline_at: None,
        ending: None,
    })
}
