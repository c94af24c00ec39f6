//! The outbox: what people are to hear of, folded, until each channel has told it.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Answer;
use crate::core::{
    notice::{Event, Level, Notice},
    task::RunId,
};

/// What happened to a subject, folded, as the outbox keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The newest of its kind. The text of a run's end is its error alone; a `recovered` has the text of what is over.
    pub notice: Notice,
    /// The run that ended so, if it is about one.
    pub run: Option<RunId>,
    /// When it happened first.
    pub first: Timestamp,
    /// When it happened last.
    pub last: Timestamp,
    /// How often.
    pub count: u32,
    /// It is over.
    pub over: bool,
    /// What is over now: how often it happened, since when.
    pub before: Option<(u32, Timestamp)>,
}

/// What a channel wants to hear, and when.
#[derive(Clone, Debug)]
pub struct Wants {
    /// The channel.
    pub channel: Arc<str>,
    /// These events.
    pub events: Arc<[Event]>,
    /// What matters at least so much.
    pub min_level: Level,
    /// A first one waits so long for others to come along.
    pub gather: SignedDuration,
    /// What goes on happening is told again no sooner.
    pub repeat_after: SignedDuration,
    /// What was over and begins anew is told no sooner.
    pub flap: SignedDuration,
}

/// Notices that one process sends at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The number of the message that they are sent in.
    pub number: u32,
    /// What is due: what matters most comes first.
    pub notices: Vec<Told>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The channel took it.
    Taken,
    /// Nobody knows whether it arrived.
    Doubtful {
        /// Why.
        error: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// It was not taken.
    Refused {
        /// Why.
        error: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// The channel allows no more messages for now: that is no failure.
    NotYet {
        /// When it is tried again.
        retry_at: Timestamp,
    },
}

/// A channel, as the outbox knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// Its name.
    pub name: Arc<str>,
    /// Messages that it took.
    pub sent: u32,
    /// When it took the last one.
    pub last_sent: Option<Timestamp>,
    /// Failures since then.
    pub failures: u32,
    /// Since when it fails, and why.
    pub failing: Option<(Timestamp, String)>,
    /// It is not tried before then.
    pub retry_at: Option<Timestamp>,
}

/// A notice with what each channel has told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRow {
    /// What happened.
    pub told: Told,
    /// By channel: how many of them were told, when, and whether that is in doubt.
    pub sends: Vec<(Arc<str>, u32, Timestamp, bool)>,
}

/// What a day was like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs that ended well.
    pub succeeded: u32,
    /// Runs that failed, timed out or were lost.
    pub failed: u32,
    /// Runs that were superseded or cancelled.
    pub broken_off: u32,
    /// Instances that failed last and have not succeeded since.
    pub failing: Vec<Arc<str>>,
    /// Items listed.
    pub uploaded: u32,
    /// Items that could not be listed.
    pub upload_failed: u32,
    /// Items that wait.
    pub waiting: u32,
    /// Prices that were changed at the shops.
    pub prices: u32,
    /// Accounts that are parked now.
    pub parked: Vec<Arc<str>>,
}

/// The outbox. What it is told is committed with the answer, in the order of the calls, whether or not anybody waits for it.
pub trait Outbox: Send + Sync + std::fmt::Debug {
    /// Folds a notice into those of its event and subject.
    fn tell(&self, notice: Notice, at: Timestamp) -> Answer<()>;
    /// Takes a notice in unless there is one of its event and subject. True: there was none.
    fn tell_once(&self, notice: Notice, at: Timestamp) -> Answer<bool>;
    /// A trouble of this subject is over; that is told where it was there. True: it was.
    fn resolve(&self, event: Event, subject: Arc<str>, at: Timestamp) -> Answer<bool>;
    /// The channels there are. One that is new is told nothing that happened before `at`; others are forgotten. What failed is tried anew.
    fn keep_channels(&self, names: Vec<Arc<str>>, at: Timestamp) -> Answer<()>;
    /// When a channel will have something to tell, as things are; `None`: nothing waits.
    fn next_due(&self, wants: Wants, at: Timestamp) -> Answer<Option<Timestamp>>;
    /// How many notices a channel has not told, or not as often as they happened.
    fn waiting(&self, wants: Wants, at: Timestamp) -> Answer<u32>;
    /// Takes what is due for a channel, at most so many, unless another process is sending there; it is this process's until `until`.
    fn claim(&self, wants: Wants, limit: u32, at: Timestamp, until: Timestamp) -> Answer<Option<Claimed>>;
    /// What became of the message with what was claimed; the channel is free again.
    fn settle(&self, channel: Arc<str>, claimed: Claimed, delivery: Delivery, at: Timestamp) -> Answer<()>;
    /// The notices, newest first.
    fn notices(&self, limit: u32) -> Answer<Vec<NoticeRow>>;
    /// The channels.
    fn channels(&self) -> Answer<Vec<ChannelRow>>;
    /// What happened from one instant on, up to another.
    fn figures(&self, from: Timestamp, to: Timestamp) -> Answer<Figures>;
    /// Forgets what happened last before this instant.
    fn prune_notices(&self, before: Timestamp) -> Answer<()>;
}
