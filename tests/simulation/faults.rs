//! What goes wrong, and what people do: starts, stops, kills, stopped processes, clocks that jump, edits of tasks.yaml.
use std::sync::Arc;

use jiff::SignedDuration;
use taskrun::{
    core::{
        event::StopReason,
        recover::{Beginning, recover},
        task::{InstanceName, InstanceSet, ProcessId, Trigger},
    },
    store::{Pause, RunStore},
};

use crate::{
    calls::{Call, answer, seen},
    shop,
    world::{News, World},
};

/// More than this many `once` at a time teach nothing new.
const ONCES_MAX: usize = 4;
const TEN_YEARS: i64 = 3653 * 24 * 3_600_000;

impl World {
    /// The daemon starts, which is the same as recovering; it may die again in the middle of it.
    pub(crate) fn start_daemon(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        let (version, at) = (self.file.len() - 1, self.wall());
        let config = self.file[version].clone();
        let me = answer(self.store.register_process(1, false, "daemon".into(), at));
        let marks = answer(self.store.register_instances(seen(&config.instances), true, at));
        self.registered(version, at, &marks);
        let rows = answer(self.store.processes());
        let dead: Vec<ProcessId> = rows.into_iter().map(|row| row.id).filter(|id| *id != me && self.is_dead(*id)).collect();
        let left = answer(self.store.leftover(dead.clone(), true));
        let started_at = at.saturating_add(SignedDuration::from_millis(1)).unwrap();
        let instances = self.known_as(&config.instances);
        let left = self.mistaken_left(left);
        let beginning = Beginning { me, scheduling: true, running_max: config.running_max, instances, marks, left, started_at };
        let (state, commands) = recover(beginning, self.clocks(self.now));
        self.new_process(false, state, version);
        self.daemon = Some(me);
        self.tally.add("starts of the daemon");
        self.trace.note(self.now, me, "starts", 0, 0);
        self.daemon_started(me, &config.instances, started_at);
        self.check_commands(me, &commands);
        self.perform_all(me, commands);
        self.call(me, Call::Forget(dead));
        self.settle(me);
    }

    pub(crate) fn start_once(&mut self, instance: InstanceName) {
        let (version, at) = (self.file.len() - 1, self.wall());
        let config = self.file[version].clone();
        let me = answer(self.store.register_process(2, true, "once".into(), at));
        let instances = self.known_as(&config.instances);
        let running_max = config.running_max;
        let beginning = Beginning { me, scheduling: false, running_max, instances, marks: Vec::new(), left: Vec::new(), started_at: at };
        let (state, commands) = recover(beginning, self.clocks(self.now));
        assert!(commands.is_empty(), "a `once` has nothing to recover");
        self.new_process(true, state, version);
        self.tally.add("starts of a once");
        self.trace.note(self.now, me, "starts as a once", 0, 0);
        self.tell(me, 0, News::Ask(instance, Trigger::Manual));
    }

    pub(crate) fn fault(&mut self) {
        match self.rng.below(100) {
            0..8 => self.kill_one(),
            8..18 => self.freeze_one(),
            18..23 => self.make_one_sluggish(),
            23..29 => self.stop_one(),
            29..46 => self.somebody_starts_once(),
            46..56 => self.somebody_triggers(),
            56..63 => self.edit(),
            63..66 => self.pause_or_resume(),
            66..68 => self.park_or_unpark(),
            68..74 => self.cancel_one(),
            74..77 => self.stalled_until = self.now + self.rng.below(20_000),
            77..85 => self.clock_forward(),
            85..92 => self.clock_back(),
            _ => self.two_once(),
        }
    }

    fn one(&mut self) -> Option<ProcessId> {
        let all: Vec<ProcessId> = self.processes.keys().copied().collect();
        if all.is_empty() { None } else { Some(*self.rng.pick(&all)) }
    }

    fn kill_one(&mut self) {
        if let Some(pid) = self.one() {
            self.kill(pid);
        }
    }

    /// SIGSTOP: it holds what it holds, and does not answer.
    fn freeze_one(&mut self) {
        let wait = if self.rng.chance(500) { self.rng.below(20_000) } else { self.rng.below(300_000) };
        let Some(pid) = self.one() else { return };
        self.begin_to_hang(pid);
        let Some(process) = self.processes.get_mut(&pid).filter(|process| !process.frozen) else { return };
        process.frozen = true;
        self.tally.add("stopped like a debugger does");
        self.trace.note(self.now, pid, "is frozen", wait, 0);
        self.thaw_later(pid, wait);
    }

    /// It works, but its socket does not answer: swapping, or stuck.
    fn make_one_sluggish(&mut self) {
        let until = self.now + self.rng.below(120_000);
        let Some(pid) = self.one() else { return };
        self.begin_to_hang(pid);
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.sluggish_until = until;
        process.hung_last = until;
        self.tally.add("slow to answer");
        self.trace.note(self.now, pid, "is slow to answer", 0, 0);
    }

    fn stop_one(&mut self) {
        let twice = self.rng.chance(250).then(|| self.rng.below(5000));
        if let Some(pid) = self.one() {
            self.tell(pid, 0, News::Signal);
            if let Some(wait) = twice {
                self.tell(pid, wait, News::Signal);
            }
        }
    }

