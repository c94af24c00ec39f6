//! The client of the local API: the command line, and a taskrun that wants to know whether another one still answers.
use std::{path::Path, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::{Accepted, CancelBody, ErrorBody, NoBody, Pong, TriggerBody, local::Near};
use crate::{
    engine::view::{ReloadView, TriggeredView},
    view::{StatusPage, ready::ReadyView},
};

/// A process that does not answer a ping for this long hangs. Its engine's steps take milliseconds.
const PING_LIMIT: Duration = Duration::from_secs(1);
/// How long an ordinary request may take: a store that waits for a slow disk still answers in time.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How long a reload may take: ten thousand tasks are read in half a second, on a machine that does nothing else.
const RELOAD_LIMIT: Duration = Duration::from_mins(1);

/// What can go wrong when another taskrun is asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or nobody answers in time.
    #[error("taskrun does not answer on its local socket")]
    NoAnswer(#[source] reqwest::Error),
    /// It answered with an error.
    #[error("{message}")]
    Refused { code: String, message: String },
}

impl ClientError {
    /// Whether the answer was an error with this code.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

/// A connection to the local socket of one taskrun process.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    _socket: Near,
}

impl Client {
    /// A client of the process that listens on this socket. Connects with the first request.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn of(socket: &Path) -> Result<Self, ClientError> {
        // Refused where there is one already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let socket = Near::to(socket);
        // No TLS here: this spares reading the system's certificates.
        let builder = reqwest::Client::builder().tls_certs_only([]);
        let http = socket.connect(builder).build().map_err(ClientError::NoAnswer)?;
        Ok(Self { http, _socket: socket })
    }

    /// Who is there.
    ///
    /// # Errors
    /// It does not answer within a second.
    pub async fn ping(&self) -> Result<Pong, ClientError> {
        answer(self.http.get(url("ping")), PING_LIMIT).await
    }

    /// Everything about the running engine.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn status(&self) -> Result<StatusPage, ClientError> {
        answer(self.http.get(url("status")), REQUEST_LIMIT).await
    }

    /// Whether all is well, and if not, why.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ready(&self) -> Result<ReadyView, ClientError> {
        let response = self.http.get("http://taskrun/ready").timeout(REQUEST_LIMIT).send().await.map_err(ClientError::NoAnswer)?;
        // That it is not all well is an answer, too.
        response.json().await.map_err(ClientError::NoAnswer)
    }

    /// What a reload would change.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn diff(&self) -> Result<ReloadView, ClientError> {
        self.post_within("diff", &NoBody {}, RELOAD_LIMIT).await
    }

    /// Loads the configuration again.
    ///
    /// # Errors
    /// It does not answer. A file with faults is an answer.
    pub async fn reload(&self) -> Result<ReloadView, ClientError> {
        self.post_within("reload", &NoBody {}, RELOAD_LIMIT).await
    }

    /// Starts a task or an instance now.
    ///
    /// # Errors
    /// It does not answer, or there is none of that name (`unknown_task`).
    pub async fn trigger(&self, name: &str) -> Result<Vec<TriggeredView>, ClientError> {
        self.post("trigger", &TriggerBody { name: name.to_owned() }).await
    }

    /// Cancels a run.
    ///
    /// # Errors
    /// It does not answer, or the run is not open there (`not_open`).
    pub async fn cancel(&self, run: i64) -> Result<Accepted, ClientError> {
        self.post("cancel", &CancelBody { run }).await
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn stop(&self) -> Result<Accepted, ClientError> {
        self.post("stop", &NoBody {}).await
    }

    /// Makes it look at the store at once.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn poke(&self) -> Result<Accepted, ClientError> {
        self.post_within("poke", &NoBody {}, PING_LIMIT).await
    }

    async fn post<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<A, ClientError> {
        self.post_within(path, body, REQUEST_LIMIT).await
    }

    async fn post_within<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize, limit: Duration) -> Result<A, ClientError> {
        answer(self.http.post(url(path)).json(body), limit).await
    }
}

/// Whether the process that listens on this socket answers within a second.
pub async fn answers(socket: &Path) -> bool {
    match Client::of(socket) {
        // A refusal is an answer too: it stops, but it lives.
        Ok(client) => matches!(client.ping().await, Ok(_) | Err(ClientError::Refused { .. })),
        Err(_) => false,
    }
}

/// Makes the process that listens on this socket look at the store at once. Whether it answered.
pub async fn poke(socket: &Path) -> bool {
    match Client::of(socket) {
        Ok(client) => client.poke().await.is_ok(),
        Err(_) => false,
    }
}

fn url(path: &str) -> String {
    // The host is never looked up: the connection goes to the socket.
    format!("http://taskrun/api/v1/{path}")
}

async fn answer<A: DeserializeOwned>(request: reqwest::RequestBuilder, limit: Duration) -> Result<A, ClientError> {
    let response = request.timeout(limit).send().await.map_err(ClientError::NoAnswer)?;
    if response.status().is_success() {
        return response.json().await.map_err(ClientError::NoAnswer);
    }
    let ErrorBody { error } = response.json().await.map_err(ClientError::NoAnswer)?;
    Err(ClientError::Refused { code: error.code, message: error.message })
}
