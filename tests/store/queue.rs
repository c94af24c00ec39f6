//! The queue: what enters it, who gets what when, and what stands in it whatever dies in the middle.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use taskrun::{
    core::{
        calendar::{BusinessHours, parse_windows},
        event::RunEnd,
        task::{Overlap, ProcessId},
    },
    shop::{
        product::{Asin, Platform, sku},
        spread::{Lane, Pace, Rhythm, Stretch, day_of},
        upload::{ItemId, Obeyed, Order, PRIORITY, Refusal, State, Step, Work},
    },
    store::{
        Fence,
        shop::{
            AccountKey, AddReport, AddRequest, Batch, Begun, Cap, ClaimRequest, Claimed, Disobeyed, Guarded, ItemError, ItemFilter,
            NextStep, Park, Parked, Queue, Settled, ShopStore, Target, Wanted, Which,
        },
        sqlite::SqliteStore,
    },
};
use tokio::task::JoinSet;

use crate::world::{World, by_hand, fire, instance, overlapping};

/// Noon of a Tuesday in Tokyo.
fn noon() -> Timestamp {
    "2026-11-24T12:00:00+09:00".parse().unwrap()
}

fn minutes(n: i64) -> Timestamp {
    noon() + SignedDuration::from_mins(n)
}

fn tokyo() -> TimeZone {
    TimeZone::get("Asia/Tokyo").unwrap()
}

fn asin(n: usize) -> Asin {
    Asin::parse(&format!("B0{n:08}")).unwrap()
}

fn asins(n: usize) -> Vec<Asin> {
    (1..=n).map(asin).collect()
}

fn account(name: &str) -> AccountKey {
    AccountKey { platform: Platform::Base, account: name.into() }
}

fn target(name: &str, daily_limit: u32) -> Target {
    let hours = BusinessHours { windows: parse_windows("06:00-23:00").unwrap(), holidays: Vec::new(), text: "06:00-23:00".into() };
    Target { account: name.into(), lane: Lane { zone: tokyo(), hours: Some(hours), daily_limit: Some(daily_limit) }, closed: None }
}

fn request(targets: &[&str], wanted: Wanted) -> AddRequest {
    AddRequest {
        platform: Platform::Base,
        targets: targets.iter().map(|name| target(name, 1000)).collect(),
        only: None,
        wanted,
        priority: PRIORITY,
        pace: Pace::Soon,
        from: noon(),
        publish: None,
        dry: false,
    }
}

fn named(targets: &[&str], wanted: &[Asin]) -> AddRequest {
    request(targets, Wanted::Named(wanted.to_vec()))
}

fn scan(targets: &[&str], again: bool) -> AddRequest {
    request(targets, Wanted::Pending { limit: 10_000, again })
}

fn cap(at: Timestamp, limit: u32) -> Cap {
    Cap { day: day_of(at, &tokyo()), limit: Some(limit) }
}

fn claiming(name: &str, limit: usize, at: Timestamp) -> ClaimRequest {
    let lease_until = at + SignedDuration::from_mins(10);
    ClaimRequest { work: Work::Upload, account: account(name), limit, lease_until, cap: cap(at, 1000) }
}

fn error(code: &str) -> ItemError {
    ItemError { code: code.into(), text: "the shop said no".into() }
}

/// A picture for each product.
pub(crate) const IMAGES: &str =
    "INSERT INTO product_texts (asin, images, images_fetched_at_ms) SELECT asin, '[\"https://example.com/1.jpg\"]', 0 FROM products";

/// A store with `n` whole products in the catalogue.
struct House {
    world: World,
    shop: Arc<dyn ShopStore>,
    daemon: ProcessId,
}

impl House {
    async fn with(n: usize) -> Self {
        let world = World::sqlite();
        let mut conn = rusqlite::Connection::open(world.file()).unwrap();
        let tx = conn.transaction().unwrap();
        for asin in asins(n) {
            tx.execute(
                "INSERT INTO products (asin, title, title_fetched_at_ms, cost_yen, cost_fetched_at_ms, created_at_ms)
                 VALUES (?1, '水筒', 0, 1980, 0, 0)",
                [asin.as_str()],
            )
            .unwrap();
        }
        tx.execute(IMAGES, []).unwrap();
        tx.commit().unwrap();
        let daemon = world.daemon().await;
        Self { shop: world.shop(), world, daemon }
    }

    fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.world.file()).unwrap().execute_batch(sql).unwrap();
    }

    async fn add(&self, request: AddRequest) -> AddReport {
        self.shop.add_uploads(request, noon()).await.unwrap()
    }

    /// A run of an account's instance that may write; several at once.
    async fn worker(&self, name: &str, n: i64) -> Fence {
        let instance = overlapping(&format!("upload_tick@{name}"), Overlap::Allow);
        let (run, generation, _) = self.world.admit(self.daemon, by_hand(&instance, n)).await;
        Fence { instance: instance.name, run, generation }
    }

    async fn claim(&self, fence: &Fence, request: ClaimRequest, at: Timestamp) -> Batch {
        done(self.shop.claim_items(fence.clone(), request, at).await.unwrap())
    }

    async fn begin(&self, fence: &Fence, item: ItemId, step: Step, at: Timestamp) -> Begun {
        let next = NextStep { item, step, cap: cap(at, 1000), lease_until: at + SignedDuration::from_mins(10) };
        done(self.shop.begin_step(fence.clone(), next, at).await.unwrap())
    }

    async fn settle(&self, fence: &Fence, item: ItemId, how: Settled, at: Timestamp) -> Option<State> {
        done(self.shop.settle_item(fence.clone(), item, how, at).await.unwrap())
    }

    async fn order(&self, id: ItemId, order: Order) -> Result<Obeyed, Disobeyed> {
        self.shop.order_items(Which::Ids(vec![id]), order, noon()).await.unwrap().remove(0).1
    }

    async fn state(&self, id: ItemId) -> State {
        self.shop.item(id).await.unwrap().unwrap().0.state
    }

    async fn ids(&self, filter: ItemFilter) -> Vec<i64> {
        self.shop.items(Work::Upload, filter).await.unwrap().iter().map(|item| item.id.0).collect()
    }
}

fn done<T>(guarded: Guarded<T>) -> T {
    match guarded {
        Guarded::Done(value) => value,
        Guarded::Fenced => panic!("fenced"),
    }
}

fn ids(batch: &Batch) -> Vec<i64> {
    batch.items.iter().map(|claimed| claimed.item.id.0).collect()
}

fn put_back(until: Timestamp, counts: bool) -> Settled {
    Settled::PutBack { until, counts, error: Some(error("timeout")) }
}

const FINISHED: Settled = Settled::Finished { price: 2580, visible: true };

/// Lists an item as a worker does, from the claim on.
async fn list(shop: &dyn ShopStore, fence: &Fence, claimed: &Claimed, limit: u32, at: Timestamp) {
    let id = claimed.item.id;
    let next = NextStep { item: id, step: Step::Create, cap: cap(at, limit), lease_until: at + SignedDuration::from_mins(10) };
    assert_eq!(done(shop.begin_step(fence.clone(), next, at).await.unwrap()), Begun::Go);
    let item_id = Some(format!("{}", 500 + id.0).into());
    assert!(done(shop.finish_step(fence.clone(), id, Step::Create, item_id, at).await.unwrap()));
    assert_eq!(done(shop.settle_item(fence.clone(), id, FINISHED, at).await.unwrap()), Some(State::Success));
}

