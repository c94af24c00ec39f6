//! What only a file can get wrong: who may read it, who shares it, what damaged it, and when its writers die.
use std::{fs, path::Path, process::Stdio, time::Duration};

use taskrun::{
    core::{
        event::Judgement,
        task::{Overlap, ProcessId, RunId},
    },
    store::{
        HistoryFilter, RunStore, StoreError,
        sqlite::{SqliteStore, inspect, newest_schema},
    },
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::world::{fire, minute, overlapping, vouching};

fn rows() -> HistoryFilter {
    HistoryFilter { limit: usize::MAX, ..HistoryFilter::default() }
}

#[cfg(unix)]
#[test]
fn no_other_user_may_read_the_store_whatever_the_umask_says() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/deep/taskrun.db");
    let before = rustix::process::umask(rustix::fs::Mode::empty());
    let store = SqliteStore::open(&path);
    rustix::process::umask(before);
    let store = store.unwrap();
    let files = ["taskrun.db", "taskrun.db-wal", "taskrun.db-shm"].map(|name| path.with_file_name(name));
    assert!(files.iter().all(|file| mode(file) == 0o600), "{:?}", files.each_ref().map(|file| mode(file)));
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    // A copy that somebody restored with other rights is shut again.
    drop(store);
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let _store = SqliteStore::open(&path).unwrap();
    assert!(files.iter().all(|file| mode(file) == 0o600));
}

#[test]
fn a_newer_schema_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    drop(SqliteStore::open(&path).unwrap());
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 4_037).unwrap();
    drop(conn);
    let before = fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 4_037, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn the_database_of_another_program_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE orders (id)").unwrap();
    let before = fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_no_database_is_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    fs::write(&path, "tasks:\n  sync:\n    every: 3h\n".repeat(100)).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_store_that_cannot_be_read_is_not_called_damaged_and_one_that_was_emptied_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    drop(SqliteStore::open(&path).unwrap());
    assert_eq!(inspect(&path).unwrap(), newest_schema());
    // SQLite can't open it, as on a disk that was mounted to be read only.
    let error = inspect(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    let path = folder.path().join("emptied.db");
    fs::write(&path, "").unwrap();
    let error = inspect(&path).unwrap_err();
    assert!(error.to_string().contains("is damaged: it is empty"), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    let store = SqliteStore::open(&path).unwrap();
    let me = store.register_process(1, false, "daemon".to_owned(), minute(0)).await.unwrap();
    let task = overlapping("sync", Overlap::Allow);
    for at in 0..200 {
        drop(store.judge(me, fire(&task, at), minute(at)));
    }
    store.history(rows()).await.unwrap();
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut called_damaged, mut rounds) = (0, 0);
    while rounds < 60 {
        let mut bytes = whole.clone();
        match rng.u8(..3) {
            0 => bytes.truncate(rng.usize(1..whole.len())),
            1 => (0..20).for_each(|_| bytes[rng.usize(..whole.len())] ^= 1 << rng.u8(..8)),
            _ => {
                let page = rng.usize(..whole.len() / 4_096) * 4_096;
                bytes[page..page + 4_096].fill(0);
            }
        }
        let path = folder.path().join(format!("damaged-{rounds}.db"));
        fs::write(&path, bytes).unwrap();
        let read = match SqliteStore::open(&path) {
            Ok(store) => store.history(rows()).await.map(|_| ()),
            Err(error) => Err(error),
        };
        // Some damage does no harm: a bit of a text, an empty page.
        called_damaged += usize::from(matches!(read, Err(StoreError::Damaged { .. })));
        rounds += 1;
    }
    assert!(called_damaged > rounds / 3, "{called_damaged} of {rounds}");
}

#[test]
fn many_may_open_a_new_file_at_the_same_time() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taskrun.db");
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| SqliteStore::open(&path).map(drop))).collect();
            for one in opened {
                one.join().unwrap().unwrap();
            }
        });
    }
}

