//! Figures of the inventory sync, with the marketplace in a process of its own: how much of the rate it uses in real time, and how much memory it takes.
//!
//! `cargo build --release && cargo run --release --example sync_figures`. Reported, not asserted: they belong to this machine.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a program that measures and prints")]
use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use taskrun::sandbox::{practice_keys, seed};
use tempfile::TempDir;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Products of the real shops, and of a measurement of sixty batches.
const SHOPS: u32 = 10_772;
const SIXTY_BATCHES: u32 = 1_200;

fn main() -> Outcome<()> {
    let binary = std::env::current_exe()?.ancestors().nth(2).ok_or("no target folder")?.join("taskrun");
    // Ten times the official rate of one call in ten seconds.
    rate(&binary, 1.0)?;
    memory(&binary, 50.0)
}

/// How close the batches come to the rate.
fn rate(binary: &Path, per_second: f64) -> Outcome<()> {
    let shop = Shop::open(binary, SIXTY_BATCHES)?;
    // The first batch learns the rate from the answer's header.
    shop.taskrun(&["once", "sync_inventory", "--set", "max_items=20"])?;
    shop.set_rate(per_second)?;
    shop.taskrun(&["once", "sync_inventory", "--set", "max_items=20"])?;
    let since = shop.batches(0)?.last().map_or(0, |batch| batch.seq);
    shop.taskrun(&["once", "sync_inventory"])?;
    let batches = shop.batches(since)?;
    let (first, last) = (batches.first().ok_or("no batch")?, batches.last().ok_or("no batch")?);
    let took = f64::from(i32::try_from(last.at_ms - first.at_ms)?) / 1000.0;
    let gaps = f64::from(u32::try_from(batches.len())? - 1);
    let refused = batches.iter().filter(|batch| batch.status == 429).count();
    println!(
        "{} batches at {per_second} a second: {took:.1} s of at least {:.1} s, {:.1} % of the rate; {refused} refused with 429",
        batches.len(),
        gaps / per_second,
        100.0 * gaps / per_second / took,
    );
    Ok(())
}

/// How much memory a sync of the real shops' size takes.
fn memory(binary: &Path, per_second: f64) -> Outcome<()> {
    let shop = Shop::open(binary, SHOPS)?;
    shop.taskrun(&["once", "sync_inventory", "--set", "max_items=20"])?;
    shop.set_rate(per_second)?;
    let begun = Instant::now();
    let mut child = shop.command(&["once", "sync_inventory"]).spawn()?;
    let mut peak = 0;
    // Its writes may use up the shop's calls of this hour: then it waits for the next one, and has seen everything by then.
    while child.try_wait()?.is_none() && !shop.waits()? {
        peak = peak.max(peak_kib(child.id()).unwrap_or(0));
        thread::sleep(Duration::from_millis(20));
    }
    println!(
        "a sync of {SHOPS} products in two shops: {} MB of memory at most, {:.1?} at {per_second} batches a second",
        peak / 1024,
        begun.elapsed()
    );
    Ok(())
}

fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

/// A folder with a tasks.yaml, and a marketplace in a process of its own.
struct Shop {
    dir: TempDir,
    binary: PathBuf,
    market: Child,
    address: String,
}

struct Batch {
    seq: i64,
    at_ms: i64,
    status: i64,
}

