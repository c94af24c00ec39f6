//! The handler `backup`: a copy of the store as of one instant, compressed, checked, and never half there.
//!
//! The copy gets its final name only when it was read back and found whole, so whatever bears such a name can be restored.
use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{AttemptContext, Handler, HandlerError, Report};
use crate::{
    access::Planned,
    clock::BoxFuture,
    config::keys::{HandlerSpec, Key, Kind},
    errors::chain,
    store::{StoreError, upkeep::Upkeep},
};

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "backup",
    doc: "Copies the store while work goes on, and removes old copies.",
    params: &[
        Key { name: "dir", kind: Kind::Path, required: false, doc: "The folder of the copies; default `backups` in the state folder." },
        Key { name: "keep", kind: Kind::Int(1, 10_000), required: false, doc: "How many copies are kept; default 14." },
        Key {
            name: "keep_for",
            kind: Kind::Duration(false),
            required: false,
            doc: "Copies older than this are removed, but the newest; default 60d.",
        },
    ],
    retries: 3,
    resumable: true,
    parks: true,
    needs: &[],
    eager_in_practice: false,
};

/// The folder of the copies, in the state folder.
pub const FOLDER: &str = "backups";
const KEEP: usize = 14;
const KEEP_FOR: SignedDuration = SignedDuration::from_hours(60 * 24);

const PREFIX: &str = "taskrun-";
const SUFFIX: &str = ".db.gz";
/// What is not finished bears this at its end; nobody takes it for a copy.
const PART: &str = ".part";
/// What a killed run left behind goes after this long.
const PART_LIVES: std::time::Duration = std::time::Duration::from_hours(24);
const CHUNK: usize = 1 << 20;

/// The handler.
#[derive(Debug)]
pub struct Backup {
    store: Arc<dyn Upkeep>,
    dir: PathBuf,
}

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Where it is.
    pub path: PathBuf,
    /// In bytes, compressed.
    pub size: u64,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or folder.
    #[error("failed to {step} `{path}`")]
    File {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It was told to stop.
    #[error("stopped when asked to")]
    Cancelled,
}

impl Backup {
    /// A handler that copies this store, into `dir` unless the task names another folder.
    pub fn new(store: Arc<dyn Upkeep>, dir: PathBuf) -> Self {
        Self { store, dir }
    }

    async fn back_up(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let dir = ctx.params.text("dir").map_or_else(|| self.dir.clone(), |dir| ctx.base_dir.join(dir));
        let planned = || Planned {
            kind: "backup",
            target: dir.display().to_string(),
            change: "a copy of the store".to_owned(),
            reason: String::new(),
        };
        if ctx.access.permit(planned).is_none() {
            return Ok(Report { summary: "a copy would be made".to_owned() });
        }
        let now = ctx.clock.now().wall;
        let copied = make(self.store.as_ref(), &dir, now, &ctx.cancel).await.map_err(failure)?;
        let keep = ctx.params.int("keep").and_then(|keep| usize::try_from(keep).ok()).unwrap_or(KEEP);
        let before = now.checked_sub(ctx.params.duration("keep_for").unwrap_or(KEEP_FOR)).unwrap_or(Timestamp::MIN);
        let removed = remove_old(&dir, keep, before).map_err(failure)?;
        let size = copied.size.div_ceil(1024);
        Ok(Report { summary: format!("{}: {size} KiB; {removed} old copies removed", copied.path.display()) })
    }
}

impl Handler for Backup {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(self.back_up(ctx))
    }
}

fn failure(error: BackupError) -> HandlerError {
    match error {
        BackupError::Cancelled => HandlerError::Cancelled,
        error => HandlerError::Transient { message: chain(&error), retry_after: None },
    }
}

