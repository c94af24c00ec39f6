//! What handlers keep: the catalogue, what was taken out of it, the writes under way at the shops, tokens, quotas and parks. One file a topic.
use std::sync::Arc;

use crate::shop::product::Platform;

mod catalogue;
mod credentials;
mod delistings;
mod feeds;
mod intents;
mod parks;
mod queue;
mod quotas;
mod removals;
mod settings;
mod supplies;
mod tokens;
mod work;

pub use catalogue::{
    Catalogue, CatalogueEntry, CatalogueFilter, CatalogueRow, CostRow, DataAge, NewListing, PriceRow, Weighed, keep_findings,
};
pub use credentials::{CredentialCheck, Credentials, Verdict};
pub use delistings::{Delisted, Delistings, TakenOut, delist};
pub use feeds::{FeedEnd, FeedRow, Feeds, OpenFeed, Push, Refusal};
pub use intents::{Fate, Intent, IntentId, Intents, OpenIntent, settle_open};
pub use parks::{Park, Parked, Parks};
pub use queue::{
    AddReport, AddRequest, Added, Batch, Begun, Cap, ClaimRequest, Claimed, Count, Disobeyed, Item, ItemError, ItemFilter, Lease, Moved,
    NextStep, Ordered, Queue, Settled, StepState, Target, Today, Wanted, Which,
};
pub use quotas::{Demand, Limit, QuotaKey, QuotaRow, Quotas};
pub use removals::{OldSupply, Removals};
pub use settings::{Setting, Settings};
pub use supplies::{
    ChecksDue, Found, Missing, NewItem, Replaced, Supplies, Supply, SupplyCount, SupplyFilter, SupplyKey, SupplyRow, SupplyState, TakenIn,
};
pub use tokens::{Claim, Claimant, NoPair, Token, TokenPair, Tokens};
pub use work::{DEATHS_MAX, Job, JobCount, JobEnd, JobFilter, POISON, Reclaimed, WorkLane, WorkQueue};

/// The answer to a write that carries a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarded<T> {
    /// It was made.
    Done(T),
    /// The run's generation is below its instance's floor: nothing was changed.
    Fenced,
}

/// Whose: an account of a platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// The platform.
    pub platform: Platform,
    /// The name in tasks.yaml.
    pub account: Arc<str>,
}

/// The handlers' part of the store.
///
/// Each method is one transaction. Catalogue, delistings and intents carry the run's [`Fence`](super::Fence); tokens, quotas and parks do not: what a marketplace
/// has counted, rotated or refused is so, whoever asked, even in a dry run.
pub trait ShopStore:
    Catalogue + Delistings + Intents + Tokens + Quotas + Parks + Queue + Credentials + Settings + Removals + Supplies + WorkQueue + Feeds
{
}
