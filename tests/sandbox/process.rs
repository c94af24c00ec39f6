//! `taskrun sandbox` in a process of its own.
use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use taskrun::sandbox::seed;
use tokio::time::Instant;

use crate::bench::*;

/// It must be there sooner; on a machine that is busy with other things, too.
const LIMIT: Duration = Duration::from_secs(20);

struct Process {
    child: Child,
    endpoint: String,
    rest: String,
}

fn command(dir: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskrun"));
    command.args(["sandbox", "--listen", "127.0.0.1:0"]).arg("--dir").arg(dir.join("practice")).args(options).current_dir(dir);
    command
}

impl Process {
    fn start(dir: &Path, options: &[&str]) -> Self {
        let mut child = command(dir, options).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut endpoint = String::new();
        out.read_line(&mut endpoint).unwrap();
        let mut rest = String::new();
        while !rest.contains("base_account_2") {
            assert_ne!(out.read_line(&mut rest).unwrap(), 0, "{rest}");
        }
        // What else it prints is nobody's business, but there must be somebody to take it.
        std::thread::spawn(move || out.read_to_string(&mut String::new()));
        Self { child, endpoint: endpoint.trim().to_owned(), rest }
    }

    async fn hand(&self, method: &str, path: &str, body: Value) -> Value {
        let request = client().request(method.parse().unwrap(), format!("{}/sandbox{path}", self.endpoint)).body(body.to_string());
        request.send().await.unwrap().json().await.unwrap()
    }

    fn end(mut self, signal: Signal) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

fn run(dir: &Path, options: &[&str]) -> Output {
    command(dir, options).output().unwrap()
}

#[tokio::test]
async fn the_real_shops_are_there_at_once_and_the_first_line_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let process = Process::start(dir.path(), &["--items", "10772"]);
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    assert!(process.endpoint.starts_with("http://127.0.0.1:"), "{}", process.endpoint);
    assert!(process.rest.contains("client_id amzn1.application-oa2-client.practice"), "{}", process.rest);
    for (shop, count) in [(seed::SHOPS[0], 9_767), (seed::SHOPS[1], 1_005)] {
        let items = process.hand("GET", &format!("/items?account={shop}"), Value::Null).await;
        assert_eq!(list(&items, "items").len(), count, "{shop}");
    }
    assert_eq!(process.end(Signal::TERM), Some(0));
}

#[tokio::test]
async fn a_killed_marketplace_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let login = async |process: &Process| {
        let keys = taskrun::sandbox::practice_keys();
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", keys.lwa_client_id),
            ("client_secret", keys.lwa_client_secret),
            ("refresh_token", keys.accounts[0].refresh_token),
        ];
        let answer = client().post(format!("{}/auth/o2/token", process.endpoint)).form(&form).send().await.unwrap();
        text(&answer.json::<Value>().await.unwrap(), "access_token")
    };
    let batch = async |process: &Process, token: &str| {
        let request =
            client().post(format!("{}/batches/products/pricing/v0/itemOffers", process.endpoint)).header("x-amz-access-token", token);
        request.json(&json!({ "requests": [offers_of("B000P6Q7MY")] })).send().await.unwrap().status().as_u16()
    };
    let process = Process::start(dir.path(), &["--items", "20"]);
    process.hand("PUT", "/rates/offers", json!({ "rate": 0.001 })).await;
    process.hand("PUT", "/clock", json!({ "advance_ms": HOUR })).await;
    let token = login(&process).await;
    assert_eq!([batch(&process, &token).await, batch(&process, &token).await], [200, 429]);
    let clock = process.hand("GET", "/clock", Value::Null).await["now_ms"].as_i64().unwrap();
    assert_eq!(process.end(Signal::KILL), None);

    let process = Process::start(dir.path(), &["--items", "20"]);
    assert!(process.hand("GET", "/clock", Value::Null).await["now_ms"].as_i64().unwrap() >= clock - 60_000, "the clock was not set back");
    assert_eq!(batch(&process, &token).await, 429, "the bucket is as empty as it was, and the token still good");
    assert_eq!(process.hand("GET", "/ledger/count", Value::Null).await["count"], 4);
    process.end(Signal::TERM);
}

#[tokio::test]
async fn a_fault_plan_of_the_command_line_is_followed_or_explained() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &["--fault", "me:503x1,edit:drop+%2"]);
    assert_eq!(client().get(format!("{}/1/users/me", process.endpoint)).send().await.unwrap().status(), 503);
    let rules = process.hand("GET", "/faults", Value::Null).await["rules"].clone();
    assert_eq!(rules, json!([{ "rule": "me:503x1", "seen": 1, "met": 1 }, { "rule": "edit:drop+%2", "seen": 0, "met": 0 }]));
    process.end(Signal::TERM);

    let refused = run(dir.path(), &["--fault", "offer:429"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("there is no route `offer`") && said.contains("item_offers"), "{said}");
}
