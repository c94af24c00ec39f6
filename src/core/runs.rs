//! The open runs of this process, with the orders in which the core looks at them: by instance, by place in the queue, by the next thing to happen.
//!
//! Whatever changes a run goes through `Runs::change`, which keeps the orders true; so a step costs the same with ten open runs and ten thousand.
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    state::{Active, Phase},
    task::{InstanceName, RunId},
};

/// The open runs of this process.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    all: BTreeMap<RunId, Active>,
    of: BTreeMap<InstanceName, BTreeSet<RunId>>,
    /// Runs that wait for a place: a person's first, then by fire time.
    queue: BTreeSet<(bool, Timestamp, RunId)>,
    timers: BTreeSet<(SignedDuration, RunId)>,
    /// When runs that wait for a limit go on.
    not_yet: BTreeSet<(Timestamp, RunId)>,
    /// Runs that wait for others to end, or for named locks.
    waiters: BTreeSet<RunId>,
    /// How many take one of the places that `max_running` bounds.
    taken: usize,
}

impl Runs {
    /// How many runs are open.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether no run is open.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// An open run.
    pub fn get(&self, run: RunId) -> Option<&Active> {
        self.all.get(&run)
    }

    /// Whether the run is open here.
    pub fn contains(&self, run: RunId) -> bool {
        self.all.contains_key(&run)
    }

    /// Every open run, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (RunId, &Active)> {
        self.all.iter().map(|(run, active)| (*run, active))
    }

    /// The numbers of every open run, oldest first.
    pub fn ids(&self) -> Vec<RunId> {
        self.all.keys().copied().collect()
    }

    /// The open runs of an instance, oldest first.
    pub fn of<'a>(&'a self, name: &InstanceName) -> impl Iterator<Item = (RunId, &'a Active)> + use<'a> {
        self.of.get(name).into_iter().flatten().filter_map(|run| Some((*run, self.all.get(run)?)))
    }

    /// Runs that wait for others to end, or for named locks.
    pub(super) fn waiters(&self) -> Vec<RunId> {
        self.waiters.iter().copied().collect()
    }

    /// How many take a place.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// The run that is next to get a place, and whether it needs a free one.
    pub(super) fn next_in_queue(&self) -> Option<(RunId, bool)> {
        self.queue.first().map(|(needs_place, _, run)| (*run, *needs_place))
    }

    /// The runs for which something is to be done by then, soonest first.
    pub(super) fn due(&self, uptime: SignedDuration) -> Vec<RunId> {
        self.timers.iter().take_while(|(at, _)| *at <= uptime).map(|(_, run)| *run).collect()
    }

    /// When something is next to be done.
    pub(super) fn wake_at(&self) -> Option<SignedDuration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The runs that may go on by then, soonest first.
    pub(super) fn rested(&self, wall: Timestamp) -> Vec<RunId> {
        self.not_yet.iter().take_while(|(at, _)| *at <= wall).map(|(_, run)| *run).collect()
    }

    /// When a run may next go on.
    pub(super) fn goes_on_at(&self) -> Option<Timestamp> {
        self.not_yet.first().map(|(at, _)| *at)
    }

    pub(super) fn insert(&mut self, run: RunId, active: Active) {
        self.remove(run);
        self.index(run, &active);
        self.all.insert(run, active);
    }

    pub(super) fn remove(&mut self, run: RunId) -> Option<Active> {
        let active = self.all.remove(&run)?;
        self.unindex(run, &active);
        Some(active)
    }

    /// Changes an open run; `None` if it is not open here.
    pub(super) fn change<T>(&mut self, run: RunId, change: impl FnOnce(&mut Active) -> T) -> Option<T> {
        let mut active = self.remove(run)?;
        let result = change(&mut active);
        self.insert(run, active);
        Some(result)
    }

    fn index(&mut self, run: RunId, active: &Active) {
        self.of.entry(active.instance.name.clone()).or_default().insert(run);
        if let Some(at) = active.wake_at() {
            self.timers.insert((at, run));
        }
        if let Some(at) = active.goes_on_at() {
            self.not_yet.insert((at, run));
        }
        if active.phase == Phase::Queued {
            self.queue.insert((!active.by_hand(), active.fire_at, run));
        }
        if active.phase.waits() {
            self.waiters.insert(run);
        }
        if active.takes_place() {
            self.taken = self.taken.saturating_add(1);
        }
    }

    fn unindex(&mut self, run: RunId, active: &Active) {
        if let Some(of) = self.of.get_mut(&active.instance.name) {
            of.remove(&run);
            if of.is_empty() {
                self.of.remove(&active.instance.name);
            }
        }
        if let Some(at) = active.wake_at() {
            self.timers.remove(&(at, run));
        }
        if let Some(at) = active.goes_on_at() {
            self.not_yet.remove(&(at, run));
        }
        self.queue.remove(&(!active.by_hand(), active.fire_at, run));
        self.waiters.remove(&run);
        if active.takes_place() {
            self.taken = self.taken.saturating_sub(1);
        }
    }
}
