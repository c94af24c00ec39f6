//! Workers that die anywhere, answers that get lost, people who change their minds: whatever happens to the queue, a shop never gets a product twice
//! and never more on a day than its cap.
use std::collections::BTreeMap;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use taskrun::{
    core::{
        event::RunEnd,
        task::{Overlap, ProcessId},
    },
    shop::{
        product::{Asin, Platform},
        spread::{Lane, Pace, day_of},
        upload::{ItemId, Order, State, Step, Work},
    },
    store::{
        Fence,
        shop::{
            AccountKey, AddRequest, Begun, Cap, ClaimRequest, Claimed, Guarded, ItemError, ItemFilter, NextStep, Queue, Settled, Target,
            Wanted, Which,
        },
        sqlite::SqliteStore,
    },
};

use crate::world::{World, by_hand, overlapping};

const PRODUCTS: u32 = 16;
const ACCOUNTS: [&str; 2] = ["a", "b"];
/// What an account may list on a day.
const CAP: u32 = 2;
const STEPS: usize = 500;

/// The shops as they really are.
#[derive(Default)]
struct Shops {
    /// What each has of each product.
    live: BTreeMap<(String, String), Vec<String>>,
    /// When each listed something.
    listed: BTreeMap<String, Vec<Timestamp>>,
    made: u32,
}

impl Shops {
    fn list(&mut self, account: &str, asin: &str, at: Timestamp) -> String {
        self.made += 1;
        let id = self.made.to_string();
        let live = self.live.entry((account.to_owned(), asin.to_owned())).or_default();
        live.push(id.clone());
        assert_eq!(live.len(), 1, "{account} has {asin} twice");
        let listed = self.listed.entry(account.to_owned()).or_default();
        listed.push(at);
        let day = day_of(at, &TimeZone::UTC);
        let today = listed.iter().filter(|at| day.contains(at)).count();
        assert!(today <= usize::try_from(CAP).unwrap(), "{account} lists {today} on a day");
        id
    }

    fn find(&self, account: &str, asin: &str) -> Option<String> {
        self.live.get(&(account.to_owned(), asin.to_owned()))?.first().cloned()
    }
}

/// A worker, and what it has in hand.
struct Worker {
    account: &'static str,
    fence: Fence,
    hand: Option<Claimed>,
}

struct Walk {
    world: World,
    store: SqliteStore,
    daemon: ProcessId,
    shops: Shops,
    workers: Vec<Worker>,
    rng: Rng,
    now: Timestamp,
    runs: i64,
}

impl Walk {
    async fn begin(seed: u64) -> Self {
        let world = World::sqlite();
        let conn = rusqlite::Connection::open(world.file()).unwrap();
        for n in 1..=PRODUCTS {
            let insert = "INSERT INTO products (asin, title, title_fetched_at_ms, cost_yen, cost_fetched_at_ms, created_at_ms)
                VALUES (?1, 'x', 0, 1, 0, 0)";
            conn.execute(insert, [asin(n).as_str()]).unwrap();
        }
        conn.execute(crate::queue::IMAGES, []).unwrap();
        let daemon = world.daemon().await;
        let store = SqliteStore::open(&world.file()).unwrap();
        let now = "2026-11-24T00:00:00Z".parse().unwrap();
        let mut walk = Self { world, store, daemon, shops: Shops::default(), workers: Vec::new(), rng: Rng::with_seed(seed), now, runs: 0 };
        // Two at each account: a daemon's and a `once`.
        for account in ACCOUNTS.into_iter().cycle().take(4) {
            let fence = walk.run(account).await;
            walk.workers.push(Worker { account, fence, hand: None });
        }
        walk
    }

    async fn run(&mut self, account: &str) -> Fence {
        self.runs += 1;
        let instance = overlapping(&format!("upload_tick@{account}"), Overlap::Allow);
        let (run, generation, _) = self.world.admit(self.daemon, by_hand(&instance, self.runs)).await;
        Fence { instance: instance.name, run, generation }
    }

