//! What is on its way to a seller's listings at Amazon: single changes, and feeds with many.
//!
//! A push is written down before it goes out and forgotten once Amazon's answer is kept. One that stays without a feed is doubtful: Amazon may or may
//! not have it, so the listing is told anew what it is to show, whatever it was told before.
use std::sync::Arc;

use jiff::Timestamp;

use super::{Guarded, IntentId};
use crate::store::{Answer, Fence};

/// What a listing is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The seller's own number.
    pub sku: Arc<str>,
    /// How many there are to sell; `None`: the listing is to be deleted.
    pub stock: Option<u32>,
}

/// A push that Amazon refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was refused.
    pub push: Push,
    /// Amazon's word for why.
    pub code: Arc<str>,
    /// What it said.
    pub text: Arc<str>,
    /// When.
    pub at: Timestamp,
}

/// A feed's number in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedRow(pub i64);

/// The feed of a seller that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFeed {
    /// Its number here.
    pub row: FeedRow,
    /// Amazon's number of it; `None`: it was about to be handed in, and whether it was is not known.
    pub feed_id: Option<Arc<str>>,
    /// When it was about to be handed in.
    pub at: Timestamp,
    /// How many listings it is about.
    pub messages: u32,
}

/// How a feed ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEnd {
    /// Amazon said of each listing what became of it. What is left of it in the store was not accounted for.
    Done,
    /// Amazon gave it up, or never had it.
    Failed(Arc<str>),
}

/// The pushes.
pub trait Feeds: Send + Sync + std::fmt::Debug {
    /// Writes down a push before it is made. One of the same listing that was doubtful is doubtful no more: this one is newer.
    fn open_push(&self, fence: Fence, account: Arc<str>, push: Push, at: Timestamp) -> Answer<Guarded<IntentId>>;
    /// A push was not made, or Amazon's answer to it is kept.
    fn close_push(&self, fence: Fence, id: IntentId) -> Answer<Guarded<()>>;
    /// The listings that may or may not have been told something.
    fn doubtful_pushes(&self, account: Arc<str>, limit: usize) -> Answer<Vec<Arc<str>>>;
    /// What Amazon has taken is kept elsewhere: these are over, and no refusal of them stands any more.
    fn end_pushes(&self, fence: Fence, account: Arc<str>, skus: Vec<Arc<str>>) -> Answer<Guarded<()>>;
    /// Amazon has refused these: they are over.
    fn refuse_pushes(&self, fence: Fence, account: Arc<str>, refused: Vec<Refusal>) -> Answer<Guarded<()>>;
    /// What Amazon has refused, by listing.
    fn refusals(&self, account: Arc<str>) -> Answer<Vec<Refusal>>;

    /// The feed that is in flight; a seller has one at most.
    fn open_feed(&self, account: Arc<str>) -> Answer<Option<OpenFeed>>;
    /// Writes down a feed before it is handed in, its messages numbered from 1 in this order. `None`: there is one in flight.
    fn begin_feed(&self, fence: Fence, account: Arc<str>, pushes: Vec<Push>, at: Timestamp) -> Answer<Guarded<Option<FeedRow>>>;
    /// Amazon has it under this number.
    fn feed_submitted(&self, fence: Fence, row: FeedRow, feed_id: Arc<str>) -> Answer<Guarded<()>>;
    /// What it is about: message numbers and pushes of which Amazon's answer is not kept yet.
    fn feed_pushes(&self, row: FeedRow) -> Answer<Vec<(u32, Push)>>;
    /// It is over. Pushes of it that are left become doubtful.
    fn end_feed(&self, fence: Fence, row: FeedRow, end: FeedEnd, at: Timestamp) -> Answer<Guarded<()>>;
    /// Amazon's numbers of a seller's feeds that were ours.
    fn feed_ids(&self, account: Arc<str>) -> Answer<Vec<Arc<str>>>;
}
