//! The local HTTP API: a Unix socket beside the process record, for the command line and for other processes of taskrun.
//!
//! The socket is 0600 in a 0700 folder: whoever can open it is the user taskrun runs as. Everything is JSON; an error is
//! `{"error": {"code": "...", "message": "..."}}` with a stable code.
use std::{io, os::unix::fs::PermissionsExt as _, path::Path};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::{net::UnixListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    core::task::RunId,
    engine::{
        control::{Control, Gone},
        view::{ReloadView, StatusView, TriggeredView},
    },
};

pub mod client;
mod near;

/// The largest request: ours are some hundred bytes, so this only stops what is no client of ours.
const BODY_MAX: usize = 1 << 20;

/// Who answers a ping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    pub pid: u32,
    pub version: String,
}

/// Asks for a run now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerBody {
    /// An instance, or a task with all its instances.
    pub name: String,
}

/// Asks for the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelBody {
    pub run: i64,
}

/// The answer to a request that has nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub accepted: bool,
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: ErrorView,
}

/// What went wrong: a stable code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    pub code: String,
    pub message: String,
}

/// Listens on the socket and answers until `closing`; then removes the socket. Whatever lay at the path before is stale: its name is that of
/// our own process record, which nobody else can hold.
///
/// # Errors
/// The socket could not be made.
pub fn serve(socket: &Path, control: Control, closing: CancellationToken) -> io::Result<JoinHandle<io::Result<()>>> {
    clear(socket)?;
    let listener = UnixListener::bind(near::Near::to(socket).path())?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    let app = router(control);
    let socket = socket.to_owned();
    Ok(tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(closing.cancelled_owned()).await;
        clear(&socket).and(served)
    }))
}

fn clear(socket: &Path) -> io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn router(control: Control) -> Router {
    Router::new()
        .route("/v1/ping", get(ping))
        .route("/v1/status", get(status))
        .route("/v1/diff", get(diff))
        .route("/v1/trigger", post(trigger))
        .route("/v1/cancel", post(cancel))
        .route("/v1/reload", post(reload))
        .route("/v1/stop", post(stop))
        .route("/v1/poke", post(poke))
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "no_such_path", "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "this path wants another method")
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(control)
}

/// An answer that is an error, before it is JSON.
struct ApiError {
    status: StatusCode,
    view: ErrorView,
}

impl ApiError {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, view: ErrorView { code: code.to_owned(), message: message.into() } }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.view })).into_response()
    }
}

impl From<Gone> for ApiError {
    fn from(gone: Gone) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", gone.to_string())
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "bad_request", rejection.body_text())
    }
}

/// Answers only when the engine itself does: a process whose engine hangs is as good as hung.
async fn ping(State(control): State<Control>) -> Result<Json<Pong>, ApiError> {
    let status = control.status().await?;
    Ok(Json(Pong { pid: status.pid, version: status.version }))
}

async fn status(State(control): State<Control>) -> Result<Json<StatusView>, ApiError> {
    Ok(Json(control.status().await?))
}

async fn diff(State(control): State<Control>) -> Result<Json<ReloadView>, ApiError> {
    Ok(Json(control.reload(true).await?))
}

async fn trigger(
    State(control): State<Control>,
    body: Result<Json<TriggerBody>, JsonRejection>,
) -> Result<Json<Vec<TriggeredView>>, ApiError> {
    let Json(TriggerBody { name }) = body?;
    let triggered = control.trigger(name.clone(), false).await?;
    if triggered.is_empty() {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_task", format!("there is no task or instance `{name}`")));
    }
    Ok(Json(triggered))
}

async fn cancel(State(control): State<Control>, body: Result<Json<CancelBody>, JsonRejection>) -> Result<Json<Accepted>, ApiError> {
    let Json(CancelBody { run }) = body?;
    if control.cancel(RunId(run)).await? {
        return Ok(Json(Accepted { accepted: true }));
    }
    Err(ApiError::new(StatusCode::NOT_FOUND, "not_open", format!("run {run} is not open in this process")))
}

async fn reload(State(control): State<Control>) -> Result<Json<ReloadView>, ApiError> {
    Ok(Json(control.reload(false).await?))
}

async fn stop(State(control): State<Control>) -> Result<Json<Accepted>, ApiError> {
    control.stop().await?;
    Ok(Json(Accepted { accepted: true }))
}

async fn poke(State(control): State<Control>) -> Result<Json<Accepted>, ApiError> {
    control.poke().await?;
    Ok(Json(Accepted { accepted: true }))
}

#[cfg(test)]
mod tests;
