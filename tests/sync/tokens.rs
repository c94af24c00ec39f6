//! Tokens against the practice marketplace: rotation, lost answers, dead tokens, several processes.
//!
//! A refresh that may have been made is the dangerous moment: the old refresh token may be dead and the new one seen by nobody.
use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use taskrun::{
    clock::Clock as _,
    core::value::Secret,
    handlers::{Access, Plan},
    marketplace::{CallError, Market},
    sandbox::{Fault, FaultKind, control::Switch, seed},
    store::{
        shop::{Claim, Claimant, ShopStore, Token, Tokens as _},
        sqlite::SqliteStore,
    },
};

use super::bench::{Bench, MINUTE, accounts, marketplaces, shop_key, wait_for};

const TOKEN: &str = "/1/oauth/token";

fn shop() -> &'static str {
    seed::SHOPS[0]
}

/// Another process: a store and clients of its own.
fn process(bench: &Bench) -> (SqliteStore, Market) {
    let store = SqliteStore::open(&bench.dir.path().join("taskrun.db")).unwrap();
    let shops: Arc<dyn ShopStore> = Arc::new(store.clone());
    (store, Market::connect(&marketplaces(&bench.sandbox.endpoint()), &accounts(), &shops))
}

fn caller(bench: &Bench) -> taskrun::handlers::Caller {
    bench.context(Access::Dry(Plan::default())).caller(taskrun::shop::quota::Purpose::Sync)
}

/// One call of the shop, as a process makes it.
async fn call(bench: &Bench, market: &Market) -> Result<usize, CallError> {
    market.shops()[shop()].items(&caller(bench)).await.map(|items| items.len())
}

async fn token(bench: &Bench) -> Token {
    bench.store.token(shop_key(shop()), None).await.unwrap().unwrap()
}

/// The answers to the shop's refreshes, oldest first. One without an account was refused.
fn refreshes(bench: &Bench) -> Vec<u16> {
    bench.calls(TOKEN).iter().map(|entry| entry.status).collect()
}

fn lose_the_next_answer(bench: &Bench) {
    bench.sandbox.inject(Fault { route: TOKEN, times: 1, kind: FaultKind::DropAnswer });
}

/// A shop that was called a while ago: its token has so many minutes left.
async fn used(bench: &Bench, left: i64) -> Market {
    let (_, market) = process(bench);
    call(bench, &market).await.unwrap();
    bench.clock.advance((60 - left) * MINUTE);
    market
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let bench = Bench::new().await;
    let market = used(&bench, 6).await;
    call(&bench, &market).await.unwrap();
    assert_eq!(refreshes(&bench), [200], "six minutes are enough");
    bench.clock.advance(2 * MINUTE);
    call(&bench, &market).await.unwrap();
    assert_eq!(refreshes(&bench), [200, 200], "four are not");
}

#[tokio::test]
async fn when_the_answer_is_lost_the_refresh_is_tried_once_more_and_the_old_token_goes_on_until_it_ends() {
    let bench = Bench::new().await;
    let market = used(&bench, 4).await;
    lose_the_next_answer(&bench);
    for _ in 0..20 {
        call(&bench, &market).await.unwrap();
    }
    assert_eq!(refreshes(&bench), [200, 200, 400], "made, and its answer lost; once more, and the old refresh token is dead: never again");
    bench.clock.advance(4 * MINUTE);
    for _ in 0..20 {
        let error = call(&bench, &market).await.unwrap_err();
        assert!(matches!(&error, CallError::Login { account, .. } if &**account == shop()), "{error}");
        assert!(error.to_string().contains("the answer to a refresh sent at 2026-03-30T00:56:00Z was lost"), "{error}");
    }
    assert_eq!(refreshes(&bench).len(), 3);
}

#[tokio::test]
async fn a_marketplace_with_some_grace_gives_the_pair_again() {
    for (plan, grace_s) in [("token:drop#1", 0), ("token:503#1", 0), ("token:html+#1", 5), ("token:drop+#1", 5), ("token:cut#1", 60)] {
        let bench = Bench::new().await;
        let market = used(&bench, 0).await;
        bench.sandbox.set_switch(shop(), Switch { grace_s: Some(grace_s), ..Switch::default() });
        bench.sandbox.plan(&plan.parse().unwrap());
        call(&bench, &market).await.unwrap();
        let token = token(&bench).await;
        assert_eq!((token.generation, token.sent_at), (2, None), "{plan}");
        bench.clock.advance(61 * MINUTE);
        call(&bench, &market).await.unwrap();
    }
}

#[tokio::test]
async fn a_refresh_whose_answer_never_comes_is_tried_once_a_minute() {
    let bench = Bench::new().await;
    let market = used(&bench, 0).await;
    bench.sandbox.inject(Fault { route: TOKEN, times: 5, kind: FaultKind::Status(503) });
    let began = bench.clock.ms();
    let mut ended = Err(CallError::Cancelled);
    while ended.is_err() {
        ended = call(&bench, &market).await;
        bench.clock.advance(10_000);
    }
    let minutes: Vec<_> = bench.calls(TOKEN).iter().skip(1).map(|entry| (entry.at_ms - began) / 60_000).collect();
    assert_eq!(minutes, [0, 0, 1, 2, 3, 4], "two at first, then one a minute");
    assert_eq!(token(&bench).await.sent_at, None);
}

