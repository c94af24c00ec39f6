//! `check_items`: what a source says of items, and what follows.
use std::sync::Arc;

use jiff::SignedDuration;
use taskrun::{
    clock::SystemClock,
    core::value::Value,
    handlers::HandlerError,
    notify::Event,
    shop::{
        setting::{SettingName, SettingValue},
        upload::State,
    },
    store::shop::{Guarded, JobFilter, Settings as _, Supplies as _, Supply, SupplyRow, SupplyState, WorkQueue as _},
};

use crate::{
    bench::percent,
    yard::{Yard, item, key},
};

#[tokio::test]
async fn what_is_gone_shows_no_stock_and_everything_else_stays() {
    let (yard, _) = Yard::new(40).await;
    yard.stands(3, "sold").await;
    yard.stands(7, "ended").await;
    yard.stands(9, "missing").await;
    let report = yard.checked().await.unwrap();
    assert_eq!(report.summary, "40 items checked, 3 gone and out of stock now");
    for (n, supply) in (0_u32..).zip(yard.supplies().await) {
        let is_gone = [3, 7, 9].contains(&n);
        assert_eq!((supply.wanted, supply.state), if is_gone { (0, SupplyState::Gone) } else { (1, SupplyState::Backed) }, "{n}");
        assert!(supply.checked_at.is_some() && supply.gone_at.is_some() == is_gone);
    }
    assert!(yard.asked().len() == 40 && yard.asked().values().all(|times| *times == 1), "each is asked about once");
}

