//! What handlers keep: catalogue, writes under way, tokens and quotas.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use taskrun::{
    core::value::Secret,
    shop::{
        difference::Edit,
        offer::{Filter, Finding},
        product::{Asin, Platform, Stock},
        quota::{PerPurpose, Period, Place, Purpose, Rule},
    },
    store::{
        Fence,
        shop::{
            AccountKey, Claim, Claimant, Demand, Fate, Guarded, Intent, Limit, NewListing, NoPair, OpenIntent, QuotaKey, ShopStore, Token,
            TokenPair,
        },
    },
};

use crate::world::{World, fire, instance, minute};

fn asin(n: u32) -> Asin {
    Asin::parse(&format!("B0TEST{n:04}")).unwrap()
}

fn account(name: &str) -> AccountKey {
    AccountKey { platform: Platform::Base, account: name.into() }
}

fn listing(n: u32, shop: &str, item_id: Option<&str>) -> NewListing {
    NewListing {
        asin: asin(n),
        title: Some("水筒".to_owned()),
        shop: account(shop),
        item_id: item_id.map(Into::into),
        sku: format!("{shop}-{n}").into(),
    }
}

/// A run that may write.
async fn fence(w: &World) -> Fence {
    let me = w.daemon().await;
    let (run, generation, _) = w.admit(me, fire(&instance("sync"), 1)).await;
    Fence { instance: "sync".into(), run, generation }
}

#[tokio::test]
async fn the_same_product_may_be_in_two_shops_and_once_in_each() {
    let w = World::sqlite();
    let shop = w.shop();
    let both = vec![listing(1, "a", Some("11")), listing(1, "b", Some("11")), listing(2, "a", None)];
    assert_eq!(shop.add_listings(both.clone(), minute(0)).await.unwrap(), 3);
    assert_eq!(shop.add_listings(both, minute(1)).await.unwrap(), 0);
    let clash = NewListing { item_id: Some("11".into()), ..listing(3, "a", None) };
    assert_eq!(shop.add_listings(vec![clash], minute(1)).await.unwrap(), 0, "an item has one listing");
    let listed = shop.listings(account("a")).await.unwrap();
    assert_eq!(listed.len(), 1, "one that is not at the shop yet is not listed");
    assert_eq!((listed[0].asin.clone(), listed[0].item_id.as_deref()), (asin(1), Some("11")));
    let products = shop.listed_products().await.unwrap();
    assert_eq!(products.iter().map(|product| product.asin.clone()).collect::<Vec<_>>(), [asin(1)]);
}

#[tokio::test]
async fn what_was_found_is_kept_and_the_oldest_comes_first() {
    let w = World::sqlite();
    let (shop, fence) = (w.shop(), fence(&w).await);
    let listings = (1..=4).map(|n| listing(n, "a", Some(&n.to_string()))).collect();
    shop.add_listings(listings, minute(0)).await.unwrap();
    let learn = async |n, finding, at| shop.learn(fence.clone(), vec![(asin(n), finding)], minute(at)).await.unwrap();
    assert_eq!(learn(1, Finding::Ok { cost: 1980 }, 30).await, Guarded::Done(()));
    learn(2, Finding::Ok { cost: 500 }, 10).await;
    learn(2, Finding::Filtered(Filter::Slow), 20).await;
    learn(3, Finding::Error { code: "QuotaExceeded".to_owned(), message: "…".to_owned(), retry: true }, 40).await;
    let products = shop.listed_products().await.unwrap();
    assert_eq!(products.iter().map(|product| product.asin.clone()).collect::<Vec<_>>(), [3, 4, 2, 1].map(asin));
    assert_eq!((products[0].cost, products[0].stock), (None, None), "an error is no finding");
    let (cost, stock) = (products[2].cost.unwrap(), products[2].stock.unwrap());
    assert_eq!((cost.value, cost.fetched_at), (500, minute(10)), "the price keeps its own date");
    assert_eq!((stock.value, stock.fetched_at), (Stock::Filtered, minute(20)));
}

