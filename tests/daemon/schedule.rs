//! Schedules over restarts and downtimes.
use std::time::Duration;

use jiff::Timestamp;

use super::harness::{Row, SOON, World, assert_one_answer_each, task, wait_for, watch};

#[test]
fn a_start_fires_once_at_each_start_and_not_at_a_reload() {
    let world = World::new(&format!("tasks:\n{}", task("hello", "schedule: '@start'", "true")));
    for start in 1..=3 {
        let mut daemon = world.daemon();
        wait_for("it has run", SOON, || {
            let rows = world.history("hello");
            (rows.len() == start && rows.iter().all(|row| row.state() == "succeeded")).then_some(())
        });
        world.must(&["reload"]);
        watch(Duration::from_millis(1_200));
        assert_eq!(world.history("hello").len(), start);
        if start == 2 { daemon.kill() } else { assert_eq!(daemon.stop(), 0) }
    }
    assert!(world.history("hello").iter().all(|row| row.trigger() == "schedule"));
    world.assert_nothing_left();
}

#[test]
fn every_keeps_its_phase_over_restarts() {
    let world = World::new(&format!("tasks:\n{}", task("beat", "schedule: { every: 2s }", "true")));
    for start in 0..3 {
        let seen = world.status().map_or(0, |_| world.history("beat").len());
        let mut daemon = world.daemon();
        wait_for("it has fired", SOON, || (seen + start < world.history("beat").len()).then_some(()));
        assert_eq!(daemon.stop(), 0);
        watch(Duration::from_millis(700));
    }
    let rows = world.history("beat");
    assert!(rows.iter().all(|row| row.fire_at().as_millisecond() % 2_000 == 0), "{rows:?}");
    assert_one_answer_each(&rows, 2);
}

#[test]
fn after_counts_from_the_end_of_the_run_before() {
    // The second works longer than it waits.
    let tasks = task("short", "schedule: { after: 1s }", "sleep 0.3") + &task("long", "schedule: { after: 1s }", "sleep 1.6");
    let world = World::new(&format!("tasks:\n{tasks}"));
    let succeeded = |task: &str| world.history(task).iter().filter(|row| row.state() == "succeeded").count();
    let mut daemon = world.daemon();
    wait_for("each has run twice", SOON, || (succeeded("short") >= 2 && succeeded("long") >= 2).then_some(()));
    assert_eq!(daemon.stop(), 0);
    let mut daemon = world.daemon();
    world.must(&["trigger", "short"]);
    let before = (succeeded("short"), succeeded("long"));
    wait_for("each goes on", SOON, || (before.0 + 2 < succeeded("short") && before.1 < succeeded("long")).then_some(()));
    assert_eq!(daemon.stop(), 0);
    for name in ["short", "long"] {
        let rows = world.history(name);
        assert!(rows.iter().all(|row| row.state() != "superseded"), "{rows:?}");
        for pair in rows.windows(2) {
            let (ended, begun) = (pair[0].at("ended_at").unwrap(), pair[1].at("started_at"));
            if let Some(begun) = begun.filter(|_| pair[1].trigger() == "schedule" && pair[0].state() == "succeeded") {
                let wait = begun.duration_since(ended).as_millis();
                assert!((999..2_500).contains(&wait), "{wait} ms between {pair:?}");
            }
        }
    }
    world.assert_nothing_left();
}

#[test]
fn after_counts_from_the_end_of_a_once_too_and_does_not_fire_into_it() {
    let world = World::new(&format!("tasks:\n{}", task("loop", "schedule: { after: 1s }", "sleep 0.3; [ ! -e long ] || sleep 2.5")));
    let mut daemon = world.daemon();
    world.wait_for_row("loop", "succeeded", |row| row.state() == "succeeded");
    std::fs::write(world.path("long"), "").unwrap();
    let mut once = world.start(&["once", "loop"]);
    world.wait_for_row("loop", "was started by hand", |row| row.trigger() == "manual" && row.state() == "running");
    std::fs::remove_file(world.path("long")).unwrap();
    assert_eq!(once.wait(SOON), 0, "the schedule fired into it");
    let by_hand = world.wait_for_row("loop", "was started by hand", |row| row.trigger() == "manual");
    let next = world.wait_for_row("loop", "goes on", |row| by_hand.run() < row.run() && row.at("started_at").is_some());
    assert_eq!(daemon.stop(), 0);
    let wait = next.at("started_at").unwrap().duration_since(by_hand.at("ended_at").unwrap()).as_millis();
    // It looks again a second after it looked in vain, and then counts from the end.
    assert!((999..3_500).contains(&wait), "{wait} ms");
    world.assert_nothing_left();
}

