//! How others talk to the engine: requests over a bounded channel, each with its answer.
use tokio::sync::{mpsc, oneshot};

use super::view::{ReloadView, RunView, StatusView, TriggeredView};
use crate::core::task::RunId;

/// Requests that may wait at once; more is a client that does not listen.
const REQUESTS_MAX: usize = 64;

/// A request to the engine.
#[derive(Debug)]
pub enum Request {
    Status {
        reply: oneshot::Sender<StatusView>,
    },
    /// Only the open runs.
    Runs {
        reply: oneshot::Sender<Vec<RunView>>,
    },
    /// Starts a task now: an instance, or a task with all its instances. An empty answer: there is none of that name.
    Trigger {
        name: String,
        manual: bool,
        reply: oneshot::Sender<Vec<TriggeredView>>,
    },
    /// False: the run is not open.
    Cancel {
        run: RunId,
        reply: oneshot::Sender<bool>,
    },
    /// Loads the configuration again; `dry`: only says what would change.
    Reload {
        dry: bool,
        reply: oneshot::Sender<ReloadView>,
    },
    /// Stops in order. Asked a second time, it does not wait.
    Stop,
    /// Another process changed something that concerns our runs: look at once.
    Poke,
}

/// The engine no longer answers.
#[derive(Debug, thiserror::Error)]
#[error("taskrun is stopping")]
pub struct Gone;

/// The sending end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Control(mpsc::Sender<Request>);

impl Control {
    /// A control and the engine's end of it.
    pub fn channel() -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
        (Self(sender), receiver)
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.0.send(request(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// Everything about the running engine.
    pub async fn status(&self) -> Result<StatusView, Gone> {
        self.ask(|reply| Request::Status { reply }).await
    }

    /// The open runs of this process.
    pub async fn runs(&self) -> Result<Vec<RunView>, Gone> {
        self.ask(|reply| Request::Runs { reply }).await
    }

    /// Starts a task, or one instance, now. `manual`: a person at the command line (`once`), otherwise the API.
    pub async fn trigger(&self, name: String, manual: bool) -> Result<Vec<TriggeredView>, Gone> {
        self.ask(|reply| Request::Trigger { name, manual, reply }).await
    }

    /// Cancels an open run of this process. False: it is not open here.
    pub async fn cancel(&self, run: RunId) -> Result<bool, Gone> {
        self.ask(|reply| Request::Cancel { run, reply }).await
    }

    /// Loads the configuration again; `dry`: only says what would change.
    pub async fn reload(&self, dry: bool) -> Result<ReloadView, Gone> {
        self.ask(|reply| Request::Reload { dry, reply }).await
    }

    /// Stops in order; asked a second time, without waiting.
    pub async fn stop(&self) -> Result<(), Gone> {
        self.0.send(Request::Stop).await.map_err(|_| Gone)
    }

    /// Says that another process changed something that concerns our runs.
    pub async fn poke(&self) -> Result<(), Gone> {
        self.0.send(Request::Poke).await.map_err(|_| Gone)
    }
}

/// Answers whoever asked. That nobody listens any more is their choice.
pub(super) fn tell<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::trace!("nobody waits for this answer any more");
    }
}
