//! The shops: what each shows against what is known, and writing the differences.
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use super::{Catalogue, FAILURES_MAX, Sync};
use crate::{
    handlers::HandlerError,
    marketplace::{
        CallError, Concern, Written,
        base::{Shop, Target},
    },
    shop::{
        difference::{Edit, Shown, Want, compare},
        price::Pricing,
        product::{Listing, Product, Stock},
    },
};

/// Products that a warning names; the rest is a number.
const NAMED_MAX: usize = 5;

/// What a shop needs.
#[derive(Debug)]
pub(super) struct Compared<'m> {
    shop: &'m Shop,
    changes: Vec<Change>,
    /// Listings that buyers see now.
    pub(super) visible: usize,
    passed_over: PassedOver,
    /// Prices that are to be written and that a person should look at.
    unusual: Vec<String>,
}

#[derive(Debug)]
struct Change {
    target: Target,
    edit: Edit,
    reason: String,
}

/// Listings that nothing was written for, though nobody can say that they are right.
#[derive(Debug, Default)]
struct PassedOver {
    /// What is known is too old.
    stale: usize,
    /// The shop has no such item.
    missing: usize,
    /// It would cost more than `max`.
    too_dear: Vec<String>,
    /// It is priced below the margin floor, in a run that writes no prices.
    below_floor: usize,
}

impl Compared<'_> {
    /// Notes what a listing needs.
    fn take(&mut self, want: Want, target: Target, product: &Product, pricing: &Pricing) {
        let (edit, reason) = match want {
            Want::Right => return,
            Want::Stale => return self.passed_over.stale += 1,
            Want::BelowFloor => return self.passed_over.below_floor += 1,
            Want::AboveMax { price, edit } => {
                self.passed_over.too_dear.push(format!("{} ({price} yen)", target.asin));
                (edit, format!("would cost {price} yen, more than `max`"))
            }
            Want::Change(edit) => (edit, reason(product)),
        };
        if let Some((price, cost)) = edit.price.zip(product.cost).filter(|(price, cost)| pricing.is_unusual(*price, cost.value)) {
            self.unusual.push(format!("{} ({price} yen for a cost of {})", target.asin, cost.value));
        }
        if !edit.is_empty() {
            self.changes.push(Change { target, edit, reason });
        }
    }

    pub(super) fn hides(&self) -> usize {
        self.changes.iter().filter(|change| is_hide(change.edit)).count()
    }

    pub(super) fn forget_hides(&mut self) {
        self.changes.retain(|change| !is_hide(change.edit));
    }
}

fn is_hide(edit: Edit) -> bool {
    edit.visible == Some(false)
}

/// What was written, for the summary.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// By what was done: `price`, `hide`, `show`, `restock`.
    made: BTreeMap<&'static str, usize>,
    planned: BTreeMap<&'static str, usize>,
    /// Items that could not be changed.
    errors: usize,
    stale: usize,
    missing: usize,
    too_dear: usize,
    below_floor: usize,
    is_closed: bool,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |totals: &BTreeMap<_, usize>, kind| totals.get(kind).copied().unwrap_or(0);
        let kinds = |totals| {
            let prices = of(totals, "price");
            let noun = if prices == 1 { "price" } else { "prices" };
            let restocked = match of(totals, "restock") {
                0 => String::new(),
                count => format!(", {count} restocked"),
            };
            format!("{prices} {noun} changed, {} hidden, {} shown{restocked}", of(totals, "hide"), of(totals, "show"))
        };
        if self.planned.is_empty() {
            write!(f, "; {}", kinds(&self.made))?;
        } else {
            write!(f, "; planned: {}", kinds(&self.planned))?;
        }
        let asides = [
            (self.errors, "not changed because of errors"),
            (self.stale, "left alone as their data is too old"),
            (self.too_dear, "without a price, as they would cost more than `max`"),
            (self.below_floor, "below the margin in a run that writes no prices"),
            (self.missing, "not found at the shop"),
        ];
        for (count, what) in asides.iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        if self.is_closed {
            f.write_str("; closed for now, the rest is left for the next run")?;
        }
        Ok(())
    }
}

