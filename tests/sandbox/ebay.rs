//! eBay's side: tokens, items, offers, listings, and what is refused.
use std::sync::{Arc, atomic::AtomicI64, atomic::Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use taskrun::sandbox::{self, Fault, FaultKind, Running, World};

use crate::bench::*;

const SHOP: &str = sandbox::seed::EBAY;
const SKU: &str = "ebay_account_1-B0TEST0001";
const SCOPE: &str = "https://api.ebay.com/oauth/api_scope/sell.inventory";

struct Shop {
    practice: Running,
    clock: Arc<AtomicI64>,
    access: String,
    _dir: tempfile::TempDir,
}

async fn token(practice: &Running, secret: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    let id = sandbox::practice_keys().ebay_client_id;
    let request = client().post(format!("{}/identity/v1/oauth2/token", practice.endpoint())).basic_auth(id, Some(secret)).form(fields);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn login(practice: &Running) -> String {
    let keys = sandbox::practice_keys();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", keys.ebay.refresh_token), ("scope", SCOPE)];
    text(&token(practice, keys.ebay_client_secret, &fields).await.1, "access_token")
}

impl Shop {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (practice, clock) = open(dir.path(), World::practice(1, START)).await;
        let access = login(&practice).await;
        Self { practice, clock, access, _dir: dir }
    }

    /// The status, the first error's number, and the body.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, i64, Value) {
        let mut request =
            client().request(method, format!("{}/sell/inventory/v1{path}", self.practice.endpoint())).bearer_auth(&self.access);
        if let Some(body) = body {
            request = request.header("content-language", "en-US").json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null);
        (status, body["errors"][0]["errorId"].as_i64().unwrap_or(0), body)
    }

    async fn put(&self, item: Value) -> u16 {
        self.ask(Method::PUT, &format!("/inventory_item/{SKU}"), Some(item)).await.0
    }

    async fn create(&self) -> (u16, i64, Value) {
        self.ask(Method::POST, "/offer", Some(offer("EBAY_US"))).await
    }

    async fn publish(&self, offer_id: &str) -> (u16, i64, Value) {
        self.ask(Method::POST, &format!("/offer/{offer_id}/publish"), None).await
    }
}

fn item() -> Value {
    json!({
        "product": { "title": "Mug", "description": "A mug", "imageUrls": ["https://img.example/1.jpg"] }, "condition": "NEW",
        "availability": { "shipToLocationAvailability": { "quantity": 1 } },
    })
}

fn offer(marketplace: &str) -> Value {
    json!({
        "sku": SKU, "marketplaceId": marketplace, "format": "FIXED_PRICE", "categoryId": "20625", "merchantLocationKey": "tokyo",
        "listingPolicies": { "fulfillmentPolicyId": "1", "paymentPolicyId": "2", "returnPolicyId": "3" },
        "pricingSummary": { "price": { "value": "34.50", "currency": "USD" } },
    })
}

#[tokio::test]
async fn tokens_last_two_hours_and_the_refresh_token_stays() {
    let mut shop = Shop::new().await;
    let keys = sandbox::practice_keys();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", keys.ebay.refresh_token)];
    let (status, body) = token(&shop.practice, keys.ebay_client_secret, &fields).await;
    assert_eq!((status, &body["expires_in"], &body["token_type"]), (200, &json!(7200), &json!("User Access Token")));
    assert_eq!(body.get("refresh_token"), None, "it does not rotate");
    for (secret, fields, refusal) in [
        ("other", fields.to_vec(), (401, "invalid_client")),
        (keys.ebay_client_secret, vec![fields[0], ("refresh_token", "v^1.1#other")], (400, "invalid_grant")),
        (keys.ebay_client_secret, vec![("grant_type", "password")], (400, "unsupported_grant_type")),
        (
            keys.ebay_client_secret,
            vec![fields[0], fields[1], ("scope", "https://api.ebay.com/oauth/api_scope/buy")],
            (400, "invalid_scope"),
        ),
    ] {
        let (status, body) = token(&shop.practice, secret, &fields).await;
        assert_eq!((status, text(&body, "error").as_str()), refusal);
    }
    assert_eq!(shop.ask(Method::GET, "/offer?sku=x", None).await.1, 25_713);
    shop.clock.fetch_add(2 * HOUR, Ordering::SeqCst);
    let (status, error, _) = shop.ask(Method::GET, "/offer?sku=x", None).await;
    assert_eq!((status, error), (401, 1001));
    shop.access = login(&shop.practice).await;
    assert_eq!(shop.ask(Method::GET, "/offer?sku=x", None).await.1, 25_713);
    shop.practice.revoke(SHOP);
    assert_eq!(text(&token(&shop.practice, keys.ebay_client_secret, &fields).await.1, "error"), "invalid_grant");
}

