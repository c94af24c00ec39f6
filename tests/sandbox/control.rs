//! A marketplace in another process can be asked and told everything over HTTP.
use serde_json::{Value, json};

use crate::bench::*;

#[tokio::test]
async fn the_ledger_is_filtered_and_counted() {
    let bench = Bench::new().await;
    bench.get("/1/items").await;
    bench.advance(1_000);
    bench.post("/1/items/edit", json!({ "item_id": "501", "price": "2480" })).await;
    bench.post("/1/items/edit", json!({ "item_id": "999", "price": "2480" })).await;
    bench.hand("POST", "/faults", "me:500x1").await;
    bench.get("/1/users/me").await;
    let all = bench.look("/ledger").await;
    assert_eq!((list(&all, "entries").len(), &all["last"]), (4, &json!(4)), "who asks for it is not in it");
    let count = async |filter: &str| bench.look(&format!("/ledger/count?{filter}")).await["count"].as_u64().unwrap();
    for (filter, wanted) in [
        ("", 4),
        ("writes=true", 2),
        ("writes=true&status=200", 1),
        ("operation=edit&status=400", 1),
        ("fault=true", 1),
        ("fault=false&writes=false", 1),
        ("after=3", 1),
        ("account=base_account_1", 4),
        ("account=two", 0),
        (&format!("since_ms={}", START + 1), 3),
    ] {
        assert_eq!(count(filter).await, wanted, "{filter}");
    }
    let page = bench.look("/ledger?limit=1&after=1").await;
    assert_eq!((text(&page["entries"][0], "operation"), &page["last"]), ("edit".to_owned(), &json!(2)));
    let (status, wrong) = bench.hand("GET", "/ledger?operation=edits", "").await;
    assert!(status == 400 && text(&wrong, "error").contains("edit_stock"), "{wrong}");
}

#[tokio::test]
async fn the_summary_tells_what_a_test_asks_first() {
    let bench = Bench::new().await;
    let call = async |wait_ms: i64| {
        bench.advance(wait_ms);
        offers(&bench.practice, Some("Atza|one"), &[offers_of("B000P6Q7MY")]).await.0
    };
    assert_eq!([call(0).await, call(10_000).await, call(10_000).await], [200; 3]);
    assert_eq!(call(9_999).await, 429);
    for identifier in ["B1", "B2", "B1"] {
        bench.post("/1/items/add", json!({ "title": "傘", "price": "1000", "stock": "1", "identifier": identifier })).await;
    }
    let summary = bench.look("/summary").await;
    assert_eq!((&summary["requests"], &summary["writes"]), (&json!(7), &json!(3)));
    let calls = list(&summary, "calls").into_iter().find(|calls| calls["operation"] == "offers").unwrap();
    let wanted = json!({
        "account": "one", "operation": "offers", "calls": 4, "ok": 3, "limited": 1, "faulty": 0, "most_in_interval": 2, "interval_ms": 10_000,
        "most_at_once": 1,
    });
    assert_eq!(calls, wanted, "the last call came a millisecond too early");
    assert_eq!(summary["creates"][SHOP], json!({ "adds": 3, "identifiers": 2, "repeated": { "B1": 2 } }));
    assert_eq!(bench.look("/creates").await[SHOP], json!({ "B1": 2, "B2": 1 }));
}

#[tokio::test]
async fn calls_that_are_in_at_once_are_counted() {
    let bench = Bench::new().await;
    bench.hand("POST", "/faults", "token:delay=1s").await;
    let (one, two) =
        tokio::join!(bench.tokens("refresh_token", "refresh_token", REFRESH), bench.tokens("refresh_token", "refresh_token", REFRESH));
    assert!(one.is_ok() != two.is_ok(), "one of them came too late");
    let summary = bench.look("/summary").await;
    let calls = list(&summary, "calls").into_iter().find(|calls| calls["operation"] == "token" && calls["account"] == SHOP).unwrap();
    assert_eq!(calls["most_at_once"], 2);
}

#[tokio::test]
async fn an_item_is_changed_as_by_its_owners_hand() {
    let bench = Bench::new().await;
    assert_eq!(bench.tell("PATCH", "/items/501", json!({ "price": 1, "visible": false })).await["title"], "A");
    let mut item = bench.look("/items/501").await;
    assert_eq!((&item["price"], &item["visible"]), (&json!(1), &json!(false)));
    item["item_id"] = json!(777);
    bench.tell("PUT", "/items/777", item).await;
    let ids: Vec<_> =
        list(&bench.look("/items?account=base_account_1").await, "items").iter().map(|item| item["item_id"].clone()).collect();
    assert_eq!(ids, [json!(501), json!(777)]);
    bench.tell("DELETE", "/items/501", Value::Null).await;
    assert_eq!(bench.refused("/1/items/edit", json!({ "item_id": "501", "price": "2000" })).await, "bad_item_id");
    assert_eq!(bench.hand("DELETE", "/items/501", "").await.0, 404);
    let (status, wrong) = bench.hand("PATCH", "/items/777", json!({ "prize": 1 }).to_string()).await;
    assert!(status == 400 && text(&wrong, "error").contains("prize"), "{wrong}");
    assert_eq!(bench.look("/ledger/count").await["count"], 1, "nothing of this is a request to the shop");
}

