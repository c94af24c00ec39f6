//! Chatwork: its limits, its refusals, and answers that never come.
use std::{sync::Arc, time::Duration};

use taskrun::{
    clock::Clock as _,
    notify::{Event, Level, Post},
    sandbox::{Entry, FaultPlan, Operation},
    store::notices::Outbox as _,
};

use crate::bench::*;

fn plan(bench: &Bench, text: &str) {
    bench.chat.plan(&text.parse::<FaultPlan>().unwrap());
}

/// The most entries within any span of so many milliseconds.
fn most_within(entries: &[Entry], span_ms: i64) -> usize {
    let within = |first: &Entry| entries.iter().filter(|entry| (first.at_ms..first.at_ms + span_ms).contains(&entry.at_ms)).count();
    entries.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_together_stay_under_the_limits() {
    // Ten minutes pass in ten seconds, and two processes have something new to tell all the time, which they do before they end.
    let bench = Arc::new(Bench::open(60).await);
    let until = std::time::Instant::now() + Duration::from_secs(10);
    let processes = [bench.store_again(), bench.store_again()].into_iter().enumerate().map(|(index, store)| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move {
            let settings = bench.settings(&bench.room(""));
            let post = Post::open(store.clone(), store.clone(), bench.clock.clone(), settings).await.unwrap();
            let mut told = 0;
            while std::time::Instant::now() < until {
                bench.tell(Event::Failed, &format!("task_{told}_{index}"), "again").await;
                post.drain(Duration::from_secs(10)).await;
                told += 1;
            }
        })
    });
    for process in processes.collect::<Vec<_>>() {
        process.await.unwrap();
    }
    let ledger: Vec<Entry> = bench.chat.ledger().into_iter().filter(|entry| entry.path.starts_with("/v2/")).collect();
    let messages: Vec<Entry> = ledger.iter().filter(|entry| entry.operation() == Some(Operation::ChatworkMessage)).cloned().collect();
    assert!(50 < messages.len(), "{} messages", messages.len());
    let (room, token) = (most_within(&messages, 10_000), most_within(&ledger, 300_000));
    assert!(room <= 10 && token <= 300, "{room} in ten seconds, {token} in five minutes");
    assert!(ledger.iter().all(|entry| entry.status != 429));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_takes_no_more_is_waited_for_and_does_not_count_as_broken() {
    let bench = Bench::open(10).await;
    plan(&bench, "chatwork_message:429x2");
    let office = bench.office(&bench.room("")).await;
    office.notify(Event::Failed, Level::Alert, "sync_inventory", "once");
    let messages = bench.wait_for_messages(1).await;
    assert!(messages[0].contains("#1"), "{messages:#?}");
    assert_eq!(office.post.health().troubles(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_fails_is_told_by_the_others_and_loses_nothing() {
    let bench = Bench::open(1).await;
    let hook = "  webhook: { url: \"${HOOK}\" }";
    let broken = bench.room(hook).replace("${TOKEN}", "${WRONG}");
    let office = bench.office(&broken).await;
    office.notify(Event::Failed, Level::Alert, "sync_inventory", "the first");
    until("the other channel tells both", || {
        let told = bench.taken(Operation::Hook).concat();
        told.contains("channel_failed") && told.contains("sync_inventory")
    })
    .await;
    assert_eq!(bench.messages().len(), 0);
    let troubles = office.post.health().troubles().concat();
    assert!(troubles.contains("`chatwork`") && troubles.contains("HTTP 401: Invalid API Token"), "{troubles}");
    assert!(!troubles.contains("hunter22"));
    // A person puts it right.
    office.post.configure(bench.settings(&bench.room(hook)));
    let message = bench.wait_for_messages(1).await.remove(0);
    assert!(message.contains("sync_inventory: failed"), "{message}");
    assert!(!message.contains("takes no messages"), "nobody is told of their own trouble: {message}");
    until("the other channel tells that it is over", || bench.taken(Operation::Hook).concat().contains("works again")).await;
    assert_eq!(office.post.health().troubles(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_may_have_arrived_is_repeated_once_under_its_number() {
    let bench = Bench::open(10).await;
    plan(&bench, "chatwork_message:drop+");
    let office = bench.office(&bench.room("")).await;
    office.notify(Event::Failed, Level::Alert, "sync_inventory", "the first");
    let messages = bench.wait_for_messages(2).await;
    assert_eq!(messages[0], messages[1]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(bench.messages().len(), 2);
    let rows = bench.store.notices(10).await.unwrap();
    let row = rows.iter().find(|row| row.told.notice.event == Event::Failed).unwrap();
    assert!(row.sends.iter().any(|(_, told, _, doubtful)| *told == 1 && *doubtful), "{row:?}");
    // The next one has the next number.
    bench.chat.clear_faults();
    office.notify(Event::Failed, Level::Alert, "upload_tick", "the second");
    let third = bench.wait_for_messages(3).await.remove(2);
    assert!(messages[0].contains("#1[/title]") && third.contains("#2[/title]"), "{third}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_has_so_many_messages_and_the_rest_waits() {
    let bench = Bench::open(1).await;
    let office = bench.office(&bench.room("").replace("per_day: 100000", "per_day: 2")).await;
    for n in 0..4 {
        office.notify(Event::Failed, Level::Alert, &format!("task_{n}"), "again");
        let count = bench.messages().len() + 1;
        if n < 2 {
            bench.wait_for_messages(count).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.messages().len(), 2);
    let rows = bench.store.notices(10).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.sends.is_empty()).count(), 2, "two wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_a_process_that_died_ends_by_itself() {
    let bench = Bench::open(60).await;
    bench.office(&bench.room("")).await;
    // That office is gone; somebody has claimed what is due and was killed.
    bench.tell(Event::Failed, "sync_inventory", "the first").await;
    let settings = bench.settings(&bench.room(""));
    let wants = taskrun::store::notices::Wants {
        channel: "chatwork".into(),
        events: Arc::clone(&settings.notify.channels[0].events),
        min_level: Level::Info,
        gather: jiff::SignedDuration::ZERO,
        repeat_after: settings.notify.repeat_after,
        flap: jiff::SignedDuration::ZERO,
    };
    let now = bench.clock.now().wall;
    let lease = now + jiff::SignedDuration::from_secs(60 * 5);
    let claimed = bench.store.claim(wants, 10, now, lease).await.unwrap().unwrap();
    assert_eq!(claimed.notices.len(), 1);
    let _office = bench.office(&bench.room("")).await;
    bench.wait_for_messages(1).await;
}
