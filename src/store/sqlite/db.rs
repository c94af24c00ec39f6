//! One SQLite file: a thread that writes, a few connections that read.
//!
//! Every write of the process goes through one thread, which takes what has queued and commits it in one transaction with one sync to disk: so
//! durable writes are cheap under load, and this process never waits for itself. It knows nothing of runs and shops.
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    busy, disk,
    migrate::{self, Fault},
};
use crate::errors::panic_text;
use crate::store::{BoxFuture, StoreError, StoreResult};

/// Writes that may wait for the thread. Ten thousand tasks that come due at once fit; beyond it the disk hangs, and refusing is kinder than growing.
const QUEUE_MAX: usize = 32_768;
/// Writes that share a transaction: enough to make the sync to disk cheap, few enough that the first does not wait long for the last.
const BATCH_MAX: usize = 256;
/// Connections that read at once.
const READERS_MAX: usize = 4;
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 128;
/// A file up to this size is checked for damage when it is opened; a larger one would delay the start.
const CHECK_MAX_BYTES: u64 = 50 * 1024 * 1024;
/// A write transaction takes milliseconds. Whoever holds the file for this long is stopped or hangs, and waiting longer would only hide it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is left of a `-wal` file that grew.
const WAL_KEPT_BYTES: i64 = 16 * 1024 * 1024;

/// An open file. Clones share it; it is closed, and every write done, when the last one is dropped.
#[derive(Clone)]
pub(super) struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    path: Arc<Path>,
    /// `None` only while it is being dropped.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    writer: Option<JoinHandle<()>>,
    idle: Mutex<Vec<Connection>>,
    reading: Semaphore,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the file, creating it and its folder where missing (0600 and 0700), and brings it to the newest schema.
    pub(super) fn open(path: &Path) -> StoreResult<Self> {
        Self::open_patiently(path, PATIENCE)
    }

    /// `patience`: how long to wait for another process that writes.
    fn open_patiently(path: &Path, patience: Duration) -> StoreResult<Self> {
        check_version(rusqlite::version_number(), rusqlite::version())?;
        disk::prepare(path)?;
        let conn = open_writer(path, patience).map_err(|fault| match fault {
            Fault::Refused(error) => error,
            Fault::Sqlite(error) => {
                damaged(path, &error).unwrap_or_else(|| StoreError::Open { path: path.to_owned(), source: error.into() })
            }
        })?;
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let file: Arc<Path> = path.into();
        let writer = std::thread::Builder::new()
            .name("taskrun-store".to_owned())
            .spawn({
                let file = Arc::clone(&file);
                move || write_all(conn, queue, &file)
            })
            .map_err(|source| StoreError::Open { path: path.to_owned(), source: source.into() })?;
        let inner =
            Inner { path: file, jobs: Some(jobs), writer: Some(writer), idle: Mutex::default(), reading: Semaphore::new(READERS_MAX) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Writes: `work` runs within a transaction that it shares with others, and the answer comes when all of it is safely on disk.
    ///
    /// Writes happen in the order of the calls of this method, whether or not anybody waits for the answer. Where `work` fails, its own changes are
    /// undone and nobody else's. It must not begin or end a transaction.
    pub(super) fn write<T, F>(&self, step: &'static str, work: F) -> BoxFuture<'static, StoreResult<T>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Write { step, work: Some(work), done: None, answer };
        if let Some(jobs) = &self.inner.jobs
            && let Err(mpsc::error::TrySendError::Full(job)) = jobs.try_send(Box::new(job))
        {
            job.answer(Some((&Arc::new(WriteFault::Full), &self.inner.path)));
        }
        Box::pin(async move { answered.await.unwrap_or(Err(StoreError::Closed)) })
    }

    /// Reads: `work` sees one state of the file, with everything in it whose write was answered before the returned future is first polled.
    pub(super) fn read<T, F>(&self, step: &'static str, work: F) -> BoxFuture<'static, StoreResult<T>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let Ok(_permit) = inner.reading.acquire().await else { return Err(StoreError::Closed) };
            let reader = Arc::clone(&inner);
            let read = tokio::task::spawn_blocking(move || reader.read(work)).await;
            read.map_err(|_| StoreError::Closed)?.map_err(|error| failed(&inner.path, step, error))
        })
    }

    /// The database file.
    pub(super) fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Copies everything that was committed into an empty file, without keeping anybody from reading or writing. Takes its time.
    pub(super) fn copy_to(&self, step: &'static str, copy: &Path) -> StoreResult<()> {
        let copied = open_reader(self.path()).and_then(|conn| conn.execute("VACUUM INTO ?1", [copy.to_string_lossy()]));
        copied.map(drop).map_err(|error| failed(self.path(), step, error))
    }

    /// Works on a connection of its own, outside any transaction: for what takes long, or can't be within one.
    pub(super) fn apart<T, F>(&self, step: &'static str, work: F) -> BoxFuture<'static, StoreResult<T>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let file = Arc::clone(&inner);
            let done = tokio::task::spawn_blocking(move || {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let mut conn = Connection::open_with_flags(&file.path, flags)?;
                busy::wait_fairly(&mut conn, PATIENCE)?;
                work(&conn)
            })
            .await;
            done.map_err(|_| StoreError::Closed)?.map_err(|error| failed(&inner.path, step, error))
        })
    }
}

