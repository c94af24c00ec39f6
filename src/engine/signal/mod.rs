//! What the system tells the process, as messages on a channel: signals under Unix, events of the console under Windows.
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::listen;
#[cfg(windows)]
pub use windows::listen;

/// More signals than this, not yet looked at, mean nothing that fewer would not.
const WAITING_MAX: usize = 16;

/// What taskrun acts upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, the console's window was closed, the system goes down: stop; a second one does not wait.
    Terminate,
    /// SIGINT, Ctrl+C, Ctrl+Break: the same.
    Interrupt,
    /// SIGHUP: read the configuration again; to a `once`, its terminal is gone. Windows has none: `taskrun reload` does it there.
    HangUp,
}