impl Shop {
    fn open(binary: &Path, items: u32) -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let output = dir.path().join("market.out");
        let market = Command::new(binary)
            .args(["sandbox", "--listen", "127.0.0.1:0", "--items", &items.to_string(), "--dir", "market"])
            .current_dir(dir.path())
            .stdout(fs::File::create(&output)?)
            .stderr(Stdio::null())
            .spawn()?;
        let begun = Instant::now();
        let address = loop {
            let said = fs::read_to_string(&output)?;
            if let Some(address) = said.lines().next().and_then(|line| line.strip_prefix("http://")) {
                break address.to_owned();
            }
            if begun.elapsed() > Duration::from_mins(1) {
                return Err("the marketplace does not open".into());
            }
            thread::sleep(Duration::from_millis(20));
        };
        let shop = Self { dir, binary: binary.to_owned(), market, address };
        shop.move_in(items)?;
        Ok(shop)
    }

    fn move_in(&self, items: u32) -> Outcome<()> {
        let (keys, endpoint) = (practice_keys(), format!("http://{}", self.address));
        self.secret("lwa", keys.lwa_client_secret)?;
        self.secret("base", keys.base_client_secret)?;
        let mut text = format!(
            "log: {{ console: false }}\nmarketplaces:\n  amazon: {{ region: fe, marketplace_id: A1VC38T7YXB528, client_id: {}, client_secret: {{ file: lwa }}, endpoint: \"{endpoint}\", \
             lwa_endpoint: \"{endpoint}\" }}\n  base: {{ client_id: {}, client_secret: {{ file: base }}, redirect_uri: \"{}\", endpoint: \"{endpoint}\" }}\naccounts:\n",
            keys.lwa_client_id, keys.base_client_id, keys.base_redirect_uri
        );
        for account in &keys.accounts {
            self.secret(account.name, account.refresh_token)?;
            writeln!(text, "  {}: {{ platform: {}, refresh_token: {{ file: {} }} }}", account.name, account.platform, account.name)?;
        }
        text.push_str("tasks:\n  sync_inventory: { handler: sync_inventory, with: { max_hide: 100% } }\n");
        fs::write(self.dir.path().join("tasks.yaml"), text)?;
        let mut listings = String::new();
        for item in seed::catalogue(items) {
            let row = json!({ "asin": item.asin, "title": item.title, "account": item.account, "item_id": item.item_id, "sku": item.sku });
            writeln!(listings, "{row}")?;
        }
        fs::write(self.dir.path().join("listings.jsonl"), listings)?;
        self.taskrun(&["products", "import", "listings.jsonl"])
    }

    fn secret(&self, name: &str, text: &str) -> Outcome<()> {
        let path = self.dir.path().join(name);
        fs::write(&path, text)?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(self.dir.path()).env_remove("TASKRUN_CONFIG").stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn taskrun(&self, arguments: &[&str]) -> Outcome<()> {
        let status = self.command(arguments).status()?;
        if status.success() { Ok(()) } else { Err(format!("taskrun {} ended with {status}", arguments.join(" ")).into()) }
    }

    fn set_rate(&self, per_second: f64) -> Outcome<()> {
        self.ask("PUT", "/sandbox/rates/offers", &json!({ "rate": per_second }).to_string()).map(drop)
    }

    /// The offers batches after a request, oldest first.
    fn batches(&self, after: i64) -> Outcome<Vec<Batch>> {
        let found = self.ask("GET", &format!("/sandbox/ledger?operation=offers&after={after}"), "")?;
        let entries = found.get("entries").and_then(Value::as_array).ok_or("no ledger")?;
        let number = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_i64).unwrap_or_default();
        Ok(entries
            .iter()
            .map(|entry| Batch { seq: number(entry, "seq"), at_ms: number(entry, "at_ms"), status: number(entry, "status") })
            .collect())
    }

    /// Whether the newest run waits for a limit.
    fn waits(&self) -> Outcome<bool> {
        let output = Command::new(&self.binary).args(["history", "--json", "-n", "1"]).current_dir(self.dir.path()).output()?;
        let rows: Value = serde_json::from_slice(&output.stdout)?;
        Ok(matches!(rows.pointer("/0/state").and_then(Value::as_str), Some("backoff" | "waiting")))
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Outcome<Value> {
        let mut stream = TcpStream::connect(&self.address)?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        Ok(serde_json::from_str(body)?)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.market.kill());
        drop(self.market.wait());
    }
}
