//! Comparing: what a shop shows against what is known.
use std::collections::{HashMap, VecDeque};

use super::{Catalogue, Sync, delist::Gone, tally::Tally};
use crate::{
    marketplace::{
        CallError,
        base::{Shop, Target},
    },
    shop::{
        difference::{Edit, Shown, Want, compare, withhold},
        product::{Listing, Product, Stock},
    },
};

/// What a shop needs.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) hides: VecDeque<Change>,
    pub(super) others: VecDeque<Change>,
    /// Listings that are not in the shop's list.
    pub(super) gone: Vec<Gone>,
    /// An item of a listing that is there.
    pub(super) live: Option<i64>,
    pub(super) named: Named,
}

/// A change to be written.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) target: Target,
    pub(super) edit: Edit,
    pub(super) reason: String,
}

/// What a person should look at, by name.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Listed, as the books say, under no number that the shop could know.
    pub(super) numberless: Vec<String>,
    pub(super) banned: Vec<String>,
    pub(super) too_dear: Vec<String>,
    pub(super) below_floor: Vec<String>,
    pub(super) fallen: Vec<String>,
    pub(super) unusual: Vec<String>,
}

impl Sync<'_> {
    /// Reads what a shop shows, settles what earlier runs left open there, and finds what differs.
    pub(super) async fn compare(
        &self,
        shop: &Shop,
        listings: &[Listing],
        catalogue: &Catalogue,
        tally: &mut Tally,
    ) -> Result<Compared, CallError> {
        let account = &shop.key().account;
        self.ctx.progress.note(format!("reading the items of {account}"));
        let shown: HashMap<i64, Shown> = shop.items(&self.caller).await?.iter().map(|item| (item.item_id, item.shown())).collect();
        let left_open = shop.settle_left_open(&self.caller, |item_id| shown.get(&item_id).copied()).await?;
        if left_open > 0 {
            let writes = if left_open == 1 { "write" } else { "writes" };
            tracing::info!("{account}: looked up {left_open} {writes} whose fate was open");
        }
        let mut compared = Compared::default();
        for listing in listings {
            let Some(item_id) = listing.item_id.as_deref().and_then(|item_id| item_id.parse().ok()) else {
                compared.named.numberless.push(listing.asin.to_string());
                continue;
            };
            let Some(shown) = shown.get(&item_id) else {
                compared.gone.push(Gone { asin: listing.asin.clone(), item_id });
                continue;
            };
            compared.live.get_or_insert(item_id);
            tally.visible += usize::from(shown.visible);
            if let Some(why) = catalogue.bans.get(&listing.asin) {
                if let Want::Change(edit) = withhold(*shown, &self.settings.rules) {
                    compared.named.banned.push(listing.asin.to_string());
                    let target = Target { asin: listing.asin.clone(), item_id, shown: *shown };
                    compared.take(Change { target, edit, reason: why.clone() });
                }
                continue;
            }
            // Without one, it is beyond `max_items`.
            let Some(product) = catalogue.products.get(&listing.asin) else { continue };
            let want = compare(product, *shown, &self.settings.rules, self.now());
            let target = || Target { asin: listing.asin.clone(), item_id, shown: *shown };
            if let Some((edit, reason)) = self.wanted(want, product, *shown, &mut compared.named, tally) {
                compared.take(Change { target: target(), edit, reason });
            }
        }
        tally.hides = compared.hides.len();
        tally.missing = compared.gone.len();
        tally.numberless = compared.named.numberless.len();
        tracing::info!(
            "{account}: {} listed, {} visible, {} to change and {} to hide",
            listings.len(),
            tally.visible,
            compared.others.len(),
            compared.hides.len()
        );
        Ok(compared)
    }

    /// The change that a listing needs, and why; what else is wanted is noted.
    fn wanted(&self, want: Want, product: &Product, shown: Shown, named: &mut Named, tally: &mut Tally) -> Option<(Edit, String)> {
        let asin = &product.asin;
        let (edit, reason) = match want {
            Want::Right => return None,
            Want::Stale => {
                tally.stale += 1;
                return None;
            }
            Want::BelowFloor => {
                tally.below_floor += 1;
                named.below_floor.push(asin.to_string());
                return None;
            }
            Want::AboveMax { price, edit } => {
                tally.too_dear += 1;
                named.too_dear.push(format!("{asin} ({price} yen)"));
                (edit, format!("would cost {price} yen, more than `max`"))
            }
            Want::Fell { price, edit } => {
                tally.fallen += 1;
                named.fallen.push(format!("{asin} ({} to {price} yen)", shown.price));
                (edit, reason(product))
            }
            Want::Change(edit) => (edit, reason(product)),
        };
        let pricing = &self.settings.rules.pricing;
        if let Some((price, cost)) = edit.price.zip(product.cost).filter(|(price, cost)| pricing.is_unusual(*price, cost.value)) {
            named.unusual.push(format!("{asin} ({price} yen for a cost of {})", cost.value));
        }
        (!edit.is_empty()).then_some((edit, reason))
    }
}

impl Compared {
    fn take(&mut self, change: Change) {
        let is_hide = change.edit.visible == Some(false);
        if is_hide { self.hides.push_back(change) } else { self.others.push_back(change) }
    }
}

/// Why an item is changed, in a few words.
fn reason(product: &Product) -> String {
    match (product.stock.map(|stock| stock.value), product.cost) {
        (Some(Stock::InStock), Some(cost)) => format!("costs {} yen", cost.value),
        (Some(Stock::NoOffer), _) => "no offers".to_owned(),
        (Some(Stock::Filtered), _) => "no offer that counts".to_owned(),
        (Some(Stock::InStock) | None, _) => String::new(),
    }
}

/// The first few names of a list, for a sentence.
pub(super) fn few(names: &[String]) -> String {
    const NAMED_MAX: usize = 5;
    let more = if names.len() > NAMED_MAX { " and others" } else { "" };
    format!("{}{more}", names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", "))
}
