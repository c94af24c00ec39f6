//! `update_items`: another item in the place of one that is gone.
use std::collections::BTreeSet;

use jiff::SignedDuration;
use taskrun::store::shop::{Guarded, Supplies as _, SupplyState};

use crate::yard::{Yard, key};

#[tokio::test]
async fn what_is_gone_is_restocked_with_the_cheapest_that_backs_nothing_else() {
    let (yard, clock) = Yard::new(30).await;
    for n in 0..4 {
        yard.stands(n, "sold").await;
    }
    yard.checked().await.unwrap();
    clock.advance(3_600_000);
    let gone = yard.supply(0).await.item;
    let report = yard.updated().await.unwrap();
    assert_eq!(report.summary, "4 searched, 4 restocked, 0 still wait");
    let supplies = yard.supplies().await;
    assert!(supplies.iter().all(|supply| supply.wanted == 1 && supply.state == SupplyState::Backed));
    let items: BTreeSet<_> = supplies.iter().map(|supply| supply.item.clone()).collect();
    assert!(items.len() == 30 && !items.contains(&gone), "no item backs two listings, and none that is gone does");
    assert!(supplies.iter().all(|supply| supply.price.is_none_or(|price| price <= 5_000)));
}

#[tokio::test]
async fn what_finds_nothing_goes_on_waiting_and_is_searched_once_a_run() {
    let (yard, clock) = Yard::new(20).await;
    let row = taskrun::store::shop::SupplyRow {
        key: key(0),
        source: "yahoo".into(),
        item: yard.supply(0).await.item,
        query: Some("nothing".into()),
        max_price: None,
        checks_per_day: None,
        restock: None,
        images: None,
    };
    yard.store.take_in_supplies(vec![row], yard.clock.now().wall).await.unwrap();
    yard.stands(0, "sold").await;
    yard.checked().await.unwrap();
    for _ in 0..2 {
        clock.advance(12 * 3_600_000);
        assert_eq!(yard.updated().await.unwrap().summary, "1 searched, 0 restocked, 1 still wait");
    }
    assert_eq!(yard.supply(0).await.state, SupplyState::Gone);
    assert_eq!(yard.sandbox.ledger().iter().filter(|entry| entry.path.ends_with("/search")).count(), 2);
}

#[tokio::test]
async fn where_no_price_is_set_nothing_dearer_takes_the_place_of_what_is_gone() {
    let (yard, clock) = Yard::new(20).await;
    let supply = yard.supply(2).await;
    let row = taskrun::store::shop::SupplyRow {
        key: key(2),
        source: "yahoo".into(),
        item: supply.item,
        query: supply.query,
        max_price: None,
        checks_per_day: None,
        restock: None,
        images: None,
    };
    yard.store.take_in_supplies(vec![row], yard.clock.now().wall).await.unwrap();
    yard.checked().await.unwrap();
    let paid = yard.supply(2).await.price.unwrap();
    yard.stands(2, "sold").await;
    clock.advance(12 * 3_600_000);
    yard.checked().await.unwrap();
    yard.updated().await.unwrap();
    let searches = yard.sandbox.ledger().into_iter().filter(|entry| entry.path.ends_with("/search"));
    assert!(searches.count() == 1 && yard.supply(2).await.price.is_none_or(|price| price <= paid));
}

#[tokio::test]
async fn check_and_update_may_each_be_late() {
    let (yard, clock) = Yard::new(20).await;
    // The update comes first: there is nothing for it yet.
    assert_eq!(yard.updated().await.unwrap().summary, "0 searched, 0 restocked, 0 still wait");
    yard.stands(3, "sold").await;
    yard.checked().await.unwrap();
    // It is late by a day, in which two more checks pass.
    for _ in 0..2 {
        clock.advance(12 * 3_600_000);
        yard.checked().await.unwrap();
    }
    assert_eq!(yard.supply(3).await.wanted, 0);
    assert_eq!(yard.updated().await.unwrap().summary, "1 searched, 1 restocked, 0 still wait");
    // The check is late: it goes on with what backs the listing now.
    yard.stands(3, "ended").await;
    clock.advance(36 * 3_600_000);
    assert!(yard.checked().await.unwrap().summary.contains("1 gone"));
    assert_eq!(yard.supply(3).await.wanted, 0);
}

#[tokio::test]
async fn what_amazon_knows_to_be_gone_for_long_may_be_forgotten_and_nothing_else() {
    let (yard, clock) = Yard::new(20).await;
    yard.stands(1, "sold").await;
    yard.stands(2, "sold").await;
    yard.checked().await.unwrap();
    let fence = yard.admit("update_feed").await;
    let now = yard.clock.now().wall;
    let told = vec![(key(1).sku, 0)];
    assert_eq!(yard.store.stock_pushed(fence.clone(), "amazon_main".into(), told, now).await.unwrap(), Guarded::Done(()));
    clock.advance(8 * 24 * 3_600_000);
    let before = yard.clock.now().wall - SignedDuration::from_hours(7 * 24);
    let expired: Vec<_> = yard.store.expired_supplies(before, 10).await.unwrap().into_iter().map(|supply| supply.key).collect();
    assert_eq!(expired, [key(1)], "what Amazon was not told of is still there");
    for (n, done) in [(1, true), (2, false), (3, false)] {
        assert_eq!(yard.store.delete_supply(fence.clone(), key(n), before).await.unwrap(), Guarded::Done(done), "{n}");
    }
    assert_eq!(yard.supplies().await.len(), 19);
}
