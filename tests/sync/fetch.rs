//! Reading the offers: what is asked for, how often, and what a run does without them.
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use jiff::SignedDuration;
use taskrun::{
    clock::{BoxFuture, Clock},
    core::{task::Now, value::Value},
    handlers::{Access, AttemptContext, Handler as _, HandlerError},
    notify::{Event, Level},
    sandbox::{Entry, Force, Operation, seed},
    store::shop::{Catalogue as _, Parks as _},
};

use crate::bench::*;

const SINGLE: &str = "/products/pricing/v0/items/";

/// How often each product was asked for, by whichever lane.
fn asked(bench: &Bench) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for entry in bench.sandbox.ledger().into_iter().filter(|entry| entry.status == 200) {
        let single = entry.path.strip_prefix(SINGLE).and_then(|rest| rest.strip_suffix("/offers")).map(str::to_owned);
        let batch = entry.detail.split([' ', ',']).filter(|word| entry.path == OFFERS && word.starts_with("B0")).map(str::to_owned);
        for asin in batch.chain(single) {
            *asked.entry(asin).or_default() += 1;
        }
    }
    asked
}

/// A clock on which every wait lasts for ever.
#[derive(Debug)]
struct Still(Arc<LeapClock>);

/// A clock on which a longer wait takes longer: a hundredth.
#[derive(Debug)]
struct Fair(Arc<LeapClock>);

impl Clock for Fair {
    fn now(&self) -> Now {
        self.0.now()
    }

    fn real(&self, wall: SignedDuration) -> std::time::Duration {
        self.0.real(wall)
    }

    fn sleep(&self, wall: SignedDuration) -> BoxFuture<'static, ()> {
        let (clock, until) = (Arc::clone(&self.0), self.0.ms() + i64::try_from(wall.as_millis()).unwrap());
        let real = std::time::Duration::try_from(wall).unwrap_or_default() / 100;
        Box::pin(async move {
            tokio::time::sleep(real).await;
            clock.0.fetch_max(until, Ordering::SeqCst);
        })
    }
}

impl Clock for Still {
    fn now(&self) -> Now {
        self.0.now()
    }

    fn real(&self, wall: SignedDuration) -> std::time::Duration {
        self.0.real(wall)
    }

