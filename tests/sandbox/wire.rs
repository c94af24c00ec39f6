//! The wire vectors of BASE's protocol, and what is known of Amazon's.
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use taskrun::sandbox::{self, World, seed};

use crate::bench::*;

fn assert_contains(id: &str, body: &Value, wanted: &Value) {
    for (key, value) in wanted.as_object().into_iter().flatten() {
        assert_eq!(&body[key], value, "{id}: {key} in {body}");
    }
}

#[tokio::test]
async fn the_practice_marketplace_answers_as_base_does() {
    let vectors: Value = serde_json::from_str(include_str!("../data/base_vectors.json")).unwrap();
    let cases = list(&vectors, "cases");
    let mut practised = 0;
    for case in &cases {
        let id = text(case, "id");
        let dir = tempfile::tempdir().unwrap();
        let (practice, clock) = open(dir.path(), world(&vectors["server_state"])).await;
        if let Some(before) = case["after"].as_str() {
            let before = cases.iter().find(|case| case["id"] == before).unwrap();
            assert_eq!(ask(&practice, &before["request"]).await.0, 200, "{id}");
        }
        clock.fetch_add(case["clock_advance_s"].as_i64().unwrap_or(0) * 1000, Ordering::SeqCst);
        match id.as_str() {
            "hour-limit" => practice.set_calls("base_account_1", HOUR, 5_000),
            "day-limit" => practice.set_calls("base_account_1", 24 * HOUR, 100_000),
            _ => {}
        }
        let (status, body) = ask(&practice, &case["request"]).await;
        let wanted = &case["response"];
        assert_eq!(Some(u64::from(status)), wanted["status"].as_u64(), "{id}: {body}");
        assert_contains(&id, &body, &wanted["body_contains"]);
        assert_contains(&id, &body["item"], &wanted["item_contains"]);
        for key in list(wanted, "body_keys") {
            assert!(body.get(key.as_str().unwrap()).is_some(), "{id}: {key} in {body}");
        }
        if id == "hour-limit" {
            clock.fetch_add(HOUR, Ordering::SeqCst);
            assert_ne!(ask(&practice, &case["request"]).await.1["error"], "hour_api_limit", "the next hour");
        }
        practice.stop().await.unwrap();
        practised += 1;
    }
    assert_eq!(practised, 24);
}

#[tokio::test]
async fn amazons_login_refuses_in_its_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let (practice, _) = open(dir.path(), World::practice(1, START)).await;
    let keys = sandbox::practice_keys();
    let refresh = keys.accounts[0].refresh_token;
    let login = async |grant: &str, client: &str, secret: &str, token: &str| {
        let form = [("grant_type", grant), ("client_id", client), ("client_secret", secret), ("refresh_token", token)];
        let answer = self::client().post(format!("{}/auth/o2/token", practice.endpoint())).form(&form).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        (status, body["error"].as_str().unwrap_or("none").to_owned())
    };
    let (id, secret) = (keys.lwa_client_id, keys.lwa_client_secret);
    assert_eq!(login("refresh_token", id, secret, refresh).await, (200, "none".to_owned()));
    assert_eq!(login("refresh_token", id, secret, refresh).await, (200, "none".to_owned()), "it does not rotate");
    assert_eq!(login("refresh_token", id, secret, "Atzr|other").await, (400, "invalid_grant".to_owned()));
    assert_eq!(login("refresh_token", id, "other", refresh).await, (401, "invalid_client".to_owned()));
    assert_eq!(login("password", id, secret, refresh).await, (400, "unsupported_grant_type".to_owned()));
    practice.stop().await.unwrap();
}