/// Makes a copy of the store in a folder, which is made where missing.
///
/// # Errors
/// When the store can't be read or the copy can't be written; then there is none.
pub async fn make(store: &dyn Upkeep, dir: &Path, now: Timestamp, cancel: &CancellationToken) -> Result<Copied, BackupError> {
    make_folder(dir).map_err(file("make the folder", dir))?;
    remove_parts(dir);
    let name = format!("{PREFIX}{}{SUFFIX}", now.strftime("%Y%m%dT%H%M%S.%3fZ"));
    let plain = dir.join(format!("{name}.{}.plain{PART}", std::process::id()));
    let packed = dir.join(format!("{name}.{}{PART}", std::process::id()));
    store.copy(plain.clone()).await?;
    let work = {
        let (cancel, path, dir) = (cancel.clone(), dir.join(&name), dir.to_owned());
        move || {
            let done = pack(&plain, &packed, &cancel).and_then(|size| {
                fs::rename(&packed, &path).map_err(file("name", &path))?;
                sync(&dir)?;
                Ok(Copied { path, size })
            });
            for part in [&plain, &packed] {
                drop(fs::remove_file(part));
            }
            done
        }
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(BackupError::Cancelled))
}

fn file(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { step, path, source }
}

fn make_folder(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

/// A new file that only this user can read.
fn create(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)
}

/// Packs a file, reads it back, and has it on the disk.
fn pack(plain: &Path, packed: &Path, cancel: &CancellationToken) -> Result<u64, BackupError> {
    let mut from = fs::File::open(plain).map_err(file("open", plain))?;
    let mut gzip = GzEncoder::new(create(packed).map_err(file("create", packed))?, Compression::default());
    let mut length = 0;
    let mut chunk = vec![0; CHUNK];
    loop {
        if cancel.is_cancelled() {
            return Err(BackupError::Cancelled);
        }
        let read = from.read(&mut chunk).map_err(file("read", plain))?;
        let Some(piece) = chunk.get(..read).filter(|piece| !piece.is_empty()) else { break };
        gzip.write_all(piece).map_err(file("write", packed))?;
        length += piece.len() as u64;
    }
    gzip.finish().and_then(|done| done.sync_all()).map_err(file("write", packed))?;
    // The checksum at its end is compared on the way.
    let back = GzDecoder::new(fs::File::open(packed).map_err(file("open", packed))?);
    let read = io::copy(&mut io::BufReader::with_capacity(CHUNK, back), &mut io::sink()).map_err(file("read back", packed))?;
    if read != length {
        return Err(file("read back", packed)(io::ErrorKind::UnexpectedEof.into()));
    }
    fs::metadata(packed).map(|found| found.len()).map_err(file("look at", packed))
}

/// Unpacks a copy into a new file that only this user can read.
///
/// # Errors
/// When the copy is damaged, or the file can't be written.
pub fn unpack(copy: &Path, into: &Path) -> Result<(), BackupError> {
    let mut from = GzDecoder::new(fs::File::open(copy).map_err(file("open", copy))?);
    let mut to = create(into).map_err(file("create", into))?;
    io::copy(&mut from, &mut to).map_err(file("unpack", copy))?;
    to.sync_all().map_err(file("write", into))
}

/// A new name is safe on the disk when its folder is.
fn sync(dir: &Path) -> Result<(), BackupError> {
    #[cfg(unix)]
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(file("write", dir))?;
    Ok(())
}

/// The finished copies of a folder, oldest first.
///
/// # Errors
/// When the folder can't be read.
pub fn copies(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if taken_at(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// When a copy was taken, by its name; `None` for whatever is none.
fn taken_at(path: &Path) -> Option<Timestamp> {
    let text = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S%.fZ", text).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp())
}

/// Removes copies beyond `keep` and those from before an instant, never the newest. How many.
///
/// # Errors
/// When the folder can't be read, or a copy not removed.
pub fn remove_old(dir: &Path, keep: usize, before: Timestamp) -> Result<usize, BackupError> {
    let mut found = copies(dir).map_err(file("read", dir))?;
    found.pop();
    let beyond = found.len().saturating_sub(keep.saturating_sub(1));
    let mut removed = 0;
    for (nth, path) in found.iter().enumerate() {
        if nth < beyond || taken_at(path).is_some_and(|at| at < before) {
            fs::remove_file(path).map_err(file("remove", path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes what killed runs left behind.
fn remove_parts(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_part = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(PART));
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
        if is_part && age.is_some_and(|age| age > PART_LIVES) {
            drop(fs::remove_file(entry.path()));
        }
    }
}