#[tokio::test]
async fn an_intent_is_open_until_its_fate_is_known() {
    let w = World::sqlite();
    let (shop, fence) = (w.shop(), fence(&w).await);
    shop.add_listings(vec![listing(1, "a", Some("11")), listing(1, "b", Some("11"))], minute(0)).await.unwrap();
    let intent = |edit| Intent { shop: account("a"), asin: asin(1), item_id: "11".into(), edit };
    let (price, hide) =
        (intent(Edit { price: Some(2580), ..Edit::default() }), intent(Edit { visible: Some(false), stock: Some(1), ..Edit::default() }));
    let open = async |intent: &Intent| match shop.open_intent(fence.clone(), intent.clone(), minute(1)).await.unwrap() {
        Guarded::Done(id) => id,
        Guarded::Fenced => panic!("fenced"),
    };
    let (first, second) = (open(&price).await, open(&hide).await);
    let wanted = [OpenIntent { id: first, intent: price.clone() }, OpenIntent { id: second, intent: hide }];
    assert_eq!(shop.open_edits(account("a")).await.unwrap(), wanted);
    assert_eq!(shop.open_edits(account("b")).await.unwrap(), []);
    shop.settle_intent(fence.clone(), first, Fate::Made, minute(2)).await.unwrap();
    shop.settle_intent(fence.clone(), second, Fate::NotMade, minute(2)).await.unwrap();
    assert_eq!(shop.open_edits(account("a")).await.unwrap(), []);
    let (ours, other) = (shop.listings(account("a")).await.unwrap().remove(0), shop.listings(account("b")).await.unwrap().remove(0));
    assert_eq!((ours.price, ours.visible), (Some(2580), None));
    assert_eq!(other.price, None, "the other shop's item has the same number by chance");
    assert_ne!(open(&price).await, second, "a number is never given twice");
}

#[tokio::test]
async fn below_the_floor_nothing_is_written() {
    let w = World::sqlite();
    let (shop, stale) = (w.shop(), fence(&w).await);
    shop.add_listings(vec![listing(1, "a", Some("11"))], minute(0)).await.unwrap();
    let intent = Intent { shop: account("a"), asin: asin(1), item_id: "11".into(), edit: Edit { price: Some(2580), ..Edit::default() } };
    let Guarded::Done(id) = shop.open_intent(stale.clone(), intent.clone(), minute(1)).await.unwrap() else { panic!("not so") };
    let (me, task) = (w.daemon().await, instance("sync"));
    let request = crate::world::vouching(fire(&task, 5), &[(taskrun::core::task::ProcessId(1), true)]);
    let (run, _, rivals) = w.admit(me, request).await;
    w.store.take_over(run, rivals.iter().map(|rival| rival.run).collect(), minute(5)).await.unwrap();
    let found = vec![(asin(1), Finding::NoOffer)];
    assert_eq!(shop.learn(stale.clone(), found, minute(6)).await.unwrap(), Guarded::Fenced);
    assert_eq!(shop.open_intent(stale.clone(), intent, minute(6)).await.unwrap(), Guarded::Fenced);
    assert_eq!(shop.settle_intent(stale, id, Fate::Made, minute(6)).await.unwrap(), Guarded::Fenced);
    assert_eq!(shop.listed_products().await.unwrap()[0].stock, None);
    assert_eq!(shop.open_edits(account("a")).await.unwrap().len(), 1, "its fate is still open");
}

#[tokio::test]
async fn what_was_taken_out_of_the_books_can_be_put_back() {
    let w = World::sqlite();
    let (shop, fence) = (w.shop(), fence(&w).await);
    shop.add_listings(vec![listing(1, "a", Some("11")), listing(1, "b", Some("11"))], minute(0)).await.unwrap();
    let delist = async |fence: &Fence| {
        shop.delist(fence.clone(), account("a"), asin(1), "the shop has no such item".into(), minute(1)).await.unwrap()
    };
    assert_eq!(delist(&fence).await, Guarded::Done(true));
    assert_eq!(delist(&fence).await, Guarded::Done(false), "it is not in the books any more");
    assert_eq!(shop.listings(account("a")).await.unwrap(), []);
    assert_eq!(shop.listings(account("b")).await.unwrap().len(), 1, "the other shop's listing is another");
    let out = shop.delisted(account("a")).await.unwrap();
    assert_eq!(
        out.iter().map(|out| (out.asin.clone(), out.at, &*out.why)).collect::<Vec<_>>(),
        [(asin(1), minute(1), "the shop has no such item")]
    );
    assert!(shop.undo_delist(account("a"), asin(1)).await.unwrap());
    assert!(!shop.undo_delist(account("a"), asin(1)).await.unwrap(), "once");
    assert_eq!(shop.listings(account("a")).await.unwrap().len(), 1);
    assert_eq!(shop.delisted(account("a")).await.unwrap(), []);
}