#[tokio::test]
async fn an_item_becomes_an_offer_and_the_offer_a_listing() {
    let shop = Shop::new().await;
    assert_eq!(shop.create().await.0, 404, "an offer is of an item");
    assert_eq!((shop.put(item()).await, shop.put(item()).await), (201, 204), "the second takes the place of the first");
    let (_, _, shown) = shop.ask(Method::GET, &format!("/inventory_item/{SKU}"), None).await;
    assert_eq!((&shown["sku"], &shown["locale"], &shown["product"]), (&json!(SKU), &json!("en_US"), &item()["product"]));

    let (status, _, made) = shop.create().await;
    let offer_id = text(&made, "offerId");
    assert_eq!(status, 201);
    let (status, _, refused) = shop.create().await;
    assert_eq!(
        (status, &refused["errors"][0]["parameters"]),
        (400, &json!([{ "name": "offerId", "value": offer_id }])),
        "one a marketplace"
    );
    assert_eq!(shop.ask(Method::POST, "/offer", Some(offer("EBAY_GB"))).await.0, 201);
    let found = |status: &str| json!([text(&made, "offerId"), status]);
    let look = async || {
        let (_, _, body) = shop.ask(Method::GET, &format!("/offer?sku={SKU}&marketplace_id=EBAY_US"), None).await;
        json!([body["offers"][0]["offerId"], body["offers"][0]["status"]])
    };
    assert_eq!(look().await, found("UNPUBLISHED"));

    let (status, _, published) = shop.publish(&offer_id).await;
    assert_eq!((status, look().await), (200, found("PUBLISHED")));
    assert_eq!(shop.publish(&offer_id).await.0, 400, "once");
    let listing: i64 = text(&published, "listingId").parse().unwrap();
    assert_eq!(shop.practice.offers(SHOP)[0].listing_id, Some(listing));

    assert_eq!(shop.ask(Method::POST, &format!("/offer/{offer_id}/withdraw"), None).await.0, 200);
    assert_eq!(look().await, found("UNPUBLISHED"));
    assert_ne!(text(&shop.publish(&offer_id).await.2, "listingId"), listing.to_string(), "another listing");
    assert_eq!(shop.practice.summary()["creates"][SHOP], json!({ "adds": 2, "identifiers": 1, "repeated": { SKU: 2 } }));
    assert_eq!(shop.ask(Method::DELETE, &format!("/offer/{offer_id}"), None).await.0, 204);
    assert_eq!(shop.ask(Method::DELETE, &format!("/inventory_item/{SKU}"), None).await.0, 204);
    assert!(shop.practice.offers(SHOP).is_empty());
}

