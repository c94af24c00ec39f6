//! Listings that a shop no longer knows: taken out of the books by a run, put back by a person.
use std::sync::Arc;

use jiff::Timestamp;

use super::{AccountKey, Guarded, ShopStore};
use crate::{
    access::{Access, Planned},
    shop::product::Asin,
    store::{Answer, Fence, StoreResult},
};

/// A listing that was taken out of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delisted {
    /// The product.
    pub asin: Asin,
    /// The number that the shop had given it.
    pub item_id: Option<Arc<str>>,
    /// When.
    pub at: Timestamp,
    /// Why, in a sentence.
    pub why: Arc<str>,
}

/// What became of taking a listing out of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenOut {
    /// It was in them, and is no more.
    Made,
    /// It was noted in the plan: this is a dry run.
    Planned,
    /// It was not in them.
    NotThere,
}

/// What was taken out of the books.
pub trait Delistings: Send + Sync + std::fmt::Debug {
    /// Takes a listing out of the books: from now on it is not compared and not written. False: it is not in them.
    fn delist(&self, fence: Fence, shop: AccountKey, asin: Asin, why: Arc<str>, at: Timestamp) -> Answer<Guarded<bool>>;
    /// Puts a listing back that was taken out. False: it is not among those.
    fn undo_delist(&self, shop: AccountKey, asin: Asin) -> Answer<bool>;
    /// What was taken out at a shop, newest first.
    fn delisted(&self, shop: AccountKey) -> Answer<Vec<Delisted>>;
}

/// Takes a listing out of the books, as far as the run may write.
///
/// # Errors
/// When the store fails.
pub async fn delist(
    store: &dyn ShopStore,
    access: &Access,
    (shop, asin): (&AccountKey, &Asin),
    why: &str,
    at: Timestamp,
) -> StoreResult<Guarded<TakenOut>> {
    let planned = || Planned {
        kind: "delist",
        target: format!("{} {asin}", shop.account),
        change: "listed -> delisted".to_owned(),
        reason: why.to_owned(),
    };
    let Some(fence) = access.permit(planned) else { return Ok(Guarded::Done(TakenOut::Planned)) };
    Ok(match store.delist(fence.clone(), shop.clone(), asin.clone(), why.into(), at).await? {
        Guarded::Done(true) => Guarded::Done(TakenOut::Made),
        Guarded::Done(false) => Guarded::Done(TakenOut::NotThere),
        Guarded::Fenced => Guarded::Fenced,
    })
}
