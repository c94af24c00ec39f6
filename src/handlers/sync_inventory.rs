//! The handler `sync_inventory`: what Amazon offers, brought to price and visibility of every listing at the shops.
//!
//! First all offers are read (oldest data first, kept batch by batch, so that a run that stops goes on from there), then every shop is compared
//! with what is known, then the differences are written. A hide is the costly mistake, so what would hide too much hides nothing.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{AttemptContext, Handler, HandlerError, Report, parking};
use crate::{
    access::Caller,
    clock::BoxFuture,
    core::value::decimal_text,
    errors::chain,
    marketplace::{CallError, Market, amazon::Seller, base::Shop},
    shop::{
        gate::Rules,
        product::{Asin, Listing, Product},
        quota::Purpose,
    },
    store::shop::{Parked, ShopStore},
};

mod bans;
mod brake;
mod compare;
mod delist;
mod fail_if;
mod fetch;
mod past;
mod report;
mod settings;
mod shops;
mod tally;
mod write;

use bans::Bans;
use fetch::Fetched;
use past::{Past, Pasts};
use settings::Settings;
pub use settings::{SPEC, data_max_age};

/// Consecutive calls that fail for passing reasons before the side that fails them is given up for this attempt.
const FAILURES_MAX: u32 = 3;

/// Products that are to be listed and are read in one run: more than the shops list until the next one, and ten minutes of the offers' quota.
const AHEAD_MAX: usize = 1000;

/// The handler.
#[derive(Debug)]
pub struct SyncInventory {
    market: Arc<Market>,
    store: Arc<dyn ShopStore>,
    pasts: Pasts,
    gate: Option<Arc<Rules>>,
}

impl SyncInventory {
    /// A handler that calls these marketplaces and keeps what it finds there.
    pub fn new(market: Arc<Market>, store: Arc<dyn ShopStore>) -> Self {
        Self { market, store, pasts: Pasts::default(), gate: None }
    }

    /// Hides what may not be listed by these rules.
    #[must_use]
    pub fn behind(self, gate: Option<Arc<Rules>>) -> Self {
        Self { gate, ..self }
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
    bans: Bans,
}

impl SyncInventory {
    async fn sync(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let settings = Settings::read(&ctx.params, ctx.fire_at);
        let sync = Sync { ctx, caller: ctx.caller(Purpose::Sync), store: self.store.as_ref(), settings };
        let listed = sync.listed(self.shops_of(ctx)?).await?;
        let mut catalogue = sync.catalogue(&listed).await?;
        if catalogue.order.is_empty() {
            return self.read_ahead(&sync, 0, Report { summary: "nothing is listed".to_owned() }).await;
        }
        if let Some(why) = sync.all_parked(&listed).await? {
            return Err(HandlerError::Permanent { message: format!("nothing can be brought in line: {why}") });
        }
        if let Some(rules) = &self.gate {
            catalogue.bans = sync.bans(rules).await?;
        }
        let mut past = self.past(&sync);
        let result = self.work(&sync, &listed, &mut catalogue, &mut past).await;
        if let Some(fence) = sync.caller.access.fence() {
            match &result {
                Ok(_) | Err(HandlerError::Permanent { .. } | HandlerError::Fenced) => self.pasts.forget(fence.run),
                Err(HandlerError::Transient { .. } | HandlerError::NotYet { .. } | HandlerError::Cancelled) => {
                    self.pasts.keep(fence.run, past);
                }
            }
        }
        result
    }

    /// What earlier attempts of this run have done. A dry run has none: it changes nothing that the next attempt could go on from.
    fn past(&self, sync: &Sync<'_>) -> Past {
        sync.caller.access.fence().map(|fence| self.pasts.of(fence.run)).unwrap_or_default()
    }

    async fn work(
        &self,
        sync: &Sync<'_>,
        listed: &[(&Shop, Vec<Listing>)],
        catalogue: &mut Catalogue,
        past: &mut Past,
    ) -> Result<Report, HandlerError> {
        let phases = sync.settings.rules.phases;
        let fetched = if phases.fetch {
            let fetched = sync.fetch(self.seller(&sync.settings)?, catalogue).await;
            match &fetched {
                Ok(_) => sync.tell_stale(catalogue, past, false),
                Err(HandlerError::Transient { .. } | HandlerError::Permanent { .. }) => sync.tell_stale(catalogue, past, true),
                Err(HandlerError::NotYet { .. } | HandlerError::Cancelled | HandlerError::Fenced) => {}
            }
            let fetched = fetched?;
            if fetched.is_closed {
                return Ok(Report { summary: fetched.to_string() });
            }
            tracing::info!("{fetched}");
            Some(fetched)
        } else {
            sync.tell_stale(catalogue, past, false);
            None
        };
        let unfinished = if phases.price || phases.visibility { sync.attend_all(listed, catalogue, past).await? } else { Vec::new() };
        let report = sync.report(fetched.as_ref(), catalogue.order.len(), past, &unfinished)?;
        self.read_ahead(sync, catalogue.order.len(), report).await
    }

