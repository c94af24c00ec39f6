//! Amazon's limits belong to operation and seller, and outlive a process; its other lane, and what it says of a seller.
use serde_json::{Value, json};
use taskrun::sandbox::{Force, Operation, control::Switch, seed};

use crate::bench::*;

const SELLERS_PATH: &str = "/sellers/v1/marketplaceParticipations";

fn item_offers(asin: &str) -> String {
    format!("/products/pricing/v0/items/{asin}/offers?MarketplaceId=A1VC38T7YXB528&ItemCondition=New")
}

#[tokio::test]
async fn each_operation_of_each_seller_has_a_bucket_of_its_own() {
    let bench = Bench::new().await;
    let asin = seed::asin(3);
    let batch = async |seller: &str| offers(&bench.practice, Some(&format!("Atza|{seller}")), &[offers_of(&asin)]).await.0;
    let one = async |seller: &str| bench.amazon(seller, &item_offers(&asin)).await;
    assert_eq!(batch("one").await, 200);
    assert_eq!(batch("one").await, 429);
    assert_eq!(batch("two").await, 200, "another seller");
    let (status, rate, body) = one("one").await;
    assert_eq!((status, rate.as_deref()), (200, Some("0.5")), "another operation");
    assert_eq!(body["payload"]["ASIN"], asin.as_str());
    let (status, rate, body) = one("one").await;
    assert_eq!((status, rate), (429, None), "no rate is told with a 429");
    assert_eq!(body["errors"][0]["message"], "You exceeded your quota for the requested resource.");
    bench.advance(1_999);
    assert_eq!(one("one").await.0, 429);
    bench.advance(1);
    assert_eq!(one("one").await.0, 200, "half a call a second");
}

#[tokio::test]
async fn the_single_lane_answers_as_the_batch_does_and_refuses_in_its_own_words() {
    let bench = Bench::new().await;
    let asin = seed::asin(3);
    let one = async |path: String| {
        bench.advance(2_000);
        bench.amazon("one", &path).await
    };
    for (force, status) in [(Force::NoOffer, 200), (Force::Cost(1_980), 200), (Force::ItemError(500), 500), (Force::ItemError(404), 404)] {
        bench.practice.force(&asin, Some(force));
        bench.advance(10_000);
        let (_, _, batch) = offers(&bench.practice, Some("Atza|one"), &[offers_of(&asin)]).await;
        let (code, rate, body) = one(item_offers(&asin)).await;
        assert_eq!(code, status);
        assert_eq!(rate.is_some(), code != 500, "the rate is told with 200, 400 and 404");
        assert_eq!(body, batch["responses"][0]["body"]);
    }
    let (status, rate, body) = one(item_offers("short")).await;
    assert_eq!((status, rate.is_some()), (400, true));
    assert_eq!(body["errors"][0]["message"], "short is an invalid ASIN for marketplace A1VC38T7YXB528");
    assert_eq!(one(format!("/products/pricing/v0/items/{asin}/offers?ItemCondition=New")).await.0, 400);
    assert_eq!(one("/products/pricing/v0/nothing".to_owned()).await.2["errors"][0]["code"], "MissingAuthenticationToken");
}

#[tokio::test]
async fn a_bucket_goes_on_where_it_was_when_the_marketplace_is_started_again() {
    let bench = Bench::new().await;
    bench.practice.set_rate(Operation::Sellers, 0.01, 2.0);
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.0, 200);
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.1.as_deref(), Some("0.01"), "the burst");
    let bench = bench.restart().await;
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.0, 429, "the new process remembers both calls");
    bench.advance(100_000);
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.1.as_deref(), Some("0.01"), "and the rate that was set");
    bench.practice.set_rate(Operation::Sellers, 1.0, 2.0);
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.0, 429);
    bench.advance(1_000);
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.1.as_deref(), Some("1"), "a rate may change at any time");
    bench.practice.set_rate(Operation::Sellers, 0.001, 2.0);
    bench.advance(500_000);
    bench.practice.set_rate(Operation::Sellers, 0.1, 2.0);
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.0, 429, "and what has passed by then counts at the old one");
    bench.advance(5_000);
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.0, 200);
}

