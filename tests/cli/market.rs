//! The practice marketplace in this process, and the real binary in a folder whose tasks.yaml names it: no `--sandbox`, so keys, tokens and the clock
//! are as in earnest.
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
    sync::Arc,
};

use jiff::Timestamp;
use taskrun::sandbox::{self, SandboxOptions, World, seed};

use crate::shop::{Done, Shop};

const TOKEN: &str = "/1/oauth/token";

/// A marketplace and who calls it.
pub(crate) struct Market {
    pub(crate) shop: Shop,
    pub(crate) sandbox: sandbox::Running,
    /// The environment: the secrets that tasks.yaml names.
    env: Vec<(&'static str, String)>,
    _runtime: tokio::runtime::Runtime,
}

#[expect(clippy::disallowed_methods, reason = "the marketplace goes by the same clock as the program")]
fn now() -> Timestamp {
    Timestamp::now()
}

impl Market {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With another world than the practice one.
    pub(crate) fn with(change: impl FnOnce(&mut World)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shop = Shop::new("tasks: {}");
        let mut world = World::practice(20, now().as_millisecond());
        change(&mut world);
        let options = SandboxOptions {
            dir: shop.file("market"),
            listen: "127.0.0.1:0".parse().unwrap(),
            items: 20,
            now: Arc::new(|| now().as_millisecond()),
        };
        let sandbox = runtime.block_on(sandbox::start_with(options, world.clone())).unwrap();
        let token = |name: &str| world.accounts.iter().find(|account| account.name == name).unwrap().refresh.clone();
        let secret = |at: &str| world.clients.iter().find(|client| format!("{:?}", client.side) == at).unwrap().secret.clone();
        let [first, second] = seed::SHOPS;
        let env = vec![
            ("LWA_SECRET", secret("Amazon")),
            ("BASE_SECRET", secret("Base")),
            ("SELLER", token(seed::SELLER)),
            ("FIRST", token(first)),
            ("SECOND", token(second)),
        ];
        let market = Self { shop, sandbox, env, _runtime: runtime };
        market.write("");
        market
    }

    /// Writes tasks.yaml; `more` stands under the first shop's account.
    pub(crate) fn write(&self, more: &str) {
        let (keys, endpoint) = (sandbox::practice_keys(), self.sandbox.endpoint());
        let [first, second] = seed::SHOPS;
        self.shop.write(&format!(
            "timezone: UTC
marketplaces:
  amazon: {{ region: fe, marketplace_id: A1VC38T7YXB528, client_id: {}, client_secret: \"${{LWA_SECRET}}\", endpoint: \"{endpoint}\", lwa_endpoint: \"{endpoint}\" }}
  base: {{ client_id: {}, client_secret: \"${{BASE_SECRET}}\", redirect_uri: \"{}\", endpoint: \"{endpoint}\" }}
accounts:
  {}: {{ platform: amazon, refresh_token: \"${{SELLER}}\" }}
  {first}: {{ platform: base, refresh_token: \"${{FIRST}}\"{more} }}
  {second}: {{ platform: base, refresh_token: \"${{SECOND}}\" }}
tasks:
  refresh_tokens: {{ handler: refresh_tokens, retries: {{ max: 0 }} }}
  validate_credentials: {{ handler: validate_credentials, retries: {{ max: 0 }} }}
  sync_inventory: {{ handler: sync_inventory, retries: {{ max: 0 }} }}
",
            keys.lwa_client_id,
            keys.base_client_id,
            keys.base_redirect_uri,
            seed::SELLER,
        ));
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value.to_owned()));
    }

    pub(crate) fn command(&self, line: &str) -> std::process::Command {
        let mut command = self.shop.command(line);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, line: &str) -> Done {
        self.run_with(line, "")
    }

    /// Runs a command line that reads this.
    pub(crate) fn run_with(&self, line: &str, stdin: &str) -> Done {
        let mut child = self.command(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        Done::of(child.wait_with_output().unwrap())
    }

    /// The answers to refreshes and logins at BASE, oldest first.
    pub(crate) fn refreshes(&self) -> Vec<(String, u16)> {
        let calls = self.sandbox.ledger().into_iter().filter(|entry| entry.path == TOKEN);
        calls.map(|entry| (entry.account, entry.status)).collect()
    }

    /// Opens a page as a browser would, and says where it was sent.
    pub(crate) fn browse(&self, page: &str) -> String {
        let path = page.trim().strip_prefix(&self.sandbox.endpoint()).unwrap();
        let mut stream = TcpStream::connect(self.sandbox.addr).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.sandbox.addr).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
        location.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// What `accounts list` says of the first shop.
    pub(crate) fn listed(&self) -> serde_json::Value {
        self.run("accounts list --json").ends(0).json()[1].clone()
    }
}
