//! Tokens: what a refresh leaves behind however it ends, and what a person changes.
use std::sync::Arc;

use jiff::Timestamp;
use taskrun::{
    core::value::Secret,
    shop::product::Platform,
    store::shop::{AccountKey, Claim, Claimant, NoPair, Park, Parked, ShopStore, Token, TokenPair},
};

use crate::world::{World, minute};

fn account() -> AccountKey {
    AccountKey { platform: Platform::Base, account: "a".into() }
}

fn pair(n: u32) -> TokenPair {
    TokenPair { access: Secret::new(format!("access {n}")), expires_at: minute(60), refresh: Some(Secret::new(format!("refresh {n}"))) }
}

/// The account's tokens, with this refresh token in the configuration.
async fn with(shop: &Arc<dyn ShopStore>, configured: &str) -> Token {
    shop.token(account(), Some(Secret::new(configured))).await.unwrap().unwrap()
}

async fn claim(shop: &Arc<dyn ShopStore>, generation: i64, at: i64) -> Claim {
    let claimant = Claimant { holder: "me".into(), dead: None, at: minute(at), until: minute(at + 1) };
    shop.claim_refresh(account(), generation, claimant).await.unwrap()
}

async fn is_parked(shop: &Arc<dyn ShopStore>) -> bool {
    !shop.parks(Some(account()), minute(0)).await.unwrap().is_empty()
}

async fn park(shop: &Arc<dyn ShopStore>, cause: Parked, until: Option<Timestamp>) {
    shop.park(Park { account: account(), cause, detail: "no".into(), since: minute(0), until }).await.unwrap();
}

#[tokio::test]
async fn that_a_refresh_is_sent_is_written_down_before_and_taken_back_with_its_answer() {
    let w = World::sqlite();
    let shop = w.shop();
    with(&shop, "first").await;
    assert!(matches!(claim(&shop, 0, 0).await, Claim::Yours(Token { sent_at: None, .. })));
    assert_eq!(with(&shop, "first").await.sent_at, Some(minute(0)));
    shop.keep_token(account(), 0, pair(1), minute(0)).await.unwrap();
    let kept = with(&shop, "first").await;
    assert_eq!((kept.sent_at, kept.refreshed_at), (None, Some(minute(0))));
}

#[tokio::test]
async fn after_a_lost_answer_there_is_a_rest_and_then_another_try_that_knows_of_it() {
    let w = World::sqlite();
    let shop = w.shop();
    with(&shop, "first").await;
    claim(&shop, 0, 0).await;
    shop.end_refresh(account(), 0, NoPair::Lost(minute(5))).await.unwrap();
    assert_eq!(claim(&shop, 0, 4).await, Claim::Resting(minute(5)));
    assert!(matches!(claim(&shop, 0, 5).await, Claim::Yours(Token { sent_at: Some(at), .. }) if at == minute(0)));
    assert_eq!(claim(&shop, 0, 5).await, Claim::Busy("me".into()), "who has it does not rest");
    shop.end_refresh(account(), 0, NoPair::Denied(minute(7))).await.unwrap();
    assert_eq!(with(&shop, "first").await.sent_at, None, "an answer came");
    assert_eq!(claim(&shop, 0, 6).await, Claim::Resting(minute(7)));
    shop.try_again(account()).await.unwrap();
    assert!(matches!(claim(&shop, 0, 6).await, Claim::Yours(_)), "a person does not wait");
    shop.try_again(account()).await.unwrap();
    assert_eq!(claim(&shop, 0, 6).await, Claim::Busy("me".into()), "but nobody comes between a refresh and its answer");
}

#[tokio::test]
async fn a_refused_refresh_token_is_not_tried_again_until_a_person_says_so() {
    let w = World::sqlite();
    let shop = w.shop();
    with(&shop, "first").await;
    claim(&shop, 0, 0).await;
    shop.end_refresh(account(), 0, NoPair::Refused("no such token".into())).await.unwrap();
    assert_eq!(claim(&shop, 0, 500).await, Claim::Refused("no such token".into()));
    shop.try_again(account()).await.unwrap();
    assert!(matches!(claim(&shop, 0, 500).await, Claim::Yours(_)));
    shop.end_refresh(account(), 0, NoPair::Refused("still not".into())).await.unwrap();
    assert!(shop.keep_token(account(), 0, pair(1), minute(501)).await.unwrap(), "an answer that came late, after all");
    assert_eq!(with(&shop, "first").await.refused, None);
}

