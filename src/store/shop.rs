//! What handlers keep: the catalogue, the writes under way at the shops, tokens and quotas.
use std::sync::Arc;

use jiff::Timestamp;

use super::{Answer, Fence, StoreResult};
use crate::{
    access::{Access, Planned},
    core::value::Secret,
    shop::{
        difference::Edit,
        offer::Finding,
        product::{Asin, Listing, Platform, Product},
        quota::{Place, Rule},
    },
};

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

/// A listing to be taken into the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewListing {
    /// The product; it is taken in too where it is new.
    pub asin: Asin,
    /// Its name, for people.
    pub title: Option<String>,
    /// The shop.
    pub shop: AccountKey,
    /// The shop's number of it.
    pub item_id: Option<Arc<str>>,
    /// Our own number of it at the shop.
    pub sku: Arc<str>,
}

/// A write at a shop that is about to be made, or may have been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The shop.
    pub shop: AccountKey,
    /// The product.
    pub asin: Asin,
    /// The shop's number of it.
    pub item_id: Arc<str>,
    /// What is to be changed.
    pub edit: Edit,
}

/// An intent's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentId(pub i64);

/// An intent whose fate nobody has written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    /// Its number.
    pub id: IntentId,
    /// What was to be written.
    pub intent: Intent,
}

/// What became of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The shop shows it.
    Made,
    /// The shop does not show it.
    NotMade,
}

/// An account's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What calls carry; `None` until the first refresh.
    pub access: Option<Secret>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// What the next pair is bought with.
    pub refresh: Secret,
    /// Counts the pairs.
    pub generation: i64,
}

/// A pair of tokens as an authorisation server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPair {
    /// What calls carry.
    pub access: Secret,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What the next pair is bought with; `None`: the same as before.
    pub refresh: Option<Secret>,
}

/// The answer to whoever wants to refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Go on, with this; nobody else will until then.
    Yours(Token),
    /// Somebody else has refreshed meanwhile.
    Renewed(Token),
    /// Somebody else is at it.
    Busy,
}

/// What is counted: the calls of one operation, by one application, for one seller or shop. Never a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaKey {
    /// The client id of our application.
    pub application: Arc<str>,
    /// The account.
    pub account: Arc<str>,
    /// The operation, or `calls` where all share one limit.
    pub operation: &'static str,
}

/// Catalogue, intents, tokens and quotas: the handlers' part of the store.
///
/// Each method is one transaction. Catalogue and intents carry the run's [`Fence`]; tokens and quotas do not: what a marketplace has counted or
/// rotated is so, whoever asked, even in a dry run.
pub trait ShopStore: Send + Sync + std::fmt::Debug {
    /// Every product that is listed anywhere, each once: those never fetched first, then the oldest data first.
    fn listed_products(&self) -> Answer<Vec<Product>>;
    /// What is listed at a shop.
    fn listings(&self, shop: AccountKey) -> Answer<Vec<Listing>>;
    /// Takes in listings, and the products they are of. One whose product, SKU or item the shop has already stays as it is. How many were new.
    fn add_listings(&self, listings: Vec<NewListing>, at: Timestamp) -> Answer<usize>;
    /// Takes over what was found, as [`Product::learn`] says.
    fn learn(&self, fence: Fence, findings: Vec<(Asin, Finding)>, at: Timestamp) -> Answer<Guarded<()>>;

    /// Records a write before it is made.
    fn open_intent(&self, fence: Fence, intent: Intent, at: Timestamp) -> Answer<Guarded<IntentId>>;
    /// Writes down what became of it; the listing takes over what was made.
    fn settle_intent(&self, fence: Fence, id: IntentId, fate: Fate, at: Timestamp) -> Answer<Guarded<()>>;
    /// The writes at a shop whose fate is not known, oldest first.
    fn open_intents(&self, shop: AccountKey) -> Answer<Vec<OpenIntent>>;

    /// An account's tokens. A refresh token in the configuration is the first one, and when it is changed there, the first one again.
    fn token(&self, account: AccountKey, configured: Option<Secret>) -> Answer<Option<Token>>;
    /// Asks to be the one who refreshes, until `until` at most. `generation` is the pair that the caller knows.
    fn claim_refresh(&self, account: AccountKey, generation: i64, at: Timestamp, until: Timestamp) -> Answer<Claim>;
    /// Keeps a new pair, durably, in place of pair `generation`, and ends the claim. False: that pair is no longer the newest.
    fn keep_token(&self, account: AccountKey, generation: i64, pair: TokenPair) -> Answer<bool>;
    /// Ends the claim without a new pair.
    fn release_refresh(&self, account: AccountKey, generation: i64) -> Answer<()>;

    /// Takes a place that comes no later than `latest`, by [`crate::shop::quota::take`]. A rate that was learned counts before the rule's.
    fn take_place(&self, key: QuotaKey, rule: Rule, at: Timestamp, latest: Timestamp) -> Answer<Place>;
    /// The marketplace says that the limit is used up.
    fn exhaust(&self, key: QuotaKey, rule: Rule, at: Timestamp) -> Answer<()>;
    /// The marketplace says how far apart calls have to be, in milliseconds.
    fn learn_interval(&self, key: QuotaKey, interval_ms: i64) -> Answer<()>;
}

/// Keeps what a run has found, as far as the run may write.
///
/// # Errors
/// When the store fails.
pub async fn keep_findings(
    store: &dyn ShopStore,
    access: &Access,
    findings: Vec<(Asin, Finding)>,
    at: Timestamp,
) -> StoreResult<Guarded<()>> {
    match access.fence() {
        Some(fence) => store.learn(fence.clone(), findings, at).await,
        None => Ok(Guarded::Done(())),
    }
}

/// Settles a write whose answer was lost, or that an earlier run left open, as far as the run may write.
///
/// # Errors
/// When the store fails.
pub async fn settle_open(store: &dyn ShopStore, access: &Access, open: &OpenIntent, fate: Fate, at: Timestamp) -> StoreResult<Guarded<()>> {
    let planned = || Planned {
        kind: "settle",
        target: format!("{} item {} ({})", open.intent.shop.account, open.intent.item_id, open.intent.asin),
        change: match fate {
            Fate::Made => "was made".to_owned(),
            Fate::NotMade => "was not made".to_owned(),
        },
        reason: "its answer was lost".to_owned(),
    };
    match access.permit(planned) {
        Some(fence) => store.settle_intent(fence.clone(), open.id, fate, at).await,
        None => Ok(Guarded::Done(())),
    }
}
