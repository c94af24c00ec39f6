//! Listings that the shop no longer knows.
use taskrun::{
    core::value::Value,
    notify::Event,
    sandbox::seed,
    shop::product::Asin,
    store::shop::{Catalogue as _, Delistings as _},
};

use crate::bench::*;

const SHOP: &str = seed::SHOPS[0];

/// Deletes items at the shop, as its owner's hand would, behind our back.
fn vanish(bench: &Bench, count: usize) -> Vec<(String, i64)> {
    let gone: Vec<_> = (0..count).map(|n| bench.sold(n)).collect();
    for (_, item) in &gone {
        bench.sandbox.remove_item(*item);
    }
    gone
}

async fn delisted(bench: &Bench) -> Vec<String> {
    let mut asins: Vec<_> = bench.store.delisted(shop_key(SHOP)).await.unwrap().iter().map(|out| out.asin.to_string()).collect();
    asins.sort();
    asins
}

#[tokio::test]
async fn acceptance_15_nothing_is_delisted_unless_a_live_item_was_read_and_it_can_be_undone() {
    let (bench, told) = Bench { account: Some(SHOP), ..Bench::new().await }.told();
    let gone = vanish(&bench, 3);
    let mut asins: Vec<_> = gone.iter().map(|(asin, _)| asin.clone()).collect();
    asins.sort();
    // The look at an item that is there fails.
    bench.sandbox.plan(&"detail:500x3".parse().unwrap());
    let ended = bench.live().await;
    assert!(ended.result.is_err() && delisted(&bench).await.is_empty(), "{:?}", ended.result);

    let listed = bench.store.listings(shop_key(SHOP)).await.unwrap().len();
    let ended = bench.live().await;
    assert!(ended.summary().contains("3 delisted"), "{}", ended.summary());
    assert_eq!(delisted(&bench).await, asins);
    assert_eq!(bench.store.listings(shop_key(SHOP)).await.unwrap().len(), listed - 3);
    let told = told.of(Event::NeedsEye).into_iter().filter(|notice| notice.text.contains("taken out of the books")).collect::<Vec<_>>();
    assert!(told.len() == 1 && told[0].text.contains("`taskrun products relist ASIN --account base_account_1`"), "{told:?}");
    let looked =
        bench.sandbox.ledger().into_iter().filter(|entry| entry.path.starts_with("/1/items/detail/") && entry.status == 200).count();
    assert_eq!(looked, 1, "one that is there, and only then those that are not");

    let back = Asin::parse(&gone[0].0).unwrap();
    assert!(bench.store.undo_delist(shop_key(SHOP), back).await.unwrap());
    assert_eq!(bench.store.listings(shop_key(SHOP)).await.unwrap().len(), listed - 2);
    let ended = bench.live().await;
    assert!(ended.summary().contains("1 delisted"), "it is looked at again: {}", ended.summary());
}

#[tokio::test]
async fn only_so_many_are_delisted_in_a_run() {
    let bench = Bench::new().await.set("max_delist", Value::Int(2));
    vanish(&bench, 5);
    let ended = bench.live().await;
    assert!(ended.summary().contains("2 delisted") && ended.summary().contains("3 not found at the shop"), "{}", ended.summary());
    bench.live().await.summary();
    assert_eq!(delisted(&bench).await.len(), 4);
    let bench = bench.set("max_delist", Value::Int(0));
    let ended = bench.live().await;
    assert!(ended.summary().contains("1 not found at the shop"), "{}", ended.summary());
    assert_eq!(delisted(&bench).await.len(), 4);
}

#[tokio::test]
async fn a_shop_that_shows_none_of_our_items_loses_none() {
    let (bench, told) = Bench { account: Some(SHOP), ..Bench::new().await }.told();
    for item in bench.sandbox.items(SHOP) {
        bench.sandbox.remove_item(item.item_id);
    }
    let ended = bench.live().await;
    let told = told.of(Event::NeedsEye);
    assert!(told.len() == 1 && told[0].text.contains("is it the right shop?"), "{told:?}");
    assert!(ended.summary().contains("not found at the shop"), "{}", ended.summary());
    assert_eq!(delisted(&bench).await, Vec::<String>::new(), "it may be the wrong shop");
}

#[tokio::test]
async fn an_item_that_was_only_missing_from_the_list_stays_in_the_books() {
    let bench = Bench { account: Some(SHOP), ..Bench::new().await };
    // It is deleted while the list is read, and is back by the time it is asked for by itself.
    let (asin, item_id) = bench.sold(0);
    let item = bench.item(item_id);
    bench.sandbox.remove_item(item_id);
    bench.sandbox.plan(&"detail:delay=500ms#1".parse().unwrap());
    let bring_back = async {
        wait_for(|| bench.sandbox.ledger().iter().any(|entry| entry.path.starts_with("/1/items/detail/"))).await;
        bench.sandbox.put_item(&item);
    };
    let (ended, ()) = tokio::join!(bench.live(), bring_back);
    assert!(!ended.summary().contains("delisted"), "{}", ended.summary());
    assert!(bench.store.listings(shop_key(SHOP)).await.unwrap().iter().any(|listing| listing.asin.as_str() == asin));
}

#[tokio::test]
async fn a_dry_run_plans_the_delisting_and_leaves_the_books() {
    let bench = Bench::new().await;
    let gone = vanish(&bench, 2);
    let ended = bench.dry().await;
    let planned: Vec<_> = ended.plan.planned().into_iter().filter(|planned| planned.kind == "delist").collect();
    assert_eq!(planned.len(), 2, "{planned:?}");
    assert!(gone.iter().all(|(asin, _)| planned.iter().any(|planned| planned.target.contains(asin.as_str()))));
    assert_eq!(delisted(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_item_that_is_deleted_while_it_is_written_is_looked_at_and_then_delisted() {
    let bench = Bench { account: Some(SHOP), ..Bench::new().await };
    bench.live().await.summary();
    bench.clock.advance(MINUTE);
    let (asin, item_id) = bench.sold(0);
    bench.sandbox.force(&asin, Some(taskrun::sandbox::Force::Cost(1234)));
    let delete = async {
        wait_for(|| bench.calls("/1/items").len() >= 2).await;
        bench.sandbox.remove_item(item_id);
    };
    // The list is slow to come, so the deletion falls behind it; whichever came first, the listing goes.
    let fault = "items:delay=300ms".parse().unwrap();
    bench.sandbox.plan(&fault);
    let (ended, ()) = tokio::join!(bench.live(), delete);
    assert!(ended.summary().contains("1 delisted"), "{}", ended.summary());
    assert_eq!(delisted(&bench).await, [asin]);
}
