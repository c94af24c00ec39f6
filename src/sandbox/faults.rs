//! Trouble on demand: by route and count, and offers that a test wants otherwise than the rule says.
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// A number of requests that go wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The requests: those whose path begins so.
    pub route: &'static str,
    /// How many.
    pub times: u32,
    /// What happens to them.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The answer comes later than that, in real time.
    Delay(Duration),
    /// Nothing is done, and this status is answered with the side's usual body.
    Status(u16),
    /// Nothing is done, and a page of HTML comes back.
    Html,
    /// All is done, and the connection breaks before the answer.
    DropAnswer,
}

/// What Amazon says of a product, against the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Nobody offers it.
    NoOffer,
    /// Only slow offers.
    Filtered,
    /// Buyable at this price.
    Cost(i64),
    /// The item's own answer within the batch is this status.
    ItemError(u16),
    /// No data: `ActiveButTooSoonForProcessing`.
    TooSoon,
}

/// The trouble that is still to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    queue: Mutex<Vec<Fault>>,
    forced: Mutex<HashMap<String, Force>>,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// The trouble that meets this request, and one less of it to come.
    pub(super) fn meet(&self, path: &str) -> Option<FaultKind> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = queue.iter_mut().find(|fault| fault.times > 0 && path.starts_with(fault.route))?;
        fault.times -= 1;
        Some(fault.kind)
    }

    pub(super) fn force(&self, asin: &str, force: Option<Force>) {
        let mut forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        match force {
            Some(force) => forced.insert(asin.to_owned(), force),
            None => forced.remove(asin),
        };
    }

    pub(super) fn forced(&self, asin: &str) -> Option<Force> {
        self.forced.lock().unwrap_or_else(PoisonError::into_inner).get(asin).copied()
    }
}
