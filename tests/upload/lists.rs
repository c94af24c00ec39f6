//! What is due is listed, with all it needs.
use taskrun::{
    sandbox::Force,
    shop::{product::ListingState, upload::State},
    store::shop::Catalogue as _,
};

use super::desk::{ADD, COST, Desk, IMAGE, PRICE, SHOP, asin, details};

#[tokio::test]
async fn what_is_due_is_listed_with_its_images_and_stands_in_the_catalogue() {
    let desk = Desk::new().await;
    desk.stock(1..=3, SHOP).await;
    let ids = desk.queue(1..=3, SHOP).await;
    let ended = desk.tick(SHOP).await;
    assert_eq!(ended.summary(), "3 listed");
    for (n, id) in (1..=3).zip(ids) {
        desk.assert_listed(n, SHOP, 7);
        let item = desk.item(id).await;
        let shown = &desk.shown(n, SHOP)[0];
        assert_eq!((item.state, item.item_id.as_deref()), (State::Success, Some(shown.item_id.to_string().as_str())));
        assert_eq!((shown.price, shown.stock, shown.title.as_str()), (PRICE, 1, format!("ステンレス水筒 {n}").as_str()));
        let entry = desk.bench.store.product(asin(n), 10).await.unwrap().unwrap();
        let listing = &entry.listings[0];
        assert_eq!((listing.state, listing.price, listing.visible), (ListingState::Listed, Some(PRICE), Some(true)));
        assert!(listing.written_at.is_some() && entry.prices.len() == 1);
    }
    assert_eq!((desk.made(ADD).len(), desk.made(IMAGE).len()), (3, 21));
    assert_eq!(desk.tick(SHOP).await.summary(), "nothing is due");
}

#[tokio::test]
async fn what_is_to_be_listed_gets_its_cost_from_the_sync() {
    let desk = Desk::new().await;
    desk.take_in(1, SHOP, details("水筒", 2)).await;
    desk.bench.sandbox.force(asin(1).as_str(), Some(Force::Cost(COST)));
    let summary = desk.bench.live().await.summary().to_owned();
    assert!(summary.contains("; to be listed: 1 items read: 1 in stock"), "{summary}");
    desk.queue(1..=1, SHOP).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    assert_eq!(desk.shown(1, SHOP)[0].price, PRICE);
    assert!(!desk.bench.live().await.summary().contains("to be listed"), "it is listed");
}

#[tokio::test]
async fn what_has_no_shop_yet_gets_its_cost_too_and_is_listed_where_it_is_queued() {
    let desk = Desk::new().await;
    desk.take_in_at(1, Vec::new(), details("水筒", 2)).await;
    desk.bench.sandbox.force(asin(1).as_str(), Some(Force::Cost(COST)));
    let summary = desk.bench.live().await.summary().to_owned();
    assert!(summary.contains("; to be listed: 1 items read: 1 in stock"), "{summary}");
    desk.queue(1..=1, SHOP).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
}
