//! The store's files: made for this user alone, and on a disk that can be shared between processes.
use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::{ErrorCode, ffi};

use crate::{
    os::{self, network_drive},
    store::{StoreError, StoreResult},
};

/// Creates what is missing and shuts out other users, whatever the umask says.
pub(super) fn prepare(path: &Path) -> StoreResult<()> {
    let failed = |source: io::Error| StoreError::Open { path: path.to_owned(), source: source.into() };
    let folder = os::above(path);
    make_folder(folder).map_err(failed)?;
    if let Some(kind) = network_drive(folder) {
        return Err(StoreError::Network { path: path.to_owned(), kind });
    }
    prepare_files(path).map_err(failed)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.exists() {
        return Ok(());
    }
    os::make_folder(folder, 0o700)
}

/// SQLite gives its own files beside the database the same mode.
fn prepare_files(path: &Path) -> io::Result<()> {
    match create_private(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => (),
    }
    [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")].iter().try_for_each(|file| shut_out_others(file))
}

/// Whether an error is the disk's, or the file system's: it is full, or it fails.
pub fn is_of_disk(error: &StoreError) -> bool {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.into_iter().any(|cause| {
        let by_system = cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull);
        let by_sqlite = cause.downcast_ref::<ffi::Error>();
        by_system || by_sqlite.is_some_and(|error| matches!(error.code, ErrorCode::DiskFull | ErrorCode::SystemIoFailure))
    })
}

/// Creates an empty file for this user alone. Only a new file is ever opened here: closing a descriptor of one that SQLite has open would drop
/// SQLite's locks.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    os::options(0o600).write(true).create_new(true).open(path).map(drop)
}

fn shut_out_others(file: &Path) -> io::Result<()> {
    match os::set_mode(file, 0o600) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// New names in a file's folder are safe on the disk when the folder is.
pub(super) fn sync_folder(file: &Path) -> io::Result<()> {
    os::sync_folder(os::above(file))
}

/// A file that SQLite keeps beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