impl Inner {
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut conn = match idle {
            Some(conn) => conn,
            None => open_reader(&self.path)?,
        };
        let tx = conn.transaction()?;
        let found = work(&tx)?;
        tx.finish()?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        Ok(found)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The thread ends when the queue is closed and empty. Waiting for it keeps a file from being opened again while it is still being closed.
        // The readers go first: only a connection that writes can bring the log back into the file, and only if it is the last one.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.jobs = None;
        let Some(writer) = self.writer.take() else { return };
        if writer.thread().id() != std::thread::current().id() && writer.join().is_err() {
            tracing::error!("the store's thread panicked");
        }
    }
}

/// A write that waits for its turn.
trait Job: Send {
    fn run(&mut self, conn: &Connection) -> rusqlite::Result<()>;
    /// Tells the caller: what `run` gave, or why nothing was changed.
    fn answer(self: Box<Self>, fault: Option<(&Arc<WriteFault>, &Path)>);
}

struct Write<T, F> {
    step: &'static str,
    work: Option<F>,
    done: Option<T>,
    answer: oneshot::Sender<StoreResult<T>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(conn)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, fault: Option<(&Arc<WriteFault>, &Path)>) {
        let answer = match (fault, self.done) {
            (None, Some(done)) => Ok(done),
            (None, None) => Err(StoreError::Closed),
            (Some((fault, path)), _) => Err(fault.explain(path, self.step)),
        };
        // Nobody waits any more: the write stands all the same.
        drop(self.answer.send(answer));
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
enum WriteFault {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("the file stays locked {}", by_whom(*.holder))]
    Locked {
        holder: Option<u32>,
        #[source]
        source: rusqlite::Error,
    },
    #[error("{QUEUE_MAX} writes wait for the disk already")]
    Full,
    #[error("a bug: {0}")]
    Panicked(String),
}

fn by_whom(holder: Option<u32>) -> String {
    holder.map_or_else(|| "by a process that may be stopped".to_owned(), |pid| format!("by process {pid}, which may be stopped"))
}

impl WriteFault {
    fn explain(self: &Arc<Self>, path: &Path, step: &'static str) -> StoreError {
        let found = match self.as_ref() {
            Self::Sqlite(error) => damaged(path, error),
            Self::Locked { .. } | Self::Full | Self::Panicked(_) => None,
        };
        found.unwrap_or_else(|| StoreError::Failed { step, source: Box::new(Arc::clone(self)) })
    }
}

/// What an error of the database is to others: damage, or a step that failed.
pub(super) fn failed(path: &Path, step: &'static str, error: rusqlite::Error) -> StoreError {
    damaged(path, &error).unwrap_or_else(|| StoreError::Failed { step, source: error.into() })
}

/// The error that a damaged file makes; `None` for every other.
fn damaged(path: &Path, error: &rusqlite::Error) -> Option<StoreError> {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        .then(|| StoreError::Damaged { path: path.to_owned(), detail: error.to_string() })
}

/// The writer's thread: takes what has queued, commits it at once, answers.
fn write_all(mut conn: Connection, mut queue: mpsc::Receiver<Box<dyn Job>>, path: &Path) {
    let mut batch = Vec::new();
    while queue.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
        let fault = write_batch(&mut conn, &mut batch, path).err().map(Arc::new);
        for job in batch.drain(..) {
            job.answer(fault.as_ref().map(|fault| (fault, path)));
        }
    }
}

