//! Where events go and how they look.
use std::{fs, path::Path};

use jiff::Timestamp;
use tracing::{info, subscriber::with_default};

use super::*;
use crate::clock::BoxFuture;

/// A clock that stands at 13:48 in Tokyo.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Now {
        Now { wall: "2026-11-22T04:48:00.250Z".parse::<Timestamp>().unwrap(), uptime: SignedDuration::ZERO }
    }

    fn real(&self, wall: SignedDuration) -> std::time::Duration {
        wall.try_into().unwrap()
    }

    fn sleep(&self, _wall: SignedDuration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn settings(dir: &Path) -> LogSettings {
    LogSettings {
        dir: Some(dir.to_owned()),
        console: false,
        daemon: true,
        zone: TimeZone::get("Asia/Tokyo").unwrap(),
        ..LogSettings::default()
    }
}

/// Logs what `work` says; gives back the handle.
fn log(settings: LogSettings, work: impl FnOnce()) -> LogHandle {
    let (subscriber, guard) = start(settings, Arc::new(Stopped));
    with_default(subscriber, work);
    guard.handle()
}

fn in_attempt(instance: &str, work: impl FnOnce()) {
    attempt_span(&instance.into(), RunId(41), 2).in_scope(work);
}

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

#[test]
fn an_instance_has_its_file_and_the_daemon_has_everything() {
    let dir = tempfile::tempdir().unwrap();
    log(settings(dir.path()), || {
        info!("starting");
        in_attempt("sync_inventory", || info!(items = 240, "done: {}", "三脚"));
        in_attempt("upload_tick@base_account_1", || tracing::error!("failed"));
    });
    let (sync, upload) = (
        "2026-11-22 13:48:00 [INFO] sync_inventory#41: done: 三脚 items=240\n",
        "2026-11-22 13:48:00 [ERROR] upload_tick@base_account_1#41: failed\n",
    );
    assert_eq!(read(dir.path(), "sync_inventory.log"), sync);
    assert_eq!(read(dir.path(), "upload_tick@base_account_1.log"), upload);
    assert_eq!(read(dir.path(), "taskrun.log"), format!("2026-11-22 13:48:00 [INFO] taskrun: starting\n{sync}{upload}"));
}

#[test]
fn a_field_of_the_event_names_its_instance_too() {
    let dir = tempfile::tempdir().unwrap();
    log(settings(dir.path()), || in_attempt("outer", || info!(instance = "report", "skipped")));
    assert_eq!(read(dir.path(), "report.log"), "2026-11-22 13:48:00 [INFO] report: skipped\n");
    assert!(!dir.path().join("outer.log").exists());
}

#[test]
fn a_once_writes_its_instance_only() {
    let dir = tempfile::tempdir().unwrap();
    log(LogSettings { daemon: false, ..settings(dir.path()) }, || in_attempt("report", || info!("hello")));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn json_says_it_all_and_leaves_out_what_is_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let error = std::io::Error::other("disk");
    log(LogSettings { format: Format::Json, ..settings(dir.path()) }, || {
        in_attempt("report", || info!(error = &error as &dyn std::error::Error, ok = true, "it \"said\"\n\u{9b}2J"));
        info!("starting");
    });
    let pid = std::process::id();
    let prefix = format!(r#"{{"ts":"2026-11-22T13:48:00.250+09:00","level":"info","target":"taskrun::observe::log::tests","pid":{pid}"#);
    let report = format!(
        r#"{prefix},"instance":"report","run":41,"attempt":2,"message":"it \"said\"\n\u009b2J","fields":{{"error":"disk","ok":true}}}}"#
    );
    assert_eq!(read(dir.path(), "report.log"), format!("{report}\n"));
    assert_eq!(read(dir.path(), "taskrun.log"), format!("{report}\n{prefix},\"message\":\"starting\"}}\n"));
}

#[test]
fn an_event_is_one_line_and_moves_no_cursor() {
    let dir = tempfile::tempdir().unwrap();
    log(settings(dir.path()), || info!(note = "a\nb", "one\ntwo\r\x1b[2J\u{85}\ttab \u{2028}\u{202e}"));
    assert_eq!(
        read(dir.path(), "taskrun.log"),
        "2026-11-22 13:48:00 [INFO] taskrun: one\\ntwo\\r\\u{1b}[2J\\u{85}\ttab \\u{2028}\\u{202e} note=a\\nb\n"
    );
}

#[test]
fn secrets_show_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    for format in [Format::Text, Format::Json] {
        let secrets = Secrets::new(["hunter22"]);
        let handle = log(LogSettings { format, secrets, ..settings(dir.path()) }, || info!(token = "hunter22", "with hunter22"));
        assert_eq!(handle.mask("a hunter22"), "a ***");
    }
    assert!(!read(dir.path(), "taskrun.log").contains("hunter22"));
    assert!(read(dir.path(), "taskrun.log").contains("with *** token=***"));
}

#[test]
fn a_file_name_stays_in_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    log(settings(dir.path()), || info!(instance = "../../etc/x", "hello"));
    assert!(dir.path().join("______etc_x.log").exists());
}

#[test]
fn an_instance_called_taskrun_shares_the_daemons_file() {
    let dir = tempfile::tempdir().unwrap();
    log(settings(dir.path()), || info!(instance = "taskrun", "hello"));
    assert_eq!(read(dir.path(), "taskrun.log").lines().count(), 1);
}

#[test]
fn the_level_holds_for_ours_and_keeps_others_quiet_until_trace() {
    let dir = tempfile::tempdir().unwrap();
    let say = || {
        tracing::debug!("ours");
        tracing::info!(target: "hyper::proto", "theirs");
        tracing::warn!(target: "hyper::proto", "their warning");
    };
    for level in [LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE] {
        log(LogSettings { level, ..settings(&dir.path().join(level.to_string())) }, || in_attempt("report", say));
    }
    let said = |level: &str| {
        read(&dir.path().join(level), "report.log").lines().map(|line| line.rsplit_once(": ").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said("warn"), ["their warning"]);
    assert_eq!(said("info"), ["their warning"]);
    assert_eq!(said("debug"), ["ours", "their warning"]);
    assert_eq!(said("trace"), ["ours", "theirs", "their warning"]);
    assert!(read(&dir.path().join("debug"), "report.log").contains(&format!("[DEBUG] [{}] report#41: ours", std::process::id())));
}

#[test]
fn other_settings_come_into_force_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    let (subscriber, guard) = start(settings(&before), Arc::new(Stopped));
    with_default(subscriber, || {
        let say = || tracing::debug!("detail");
        say();
        info!("one");
        guard.handle().apply(LogSettings { level: LevelFilter::DEBUG, ..settings(&after) });
        say();
    });
    assert_eq!(read(&before, "taskrun.log").lines().count(), 1);
    assert!(read(&after, "taskrun.log").contains("detail"));
}

#[test]
fn what_cannot_be_written_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("logs");
    fs::write(&blocked, "").unwrap();
    let handle = log(settings(&blocked), || (0..3).for_each(|_| in_attempt("report", || info!("hello"))));
    assert_eq!(handle.write_failures(), 6, "three lines for two files");
}

#[test]
fn more_instances_than_open_files_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let instances: Vec<String> = (0..OPEN_MAX + 50).map(|number| format!("task{number}")).collect();
    log(settings(dir.path()), || {
        for _ in 0..2 {
            for instance in &instances {
                in_attempt(instance, || info!("hello"));
            }
        }
    });
    assert!(instances.iter().all(|instance| read(dir.path(), &format!("{instance}.log")).lines().count() == 2));
}
