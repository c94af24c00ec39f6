//! The handler `sync_inventory`: what Amazon offers, brought to price and visibility of every listing at the shops.
//!
//! First all offers are read (oldest data first, kept batch by batch, so that a run that stops goes on from there), then every shop is compared
//! with what is known, then the differences are written. A hide is the costly mistake, so what would hide too much hides nothing.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use jiff::Timestamp;

use super::{AttemptContext, Handler, HandlerError, Report};
use crate::{
    access::Caller,
    clock::BoxFuture,
    errors::chain,
    marketplace::{CallError, Market, amazon::Seller, base::Shop},
    shop::{
        difference::brake_trips,
        product::{Asin, Listing, Product},
        quota::Purpose,
    },
    store::shop::ShopStore,
};

mod fetch;
mod pricing;
mod settings;
mod shops;

use fetch::Fetched;
pub use settings::SPEC;
use settings::Settings;
use shops::{Compared, Totals};

/// Consecutive calls that fail for passing reasons before the side that fails them is given up for this attempt.
const FAILURES_MAX: u32 = 3;

/// The handler.
#[derive(Debug)]
pub struct SyncInventory {
    market: Arc<Market>,
    store: Arc<dyn ShopStore>,
}

impl SyncInventory {
    /// A handler that calls these marketplaces and keeps what it finds there.
    pub fn new(market: Arc<Market>, store: Arc<dyn ShopStore>) -> Self {
        Self { market, store }
    }
}

impl Handler for SyncInventory {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(async move {
            let result = self.sync(ctx).await;
            self.market.at_rest().await;
            result
        })
    }
}

/// One attempt: what it may do, and until when.
struct Sync<'a> {
    ctx: &'a AttemptContext,
    caller: Caller,
    store: &'a dyn ShopStore,
    settings: Settings,
}

/// What is known of the products that are listed, in the order in which they are to be looked at.
#[derive(Debug, Default)]
struct Catalogue {
    products: BTreeMap<Asin, Product>,
    order: Vec<Asin>,
}

impl SyncInventory {
    async fn sync(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let sync =
            Sync { ctx, caller: ctx.caller(Purpose::Sync), store: self.store.as_ref(), settings: Settings::read(&ctx.params, ctx.fire_at) };
        let listed = sync.listed(self.shops_of(ctx)?).await?;
        let mut catalogue = sync.catalogue(&listed).await?;
        if catalogue.order.is_empty() {
            return Ok(Report { summary: "nothing is listed".to_owned() });
        }
        let phases = sync.settings.rules.phases;
        let fetched = if phases.fetch { sync.fetch(self.seller(&sync.settings)?, &mut catalogue).await? } else { Fetched::left_out() };
        if fetched.is_closed {
            return Ok(Report { summary: format!("{fetched}; closed for now, the rest is left for the next run") });
        }
        tracing::info!("{fetched}");
        if !phases.price && !phases.visibility {
            return Ok(Report { summary: fetched.to_string() });
        }
        let mut failures = Vec::new();
        let mut compared = sync.compare_all(&listed, &catalogue, &mut failures).await?;
        let brake = sync.brake(&mut compared);
        let totals = sync.write_all(&compared, &mut failures).await?;
        sync.report(&fetched, &totals, brake, &failures)
    }

    /// The shops that the run is for: the instance's account, or all.
    fn shops_of(&self, ctx: &AttemptContext) -> Result<Vec<&Shop>, HandlerError> {
        let wanted = |name: &Arc<str>| ctx.instance.account.as_ref().is_none_or(|account| account == name);
        let shops: Vec<_> = self.market.shops().iter().filter(|(name, _)| wanted(name)).map(|(_, shop)| shop).collect();
        if shops.is_empty() {
            let message = "there is no BASE shop to sync: none is configured, or it is disabled".to_owned();
            return Err(HandlerError::Permanent { message });
        }
        Ok(shops)
    }

    fn seller(&self, settings: &Settings) -> Result<&Seller, HandlerError> {
        let sellers = self.market.sellers();
        let found = match &settings.source {
            Some(name) => sellers.get(name),
            None => sellers.values().next().filter(|_| sellers.len() == 1),
        };
        let message = || match &settings.source {
            Some(name) => format!("`source: {name}` is not an enabled Amazon account"),
            None if sellers.is_empty() => "there is no Amazon account to read offers with".to_owned(),
            None => "there are several Amazon accounts; name one in `source`".to_owned(),
        };
        found.ok_or_else(|| HandlerError::Permanent { message: message() })
    }
}

