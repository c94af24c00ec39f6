//! What earlier attempts of a run have done, so that the next one does only the rest, and the end tells of all.
//!
//! It is kept in memory: a process that dies forgets it, which costs a comparison that finds nothing left to change.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{brake::Vote, tally::Tally};
use crate::core::task::RunId;

/// Runs that are remembered. A run that was set aside is not heard of again; one instance has seldom more than one under way.
const RUNS_MAX: usize = 16;

/// The runs that are under way.
#[derive(Debug, Default)]
pub(super) struct Pasts(Mutex<BTreeMap<RunId, Past>>);

/// What a run has done so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    pub(super) shops: BTreeMap<Arc<str>, ShopPast>,
    /// The notice that data is old went out.
    pub(super) has_told_stale: bool,
    /// The notice of the brake went out; why it tripped.
    pub(super) braked: Option<String>,
}

/// What a run has done at a shop.
#[derive(Clone, Debug, Default)]
pub(super) struct ShopPast {
    /// Nothing is left to do there.
    pub(super) is_done: bool,
    pub(super) tally: Tally,
    /// Why a person has to see to it; the run fails for it at its end.
    pub(super) problem: Option<String>,
}

impl Pasts {
    pub(super) fn of(&self, run: RunId) -> Past {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned().unwrap_or_default()
    }

    pub(super) fn keep(&self, run: RunId, past: Past) {
        let mut pasts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pasts.insert(run, past);
        while pasts.len() > RUNS_MAX {
            pasts.pop_first();
        }
    }

    /// The run is over.
    pub(super) fn forget(&self, run: RunId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }
}

impl Past {
    pub(super) fn is_done(&self, account: &str) -> bool {
        self.shops.get(account).is_some_and(|shop| shop.is_done)
    }

    /// What the shops that are done would have hidden.
    pub(super) fn votes(&self) -> Vec<Vote> {
        let done = self.shops.iter().filter(|(_, shop)| shop.is_done);
        done.map(|(account, shop)| Vote { account: Arc::clone(account), hides: shop.tally.hides, visible: shop.tally.visible }).collect()
    }

    /// What was done at all shops together.
    pub(super) fn total(&self) -> Tally {
        self.shops.values().fold(Tally::default(), |total, shop| total.and(&shop.tally))
    }

    /// Takes over what an attempt has done at a shop.
    pub(super) fn take(&mut self, account: Arc<str>, tally: Tally, is_done: bool, problem: Option<String>) {
        let shop = self.shops.entry(account).or_default();
        shop.tally = tally.after(&shop.tally);
        shop.is_done = is_done;
        shop.problem = shop.problem.take().or(problem);
    }
}
