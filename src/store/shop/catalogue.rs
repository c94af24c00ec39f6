//! Products, and where they are listed.
use std::sync::Arc;

use jiff::Timestamp;

use super::{AccountKey, Guarded, ShopStore};
use crate::{
    access::Access,
    shop::{
        offer::Finding,
        product::{Asin, Listing, Product},
    },
    store::{Answer, Fence, StoreResult},
};

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

/// The catalogue.
pub trait Catalogue: Send + Sync + std::fmt::Debug {
    /// Every product that is listed anywhere, each once: those never fetched first, then the oldest data first.
    fn listed_products(&self) -> Answer<Vec<Product>>;
    /// What is listed at a shop.
    fn listings(&self, shop: AccountKey) -> Answer<Vec<Listing>>;
    /// Takes in listings, and the products they are of. One whose product, SKU or item the shop has already stays as it is. How many were new.
    fn add_listings(&self, listings: Vec<NewListing>, at: Timestamp) -> Answer<usize>;
    /// Takes over what was found, as [`Product::learn`] says.
    fn learn(&self, fence: Fence, findings: Vec<(Asin, Finding)>, at: Timestamp) -> Answer<Guarded<()>>;
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