#[tokio::test]
async fn fifteen_calls_may_come_at_once_where_the_burst_is_fifteen() {
    let bench = Bench::new().await;
    for n in 0..15 {
        assert_eq!(bench.amazon("one", SELLERS_PATH).await.0, 200, "{n}");
    }
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.0, 429);
    bench.advance(62_500);
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.0, 200);
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.0, 429);
}

#[tokio::test]
async fn a_seller_takes_part_or_does_not_or_is_suspended() {
    let bench = Bench::new().await;
    let japan = async |word: &str| {
        bench.advance(62_500);
        bench.tell("PATCH", "/accounts/one", json!({ "participation": word })).await;
        let (status, _, body) = bench.amazon("one", SELLERS_PATH).await;
        assert_eq!(status, 200);
        list(&body, "payload")
            .into_iter()
            .find(|entry| entry["marketplace"]["id"] == "A1VC38T7YXB528")
            .map(|entry| entry["participation"].clone())
    };
    let is = |participating: bool, suspended: bool| Some(json!({ "isParticipating": participating, "hasSuspendedListings": suspended }));
    assert_eq!(japan("participating").await, is(true, false));
    assert_eq!(japan("suspended").await, is(true, true));
    assert_eq!(japan("not").await, is(false, false));
    assert_eq!(japan("missing").await, None);
}

#[tokio::test]
async fn a_403_says_why() {
    let bench = Bench::new().await;
    let details = async |word: &str| {
        bench.tell("PATCH", "/accounts/one", json!({ "restricted": word })).await;
        let (status, rate, body) = bench.amazon("one", SELLERS_PATH).await;
        assert_eq!((status, rate), (403, None));
        assert_eq!(body["errors"][0]["code"], "Unauthorized");
        text(&body["errors"][0], "details")
    };
    assert_eq!(details("role").await, "", "a role is missing");
    assert_eq!(details("secret").await, "The LWA secret token you provided has expired.");
    bench.practice.set_switch("one", Switch { restricted: Some(taskrun::sandbox::control::Restricted::No), ..Switch::default() });
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.0, 200);
    bench.practice.expire("one");
    assert_eq!(bench.amazon("one", SELLERS_PATH).await.2["errors"][0]["details"], "The access token you provided has expired.");
}

#[tokio::test]
async fn amazons_login_takes_forms_and_json_and_knows_all_its_errors() {
    let bench = Bench::new().await;
    let login = async |fields: Value| {
        let answer = client().post(bench.url("/auth/o2/token")).json(&fields).send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let fields = |changes: Value| {
        let mut fields = json!({ "grant_type": "refresh_token", "client_id": "app", "client_secret": "hush", "refresh_token": "Atzr|one" });
        fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        fields
    };
    let (status, body) = login(fields(json!({}))).await;
    assert_eq!((status, &body["expires_in"], &body["refresh_token"]), (200, &json!(3600), &json!("Atzr|one")));
    for (changes, status, error) in [
        (json!({ "refresh_token": "Atzr|other" }), 400, "invalid_grant"),
        (json!({ "client_secret": "other" }), 401, "invalid_client"),
        (json!({ "grant_type": "password" }), 400, "unsupported_grant_type"),
        (json!({ "grant_type": "" }), 400, "invalid_request"),
        (json!({ "refresh_token": "" }), 400, "invalid_request"),
        (json!({ "grant_type": "client_credentials", "scope": "all" }), 400, "invalid_scope"),
    ] {
        let (code, body) = login(fields(changes.clone())).await;
        assert_eq!((code, text(&body, "error").as_str()), (status, error), "{changes}");
    }
    let (status, body) = login(fields(json!({ "grant_type": "client_credentials", "scope": "sellingpartnerapi::notifications" }))).await;
    assert_eq!((status, body.get("refresh_token")), (200, None), "a login without a seller");
    let token = text(&body, "access_token");
    assert_eq!(offers(&bench.practice, Some(&token), &[offers_of("B000P6Q7MY")]).await.0, 403, "opens nothing of a seller's");
    bench.tell("POST", "/accounts/one/revoke", Value::Null).await;
    assert_eq!(login(fields(json!({}))).await.1["error"], "invalid_grant", "the seller has taken it back");
}
