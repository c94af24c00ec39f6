//! A disk that is full or read-only, and a store that somebody else holds locked.
use std::{fs, io::Write as _, process::Command, time::Duration};

use rustix::process::Signal;

use super::harness::{SOON, World, assert_one_answer_each, is_root, task, wait_for, watch};

/// A small disk as a world's state directory; gone with this value.
struct Disk(std::path::PathBuf);

impl Disk {
    /// `None`, with the reason printed, where we may not mount.
    fn mount(world: &World) -> Option<Self> {
        let path = world.path("state");
        fs::create_dir(&path).unwrap();
        let mounted = is_root()
            && Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
                .arg(&path)
                .status()
                .is_ok_and(|status| status.success());
        if !mounted {
            println!("skipped: only root may mount a small disk");
        }
        mounted.then_some(Self(path))
    }

    fn fill(&self) {
        let mut filler = fs::File::create(self.0.join("filler")).unwrap();
        for size in [1 << 20, 4 << 10, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }

    fn read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn tasks() -> String {
    let head = "timezone: UTC\nlog: { dir: state/logs, console: false }\nshutdown_grace: 3s\ndefaults: { grace: 2s }\n";
    let each_second = "schedule: '* * * * * *'";
    let tasks = [
        task("quick", each_second, "true"),
        task("long", "schedule: '@start'", "sleep 4; echo ended >> ended"),
        task("skips", &format!("{each_second}, overlap: skip"), "sleep 1.4"),
    ];
    format!("{head}tasks:\n{}", tasks.concat())
}

#[test]
fn a_full_disk_delays_and_loses_nothing() {
    let world = World::new("tasks: {}\n");
    let Some(disk) = Disk::mount(&world) else { return };
    world.write_raw(&tasks());
    let mut daemon = world.daemon();
    world.wait_until_running("long");
    world.wait_for_row("quick", "succeeded", |row| row.state() == "succeeded");
    disk.fill();
    wait_for("the daemon says that the store takes no writes", SOON, || {
        let status = world.status()?;
        let degraded = status["degraded"].as_array()?;
        degraded.iter().any(|trouble| trouble.as_str().unwrap().contains("full")).then_some(())
    });
    wait_for("the long command has ended meanwhile", SOON, || (!world.lines("ended").is_empty()).then_some(()));
    watch(Duration::from_secs(3));
    assert!(daemon.ended().is_none(), "{}", daemon.output());
    disk.free();
    wait_for("all is well again", SOON, || world.status()?["degraded"].as_array()?.is_empty().then_some(()));
    let now = jiff::Timestamp::now();
    world.wait_for_row("quick", "ran after", |row| row.state() == "succeeded" && now < row.fire_at());
    world.wait_for_row("long", "has its end", |row| row.state() == "succeeded");
    assert_eq!((world.history("long").len(), world.lines("ended").len()), (1, 1));
    assert_eq!(daemon.stop(), 0);
    for name in ["quick", "skips"] {
        assert_one_answer_each(&world.history(name), 1);
    }
    let intact: String = rusqlite::Connection::open(world.path("state/taskrun.db"))
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(intact, "ok");
    world.assert_no_children();
}

#[test]
fn a_daemon_that_is_killed_on_a_full_disk_is_recovered_by_the_next() {
    let world = World::new("tasks: {}\n");
    let Some(disk) = Disk::mount(&world) else { return };
    world.write_raw(&tasks());
    let mut daemon = world.daemon();
    world.wait_until_running("long");
    disk.fill();
    watch(Duration::from_secs(2));
    daemon.kill();
    let mut refused = world.start(&["run"]);
    // Without room for a record and a log file nothing can begin; it must say so, or wait.
    watch(Duration::from_secs(1));
    let code = refused.ended().and_then(|status| status.code());
    assert!(code.is_none_or(|code| code == 74), "{code:?}: {}", refused.output());
    if code.is_none() {
        refused.kill();
    }
    disk.free();
    let mut daemon = world.daemon();
    world.wait_for_row("quick", "succeeded again", |row| row.state() == "succeeded");
    assert_eq!(world.history("long")[0].state(), "lost");
    assert_eq!(daemon.stop(), 0);
    for name in ["quick", "skips"] {
        assert_one_answer_each(&world.history(name), 1);
    }
    world.assert_no_children();
}

#[test]
fn a_daemon_that_is_stopped_on_a_full_disk_ends_and_leaves_the_rest_to_the_next() {
    let world = World::new("tasks: {}\n");
    let Some(disk) = Disk::mount(&world) else { return };
    world.write_raw(&tasks());
    let mut daemon = world.daemon();
    world.wait_until_running("long");
    disk.fill();
    watch(Duration::from_secs(2));
    daemon.signal(Signal::TERM);
    // Grace, a last moment for the store, and some.
    assert_eq!(daemon.wait(Duration::from_secs(12)), 1, "{}", daemon.output());
    world.assert_no_children();
    disk.free();
    let mut daemon = world.daemon();
    world.wait_for_row("quick", "succeeded again", |row| row.state() == "succeeded");
    wait_for("the long command is closed", SOON, || ["lost", "cancelled"].contains(&world.history("long")[0].state()).then_some(()));
    assert_eq!(daemon.stop(), 0);
    for name in ["quick", "skips"] {
        assert_one_answer_each(&world.history(name), 1);
    }
}

#[test]
fn a_read_only_store_is_said_and_nothing_begins() {
    let world = World::new("tasks: {}\n");
    let Some(disk) = Disk::mount(&world) else { return };
    world.write_raw(&tasks());
    let mut daemon = world.daemon();
    world.wait_for_row("quick", "succeeded", |row| row.state() == "succeeded");
    assert_eq!(daemon.stop(), 0);
    let ended = world.lines("ended").len();
    disk.read_only();
    for arguments in [&["run"][..], &["once", "long"]] {
        let (code, said) = world.run(arguments);
        assert_eq!(code, 74, "{said}");
        assert!(said.contains("/state") && said.to_lowercase().contains("read-only"), "{said}");
    }
    assert_eq!(world.lines("ended").len(), ended);
}

#[test]
fn a_store_that_another_process_holds_locked_is_said_and_waited_for() {
    let each_second = "schedule: '* * * * * *'";
    let world = World::new(&format!("tasks:\n{}", task("quick", each_second, "true")));
    let mut daemon = world.daemon();
    world.wait_for_row("quick", "succeeded", |row| row.state() == "succeeded");
    let holder = rusqlite::Connection::open(world.path("state/taskrun.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let me = format!("process {}", std::process::id());
    wait_for("the daemon says who holds the store", Duration::from_secs(20), || {
        let status = world.status()?;
        let degraded = status["degraded"].as_array()?;
        degraded.iter().any(|trouble| trouble.as_str().unwrap().contains(&me)).then_some(())
    });
    holder.execute_batch("ROLLBACK").unwrap();
    drop(holder);
    let now = jiff::Timestamp::now();
    let row = world.wait_for_row("quick", "ran after", |row| row.state() == "succeeded" && now < row.fire_at());
    println!("the first fire after the lock began {} late", row.lateness().unwrap());
    wait_for("all is well again", SOON, || world.status()?["degraded"].as_array()?.is_empty().then_some(()));
    assert_eq!(daemon.stop(), 0);
    assert_one_answer_each(&world.history("quick"), 1);
    world.assert_nothing_left();
}
