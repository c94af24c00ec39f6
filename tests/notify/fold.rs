//! What is identical is one message and a count; what is over is said; nothing is forgotten.
use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use taskrun::{
    clock::Clock as _,
    notify::{Event, Level},
    sandbox::Operation,
    store::notices::{Delivery, Outbox as _, Wants},
};

use crate::bench::*;

#[tokio::test(flavor = "multi_thread")]
async fn acceptance_18_a_thousand_identical_failures_are_one_message_and_a_count() {
    let bench = Bench::open(1).await;
    let office = bench.office(&bench.room("  repeat_after: 5s")).await;
    // The channel is tried at the start, without a message.
    until("the channel was tried", || !bench.taken(Operation::ChatworkMe).is_empty()).await;
    assert_eq!(bench.messages().len(), 0);
    for _ in 0..10 {
        office.notify(Event::Failed, Level::Alert, "sync_inventory", "amazon said 503");
    }
    let first = bench.wait_for_messages(1).await.remove(0);
    assert!(first.contains("ALERT sync_inventory: failed") && first.contains("why: amazon said 503"), "{first}");
    for _ in 0..990 {
        office.notify(Event::Failed, Level::Alert, "sync_inventory", "amazon said 503");
    }
    let second = bench.wait_for_messages(2).await.remove(1);
    assert!(second.contains("1000 times, from "), "{second}");
    // Nothing else comes, and the channel's limits were kept.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.messages().len(), 2, "{:#?}", bench.messages());
    assert!(bench.chat.ledger().iter().all(|entry| !entry.limited()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_together_is_told_together_and_what_does_not_fit_is_counted() {
    let bench = Bench::open(1).await;
    for n in 0..200 {
        bench.tell(Event::Failed, &format!("early_{n}"), "before there was a channel").await;
    }
    let office = bench.office(&bench.room("")).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    for n in 0..200 {
        office.notify(Event::Failed, Level::Alert, &format!("task_{n}"), &"why ".repeat(100));
    }
    let message = bench.wait_for_messages(1).await.remove(0);
    assert!(message.contains("200 notices: ALERT task_0: failed, …") && message.contains("more: `taskrun notify list`"), "{message}");
    assert!(message.chars().count() <= 2_000);
    assert!(!message.contains("early_"), "a new channel is not told of what was before it");
    // All of them count as told, those that were only counted, too.
    let mut told = 0;
    while told < 200 {
        let rows = bench.store.notices(1_000).await.unwrap();
        told = rows.iter().filter(|row| row.sends.iter().any(|(channel, told, ..)| &**channel == "chatwork" && *told == 1)).count();
        pause().await;
    }
    assert_eq!((told, bench.messages().len()), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trouble_that_is_over_is_told_with_its_count() {
    let bench = Bench::open(1).await;
    let office = bench.office(&bench.room("")).await;
    office.notify(Event::ReloadFailed, Level::Alert, "configuration", "tasks.yaml:3:1: unknown key");
    bench.wait_for_messages(1).await;
    for _ in 0..4 {
        office.notify(Event::ReloadFailed, Level::Alert, "configuration", "tasks.yaml:3:1: unknown key");
    }
    office.post.notifier().over(Event::ReloadFailed, "configuration");
    // What was not there is not over.
    office.post.notifier().over(Event::ReloadFailed, "another");
    let message = bench.wait_for_messages(2).await.remove(1);
    assert!(message.contains("configuration: works again") && message.contains("after 5 failures since"), "{message}");
    assert!(!message.contains("another"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_and_goes_all_the_time_is_not_told_all_the_time() {
    let bench = Bench::open(1).await;
    let office = bench.office(&bench.room("")).await;
    office.notify(Event::ReloadFailed, Level::Alert, "configuration", "broken");
    bench.wait_for_messages(1).await;
    for _ in 0..100 {
        bench.store.resolve(Event::ReloadFailed, "configuration".into(), bench.clock.now().wall).await.unwrap();
        bench.tell(Event::ReloadFailed, "configuration", "broken").await;
    }
    bench.wait_for_messages(2).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.messages().len(), 2, "{:#?}", bench.messages());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_takes_no_more_until_later_is_left_alone_whoever_starts_meanwhile() {
    let bench = Bench::open(1).await;
    let (store, now, room) = (&bench.store, bench.clock.now().wall, Arc::<str>::from("chatwork"));
    let none = SignedDuration::ZERO;
    let events = Arc::from([Event::NeedsEye]);
    let wants = Wants { channel: room.clone(), events, min_level: Level::Info, gather: none, repeat_after: none, flap: none };
    store.keep_channels(vec![room.clone()], now).await.unwrap();
    bench.tell(Event::NeedsEye, "job 7", "look").await;
    let at = bench.clock.now().wall;
    let claimed = store.claim(wants.clone(), 10, at, at + SignedDuration::from_mins(1)).await.unwrap().unwrap();
    let retry_at = at + SignedDuration::from_hours(1);
    store.settle(room.clone(), claimed, Delivery::NotYet { retry_at }, at).await.unwrap();
    store.keep_channels(vec![room.clone()], at).await.unwrap();
    let due = store.next_due(wants, at).await.unwrap().unwrap();
    assert!(due.duration_since(at) > SignedDuration::from_mins(59), "{due}");
}
