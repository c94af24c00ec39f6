//! The door that only this machine's own user finds open: a Unix socket in a private folder, or a named pipe of Windows.
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::{Near, clear, listen};
#[cfg(windows)]
pub(super) use windows::{Near, clear, listen};
