//! The limits of the marketplaces, shared by processes and kept over restarts. The marketplace's ledger is the judge.
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use taskrun::{
    clock::{Anchor, BoxFuture, Clock, ScaledClock, SystemClock},
    config::{CallLimits, system_env},
    core::task::Now,
    handlers::{Access, Caller, Plan, Progress},
    marketplace::{CallError, Market, amazon::Lane},
    sandbox::{self, Entry, Fault, FaultKind, Running, SandboxOptions, seed},
    shop::{
        offer::OfferRule,
        product::Asin,
        quota::{PerPurpose, Place, Purpose, Rule},
    },
    store::{
        shop::{Demand, Limit, QuotaKey, Quotas as _, ShopStore},
        sqlite::SqliteStore,
    },
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::bench::*;

const HOUR: i64 = 60 * MINUTE;

/// A clock for several who call and sleep in turns: it goes on, to the first of them who is to wake, only when all of them sleep.
#[derive(Debug, Default)]
struct TurnsClock {
    ms: AtomicI64,
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    awake: usize,
    count: u64,
    asleep: BTreeMap<(i64, u64), oneshot::Sender<()>>,
}

impl TurnsClock {
    fn of(callers: usize) -> Arc<Self> {
        Arc::new(Self { ms: AtomicI64::new(START), turns: Mutex::new(Turns { awake: callers, ..Turns::default() }) })
    }

    fn ms(&self) -> i64 {
        self.ms.load(Ordering::SeqCst)
    }

    /// One of them sleeps now, or is done.
    fn rest(&self, turns: &mut Turns) {
        turns.awake -= 1;
        if turns.awake == 0
            && let Some(((until, _), waker)) = turns.asleep.pop_first()
        {
            self.ms.fetch_max(until, Ordering::SeqCst);
            turns.awake = 1;
            waker.send(()).unwrap();
        }
    }

    fn leave(&self) {
        self.rest(&mut self.turns.lock().unwrap());
    }
}

impl Clock for TurnsClock {
    fn now(&self) -> Now {
        Now { wall: Timestamp::from_millisecond(self.ms()).unwrap(), uptime: SignedDuration::from_millis(self.ms() - START) }
    }

    fn real(&self, wall: SignedDuration) -> Duration {
        wall.try_into().unwrap_or(Duration::ZERO)
    }

    fn sleep(&self, wall: SignedDuration) -> BoxFuture<'static, ()> {
        let (waker, woken) = oneshot::channel();
        let mut turns = self.turns.lock().unwrap();
        turns.count += 1;
        let key = (self.ms() + i64::try_from(wall.as_millis()).unwrap(), turns.count);
        turns.asleep.insert(key, waker);
        self.rest(&mut turns);
        Box::pin(async move { woken.await.unwrap() })
    }
}

async fn start_sandbox_at(dir: &Path, clock: Arc<dyn Clock>) -> Running {
    let now = Arc::new(move || clock.now().wall.as_millisecond());
    let listen = "127.0.0.1:0".parse().unwrap();
    sandbox::start(SandboxOptions { dir: dir.join("sandbox"), listen, items: 40, now }).await.unwrap()
}

/// What a process has open.
struct Process {
    store: SqliteStore,
    market: Market,
}

fn process(dir: &Path, endpoint: &str) -> Process {
    process_with(dir, endpoint, CallLimits::default())
}

fn process_with(dir: &Path, endpoint: &str, calls: CallLimits) -> Process {
    let store = SqliteStore::open(&dir.join("taskrun.db")).unwrap();
    let shop: Arc<dyn ShopStore> = Arc::new(store.clone());
    let mut marketplaces = marketplaces(endpoint);
    marketplaces.base.as_mut().unwrap().calls = calls;
    Process { market: Market::connect(&marketplaces, &accounts(), &shop), store }
}

fn caller(clock: Arc<dyn Clock>, purpose: Purpose) -> Caller {
    let access = Access::Dry(Plan::default());
    Caller { clock, cancel: CancellationToken::new(), access, progress: Progress::default(), purpose }
}

impl Process {
    async fn offers(&self, caller: &Caller) -> Result<(), CallError> {
        let asin = Asin::parse(&seed::asin(1)).unwrap();
        self.market.sellers()[seed::SELLER].offers_by(Lane::Batch, caller, &[asin], &OfferRule::default()).await.map(drop)
    }