fn pair(n: u32, refresh: Option<&str>) -> TokenPair {
    TokenPair { access: Secret::new(format!("access {n}")), expires_at: minute(60), refresh: refresh.map(Secret::new) }
}

#[tokio::test]
async fn one_refreshes_and_the_others_get_what_it_got() {
    let w = World::sqlite();
    let shop = w.shop();
    assert_eq!(shop.token(account("a"), None).await.unwrap(), None);
    let first = shop.token(account("a"), Some(Secret::new("first"))).await.unwrap().unwrap();
    assert_eq!((first.generation, first.access.clone(), first.refresh.expose()), (0, None, "first"));
    let claim = |generation, at| {
        shop.claim_refresh(account("a"), generation, Claimant { holder: "me".into(), dead: None, at: minute(at), until: minute(at + 1) })
    };
    assert_eq!(claim(0, 0).await.unwrap(), Claim::Yours(first.clone()));
    assert_eq!(claim(0, 0).await.unwrap(), Claim::Busy("me".into()));
    assert_eq!(
        claim(0, 1).await.unwrap(),
        Claim::Yours(Token { sent_at: Some(minute(0)), ..first }),
        "whoever had it is gone, and what it sent is open"
    );
    assert!(matches!(claim(0, -500).await.unwrap(), Claim::Yours(_)), "the clock was set back");
    assert!(shop.keep_token(account("a"), 0, pair(1, Some("second")), minute(0)).await.unwrap());
    assert!(!shop.keep_token(account("a"), 0, pair(2, Some("late")), minute(0)).await.unwrap(), "a later pair is never overwritten");
    let Claim::Renewed(second) = claim(0, 2).await.unwrap() else { panic!("not so") };
    assert_eq!((second.generation, second.refresh.expose()), (1, "second"));
    assert_eq!(second.expires_at, Some(minute(60)));

    assert!(matches!(claim(1, 3).await.unwrap(), Claim::Yours(_)));
    shop.end_refresh(account("a"), 1, NoPair::Nothing).await.unwrap();
    assert!(matches!(claim(1, 3).await.unwrap(), Claim::Yours(_)), "it was given up");
    shop.keep_token(account("a"), 1, pair(3, None), minute(4)).await.unwrap();
    let third = shop.token(account("a"), Some(Secret::new("first"))).await.unwrap().unwrap();
    assert_eq!((third.generation, third.refresh.expose()), (2, "second"), "a refresh token that is not rotated stays");
    let changed = shop.token(account("a"), Some(Secret::new("by hand"))).await.unwrap().unwrap();
    assert_eq!((changed.access, changed.refresh.expose()), (None, "by hand"), "a person's new token is the first again");
    assert!(changed.generation > third.generation);
}

/// A limit of an account's operation.
fn limit(account: &str, operation: &'static str, rule: Rule) -> Limit {
    Limit { key: QuotaKey { application: "app".into(), account: account.into(), operation }, rule }
}

fn demand(purpose: Purpose, limits: &[Limit]) -> Demand {
    Demand { limits: limits.into(), purpose, guard_ms: 0 }
}

const OFFERS: Rule = Rule::Bucket { interval_ms: 10_000, burst: 1 };