impl Sync<'_> {
    fn now(&self) -> Timestamp {
        self.caller.now()
    }

    /// Whether no new item is to be taken: the business hours are over.
    fn is_closed(&self) -> bool {
        self.ctx.closes_at.is_some_and(|closes_at| closes_at <= self.now())
    }

    /// What each shop has listed. Shops without listings are left out.
    async fn listed<'m>(&self, shops: Vec<&'m Shop>) -> Result<Vec<(&'m Shop, Vec<Listing>)>, HandlerError> {
        let mut listed = Vec::new();
        for shop in shops {
            let listings = self.store.listings(shop.key().clone()).await.map_err(|error| self.failure(&error.into()))?;
            if !listings.is_empty() {
                listed.push((shop, listings));
            }
        }
        Ok(listed)
    }

    /// The products of these listings, each once, however many shops have it.
    async fn catalogue(&self, listed: &[(&Shop, Vec<Listing>)]) -> Result<Catalogue, HandlerError> {
        let wanted: BTreeSet<_> = listed.iter().flat_map(|(_, listings)| listings).map(|listing| &listing.asin).collect();
        let products = self.store.listed_products().await.map_err(|error| self.failure(&error.into()))?;
        let mut catalogue = Catalogue::default();
        for product in products.into_iter().filter(|product| wanted.contains(&product.asin)) {
            catalogue.order.push(product.asin.clone());
            catalogue.products.insert(product.asin.clone(), product);
        }
        Ok(catalogue)
    }

    /// Takes every hide out of what is to be written, if together they are too many. The reason, for the end.
    fn brake(&self, compared: &mut [Compared<'_>]) -> Option<String> {
        let visible = compared.iter().map(|shop| shop.visible).sum();
        let hides = compared.iter().map(Compared::hides).sum();
        if !brake_trips(hides, visible, self.settings.max_hide) {
            return None;
        }
        compared.iter_mut().for_each(Compared::forget_hides);
        let reason = format!(
            "brake: {hides} of {visible} visible listings would have been hidden, more than `max_hide` allows ({}); nothing was hidden. \
             If they are really gone, run once with `--set max_hide=100%`",
            percent(self.settings.max_hide)
        );
        tracing::error!("{reason}");
        Some(reason)
    }

    fn report(
        &self,
        fetched: &Fetched,
        totals: &Totals,
        brake: Option<String>,
        failures: &[(Arc<str>, CallError)],
    ) -> Result<Report, HandlerError> {
        let summary = format!("{fetched}{totals}");
        if brake.is_none() && failures.is_empty() {
            return Ok(Report { summary });
        }
        let mut message = summary;
        for (account, error) in failures {
            _ = write!(message, "; {account} failed: {}", chain(error));
        }
        if let Some(brake) = brake {
            _ = write!(message, "; {brake}");
        }
        if failures.iter().any(|(_, error)| error.is_passing()) {
            let retry_after = failures.iter().filter_map(|(_, error)| error.retry_after(self.now())).max();
            return Err(HandlerError::Transient { message, retry_after });
        }
        Err(HandlerError::Permanent { message })
    }

    /// What an error means for the attempt as a whole.
    fn failure(&self, error: &CallError) -> HandlerError {
        match error {
            CallError::Cancelled => HandlerError::Cancelled,
            CallError::Fenced => HandlerError::Fenced,
            error if error.is_passing() => HandlerError::Transient { message: chain(error), retry_after: error.retry_after(self.now()) },
            error => HandlerError::Permanent { message: chain(error) },
        }
    }
}

/// Millionths as people write a share: `5%`, `2.5%`.
fn percent(millionths: i64) -> String {
    let (whole, rest) = (millionths / 10_000, millionths % 10_000);
    let rest = format!("{rest:04}");
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { format!("{whole}%") } else { format!("{whole}.{rest}%") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_shown_as_they_are_written() {
        for (millionths, text) in [(50_000, "5%"), (25_000, "2.5%"), (1_000_000, "100%"), (100, "0.01%")] {
            assert_eq!(percent(millionths), text);
        }
    }
}
