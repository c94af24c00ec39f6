//! Log files under rotation, other writers, logrotate and full disks.
use std::process::Command;

use jiff::Timestamp;

use super::*;

const DIR: &str = "TASKRUN_TEST_LOG_DIR";

const SMALL: Limits = Limits { max_size: 1_000, keep: 2 };

fn at(seconds: i64) -> Now {
    Now { wall: Timestamp::from_second(1_800_000_000 + seconds).unwrap(), uptime: SignedDuration::from_secs(seconds) }
}

fn notice(lost: u64) -> Vec<u8> {
    format!("{lost} lost\n").into_bytes()
}

fn append(log: &mut LogFile, text: &str, seconds: i64) -> Result<(), Lost> {
    log.append(format!("{text}\n").as_bytes(), at(seconds), notice)
}

/// All files of a folder in the order of their names; the current one is last.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

fn lines(dir: &Path) -> Vec<String> {
    files(dir).iter().flat_map(|(_, text)| text.lines().map(str::to_owned)).collect()
}

#[test]
fn a_full_file_is_moved_aside_and_the_oldest_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogFile::new(dir.path(), "sync", SMALL);
    for line in 0..100 {
        append(&mut log, &format!("{line:0>99}"), line).unwrap();
    }
    let files = files(dir.path());
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sync.2027-01-15T08-01-20.000Z.log", "sync.2027-01-15T08-01-30.000Z.log", "sync.log"]);
    assert!(files.iter().all(|(_, text)| text.len() == 1_000));
    let kept: Vec<i64> = files.iter().flat_map(|(_, text)| text.lines()).map(|line| line.parse().unwrap()).collect();
    assert_eq!(kept, (70..100).collect::<Vec<_>>());
}

#[test]
fn names_keep_the_order_of_writing_when_the_clock_is_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogFile::new(dir.path(), "sync", Limits { keep: 9, ..SMALL });
    for line in 0..30 {
        let now = Now { wall: at(-line * 3_600).wall, uptime: at(line).uptime };
        log.append(format!("{line:0>99}\n").as_bytes(), now, notice).unwrap();
    }
    let kept: Vec<i64> = lines(dir.path()).iter().map(|line| line.parse().unwrap()).collect();
    assert_eq!(kept, (0..30).collect::<Vec<_>>());
}

#[test]
fn logs_of_other_names_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let others = ["sync_other.2027-01-15T08-01-20.000Z.log", "sync.old.log", "sync.2027-01-15.log"];
    for name in others {
        fs::write(dir.path().join(name), "kept").unwrap();
    }
    let mut log = LogFile::new(dir.path(), "sync", SMALL);
    (0..100).for_each(|line| append(&mut log, &"x".repeat(99), line).unwrap());
    assert!(others.iter().all(|name| dir.path().join(name).exists()));
    assert_eq!(files(dir.path()).len(), 3 + others.len());
}

#[test]
fn a_file_that_logrotate_moved_is_left_and_a_new_one_begun() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogFile::new(dir.path(), "sync", SMALL);
    append(&mut log, "before", 0).unwrap();
    fs::rename(dir.path().join("sync.log"), dir.path().join("moved")).unwrap();
    append(&mut log, "after", 1).unwrap();
    assert_eq!(files(dir.path()), [("moved".to_owned(), "before\n".to_owned()), ("sync.log".to_owned(), "after\n".to_owned())]);
}

#[test]
#[cfg_attr(windows, ignore = "a folder with an open file in it is not deleted there")]
fn a_folder_that_was_deleted_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("deep/logs");
    let mut log = LogFile::new(&folder, "sync", SMALL);
    append(&mut log, "before", 0).unwrap();
    fs::remove_dir_all(dir.path().join("deep")).unwrap();
    append(&mut log, "after", 1).unwrap();
    assert_eq!(lines(&folder), ["after"]);
}

#[test]
fn lines_that_found_no_file_are_counted_and_the_count_is_written() {
    let dir = tempfile::tempdir().unwrap();
    // A file where the folder should be: nobody can write there, root neither.
    let folder = dir.path().join("logs");
    fs::write(&folder, "").unwrap();
    let mut log = LogFile::new(&folder, "sync", SMALL);
    assert!(append(&mut log, "one", 0).unwrap_err().first);
    assert!(!append(&mut log, "two", 1).unwrap_err().first);
    fs::remove_file(&folder).unwrap();
    append(&mut log, "three", 2).unwrap();
    assert_eq!(lines(&folder), ["2 lost", "three"]);
    assert!(!log.is_failing());
}