#[tokio::test]
async fn what_ebay_does_not_take_is_refused_and_changes_nothing() {
    let shop = Shop::new().await;
    let url = format!("{}/sell/inventory/v1/inventory_item/{SKU}", shop.practice.endpoint());
    let silent = client().put(url).bearer_auth(&shop.access).json(&item()).send().await.unwrap();
    assert_eq!(silent.status(), 400, "no Content-Language");
    assert_eq!(shop.put(json!([])).await, 400);
    assert_eq!(shop.put(json!({ "product": { "title": "M".repeat(81) } })).await, 400);
    assert_eq!(shop.put(json!({ "availability": { "shipToLocationAvailability": { "quantity": -1 } } })).await, 400);
    assert_eq!(shop.ask(Method::PUT, &format!("/inventory_item/{}", "S".repeat(51)), Some(item())).await.1, 25_707);
    assert_eq!(shop.ask(Method::GET, &format!("/inventory_item/{SKU}"), None).await.0, 404);

    let mut bare = item();
    bare["product"]["imageUrls"] = json!([]);
    shop.put(bare).await;
    let offer_id = text(&shop.create().await.2, "offerId");
    let (status, _, refused) = shop.publish(&offer_id).await;
    assert_eq!((status, &refused["errors"][0]["parameters"][0]["value"]), (400, &json!("/product/imageUrls/0")));
    assert_eq!(shop.practice.summary()["creates"], json!({}));
    shop.practice.set_switch(SHOP, serde_json::from_value(json!({ "restricted": "writes" })).unwrap());
    assert_eq!((shop.put(item()).await, shop.create().await.1), (403, 1100));
    assert_eq!(shop.ask(Method::GET, &format!("/offer/{offer_id}"), None).await.0, 200);
}

#[tokio::test]
async fn prices_and_stocks_change_by_25_at_most_and_each_fares_by_itself() {
    let shop = Shop::new().await;
    shop.put(item()).await;
    let offer_id = text(&shop.create().await.2, "offerId");
    shop.publish(&offer_id).await;
    let change = json!({
        "sku": SKU, "shipToLocationAvailability": { "quantity": 3 },
        "offers": [{ "offerId": offer_id, "availableQuantity": 3, "price": { "value": "29.9", "currency": "USD" } }],
    });
    let other = json!({ "sku": "none", "shipToLocationAvailability": { "quantity": 3 } });
    let update = async |requests: Vec<Value>| {
        let (status, _, body) = shop.ask(Method::POST, "/bulk_update_price_quantity", Some(json!({ "requests": requests }))).await;
        (status, list(&body, "responses").iter().map(|answer| answer["statusCode"].as_i64().unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(update(vec![change.clone(), other.clone()]).await, (200, vec![200, 404]));
    let after = shop.practice.offers(SHOP)[0].body.clone();
    assert_eq!((&after["pricingSummary"]["price"]["value"], &after["availableQuantity"]), (&json!("29.9"), &json!(3)));
    assert_eq!(update(vec![other; 26]).await.0, 400);
    for _ in 1..10 {
        assert_eq!(update(vec![change.clone(); 25]).await.0, 200);
    }
    assert_eq!(update(vec![change.clone(); 25]).await.1.iter().filter(|status| **status == 200).count(), 24, "250 on a day");
}

#[tokio::test]
async fn a_day_has_two_million_calls_and_trouble_comes_in_ebays_words() {
    let mut shop = Shop::new().await;
    let body = json!({ "day": 2_000_000 }).to_string();
    client().put(format!("{}/sandbox/calls/{SHOP}", shop.practice.endpoint())).body(body).send().await.unwrap();
    assert_eq!(shop.create().await.1, 2001);
    // Midnight UTC.
    shop.clock.fetch_add(24 * HOUR, Ordering::SeqCst);
    shop.access = login(&shop.practice).await;
    assert_eq!(shop.put(item()).await, 201);
    shop.practice.inject(Fault { route: "/sell/inventory/v1/offer", times: 1, kind: FaultKind::Status(500) });
    let (status, error, body) = shop.create().await;
    assert_eq!((status, error, &body["errors"][0]["category"]), (500, 25_001, &json!("APPLICATION")));
    shop.practice.plan(&"create_offer:drop+x1".parse().unwrap());
    let url = format!("{}/sell/inventory/v1/offer", shop.practice.endpoint());
    let lost = client().post(url).bearer_auth(&shop.access).header("content-language", "en-US").json(&offer("EBAY_US")).send().await;
    assert!(lost.is_err());
    assert_eq!(shop.practice.offers(SHOP).len(), 1, "it was made all the same");
    let entry = shop.practice.ledger().pop().unwrap();
    assert_eq!((entry.account.as_str(), entry.write, entry.status), (SHOP, true, 201));
}
