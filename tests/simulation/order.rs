//! The laws about what comes before what: needs are met, and each success starts what follows it exactly once.
use std::collections::BTreeSet;

use taskrun::{
    core::{
        event::{Judgement, RunEnd, SkipReason},
        order::{FollowUpId, NeedEnd},
        task::{Instance, InstanceName, ProcessId, RunId, Trigger},
    },
    store::{CloseRequest, RowState, RunStore},
};

use crate::{
    calls::{Judging, answer},
    laws::skip_name,
    world::World,
};

/// A follow-up has its answer by then, whatever else its instance has to do before.
const PATIENCE: i64 = 300_000;

impl World {
    /// A run has ended: exactly what its definition says follows a success is written down with it.
    pub(crate) fn check_promises(&mut self, request: &CloseRequest) {
        let Some(truth) = self.laws.truth(request.run) else { return };
        let wanted: BTreeSet<&InstanceName> = truth.after_success.iter().filter(|_| request.end == RunEnd::Succeeded).collect();
        let mut found = BTreeSet::new();
        let waiting = answer(self.store.follow_ups());
        for follow_up in waiting.iter().filter(|follow_up| follow_up.cause == request.run) {
            assert!(found.insert(&follow_up.instance), "run {} starts {} twice", request.run, follow_up.instance);
            self.laws.promised.insert(follow_up.id, (request.run, follow_up.instance.clone(), self.now));
            self.tally.add("successes that start another task");
        }
        assert_eq!(found, wanted, "run {} of {} ended as {} and does not start what follows it", request.run, truth.name, request.end);
    }

    /// Only what is not in tasks.yaml any more is not to be started.
    pub(crate) fn check_drop(&self, pid: ProcessId, id: FollowUpId) {
        let Some((_, name, _)) = self.laws.promised.get(&id) else { return };
        let known = self.file[self.processes[&pid].version].instances.contains_key(name);
        assert!(!known, "a follow-up of {name} was dropped, which is in tasks.yaml");
    }

    pub(crate) fn follow_up_dropped(&mut self, id: FollowUpId) {
        if self.laws.promised.remove(&id).is_some() {
            self.tally.add("follow-ups dropped");
        }
    }

    pub(crate) fn check_order(&mut self, judging: &Judging, answer: &Judgement) {
        let (run, skipped) = match answer {
            Judgement::Admitted { run, .. } | Judgement::LockWait { run, .. } => (*run, None),
            Judgement::Skipped { run, reason, .. } => (*run, Some(*reason)),
            Judgement::Recorded | Judgement::AlreadyJudged | Judgement::Suspect(_) | Judgement::NotYet { .. } => return,
        };
        if let Some(id) = judging.ticket.follow_up {
            self.check_follow_up(judging, id, run, skipped);
        }
        let Some(asked) = judging.request.asked else { return };
        let unmet = self.unmet(&judging.truth);
        match (answer, skipped) {
            (Judgement::Admitted { .. }, _) => {
                let by_hand = matches!(asked.trigger, Trigger::Manual | Trigger::Api);
                assert!(by_hand || unmet.is_none(), "run {run} of {} was admitted although it needs {unmet:?}", judging.truth.name);
                if unmet.is_some() {
                    self.tally.add("starts by hand that need more");
                } else if !judging.truth.needs.is_empty() {
                    self.tally.add("runs whose needs are met");
                }
            }
            (_, Some(SkipReason::NeedsUnmet)) => {
                assert!(unmet.is_some(), "a fire of {} was skipped although its needs are met", judging.truth.name);
            }
            _ => {}
        }
    }

    /// A fire that a success asked for has its one answer.
    fn check_follow_up(&mut self, judging: &Judging, id: FollowUpId, run: RunId, skipped: Option<SkipReason>) {
        let name = &judging.truth.name;
        let promised = self.laws.promised.remove(&id);
        let Some((cause, of, _)) = promised else { panic!("run {run} of {name} was started by a success that has started it before") };
        assert_eq!((&of, Trigger::FollowUp), (name, judging.request.asked.map_or(Trigger::Manual, |asked| asked.trigger)));
        let row = answer(self.store.row(run));
        assert_eq!(row.and_then(|row| row.cause), Some(cause), "run {run} of {name} does not know what started it");
        assert!(judging.truth.enabled || skipped == Some(SkipReason::Disabled), "{name} was started by a success although it is disabled");
        if let Some(reason) = skipped {
            self.tally.add(skip_name(reason.word()));
            self.tally.add("follow-ups skipped");
        }
    }

    /// A need that is not met by what the history says of other tasks.
    fn unmet(&self, truth: &Instance) -> Option<InstanceName> {
        let wall = self.wall();
        let met = |of: &InstanceName, end: NeedEnd, max_age: Option<jiff::SignedDuration>| {
            let ended = self.laws.stories.values().rev().filter(|story| story.truth.name == *of).find_map(|story| {
                let row = story.ended.as_ref()?;
                match row.state {
                    RowState::Ended { end, .. } if end != RunEnd::Superseded => Some((end, row.ended_at?)),
                    _ => None,
                }
            });
            ended.is_some_and(|(how, at)| {
                (end == NeedEnd::Any || how == RunEnd::Succeeded) && max_age.is_none_or(|max| wall.duration_since(at) <= max)
            })
        };
        truth.needs.iter().find(|need| !met(&need.of, need.end, need.max_age)).map(|need| need.of.clone())
    }

    /// Nothing that a success asked for waits for ever.
    pub(crate) fn check_waiting(&mut self, pid: ProcessId, trouble: i64) {
        let process = &self.processes[&pid];
        if process.shutdown.is_some() || process.reloading {
            return;
        }
        let mut found = Vec::new();
        for (id, (cause, name, since)) in &self.laws.promised {
            let known = process.state.instances.get(name);
            // With `defer` it waits for the opening, and behind a start by hand for that one's answer.
            let waits = known.is_some_and(|known| known.follow_ups_at.is_some() || !known.asks.is_empty());
            found.push((*id, *cause, name.clone(), *since, !waits));
        }
        for (id, cause, name, since, wrong) in found {
            let patient = self.is_patient("follow-up", (pid, id.0), wrong, trouble.max(since), PATIENCE);
            assert!(patient, "run {cause} succeeded, and {name} was never started");
        }
    }
}