#[cfg(windows)]
#[test]
fn a_log_that_somebody_holds_on_to_grows_without_delay_and_is_moved_aside_afterwards() {
    use std::os::windows::fs::OpenOptionsExt as _;

    use crate::clock::{Clock as _, SystemClock};
    // Others may read and write (`FILE_SHARE_READ`, `FILE_SHARE_WRITE`), not rename.
    const STAYS: u32 = 3;
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogFile::new(dir.path(), "sync", SMALL);
    append(&mut log, &"x".repeat(900), 0).unwrap();
    let scanner = fs::OpenOptions::new().read(true).share_mode(STAYS).open(dir.path().join("sync.log")).unwrap();
    let clock = SystemClock::start();
    (1..21).for_each(|line| append(&mut log, &format!("{line:0>199}"), line).unwrap());
    let took = clock.now().uptime;
    assert_eq!(files(dir.path()).len(), 1, "it can't be moved");
    // With half a second for each of the twenty it would be ten.
    assert!(took < SignedDuration::from_secs(5), "{took:#}");
    drop(scanner);
    append(&mut log, "after", 21).unwrap();
    let lines = lines(dir.path());
    assert_eq!((files(dir.path()).len(), lines.len()), (2, 22), "nothing is lost");
}

#[cfg(unix)]
#[test]
fn a_full_disk_loses_lines_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sync.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let mut log = LogFile::new(dir.path(), "sync", SMALL);
    assert_eq!(append(&mut log, "one", 0).unwrap_err().error.kind(), io::ErrorKind::StorageFull);
    fs::remove_file(&path).unwrap();
    append(&mut log, "two", 1).unwrap();
    assert_eq!(lines(dir.path()), ["1 lost", "two"]);
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_leaves_no_piece_of_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(dir.path()).output();
    if !mount.as_ref().is_ok_and(|mount| mount.status.success()) {
        println!("skipped: a small tmpfs could not be mounted (it takes root): {mount:?}");
        return;
    }
    let mut log = LogFile::new(dir.path(), "sync", Limits { max_size: 1_000_000, keep: 2 });
    let line = "x".repeat(299);
    let written = (0..100).filter(|_| append(&mut log, &line, 0).is_ok()).count();
    let path = dir.path().join("sync.log");
    let full = fs::read_to_string(&path).unwrap();
    fs::write(&path, "").unwrap();
    append(&mut log, "after", 1).unwrap();
    let after = fs::read_to_string(&path).unwrap();
    drop(log);
    assert!(Command::new("umount").arg(dir.path()).status().unwrap().success());
    assert!(written < 100, "the disk was never full");
    assert!(full == format!("{line}\n").repeat(written), "a piece of a line is left");
    assert_eq!(after, format!("{} lost\nafter\n", 100 - written));
}

#[test]
fn a_line_that_was_cut_short_by_a_crash_is_ended_before_the_next() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("sync.log"), "torn").unwrap();
    append(&mut LogFile::new(dir.path(), "sync", SMALL), "whole", 0).unwrap();
    assert_eq!(lines(dir.path()), ["torn", "whole"]);
}

const WRITERS: usize = 3;

const EACH: usize = 2_000;

/// Not a test by itself: one of the processes that the next test starts.
#[test]
fn writes_its_lines() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut log = LogFile::new(Path::new(&dir), "sync", Limits { max_size: 10_000, keep: 1_000 });
    for line in 0..EACH {
        let seconds = i64::try_from(line).unwrap();
        append(&mut log, &format!("{} {line} {}", std::process::id(), "x".repeat(line % 200)), seconds).unwrap();
    }
}

#[test]
#[cfg_attr(windows, ignore = "Wine, where it is tried, looks for the end and then writes there; Windows appends in one step, as Unix does")]
fn processes_that_rotate_one_log_lose_and_cut_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let writer = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "observe::rotate::tests::writes_its_lines"])
            .env(DIR, dir.path())
            .spawn()
            .unwrap()
    };
    let writers: Vec<_> = (0..WRITERS).map(|_| writer()).collect();
    let pids: Vec<u32> = writers.iter().map(std::process::Child::id).collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    // A line that was seen half written may have been ended twice: an empty line is no loss.
    let mut found: Vec<String> = lines(dir.path()).into_iter().filter(|line| !line.is_empty()).collect();
    let mut expected: Vec<String> =
        pids.iter().flat_map(|pid| (0..EACH).map(move |line| format!("{pid} {line} {}", "x".repeat(line % 200)))).collect();
    found.sort();
    expected.sort();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "a line was cut");
    let sizes: Vec<usize> = files(dir.path()).iter().map(|(_, text)| text.len()).collect();
    // Nobody waits for the one who rotates, so a file may grow beyond its size while that one is at it.
    assert!(sizes.len() > 20, "it was rotated too seldom: {sizes:?}");
}
