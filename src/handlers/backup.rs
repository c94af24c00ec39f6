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
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

mod folder;

pub use folder::{RETENTION, Retention, copies, folder_of, remove_old};

use self::folder::{hold, name_of, part_of};
use super::{AttemptContext, Handler, HandlerError, Report};
use crate::{
    access::Planned,
    clock::BoxFuture,
    config::keys::HandlerSpec,
    errors::chain,
    os,
    store::{StoreError, upkeep::Upkeep},
};

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "backup",
    doc: "Copies the store while work goes on, and removes old copies.",
    params: RETENTION,
    retries: 3,
    resumable: true,
    parks: true,
    needs: &[],
    eager_in_practice: false,
};

/// The folder of the copies, in the state folder.
pub const FOLDER: &str = "backups";
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
        let dir = folder_of(&ctx.params, &ctx.base_dir, &self.dir);
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
        let retention = Retention::of(&ctx.params, now);
        let work = move || remove_old(&dir, &retention, false);
        let removed = tokio::task::spawn_blocking(work).await.unwrap_or(Err(BackupError::Cancelled)).map_err(failure)?.len();
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
    let held = hold(dir).map_err(file("lock the folder", dir))?;
    let name = name_of(now);
    let plain = dir.join(part_of(&name, "plain"));
    let packed = dir.join(part_of(&name, "packed"));
    store.copy(plain.clone()).await?;
    let work = {
        let (cancel, path, dir) = (cancel.clone(), dir.join(&name), dir.to_owned());
        move || {
            let done = pack(&plain, &packed, &cancel).and_then(|size| {
                os::rename(&packed, &path).map_err(file("name", &path))?;
                sync(&dir)?;
                Ok(Copied { path, size })
            });
            for part in [&plain, &packed] {
                drop(fs::remove_file(part));
            }
            drop(held);
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
    os::make_folder(dir, 0o700)
}

/// A new file that only this user can read.
fn create(path: &Path) -> io::Result<fs::File> {
    os::options(0o600).write(true).create_new(true).open(path)
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
    let read = read_back(packed).map_err(file("read back", packed))?;
    if read != length {
        return Err(file("read back", packed)(io::ErrorKind::UnexpectedEof.into()));
    }
    fs::metadata(packed).map(|found| found.len()).map_err(file("look at", packed))
}

/// Reads a packed copy to its end, where the checksum is compared. Gives its length unpacked.
fn read_back(packed: &Path) -> io::Result<u64> {
    io::copy(&mut io::BufReader::with_capacity(CHUNK, GzDecoder::new(fs::File::open(packed)?)), &mut io::sink())
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
    os::sync_folder(dir).map_err(file("write", dir))
}
