//! What listing needs of a shop, whatever its platform. A new platform is a folder that implements [`Shop`], and a line in [`Market::shop`].
//!
//! A write has two halves, so that nothing stands between the store's leave and the request: [`Shop::ready`] waits for all that must be had first,
//! then the caller writes down under its fence what it is about to do, then the write goes out, and is never broken off.
use std::{fmt, sync::Arc};

use jiff::Timestamp;

use super::{CallError, Market, token};
use crate::{
    access::{Caller, Planned},
    clock::BoxFuture,
    shop::{product::Platform, upload::Step},
    store::shop::AccountKey,
};

/// What is to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// Our own number of it, by which it is found again.
    pub sku: Arc<str>,
    /// Its name.
    pub title: String,
    /// What people read about it.
    pub description: String,
    /// In yen, tax included.
    pub price: i64,
    /// How many there are to sell.
    pub stock: u32,
    /// Addresses of its pictures, the main one first: for shops that want them with the item.
    pub images: Vec<String>,
}

/// An item as the shop has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The shop's number of it.
    pub item_id: Arc<str>,
    /// In yen.
    pub price: i64,
    /// Whether people see it.
    pub visible: bool,
}

/// All that a write needs was had: a token, and a place in the limits. It is good for one write that goes out at once.
#[derive(Debug)]
pub struct Ready(pub(super) token::Access);

/// A shop that products can be listed at.
pub trait Shop: Send + Sync + fmt::Debug {
    /// Whose shop it is.
    fn key(&self) -> &AccountKey;

    /// How many pictures an item gets at most, each by a write of its own; 0: they go with the item.
    fn images_max(&self) -> u8;

    /// When all calls of a listing with so many pictures may go out, as far as the limits tell; `None`: now.
    fn full_until<'a>(&'a self, caller: &'a Caller, images: u8) -> BoxFuture<'a, Result<Option<Timestamp>, CallError>>;

    /// Waits for what a step needs. `None` in a dry run, where it is noted instead: without this nothing is written.
    fn ready<'a>(&'a self, caller: &'a Caller, step: Step, planned: Planned) -> BoxFuture<'a, Result<Option<Ready>, CallError>>;

    /// Makes an item, visible at once. An error of which [`CallError::may_have_been_made`] is true leaves open whether it was made.
    fn create<'a>(&'a self, caller: &'a Caller, ready: Ready, item: &'a NewItem) -> BoxFuture<'a, Result<Made, CallError>>;

    /// Gives an item its picture of this number, from 1. A repeat changes nothing.
    fn add_image<'a>(
        &'a self,
        caller: &'a Caller,
        ready: Ready,
        item_id: &'a str,
        image: (u8, &'a str),
    ) -> BoxFuture<'a, Result<(), CallError>>;

    /// The items with our number `sku` that were made after `since`, as the shop knows them at this moment; more than one is one too many.
    fn find<'a>(&'a self, caller: &'a Caller, sku: &'a str, since: Timestamp) -> BoxFuture<'a, Result<Vec<Made>, CallError>>;

    /// An item by the shop's number; `None`: it is not there.
    fn look<'a>(&'a self, caller: &'a Caller, item_id: &'a str) -> BoxFuture<'a, Result<Option<Made>, CallError>>;
}

impl Market {
    /// The shop of an account, for listing; `None` where none is configured, or it is disabled, or nothing is listed there.
    pub fn shop(&self, key: &AccountKey) -> Option<&dyn Shop> {
        match key.platform {
            Platform::Amazon => None,
            Platform::Base => self.shops.get(&key.account).map(|shop| shop as &dyn Shop),
            Platform::Ebay => self.ebay.get(&key.account).map(|shop| shop as &dyn Shop),
        }
    }
}