impl Sync<'_> {
    /// Compares every shop. One that can't be read is a failure of its own; the others go on.
    pub(super) async fn compare_all<'m>(
        &self,
        listed: &[(&'m Shop, Vec<Listing>)],
        catalogue: &Catalogue,
        failures: &mut Vec<(Arc<str>, CallError)>,
    ) -> Result<Vec<Compared<'m>>, HandlerError> {
        let mut compared = Vec::new();
        for (shop, listings) in listed {
            self.ctx.progress.note(format!("reading the items of {}", shop.key().account));
            match self.compare_shop(shop, listings, catalogue).await {
                Ok(shop) => compared.push(shop),
                Err(error) => self.contain(shop, error, failures)?,
            }
        }
        Ok(compared)
    }

    /// Keeps an account's trouble to that account, unless it is the whole run's.
    fn contain(&self, shop: &Shop, error: CallError, failures: &mut Vec<(Arc<str>, CallError)>) -> Result<(), HandlerError> {
        if matches!(error, CallError::Cancelled | CallError::Fenced | CallError::Store(_)) {
            return Err(self.failure(&error));
        }
        let account = Arc::clone(&shop.key().account);
        tracing::warn!("{account} is left for this run: {error}");
        failures.push((account, error));
        Ok(())
    }

    async fn compare_shop<'m>(&self, shop: &'m Shop, listings: &[Listing], catalogue: &Catalogue) -> Result<Compared<'m>, CallError> {
        let items = shop.items(&self.caller).await?;
        let shown: HashMap<String, (i64, Shown)> =
            items.iter().map(|item| (item.item_id.to_string(), (item.item_id, item.shown()))).collect();
        let left_open = shop.settle_left_open(&self.caller, |item_id| shown.get(item_id).map(|(_, shown)| *shown)).await?;
        if left_open > 0 {
            tracing::info!("{}: looked up {left_open} writes whose fate was open", shop.key().account);
        }
        let mut compared = Compared { shop, changes: Vec::new(), visible: 0, passed_over: PassedOver::default(), unusual: Vec::new() };
        for listing in listings {
            let item = listing.item_id.as_deref().and_then(|item_id| shown.get(item_id));
            let (Some((item_id, shown)), Some(product)) = (item, catalogue.products.get(&listing.asin)) else {
                compared.passed_over.missing += 1;
                continue;
            };
            compared.visible += usize::from(shown.visible);
            let target = Target { asin: listing.asin.clone(), item_id: *item_id, shown: *shown };
            compared.take(compare(product, *shown, &self.settings.rules, self.now()), target, product, &self.settings.rules.pricing);
        }
        compared.tell(listings.len());
        Ok(compared)
    }

    /// Writes what each shop needs. An item that is refused is counted; a shop that fails is left; the others go on.
    pub(super) async fn write_all(
        &self,
        compared: &[Compared<'_>],
        failures: &mut Vec<(Arc<str>, CallError)>,
    ) -> Result<Totals, HandlerError> {
        let (_, read, _) = self.ctx.progress.read();
        let changes: usize = compared.iter().map(|shop| shop.changes.len()).sum();
        self.ctx.progress.set_total(read.saturating_add(u64::try_from(changes).unwrap_or(u64::MAX)));
        let mut totals = Totals::default();
        for shop in compared {
            totals.stale += shop.passed_over.stale;
            totals.missing += shop.passed_over.missing;
            totals.too_dear += shop.passed_over.too_dear.len();
            totals.below_floor += shop.passed_over.below_floor;
            self.ctx.progress.note(format!("changing the items of {}", shop.shop.key().account));
            if let Err(error) = self.write_shop(shop, &mut totals).await {
                self.contain(shop.shop, error, failures)?;
            }
        }
        Ok(totals)
    }

    async fn write_shop(&self, compared: &Compared<'_>, totals: &mut Totals) -> Result<(), CallError> {
        let mut failures = 0;
        for change in &compared.changes {
            if self.caller.cancel.is_cancelled() {
                return Err(CallError::Cancelled);
            }
            if self.is_closed() {
                totals.is_closed = true;
                return Ok(());
            }
            let kind = change.edit.kind();
            match compared.shop.edit(&self.caller, &change.target, change.edit, change.reason.clone()).await {
                Ok(Written::Made) => *totals.made.entry(kind).or_default() += 1,
                Ok(Written::Planned) => *totals.planned.entry(kind).or_default() += 1,
                Err(error) => {
                    let is_the_items = error.concern() == Concern::Item;
                    failures = if is_the_items { 0 } else { failures + 1 };
                    if !is_the_items && (failures >= FAILURES_MAX || error.concern() != Concern::Call) {
                        return Err(error);
                    }
                    tracing::warn!("{} item {} ({}): {error}", compared.shop.key().account, change.target.item_id, change.target.asin);
                    totals.errors += 1;
                    continue;
                }
            }
            failures = 0;
            let (done, ..) = self.ctx.progress.read();
            self.ctx.progress.set_done(done.saturating_add(1));
        }
        Ok(())
    }
}

impl Compared<'_> {
    fn tell(&self, listed: usize) {
        let PassedOver { too_dear, missing, .. } = &self.passed_over;
        let account = &self.shop.key().account;
        tracing::info!(
            "{account}: {listed} listed, {} visible, {} to change, {} of them to hide",
            self.visible,
            self.changes.len(),
            self.hides()
        );
        for (named, what) in [(too_dear, "not priced, as they would cost more than `max`"), (&self.unusual, "an unusual price")] {
            if !named.is_empty() {
                let more = if named.len() > NAMED_MAX { " and others" } else { "" };
                let first = named.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
                tracing::warn!("{account}: {what} ({}): {first}{more}", named.len());
            }
        }
        if *missing > 0 {
            tracing::warn!("{account}: {missing} listings are not at the shop; were they deleted there?");
        }
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
