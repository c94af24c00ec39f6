//! One daemon for a store, and how it ends.
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Process, Row, SOON, World, assert_one_answer_each, lives, stress, task, wait_for, wait_for_line, watch};

fn work(script: &str) -> World {
    World::new(&format!("tasks:\n{}", task("work", "schedule: '@start'", script)))
}

#[test]
fn acceptance_07_a_second_daemon_is_refused_with_the_pid_of_the_first_and_so_is_a_third() {
    let world = work("sleep 60");
    let mut first = world.daemon();
    for _ in 0..2 {
        let (code, said) = world.run(&["run"]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(&first.pid().to_string()) && said.contains("--replace"), "{said}");
    }
    assert_eq!(world.history("work").len(), 1, "the refused daemon did something");
    assert_eq!(first.stop(), 0);
}

#[test]
fn of_many_daemons_that_start_at_once_one_runs() {
    let world = work("sleep 60");
    for _ in 0..stress(20, 2) {
        let mut many: Vec<_> = (0..6).map(|_| world.start(&["run"])).collect();
        wait_for("all but one are refused", SOON, || (many.iter_mut().filter_map(Process::ended).count() == 5).then_some(()));
        let winner = many.iter_mut().find_map(|one| one.ended().is_none().then_some(one)).unwrap();
        world.wait_until_ready(winner);
        assert_eq!(winner.stop(), 0);
        for mut refused in many {
            let code = refused.wait(SOON);
            assert!(code == 2 || code == 0, "{code}: {}", refused.output());
        }
    }
}

#[test]
fn replace_takes_over_from_a_daemon_and_from_one_that_hangs() {
    let world = work("echo $$ > child; sleep 60");
    let mut first = world.daemon();
    world.wait_until_running("work");
    let child: u32 = wait_for_line(&world.path("child")).parse().unwrap();
    let mut second = world.start(&["run", "--replace"]);
    assert_eq!(first.wait(SOON), 0);
    world.wait_until_ready(&mut second);
    assert!(!lives(child));
    assert_eq!(world.history("work")[0].state(), "cancelled");
    second.signal(Signal::STOP);
    let mut third = world.start(&["run", "--replace"]);
    // The grace period of 3 s and ten seconds more: then it is killed.
    wait_for("the third has taken over", Duration::from_secs(40), || world.status().filter(|status| status["pid"] == third.pid()));
    assert_eq!(second.wait(SOON), -9);
    world.wait_for_row("work", "is lost", |row| row.state() == "lost");
    // Told to stop earlier, it would leave the dead process to the next start.
    wait_for("the killed process is forgotten", SOON, || (world.count("SELECT count(*) FROM processes") == 1).then_some(()));
    assert_eq!(third.stop(), 0);
    world.assert_nothing_left();
}

#[test]
fn a_daemon_that_is_told_to_stop_ends_its_commands_and_says_so() {
    for signal in [Signal::TERM, Signal::INT] {
        let world = work("setsid sleep 60 & echo $! > grandchild; echo $$ > child; sleep 60");
        let mut daemon = world.daemon();
        let family = ["child", "grandchild"].map(|name| wait_for_line(&world.path(name)).parse::<u32>().unwrap());
        daemon.signal(signal);
        assert_eq!(daemon.wait(Duration::from_secs(4)), 0, "{}", daemon.output());
        assert!(!family.iter().any(|pid| lives(*pid)), "children live on");
        let rows = world.history("work");
        assert_eq!(rows.iter().map(Row::state).collect::<Vec<_>>(), ["cancelled"]);
        world.assert_nothing_left();
        assert_eq!(world.run(&["status"]).0, 3);
    }
}

#[test]
fn a_command_that_ignores_the_signal_is_killed_after_its_grace() {
    let world = work("trap '' TERM; echo $$ > child; while :; do sleep 1; done");
    let mut daemon = world.daemon();
    let child: u32 = wait_for_line(&world.path("child")).parse().unwrap();
    daemon.signal(Signal::TERM);
    // Its grace is 2 s, and two more to notice that it was killed.
    assert_eq!(daemon.wait(Duration::from_secs(6)), 0, "{}", daemon.output());
    assert!(!lives(child));
    assert_eq!(world.history("work")[0].state(), "cancelled");
    world.assert_nothing_left();
}

#[test]
fn a_second_signal_does_not_wait() {
    let world = World::new("");
    let deaf = task("work", "schedule: '@start', grace: 60s", "trap '' TERM; echo $$ > child; while :; do sleep 1; done");
    world.write_raw(&format!("shutdown_grace: 60s\nlog: {{ console: false }}\ntasks:\n{deaf}"));
    let mut daemon = world.daemon();
    let child: u32 = wait_for_line(&world.path("child")).parse().unwrap();
    daemon.signal(Signal::TERM);
    watch(Duration::from_secs(1));
    assert!(daemon.ended().is_none() && lives(child), "the grace period was not kept");
    daemon.signal(Signal::TERM);
    daemon.wait(Duration::from_secs(4));
    assert!(!lives(child));
    world.assert_no_children();
    assert_eq!(world.count("SELECT count(*) FROM runs WHERE state = 'running'"), 0);
}

#[test]
fn a_stop_at_any_moment_loses_no_fire_and_ends_in_time() {
    let each_second = "schedule: '* * * * * *'";
    let tasks = [
        task("quick", each_second, "true"),
        task("slow", each_second, "sleep 1.7"),
        task("queued", &format!("{each_second}, overlap: queue"), "sleep 1.3"),
    ];
    let world = World::new(&format!("tasks:\n{}", tasks.concat()));
    let mut slowest = Duration::ZERO;
    for _ in 0..stress(50, 4) {
        let mut daemon = world.daemon();
        watch(Duration::from_millis(fastrand::u64(..1_500)));
        let since = std::time::Instant::now();
        assert_eq!(daemon.stop(), 0, "{}", daemon.output());
        slowest = slowest.max(since.elapsed());
    }
    println!("the slowest stop took {slowest:?}");
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    for name in ["quick", "slow", "queued"] {
        assert_one_answer_each(&world.history(name), 1);
    }
    world.assert_nothing_left();
}

#[test]
fn a_once_that_is_told_to_stop_ends_its_command() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let world = work("sleep 60");
        let mut once = world.start(&["once", "work"]);
        world.wait_until_running("work");
        once.signal(signal);
        assert_eq!(once.wait(Duration::from_secs(4)), code);
        assert_eq!(world.history("work")[0].state(), "cancelled");
        world.assert_nothing_left();
    }
}