#[tokio::test]
async fn new_tokens_end_the_park_for_the_login_and_no_other() {
    let w = World::sqlite();
    let shop = w.shop();
    with(&shop, "first").await;
    park(&shop, Parked::Login, None).await;
    with(&shop, "first").await;
    assert!(is_parked(&shop).await, "nothing has changed");
    with(&shop, "second").await;
    assert!(!is_parked(&shop).await, "a person put another token into the configuration");
    park(&shop, Parked::Login, None).await;
    shop.keep_token(account(), 1, pair(1), minute(0)).await.unwrap();
    assert!(!is_parked(&shop).await, "a refresh got through");
    park(&shop, Parked::Login, None).await;
    park(&shop, Parked::Paused, None).await;
    shop.log_in(account(), None, pair(2), minute(1)).await.unwrap();
    let parks = shop.parks(Some(account()), minute(0)).await.unwrap();
    assert_eq!(parks.iter().map(|park| park.cause).collect::<Vec<_>>(), [Parked::Paused]);
}

#[tokio::test]
async fn a_login_replaces_whatever_there_was_and_the_configuration_stays_as_it_is() {
    let w = World::sqlite();
    let shop = w.shop();
    shop.log_in(account(), Some(Secret::new("old in the file")), pair(1), minute(0)).await.unwrap();
    assert_eq!(with(&shop, "old in the file").await.refresh.expose(), "refresh 1", "not replaced by what stood there before");
    claim(&shop, 0, 0).await;
    shop.end_refresh(account(), 0, NoPair::Refused("no".into())).await.unwrap();
    shop.log_in(account(), Some(Secret::new("old in the file")), pair(2), minute(1)).await.unwrap();
    let token = with(&shop, "old in the file").await;
    assert_eq!((token.refresh.expose(), token.refused, token.generation), ("refresh 2", None, 1));
    assert!(!shop.keep_token(account(), 0, pair(3), minute(2)).await.unwrap(), "a refresh of before the login comes too late");
    assert_eq!(with(&shop, "new in the file").await.refresh.expose(), "new in the file");
}

#[tokio::test]
async fn a_slip_in_the_configuration_does_not_cost_the_shop_its_login() {
    let w = World::sqlite();
    let shop = w.shop();
    with(&shop, "first").await;
    shop.keep_token(account(), 0, pair(1), minute(0)).await.unwrap();
    with(&shop, "slip").await;
    let second_slip = with(&shop, "another slip").await.generation;
    claim(&shop, second_slip, 1).await;
    shop.end_refresh(account(), second_slip, NoPair::Refused("no".into())).await.unwrap();
    let rescued = with(&shop, "another slip").await;
    assert_eq!((rescued.refresh.expose(), rescued.refused, rescued.refreshed_at), ("refresh 1", None, Some(minute(0))));
    assert!(matches!(claim(&shop, rescued.generation, 1).await, Claim::Yours(_)), "at once");
    shop.end_refresh(account(), rescued.generation, NoPair::Refused("no".into())).await.unwrap();
    assert_eq!(with(&shop, "another slip").await.refused.as_deref(), Some("no"), "there is nothing left to go back to");
}

#[tokio::test]
async fn the_claim_of_a_process_that_is_proved_dead_is_taken_over_at_once() {
    let w = World::sqlite();
    let shop = w.shop();
    with(&shop, "first").await;
    claim(&shop, 0, 0).await;
    let next = |dead: &str| Claimant { holder: "next".into(), dead: Some(dead.into()), at: minute(0), until: minute(1) };
    assert_eq!(shop.claim_refresh(account(), 0, next("another")).await.unwrap(), Claim::Busy("me".into()));
    let Claim::Yours(token) = shop.claim_refresh(account(), 0, next("me")).await.unwrap() else { panic!("not so") };
    assert_eq!(token.sent_at, Some(minute(0)), "what it sent is open");
    assert_eq!(shop.claim_refresh(account(), 0, next("me")).await.unwrap(), Claim::Busy("next".into()), "only once");
    shop.end_refresh(account(), 0, NoPair::Lost(minute(1))).await.unwrap();
    assert_eq!(shop.claim_refresh(account(), 0, next("next")).await.unwrap(), Claim::Resting(minute(1)), "the rest is everybody's");
}
