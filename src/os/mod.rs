//! What differs between systems about files and processes that are not our children: a file a system, the same functions in each.
//!
//! Modes are Unix's. On Windows the folder's access list decides who may do what, and files inherit it.
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
