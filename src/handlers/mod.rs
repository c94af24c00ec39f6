//! The work itself. A handler is one file and one line in [`registry`].
//!
//! A handler sees its parameters, a way to be told to stop, a place to show progress, and the doors to the outside that its attempt may use.
//! It knows nothing of runs, locks and schedules, and it cannot write where its attempt may not: the doors are shut below it.
#![warn(missing_docs)]
use std::{fmt, path::PathBuf, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{BoxFuture, Clock},
    core::{
        task::{Generation, Instance, RunId},
        value::Params,
    },
    errors::chain,
    marketplace::CallError,
    notify::Notifier,
    shop::quota::Purpose,
    store::{ChildGroup, StoreError, shop::Guarded},
};

pub mod backup;
mod budget;
pub mod check_items;
pub mod cleanup;
pub mod command;
mod crew;
pub mod delete_old_items;
mod expect;
pub mod health_check;
pub mod http_request;
pub mod overseer;
pub mod parking;
mod practice;
mod pricing;
pub mod refresh_tokens;
pub mod registry;
pub mod sync_inventory;
pub mod update_env;
pub mod update_feed;
pub mod update_items;
pub mod upload_tick;
pub mod validate_credentials;
pub mod verify;
pub mod watch_runs;

pub use self::overseer::Overseer;
pub use crate::access::{Access, Caller, Plan, Planned, Progress};

/// Work that a task names.
pub trait Handler: Send + Sync + fmt::Debug {
    /// One attempt. Returns soon after `ctx.cancel` fires. It runs on a thread of its own, so that one that never yields delays nobody.
    ///
    /// # Errors
    /// What went wrong, and whether a retry can help.
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>>;

    /// Whether it looks often and finds little: the log then leaves out the start of its scheduled runs, and the end of those that say
    /// [`Progress::set_idle`]. The history has them all.
    fn polls(&self) -> bool {
        false
    }
}

/// What an attempt did, in a sentence for the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// For example `240 items read, 12 prices and 3 visibilities changed`.
    pub summary: String,
}

/// Why an attempt failed, and whether a retry can help. Messages are for people; nobody greps them.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A retry can help.
    #[error("{message}")]
    Transient {
        /// What failed, on what, and why.
        message: String,
        /// What a server asked for.
        retry_after: Option<SignedDuration>,
    },
    /// A retry without a change will fail again.
    #[error("{message}")]
    Permanent {
        /// What failed, on what, why, and what to do.
        message: String,
    },
    /// Nothing failed, but nothing more can be done before then: a limit is used up. The run waits and goes on with another attempt, which is not
    /// a retry: none is used up.
    #[error("{message}")]
    NotYet {
        /// What is waited for, and what is left to do.
        message: String,
        /// When it may go on, by the wall clock. What has passed is a second from now; more than 25 hours away, the run fails: park the account.
        until: Timestamp,
    },
    /// Stopped when asked to.
    #[error("stopped when asked to")]
    Cancelled,
    /// The instance's floor is above this run's generation: a newer run has taken over.
    #[error("a newer run has taken over")]
    Fenced,
}

impl HandlerError {
    /// What the error of a call means for an attempt that can do nothing without it.
    pub fn of(error: &CallError, now: Timestamp) -> Self {
        match error {
            CallError::Cancelled => Self::Cancelled,
            CallError::Fenced => Self::Fenced,
            error if error.is_passing() => Self::Transient { message: chain(error), retry_after: error.retry_after(now) },
            error => Self::Permanent { message: chain(error) },
        }
    }
}

/// What an attempt is given.
#[derive(Clone, Debug)]
pub struct AttemptContext {
    /// The run.
    pub run: RunId,
    /// Counted from 1.
    pub attempt: u32,
    /// The run's generation; `None` in a dry run.
    pub generation: Option<Generation>,
    /// The definition the run was admitted with.
    pub instance: Arc<Instance>,
    /// The parameters: those of the instance, and what `--set` changed.
    pub params: Params,
    /// The nominal instant of this run; the same for every attempt.
    pub fire_at: Timestamp,
    /// When the business hours end: no new item is taken from then on. `None`: no hours, or a start by hand outside them.
    pub closes_at: Option<Timestamp>,
    /// Fires when the attempt should stop.
    pub cancel: CancellationToken,
    /// Where to show how far it is.
    pub progress: Progress,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// What this attempt may do to the outside.
    pub access: Access,
    /// The folder of tasks.yaml: what relative paths are relative to.
    pub base_dir: PathBuf,
    /// Where child process groups are remembered, so that they can be killed whatever happens to us.
    pub children: Arc<dyn Children>,
    /// Where a person is told.
    pub notifier: Arc<dyn Notifier>,
    /// What runs beside this attempt; for `watch_runs`.
    pub overseer: Arc<dyn Overseer>,
}

impl AttemptContext {
    /// What calls to the outside need of this attempt; `purpose` is what they are for, whoever started the run.
    pub fn caller(&self, purpose: Purpose) -> Caller {
        Caller {
            clock: Arc::clone(&self.clock),
            cancel: self.cancel.clone(),
            access: self.access.clone(),
            progress: self.progress.clone(),
            purpose,
        }
    }
}

/// Remembers child process groups.
pub trait Children: Send + Sync + fmt::Debug {
    /// Remembers a child durably before it is left to run. An error: the child must be killed at once.
    fn record(&self, child: ChildGroup) -> BoxFuture<'_, Result<(), HandlerError>>;
    /// What the marker of every child of this process begins with ([`crate::children::marker`]): whoever still has it after the attempt is left over.
    fn marker(&self) -> &str;
}

/// The answer to a write of this run.
fn guarded<T>(answer: Result<Guarded<T>, StoreError>) -> Result<T, HandlerError> {
    match answer {
        Ok(Guarded::Done(done)) => Ok(done),
        Ok(Guarded::Fenced) => Err(HandlerError::Fenced),
        Err(error) => Err(store_failed(&error)),
    }
}

/// The store may be well again in a moment.
fn store_failed(error: &StoreError) -> HandlerError {
    HandlerError::Transient { message: chain(error), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_told_to_stop_has_not_failed() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(matches!(HandlerError::of(&CallError::Cancelled, now), HandlerError::Cancelled));
        assert!(matches!(HandlerError::of(&CallError::Fenced, now), HandlerError::Fenced));
        let unwell =
            CallError::Unwell { what: "a call", status: 503, text: String::new(), retry_after: Some(SignedDuration::from_secs(7)) };
        let HandlerError::Transient { retry_after, .. } = HandlerError::of(&unwell, now) else { panic!("it passes") };
        assert_eq!(retry_after, Some(SignedDuration::from_secs(7)));
        let login = CallError::Login { account: "shop".into(), why: "invalid_grant".to_owned() };
        assert!(matches!(HandlerError::of(&login, now), HandlerError::Permanent { .. }));
    }
}
