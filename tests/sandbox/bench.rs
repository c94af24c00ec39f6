//! A marketplace with a clock that the test moves, and ways to ask it.
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use serde_json::{Value, json};
use taskrun::sandbox::{self, Account, Client, Item, Running, SandboxOptions, Side, World};

/// Monday 30 March 2026, 09:00 in Tokyo.
pub(crate) const START: i64 = 1_774_828_800_000;
pub(crate) const HOUR: i64 = 3_600_000;

pub(crate) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn list(value: &Value, key: &str) -> Vec<Value> {
    value[key].as_array().cloned().unwrap_or_default()
}

pub(crate) fn world(state: &Value) -> World {
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

pub(crate) fn client() -> reqwest::Client {
    builder().build().unwrap()
}

/// A client that follows no redirect and uses each connection once, so that one spoilt answer does not meet the next request.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    reqwest::Client::builder().no_proxy().tls_certs_only([]).redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0)
}

pub(crate) async fn ask(practice: &Running, request: &Value) -> (u16, Value) {
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
pub(crate) async fn open(dir: &Path, world: World) -> (Running, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(START));
    let now = {
        let clock = Arc::clone(&clock);
        Arc::new(move || clock.load(Ordering::SeqCst))
    };
    let options = SandboxOptions { dir: dir.to_owned(), listen: "127.0.0.1:0".parse().unwrap(), items: 1, now };
    (sandbox::start_with(options, world).await.unwrap(), clock)
}

/// Asks for the offers of these products: the status, whether a rate was told, and the body.
pub(crate) async fn offers(practice: &Running, token: Option<&str>, requests: &[Value]) -> (u16, bool, Value) {
    let mut builder = client().post(format!("{}/batches/products/pricing/v0/itemOffers", practice.endpoint()));
    if let Some(token) = token {
        builder = builder.header("x-amz-access-token", token);
    }
    let answer = builder.json(&json!({ "requests": requests })).send().await.unwrap();
    (answer.status().as_u16(), answer.headers().contains_key("x-amzn-RateLimit-Limit"), answer.json().await.unwrap())
}

pub(crate) fn offers_of(asin: &str) -> Value {
    json!({ "uri": format!("/products/pricing/v0/items/{asin}/offers"), "method": "GET", "MarketplaceId": "A1VC38T7YXB528", "ItemCondition": "New" })
}

/// The shop of BASE's vectors, its access token, its refresh token, and its item.
pub(crate) const SHOP: &str = "base_account_1";
pub(crate) const ACCESS: &str = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
pub(crate) const REFRESH: &str = "b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1";
pub(crate) const ITEM: i64 = 501;
/// Two sellers of Amazon, whose access tokens are `Atza|one` and `Atza|two`.
pub(crate) const SELLERS: [&str; 2] = ["one", "two"];

/// The world of BASE's vectors, and Amazon's sellers.
pub(crate) fn both_sides() -> World {
    let vectors: Value = serde_json::from_str(include_str!("../data/base_vectors.json")).unwrap();
    let mut world = world(&vectors["server_state"]);
    let app = Client { side: Side::Amazon, id: "app".to_owned(), secret: "hush".to_owned(), redirect_uri: String::new(), active: true };
    world.clients.push(app);
    world.accounts.extend(SELLERS.map(|name| Account {
        name: name.to_owned(),
        side: Side::Amazon,
        client: "app".to_owned(),
        scopes: String::new(),
        access: Some(format!("Atza|{name}")),
        refresh: format!("Atzr|{name}"),
    }));
    world
}

/// A marketplace of both sides.
pub(crate) struct Bench {
    pub(crate) practice: Running,
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (practice, clock) = open(dir.path(), both_sides()).await;
        Self { practice, clock, dir }
    }

    /// A new process on the same folder, whose clock begins at START again.
    pub(crate) async fn restart(self) -> Self {
        self.practice.stop().await.unwrap();
        let (practice, clock) = open(self.dir.path(), both_sides()).await;
        Self { practice, clock, dir: self.dir }
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.practice.endpoint())
    }

    /// Reads something of the shop.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        ask(&self.practice, &json!({ "method": "GET", "path": path, "bearer": ACCESS })).await
    }

    /// Changes something in the shop.
    pub(crate) async fn post(&self, path: &str, form: Value) -> (u16, Value) {
        ask(&self.practice, &json!({ "method": "POST", "path": path, "bearer": ACCESS, "form": form })).await
    }

    /// The error of a request that is refused as BASE refuses.
    pub(crate) async fn refused(&self, path: &str, form: Value) -> String {
        let (status, body) = self.post(path, form).await;
        assert_eq!(status, 400, "{body}");
        text(&body, "error")
    }

    /// Asks BASE for tokens: the error, or the new access and refresh token.
    pub(crate) async fn tokens(&self, grant: &str, what: &str, value: &str) -> Result<(String, String), String> {
        let form = json!({ "grant_type": grant, "client_id": "cid1", "client_secret": "csec1", "redirect_uri": "https://shop.example/cb", what: value });
        let (status, body) = ask(&self.practice, &json!({ "method": "POST", "path": "/1/oauth/token", "form": form })).await;
        if status == 200 { Ok((text(&body, "access_token"), text(&body, "refresh_token"))) } else { Err(text(&body, "error_description")) }
    }

    /// Asks Amazon: the status, the rate that is told, and the body.
    pub(crate) async fn amazon(&self, seller: &str, path: &str) -> (u16, Option<String>, Value) {
        let answer = client().get(self.url(path)).header("x-amz-access-token", format!("Atza|{seller}")).send().await.unwrap();
        let rate = answer.headers().get("x-amzn-RateLimit-Limit").map(|rate| rate.to_str().unwrap().to_owned());
        (answer.status().as_u16(), rate, answer.json().await.unwrap())
    }

    /// Asks or tells by hand.
    pub(crate) async fn hand(&self, method: &str, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = client().request(method.parse().unwrap(), self.url(&format!("/sandbox{path}"))).body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Tells by hand what must work.
    pub(crate) async fn tell(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.hand(method, path, body.to_string()).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    pub(crate) async fn look(&self, path: &str) -> Value {
        self.tell("GET", path, Value::Null).await
    }

    pub(crate) fn price(&self) -> i64 {
        self.practice.items(SHOP).iter().find(|item| item.item_id == ITEM).unwrap().price
    }
}
