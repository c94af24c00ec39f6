//! Listing under kills, against a marketplace that lives on: nothing is made twice, nothing is lost, nothing stands still.
use std::{collections::BTreeMap, fs, time::Duration};

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};
use taskrun::sandbox::seed;

use super::{
    harness::{SOON, World, stress, wait_for, watch},
    market::Market,
};

const ADD: &str = "/1/items/add";
const IMAGE: &str = "/1/items/add_image";
const IMAGES: usize = 7;
const THIRD: &str = "base_account_3";

fn shops() -> [&'static str; 3] {
    [seed::SHOPS[0], seed::SHOPS[1], THIRD]
}

fn asin(n: usize) -> String {
    format!("B0UPLD{n:04}")
}

/// Three shops that list every second, and so many products that are due there, each at one of them.
fn open(products: usize) -> (World, Market) {
    let world = World::new("tasks: {}");
    let market = Market::open(&world, 10);
    fs::write(world.path("rules.yaml"), "version: 1\n").unwrap();
    let task = "  upload_tick: { handler: upload_tick, for_each: { platform: base }, schedule: { every: 1s }, overlap: skip, \
                with: { batch_size: 1000, spacing: 0s, max_attempts: 10 } }\npublish: { rules: rules.yaml }\n";
    market.furnish(&world, &[THIRD], ", daily_limit: 1000000", task);
    let images: Vec<String> = (1..=IMAGES).map(|number| format!("https://images.example/{number}.jpg")).collect();
    let lines: Vec<String> = (1..=products)
        .map(|n| {
            json!({ "asin": asin(n), "title": format!("ステンレス水筒 {n}"), "images": images, "account": shops()[n % 3] }).to_string()
        })
        .collect();
    fs::write(world.path("products.jsonl"), lines.join("\n")).unwrap();
    world.must(&["products", "import", "products.jsonl"]);
    // What a sync would have found.
    let store = Connection::open(world.path("state/taskrun.db")).unwrap();
    let now = Timestamp::now().as_millisecond();
    let fresh = "UPDATE products SET cost_yen = 1505, cost_fetched_at_ms = ?1, stock = 'in_stock', stock_fetched_at_ms = ?1";
    assert_eq!(store.execute(fresh, [now]).unwrap(), products);
    world.must(&["queue", "add", "--all-pending", "--limit", &products.to_string()]);
    assert_eq!(world.count("SELECT count(*) FROM queue WHERE state = 'pending'"), i64::try_from(products).unwrap());
    (world, market)
}

/// What `accounts list` says of a shop.
fn account(world: &World, shop: &str) -> Value {
    let all: Value = serde_json::from_str(&world.must(&["accounts", "list", "--json"])).unwrap();
    all.as_array().unwrap().iter().find(|account| account["account"] == shop).cloned().unwrap()
}

/// How often a path was asked for a shop.
fn asked(market: &Market, path: &str, shop: &str) -> usize {
    market.ledger(0).iter().filter(|entry| entry["path"] == path && entry["account"] == shop).count()
}

fn in_state(world: &World, state: &str) -> i64 {
    world.count(&format!("SELECT count(*) FROM queue WHERE state = '{state}'"))
}

/// Waits until nothing is waiting or in hand any more.
fn wait_until_done(world: &World, limit: Duration) {
    wait_for("every item has come to an end", limit, || (in_state(world, "pending") + in_state(world, "uploading") == 0).then_some(()));
}

/// Every success stands at its shop exactly once with all its images, nothing was ever made twice, and what is no success says why.
#[track_caller]
fn assert_whole(world: &World, market: &Market) {
    let creates = market.ask("GET", "/sandbox/creates", None);
    let twice: Vec<_> = creates
        .as_object()
        .unwrap()
        .values()
        .flat_map(|shop| shop.as_object().unwrap())
        .filter(|(_, times)| times.as_i64() != Some(1))
        .collect();
    assert!(twice.is_empty(), "made more than once: {twice:?}");
    let mut items: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
    let mut images = BTreeMap::new();
    for shop in shops() {
        for item in market.items(shop) {
            let sku = item["identifier"].as_str().unwrap_or_default().to_owned();
            items.entry((shop.to_owned(), sku)).or_default().push(item["item_id"].as_i64().unwrap());
        }
        let of_shop = market.ask("GET", &format!("/sandbox/images?account={shop}"), None);
        images.extend(
            of_shop.as_object().unwrap().iter().map(|(id, images)| (id.clone(), images.as_object().map_or(0, serde_json::Map::len))),
        );
    }
    let store = world.store();
    let mut rows = store.prepare("SELECT q.account, q.subject, q.state, q.item_id, q.error_code, l.sku, l.state, l.item_id FROM queue q JOIN listings l ON l.asin = q.subject AND l.account = q.account").unwrap();
    let mut rows = rows.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let text = |column: usize| row.get::<_, Option<String>>(column).unwrap().unwrap_or_default();
        let (account, subject, state, item_id, error, sku) = (text(0), text(1), text(2), text(3), text(4), text(5));
        let there = items.get(&(account, sku)).cloned().unwrap_or_default();
        if state == "success" {
            assert_eq!(there.iter().map(ToString::to_string).collect::<Vec<_>>(), std::slice::from_ref(&item_id), "{subject}");
            assert_eq!((text(6).as_str(), text(7)), ("listed", item_id.clone()), "{subject}");
            assert_eq!(images.get(&item_id), Some(&IMAGES), "{subject}");
        } else {
            assert!(
                ["failed", "uncertain", "review"].contains(&state.as_str()) && !error.is_empty(),
                "{subject} is {state} without a reason"
            );
            assert!(there.len() <= 1, "{subject}");
        }
    }
}

