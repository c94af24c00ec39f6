//! The one door through which a handler sees what runs, and may end it or start it. It is `watch_runs`'s; every other handler leaves it shut.
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::HandlerError;
use crate::{
    clock::BoxFuture,
    core::task::{InstanceName, RunId, TaskName},
};

/// What runs, and what should.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Since when somebody has been there to start anything.
    pub since: Option<Timestamp>,
    /// Open runs of this process.
    pub runs: Vec<SeenRun>,
    /// Runs of other processes of this store that do not answer.
    pub hanging: Vec<HangingRun>,
    /// Every instance of the configuration.
    pub instances: Vec<SeenInstance>,
    /// Attempts that did not stop and were given up on; their threads are still there.
    pub stuck: usize,
}

/// An open run of this process.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenRun {
    /// The run.
    pub run: RunId,
    /// Of which instance.
    pub instance: InstanceName,
    /// Its fire time.
    pub fire_at: Timestamp,
    /// Where it is: `running`, `queued`, `lock_wait`, ...
    pub phase: String,
    /// No attempt of it has begun.
    pub not_begun: bool,
    /// For how long its attempt has made no progress, in uptime; `None`: no attempt works.
    pub still_for: Option<SignedDuration>,
    /// It is told to show no progress, and has a `timeout` instead: a command.
    pub timeout_governs: bool,
    /// How long it may take to stop.
    pub grace: SignedDuration,
}

/// An open run of a process that does not answer.
#[derive(Clone, Debug, PartialEq)]
pub struct HangingRun {
    /// The run.
    pub run: RunId,
    /// Of which instance.
    pub instance: InstanceName,
    /// The process id of the operating system, where it is known.
    pub pid: Option<u32>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenInstance {
    /// Its name.
    pub name: InstanceName,
    /// Its task.
    pub task: TaskName,
    /// It fires by itself, and nobody has paused it.
    pub awake: bool,
    /// When it is to start next: in the past where a fire has come due and nobody acted on it.
    pub next_at: Option<Timestamp>,
    /// When a run of it last succeeded.
    pub last_success: Option<Timestamp>,
}

/// Looks after runs: the engine, for the handler that watches it.
pub trait Overseer: Send + Sync + fmt::Debug {
    /// What runs, and what should.
    fn picture(&self) -> BoxFuture<'_, Result<Picture, HandlerError>>;
    /// Tells an open run of this process to stop, as `taskrun cancel` does. False: it is not open here.
    fn cancel(&self, run: RunId) -> BoxFuture<'_, bool>;
    /// Starts an instance now, as `taskrun trigger` does: the run, or why there is none.
    fn start(&self, instance: InstanceName) -> BoxFuture<'_, Result<RunId, String>>;
}

/// Sees nothing and changes nothing: for attempts that no engine makes, such as dry runs.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Overseer for Nobody {
    fn picture(&self) -> BoxFuture<'_, Result<Picture, HandlerError>> {
        Box::pin(async { Ok(Picture::default()) })
    }

    fn cancel(&self, _run: RunId) -> BoxFuture<'_, bool> {
        Box::pin(async { false })
    }

    fn start(&self, _instance: InstanceName) -> BoxFuture<'_, Result<RunId, String>> {
        Box::pin(async { Err("no engine is at work here".to_owned()) })
    }
}
