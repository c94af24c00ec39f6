//! Replaces a file as a whole, or not at all.
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, openat, renameat, statat, unlinkat},
    io::Errno,
};

use super::{Difference, FileError, LENGTH_MAX, open_folder, refused, system};
use crate::os;

/// A folder in which one file is looked after. Whoever has one is alone at it: nobody else has one for the same folder.
#[derive(Debug)]
pub struct Folder {
    handle: File,
    path: PathBuf,
    name: String,
}

impl Folder {
    /// Takes the folder of a file. `None`: somebody else has it now.
    ///
    /// # Errors
    /// When there is no such folder, or it can't be used.
    pub fn take(path: &Path) -> Result<Option<Self>, FileError> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| refused(path, "is no path of a file"))?;
        let above = os::above(path);
        let folder = open_folder(above)?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(system("lock the folder", above)(error)),
        }
        Ok(Some(Self { handle: folder, path: path.to_owned(), name: name.to_owned() }))
    }

    /// What the file says; `None` where there is none.
    ///
    /// # Errors
    /// When it is a link or no plain file, or can't be read.
    pub fn read(&self) -> Result<Option<String>, FileError> {
        let Some(file) = self.open()? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(LENGTH_MAX).read_to_end(&mut bytes).map_err(system("read", &self.path))?;
        String::from_utf8(bytes).map(Some).map_err(|_| refused(&self.path, "is not a text in UTF-8, so it is not ours"))
    }

    /// Whether the file must change to say this, for this user alone.
    ///
    /// # Errors
    /// As [`Folder::read`].
    pub fn differs(&self, text: &str) -> Result<Difference, FileError> {
        let Some(mode) = self.mode()? else { return Ok(Difference::Text) };
        Ok(match self.read()? {
            Some(found) if found == text && mode == private() => Difference::None,
            Some(found) if found == text => Difference::Mode,
            Some(_) | None => Difference::Text,
        })
    }

    /// Makes the file say this, for this user alone: at no instant is there anything but the old text or the new one. A file that says it already is
    /// not touched. What killed writers left beside it goes.
    ///
    /// # Errors
    /// When it is a link or no plain file, or the disk refuses. The old text stays then.
    pub fn write(&self, text: &str) -> Result<Difference, FileError> {
        self.remove_leftovers()?;
        let differs = self.differs(text)?;
        match differs {
            Difference::None => {}
            Difference::Mode => {
                if let Some(file) = self.open()? {
                    fchmod(&file, private()).map_err(system("shut others out of", &self.path))?;
                }
            }
            Difference::Text => self.replace(text)?,
        }
        Ok(differs)
    }

    fn replace(&self, text: &str) -> Result<(), FileError> {
        let temp = format!("{}{}", self.prefix(), std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = openat(&self.handle, &temp, flags, private()).map(File::from).map_err(system("write beside", &self.path))?;
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| fchmod(&file, private()).map_err(io::Error::from))
            .and_then(|()| file.sync_all())
            .and_then(|()| renameat(&self.handle, &temp, &self.handle, &self.name).map_err(io::Error::from));
        if let Err(error) = written {
            unlinkat(&self.handle, &temp, AtFlags::empty()).unwrap_or_default();
            return Err(system("write", &self.path)(error));
        }
        // The new name is on the disk when the folder is.
        self.handle.sync_all().map_err(system("write the folder of", &self.path))
    }

    fn mode(&self) -> Result<Option<Mode>, FileError> {
        let found = match statat(&self.handle, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            found => found.map_err(system("look at", &self.path))?,
        };
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => Ok(Some(Mode::from_raw_mode(found.st_mode))),
            FileType::Symlink => Err(refused(&self.path, "is a link; name the file that it leads to")),
            _ => Err(refused(&self.path, "is no plain file")),
        }
    }

    fn open(&self) -> Result<Option<File>, FileError> {
        if self.mode()?.is_none() {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.handle, &self.name, flags, Mode::empty()).map(File::from).map_err(system("open", &self.path))?;
        // Looked at again: this is the file that is used.
        let found = fstat(&file).map_err(system("look at", &self.path))?;
        if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
            Ok(Some(file))
        } else {
            Err(refused(&self.path, "is no plain file"))
        }
    }

    /// What the name of an unfinished file begins with.
    fn prefix(&self) -> String {
        format!(".{}.taskrun-", self.name)
    }

    /// Every writer holds the folder, so nobody is at work on these any more.
    fn remove_leftovers(&self) -> Result<(), FileError> {
        let prefix = self.prefix();
        let entries = Dir::read_from(&self.handle).map_err(system("read the folder of", &self.path))?;
        for entry in entries {
            let entry = entry.map_err(system("read the folder of", &self.path))?;
            if entry.file_name().to_bytes().starts_with(prefix.as_bytes()) {
                match unlinkat(&self.handle, entry.file_name(), AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(system("remove what was left beside", &self.path)(error)),
                }
            }
        }
        Ok(())
    }
}

fn private() -> Mode {
    Mode::RUSR | Mode::WUSR
}
