//! Children that misbehave: others start on time, their output is kept, and nothing of them is left.
use std::{fs, time::Duration};

use super::harness::{Process, Row, SOON, World, lives, task, wait_for, wait_for_line, watch};

/// A task whose starts are measured beside the one that misbehaves.
fn beat() -> String {
    task("beat", "schedule: '* * * * * *'", "true")
}

/// No start of the task beside was later than this. One that a machine at work delays is not ours, so the latest but one counts.
#[track_caller]
fn assert_on_time(world: &World) {
    let mut late: Vec<_> = world.history("beat").iter().filter_map(Row::lateness).map(|late| late.as_millis()).collect();
    late.sort_unstable();
    let (median, latest) = (late[late.len() / 2], late[late.len() - 1]);
    println!("{} starts, late by {median} ms in the middle and {latest} ms at most", late.len());
    assert!(late[late.len().saturating_sub(2)] < 1_000, "{late:?}");
    assert!(late[0] >= 0, "it started early: {late:?}");
}

fn stop(world: &World, daemon: &mut Process) {
    world.wait_for_row("beat", "has ended", |row| row.state() == "succeeded");
    assert_eq!(daemon.stop(), 0);
    assert_on_time(world);
    super::harness::assert_one_answer_each(&world.history("beat"), 1);
    world.assert_nothing_left();
}

#[test]
fn acceptance_01_ten_megabytes_of_broken_shift_jis_and_emoji_end_with_a_whole_rotated_log_and_bounded_memory() {
    const LINES: usize = 60_000;
    // 日本 in Shift-JIS and half a character, so that no line is UTF-8, and an emoji; 88 bytes with the newline, 60,000 lines: 5 MB for each pipe.
    let noise = format!(
        "i=0; while [ $i -lt {LINES} ]; do printf '%06d \\223\\372\\226\\173\\202 \\360\\237\\230\\200 01234567890123456789012345678901234567890123456789012345678901234 end\\n' $i; i=$((i+1)); done"
    );
    let script = format!("({noise}) & ({noise}) >&2; wait");
    let world = World::new("");
    let head = "timezone: UTC\nlog: { console: false, max_size: 2MB, keep: 100 }\nshutdown_grace: 3s\n";
    world.write_raw(&format!("{head}tasks:\n{}{}", task("noisy", "schedule: '@start'", &script), beat()));
    let mut daemon = world.daemon();
    world.wait_until_running("noisy");
    let before = daemon.memory();
    let row = wait_for("the noise is over", Duration::from_secs(90), || {
        Some(world.history("noisy").remove(0)).filter(|row| row.state() != "running")
    });
    assert_eq!(row.state(), "succeeded", "{row:?}");
    println!("took {} s; memory {before} -> {} KiB", row.0["took_s"], daemon.memory());
    assert!(daemon.memory() - before < 32 << 10, "memory is not bounded: {before} -> {} KiB", daemon.memory());
    stop(&world, &mut daemon);
    let mut seen = vec![0_u8; LINES];
    let mut files = 0;
    for entry in fs::read_dir(world.path("logs")).unwrap().flatten() {
        if entry.file_name().to_str().unwrap().starts_with("noisy") {
            files += 1;
            assert!(entry.metadata().unwrap().len() < 2_200_000, "{entry:?} is larger than a file may be");
            let text = String::from_utf8(fs::read(entry.path()).unwrap()).expect("the log is UTF-8");
            for line in text.lines().filter(|line| line.ends_with(" end") && !line.contains("succeeded")) {
                let number = line.split_once('\u{FFFD}').unwrap().0.trim_end().rsplit(' ').next().unwrap();
                assert!(line.contains('😀'), "{line}");
                seen[number.parse::<usize>().unwrap()] += 1;
            }
        }
    }
    assert!(files > 3, "the log was not rotated: {files} files");
    let missing = seen.iter().filter(|times| **times != 2).count();
    assert_eq!(missing, 0, "lines are missing");
}

#[test]
fn a_command_that_ignores_its_timeout_is_killed_and_delays_nobody() {
    let deaf = task(
        "deaf",
        "schedule: '@start', timeout: 1s, grace: 1s",
        "trap '' TERM INT HUP; echo $$ > child; (trap '' TERM; sleep 60) & while :; do sleep 1; done",
    );
    let world = World::new(&format!("tasks:\n{deaf}{}", beat()));
    let mut daemon = world.daemon();
    let child: u32 = wait_for_line(&world.path("child")).parse().unwrap();
    let row = world.wait_for_row("deaf", "timed out", |row| row.state() == "timed_out");
    assert!(!lives(child));
    assert!(row.0["took_s"].as_f64().unwrap() < 4.0, "{row:?}");
    watch(Duration::from_secs(1));
    stop(&world, &mut daemon);
}

#[test]
fn descendants_that_outlive_their_command_are_ended() {
    // In its group, out of its group holding the pipes, and out of it, deaf, without the pipes.
    let script = "sleep 61 & setsid sleep 62 & setsid sh -c 'trap \"\" TERM; echo $$ > deaf; while :; do sleep 1; done' > /dev/null 2>&1 & while ! [ -s deaf ]; do sleep 0.05; done; echo done";
    let world = World::new(&format!("tasks:\n{}{}", task("parent", "schedule: '@start'", script), beat()));
    let mut daemon = world.daemon();
    let row = world.wait_for_row("parent", "succeeded", |row| row.state() == "succeeded");
    assert!(row.0["took_s"].as_f64().unwrap() < 5.0, "it waited for its descendants: {row:?}");
    let deaf: u32 = wait_for_line(&world.path("deaf")).parse().unwrap();
    wait_for("its descendants are gone", Duration::from_secs(4), || (!lives(deaf)).then_some(()));
    wait_for("no sleeper is left", SOON, || world.children().iter().all(|pid| !is_sleeper(*pid)).then_some(()));
    stop(&world, &mut daemon);
}

fn is_sleeper(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.starts_with(b"sleep\x0061") || line.starts_with(b"sleep\x0062")
}

#[test]
fn many_commands_at_once_delay_nobody_and_leave_nothing() {
    let mut tasks = format!("max_running: 200\ntasks:\n{}", beat());
    for number in 0..40 {
        tasks.push_str(&task(&format!("busy{number}"), "schedule: '@start'", "sleep 2; exit 3"));
    }
    tasks.push_str(&task("absent", "schedule: '* * * * * *'", "exec /no/such/program"));
    tasks.push_str("  nothing: { handler: command, schedule: '* * * * * *', with: { run: [/no/such/program] } }\n");
    let world = World::new(&tasks);
    let mut daemon = world.daemon();
    let threads = daemon.threads();
    for number in 0..40 {
        let row = world.wait_for_row(&format!("busy{number}"), "failed", |row| row.state() == "failed");
        assert!(row.text().contains("exit status 3"), "{row:?}");
    }
    wait_for("the threads are gone", SOON, || (daemon.threads() <= threads).then_some(()));
    for name in ["absent", "nothing"] {
        let row = world.wait_for_row(name, "failed", |row| row.state() == "failed");
        assert!(row.text().contains("/no/such/program"), "{row:?}");
    }
    stop(&world, &mut daemon);
}
