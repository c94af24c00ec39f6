//! Files and processes under Unix.
use std::{
    borrow::Cow,
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    process::{Pid, Signal, geteuid, kill_process},
};

/// What Linux calls its network file systems (statfs(2)).
#[cfg(target_os = "linux")]
const NETWORKS: &[(u32, &str)] =
    &[(0x6969, "NFS"), (0x517b, "SMB"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB2"), (0x5346_414f, "AFS"), (0x00c3_6400, "Ceph")];

/// Which file it is, whatever its name: its device and its number there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    /// Of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|found| Self(found.dev(), found.ino()))
    }

    /// Of the file at a path.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|found| Self(found.dev(), found.ino()))
    }
}

/// Options that give a new file this mode.
pub(crate) fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(mode);
    options
}

/// Makes a folder with those above it, which get the mode as well.
pub(crate) fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Gives a file or folder this mode, where it has another.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let found = std::fs::metadata(path)?.mode() & 0o777;
    if found == mode { Ok(()) } else { std::fs::set_permissions(path, Permissions::from_mode(mode)) }
}

/// What others may do with a file or folder, as its mode with the sticky bit; `None`: nothing.
pub(crate) fn open_to_others(path: &Path) -> Option<u32> {
    let mode = std::fs::metadata(path).ok()?.mode() & 0o1777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Whether this user may make files in a folder.
pub(crate) fn writable(folder: &Path) -> io::Result<()> {
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The number of the user whose file or folder it is, if it is another than ours.
pub(crate) fn other_owner(path: &Path) -> Option<u32> {
    let owner = std::fs::metadata(path).ok()?.uid();
    (owner != geteuid().as_raw()).then_some(owner)
}

/// Whether we are root, who may do everything.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Fills the buffer from this place of the file.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// Gives a file another name; what has that name is replaced.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// The whole path, without links.
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// Has new names in a folder on the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The kind of network drive that a folder is on, if it is on one: there, locks and shared memory do not hold what taskrun needs of them.
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

/// How many bytes this user may still write there.
pub(crate) fn free_space(folder: &Path) -> io::Result<u64> {
    let drive = rustix::fs::statvfs(folder)?;
    Ok(drive.f_bavail.saturating_mul(drive.f_frsize))
}

/// What this machine calls itself.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Ends another process: SIGTERM, or, `at_once`, SIGKILL.
pub(crate) fn end_process(pid: u32, at_once: bool) -> io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    Ok(kill_process(pid, if at_once { Signal::KILL } else { Signal::TERM })?)
}

/// Whether a process is stopped (SIGSTOP, a debugger) and can do nothing; not known where there is no /proc.
pub(crate) fn is_halted(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

/// Whether a program could not be started because it is none.
pub(crate) fn is_no_program(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
}

/// Opens what stands for a folder when it is locked: itself.
pub(crate) fn lock_of_folder(folder: &Path) -> io::Result<File> {
    File::open(folder)
}

/// What a program printed, as text; what is not UTF-8 is replaced.
pub(crate) fn text(printed: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(printed)
}
