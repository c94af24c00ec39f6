//! `kill -9` of the daemon and of a `once`: whoever comes next waits for nobody, and each due instant keeps its one answer.
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Row, SOON, World, alone, assert_one_answer_each, lives, stress, task, wait_for, wait_for_line, watch};

/// A command that works for a minute, and so does a descendant of it that has left its process group.
const FAMILY: &str = "setsid sleep 60 & echo $! > grandchild; echo $$ > child; sleep 60";

#[test]
fn a_start_after_a_kill_waits_for_nobody_and_ends_the_children_of_the_dead() {
    let world = World::new(&format!("tasks:\n{}", task("work", "schedule: '@start'", &alone(FAMILY))));
    let mut fastest = Duration::MAX;
    let mut dead = world.daemon();
    let mut run = world.wait_until_running("work").run();
    for _ in 0..stress(20, 3) {
        let family = ["child", "grandchild"].map(|name| wait_for_line(&world.path(name)).parse::<u32>().unwrap());
        assert!(family.iter().all(|pid| lives(*pid)));
        for name in ["child", "grandchild"] {
            std::fs::remove_file(world.path(name)).unwrap();
        }
        dead.kill();
        let mut next = world.start(&["run"]);
        fastest = fastest.min(world.wait_until_ready(&mut next));
        run = world.wait_for_row("work", "runs again", |row| run < row.run() && row.state() == "running").run();
        assert!(!family.iter().any(|pid| lives(*pid)), "children of the dead process live beside the successor's");
        dead = next;
    }
    println!("ready {fastest:?} after the start");
    assert!(fastest < Duration::from_secs(1), "ready only after {fastest:?}");
    assert_eq!(world.text("doubles"), "");
    assert_eq!(dead.stop(), 0);
    world.assert_nothing_left();
}

/// Short and long commands, failures that are tried again, named locks, and descendants that leave their group.
fn load() -> String {
    let each_second = "schedule: '* * * * * *', catch_up: latest";
    let retry = "retries: { max: 2, delay: 300ms }, on_lost: retry";
    let tasks = [
        task("short", each_second, &alone("true")),
        task("long", each_second, &alone("sleep 2.5")),
        task("flaky", &format!("{each_second}, {retry}"), &alone("sleep 0.2; exit $(((TASKRUN_RUN / 3 + TASKRUN_ATTEMPT) % 2))")),
        task("family", &format!("{each_second}, overlap: skip, {retry}"), &alone("setsid sleep 0.8 & sleep 1.4")),
        task(
            "locker",
            &format!("{each_second}, locks: [shop], lock_wait: 2s"),
            "exec 9>>held.shop; flock -n 9 || echo $TASKRUN_RUN >> doubles; sleep 0.3",
        ),
        task(
            "rival",
            &format!("{each_second}, locks: [shop], overlap: queue, lock_wait: 500ms"),
            "exec 9>>held.shop; flock -n 9 || echo $TASKRUN_RUN >> doubles; sleep 0.6",
        ),
    ];
    format!("tasks:\n{}", tasks.concat())
}

const LOAD: [&str; 6] = ["short", "long", "flaky", "family", "locker", "rival"];

#[test]
fn kills_at_random_moments_lose_and_double_nothing() {
    let world = World::new(&load());
    let kills = stress(200, 12);
    let (mut ready, mut onces) = (Vec::new(), Vec::new());
    for kill in 0..kills {
        let mut daemon = world.start(&["run"]);
        // Some die before they are ready, most in the middle of their work.
        let life = Duration::from_millis(fastrand::u64(20..2_000));
        if kill % 4 == 0 {
            ready.push(world.wait_until_ready(&mut daemon));
        }
        // Now and then somebody starts one by hand, and is killed, too, or left to the next daemon.
        let mut once = (kill % 3 == 0).then(|| world.start(&["once", fastrand::choice(LOAD).unwrap()]));
        watch(life);
        daemon.kill();
        if let Some(once) = once.as_mut().filter(|_| kill % 2 == 0) {
            once.kill();
        }
        onces.extend(once);
    }
    let since = jiff::Timestamp::now();
    let mut last = world.daemon();
    // But for the one that is superseded every second.
    for task in LOAD.into_iter().filter(|task| *task != "long") {
        world.wait_for_row(task, "has succeeded since", |row| row.state() == "succeeded" && since < row.fire_at());
    }
    // What is open comes to its end without anything new: a command that waits for its turn would else be left to the next start.
    world.write(&load().replace("schedule: '* * * * * *', ", ""));
    world.must(&["reload"]);
    for mut once in onces {
        once.wait(SOON);
    }
    wait_for("nothing is open", SOON, || world.status()?["runs"].as_array()?.is_empty().then_some(()));
    assert_eq!(last.stop(), 0);
    assert_eq!(world.count("SELECT count(*) FROM runs WHERE state IN ('waiting', 'running', 'backoff')"), 0, "runs are open");
    let mut answers = 0;
    for task in LOAD {
        answers += assert_one_answer_each(&world.history(task), 1);
    }
    world.assert_nothing_left();
    assert_eq!(world.text("doubles"), "", "two attempts at once");
    ready.sort_unstable();
    println!("{kills} kills, {answers} due instants; ready after {:?} at the best, {:?} at the worst", ready.first(), ready.last());
}

#[test]
fn a_once_that_is_killed_blocks_nobody() {
    let world = World::new(&format!("tasks:\n{}", task("work", "", &alone(&format!("[ -e quick ] || {{ {FAMILY}; }}")))));
    let mut first = world.start(&["once", "work"]);
    let family = ["child", "grandchild"].map(|name| wait_for_line(&world.path(name)).parse::<u32>().unwrap());
    let run = world.wait_until_running("work").run();
    first.kill();
    std::fs::write(world.path("quick"), "").unwrap();
    let mut second = world.start(&["once", "work"]);
    assert_eq!(second.wait(SOON), 0);
    println!("a `once` after a killed one took {:?}", second.age());
    assert!(!family.iter().any(|pid| lives(*pid)));
    let rows = world.history("work");
    assert_eq!(rows.iter().map(Row::state).collect::<Vec<_>>(), ["lost", "succeeded"]);
    assert_eq!(rows[0].run(), run);
    assert_eq!(world.text("doubles"), "");
    world.assert_nothing_left();
}

#[test]
fn the_daemon_clears_up_after_a_once_that_was_killed_beside_it() {
    let world = World::new(&format!("tasks:\n{}", task("work", "", FAMILY)));
    let mut daemon = world.daemon();
    let mut once = world.start(&["once", "work"]);
    world.wait_until_running("work");
    let family = ["child", "grandchild"].map(|name| wait_for_line(&world.path(name)).parse::<u32>().unwrap());
    once.kill();
    let row = world.wait_for_row("work", "is over", |row| row.state() != "running");
    assert_eq!(row.state(), "lost");
    assert!(!family.iter().any(|pid| lives(*pid)));
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}

#[test]
fn a_daemon_that_was_killed_while_stopped_is_dead_all_the_same() {
    let world = World::new(&format!("tasks:\n{}", task("work", "schedule: '@start'", FAMILY)));
    let mut first = world.daemon();
    world.wait_until_running("work");
    first.signal(Signal::STOP);
    first.kill();
    let mut second = world.daemon();
    world.wait_for_row("work", "is lost", |row| row.state() == "lost");
    assert_eq!(second.stop(), 0);
    world.assert_nothing_left();
}
