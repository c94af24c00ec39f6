//! BASE's tokens, its limits, and all that changes a shop.
use std::collections::HashMap;

use serde_json::{Value, json};

use crate::bench::*;

const CALLBACK: &str = "https://shop.example/cb";

/// Where BASE's login page leads: the query of the callback.
async fn login(bench: &Bench, more: &[(&str, &str)]) -> (u16, HashMap<String, String>) {
    let mut query = vec![("response_type", "code"), ("client_id", "cid1"), ("redirect_uri", CALLBACK), ("state", "a b&c")];
    query.extend_from_slice(more);
    let answer = client().get(bench.url("/1/oauth/authorize")).query(&query).send().await.unwrap();
    let status = answer.status().as_u16();
    let Some(to) = answer.headers().get("location") else { return (status, HashMap::new()) };
    let to = reqwest::Url::parse(to.to_str().unwrap()).unwrap();
    assert!(to.as_str().starts_with(CALLBACK));
    (status, to.query_pairs().into_owned().collect())
}

#[tokio::test]
async fn a_person_lets_an_application_in_and_its_code_works_once_and_for_an_hour() {
    let bench = Bench::new().await;
    let (status, to) = login(&bench, &[("scope", "read_users read_items write_items")]).await;
    assert_eq!((status, to["state"].as_str(), to["code"].len()), (302, "a b&c", 32));
    let (access, refresh) = bench.tokens("authorization_code", "code", &to["code"]).await.unwrap();
    let me = ask(&bench.practice, &json!({ "method": "GET", "path": "/1/users/me", "bearer": access })).await;
    assert_eq!(me.1["user"]["shop_id"], SHOP);
    assert!(bench.tokens("refresh_token", "refresh_token", &refresh).await.is_ok());
    assert_eq!(bench.tokens("authorization_code", "code", &to["code"]).await.unwrap_err(), "不正な認可コードです。", "once");

    let (_, to) = login(&bench, &[("shop", "base_account_ro")]).await;
    bench.advance(HOUR);
    assert_eq!(bench.tokens("authorization_code", "code", &to["code"]).await.unwrap_err(), "認可コードの有効期限が切れています。");

    let (status, to) = login(&bench, &[("deny", "1")]).await;
    assert_eq!((status, to["error"].as_str(), to["state"].as_str(), to.get("code")), (302, "access_denied", "a b&c", None));
    assert_eq!(login(&bench, &[("scope", "everything")]).await.0, 400);
}

#[tokio::test]
async fn who_sits_before_the_login_page_can_be_set() {
    let bench = Bench::new().await;
    bench.tell("PUT", "/visitor", json!({ "account": "base_account_ro" })).await;
    let (_, to) = login(&bench, &[]).await;
    let (access, _) = bench.tokens("authorization_code", "code", &to["code"]).await.unwrap();
    let read = async |path: &str| ask(&bench.practice, &json!({ "method": "GET", "path": path, "bearer": access })).await.1;
    assert_eq!(read("/1/users/me").await["user"]["shop_id"], "base_account_ro");
    assert_eq!(read("/1/items").await["error"], "invalid_scope", "without a scope it is read_users");
}

#[tokio::test]
async fn a_refresh_token_rotates_and_the_old_one_has_as_much_grace_as_is_set() {
    let bench = Bench::new().await;
    let refresh = async |token: &str| bench.tokens("refresh_token", "refresh_token", token).await;
    let (access, second) = refresh(REFRESH).await.unwrap();
    assert_eq!(refresh(REFRESH).await.unwrap_err(), "不正なリフレッシュトークンです。", "no grace");
    assert_eq!(bench.get("/1/users/me").await.0, 200, "the access token before it goes on until it ends");
    assert_eq!(ask(&bench.practice, &json!({ "method": "GET", "path": "/1/users/me", "bearer": access })).await.0, 200);

    bench.tell("PATCH", &format!("/accounts/{SHOP}"), json!({ "grace_s": 5 })).await;
    let (_, third) = refresh(&second).await.unwrap();
    bench.advance(4_999);
    let (_, fourth) = refresh(&second).await.unwrap();
    bench.advance(1);
    assert_eq!(
        refresh(&second).await.unwrap_err(),
        "不正なリフレッシュトークンです。",
        "the grace is over, and using it did not make it longer"
    );
    assert!(refresh(&third).await.is_ok() && refresh(&fourth).await.is_ok());
}

