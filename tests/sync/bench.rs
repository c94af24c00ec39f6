//! A marketplace, a store and a handler between them, with a clock that leaps over every wait.
//!
//! What must be so is asked of the marketplace's own ledger and items, never of the client.
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use taskrun::{
    clock::{BoxFuture, Clock},
    config::{Account, Amazon, Base, CallLimits, Ebay, EbayTerms, Marketplaces},
    core::{
        event::{Asked, JudgeRequest, Judgement, StartAnswer},
        task::{Backoff, CatchUp, Instance, Now, OnLost, Overlap, ProcessId, RetryPolicy, Trigger},
        timing::Timing,
        value::{Params, Secret, Value},
    },
    handlers::{Access, AttemptContext, Children, Handler, HandlerError, Plan, Progress, Report, sync_inventory::SyncInventory},
    marketplace::Market,
    notify::{Event, LogNotifier, Notice, Notifier},
    sandbox::{self, Entry, Running, SandboxOptions, seed},
    shop::{
        currency::Rate,
        price::{Price, Pricing, selling_price},
        product::{Asin, Platform},
    },
    store::{
        ChildGroup, Fence, RunStore,
        shop::{AccountKey, Catalogue as _, NewListing, ShopStore},
        sqlite::SqliteStore,
    },
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// No test waits longer than this for anything.
pub(crate) const LIMIT: Duration = Duration::from_mins(3);
/// Monday 30 March 2026, 09:00 in Tokyo.
pub(crate) const START: i64 = 1_774_828_800_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const ITEMS: u32 = 120;
pub(crate) const OFFERS: &str = "/batches/products/pricing/v0/itemOffers";
pub(crate) const EDIT: &str = "/1/items/edit";

/// A clock on which every wait is over at once, and took as long as it should.
#[derive(Debug)]
pub(crate) struct LeapClock(pub(crate) AtomicI64);

impl LeapClock {
    pub(crate) fn ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn now_wall(&self) -> Timestamp {
        Timestamp::from_millisecond(self.ms()).unwrap()
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for LeapClock {
    fn now(&self) -> Now {
        let wall = Timestamp::from_millisecond(self.ms()).unwrap();
        Now { wall, uptime: SignedDuration::from_millis(self.ms() - START) }
    }

    fn real(&self, wall: SignedDuration) -> Duration {
        wall.try_into().unwrap_or(Duration::ZERO)
    }

    fn sleep(&self, wall: SignedDuration) -> BoxFuture<'static, ()> {
        let until = self.ms() + i64::try_from(wall.as_millis()).unwrap();
        self.0.fetch_max(until, Ordering::SeqCst);
        Box::pin(tokio::task::yield_now())
    }
}

#[derive(Debug)]
pub(crate) struct NoChildren;

impl Children for NoChildren {
    fn record(&self, _child: ChildGroup) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn marker(&self) -> &'static str {
        "none"
    }
}

/// A marketplace, a store with its listings, and a handler between them.
pub(crate) struct Bench {
    pub(crate) clock: Arc<LeapClock>,
    pub(crate) sandbox: Running,
    pub(crate) store: SqliteStore,
    pub(crate) process: ProcessId,
    pub(crate) handler: SyncInventory,
    pub(crate) cancel: CancellationToken,
    pub(crate) params: Params,
    pub(crate) closes_at: Option<Timestamp>,
    /// The run is for this account alone.
    pub(crate) account: Option<&'static str>,
    pub(crate) notifier: Arc<dyn Notifier>,
    pub(crate) dir: TempDir,
}

/// One attempt that ended.
pub(crate) struct Ended {
    pub(crate) result: Result<Report, HandlerError>,
    pub(crate) plan: Plan,
}

impl Ended {
    pub(crate) fn summary(&self) -> &str {
        &self.result.as_ref().expect("the attempt should have succeeded").summary
    }

    pub(crate) fn error(&self) -> &HandlerError {
        self.result.as_ref().expect_err("the attempt should have failed")
    }
}

pub(crate) async fn start_sandbox(dir: &Path, clock: &Arc<LeapClock>, items: u32) -> Running {
    let now = {
        let clock = Arc::clone(clock);
        Arc::new(move || clock.ms())
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    sandbox::start(SandboxOptions { dir: dir.join("sandbox"), listen, items, now }).await.unwrap()
}

pub(crate) fn marketplaces(endpoint: &str) -> Marketplaces {
    let keys = sandbox::practice_keys();
    Marketplaces {
        amazon: Some(Amazon {
            marketplace_id: "A1VC38T7YXB528".to_owned(),
            client_id: keys.lwa_client_id.to_owned(),
            client_secret: Secret::new(keys.lwa_client_secret),
            endpoint: endpoint.to_owned(),
            lwa_endpoint: endpoint.to_owned(),
        }),
        base: Some(Base {
            client_id: keys.base_client_id.to_owned(),
            client_secret: Secret::new(keys.base_client_secret),
            redirect_uri: Some(keys.base_redirect_uri.to_owned()),
            endpoint: endpoint.to_owned(),
            calls: CallLimits::default(),
        }),
        ebay: Some(Ebay {
            client_id: keys.ebay_client_id.to_owned(),
            client_secret: Secret::new(keys.ebay_client_secret),
            endpoint: endpoint.to_owned(),
            terms: EbayTerms {
                marketplace_id: "EBAY_US".to_owned(),
                language: "en-US".to_owned(),
                currency: "USD",
                rate: Rate::new(150_000_000),
                category_id: "20625".to_owned(),
                location: "tokyo".to_owned(),
                fulfillment_policy: "1".to_owned(),
                payment_policy: "2".to_owned(),
                return_policy: "3".to_owned(),
            },
        }),
    }
}

pub(crate) fn accounts() -> BTreeMap<Arc<str>, Account> {
    let account = |key: &seed::KeyAccount| Account {
        platform: Platform::from_word(key.platform).unwrap(),
        enabled: true,
        refresh_token: Some(Secret::new(key.refresh_token)),
        proxy: None,
        seller_id: (key.platform == "amazon").then(|| seed::seller_id(key.name).into()),
        daily_limit: None,
        calls_per_hour: None,
        calls_per_day: None,
    };
    sandbox::practice_keys().accounts.iter().map(|key| (key.name.into(), account(key))).collect()
}

pub(crate) fn handler(endpoint: &str, store: &SqliteStore) -> SyncInventory {
    handler_for(endpoint, store, &accounts())
}

pub(crate) fn handler_for(endpoint: &str, store: &SqliteStore, accounts: &BTreeMap<Arc<str>, Account>) -> SyncInventory {
    let shop: Arc<dyn ShopStore> = Arc::new(store.clone());
    SyncInventory::new(Arc::new(Market::connect(&marketplaces(endpoint), accounts, &shop)), shop)
}

pub(crate) fn shop_key(account: &str) -> AccountKey {
    AccountKey { platform: Platform::Base, account: account.into() }
}

pub(crate) fn instance() -> Arc<Instance> {
    let zero = SignedDuration::ZERO;
    let timing = Timing {
        schedules: Vec::new(),
        zone: TimeZone::UTC,
        zone_name: "UTC".into(),
        hours: None,
        calendar: None,
        defer: false,
        splay: zero,
    };
    Arc::new(Instance {
        name: "sync_inventory".into(),
        task: "sync_inventory".into(),
        account: None,
        handler: "sync_inventory".into(),
        enabled: true,
        timing,
        catch_up: CatchUp::Latest,
        start_deadline: None,
        overlap: Overlap::LastWins,
        locks: Vec::new(),
        lock_wait: zero,
        retries: RetryPolicy { max: 3, delay: zero, backoff: Backoff::Fixed, max_delay: zero, jitter: 0.0 },
        timeout: None,
        deadline: None,
        grace: zero,
        takeover: zero,
        on_lost: OnLost::Retry,
        resumable: true,
        parks: true,
        needs: Vec::new(),
        after_success: Vec::new(),
        with: Params::default(),
    })
}

/// Keeps what people would have been told.
#[derive(Debug, Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<Notice>>);

impl Notifier for Told {
    fn notify(&self, notice: Notice) {
        self.0.lock().unwrap().push(notice);
    }
}

impl Told {
    /// What was told of an event.
    pub(crate) fn of(&self, event: Event) -> Vec<Notice> {
        self.0.lock().unwrap().iter().filter(|notice| notice.event == event).cloned().collect()
    }
}

/// A run that ended: how, and what it took.
pub(crate) struct Over {
    pub(crate) ended: Ended,
    /// Attempts that failed and were made again; what is waited for without a failure is not among them.
    pub(crate) retries: u32,
    /// How long it waited, as it was told to, in milliseconds.
    pub(crate) waited_ms: i64,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with_items(ITEMS).await
    }

    pub(crate) async fn with_items(items: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(LeapClock(AtomicI64::new(START)));
        let sandbox = start_sandbox(dir.path(), &clock, items).await;
        let store = SqliteStore::open(&dir.path().join("taskrun.db")).unwrap();
        let now = clock.now().wall;
        let process = store.register_process(1, false, "test.lock".to_owned(), now).await.unwrap();
        let listings: Vec<_> = seed::catalogue(items)
            .into_iter()
            .map(|seeded| NewListing {
                asin: Asin::parse(&seeded.asin).unwrap(),
                title: Some(seeded.title),
                shop: shop_key(seeded.account),
                item_id: Some(seeded.item_id.to_string().into()),
                sku: seeded.sku.into(),
            })
            .collect();
        let count = listings.len();
        assert_eq!(store.add_listings(listings.clone(), now).await.unwrap(), count);
        assert_eq!(store.add_listings(listings, now).await.unwrap(), 0, "what is there already stays");
        let handler = handler(&sandbox.endpoint(), &store);
        let cancel = CancellationToken::new();
        Self {
            clock,
            sandbox,
            store,
            process,
            handler,
            cancel,
            params: Params::default(),
            closes_at: None,
            account: None,
            notifier: Arc::new(LogNotifier),
            dir,
        }
    }

    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self.params.0.insert(key.into(), value);
        self
    }

    /// Has a run admitted, as the engine would.
    pub(crate) async fn admit(&self) -> Fence {
        self.admit_as(instance()).await
    }

    pub(crate) async fn admit_as(&self, instance: Arc<Instance>) -> Fence {
        let at = self.clock.now().wall;
        let asked = Some(Asked { fire_at: at, trigger: Trigger::Manual });
        let request = JudgeRequest {
            instance: instance.clone(),
            skips: Vec::new(),
            asked,
            ended_at: None,
            follow_up: None,
            refused: None,
            waiting: None,
            last_chance: false,
            break_locks: false,
            vouched: Vec::new(),
        };
        let judged = self.store.judge(self.process, request, at).await.unwrap();
        let Judgement::Admitted { run, generation, rivals } = judged else { panic!("not admitted: {judged:?}") };
        self.store.take_over(run, rivals.iter().map(|rival| rival.run).collect(), at).await.unwrap();
        assert_eq!(self.store.start(self.process, run, 1, true, at).await.unwrap(), StartAnswer::Started);
        Fence { instance: instance.name.clone(), run, generation }
    }

    pub(crate) fn context(&self, access: Access) -> AttemptContext {
        let (run, generation) = match &access {
            Access::Live(fence) => (fence.run, Some(fence.generation)),
            Access::Dry(_) => (taskrun::core::task::RunId(0), None),
        };
        AttemptContext {
            run,
            attempt: 1,
            generation,
            instance: Arc::new(Instance { account: self.account.map(Into::into), ..(*instance()).clone() }),
            params: self.params.clone(),
            fire_at: self.clock.now().wall,
            closes_at: self.closes_at,
            cancel: self.cancel.clone(),
            progress: Progress::default(),
            clock: self.clock.clone(),
            access,
            base_dir: self.dir.path().to_owned(),
            children: Arc::new(NoChildren),
            notifier: Arc::clone(&self.notifier),
            overseer: Arc::new(taskrun::handlers::overseer::Nobody),
        }
    }

    pub(crate) async fn attempt(&self, access: Access) -> Ended {
        let plan = match &access {
            Access::Dry(plan) => plan.clone(),
            Access::Live(_) => Plan::default(),
        };
        let ctx = self.context(access);
        let result = tokio::time::timeout(LIMIT, self.handler.run(&ctx)).await.expect("the attempt takes too long");
        Ended { result, plan }
    }

    pub(crate) async fn live(&self) -> Ended {
        let fence = self.admit().await;
        self.attempt(Access::Live(fence)).await
    }

    /// A whole run, with the attempts that the engine would make: three retries, and waits that use none up.
    pub(crate) async fn run(&self) -> Over {
        let fence = self.admit().await;
        let mut ctx = self.context(Access::Live(fence));
        let (mut retries, mut waited_ms) = (0, 0);
        loop {
            let result = tokio::time::timeout(LIMIT, self.handler.run(&ctx)).await.expect("the attempt takes too long");
            let wait = match &result {
                Err(HandlerError::NotYet { until, .. }) => until.as_millisecond() - self.clock.ms(),
                Err(HandlerError::Transient { retry_after, .. }) if retries < 3 => {
                    retries += 1;
                    retry_after.map_or(0, |wait| i64::try_from(wait.as_millis()).unwrap())
                }
                _ => return Over { ended: Ended { result, plan: Plan::default() }, retries, waited_ms },
            };
            self.clock.advance(wait.max(0));
            waited_ms += wait.max(0);
            ctx.attempt += 1;
        }
    }

    /// Has what people are told kept, too.
    pub(crate) fn told(mut self) -> (Self, Arc<Told>) {
        let told = Arc::new(Told::default());
        self.notifier = told.clone();
        (self, told)
    }

    pub(crate) async fn dry(&self) -> Ended {
        self.attempt(Access::Dry(Plan::default())).await
    }

    pub(crate) fn writes(&self) -> Vec<Entry> {
        self.sandbox.ledger().into_iter().filter(|entry| entry.write).collect()
    }

    pub(crate) fn calls(&self, path: &str) -> Vec<Entry> {
        self.sandbox.ledger().into_iter().filter(|entry| entry.path == path).collect()
    }

    /// A product that is sold and visible in the first shop, and its item there. The n-th of them.
    pub(crate) fn sold(&self, n: usize) -> (String, i64) {
        let items: BTreeMap<_, _> = self.sandbox.items(seed::SHOPS[0]).into_iter().map(|item| (item.item_id, item)).collect();
        let sold = |seeded: &seed::Seeded| {
            seeded.account == seed::SHOPS[0]
                && items[&seeded.item_id].visible
                && seed::availability(&seeded.asin, self.clock.ms()) == seed::Availability::Buyable
        };
        let found = seed::catalogue(ITEMS).into_iter().filter(sold).nth(n).unwrap();
        (found.asin, found.item_id)
    }

    pub(crate) fn item(&self, item_id: i64) -> sandbox::Item {
        seed::SHOPS.iter().flat_map(|shop| self.sandbox.items(shop)).find(|item| item.item_id == item_id).unwrap()
    }

    /// Every item at the shops is as the rules say for the offers of this instant.
    pub(crate) fn assert_in_line(&self, but: &[&str]) {
        let now = self.clock.ms();
        for seeded in seed::catalogue(ITEMS).into_iter().filter(|seeded| !but.contains(&seeded.asin.as_str())) {
            let item = self.item(seeded.item_id);
            let is_sold = seed::availability(&seeded.asin, now) == seed::Availability::Buyable;
            match selling_price(seed::cost(&seeded.asin, now), &Pricing::default()) {
                Price::Sell(price) if is_sold => assert_eq!((item.visible, item.price), (true, price), "{}", seeded.asin),
                Price::Sell(_) => assert!(!item.visible, "{}", seeded.asin),
                Price::AboveMax(_) => {}
            }
        }
    }
}

pub(crate) fn percent(percent: i64) -> Value {
    Value::Decimal(percent * 10_000)
}

pub(crate) async fn wait_for(is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(LIMIT, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it never came to be so");
}
