//! Errors by their code: what is the item's fails the item, what passes is tried again, and a run that dealt with its items has succeeded.
use jiff::SignedDuration;
use taskrun::{
    handlers::{Access, HandlerError},
    sandbox::FaultKind,
    shop::{
        product::{Details, sku},
        upload::{Order, State, Work},
    },
    store::shop::{Catalogue as _, ItemFilter, Queue as _, Which},
};

use super::bench::shop_key;
use super::desk::{ADD, Desk, IMAGE, SHOP, asin, details};

#[tokio::test]
async fn an_image_that_meets_trouble_delays_its_item_alone() {
    let desk = Desk::new().await;
    desk.stock(1..=3, SHOP).await;
    desk.bench.sandbox.plan(&"add_image:500#3-5".parse().unwrap());
    let ids = desk.queue(1..=3, SHOP).await;
    // Three times the same picture: repeats at once, then the item goes back, and comes again after the others.
    assert_eq!(desk.tick(SHOP).await.summary(), "3 listed, 1 put back");
    assert_eq!(desk.item(ids[0]).await.attempts, 2);
    for n in 1..=3 {
        desk.assert_listed(n, SHOP, 7);
    }
    assert_eq!(desk.made(ADD).len(), 3);
}

#[tokio::test]
async fn what_the_shop_refuses_about_an_item_is_not_tried_again_by_itself_and_a_retry_works() {
    let desk = Desk::new().await;
    let broken =
        Details { images: Some(vec!["https://images.example/1.jpg".to_owned(), "gopher://x/2.jpg".to_owned()]), ..details("水筒", 1) };
    desk.take_in(1, SHOP, broken).await;
    desk.offer(1, taskrun::shop::offer::Finding::Ok { cost: 1000 }).await;
    desk.stock(2..=2, SHOP).await;
    let ids = desk.queue(1..=2, SHOP).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 failed, 1 listed");
    assert_eq!((desk.item(ids[0]).await.state, desk.code(ids[0]).await.as_str()), (State::Failed, "no_image"));
    let listed = desk.bench.store.listings(shop_key(SHOP)).await.unwrap();
    assert!(listed.iter().any(|listing| listing.asin == asin(1)), "buyers see it: syncs and bans reach it");
    assert_eq!(desk.tick(SHOP).await.summary(), "nothing is due");
    // A person mends the address, and says so.
    desk.take_in(1, SHOP, details("水筒", 2)).await;
    desk.bench.store.order_items(Which::Ids(vec![ids[0]]), Order::Retry, desk.now()).await.unwrap();
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 2);
    assert_eq!(desk.made(ADD).len(), 2);
}

#[tokio::test]
async fn acceptance_10_what_fails_too_often_waits_for_a_person_and_is_then_tried_again() {
    let desk = Desk::new().await;
    desk.stock(1..=1, SHOP).await;
    let id = desk.queue(1..=1, SHOP).await[0];
    desk.fault(ADD, 3, FaultKind::Status(503));
    let mut ticks = 0;
    while desk.item(id).await.state == State::Pending {
        desk.tick(SHOP).await.summary();
        desk.later(SignedDuration::from_mins(2));
        ticks += 1;
        assert!(ticks < 10, "it goes on for ever");
    }
    let item = desk.item(id).await;
    assert_eq!((item.state, desk.made(ADD).len()), (State::Failed, 0));
    assert!(item.error.unwrap().text.contains("tried"), "it says how often");
    assert_eq!(desk.tick(SHOP).await.summary(), "nothing is due");
    desk.bench.store.order_items(Which::Ids(vec![id]), Order::Retry, desk.now()).await.unwrap();
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 7);
}

#[tokio::test]
async fn a_shop_that_answers_nothing_useful_is_left_alone_after_three_items() {
    let desk = Desk::new().await;
    desk.stock(1..=8, SHOP).await;
    desk.queue(1..=8, SHOP).await;
    desk.fault(ADD, 100, FaultKind::Status(503));
    let ended = desk.tick(SHOP).await;
    assert!(matches!(ended.error(), HandlerError::Transient { .. }), "{:?}", ended.error());
    assert_eq!(desk.bench.calls(ADD).len(), 3);
    assert_eq!(desk.states().await, [(State::Pending, 8)].into());
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_on_the_way() {
    let desk = Desk::new().await;
    desk.stock(1..=2, SHOP).await;
    desk.queue(1..=1, SHOP).await;
    desk.tick(SHOP).await.summary();
    desk.bench.sandbox.expire(SHOP);
    let ids = desk.queue(2..=2, SHOP).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    assert_eq!(desk.item(ids[0]).await.attempts, 1);
    desk.assert_listed(2, SHOP, 7);
}

#[tokio::test]
async fn an_item_that_was_deleted_at_the_shop_in_the_middle_says_so() {
    let desk = Desk::new().await;
    desk.stock(1..=1, SHOP).await;
    let id = desk.queue(1..=1, SHOP).await[0];
    desk.bench.sandbox.plan(&"add_image:500#2-4".parse().unwrap());
    desk.tick(SHOP).await.summary();
    desk.bench.sandbox.remove_item(desk.shown(1, SHOP)[0].item_id);
    desk.later(SignedDuration::from_mins(1));
    assert_eq!(desk.tick(SHOP).await.summary(), "1 failed");
    assert_eq!((desk.code(id).await.as_str(), desk.made(ADD).len()), ("gone", 1));
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let desk = Desk::new().await;
    desk.stock(1..=2, SHOP).await;
    desk.take_in(3, SHOP, details("水筒", 1)).await;
    desk.offer(3, taskrun::shop::offer::Finding::Ok { cost: 120_000 }).await;
    desk.queue(1..=3, SHOP).await;
    let dry = desk.attempt(SHOP, Access::Dry(taskrun::handlers::Plan::default())).await;
    assert_eq!(dry.summary(), "2 of 3 items that are due would be listed");
    let planned = dry.plan.planned();
    assert_eq!(planned.iter().map(|planned| planned.kind).collect::<Vec<_>>(), ["list", "list", "refuse"]);
    assert_eq!(planned[0].change, "ステンレス水筒 1, 1960 yen, 7 images");
    assert!(planned[0].target.contains(&*sku(SHOP, &asin(1))));
    assert!(planned[2].reason.starts_with("too_dear: "), "{}", planned[2].reason);
    let filter = ItemFilter { state: None, account: None, due_at: None, limit: 10 };
    let items = desk.bench.store.items(Work::Upload, filter).await.unwrap();
    assert!(items.iter().all(|item| item.state == State::Pending && item.attempts == 0));
    assert_eq!((desk.bench.calls(ADD).len(), desk.bench.calls(IMAGE).len()), (0, 0));
}
