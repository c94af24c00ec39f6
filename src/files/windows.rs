//! Files and folders under Windows.
//!
//! While a folder is held open without sharing its deletion, neither it nor a folder above it gets another name or goes, so a path through folders
//! that are held leads where it did. What is no plain folder when it is held, a junction or a link, is not entered.
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::windows::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::{Component, Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::{DEPTH_MAX, Difference, FileError, LENGTH_MAX, LINK, Limit, Swept, TOO_HIGH, refused, system};
use crate::os;

/// Opens a folder, and the link itself, not what it leads to.
const FOLDER_ITSELF: u32 = os::ALSO_FOLDERS | FILE_ITSELF;
/// Opens the link itself (`FILE_FLAG_OPEN_REPARSE_POINT`).
const FILE_ITSELF: u32 = 0x0020_0000;
/// The file goes when it is closed, or its process ends (`FILE_FLAG_DELETE_ON_CLOSE`).
const UNTIL_CLOSED: u32 = 0x0400_0000;
/// Others may read and write, not delete or rename (`FILE_SHARE_READ`, `FILE_SHARE_WRITE`).
const STAYS: u32 = 3;
/// The right to write and to delete (`GENERIC_WRITE`, `DELETE`).
const WRITE_AND_DELETE: u32 = 0x4001_0000;

/// A folder in which one file is looked after. Whoever has one is alone at it: nobody else has one for the same file.
#[derive(Debug)]
pub struct Folder {
    _folder: File,
    _alone: File,
    path: PathBuf,
}

impl Folder {
    /// Takes the folder of a file. `None`: somebody else has it now.
    ///
    /// # Errors
    /// When there is no such folder, or it can't be used.
    pub fn take(path: &Path) -> Result<Option<Self>, FileError> {
        if path.file_name().and_then(OsStr::to_str).is_none() {
            return Err(refused(path, "is no path of a file"));
        }
        let above = os::above(path);
        let folder = hold(above).map_err(system("open the folder", above))?.ok_or_else(|| refused(above, "is no folder"))?;
        let lock = beside(path, "lock");
        let mut options = OpenOptions::new();
        options.access_mode(WRITE_AND_DELETE).share_mode(0).custom_flags(UNTIL_CLOSED).create(true).truncate(false).write(true);
        // Access is denied to the lock of who had it before, as long as a scanner still looks at that.
        match os::patiently(&[os::ACCESS_DENIED], || options.open(&lock)) {
            Ok(alone) => Ok(Some(Self { _folder: folder, _alone: alone, path: path.to_owned() })),
            Err(error) if error.raw_os_error() == Some(os::SHARING_VIOLATION) => Ok(None),
            Err(error) => Err(system("lock", &lock)(error)),
        }
    }

    /// What the file says; `None` where there is none.
    ///
    /// # Errors
    /// When it is a link or no plain file, or can't be read.
    pub fn read(&self) -> Result<Option<String>, FileError> {
        let file = match OpenOptions::new().read(true).custom_flags(FILE_ITSELF).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(system("open", &self.path))?,
        };
        let kind = file.metadata().map_err(system("look at", &self.path))?.file_type();
        if kind.is_symlink() {
            return Err(refused(&self.path, "is a link; name the file that it leads to"));
        }
        if !kind.is_file() {
            return Err(refused(&self.path, "is no plain file"));
        }
        let mut bytes = Vec::new();
        file.take(LENGTH_MAX).read_to_end(&mut bytes).map_err(system("read", &self.path))?;
        String::from_utf8(bytes).map(Some).map_err(|_| refused(&self.path, "is not a text in UTF-8, so it is not ours"))
    }

    /// Whether the file must change to say this.
    ///
    /// # Errors
    /// As [`Folder::read`].
    pub fn differs(&self, text: &str) -> Result<Difference, FileError> {
        Ok(if self.read()?.as_deref() == Some(text) { Difference::None } else { Difference::Text })
    }

    /// Makes the file say this: at no instant is there anything but the old text or the new one. A file that says it already is not touched. What
    /// killed writers left beside it goes.
    ///
    /// # Errors
    /// When it is a link or no plain file, or the disk refuses. The old text stays then.
    pub fn write(&self, text: &str) -> Result<Difference, FileError> {
        let draft = beside(&self.path, "new");
        // Whoever writes holds the folder, so nobody is at work on this one any more.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(system("remove what was left beside", &self.path)(error));
            }
            Ok(()) | Err(_) => {}
        }
        let differs = self.differs(text)?;
        if differs == Difference::Text {
            let put = |mut file: File| file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
            let written = OpenOptions::new().write(true).create_new(true).open(&draft).and_then(put);
            if let Err(error) = written.and_then(|()| os::rename(&draft, &self.path)) {
                fs::remove_file(&draft).unwrap_or_default();
                return Err(system("write", &self.path)(error));
            }
        }
        Ok(differs)
    }
}

