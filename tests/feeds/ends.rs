//! Lost answers, dead processes, feeds that end badly: no feed is handed in twice, and no listing is left with what nobody knows.
use taskrun::{
    core::value::Value,
    handlers::{Handler as _, HandlerError},
    sandbox::{FeedFate, Operation, control::Switch},
    store::shop::Feeds as _,
};

use crate::{bench::wait_for, desk::*};

#[tokio::test]
async fn a_feed_whose_answer_was_lost_is_not_handed_in_again() {
    let desk = Desk::with(8).await.set("patch_up_to", Value::Int(0));
    desk.bench.sandbox.plan(&"create_feed:drop+#1".parse().unwrap());
    let summary = desk.run().await.unwrap();
    assert!(summary.starts_with("8 listings told"), "{summary}");
    assert_eq!((desk.calls(Operation::CreateFeed).len(), desk.feeds()), (1, 1));
    assert_eq!(desk.calls(Operation::GetFeeds).len(), 1, "it was looked up");
    desk.assert_told(0..8);
}

#[tokio::test]
async fn a_feed_that_never_arrived_is_handed_in_again() {
    let desk = Desk::with(8).await.set("patch_up_to", Value::Int(0));
    desk.bench.sandbox.plan(&"create_feed:drop#1".parse().unwrap());
    desk.run().await.unwrap();
    assert_eq!((desk.calls(Operation::CreateFeed).len(), desk.feeds()), (2, 1));
    desk.assert_told(0..8);
}

#[tokio::test]
async fn another_programs_feed_of_later_is_not_taken_for_the_one_whose_answer_was_lost() {
    let desk = Desk::with(8).await.set("patch_up_to", Value::Int(0));
    desk.bench.sandbox.plan(&"create_feed:drop#1".parse().unwrap());
    let ctx = desk.live().await;
    assert!(matches!(desk.go_on(&ctx).await, Err(HandlerError::NotYet { .. })));
    desk.bench.clock.advance(3_600_000);
    desk.bench.sandbox.put_seller_feed(SELLER);
    let summary = desk.run().await.unwrap();
    assert!(summary.starts_with("8 listings told"), "{summary}");
    assert_eq!((desk.calls(Operation::CreateFeed).len(), desk.feeds()), (2, 2), "ours never arrived, and was handed in again");
    desk.assert_told(0..8);
}

#[tokio::test]
async fn a_process_that_dies_before_it_has_kept_the_number_hands_in_no_second_feed() {
    let desk = Desk::with(8).await.set("patch_up_to", Value::Int(0));
    desk.bench.sandbox.plan(&"create_feed:delay=30s#1".parse().unwrap());
    let ctx = desk.live().await;
    let handed_in = wait_for(|| !desk.calls(Operation::CreateFeed).is_empty());
    tokio::select! {
        result = desk.handler.run(&ctx) => panic!("it should not have ended: {result:?}"),
        () = handed_in => {}
    }
    desk.bench.sandbox.clear_faults();
    assert_eq!(desk.feeds(), 1);
    let open = desk.bench.store.open_feed(SELLER.into()).await.unwrap().unwrap();
    assert_eq!(open.feed_id, None, "the number was lost with the process");
    let summary = desk.run().await.unwrap();
    assert!(summary.starts_with("8 listings told"), "{summary}");
    assert_eq!(desk.feeds(), 1);
    desk.assert_told(0..8);
}

#[tokio::test]
async fn a_feed_that_ends_badly_fails_the_attempt_and_its_listings_are_told_anew() {
    for (fate, word) in [(FeedFate::Fatal, "FATAL"), (FeedFate::Cancelled, "CANCELLED")] {
        let desk = Desk::with(8).await.set("patch_up_to", Value::Int(0));
        desk.switch(Switch { next_feed: Some(fate), ..Switch::default() });
        assert!(matches!(desk.attempt().await, Err(HandlerError::NotYet { .. })));
        desk.bench.clock.advance(120_000);
        let Err(HandlerError::Transient { message, .. }) = desk.attempt().await else { panic!("it has failed") };
        assert!(message.contains(word), "{message}");
        assert_eq!(desk.left().await.len(), 8, "nothing counts as told");
        desk.run().await.unwrap();
        desk.assert_told(0..8);
    }
}

#[tokio::test]
async fn a_listing_of_which_nobody_knows_what_it_was_told_is_told_anew_even_if_it_wants_what_it_had() {
    let desk = Desk::with(2).await;
    desk.run().await.unwrap();
    desk.want(&[(sku(0), 40)]).await;
    desk.bench.sandbox.plan(&"patch_listing:drop+".parse().unwrap());
    assert!(matches!(desk.attempt().await, Err(HandlerError::Transient { .. })));
    assert_eq!(desk.shown()[&sku(0)].0, 40, "it arrived, and nobody knows");
    desk.bench.sandbox.clear_faults();
    desk.want(&[(sku(0), stock(0))]).await;
    assert!(desk.left().await.is_empty(), "it wants what it was told before");
    assert_eq!(desk.run().await.unwrap(), "1 listings told their stock");
    desk.assert_told(0..2);
}

#[tokio::test]
async fn five_feeds_in_five_minutes_are_never_exceeded() {
    let desk = Desk::with(1).await.set("patch_up_to", Value::Int(0));
    for n in 0..9 {
        desk.want(&[(sku(0), 100 + n)]).await;
        desk.run().await.unwrap();
    }
    let calls = desk.calls(Operation::CreateFeed);
    assert_eq!(calls.len(), 9);
    assert!(calls.iter().all(|entry| entry.status == 202));
    for first in &calls {
        let within = calls.iter().filter(|call| (first.at_ms..first.at_ms + 300_000).contains(&call.at_ms)).count();
        assert!(within <= 5, "{within} in five minutes");
    }
    assert_eq!(desk.shown()[&sku(0)].0, 108);
}

#[tokio::test]
async fn a_feed_that_takes_long_is_left_to_the_next_run() {
    let desk = Desk::with(3).await.set("patch_up_to", Value::Int(0)).set("feed_wait", Value::Duration(jiff::SignedDuration::from_secs(20)));
    let summary = desk.run().await.unwrap();
    assert!(summary.contains("the next run looks again"), "{summary}");
    assert_eq!(desk.left().await.len(), 3);
    desk.bench.clock.advance(60_000);
    desk.run().await.unwrap();
    assert_eq!((desk.feeds(), desk.left().await.len()), (1, 0));
}
