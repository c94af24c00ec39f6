//! The exit codes, and what can end a command early. Scripts hold on to these numbers.
use std::{io, process::ExitCode};

use crate::{
    config::Faults,
    core::{event::RunEnd, value::Misread},
    engine::{chain, signal::Signal},
    http::client::ClientError,
    store::{StoreError, sqlite::is_of_disk},
};

/// How a command ended, for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done. Also a `run` that a signal stopped, and output that nobody wanted to read to its end.
    Done = 0,
    /// The run failed or timed out.
    Failed = 1,
    /// Wrong usage, a faulty configuration, a name that is not in it, or a second daemon.
    Usage = 2,
    /// No daemon answers.
    NoDaemon = 3,
    /// The store is damaged or cannot be written (`EX_IOERR`).
    Store = 74,
    /// The run was skipped, superseded or cancelled by somebody else (`EX_TEMPFAIL`).
    Skipped = 75,
    /// A `once` ended because its terminal went away (128 + 1).
    HungUp = 129,
    /// A `once` ended by SIGINT (128 + 2).
    Interrupted = 130,
    /// A `once` ended by SIGTERM (128 + 15).
    Terminated = 143,
}

impl Exit {
    /// The code of a run's end.
    pub fn of(end: RunEnd) -> Self {
        match end {
            RunEnd::Succeeded => Self::Done,
            RunEnd::Failed | RunEnd::TimedOut | RunEnd::Lost => Self::Failed,
            RunEnd::Superseded | RunEnd::Cancelled => Self::Skipped,
        }
    }

    /// The code of a `once` that a signal ended.
    pub fn by(signal: Signal) -> Self {
        match signal {
            Signal::HangUp => Self::HungUp,
            Signal::Interrupt => Self::Interrupted,
            Signal::Terminate => Self::Terminated,
        }
    }

    /// The worse of two ends: a failure is worse than a skip, a skip worse than a success.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if self.rank() >= other.rank() { self } else { other }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Skipped => 1,
            Self::Failed => 2,
            Self::NoDaemon => 3,
            Self::Usage => 4,
            Self::Store => 5,
            Self::HungUp | Self::Interrupted | Self::Terminated => 6,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The configuration has faults; all of them are shown.
    Faults(Faults),
    /// One thing went wrong: what failed, on what and why, and what to do next.
    Told { exit: Exit, message: String, advice: Option<String> },
    /// Our output cannot be written. A reader that went away is no failure.
    Output(io::Error),
}

impl Failure {
    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Told { exit: Exit::Usage, message: message.into(), advice: None }
    }

    /// One thing that went wrong.
    pub fn told(exit: Exit, message: impl Into<String>) -> Self {
        Self::Told { exit, message: message.into(), advice: None }
    }

    /// A text of the command line that cannot be read, with a caret under the part that is wrong.
    pub fn misread(text: &str, misread: &Misread) -> Self {
        let before = text.get(..misread.at.start).unwrap_or_default().chars().count();
        let marked = text.get(misread.at.clone()).unwrap_or_default().chars().count().max(1);
        let message = format!("{misread}\n   |\n   | {text}\n   | {:before$}{}", "", "^".repeat(marked));
        Self::Told { exit: Exit::Usage, message, advice: misread.hint.clone() }
    }

    /// Something else, with the causes of an error behind it.
    pub fn because(exit: Exit, message: impl Into<String>, error: &dyn std::error::Error) -> Self {
        Self::Told { exit, message: format!("{}: {}", message.into(), chain(error)), advice: None }
    }

    /// No daemon answers for this state directory.
    pub fn no_daemon(state_dir: &std::path::Path) -> Self {
        let message = format!("no daemon runs for the state directory `{}`", state_dir.display());
        Self::Told { exit: Exit::NoDaemon, message, advice: Some("start one with `taskrun run`".to_owned()) }
    }

    /// What to do next, where that was said.
    pub fn advice(&self) -> Option<&str> {
        match self {
            Self::Told { advice, .. } => advice.as_deref(),
            Self::Faults(_) | Self::Output(_) => None,
        }
    }

    /// The code that the command ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Faults(_) => Exit::Usage,
            Self::Told { exit, .. } => *exit,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Output(_) => Exit::Failed,
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn advise(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Told { exit, message, .. } => Self::Told { exit, message, advice: Some(advice.into()) },
            Self::Faults(_) | Self::Output(_) => self,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Faults(faults) => faults.fmt(f),
            Self::Told { message, .. } => f.write_str(message),
            Self::Output(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let advice = is_of_disk(&error).then(|| "is the disk full?".to_owned());
        Self::Told { exit: Exit::Store, message: chain(&error), advice }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::NoAnswer(_) => Exit::NoDaemon,
            ClientError::Refused { code, .. } if code == "stopping" => Exit::NoDaemon,
            ClientError::Refused { .. } => Exit::Usage,
        };
        Self::Told { exit, message: chain(&error), advice: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_another_is() {
        assert_eq!(Failure::Output(io::ErrorKind::BrokenPipe.into()).exit(), Exit::Done);
        assert_eq!(Failure::Output(io::ErrorKind::StorageFull.into()).exit(), Exit::Failed);
        assert_eq!(Failure::told(Exit::Store, "").advise("look").exit(), Exit::Store);
    }

    #[test]
    fn of_several_ends_the_worst_counts() {
        let ends = [RunEnd::Succeeded, RunEnd::Superseded, RunEnd::Failed, RunEnd::Succeeded];
        assert_eq!(ends.map(Exit::of).into_iter().fold(Exit::Done, Exit::worse), Exit::Failed);
        assert_eq!(Exit::Done.worse(Exit::Skipped), Exit::Skipped);
    }
}