/// A folder that was opened once; it stays what and where it is as long as this lives.
#[derive(Debug)]
pub struct Root {
    _folder: File,
    path: PathBuf,
    /// The same with `\\?\`, where a name stands for itself: without it, `a.` and `a ` are `a`.
    literal: PathBuf,
}

impl Root {
    /// Opens a folder.
    ///
    /// # Errors
    /// When it is not there, or so high up that nobody can mean it: a drive, a folder in one, or a home.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let literal = path.canonicalize().map_err(system("find the folder", path))?;
        let whole = dunce::simplified(&literal).to_owned();
        let names: Vec<&OsStr> =
            whole.components().filter_map(|part| if let Component::Normal(name) = part { Some(name) } else { None }).collect();
        let is_home = names.len() == 2 && names.first().is_some_and(|name| name.eq_ignore_ascii_case("users"))
            || crate::config::system_env("USERPROFILE").is_some_and(|home| whole.as_os_str().eq_ignore_ascii_case(&home));
        if names.len() < 2 || is_home {
            return Err(refused(&whole, TOO_HIGH));
        }
        let folder = hold(&literal).map_err(system("open the folder", &whole))?.ok_or_else(|| refused(&whole, "is no folder"))?;
        Ok(Self { _folder: folder, path: whole, literal })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folders that lie in it, with the second (Unix time) in which each last changed.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn folders(&self) -> Result<Vec<(OsString, i64)>, FileError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(system("read", &self.path))? {
            let entry = entry.map_err(system("read", &self.path))?;
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                let age = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                found.push((entry.file_name(), age.and_then(|age| i64::try_from(age.as_secs()).ok()).unwrap_or(0)));
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
        let (mut held, mut path) = (Vec::new(), self.literal.clone());
        for part in below.components() {
            let Component::Normal(name) = part else { return Err(refused(below, "does not lie within its folder")) };
            path.push(name);
            match hold(&path) {
                Ok(Some(folder)) => held.push(folder),
                Ok(None) => return Err(refused(&whole, LINK)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Swept::Gone),
                Err(error) => return Err(system("open", &whole)(error)),
            }
        }
        let Some(last) = held.pop() else { return Err(refused(below, "names nothing in its folder")) };
        Sweep { whole: &whole, limit }.folder(&path, last, DEPTH_MAX)
    }
}

/// The removal of one tree.
struct Sweep<'a> {
    whole: &'a Path,
    limit: &'a dyn Limit,
}

impl Sweep<'_> {
    /// Removes a folder that is held, and everything in it.
    fn folder(&self, path: &Path, held: File, depth: usize) -> Result<Swept, FileError> {
        let Some(deeper) = depth.checked_sub(1) else { return Err(refused(self.whole, "has folders too deep in each other")) };
        for entry in fs::read_dir(path).map_err(system("read", self.whole))? {
            let entry = entry.map_err(system("read", self.whole))?;
            if self.limit.is_over() || self.entry(&entry, deeper)? == Swept::Stopped {
                return Ok(Swept::Stopped);
            }
        }
        // It can't go while it is held. Should it be a link by now, then the link goes.
        drop(held);
        self.went(fs::remove_dir(path))
    }

    fn entry(&self, entry: &fs::DirEntry, depth: usize) -> Result<Swept, FileError> {
        let path = entry.path();
        let kind = entry.file_type().map_err(system("look at", self.whole))?;
        if kind.is_symlink_dir() {
            return self.went(fs::remove_dir(&path));
        }
        if !kind.is_dir() {
            return self.went(fs::remove_file(&path));
        }
        match hold(&path) {
            Ok(Some(folder)) => self.folder(&path, folder, depth),
            Ok(None) => Err(refused(self.whole, LINK)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Swept::Gone),
            Err(error) => Err(system("open", self.whole)(error)),
        }
    }

    fn went(&self, removed: io::Result<()>) -> Result<Swept, FileError> {
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(system("remove from", self.whole)(error)),
            Ok(()) | Err(_) => self.limit.count(),
        }
        Ok(Swept::Gone)
    }
}

