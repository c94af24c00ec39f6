//! Whether a folder is on a network drive, where locks and shared memory do not hold what taskrun needs of them.
use std::path::Path;

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

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
pub(crate) fn network_drive(_folder: &Path) -> Option<&'static str> {
    None
}