#[tokio::test]
async fn a_client_may_be_named_in_the_header() {
    let bench = Bench::new().await;
    let ask = async |id: &str, secret: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", REFRESH), ("redirect_uri", CALLBACK)];
        let request = client().post(bench.url("/1/oauth/token")).basic_auth(id, Some(secret)).form(&form);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("cid1", "wrong").await, 400);
    assert_eq!(ask("cid1", "csec1").await, 200);
}

#[tokio::test]
async fn items_come_and_go_and_the_newest_is_listed_first() {
    let bench = Bench::new().await;
    let add = async |title: &str, identifier: &str| {
        let form = json!({ "title": title, "price": "3300", "stock": "2", "identifier": identifier });
        let (status, body) = bench.post("/1/items/add", form).await;
        assert_eq!(status, 200, "{body}");
        body["item"]["item_id"].as_i64().unwrap()
    };
    let (first, second) = (add("水筒", "B0TEST0002").await, add("傘", "B0TEST0003").await);
    let ids = async |query: &str| {
        let (_, body) = bench.get(&format!("/1/items?{query}")).await;
        list(&body, "items").iter().map(|item| item["item_id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids("order=created&sort=desc").await, [second, first, ITEM]);
    assert_eq!(ids("order=created&sort=desc&limit=1&offset=1").await, [first]);
    assert_eq!(ids("").await, [ITEM, first, second]);
    assert_eq!(bench.post("/1/items/edit_stock", json!({ "item_id": first.to_string(), "stock": "7" })).await.1["item"]["stock"], 7);
    assert_eq!(bench.post("/1/items/delete", json!({ "item_id": second.to_string() })).await.1, json!({ "result": true }));
    assert_eq!(bench.get(&format!("/1/items/detail/{second}")).await.1["error"], "no_item");
    assert!(add("帽子", "B0TEST0004").await > second, "no number is given out twice");
    bench.practice.remove_item(first);
    assert_eq!(bench.refused("/1/items/edit", json!({ "item_id": first.to_string(), "price": "1" })).await, "bad_item_id", "gone by hand");
}

#[tokio::test]
async fn what_base_does_not_take_is_refused_and_changes_nothing() {
    let bench = Bench::new().await;
    let before = bench.practice.items(SHOP);
    let new = |changes: Value| {
        let mut form = json!({ "title": "傘", "price": "3300", "stock": "1" });
        form.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        form
    };
    for (path, form, error) in [
        ("/1/items/add", new(json!({ "title": "傘☂️😀" })), "validation_error"),
        ("/1/items/add", new(json!({ "identifier": "B0 TEST" })), "validation_error"),
        ("/1/items/add", new(json!({ "stock": "" })), "validation_error"),
        ("/1/items/add", new(json!({ "price": "-1" })), "validation_error"),
        ("/1/items/edit", json!({ "item_id": "501", "detail": "😀" }), "validation_error"),
        ("/1/items/edit", json!({ "item_id": "501", "visible": "2" }), "validation_error"),
        ("/1/items/edit_stock", json!({ "item_id": "501" }), "bad_params"),
        ("/1/items/edit_stock", json!({ "item_id": "501", "variation_id": "1", "variation_stock": "1" }), "bad_variation_id"),
        ("/1/items/add_image", json!({ "item_id": "501", "image_no": "0", "image_url": "https://img.example/1.jpg" }), "bad_params"),
        ("/1/items/add_image", json!({ "item_id": "501", "image_no": "1", "image_url": "img" }), "no_image"),
        ("/1/items/delete_image", json!({ "item_id": "501", "image_no": "1" }), "no_image"),
        ("/1/items/delete", json!({ "item_id": "502" }), "bad_item_id"),
    ] {
        assert_eq!(bench.refused(path, form.clone()).await, error, "{path} {form}");
    }
    assert_eq!(bench.practice.items(SHOP), before);
    assert_eq!(bench.practice.summary()["writes"], 0);
}

#[tokio::test]
async fn images_are_kept_by_number_and_shown_in_their_first_size_only() {
    let bench = Bench::new().await;
    let form = |number: &str| json!({ "item_id": "501", "image_no": number, "image_url": format!("https://img.example/{number}.jpg") });
    bench.post("/1/items/add_image", form("1")).await;
    let item = bench.post("/1/items/add_image", form("20")).await.1["item"].clone();
    assert_eq!(item["img20_origin"], "https://img.example/20.jpg");
    assert_eq!((&item["img1_640"], item.get("img21_origin")), (&Value::Null, None), "the batch that makes it has not come");
    let page = bench.get("/1/items?max_image_no=1&image_size=origin,300").await.1["items"][0].clone();
    assert_eq!((&page["img1_origin"], &page["img1_300"]), (&json!("https://img.example/1.jpg"), &Value::Null));
    bench.post("/1/items/delete_image", json!({ "item_id": "501", "image_no": "1" })).await;
    assert_eq!(bench.get("/1/items/detail/501").await.1["item"]["img1_origin"], Value::Null);
}

#[tokio::test]
async fn the_search_finds_a_new_item_within_an_hour_and_not_at_once() {
    let bench = Bench::new().await;
    bench.post("/1/items/add", json!({ "title": "青い 傘", "price": "3300", "stock": "1" })).await;
    let found = async || list(&bench.get("/1/items/search?q=傘").await.1, "items").len();
    assert_eq!(found().await, 0);
    bench.advance(HOUR - 60_000);
    let access = bench.tokens("refresh_token", "refresh_token", REFRESH).await.unwrap().0;
    bench.advance(60_000);
    let (_, body) = ask(&bench.practice, &json!({ "method": "GET", "path": "/1/items/search?q=傘 青い", "bearer": access })).await;
    assert_eq!(list(&body, "items").len(), 1);
}

#[tokio::test]
async fn a_thousand_items_a_day_may_be_added_and_the_day_is_japans() {
    let bench = Bench::new().await;
    let add = async || {
        let (status, body) = bench.post("/1/items/add", json!({ "title": "傘", "price": "3300", "stock": "1" })).await;
        (status, text(&body, "error"))
    };
    bench.tell("PUT", &format!("/calls/{SHOP}"), json!({ "adds": 999 })).await;
    assert_eq!(add().await.0, 200);
    assert_eq!(add().await, (400, "exceed_daily_limit".to_owned()));
    assert_eq!(bench.look(&format!("/calls/{SHOP}")).await, json!({ "hour": 2, "day": 2, "adds": 1000 }), "a refused one counts as a call");
    // It is nine in the morning there; the date changes fifteen hours later.
    bench.advance(15 * HOUR - 1);
    let (access, _) = bench.tokens("refresh_token", "refresh_token", REFRESH).await.unwrap();
    let add = async || {
        let form = json!({ "title": "傘", "price": "3300", "stock": "1" });
        ask(&bench.practice, &json!({ "method": "POST", "path": "/1/items/add", "bearer": access, "form": form })).await.0
    };
    assert_eq!(add().await, 400);
    bench.advance(1);
    assert_eq!(add().await, 200);
}

#[tokio::test]
async fn a_restricted_shop_may_read_or_not_even_that_and_other_shops_go_on() {
    let bench = Bench::new().await;
    let edit = json!({ "item_id": "501", "price": "2000" });
    bench.tell("PATCH", &format!("/accounts/{SHOP}"), json!({ "restricted": "writes" })).await;
    assert_eq!(bench.refused("/1/items/edit", edit.clone()).await, "access_denied");
    assert_eq!(bench.get("/1/items").await.0, 200);
    bench.tell("PATCH", &format!("/accounts/{SHOP}"), json!({ "restricted": "all" })).await;
    assert_eq!(bench.get("/1/items").await.1["error"], "access_denied");
    let other = json!({ "method": "GET", "path": "/1/items", "bearer": "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1" });
    assert_eq!(ask(&bench.practice, &other).await.0, 200);
    assert!(bench.tokens("refresh_token", "refresh_token", REFRESH).await.is_ok(), "its tokens work");
    bench.tell("PATCH", &format!("/accounts/{SHOP}"), json!({ "restricted": "no" })).await;
    assert_eq!(bench.post("/1/items/edit", edit).await.0, 200);
}
