//! A week of the back office on the practice marketplace: the shipped tasks.yaml with everything that is off by default switched on, while answers get
//! lost, calls are refused, a shop is restricted and the daemon is killed. At the end the marketplace's own books and the store agree.
//!
//! Every day it is a day and a night of a small shop; with `STRESS=1` a week of 500 products.
#![cfg(test)]
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "real processes, and a look again after a while")]

mod agree;
#[path = "../daemon/harness.rs"]
#[allow(dead_code, reason = "the daemon's tests use the rest")]
mod harness;
mod office;

use std::time::Duration;

use harness::{SOON, stress, wait_for};
use office::Office;
use serde_json::json;

/// What goes wrong all the time. Where the fate of a new item is unknown, it is left alone for 40 real seconds, which is half a day here: only under stress.
fn trouble() -> String {
    let lost = stress("writes:drop+%2", "edit:drop+%2,patch_listing:drop+%2");
    format!(
        "seed=7,{lost},patch_listing:500%5,patch_listing:429%3,offers:429%3,offers:500%2,edit:500%1,search:500%2,me:500%2,\
         /source/:500%3,/source/:drop%1,/source/:html%1,lwa:500%2"
    )
}

#[test]
fn after_a_week_of_trouble_the_marketplace_and_the_store_agree() {
    // Practice has 240 listings in its books from the start.
    let (products, supplies, uploads) = stress((500, 160, 60), (240, 60, 12));
    let (hours, speed) = stress((7 * 24, 1_200), (20, 2_400));
    let office = Office::open(products);
    office.furnish(products, supplies, uploads);
    let mut daemon = office.start(speed);
    office.trouble(&trouble());
    let begun = office.now();
    let until = |share: f64| office.wait_until(begun, hours * 3600, share);
    until(0.3);
    office.ask("PATCH", "/sandbox/accounts/base_account_2", &json!({ "restricted": "writes" }).to_string());
    office.must(&["settings", "set", "REGION=na", "--sandbox"]);
    until(0.5);
    daemon.kill();
    daemon = office.start(speed);
    office.trouble(&trouble());
    until(0.6);
    office.ask("PATCH", "/sandbox/accounts/base_account_2", &json!({ "restricted": "no" }).to_string());
    office.must(&["accounts", "resume", "base_account_2", "--sandbox"]);
    until(1.0);
    office.calm();
    office.wait_until_listed(stress(Duration::from_mins(3), SOON));
    assert_eq!(daemon.stop(), 0);
    office.assert_one_answer_each();
    office.last_round();
    agree::assert_all(&office, products);
    wait_for("nobody is left", SOON, || office.world.children().is_empty().then_some(()));
}
