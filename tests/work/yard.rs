//! A source, a store with supplies, and the two handlers between them. What must be so is asked of the source's ledger and of the store.
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicI64},
};

use jiff::Timestamp;
use taskrun::{
    clock::Clock,
    config::Source,
    core::{
        event::{Asked, JudgeRequest, Judgement, StartAnswer},
        task::{Instance, ProcessId, Trigger},
        value::{Params, Value},
    },
    handlers::{Access, AttemptContext, Handler, HandlerError, Plan, Progress, Report, check_items::CheckItems, update_items::UpdateItems},
    sandbox::{self, Running, SandboxOptions, item_of},
    store::{
        Fence, RunStore,
        shop::{ShopStore, Supplies as _, Supply, SupplyFilter, SupplyKey, SupplyRow},
        sqlite::SqliteStore,
    },
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::bench::{LIMIT, LeapClock, NoChildren, START, Told, instance};

/// A source, a store, and what works between them.
pub(crate) struct Yard {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sandbox: Running,
    pub(crate) store: SqliteStore,
    pub(crate) process: ProcessId,
    pub(crate) check: CheckItems,
    pub(crate) update: UpdateItems,
    pub(crate) params: Params,
    pub(crate) told: Arc<Told>,
    pub(crate) cancel: CancellationToken,
    _dir: TempDir,
}

/// The n-th listing.
pub(crate) fn key(n: u32) -> SupplyKey {
    SupplyKey { account: "amazon_main".into(), sku: format!("SKU-{n:04}").into() }
}

/// The item that backs it at first. All of these are put up on the day of the tests, so all are there.
pub(crate) fn item(now: Timestamp, n: u32) -> String {
    item_of(now.as_millisecond(), n)
}

impl Yard {
    /// A yard on Monday 30 March 2026, 09:00 in Tokyo, with a clock that leaps over every wait.
    pub(crate) async fn new(supplies: u32) -> (Self, Arc<LeapClock>) {
        let clock = Arc::new(LeapClock(AtomicI64::new(START)));
        (Self::with(clock.clone(), supplies, 1).await, clock)
    }

    pub(crate) async fn with(clock: Arc<dyn Clock>, supplies: u32, interval_ms: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = {
            let clock = Arc::clone(&clock);
            Arc::new(move || clock.now().wall.as_millisecond())
        };
        let listen = "127.0.0.1:0".parse().unwrap();
        let sandbox = sandbox::start(SandboxOptions { dir: dir.path().join("sandbox"), listen, items: 1, now }).await.unwrap();
        let store = SqliteStore::open(&dir.path().join("taskrun.db")).unwrap();
        let now = clock.now().wall;
        let process = store.register_process(1, false, "test.lock".to_owned(), now).await.unwrap();
        let endpoint = format!("{}/source/yahoo", sandbox.endpoint());
        let sources = BTreeMap::from([(Arc::from("yahoo"), Source { endpoint, interval_ms, token: None, proxy: None })]);
        let shop: Arc<dyn ShopStore> = Arc::new(store.clone());
        let rows = (0..supplies).map(|n| SupplyRow {
            key: key(n),
            source: "yahoo".into(),
            item: item(now, n).into(),
            query: Some(format!("figure {n}").into()),
            max_price: Some(5_000),
            checks_per_day: None,
            restock: None,
            images: None,
        });
        store.take_in_supplies(rows.collect(), now).await.unwrap();
        for n in 0..supplies {
            sandbox.set_source_item("yahoo", &item(now, n), "on_sale");
        }
        Self {
            check: CheckItems::new(&sources, Arc::clone(&shop)),
            update: UpdateItems::new(&sources, shop),
            params: Params(BTreeMap::from([("source".into(), Value::Text("yahoo".into()))])),
            told: Arc::new(Told::default()),
            cancel: CancellationToken::new(),
            clock,
            sandbox,
            store,
            process,
            _dir: dir,
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: Value) {
        self.params.0.insert(key.into(), value);
    }

    /// Has a run of a task admitted, as the engine would.
    pub(crate) async fn admit(&self, task: &str) -> Fence {
        let instance = Arc::new(Instance { name: task.into(), task: task.into(), ..(*instance()).clone() });
        let at = self.clock.now().wall;
        let request = JudgeRequest {
            instance: instance.clone(),
            skips: Vec::new(),
            asked: Some(Asked { fire_at: at, trigger: Trigger::Manual }),
            ended_at: None,
            waiting: None,
            last_chance: false,
            break_locks: false,
            vouched: Vec::new(),
            follow_up: None,
            refused: None,
        };
        let judged = self.store.judge(self.process, request, at).await.unwrap();
        let Judgement::Admitted { run, generation, rivals } = judged else { panic!("not admitted: {judged:?}") };
        self.store.take_over(run, rivals.iter().map(|rival| rival.run).collect(), at).await.unwrap();
        assert_eq!(self.store.start(self.process, run, 1, true, at).await.unwrap(), StartAnswer::Started);
        Fence { instance: instance.name.clone(), run, generation }
    }

    fn context(&self, access: Access) -> AttemptContext {
        let (run, generation) = match &access {
            Access::Live(fence) => (fence.run, Some(fence.generation)),
            Access::Dry(_) => (taskrun::core::task::RunId(0), None),
        };
        AttemptContext {
            run,
            attempt: 1,
            generation,
            instance: instance(),
            params: self.params.clone(),
            fire_at: self.clock.now().wall,
            closes_at: None,
            cancel: self.cancel.clone(),
            progress: Progress::default(),
            clock: self.clock.clone(),
            access,
            base_dir: ".".into(),
            children: Arc::new(NoChildren),
            notifier: self.told.clone(),
            overseer: Arc::new(taskrun::handlers::overseer::Nobody),
        }
    }

    pub(crate) async fn attempt(&self, handler: &dyn Handler, fence: &Fence) -> Result<Report, HandlerError> {
        let ctx = self.context(Access::Live(fence.clone()));
        tokio::time::timeout(LIMIT, handler.run(&ctx)).await.expect("the attempt takes too long")
    }

    pub(crate) async fn checked(&self) -> Result<Report, HandlerError> {
        let fence = self.admit("check_items").await;
        self.attempt(&self.check, &fence).await
    }

    pub(crate) async fn updated(&self) -> Result<Report, HandlerError> {
        let fence = self.admit("update_items").await;
        self.attempt(&self.update, &fence).await
    }

    /// A dry run: what it plans, and how it ends.
    pub(crate) async fn tried(&self, handler: &dyn Handler) -> (Plan, Result<Report, HandlerError>) {
        let plan = Plan::default();
        let ctx = self.context(Access::Dry(plan.clone()));
        let ended = tokio::time::timeout(LIMIT, handler.run(&ctx)).await.expect("it takes too long");
        (plan, ended)
    }

    pub(crate) async fn planned(&self, handler: &dyn Handler) -> Plan {
        let (plan, ended) = self.tried(handler).await;
        ended.unwrap();
        plan
    }

    pub(crate) async fn supplies(&self) -> Vec<Supply> {
        self.store.supplies(SupplyFilter { limit: usize::MAX, ..SupplyFilter::default() }).await.unwrap()
    }

    pub(crate) async fn supply(&self, n: u32) -> Supply {
        self.store.supply(key(n)).await.unwrap().unwrap()
    }

    /// Says how the item stands that backs a listing now.
    pub(crate) async fn stands(&self, n: u32, status: &str) {
        self.sandbox.set_source_item("yahoo", &self.supply(n).await.item, status);
    }

    /// How often each item was asked about.
    pub(crate) fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for entry in self.sandbox.ledger().into_iter().filter(|entry| entry.path.starts_with("/source/yahoo/items/")) {
            *asked.entry(entry.path).or_default() += 1;
        }
        asked
    }
}
