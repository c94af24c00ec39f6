//! The same at eBay: another protocol behind the same trait.
use jiff::SignedDuration;
use taskrun::{
    config::{Account, Secret},
    core::value::Value,
    sandbox::{Offer, practice_keys, seed},
    shop::{
        offer::Finding,
        product::{Platform, sku},
        upload::{ItemId, State},
    },
    store::shop::{AccountKey, Catalogue as _, Parks as _},
};

use super::{
    bench::accounts,
    desk::{COST, Desk, PRICE, asin, details, publish},
};

const SHOP: &str = seed::EBAY;
/// The price at 150 yen a dollar, upwards.
const DOLLARS: &str = "13.07";

async fn desk() -> Desk {
    let mut accounts = accounts();
    let mut account: Account = accounts.values().next().unwrap().clone();
    account.platform = Platform::Ebay;
    account.refresh_token = Some(Secret::new(practice_keys().ebay.refresh_token));
    accounts.insert(SHOP.into(), account);
    Desk::with(publish(taskrun::shop::gate::Rules::default()), accounts).await
}

fn offers(desk: &Desk, n: usize) -> Vec<Offer> {
    desk.bench.sandbox.offers(SHOP).into_iter().filter(|offer| offer.sku == *sku(SHOP, &asin(n))).collect()
}

/// Runs until nothing is left to do.
async fn list(desk: &Desk, ids: &[ItemId]) {
    for _ in 0..60 {
        drop(desk.tick(SHOP).await);
        desk.later(SignedDuration::from_mins(2));
        let mut is_done = true;
        for id in ids {
            is_done &= desk.item(*id).await.state == State::Success;
        }
        if is_done {
            return;
        }
    }
    panic!("not done: {:?}", desk.states().await);
}

/// The product is listed once, was never listed twice, and at the right price.
fn assert_listed(desk: &Desk, n: usize) {
    let offers = offers(desk, n);
    assert_eq!(offers.len(), 1, "{}", asin(n));
    assert!(offers[0].listing_id.is_some());
    assert_eq!(offers[0].body["pricingSummary"]["price"]["value"], DOLLARS);
    let creates = &desk.bench.sandbox.summary()["creates"][SHOP];
    assert_eq!(creates["repeated"], serde_json::json!({}));
}

#[tokio::test]
async fn what_is_due_at_ebay_is_listed_with_its_images_at_a_price_in_dollars() {
    let desk = desk().await;
    desk.stock(1..=2, SHOP).await;
    let ids = desk.queue(1..=2, SHOP).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "2 listed");
    for (n, id) in (1..=2).zip(ids) {
        assert_listed(&desk, n);
        let item = desk.item(id).await;
        assert_eq!((item.state, item.item_id.as_deref()), (State::Success, Some(offers(&desk, n)[0].offer_id.to_string().as_str())));
    }
    let written: Vec<_> = desk.bench.sandbox.ledger().into_iter().filter(|entry| entry.write).map(|entry| entry.status).collect();
    assert_eq!(written, [201, 201, 200, 201, 201, 200], "an item, an offer and a listing each");
    assert_eq!(desk.tick(SHOP).await.summary(), "nothing is due");
    let entry = desk.bench.store.product(asin(1), 10).await.unwrap().unwrap();
    assert_eq!((entry.listings[0].platform, entry.listings[0].price), (Platform::Ebay, Some(PRICE)));
}

#[tokio::test]
async fn whatever_answer_is_lost_there_is_one_listing() {
    let lost = ["ebay_token", "put_item", "find_offers", "create_offer", "publish"];
    for plan in
        lost.iter().flat_map(|operation| [format!("{operation}:drop+x1"), format!("{operation}:dropx1"), format!("{operation}:500x2")])
    {
        let desk = desk().await;
        desk.stock(1..=1, SHOP).await;
        let ids = desk.queue(1..=1, SHOP).await;
        desk.bench.sandbox.plan(&plan.parse().unwrap());
        list(&desk, &ids).await;
        assert_listed(&desk, 1);
    }
    let desk = desk().await.set("max_attempts", Value::Int(100));
    desk.stock(1..=12, SHOP).await;
    let ids = desk.queue(1..=12, SHOP).await;
    desk.bench.sandbox.plan(&"seed=7,ebay:drop+%15,ebay:drop%5".parse().unwrap());
    list(&desk, &ids).await;
    (1..=12).for_each(|n| assert_listed(&desk, n));
}

#[tokio::test]
async fn an_offer_that_was_never_published_gets_the_price_of_today() {
    let desk = desk().await;
    desk.stock(1..=1, SHOP).await;
    desk.offer(1, Finding::Ok { cost: COST * 2 }).await;
    let ids = desk.queue(1..=1, SHOP).await;
    desk.bench.sandbox.plan(&"publish:dropx1".parse().unwrap());
    drop(desk.tick(SHOP).await);
    assert_eq!(offers(&desk, 1)[0].listing_id, None);
    desk.offer(1, Finding::Ok { cost: COST }).await;
    list(&desk, &ids).await;
    assert_listed(&desk, 1);
}

#[tokio::test]
async fn what_ebay_says_of_an_item_stays_with_the_item() {
    let desk = desk().await;
    desk.stock(1..=2, SHOP).await;
    desk.take_in(1, SHOP, details(&"長".repeat(81), 1)).await;
    let ids = desk.queue(1..=2, SHOP).await;
    drop(desk.tick(SHOP).await);
    assert_eq!((desk.item(ids[0]).await.state, desk.code(ids[0]).await.as_str()), (State::Failed, "25002"));
    assert_listed(&desk, 2);
}

#[tokio::test]
async fn an_ended_token_is_renewed_and_a_limit_parks_the_shop_alone() {
    let desk = desk().await;
    desk.stock(1..=3, SHOP).await;
    let ids = desk.queue(1..=1, SHOP).await;
    list(&desk, &ids).await;
    desk.bench.sandbox.expire(SHOP);
    let ids = desk.queue(2..=2, SHOP).await;
    list(&desk, &ids).await;
    assert_listed(&desk, 2);

    desk.bench.sandbox.plan(&"put_item:429x1".parse().unwrap());
    let ids = desk.queue(3..=3, SHOP).await;
    drop(desk.tick(SHOP).await);
    let shop = AccountKey { platform: Platform::Ebay, account: SHOP.into() };
    let parks = desk.bench.store.parks(Some(shop), desk.now()).await.unwrap();
    assert_eq!(parks.len(), 1, "{parks:?}");
    assert!(parks[0].until.unwrap().duration_since(desk.now()) <= SignedDuration::from_mins(61));
    assert_eq!(desk.bench.store.parks(None, desk.now()).await.unwrap().len(), 1);
    desk.later(SignedDuration::from_mins(61));
    list(&desk, &ids).await;
    assert_listed(&desk, 3);
}