#[test]
fn what_was_missed_is_caught_up_as_each_task_says() {
    let each_minute = "schedule: '* * * * *'";
    let tasks = [
        task("never", &format!("{each_minute}, catch_up: none"), "true"),
        task("newest", &format!("{each_minute}, catch_up: latest"), "true"),
        task("each", &format!("{each_minute}, catch_up: all"), "sleep 0.1"),
        task("recent", &format!("{each_minute}, catch_up: all, start_deadline: 3m 30s"), "true"),
    ];
    let world = World::new(&format!("tasks:\n{}", tasks.concat()));
    let names = ["never", "newest", "each", "recent"];
    // Neither a minute begins nor one of them gets too old while they are judged.
    wait_for("the clock is between two edges", Duration::from_secs(20), || {
        let second = Timestamp::now().as_second() % 60;
        ((2..20).contains(&second) || (32..48).contains(&second)).then_some(())
    });
    assert_eq!(world.daemon().stop(), 0);
    // As if it had been down for ten minutes.
    let store = rusqlite::Connection::open(world.path("state/taskrun.db")).unwrap();
    store.execute_batch("UPDATE instances SET watermark_ms = watermark_ms - 600000").unwrap();
    drop(store);
    let mut daemon = world.daemon();
    wait_for("all is caught up", SOON, || {
        let each = world.history("each");
        (each.len() >= 10 && each.iter().all(|row| row.state() == "succeeded")).then_some(())
    });
    let back: Timestamp = world.status().unwrap()["started_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(daemon.stop(), 0);
    let missed = |name: &str| -> Vec<Row> { world.history(name).into_iter().filter(|row| row.fire_at() <= back).collect() };
    // A fire of the last minute is in time.
    let late = |row: &Row| back.duration_since(row.fire_at()).as_secs() >= 60;
    let never = missed("never");
    assert!(never.iter().filter(|row| late(row)).all(|row| row.reason() == "misfire"), "{never:?}");
    let newest = missed("newest");
    assert_eq!(newest.iter().map(Row::state).collect::<Vec<_>>(), ["skipped", "succeeded"], "{newest:?}");
    assert!(newest[0].count() >= 8 && back.duration_since(newest[1].fire_at()).as_secs() <= 60, "{newest:?}");
    let each = missed("each");
    assert!(each.len() >= 10 && each.iter().all(|row| row.state() == "succeeded"), "{each:?}");
    assert!(each.iter().filter(|row| late(row)).all(|row| row.trigger() == "catch_up"), "{each:?}");
    assert!(
        each.windows(2).all(|pair| pair[0].fire_at() < pair[1].fire_at() && pair[0].at("ended_at") <= pair[1].at("started_at")),
        "{each:?}"
    );
    // The edge lies where the daemon decided, not where it started: a fire may cross it in between.
    let recent = missed("recent");
    let edge = recent[0].at("ended_at").unwrap() - Duration::from_secs(210);
    assert_eq!(recent[0].state(), "skipped", "{recent:?}");
    assert!(recent[0].at("last_fire_at") < Some(edge) && recent[1..].iter().all(|row| edge <= row.fire_at()), "{recent:?}");
    assert!(recent.len() >= 4 && recent[1..].iter().all(|row| row.state() == "succeeded"), "{recent:?}");
    for name in names {
        assert_one_answer_each(&world.history(name), 60);
    }
    world.assert_nothing_left();
}

#[test]
fn a_short_downtime_is_made_good() {
    let each_second = "schedule: '* * * * * *'";
    let tasks = [task("newest", each_second, "true"), task("each", &format!("{each_second}, catch_up: all"), "sleep 0.1")];
    let world = World::new(&format!("tasks:\n{}", tasks.concat()));
    for killed in [false, true] {
        let mut daemon = world.daemon();
        for name in ["newest", "each"] {
            world.wait_for_row(name, "succeeded", |row| row.state() == "succeeded");
        }
        if killed {
            daemon.kill();
        } else {
            assert_eq!(daemon.stop(), 0);
        }
        watch(Duration::from_secs(4));
    }
    let mut daemon = world.daemon();
    let now = Timestamp::now();
    for name in ["newest", "each"] {
        world.wait_for_row(name, "goes on", |row| now < row.fire_at() && row.state() == "succeeded");
    }
    assert_eq!(daemon.stop(), 0);
    for name in ["newest", "each"] {
        assert_one_answer_each(&world.history(name), 1);
    }
    let each = world.history("each");
    // The last of them is in time, and may be superseded by the next.
    let end =
        |row: &Row| ["succeeded", "lost", "cancelled"].contains(&row.state()) || (row.trigger(), row.state()) == ("schedule", "superseded");
    assert!(each.iter().all(end), "each instant has its run: {each:?}");
    assert!(each.iter().filter(|row| row.state() == "succeeded").count() >= 8);
    assert!(world.history("newest").iter().filter(|row| row.reason() == "misfire").map(Row::count).sum::<i64>() >= 5);
    world.assert_nothing_left();
}
