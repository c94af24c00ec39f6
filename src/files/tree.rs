//! Removes folders with all that is in them, by their handles: never through a link, never onto another file system, never outside the root.
use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat, unlinkat},
    io::Errno,
};

use super::{DEPTH_MAX, FileError, LINK, Limit, Swept, TOO_HIGH, open_folder, refused, system};

/// Names of a folder that are looked at before the next are read.
const PORTION: usize = 1024;
/// How often something that turns into something else under our hands is tried.
const TRIES: usize = 16;

/// A folder that was opened once. Whatever becomes of its path, it is this folder that is worked in.
#[derive(Debug)]
pub struct Root {
    folder: File,
    path: PathBuf,
    device: u64,
}

impl Root {
    /// Opens a folder.
    ///
    /// # Errors
    /// When it is not there, or so high up that nobody can mean it: `/`, a folder in `/`, or a home.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let whole = path.canonicalize().map_err(system("find the folder", path))?;
        let depth = whole.components().filter(|part| matches!(part, Component::Normal(_))).count();
        let is_home =
            depth == 2 && whole.starts_with("/home") || crate::config::system_env("HOME").is_some_and(|home| Path::new(&home) == whole);
        if depth < 2 || is_home {
            return Err(refused(&whole, TOO_HIGH));
        }
        let folder = open_folder(&whole)?;
        let device = fstat(&folder).map_err(system("look at", &whole))?.st_dev;
        Ok(Self { folder, path: whole, device })
    }

    /// Where it was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folders that lie in it, with the second (Unix time) in which each last changed.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn folders(&self) -> Result<Vec<(OsString, i64)>, FileError> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.folder).map_err(system("read", &self.path))? {
            let entry = entry.map_err(system("read", &self.path))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                found.push((OsStr::from_bytes(name.to_bytes()).to_owned(), stat.st_mtime));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Removes a folder below this one with everything in it. Links in it go; what they lead to stays.
    ///
    /// # Errors
    /// When the path leads outside, is or crosses a link or another file system, or something in it can't be removed. What is gone by then is gone.
    pub fn remove(&self, below: &Path, limit: &dyn Limit) -> Result<Swept, FileError> {
        let whole = self.path.join(below);
        let mut names = Vec::new();
        for part in below.components() {
            match part {
                Component::Normal(name) => names.push(c_name(name, &whole)?),
                _ => return Err(refused(below, "does not lie within its folder")),
            }
        }
        let Some((last, above)) = names.split_last() else { return Err(refused(below, "names nothing in its folder")) };
        let mut parent = self.folder.try_clone().map_err(system("open", &self.path))?;
        for name in above {
            match self.enter(&parent, name, &whole)? {
                Entered::Folder(folder) => parent = folder,
                Entered::Missing => return Ok(Swept::Gone),
                Entered::NoFolder => return Err(refused(&whole, LINK)),
            }
        }
        // The name was given to us: if it is a link, somebody has to look.
        if let Entered::NoFolder = self.enter(&parent, last, &whole)? {
            return Err(refused(&whole, LINK));
        }
        Sweep { root: self, whole: &whole, limit }.remove(&parent, last, DEPTH_MAX)
    }

    /// Opens a folder in a folder.
    fn enter(&self, parent: &File, name: &CString, whole: &Path) -> Result<Entered, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match openat(parent, name, flags, Mode::empty()) {
            Ok(folder) => File::from(folder),
            Err(Errno::NOENT) => return Ok(Entered::Missing),
            Err(Errno::LOOP | Errno::NOTDIR) => return Ok(Entered::NoFolder),
            Err(error) => return Err(system("open", whole)(error)),
        };
        let device = fstat(&folder).map_err(system("look at", whole))?.st_dev;
        if device != self.device || is_mount_point(&folder) {
            return Err(refused(whole, "crosses another file system, so it is left alone"));
        }
        Ok(Entered::Folder(folder))
    }
}

/// What was found under a name.
enum Entered {
    Folder(File),
    Missing,
    /// A link, a file.
    NoFolder,
}

/// The removal of one tree.
struct Sweep<'a> {
    root: &'a Root,
    whole: &'a Path,
    limit: &'a dyn Limit,
}

impl Sweep<'_> {
    /// Removes everything in a folder.
    fn empty(&self, folder: &File, depth: usize) -> Result<Swept, FileError> {
        loop {
            let names = self.names(folder)?;
            if names.is_empty() {
                return Ok(Swept::Gone);
            }
            for name in &names {
                if self.limit.is_over() || self.remove(folder, name, depth)? == Swept::Stopped {
                    return Ok(Swept::Stopped);
                }
            }
        }
    }

    /// Some of the names in a folder; none: it is empty.
    fn names(&self, folder: &File) -> Result<Vec<CString>, FileError> {
        let mut names = Vec::new();
        for entry in Dir::read_from(folder).map_err(system("read", self.whole))? {
            let entry = entry.map_err(system("read", self.whole))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
            if names.len() == PORTION {
                break;
            }
        }
        Ok(names)
    }

    /// Removes one thing, whatever it is by now: a folder is entered by a handle or not at all, and anything else loses its name here.
    fn remove(&self, parent: &File, name: &CString, depth: usize) -> Result<Swept, FileError> {
        let Some(deeper) = depth.checked_sub(1) else { return Err(refused(self.whole, "has folders too deep in each other")) };
        let mut refusal = Errno::AGAIN;
        for _ in 0..TRIES {
            match unlinkat(parent, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(self.gone()),
                // What Linux and the others say of a folder.
                Err(error @ (Errno::ISDIR | Errno::PERM)) => refusal = error,
                Err(error) => return Err(system("remove from", self.whole)(error)),
            }
            match self.root.enter(parent, name, self.whole)? {
                Entered::Missing => return Ok(self.gone()),
                Entered::NoFolder => continue,
                Entered::Folder(inner) => {
                    if self.empty(&inner, deeper)? == Swept::Stopped {
                        return Ok(Swept::Stopped);
                    }
                }
            }
            match unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => return Ok(self.gone()),
                // It is another thing by now, or not empty any more.
                Err(error @ (Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST)) => refusal = error,
                Err(error) => return Err(system("remove", self.whole)(error)),
            }
        }
        Err(system("remove from", self.whole)(refusal))
    }

    fn gone(&self) -> Swept {
        self.limit.count();
        Swept::Gone
    }
}

fn c_name(name: &OsStr, whole: &Path) -> Result<CString, FileError> {
    CString::new(name.as_bytes()).map_err(|_| refused(whole, "has a name that is none"))
}

/// Whether something is mounted here, even from the same file system.
#[cfg(target_os = "linux")]
fn is_mount_point(folder: &File) -> bool {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    let found = statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn is_mount_point(_folder: &File) -> bool {
    false
}
