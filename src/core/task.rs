//! What a task is once tasks.yaml has been checked: names, policies and the definition of an instance.
use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{order::Need, timing::Timing, value::Params};

/// A number below `below` that is the same for a name whenever it is asked: FNV-1a. Zero where `below` is.
pub fn spread(name: &str, below: u64) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash.checked_rem(below).unwrap_or(0)
}

/// The two clocks, read together by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time of day; may jump either way. For fire times, business hours and what is written down.
    pub wall: Timestamp,
    /// Time since the process started; never jumps. For backoff, deadlines and grace periods.
    pub uptime: SignedDuration,
}

/// The name of a task in tasks.yaml: `[a-z0-9_-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName(pub Arc<str>);

/// One task, or one task for one account: `task` or `task@account`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName(pub Arc<str>);

/// A resource that runs of different tasks share; one holder at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockName(pub Arc<str>);

/// A run's number, given by the store, growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub i64);

/// A process's number, given by the store: a daemon or a `once` that has a process record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub i64);

/// Counts the runs of an instance. The store refuses a write whose generation is below the instance's floor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub i64);

macro_rules! display_inner {
    ($($name:ident),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
    )* };
}
display_inner!(TaskName, InstanceName, LockName, RunId, ProcessId, Generation);

macro_rules! from_text {
    ($($name:ident),*) => { $(
        impl From<&str> for $name {
            fn from(text: &str) -> Self { Self(text.into()) }
        }
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
    )* };
}
from_text!(TaskName, InstanceName, LockName);

/// Makes an enum whose variants are words: in tasks.yaml, in tables, in JSON and on the screen alike.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),* }
        impl $name {
            /// Every variant, in the order of their definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The word for this variant in tasks.yaml, tables and JSON.
            pub fn word(self) -> &'static str { match self { $(Self::$variant => $word),* } }
            /// The variant for a word; `None` for a word that is none of ours.
            pub fn from_word(word: &str) -> Option<Self> { match word { $($word => Some(Self::$variant),)* _ => None } }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.word()) }
        }
    };
}
pub(crate) use words;

words! {
    /// Why a run was asked for.
    Trigger {
        /// The schedule said so, in time.
        Schedule = "schedule",
        /// The schedule said so while nobody was there to act on it.
        CatchUp = "catch_up",
        /// A person at the command line: `taskrun once`.
        Manual = "manual",
        /// A request to the daemon: `taskrun trigger`.
        Api = "api",
        /// A run of another task succeeded, which has this one under `after_success`.
        FollowUp = "after_success",
    }
}

impl Trigger {
    /// Whether the schedule asked for it, in time or late.
    pub fn scheduled(self) -> bool {
        match self {
            Self::Schedule | Self::CatchUp => true,
            Self::Manual | Self::Api | Self::FollowUp => false,
        }
    }

    /// Whether a person asked for it, who has looked at the clock and knows what is missing.
    pub fn by_hand(self) -> bool {
        match self {
            Self::Manual | Self::Api => true,
            Self::Schedule | Self::CatchUp | Self::FollowUp => false,
        }
    }
}

words! {
    /// What to do when a fire comes due while an earlier run of the instance is open.
    Overlap {
        /// The newest start counts: older runs are told to stop.
        LastWins = "last_wins",
        /// The older run counts: the new one is skipped.
        Skip = "skip",
        /// The new one waits, one deep.
        Queue = "queue",
        /// Both run.
        Allow = "allow",
    }
}

words! {
    /// What to do with fire times that passed while nobody was there.
    CatchUp {
        /// Nothing: they are recorded as misfires.
        None = "none",
        /// One run for the newest of them.
        Latest = "latest",
        /// One run for each, oldest first, one after the other.
        All = "all",
    }
}

words! {
    /// What to do with a run whose process died in the middle.
    OnLost {
        /// It goes on under a new generation if it has an attempt left and is not too late.
        Retry = "retry",
        /// It ends as lost.
        Close = "close",
    }
}

words! {
    /// How the wait between attempts grows.
    Backoff {
        /// The same delay each time.
        Fixed = "fixed",
        /// Twice the delay each time, up to `max_delay`.
        Exponential = "exponential",
    }
}

/// When a failed attempt is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Retries after the first attempt.
    pub max: u32,
    /// The wait before the first retry.
    pub delay: SignedDuration,
    /// How the wait grows.
    pub backoff: Backoff,
    /// No wait is longer than this; a server's Retry-After may be.
    pub max_delay: SignedDuration,
    /// The share of the wait that is random: 0 none, 1 full jitter.
    pub jitter: f64,
}

/// An instance's definition: what a run is admitted with, and keeps even if tasks.yaml changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub name: InstanceName,
    pub task: TaskName,
    /// The account, for a task with `for_each`.
    pub account: Option<Arc<str>>,
    /// The name of the handler that does the work.
    pub handler: Arc<str>,
    /// A disabled instance never fires; it can still be started by hand.
    pub enabled: bool,
    /// When it is due.
    pub timing: Timing,
    pub catch_up: CatchUp,
    /// A misfire older than this is not caught up.
    pub start_deadline: Option<SignedDuration>,
    pub overlap: Overlap,
    /// Sorted, without duplicates.
    pub locks: Vec<LockName>,
    /// How long a newcomer waits for its named locks before it is skipped.
    pub lock_wait: SignedDuration,
    pub retries: RetryPolicy,
    /// Bounds an attempt.
    pub timeout: Option<SignedDuration>,
    /// Bounds the run, all attempts and waits included.
    pub deadline: Option<SignedDuration>,
    /// How long an attempt that was told to stop may take.
    pub grace: SignedDuration,
    /// How long a newcomer waits for a holder that hangs.
    pub takeover: SignedDuration,
    pub on_lost: OnLost,
    /// Whether a run that a shutdown interrupts stays open for the next start. False for handlers whose effects we can't know.
    pub resumable: bool,
    /// Whether its fires are skipped while its account is parked. False for what brings a parked account back.
    pub parks: bool,
    /// What has to have ended before a fire may become a run; starts by hand pass.
    pub needs: Vec<Need>,
    /// The instances that get a fire when a run of this one succeeds. Sorted, without duplicates.
    pub after_success: Vec<InstanceName>,
    /// The handler's parameters, checked at load.
    pub with: Params,
}

/// All instances of a configuration.
pub type InstanceSet = BTreeMap<InstanceName, Arc<Instance>>;
