//! The inventory sync under kills and stops, against a marketplace that lives on: nothing is wrong on either side, and it goes on where it was.
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use taskrun::{
    sandbox::seed,
    shop::price::{Price, Pricing, selling_price},
};

use super::{
    harness::{Process, Row, World, stress, wait_for, watch},
    market::Market,
};

const ITEMS: u32 = 200;
const BATCHES: usize = 10;
const OFFERS: &str = "/batches/products/pricing/v0/itemOffers";
const EDIT: &str = "/1/items/edit";
const LIMIT: Duration = Duration::from_mins(2);

/// A shop whose sync is started by hand, at a marketplace that allows twenty batches a second.
fn open() -> (World, Market) {
    let world = World::new("tasks: {}");
    let market = Market::open(&world, ITEMS);
    market.set_rate("offers", 20.0);
    let sync =
        "  sync_inventory: { handler: sync_inventory, locks: [amazon], retries: { max: 1000, delay: 0s }, with: { max_hide: 100% } }\n";
    market.move_in(&world, ITEMS, sync);
    // The first sync renews the tokens and learns the rate; what it writes is not looked at.
    world.must(&["once", "sync_inventory"]);
    (world, market)
}

/// Makes about a third of the items differ from what the shops show: they were priced wrongly by their owner's hand, and some hidden.
fn disturb(market: &Market) {
    for shop in seed::SHOPS {
        let items = market.items(shop);
        for item in items.into_iter().filter(|_| fastrand::u8(..) < 80) {
            let id = item["item_id"].as_i64().unwrap();
            market.change_item(id, &json!({ "price": 12_340, "visible": fastrand::bool() }));
        }
    }
}

/// What was asked for in one run.
struct Asked {
    batches: Vec<Vec<String>>,
    edits: HashMap<String, usize>,
}

fn asked(ledger: &[Value]) -> Asked {
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let made = |path: &'static str| ledger.iter().filter(move |entry| entry["path"] == path && entry["status"] == 200);
    let batches = made(OFFERS).map(|entry| text(entry, "detail").split(' ').map(ToOwned::to_owned).collect()).collect();
    let mut edits = HashMap::new();
    for entry in made(EDIT) {
        *edits.entry(text(entry, "detail")).or_default() += 1;
    }
    Asked { batches, edits }
}

/// A product's cost and stock, each with the instant at which it was read.
type Known = (Option<i64>, Option<i64>, Option<String>, Option<i64>);

/// Every item is as the rules say for what was read, and what was read is what the marketplace offered then.
#[track_caller]
fn assert_in_line(world: &World, market: &Market) {
    let store = world.store();
    let mut products = BTreeMap::new();
    let mut rows = store.prepare("SELECT asin, cost_yen, cost_fetched_at_ms, stock, stock_fetched_at_ms FROM products").unwrap();
    let read = |row: &rusqlite::Row<'_>| {
        let known: Known = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        Ok((row.get::<_, String>(0)?, known))
    };
    products.extend(rows.query_map([], read).unwrap().map(Result::unwrap));
    let shown: HashMap<i64, Value> =
        seed::SHOPS.iter().flat_map(|shop| market.items(shop)).map(|item| (item["item_id"].as_i64().unwrap(), item)).collect();
    for listing in seed::catalogue(ITEMS) {
        let (cost, cost_at, stock, stock_at) = &products[&listing.asin];
        let item = &shown[&listing.item_id];
        let visible = item["visible"].as_bool().unwrap();
        let stock_at = (*stock_at).expect("every listed product was read");
        let buyable = seed::availability(&listing.asin, stock_at) == seed::Availability::Buyable;
        assert_eq!(stock.as_deref() == Some("in_stock"), buyable, "{}", listing.asin);
        if !buyable {
            assert!(!visible, "{} is sold out and on sale", listing.asin);
        } else if let Price::Sell(price) = selling_price(seed::cost(&listing.asin, cost_at.unwrap()), &Pricing::default()) {
            assert_eq!(*cost, Some(seed::cost(&listing.asin, cost_at.unwrap())));
            assert_eq!((visible, item["price"].as_i64()), (true, Some(price)), "{}", listing.asin);
        }
    }
    let open: i64 = store.query_row("SELECT count(*) FROM intents", [], |row| row.get(0)).unwrap();
    assert_eq!(open, 0, "the fate of a write is open");
}

/// Runs syncs to their end while something happens to the daemon again and again; gives how often it did in all.
fn disturbed_syncs(times: usize, mut harm: impl FnMut(&mut super::harness::Process)) {
    let (world, market) = open();
    let mut done = 0;
    while done < times {
        disturb(&market);
        let since = market.last();
        let mut daemon = world.daemon();
        world.must(&["trigger", "sync_inventory"]);
        let newest = |world: &World| world.history("sync_inventory").into_iter().last();
        let run = wait_for("it runs", LIMIT, || newest(&world).filter(|row| row.trigger() == "api")).run();
        let mut here = 0;
        let has_ended = |row: &Row| row.run() == run && row.state() == "succeeded";
        while done + here < times {
            watch(Duration::from_millis(fastrand::u64(50..900)));
            if newest(&world).is_some_and(|row| has_ended(&row)) {
                break;
            }
            harm(&mut daemon);
            here += 1;
            daemon = world.daemon();
        }
        let end = wait_for("the run succeeds", LIMIT, || {
            world
                .history("sync_inventory")
                .into_iter()
                .find(|row| row.run() == run && row.state() != "running" && row.state() != "backoff" && row.state() != "waiting")
        });
        assert_eq!(end.state(), "succeeded", "{}", end.text());
        assert_eq!(daemon.stop(), 0);
        let Asked { batches, edits } = asked(&market.ledger(since));
        assert!(batches.len() <= BATCHES + here, "{} batches were read, {here} times disturbed", batches.len());
        let twice: Vec<_> = edits.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "written twice: {twice:?}");
        assert_in_line(&world, &market);
        println!("a sync that was disturbed {here} times: {} batches, {} writes", batches.len(), edits.len());
        done += here.max(1);
    }
    world.assert_nothing_left();
}

#[test]
fn a_sync_that_is_killed_goes_on_where_it_was() {
    disturbed_syncs(stress(100, 8), Process::kill);
}

#[test]
fn a_sync_that_is_stopped_goes_on_where_it_was() {
    disturbed_syncs(stress(50, 5), |daemon| {
        daemon.signal(Signal::TERM);
        daemon.wait(LIMIT);
    });
}
