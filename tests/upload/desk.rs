//! Shops, a queue, and the handler between them. What must be so is asked of the shops' own items and ledger.
use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use taskrun::{
    clock::Clock as _,
    config::{Account, Publish},
    core::{task::Instance, value::Value},
    handlers::{Access, AttemptContext, Handler as _, Plan, upload_tick::UploadTick},
    marketplace::Market,
    notify::Notifier,
    sandbox::{self, Entry, FaultKind, Item as ShopItem, seed},
    shop::{
        gate::Rules,
        import::{Placing, Row},
        offer::Finding,
        product::{Asin, Details, Platform, sku},
        spread::{Lane, Pace},
        upload::{ItemId, PRIORITY, State, Work},
    },
    store::{
        Fence,
        shop::{AddRequest, Catalogue as _, Guarded, Item, ItemFilter, Queue as _, ShopStore, Target, Wanted},
    },
};

use super::bench::{Bench, Ended, LIMIT, Told, accounts, marketplaces};

pub(crate) const ADD: &str = "/1/items/add";
pub(crate) const IMAGE: &str = "/1/items/add_image";
pub(crate) const SHOP: &str = seed::SHOPS[0];
pub(crate) const OTHER: &str = seed::SHOPS[1];
pub(crate) const COST: i64 = 1505;
pub(crate) const PRICE: i64 = 1960;

pub(crate) struct Desk {
    pub(crate) bench: Bench,
    pub(crate) handler: UploadTick,
    pub(crate) told: Arc<Told>,
}

pub(crate) fn asin(n: usize) -> Asin {
    Asin::parse(&format!("B0UPLD{n:04}")).unwrap()
}

pub(crate) fn images(n: usize) -> Vec<String> {
    (1..=n).map(|number| format!("https://images.example/{number}.jpg")).collect()
}

pub(crate) fn details(title: &str, images_wanted: usize) -> Details {
    Details {
        title: Some(title.to_owned()),
        description: Some("手になじむ".to_owned()),
        brand: Some("象の印".to_owned()),
        category: Some("キッチン > 水筒".to_owned()),
        images: Some(images(images_wanted)),
    }
}

pub(crate) fn publish(rules: Rules) -> Publish {
    Publish { rules: Arc::new(rules), min_images: 1, one_shop: false }
}

fn platform(shop: &str) -> Platform {
    if shop == seed::EBAY { Platform::Ebay } else { Platform::Base }
}

impl Desk {
    pub(crate) async fn new() -> Self {
        Self::with(publish(Rules::default()), accounts()).await
    }

    pub(crate) async fn with(publish: impl Into<Option<Publish>>, accounts: BTreeMap<Arc<str>, Account>) -> Self {
        let (bench, told) = Bench::with_items(20).await.told();
        let store: Arc<dyn ShopStore> = Arc::new(bench.store.clone());
        let market = Arc::new(Market::connect(&marketplaces(&bench.sandbox.endpoint()), &accounts, &store));
        let handler = UploadTick::new(publish.into(), &accounts, market, store);
        Self { bench, handler, told }
    }