    async fn item(&self, shop: &str, caller: &Caller) -> Result<(), CallError> {
        let seeded = seed::catalogue(40).into_iter().find(|seeded| seeded.account == shop).unwrap();
        self.market.shops()[shop].item(caller, seeded.item_id).await.map(drop)
    }
}

fn at_offers(sandbox: &Running) -> Vec<Entry> {
    sandbox.ledger().into_iter().filter(|entry| entry.path == OFFERS).collect()
}

fn at_items(sandbox: &Running, shop: &str) -> Vec<Entry> {
    sandbox.ledger().into_iter().filter(|entry| entry.path.starts_with("/1/items/") && entry.account == shop).collect()
}

/// Milliseconds between each arrival and the next.
fn gaps(entries: &[Entry]) -> Vec<i64> {
    entries.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect()
}

fn until_of(ended: Result<(), CallError>) -> Timestamp {
    match ended {
        Err(CallError::Limited { until, .. }) => until,
        ended => panic!("{ended:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_and_two_onces_never_pass_the_rate_over_a_thousand_calls_and_a_restart() {
    const CALLS: usize = 1_002;
    let dir = tempfile::tempdir().unwrap();
    let clock = TurnsClock::of(3);
    let sandbox = start_sandbox_at(dir.path(), clock.clone()).await;
    for from in [0, CALLS / 2] {
        clock.turns.lock().unwrap().awake = 3;
        let made = Arc::new(AtomicUsize::new(from));
        let mut processes = tokio::task::JoinSet::new();
        for purpose in [Purpose::Sync, Purpose::Manual, Purpose::Manual] {
            let (process, clock, made) = (process(dir.path(), &sandbox.endpoint()), clock.clone(), Arc::clone(&made));
            processes.spawn(async move {
                let caller = caller(clock.clone(), purpose);
                while made.fetch_add(1, Ordering::SeqCst) < from + CALLS / 2 {
                    process.offers(&caller).await.unwrap();
                }
                clock.leave();
            });
        }
        // All of them end, and their files are closed.
        processes.join_all().await;
    }
    let calls = at_offers(&sandbox);
    assert_eq!(calls.len(), CALLS);
    assert!(calls.iter().all(|call| call.status == 200), "never a 429");
    let gaps = gaps(&calls);
    assert!(gaps.iter().all(|gap| *gap >= 10_000), "{}", gaps.iter().min().unwrap());
    let took: i64 = gaps.iter().sum();
    let official = 10_000 * i64::try_from(gaps.len()).unwrap();
    assert!(official * 100 >= took * 99, "{took} ms, the limit asks for {official} ms");
    let row = SqliteStore::open(&dir.path().join("taskrun.db")).unwrap().quotas(clock.now().wall).await.unwrap().remove(0);
    assert_eq!(row.used.calls, PerPurpose { sync: row.used.calls.sync, upload: 0, manual: row.used.calls.manual });
    assert!(row.used.calls.sync > 200 && row.used.calls.manual > 400, "each had its turn: {:?}", row.used.calls);
    assert_eq!(row.used.calls.total(), i64::try_from(CALLS).unwrap());
}

/// A demand for places that are a second apart.
fn second() -> Demand {
    let key = QuotaKey { application: "app".into(), account: "amazon_main".into(), operation: "getItemOffersBatch" };
    let rule = Rule::Bucket { interval_ms: 1_000, burst: 1 };
    Demand { limits: [Limit { key, rule }].into(), purpose: Purpose::Sync, guard_ms: 0 }
}

const STORE_VARIABLE: &str = "TASKRUN_TEST_STORE";

#[tokio::test]
#[ignore = "a process that another test starts"]
async fn a_process_that_takes_places() {
    let Some(path) = system_env(STORE_VARIABLE) else { return };
    let store = SqliteStore::open(Path::new(&path)).unwrap();
    let now = Timestamp::from_millisecond(START).unwrap();
    for _ in 0..100 {
        let place = store.take_place(second(), now, now + SignedDuration::from_mins(10)).await.unwrap();
        let Place::At(at) = place else { panic!("{place:?}") };
        println!("place {at} taken");
    }
}

fn start_taking(store: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "quotas::a_process_that_takes_places", "--nocapture"])
        .env(STORE_VARIABLE, store)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The places in whole lines of what a process says, as they come.
fn places(child: &mut Child) -> impl Iterator<Item = i64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| {
        let (_, rest) = line.split_once("place ")?;
        rest.strip_suffix(" taken")?.parse().ok()
    })
}