    fn sleep(&self, _: SignedDuration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn acceptance_03_what_vanishes_is_hidden_an_error_changes_nothing_a_429_resumes_at_its_batch() {
    let bench = Bench::new().await;
    bench.live().await.summary();
    bench.clock.advance(MINUTE);
    let ((gone, gone_item), (broken, broken_item)) = (bench.sold(0), bench.sold(1));
    bench.sandbox.force(&gone, Some(Force::NoOffer));
    bench.sandbox.force(&broken, Some(Force::ItemError(500)));
    let before = bench.item(broken_item);
    let calls = bench.calls(OFFERS).len();
    bench.sandbox.plan(&"offers:429#3-9".parse().unwrap());
    let over = bench.run().await;
    assert!(over.ended.summary().contains("1 error (1 InternalFailure)"), "{}", over.ended.summary());
    assert_eq!(over.retries, 0, "a limit is no failure");
    assert!(!bench.item(gone_item).visible);
    assert_eq!(bench.item(broken_item), before);
    let statuses: Vec<_> = bench.calls(OFFERS)[calls..].iter().map(|call| call.status).collect();
    assert_eq!(statuses, [200, 200, 429, 429, 429, 429, 429, 429, 429, 200, 200, 200, 200, 200], "the last is for the one that failed");
    let twice: Vec<_> = asked(&bench).into_iter().filter(|(_, times)| *times > 2).map(|(asin, _)| asin).collect();
    assert_eq!(twice, [broken], "in two runs, each product but that one was asked for once a run");
}

#[tokio::test]
async fn acceptance_05_without_the_fetch_nothing_is_written_and_people_hear_that_data_is_old() {
    let (bench, told) = Bench::new().await.told();
    bench.live().await.summary();
    let writes = bench.writes().len();
    bench.clock.advance(5 * 60 * MINUTE);
    bench.sandbox.plan(&"offers:503".parse().unwrap());
    let over = bench.run().await;
    assert!(matches!(over.ended.error(), HandlerError::Transient { .. }), "{:?}", over.ended.error());
    assert_eq!(bench.writes().len(), writes, "what is known is five hours old");
    assert_eq!(
        bench.calls("/1/items").iter().filter(|call| call.at_ms > START + 5 * 60 * MINUTE).count(),
        0,
        "the shops are not even read"
    );
    let told = told.of(Event::DataStale);
    assert_eq!(told.len(), 1, "once, however many attempts there were: {told:?}");
    assert!(told[0].level == Level::Alert && told[0].text.contains("120 of 120 listed products"), "{}", told[0].text);

    // On fresh data the same failure of a later run is no reason to be told.
    bench.sandbox.clear_faults();
    bench.live().await.summary();
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn a_run_that_reads_no_offers_goes_by_what_is_known_while_that_is_fresh() {
    let bench = Bench::new().await.set("phases", Value::List(vec![Value::Text("fetch".into())]));
    let fetched = bench.live().await;
    assert!(!fetched.summary().contains("changed"), "{}", fetched.summary());
    assert_eq!(bench.writes(), []);
    let (calls, words) = (bench.calls(OFFERS).len(), ["price", "visibility"].map(|word| Value::Text(word.into())));
    let bench = bench.set("phases", Value::List(words.into()));
    bench.live().await.summary();
    assert_eq!(bench.calls(OFFERS).len(), calls);
    bench.assert_in_line(&[]);
    bench.clock.advance(5 * 60 * MINUTE);
    let (bench, told) = bench.told();
    let writes = bench.writes().len();
    let stale = bench.live().await;
    assert!(
        stale.summary().starts_with("no offers read") && stale.summary().contains("left alone as their data is too old"),
        "{}",
        stale.summary()
    );
    assert_eq!((bench.writes().len(), told.of(Event::DataStale).len()), (writes, 1));
}

#[tokio::test]
async fn both_lanes_drain_one_queue_and_no_product_is_asked_for_twice() {
    let lanes = ["batch", "single"].map(|lane| Value::Text(lane.into()));
    let bench = Bench::new().await.set("lanes", Value::List(lanes.into()));
    let fence = bench.admit().await;
    let ctx = AttemptContext { clock: Arc::new(Fair(Arc::clone(&bench.clock))), ..bench.context(Access::Live(fence)) };
    bench.handler.run(&ctx).await.unwrap();
    let asked = asked(&bench);
    assert_eq!(asked.len(), 120);
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
    let single: Vec<_> = bench.sandbox.ledger().into_iter().filter(|entry| entry.path.starts_with(SINGLE)).collect();
    let (batch, took) = (bench.calls(OFFERS).len(), single.len());
    assert!(batch <= 6 && took > 5, "{batch} batches, {took} single calls");
    // A call may arrive late, and the next one then seems to follow soon; none arrives before its place in the lane.
    let early = |(place, call): (i64, &Entry)| call.at_ms < START + 2_000 * place;
    assert!(!(0..).zip(&single).any(early), "each lane at its own rate");
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn what_one_lane_can_not_read_the_other_reads() {
    let lanes = ["batch", "single"].map(|lane| Value::Text(lane.into()));
    let bench = Bench::new().await.set("lanes", Value::List(lanes.into()));
    bench.sandbox.plan(&"item_offers:500".parse().unwrap());
    let over = bench.run().await;
    assert!(over.retries == 0 && !over.ended.summary().contains("errors"), "{}", over.ended.summary());
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn a_run_that_is_stopped_anywhere_goes_on_behind_the_last_batch() {
    for batches in [1, 3, 5] {
        let (bench, told) = Bench::new().await.told();
        let fence = bench.admit().await;
        let mut ctx = bench.context(Access::Live(fence));
        bench.sandbox.plan(&format!("offers:delay=300ms#{batches}").parse().unwrap());
        let stop = async {
            wait_for(|| bench.calls(OFFERS).len() == batches).await;
            ctx.cancel.cancel();
        };
        let (ended, ()) = tokio::join!(bench.handler.run(&ctx), stop);
        assert!(matches!(ended, Err(HandlerError::Cancelled)), "{ended:?}");
        assert_eq!(told.of(Event::DataStale), [], "what is stopped has not failed");
        // Another process goes on: nothing is remembered but what is in the store.
        let restarted = handler(&bench.sandbox.endpoint(), &bench.store);
        ctx.cancel = tokio_util::sync::CancellationToken::new();
        ctx.attempt = 2;
        let report = restarted.run(&ctx).await.unwrap();
        assert!(report.summary.starts_with("120 items read: "), "{}", report.summary);
        let twice = asked(&bench).values().filter(|times| **times > 1).count();
        assert_eq!((bench.calls(OFFERS).len(), twice), (7, 20), "only the batch in hand is asked for again");
        bench.assert_in_line(&[]);
    }
}

#[tokio::test]
async fn a_login_that_is_refused_is_no_fault_of_a_batch_and_fails_the_run() {
    for lane in ["batch", "single"] {
        let bench = Bench::new().await.set("lanes", Value::List(vec![Value::Text(lane.into())]));
        bench.live().await.summary();
        bench.clock.advance(60 * MINUTE);
        bench.sandbox.expire(seed::SELLER);
        bench.sandbox.plan(&"lwa:400".parse().unwrap());
        let ended = bench.live().await;
        let error = ended.error();
        assert!(
            matches!(error, HandlerError::Permanent { message } if message.starts_with("Amazon's login: refused")),
            "{lane}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_limit_that_is_off_for_long_is_waited_for_outside_and_the_run_goes_on_there() {
    let bench = Bench::new().await;
    bench.sandbox.set_rate(Operation::Offers, 1.0 / 1800.0, 1.0);
    let over = bench.run().await;
    assert!(over.ended.summary().starts_with("120 items read: "), "{}", over.ended.summary());
    let read = bench.calls(OFFERS).iter().filter(|call| call.status == 200).count();
    assert_eq!((over.retries, read), (0, 6), "no retry was used, no batch was read twice");
    assert!(over.waited_ms >= 4 * 1_800_000, "{}", over.waited_ms);
}

#[tokio::test]
async fn a_run_takes_no_more_products_than_it_may_however_often_it_goes_on() {
    let bench = Bench::new().await.set("max_items", Value::Int(30));
    bench.sandbox.plan(&"items:500x6".parse().unwrap());
    let over = bench.run().await;
    assert!(over.ended.summary().starts_with("30 items read: "), "{}", over.ended.summary());
    assert_eq!((over.retries, asked(&bench).len(), bench.calls(OFFERS).len()), (1, 30, 2));
    let touched = bench.writes().len();
    bench.clock.advance(MINUTE);
    let others = bench.live().await;
    assert!(others.summary().starts_with("30 items read: "), "{}", others.summary());
    assert_eq!(asked(&bench).len(), 60, "the next run takes those with the oldest data");
    assert!(0 < touched && touched < 30, "{touched}");
}

#[tokio::test]
async fn acceptance_17_a_stop_ends_the_wait_for_a_limit_and_a_call_that_hangs() {
    let bench = Bench::new().await;
    // One waits for the limit's second place, which never comes; the other hangs in a call.
    let still: Arc<dyn Clock> = Arc::new(Still(Arc::clone(&bench.clock)));
    for (clock, faults) in [(still, ""), (bench.clock.clone() as Arc<dyn Clock>, "items:hang")] {
        bench.sandbox.plan(&faults.parse().unwrap());
        let fence = bench.admit().await;
        let ctx = AttemptContext { clock, cancel: tokio_util::sync::CancellationToken::new(), ..bench.context(Access::Live(fence)) };
        let stop = async {
            let path = if faults.is_empty() { OFFERS } else { "/1/items" };
            wait_for(|| !bench.calls(path).is_empty()).await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            ctx.cancel.cancel();
            std::time::Instant::now()
        };
        let (ended, stopped) = tokio::join!(
            async {
                let ended = bench.handler.run(&ctx).await;
                (ended, std::time::Instant::now())
            },
            stop
        );
        let ((ended, at), took) = (ended, std::time::Duration::from_secs(2));
        assert!(matches!(ended, Err(HandlerError::Cancelled)), "{ended:?}");
        assert!(at.duration_since(stopped) < took, "{:?}", at.duration_since(stopped));
        let read = bench.store.listed_products().await.unwrap().iter().filter(|product| product.stock.is_some()).count();
        assert!(read >= 20, "what was read is kept: {read}");
    }
}

#[tokio::test]
async fn an_odd_401_gets_a_new_token_and_a_lasting_one_is_no_verdict_on_the_seller() {
    let bench = Bench::with_items(40).await;
    bench.live().await.summary();
    bench.clock.advance(10 * MINUTE);
    let logins = bench.calls("/auth/o2/token").len();
    bench.sandbox.plan(&"offers:401x1".parse().unwrap());
    assert!(bench.live().await.summary().contains("40 items read"));
    assert_eq!(bench.calls("/auth/o2/token").len(), logins + 1);
    bench.clock.advance(10 * MINUTE);
    bench.sandbox.plan(&"offers:401".parse().unwrap());
    let ended = bench.live().await;
    assert!(matches!(ended.error(), HandlerError::Transient { .. }), "{:?}", ended.error());
    assert_eq!(bench.store.parks(None, bench.clock.now_wall()).await.unwrap(), []);
    assert_eq!(bench.calls("/auth/o2/token").len(), logins + 2, "a fresh token is not renewed again");
}