#[tokio::test]
async fn what_enters_is_queued_once_and_has_a_listing_to_be() {
    let house = House::with(3).await;
    let report = house.add(named(&["a"], &[asin(1), asin(2), asin(1), asin(9)])).await;
    assert_eq!(report.added.iter().map(|added| added.asin.clone()).collect::<Vec<_>>(), [asin(1), asin(2)]);
    assert_eq!(report.refused, [(asin(9), Refusal::Unknown)]);
    let again = house.add(named(&["a"], &asins(3))).await;
    assert_eq!(again.added.len(), 1, "only what was not there");
    assert!(again.refused.iter().all(|(_, refusal)| refusal.is_so_already()), "{again:?}");
    assert_eq!(house.ids(ItemFilter { limit: 10, ..ItemFilter::default() }).await, [3, 2, 1], "newest first");
    let skus: Vec<String> = {
        let conn = rusqlite::Connection::open(house.world.file()).unwrap();
        let mut skus = conn.prepare("SELECT sku FROM listings WHERE state = 'pending' ORDER BY asin").unwrap();
        skus.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(skus, asins(3).iter().map(|asin| sku("a", asin).to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn asking_what_would_be_queued_changes_nothing() {
    let house = House::with(3).await;
    let dry = house.add(AddRequest { dry: true, ..scan(&["a", "b"], false) }).await;
    let wet = house.add(scan(&["a", "b"], false)).await;
    let places =
        |report: &AddReport| report.added.iter().map(|added| (added.asin.clone(), added.account.clone(), added.at)).collect::<Vec<_>>();
    assert_eq!(places(&dry), places(&wet));
    assert!(dry.added.iter().all(|added| added.id.is_none()) && wet.added.iter().all(|added| added.id.is_some()));
}

#[tokio::test]
async fn two_who_queue_the_same_at_once_queue_it_once() {
    let house = House::with(200).await;
    let mut adding = JoinSet::new();
    for _ in 0..3 {
        let shop = SqliteStore::open(&house.world.file()).unwrap();
        adding.spawn(async move { shop.add_uploads(scan(&["a", "b"], false), noon()).await.unwrap().added.len() });
    }
    assert_eq!(adding.join_all().await.into_iter().sum::<usize>(), 200);
    assert_eq!(house.ids(ItemFilter { limit: 1000, ..ItemFilter::default() }).await.len(), 200);
}

#[tokio::test]
async fn incomplete_products_never_enter_and_the_reason_is_named() {
    let house = House::with(4).await;
    house.sql(
        "UPDATE products SET title = ' ' WHERE asin = 'B000000001'; UPDATE products SET cost_yen = NULL, cost_fetched_at_ms = NULL WHERE asin = 'B000000002';
         UPDATE product_texts SET images = '[]' WHERE asin = 'B000000003';",
    );
    let report = house.add(scan(&["a"], false)).await;
    let refused: Vec<&str> = report.refused.iter().map(|(_, refusal)| refusal.word()).collect();
    assert_eq!((refused, report.added.len()), (vec!["no_title", "no_cost", "no_images"], 1));
}

#[tokio::test]
async fn a_closed_account_gets_nothing_and_says_why() {
    let house = House::with(4).await;
    let park = Park { account: account("b"), cause: Parked::Paused, detail: "stocktaking".into(), since: noon(), until: None };
    house.shop.park(park).await.unwrap();
    let mut request = scan(&["a", "b", "c"], false);
    request.targets[2].closed = Some("`c` is disabled in tasks.yaml".into());
    let report = house.add(request).await;
    assert!(report.added.len() == 4 && report.added.iter().all(|added| &*added.account == "a"), "{report:?}");
    let only = house.add(AddRequest { only: Some("b".into()), ..named(&["a", "b"], &[asin(1)]) }).await;
    assert_eq!(only.refused, [(asin(1), Refusal::Closed { why: "`b` is paused: stocktaking".into() })]);
}

#[tokio::test]
async fn a_product_whose_listing_names_an_account_goes_there() {
    let house = House::with(4).await;
    house.sql("INSERT INTO listings (asin, platform, account, sku, state, created_at_ms) SELECT asin, 'base', 'b', 'old-' || asin, 'pending', 0 FROM products");
    let report = house.add(scan(&["a", "b"], false)).await;
    assert!(report.added.len() == 4 && report.added.iter().all(|added| &*added.account == "b"), "{report:?}");
}

#[tokio::test]
async fn items_come_by_time_then_priority_then_number_and_only_to_their_account() {
    let house = House::with(6).await;
    let at = |n, priority, minute| AddRequest { priority, from: minutes(minute), ..named(&["a"], &[asin(n)]) };
    for request in [at(1, 5, 2), at(2, 5, 1), at(3, 20, 2), at(4, 5, 2), at(5, 5, 60)] {
        house.add(request).await;
    }
    house.add(named(&["b"], &[asin(6)])).await;
    let due = ItemFilter { account: Some(account("a")), due_at: Some(minutes(10)), limit: 10, ..ItemFilter::default() };
    assert_eq!(house.ids(due).await, [2, 3, 1, 4]);
    let worker = house.worker("a", 1).await;
    assert_eq!(ids(&house.claim(&worker, claiming("a", 3, minutes(10)), minutes(10)).await), [2, 3, 1]);
}

#[tokio::test]
async fn an_urgent_item_is_due_at_once_even_when_the_day_is_planned_full() {
    let house = House::with(12).await;
    let mut plan = request(&["a"], Wanted::Pending { limit: 10, again: false });
    plan.targets[0].lane.daily_limit = Some(10);
    plan.pace = Pace::Spread;
    house.add(plan.clone()).await;
    let named = |n| AddRequest { wanted: Wanted::Named(vec![asin(n)]), pace: Pace::Soon, ..plan.clone() };
    let urgent = house.add(AddRequest { priority: 20, ..named(11) }).await;
    assert_eq!(urgent.added[0].at, noon());
    let normal = house.add(named(12)).await;
    assert_eq!(normal.added[0].at, "2026-11-25T06:00:00+09:00".parse::<Timestamp>().unwrap(), "the next opening");
}

#[tokio::test]
async fn what_was_put_back_waits_and_hides_nobody_and_a_limit_costs_no_attempt() {
    let house = House::with(3).await;
    house.add(named(&["a"], &asins(3))).await;
    let worker = house.worker("a", 1).await;
    let first = house.claim(&worker, claiming("a", 2, noon()), noon()).await;
    assert_eq!(ids(&first), [1, 2]);
    assert_eq!(house.settle(&worker, ItemId(1), put_back(minutes(60), true), noon()).await, Some(State::Pending));
    assert_eq!(house.settle(&worker, ItemId(2), put_back(minutes(60), false), noon()).await, Some(State::Pending));
    assert_eq!(ids(&house.claim(&worker, claiming("a", 9, minutes(1)), minutes(1)).await), [3]);
    house.settle(&worker, ItemId(3), Settled::Failed(error("bad_params")), minutes(1)).await;
    let next = house.claim(&worker, claiming("a", 9, minutes(60)), minutes(60)).await;
    assert_eq!(next.items.iter().map(|claimed| claimed.item.attempts).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(next.items[0].item.error, Some(error("timeout")));
}

#[tokio::test]
async fn what_a_worker_left_in_the_middle_is_looked_up_before_it_is_listed_again() {
    let house = House::with(2).await;
    house.add(named(&["a"], &asins(2))).await;
    let dead = house.worker("a", 1).await;
    house.claim(&dead, claiming("a", 2, noon()), noon()).await;
    assert_eq!(house.begin(&dead, ItemId(1), Step::Create, noon()).await, Begun::Go);
    let next = house.worker("a", 2).await;
    assert!(house.claim(&next, claiming("a", 2, minutes(1)), minutes(1)).await.items.is_empty(), "its worker lives");
    house.world.close(house.daemon, dead.run, RunEnd::Lost).await;
    let left = house.claim(&next, claiming("a", 2, minutes(2)), minutes(2)).await;
    assert!(ids(&left) == [1, 2] && left.items.iter().all(|claimed| claimed.left_open && claimed.item.attempts == 2), "{left:?}");
    assert_eq!(left.items.iter().map(Claimed::unknown_since).collect::<Vec<_>>(), [Some(noon()), None]);
    assert_eq!(
        house.begin(&next, ItemId(1), Step::Create, minutes(2)).await,
        Begun::Open(noon()),
        "nobody may list it before its fate is known"
    );
    assert_eq!(house.begin(&next, ItemId(2), Step::Create, minutes(2)).await, Begun::Go);
    assert!(done(house.shop.withdraw_step(next.clone(), ItemId(1), Step::Create).await.unwrap()));
    assert_eq!(house.begin(&next, ItemId(1), Step::Create, minutes(3)).await, Begun::Go);
    // What was found at the shop instead is taken over.
    assert!(done(house.shop.finish_step(next.clone(), ItemId(2), Step::Create, Some("502".into()), minutes(3)).await.unwrap()));
    assert_eq!(house.begin(&next, ItemId(2), Step::Create, minutes(3)).await, Begun::Done);
}

#[tokio::test]
async fn a_lease_that_has_ended_and_an_earlier_attempt_of_the_run_leave_their_items_too() {
    let house = House::with(1).await;
    house.add(named(&["a"], &asins(1))).await;
    let first = house.worker("a", 1).await;
    house.claim(&first, claiming("a", 1, noon()), noon()).await;
    assert_eq!(ids(&house.claim(&first, claiming("a", 1, minutes(1)), minutes(1)).await), [1], "its own");
    let second = house.worker("a", 2).await;
    assert!(house.claim(&second, claiming("a", 1, minutes(10)), minutes(10)).await.items.is_empty());
    assert_eq!(ids(&house.claim(&second, claiming("a", 1, minutes(11)), minutes(11)).await), [1]);
    // Whoever lost it changes nothing any more.
    assert_eq!(house.begin(&first, ItemId(1), Step::Create, minutes(11)).await, Begun::NotYours);
    assert_eq!(house.settle(&first, ItemId(1), FINISHED, minutes(11)).await, None);
    assert_eq!(house.state(ItemId(1)).await, State::Uploading);
}

#[tokio::test]
async fn a_run_that_was_shut_out_claims_and_writes_nothing() {
    let house = House::with(2).await;
    house.add(named(&["a"], &asins(2))).await;
    let instance = instance("upload_tick@a");
    let (run, generation, _) = house.world.admit(house.daemon, fire(&instance, 1)).await;
    let old = Fence { instance: instance.name.clone(), run, generation };
    house.claim(&old, claiming("a", 1, noon()), noon()).await;
    let (new, generation, _) = house.world.admit(house.daemon, fire(&instance, 2)).await;
    house.world.store.take_over(new, vec![run], noon()).await.unwrap();
    assert_eq!(house.shop.claim_items(old.clone(), claiming("a", 1, noon()), noon()).await.unwrap(), Guarded::Fenced);
    assert_eq!(house.shop.settle_item(old, ItemId(1), FINISHED, noon()).await.unwrap(), Guarded::Fenced);
    let new = Fence { instance: instance.name, run: new, generation };
    let batch = house.claim(&new, claiming("a", 2, noon()), noon()).await;
    assert_eq!(
        (ids(&batch), batch.items[0].left_open, batch.items[1].left_open),
        (vec![1, 2], true, false),
        "at once, without a lease to wait for"
    );
}

#[tokio::test]
async fn success_and_the_listing_are_one_write_and_the_price_has_its_history() {
    let house = House::with(1).await;
    house.add(named(&["a"], &asins(1))).await;
    let worker = house.worker("a", 1).await;
    let batch = house.claim(&worker, claiming("a", 1, noon()), noon()).await;
    list(&*house.shop, &worker, &batch.items[0], 1000, noon()).await;
    let listing = house.shop.listings(account("a")).await.unwrap().remove(0);
    assert_eq!((listing.item_id.as_deref(), listing.price, listing.visible), (Some("501"), Some(2580), Some(true)));
    let conn = rusqlite::Connection::open(house.world.file()).unwrap();
    let (new, reason): (i64, String) =
        conn.query_row("SELECT new_yen, reason FROM price_history", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!((new, reason.as_str()), (2580, "listed"));
    // Whether the listing was made or not is never open for a success.
    assert!(house.add(named(&["a", "b"], &asins(1))).await.added.is_empty(), "it is live");
}

#[tokio::test]
async fn an_order_for_an_item_in_a_living_hand_waits_for_the_worker() {
    let house = House::with(3).await;
    house.add(named(&["a"], &asins(3))).await;
    let worker = house.worker("a", 1).await;
    let batch = house.claim(&worker, claiming("a", 3, noon()), noon()).await;
    for claimed in &batch.items {
        assert_eq!(house.order(claimed.item.id, Order::Cancel).await, Ok(Obeyed::Later(State::Cancelled)));
        assert_eq!(house.state(claimed.item.id).await, State::Uploading);
    }
    assert_eq!(house.begin(&worker, ItemId(1), Step::Create, noon()).await, Begun::Unwanted);
    assert_eq!(house.settle(&worker, ItemId(1), put_back(noon(), false), noon()).await, Some(State::Cancelled));
    house.sql("UPDATE queue SET wish = 'on_hold' WHERE id = 2; INSERT INTO queue_steps VALUES (3, 'create', 0, 0, 0); UPDATE queue SET item_id = '503' WHERE id = 3");
    assert_eq!(house.settle(&worker, ItemId(2), put_back(noon(), false), noon()).await, Some(State::OnHold));
    assert_eq!(house.settle(&worker, ItemId(3), FINISHED, noon()).await, Some(State::Success), "what is done is done");
}

#[tokio::test]
async fn an_order_for_an_item_of_a_dead_worker_holds_at_once() {
    let house = House::with(2).await;
    house.add(named(&["a"], &asins(2))).await;
    let dead = house.worker("a", 1).await;
    house.claim(&dead, claiming("a", 2, noon()), noon()).await;
    house.begin(&dead, ItemId(2), Step::Create, noon()).await;
    house.world.close(house.daemon, dead.run, RunEnd::Lost).await;
    assert_eq!(house.order(ItemId(1), Order::Hold).await, Ok(Obeyed::Now(State::OnHold)));
    assert!(matches!(house.order(ItemId(2), Order::Hold).await, Err(Disobeyed::Illegal(illegal)) if illegal.state == State::Uncertain));
    assert_eq!(house.order(ItemId(2), Order::Cancel).await, Ok(Obeyed::Now(State::Cancelled)));
    let refused = house.add(named(&["a"], &[asin(2)])).await.refused;
    assert!(matches!(refused[0].1, Refusal::Unsettled { id: 2, .. }), "it may be at the shop: {refused:?}");
    assert_eq!(house.order(ItemId(2), Order::Retry).await, Ok(Obeyed::Now(State::Pending)));
    let next = house.worker("a", 2).await;
    let batch = house.claim(&next, claiming("a", 1, noon()), noon()).await;
    assert_eq!((ids(&batch), batch.items[0].unknown_since()), (vec![2], Some(noon())), "its fate is still open");
}

#[tokio::test]
async fn an_illegal_order_is_refused_and_changes_nothing() {
    let house = House::with(1).await;
    house.add(named(&["a"], &asins(1))).await;
    for order in [Order::Retry, Order::Release, Order::Approve, Order::Refuse] {
        assert!(matches!(house.order(ItemId(1), order).await, Err(Disobeyed::Illegal(_))), "{order}");
    }
    assert_eq!(house.order(ItemId(7), Order::Cancel).await, Err(Disobeyed::Missing));
    assert_eq!(house.state(ItemId(1)).await, State::Pending);
}

#[tokio::test]
async fn what_a_person_approved_says_so() {
    let house = House::with(2).await;
    house.add(named(&["a"], &asins(2))).await;
    let worker = house.worker("a", 1).await;
    house.claim(&worker, claiming("a", 2, noon()), noon()).await;
    for id in [1, 2] {
        let question = Settled::Questionable(error("score_60"));
        assert_eq!(house.settle(&worker, ItemId(id), question, noon()).await, Some(State::Review));
    }
    assert_eq!(house.order(ItemId(1), Order::Approve).await, Ok(Obeyed::Now(State::Pending)));
    assert_eq!(house.order(ItemId(2), Order::Refuse).await, Ok(Obeyed::Now(State::Cancelled)));
    let batch = house.claim(&worker, claiming("a", 2, noon()), noon()).await;
    assert!(ids(&batch) == [1] && batch.items[0].item.approved, "{batch:?}");
}

#[tokio::test]
async fn waiting_items_get_other_times_in_their_order_and_nobody_else_s() {
    let house = House::with(4).await;
    house.add(named(&["a"], &asins(3))).await;
    house.add(named(&["b"], &[asin(4)])).await;
    house.order(ItemId(2), Order::Hold).await.unwrap();
    let evening: Stretch = minutes(60)..minutes(120);
    let moved = house.shop.reschedule(vec![(account("a"), Rhythm::Evenly(vec![evening]))]).await.unwrap().remove(0);
    assert_eq!((moved.items, moved.last), (2, Some(minutes(90))));
    let times = house.shop.items(Work::Upload, ItemFilter { limit: 9, ..ItemFilter::default() }).await.unwrap();
    let times: Vec<_> = times.iter().rev().map(|item| item.scheduled_at).collect();
    assert_eq!(times, [minutes(60), noon(), minutes(90), noon()]);
}

#[tokio::test]
async fn the_cap_counts_the_day_on_which_a_listing_is_made() {
    let house = House::with(4).await;
    house.add(named(&["a"], &asins(4))).await;
    let worker = house.worker("a", 1).await;
    let limited = |limit, at| ClaimRequest { cap: cap(at, limit), ..claiming("a", 4, at) };
    let late: Timestamp = "2026-11-24T23:59:59+09:00".parse().unwrap();
    let batch = house.claim(&worker, limited(3, late), late).await;
    assert!(ids(&batch) == [1, 2, 3] && batch.capped);
    let next_day = late + SignedDuration::from_secs(2);
    let begin = async |id, limit, at| {
        let next = NextStep { item: ItemId(id), step: Step::Create, cap: cap(at, limit), lease_until: at };
        done(house.shop.begin_step(worker.clone(), next, at).await.unwrap())
    };
    assert_eq!(begin(1, 1, late).await, Begun::Go);
    assert_eq!(begin(2, 1, next_day).await, Begun::Go, "it takes a place of the day on which it is made");
    assert_eq!(begin(3, 1, next_day).await, Begun::Capped);
    let count = async |at| house.shop.today(Work::Upload, account("a"), day_of(at, &tokyo()), at).await.unwrap().counted;
    assert_eq!((count(late).await, count(next_day).await), (2, 1));
    // What was not made gives its place back; what was, or may have been, does not.
    house.settle(&worker, ItemId(3), put_back(late, false), next_day).await;
    house.settle(&worker, ItemId(1), Settled::Doubtful(error("timeout")), next_day).await;
    assert_eq!((count(late).await, count(next_day).await), (1, 1));
    done(house.shop.withdraw_step(worker.clone(), ItemId(2), Step::Create).await.unwrap());
    assert_eq!(count(next_day).await, 0);
}

#[tokio::test]
async fn an_item_that_has_its_listing_is_finished_though_the_cap_is_full() {
    let house = House::with(2).await;
    house.add(named(&["a"], &asins(2))).await;
    let worker = house.worker("a", 1).await;
    let limited = |at| ClaimRequest { cap: cap(at, 1), ..claiming("a", 4, at) };
    house.claim(&worker, limited(noon()), noon()).await;
    house.begin(&worker, ItemId(1), Step::Create, noon()).await;
    done(house.shop.finish_step(worker.clone(), ItemId(1), Step::Create, Some("501".into()), noon()).await.unwrap());
    house.begin(&worker, ItemId(1), Step::Image(1), noon()).await;
    house.settle(&worker, ItemId(1), put_back(noon(), true), noon()).await;
    let batch = house.claim(&worker, limited(minutes(1)), minutes(1)).await;
    assert!(ids(&batch) == [1] && batch.capped, "{batch:?}");
    assert!(batch.items[0].has_done(Step::Create) && !batch.items[0].has_done(Step::Image(1)) && batch.items[0].unknown_since().is_none());
    assert_eq!(house.begin(&worker, ItemId(1), Step::Image(1), minutes(1)).await, Begun::Go, "an image may be sent again");
}

#[tokio::test]
async fn after_a_restore_the_shop_is_asked_before_anything_is_listed_that_the_copy_has_as_waiting() {
    let house = House::with(2).await;
    house.add(named(&["a"], &asins(2))).await;
    let worker = house.worker("a", 1).await;
    let batch = house.claim(&worker, claiming("a", 1, noon()), noon()).await;
    list(&*house.shop, &worker, &batch.items[0], 1000, noon()).await;
    let (copy, restored) = (house.world.file().with_extension("copy"), house.world.file().with_extension("restored"));
    house.sql(&format!("VACUUM INTO '{}'", copy.display()));
    taskrun::store::sqlite::restore(&copy, &restored, minutes(9)).unwrap();
    let store = SqliteStore::open(&restored).unwrap();
    let open = async |id| {
        let (item, steps) = store.item(ItemId(id)).await.unwrap().unwrap();
        Claimed { item, steps, left_open: false }.unknown_since()
    };
    assert_eq!((open(1).await, open(2).await), (None, Some(minutes(9))));
}

#[tokio::test]
async fn acceptance_08_the_1001st_item_of_a_day_waits_for_midnight_in_tokyo_whoever_asks() {
    const LIMIT: u32 = 1000;
    let house = House::with(1001).await;
    let mut plan = scan(&["a"], false);
    plan.targets[0].lane.daily_limit = None;
    assert_eq!(house.add(plan).await.added.len(), 1001);
    // Two workers and a `once`, each a process with a connection of its own.
    let mut racing = JoinSet::new();
    for n in 1..=3 {
        let (fence, shop) = (house.worker("a", n).await, SqliteStore::open(&house.world.file()).unwrap());
        racing.spawn(async move {
            let mut listed = 0;
            loop {
                let batch = done(shop.claim_items(fence.clone(), claiming("a", 10, noon()), noon()).await.unwrap());
                if batch.items.is_empty() {
                    return (listed, batch.capped);
                }
                listed += batch.items.len();
                let one = |claimed| {
                    let (shop, fence) = (shop.clone(), fence.clone());
                    async move { list(&shop, &fence, &claimed, LIMIT, noon()).await }
                };
                batch.items.into_iter().map(one).collect::<JoinSet<()>>().join_all().await;
            }
        });
    }
    let done = racing.join_all().await;
    assert_eq!(done.iter().map(|(listed, _)| listed).sum::<usize>(), 1000);
    assert!(done.iter().all(|(_, capped)| *capped), "each is told why there is no more: {done:?}");
    let worker = house.worker("a", 4).await;
    let midnight: Timestamp = "2026-11-24T15:00:00Z".parse().unwrap();
    let just_before = midnight - SignedDuration::from_millis(1);
    assert!(house.claim(&worker, claiming("a", 10, just_before), just_before).await.items.is_empty());
    assert_eq!(house.claim(&worker, claiming("a", 10, midnight), midnight).await.items.len(), 1);
}

#[tokio::test]
async fn acceptance_09_the_same_product_in_two_shops_is_two_items_with_two_numbers_and_an_inactive_shop_gets_none() {
    let house = House::with(1).await;
    let mut request = named(&["a", "b", "c"], &asins(1));
    request.targets[2].closed = Some("`c` is disabled in tasks.yaml".into());
    for (only, added) in [("a", 1), ("b", 1), ("c", 0), ("a", 0)] {
        assert_eq!(house.add(AddRequest { only: Some(only.into()), ..request.clone() }).await.added.len(), added, "{only}");
    }
    for name in ["a", "b"] {
        let worker = house.worker(name, 1).await;
        let batch = house.claim(&worker, claiming(name, 9, noon()), noon()).await;
        list(&*house.shop, &worker, &batch.items[0], 1000, noon()).await;
    }
    let skus = [house.shop.listings(account("a")).await.unwrap(), house.shop.listings(account("b")).await.unwrap()]
        .map(|listed| listed[0].sku.clone());
    assert_eq!(skus, [sku("a", &asin(1)), sku("b", &asin(1))]);
}

#[tokio::test]
async fn acceptance_10_failed_is_tried_again_success_does_not_block_and_cancelled_stays_cancelled() {
    let house = House::with(3).await;
    house.add(named(&["a"], &asins(3))).await;
    let worker = house.worker("a", 1).await;
    let batch = house.claim(&worker, claiming("a", 2, noon()), noon()).await;
    house.settle(&worker, ItemId(1), Settled::Failed(error("image_put_fail")), noon()).await;
    list(&*house.shop, &worker, &batch.items[1], 1000, noon()).await;
    house.order(ItemId(3), Order::Cancel).await.unwrap();
    // A scan brings back neither what failed nor what was cancelled, unless it is told to.
    let report = house.add(scan(&["a"], false)).await;
    assert!(report.added.is_empty(), "{report:?}");
    assert_eq!(report.refused.iter().map(|(_, refusal)| refusal.word()).collect::<Vec<_>>(), ["failed", "cancelled"]);
    // The failed one is tried again by hand, with its attempts anew.
    let every = |code: &str| Which::Every { state: State::Failed, account: Some(account("a")), code: Some(code.into()) };
    assert!(house.shop.order_items(every("timeout"), Order::Retry, noon()).await.unwrap().is_empty());
    let retried = house.shop.order_items(every("image_put_fail"), Order::Retry, noon()).await.unwrap();
    assert_eq!(retried, [(ItemId(1), Ok(Obeyed::Now(State::Pending)))]);
    assert_eq!(house.claim(&worker, claiming("a", 9, noon()), noon()).await.items[0].item.attempts, 1);
    // What was listed and is gone from the shop can be listed again.
    house.sql("UPDATE listings SET state = 'deleted', item_id = NULL WHERE asin = 'B000000002'");
    assert_eq!(house.add(named(&["a"], &[asin(2)])).await.added.len(), 1);
    assert_eq!(house.add(scan(&["a"], true)).await.added.iter().map(|added| added.asin.clone()).collect::<Vec<_>>(), [asin(3)]);
    assert_eq!(house.order(ItemId(3), Order::Retry).await, Err(Disobeyed::Twin(ItemId(5))), "its place is taken");
}
