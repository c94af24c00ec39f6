//! What follows a success is started exactly once, whoever dies in between, and what a task needs is asked for.
use std::time::Duration;

use super::harness::{Row, SOON, World, stress, task, wait_for, watch};

/// Successes that do not have exactly one answer each.
const WRONG: &str = "SELECT count(*) FROM runs f WHERE f.task = 'first' AND f.run_end = 'succeeded' AND f.dry = 0
  AND (SELECT count(*) FROM runs s WHERE s.cause = f.id) <> 1";

fn chain(first: &str, second: &str) -> World {
    let first = task("first", &format!("{first}, after_success: [second]"), "[ ! -e fails ]");
    World::new(&format!("tasks:\n{first}{}", task("second", second, "echo $TASKRUN_RUN >> seconds")))
}

#[test]
fn a_success_starts_what_follows_even_if_its_daemon_comes_later_and_a_failure_starts_nothing() {
    let world = chain("enabled: true", "overlap: queue");
    world.must(&["once", "first"]);
    world.must(&["once", "first", "--dry-run"]);
    std::fs::write(world.path("fails"), "").unwrap();
    assert_eq!(world.run(&["once", "first"]).0, 1);
    assert_eq!(world.history("second").len(), 0, "nobody is there to start it");
    assert_eq!(world.count("SELECT count(*) FROM follow_ups"), 1);
    let mut daemon = world.daemon();
    let row = world.wait_for_row("second", "has run", |row| row.state() == "succeeded");
    assert_eq!(row.trigger(), "after_success");
    // Beside a daemon it is started at once.
    std::fs::remove_file(world.path("fails")).unwrap();
    world.must(&["once", "first"]);
    wait_for("the second follow-up", SOON, || (world.lines("seconds").len() == 2).then_some(()));
    world.must(&["trigger", "first"]);
    wait_for("the third follow-up", SOON, || (world.lines("seconds").len() == 3).then_some(()));
    assert_eq!((world.count(WRONG), world.count("SELECT count(*) FROM follow_ups")), (0, 0));
    let first = world.history("first")[0].run();
    let explained = world.must(&["explain", "second", "--at", &row.at("ended_at").unwrap().to_string()]);
    assert!(explained.contains(&format!("(after_success of run {first}), which ended as succeeded")), "{explained}");
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}

#[test]
fn what_is_off_or_paused_is_skipped_with_its_reason() {
    let world = chain("enabled: true", "enabled: false");
    let mut daemon = world.daemon();
    world.must(&["trigger", "first"]);
    let row = world.wait_for_row("second", "is skipped", |row| row.state() == "skipped");
    assert_eq!((row.reason(), row.trigger()), ("disabled", "after_success"));
    assert_eq!(daemon.stop(), 0);
    let world = chain("enabled: true", "enabled: true");
    let mut daemon = world.daemon();
    world.must(&["pause", "second"]);
    world.must(&["trigger", "first"]);
    let row = world.wait_for_row("second", "is skipped", |row| row.state() == "skipped");
    assert_eq!((row.reason(), world.lines("seconds").len()), ("paused", 0));
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn kills_between_a_success_and_what_follows_lose_and_double_nothing() {
    let world = chain("schedule: '* * * * * *', on_lost: retry", "overlap: queue, on_lost: retry");
    for kill in 0..stress(100, 8) {
        let mut daemon = world.start(&["run"]);
        let mut once = (kill % 2 == 0).then(|| world.start(&["once", "first"]));
        watch(Duration::from_millis(fastrand::u64(300..1_800)));
        daemon.kill();
        if let Some(once) = &mut once {
            watch(Duration::from_millis(fastrand::u64(0..300)));
            once.kill();
        }
    }
    let mut daemon = world.daemon();
    world.must(&["pause", "first"]);
    let quiet = "SELECT (SELECT count(*) FROM follow_ups) + (SELECT count(*) FROM runs WHERE state IN ('waiting', 'running', 'backoff'))";
    wait_for("everything has its answer", SOON, || (world.count(quiet) == 0).then_some(()));
    let successes = world.history("first").iter().filter(|row| row.state() == "succeeded").count();
    println!("{successes} successes");
    assert!(3 < successes);
    assert_eq!(world.count(WRONG), 0, "{}", world.picture());
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}

#[test]
fn a_need_holds_back_the_schedule_but_not_a_person() {
    let first = task("first", "enabled: true", "[ ! -e fails ]");
    let second = task("second", "schedule: '* * * * * *', needs: { first: { max_age: 1h } }", "true");
    let world = World::new(&format!("tasks:\n{first}{second}"));
    let mut daemon = world.daemon();
    let skipped = |row: &Row| row.reason() == "needs_unmet" && 1 < row.count();
    let row = world.wait_for_row("second", "is skipped twice, in one row", skipped);
    assert_eq!(row.text(), "needs first succeeded within 1h: first has not ended yet");
    let (code, output) = world.run(&["once", "second"]);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("first has not ended yet; it was started by hand, and runs all the same"), "{output}");
    world.must(&["once", "first"]);
    world.wait_for_row("second", "runs by its schedule", |row| row.state() == "succeeded" && row.trigger() == "schedule");
    let explained = world.must(&["explain", "second"]);
    assert!(explained.contains("  needs first succeeded within 1h: ok "), "{explained}");
    assert_eq!(daemon.stop(), 0);
}