#[test]
fn acceptance_07_two_processes_share_one_limiter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taskrun.db");
    drop(SqliteStore::open(&path).unwrap());
    let (mut first, mut second, mut killed) = (start_taking(&path), start_taking(&path), start_taking(&path));
    let mut taken: Vec<i64> = places(&mut killed).take(20).collect();
    assert_eq!(taken.len(), 20);
    killed.kill().unwrap();
    killed.wait().unwrap();
    for child in [&mut first, &mut second] {
        taken.extend(places(child));
        assert!(child.wait().unwrap().success());
    }
    let mut restarted = start_taking(&path);
    taken.extend(places(&mut restarted));
    assert!(restarted.wait().unwrap().success());
    assert_eq!(taken.len(), 320);
    let distinct: BTreeSet<_> = taken.iter().copied().collect();
    assert_eq!(distinct.len(), taken.len(), "no place is had twice");
    assert!(distinct.iter().all(|place| (place - START) % 1_000 == 0), "all are one interval apart");
    let last = distinct.last().unwrap();
    assert!((last - START) / 1_000 < 400, "only what the killed process took in its last moments is lost: {last}");
}

#[tokio::test]
async fn acceptance_06_the_hours_calls_are_shared_kept_and_no_call_asks_twice() {
    let bench = Bench::with_items(40).await;
    let [first, other] = seed::SHOPS;
    bench.clock.advance(10 * MINUTE);
    bench.sandbox.set_calls(first, HOUR, 4_998);
    let caller = caller(bench.clock.clone(), Purpose::Sync);
    let process = process(bench.dir.path(), &bench.sandbox.endpoint());
    for _ in 0..2 {
        process.item(first, &caller).await.unwrap();
    }
    let until = until_of(process.item(first, &caller).await);
    let begins_anew = Timestamp::from_millisecond(START + HOUR).unwrap();
    assert!(begins_anew <= until && until < begins_anew + SignedDuration::from_secs(30), "{until}");
    process.item(other, &caller).await.unwrap();
    drop(process);

    let restarted = self::process(bench.dir.path(), &bench.sandbox.endpoint());
    bench.clock.advance(30 * MINUTE);
    assert!(until_of(restarted.item(first, &caller).await) <= until);
    assert_eq!(at_items(&bench.sandbox, first).iter().filter(|call| call.status == 400).count(), 1, "it was asked once");
    let rows = restarted.store.quotas(bench.clock.now().wall).await.unwrap();
    let row = rows.iter().find(|row| &*row.account == first && &*row.operation == "calls_per_hour").unwrap();
    assert_eq!((row.used.calls.sync, row.used.refused, row.used.refused_in_row), (3, 1, 1));
    bench.clock.advance(15 * MINUTE);
    restarted.item(first, &caller).await.unwrap();
    assert!(bench.clock.ms() >= until.as_millisecond(), "so near to the hour's end it is waited for");
    let rows = restarted.store.quotas(bench.clock.now().wall).await.unwrap();
    assert!(rows.iter().all(|row| row.used.refused_in_row == 0));
}

#[tokio::test]
async fn a_share_of_the_hour_is_there_for_its_purpose_whatever_the_others_take() {
    let bench = Bench::with_items(40).await;
    let shop = seed::SHOPS[0];
    let calls = CallLimits { per_hour: 10, ..CallLimits::default() };
    let daemon = process_with(bench.dir.path(), &bench.sandbox.endpoint(), calls);
    let once = process_with(bench.dir.path(), &bench.sandbox.endpoint(), calls);
    let (sync, upload) = (caller(bench.clock.clone(), Purpose::Sync), caller(bench.clock.clone(), Purpose::Upload));
    for hour in 1..=2 {
        for n in 0..8 {
            let process = if n % 2 == 0 { &daemon } else { &once };
            process.item(shop, &sync).await.unwrap();
        }
        until_of(once.item(shop, &sync).await);
        for _ in 0..2 {
            once.item(shop, &upload).await.unwrap();
        }
        until_of(daemon.item(shop, &upload).await);
        until_of(daemon.item(shop, &sync).await);
        assert_eq!(at_items(&bench.sandbox, shop).len(), 10 * hour, "what has no place is not sent");
        bench.clock.advance(HOUR);
    }
}

