//! Writes at the shops: recorded before they are made, and their fate after.
use std::sync::Arc;

use jiff::Timestamp;

use super::{AccountKey, Guarded, ShopStore};
use crate::{
    access::{Access, Planned},
    shop::{difference::Edit, product::Asin},
    store::{Answer, Fence, StoreResult},
};

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

/// The writes under way.
pub trait Intents: Send + Sync + std::fmt::Debug {
    /// Records a write before it is made.
    fn open_intent(&self, fence: Fence, intent: Intent, at: Timestamp) -> Answer<Guarded<IntentId>>;
    /// Writes down what became of it; the listing takes over what was made.
    fn settle_intent(&self, fence: Fence, id: IntentId, fate: Fate, at: Timestamp) -> Answer<Guarded<()>>;
    /// The edits at a shop whose fate is not known, oldest first.
    fn open_edits(&self, shop: AccountKey) -> Answer<Vec<OpenIntent>>;
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
