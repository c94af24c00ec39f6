//! Supplies: which item of a source backs which listing at Amazon, what stock that listing is to show, and what Amazon was told.
use std::sync::Arc;

use jiff::Timestamp;

use super::Guarded;
use crate::{
    core::task::{RunId, words},
    store::{Answer, Fence},
};

words! {
    /// How a supply stands.
    SupplyState {
        /// An item of its source backs it.
        Backed = "backed",
        /// Its item is gone: the listing shows no stock, and waits for another item.
        Gone = "gone",
        /// Its item is gone, and the listing is to be deleted at Amazon.
        Withdraw = "withdraw",
        /// The listing is deleted at Amazon.
        Withdrawn = "withdrawn",
    }
}

/// Which listing: a seller's account at Amazon, and its own number of what it sells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SupplyKey {
    /// The seller's name in tasks.yaml.
    pub account: Arc<str>,
    /// The seller's own number.
    pub sku: Arc<str>,
}

/// A listing at Amazon and the item that backs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Which listing.
    pub key: SupplyKey,
    /// Where the goods come from, as under `sources` in tasks.yaml.
    pub source: Arc<str>,
    /// The source's number of the item; of those that are there no two listings share one.
    pub item: Arc<str>,
    /// What to search for when the item is gone; `None`: nothing takes its place.
    pub query: Option<Arc<str>>,
    /// What another item may cost, in yen.
    pub max_price: Option<i64>,
    /// How often a day it is looked at: 2 or 4.
    pub checks_per_day: u8,
    /// The stock that the listing shows when an item backs it.
    pub restock: u32,
    /// The folder of its images, below the root that `delete_old_items` names.
    pub images: Option<Arc<str>>,
    /// How it stands.
    pub state: SupplyState,
    /// The stock that Amazon is to show.
    pub wanted: u32,
    /// The stock that Amazon was told last; `None`: it was told none.
    pub pushed: Option<u32>,
    /// What the item cost when it was seen last, in yen.
    pub price: Option<i64>,
    /// Since when its item is gone.
    pub gone_at: Option<Timestamp>,
    /// When its source last said how the item stands.
    pub checked_at: Option<Timestamp>,
    /// When it last came to another state or item.
    pub changed_at: Timestamp,
    /// When a listing was last searched another item for.
    pub searched_at: Option<Timestamp>,
}

/// What a person says of a supply. What is absent stays as it is; a new one needs none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupplyRow {
    /// Which listing.
    pub key: SupplyKey,
    /// Where the goods come from.
    pub source: Arc<str>,
    /// The item.
    pub item: Arc<str>,
    /// What to search for when it is gone.
    pub query: Option<Arc<str>>,
    /// What another may cost, in yen.
    pub max_price: Option<i64>,
    /// 2 or 4; 2 for a new one.
    pub checks_per_day: Option<u8>,
    /// The stock to show; 1 for a new one.
    pub restock: Option<u32>,
    /// The folder of its images.
    pub images: Option<Arc<str>>,
}

words! {
    /// What became of a row.
    TakenIn {
        /// It was not known.
        Added = "added",
        /// It says something else than what was known.
        Changed = "changed",
        /// All of it was known.
        Same = "same",
        /// The item backs another listing.
        Taken = "taken",
    }
}

/// Which supplies are wanted.
#[derive(Clone, Debug, Default)]
pub struct SupplyFilter {
    /// Of this source.
    pub source: Option<Arc<str>>,
    /// Of this seller.
    pub account: Option<Arc<str>>,
    /// In this state.
    pub state: Option<SupplyState>,
    /// At most this many.
    pub limit: usize,
}

/// What is to be put into the queue of checks.
#[derive(Clone, Debug)]
pub struct ChecksDue {
    /// Of which source.
    pub source: Arc<str>,
    /// Since when a check counts, for those that are checked twice a day.
    pub twice_since: Timestamp,
    /// The same for those that are checked four times a day.
    pub four_since: Timestamp,
    /// At most this many.
    pub limit: usize,
}

/// What one run has found of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The source said how they stand.
    pub checked: u32,
    /// Of these, the items that are gone, and nothing follows from it yet.
    pub missing: u32,
}

words! {
    /// What follows from the items that a run found gone.
    Missing {
        /// Their listings show no stock.
        OutOfStock = "out_of_stock",
        /// Their listings are deleted at Amazon.
        Withdraw = "withdraw",
        /// Nothing: too many at once look like a fault.
        Forget = "forget",
    }
}

/// An item that may take the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// The source's number of it.
    pub item: Arc<str>,
    /// What it costs, in yen.
    pub price: i64,
}