#[tokio::test]
async fn the_day_is_japans_and_bounds_the_hours() {
    let bench = Bench::with_items(40).await;
    let shop = seed::SHOPS[0];
    let calls = CallLimits { per_hour: 4, per_day: 6, reserve: PerPurpose::default() };
    let process = process_with(bench.dir.path(), &bench.sandbox.endpoint(), calls);
    let caller = caller(bench.clock.clone(), Purpose::Sync);
    let mut made = 0;
    for _ in 0..20 {
        match process.item(shop, &caller).await {
            Ok(()) => made += 1,
            Err(CallError::Limited { .. }) => bench.clock.advance(HOUR),
            Err(error) => panic!("{error}"),
        }
    }
    // It began at nine in Tokyo: six calls until midnight, fifteen hours later, and none of them in vain.
    let midnight = START + 15 * HOUR;
    let calls = at_items(&bench.sandbox, shop);
    assert_eq!(calls.len(), made);
    assert_eq!(calls.iter().filter(|call| call.at_ms < midnight).count(), 6);
    assert!(calls.iter().all(|call| call.status == 200));
    bench.clock.advance(midnight - bench.clock.ms().min(midnight));
    process.item(shop, &caller).await.unwrap();
    bench.sandbox.set_calls(shop, 24 * HOUR, 100_000);
    let until = until_of(process.item(shop, &caller).await);
    assert!((0..30_000).contains(&(until.as_millisecond() - (midnight + 24 * HOUR))), "day_api_limit: {until}");
}

#[tokio::test]
async fn a_limit_that_stays_used_up_is_told_with_an_instant_and_asked_ever_more_rarely() {
    let bench = Bench::with_items(40).await;
    bench.sandbox.inject(Fault { route: OFFERS, times: 8, kind: FaultKind::Status(429) });
    let process = process(bench.dir.path(), &bench.sandbox.endpoint());
    let caller = caller(bench.clock.clone(), Purpose::Sync);
    let until = until_of(process.offers(&caller).await);
    assert!(until > bench.clock.now().wall, "{until}");
    let gaps = gaps(&at_offers(&bench.sandbox));
    assert_eq!(gaps.iter().map(|gap| gap / 10_000).collect::<Vec<_>>(), [1, 2, 4, 8, 16], "{gaps:?}");
    process.offers(&caller).await.unwrap();
    let row = process.store.quotas(bench.clock.now().wall).await.unwrap().remove(0);
    assert_eq!((row.used.refused, row.used.refused_in_row, row.learned_ms), (8, 0, Some(10_000)));
}

#[tokio::test]
async fn acceptance_17_a_wait_for_the_limiter_ends_at_once_and_its_place_is_there_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = SystemClock::start();
    let sandbox = start_sandbox_at(dir.path(), clock.clone()).await;
    let process = process(dir.path(), &sandbox.endpoint());
    let caller = caller(clock.clone(), Purpose::Sync);
    process.offers(&caller).await.unwrap();
    let full_at = async || process.store.quotas(clock.now().wall).await.unwrap().remove(0).used.at_ms;
    let before = full_at().await;
    let asked_at = clock.now().uptime;
    let stop = async {
        wait_for(|| caller.progress.read().2.contains("waiting for the quota")).await;
        caller.cancel.cancel();
        clock.now().uptime
    };
    let (ended, stopped_at) = tokio::join!(process.offers(&caller), stop);
    assert!(matches!(ended, Err(CallError::Cancelled)), "{ended:?}");
    assert!(clock.now().uptime - stopped_at < SignedDuration::from_secs(2) && stopped_at - asked_at < SignedDuration::from_secs(9));
    let given_back = async {
        while full_at().await != before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, given_back).await.expect("the place was not given back");
    assert_eq!(at_offers(&sandbox).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of 20 seconds"]
async fn ten_times_as_fast_the_guard_costs_less_than_three_percent() {
    const BATCHES: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let practice = Timestamp::from_millisecond(START).unwrap();
    let clock: Arc<dyn Clock> = ScaledClock::new(Anchor { real: SystemClock::start().now().wall, practice, speed: 10 });
    let sandbox = start_sandbox_at(dir.path(), clock.clone()).await;
    let process = process(dir.path(), &sandbox.endpoint());
    let caller = caller(clock, Purpose::Sync);
    for _ in 0..BATCHES {
        process.offers(&caller).await.unwrap();
    }
    let calls = at_offers(&sandbox);
    assert!(calls.iter().all(|call| call.status == 200), "no 429");
    let took: i64 = gaps(&calls).iter().sum();
    let official = 10_000 * i64::try_from(BATCHES - 1).unwrap();
    let permille = official * 1_000 / took;
    println!("{BATCHES} batches at ten times speed: {}.{} % of the official limit", permille / 10, permille % 10);
    assert!(official * 100 >= took * 97, "{took} ms, the limit asks for {official} ms");
}
