//! Proofs of life and death, with real processes where it takes one.
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::*;
use crate::clock::{Clock, SystemClock};

const CHILD: &str = "TASKRUN_TEST_RECORD_DIR";

fn record(dir: &Path) -> ProcessRecord {
    ProcessRecord::create(dir, true, Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn our_own_record_is_alive_until_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let ours = record(dir.path());
    let name = ours.name().to_owned();
    assert!(!is_dead(dir.path(), &name));
    assert_eq!(records(dir.path()).unwrap(), std::slice::from_ref(&name));
    drop(ours);
    assert!(is_dead(dir.path(), &name), "the lock is gone, the file is not");
    assert!(socket_of(dir.path(), &name).is_some());
    remove_record(dir.path(), &name);
    assert!(is_dead(dir.path(), &name), "a record that was removed");
    assert!(records(dir.path()).unwrap().is_empty());
}

#[test]
fn strays_are_removed_and_known_or_living_records_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let living = record(dir.path());
    let known = record(dir.path()).name().to_owned();
    let stray = record(dir.path()).name().to_owned();
    remove_strays(dir.path(), std::slice::from_ref(&known)).unwrap();
    let mut left = records(dir.path()).unwrap();
    left.sort();
    let mut expected = vec![living.name().to_owned(), known];
    expected.sort();
    assert_eq!(left, expected, "{stray} is gone");
}

#[cfg(unix)]
#[test]
fn a_record_and_its_folder_are_closed_to_others() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("deep/processes");
    let ours = record(&folder);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&record_path(&folder, ours.name()))), (0o700, 0o600));
    ours.retire();
    assert!(records(&folder).unwrap().is_empty());
}

#[test]
fn nothing_is_proved_where_the_folder_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!is_dead(&dir.path().join("missing"), "1-a"));
}

#[test]
fn a_second_daemon_is_refused_with_the_pid_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (record(dir.path()), record(dir.path()));
    let lock = DaemonLock::take(dir.path(), &first).unwrap();
    let refused = DaemonLock::take(dir.path(), &second).unwrap_err().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    drop(lock);
    DaemonLock::take(dir.path(), &second).unwrap();
    assert_eq!(daemon(dir.path()).unwrap(), *second.holder());
}

#[test]
fn a_removed_daemon_lock_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let ours = record(dir.path());
    drop(DaemonLock::take(dir.path(), &ours).unwrap());
    fs::remove_file(dir.path().join(DAEMON_LOCK)).unwrap();
    let _lock = DaemonLock::take(dir.path(), &ours).unwrap();
    assert!(dir.path().join(DAEMON_LOCK).exists());
}

/// Not a test by itself: the process that the next test starts and kills.
#[test]
fn holds_a_record_until_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let ours = record(Path::new(&dir));
    println!("record {}", ours.name());
    // Grandchildren must not inherit the lock.
    let (sleeper, arguments): (_, &[&str]) = if cfg!(windows) { ("ping", &["-n", "6", "127.0.0.1"]) } else { ("sleep", &["5"]) };
    Command::new(sleeper).args(arguments).spawn().unwrap().wait().unwrap();
}

#[test]
fn a_killed_process_is_dead_at_once_and_a_live_one_never() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engine::process::tests::holds_a_record_until_killed", "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let name = lines.find_map(|line| Some(line.split_once("record ")?.1.to_owned())).unwrap();
    for _ in 0..1_000 {
        assert!(!is_dead(dir.path(), &name));
    }
    assert_eq!(read_holder(&record_path(dir.path(), &name)).unwrap().pid, child.id());
    child.kill().unwrap();
    let clock = SystemClock::start();
    while !is_dead(dir.path(), &name) {
        assert!(clock.now().uptime.as_secs() < 1, "still counted as alive");
    }
    child.wait().unwrap();
}

#[test]
fn many_who_look_at_once_do_not_hide_a_death_from_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let name = record(dir.path()).name().to_owned();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..500).for_each(|_| assert!(is_dead(dir.path(), &name))));
        }
    });
}