#[tokio::test]
async fn a_refresh_that_was_never_sent_needs_no_rest() {
    let bench = Bench::new().await;
    let mut accounts = accounts();
    accounts.get_mut(shop()).unwrap().proxy = Some(Secret::new("http://127.0.0.1:1"));
    let shops: Arc<dyn ShopStore> = Arc::new(bench.store.clone());
    let behind_a_dead_proxy = Market::connect(&marketplaces(&bench.sandbox.endpoint()), &accounts, &shops);
    let error = call(&bench, &behind_a_dead_proxy).await.unwrap_err();
    assert!(matches!(error, CallError::NoAnswer { sent: false, .. }), "{error}");
    assert_eq!(token(&bench).await.sent_at, None);
    call(&bench, &process(&bench).1).await.unwrap();
}

#[tokio::test]
async fn acceptance_12_of_many_processes_one_refreshes_at_a_time() {
    let bench = Arc::new(Bench::new().await);
    used(&bench, 0).await;
    for round in 1..=5 {
        bench.clock.advance(61 * MINUTE);
        bench.sandbox.inject(Fault { route: TOKEN, times: 1, kind: FaultKind::Delay(Duration::from_millis(300)) });
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let bench = Arc::clone(&bench);
            calls.spawn(async move { call(&bench, &process(&bench).1).await });
        }
        for ended in calls.join_all().await {
            ended.unwrap();
        }
        assert_eq!(refreshes(&bench), vec![200; 1 + round], "one for all of them");
    }
}

#[tokio::test]
async fn acceptance_12_tokens_and_calls_go_through_the_shops_proxy() {
    let bench = Bench::new().await;
    // Nobody listens where the marketplace is said to be: only the proxy, which is the marketplace itself, gets anything.
    let mut accounts = accounts();
    accounts.get_mut(shop()).unwrap().proxy = Some(Secret::new(bench.sandbox.endpoint()));
    let shops: Arc<dyn ShopStore> = Arc::new(bench.store.clone());
    let market = Market::connect(&marketplaces("http://127.0.0.1:1"), &accounts, &shops);
    assert_eq!(call(&bench, &market).await.unwrap(), bench.sandbox.items(shop()).len());
    assert_eq!(refreshes(&bench), [200]);
}

#[tokio::test]
async fn a_process_that_died_in_the_middle_is_waited_for_and_the_old_token_goes_on() {
    let bench = Bench::new().await;
    let market = used(&bench, 4).await;
    // What a kill leaves: a claim, and that something was sent.
    let at = bench.clock.now().wall;
    let claimant = Claimant { holder: "on another machine".into(), dead: None, at, until: at + SignedDuration::from_secs(105) };
    let claimed = bench.store.claim_refresh(shop_key(shop()), 1, claimant).await.unwrap();
    assert!(matches!(claimed, Claim::Yours(_)));
    call(&bench, &market).await.unwrap();
    assert_eq!(refreshes(&bench), [200], "nobody knows whether it lives");
    bench.clock.advance(105_000);
    call(&bench, &market).await.unwrap();
    assert_eq!(refreshes(&bench), [200, 200], "it was never sent, as it turns out");
    assert_eq!(token(&bench).await.generation, 2);
}

#[tokio::test]
async fn an_answer_that_comes_late_still_counts() {
    let bench = Bench::new().await;
    let market = Arc::new(used(&bench, 0).await);
    bench.sandbox.inject(Fault { route: TOKEN, times: 1, kind: FaultKind::Delay(Duration::from_secs(2)) });
    let slow = async { call(&bench, &market).await };
    let fast = async {
        wait_for(|| refreshes(&bench).len() == 2).await;
        // The clock is set forward while the refresh is under way: its claim seems to be over.
        bench.clock.advance(5 * MINUTE);
        call(&bench, &process(&bench).1).await
    };
    let (slow, fast) = tokio::join!(slow, fast);
    assert!(matches!(fast, Err(CallError::Login { .. })), "{fast:?}");
    slow.unwrap();
    assert_eq!(token(&bench).await.refused, None, "the pair that was got after all");
    call(&bench, &process(&bench).1).await.unwrap();
    assert_eq!(refreshes(&bench), [200, 200, 400]);
}

#[tokio::test]
async fn a_slip_in_the_configuration_is_mended_by_the_token_before() {
    let bench = Bench::new().await;
    used(&bench, 30).await;
    let mut accounts = accounts();
    accounts.get_mut(shop()).unwrap().refresh_token = Some(Secret::new("slip of the pen"));
    let shops: Arc<dyn ShopStore> = Arc::new(bench.store.clone());
    let market = Market::connect(&marketplaces(&bench.sandbox.endpoint()), &accounts, &shops);
    call(&bench, &market).await.unwrap();
    call(&bench, &market).await.unwrap();
    assert_eq!(refreshes(&bench), [200, 400, 200]);
}