    async fn step(&mut self) {
        match self.rng.u32(0..100) {
            0..12 => self.add().await,
            12..24 => self.order().await,
            24..30 => self.take_from_shop(),
            30..36 => self.now += SignedDuration::from_mins(self.rng.i64(1..600)),
            36..44 => self.kill().await,
            _ => self.work().await,
        }
    }

    async fn add(&mut self) {
        let target = |name: &&str| Target {
            account: (*name).into(),
            lane: Lane { zone: TimeZone::UTC, hours: None, daily_limit: Some(CAP) },
            closed: None,
        };
        let wanted = if self.rng.bool() {
            Wanted::Named(vec![asin(self.rng.u32(1..=PRODUCTS)), asin(self.rng.u32(1..=PRODUCTS))])
        } else {
            Wanted::Pending { limit: 3, again: self.rng.bool() }
        };
        let request = AddRequest {
            platform: Platform::Base,
            targets: ACCOUNTS.iter().map(target).collect(),
            only: self.rng.bool().then(|| ACCOUNTS[self.rng.usize(0..2)].into()),
            wanted,
            priority: self.rng.u8(1..=20),
            pace: if self.rng.bool() { Pace::Soon } else { Pace::Spread },
            from: self.now,
            publish: None,
            dry: false,
        };
        self.store.add_uploads(request, self.now).await.unwrap();
    }

    async fn order(&mut self) {
        let all = self.store.items(Work::Upload, ItemFilter { limit: 1000, ..ItemFilter::default() }).await.unwrap();
        // People look at what is in trouble first.
        let troubled: Vec<_> = all.iter().filter(|item| item.state == State::Uncertain).collect();
        let Some(item) = self.rng.choice(&troubled).copied().filter(|_| self.rng.bool()).or_else(|| self.rng.choice(&all)) else { return };
        let order = *self.rng.choice(Order::ALL).unwrap();
        if order != Order::Reschedule {
            self.store.order_items(Which::Ids(vec![item.id]), order, self.now).await.unwrap();
        }
    }