    fn some_instance(&mut self) -> Option<InstanceName> {
        let names: Vec<InstanceName> = self.file.last()?.instances.keys().cloned().collect();
        if names.is_empty() { None } else { Some(self.rng.pick(&names).clone()) }
    }

    fn somebody_starts_once(&mut self) {
        if ONCES_MAX <= self.processes.values().filter(|process| process.once).count() {
            return;
        }
        if let Some(instance) = self.some_instance() {
            self.start_once(instance);
        }
    }

    fn two_once(&mut self) {
        if let Some(instance) = self.some_instance() {
            self.start_once(instance.clone());
            self.start_once(instance);
        }
    }

    /// `taskrun trigger`, sometimes by somebody whose script loops.
    fn somebody_triggers(&mut self) {
        let times = if self.rng.chance(60) { 40 } else { 1 };
        if let (Some(daemon), Some(instance)) = (self.daemon, self.some_instance()) {
            for _ in 0..times {
                self.tell(daemon, 0, News::Ask(instance.clone(), Trigger::Api));
            }
        }
    }

    fn edit(&mut self) {
        if !self.climate.reloads {
            return;
        }
        let next = shop::next(&mut self.rng, self.file.last());
        self.file.push(next);
        let wait = self.rng.below(5000);
        if let Some(daemon) = self.daemon.filter(|_| self.rng.chance(900)) {
            self.tell(daemon, wait, News::Reload);
        }
    }

    fn pause_or_resume(&mut self) {
        let pauses = answer(self.store.pauses());
        if let Some(pause) = pauses.first().filter(|_| self.rng.chance(600)) {
            answer(self.store.resume(pause.name.clone()));
            return;
        }
        let until = self.rng.chance(700).then(|| self.wall().saturating_add(shop::secs(self.rng.below(600))).unwrap());
        if let Some(instance) = self.some_instance() {
            let pause = Pause { name: instance.to_string(), until, reason: None, since: self.wall() };
            answer(self.store.pause(pause));
            self.tally.add("pauses");
        }
    }

    /// A shop's limit is used up, or it refuses us; and later not any more.
    fn park_or_unpark(&mut self) {
        if let Some(account) = self.laws.parks.keys().next().cloned().filter(|_| self.rng.chance(600)) {
            self.laws.parks.remove(&account);
            answer(self.store.unpark(&account));
            return;
        }
        let until = self.rng.chance(700).then(|| self.wall().saturating_add(shop::secs(self.rng.below(1200))).unwrap());
        let account = *self.rng.pick(&["base_1", "base_2"]);
        self.laws.parks.insert(account.to_owned(), until);
        answer(self.store.park(account, until, "practice"));
        self.tally.add("parks");
    }

    /// `taskrun cancel`: through the daemon for its own runs, through the store for the others.
    fn cancel_one(&mut self) {
        let open = self.laws.open_runs();
        if open.is_empty() {
            return;
        }
        let run = *self.rng.pick(&open);
        self.tally.add("cancelled by hand");
        if let Some(daemon) = self.daemon.filter(|_| self.rng.chance(500)) {
            self.tell(daemon, 0, News::CancelByHand(run));
        } else {
            self.laws.cancelled_by_hand(run);
            answer(self.store.ask_stop(run, StopReason::Cancelled));
            self.stops_changed(ProcessId(0));
        }
    }

    fn clock_forward(&mut self) {
        let by = match self.rng.below(100) {
            0..50 => self.rng.below(90_000),
            50..97 => self.rng.below(3 * 3_600_000),
            _ if self.wall().as_millisecond() < self.climate.begins.as_millisecond() + TEN_YEARS / 2 => TEN_YEARS,
            _ => self.rng.below(24 * 3_600_000),
        };
        self.tally.add("clock jumps forward");
        self.trace.note(self.now, ProcessId(0), "clock forward", by, 0);
        self.jump(by);
    }

    fn clock_back(&mut self) {
        if !self.climate.set_back {
            return;
        }
        let by = match self.rng.below(100) {
            0..50 => self.rng.below(90_000),
            50..95 => self.rng.below(3 * 3_600_000),
            _ => self.rng.below(2 * 24 * 3_600_000),
        };
        self.tally.add("clock jumps back");
        self.trace.note(self.now, ProcessId(0), "clock back", by, 0);
        self.jump(-by);
    }

    /// The storm is over: what hung goes on, what was down starts, pauses end.
    pub(crate) fn clear_up(&mut self) {
        for pid in self.processes.keys().copied().collect::<Vec<_>>() {
            self.thaw_now(pid);
            if let Some(process) = self.processes.get_mut(&pid) {
                process.sluggish_until = self.now;
                process.hung_last = process.hung_last.min(self.now);
            }
        }
        self.stalled_until = self.now;
        for pause in answer(self.store.pauses()) {
            answer(self.store.resume(pause.name));
        }
        for (account, _) in std::mem::take(&mut self.laws.parks) {
            answer(self.store.unpark(&account));
        }
        self.start_later(0);
        self.laws.calm(self.now);
    }

    /// What a process believes tasks.yaml says; the same as it says, but for a planted bug.
    pub(crate) fn known_as(&self, instances: &InstanceSet) -> InstanceSet {
        let believed = |instance: &Arc<taskrun::core::task::Instance>| match self.bug {
            Some(bug) => bug.misread(instance),
            None => Arc::clone(instance),
        };
        instances.iter().map(|(name, instance)| (name.clone(), believed(instance))).collect()
    }
}
