//! Child processes, and how to end them with all their descendants: process groups, /proc and signals under Unix, job objects under Windows.
//!
//! Each child carries [`MARKER`] in its environment, and so do its descendants. Under Unix a child leads a process group of its own, which is ended
//! at once when its run ends; a descendant that left the group is found by the marker. Under Windows nobody can leave the job of its run, and the
//! jobs of a taskrun that dies are ended by the system.
use crate::core::task::RunId;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

/// The environment variable that every child carries, with what [`marker`] makes of its attempt.
pub const MARKER: &str = "TASKRUN_PROCESS";

/// How a process is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// SIGTERM, and SIGCONT so that a stopped process hears it. Windows has no such thing: there it is the same as killing.
    Ask,
    /// SIGKILL.
    Kill,
}

/// What the children of an attempt carry: the record of their taskrun, the run, the attempt. What an attempt left behind is told from its retry.
pub fn marker(record: &str, run: RunId, attempt: u32) -> String {
    format!("{record}:{run}:{attempt}")
}
