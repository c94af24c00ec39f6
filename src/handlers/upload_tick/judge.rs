//! The publish gate: whether an item may be listed, under which words and for how much. Nothing is made at a shop past it.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Tick;
use crate::{
    config::Publish,
    marketplace::shop::NewItem,
    shop::{
        gate::{self, Candidate, Verdict},
        price::{Price, selling_price},
        product::{DatedDetails, Listing, ListingState, Product, Stock},
    },
    store::shop::{CatalogueEntry, Item, ItemError, Settled},
};

/// When something that the next sync may change is looked at again.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// How many the shop has to sell: what is ordered is bought one by one.
const STOCK: u32 = 1;

/// What the gate says of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It is to be listed so.
    List(NewItem),
    /// It is not.
    Not(Settled),
}

/// An error of an item, as it is shown to people.
pub(super) fn item_error(code: &str, text: impl Into<Arc<str>>) -> ItemError {
    ItemError { code: code.into(), text: text.into() }
}

impl Tick<'_> {
    /// Judges an item. `sku`: our own number of it at the shop.
    pub(super) fn judge(&self, item: &Item, entry: &CatalogueEntry, sku: Arc<str>) -> Ruling {
        let CatalogueEntry { product, details, .. } = entry;
        if let Some(settled) = forbidden(item, product, details, self.publish) {
            return Ruling::Not(settled);
        }
        if let Some(elsewhere) = self.elsewhere(entry) {
            return Ruling::Not(Settled::Failed(elsewhere));
        }
        let text = |dated: Option<&String>| gate::clean(dated.map_or("", String::as_str), &self.publish.rules.removed).text;
        let title = text(details.title.as_ref().map(|title| &title.value));
        let description = text(details.description.as_ref().map(|text| &text.value));
        let images = details.images.as_ref().map(|images| images.value.clone()).unwrap_or_default();
        if title.is_empty() {
            return Ruling::Not(Settled::Failed(item_error("no_title", "nothing is left of its title once the removed words are out")));
        }
        let least = usize::try_from(self.publish.min_images).unwrap_or(usize::MAX);
        if images.len() < least {
            let text = format!("it has {} images, and `publish` wants {least}", images.len());
            return Ruling::Not(Settled::Failed(item_error("no_images", text)));
        }
        match self.price(product) {
            Ok(price) => Ruling::List(NewItem {
                sku,
                description: if description.is_empty() { title.clone() } else { description },
                title,
                price,
                stock: STOCK,
                images,
            }),
            Err(settled) => Ruling::Not(settled),
        }
    }

    /// Where a product may be at one shop only: the other one that has it.
    fn elsewhere(&self, entry: &CatalogueEntry) -> Option<ItemError> {
        let is_there = |listing: &&Listing| {
            listing.state == ListingState::Listed && listing.item_id.is_some() && *listing.account != *self.account.account
        };
        let other = entry.listings.iter().find(is_there).filter(|_| self.publish.one_shop)?;
        Some(item_error("elsewhere", format!("it is at {} already, and `publish` says `one_shop`", other.account)))
    }

    /// The price, in yen, by the one pricing function; only for what was freshly seen in stock.
    fn price(&self, product: &Product) -> Result<i64, Settled> {
        let (now, max_age) = (self.now(), self.settings.data_max_age);
        let (Some(cost), Some(stock)) = (product.cost, product.stock) else {
            return Err(later(now, "no_cost", "its cost is not known yet; a sync finds it"));
        };
        if !stock.is_fresh(now, max_age) {
            let text = format!("what is known of its stock is from {:.0}; a sync reads it anew", stock.fetched_at);
            return Err(later(now, "stale", text));
        }
        match stock.value {
            Stock::InStock => {}
            Stock::NoOffer => return Err(later(now, "out_of_stock", "nobody offers it at the moment")),
            Stock::Filtered => return Err(later(now, "out_of_stock", "none of its offers counts at the moment")),
        }
        if !cost.is_fresh(now, max_age) {
            return Err(later(now, "stale", format!("its cost is from {:.0}; a sync reads it anew", cost.fetched_at)));
        }
        let pricing = &self.settings.pricing;
        match selling_price(cost.value, pricing) {
            Price::Sell(price) => {
                if let Some(before) = product.cost_before.filter(|before| pricing.is_deep(pricing.price(*before), price)) {
                    let text = format!(
                        "its cost fell from {before} to {} yen, more than `max_fall` lets pass; a second sync has to say so",
                        cost.value
                    );
                    return Err(later(now, "fell", text));
                }
                if pricing.is_unusual(price, cost.value) {
                    tracing::warn!("{}: {price} yen is unusual for a cost of {} yen", product.asin, cost.value);
                }
                Ok(price)
            }
            Price::AboveMax(price) => {
                let text = format!("it would cost {price} yen, and `max` is {}: it is not sold for less", pricing.max);
                Err(Settled::Failed(item_error("too_dear", text)))
            }
        }
    }
}

/// What the rules have against it. A person's yes opens a review, and never a ban.
fn forbidden(item: &Item, product: &Product, details: &DatedDetails, publish: &Publish) -> Option<Settled> {
    let said = |dated: &Option<crate::shop::product::Dated<String>>| dated.as_ref().map_or_else(String::new, |dated| dated.value.clone());
    let (title, description, brand, category) =
        (said(&details.title), said(&details.description), said(&details.brand), said(&details.category));
    let candidate = Candidate { asin: &product.asin, title: &title, description: &description, brand: &brand, category: &category };
    match gate::judge(&candidate, &publish.rules) {
        Verdict::Pass => None,
        Verdict::Review(_) if item.approved => None,
        Verdict::Review(reasons) => Some(Settled::Questionable(item_error("review", publish.rules.explain(&reasons)))),
        Verdict::Block(reasons) => Some(Settled::Failed(item_error("prohibited", publish.rules.explain(&reasons)))),
    }
}

/// It goes back, uncounted, for something that the next sync may change.
fn later(now: Timestamp, code: &str, text: impl Into<Arc<str>>) -> Settled {
    let until = now.saturating_add(AGAIN_AFTER).unwrap_or(Timestamp::MAX);
    Settled::PutBack { until, counts: false, error: Some(item_error(code, text)) }
}
