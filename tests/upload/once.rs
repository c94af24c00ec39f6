//! Nothing is listed twice, and nothing is forgotten: answers that are lost, requests that are lost, runs that die.
use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use taskrun::{
    core::value::Value,
    handlers::{Access, Handler as _, HandlerError},
    marketplace::REQUEST_TIME,
    sandbox::{FaultKind, Item as ShopItem, seed},
    shop::{
        product::sku,
        upload::{ItemId, Obeyed, Order, State},
    },
    store::shop::{Queue as _, Which},
};
use tokio_util::sync::CancellationToken;

use super::{
    bench::wait_for,
    desk::{ADD, Desk, IMAGE, PRICE, SHOP, asin},
};

fn settled() -> SignedDuration {
    REQUEST_TIME.try_into().unwrap()
}

/// One product that is due, with seven images.
async fn one() -> (Desk, ItemId) {
    let desk = Desk::new().await;
    desk.stock(1..=1, SHOP).await;
    let id = desk.queue(1..=1, SHOP).await[0];
    (desk, id)
}

/// Runs until a request of this path has been sent so often, and dies there.
async fn dies_at(desk: &Desk, path: &'static str, requests: usize) {
    let before = desk.bench.calls(path).len();
    let fence = desk.admit(SHOP).await;
    let ctx = desk.context(SHOP, Access::Live(fence));
    tokio::select! {
        ended = desk.handler.run(&ctx) => panic!("it should hang: {ended:?}"),
        () = wait_for(|| desk.bench.calls(path).len() == before + requests) => {}
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_looked_for_at_once() {
    let (desk, id) = one().await;
    desk.fault(ADD, 1, FaultKind::DropAnswer);
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 7);
    assert_eq!((desk.item(id).await.state, desk.bench.calls(ADD).len()), (State::Success, 1));
}

#[tokio::test]
async fn a_request_that_was_lost_is_made_again_only_when_it_cannot_arrive_any_more() {
    let (desk, id) = one().await;
    desk.fault(ADD, 1, FaultKind::Drop);
    assert_eq!(desk.tick(SHOP).await.summary(), "1 put back");
    let item = desk.item(id).await;
    assert_eq!((item.state, item.attempts, desk.code(id).await.as_str()), (State::Pending, 1, "no_answer"));
    assert_eq!(desk.tick(SHOP).await.summary(), "nothing is due", "it may still be on its way");
    desk.later(settled());
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 7);
    assert_eq!(desk.made(ADD).len(), 1);
}

#[tokio::test]
async fn what_arrives_late_is_found() {
    let (desk, id) = one().await;
    desk.fault(ADD, 1, FaultKind::Drop);
    desk.tick(SHOP).await.summary();
    // It was on its way: the shop made it after it was looked for.
    let late = ShopItem {
        item_id: 9_500_000,
        account: SHOP.to_owned(),
        title: "late".to_owned(),
        detail: String::new(),
        price: PRICE,
        stock: 1,
        visible: true,
        identifier: Some(sku(SHOP, &asin(1)).to_string()),
        modified: desk.now().as_second() + 20,
    };
    desk.bench.sandbox.put_item(&late);
    desk.later(settled());
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 7);
    assert_eq!((desk.made(ADD).len(), desk.item(id).await.item_id.as_deref()), (0, Some("9500000")));
}

#[tokio::test]
async fn what_the_shop_has_twice_is_left_to_a_person_and_never_made_again() {
    let (desk, id) = one().await;
    desk.fault(ADD, 1, FaultKind::DropAnswer);
    let twin = |item_id| ShopItem {
        item_id,
        account: SHOP.to_owned(),
        title: "by hand".to_owned(),
        detail: String::new(),
        price: 1,
        stock: 1,
        visible: true,
        identifier: Some(sku(SHOP, &asin(1)).to_string()),
        modified: desk.now().as_second(),
    };
    desk.bench.sandbox.put_item(&twin(9_900_000));
    assert_eq!(desk.tick(SHOP).await.summary(), "1 uncertain");
    assert_eq!((desk.item(id).await.state, desk.code(id).await.as_str()), (State::Uncertain, "twice"));
    for _ in 0..3 {
        desk.later(SignedDuration::from_hours(1));
        assert_eq!(desk.tick(SHOP).await.summary(), "nothing is due");
    }
    assert_eq!(desk.made(ADD).len(), 1);
    assert!(desk.told.0.lock().unwrap().iter().any(|notice| notice.text.contains("9900000")), "a person hears of it");
    // The person deletes one of them, and says so.
    desk.bench.sandbox.remove_item(9_900_000);
    let ordered = desk.bench.store.order_items(Which::Ids(vec![id]), Order::Retry, desk.now()).await.unwrap();
    assert_eq!(ordered, [(id, Ok(Obeyed::Now(State::Pending)))]);
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 7);
    assert_eq!(desk.made(ADD).len(), 1);
}