#[tokio::test]
async fn what_one_handle_wrote_another_sees_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    let (one, two) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
    for at in 0..50 {
        let id = one.register_process(at, false, "daemon".to_owned(), minute(0)).await.unwrap();
        assert_eq!(two.processes().await.unwrap().last().unwrap().id, id);
    }
}

/// Where the writer of the tests below finds its store.
const STORE: &str = "TASKRUN_TEST_STORE";
/// Fires that the writers below judge at the same time.
const AT_ONCE: i64 = 16;

/// Not a test: a process that judges fires and tells each run that it was given, until it is killed.
#[tokio::test]
#[ignore = "the other process of the tests below"]
async fn writer() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = SqliteStore::open(Path::new(&path)).unwrap();
    let me = store.register_process(std::process::id(), false, "daemon".to_owned(), minute(0)).await.unwrap();
    let task = overlapping("shared", Overlap::Allow);
    let everybody: Vec<_> = (1..20).map(|id| (ProcessId(id), true)).collect();
    for round in 0.. {
        let fires = round * AT_ONCE..(round + 1) * AT_ONCE;
        let judged: Vec<_> = fires.map(|at| (at, store.judge(me, vouching(fire(&task, at), &everybody), minute(at)))).collect();
        for (at, judged) in judged {
            if let Judgement::Admitted { run, .. } = judged.await.unwrap() {
                println!("run {at} {run}");
            }
        }
    }
}

fn start_writer(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "file::writer", "--ignored", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Reads what a writer tells until it has told `enough`, kills it, and reads what it told in the meantime.
async fn kill_after(mut writer: Child, enough: usize) -> Vec<(i64, RunId)> {
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while let Some(line) = tokio::time::timeout(Duration::from_mins(1), lines.next_line()).await.unwrap().unwrap() {
        let mut words = line.split(' ');
        if words.next() == Some("run")
            && let (Some(at), Some(run)) = (words.next(), words.next())
        {
            // The last line may be cut off.
            let (Ok(at), Ok(run)) = (at.parse(), run.parse()) else { continue };
            told.push((at, RunId(run)));
            if told.len() == enough {
                writer.start_kill().unwrap();
            }
        }
    }
    told
}

#[tokio::test]
async fn two_processes_never_run_the_same_fire_and_what_was_acknowledged_survives_their_death() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    let (one, two) = (start_writer(&path), start_writer(&path));
    let (one, two) = tokio::join!(kill_after(one, 150), kill_after(two, 150));
    let store = SqliteStore::open(&path).unwrap();
    let rows = store.history(rows()).await.unwrap();
    let mut fires: Vec<_> = rows.iter().map(|row| row.fire_at).collect();
    let mut generations: Vec<_> = rows.iter().map(|row| row.generation).collect();
    fires.sort_unstable();
    fires.dedup();
    generations.sort_unstable();
    generations.dedup();
    assert_eq!((fires.len(), generations.len()), (rows.len(), rows.len()), "each fire once, each generation once");
    for (at, run) in one.iter().chain(&two) {
        let row = rows.iter().find(|row| row.run == *run);
        assert_eq!(row.map(|row| row.fire_at), Some(minute(*at)), "run {run} was acknowledged");
    }
    assert!(300 <= one.len() + two.len() && one.len() + two.len() <= rows.len());
}

#[test]
fn a_word_that_is_none_of_ours_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    let _store = SqliteStore::open(&path).unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("INSERT INTO instances (name, first_seen_ms) VALUES ('sync', 0)").unwrap();
    let insert = "INSERT INTO runs (instance, fire_at_ms, trigger, state) VALUES ('sync', 0, 'schedule', 'waiting')";
    for (ours, other) in [("schedule", "cron"), ("waiting", "queued"), ("'waiting'", "7"), ("waiting", "running"), ("0,", "'noon',")] {
        assert!(conn.execute_batch(&insert.replace(ours, other)).is_err(), "{other}");
    }
    conn.execute_batch(insert).unwrap();
    assert!(conn.execute_batch(insert).is_err(), "an instant of the schedule becomes a run once");
}
