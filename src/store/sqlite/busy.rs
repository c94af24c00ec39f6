//! Waiting for another process that writes to the same file, and saying who it is when it takes too long.
use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::Connection;

/// Makes a connection wait for the file in short random naps. SQLite's own handler backs off to 100 ms, and so starves beside a process that locks
/// again at once; short naps are fair.
pub(super) fn wait_fairly(conn: &mut Connection, patience: Duration) -> rusqlite::Result<()> {
    let mut since: Option<Instant> = None;
    conn.busy_handler(Some(move |count: i32| {
        if count == 0 {
            since = None;
        }
        nap(&mut since, patience)
    }))
}

/// Naps once; false when the patience since the first nap is used up.
#[expect(clippy::disallowed_methods, reason = "a wait of this thread for the file, in real time whatever the clock of the schedules says")]
pub(super) fn nap(since: &mut Option<Instant>, patience: Duration) -> bool {
    if since.get_or_insert_with(Instant::now).elapsed() >= patience {
        return false;
    }
    std::thread::sleep(Duration::from_micros(fastrand::u64(100..=1_000)));
    true
}

/// The process that holds the file's write lock, where the system tells.
///
/// SQLite's writers lock one byte of the `-shm` file; Linux lists such locks with their owners.
#[cfg(target_os = "linux")]
pub(super) fn holder(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    /// Where SQLite keeps the write lock in the `-shm` file (`WAL_WRITE_LOCK` in its wal.c).
    const WRITE_LOCK_BYTE: &str = "120";
    let inode = std::fs::metadata(super::disk::beside(path, "-shm")).ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // A line: `1: POSIX  ADVISORY  WRITE 4037 fe:00:131 120 120`.
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(3);
        let (kind, pid, file, start) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let same = kind == "WRITE" && start == WRITE_LOCK_BYTE && file.rsplit(':').next() == Some(inode.as_str());
        same.then(|| pid.parse().ok()).flatten()
    })
}

/// The process that holds the file's write lock: nobody tells here.
#[cfg(not(target_os = "linux"))]
pub(super) fn holder(_path: &Path) -> Option<u32> {
    None
}