#[test]
fn acceptance_02_a_daemon_that_is_killed_in_the_middle_of_a_listing_lists_it_once() {
    let (world, market) = open(3);
    // Before the call, after the call, after three of seven images.
    let [before, after, images] = shops();
    market.trouble(&format!("add@{before}:hang,add@{after}:delay=10m,add_image@{images}:hang#4-"));
    let mut daemon = world.daemon();
    wait_for("each shop is in the middle", SOON, || {
        let is_so = asked(&market, ADD, before) == 1
            && market.items(after).iter().any(|item| item["identifier"].as_str().is_some_and(|sku| sku.contains("B0UPLD")));
        (is_so && asked(&market, IMAGE, images) == 4).then_some(())
    });
    assert_eq!(in_state(&world, "uploading"), 3);
    daemon.kill();
    market.trouble("");
    let mut daemon = world.daemon();
    // What may still have been on its way is waited for.
    wait_until_done(&world, Duration::from_mins(2));
    // An item is done before its run is: a stop in between would set the run aside, to be ended by the next start.
    let log = |shop: &str| world.text(&format!("logs/upload_tick@{shop}.log"));
    wait_for("the runs have said so", SOON, || shops().iter().all(|shop| log(shop).contains("1 listed")).then_some(()));
    assert_eq!(daemon.stop(), 0);
    assert_eq!(in_state(&world, "success"), 3);
    assert_eq!(asked(&market, IMAGE, images), IMAGES + 1, "the images that were there are not sent again");
    for shop in shops() {
        let account = account(&world, shop);
        assert_eq!((&account["listed_today"], &account["daily_limit"]), (&json!(1), &json!(1_000_000)), "{account:#}");
        assert_eq!((&account["restarts_today"], &account["last_error"]), (&json!(1), &Value::Null), "{account:#}");
        let hourly = account["calls"].as_array().unwrap().iter().find(|calls| calls["operation"] == "calls_per_hour").unwrap().clone();
        assert!(hourly["limit"] == 5000 && hourly["used"].as_i64() >= Some(9), "{account:#}");
    }
    assert!(world.history("upload_tick").len() > 3, "each second there is a run");
    for shop in shops() {
        assert!(!log(shop).contains("nothing is due"), "{}", log(shop));
    }
    let text = world.must(&["accounts", "list"]);
    assert!(text.contains("1/1000000") && text.contains("/5000 this hour, "), "{text}");
    assert_whole(&world, &market);
    world.assert_nothing_left();
}

#[test]
fn whatever_dies_when_every_item_is_listed_once_or_says_why_not() {
    let (products, kills) = (stress(5_944, 90), stress(200, 8));
    let (world, market) = open(products);
    let [_, parked, _] = shops();
    // Each answer takes a while, and of the writes' answers some are lost after they were carried out.
    market.trouble("seed=7,writes:drop+%2,base:delay=15ms");
    let mut daemon = world.daemon();
    let mut killed = 0;
    while killed < kills || in_state(&world, "pending") + in_state(&world, "uploading") > 0 {
        watch(Duration::from_millis(fastrand::u64(200..stress(4_000, 1_500))));
        daemon.kill();
        killed += 1;
        assert!(killed < kills * 20, "it goes on for ever: {} items wait", in_state(&world, "pending"));
        // One shop is restricted in the middle, and open again later.
        if killed == kills / 3 {
            market.ask("PATCH", &format!("/sandbox/accounts/{parked}"), Some(&json!({ "restricted": "writes" })));
        }
        if killed == kills / 3 * 2 {
            open_again(&world, &market, parked);
        }
        begin_hour(&world, &market);
        daemon = world.daemon();
    }
    assert_eq!(daemon.stop(), 0);
    let states: Value =
        ["success", "failed", "uncertain", "review"].iter().map(|state| ((*state).to_owned(), json!(in_state(&world, state)))).collect();
    println!("killed {killed} times: {states}");
    let error = &account(&world, parked)["last_error"];
    assert!(error["text"].as_str().is_some_and(|text| text.contains("access_denied") || text == "lost: its process died"), "{error}");
    assert_whole(&world, &market);
    let success = usize::try_from(in_state(&world, "success")).unwrap();
    assert!(products * 98 / 100 <= success, "{states}");
    world.assert_nothing_left();
}

/// An hour and a day begin anew, on both sides: limits are another test's. To be said while no daemon runs.
fn begin_hour(world: &World, market: &Market) {
    for shop in shops() {
        market.ask("PUT", &format!("/sandbox/calls/{shop}"), Some(&json!({ "hour": 0, "day": 0, "adds": 0 })));
    }
    Connection::open(world.path("state/taskrun.db")).unwrap().execute("DELETE FROM quotas", []).unwrap();
}

/// The shop lets us in again, and a person says so.
fn open_again(world: &World, market: &Market, shop: &str) {
    market.ask("PATCH", &format!("/sandbox/accounts/{shop}"), Some(&json!({ "restricted": "no" })));
    world.must(&["accounts", "resume", shop]);
}
