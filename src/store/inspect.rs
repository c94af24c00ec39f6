//! Looks at the whole store from outside its rules: is the file whole, do its parts agree, and what was bad when it was looked at last.
use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    Answer, Fence,
    shop::{AccountKey, Guarded},
};
use crate::{
    core::{order::LastRun, task::InstanceName},
    shop::{
        drift::{Drift, Mark},
        product::Asin,
        upload::Work,
    },
};

/// Rows of a kind that one look gives: more than a person reads.
pub const DRIFTS_MAX: usize = 1_000;

/// How full a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Items whose time has come.
    pub due: u32,
    /// Since when the oldest of them is due; for one that was put back, again.
    pub oldest: Option<Timestamp>,
    /// Items that wait for a person: failed or uncertain.
    pub dead: u32,
}

/// What became of a check since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was good, or is new.
    Bad {
        /// Its name.
        check: Arc<str>,
        /// What was found.
        detail: String,
    },
    /// It is good again.
    Good {
        /// Its name.
        check: Arc<str>,
        /// Since when it was bad.
        since: Timestamp,
    },
}

/// Looks at the store as a whole.
pub trait Inspect: Send + Sync + std::fmt::Debug {
    /// What is wrong with the file, in the database's words; nothing: it is whole. Reads all of it.
    fn check_file(&self) -> Answer<Vec<String>>;
    /// Where the store's own parts have come apart, at most [`DRIFTS_MAX`] of a kind. `stale`: what was left before then is not about to be done.
    /// `accounts`: those that there are.
    fn drifts(&self, accounts: Vec<AccountKey>, stale: Timestamp) -> Answer<Vec<Drift>>;
    /// What the upload queue knows of the products at a shop.
    fn upload_marks(&self, shop: AccountKey) -> Answer<BTreeMap<Asin, Mark>>;
    /// How full the queue of a kind of work is, of all accounts or of one.
    fn depth(&self, work: Work, account: Option<Arc<str>>, at: Timestamp) -> Answer<Depth>;
    /// As [`crate::store::RunStore::last_successes`].
    fn last_successes(&self, of: Vec<InstanceName>) -> Answer<Vec<LastRun>>;
    /// Keeps what a run's checks found, each by its name: `None` is good, else what is wrong. What has turned since the last look. Checks that are not
    /// named are forgotten.
    fn keep_health(&self, fence: Fence, found: Vec<(Arc<str>, Option<String>)>, at: Timestamp) -> Answer<Guarded<Vec<Turn>>>;
}
