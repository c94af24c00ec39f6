//! A copy can be made while a daemon works, is whole or not there at all, and brings back what was; nothing that ran since is run again.
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use rustix::process::Signal;

use crate::shop::{Shop, TASKS, wait_until};

const COPY: &str = "tasks:\n  hello: { handler: command, with: { run: [echo, hello] } }\n  keep: { handler: backup, with: { keep: 2 } }\n";

fn copies(shop: &Shop) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(shop.path().join("state/backups")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn a_copy_brings_back_what_was() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    let copied = shop.run("backup --json").ends(0).json();
    let path = copied["path"].as_str().unwrap().to_owned();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    shop.run("once hello").ends(0);
    let ids = |shop: &Shop| {
        shop.run("history --json").json().as_array().unwrap().iter().map(|row| row["run"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&shop), [2, 1]);
    shop.run(&format!("restore {path} --check")).ends(0).says(&["the copy is whole"]);
    shop.run(&format!("restore {path}")).ends(0).says(&["restored", ".before-"]);
    assert_eq!(ids(&shop), [1]);
    shop.run("once hello").ends(0);
    assert_eq!(ids(&shop), [3, 1], "a number that was given is never given again");
    let kept = fs::read_dir(shop.path().join("state"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".before-"))
        .count();
    assert_eq!(kept, 1, "the store that was there is kept");
}

#[test]
fn a_copy_that_is_damaged_is_refused_and_the_store_stays() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    let path = shop.run("backup --json").json()["path"].as_str().unwrap().to_owned();
    let whole = fs::read(&path).unwrap();
    let bad = shop.path().join("bad.db.gz");
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    for damaged in [whole[..whole.len() - 9].to_vec(), flipped, b"no copy".to_vec(), Vec::new()] {
        fs::write(&bad, damaged).unwrap();
        shop.run("restore bad.db.gz").ends(74);
        shop.run("history").ends(0).prints(&["hello"]);
    }
    let left = fs::read_dir(shop.path().join("state"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("restoring"))
        .count();
    assert_eq!(left, 0, "nothing is left behind");
}

#[test]
fn a_store_that_is_in_use_is_not_replaced() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    let path = shop.run("backup --json").json()["path"].as_str().unwrap().to_owned();
    let daemon = shop.daemon("");
    shop.run(&format!("restore {path}")).ends(2).says(&["at work on this store", "taskrun stop"]);
    shop.run("backup").ends(0);
    shop.run("stop").ends(0);
    assert_eq!(daemon.code(), 0);
    shop.run(&format!("restore {path}")).ends(0);
}

#[test]
fn as_many_copies_are_kept_as_the_task_says_and_a_killed_one_leaves_none_by_its_name() {
    let shop = Shop::new(COPY);
    for _ in 0..3 {
        shop.run("once keep").ends(0);
    }
    assert_eq!(copies(&shop).len(), 2);
    for _ in 0..10 {
        let killed = shop.start("once keep");
        let life = fastrand::u32(0..6);
        let mut looks = 0;
        wait_until("it has lived for a while", || {
            looks += 1;
            looks > life
        });
        killed.signal(Signal::KILL);
        killed.code();
    }
    for copy in copies(&shop).iter().filter(|path| path.to_string_lossy().ends_with(".db.gz")) {
        shop.run(&format!("restore {} --check", copy.display())).ends(0);
    }
    shop.run("once keep --dry-run").ends(0).prints(&["a copy of the store"]);
}