    /// A person deletes a listing at the shop, and in the books. One that is still worked at is another test's: the handler looks whether it is there.
    fn take_from_shop(&mut self) {
        let conn = rusqlite::Connection::open(self.world.file()).unwrap();
        conn.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        let known =
            "SELECT account, asin FROM listings l WHERE state = 'listed' AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.account = l.account
            AND q.subject = l.asin AND q.state IN ('pending', 'uploading', 'on_hold')) ORDER BY account, asin LIMIT 1 OFFSET ?1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let Ok(key) = conn.query_row(known, [self.rng.u32(0..4)], read) else { return };
        conn.execute("UPDATE listings SET state = 'deleted', item_id = NULL WHERE account = ?1 AND asin = ?2", [&key.0, &key.1]).unwrap();
        self.shops.live.remove(&key);
    }

    /// A worker dies, or is shut out, with whatever it has in hand.
    async fn kill(&mut self) {
        let n = self.rng.usize(0..self.workers.len());
        self.world.close(self.daemon, self.workers[n].fence.run, RunEnd::Lost).await;
        let account = self.workers[n].account;
        let fence = self.run(account).await;
        self.workers[n] = Worker { account, fence, hand: None };
    }

    fn cap(&self) -> Cap {
        Cap { day: day_of(self.now, &TimeZone::UTC), limit: Some(CAP) }
    }

    /// A worker makes one move.
    async fn work(&mut self) {
        let n = self.rng.usize(0..self.workers.len());
        let (account, fence, hand) = (self.workers[n].account, self.workers[n].fence.clone(), self.workers[n].hand.take());
        let lease_until = self.now + SignedDuration::from_mins(30);
        let Some(claimed) = hand else {
            let key = AccountKey { platform: Platform::Base, account: account.into() };
            let request = ClaimRequest { work: Work::Upload, account: key, limit: 1, lease_until, cap: self.cap() };
            let batch = done(self.store.claim_items(fence, request, self.now).await.unwrap());
            self.workers[n].hand = batch.items.into_iter().next();
            return;
        };
        let id = claimed.item.id;
        let next = NextStep { item: id, step: Step::Create, cap: self.cap(), lease_until };
        match done(self.store.begin_step(fence.clone(), next, self.now).await.unwrap()) {
            Begun::NotYours => {}
            Begun::Done => self.settle(&fence, id, Settled::Finished { price: 10, visible: true }).await,
            Begun::Unwanted | Begun::Capped => self.settle(&fence, id, self.put_back(60, false)).await,
            Begun::Open(_) => {
                match self.shops.find(account, &claimed.item.subject) {
                    _ if self.rng.u32(0..5) == 0 => return self.settle(&fence, id, Settled::Doubtful(error())).await,
                    Some(item_id) => drop(self.store.finish_step(fence, id, Step::Create, Some(item_id.into()), self.now).await.unwrap()),
                    None => drop(self.store.withdraw_step(fence, id, Step::Create).await.unwrap()),
                }
                self.workers[n].hand = Some(claimed);
            }
            Begun::Go => self.list(n, fence, claimed).await,
        }
    }

    /// The shop is asked to list it: its answer may say yes or no, or get lost either way.
    async fn list(&mut self, n: usize, fence: Fence, claimed: Claimed) {
        let id = claimed.item.id;
        match self.rng.u32(0..10) {
            0 => self.workers[n].hand = Some(claimed),
            1..4 => {
                self.shops.list(self.workers[n].account, &claimed.item.subject, self.now);
                if self.rng.bool() {
                    self.settle(&fence, id, self.put_back(10, true)).await;
                }
            }
            4 => {
                done(self.store.withdraw_step(fence.clone(), id, Step::Create).await.unwrap());
                let how = if self.rng.bool() { Settled::Failed(error()) } else { self.put_back(5, true) };
                self.settle(&fence, id, how).await;
            }
            5 => {
                done(self.store.withdraw_step(fence.clone(), id, Step::Create).await.unwrap());
                self.settle(&fence, id, Settled::Questionable(error())).await;
            }
            _ => {
                let item_id = self.shops.list(self.workers[n].account, &claimed.item.subject, self.now);
                done(self.store.finish_step(fence, id, Step::Create, Some(item_id.into()), self.now).await.unwrap());
                self.workers[n].hand = Some(claimed);
            }
        }
    }

    fn put_back(&self, minutes: i64, counts: bool) -> Settled {
        Settled::PutBack { until: self.now + SignedDuration::from_mins(minutes), counts, error: None }
    }

    async fn settle(&mut self, fence: &Fence, id: ItemId, how: Settled) {
        done(self.store.settle_item(fence.clone(), id, how, self.now).await.unwrap());
    }

    /// What the store holds for listed is at the shop, and what it calls a success is listed or was taken down by a person.
    async fn agrees(&self) {
        for account in ACCOUNTS {
            let key = AccountKey { platform: Platform::Base, account: account.into() };
            for listing in taskrun::store::shop::Catalogue::listings(&self.store, key).await.unwrap() {
                assert_eq!(listing.item_id.as_deref(), self.shops.find(account, listing.asin.as_str()).as_deref(), "{listing:?}");
            }
        }
    }
}

fn asin(n: u32) -> Asin {
    Asin::parse(&format!("B0{n:08}")).unwrap()
}

fn error() -> ItemError {
    ItemError { code: "no".into(), text: "the shop said no".into() }
}

fn done<T>(guarded: Guarded<T>) -> T {
    match guarded {
        Guarded::Done(value) => value,
        Guarded::Fenced => panic!("fenced"),
    }
}

#[tokio::test]
async fn no_shop_ever_gets_a_product_twice_or_more_on_a_day_than_its_cap() {
    let (mut made, mut ends) = (0, BTreeMap::new());
    for seed in 1..=4 {
        eprintln!("seed {seed}");
        let mut walk = Walk::begin(seed).await;
        for _ in 0..STEPS {
            walk.step().await;
        }
        walk.agrees().await;
        made += walk.shops.made;
        for item in walk.store.items(Work::Upload, ItemFilter { limit: 10_000, ..ItemFilter::default() }).await.unwrap() {
            *ends.entry(item.state).or_insert(0_u32) += 1;
        }
    }
    // A world that stands still proves nothing.
    assert!(made > 40 && ends.get(&State::Success).is_some_and(|many| *many > 20) && ends.len() >= 5, "{made} listings, {ends:?}");
}
