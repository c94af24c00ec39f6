//! Writing what differs: the brake, one item's trouble, and how much of it makes a run fail.
use std::time::{Duration, Instant};

use taskrun::{
    core::value::Value,
    handlers::HandlerError,
    notify::{Event, Level},
    sandbox::{Entry, Force, seed},
    store::shop::Intents as _,
};

use crate::bench::*;

fn edits_of(bench: &Bench, item_id: i64) -> Vec<Entry> {
    bench.writes().into_iter().filter(|entry| entry.detail.contains(&format!("item_id={item_id}"))).collect()
}

#[tokio::test]
async fn acceptance_04_the_brake_hides_nothing_and_tells_once() {
    let (bench, told) = Bench::new().await.told();
    bench.live().await.summary();
    bench.clock.advance(MINUTE);
    let visible = |bench: &Bench| seed::SHOPS.iter().flat_map(|shop| bench.sandbox.items(shop)).filter(|item| item.visible).count();
    let (before, writes) = (visible(&bench), bench.writes().len());
    for seeded in seed::catalogue(ITEMS).into_iter().step_by(3) {
        bench.sandbox.force(&seeded.asin, Some(Force::NoOffer));
    }
    let (dearer, item) = bench.sold(1);
    bench.sandbox.force(&dearer, Some(Force::Cost(2000)));
    let over = bench.run().await;
    let HandlerError::Permanent { message } = over.ended.error() else { panic!("{:?}", over.ended.error()) };
    assert!(message.contains("brake: ") && message.contains("--set max_hide=100%"), "{message}");
    assert_eq!(visible(&bench), before, "nothing is hidden, in no shop");
    assert_eq!((bench.item(item).price, bench.writes().len() - writes), (2600, 1), "the rest goes on");
    let told = told.of(Event::Brake);
    assert!(told.len() == 1 && told[0].level == Level::Alert, "{told:?}");
}

#[tokio::test]
async fn acceptance_16_one_bad_item_is_counted_and_only_that_item_is_tried_again() {
    let bench = Bench::new().await;
    let (unread, _) = bench.sold(0);
    bench.sandbox.force(&unread, Some(Force::ItemError(500)));
    // The shop has trouble with the first item that is written.
    bench.sandbox.plan(&"edit:500#1".parse().unwrap());
    let over = bench.run().await;
    assert_eq!(over.retries, 0, "one item is no reason to do all again");
    assert!(over.ended.summary().contains("1 error (1 InternalFailure)"), "{}", over.ended.summary());
    assert_eq!(bench.calls(OFFERS).len(), 7, "one more call, for that product alone");
    let failed: Vec<_> = bench.writes().into_iter().filter(|entry| entry.status == 500).collect();
    assert_eq!(failed.len(), 1);
    bench.assert_in_line(&[unread.as_str()]);
    let mut written: Vec<_> = bench.writes().into_iter().filter(|entry| entry.status == 200).map(|entry| entry.detail).collect();
    let count = written.len();
    written.sort();
    written.dedup();
    assert_eq!(written.len(), count, "no edit was made twice");
}

#[tokio::test]
async fn more_errors_than_fail_if_allows_make_the_run_fail_after_its_work_is_done() {
    let bench = Bench::new().await.set("fail_if", Value::Text("errors > 2".into()));
    let broken: Vec<_> = (0..3).map(|n| bench.sold(n).0).collect();
    for asin in &broken {
        bench.sandbox.force(asin, Some(Force::ItemError(400)));
    }
    let over = bench.run().await;
    let HandlerError::Permanent { message } = over.ended.error() else { panic!("{:?}", over.ended.error()) };
    assert!(message.contains("3 errors (3 InvalidInput)") && message.contains("more than `fail_if` allows"), "{message}");
    assert_eq!(over.retries, 0);
    bench.assert_in_line(&broken.iter().map(String::as_str).collect::<Vec<_>>());
    let bench = bench.set("fail_if", Value::Text("errors > 2.5%".into()));
    bench.clock.advance(MINUTE);
    bench.live().await.summary();
}

#[tokio::test]
async fn a_shop_that_wants_to_be_left_alone_is() {
    let bench = Bench { account: Some(seed::SHOPS[0]), ..Bench::new().await };
    bench.sandbox.plan(&"edit:503=1800#2".parse().unwrap());
    let over = bench.run().await;
    assert_eq!((over.retries, over.waited_ms), (1, 1_800_000), "as long as it asked for, and one attempt more");
    over.ended.summary();
    let at: Vec<_> = bench.sandbox.ledger().iter().filter(|entry| entry.path.starts_with("/1/items")).map(|entry| entry.at_ms).collect();
    assert!(at.windows(2).any(|pair| pair[1] - pair[0] >= 1_800_000), "nothing was sent meanwhile");
    assert_eq!(bench.store.open_edits(shop_key(seed::SHOPS[0])).await.unwrap(), []);
}

#[tokio::test]
async fn acceptance_17_a_stop_between_two_writes_ends_within_two_seconds_and_keeps_what_is_done() {
    let bench = Bench { account: Some(seed::SHOPS[0]), ..Bench::new().await };
    let stop = async {
        wait_for(|| bench.writes().len() >= 3).await;
        bench.cancel.cancel();
        Instant::now()
    };
    let ended = async {
        let ended = bench.live().await;
        (ended, Instant::now())
    };
    let ((ended, at), stopped) = tokio::join!(ended, stop);
    assert!(matches!(ended.error(), HandlerError::Cancelled), "{:?}", ended.error());
    assert!(at.duration_since(stopped) < Duration::from_secs(2));
    assert_eq!(bench.store.open_edits(shop_key(seed::SHOPS[0])).await.unwrap(), [], "no write is left in the air");
    let done = bench.writes().len();
    let rest = Bench { cancel: tokio_util::sync::CancellationToken::new(), account: None, ..bench };
    rest.live().await.summary();
    assert!(rest.writes().len() > done);
    rest.assert_in_line(&[]);
    let first = rest.writes()[..done].iter().map(|entry| entry.detail.clone()).collect::<Vec<_>>();
    assert!(first.iter().all(|detail| edits_of(&rest, item_of(detail)).len() == 1), "what was written is not written again");
}

fn item_of(detail: &str) -> i64 {
    detail.split(' ').find_map(|field| field.strip_prefix("item_id=")).unwrap().parse().unwrap()
}
