//! The process record: a file that its process keeps locked for life. Whoever can lock it has proved that the process is dead.
//!
//! The lock is the kernel's, so it is gone the moment the process is, however it died. The record's name is never used twice; its file is removed
//! by its own process at an orderly end, or by who proved it dead.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use fd_lock::RwLock;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

pub use crate::children::{boot_id, kill_groups, kill_marked};
use crate::{
    os::{self, FileId, network_drive},
    store::ChildGroup,
};

/// The lock of the one daemon of a store.
const DAEMON_LOCK: &str = "daemon.lock";

/// A record is small; whatever is longer is none of ours.
const RECORD_MAX: u64 = 64 << 10;

/// What a record begins with. A lock is on the first byte, which under Windows nobody else can read then.
const LOCKED: &str = " ";

/// How long killed children get to be gone. One that the kernel holds on to (a dead network drive) must not hold us.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// How often we look whether they are gone.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What can go wrong with a process record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The folder or the file could not be made or locked.
    #[error("failed to keep the process record `{path}`")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// On a network drive a lock proves nothing, and SQLite would not be safe either.
    #[error("`{path}` is on a network drive ({kind}), where a lock proves nothing; set `state_dir` to a folder on a local disk")]
    NetworkDrive { path: PathBuf, kind: &'static str },
    /// Another daemon has the store.
    #[error("{}", taken(.holder.as_ref()))]
    DaemonRuns { holder: Option<Holder> },
}

fn taken(holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => format!(
            "a daemon already runs here: process {}, since {}; `taskrun run --replace` takes over from it",
            holder.pid,
            holder.started_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        ),
        None => "a daemon already runs here and is just starting".to_owned(),
    }
}

/// What stands in a record: which process it is, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process id.
    pub pid: u32,
    /// `daemon` or `once`.
    pub what: String,
    /// When it started.
    #[serde(with = "timestamp")]
    pub started_at: Timestamp,
    /// The name of its record.
    pub record: String,
}

/// The record of this process. Dropped, it is no longer proof of life, but its file stays; [`ProcessRecord::retire`] removes it.
#[derive(Debug)]
pub struct ProcessRecord {
    dir: PathBuf,
    holder: Holder,
    lock: HeldLock,
}

impl ProcessRecord {
    /// Makes the record in a folder, which is made as well and is nobody else's to look into.
    ///
    /// # Errors
    /// The folder can't be used, or is on a network drive.
    pub fn create(dir: &Path, once: bool, started_at: Timestamp) -> Result<Self, RecordError> {
        let failed = |source| RecordError::Io { path: dir.to_owned(), source };
        let dir = private_dir(dir).map_err(failed)?;
        if let Some(kind) = network_drive(&dir) {
            return Err(RecordError::NetworkDrive { path: dir, kind });
        }
        let pid = std::process::id();
        let record = format!("{pid}-{:012x}", fastrand::u64(..1 << 48));
        let holder = Holder { pid, what: if once { "once" } else { "daemon" }.to_owned(), started_at, record };
        let path = record_path(&dir, &holder.record);
        // Locked and written under another name first: nobody may see the record while it could still be locked.
        let draft = path.with_extension("new");
        let make = || {
            let file = os::options(0o600).read(true).write(true).create_new(true).open(&draft)?;
            let mut lock = lock(file)?.ok_or(io::ErrorKind::WouldBlock)?;
            write_holder(&mut lock.0, &holder)?;
            os::rename(&draft, &path)?;
            Ok(lock)
        };
        let lock = make().map_err(|source| RecordError::Io { path: path.clone(), source })?;
        Ok(Self { dir, holder, lock })
    }

    /// The record's name: what the store knows this process by, and what its children are marked with.
    pub fn name(&self) -> &str {
        &self.holder.record
    }

    /// Where this process may listen.
    pub fn socket(&self) -> PathBuf {
        socket_path(&self.dir, &self.holder.record)
    }

    /// Whether others still find the record where they look for it.
    pub fn is_in_place(&self) -> bool {
        is_at(&self.lock.0, &record_path(&self.dir, &self.holder.record))
    }

    /// What the record says.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Removes the record at an orderly end, once the store has forgotten this process.
    pub fn retire(self) {
        remove_record(&self.dir, &self.holder.record);
    }
}

/// The right to be the daemon of a store. The file is never removed: a lock of a removed file would exclude nobody.
#[derive(Debug)]
pub struct DaemonLock {
    _lock: HeldLock,
}

impl DaemonLock {
    /// Takes the lock for the process with this record.
    ///
    /// # Errors
    /// Another daemon has it, or the file can't be used.
    pub fn take(dir: &Path, record: &ProcessRecord) -> Result<Self, RecordError> {
        let path = dir.join(DAEMON_LOCK);
        let failed = |source| RecordError::Io { path: path.clone(), source };
        loop {
            let file = os::options(0o600).read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
            let Some(mut lock) = lock(file).map_err(failed)? else { return Err(RecordError::DaemonRuns { holder: daemon(dir) }) };
            // Somebody may have removed or replaced the file between our opening and our locking it.
            if is_at(&lock.0, &path) {
                write_holder(&mut lock.0, &record.holder).map_err(failed)?;
                return Ok(Self { _lock: lock });
            }
        }
    }
}

