//! Files and processes under Windows.
//!
//! A scanner or an indexer may have a file open for a moment, and refuse what we want with it: what is refused that way is tried again, for as
//! long as that takes.
use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::windows::fs::OpenOptionsExt as _,
    path::{Component, Path, PathBuf, Prefix},
    process::{Command, Stdio},
    time::Duration,
};

use crate::config::system_env;

/// Access denied; also said of a file that somebody has open, or that is about to go.
pub(crate) const ACCESS_DENIED: i32 = 5;
/// Somebody has the file open and shares it with nobody.
pub(crate) const SHARING_VIOLATION: i32 = 32;
/// Neither a program nor a script.
const BAD_EXE_FORMAT: i32 = 193;

/// The right to look at what is known of a file (`FILE_READ_ATTRIBUTES`).
const LOOK: u32 = 0x80;
/// Opens folders, too (`FILE_FLAG_BACKUP_SEMANTICS`).
pub(crate) const ALSO_FOLDERS: u32 = 0x0200_0000;

/// How often, and how long between, something is tried that somebody else may be in the way of: half a second in all.
const TRIES: u32 = 25;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Which file it is, whatever its name: its number on its drive. Holds the file, so that the number goes to no other meanwhile.
#[derive(Debug)]
pub(crate) struct FileId {
    number: u64,
    _held: File,
}

impl FileId {
    /// Of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let held = file.try_clone()?;
        Ok(Self { number: winapi_util::file::information(&held)?.file_index(), _held: held })
    }

    /// Of the file at a path. Who shares it with nobody is not in the way of a look.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        Self::of(&OpenOptions::new().access_mode(LOOK).custom_flags(ALSO_FOLDERS).open(path)?)
    }
}

/// The numbers alone: they are of the same path. Wine does not name the drive of a file that got another name.
impl PartialEq for FileId {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for FileId {}

/// Options for a new file; its folder says who may do what with it.
pub(crate) fn options(_mode: u32) -> OpenOptions {
    OpenOptions::new()
}

/// Makes a folder with those above it.
pub(crate) fn make_folder(path: &Path, _mode: u32) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// The access list is the affair of who made the folder.
pub(crate) fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// The folder's access list decides.
pub(crate) fn open_to_others(_path: &Path) -> Option<u32> {
    None
}

/// Whether this user may make files in a folder. Only trying tells; the file goes at once.
pub(crate) fn writable(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// Files inherit the folder's access list, whoever makes them.
pub(crate) fn other_owner(_path: &Path) -> Option<u32> {
    None
}

/// Nobody is asked for by a number.
pub(crate) fn is_root() -> bool {
    false
}

/// Fills the buffer from this place of the file, where reading then goes on.
pub(crate) fn read_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

/// Gives a file another name; what has that name is replaced, unless somebody keeps it open for longer.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    patiently(&[ACCESS_DENIED, SHARING_VIOLATION], || std::fs::rename(from, to))
}

/// Tries for up to half a second, as long as Windows refuses with one of these codes.
#[expect(clippy::disallowed_methods, reason = "a wait of this thread for the file, in real time whatever the clock of the schedules says")]
pub(crate) fn patiently<T>(passing: &[i32], mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match attempt() {
            Err(error) if error.raw_os_error().is_some_and(|code| passing.contains(&code)) => std::thread::sleep(BETWEEN_TRIES),
            other => return other,
        }
    }
    attempt()
}

/// The whole path, without links, as people write it: without `\\?\` where it can be had without.
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    dunce::canonicalize(path)
}

/// The file system sees to it.
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// The kind of network drive that a folder is on, if it is on one: there, locks and shared memory do not hold what taskrun needs of them. A drive
/// letter is followed to the share that it stands for.
pub(crate) fn network_drive(folder: &Path) -> Option<&'static str> {
    let whole = folder.canonicalize().ok()?;
    match whole.components().next() {
        Some(Component::Prefix(prefix)) if matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..)) => Some("SMB"),
        _ => None,
    }
}

/// How many bytes this user may still write there.
pub(crate) fn free_space(folder: &Path) -> io::Result<u64> {
    fs4::available_space(folder)
}

/// What this machine calls itself.
pub(crate) fn host_name() -> String {
    system_env("COMPUTERNAME").unwrap_or_else(|| "windows".to_owned())
}

/// Ends another process. Nobody can be asked to end here but through its pipe, so without `at_once` nothing is done.
pub(crate) fn end_process(pid: u32, at_once: bool) -> io::Result<()> {
    if !at_once {
        return Ok(());
    }
    let pid = pid.to_string();
    let mut taskkill = Command::new("taskkill");
    taskkill.args(["/F", "/PID", &pid]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    taskkill.status().map(drop)
}

/// Whether a process is stopped and can do nothing; nobody can tell here.
pub(crate) fn is_halted(_pid: u32) -> bool {
    false
}

/// Whether a program could not be started because it is none.
pub(crate) fn is_no_program(error: &io::Error) -> bool {
    error.raw_os_error() == Some(BAD_EXE_FORMAT)
}

/// Opens what stands for a folder when it is locked. Windows locks no folders: it is a file in it.
pub(crate) fn lock_of_folder(folder: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(".lock"))
}

/// What a program printed, as text. What is not UTF-8 is of a Japanese Windows, where programs of old and cmd.exe print Shift_JIS.
pub(crate) fn text(printed: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(printed) {
        return text.into();
    }
    let (text, has_errors) = encoding_rs::SHIFT_JIS.decode_without_bom_handling(printed);
    if has_errors { String::from_utf8_lossy(printed) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_waited_for_and_what_does_not_is_told_at_once() {
        let tries = |code, free_after| {
            let mut tries = 0;
            let done = patiently(&[ACCESS_DENIED], || {
                tries += 1;
                if free_after < tries { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
            });
            (tries, done.is_ok())
        };
        assert_eq!(tries(ACCESS_DENIED, 3), (4, true));
        assert_eq!(tries(ACCESS_DENIED, u32::MAX), (TRIES, false), "not for ever");
        assert_eq!(tries(SHARING_VIOLATION, 3), (1, false), "that is an answer here");
    }

    #[test]
    fn what_a_japanese_windows_prints_is_read_as_it_was_meant() {
        for (printed, meant) in [
            ("おはよう".as_bytes(), "おはよう"),
            (b"\x82\xa8\x82\xcd\x82\xe6\x82\xa4", "おはよう"),
            (b"C:\\\x8f\xa4\x95i", "C:\\商品"),
            (b"ok", "ok"),
        ] {
            assert_eq!(text(printed), meant);
        }
    }
}
