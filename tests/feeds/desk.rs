//! A seller with supplies, and the handler between them and Amazon. What must be so is asked of Amazon's own listings, feeds and ledger.
use std::{collections::BTreeMap, sync::Arc};

use taskrun::{
    core::{task::Instance, value::Value},
    handlers::{Access, AttemptContext, Handler as _, HandlerError, Plan, update_feed::UpdateFeed},
    marketplace::Market,
    notify::{Event, Notifier},
    sandbox::{Entry, Operation, SellerListing, control::Switch, seed},
    store::shop::{ShopStore, Supplies as _, SupplyRow},
};

use super::bench::{Bench, Ended, LIMIT, Told, accounts, instance, marketplaces};

pub(crate) const SELLER: &str = seed::SELLER;

pub(crate) struct Desk {
    pub(crate) bench: Bench,
    pub(crate) handler: UpdateFeed,
    pub(crate) told: Arc<Told>,
}

pub(crate) fn sku(n: usize) -> String {
    format!("SKU-{n:05}")
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let (bench, told) = Bench::with_items(1).await.told();
        let store: Arc<dyn ShopStore> = Arc::new(bench.store.clone());
        let market = Arc::new(Market::connect(&marketplaces(&bench.sandbox.endpoint()), &accounts(), &store));
        Self { handler: UpdateFeed::new(market, store), bench, told }
    }

    /// One with so many supplies that Amazon was told nothing of, each with a stock of its own.
    pub(crate) async fn with(supplies: usize) -> Self {
        let desk = Self::new().await;
        let wanted: Vec<_> = (0..supplies).map(|n| (sku(n), stock(n))).collect();
        desk.want(&wanted).await;
        desk
    }

    /// Says what these listings are to show.
    pub(crate) async fn want(&self, wanted: &[(String, u32)]) {
        let row = |(sku, stock): &(String, u32)| SupplyRow {
            key: taskrun::store::shop::SupplyKey { account: SELLER.into(), sku: sku.as_str().into() },
            source: "yahoo".into(),
            item: format!("item-{sku}").into(),
            query: None,
            max_price: None,
            checks_per_day: None,
            restock: Some(*stock),
            images: None,
        };
        self.bench.store.take_in_supplies(wanted.iter().map(row).collect(), self.bench.clock.now_wall()).await.unwrap();
    }

    /// From so many changes on one feed is made.
    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self.bench = self.bench.set(key, value);
        self
    }

    fn instance() -> Arc<Instance> {
        Arc::new(Instance {
            name: format!("update_feed@{SELLER}").as_str().into(),
            task: "update_feed".into(),
            account: Some(SELLER.into()),
            handler: "update_feed".into(),
            ..(*instance()).clone()
        })
    }

    pub(crate) fn context(&self, access: Access) -> AttemptContext {
        AttemptContext { instance: Self::instance(), notifier: Arc::clone(&self.told) as Arc<dyn Notifier>, ..self.bench.context(access) }
    }

    pub(crate) async fn live(&self) -> AttemptContext {
        self.context(Access::Live(self.bench.admit_as(Self::instance()).await))
    }

    pub(crate) async fn dry(&self) -> Ended {
        let plan = Plan::default();
        let ctx = self.context(Access::Dry(plan.clone()));
        let result = tokio::time::timeout(LIMIT, self.handler.run(&ctx)).await.expect("the attempt takes too long");
        Ended { result, plan }
    }

    /// One attempt of a new run.
    pub(crate) async fn attempt(&self) -> Result<String, HandlerError> {
        let ctx = self.live().await;
        self.go_on(&ctx).await
    }

    pub(crate) async fn go_on(&self, ctx: &AttemptContext) -> Result<String, HandlerError> {
        let result = tokio::time::timeout(LIMIT, self.handler.run(ctx)).await.expect("the attempt takes too long");
        result.map(|report| report.summary)
    }

    /// A whole run: it waits as often as it says, and is made again three times.
    pub(crate) async fn run(&self) -> Result<String, HandlerError> {
        let mut ctx = self.live().await;
        let mut retries = 0;
        loop {
            let result = self.go_on(&ctx).await;
            match &result {
                Err(HandlerError::NotYet { until, .. }) => {
                    self.bench.clock.advance((until.as_millisecond() - self.bench.clock.ms()).max(0));
                }
                Err(HandlerError::Transient { .. }) if retries < 3 => {
                    retries += 1;
                    self.bench.clock.advance(1_000);
                }
                _ => return result,
            }
            ctx.attempt += 1;
        }
    }

    pub(crate) fn switch(&self, switch: Switch) {
        self.bench.sandbox.set_switch(SELLER, switch);
    }

    /// What Amazon shows of the listings that were touched.
    pub(crate) fn shown(&self) -> BTreeMap<String, (i64, String)> {
        self.bench.sandbox.seller_listings(SELLER).into_iter().map(|listing| (listing.sku, (listing.quantity, listing.state))).collect()
    }

    /// Amazon finds fault with every change of this listing.
    pub(crate) fn spoil(&self, sku: &str) {
        let listing = SellerListing { sku: sku.to_owned(), quantity: 99, state: "invalid".to_owned() };
        self.bench.sandbox.put_seller_listing(SELLER, &listing);
    }

    pub(crate) fn calls(&self, operation: Operation) -> Vec<Entry> {
        self.bench.sandbox.ledger().into_iter().filter(|entry| entry.operation() == Some(operation)).collect()
    }

    pub(crate) fn feeds(&self) -> usize {
        self.bench.sandbox.seller_feeds(SELLER).len()
    }

    /// What Amazon is still to be told.
    pub(crate) async fn left(&self) -> Vec<(Arc<str>, u32)> {
        self.bench.store.stock_to_push(SELLER.into(), 100_000).await.unwrap()
    }

    pub(crate) fn notices(&self, event: Event) -> Vec<String> {
        self.told.of(event).into_iter().map(|notice| notice.text).collect()
    }

    /// Amazon shows what each of these supplies wants.
    pub(crate) fn assert_told(&self, supplies: impl IntoIterator<Item = usize>) {
        let shown = self.shown();
        for n in supplies {
            assert_eq!(shown.get(&sku(n)), Some(&(i64::from(stock(n)), "live".to_owned())), "{}", sku(n));
        }
    }
}

pub(crate) fn stock(n: usize) -> u32 {
    u32::try_from(n % 7 + 2).unwrap()
}