#[tokio::test]
async fn an_error_is_never_gone() {
    let faults = ["500", "503", "403", "401", "400", "404", "429x3", "html", "page", "empty", "error200", "drop", "mistyped"];
    let each = faults.map(|fault| async move {
        let (mut yard, _) = Yard::new(4).await;
        yard.set("max_gone", percent(100));
        yard.set("max_attempts", Value::Int(2));
        yard.sandbox.plan(&format!("/source/yahoo/items:{fault}").parse().unwrap());
        let ended = yard.checked().await;
        assert!(yard.supplies().await.iter().all(|supply| supply.wanted == 1 && supply.gone_at.is_none()), "{fault}: {ended:?}");
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn trouble_that_passes_costs_nothing_but_time() {
    let (yard, _) = Yard::new(30).await;
    yard.sandbox.plan(&"/source/yahoo/items:500%20,/source/yahoo/items:drop%10,seed=7".parse().unwrap());
    yard.stands(3, "sold").await;
    let report = yard.checked().await.unwrap();
    assert!(report.summary.starts_with("30 items checked, 1 gone"), "{}", report.summary);
}

#[tokio::test]
async fn a_mass_disappearance_trips_the_brake_and_a_person_may_say_that_it_is_so() {
    let (mut yard, clock) = Yard::new(20).await;
    for n in 0..5 {
        yard.stands(n, "ended").await;
    }
    let report = yard.checked().await.unwrap();
    assert!(report.summary.contains("left as they are"), "{}", report.summary);
    assert!(yard.supplies().await.iter().all(|supply| supply.wanted == 1 && supply.state == SupplyState::Backed));
    let told = yard.told.of(Event::Brake);
    assert!(told.len() == 1 && told[0].text.contains("5 of 20"), "{told:?}");
    clock.advance(12 * 3_600_000);
    yard.set("max_gone", percent(100));
    assert!(yard.checked().await.unwrap().summary.contains("5 gone and out of stock"));
    assert_eq!(yard.supplies().await.iter().filter(|supply| supply.wanted == 0).count(), 5);
}

#[tokio::test]
async fn only_what_ran_out_in_this_run_is_touched() {
    let (yard, clock) = Yard::new(20).await;
    yard.stands(1, "sold").await;
    yard.checked().await.unwrap();
    let before = yard.supply(1).await;
    clock.advance(12 * 3_600_000);
    yard.stands(2, "sold").await;
    assert_eq!(yard.checked().await.unwrap().summary, "19 items checked, 1 gone and out of stock now");
    assert_eq!(yard.supply(1).await, before);
    assert_eq!(yard.supply(2).await.wanted, 0);
}

#[tokio::test]
async fn each_class_is_checked_as_often_a_day_as_it_says_however_often_the_task_runs() {
    let (yard, clock) = Yard::new(2).await;
    let row = taskrun::store::shop::SupplyRow {
        key: key(1),
        source: "yahoo".into(),
        item: yard.supply(1).await.item,
        query: None,
        max_price: None,
        checks_per_day: Some(4),
        restock: None,
        images: None,
    };
    yard.store.take_in_supplies(vec![row], yard.clock.now().wall).await.unwrap();
    // A day from midnight (in the zone of the task, UTC) on, looked at each hour.
    for _ in 0..24 {
        yard.checked().await.unwrap();
        clock.advance(3_600_000);
    }
    let mut asked: Vec<usize> = yard.asked().into_values().collect();
    asked.sort_unstable();
    assert_eq!(asked, [2, 4]);
}

#[tokio::test]
async fn withdrawal_is_left_to_the_feed() {
    let (mut yard, _) = Yard::new(20).await;
    yard.set("on_gone", Value::Text("withdraw".into()));
    yard.stands(5, "sold").await;
    yard.checked().await.unwrap();
    let (fence, account) = (yard.admit("update_feed").await, Arc::<str>::from("amazon_main"));
    let gone = yard.store.listings_to_withdraw(account.clone(), 10).await.unwrap();
    assert_eq!(gone, [key(5).sku]);
    assert_eq!(yard.store.stock_to_push(account.clone(), 100).await.unwrap().len(), 19, "what is to be deleted is not told a stock");
    let now = yard.clock.now().wall;
    assert_eq!(yard.store.listings_withdrawn(fence, account.clone(), gone, now).await.unwrap(), Guarded::Done(()));
    assert!(yard.store.listings_to_withdraw(account, 10).await.unwrap().is_empty());
    assert_eq!(yard.supply(5).await.state, SupplyState::Withdrawn);
}

#[tokio::test]
async fn fourteen_workers_at_once_stay_within_the_calls_a_second() {
    // Twenty a second, by the wall clock.
    let yard = Yard::with(SystemClock::start(), 50, 50).await;
    yard.checked().await.unwrap();
    let mut times: Vec<i64> = yard.sandbox.ledger().into_iter().map(|entry| entry.at_ms).collect();
    times.sort_unstable();
    assert_eq!(times.len(), 50);
    for window in times.windows(21) {
        assert!(window[20] - window[0] >= 1_000, "21 calls within {} ms", window[20] - window[0]);
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "what a person waits is real time")]
async fn a_hung_item_is_replaced_within_its_limit_and_the_others_go_on() {
    let (mut yard, _) = Yard::new(30).await;
    yard.set("item_timeout", Value::Duration(SignedDuration::from_millis(500)));
    yard.set("workers", Value::Int(2));
    let hung = format!("/source/yahoo/items/{}", yard.supply(4).await.item);
    yard.sandbox.plan(&format!("{hung}:hang").parse().unwrap());
    let begun = std::time::Instant::now();
    let report = yard.checked().await.unwrap();
    assert!(report.summary.starts_with("29 items checked, none gone"), "{}", report.summary);
    assert!(report.summary.contains("2 put back (frozen), 1 given up"), "{}", report.summary);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    assert!(yard.supply(4).await.wanted == 1, "what cannot be asked stays");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "what a person waits is real time")]
async fn the_number_of_workers_follows_a_setting() {
    let (mut yard, clock) = Yard::new(40).await;
    yard.set("workers_setting", Value::Text("CHECK_WORKERS".into()));
    yard.sandbox.plan(&"/source/yahoo/items:delay=30ms".parse().unwrap());
    let set = async |workers: &str| {
        let setting = (SettingName::parse("CHECK_WORKERS").unwrap(), SettingValue::parse(workers).unwrap());
        yard.store.set_settings(vec![setting], yard.clock.now().wall).await.unwrap();
    };
    let mut took = Vec::new();
    for workers in ["1", "20"] {
        set(workers).await;
        let begun = std::time::Instant::now();
        yard.checked().await.unwrap();
        took.push(begun.elapsed());
        clock.advance(12 * 3_600_000);
    }
    assert!(took[0] >= std::time::Duration::from_millis(40 * 30) && took[1] < took[0] / 2, "{took:?}");
}

#[tokio::test]
async fn a_run_that_was_cut_off_goes_on_and_doubles_nothing() {
    let (mut yard, _) = Yard::new(60).await;
    yard.set("workers", Value::Int(4));
    yard.stands(50, "sold").await;
    yard.sandbox.plan(&"/source/yahoo/items:delay=20ms".parse().unwrap());
    let fence = yard.admit("check_items").await;
    // As a killed process: the attempt vanishes between two awaits, with jobs in hand.
    let cut = tokio::time::timeout(std::time::Duration::from_millis(150), yard.attempt(&yard.check, &fence)).await;
    assert!(cut.is_err(), "it should not have come to its end");
    let before = yard.asked().len();
    assert!((1..60).contains(&before), "{before}");
    let report = yard.attempt(&yard.check, &fence).await.unwrap();
    assert!(report.summary.starts_with("60 items checked, 1 gone"), "{}", report.summary);
    let asked = yard.asked();
    let twice = asked.values().filter(|times| **times > 1).count();
    assert!(asked.len() == 60 && twice <= 4, "only what was in hand is asked again: {twice}");
}

#[tokio::test]
async fn a_source_that_shuts_us_out_is_named_and_left_alone_for_a_while() {
    let (yard, _) = Yard::new(40).await;
    yard.sandbox.plan(&"/source/yahoo/items:403".parse().unwrap());
    let error = yard.checked().await.unwrap_err();
    let HandlerError::Transient { message, retry_after } = &error else { panic!("{error:?}") };
    assert!(message.contains("yahoo shuts us out") && *retry_after == Some(SignedDuration::from_mins(10)), "{error:?}");
    assert!(yard.asked().values().sum::<usize>() < 30, "it is not asked to the end");
}

#[tokio::test]
async fn a_source_that_refuses_everything_is_in_trouble_and_no_check_is_given_up() {
    for fault in ["404", "400"] {
        let (yard, _) = Yard::new(40).await;
        yard.sandbox.plan(&format!("/source/yahoo/items:{fault}").parse().unwrap());
        let ended = yard.checked().await;
        assert!(
            matches!(&ended, Err(HandlerError::Transient { message, .. }) if message.contains("yahoo is in trouble")),
            "{fault}: {ended:?}"
        );
        let given_up = JobFilter { state: Some(State::Failed), limit: 100, ..JobFilter::default() };
        assert_eq!(yard.store.jobs(given_up).await.unwrap(), [], "{fault}");
    }
}

#[tokio::test]
async fn a_source_that_says_for_how_long_it_takes_no_calls_is_left_alone_for_that_long() {
    let (yard, _) = Yard::new(5).await;
    yard.sandbox.plan(&"/source/yahoo/items:429=600".parse().unwrap());
    let from = yard.clock.now().wall;
    let ended = yard.checked().await;
    let Err(HandlerError::NotYet { until, .. }) = &ended else { panic!("{ended:?}") };
    assert!(*until >= from + SignedDuration::from_mins(10), "{ended:?}");
}

#[tokio::test]
async fn a_source_that_is_not_well_is_left_alone_for_as_long_as_it_says() {
    let (yard, _) = Yard::new(40).await;
    yard.sandbox.plan(&"/source/yahoo/items:503=600".parse().unwrap());
    let ended = yard.checked().await;
    assert!(
        matches!(&ended, Err(HandlerError::Transient { retry_after: Some(asked), .. }) if *asked >= SignedDuration::from_mins(10)),
        "{ended:?}"
    );
    let asked = yard.asked();
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
}

#[tokio::test]
async fn a_listing_that_is_backed_anew_while_it_is_deleted_is_told_its_stock_again() {
    let (mut yard, _) = Yard::new(20).await;
    yard.set("on_gone", Value::Text("withdraw".into()));
    let (account, now) = (key(5).account, yard.clock.now().wall);
    let fence = yard.admit("update_feed").await;
    yard.store.stock_pushed(fence, account.clone(), vec![(key(5).sku, 1)], now).await.unwrap();
    yard.stands(5, "sold").await;
    yard.checked().await.unwrap();
    assert_eq!(yard.store.listings_to_withdraw(account.clone(), 10).await.unwrap(), [key(5).sku]);
    let Supply { key, source, .. } = yard.supply(5).await;
    let (query, max_price, checks_per_day, restock, images) = (None, None, None, None, None);
    let anew = SupplyRow { key: key.clone(), source, item: "anew-1".into(), query, max_price, checks_per_day, restock, images };
    yard.store.take_in_supplies(vec![anew], now).await.unwrap();
    let fence = yard.admit("update_feed").await;
    yard.store.listings_withdrawn(fence, account.clone(), vec![key.sku.clone()], now).await.unwrap();
    assert_eq!(yard.supply(5).await.state, SupplyState::Backed);
    assert!(yard.store.stock_to_push(account, 100).await.unwrap().contains(&(key.sku, 1)));
}

#[tokio::test]
async fn a_dry_run_asks_and_writes_nothing() {
    let (yard, _) = Yard::new(10).await;
    yard.stands(2, "sold").await;
    let before = yard.supplies().await;
    let plan = yard.planned(&yard.check).await.planned();
    assert_eq!(plan.len(), 1);
    assert!(
        plan[0].kind == "stock" && plan[0].target == "amazon_main SKU-0002" && plan[0].reason.contains(&item(yard.clock.now().wall, 2))
    );
    assert_eq!(yard.supplies().await, before);
}

#[tokio::test]
async fn a_dry_run_asks_only_about_what_is_due_and_at_most_a_portion() {
    let (mut yard, _) = Yard::new(10).await;
    yard.set("portion", Value::Int(4));
    yard.planned(&yard.check).await;
    assert_eq!(yard.asked().len(), 4, "a portion");
    yard.set("portion", Value::Int(500));
    yard.checked().await.unwrap();
    let asked: usize = yard.asked().values().sum();
    assert_eq!(asked, 14);
    yard.planned(&yard.check).await;
    assert_eq!(yard.asked().values().sum::<usize>(), asked, "all were checked in this slot");
}

#[tokio::test]
async fn a_dry_run_plans_nothing_where_the_brake_would_trip() {
    let (mut yard, _) = Yard::new(10).await;
    for n in 0..5 {
        yard.stands(n, "sold").await;
    }
    let (plan, ended) = yard.tried(&yard.check).await;
    let summary = ended.unwrap().summary;
    assert_eq!(plan.planned(), []);
    assert!(summary.contains("10 items checked, 5 gone, which is more than `max_gone`"), "{summary}");
    yard.set("max_gone", percent(100));
    assert_eq!(yard.tried(&yard.check).await.0.planned().len(), 5);
}

#[tokio::test]
async fn a_dry_run_fails_where_a_source_answers_nothing() {
    for (fault, says) in [("500", "yahoo is in trouble"), ("403", "yahoo shuts us out")] {
        let (yard, _) = Yard::new(30).await;
        yard.sandbox.plan(&format!("/source/yahoo/items:{fault}").parse().unwrap());
        let (plan, ended) = yard.tried(&yard.check).await;
        assert!(matches!(&ended, Err(HandlerError::Transient { message, .. }) if message.contains(says)), "{fault}: {ended:?}");
        assert!(plan.planned().is_empty() && yard.asked().len() == 10, "{fault}: {}", yard.asked().len());
    }
}