/// Opens a folder so that it stays what and where it is. `None`: it is a link or no folder.
fn hold(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().read(true).share_mode(STAYS).custom_flags(FOLDER_ITSELF).open(path)?;
    let is_folder = file.metadata()?.is_dir();
    Ok(is_folder.then_some(file))
}

/// What a writer keeps beside a file.
fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    os::above(path).join(format!(".{name}.taskrun-{what}"))
}

#[cfg(test)]
mod tests {
    use std::os::windows::fs::symlink_dir;

    use super::*;

    struct Endless;

    impl Limit for Endless {
        fn is_over(&self) -> bool {
            false
        }

        fn count(&self) {}
    }

    #[test]
    fn a_tree_goes_and_what_its_links_lead_to_stays() {
        let temp = tempfile::tempdir().unwrap();
        let (root, outside) = (temp.path().join("images"), temp.path().join("outside"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("canary"), "alive").unwrap();
        fs::write(root.join("a/b/1.jpg"), "x").unwrap();
        symlink_dir(&outside, root.join("a/link")).unwrap();
        let root = Root::open(&root).unwrap();
        assert_eq!(root.folders().unwrap().first().unwrap().0, "a");
        // Wine 8 makes no links, and says that it did.
        if root.path().join("a/link").symlink_metadata().is_ok() {
            assert!(matches!(root.remove(Path::new("a/link"), &Endless), Err(FileError::Refused { .. })));
        }
        assert!(matches!(root.remove(Path::new("..\\outside"), &Endless), Err(FileError::Refused { .. })));
        assert_eq!(root.remove(Path::new("a"), &Endless).unwrap(), Swept::Gone);
        assert!(!root.path().join("a").exists());
        assert!(outside.join("canary").exists());
    }

    #[test]
    fn a_name_that_ends_in_a_dot_or_a_space_is_no_other_name() {
        let temp = tempfile::tempdir().unwrap();
        let kept = temp.path().join("images/a/1.jpg");
        fs::create_dir_all(os::above(&kept)).unwrap();
        fs::write(&kept, "x").unwrap();
        let root = Root::open(&temp.path().join("images")).unwrap();
        for name in ["a.", "a ", "A..", "a./"] {
            assert_eq!(root.remove(Path::new(name), &Endless).unwrap(), Swept::Gone, "`{name}` was not there");
            assert!(kept.exists(), "{name}");
        }
        fs::create_dir(root.literal.join("a.")).unwrap();
        assert_eq!(root.remove(Path::new("a."), &Endless).unwrap(), Swept::Gone);
        assert!(kept.exists() && !root.literal.join("a.").exists());
        assert!(!root.path().to_string_lossy().contains(r"\\?\"), "people see it as they write it");
    }

    #[test]
    fn a_folder_that_is_held_gets_no_other_name() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("images/inner");
        fs::create_dir_all(&path).unwrap();
        let root = Root::open(&path).unwrap();
        assert!(fs::rename(&path, temp.path().join("moved")).is_err());
        drop(root);
        fs::rename(&path, temp.path().join("moved")).unwrap();
    }

    #[test]
    fn one_writer_at_a_time_replaces_a_file_as_a_whole() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("shop.env");
        let folder = Folder::take(&path).unwrap().unwrap();
        assert!(Folder::take(&path).unwrap().is_none(), "somebody has it");
        fs::write(beside(&path, "new"), "left by a killed writer").unwrap();
        assert_eq!(folder.write("A=1\n").unwrap(), Difference::Text);
        assert_eq!(folder.write("A=1\n").unwrap(), Difference::None);
        assert_eq!(folder.write("A=2\n").unwrap(), Difference::Text);
        drop(folder);
        assert_eq!(fs::read_to_string(&path).unwrap(), "A=2\n");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "nothing is left beside it");
        assert!(Folder::take(&path).unwrap().is_some());
    }

    #[test]
    fn a_drive_or_a_home_is_no_folder_of_images() {
        for path in ["C:\\", "C:\\windows", "C:\\users\\Public"] {
            if Path::new(path).exists() {
                assert!(matches!(Root::open(Path::new(path)), Err(FileError::Refused { .. })), "{path}");
            }
        }
    }
}
