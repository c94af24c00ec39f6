//! The drive that a folder is on: how much room it has, and whether it is of a network, where locks and shared memory do not hold what taskrun needs of
//! them.
use std::{io, path::Path};

/// What Linux calls its network file systems (statfs(2)).
#[cfg(target_os = "linux")]
const NETWORKS: &[(u32, &str)] =
    &[(0x6969, "NFS"), (0x517b, "SMB"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB2"), (0x5346_414f, "AFS"), (0x00c3_6400, "Ceph")];

/// The kind of network drive that a folder is on, if it is on one.
#[cfg(target_os = "linux")]
pub(crate) fn network_drive(folder: &Path) -> Option<&'static str> {
    let kind = u32::try_from(rustix::fs::statfs(folder).ok()?.f_type).ok()?;
    NETWORKS.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

/// The kind of network drive that a folder is on, if it is on one. A drive letter is followed to the share that it stands for.
#[cfg(windows)]
pub(crate) fn network_drive(folder: &Path) -> Option<&'static str> {
    use std::path::{Component, Prefix};
    let whole = folder.canonicalize().ok()?;
    match whole.components().next() {
        Some(Component::Prefix(prefix)) if matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..)) => Some("SMB"),
        _ => None,
    }
}

/// Elsewhere nobody tells.
#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) fn network_drive(_folder: &Path) -> Option<&'static str> {
    None
}

/// How many bytes this user may still write there.
///
/// # Errors
/// The folder can't be looked at.
#[cfg(unix)]
pub(crate) fn free_space(folder: &Path) -> io::Result<u64> {
    let drive = rustix::fs::statvfs(folder)?;
    Ok(drive.f_bavail.saturating_mul(drive.f_frsize))
}

/// How many bytes this user may still write there.
///
/// # Errors
/// The folder can't be looked at.
#[cfg(windows)]
pub(crate) fn free_space(folder: &Path) -> io::Result<u64> {
    fs4::available_space(folder)
}
