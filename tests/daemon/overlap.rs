//! The newest start counts, and the other policies, between processes.
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Process, Row, SOON, World, alone, lives, stress, task, wait_for, wait_for_line, watch};

/// How long the first of two commands works unless it is stopped: far longer than the test waits.
const LONG: &str = "60";

/// A task that works for as long as the file `length` says.
fn sleeper(keys: &str) -> World {
    let world = World::new(&format!("tasks:\n{}", task("work", keys, &alone("echo $$ > child; sleep $(cat length)"))));
    set_length(&world, LONG);
    world
}

fn set_length(world: &World, length: &str) {
    std::fs::write(world.path("length"), length).unwrap();
}

/// The length of a second command, which has to end by itself.
fn own_length() -> &'static str {
    stress("60", "1")
}

fn own_limit() -> Duration {
    SOON + Duration::from_secs(stress(60, 1))
}

#[test]
fn of_two_onces_the_newer_counts() {
    let world = sleeper("");
    let mut first = world.start(&["once", "work"]);
    let older = world.wait_until_running("work");
    set_length(&world, own_length());
    let mut second = world.start(&["once", "work"]);
    assert_eq!(first.wait(Duration::from_secs(5)), 75);
    println!("superseded {:?} after the second was started", second.age());
    assert_eq!(second.wait(own_limit()), 0);
    assert_superseded(&world, &older, "succeeded");
}

#[test]
fn a_once_beside_the_daemon_counts_more_than_its_run() {
    let world = sleeper("schedule: '@start'");
    let mut daemon = world.daemon();
    let older = world.wait_until_running("work");
    set_length(&world, own_length());
    let mut once = world.start(&["once", "work"]);
    assert_eq!(once.wait(own_limit()), 0);
    assert_superseded(&world, &older, "succeeded");
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}

#[test]
fn a_fire_of_the_daemon_counts_more_than_an_older_once() {
    let world = sleeper("");
    let mut daemon = world.daemon();
    let mut once = world.start(&["once", "work"]);
    let older = world.wait_until_running("work");
    set_length(&world, own_length());
    world.must(&["trigger", "work"]);
    assert_eq!(once.wait(Duration::from_secs(5)), 75);
    wait_for("the newer run has ended", own_limit(), || world.history("work").iter().all(|row| row.at("ended_at").is_some()).then_some(()));
    assert_superseded(&world, &older, "succeeded");
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}

/// The history shows both runs, and who superseded whom; they never ran at once.
#[track_caller]
fn assert_superseded(world: &World, older: &Row, end: &str) {
    let rows = world.history("work");
    assert_eq!(rows.iter().map(Row::state).collect::<Vec<_>>(), ["superseded", end]);
    assert_eq!((rows[0].run(), rows[0].by()), (older.run(), Some(rows[1].run())));
    assert!(rows[0].at("ended_at") <= rows[1].at("started_at"), "{rows:?}");
    assert_eq!(world.text("doubles"), "");
    world.assert_no_children();
}

#[test]
fn a_command_that_ignores_the_newcomer_is_killed_after_its_grace() {
    let world = World::new(&format!(
        "tasks:\n{}",
        task("work", "", &alone("[ -e quick ] || { trap '' TERM; echo $$ > child; while :; do sleep 0.2; done; }"))
    ));
    let mut first = world.start(&["once", "work"]);
    let child: u32 = wait_for_line(&world.path("child")).parse().unwrap();
    let older = world.wait_until_running("work");
    std::fs::write(world.path("quick"), "").unwrap();
    let mut second = world.start(&["once", "work"]);
    assert_eq!((second.wait(SOON), first.wait(SOON)), (0, 75));
    assert!(!lives(child));
    assert_superseded(&world, &older, "succeeded");
    let waited = world.history("work")[1].lateness().unwrap();
    println!("the newcomer waited {waited:#} for a command that ignores it");
    // Its grace is 2 s.
    assert!((1.9..4.0).contains(&waited.as_secs_f64()), "{waited:#}");
    world.assert_nothing_left();
}

#[test]
fn a_once_that_hangs_is_taken_over_and_changes_nothing_when_it_wakes() {
    let world = sleeper("");
    let mut first = world.start(&["once", "work"]);
    taken_over(&world, &mut first, |world| world.start(&["once", "work"]));
    assert_eq!(first.wait(SOON), 75);
    world.assert_nothing_left();
}

#[test]
fn a_daemon_that_hangs_is_taken_over_by_a_once_and_goes_on_when_it_wakes() {
    let world = sleeper("schedule: '@start'");
    let mut daemon = world.daemon();
    taken_over(&world, &mut daemon, |world| world.start(&["once", "work"]));
    wait_for("the daemon has heard of it", SOON, || world.status().filter(|status| status["runs"].as_array().unwrap().is_empty()));
    world.must(&["trigger", "work"]);
    world.wait_for_row("work", "succeeded again", |row| row.trigger() == "api" && row.state() == "succeeded");
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}

