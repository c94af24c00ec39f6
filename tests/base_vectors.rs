//! The practice marketplace answers as BASE does: the wire vectors of BASE's protocol, as far as it speaks it.
#![cfg(test)]
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use serde_json::Value;
use taskrun::sandbox::{self, Account, Client, Item, Running, SandboxOptions, Side, World};

const START: i64 = 1_774_828_800_000;
const HOUR: i64 = 3_600_000;
/// What is not practised yet.
const LATER: &[&str] = &["/1/items/add", "/1/items/add_image", "/1/items/delete", "/1/items/search"];

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

async fn ask(practice: &Running, request: &Value) -> (u16, Value) {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let method = text(request, "method").parse().unwrap();
    let mut builder = client.request(method, format!("{}{}", practice.endpoint(), text(request, "path")));
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
    for case in cases.iter().filter(|case| !LATER.iter().any(|path| text(&case["request"], "path").split('?').next() == Some(path))) {
        let id = text(case, "id");
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(START));
        let now = {
            let clock = Arc::clone(&clock);
            Arc::new(move || clock.load(Ordering::SeqCst))
        };
        let options = SandboxOptions { dir: dir.path().to_owned(), listen: "127.0.0.1:0".parse().unwrap(), items: 1, now };
        let practice = sandbox::start_with(options, world(&vectors["server_state"])).await.unwrap();
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
    assert_eq!(practised, 16);
}
