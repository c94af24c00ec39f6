//! Every trouble of a fault plan: what a client sees of it, what was done, and what the ledger says.
use std::time::Duration;

use serde_json::{Value, json};
use taskrun::sandbox::{Fault, FaultKind};
use tokio::{task::JoinSet, time::Instant};

use crate::bench::*;

const EDIT: &str = "/1/items/edit";
/// No answer that comes at all takes as long as this.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any client should be ready to read.
const ENOUGH: usize = 12 << 20;

/// What a client sees.
#[derive(Debug)]
enum Seen {
    /// A whole answer: status, headers, body.
    Answer(u16, reqwest::header::HeaderMap, String),
    /// An answer that broke off after so many bytes.
    Broken(usize),
    /// An answer that was still going on after `ENOUGH` bytes.
    TooMuch,
    /// Headers, and not all of the body in time.
    Stuck(usize),
    /// The connection ended without an answer.
    Nothing,
    /// No answer in time.
    Silence,
}

impl Bench {
    /// Sends an edit of the price and sees what comes.
    async fn edit(&self, price: i64) -> Seen {
        let form = [("item_id", "501".to_owned()), ("price", price.to_string())];
        let sent = client().post(self.url(EDIT)).bearer_auth(ACCESS).form(&form).send();
        let mut answer = match tokio::time::timeout(PATIENCE, sent).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Seen::Nothing,
            Err(_) => return Seen::Silence,
        };
        let (status, headers, mut body) = (answer.status().as_u16(), answer.headers().clone(), Vec::new());
        let end = Instant::now() + PATIENCE * 4;
        while body.len() < ENOUGH && Instant::now() < end {
            match tokio::time::timeout(PATIENCE, answer.chunk()).await {
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Ok(None)) => return Seen::Answer(status, headers, String::from_utf8_lossy(&body).into_owned()),
                Ok(Err(_)) => return Seen::Broken(body.len()),
                Err(_) => return Seen::Stuck(body.len()),
            }
        }
        Seen::TooMuch
    }
}

/// An answer of this status whose body has this in it.
fn says(seen: &Seen, status: u16, part: &str) -> bool {
    matches!(seen, Seen::Answer(code, _, body) if *code == status && body.contains(part))
}

fn header(seen: &Seen, name: &str) -> String {
    match seen {
        Seen::Answer(_, headers, _) => headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(" and "),
        _ => String::new(),
    }
}

