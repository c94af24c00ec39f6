//! `--sandbox` and `taskrun sandbox`.
use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use jiff::Timestamp;
use rustix::process::Signal;

use crate::shop::{Shop, TASKS, wait_until};

fn practice_time(shop: &Shop) -> Timestamp {
    shop.run("status --json --sandbox").ends(0).json()["now"].as_str().unwrap().parse().unwrap()
}

#[test]
fn practice_has_a_state_of_its_own_and_every_screen_says_so() {
    let shop = Shop::new(TASKS);
    let daemon = shop.daemon("--sandbox");
    shop.run("status --sandbox").ends(0).prints(&["practice", "60 times as fast"]);
    shop.run("status").ends(3);
    shop.run("once hello --sandbox").ends(0);
    assert!(shop.history().is_empty(), "nothing of practice is in the real history");
    shop.run("history --sandbox").ends(0).prints(&["hello"]);
    assert!(shop.file("state/practice/taskrun.db").exists() && !shop.file("state/taskrun.db").exists());
    shop.run("stop --sandbox").ends(0);
    assert_eq!(daemon.code(), 0);
}

#[test]
fn practice_changes_no_real_file() {
    let shop = Shop::new(
        "tasks:\n  env: { handler: update_env, with: { path: app.env } }\n  images: { handler: delete_old_items, with: { images: images, orphans: true } }\n  \
         copies: { handler: backup, with: { dir: safe, keep: 1 } }\n  old: { handler: cleanup, with: { backups: { dir: safe, keep: 1 } } }\n",
    );
    shop.run("settings set REAL=1").ends(0);
    shop.run("once env").ends(0);
    let written = std::fs::read_to_string(shop.file("app.env")).unwrap();
    shop.run("once copies").ends(0);
    let copy = std::fs::read_dir(shop.file("safe")).unwrap().filter_map(Result::ok).find(|copy| copy.path().extension().is_some()).unwrap();
    let older = shop.file("safe/taskrun-20200101T000000.000Z.db.gz");
    std::fs::copy(copy.path(), &older).unwrap();
    let picture = shop.file("images/one/a.jpg");
    std::fs::create_dir_all(picture.parent().unwrap()).unwrap();
    std::fs::write(&picture, "a picture").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    std::fs::File::open(picture.parent().unwrap()).unwrap().set_modified(long_ago).unwrap();
    std::fs::File::open(&picture).unwrap().set_modified(long_ago).unwrap();

    shop.run("settings set PRACTICE=1 --sandbox").ends(0);
    for task in ["env", "images", "copies", "old"] {
        shop.run(&format!("once {task} --sandbox")).ends(0);
    }
    assert_eq!(std::fs::read_to_string(shop.file("app.env")).unwrap(), written);
    assert!(picture.exists() && older.exists() && copy.path().exists(), "real pictures and copies stay");
    assert!(std::fs::read_to_string(shop.file("state/practice/files/app.env")).unwrap().contains("PRACTICE=1"), "practice has its own");
}

#[test]
fn practice_time_stands_still_while_nobody_runs_and_goes_on_from_there() {
    let shop = Shop::new(TASKS);
    let daemon = shop.daemon("--sandbox=3600");
    let begun = practice_time(&shop);
    wait_until("an hour of practice passed", || practice_time(&shop).duration_since(begun).as_hours() >= 1);
    let seen = practice_time(&shop);
    shop.run("stop --sandbox").ends(0);
    assert_eq!(daemon.code(), 0);
    let stopped: Timestamp =
        shop.run("next --cron '* * * * * *' -n 1 --json --sandbox").ends(0).json()["at"].as_str().unwrap().parse().unwrap();
    assert!(seen <= stopped && stopped.duration_since(seen).as_hours() < 24 * 3);
    let again: Timestamp =
        shop.run("next --cron '* * * * * *' -n 1 --json --sandbox").ends(0).json()["at"].as_str().unwrap().parse().unwrap();
    assert_eq!(stopped, again, "it stands still");
    let daemon = shop.daemon("--sandbox=1");
    let resumed = practice_time(&shop);
    assert!(stopped.duration_since(resumed).as_secs() <= 1 && resumed.duration_since(stopped).as_mins() < 5, "{stopped} {resumed}");
    drop(daemon);
}

#[test]
fn the_marketplace_runs_alone() {
    let shop = Shop::new(TASKS);
    let mut child = shop.command("sandbox --listen 127.0.0.1:0 --items 5 --dir market").stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("http://127.0.0.1:"), "{first}");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn status_shows_what_is_used_of_the_marketplaces_limits() {
    let shop = Shop::new("tasks:\n  sync_inventory:\n    handler: sync_inventory\n");
    let daemon = shop.daemon("--sandbox=600");
    shop.run("once sync_inventory --sandbox --dry-run").ends(0);
    let status = shop.run("status --sandbox").ends(0);
    status.prints(&["# quota of", "getItemOffersBatch", "1 in 10s", "calls_per_hour", "5000 in 1h", "calls_per_day"]);
    let quotas = shop.run("status --sandbox --json").ends(0).json()["quotas"].clone();
    let of = |operation: &str| quotas.as_array().unwrap().iter().find(|quota| quota["operation"] == operation).unwrap().clone();
    let offers = of("getItemOffersBatch");
    assert!(offers["learned"] == true && offers["used_by"]["sync"].as_i64().unwrap() >= 12, "{offers}");
    assert!(of("calls_per_day")["used"].as_i64().unwrap() > 0);
    shop.run("stop --sandbox").ends(0);
    assert_eq!(daemon.code(), 0);
}