#[tokio::test]
async fn acceptance_02_a_run_that_dies_before_the_call_lists_once() {
    let (desk, id) = one().await;
    desk.fault(ADD, 1, FaultKind::Hang);
    dies_at(&desk, ADD, 1).await;
    assert_eq!(desk.item(id).await.state, State::Uploading);
    assert_eq!(desk.tick(SHOP).await.summary(), "1 put back");
    desk.later(settled());
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 7);
    assert_eq!((desk.made(ADD).len(), desk.item(id).await.state), (1, State::Success));
}

#[tokio::test]
async fn acceptance_02_a_run_that_dies_after_the_call_lists_once() {
    let (desk, id) = one().await;
    desk.fault(ADD, 1, FaultKind::Delay(Duration::from_mins(5)));
    dies_at(&desk, ADD, 1).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 7);
    assert_eq!((desk.bench.calls(ADD).len(), desk.item(id).await.state), (1, State::Success));
}

#[tokio::test]
async fn acceptance_02_a_run_that_dies_after_three_of_seven_images_adds_the_others() {
    let (desk, id) = one().await;
    let plan = "add_image:hang#4".parse().unwrap();
    desk.bench.sandbox.plan(&plan);
    dies_at(&desk, IMAGE, 4).await;
    assert_eq!(desk.bench.sandbox.images(SHOP).values().next().map(std::collections::BTreeMap::len), Some(3));
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 7);
    assert_eq!((desk.made(ADD).len(), desk.made(IMAGE).len(), desk.item(id).await.state), (1, 7, State::Success));
}

#[tokio::test]
async fn a_run_that_is_told_to_stop_finishes_the_request_and_the_item_goes_on_with_the_next() {
    let (desk, id) = one().await;
    let fence = desk.admit(SHOP).await;
    desk.bench.sandbox.plan(&"add_image:delay=300ms#2".parse().unwrap());
    let ctx = desk.context(SHOP, Access::Live(fence));
    let stop = async {
        wait_for(|| desk.bench.calls(IMAGE).len() == 2).await;
        ctx.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(desk.handler.run(&ctx), stop);
    assert!(matches!(ended, Err(HandlerError::Cancelled)), "{ended:?}");
    let item = desk.item(id).await;
    assert_eq!((item.state, item.attempts, item.lease), (State::Pending, 0, None));
    let desk = Desk { bench: super::bench::Bench { cancel: CancellationToken::new(), ..desk.bench }, ..desk };
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 7);
    assert_eq!((desk.made(ADD).len(), desk.made(IMAGE).len()), (1, 7));
}

#[tokio::test]
async fn a_run_that_was_superseded_writes_nothing_more() {
    let (desk, id) = one().await;
    let old = desk.admit(SHOP).await;
    let ctx = desk.context(SHOP, Access::Live(old));
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.stock(2..=2, SHOP).await;
    desk.queue(2..=2, SHOP).await;
    let ended = desk.handler.run(&ctx).await;
    assert!(matches!(ended, Err(HandlerError::Fenced)), "{ended:?}");
    assert_eq!((desk.made(ADD).len(), desk.item(id).await.state), (1, State::Success));
}

#[tokio::test]
async fn two_workers_at_once_list_everything_once() {
    let desk = Arc::new(Desk::new().await);
    desk.stock(1..=12, SHOP).await;
    desk.queue(1..=12, SHOP).await;
    let (first, second) = (desk.admit(SHOP).await, desk.bench.admit_as(Desk::twin(SHOP)).await);
    let (one, two) = (desk.context(SHOP, Access::Live(first)), desk.context(SHOP, Access::Live(second)));
    let (one, two) = tokio::join!(desk.handler.run(&one), desk.handler.run(&two));
    println!("{} | {}", one.unwrap().summary, two.unwrap().summary);
    for n in 1..=12 {
        desk.assert_listed(n, SHOP, 7);
    }
    assert_eq!((desk.made(ADD).len(), seed::SHOPS.len()), (12, 2));
}

#[tokio::test]
async fn an_item_that_every_run_dies_of_is_left_to_a_person_in_the_end() {
    let (desk, id) = one().await;
    let desk = desk.set("max_attempts", Value::Int(1));
    desk.bench.sandbox.plan(&"add_image:hang".parse().unwrap());
    for _ in 0..11 {
        dies_at(&desk, IMAGE, 1).await;
    }
    assert_eq!(desk.item(id).await.state, State::Uploading);
    assert_eq!(desk.tick(SHOP).await.summary(), "1 failed");
    assert_eq!((desk.code(id).await.as_str(), desk.made(ADD).len()), ("crashes", 1));
}