/// What became of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The new item backs the listing, and Amazon is to show stock again.
    Made,
    /// The new item backs another listing.
    Taken,
    /// The listing does not wait for one (any more).
    NotWanted,
}

/// How many supplies of a source are in a state, and of them those whose stock Amazon was not told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupplyCount {
    /// The source.
    pub source: Arc<str>,
    /// The state.
    pub state: SupplyState,
    /// How many.
    pub supplies: u32,
    /// Amazon has not been told yet.
    pub unpushed: u32,
    /// When the one that was looked at longest ago was looked at; `None`: one never was.
    pub oldest_check: Option<Timestamp>,
}

/// The supplies. What runs write carries their fence; what a person imports does not.
pub trait Supplies: Send + Sync + std::fmt::Debug {
    /// Takes in rows, all in one transaction; what became of each, in order. A row with another item than before makes the listing backed again.
    fn take_in_supplies(&self, rows: Vec<SupplyRow>, at: Timestamp) -> Answer<Vec<TakenIn>>;
    /// Supplies as a filter wants them, by seller and number.
    fn supplies(&self, filter: SupplyFilter) -> Answer<Vec<Supply>>;
    /// One supply.
    fn supply(&self, key: SupplyKey) -> Answer<Option<Supply>>;
    /// How many there are, by source and state.
    fn supply_counts(&self) -> Answer<Vec<SupplyCount>>;

    /// Queues a check of each supply that has had none since its class's slot began, those first that were checked longest ago. How many were queued;
    /// a supply is queued once a slot, whoever asks, and one whose check is a dead letter for killing workers is not.
    fn queue_checks(&self, fence: Fence, due: ChecksDue, at: Timestamp) -> Answer<Guarded<u32>>;
    /// The supplies whose checks a run would do now: those that it would queue, and those whose checks wait already.
    fn checks_due(&self, due: ChecksDue) -> Answer<Vec<Supply>>;
    /// The item is still on sale. False: another item backs the listing by now.
    fn supply_seen(&self, fence: Fence, key: SupplyKey, item: Arc<str>, price: Option<i64>, at: Timestamp) -> Answer<Guarded<bool>>;
    /// The item is gone; what follows is for [`Supplies::settle_missing`] to say. False: it does not back the listing (any more).
    fn supply_missing(&self, fence: Fence, key: SupplyKey, item: Arc<str>, at: Timestamp) -> Answer<Guarded<bool>>;
    /// What a run has found of a source so far, whichever of its attempts did.
    fn found(&self, run: RunId, source: Arc<str>) -> Answer<Found>;
    /// Ends what this run found gone, all in one transaction. The listings that it concerns.
    fn settle_missing(&self, fence: Fence, source: Arc<str>, what: Missing, at: Timestamp) -> Answer<Guarded<Vec<SupplyKey>>>;

    /// Queues a search for each supply that waits for another item and has a query, unless one was made since. How many were queued.
    fn queue_replacements(&self, fence: Fence, source: Arc<str>, since: Timestamp, limit: usize, at: Timestamp) -> Answer<Guarded<u32>>;
    /// Another item takes the place of `gone`.
    fn replace_supply(&self, fence: Fence, key: SupplyKey, gone: Arc<str>, new: NewItem, at: Timestamp) -> Answer<Guarded<Replaced>>;
    /// A search found nothing: the supply goes on waiting.
    fn supply_searched(&self, fence: Fence, key: SupplyKey, at: Timestamp) -> Answer<Guarded<()>>;

    /// What Amazon is to be told: seller's numbers and stock, those that changed first come first.
    fn stock_to_push(&self, account: Arc<str>, limit: usize) -> Answer<Vec<(Arc<str>, u32)>>;
    /// Amazon was told this stock.
    fn stock_pushed(&self, fence: Fence, account: Arc<str>, told: Vec<(Arc<str>, u32)>, at: Timestamp) -> Answer<Guarded<()>>;
    /// The listings of a seller that are to be deleted at Amazon.
    fn listings_to_withdraw(&self, account: Arc<str>, limit: usize) -> Answer<Vec<Arc<str>>>;
    /// They are deleted at Amazon.
    fn listings_withdrawn(&self, fence: Fence, account: Arc<str>, skus: Vec<Arc<str>>, at: Timestamp) -> Answer<Guarded<()>>;

    /// Those without stock that Amazon knows to be so, or that are withdrawn, and that have not changed since `before`; the longest ago first.
    fn expired_supplies(&self, before: Timestamp, limit: usize) -> Answer<Vec<Supply>>;
    /// Forgets a supply, if it has not changed since `before` and is still expired. False: it is not.
    fn delete_supply(&self, fence: Fence, key: SupplyKey, before: Timestamp) -> Answer<Guarded<bool>>;
}
