//! Keeping the store small and safe: what is old goes, and copies are made while work goes on.
use std::path::PathBuf;

use jiff::Timestamp;

use super::Answer;

/// Rows that [`Upkeep::prune_history`] looks at in one transaction: nobody else waits for longer than these take.
pub const PRUNE_PORTION: i64 = 1_000;

/// What came of looking at a portion of the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows that went, or would go.
    pub rows: u64,
    /// Where the next portion begins; `None`: all that is old was looked at.
    pub next: Option<i64>,
}

/// The store's housekeeping.
pub trait Upkeep: Send + Sync + std::fmt::Debug {
    /// Looks at the next [`PRUNE_PORTION`] rows of the history from `from` on, and removes those that ended before, with their attempts. Each instance
    /// keeps its newest row and its newest end, whatever their age. With `dry` they are only counted.
    fn prune_history(&self, before: Timestamp, from: i64, dry: bool) -> Answer<Pruned>;
    /// Brings what was written lately from the log beside the database into the database itself.
    fn checkpoint(&self) -> Answer<()>;
    /// Writes a copy of the whole store, as of one instant, to a new file that only this user can read, and checks that it is whole.
    fn copy(&self, into: PathBuf) -> Answer<()>;
}
