//! A wall clock that jumps under a living daemon, by libfaketime (Debian's package `faketime`). The same jumps with a clock of our own are in
//! `tests/engine.rs`, which needs nothing.
use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use super::harness::{Process, Row, World, task, wait_for, watch};

const NAMES: [&str; 5] = ["second", "minute", "hour", "seven", "overnight"];

fn libfaketime() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    folders.iter().map(|folder| PathBuf::from(folder).join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// Sets the daemon's clock this far off the real one.
fn set_clock(world: &World, offset: &str) {
    fs::write(world.path("clock.new"), format!("{offset}\n")).unwrap();
    fs::rename(world.path("clock.new"), world.path("clock")).unwrap();
}

fn start(world: &World, library: &PathBuf) -> Process {
    let mut command = world.command(&["run"]);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", world.path("clock"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut daemon = world.start_command(command, &["run"]);
    world.wait_until_ready(&mut daemon);
    daemon
}

#[test]
fn a_clock_that_jumps_causes_one_catch_up_and_nothing_twice() {
    let Some(library) = libfaketime() else {
        println!("skipped: libfaketime is not installed (package `faketime`); tests/engine.rs jumps with a clock of its own");
        return;
    };
    let tasks = [
        task("second", "schedule: '* * * * * *'", "true"),
        task("minute", "schedule: '* * * * *'", "true"),
        task("hour", "schedule: '0 * * * *'", "true"),
        task("seven", "schedule: { every: 7s }", "true"),
        task("overnight", "schedule: '30 * * * *', business_hours: '22:00-21:00'", "true"),
    ];
    let world = World::new(&format!("tasks:\n{}", tasks.concat()));
    set_clock(&world, "+0");
    let mut daemon = start(&world, &library);
    world.wait_for_row("second", "succeeded", |row| row.state() == "succeeded");
    for (offset, hours) in [("+3h", 3), ("+2d", 48), ("-2d", -48), ("-1d", -24), ("+10y", 10 * 365 * 24), ("+0", 0)] {
        let before: Vec<usize> = NAMES.iter().map(|name| world.history(name).len()).collect();
        let forward = SignedDuration::ZERO < SignedDuration::from_hours(hours).saturating_sub(offset_now(&world));
        set_clock(&world, offset);
        let (since, now) = (Instant::now(), Timestamp::now());
        wait_for("the new time is acted upon", Duration::from_secs(10), || {
            let near = |row: &Row| row.state() == "succeeded" && near(row.fire_at(), hours);
            world.history("second").iter().rev().take(5).any(near).then_some(())
        });
        let decided = since.elapsed();
        watch(Duration::from_millis(1_500));
        // What has run for an instant that lay before the new time when the clock was set.
        let jump = now.checked_add(offset_now(&world)).unwrap();
        let mut caught = Vec::new();
        for (name, before) in NAMES.iter().zip(before) {
            let rows = world.history(name).split_off(before);
            let catch_ups =
                rows.iter().filter(|row| row.fire_at() < jump && row.at("started_at").is_some_and(|begun| jump <= begun)).count();
            assert!(catch_ups <= 1, "{offset}: {name} caught up {catch_ups} times: {rows:?}");
            assert!(forward || catch_ups == 0, "{offset}: {name} caught up after a jump back: {rows:?}");
            caught.push(catch_ups);
        }
        println!("{offset}: decided within {decided:?}, catch-ups {caught:?}");
        assert!(decided < Duration::from_secs(4), "{offset}: decided only after {decided:?}");
    }
    assert_eq!(daemon.stop(), 0);
    for name in NAMES {
        let runs: Vec<Timestamp> = world.history(name).iter().filter(|row| row.state() != "skipped").map(Row::fire_at).collect();
        assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), runs.len(), "{name} ran twice for one instant");
        // A fire that came due just before the clock was set back begins days "before" it.
        let early = |late: &SignedDuration| (-3_600..-1).contains(&late.as_secs());
        assert!(!world.history(name).iter().filter_map(Row::lateness).any(|late| early(&late)), "{name} began early");
    }
    world.assert_nothing_left();
}

/// Whether an instant is now, on a clock that many hours off. Years have leap days.
fn near(at: Timestamp, hours: i64) -> bool {
    let off = at.duration_since(Timestamp::now()).saturating_sub(SignedDuration::from_hours(hours)).abs();
    off < SignedDuration::from_hours(if hours > 1_000 { 96 } else { 1 })
}

/// How far the daemon's clock is off now.
fn offset_now(world: &World) -> SignedDuration {
    let now: Timestamp = world.status().unwrap()["now"].as_str().unwrap().parse().unwrap();
    now.duration_since(Timestamp::now())
}
