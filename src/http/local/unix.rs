//! Unix sockets, with a path that fits into their address, however deep the folder lies.
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use reqwest::ClientBuilder;
use tokio::net::UnixListener;

/// A socket's address has room for 107 bytes: about twenty Japanese letters and the names of our own folders.
#[cfg(target_os = "linux")]
const ADDRESS_MAX: usize = 100;

/// A path to a socket, good as long as this lives.
#[derive(Debug)]
pub(in crate::http) struct Near {
    path: PathBuf,
    /// What a long path is shortened by: the kernel goes on from this open folder.
    _folder: Option<File>,
}

impl Near {
    /// The path itself where it is short enough, or where no shorter one is to be had: then the kernel refuses it, and says why.
    pub(in crate::http) fn to(socket: &Path) -> Self {
        through_folder(socket).unwrap_or_else(|| Self { path: socket.to_owned(), _folder: None })
    }

    /// Has a client's connections go there, as long as this lives.
    pub(in crate::http) fn connect(&self, builder: ClientBuilder) -> ClientBuilder {
        builder.unix_socket(self.path.as_path())
    }
}

/// Listens there; whatever lay at the path before is gone.
pub(in crate::http) fn listen(socket: &Path) -> io::Result<UnixListener> {
    clear(socket)?;
    let listener = UnixListener::bind(Near::to(socket).path)?;
    crate::os::set_mode(socket, 0o600)?;
    Ok(listener)
}

/// Removes the socket.
pub(in crate::http) fn clear(socket: &Path) -> io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn through_folder(socket: &Path) -> Option<Near> {
    use std::os::fd::AsRawFd as _;

    if socket.as_os_str().len() <= ADDRESS_MAX {
        return None;
    }
    let folder = File::open(socket.parent()?).ok()?;
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(socket.file_name()?);
    Some(Near { path, _folder: Some(folder) })
}

#[cfg(not(target_os = "linux"))]
fn through_folder(_: &Path) -> Option<Near> {
    None
}
