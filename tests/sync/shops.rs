//! The shops side by side: whose trouble it is, who waits, and what is left for the next attempt.
use std::time::Duration;

use jiff::SignedDuration;
use taskrun::{
    core::value::Secret,
    handlers::{Access, Handler as _, HandlerError},
    notify::Event,
    sandbox::{
        control::{Restricted, Switch},
        seed,
    },
    store::shop::{Park, Parked, Parks as _},
};

use crate::bench::*;

const HOUR_MS: i64 = 3_600_000;
const RESTRICTED: Switch = Switch { restricted: Some(Restricted::All), participation: None, grace_s: None, next_feed: None };

fn pages(bench: &Bench, shop: &str) -> usize {
    bench.calls("/1/items").iter().filter(|call| call.account == shop).count()
}

#[tokio::test]
async fn acceptance_06_at_the_hours_limit_the_shop_is_parked_and_goes_on_after_it() {
    let (bench, told) = Bench::new().await.told();
    let [first, second] = seed::SHOPS;
    // Two more calls: one page of the list, and one write.
    bench.sandbox.set_calls(first, HOUR_MS, 4_998);
    let fence = bench.admit().await;
    let mut ctx = bench.context(Access::Live(fence));
    let Err(HandlerError::NotYet { message, until }) = bench.handler.run(&ctx).await else { panic!("not so") };
    assert!(message.contains("base_account_1 waits") && !message.contains("errors"), "nothing has failed: {message}");
    let hour = bench.clock.ms().div_euclid(HOUR_MS) * HOUR_MS + HOUR_MS;
    assert!((hour..hour + 31_000).contains(&until.as_millisecond()), "{until}");
    let parks = bench.store.parks(None, bench.clock.now_wall()).await.unwrap();
    assert_eq!(parks.iter().map(|park| (&*park.account.account, park.cause)).collect::<Vec<_>>(), [(first, Parked::Limited)]);
    assert_eq!(told.of(Event::Parked).len(), 1);
    let written = bench.writes();
    assert!(written.iter().filter(|entry| entry.account == second).count() > 3, "the other shop goes on");
    assert_eq!(written.iter().filter(|entry| entry.account == first && entry.status == 200).count(), 1);

    // A restart does not forget the limit: not one call goes out before the hour is over.
    let restarted = handler(&bench.sandbox.endpoint(), &bench.store);
    let (calls, offers) = (bench.sandbox.ledger().len(), bench.calls(OFFERS).len());
    ctx.attempt = 2;
    let Err(HandlerError::NotYet { .. }) = restarted.run(&ctx).await else { panic!("not so") };
    let since = bench.sandbox.ledger().split_off(calls);
    assert!(since.iter().all(|entry| entry.account == second), "{since:?}");

    bench.clock.advance(until.as_millisecond() - bench.clock.ms());
    ctx.attempt = 3;
    restarted.run(&ctx).await.unwrap();
    assert_eq!(bench.calls(OFFERS).len(), offers, "what was read is not read again");
    assert!(bench.writes().iter().filter(|entry| entry.account == first && entry.status == 200).count() > 10);
    bench.live().await.summary();
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn a_shop_that_hangs_delays_no_other() {
    let bench = Bench::new().await;
    let [first, second] = seed::SHOPS;
    bench.sandbox.plan(&format!("items@{first}:hang").parse().unwrap());
    let others_are_done = async {
        wait_for(|| bench.writes().iter().filter(|entry| entry.account == second).count() > 3).await;
        bench.cancel.cancel();
    };
    let began = std::time::Instant::now();
    let (ended, ()) = tokio::join!(bench.live(), others_are_done);
    assert!(matches!(ended.error(), HandlerError::Cancelled), "{:?}", ended.error());
    assert!(began.elapsed() < Duration::from_secs(25), "the other shop's prices waited: {:?}", began.elapsed());
    assert!(bench.writes().iter().all(|entry| entry.account == second));
}

#[tokio::test]
async fn a_retry_does_only_the_shop_that_failed() {
    let bench = Bench::new().await;
    let [first, second] = seed::SHOPS;
    bench.sandbox.plan(&format!("items@{first}:500x3").parse().unwrap());
    let over = bench.run().await;
    assert_eq!(over.retries, 1);
    assert_eq!((pages(&bench, first), pages(&bench, second)), (4, 1), "the other is not even read again");
    let made = bench.writes().iter().filter(|entry| entry.status == 200).count();
    let counted: usize = over
        .ended
        .summary()
        .split([' ', ';', ','])
        .collect::<Vec<_>>()
        .windows(2)
        .filter_map(|pair| ["price", "prices", "hidden", "shown"].contains(&pair[1]).then(|| pair[0].parse::<usize>().ok())?)
        .sum();
    assert_eq!(counted, made, "the end tells of all attempts: {}", over.ended.summary());
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn a_shop_that_is_refused_fails_the_run_once_and_is_named_from_then_on() {
    let (bench, told) = Bench::new().await.told();
    let [first, second] = seed::SHOPS;
    bench.sandbox.set_switch(first, RESTRICTED);
    let ended = bench.live().await;
    let HandlerError::Permanent { message } = ended.error() else { panic!("{:?}", ended.error()) };
    assert!(message.contains(&format!("{first} is left out: ")) && message.contains("access_denied"), "{message}");
    assert!(bench.writes().iter().any(|entry| entry.account == second) && bench.writes().iter().all(|entry| entry.account == second));
    assert_eq!(told.of(Event::Parked).len(), 1);

    let calls = bench.sandbox.ledger().iter().filter(|entry| entry.account == first).count();
    let ended = bench.live().await;
    assert!(ended.summary().contains(&format!("{first} is left out: ")), "{}", ended.summary());
    assert_eq!(bench.sandbox.ledger().iter().filter(|entry| entry.account == first).count(), calls, "it is not called any more");
    assert_eq!(told.of(Event::Parked).len(), 1, "and people heard of it once");
}

#[tokio::test]
async fn a_login_that_stays_down_uses_up_the_attempts_and_fails_the_run() {
    let bench = Bench::new().await;
    bench.live().await.summary();
    for shop in seed::SHOPS {
        bench.sandbox.expire(shop);
    }
    bench.sandbox.plan(&"token:500".parse().unwrap());
    let over = bench.run().await;
    let HandlerError::Transient { message, .. } = over.ended.error() else { panic!("{:?}", over.ended.error()) };
    assert_eq!(over.retries, 3, "{message}");
    assert!(over.waited_ms <= 3 * MINUTE, "its login is asked once a minute: {}", over.waited_ms);
    bench.sandbox.clear_faults();
    bench.clock.advance(2 * MINUTE);
    bench.run().await.ended.summary();
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn a_run_that_waits_for_one_shop_still_fails_for_another_at_its_end() {
    let bench = Bench::new().await;
    let [first, second] = seed::SHOPS;
    bench.sandbox.set_switch(first, RESTRICTED);
    bench.sandbox.set_calls(second, HOUR_MS, 5_000);
    let over = bench.run().await;
    let HandlerError::Permanent { message } = over.ended.error() else { panic!("{:?}", over.ended.error()) };
    assert!(message.contains("access_denied"), "{message}");
    assert!(over.waited_ms > 0 && over.retries == 0);
    assert!(bench.writes().iter().any(|entry| entry.account == second && entry.status == 200));
}

#[tokio::test]
async fn a_shop_that_is_parked_for_longer_than_what_was_read_keeps_fresh_is_left_out() {
    let bench = Bench::new().await;
    let [first, second] = seed::SHOPS;
    let since = bench.clock.now_wall();
    let until = Some(since + SignedDuration::from_hours(15));
    let park = Park { account: shop_key(first), cause: Parked::Limited, detail: "the day's calls are used up".into(), since, until };
    bench.store.park(park).await.unwrap();
    let over = bench.run().await;
    assert!(over.ended.summary().contains("base_account_1 is left out"), "{}", over.ended.summary());
    assert_eq!((over.waited_ms, over.retries), (0, 0));
    assert!(bench.writes().iter().all(|entry| entry.account == second));
}

#[tokio::test]
async fn a_proxy_that_is_down_is_tried_again_and_the_other_shop_is_done_once() {
    let mut bench = Bench::new().await;
    let [first, second] = seed::SHOPS;
    let mut accounts = accounts();
    accounts.get_mut(first).unwrap().proxy = Some(Secret::new("http://127.0.0.1:1"));
    bench.handler = handler_for(&bench.sandbox.endpoint(), &bench.store, &accounts);
    let over = bench.run().await;
    assert!(matches!(over.ended.error(), HandlerError::Transient { .. }), "{:?}", over.ended.error());
    assert_eq!((over.retries, pages(&bench, first), pages(&bench, second)), (3, 0, 1));
}
