//! Copies of the store, made while others write and killed at any moment: what bears a copy's name is whole, and what does not is swept up.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::process::Signal;
use taskrun::{
    handlers::backup,
    shop::setting::{SettingName, SettingValue},
    store::{shop::Settings as _, sqlite::SqliteStore},
};

use crate::shop::Shop;

const TASKS: &str = "tasks:\n  hello: { handler: command, with: { run: [echo, hello] } }\n";
/// Writes a second while copies are made.
const RATE: u32 = 200;

fn pair(name: &str, value: &str) -> (SettingName, SettingValue) {
    (SettingName::parse(name).unwrap(), SettingValue::parse(value).unwrap())
}

/// Some megabytes that do not compress, so that a copy takes its time.
async fn fill(store: &SqliteStore) {
    let values = (0..1000).map(|n| pair(&format!("FILL_{n}"), &(0..4000).map(|_| fastrand::alphanumeric()).collect::<String>())).collect();
    store.set_settings(values, Timestamp::now()).await.unwrap();
}

/// Two values that are always written together, counted up.
async fn write_on(store: Arc<SqliteStore>, over: Arc<AtomicBool>, written: Arc<AtomicI64>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let next = written.load(Ordering::Relaxed) + 1;
        store.set_settings(vec![pair("LEFT", &next.to_string()), pair("RIGHT", &next.to_string())], Timestamp::now()).await.unwrap();
        written.store(next, Ordering::Relaxed);
    }
}

fn in_folder(shop: &Shop) -> Vec<PathBuf> {
    let entries = fs::read_dir(shop.path().join("state/backups")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Unpacks a finished copy and looks whether it is a whole store of one instant.
async fn is_whole(copy: &Path, scratch: &Path) -> i64 {
    backup::unpack(copy, scratch).unwrap_or_else(|error| panic!("{}: {error}", copy.display()));
    let store = SqliteStore::open(scratch).unwrap();
    let settings = store.settings().await.unwrap();
    let value = |name: &str| settings.iter().find(|one| one.name.as_str() == name).map(|one| one.value.expose().parse::<i64>().unwrap());
    assert_eq!(settings.len(), 1002, "everything that was there");
    assert_eq!(value("LEFT"), value("RIGHT"), "of one instant");
    drop(store);
    fs::remove_file(scratch).unwrap();
    value("LEFT").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_killed_at_random_under_writes_are_whole_or_not_there() {
    let rounds = if std::env::var_os("STRESS").is_some() { 100 } else { 8 };
    let shop = Shop::new(TASKS);
    shop.run("settings set LEFT=0 RIGHT=0").ends(0);
    let store = Arc::new(SqliteStore::open(&shop.path().join("state/taskrun.db")).unwrap());
    fill(&store).await;
    let (over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let begun = Instant::now();
    let writer = tokio::spawn(write_on(Arc::clone(&store), Arc::clone(&over), Arc::clone(&written)));
    tokio::task::block_in_place(|| shop.run("backup").ends(0));
    let usual = begun.elapsed();
    let mut unfinished = 0;
    for _ in 0..rounds {
        let killed = shop.start("backup");
        tokio::time::sleep(usual.mul_f64(fastrand::f64() * 1.2)).await;
        killed.signal(Signal::KILL);
        tokio::task::block_in_place(|| killed.code());
        unfinished += usize::from(in_folder(&shop).iter().any(|path| path.to_string_lossy().contains(".part")));
    }
    // The next one sweeps up, and needs no day for it.
    tokio::task::block_in_place(|| shop.run("backup").ends(0));
    over.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let rate = f64::from(u32::try_from(written.load(Ordering::Relaxed)).unwrap()) / begun.elapsed().as_secs_f64();
    let found = in_folder(&shop);
    let finished = backup::copies(&shop.path().join("state/backups")).unwrap();
    assert_eq!(finished.len(), found.len(), "nothing but copies is left: {found:?}");
    let mut last = 0;
    for copy in &finished {
        let at = is_whole(copy, &shop.path().join("scratch.db")).await;
        assert!(last <= at, "later copies hold later writes");
        last = at;
    }
    println!("{rounds} kills, {unfinished} left something half; {} whole copies; {rate:.0} writes a second", finished.len());
    assert!(unfinished > 0 || rounds < 20, "no kill came in time: no test");
}

#[test]
fn a_restore_killed_at_random_leaves_a_store() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    let copy = shop.run("backup --json").json()["path"].as_str().unwrap().to_owned();
    let store = shop.path().join("state/taskrun.db");
    let rounds = if std::env::var_os("STRESS").is_some() { 200 } else { 10 };
    for _ in 0..rounds {
        let killed = shop.start(&format!("restore {copy}"));
        let until = Instant::now() + Duration::from_micros(fastrand::u64(0..60_000));
        while Instant::now() < until {
            assert!(store.exists(), "at every instant there is one");
        }
        killed.signal(Signal::KILL);
        killed.code();
        let rows = shop.run("history --json").ends(0).json();
        assert!(!rows.as_array().unwrap().is_empty(), "and never an empty one");
    }
    shop.run(&format!("restore {copy}")).ends(0);
}
