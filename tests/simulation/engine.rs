//! What the engine does around a core: events in, commands out, and the errands in between. The twin of `engine/driver.rs` and `engine/perform.rs`.
use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use taskrun::{
    core::{
        event::{Command, Event, JudgeRequest, LeftRun, StopReason, Ticket},
        step::step,
        task::{ProcessId, RunId},
    },
    store::{CloseRequest, RunStore},
};

use crate::{
    calls::{Burial, Call, Judging, Look, Then, answer},
    world::{News, Shutdown, World},
};

/// Suspects are looked at so often for one fire before it is judged as if they hung.
const LOOKS_MAX: u32 = 5;
/// After the grace period of a shutdown, what is left has this long to be killed and closed.
const LAST_MOMENT: i64 = 5000;
/// A process that does not answer is waited for this long.
const PING: i64 = 1000;
/// A daemon looks at the processes beside it this often.
const WATCH_EVERY: i64 = 2000;

impl World {
    /// Something reached a living process.
    pub(crate) fn receive(&mut self, pid: ProcessId, news: News) {
        match news {
            News::HandlerEnds(run, attempt) => return self.handler_ends(pid, run, attempt),
            News::HandlerWrites(run, attempt) => return self.handler_writes(pid, run, attempt),
            News::Again(call) => return self.again(pid, call),
            _ => {}
        }
        if self.processes[&pid].leaving {
            return;
        }
        match news {
            News::Wake | News::HandlerEnds(..) | News::HandlerWrites(..) | News::Again(_) => {}
            News::Event(event) => self.apply(pid, event),
            News::Suspects(judging, suspects) => self.look_at_suspects(pid, judging, &suspects),
            News::StillOpen(look, open) => self.look_at_rivals(pid, look, &open),
            News::Looked(look, others) => self.looked(pid, look, &others),
            News::Buried(left, burial) => self.buried(pid, left, burial),
            News::Watch => self.watch(pid),
            News::LookAtStops => self.call(pid, Call::StopRequests),
            News::LookForFollowUps => self.look_for_follow_ups(pid),
            News::Stops(stops) => {
                for (run, reason) in stops {
                    self.apply(pid, Event::StopAsked { run, reason: reason.unwrap_or(StopReason::Fenced) });
                }
            }
            News::Ask(instance, trigger) => {
                let now = self.now;
                let Some(process) = self.processes.get_mut(&pid) else { return };
                process.asked = true;
                // The engine knows which names there are.
                if process.state.instances.contains_key(&instance) {
                    let ask = process.new_ask(now);
                    self.apply(pid, Event::Asked { ask, instance, trigger });
                }
            }
            News::Signal => self.signal(pid),
            News::Reload => self.reload(pid),
            News::Reloaded(version, marks) => {
                let Some(process) = self.processes.get_mut(&pid) else { return };
                process.reloading = false;
                process.version = version;
                process.state.running_max = self.file[version].running_max;
                let instances = self.known_as(&self.file[version].instances.clone());
                self.tally.add("reloads");
                self.apply(pid, Event::Reloaded { instances, marks });
            }
            News::CancelByHand(run) => {
                self.laws.cancelled_by_hand(run);
                self.apply(pid, Event::StopAsked { run, reason: StopReason::Cancelled });
            }
        }
    }

    /// After whatever reached it, a process looks at its clock, and leaves if nothing keeps it.
    pub(crate) fn settle(&mut self, pid: ProcessId) {
        if self.processes.get(&pid).is_none_or(|process| process.leaving) {
            return;
        }
        self.apply(pid, Event::Tick);
        self.watch_shutdown(pid);
        let now = self.now;
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let leaves = match process.shutdown {
            Some(shutdown) => process.is_idle() || (shutdown.aborted && shutdown.leave_at <= now),
            None => process.once && process.asked && process.is_idle(),
        };
        if leaves {
            process.leaving = true;
            self.call(pid, Call::Retire);
        } else {
            self.plan_wake(pid);
        }
    }