    /// At last, what is to be listed: it needs a cost and a stock that are fresh. What buyers see comes first.
    async fn read_ahead(&self, sync: &Sync<'_>, read: usize, report: Report) -> Result<Report, HandlerError> {
        let mut meant = sync.meant(self.shops_of(sync.ctx)?, read).await?;
        if !sync.settings.rules.phases.fetch || meant.order.is_empty() || sync.is_closed() {
            return Ok(report);
        }
        let fetched = sync.fetch(self.seller(&sync.settings)?, &mut meant).await?;
        Ok(Report { summary: format!("{}; to be listed: {fetched}", report.summary) })
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

    /// The products of these listings, each once, however many shops have it; at most `max_items`, which holds for a run and not for each attempt.
    async fn catalogue(&self, listed: &[(&Shop, Vec<Listing>)]) -> Result<Catalogue, HandlerError> {
        let wanted: BTreeSet<_> = listed.iter().flat_map(|(_, listings)| listings).map(|listing| &listing.asin).collect();
        let mut products = self.store.listed_products().await.map_err(|error| self.failure(&error.into()))?;
        products.retain(|product| wanted.contains(&product.asin));
        if let Some(most) = self.settings.max_items {
            // What this run has read has the newest data by now, and would be the last to be taken again.
            products.sort_by_key(|product| !self.is_read(product));
            products.truncate(most);
        }
        let order = products.iter().map(|product| product.asin.clone()).collect();
        Ok(Catalogue { products: products.into_iter().map(|product| (product.asin.clone(), product)).collect(), order, bans: Bans::new() })
    }

    /// Whether this run has read the product's offers. What comes from a time that is still to come was read before the clock was set back.
    fn is_read(&self, product: &Product) -> bool {
        product.stock.is_some_and(|stock| self.ctx.fire_at <= stock.fetched_at && stock.fetched_at <= self.now())
    }

    /// The next products that are to be listed at these shops; as many as a run may still read.
    async fn meant(&self, shops: Vec<&Shop>, read: usize) -> Result<Catalogue, HandlerError> {
        let most = self.settings.max_items.map_or(AHEAD_MAX, |most| most.saturating_sub(read).min(AHEAD_MAX));
        // What is due later than that is read by the next sync.
        let due = self.now().saturating_add(self.settings.rules.data_max_age).unwrap_or(Timestamp::MAX);
        let share = most.div_ceil(shops.len().max(1));
        let mut meant = Catalogue::default();
        for shop in shops {
            let products =
                self.store.products_to_list(shop.key().clone(), due, share).await.map_err(|error| self.failure(&error.into()))?;
            for product in products {
                let asin = product.asin.clone();
                if meant.products.insert(asin.clone(), product).is_none() {
                    meant.order.push(asin);
                }
            }
        }
        meant.order.truncate(most);
        Ok(meant)
    }

    fn more_to_do(&self, items: usize) {
        let (_, total, _) = self.ctx.progress.read();
        self.ctx.progress.set_total(total.saturating_add(u64::try_from(items).unwrap_or(u64::MAX)));
    }

    fn one_more_done(&self) {
        let (done, ..) = self.ctx.progress.read();
        self.ctx.progress.set_done(done.saturating_add(1));
    }

    /// What the trouble of the account that offers are read with means for the attempt. One that is not to be called is parked.
    async fn seller_failure(&self, seller: &Seller, error: &CallError) -> HandlerError {
        match parking::park(self.ctx, self.store, seller.key(), error).await {
            Ok(_) => self.failure(error),
            Err(error) => self.failure(&error.into()),
        }
    }

    /// Whether the run may wait until then. What it has read keeps fresh for a while: if it waited for longer, it would have nothing to write.
    fn is_soon_enough(&self, until: Timestamp) -> bool {
        let fresh_until = self.ctx.fire_at.saturating_add(self.settings.rules.data_max_age).unwrap_or(Timestamp::MAX);
        until < fresh_until
    }

    /// What an error means for the attempt as a whole. A limit that is used up is no failure.
    fn failure(&self, error: &CallError) -> HandlerError {
        match error {
            // A pause is a person's, who may end it at any moment: nobody sits and waits for its end.
            CallError::Parked { cause: Parked::Paused, .. } => HandlerError::Permanent { message: chain(error) },
            CallError::Limited { until, .. } | CallError::Parked { until: Some(until), .. } if self.is_soon_enough(*until) => {
                HandlerError::NotYet { message: chain(error), until: *until }
            }
            CallError::Limited { .. } | CallError::Parked { .. } => HandlerError::Permanent { message: chain(error) },
            error => HandlerError::of(error, self.now()),
        }
    }
}

/// Millionths as people write a share: `5%`, `2.5%`.
fn percent(millionths: i64) -> String {
    format!("{}%", decimal_text(millionths.saturating_mul(100)))
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
