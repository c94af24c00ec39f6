//! What a person should hear of, and how it gets there.
//!
//! The log is the first channel. Everything else is written into the store's outbox and sent from there: `post` looks after that, `sender` works for one
//! channel, `text` finds the words, and `chatwork`, `webhook` and `email` are the wire. What happens again and again is folded in the outbox.
#![warn(missing_docs)]
use std::fmt;

pub use crate::core::notice::{Event, Level, Notice};

mod channel;
mod chatwork;
mod client;
mod email;
mod log;
mod post;
mod report;
mod sender;
mod text;
mod webhook;
mod words;

pub use channel::SendError;
pub use log::LogNotifier;
pub use post::{Health, Post, Settings, Tested};

/// Where a person is told. Telling never fails a task and never waits for a channel.
pub trait Notifier: Send + Sync + fmt::Debug {
    /// Tells it, in the log and by the channels.
    fn notify(&self, notice: Notice);

    /// Tells what the log has already, in words of its own.
    fn notify_people(&self, _notice: Notice) {}

    /// A trouble is over, if it was there.
    fn over(&self, _event: Event, _subject: &str) {}
}
