//! Files of other people's folders, reached by the folder's handle: whatever is renamed or swapped for a link meanwhile, nothing outside is touched.
#![warn(missing_docs)]
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

mod replace;
mod tree;

pub use replace::{Difference, Folder};
pub use tree::{Limit, Root, Swept};

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
fn open_folder(path: &Path) -> Result<File, FileError> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map(File::from).map_err(system("open the folder", path))
}
