//! The order in which a running daemon lists what is due.
use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::json;

use crate::shop::{Shop, wait_until};

const TASKS: &str = r"
timezone: Asia/Tokyo
log: { console: false }
accounts: { base_account_1: { platform: base } }
publish: { rules: rules.yaml }
tasks:
  upload_tick:
    handler: upload_tick
    for_each: { platform: base }
    schedule: { every: 60s }
    overlap: skip
    with: { batch_size: 1, spacing: 0s, data_max_age: 240h }
";
const ACCOUNT: &str = "--account base_account_1 --sandbox";

fn asin(name: &str) -> String {
    format!("B0{name:0>8}")
}

/// A practice shop with these products, which a sync would have found.
fn furnish(shop: &Shop, names: &[&str]) {
    std::fs::write(shop.file("rules.yaml"), "version: 1\n").unwrap();
    // Practice begins with the first who works in it.
    shop.run("once upload_tick@base_account_1 --sandbox=60").ends(0);
    let line = |name: &&str| json!({ "asin": asin(name), "title": "水筒", "images": ["https://images.example/1.jpg"] }).to_string();
    std::fs::write(shop.file("products.jsonl"), names.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    shop.run("products import products.jsonl --sandbox").ends(0);
    let fresh = "UPDATE products SET cost_yen = 1505, cost_fetched_at_ms = ?1, stock = 'in_stock', stock_fetched_at_ms = ?1 WHERE asin LIKE 'B0000000%'";
    assert_eq!(store(shop).execute(fresh, [now(shop).as_millisecond()]).unwrap(), names.len());
}

fn store(shop: &Shop) -> Connection {
    Connection::open(shop.file("state/practice/taskrun.db")).unwrap()
}

fn now(shop: &Shop) -> Timestamp {
    shop.run("next --cron '* * * * * *' -n 1 --json --sandbox").ends(0).json()["at"].as_str().unwrap().parse().unwrap()
}

/// The last letters of what was listed, in the order in which it was.
fn listed(shop: &Shop) -> Vec<String> {
    let store = store(shop);
    let mut rows =
        store.prepare("SELECT ltrim(substr(subject, 3), '0') FROM queue WHERE state = 'success' ORDER BY counted_at_ms").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn an_urgent_item_goes_first_at_the_next_tick_and_what_is_late_is_caught_up_in_order() {
    let shop = Shop::new(TASKS);
    furnish(&shop, &["L1", "L2", "L3", "L4", "L5", "U1", "S1", "S2", "U2"]);
    for (name, hours) in [("L4", 2), ("L1", 5), ("L3", 3), ("L5", 1), ("L2", 4)] {
        shop.run(&format!("queue add {} {ACCOUNT}", asin(name))).ends(0);
        let late = "UPDATE queue SET scheduled_at_ms = scheduled_at_ms - ?1 * 3600000 WHERE subject = ?2";
        assert_eq!(store(&shop).execute(late, (hours, asin(name))).unwrap(), 1);
    }
    // Due at one time, once the others are done.
    let later = now(&shop) + jiff::SignedDuration::from_mins(8);
    for (name, priority) in [("S1", 5), ("S2", 5), ("U2", 20)] {
        shop.run(&format!("queue add {} --priority {priority} --from {later} {ACCOUNT}", asin(name))).ends(0);
    }
    let daemon = shop.daemon("--sandbox=60");
    wait_until("two late ones are listed", || listed(&shop).len() >= 2);
    shop.run(&format!("queue add {} --priority 20 {ACCOUNT}", asin("U1"))).ends(0);
    wait_until("all are listed", || listed(&shop).len() == 9);
    shop.run("stop --sandbox").ends(0);
    assert_eq!(daemon.code(), 0);
    let order = listed(&shop);
    let position = |name: &str| order.iter().position(|listed| listed == name).unwrap();
    assert!(position("U1") < position("L5"), "it went behind what was late: {order:?}");
    let mut others = order.clone();
    others.retain(|name| name != "U1");
    assert_eq!(others, ["L1", "L2", "L3", "L4", "L5", "U2", "S1", "S2"]);
    let (asked, fired): (i64, i64) = store(&shop)
        .query_row(
            "SELECT q.created_at_ms, r.fire_at_ms FROM queue q JOIN price_history c ON c.asin = q.subject JOIN runs r ON r.id = c.run WHERE q.subject = ?1",
            [asin("U1")],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert!((0..=60_000).contains(&(fired - asked)), "it was taken by the tick {} ms after it was asked for", fired - asked);
}
