//! The store's files: made for this user alone, and on a disk that can be shared between processes.
use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::{ErrorCode, ffi};

use crate::drive::network_drive;
use crate::store::{StoreError, StoreResult};

/// Creates what is missing and shuts out other users, whatever the umask says.
pub(super) fn prepare(path: &Path) -> StoreResult<()> {
    let failed = |source: io::Error| StoreError::Open { path: path.to_owned(), source: source.into() };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
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
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
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
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path).map(drop)
}

#[cfg(unix)]
fn shut_out_others(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::metadata(file) {
        Ok(found) if found.permissions().mode() & 0o777 != 0o600 => std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(not(unix))]
fn shut_out_others(_file: &Path) -> io::Result<()> {
    Ok(())
}

/// New names in a file's folder are safe on the disk when the folder is.
pub(super) fn sync_folder(file: &Path) -> io::Result<()> {
    #[cfg(unix)]
    std::fs::File::open(file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

/// A file that SQLite keeps beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
