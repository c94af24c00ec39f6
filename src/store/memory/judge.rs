//! Judging a fire, and writing what follows.
use std::sync::Arc;

use jiff::Timestamp;

use super::tables::{Tables, millis};
use crate::{
    core::{
        event::{Asked, JudgeRequest, Judgement, Rival, RunEnd, Skip, StopReason},
        guard::{self, Bench, HeldLock, OpenRun, Verdict},
        task::{Generation, InstanceName, LockName, ProcessId, RunId, Trigger},
    },
    store::RowState,
};

impl Tables {
    pub fn judge(&mut self, process: ProcessId, request: &JudgeRequest, at: Timestamp) -> Judgement {
        let at = millis(at);
        if let Some(run) = request.waiting {
            let orphan = self.orphan(run).is_some();
            match self.open_run(run) {
                Some(waiter) if (waiter.row.process == Some(process) || orphan) && waiter.row.generation.is_none() => {
                    // An orphan goes on waiting as this process's.
                    waiter.row.process = Some(process);
                    // Whoever told it to stop will see to its end.
                    if waiter.stop.is_some() {
                        return Judgement::LockWait { run, holder_hangs: false };
                    }
                }
                Some(_) | None => return Judgement::AlreadyJudged,
            }
        }
        let bench = self.bench(process, request, at);
        let verdict = guard::judge(request, &bench);
        if let Verdict::Suspect(suspects) = verdict {
            return Judgement::Suspect(suspects);
        }
        if let Verdict::NotYet { last_end } = verdict {
            return Judgement::NotYet { last_end };
        }
        let name = &request.instance.name;
        self.know(name, at);
        for skip in request.skips.iter().filter(|skip| bench.watermark.is_none_or(|watermark| watermark < skip.last_at)) {
            self.skip(name, skip, Trigger::Schedule, at);
        }
        self.move_watermark(request, at);
        let Some(asked) = request.asked else { return Judgement::Recorded };
        let cause = request.follow_up.and_then(|id| self.follow_ups.remove(&id)).map(|follow_up| follow_up.cause);
        match verdict {
            Verdict::AlreadyJudged => Judgement::AlreadyJudged,
            Verdict::NotYet { last_end } => Judgement::NotYet { last_end },
            Verdict::Suspect(suspects) => Judgement::Suspect(suspects),
            Verdict::Skip { reason, detail } => {
                let skip = Skip { first_at: asked.fire_at, last_at: asked.fire_at, count: 1, at_least: false, reason, detail };
                let run = match request.waiting {
                    Some(run) => self.skip_waiter(run, &skip, at),
                    None => self.skip(name, &skip, asked.trigger, at),
                };
                self.caused(run, cause);
                Judgement::Skipped { run, reason, detail: skip.detail }
            }
            Verdict::LockWait { holder_hangs } => {
                let run = self.run_for(process, request, asked, None);
                self.caused(run, cause);
                Judgement::LockWait { run, holder_hangs }
            }
            Verdict::Admit { supersede, behind, broken } => {
                let generation = self.next_generation(name);
                let run = self.run_for(process, request, asked, Some(generation));
                self.caused(run, cause);
                for holder in broken {
                    if let Some((name, Some(generation))) = self.end_lost(holder, (RunEnd::Lost, None), Some(process), at) {
                        self.raise_floor(&name, generation.0 + 1);
                    }
                }
                for rival in &supersede {
                    self.ask_stop(*rival, StopReason::Superseded(run));
                }
                let owner = |run: RunId| bench.open.iter().find(|open| open.run == run).and_then(|open| open.process);
                let rival = |told: bool| move |run: RunId| Rival { run, process: owner(run), told };
                let rivals = supersede.into_iter().map(rival(true)).chain(behind.into_iter().map(rival(false))).collect();
                Judgement::Admitted { run, generation, rivals }
            }
        }
    }

    /// Remembers whose success asked for the run, or the skip.
    fn caused(&mut self, run: RunId, cause: Option<RunId>) {
        if let Some(entry) = self.runs.get_mut(&run)
            && cause.is_some()
        {
            entry.row.cause = cause;
        }
    }

    /// Writes a skip, or adds it to the row before, where that is an equal skip of the schedule.
    fn skip(&mut self, name: &InstanceName, skip: &Skip, trigger: Trigger, at: Timestamp) -> RunId {
        let (first, last) = (millis(skip.first_at), millis(skip.last_at));
        let newest = self.instances.get(name).and_then(|instance| instance.newest);
        if let Some(before) = newest.and_then(|newest| self.runs.get_mut(&newest))
            && trigger.scheduled()
            && before.row.trigger.scheduled()
            && before.row.text.as_deref() == skip.detail.as_deref()
            && let RowState::Skipped { reason, count, at_least, last_at } = &mut before.row.state
            && *reason == skip.reason
            && *last_at < first
        {
            *count = count.saturating_add(skip.count);
            *at_least |= skip.at_least;
            *last_at = last;
            before.row.ended_at = Some(at);
            return before.row.run;
        }
        let state = RowState::Skipped { reason: skip.reason, count: skip.count, at_least: skip.at_least, last_at: last };
        let skipped = self.add(name, (first, trigger), state);
        skipped.row.ended_at = Some(at);
        skipped.row.text = skip.detail.as_deref().map(ToOwned::to_owned);
        skipped.row.run
    }