/// One transaction. Jobs that fail alone are answered and taken out of the batch; an error is the whole batch's.
fn write_batch(conn: &mut Connection, batch: &mut Vec<Box<dyn Job>>, path: &Path) -> Result<(), WriteFault> {
    let locked = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) => WriteFault::Locked { holder: busy::holder(path), source },
        _ => WriteFault::Sqlite(source),
    };
    let mut tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(locked)?;
    let mut done = Vec::with_capacity(batch.len());
    let mut jobs = batch.drain(..);
    while let Some(mut job) = jobs.next() {
        match run_alone(&mut tx, job.as_mut()) {
            Ok(()) => done.push(job),
            // A full disk, an I/O error: SQLite has undone the whole transaction.
            Err(fault) if tx.is_autocommit() => {
                done.push(job);
                done.extend(jobs);
                *batch = done;
                return Err(fault);
            }
            Err(fault) => job.answer(Some((&Arc::new(fault), path))),
        }
    }
    drop(jobs);
    *batch = done;
    tx.commit().map_err(WriteFault::Sqlite)
}

/// Runs a job so that it fails alone, even by a panic.
fn run_alone(tx: &mut Transaction<'_>, job: &mut dyn Job) -> Result<(), WriteFault> {
    let savepoint = tx.savepoint()?;
    catch_unwind(AssertUnwindSafe(|| job.run(&savepoint)))
        .map_err(|panic| WriteFault::Panicked(panic_text(panic.as_ref()).to_owned()))??;
    Ok(savepoint.commit()?)
}

/// SQLite before 3.51.3 can damage a WAL database that several connections write.
fn check_version(number: i32, text: &str) -> StoreResult<()> {
    if number < 3_051_003 { Err(StoreError::UnsafeVersion { found: text.to_owned() }) } else { Ok(()) }
}

fn open_writer(path: &Path, patience: Duration) -> Result<Connection, Fault> {
    let mut conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    busy::wait_fairly(&mut conn, patience)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Looks before anything is written.
    migrate::inspect(&mut conn, path)?;
    let mode = to_wal(&conn, patience)?;
    if mode != "wal" {
        return Err(Fault::Refused(StoreError::NoWal { path: path.to_owned(), mode }));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    if std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECK_MAX_BYTES) {
        // Whether every row keeps to its CHECKs would take ten times as long, and says nothing of a damaged file.
        conn.pragma_update(None, "ignore_check_constraints", true)?;
        let detail: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        conn.pragma_update(None, "ignore_check_constraints", false)?;
        if detail != "ok" {
            return Err(Fault::Refused(StoreError::Damaged { path: path.to_owned(), detail }));
        }
    }
    migrate::migrate(&mut conn, path)?;
    Ok(conn)
}