/// What the daemon's lock says: the daemon that runs, or the last one that did.
pub fn daemon(dir: &Path) -> Option<Holder> {
    read_holder(&dir.join(DAEMON_LOCK))
}

/// Whether the process with this record is dead: its record can be locked, or was removed. Our own is never dead. False also where the record
/// can't be opened: nothing is proved then.
pub fn is_dead(dir: &Path, record: &str) -> bool {
    match OpenOptions::new().read(true).write(true).open(record_path(dir, record)) {
        // A shared lock excludes the owner's, and not that of others who are looking at the same time.
        Ok(file) => RwLock::new(file).try_read().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound && dir.is_dir(),
    }
}

/// Removes the record of a process that was proved dead, and its socket. What can't be removed stays, and harms nobody.
pub fn remove_record(dir: &Path, record: &str) {
    for path in [socket_path(dir, record), record_path(dir, record)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => tracing::debug!("failed to remove `{}`: {error}", path.display()),
            Ok(()) | Err(_) => (),
        }
    }
}

/// Where the process with this record may listen; `None` when there is no such record.
pub fn socket_of(dir: &Path, record: &str) -> Option<PathBuf> {
    record_path(dir, record).exists().then(|| socket_path(dir, record))
}

/// Removes what processes left that died before the store knew them. `known` are the records in the store; their death is the store's affair.
///
/// # Errors
/// The folder can't be read.
pub fn remove_strays(dir: &Path, known: &[String]) -> io::Result<()> {
    for record in records(dir)?.into_iter().filter(|record| !known.contains(record) && is_dead(dir, record)) {
        remove_record(dir, &record);
    }
    Ok(())
}

/// The names of all records in the folder, dead or alive.
///
/// # Errors
/// The folder can't be read.
pub fn records(dir: &Path) -> io::Result<Vec<String>> {
    let record = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let record = name.to_str()?.strip_suffix(".lock")?;
        (name.to_str() != Some(DAEMON_LOCK)).then(|| record.to_owned())
    };
    Ok(fs::read_dir(dir)?.flatten().filter_map(record).collect())
}

/// Kills the recorded groups, and whoever carries one of the markers. Comes back when they are gone, or after a second.
pub async fn kill_children(groups: Vec<ChildGroup>, markers: Vec<String>) {
    let all_gone = async {
        loop {
            let (groups, markers) = (groups.clone(), markers.clone());
            let kill = move || kill_groups(&groups) + markers.iter().map(|marker| kill_marked(marker)).sum::<usize>();
            if spawn_blocking(kill).await.unwrap_or(0) == 0 {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(GONE_WITHIN, all_gone).await.is_err() {
        tracing::warn!("left-over child processes were killed but are not gone yet");
    }
}

/// A file that is locked until this is dropped.
#[derive(Debug)]
struct HeldLock(File);

impl Drop for HeldLock {
    fn drop(&mut self) {
        // A child that is just being started may have the file for an instant longer; the lock ends here. Under Windows, where no child has it,
        // closing the file ends it.
        os::unlock(&self.0);
    }
}

/// `None`: somebody else has it.
fn lock(file: File) -> io::Result<Option<HeldLock>> {
    let mut lock = RwLock::new(file);
    match lock.try_write() {
        // It would be unlocked with the guard, which can't live beside what it guards.
        Ok(guard) => std::mem::forget(guard),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(HeldLock(lock.into_inner())))
}

fn is_at(file: &File, path: &Path) -> bool {
    FileId::of(file).ok() == FileId::at(path).ok()
}

fn record_path(dir: &Path, record: &str) -> PathBuf {
    dir.join(format!("{record}.lock"))
}

/// However long it is: who binds or connects to it knows a short way there.
fn socket_path(dir: &Path, record: &str) -> PathBuf {
    dir.join(format!("{record}.sock"))
}

fn write_holder(file: &mut File, holder: &Holder) -> io::Result<()> {
    let text = format!("{LOCKED}{}", serde_json::to_string(holder)?);
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

fn read_holder(path: &Path) -> Option<Holder> {
    let mut text = String::new();
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(LOCKED.len() as u64)).ok()?;
    file.take(RECORD_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Makes a folder that only this user may enter; gives its absolute path back.
fn private_dir(dir: &Path) -> io::Result<PathBuf> {
    os::make_folder(dir, 0o700)?;
    if os::open_to_others(dir).is_some() {
        os::set_mode(dir, 0o700)?;
    }
    os::canonical(dir)
}

/// Instants in records, as text.
pub(crate) mod timestamp {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
