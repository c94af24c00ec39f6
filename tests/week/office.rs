//! The office: the shipped tasks.yaml, all of it switched on, a daemon in practice, and what a person does there.
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};
use taskrun::sandbox::{item_of, seed};

use super::harness::{Process, Row, SOON, World, assert_one_answer_each, wait_for};

/// How fast the clock goes in the last round, in which freshly read data have to stay fresh.
const CALM: &str = "--sandbox=300";
/// Each image of a product.
pub(crate) const IMAGES: usize = 3;
/// Each of those that are due at even distances, and this distance in seconds.
const GRIDS: [(&str, i64); 13] = [
    ("upload_tick@base_account_1", 60),
    ("upload_tick@base_account_2", 60),
    ("update_feed@amazon_main", 600),
    ("health_check", 600),
    ("disk_space", 600),
    ("export", 300),
    ("shop_check@base_account_1", 1_200),
    ("sync_inventory", 3 * 3_600),
    ("validate_credentials", 4 * 3_600),
    ("check_items_yahoo", 6 * 3_600),
    ("check_items_mercari", 6 * 3_600),
    ("update_items_yahoo", 12 * 3_600),
    ("refresh_tokens", 24 * 3_600),
];

pub(crate) struct Office {
    pub(crate) world: World,
}

/// The shipped file with everything switched on. Retries' delays are real time and would be hours of practice; two taskruns can't listen at one port.
fn shipped() -> String {
    let text = fs::read_to_string("tasks.yaml").unwrap();
    let (head, tasks) = text.split_once("\ntasks:\n").unwrap();
    let tasks: Vec<_> = tasks.lines().filter(|line| !line.starts_with("    enabled: false")).collect();
    let mut head = head.to_owned();
    for (shipped, here) in [
        ("listen: \"127.0.0.1:9700\"", "listen: \"127.0.0.1:0\""),
        ("console: true", "console: false"),
        ("retries: { delay: 60s,", "retries: { delay: 1s,"),
    ] {
        assert!(head.contains(shipped), "`{shipped}` is not in the shipped file any more");
        head = head.replace(shipped, here);
    }
    format!("{head}\ntasks:\n{}\n", tasks.join("\n"))
}

impl Office {
    /// An office at a marketplace of so many products, which nobody has looked at yet.
    pub(crate) fn open(products: u32) -> Self {
        let world = World::new("tasks: {}");
        world.write_raw(&shipped());
        fs::create_dir(world.path("deploy")).unwrap();
        fs::copy("deploy/publish-rules.yaml", world.path("deploy/publish-rules.yaml")).unwrap();
        let products = products.to_string();
        let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--items", &products, "--dir", "state/practice/marketplace"];
        let mut market = world.start(&arguments);
        wait_for("the marketplace is there", SOON, || market.output().starts_with("http://").then_some(()));
        market.signal(Signal::INT);
        market.wait(SOON);
        Self { world }
    }

    pub(crate) fn start(&self, speed: u32) -> Process {
        let mut daemon = self.world.start(&["run", &format!("--sandbox={speed}")]);
        wait_for("the daemon answers", SOON, || {
            assert!(daemon.ended().is_none(), "the daemon ended:\n{}", daemon.output());
            let (code, text) = self.world.run(&["status", "--sandbox", "--json"]);
            (code == 0 && serde_json::from_str::<Value>(&text).ok()?["pid"] == daemon.pid()).then_some(())
        });
        daemon
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        self.world.must(arguments)
    }

    /// Products, supplies, work for the queue and settings, as a person would bring them.
    pub(crate) fn furnish(&self, products: u32, supplies: u32, uploads: u32) {
        let known = seed::catalogue(products).into_iter().map(|listing| {
            json!({ "asin": listing.asin, "title": listing.title, "account": listing.account, "item_id": listing.item_id, "sku": listing.sku })
        });
        let images: Vec<String> = (1..=IMAGES).map(|number| format!("https://images.example/{number}.jpg")).collect();
        let new = (products..products + uploads).map(|n| {
            let shop = seed::SHOPS[usize::try_from(n % 2).unwrap()];
            json!({ "asin": seed::asin(n), "title": format!("ステンレス水筒 {n}"), "images": images, "account": shop })
        });
        let lines: Vec<String> = known.chain(new).map(|line| line.to_string()).collect();
        fs::write(self.world.path("products.jsonl"), lines.join("\n")).unwrap();
        self.must(&["products", "import", "products.jsonl", "--max-change", "100%", "--sandbox"]);
        // Put up three days ago: some are gone already.
        let put_up = Timestamp::now().as_millisecond() - 3 * 86_400_000;
        let mut rows = "account,sku,source,item,query,max_price,checks_per_day,restock,images\n".to_owned();
        for n in 0..supplies {
            let (source, checks) = (if n % 2 == 0 { "yahoo" } else { "mercari" }, if n % 3 == 0 { 4 } else { 2 });
            // There is nothing to be found for every tenth.
            let query = if n % 10 == 9 { "nothing".to_owned() } else { format!("figure {n}") };
            let item = item_of(put_up, n);
            rows.extend([seed::SELLER.to_owned(), format!(",SKU-{n:04},{source},{item},{query},5000,{checks},1,item-{n}\n")]);
            fs::create_dir_all(self.world.path(&format!("state/practice/files/images/item-{n}"))).unwrap();
            fs::write(self.world.path(&format!("state/practice/files/images/item-{n}/1.jpg")), "picture").unwrap();
        }
        fs::write(self.world.path("supplies.csv"), rows).unwrap();
        self.must(&["supplies", "import", "supplies.csv", "--sandbox"]);
        self.must(&["settings", "set", "CHECK_WORKERS=14", "REGION=fe", "--sandbox"]);
        // What is to be listed can be queued once a sync knows what it costs. The rule offers a few products never. Practice begins in the morning,
        // the marketplace was opened at whatever hour it is: what went in between is more than a brake lets pass.
        self.must(&["once", "sync_inventory", "--set", "max_hide=100%", CALM]);
        self.must(&["queue", "add", "--all-pending", "--limit", "1000", "--sandbox"]);
        assert!(i64::from(uploads) / 2 <= self.count("SELECT count(*) FROM queue WHERE kind = 'upload'"), "too little is queued");
    }

