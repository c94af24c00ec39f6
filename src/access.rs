//! What an attempt may do to the outside, and where it shows how far it is. Handlers and marketplaces share these.
#![warn(missing_docs)]
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, shop::quota::Purpose, store::Fence};

/// What a call to the outside needs to know of the attempt that makes it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Fires when the attempt should stop.
    pub cancel: CancellationToken,
    /// What it may do.
    pub access: Access,
    /// Where it shows what it waits for.
    pub progress: Progress,
    /// Whose share of a limit its calls count as.
    pub purpose: Purpose,
}

impl Caller {
    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.clock.now().wall
    }
}

/// What an attempt may do to the outside.
///
/// [`Access::permit`] and [`Access::fence`] are the only places that tell a dry run from a live one: whoever writes asks one of them first, so
/// handlers need no `if`.
#[derive(Clone, Debug)]
pub enum Access {
    /// Writes go out, each under the run's fence.
    Live(Fence),
    /// No write goes out; it is noted in the plan instead.
    Dry(Plan),
}

/// What a dry run would have written, with reasons, in order.
#[derive(Clone, Debug, Default)]
pub struct Plan(Arc<Mutex<Vec<Planned>>>);

/// One write that a dry run did not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What kind of write, for the totals: `price`, `hide`, `show`, `command`.
    pub kind: &'static str,
    /// On what: `base_account_1 item 501 (B0TEST0001)`.
    pub target: String,
    /// From what to what.
    pub change: String,
    /// Why.
    pub reason: String,
}

impl Access {
    /// The fence that a write must carry; `None` in a dry run. For writes that are not worth a line of the plan each.
    pub fn fence(&self) -> Option<&Fence> {
        match self {
            Self::Live(fence) => Some(fence),
            Self::Dry(_) => None,
        }
    }

    /// The fence that a write must carry; `None` in a dry run, where the write is noted instead.
    pub fn permit(&self, planned: impl FnOnce() -> Planned) -> Option<&Fence> {
        match self {
            Self::Live(fence) => Some(fence),
            Self::Dry(plan) => {
                plan.note(planned());
                None
            }
        }
    }
}

impl Plan {
    /// Notes a write.
    pub fn note(&self, planned: Planned) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(planned);
    }

    /// Everything noted so far.
    pub fn planned(&self) -> Vec<Planned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How far an attempt is. Cheap to update from anywhere; read by status, the bar and the log.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<ProgressCells>);

#[derive(Debug, Default)]
struct ProgressCells {
    moves: AtomicU64,
    done: AtomicU64,
    total: AtomicU64,
    idle: AtomicBool,
    note: Mutex<String>,
}

impl Progress {
    /// How many items there are, once that is known. Zero: unknown.
    pub fn set_total(&self, total: u64) {
        let before = self.0.total.swap(total, Ordering::Relaxed);
        self.moved_if(before != total);
    }

    /// How many items are done.
    pub fn set_done(&self, done: u64) {
        let before = self.0.done.swap(done, Ordering::Relaxed);
        self.moved_if(before != done);
    }

    /// There was nothing to do.
    pub fn set_idle(&self) {
        self.0.idle.store(true, Ordering::Relaxed);
    }

    /// Whether there was nothing to do.
    pub fn is_idle(&self) -> bool {
        self.0.idle.load(Ordering::Relaxed)
    }

    /// What is being done right now: `waiting for the offers quota`.
    pub fn note(&self, note: impl Into<String>) {
        let note = note.into();
        let before = std::mem::replace(&mut *self.0.note.lock().unwrap_or_else(PoisonError::into_inner), note.clone());
        self.moved_if(before != note);
    }

    /// Something moved that is not counted: a program has printed something.
    pub fn touch(&self) {
        self.moved_if(true);
    }

    fn moved_if(&self, moved: bool) {
        self.0.moves.fetch_add(u64::from(moved), Ordering::Relaxed);
    }

    /// Grows whenever something moves: whoever looks at it now and then sees whether anything has.
    pub fn moves(&self) -> u64 {
        self.0.moves.load(Ordering::Relaxed)
    }

    /// Items done, items in all (zero: unknown), and the note.
    pub fn read(&self) -> (u64, u64, String) {
        let note = self.0.note.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.0.done.load(Ordering::Relaxed), self.0.total.load(Ordering::Relaxed), note)
    }
}
