//! What lines say, and which of them are read in which order.
use std::{fs, path::Path};

use super::*;

fn tokyo() -> TimeZone {
    TimeZone::get("Asia/Tokyo").unwrap()
}

fn write(dir: &Path, name: &str, lines: &[&str]) {
    fs::write(dir.join(name), [lines.join("\n"), "\n".to_owned()].concat()).unwrap();
}

fn append(dir: &Path, name: &str, text: &str) {
    use std::io::Write as _;
    fs::OpenOptions::new().append(true).create(true).open(dir.join(name)).unwrap().write_all(text.as_bytes()).unwrap();
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.message.as_str()).collect()
}

const DAEMON_LINES: &[&str] = &[
    "2026-11-22 13:00:00 [INFO] taskrun: starting",
    "2026-11-22 13:00:01 [INFO] sync#1: from the daemon",
    "2026-11-22 13:00:05 [WARN] taskrun: reload failed",
];

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "taskrun.log", DAEMON_LINES);
    write(
        dir.path(),
        "sync.log",
        &["2026-11-22 13:00:01 [INFO] sync#1: from the daemon", "2026-11-22 13:00:03 [ERROR] [77] sync#2: by hand"],
    );
    write(dir.path(), "upload@shop_1.log", &["2026-11-22 13:00:02 [INFO] upload@shop_1#3: listed: B0 n=1", "a stranger's line"]);
    dir
}

fn read(dir: &Path, wanted: &Wanted, limit: Option<usize>) -> Vec<Line> {
    Logs::new(dir, tokyo()).lines(wanted, limit).unwrap()
}

#[test]
fn a_line_says_the_same_in_both_formats() {
    let text = Line::parse("2026-11-22 13:48:00 [WARN] upload@shop_1#41: slow: very n=2", &tokyo());
    let json = Line::parse(
        r#"{"ts":"2026-11-22T13:48:00.000+09:00","level":"warn","target":"t","pid":1,"instance":"upload@shop_1","run":41,"message":"slow: very","fields":{"n":2}}"#,
        &tokyo(),
    );
    assert_eq!(json, Line { text: json.text.clone(), ..text.clone() });
    assert_eq!((text.account(), text.run, text.level), (Some("shop_1"), Some(41), Level::WARN));
}

#[test]
fn what_no_taskrun_wrote_is_shown_as_it_is() {
    for text in
        ["", "panicked at", "{\"ts\":1}", "2026-11-22 13:48:00 [LOUD] x: y", "2026-02-30 13:48:00 [INFO] x: y", "２０２６年１１月２２日"]
    {
        let line = Line::parse(text, &tokyo());
        assert_eq!((line.at, line.message.as_str()), (None, text));
    }
}

#[test]
fn all_logs_are_one_stream_in_which_each_line_stands_once() {
    let dir = folder();
    let expected = ["starting", "from the daemon", "listed: B0 n=1", "a stranger's line", "by hand", "reload failed"];
    assert_eq!(texts(&read(dir.path(), &Wanted::default(), None)), expected);
    assert_eq!(texts(&read(dir.path(), &Wanted::default(), Some(2))), expected[4..]);
}

#[test]
fn an_instance_without_a_file_of_its_own_is_read_from_the_daemons() {
    let dir = folder();
    fs::remove_file(dir.path().join("sync.log")).unwrap();
    assert!(texts(&read(dir.path(), &Wanted::default(), None)).contains(&"from the daemon"));
}

#[test]
fn lines_are_filtered_by_whose_they_are_how_bad_and_when() {
    let dir = folder();
    let only = |wanted: Wanted| read(dir.path(), &wanted, None).into_iter().map(|line| line.message).collect::<Vec<_>>();
    assert_eq!(only(Wanted { task: Some("upload".into()), run: Some(3), ..Wanted::default() }), ["listed: B0 n=1"]);
    assert_eq!(
        only(Wanted { account: Some("shop_1".into()), since: Some(Timestamp::UNIX_EPOCH), ..Wanted::default() }),
        ["listed: B0 n=1"]
    );
    assert_eq!(only(Wanted { level: Some(Level::WARN), ..Wanted::default() }), ["by hand", "reload failed"]);
    assert_eq!(only(Wanted { run: Some(2), ..Wanted::default() }), ["by hand"]);
    let since = "2026-11-22T13:00:03+09:00".parse().unwrap();
    assert_eq!(only(Wanted { since: Some(since), ..Wanted::default() }), ["by hand", "reload failed"]);
    assert_eq!(only(Wanted { task: Some("taskrun".into()), ..Wanted::default() }), ["starting", "reload failed"]);
}

#[test]
fn rotated_files_come_first_and_old_ones_are_opened_when_needed() {
    let dir = folder();
    write(dir.path(), "sync.2026-11-22T03-00-00.000Z.log", &["2026-11-22 11:59:59 [INFO] sync#0: old"]);
    write(dir.path(), "sync.notes.log", &["2026-11-22 11:59:59 [INFO] sync#0: not ours"]);
    let all = read(dir.path(), &Wanted::default(), None);
    assert_eq!(texts(&all).first(), Some(&"old"));
    assert_eq!(all.len(), 7);
    for limit in 1..=8 {
        assert_eq!(read(dir.path(), &Wanted::default(), Some(limit)), all[all.len().saturating_sub(limit)..], "the last {limit}");
    }
}

#[test]
fn following_sees_new_lines_whole_through_a_rotation_and_new_logs() {
    let dir = folder();
    let mut follower = Logs::new(dir.path(), tokyo()).follow(Wanted::default());
    assert_eq!(follower.look().unwrap(), []);
    append(dir.path(), "sync.log", "2026-11-22 13:01:00 [INFO] sync#4: whole\n2026-11-22 13:01:01 [INFO] sync#4: ha");
    assert_eq!(texts(&follower.look().unwrap()), ["whole"]);
    append(dir.path(), "sync.log", "lf\n");
    fs::rename(dir.path().join("sync.log"), dir.path().join("sync.2026-11-22T04-01-02.000Z.log")).unwrap();
    append(dir.path(), "sync.log", "2026-11-22 13:01:02 [INFO] sync#4: after\n");
    append(dir.path(), "new@shop_2.log", "2026-11-22 13:01:03 [INFO] new@shop_2#5: new\n");
    append(dir.path(), "taskrun.log", "2026-11-22 13:01:02 [INFO] sync#4: after\n");
    assert_eq!(texts(&follower.look().unwrap()), ["half", "after", "new"]);
}

#[test]
fn a_folder_that_is_not_there_has_no_lines() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(&dir.path().join("logs"), &Wanted::default(), None), []);
}
