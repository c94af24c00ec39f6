//! SIGHUP: the whole configuration again, as one step or not at all.
use std::{fs, time::Duration};

use rustix::process::Signal;
use serde_json::Value;

use super::harness::{Process, SOON, World, assert_one_answer_each, stress, task, wait_for, watch};

fn reloads(status: &Value) -> u64 {
    status["config"]["reloads"].as_u64().unwrap()
}

/// Sends SIGHUP and waits until the reload is done; gives the status then.
fn reload(world: &World, daemon: &Process) -> Value {
    let before = reloads(&world.status().unwrap());
    daemon.signal(Signal::HUP);
    wait_for("the reload is done", SOON, || world.status().filter(|status| before < reloads(status)))
}

#[test]
fn a_broken_file_leaves_the_old_tasks_in_force_and_all_its_faults_are_said() {
    let good = format!("tasks:\n{}", task("work", "schedule: '* * * * * *'", "echo old >> said"));
    let world = World::new(&good);
    let mut daemon = world.daemon();
    world.wait_for_row("work", "succeeded", |row| row.state() == "succeeded");
    world.write("tasks:\n  work: { handler: comand, schedule: '61 * * * *' }\n  other: { handler: command, timeout: soon, with: { run: 'echo new >> said', shell: true } }\n");
    let status = reload(&world, &daemon);
    let faults: Vec<&str> =
        status["config"]["last_reload_faults"].as_array().unwrap().iter().map(|fault| fault.as_str().unwrap()).collect();
    assert_eq!(faults.len(), 3, "{faults:?}");
    for part in ["command", "61", "soon"] {
        assert!(faults.iter().any(|fault| fault.contains(part) && fault.contains("tasks.yaml:")), "{part}: {faults:?}");
    }
    let log = world.text("logs/taskrun.log");
    assert!(faults.iter().all(|fault| log.contains(fault)), "{faults:?}\n{log}");
    assert!(!status["degraded"].as_array().unwrap().is_empty());
    let before = world.lines("said").len();
    wait_for("the old task fires on", SOON, || (before + 2 < world.lines("said").len()).then_some(()));
    assert!(!world.text("said").contains("new"));
    assert_eq!(world.run(&["reload"]).0, 2);
    world.write(&good);
    let status = reload(&world, &daemon);
    assert!(status["config"]["last_reload_faults"].as_array().unwrap().is_empty() && status["degraded"].as_array().unwrap().is_empty());
    assert_eq!(daemon.stop(), 0);
    assert_one_answer_each(&world.history("work"), 1);
    world.assert_nothing_left();
}

#[test]
fn a_good_file_keeps_what_is_unchanged_and_lets_runs_finish_as_they_began() {
    let steady = task("steady", "schedule: { every: 1h }", "true") + &task("ends", "schedule: { after: 1h }", "true");
    let old = task("work", "schedule: '@start', timeout: 60s", "sleep 2.5; echo old >> said")
        + &task("goes", "schedule: '@start'", "sleep 2.5; echo goes >> said");
    let world = World::new(&format!("tasks:\n{steady}{old}"));
    let mut daemon = world.daemon();
    world.wait_until_running("work");
    world.wait_until_running("goes");
    let before = ["steady", "ends"].map(|name| world.instance(name)["next_at"].clone());
    assert!(before.iter().all(Value::is_string));
    let new = task("work", "schedule: '* * * * * *', overlap: skip, timeout: 1s", "echo new >> said")
        + &task("comes", "schedule: '* * * * * *'", "true");
    world.write(&format!("tasks:\n{steady}{new}"));
    reload(&world, &daemon);
    assert_eq!(before, ["steady", "ends"].map(|name| world.instance(name)["next_at"].clone()));
    world.wait_for_row("comes", "succeeded", |row| row.state() == "succeeded");
    let rows = wait_for("the run of the removed task has finished", SOON, || {
        Some(world.history("goes")).filter(|rows| rows[0].state() != "running")
    });
    assert_eq!((rows.len(), rows[0].state()), (1, "succeeded"), "{rows:?}");
    let first = world.wait_for_row("work", "was the first", |row| row.state() == "succeeded");
    assert!(world.lines("said").contains(&"old".to_owned()), "{first:?}");
    wait_for("the changed task runs as it is now", SOON, || world.lines("said").contains(&"new".to_owned()).then_some(()));
    let log = world.text("logs/taskrun.log");
    for name in ["work", "goes", "comes"] {
        assert!(log.lines().any(|line| line.contains("reload") && line.contains(name)), "the reload of {name} is not in the log:\n{log}");
    }
    assert!(!log.lines().any(|line| line.contains("reload") && line.contains("steady")));
    assert_eq!(daemon.stop(), 0);
    world.assert_nothing_left();
}

