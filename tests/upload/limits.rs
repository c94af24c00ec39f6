//! Limits, caps and hours: what they stop goes on by itself, uncounted, and stops nobody else.
use jiff::{SignedDuration, Timestamp};
use taskrun::{
    core::{
        calendar::{BusinessHours, parse_windows},
        value::Value,
    },
    handlers::{Access, Handler as _},
    sandbox::control::{Restricted, Switch},
    shop::{gate::Rules, offer::Finding, upload::State},
    store::shop::{Parked, Parks as _},
};

use super::{
    bench::{accounts, shop_key},
    desk::{ADD, Desk, IMAGE, OTHER, SHOP, details, publish, tokyo},
};

const HOUR: i64 = 3_600_000;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl Desk {
    /// The marketplace's time goes on to this instant.
    fn until(&self, instant: &str) {
        let ms = at(instant).as_millisecond() - self.bench.clock.ms();
        assert!(ms > 0);
        self.bench.clock.advance(ms);
    }
}

#[tokio::test]
async fn acceptance_06_the_hours_limit_in_the_middle_parks_the_shop_and_nothing_fails() {
    let desk = Desk::new().await;
    desk.until("2026-03-30T00:20:00Z");
    desk.stock(1..=3, SHOP).await;
    desk.stock(11..=13, OTHER).await;
    let ids = desk.queue(1..=3, SHOP).await;
    desk.queue(11..=13, OTHER).await;
    // Somebody else has used the shop's hour: the limit comes with the third call.
    desk.bench.sandbox.set_calls(SHOP, HOUR, 4998);
    let ended = desk.tick(SHOP).await;
    assert!(ended.summary().starts_with("1 put back; "), "{}", ended.summary());
    assert_eq!(desk.states().await.get(&State::Failed), None);
    let half = desk.item(ids[0]).await;
    assert_eq!((half.state, half.attempts, desk.code(ids[0]).await.as_str()), (State::Pending, 0, "limited"));
    let parks = desk.bench.store.parks(Some(shop_key(SHOP)), desk.now()).await.unwrap();
    assert_eq!(parks.iter().map(|park| park.cause).collect::<Vec<_>>(), [Parked::Limited]);
    assert!(parks[0].until.unwrap() >= at("2026-03-30T01:00:00Z"));
    // A new process knows it, too: nothing is sent.
    let desk = desk.under(publish(Rules::default()));
    let calls = desk.bench.sandbox.ledger().len();
    let fence = desk.bench.admit_as(Desk::twin(SHOP)).await;
    desk.attempt(SHOP, Access::Live(fence)).await.summary();
    assert_eq!(desk.bench.sandbox.ledger().len(), calls, "not one more call");
    assert_eq!(desk.tick(OTHER).await.summary(), "3 listed", "another shop goes on");
    desk.until("2026-03-30T01:02:00Z");
    assert_eq!(desk.tick(SHOP).await.summary(), "3 listed");
    for n in 1..=3 {
        desk.assert_listed(n, SHOP, 7);
    }
    assert_eq!(desk.made(ADD).iter().filter(|entry| entry.account == SHOP).count(), 3);
}

#[tokio::test]
async fn an_item_that_the_hours_budget_cannot_finish_is_not_begun() {
    let mut accounts = accounts();
    // The sync's half and a person's tenth are kept: 100 calls leave 40.
    accounts.get_mut(SHOP).unwrap().calls_per_hour = Some(100);
    let desk = Desk::with(publish(Rules::default()), accounts).await;
    desk.until("2026-03-30T00:20:00Z");
    desk.stock(1..=10, SHOP).await;
    desk.queue(1..=10, SHOP).await;
    let ended = desk.tick(SHOP).await;
    let (made, images) = (desk.made(ADD).len(), desk.made(IMAGE).len());
    assert!(made > 0 && made < 10, "{}", ended.summary());
    assert_eq!(images, made * 7, "each that was begun is whole: {}", ended.summary());
    let parks = desk.bench.store.parks(Some(shop_key(SHOP)), desk.now()).await.unwrap();
    assert_eq!(parks, [], "the sync may go on with its share");
    desk.until("2026-03-30T01:02:00Z");
    desk.tick(SHOP).await.summary();
    assert!(desk.made(ADD).len() > made);
}

#[tokio::test]
async fn acceptance_08_the_1001st_waits_for_midnight_in_tokyo_under_two_workers() {
    let mut accounts = accounts();
    accounts.get_mut(SHOP).unwrap().daily_limit = Some(20);
    let desk = Desk::with(publish(Rules::default()), accounts).await.set("batch_size", Value::Int(100));
    for n in 1..=25 {
        desk.take_in(n, SHOP, details("水筒", 1)).await;
        desk.offer(n, Finding::Ok { cost: 1000 }).await;
    }
    desk.queue(1..=25, SHOP).await;
    let (one, two) = (desk.admit(SHOP).await, desk.bench.admit_as(Desk::twin(SHOP)).await);
    let (one, two) = (desk.context(SHOP, Access::Live(one)), desk.context(SHOP, Access::Live(two)));
    let (one, two) = tokio::join!(desk.handler.run(&one), desk.handler.run(&two));
    let summaries = [one.unwrap().summary, two.unwrap().summary];
    assert!(summaries.iter().all(|summary| summary.contains("the day's 20 are used up until 2026-03-30T15:00:00Z")), "{summaries:?}");
    assert_eq!(desk.made(ADD).len(), 20);
    // The last second of the day in Tokyo, which is no midnight where this runs.
    desk.until("2026-03-30T14:59:59Z");
    for n in 21..=25 {
        desk.offer(n, Finding::Ok { cost: 1000 }).await;
    }
    desk.tick(SHOP).await.summary();
    assert_eq!(desk.made(ADD).len(), 20);
    desk.until("2026-03-30T15:00:40Z");
    assert_eq!(desk.tick(SHOP).await.summary(), "5 listed");
}

