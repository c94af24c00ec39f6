//! The HTTP API: on a Unix socket beside the process record (a named pipe under Windows), for the command line and for other processes of taskrun, and over TCP, for the dashboard.
//!
//! The socket is 0600 in a 0700 folder: whoever can open it is the user taskrun runs as. Who may come in over TCP, `guard` says. Both serve the same
//! router. Everything is JSON; an error is `{"error": {"code": "...", "message": "..."}}` with a stable code.
use std::{io, path::Path, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use self::{
    answer::ApiError,
    events::{STREAMS_MAX, Streams},
    places::Seat,
};
use crate::{
    tally::{self, Tally},
    view::Desk,
};

mod answer;
pub mod client;
mod events;
mod glance;
mod guard;
mod local;
mod openapi;
mod orders;
mod page;
mod places;
mod routes;
mod tcp;

pub use answer::{ErrorBody, ErrorView};
pub use orders::{Accepted, CancelBody, NoBody, PauseBody, ResumeBody, TriggerBody};
pub use tcp::{Bound, ListenError, ListenTrouble, Server, TOKEN_FILE, bind};

/// The largest request: ours are some hundred bytes, so this only stops what is no client of ours.
const BODY_MAX: usize = 1 << 20;
/// How long a client may take to send its body.
const BODY_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer may take; a reload of ten thousand tasks takes a while.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// Who answers a ping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pong {
    pub pid: u32,
    pub version: String,
}

/// Listens on the socket and answers until `closing`; then removes the socket. Whatever lay at the path before is stale: its name is that of
/// our own process record, which nobody else can hold.
///
/// # Errors
/// The socket could not be made.
pub fn serve(socket: &Path, app: Router, closing: CancellationToken) -> io::Result<JoinHandle<io::Result<()>>> {
    let listener = local::listen(socket)?;
    let socket = socket.to_owned();
    Ok(tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(closing.cancelled_owned()).await;
        local::clear(&socket).and(served)
    }))
}

/// The routes of this process, for the socket and for TCP alike. Streams end with `closing`.
pub fn router(desk: Desk, closing: CancellationToken) -> Router {
    let streams = Streams { free: Arc::new(Semaphore::new(STREAMS_MAX)), closing };
    let tally = Arc::clone(&desk.tally);
    routes::all(desk)
        .serve()
        .route_layer(middleware::from_fn_with_state(tally, count))
        .fallback(|| async { ApiError::missing("no_such_path", "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "this path wants another method")
        })
        .layer(middleware::from_fn(answer_in_time))
        .layer(Extension(streams))
}

/// Counts requests and how long their answers take, by route.
async fn count(State(tally): State<Arc<Tally>>, route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let begun = tokio::time::Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    tally.count(&tally::REQUESTS, &[route, response.status().as_str()]);
    tally.took(&tally::REQUEST_TOOK, &[route], begun.elapsed());
    response
}

/// Reads the body before anything is done, and answers in time: a connection holds on to its place only while we are at work.
async fn answer_in_time(seat: Option<Extension<Seat>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_LIMIT, whole(body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(refusal)) => return refusal.into_response(),
        Err(_) => return ApiError::new(StatusCode::REQUEST_TIMEOUT, "slow", "the request did not come in time").into_response(),
    };
    let _answering = seat.map(|Extension(seat)| seat.answering());
    let answer = next.run(Request::from_parts(parts, Body::from(body)));
    tokio::time::timeout(ANSWER_LIMIT, answer).await.unwrap_or_else(|_| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "slow", "the answer takes too long; it may still be done").into_response()
    })
}

async fn whole(body: Body) -> Result<Bytes, ApiError> {
    let (mut whole, mut pieces) = (Vec::new(), body.into_data_stream());
    while let Some(piece) = pieces.next().await {
        whole.extend_from_slice(&piece.map_err(|_| ApiError::bad("the body broke off"))?);
        if BODY_MAX < whole.len() {
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large"));
        }
    }
    Ok(whole.into())
}

#[cfg(test)]
mod tests;
