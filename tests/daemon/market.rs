//! The practice marketplace in a process of its own, and the tasks.yaml of a shop that sells there.
use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
};

use serde_json::{Value, json};
use taskrun::sandbox::{practice_keys, seed};

use super::harness::{Process, SOON, World, wait_for};

/// A marketplace that outlives whoever trades there.
pub(crate) struct Market {
    _process: Process,
    address: String,
}

impl Market {
    /// Opens one with so many products, in a folder of the world.
    pub(crate) fn open(world: &World, items: u32) -> Self {
        let items = items.to_string();
        let process = world.start(&["sandbox", "--listen", "127.0.0.1:0", "--items", &items, "--dir", "market"]);
        let endpoint = wait_for("the marketplace says where it is", SOON, || process.output().lines().next().map(ToOwned::to_owned));
        let address = endpoint.strip_prefix("http://").expect("an endpoint").to_owned();
        Self { _process: process, address }
    }

    /// The keys, accounts and listings of its shops, and `tasks` beside them.
    pub(crate) fn move_in(&self, world: &World, items: u32, tasks: &str) {
        self.furnish(world, &[], "", tasks);
        let lines: Vec<String> = seed::catalogue(items)
            .into_iter()
            .map(|listing| json!({ "asin": listing.asin, "title": listing.title, "account": listing.account, "item_id": listing.item_id, "sku": listing.sku }).to_string())
            .collect();
        fs::write(world.path("listings.jsonl"), lines.join("\n")).unwrap();
        world.must(&["products", "import", "listings.jsonl"]);
    }

    /// The keys and accounts of its shops, and of more that are opened for it; each BASE account with these `keys`, and `tasks` beside them.
    pub(crate) fn furnish(&self, world: &World, more: &[&str], more_keys: &str, tasks: &str) {
        let keys = practice_keys();
        let secret = |name: &str, value: &str| {
            let path = world.path(name);
            fs::write(&path, value).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        };
        secret("lwa.secret", keys.lwa_client_secret);
        secret("base.secret", keys.base_client_secret);
        let endpoint = format!("http://{}", self.address);
        let mut accounts = String::new();
        for account in &keys.accounts {
            secret(&format!("{}.token", account.name), account.refresh_token);
            let more_keys = if account.platform == "base" { more_keys } else { "" };
            writeln!(
                accounts,
                "  {}: {{ platform: {}, refresh_token: {{ file: {}.token }}{more_keys} }}",
                account.name, account.platform, account.name
            )
            .unwrap();
        }
        for name in more {
            let token = format!("refresh-of-{name}");
            self.ask("PUT", &format!("/sandbox/accounts/{name}"), Some(&json!({ "side": "base", "refresh_token": token })));
            secret(&format!("{name}.token"), &token);
            writeln!(accounts, "  {name}: {{ platform: base, refresh_token: {{ file: {name}.token }}{more_keys} }}").unwrap();
        }
        world.write(&format!(
            "marketplaces:\n  amazon: {{ region: fe, marketplace_id: A1VC38T7YXB528, client_id: {}, client_secret: {{ file: lwa.secret }}, endpoint: \"{endpoint}\", \
             lwa_endpoint: \"{endpoint}\" }}\n  base: {{ client_id: {}, client_secret: {{ file: base.secret }}, redirect_uri: \"{}\", endpoint: \"{endpoint}\" }}\n\
             accounts:\n{accounts}tasks:\n{tasks}",
            keys.lwa_client_id, keys.base_client_id, keys.base_redirect_uri,
        ));
    }

    /// Asks its control door.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.send(method, path, &body.map(ToString::to_string).unwrap_or_default())
    }

    /// Has it go wrong as a plan says, from now on; an empty one ends all trouble.
    pub(crate) fn trouble(&self, plan: &str) {
        self.send("DELETE", "/sandbox/faults", "");
        self.send("POST", "/sandbox/faults", plan);
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        serde_json::from_str(body).unwrap_or_default()
    }

    /// Every request after this one, oldest first.
    pub(crate) fn ledger(&self, mut after: i64) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let mut page = self.ask("GET", &format!("/sandbox/ledger?after={after}"), None);
            let entries = page["entries"].as_array_mut().map(std::mem::take).unwrap_or_default();
            if entries.is_empty() {
                return all;
            }
            after = page["last"].as_i64().unwrap();
            all.extend(entries);
        }
    }

    /// The number of the last request.
    pub(crate) fn last(&self) -> i64 {
        self.ledger(0).last().map_or(0, |entry| entry["seq"].as_i64().unwrap())
    }

    /// How many calls a second of an operation it allows.
    pub(crate) fn set_rate(&self, operation: &str, rate: f64) {
        self.ask("PUT", &format!("/sandbox/rates/{operation}"), Some(&json!({ "rate": rate })));
    }

    /// The items of a shop.
    pub(crate) fn items(&self, shop: &str) -> Vec<Value> {
        self.ask("GET", &format!("/sandbox/items?account={shop}"), None)["items"].as_array().unwrap().clone()
    }

    /// Changes an item as its owner's hand would.
    pub(crate) fn change_item(&self, item_id: i64, change: &Value) {
        self.ask("PATCH", &format!("/sandbox/items/{item_id}"), Some(change));
    }
}