#[tokio::test]
async fn offers_are_forced_by_the_dozen_and_outlive_a_restart() {
    let bench = Bench::new().await;
    bench
        .tell("PUT", "/offers", json!({ "B000000001": "no_offer", "B000000002": { "cost": 1984 }, "B000000003": { "item_error": 500 } }))
        .await;
    bench.tell("PUT", "/offers", json!({ "B000000003": null, "B000000004": "filtered" })).await;
    let bench = bench.restart().await;
    assert_eq!(bench.look("/offers").await, json!({ "B000000001": "no_offer", "B000000002": { "cost": 1984 }, "B000000004": "filtered" }));
    let asked: Vec<_> = ["B000000001", "B000000002", "B000000004"].map(offers_of).to_vec();
    let (_, _, body) = offers(&bench.practice, Some("Atza|one"), &asked).await;
    for answer in list(&body, "responses") {
        let said = bench.look(&format!("/offers/{}", text(&answer["request"], "Asin"))).await;
        let offers = list(&answer["body"]["payload"], "Offers");
        match said["availability"].as_str().unwrap() {
            "nothing" => assert!(offers.is_empty()),
            "unfit" => assert!(!offers.is_empty() && offers.iter().all(|offer| offer["IsBuyBoxWinner"] == false)),
            _ => assert_eq!(offers[0]["ListingPrice"]["Amount"], 1984),
        }
    }
    bench.tell("DELETE", "/offers", Value::Null).await;
    assert_eq!(bench.look("/offers").await, json!({}));
    assert_eq!(bench.hand("PUT", "/offers", r#"{"B000000001":"gone"}"#).await.0, 400);
}

#[tokio::test]
async fn the_clock_is_set_forward_and_never_back() {
    let bench = Bench::new().await;
    bench.tell("PUT", "/clock", json!({ "advance_ms": HOUR })).await;
    assert_eq!(bench.look("/clock").await["now"], "2026-03-30T01:00:00Z");
    assert_eq!(bench.get("/1/items").await.0, 400, "the access token has ended");
    bench.tell("PUT", "/clock", json!({ "now": "2026-03-31T00:00:00Z" })).await;
    let back = json!({ "now": "2026-03-30T00:00:00Z" }).to_string();
    assert_eq!(bench.hand("PUT", "/clock", back).await.0, 409);
    let bench = bench.restart().await;
    assert_eq!(bench.look("/clock").await["now"], "2026-03-31T00:00:00Z", "not by a restart either");
    assert_eq!(bench.hand("PUT", "/clock", "{}").await.0, 400);
}

#[tokio::test]
async fn what_is_not_there_says_what_is() {
    let bench = Bench::new().await;
    for (method, path, body, part) in [
        ("GET", "/sumary", "", "GET /sandbox"),
        ("PATCH", "/accounts/nobody", "{}", "nobody"),
        ("PATCH", "/accounts/one", r#"{"restricted":"everything"}"#, "secret"),
        ("PUT", "/rates/edit", r#"{"rate":1}"#, "item_offers"),
        ("PUT", "/rates/offers", r#"{"rate":0}"#, "above 0"),
        ("PUT", "/calls/base_account_1", r#"{"week":1}"#, "adds"),
        ("POST", "/faults", "edit:dorp", "halfclose"),
        ("PUT", "/visitor", "", "JSON"),
    ] {
        let (status, answer) = bench.hand(method, path, body).await;
        assert!((400..500).contains(&status) && text(&answer, "error").contains(part), "{method} {path}: {answer}");
    }
    let help = client().get(bench.url("/sandbox")).send().await.unwrap().text().await.unwrap();
    assert!(help.contains("GET /sandbox/ledger/count"), "{help}");
    assert_eq!(bench.look("/rates").await["item_offers"], json!({ "rate": 0.5, "burst": 1.0 }));
    assert_eq!(
        bench.look("/accounts").await[2],
        json!({ "account": SHOP, "side": "base", "restricted": "no", "participation": "participating", "grace_s": 0 })
    );
}

#[tokio::test]
async fn a_shop_is_opened_by_hand_and_its_ended_tokens_still_say_whose_they_were() {
    let bench = Bench::new().await;
    bench.tell("PUT", "/accounts/third", json!({ "side": "base", "refresh_token": "ccc" })).await;
    let (access, _) = bench.tokens("refresh_token", "refresh_token", "ccc").await.unwrap();
    let add =
        json!({ "method": "POST", "path": "/1/items/add", "bearer": access, "form": { "title": "傘", "price": "1000", "stock": "1" } });
    assert_eq!(ask(&bench.practice, &add).await.0, 200);
    assert_eq!(list(&bench.look("/items?account=third").await, "items").len(), 1);
    assert_eq!(bench.hand("PUT", "/accounts/third", r#"{"side":"yahoo","refresh_token":"x"}"#).await.0, 400);

    assert!(bench.tokens("refresh_token", "refresh_token", "ccc").await.is_err(), "it has rotated");
    bench.tell("PUT", "/accounts/third", json!({ "side": "base", "refresh_token": "ddd" })).await;
    bench.tell("POST", "/accounts/third/revoke", Value::Null).await;
    assert!(bench.tokens("refresh_token", "refresh_token", "ddd").await.is_err());
    bench.tell("POST", "/accounts/third/expire", Value::Null).await;
    assert_eq!(ask(&bench.practice, &add).await.0, 400);
    let callers: Vec<_> = bench.practice.ledger().into_iter().map(|entry| (entry.account, entry.status)).collect();
    let third = |status| ("third".to_owned(), status);
    assert_eq!(callers, [third(200), third(200), third(400), third(400), third(400)]);
}
