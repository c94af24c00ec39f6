//! Files of other people's folders, reached by the folder's handle: whatever is renamed or swapped for a link meanwhile, nothing outside is touched.
#![warn(missing_docs)]
use std::{
    io,
    path::{Path, PathBuf},
};

#[cfg(unix)]
mod replace;
#[cfg(unix)]
mod tree;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use self::{replace::Folder, tree::Root};
#[cfg(windows)]
pub use windows::{Folder, Root};

/// Files that are replaced and are larger than this are none of ours.
const LENGTH_MAX: u64 = 64 << 20;
/// How deep folders that are removed may lie in each other; each level takes a handle.
const DEPTH_MAX: usize = 32;

/// What is said of something in the way of a removal.
const LINK: &str = "is or crosses a link or a file, so it is left alone";
/// What is said of a root that nobody can mean.
const TOO_HIGH: &str = "is too high up to be a folder of images";

/// What became of a file that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It is as it should be already.
    None,
    /// Only its mode is another.
    Mode,
    /// It is missing, or says something else.
    Text,
}

/// Says when to stop removing; asked before each file.
pub trait Limit {
    /// Whether no more time is left, or the run was told to stop.
    fn is_over(&self) -> bool;
    /// A file or folder went.
    fn count(&self);
}

/// What became of a folder that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// It is gone with everything in it, or was not there.
    Gone,
    /// The limit was reached first; the rest is still there.
    Stopped,
}

/// Why something could not be done with a file or a folder.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("failed to {step} `{path}`")]
    System {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is not to be touched as it is; a person has to look.
    #[error("`{path}` {why}")]
    Refused {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl FileError {
    /// Whether another try can't help as things are.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::System { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::InvalidFilename
            ),
        }
    }
}

/// Turns what the system said into our error.
fn system<E: Into<io::Error>>(step: &'static str, path: &Path) -> impl FnOnce(E) -> FileError {
    let path = path.to_owned();
    move |source| FileError::System { step, path, source: source.into() }
}

fn refused(path: &Path, why: &'static str) -> FileError {
    FileError::Refused { path: path.to_owned(), why }
}

/// Opens a folder for working within it. The last part of its path is no link.
#[cfg(unix)]
fn open_folder(path: &Path) -> Result<std::fs::File, FileError> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map(std::fs::File::from).map_err(system("open the folder", path))
}