    fn endpoint(&self) -> Option<String> {
        let text = fs::read_to_string(self.practice("marketplace.addr")).ok()?;
        Some(text.strip_prefix("http://")?.to_owned())
    }

    /// Asks the marketplace; a body is for its control door.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        ask(&self.endpoint().expect("a marketplace"), method, path, body)
    }

    pub(crate) fn trouble(&self, plan: &str) {
        self.ask("POST", "/sandbox/faults", plan);
    }

    pub(crate) fn calm(&self) {
        self.ask("DELETE", "/sandbox/faults", "");
    }

    /// The practice time.
    pub(crate) fn now(&self) -> Timestamp {
        self.ask("GET", "/sandbox/clock", "")["now"].as_str().unwrap().parse().unwrap()
    }

    /// Waits until this share of so many practice seconds has passed.
    pub(crate) fn wait_until(&self, begun: Timestamp, seconds: i32, share: f64) {
        let wanted = f64::from(seconds) * share;
        while self.now().duration_since(begun).as_secs_f64() < wanted {
            sleep(Duration::from_millis(250));
        }
    }

    /// Waits until nothing waits in the queue of uploads but what says why.
    pub(crate) fn wait_until_listed(&self, limit: Duration) {
        let open = "SELECT count(*) FROM queue WHERE kind = 'upload' AND (state = 'uploading' OR state = 'pending' AND error_code IS NULL)";
        wait_for("the queue is worked through", limit, || (self.count(open) == 0).then_some(()));
    }

    /// A file or folder of the practice state.
    pub(crate) fn practice(&self, name: &str) -> PathBuf {
        self.world.path("state/practice").join(name)
    }

    pub(crate) fn store(&self) -> rusqlite::Connection {
        open(&self.practice("taskrun.db"))
    }

    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.store().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Each instant at which something was due has one answer.
    #[track_caller]
    pub(crate) fn assert_one_answer_each(&self) {
        for (instance, step) in GRIDS {
            let text = self.must(&["history", instance, "--json", "-n", "1000000", "--sandbox"]);
            let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
            let rows: Vec<Row> = rows.into_iter().rev().map(Row).collect();
            let answers = assert_one_answer_each(&rows, step);
            println!("{instance}: {answers} instants, {} rows", rows.len());
            assert!(answers > 0, "{instance} was never due");
        }
    }

    /// Everything once more, by hand and without trouble.
    pub(crate) fn last_round(&self) {
        for task in ["refresh_tokens", "validate_credentials", "sync_inventory", "upload_tick", "check_items_yahoo", "check_items_mercari"]
        {
            self.once(task);
        }
        for task in ["update_items_yahoo", "update_items_mercari", "update_feed", "delete_old_items", "update_env", "cleanup", "backup"] {
            self.once(task);
        }
        for task in ["watch_runs", "health_check"] {
            println!("{task}: {}", self.once(task));
        }
        // What the rule never offers has no cost, so it is to be listed and can't be queued.
        let found = self.must(&["once", "verify", "--set", "repair=plan", "--set", "ignore=[unqueued]", CALM]);
        assert!(found.contains("all agrees"), "{found}\n{}", self.log("verify"));
    }

    #[track_caller]
    fn once(&self, task: &str) -> String {
        let (code, text) = self.world.run(&["once", task, CALM]);
        assert_eq!(code, 0, "once {task}: {text}\n{}", self.log(task));
        text.trim().to_owned()
    }

    /// The end of a task's log.
    pub(crate) fn log(&self, task: &str) -> String {
        let text = fs::read_to_string(self.practice(&format!("logs/{task}.log"))).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// Opens a store to look into it.
pub(crate) fn open(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

#[track_caller]
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {answer}"));
    assert!(head.starts_with("HTTP/1.1 2") || head.starts_with("HTTP/1.1 404"), "{method} {path}: {answer}");
    serde_json::from_str(body).unwrap_or_default()
}
