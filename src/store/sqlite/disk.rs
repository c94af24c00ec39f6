//! The store's files: made for this user alone, and on a disk that can be shared between processes.
use std::{
    io,
    path::{Path, PathBuf},
};

use crate::store::{StoreError, StoreResult};

/// Creates what is missing and shuts out other users, whatever the umask says.
pub(super) fn prepare(path: &Path) -> StoreResult<()> {
    let failed = |source: io::Error| StoreError::Open { path: path.to_owned(), source: source.into() };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(folder).map_err(failed)?;
    if let Some(kind) = network(folder) {
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

/// The kind of network file system that the folder is on. The write-ahead log needs memory that its processes share, and locks that hold: neither
/// is to be had there, and the damage shows days later.
#[cfg(target_os = "linux")]
fn network(folder: &Path) -> Option<&'static str> {
    let kind = u32::try_from(rustix::fs::statfs(folder).ok()?.f_type).ok()?;
    NETWORKS.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
fn network(_folder: &Path) -> Option<&'static str> {
    None
}

/// What Linux calls its network file systems (statfs(2)).
#[cfg(target_os = "linux")]
const NETWORKS: &[(u32, &str)] =
    &[(0x6969, "NFS"), (0x517b, "SMB"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB2"), (0x5346_414f, "AFS"), (0x00c3_6400, "Ceph")];

/// SQLite gives its own files beside the database the same mode.
fn prepare_files(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Only a new file is ever opened here: closing a descriptor of one that SQLite has open would drop SQLite's locks.
    match options.write(true).create_new(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(_) | Err(_) => (),
    }
    [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")].iter().try_for_each(|file| shut_out_others(file))
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

/// A file that SQLite keeps beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
