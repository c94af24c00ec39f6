//! What a person should hear of. The log is the first channel; whatever sends further reads the same notices.
#![warn(missing_docs)]
use std::{fmt, sync::Arc};

use crate::core::task::words;

mod log;

pub use log::LogNotifier;

words! {
    /// What happened, in a word: channels choose by it.
    Event {
        /// An account is not called any more, until a time or a person.
        Parked = "parked",
        /// An account's authorisation ends soon; a person has to renew it.
        TokenEnding = "token_ending",
        /// A brake stopped what looked like a fault.
        Brake = "brake",
        /// Data is older than it may be.
        DataStale = "data_stale",
        /// Items are left alone and need a person's eye: too dear, below the margin, gone.
        NeedsEye = "needs_eye",
        /// Credentials were looked at and something is wrong with them.
        Credentials = "credentials",
    }
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// To be looked at today.
    Warning,
    /// To be looked at now.
    Alert,
}

/// Something that a person should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub event: Event,
    /// How much it matters.
    pub level: Level,
    /// On what: an account, a task. Notices of one event and subject are about the same thing.
    pub subject: Arc<str>,
    /// One or two sentences: what happened, why, and what to do.
    pub text: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.text)
    }
}

/// Where a person is told. Telling never fails a task and never waits for a channel.
pub trait Notifier: Send + Sync + fmt::Debug {
    /// Tells it.
    fn notify(&self, notice: Notice);
}