    /// A run that waited for named locks becomes a skip.
    fn skip_waiter(&mut self, run: RunId, skip: &Skip, at: Timestamp) -> RunId {
        self.open.remove(&run);
        if let Some(waiter) = self.runs.get_mut(&run) {
            let (name, fire_at) = (waiter.row.instance.clone(), waiter.row.fire_at);
            waiter.row.state = RowState::Skipped { reason: skip.reason, count: 1, at_least: false, last_at: fire_at };
            waiter.row.ended_at = Some(at);
            waiter.row.text = skip.detail.as_deref().map(ToOwned::to_owned);
            waiter.row.process = None;
            if waiter.row.trigger.scheduled()
                && let Some(instance) = self.instances.get_mut(&name)
            {
                instance.fired.remove(&fire_at);
            }
        }
        run
    }

    /// Everything that the request names has its answer now.
    fn move_watermark(&mut self, request: &JudgeRequest, at: Timestamp) {
        let fire = request.asked.filter(|asked| asked.trigger.scheduled() && request.waiting.is_none()).map(|asked| asked.fire_at);
        let to = request.skips.iter().map(|skip| skip.last_at).chain(fire).max().map(millis);
        let known = self.know(&request.instance.name, at);
        known.watermark = known.watermark.max(to);
    }

    /// The row of the fire, with its generation and its claims on named locks if it is admitted.
    fn run_for(&mut self, process: ProcessId, request: &JudgeRequest, asked: Asked, generation: Option<Generation>) -> RunId {
        let locks = if generation.is_some() { request.instance.locks.clone() } else { Vec::new() };
        let run = match request.waiting {
            Some(run) => run,
            None => self.add(&request.instance.name, (asked.fire_at, asked.trigger), RowState::Waiting).row.run,
        };
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.row.process = Some(process);
            entry.row.generation = generation;
            entry.locks = locks;
        }
        run
    }

    fn bench(&self, me: ProcessId, request: &JudgeRequest, at: Timestamp) -> Bench {
        let instance = &request.instance;
        let known = self.instances.get(&instance.name);
        let fired = |asked: Asked| known.is_some_and(|known| known.fired.contains(&millis(asked.fire_at)));
        let open = self.open_of(&instance.name).filter(|run| Some(run.row.run) != request.waiting).map(|run| OpenRun {
            run: run.row.run,
            process: run.row.process,
            generation: run.row.generation,
            waits: run.row.state != RowState::Running,
        });
        Bench {
            me,
            at,
            followed: request.follow_up.is_some_and(|id| !self.follow_ups.contains_key(&id)),
            needed: instance.needs.iter().filter_map(|need| self.last_run(&need.of)).collect(),
            watermark: known.and_then(|known| known.watermark),
            ran: request.asked.is_some_and(fired),
            last_end: known.and_then(|known| known.last_end),
            paused: self.paused(&instance.name, instance.task.as_str(), at),
            parked: instance.account.as_ref().filter(|_| instance.parks).and_then(|account| self.parked(account, at)),
            open: open.collect(),
            held: instance.locks.iter().flat_map(|lock| self.holders(lock)).collect(),
        }
    }

    /// The pause in force that lasts longest.
    fn paused(&self, name: &InstanceName, task: &str, at: Timestamp) -> Option<(Option<Timestamp>, Option<Arc<str>>)> {
        let mut names = vec![name.as_str(), task];
        names.sort_unstable();
        names.dedup();
        let in_force =
            names.into_iter().filter_map(|name| self.pauses.get(name)).filter(|pause| pause.until.is_none_or(|until| at < until));
        // Of equals the first by name: `max_by_key` would give the last.
        let longest = in_force.rev().max_by_key(|pause| pause.until.unwrap_or(Timestamp::MAX))?;
        Some((longest.until, longest.reason.as_deref().map(Into::into)))
    }

    fn parked(&self, account: &str, at: Timestamp) -> Option<(Option<Timestamp>, Arc<str>)> {
        self.parks.get(account).filter(|(until, _)| until.is_none_or(|until| at < until)).cloned()
    }

    fn holders(&self, lock: &LockName) -> impl Iterator<Item = HeldLock> {
        let open = self.open.iter().filter_map(|run| self.runs.get(run)).filter(|run| run.locks.contains(lock));
        open.map(|run| HeldLock { lock: lock.clone(), run: run.row.run, instance: run.row.instance.clone(), process: run.row.process })
    }
}
