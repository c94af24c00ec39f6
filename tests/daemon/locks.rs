//! Named locks, places, pauses and cancellation, between processes.
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Row, SOON, World, lives, task, wait_for, wait_for_line, watch};

/// Two tasks that share a lock. The holder works until the file `done` is there.
fn shop(keys: &str) -> World {
    let alone = "exec 9>>held; flock -n 9 || echo $TASKRUN_INSTANCE >> doubles;";
    let holder = task("holder", "locks: [shop]", &format!("{alone} echo $$ > child; while ! [ -e done ]; do sleep 0.05; done"));
    let wanter = task("wanter", &format!("locks: [shop]{keys}"), &format!("{alone} sleep 0.3"));
    World::new(&format!("tasks:\n{holder}{wanter}"))
}

#[test]
fn a_run_whose_named_lock_is_held_is_skipped_and_the_holder_goes_on() {
    let world = shop("");
    let mut holder = world.start(&["once", "holder"]);
    world.wait_until_running("holder");
    let mut wanter = world.start(&["once", "wanter"]);
    assert_eq!(wanter.wait(SOON), 75);
    let row = world.history("wanter").remove(0);
    assert_eq!((row.state(), row.reason()), ("skipped", "lock_busy"));
    std::fs::write(world.path("done"), "").unwrap();
    assert_eq!(holder.wait(SOON), 0);
    world.assert_nothing_left();
}

#[test]
fn a_run_waits_for_its_named_lock_across_processes() {
    let world = shop(", lock_wait: 20s");
    let mut holder = world.start(&["once", "holder"]);
    world.wait_until_running("holder");
    let mut daemon = world.daemon();
    world.must(&["trigger", "wanter"]);
    world.wait_for_row("wanter", "waits", |row| row.state() == "waiting");
    let mut late = world.start(&["once", "wanter"]);
    world.wait_for_row("wanter", "gave way to a newer one", |row| ["superseded", "skipped"].contains(&row.state()));
    std::fs::write(world.path("done"), "").unwrap();
    assert_eq!((holder.wait(SOON), late.wait(SOON)), (0, 0));
    let freed = world.history("holder")[0].at("ended_at").unwrap();
    let begun = world.history("wanter")[1].at("started_at").unwrap();
    println!("the lock was taken {} after it was free", begun.duration_since(freed));
    assert!(freed <= begun && begun.duration_since(freed).as_secs() < 1);
    assert_eq!(world.text("doubles"), "");
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}

#[test]
fn the_named_lock_of_a_hung_holder_is_broken_after_takeover() {
    let world = shop("");
    let mut holder = world.start(&["once", "holder"]);
    world.wait_until_running("holder");
    let child: u32 = wait_for_line(&world.path("child")).parse().unwrap();
    world.wait_for_children(1);
    holder.signal(Signal::STOP);
    let mut wanter = world.start(&["once", "wanter"]);
    assert_eq!(wanter.wait(SOON), 0);
    println!("the lock was broken, and the work done, {:?} after the start", wanter.age());
    assert!(!lives(child), "what the hung holder started still works under the lock");
    let lost = world.history("holder").remove(0);
    assert_eq!(lost.state(), "lost");
    assert_eq!(world.text("doubles"), "");
    holder.signal(Signal::CONT);
    assert_ne!(holder.wait(SOON), 0);
    assert_eq!(world.history("holder").remove(0).0, lost.0);
    world.assert_nothing_left();
}

#[test]
fn a_newcomer_inherits_the_named_locks_of_the_run_that_it_supersedes() {
    let world = shop("");
    let mut older = world.start(&["once", "holder"]);
    world.wait_until_running("holder");
    let mut newer = world.start(&["once", "holder"]);
    assert_eq!(older.wait(SOON), 75);
    world.wait_until_running("holder");
    let mut wanter = world.start(&["once", "wanter"]);
    assert_eq!(wanter.wait(SOON), 75);
    std::fs::write(world.path("done"), "").unwrap();
    assert_eq!(newer.wait(SOON), 0);
    assert_eq!(world.text("doubles"), "");
    world.assert_nothing_left();
}

#[test]
fn no_more_than_max_running_run_at_once_and_a_person_does_not_wait_behind_them() {
    let mut tasks = String::from("max_running: 2\ntasks:\n");
    for number in 0..6 {
        tasks.push_str(&task(&format!("job{number}"), "schedule: '@start'", "echo + >> running; sleep 1.2; echo - >> running"));
    }
    tasks.push_str(&task("mine", "", "true"));
    let world = World::new(&tasks);
    let mut daemon = world.daemon();
    wait_for("both places are taken", SOON, || (world.lines("running").len() >= 2).then_some(()));
    world.must(&["trigger", "mine"]);
    let mine = world.wait_for_row("mine", "succeeded", |row| row.state() == "succeeded");
    assert!(mine.lateness().unwrap().as_secs_f64() < 1.0, "a start by hand waited {:?}", mine.lateness());
    assert!(world.lines("running").len() < 12, "the others were done already: this shows nothing");
    wait_for("all six have run", SOON, || (world.lines("running").len() == 12).then_some(()));
    let mut running = 0;
    for line in world.lines("running") {
        running += if line == "+" { 1 } else { -1 };
        assert!(running <= 2, "three at once");
    }
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}

#[test]
fn a_pause_outlives_the_daemon_and_holds_for_starts_by_hand() {
    let world = World::new(&format!("tasks:\n{}", task("work", "schedule: '* * * * * *'", "true")));
    world.must(&["pause", "work", "--reason", "stock taking"]);
    for _ in 0..2 {
        let mut daemon = world.daemon();
        world.wait_for_row("work", "is skipped", |row| row.reason() == "paused" && row.count() > 1);
        assert_eq!(daemon.stop(), 0);
    }
    assert_eq!(world.run(&["once", "work"]).0, 75);
    let mut daemon = world.daemon();
    world.must(&["resume", "work"]);
    world.wait_for_row("work", "succeeded", |row| row.state() == "succeeded");
    assert_eq!(daemon.stop(), 0);
    let rows = world.history("work");
    super::harness::assert_one_answer_each(&rows, 1);
    let paused: Vec<&Row> = rows.iter().filter(|row| row.reason() == "paused").collect();
    assert!(paused.iter().all(|row| row.text().contains("stock taking")), "{paused:?}");
    world.assert_nothing_left();
}

#[test]
fn a_run_is_cancelled_whoever_has_it() {
    let tasks = [task("mine", "", "sleep 60"), task("daemons", "schedule: '@start'", "sleep 60")];
    let world = World::new(&format!("tasks:\n{}", tasks.concat()));
    let mut once = world.start(&["once", "mine"]);
    let mine = world.wait_until_running("mine");
    // No daemon is there to help.
    world.must(&["cancel", &mine.run().to_string()]);
    assert_eq!(once.wait(Duration::from_secs(5)), 75);
    let mut daemon = world.daemon();
    let daemons = world.wait_until_running("daemons");
    world.must(&["cancel", &daemons.run().to_string()]);
    world.wait_for_row("daemons", "is cancelled", |row| row.state() == "cancelled");
    assert_eq!(world.history("mine")[0].state(), "cancelled");
    assert_eq!(world.run(&["cancel", &mine.run().to_string()]).0, 2, "it is not open any more");
    // And nobody begins it again.
    watch(Duration::from_secs(1));
    assert_eq!((world.history("mine").len(), world.history("daemons").len()), (1, 1));
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}
