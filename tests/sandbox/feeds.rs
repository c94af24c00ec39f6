//! Amazon's feeds and listings from the other side: what a feed goes through, and what one call can change.
use std::io::Read as _;

use serde_json::{Value, json};
use taskrun::sandbox::{FeedFate, SellerListing, control::Switch, seed};

use crate::bench::*;

const TYPE: &str = "application/json; charset=UTF-8";

fn patch(quantity: i64) -> Value {
    json!([{ "op": "replace", "path": "/attributes/fulfillment_availability", "value": [{ "fulfillment_channel_code": "DEFAULT", "quantity": quantity }] }])
}

fn feed_of(seller: &str, messages: &[Value]) -> Value {
    json!({ "header": { "sellerId": seller, "version": "2.0", "issueLocale": "ja_JP" }, "messages": messages })
}

fn message(id: usize, sku: &str, quantity: i64) -> Value {
    json!({ "messageId": id, "sku": sku, "operationType": "PATCH", "productType": "PRODUCT", "patches": patch(quantity) })
}

async fn send(bench: &Bench, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = client().request(method.parse().unwrap(), bench.url(path)).header("x-amz-access-token", "Atza|one").json(body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn announce(bench: &Bench) -> (String, String) {
    let (status, document) = send(bench, "POST", "/feeds/2021-06-30/documents", &json!({ "contentType": TYPE })).await;
    assert_eq!(status, 201);
    (text(&document, "feedDocumentId"), text(&document, "url"))
}

async fn upload(url: &str, kind: &str, feed: &Value) -> u16 {
    client().put(url).header("content-type", kind).body(feed.to_string()).send().await.unwrap().status().as_u16()
}

async fn hand_in(bench: &Bench, feed: &Value) -> (u16, String) {
    let (document, url) = announce(bench).await;
    assert_eq!(upload(&url, TYPE, feed).await, 200);
    let body = json!({ "feedType": "JSON_LISTINGS_FEED", "marketplaceIds": ["A1VC38T7YXB528"], "inputFeedDocumentId": document });
    let (status, answer) = send(bench, "POST", "/feeds/2021-06-30/feeds", &body).await;
    (status, text(&answer, "feedId"))
}

async fn status(bench: &Bench, feed: &str) -> Value {
    bench.amazon("one", &format!("/feeds/2021-06-30/feeds/{feed}")).await.2
}

#[tokio::test]
async fn a_feed_is_worked_on_for_a_while_and_says_what_was_wrong_with_each_message() {
    let bench = Bench::new().await;
    let me = seed::seller_id("one");
    bench.practice.put_seller_listing("one", &SellerListing { sku: "BAD".to_owned(), quantity: 3, state: "invalid".to_owned() });
    let messages =
        [message(1, "A", 0), message(2, "BAD", 0), message(3, "B", 7), json!({ "messageId": 4, "sku": "C", "operationType": "DELETE" })];
    let (code, feed) = hand_in(&bench, &feed_of(&me, &messages)).await;
    assert_eq!(code, 202);
    assert_eq!(status(&bench, &feed).await["processingStatus"], "IN_QUEUE");
    bench.advance(15_000);
    assert_eq!(status(&bench, &feed).await["processingStatus"], "IN_PROGRESS");
    assert!(bench.practice.seller_listings("one").iter().all(|listing| listing.sku == "BAD"), "nothing is changed yet");
    bench.advance(40_000);
    let done = status(&bench, &feed).await;
    assert_eq!(done["processingStatus"], "DONE");
    let (_, _, document) = bench.amazon("one", &format!("/feeds/2021-06-30/documents/{}", text(&done, "resultFeedDocumentId"))).await;
    assert_eq!(document["compressionAlgorithm"], "GZIP");
    let packed = client().get(text(&document, "url")).send().await.unwrap().bytes().await.unwrap();
    let mut report = String::new();
    flate2::read::GzDecoder::new(&*packed).read_to_string(&mut report).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["summary"]["messagesInvalid"], 1);
    assert_eq!((&report["issues"][0]["messageId"], &report["issues"][0]["sku"]), (&json!(2), &json!("BAD")));
    let listings: Vec<_> = bench.practice.seller_listings("one").into_iter().map(|it| (it.sku, it.quantity, it.state)).collect();
    let listing = |sku: &str, quantity, state: &str| (sku.to_owned(), quantity, state.to_owned());
    assert_eq!(listings, [listing("A", 0, "live"), listing("B", 7, "live"), listing("BAD", 3, "invalid"), listing("C", 0, "gone")]);
    let (_, _, feeds) = bench.amazon("one", "/feeds/2021-06-30/feeds?feedTypes=JSON_LISTINGS_FEED&createdSince=2026-03-30T00:00:00Z").await;
    assert_eq!(list(&feeds, "feeds").len(), 1);
    let (_, _, feeds) = bench.amazon("one", "/feeds/2021-06-30/feeds?feedTypes=JSON_LISTINGS_FEED&createdSince=2026-03-30T00:00:01Z").await;
    assert_eq!(list(&feeds, "feeds").len(), 0);
}

#[tokio::test]
async fn an_upload_wants_its_exact_type_no_login_and_no_delay() {
    let bench = Bench::new().await;
    let (_, url) = announce(&bench).await;
    let feed = feed_of(&seed::seller_id("one"), &[message(1, "A", 0)]);
    assert_eq!(upload(&url, "application/json", &feed).await, 403);
    let with_login =
        client().put(&url).header("content-type", TYPE).header("x-amz-access-token", "Atza|one").body("{}").send().await.unwrap();
    assert_eq!(with_login.status().as_u16(), 400);
    bench.advance(299_999);
    assert_eq!(upload(&url, TYPE, &feed).await, 200);
    bench.advance(1);
    assert_eq!(upload(&url, TYPE, &feed).await, 403, "five minutes");
}

#[tokio::test]
async fn five_feeds_in_five_minutes_and_no_more() {
    let bench = Bench::new().await;
    let feed = feed_of(&seed::seller_id("one"), &[message(1, "A", 0)]);
    for _ in 0..5 {
        assert_eq!(hand_in(&bench, &feed).await.0, 202);
    }
    assert_eq!(hand_in(&bench, &feed).await.0, 429);
    bench.advance(300_000);
    assert_eq!(hand_in(&bench, &feed).await.0, 202);
}

#[tokio::test]
async fn a_feed_may_end_badly_and_changes_nothing_then() {
    let bench = Bench::new().await;
    for (fate, word) in [(FeedFate::Fatal, "FATAL"), (FeedFate::Cancelled, "CANCELLED"), (FeedFate::Done, "DONE")] {
        bench.practice.set_switch("one", Switch { next_feed: Some(fate), ..Switch::default() });
        let (_, feed) = hand_in(&bench, &feed_of(&seed::seller_id("one"), &[message(1, "A", 5)])).await;
        bench.advance(60_000);
        assert_eq!(status(&bench, &feed).await["processingStatus"], word);
        assert_eq!(bench.practice.seller_listings("one").len(), usize::from(fate == FeedFate::Done));
    }
    let (_, feed) = hand_in(&bench, &feed_of("A0SOMEBODYELSE", &[message(1, "A", 5)])).await;
    bench.advance(60_000);
    assert_eq!(status(&bench, &feed).await["processingStatus"], "FATAL", "another seller's number");
}

#[tokio::test]
async fn one_listing_is_changed_by_one_call_and_a_fault_comes_with_200() {
    let bench = Bench::new().await;
    let path =
        |sku: &str, more: &str| format!("/listings/2021-08-01/items/{}/{sku}?marketplaceIds=A1VC38T7YXB528{more}", seed::seller_id("one"));
    let change = |quantity| json!({ "productType": "PRODUCT", "patches": patch(quantity) });
    let quantity = async |sku: &str| bench.amazon("one", &path(sku, "")).await.2["fulfillmentAvailability"][0]["quantity"].clone();
    let (code, answer) = send(&bench, "PATCH", &path("A", "&mode=VALIDATION_PREVIEW"), &change(4)).await;
    assert_eq!((code, text(&answer, "status").as_str()), (200, "VALID"));
    assert_eq!(quantity("A").await, 1, "a preview changes nothing");
    let (code, answer) = send(&bench, "PATCH", &path("A", ""), &change(4)).await;
    assert_eq!((code, text(&answer, "status").as_str()), (200, "ACCEPTED"));
    assert_eq!(quantity("A").await, 4);
    let (code, answer) = send(&bench, "PATCH", &path("A", ""), &change(-1)).await;
    assert_eq!((code, text(&answer, "status").as_str()), (200, "INVALID"));
    assert_eq!(answer["issues"][0]["severity"], "ERROR");
    assert_eq!(send(&bench, "DELETE", &path("A", ""), &Value::Null).await.1["status"], "ACCEPTED");
    bench.advance(1_000);
    assert_eq!(send(&bench, "PATCH", &path("A", ""), &change(4)).await.0, 404);
    let foreign = "/listings/2021-08-01/items/A0SOMEBODYELSE/A?marketplaceIds=A1VC38T7YXB528";
    assert_eq!(send(&bench, "PATCH", foreign, &change(4)).await.0, 403);
    let writes = bench.look("/ledger/count?writes=true").await;
    assert_eq!(writes["count"], 5, "a preview is no write");
}