/// Stops the first, which has a run; starts a second, which has to succeed; wakes the first.
fn taken_over(world: &World, first: &mut Process, start: impl Fn(&World) -> Process) {
    let older = world.wait_until_running("work");
    let child: u32 = wait_for_line(&world.path("child")).parse().unwrap();
    world.wait_for_children(1);
    first.signal(Signal::STOP);
    set_length(world, "1");
    let mut second = start(world);
    let newer = world.wait_for_row("work", "runs, and is newer", |row| row.run() > older.run() && row.state() != "waiting");
    let waited = second.age();
    println!("took over {waited:?} after the start");
    // `takeover` is 2 s, and a process that hangs is asked for a second before.
    assert!(waited < Duration::from_secs(5), "took over only after {waited:?}");
    assert!(!lives(child), "the child of the hung process works beside the newcomer's");
    assert_eq!(second.wait(SOON), 0);
    let ended = world.history("work")[0].clone();
    assert_eq!((ended.state(), ended.by()), ("superseded", Some(newer.run())));
    first.signal(Signal::CONT);
    // It looks at its stop requests every second.
    watch(Duration::from_millis(1_500));
    let rows = world.history("work");
    assert_eq!(rows[0].0, ended.0, "the hung process changed the end of its run");
    assert_eq!(rows[1].state(), "succeeded");
    assert_eq!(world.text("doubles"), "");
}

#[test]
fn a_newcomer_is_skipped_where_the_older_run_counts() {
    let world = sleeper("overlap: skip");
    let mut first = world.start(&["once", "work"]);
    let older = world.wait_until_running("work");
    let mut second = world.start(&["once", "work"]);
    assert_eq!(second.wait(SOON), 75);
    assert!(first.ended().is_none());
    let rows = world.history("work");
    assert_eq!((rows[0].run(), rows[0].state(), rows[1].state(), rows[1].reason()), (older.run(), "running", "skipped", "overlap"));
    first.signal(Signal::INT);
    assert_eq!(first.wait(SOON), 130);
    world.assert_nothing_left();
}

#[test]
fn a_newcomer_waits_one_deep_where_runs_queue() {
    let world = sleeper("overlap: queue");
    let mut first = world.start(&["once", "work"]);
    world.wait_until_running("work");
    let mut second = world.start(&["once", "work"]);
    world.wait_for_row("work", "waits", |row| row.state() == "waiting");
    let mut third = world.start(&["once", "work"]);
    assert_eq!(third.wait(SOON), 75);
    assert!(first.ended().is_none() && second.ended().is_none());
    set_length(&world, "0.5");
    world.must(&["cancel", &world.history("work")[0].run().to_string()]);
    assert_eq!(first.wait(SOON), 75);
    assert_eq!(second.wait(SOON), 0);
    let rows = world.history("work");
    assert_eq!(rows.iter().map(Row::state).collect::<Vec<_>>(), ["cancelled", "succeeded", "skipped"]);
    assert_eq!(world.text("doubles"), "");
    world.assert_nothing_left();
}

#[test]
fn a_once_takes_the_place_of_a_run_that_a_stop_set_aside() {
    for overlap in ["last_wins", "skip", "queue"] {
        let keys = format!("overlap: {overlap}, retries: {{ max: 1, delay: 1h }}, with: {{ checks: [{{ command: [cat, ready] }}] }}");
        let world = World::new(&format!("tasks:\n  work: {{ handler: health_check, schedule: '@start', {keys} }}\n"));
        let mut daemon = world.daemon();
        let aside = world.wait_for_row("work", "waits for its retry", |row| row.state() == "backoff").run();
        assert_eq!(daemon.stop(), 0);
        std::fs::write(world.path("ready"), "").unwrap();
        assert_eq!(world.start(&["once", "work"]).wait(SOON), 0, "{overlap}");
        let rows = world.history("work");
        assert_eq!((rows[0].run(), rows[0].state(), rows[0].by()), (aside, "superseded", Some(rows[1].run())), "{overlap}: {rows:?}");
        assert_eq!((rows.len(), rows[1].state()), (2, "succeeded"), "{overlap}: {rows:?}");
        world.assert_nothing_left();
    }
}

#[test]
fn both_run_where_overlap_is_allowed() {
    let world = World::new(&format!("tasks:\n{}", task("work", "overlap: allow", "sleep 1.5")));
    let mut both = [world.start(&["once", "work"]), world.start(&["once", "work"])];
    wait_for("both run", SOON, || (world.history("work").iter().filter(|row| row.state() == "running").count() == 2).then_some(()));
    assert_eq!(both.each_mut().map(|once| once.wait(SOON)), [0, 0]);
    world.assert_nothing_left();
}

#[test]
fn of_a_storm_of_starts_the_newest_counts_and_two_never_run_at_once() {
    // It takes its time to stop.
    let script = "trap 'sleep 0.4; exit 1' TERM; sleep 0.7 & wait";
    let world = World::new(&format!("tasks:\n{}", task("work", "", &alone(script))));
    let mut daemon = world.daemon();
    let storm = stress(100, 10);
    let mut onces: Vec<Process> = (0..storm)
        .map(|number| {
            if number % 3 == 2 {
                world.must(&["trigger", "work"]);
            }
            world.start(&["once", "work"])
        })
        .collect();
    let codes: Vec<i32> = onces.iter_mut().map(|once| once.wait(Duration::from_mins(2))).collect();
    assert!(codes.iter().all(|code| [0, 75].contains(code)), "{codes:?}");
    wait_for("nothing is open", SOON, || world.history("work").iter().all(|row| row.at("ended_at").is_some()).then_some(()));
    let rows = world.history("work");
    let newest = rows.last().unwrap();
    assert_eq!(newest.state(), "succeeded", "{newest:?}");
    assert!(rows.iter().all(|row| ["succeeded", "superseded"].contains(&row.state())));
    assert_eq!(world.text("doubles"), "");
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}