#[tokio::test]
async fn amazons_offers_keep_the_rate_and_refuse_in_their_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let (practice, clock) = open(dir.path(), World::practice(1, START)).await;
    let keys = sandbox::practice_keys();
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", keys.lwa_client_id),
        ("client_secret", keys.lwa_client_secret),
        ("refresh_token", keys.accounts[0].refresh_token),
    ];
    let granted = client().post(format!("{}/auth/o2/token", practice.endpoint())).form(&form).send().await.unwrap();
    let token = text(&granted.json::<Value>().await.unwrap(), "access_token");
    let ask = async |requests: &[Value], wait_ms: i64| {
        clock.fetch_add(wait_ms, Ordering::SeqCst);
        offers(&practice, Some(&token), requests).await
    };
    let asins: Vec<_> = (0..20).map(seed::asin).collect();
    let requests: Vec<_> = asins.iter().map(|asin| offers_of(asin)).collect();

    let (status, told, body) = ask(&requests, 1).await;
    assert_eq!((status, told, list(&body, "responses").len()), (200, true, 20));
    let answered: Vec<_> = list(&body, "responses").iter().map(|answer| text(&answer["request"], "Asin")).collect();
    assert!(asins.iter().all(|asin| answered.contains(asin)));
    assert_ne!(answered, asins, "the order is not the one that was asked in");

    let (status, told, body) = ask(&requests, 9_999).await;
    assert_eq!((status, told), (429, false), "no rate is told with a 429");
    let exact = json!({ "code": "QuotaExceeded", "message": "You exceeded your quota for the requested resource.", "details": "" });
    assert_eq!(body["errors"][0], exact);
    assert_eq!(ask(&requests, 1).await.0, 200);

    let message = |body: &Value| text(&body["errors"][0], "message");
    let (status, told, body) = ask(&[offers_of(&asins[0]), offers_of(&asins[0])], 10_000).await;
    assert_eq!((status, told, message(&body).as_str()), (400, true, "Duplicate requests submitted. Cannot run batch request."));
    let nested = json!({ "uri": "/products/pricing/v0/items/B000P6Q7MY/offers", "method": "GET", "queryParams": { "MarketplaceId": "A1VC38T7YXB528" } });
    assert_eq!(message(&ask(&[nested], 10_000).await.2), "Requested MarketplaceId is invalid, unsupported, or does not exist.");
    let (status, _, body) = ask(&[offers_of("not-an-id"), offers_of("B0ANYTHING")], 10_000).await;
    assert_eq!(status, 200, "an item's fault is its own");
    let statuses: Vec<_> = list(&body, "responses").iter().map(|answer| answer["status"]["statusCode"].clone()).collect();
    assert!(statuses.contains(&json!(400)) && statuses.contains(&json!(200)), "{statuses:?}");

    let details = |body: &Value| text(&body["errors"][0], "details");
    assert_eq!(details(&offers(&practice, None, &requests).await.2), "Access token is missing in the request header.");
    let unknown = offers(&practice, Some("Atza|other"), &requests).await.2;
    assert_eq!(details(&unknown), "The access token you provided is revoked, malformed or invalid.");
    let (status, told, body) = ask(&requests, HOUR).await;
    assert_eq!((status, told, details(&body).as_str()), (403, false, "The access token you provided has expired."));
    practice.stop().await.unwrap();
}

#[tokio::test]
async fn the_ledger_can_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let vectors: Value = serde_json::from_str(include_str!("../data/base_vectors.json")).unwrap();
    let (practice, _) = open(dir.path(), world(&vectors["server_state"])).await;
    let bearer = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
    ask(&practice, &json!({ "method": "GET", "path": "/1/items", "bearer": bearer })).await;
    ask(&practice, &json!({ "method": "POST", "path": "/1/items/edit", "bearer": bearer, "form": { "item_id": "501", "price": "2480" } }))
        .await;
    let (_, all) = ask(&practice, &json!({ "method": "GET", "path": "/sandbox/ledger" })).await;
    assert_eq!((list(&all, "entries").len(), &all["last"]), (2, &json!(2)), "it does not list who asks for it");
    let (_, writes) = ask(&practice, &json!({ "method": "GET", "path": "/sandbox/ledger?writes=true" })).await;
    let entry = list(&writes, "entries").remove(0);
    assert_eq!((text(&entry, "account"), text(&entry, "detail")), ("base_account_1".to_owned(), "item_id=501 price=2480".to_owned()));
    assert_eq!(text(&entry, "at"), "2026-03-30T00:00:00Z");
    practice.stop().await.unwrap();
}
