//! What a person should hear of: an event, a level, a subject and a text; and which ends of runs are such events.
use std::{fmt, sync::Arc};

use super::{event::RunEnd, guard::STARVING_AT, task::words};

words! {
    /// What happened, in a word: channels choose by it.
    Event {
        /// A run ended as failed or timed out.
        Failed = "failed",
        /// What had failed ended well, or a trouble is over.
        Recovered = "recovered",
        /// A run was lost with its process.
        Lost = "lost",
        /// Runs of an instance are superseded again and again, and none comes to an end of its own.
        Starving = "starving",
        /// An attempt did not stop and was given up on.
        Stuck = "stuck",
        /// A run makes no progress, or a process or a worker has stopped.
        Frozen = "frozen",
        /// Something was to start and has not.
        Late = "late",
        /// It has been too long since a task succeeded.
        Overdue = "overdue",
        /// An account is not called any more, until a time or a person.
        Parked = "parked",
        /// Data is older than it may be.
        DataStale = "data_stale",
        /// A brake stopped what looked like a fault.
        Brake = "brake",
        /// An account's authorisation ends soon; a person has to renew it.
        TokenEnding = "token_ending",
        /// A run waits until a marketplace's limit allows more.
        QuotaExhausted = "quota_exhausted",
        /// Credentials were looked at and something is wrong with them.
        Credentials = "credentials",
        /// Items are left alone and need a person's eye: too dear, below the margin, gone.
        NeedsEye = "needs_eye",
        /// A health check turned bad, or good again.
        Health = "health",
        /// What we know and what is so have come apart.
        Drift = "drift",
        /// A configuration was refused; the one before it stays in force.
        ReloadFailed = "reload_failed",
        /// The store does not take writes.
        StoreTrouble = "store_trouble",
        /// A channel does not take messages; the others say so.
        ChannelFailed = "channel_failed",
        /// What happened on the day before.
        DailyReport = "daily_report",
    }
}

words! {
    /// How much it matters.
    Level {
        /// Good to know.
        Info = "info",
        /// To be looked at today.
        Warning = "warning",
        /// To be looked at now.
        Alert = "alert",
    }
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

/// The troubles of an instance that are over once a run of it succeeds.
pub const OVER_WITH_A_SUCCESS: &[Event] = &[Event::Failed, Event::Lost, Event::Starving];

/// What people hear of a run's end, unless it went well: then what was wrong before is over.
pub fn of_end(end: RunEnd, superseded_in_row: u32) -> Option<(Event, Level)> {
    match end {
        RunEnd::Failed | RunEnd::TimedOut => Some((Event::Failed, Level::Alert)),
        RunEnd::Lost => Some((Event::Lost, Level::Alert)),
        RunEnd::Superseded if STARVING_AT <= superseded_in_row => Some((Event::Starving, Level::Warning)),
        RunEnd::Superseded | RunEnd::Cancelled | RunEnd::Succeeded => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ends_that_a_person_can_do_something_about_are_told() {
        assert_eq!(of_end(RunEnd::TimedOut, 0), Some((Event::Failed, Level::Alert)));
        assert_eq!(of_end(RunEnd::Superseded, 2), None);
        assert_eq!(of_end(RunEnd::Superseded, 3), Some((Event::Starving, Level::Warning)));
        assert_eq!(of_end(RunEnd::Succeeded, 0), None);
        assert_eq!(of_end(RunEnd::Cancelled, 0), None);
    }
}