#[tokio::test]
async fn a_quota_is_shared_and_learns_its_rate() {
    let w = World::sqlite();
    let shop = w.shop();
    let offers = |account: &str| limit(account, "offers", OFFERS);
    let (now, ms) = (minute(0), minute(0).as_millisecond());
    let take = |account| shop.take_place(demand(Purpose::Sync, &[offers(account)]), now, minute(1));
    for n in 0..=6 {
        assert_eq!(take("a").await.unwrap(), Place::At(ms + n * 10_000));
    }
    assert_eq!(take("a").await.unwrap(), Place::NotBefore(ms + 70_000), "too far off");
    let last = Timestamp::from_millisecond(ms + 60_000).unwrap();
    shop.give_back(demand(Purpose::Sync, &[offers("a")]), last).await.unwrap();
    assert_eq!(take("a").await.unwrap(), Place::At(ms + 60_000), "what was given back is there for others");
    assert_eq!(take("b").await.unwrap(), Place::At(ms), "another seller's is another");
    shop.put_off(demand(Purpose::Sync, &[offers("b")]), now, now + SignedDuration::from_millis(300)).await.unwrap();
    assert_eq!(take("b").await.unwrap(), Place::At(ms + 10_300));
    assert_eq!(shop.exhaust(offers("c"), 0, now).await.unwrap().as_millisecond(), ms + 10_000);
    assert_eq!(take("c").await.unwrap(), Place::At(ms + 10_000));
    shop.learn_interval(offers("d"), 2_000).await.unwrap();
    for n in 0..3 {
        assert_eq!(take("d").await.unwrap(), Place::At(ms + n * 2_000));
    }
    let guarded = Demand { guard_ms: 50, ..demand(Purpose::Sync, &[offers("d")]) };
    assert_eq!(shop.take_place(guarded.clone(), now, minute(1)).await.unwrap(), Place::At(ms + 6_000));
    assert_eq!(
        shop.take_place(guarded, now, minute(1)).await.unwrap(),
        Place::At(ms + 8_050),
        "the guard comes on top of what was learned"
    );
}

#[tokio::test]
async fn a_call_is_counted_in_all_its_limits_or_in_none_and_for_its_purpose() {
    let w = World::sqlite();
    let shop = w.shop();
    let reserve = PerPurpose { upload: 1, ..PerPurpose::default() };
    let hour = limit("a", "calls_per_hour", Rule::Window { period: Period::Hour, calls: 3, reserve });
    let day = limit("a", "calls_per_day", Rule::Window { period: Period::Day, calls: 3, reserve: PerPurpose::default() });
    let both = [hour.clone(), day.clone()];
    let take = |purpose, at| shop.take_place(demand(purpose, &both), at, at);
    let (now, next_hour) = (minute(0), minute(60));
    for _ in 0..2 {
        assert!(matches!(take(Purpose::Sync, now).await.unwrap(), Place::At(_)));
    }
    assert_eq!(take(Purpose::Sync, now).await.unwrap(), Place::NotBefore(next_hour.as_millisecond()), "one is kept for uploads");
    assert!(matches!(take(Purpose::Upload, now).await.unwrap(), Place::At(_)));
    assert!(
        matches!(take(Purpose::Manual, next_hour).await.unwrap(), Place::NotBefore(at) if Period::Hour.ends(next_hour.as_millisecond()) < at)
    );
    shop.exhaust(hour, 0, next_hour).await.unwrap();
    let rows = shop.quotas(next_hour).await.unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (&*row.operation, row.used.calls, row.used.refused)).collect();
    let taken = PerPurpose { sync: 2, upload: 1, manual: 0 };
    assert_eq!(
        shown,
        [("calls_per_day", taken, 0), ("calls_per_hour", PerPurpose::default(), 1)],
        "the hour has nothing of what the day refused"
    );
    shop.accept(both.as_slice().into()).await.unwrap();
    assert!(shop.quotas(next_hour).await.unwrap().iter().all(|row| row.used.refused_in_row == 0));
}

#[tokio::test]
async fn a_shops_past_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    let open = || -> Arc<dyn ShopStore> { Arc::new(taskrun::store::sqlite::SqliteStore::open(&path).unwrap()) };
    let offers = demand(Purpose::Sync, &[limit("a", "offers", OFFERS)]);
    let until = minute(0) + SignedDuration::from_mins(5);
    let shop = open();
    shop.token(account("a"), Some(Secret::new("first"))).await.unwrap();
    shop.keep_token(account("a"), 0, pair(1, Some("second")), minute(0)).await.unwrap();
    shop.take_place(offers.clone(), minute(0), until).await.unwrap();
    drop(shop);
    let shop = open();
    assert_eq!(shop.token(account("a"), Some(Secret::new("first"))).await.unwrap().unwrap().refresh.expose(), "second");
    assert_eq!(shop.take_place(offers, minute(0), until).await.unwrap(), Place::At(minute(0).as_millisecond() + 10_000));
}