/// One row: a kind, whether the edit is done, and what the client must see.
type Row = (&'static str, bool, fn(&Seen) -> bool);

const ROWS: &[Row] = &[
    ("500", false, |seen| says(seen, 500, "server_error")),
    ("502", false, |seen| says(seen, 502, "server_error")),
    ("503=7", false, |seen| says(seen, 503, "server_error") && header(seen, "retry-after") == "7"),
    ("500+", true, |seen| says(seen, 500, "server_error")),
    ("429", false, |seen| says(seen, 400, "hour_api_limit") && header(seen, "retry-after").is_empty()),
    ("429=30", false, |seen| header(seen, "retry-after") == "30"),
    ("429=date", false, |seen| header(seen, "retry-after") == "Mon, 30 Mar 2026 00:01:00 GMT"),
    ("429=absurd", false, |seen| header(seen, "retry-after") == "31536000000"),
    ("429=garbage", false, |seen| header(seen, "retry-after") == "soon"),
    ("html", false, |seen| says(seen, 502, "<html>") && header(seen, "content-type").starts_with("text/html")),
    ("page", false, |seen| says(seen, 200, "<html>")),
    ("page+", true, |seen| says(seen, 200, "<html>")),
    ("empty", false, |seen| matches!(seen, Seen::Answer(200, _, body) if body.is_empty())),
    ("error200", false, |seen| says(seen, 200, "server_error")),
    ("drop", false, |seen| matches!(seen, Seen::Nothing)),
    ("drop+", true, |seen| matches!(seen, Seen::Nothing)),
    ("hang", false, |seen| matches!(seen, Seen::Silence)),
    ("hang+", true, |seen| matches!(seen, Seen::Silence)),
    ("redirect=host", false, |seen| header(seen, "location") == "http://elsewhere.practice.invalid/"),
    ("redirect=file", false, |seen| header(seen, "location") == "file:///etc/passwd"),
    ("redirect=metadata", false, |seen| header(seen, "location").starts_with("http://169.254.169.254/")),
    ("redirect=9", false, |seen| header(seen, "location") == "http://127.0.0.1:9/" && says(seen, 302, "")),
    ("endless", false, |seen| matches!(seen, Seen::TooMuch)),
    ("huge", false, |seen| matches!(seen, Seen::TooMuch)),
    ("bomb", false, |seen| matches!(seen, Seen::TooMuch)),
    ("deep", false, |seen| says(seen, 200, "]]]]") && !is_json(seen)),
    ("delay=300ms", true, |seen| says(seen, 200, "\"price\":") && is_json(seen)),
    ("slow=1ms", true, |seen| says(seen, 200, "\"price\":") && is_json(seen)),
    ("cut", true, |seen| matches!(seen, Seen::Broken(1..))),
    ("halfclose", true, |seen| matches!(seen, Seen::Broken(1..))),
    ("reset", true, |seen| matches!(seen, Seen::Broken(1..))),
    ("short", true, |seen| says(seen, 200, "{\"item\":") && !is_json(seen)),
    ("long", true, |seen| matches!(seen, Seen::Stuck(1..))),
    ("mistyped", true, |seen| says(seen, 200, "\"price\":\"about ") && is_json(seen)),
    ("twice", true, |seen| header(seen, "content-type").contains(" and text/html") && header(seen, "retry-after") == "1 and 7200"),
];

fn is_json(seen: &Seen) -> bool {
    matches!(seen, Seen::Answer(_, _, body) if serde_json::from_str::<Value>(body).is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_seen_as_it_is_named_and_done_or_not_as_it_says() {
    let mut rows: JoinSet<()> = ROWS.iter().map(try_row).collect();
    while let Some(row) = rows.join_next().await {
        row.unwrap();
    }
}

async fn try_row((kind, done, seen_as): &'static Row) {
    let bench = Bench::new().await;
    bench.practice.plan(&format!("edit:{kind}x1").parse().unwrap());
    let began = Instant::now();
    let seen = bench.edit(3_000).await;
    assert!(seen_as(&seen), "{kind}: {seen:?}");
    assert_eq!(bench.price() == 3_000, *done, "{kind}: done or not");
    match *kind {
        "delay=300ms" => assert!(began.elapsed() >= Duration::from_millis(300)),
        "slow=1ms" => assert!(began.elapsed() >= Duration::from_millis(800), "a byte at a time"),
        _ => {}
    }
    let entry = bench.practice.ledger().remove(0);
    assert_eq!(entry.fault.split('=').next(), format!("edit:{kind}x1").split('=').next());
    assert_eq!(entry.status == 200 && entry.detail.contains("price="), *done, "{kind}: {entry:?}");
    assert!(says(&bench.edit(4_000).await, 200, "item_id"), "{kind}: the next one goes well");
    tokio::time::timeout(PATIENCE, bench.practice.stop()).await.expect("it stops while a client hangs").unwrap();
}

#[tokio::test]
async fn amazons_side_goes_wrong_in_amazons_words() {
    let bench = Bench::new().await;
    let plan = "offers:429x1,offers:503x1,offers:cutx1,lwa:500x1,lwa:401x1,sellers:error200x1";
    bench.practice.plan(&plan.parse().unwrap());
    let batch = async || offers(&bench.practice, Some("Atza|one"), &[offers_of("B000P6Q7MY")]).await;
    let (status, told, body) = batch().await;
    assert_eq!((status, told, &body["errors"][0]["code"]), (429, false, &json!("QuotaExceeded")));
    assert_eq!(batch().await.2["errors"][0]["code"], "ServiceUnavailable");
    let request = client().post(bench.url("/batches/products/pricing/v0/itemOffers")).header("x-amz-access-token", "Atza|one");
    let cut = request.json(&json!({ "requests": [offers_of("B000P6Q7MY")] })).send().await.unwrap();
    assert!(cut.status() == 200 && cut.bytes().await.is_err());
    assert_eq!(batch().await.0, 429, "the one that was cut took its token");
    let login = async || {
        let form = [("grant_type", "refresh_token"), ("client_id", "app"), ("client_secret", "hush"), ("refresh_token", "Atzr|one")];
        client().post(bench.url("/auth/o2/token")).form(&form).send().await.unwrap().json::<Value>().await.unwrap()["error"].clone()
    };
    assert_eq!([login().await, login().await, login().await], [json!("server_error"), json!("invalid_client"), Value::Null]);
    let (status, _, body) = bench.amazon("one", "/sellers/v1/marketplaceParticipations").await;
    assert_eq!((status, &body["errors"][0]["code"]), (200, &json!("InternalFailure")));
    let faults: Vec<_> = bench.practice.ledger().iter().map(|entry| (entry.account.clone(), entry.fault.clone())).collect();
    assert_eq!(faults[0], ("one".to_owned(), "offers:429x1".to_owned()), "the ledger knows whom it met");
    assert_eq!(faults[4], ("one".to_owned(), "lwa:500x1".to_owned()), "also by the refresh token");
}

/// Which of the next requests go wrong.
async fn wrong_ones(bench: &Bench, count: usize) -> Vec<usize> {
    let mut wrong = Vec::new();
    for n in 1..=count {
        if bench.get("/1/users/me").await.0 == 500 {
            wrong.push(n);
        }
    }
    wrong
}

#[tokio::test]
async fn rules_are_tried_in_order_and_count_what_reaches_them() {
    let bench = Bench::new().await;
    let met = async |plan: &str, count| {
        bench.tell("DELETE", "/faults", Value::Null).await;
        assert_eq!(bench.hand("POST", "/faults", plan.to_owned()).await.0, 200, "{plan}");
        wrong_ones(&bench, count).await
    };
    assert_eq!(met("me:500x2", 4).await, [1, 2]);
    assert_eq!(met("me:500#3", 5).await, [3]);
    assert_eq!(met("me:500#2-3", 5).await, [2, 3]);
    assert_eq!(met("base:500#4-", 6).await, [4, 5, 6]);
    assert_eq!(met("me:400x2,all:500x1", 4).await, [3], "the first two never came to the second rule");
    assert_eq!(met("/1/users:500x1,items:500", 3).await, [1]);
    assert_eq!(met("writes:500,amazon:500", 2).await, [0_usize; 0]);
    assert_eq!(met("me@base_account_ro:500,me@base_account_1:500x1", 2).await, [1]);
    assert_eq!(bench.look("/faults").await["rules"][1], json!({ "rule": "me@base_account_1:500x1", "seen": 2, "met": 1 }));
    bench.practice.inject(Fault { route: "/1/users", times: 1, kind: FaultKind::Status(500) });
    assert_eq!(wrong_ones(&bench, 2).await, [1]);
    bench.practice.clear_faults();
    assert_eq!(wrong_ones(&bench, 2).await, [0_usize; 0]);
}

#[tokio::test]
async fn a_share_is_drawn_from_the_seed_and_is_the_same_each_time() {
    let drawn = async |plan: &str| {
        let bench = Bench::new().await;
        bench.practice.plan(&plan.parse().unwrap());
        wrong_ones(&bench, 100).await
    };
    let first = drawn("seed=7,me:500%20").await;
    assert!((8..35).contains(&first.len()), "{first:?}");
    assert_eq!(drawn("seed=7,me:500%20").await, first);
    assert_ne!(drawn("seed=8,me:500%20").await, first);
    assert_eq!((drawn("me:500%0").await.len(), drawn("me:500%100").await.len()), (0, 100));
}
