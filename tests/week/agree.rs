//! Both sets of books side by side: what the marketplace has, and what the store says that it has.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use taskrun::{
    handlers::backup,
    sandbox::seed,
    shop::price::{Price, Pricing, selling_price},
};

use super::{
    harness::{SOON, wait_for},
    office::{IMAGES, Office, ask, open},
};

type Rows = Vec<Vec<Option<String>>>;

/// A question's answer, each value as text.
fn rows(office: &Office, sql: &str) -> Rows {
    let store = office.store();
    let mut statement = store.prepare(sql).unwrap();
    let columns = statement.column_count();
    let text = |row: &rusqlite::Row<'_>, column| {
        let value: rusqlite::types::Value = row.get(column).unwrap();
        match value {
            rusqlite::types::Value::Null => None,
            rusqlite::types::Value::Integer(number) => Some(number.to_string()),
            rusqlite::types::Value::Text(text) => Some(text),
            other => panic!("{other:?}"),
        }
    };
    statement.query_map([], |row| Ok((0..columns).map(|column| text(row, column)).collect())).unwrap().map(Result::unwrap).collect()
}

/// The marketplace, opened alone after everybody has gone, and all that is to be so.
#[track_caller]
pub(crate) fn assert_all(office: &Office, products: u32) {
    assert_nothing_open(office);
    let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--dir", "state/practice/marketplace"];
    let market = office.world.start(&arguments);
    let address = wait_for("the marketplace is there", SOON, || Some(market.output().lines().next()?.strip_prefix("http://")?.to_owned()));
    let look = |path: &str| ask(&address, "GET", path, "");
    assert_listings(office, &look);
    assert_prices(office, products);
    assert_uploads(office, &look);
    assert_supplies(office, &look);
    assert_copies(office);
    let settings = rows(office, "SELECT name || '=' || value FROM settings ORDER BY name").into_iter().flatten().flatten();
    let file = office.world.lines("state/practice/files/state/app.env");
    assert_eq!(file[1..], settings.collect::<Vec<_>>());
    println!("{} calls, {} of them writes", look("/sandbox/summary")["requests"], look("/sandbox/summary")["writes"]);
}

/// Nothing is open, held or stuck.
#[track_caller]
fn assert_nothing_open(office: &Office) {
    let intact: String = office.store().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(intact, "ok");
    for (what, sql) in [
        ("runs are open", "SELECT id, instance, state FROM runs WHERE state IN ('waiting', 'running', 'backoff')"),
        ("attempts are open", "SELECT run FROM attempts WHERE outcome IS NULL"),
        ("locks are held", "SELECT name, run FROM locks"),
        ("edits of unknown fate", "SELECT account, item_id FROM intents"),
        ("accounts are parked", "SELECT account, cause, detail FROM parks"),
        (
            "jobs are in hand, or wait without a reason",
            "SELECT * FROM queue WHERE state = 'uploading' OR state = 'pending' AND error_code IS NULL",
        ),
        ("folders are to be removed", "SELECT folder FROM removals"),
        ("feeds are in flight", "SELECT * FROM feeds WHERE ended_at_ms IS NULL"),
    ] {
        assert_eq!(rows(office, sql), Rows::new(), "{what}");
    }
}

