//! Few changes one by one, many as one feed; what is refused; what changes meanwhile; what a dry run does.
use taskrun::{
    core::value::Value,
    handlers::HandlerError,
    notify::Event,
    sandbox::Operation,
    store::shop::{Feeds as _, Supplies as _, SupplyFilter},
};

use crate::desk::*;

#[tokio::test]
async fn a_few_changes_are_told_one_by_one() {
    let desk = Desk::with(12).await;
    let summary = desk.run().await.unwrap();
    assert_eq!(summary, "12 listings told their stock");
    desk.assert_told(0..12);
    assert_eq!((desk.calls(Operation::PatchListing).len(), desk.feeds()), (12, 0));
    assert!(desk.left().await.is_empty());
    assert_eq!(desk.run().await.unwrap(), "Amazon knows every stock");
    assert_eq!(desk.calls(Operation::PatchListing).len(), 12, "nothing is told twice");
    assert!(desk.bench.sandbox.ledger().iter().all(|entry| entry.status != 429), "the limits were kept");
}

#[tokio::test]
async fn many_changes_are_one_feed() {
    let desk = Desk::with(60).await.set("patch_up_to", Value::Int(50));
    let summary = desk.run().await.unwrap();
    assert!(summary.starts_with("60 listings told their stock; feed "), "{summary}");
    desk.assert_told(0..60);
    assert_eq!((desk.calls(Operation::PatchListing).len(), desk.feeds()), (0, 1));
    assert_eq!(desk.calls(Operation::FeedResult).len(), 1, "the result is read once");
    let waits: Vec<_> = desk.calls(Operation::GetFeed).windows(2).map(|two| two[1].at_ms - two[0].at_ms).collect();
    assert!(waits.is_sorted(), "the gaps grow: {waits:?}");
    assert!(desk.left().await.is_empty());
    assert!(desk.bench.sandbox.ledger().iter().all(|entry| entry.status != 429), "the limits were kept");
}

#[tokio::test]
async fn a_refused_listing_is_named_kept_as_refused_and_not_told_again_for_a_day() {
    for patch_up_to in [500, 0] {
        let desk = Desk::with(6).await.set("patch_up_to", Value::Int(patch_up_to));
        desk.spoil(&sku(2));
        desk.spoil(&sku(4));
        let summary = desk.run().await.unwrap();
        assert!(summary.contains("4 listings told their stock; 2 refused: SKU-00002 (90220: "), "{summary}");
        desk.assert_told([0, 1, 3, 5]);
        let left: Vec<_> = desk.left().await.into_iter().map(|(sku, _)| sku.to_string()).collect();
        assert_eq!(left.len(), 2, "what was refused does not count as told: {left:?}");
        let refusals = desk.bench.store.refusals(SELLER.into()).await.unwrap();
        assert_eq!(refusals.iter().map(|refusal| &*refusal.push.sku).collect::<Vec<_>>(), ["SKU-00002", "SKU-00004"]);
        let notices = desk.notices(Event::NeedsEye);
        assert!(notices.len() == 1 && notices[0].contains("SKU-00002") && notices[0].contains("SKU-00004"), "{notices:?}");
        let before = desk.bench.writes().len();
        assert_eq!(desk.run().await.unwrap(), "2 left out, as Amazon refused them before");
        assert_eq!(desk.bench.writes().len(), before);
        desk.want(&[(sku(2), 9)]).await;
        assert!(desk.run().await.unwrap().starts_with("1 left out"), "another stock is told at once");
        desk.bench.clock.advance(25 * 3_600_000);
        assert!(desk.run().await.unwrap().contains("2 refused"), "and after a day, the same again");
    }
}

#[tokio::test]
async fn a_change_while_the_feed_is_under_way_is_told_by_the_next() {
    let desk = Desk::with(4).await.set("patch_up_to", Value::Int(0));
    let Err(HandlerError::NotYet { .. }) = desk.attempt().await else { panic!("it waits for Amazon") };
    desk.want(&[(sku(1), 50)]).await;
    desk.bench.clock.advance(120_000);
    let ended = desk.attempt().await;
    assert!(matches!(ended, Err(HandlerError::NotYet { .. })), "the first is over, and the second handed in: {ended:?}");
    assert_eq!(desk.shown()[&sku(1)].0, i64::from(stock(1)));
    assert_eq!(desk.bench.sandbox.seller_feeds(SELLER).iter().map(|feed| feed.messages).collect::<Vec<_>>(), [4, 1]);
    desk.run().await.unwrap();
    assert_eq!(desk.shown()[&sku(1)].0, 50);
    assert!(desk.left().await.is_empty());
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_tell_and_tells_nothing() {
    for (patch_up_to, planned) in [(500, 5), (0, 1)] {
        let desk = Desk::with(5).await.set("patch_up_to", Value::Int(patch_up_to));
        desk.spoil(&sku(3));
        let ended = desk.dry().await;
        assert_eq!(ended.plan.planned().len(), planned);
        assert!(ended.summary().starts_with("5 changes planned"), "{}", ended.summary());
        if patch_up_to > 0 {
            assert!(ended.summary().contains("SKU-00003"), "the preview says what would be refused: {}", ended.summary());
        }
        assert!(desk.bench.writes().is_empty() && desk.calls(Operation::FeedDocument).is_empty());
        assert_eq!(desk.left().await.len(), 5);
        assert!(desk.bench.store.refusals(SELLER.into()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_is_to_be_withdrawn_is_deleted() {
    for patch_up_to in [500, 0] {
        let desk = Desk::with(3).await.set("patch_up_to", Value::Int(patch_up_to));
        let db = rusqlite::Connection::open(desk.bench.dir.path().join("taskrun.db")).unwrap();
        db.execute("UPDATE supplies SET state = 'withdraw', wanted = 0, gone_at_ms = 0 WHERE sku = ?1", [sku(1)]).unwrap();
        let summary = desk.run().await.unwrap();
        assert!(summary.starts_with("2 listings told their stock; 1 listings deleted"), "{summary}");
        assert_eq!(desk.shown()[&sku(1)].1, "gone");
        let filter = SupplyFilter { limit: 10, ..SupplyFilter::default() };
        let supplies = desk.bench.store.supplies(filter).await.unwrap();
        assert_eq!(supplies[1].state.word(), "withdrawn");
        assert_eq!(desk.run().await.unwrap(), "Amazon knows every stock");
    }
}
