//! The practice marketplace answers as the real ones do: the wire vectors of BASE's protocol, and what is known of Amazon's.
#![cfg(test)]
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use serde_json::{Value, json};
use taskrun::sandbox::{self, Account, Client, Item, Running, SandboxOptions, Side, World, seed};

const START: i64 = 1_774_828_800_000;
const HOUR: i64 = 3_600_000;

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value, key: &str) -> Vec<Value> {
    value[key].as_array().cloned().unwrap_or_default()
}

fn world(state: &Value) -> World {
    let client = |value: &Value| Client {
        side: Side::Base,
        id: text(value, "client_id"),
        secret: text(value, "client_secret"),
        redirect_uri: text(value, "redirect_uri"),
        active: value["active"].as_bool().unwrap(),
    };
    let account = |value: &Value| Account {
        name: text(value, "account_id"),
        side: Side::Base,
        client: "cid1".to_owned(),
        scopes: list(value, "scopes").iter().map(|scope| scope.as_str().unwrap()).collect::<Vec<_>>().join(" "),
        access: Some(text(value, "access_token")),
        refresh: text(value, "refresh_token"),
    };
    let item = |value: &Value| Item {
        item_id: value["item_id"].as_i64().unwrap(),
        account: text(value, "account_id"),
        title: text(value, "title"),
        detail: text(value, "detail"),
        price: value["price"].as_i64().unwrap(),
        stock: value["stock"].as_i64().unwrap(),
        visible: value["visible"] == 1,
        identifier: Some(text(value, "identifier")),
        modified: value["modified"].as_i64().unwrap(),
    };
    World {
        clients: list(state, "clients").iter().map(client).collect(),
        accounts: list(state, "accounts").iter().map(account).collect(),
        items: list(state, "items").iter().map(item).collect(),
    }
}

fn client() -> reqwest::Client {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

async fn ask(practice: &Running, request: &Value) -> (u16, Value) {
    let method = text(request, "method").parse().unwrap();
    let mut builder = client().request(method, format!("{}{}", practice.endpoint(), text(request, "path")));
    if let Some(bearer) = request["bearer"].as_str() {
        builder = builder.bearer_auth(bearer);
    }
    if let Some(form) = request["form"].as_object() {
        let form: HashMap<_, _> = form.iter().map(|(name, value)| (name, value.as_str().unwrap())).collect();
        builder = builder.form(&form);
    }
    let answer = builder.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A marketplace with a clock that the test moves.
async fn open(dir: &std::path::Path, world: World) -> (Running, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(START));
    let now = {
        let clock = Arc::clone(&clock);
        Arc::new(move || clock.load(Ordering::SeqCst))
    };
    let options = SandboxOptions { dir: dir.to_owned(), listen: "127.0.0.1:0".parse().unwrap(), items: 1, now };
    (sandbox::start_with(options, world).await.unwrap(), clock)
}

fn assert_contains(id: &str, body: &Value, wanted: &Value) {
    for (key, value) in wanted.as_object().into_iter().flatten() {
        assert_eq!(&body[key], value, "{id}: {key} in {body}");
    }
}

#[tokio::test]
async fn the_practice_marketplace_answers_as_base_does() {
    let vectors: Value = serde_json::from_str(include_str!("data/base_vectors.json")).unwrap();
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

/// Asks for the offers of these products: the status, whether a rate was told, and the body.
async fn offers(practice: &Running, token: Option<&str>, requests: &[Value]) -> (u16, bool, Value) {
    let mut builder = client().post(format!("{}/batches/products/pricing/v0/itemOffers", practice.endpoint()));
    if let Some(token) = token {
        builder = builder.header("x-amz-access-token", token);
    }
    let answer = builder.json(&json!({ "requests": requests })).send().await.unwrap();
    (answer.status().as_u16(), answer.headers().contains_key("x-amzn-RateLimit-Limit"), answer.json().await.unwrap())
}

fn offers_of(asin: &str) -> Value {
    json!({ "uri": format!("/products/pricing/v0/items/{asin}/offers"), "method": "GET", "MarketplaceId": "A1VC38T7YXB528", "ItemCondition": "New" })
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
    let vectors: Value = serde_json::from_str(include_str!("data/base_vectors.json")).unwrap();
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