/// One of the states in which a file can be found.
fn spoil(world: &World, good: &str, round: usize) {
    let file = world.path("tasks.yaml");
    match round % 10 {
        1 => world.write_raw("tasks: { work: { handler: command, schedule: '99 * * * *' } }\n"),
        3 => fs::write(&file, &good.as_bytes()[..good.len() / 2]).unwrap(),
        5 => fs::remove_file(&file).unwrap(),
        7 => fs::write(&file, "").unwrap(),
        9 => fs::write(&file, [0xFF, 0xFE, 0x00, 0x80, b'\n']).unwrap(),
        // The good ones differ, too: a task comes and goes.
        2 | 6 => world.write_raw(&format!("{good}{}", task("guest", "schedule: '* * * * * *'", "true"))),
        _ => world.write_raw(good),
    }
}

#[test]
fn many_reloads_under_load_lose_and_leak_nothing() {
    let each_second = "schedule: '* * * * * *'";
    let tasks = [
        task("quick", each_second, "true"),
        task("slow", each_second, "sleep 1.5"),
        task("skips", &format!("{each_second}, overlap: skip"), "sleep 1.1"),
    ];
    let world = World::new("tasks: {}\n");
    let good =
        format!("timezone: UTC\nlog: {{ console: false }}\nshutdown_grace: 3s\ndefaults: {{ grace: 2s }}\ntasks:\n{}", tasks.concat());
    world.write_raw(&good);
    let mut daemon = world.daemon();
    let rounds = stress(500, 40);
    let (mut files, mut threads, mut memory, mut slowest) = (0, 0, 0, Duration::ZERO);
    for round in 0..rounds {
        if round == 10 {
            settle(&world);
            (files, threads, memory) = (daemon.files(), daemon.threads(), daemon.memory());
        }
        spoil(&world, &good, round);
        let since = std::time::Instant::now();
        // In between some that nobody waits for.
        if round % 4 == 0 {
            daemon.signal(Signal::HUP);
        }
        reload(&world, &daemon);
        slowest = slowest.max(since.elapsed());
    }
    world.write_raw(&good);
    reload(&world, &daemon);
    assert_eq!(world.status().unwrap()["instances"].as_array().unwrap().len(), 3);
    settle(&world);
    // Two commands at work have their pipes and threads; a leak would be one or more for each reload.
    wait_for("files and threads are back", 4 * SOON, || (daemon.files() <= files + 10 && daemon.threads() <= threads + 6).then_some(()));
    println!(
        "{rounds} reloads, the slowest seen after {slowest:?}; files {files} -> {}, threads {threads} -> {}, memory {memory} -> {} KiB",
        daemon.files(),
        daemon.threads(),
        daemon.memory()
    );
    assert!(daemon.memory() - memory < 8 << 10, "memory grew from {memory} to {} KiB", daemon.memory());
    assert_eq!(daemon.stop(), 0);
    for name in ["quick", "slow", "skips"] {
        assert_one_answer_each(&world.history(name), 1);
    }
    world.assert_nothing_left();
}

/// Lets whatever a reload started come to rest.
fn settle(world: &World) {
    watch(Duration::from_millis(500));
    wait_for("no run is open but the latest", SOON, || world.status().filter(|status| status["runs"].as_array().unwrap().len() <= 3));
}