#[tokio::test]
async fn the_shops_own_cap_puts_items_off_to_the_next_day_and_nothing_else() {
    let desk = Desk::new().await;
    desk.stock(1..=2, SHOP).await;
    let ids = desk.queue(1..=2, SHOP).await;
    desk.bench.sandbox.set_adds(SHOP, 1000);
    let ended = desk.tick(SHOP).await;
    assert!(ended.summary().starts_with("1 put back; "), "{}", ended.summary());
    let item = desk.item(ids[0]).await;
    assert_eq!((item.attempts, item.retry_at >= Some(at("2026-03-30T15:00:00Z"))), (0, true));
    assert_eq!(desk.bench.store.parks(Some(shop_key(SHOP)), desk.now()).await.unwrap(), [], "prices go on");
    let adds = desk.bench.calls(ADD).len();
    desk.tick(SHOP).await.summary();
    assert_eq!(desk.bench.calls(ADD).len(), adds, "it is not asked again before then");
    desk.until("2026-03-30T15:01:00Z");
    for n in 1..=2 {
        desk.offer(n, Finding::Ok { cost: 1000 }).await;
    }
    assert_eq!(desk.tick(SHOP).await.summary(), "2 listed");
}

#[tokio::test]
async fn closing_time_ends_a_batch_between_two_items() {
    let mut desk = Desk::new().await.set("spacing", Value::Duration(SignedDuration::from_mins(1)));
    desk.stock(1..=5, SHOP).await;
    desk.queue(1..=5, SHOP).await;
    desk.bench.closes_at = Some(desk.now() + SignedDuration::from_secs(90));
    let ended = desk.tick(SHOP).await;
    assert_eq!(ended.summary(), "2 listed; the business hours are over");
    for n in 1..=2 {
        desk.assert_listed(n, SHOP, 7);
    }
    assert_eq!(desk.states().await, [(State::Pending, 3), (State::Success, 2)].into());
}

#[tokio::test]
async fn a_batch_is_no_larger_than_it_may_be_and_spaced() {
    let desk = Desk::new().await.set("batch_size", Value::Int(2)).set("spacing", Value::Duration(SignedDuration::from_mins(10)));
    desk.stock(1..=3, SHOP).await;
    desk.queue(1..=3, SHOP).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "2 listed");
    let adds = desk.made(ADD);
    assert!(adds[1].at_ms - adds[0].at_ms >= 600_000);
}

#[tokio::test]
async fn a_shop_that_is_restricted_is_parked_with_its_items_waiting_and_another_goes_on() {
    let desk = Desk::new().await;
    desk.stock(1..=2, SHOP).await;
    desk.stock(11..=12, OTHER).await;
    let ids = desk.queue(1..=2, SHOP).await;
    desk.queue(11..=12, OTHER).await;
    desk.bench.sandbox.set_switch(SHOP, Switch { restricted: Some(Restricted::Writes), ..Switch::default() });
    let ended = desk.tick(SHOP).await;
    assert!(ended.error().to_string().contains("access_denied"), "{}", ended.error());
    let parks = desk.bench.store.parks(Some(shop_key(SHOP)), desk.now()).await.unwrap();
    assert_eq!(parks.iter().map(|park| (park.cause, park.until)).collect::<Vec<_>>(), [(Parked::Restricted, None)]);
    for id in &ids {
        let item = desk.item(*id).await;
        assert_eq!((item.state, item.attempts), (State::Pending, 0));
    }
    assert_eq!(desk.tick(OTHER).await.summary(), "2 listed");
    desk.bench.sandbox.set_switch(SHOP, Switch { restricted: Some(Restricted::No), ..Switch::default() });
    desk.bench.store.unpark(shop_key(SHOP), None, desk.now()).await.unwrap();
    assert_eq!(desk.tick(SHOP).await.summary(), "2 listed");
}

#[tokio::test]
async fn acceptance_08_six_sharp_is_inside_the_hours_of_tokyo_and_eleven_sharp_is_not() {
    let hours = BusinessHours { windows: parse_windows("06:00-23:00").unwrap(), holidays: Vec::new(), text: "06:00-23:00".into() };
    let mut desk = Desk::new().await;
    // 06:00 in Tokyo is nine at night of the day before where this runs.
    desk.until("2026-03-30T21:00:00Z");
    assert!(hours.is_open(desk.now(), &tokyo()) && !hours.is_open(desk.now() - SignedDuration::from_millis(1), &tokyo()));
    desk.bench.closes_at = hours.closes_at(desk.now(), &tokyo());
    assert_eq!(desk.bench.closes_at, Some(at("2026-03-31T14:00:00Z")));
    desk.stock(1..=2, SHOP).await;
    desk.queue(1..=1, SHOP).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.queue(2..=2, SHOP).await;
    desk.until("2026-03-31T14:00:00Z");
    desk.offer(2, Finding::Ok { cost: 1000 }).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "nothing was listed: the business hours are over");
    assert_eq!(desk.made(ADD).len(), 1);
}