    /// The same desk in a new process, under other rules.
    pub(crate) fn under(self, publish: Publish) -> Self {
        let (accounts, store): (_, Arc<dyn ShopStore>) = (accounts(), Arc::new(self.bench.store.clone()));
        let market = Arc::new(Market::connect(&marketplaces(&self.bench.sandbox.endpoint()), &accounts, &store));
        Self { handler: UploadTick::new(Some(publish), &accounts, market, store), ..self }
    }

    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self.bench = self.bench.set(key, value);
        self
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.bench.clock.now().wall
    }

    /// A product with seven images, in stock, meant for a shop.
    pub(crate) async fn stock(&self, numbers: std::ops::RangeInclusive<usize>, shop: &str) {
        for n in numbers {
            self.take_in(n, shop, details(&format!("ステンレス水筒 {n}"), 7)).await;
            self.offer(n, Finding::Ok { cost: COST }).await;
        }
    }

    pub(crate) async fn take_in(&self, n: usize, shop: &str, details: Details) {
        let placing = Placing { platform: platform(shop), account: shop.into(), item_id: None, sku: None, price: None, visible: None };
        self.take_in_at(n, vec![placing], details).await;
    }

    pub(crate) async fn take_in_at(&self, n: usize, listings: Vec<Placing>, details: Details) {
        let row = Row { line: 1, asin: asin(n), details, listings, earlier: None };
        let taken = self.bench.store.take_in(vec![row], self.now()).await.unwrap();
        assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    }

    pub(crate) async fn offer(&self, n: usize, finding: Finding) {
        let fence = self.bench.admit().await;
        let learnt = self.bench.store.learn(fence, vec![(asin(n), finding)], self.now()).await.unwrap();
        assert_eq!(learnt, Guarded::Done(()));
    }

    /// The same of many products, in one write.
    pub(crate) async fn offers(&self, numbers: std::ops::RangeInclusive<usize>, finding: &Finding) {
        let fence = self.bench.admit().await;
        let findings = numbers.map(|n| (asin(n), finding.clone())).collect();
        let learnt = self.bench.store.learn(fence, findings, self.now()).await.unwrap();
        assert_eq!(learnt, Guarded::Done(()));
    }

    /// Queues products for a shop, due now; gives their numbers.
    pub(crate) async fn queue(&self, numbers: std::ops::RangeInclusive<usize>, shop: &str) -> Vec<ItemId> {
        let lane = Lane { zone: tokyo(), hours: None, daily_limit: None };
        let request = AddRequest {
            platform: platform(shop),
            targets: vec![Target { account: shop.into(), lane, closed: None }],
            only: Some(shop.into()),
            wanted: Wanted::Named(numbers.map(asin).collect()),
            priority: PRIORITY,
            pace: Pace::Soon,
            from: self.now(),
            publish: None,
            dry: false,
        };
        let report = self.bench.store.add_uploads(request, self.now()).await.unwrap();
        assert_eq!(report.refused, []);
        report.added.into_iter().map(|added| added.id.unwrap()).collect()
    }

    pub(crate) fn instance(shop: &str) -> Arc<Instance> {
        let mut instance = (*super::bench::instance()).clone();
        instance.name = format!("upload_tick@{shop}").as_str().into();
        instance.task = "upload_tick".into();
        instance.handler = "upload_tick".into();
        instance.account = Some(shop.into());
        instance.timing.zone = tokyo();
        Arc::new(instance)
    }

    /// Another task that lists at the same shop: nothing supersedes it, and no park keeps it from starting.
    pub(crate) fn twin(shop: &str) -> Arc<Instance> {
        let instance = (*Self::instance(shop)).clone();
        Arc::new(Instance { name: format!("twin@{shop}").as_str().into(), task: "twin".into(), parks: false, ..instance })
    }

    pub(crate) async fn admit(&self, shop: &str) -> Fence {
        self.bench.admit_as(Self::instance(shop)).await
    }

    pub(crate) fn context(&self, shop: &str, access: Access) -> AttemptContext {
        let notifier: Arc<dyn Notifier> = self.told.clone();
        AttemptContext { instance: Self::instance(shop), notifier, ..self.bench.context(access) }
    }

    pub(crate) async fn attempt(&self, shop: &str, access: Access) -> Ended {
        let plan = match &access {
            Access::Dry(plan) => plan.clone(),
            Access::Live(_) => Plan::default(),
        };
        let ctx = self.context(shop, access);
        let result = tokio::time::timeout(LIMIT, self.handler.run(&ctx)).await.expect("the attempt takes too long");
        Ended { result, plan }
    }

    /// One run, as the schedule would start it.
    pub(crate) async fn tick(&self, shop: &str) -> Ended {
        let fence = self.admit(shop).await;
        self.attempt(shop, Access::Live(fence)).await
    }

    pub(crate) async fn item(&self, id: ItemId) -> Item {
        self.bench.store.item(id).await.unwrap().unwrap().0
    }

    pub(crate) async fn states(&self) -> BTreeMap<State, usize> {
        let filter = ItemFilter { state: None, account: None, due_at: None, limit: usize::MAX };
        let mut states = BTreeMap::new();
        for item in self.bench.store.items(Work::Upload, filter).await.unwrap() {
            *states.entry(item.state).or_default() += 1;
        }
        states
    }

    /// The code of an item's error.
    pub(crate) async fn code(&self, id: ItemId) -> String {
        self.item(id).await.error.map_or_else(String::new, |error| error.code.to_string())
    }

    /// The items of a shop that have our number of the product.
    pub(crate) fn shown(&self, n: usize, shop: &str) -> Vec<ShopItem> {
        let sku = sku(shop, &asin(n));
        self.bench.sandbox.items(shop).into_iter().filter(|item| item.identifier.as_deref() == Some(&*sku)).collect()
    }

    /// The product stands at the shop exactly once, was made exactly once, and has all its images.
    pub(crate) fn assert_listed(&self, n: usize, shop: &str, images_wanted: usize) {
        let shown = self.shown(n, shop);
        assert_eq!(shown.len(), 1, "{}", asin(n));
        let images = self.bench.sandbox.images(shop).remove(&shown[0].item_id).unwrap_or_default();
        assert_eq!(images.len(), images_wanted, "{}", asin(n));
        assert!(shown[0].visible);
    }

    /// Calls of a path that did what they were asked.
    pub(crate) fn made(&self, path: &str) -> Vec<Entry> {
        self.bench.calls(path).into_iter().filter(|entry| entry.status == 200).collect()
    }

    pub(crate) fn later(&self, time: SignedDuration) {
        self.bench.clock.advance(i64::try_from(time.as_millis()).unwrap());
    }

    pub(crate) fn fault(&self, route: &'static str, times: u32, kind: FaultKind) {
        self.bench.sandbox.inject(sandbox::Fault { route, times, kind });
    }
}

pub(crate) fn tokyo() -> TimeZone {
    TimeZone::get("Asia/Tokyo").unwrap()
}
