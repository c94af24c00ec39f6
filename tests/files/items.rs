//! `delete_old_items`: what is old goes with its images, whole, whoever dies when; what is not, or too much, stays.
use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use taskrun::store::{
    shop::{Supplies as _, SupplyKey, SupplyRow},
    sqlite::SqliteStore,
};

use crate::shop::Shop;

fn tasks(with: &str) -> String {
    format!("tasks:\n  old: {{ handler: delete_old_items, overlap: last_wins, with: {{ images: images, {with} }} }}\n")
}

/// A shop with items; the n-th has been sold out since so many days, its images in `images/seller/sku-n`.
fn shop(with: &str, days: &[i64], files: usize) -> Shop {
    let shop = Shop::new(&tasks(with));
    let path = shop.path().join("state/taskrun.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let now = Timestamp::now();
    let rows = (0..days.len())
        .map(|n| SupplyRow {
            key: SupplyKey { account: "seller".into(), sku: format!("sku-{n}").into() },
            source: "yahoo".into(),
            item: format!("y{n}").into(),
            query: None,
            max_price: None,
            checks_per_day: None,
            restock: None,
            images: Some(format!("seller/sku-{n}").into()),
        })
        .collect();
    let store = SqliteStore::open(&path).unwrap();
    runtime.block_on(store.take_in_supplies(rows, now)).unwrap();
    drop(store);
    let conn = rusqlite::Connection::open(&path).unwrap();
    for (n, days) in days.iter().enumerate() {
        let at = (now - SignedDuration::from_hours(24 * days)).as_millisecond();
        let sold_out = "UPDATE supplies SET state = 'gone', wanted = 0, pushed = 0, gone_at_ms = ?2, changed_at_ms = ?2 WHERE sku = ?1";
        conn.execute(sold_out, rusqlite::params![format!("sku-{n}"), at]).unwrap();
        let folder = images(&shop, n).join("large");
        fs::create_dir_all(&folder).unwrap();
        (0..files).for_each(|file| fs::write(folder.join(format!("{file}.jpg")), "x").unwrap());
    }
    fs::create_dir(shop.path().join("outside")).unwrap();
    fs::write(canary(&shop), "alive").unwrap();
    shop
}

fn images(shop: &Shop, n: usize) -> PathBuf {
    shop.path().join(format!("images/seller/sku-{n}"))
}

fn canary(shop: &Shop) -> PathBuf {
    shop.path().join("outside/canary")
}

fn count(shop: &Shop, table: &str) -> i64 {
    let conn = rusqlite::Connection::open(shop.path().join("state/taskrun.db")).unwrap();
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

fn told(shop: &Shop) -> String {
    shop.run("history old --json").json()[0]["text"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_old_goes_with_its_images_and_what_is_not_stays() {
    let shop = shop("expired_days: 7", &[10, 8, 6, 0], 3);
    shop.run("once old --dry-run").ends(0).prints(&["seller sku-0", "removed with its images in seller/sku-0", "seller sku-1"]);
    assert!((0..4).all(|n| images(&shop, n).exists()), "a dry run removes nothing");
    shop.run("once old").ends(0);
    let left: Vec<_> = (0..4).map(|n| images(&shop, n).exists()).collect();
    assert_eq!(left, [false, false, true, true]);
    assert_eq!((count(&shop, "supplies"), count(&shop, "removals")), (2, 0));
    assert!(told(&shop).starts_with("2 old items removed; 2 folders of images with 10 files"), "{}", told(&shop));
}

#[test]
fn too_many_at_once_are_a_fault_and_nothing_goes() {
    let shop = shop("max_delete: 2", &[9, 9, 9], 1);
    shop.run("once old").ends(1);
    assert!(told(&shop).contains("nothing was removed") && told(&shop).contains("--set max_delete"), "{}", told(&shop));
    assert_eq!(count(&shop, "supplies"), 3);
    shop.run("once old --set max_delete=3").ends(0);
    assert_eq!(count(&shop, "supplies"), 0);
}

#[test]
fn links_shared_folders_and_paths_that_lead_out_are_left_alone() {
    let shop = shop("expired_days: 7", &[9, 9, 9, 0], 1);
    let conn = rusqlite::Connection::open(shop.path().join("state/taskrun.db")).unwrap();
    fs::remove_dir_all(images(&shop, 0)).unwrap();
    symlink(shop.path().join("outside"), images(&shop, 0)).unwrap();
    conn.execute("UPDATE supplies SET images = '../outside' WHERE sku = 'sku-1'", []).unwrap();
    conn.execute("UPDATE supplies SET images = 'seller/sku-3/large' WHERE sku = 'sku-2'", []).unwrap();
    drop(conn);
    shop.run("once old").ends(0);
    assert_eq!(fs::read_to_string(canary(&shop)).unwrap(), "alive");
    assert!(told(&shop).contains("is or crosses a link") && told(&shop).contains("does not lie within"), "{}", told(&shop));
    assert!(images(&shop, 3).join("large").exists(), "the folder of an item that stays");
    assert_eq!((count(&shop, "supplies"), count(&shop, "removals")), (1, 2), "what could not be removed is remembered");
    fs::remove_file(images(&shop, 0)).unwrap();
    shop.run("once old").ends(0);
    assert_eq!(count(&shop, "removals"), 1);
}

#[test]
fn folders_that_no_item_names_go_when_that_is_wanted_and_they_are_old() {
    let shop = shop("orphans: true", &[0], 1);
    let (old, young) = (shop.path().join("images/old"), shop.path().join("images/young"));
    for folder in [&old, &young] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("x"), "x").unwrap();
    }
    for folder in [&old, &shop.path().join("images/seller")] {
        let long_ago = std::time::SystemTime::now() - Duration::from_hours(24 * 30);
        fs::File::open(folder).unwrap().set_modified(long_ago).unwrap();
    }
    shop.run("once old --set orphans=false").ends(0);
    assert!(old.exists());
    shop.run("once old").ends(0);
    assert!(!old.exists() && young.exists() && images(&shop, 0).exists());
}

#[test]
fn whoever_dies_between_leaves_nothing_orphaned() {
    let (items, kills) = if std::env::var_os("STRESS").is_some() { (500, 60) } else { (60, 8) };
    let shop = shop("max_time: 1h", &vec![9; items], 10);
    let noted = |shop: &Shop| count(shop, "removals") > 0;
    let mut met = 0;
    for _ in 0..kills {
        let killed = shop.start("once old");
        let until = Instant::now() + Duration::from_millis(30 + fastrand::u64(0..120));
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        killed.signal(Signal::KILL);
        killed.code();
        met += usize::from(noted(&shop));
        // Each folder that is there has an item or a note.
        let there = (0..items).filter(|n| images(&shop, *n).exists()).count();
        let known = count(&shop, "supplies") + count(&shop, "removals");
        assert!(i64::try_from(there).unwrap() <= known, "{there} folders, {known} known");
    }
    shop.run("once old").ends(0);
    assert_eq!((count(&shop, "supplies"), count(&shop, "removals")), (0, 0));
    assert_eq!(fs::read_dir(shop.path().join("images/seller")).unwrap().count(), 0);
    println!("{kills} kills, {met} in the middle of an item");
}
