//! Accounts that are parked: nothing is sent for them, and people are told once.
use jiff::SignedDuration;
use std::sync::Arc;

use taskrun::{
    clock::Clock as _,
    handlers::{Access, AttemptContext, HandlerError, Plan, parking},
    marketplace::CallError,
    notify::Level,
    sandbox::seed,
    shop::product::Platform,
    store::shop::{AccountKey, Park, Parked, Parks as _},
};

use super::bench::{Bench, OFFERS, Told, shop_key};

fn paused(bench: &Bench, account: AccountKey, minutes: Option<i64>) -> Park {
    let since = bench.clock.now().wall;
    let until = minutes.map(|minutes| since + SignedDuration::from_mins(minutes));
    Park { account, cause: Parked::Paused, detail: "stocktaking".into(), since, until }
}

#[tokio::test]
async fn a_shop_that_is_parked_is_not_called() {
    let bench = Bench::new().await;
    let [first, second] = seed::SHOPS;
    bench.store.park(paused(&bench, shop_key(first), None)).await.unwrap();
    bench.live().await;
    assert!(bench.sandbox.ledger().iter().all(|entry| entry.account != first), "not even for a token");
    assert!(bench.writes().iter().any(|entry| entry.account == second), "the other shop goes on");
}

#[tokio::test]
async fn a_seller_that_is_parked_is_not_called_until_the_park_ends() {
    let bench = Bench::new().await;
    let seller = AccountKey { platform: Platform::Amazon, account: seed::SELLER.into() };
    bench.store.park(paused(&bench, seller, Some(30))).await.unwrap();
    let ended = bench.live().await;
    // A person may end a pause at any moment: nobody sits and waits for its end.
    let HandlerError::Permanent { message } = ended.error() else { panic!("{:?}", ended.error()) };
    assert!(message.contains("parked (paused) until 2026-03-30T00:30:00Z: stocktaking"), "{message}");
    assert_eq!(bench.calls(OFFERS), []);
    bench.clock.advance(30 * 60_000);
    bench.live().await.summary();
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn with_every_shop_parked_for_a_person_the_run_fails_and_reads_no_offers() {
    let bench = Bench::new().await;
    for shop in seed::SHOPS {
        bench.store.park(paused(&bench, shop_key(shop), None)).await.unwrap();
    }
    let ended = bench.live().await;
    let HandlerError::Permanent { message } = ended.error() else { panic!("{:?}", ended.error()) };
    assert!(seed::SHOPS.iter().all(|shop| message.contains(&format!("{shop} is parked (paused): stocktaking"))), "{message}");
    assert_eq!(bench.calls(OFFERS), [], "ninety minutes of the quota for nothing");
    bench.store.unpark(shop_key(seed::SHOPS[0]), None, bench.clock.now().wall).await.unwrap();
    assert!(bench.live().await.summary().contains("items read"), "one that can be called is enough");
}

#[tokio::test]
async fn a_park_is_told_once_and_again_only_after_it_ended() {
    let bench = Bench::new().await;
    let told = Arc::new(Told::default());
    let ctx = AttemptContext { notifier: told.clone(), ..bench.context(Access::Dry(Plan::default())) };
    let shop = shop_key(seed::SHOPS[0]);
    let dead = CallError::Login { account: shop.account.clone(), why: "refused".to_owned() };
    for _ in 0..3 {
        let park = parking::park(&ctx, &bench.store, &shop, &dead).await.unwrap().unwrap();
        assert_eq!((park.cause, park.until), (Parked::Login, None));
    }
    assert_eq!(told.0.lock().unwrap().iter().map(|notice| notice.level).collect::<Vec<_>>(), [Level::Alert]);
    assert_eq!(bench.store.parks(Some(shop.clone()), bench.clock.now().wall).await.unwrap().len(), 1, "even by a dry run");
    bench.store.unpark(shop.clone(), None, bench.clock.now().wall).await.unwrap();
    parking::park(&ctx, &bench.store, &shop, &dead).await.unwrap();
    assert_eq!(told.0.lock().unwrap().len(), 2);
    assert_eq!(parking::park(&ctx, &bench.store, &shop, &CallError::Cancelled).await.unwrap(), None);
}
