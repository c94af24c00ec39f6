//! Keeping the store small and safe: what is old goes, and copies are made while work goes on.
use std::path::PathBuf;

use jiff::Timestamp;

use super::{Answer, inspect::Inspect};

/// Rows that [`Upkeep::prune`] looks at in one transaction: nobody else waits for longer than these take.
pub const PRUNE_PORTION: i64 = 1_000;

/// What grows old in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    /// Runs and skips that ended, with their attempts. Each instance keeps its newest row and its newest end.
    History,
    /// Work that is done or was given up. Of each product or other subject the newest stays, and so does what may have been made at a shop unseen.
    Work,
    /// Work that failed and waited for a person; not what may have been made at a shop unseen.
    DeadLetters,
    /// Changes of prices. Of each product, at each shop, the newest stays.
    Prices,
    /// Changes of costs. Of each product the newest stays.
    Costs,
}

/// What came of looking at a portion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows that went, or would go.
    pub rows: u64,
    /// Where the next portion begins; `None`: all that is old was looked at.
    pub next: Option<i64>,
}

/// The store's housekeeping.
pub trait Upkeep: Inspect {
    /// Looks at the next [`PRUNE_PORTION`] rows from `from` on, and removes those that ended before. With `dry` they are only counted.
    fn prune(&self, what: Old, before: Timestamp, from: i64, dry: bool) -> Answer<Pruned>;
    /// The names of all instances that were ever registered or ran.
    fn instance_names(&self) -> Answer<Vec<String>>;
    /// Brings what was written lately from the log beside the database into the database itself.
    fn checkpoint(&self) -> Answer<()>;
    /// Writes a copy of the whole store, as of one instant, to a new file that only this user can read, and checks that it is whole.
    fn copy(&self, into: PathBuf) -> Answer<()>;
}