    fn signal(&mut self, pid: ProcessId) {
        let (now, grace) = (self.now, self.file[self.processes[&pid].version].shutdown_grace);
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if let Some(shutdown) = &mut process.shutdown {
            shutdown.abort_at = now;
            return;
        }
        process.shutdown = Some(Shutdown { abort_at: now + millis(grace), leave_at: i64::MAX / 2, aborted: false });
        self.tally.add("stopped in order");
        self.apply(pid, Event::Stopping { grace });
    }

    fn watch_shutdown(&mut self, pid: ProcessId) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if let Some(shutdown) = &mut process.shutdown
            && !shutdown.aborted
            && shutdown.abort_at <= now
        {
            shutdown.aborted = true;
            shutdown.leave_at = now + LAST_MOMENT;
            self.tally.add("stops that were not in time");
            self.apply(pid, Event::Aborting);
        }
    }

    fn reload(&mut self, pid: ProcessId) {
        // Everything due by now is on its way to be judged before the store hears of the new schedules.
        self.apply(pid, Event::Tick);
        let Some(process) = self.processes.get_mut(&pid).filter(|process| !process.reloading && !process.once) else { return };
        process.reloading = true;
        let (version, at) = (self.file.len() - 1, self.wall());
        self.call(pid, Call::Register { version, at });
    }

    /// Puts an event into the core and performs what comes out; the process may die in the middle of it.
    pub(crate) fn apply(&mut self, pid: ProcessId, event: Event) {
        let Some(born) = self.processes.get(&pid).map(|process| process.born) else { return };
        let Some(event) = self.misheard(pid, event) else { return };
        self.before_step(pid, &event);
        let (now, draw) = (self.clocks(born), self.rng.unit());
        let seen = event.clone();
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let mut commands = step(&mut process.state, event, now, draw);
        self.mistake(pid, &seen, &mut commands);
        self.after_step(pid, &seen, &commands);
        self.perform_all(pid, commands);
    }

    pub(crate) fn perform_all(&mut self, pid: ProcessId, commands: Vec<Command>) {
        let dies = !commands.is_empty() && !self.kind && self.rng.chance(self.climate.deaths);
        let dies_after = dies.then(|| usize::try_from(self.rng.below(i64::try_from(commands.len()).unwrap() + 1)).unwrap());
        for (index, command) in commands.into_iter().enumerate() {
            if dies_after == Some(index) {
                break;
            }
            self.perform(pid, command);
        }
        if dies {
            self.tally.add("deaths in the middle of a step");
            self.kill(pid);
        }
    }

    fn perform(&mut self, pid: ProcessId, command: Command) {
        let at = self.wall();
        match command {
            Command::Judge { request, ticket } => self.judge(pid, *request, ticket),
            Command::Start { run, attempt, raise_floor } => self.call(pid, Call::Start { run, attempt, raise_floor, at }),
            Command::Launch { run, attempt, generation, instance, .. } => self.launch(pid, run, attempt, generation, &instance),
            Command::Cancel { run, .. } => self.cancel(pid, run),
            Command::Kill { run } => self.kill_children(pid, run),
            Command::Abandon { run, attempt } => self.abandon(pid, run, attempt),
            Command::Postpone { run, attempt, outcome, retry_at } => self.call(pid, Call::Postpone { run, attempt, outcome, retry_at, at }),
            Command::Close { run, end, by, attempt, outcome, raise_floor, follow_ups } => {
                let request = CloseRequest { run, process: pid, end, by, attempt, outcome, raise_floor, follow_ups };
                self.call(pid, Call::Close { request, at });
            }
            Command::LookForFollowUps => self.look_for_follow_ups(pid),
            Command::DropFollowUp { id } => self.call(pid, Call::DropFollowUp(id)),
            Command::SetAside { run, frees_locks } => self.call(pid, Call::SetAside { run, frees_locks, at }),
            Command::LookAtRivals { run, rivals } => self.call(pid, Call::StillOpen(Look { run, rivals, takeover: None })),
            Command::TakeOver { run, rivals, even_if_alive } => {
                self.call(pid, Call::StillOpen(Look { run, rivals, takeover: Some(even_if_alive) }));
            }
            Command::Adopt { run, lost, instance } => self.call(pid, Call::Adopt { run, lost, instance, at }),
            Command::CloseOrphan { run, end, by } => self.call(pid, Call::CloseOrphan { run, end, by, at }),
            Command::LowerWatermarks { to } => self.call(pid, Call::LowerWatermarks { to }),
            Command::AnswerAsk { ask, answer } => self.answered(pid, ask, &answer),
            Command::Notice(notice) => self.noticed(pid, &notice),
        }
    }

    /// What successes ask for is the daemon's to start; whether it hears of it, it would look within two seconds anyway.
    fn look_for_follow_ups(&mut self, pid: ProcessId) {
        if !self.processes[&pid].once {
            return self.call(pid, Call::FollowUps);
        }
        if let Some(daemon) = self.daemon.filter(|_| self.rng.chance(800)) {
            let wait = self.latency();
            self.tell(daemon, wait, News::LookForFollowUps);
        }
    }

    /// Puts a call in the process's line at the store.
    pub(crate) fn call(&mut self, pid: ProcessId, call: Call) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if let Some(held) = call.run().and_then(|run| process.held.get_mut(&run)) {
            return held.push_back(call);
        }
        process.calls.push_back(call);
        if !process.in_turn {
            process.in_turn = true;
            self.turn(pid);
        }
    }

    fn judge(&mut self, pid: ProcessId, request: JudgeRequest, ticket: Ticket) {
        let process = &self.processes[&pid];
        let name = &request.instance.name;
        let anchors = process.state.anchors(name);
        let watermark = process.state.instances.get(name).map(|known| known.watermark).unwrap_or_default();
        let truth = match ticket.waiting {
            Some(run) => self.laws.truth(run),
            None => self.file[process.version].instances.get(name).cloned(),
        };
        let truth = truth.unwrap_or_else(|| Arc::clone(&request.instance));
        self.call(pid, Call::Judge(Box::new(Judging { request, ticket, truth, anchors, watermark, looks: 0, hung: BTreeMap::new() })));
    }

    fn look_at_suspects(&mut self, pid: ProcessId, mut judging: Box<Judging>, suspects: &[ProcessId]) {
        judging.looks += 1;
        let (mut dead, mut wait) = (Vec::new(), self.latency());
        for suspect in suspects {
            if judging.looks < LOOKS_MAX && self.is_taken_for_dead(*suspect) {
                dead.push(*suspect);
                continue;
            }
            let hangs = LOOKS_MAX <= judging.looks || self.hangs(*suspect);
            wait += if hangs { PING } else { self.latency() };
            judging.request.vouched.push((*suspect, !hangs));
            judging.hung.insert(*suspect, self.hung_for(*suspect));
        }
        self.tally.add("suspects looked at");
        let next = if dead.is_empty() {
            Call::Judge(judging)
        } else {
            Call::Leftover(Burial { dead, set_aside: false, then: Then::Judge(judging) })
        };
        self.tell(pid, wait, News::Again(next));
    }

    fn look_at_rivals(&mut self, pid: ProcessId, look: Look, open: &[(RunId, Option<ProcessId>)]) {
        let others: Vec<(RunId, Option<ProcessId>)> = open.iter().filter(|(_, process)| *process != Some(pid)).copied().collect();
        let (mut dead, mut wait) = (Vec::new(), 0);
        for process in others.iter().filter_map(|(_, process)| *process) {
            if self.is_taken_for_dead(process) {
                dead.push(process);
            } else if self.hangs(process) {
                wait = PING;
            } else {
                let wait = self.latency();
                self.tell(process, wait, News::LookAtStops);
            }
        }
        dead.dedup();
        let set_aside = others.iter().any(|(_, process)| process.is_none());
        if set_aside || !dead.is_empty() {
            self.call(pid, Call::Leftover(Burial { dead, set_aside, then: Then::Look(look, others) }));
        } else {
            self.tell(pid, wait, News::Looked(look, others));
        }
    }

    /// What the dead left open is known: the core hears of it first, then the errand goes on.
    fn buried(&mut self, pid: ProcessId, left: Vec<LeftRun>, burial: Burial) {
        self.apply(pid, Event::Orphaned { left });
        self.call(pid, Call::Forget(burial.dead));
        match burial.then {
            Then::Judge(judging) => self.call(pid, Call::Judge(judging)),
            Then::Look(look, others) => self.looked(pid, look, &others),
            Then::Nothing => {}
        }
    }

    /// Rivals whose processes are dead, or that were set aside, count as open until the next look.
    pub(crate) fn looked(&mut self, pid: ProcessId, look: Look, others: &[(RunId, Option<ProcessId>)]) {
        let Look { run, rivals, takeover } = look;
        let Some(even_if_alive) = takeover else {
            let open = others.iter().map(|(run, _)| *run).collect();
            let hang = others.iter().all(|(_, process)| process.is_some_and(|process| self.hangs(process)));
            return self.apply(pid, Event::RivalsSeen { run, open, hang });
        };
        let waits =
            |process: Option<ProcessId>| process.is_none_or(|process| self.is_dead(process) || !(even_if_alive || self.hangs(process)));
        if others.iter().any(|(_, process)| waits(*process)) {
            return self.apply(pid, Event::TakeoverRefused { run });
        }
        let hung = others.iter().filter_map(|(_, process)| Some(((*process)?, self.hung_for((*process)?)))).collect();
        self.call(pid, Call::TakeOver { run, rivals, even_if_alive, hung });
    }

    /// A daemon looks every two seconds whether the processes beside it live.
    fn watch(&mut self, pid: ProcessId) {
        let rows = answer(self.store.processes());
        let dead: Vec<ProcessId> = rows.into_iter().map(|row| row.id).filter(|id| self.is_dead(*id)).collect();
        if !dead.is_empty() {
            self.call(pid, Call::Leftover(Burial { dead, set_aside: false, then: Then::Nothing }));
        }
        self.call(pid, Call::FollowUps);
    }

    /// The process is gone at once, with all its threads and whatever the store has not taken yet.
    pub(crate) fn kill(&mut self, pid: ProcessId) {
        let Some(process) = self.processes.remove(&pid) else { return };
        self.trace.note(self.now, pid, "dies", 0, 0);
        self.tally.add(if process.once { "a once killed" } else { "the daemon killed" });
        self.gone(pid);
    }

    /// It left by itself.
    pub(crate) fn leave(&mut self, pid: ProcessId) {
        let Some(process) = self.processes.remove(&pid) else { return };
        self.trace.note(self.now, pid, "leaves", 0, 0);
        self.tally.add(if process.once { "a once ended" } else { "the daemon ended" });
        self.gone(pid);
    }

    fn gone(&mut self, pid: ProcessId) {
        self.laws.process_gone(pid);
        if let Some(daemon) = self.daemon.filter(|daemon| *daemon != pid) {
            let wait = self.rng.below(WATCH_EVERY);
            self.tell(daemon, wait, News::Watch);
        }
        if self.daemon == Some(pid) {
            self.daemon = None;
            let wait = if self.rng.chance(700) { self.rng.below(2000) } else { self.rng.below(self.climate.downtime_max) };
            self.start_later(wait);
        }
    }
}

pub(crate) fn millis(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}