/// Every item at a shop is a listing of the store, with its price and visibility, and the other way round.
#[track_caller]
fn assert_listings(office: &Office, look: &dyn Fn(&str) -> Value) {
    let listed = "SELECT item_id, sku, price_yen, visible, asin FROM listings WHERE account = '{}' AND state = 'listed'";
    for shop in seed::SHOPS {
        let items: BTreeMap<String, Value> = look(&format!("/sandbox/items?account={shop}"))["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["item_id"].to_string(), item.clone()))
            .collect();
        let mut known = BTreeSet::new();
        for row in rows(office, &listed.replace("{}", shop)) {
            let [Some(item_id), sku, price, visible, asin] = &row[..] else { panic!("a listing without a number: {row:?}") };
            let item = items.get(item_id).unwrap_or_else(|| panic!("{shop} does not have {row:?}"));
            assert_eq!(item["identifier"].as_str(), sku.as_deref(), "{asin:?}");
            if let Some(price) = price {
                assert_eq!(&item["price"].to_string(), price, "{asin:?} {item}");
            }
            if let Some(visible) = visible {
                assert_eq!(item["visible"].as_bool(), Some(visible == "1"), "{asin:?} {item}");
            }
            known.insert(item_id.clone());
        }
        let strangers: Vec<_> = items.keys().filter(|id| !known.contains(*id)).collect();
        assert!(strangers.is_empty(), "at {shop} and not in the store: {strangers:?}");
        println!("{shop}: {} items agree", known.len());
    }
}

/// What is on sale costs what the rules say for what was read last, and what was read is what Amazon said then.
#[track_caller]
fn assert_prices(office: &Office, products: u32) {
    let sql = "SELECT p.asin, p.cost_yen, p.cost_fetched_at_ms, p.stock, p.stock_fetched_at_ms, l.price_yen, l.visible FROM products p
               JOIN listings l ON l.asin = p.asin AND l.state = 'listed'";
    let mut compared = 0;
    for row in rows(office, sql) {
        let [Some(asin), cost, cost_at, Some(stock), Some(stock_at), price, visible] = &row[..] else { panic!("never read: {row:?}") };
        let buyable = seed::availability(asin, stock_at.parse().unwrap()) == seed::Availability::Buyable;
        assert_eq!(stock == "in_stock", buyable, "{row:?}");
        if !buyable {
            assert_ne!(visible.as_deref(), Some("1"), "sold out and on sale: {row:?}");
            continue;
        }
        let (cost, cost_at): (i64, i64) = (cost.as_ref().unwrap().parse().unwrap(), cost_at.as_ref().unwrap().parse().unwrap());
        assert_eq!(cost, seed::cost(asin, cost_at), "{row:?}");
        if let (Price::Sell(wanted), Some(price)) = (selling_price(cost, &Pricing::default()), price) {
            assert_eq!(*price, wanted.to_string(), "{row:?}");
            compared += 1;
        }
    }
    assert!(usize::try_from(products).unwrap() / 4 <= compared, "{compared} prices compared: too few to say anything");
}

/// Every upload is listed once with its images, or says why not; nothing was ever made twice.
#[track_caller]
fn assert_uploads(office: &Office, look: &dyn Fn(&str) -> Value) {
    let creates = look("/sandbox/creates");
    let made = creates.as_object().unwrap().iter().flat_map(|(shop, made)| made.as_object().unwrap().iter().map(move |made| (shop, made)));
    let twice: Vec<_> = made.filter(|(_, (_, times))| times.as_i64() != Some(1)).collect();
    assert!(twice.is_empty(), "made more than once: {twice:?}");
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows(office, "SELECT state, account, subject, item_id, error_code FROM queue WHERE kind = 'upload'") {
        let [Some(state), Some(shop), Some(asin), item_id, error] = &row[..] else { panic!("{row:?}") };
        let items = look(&format!("/sandbox/items?account={shop}"));
        let sku = format!("{shop}-{asin}");
        let there: Vec<_> = items["items"].as_array().unwrap().iter().filter(|item| item["identifier"] == *sku).collect();
        if state == "success" {
            assert_eq!(there.iter().map(|item| item["item_id"].to_string()).collect::<Vec<_>>(), [item_id.clone().unwrap()], "{row:?}");
            let images = look(&format!("/sandbox/images?account={shop}"));
            assert_eq!(images[item_id.as_ref().unwrap()].as_object().map_or(0, serde_json::Map::len), IMAGES, "{row:?}");
        } else {
            assert!(error.is_some() && there.len() <= 1, "{row:?}: {there:?}");
        }
        *states.entry(format!("{state} {}", error.as_deref().unwrap_or_default())).or_default() += 1;
    }
    println!("uploads: {states:?}");
    assert!(states.contains_key("success "), "{states:?}");
}

/// Amazon shows the stock that every supply wants, and what the store calls gone is gone.
#[track_caller]
fn assert_supplies(office: &Office, look: &dyn Fn(&str) -> Value) {
    let shown = look(&format!("/sandbox/seller?account={}", seed::SELLER));
    let shown: BTreeMap<&str, (i64, &str)> = shown["listings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|listing| (listing["sku"].as_str().unwrap(), (listing["quantity"].as_i64().unwrap(), listing["state"].as_str().unwrap())))
        .collect();
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows(office, "SELECT sku, state, wanted, pushed, source, source_item FROM supplies") {
        let [Some(sku), Some(state), wanted, pushed, Some(source), Some(item)] = &row[..] else { panic!("{row:?}") };
        let wanted: i64 = wanted.as_ref().unwrap_or_else(|| panic!("{row:?}")).parse().unwrap();
        // A SKU that nobody has touched shows one.
        assert_eq!(shown.get(sku.as_str()).copied().unwrap_or((1, "live")), (wanted, "live"), "{row:?}");
        assert_eq!(pushed.as_ref().map(|pushed| pushed.parse()), Some(Ok(wanted)), "{row:?}");
        assert_eq!(wanted > 0, state == "backed", "{row:?}");
        let there = look(&format!("/source/{source}/items/{item}"));
        if state == "gone" {
            assert_ne!(there["status"], "on_sale", "{row:?}: it is no more, and was not when it was asked about");
        }
        *states.entry(state.clone()).or_default() += 1;
    }
    println!("supplies: {states:?}");
    assert!(states.contains_key("backed"), "{states:?}");
    let replaced = office.count("SELECT count(*) FROM queue WHERE kind = 'replace' AND state = 'success'");
    assert!(replaced > 0, "nothing was ever gone and searched for: no test");
}

/// Every copy of the store opens and is whole.
#[track_caller]
fn assert_copies(office: &Office) {
    let copies = backup::copies(&office.practice("backups")).unwrap();
    assert!(!copies.is_empty(), "no copy was made");
    for copy in &copies {
        let scratch = office.world.path("scratch.db");
        backup::unpack(copy, &scratch).unwrap_or_else(|error| panic!("{}: {error}", copy.display()));
        let intact: String = open(&scratch).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(intact, "ok", "{}", copy.display());
        std::fs::remove_file(scratch).unwrap();
    }
    println!("{} copies are whole", copies.len());
}