/// Switches to a write-ahead log. SQLite does not call the busy handler where two processes switch a new file at the same time.
fn to_wal(conn: &Connection, patience: Duration) -> rusqlite::Result<String> {
    let mut since = None;
    loop {
        let mode = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        let busy = mode.as_ref().is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
        if !busy || !busy::nap(&mut since, patience) {
            return mode;
        }
    }
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let mut conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    busy::wait_fairly(&mut conn, PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn numbers() -> (tempfile::TempDir, Db) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("taskrun.db")).unwrap();
        db.write("make a table", |conn| conn.execute_batch("CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT")).await.unwrap();
        (folder, db)
    }

    fn insert(db: &Db, n: i64) -> BoxFuture<'static, StoreResult<usize>> {
        db.write("insert a number", move |conn| conn.execute("INSERT INTO numbers VALUES (?1)", [n]))
    }

    async fn all(db: &Db) -> Vec<i64> {
        db.read("list numbers", |conn| conn.prepare("SELECT n FROM numbers")?.query_map([], |row| row.get(0))?.collect()).await.unwrap()
    }

    #[tokio::test]
    async fn a_write_that_fails_or_panics_undoes_itself_and_nobody_else() {
        let (_folder, db) = numbers().await;
        let first = insert(&db, 1);
        let twice = db.write("insert twice", |conn| {
            conn.execute("INSERT INTO numbers VALUES (2)", [])?;
            conn.execute("INSERT INTO numbers VALUES (1)", [])
        });
        let bug = db.write("find a bug", |conn| -> rusqlite::Result<()> {
            conn.execute("INSERT INTO numbers VALUES (3)", [])?;
            panic!("index out of bounds")
        });
        let last = insert(&db, 4);
        assert_eq!(first.await.unwrap(), 1);
        assert!(matches!(twice.await, Err(StoreError::Failed { step: "insert twice", .. })));
        assert!(matches!(bug.await, Err(StoreError::Failed { source, .. }) if source.to_string().contains("index out of bounds")));
        assert_eq!(last.await.unwrap(), 1);
        assert_eq!(all(&db).await, [1, 4]);
    }

    #[tokio::test]
    async fn a_file_that_stays_locked_is_an_error_that_says_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taskrun.db");
        let db = Db::open_patiently(&path, Duration::from_millis(50)).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = db.write("write", |_| Ok(())).await.unwrap_err();
        let StoreError::Failed { step: "write", source } = error else { panic!("{error:?}") };
        let holder = if cfg!(target_os = "linux") { format!("by process {}", std::process::id()) } else { "by a process".to_owned() };
        assert!(source.to_string().contains(&holder), "{source}");
        // Reading goes on meanwhile, and writing afterwards.
        assert!(db.read("read", |conn| conn.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))).await.is_ok());
        other.execute_batch("COMMIT").unwrap();
        assert!(db.write("write", |_| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_and_writing_goes_on_when_there_is_room() {
        let (_folder, db) = numbers().await;
        insert(&db, 1).await.unwrap();
        let room = |pages: i64| db.write("limit the file", move |conn| conn.pragma_update(None, "max_page_count", pages));
        room(1).await.unwrap();
        let big = "INSERT INTO instances (name, first_seen_ms, schedule) VALUES ('sync', 0, hex(zeroblob(100000)))";
        let full = db.write("write much", |conn| conn.execute(big, [])).await;
        assert!(matches!(&full, Err(error @ StoreError::Failed { step: "write much", .. }) if disk::is_of_disk(error)), "{full:?}");
        room(1_000_000).await.unwrap();
        insert(&db, 2).await.unwrap();
        assert_eq!(all(&db).await, [1, 2]);
    }

    #[test]
    fn a_disk_without_room_for_the_index_of_the_log_is_the_disks_trouble() {
        let is_of_disk = |code| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let failed = failed(Path::new("taskrun.db"), "list the accounts", error);
            disk::is_of_disk(&failed)
        };
        assert!(is_of_disk(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) && is_of_disk(rusqlite::ffi::SQLITE_FULL));
        assert!(!is_of_disk(rusqlite::ffi::SQLITE_BUSY));
    }

    #[tokio::test]
    async fn writes_under_way_are_done_before_the_file_is_closed() {
        let (folder, db) = numbers().await;
        let answers: Vec<_> = (0..500).map(|n| insert(&db, n)).collect();
        drop(db);
        let db = Db::open(&folder.path().join("taskrun.db")).unwrap();
        assert_eq!(all(&db).await.len(), 500);
        for answer in answers {
            assert!(answer.await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_file_that_nobody_has_open_is_whole_by_itself() {
        let (folder, db) = numbers().await;
        insert(&db, 1).await.unwrap();
        assert_eq!(all(&db).await, [1]);
        drop(db);
        assert!(!folder.path().join("taskrun.db-wal").exists());
    }

    #[tokio::test]
    async fn writes_happen_in_the_order_of_the_calls_even_if_nobody_waits() {
        let (_folder, db) = numbers().await;
        let order = Arc::new(Mutex::new(Vec::new()));
        for n in 0..1_000 {
            let order = Arc::clone(&order);
            drop(db.write("note", move |_| {
                order.lock().unwrap().push(n);
                Ok(())
            }));
        }
        db.write("wait for the others", |_| Ok(())).await.unwrap();
        assert!(order.lock().unwrap().iter().copied().eq(0..1_000));
    }

    #[tokio::test]
    async fn a_write_that_breaks_the_transaction_fails_all_that_shared_it_and_the_next_ones_pass() {
        let (_folder, db) = numbers().await;
        let (go, gate) = std::sync::mpsc::channel::<()>();
        // The first keeps the thread busy until the others have queued, so that they share a transaction.
        let busy = db.write("hold", move |_| Ok(gate.recv().is_ok()));
        let with = insert(&db, 1);
        let breaks = db.write("break", |conn| conn.execute_batch("ROLLBACK; SELECT nothing"));
        let after = insert(&db, 2);
        go.send(()).unwrap();
        drop(busy.await);
        let answers = [with.await.is_ok(), breaks.await.is_ok(), after.await.is_ok()];
        // The gate may have opened before the first transaction was gathered: then all share one. Either way, an answer tells the truth.
        assert!(!answers[1]);
        assert_eq!(all(&db).await, [(1, answers[0]), (2, answers[2])].iter().filter(|(_, ok)| *ok).map(|(n, _)| *n).collect::<Vec<_>>());
        assert!(insert(&db, 3).await.is_ok());
    }

    #[test]
    fn an_sqlite_with_the_wal_reset_bug_is_refused() {
        assert!(matches!(check_version(3_051_002, "3.51.2"), Err(StoreError::UnsafeVersion { found }) if found == "3.51.2"));
        assert!(check_version(3_051_003, "3.51.3").is_ok());
        assert!(check_version(rusqlite::version_number(), rusqlite::version()).is_ok());
    }
}
