//! What can be read: one router serves the local socket and TCP.
use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Pong,
    answer::{ApiError, ErrorBody, Path, Query, ReadErrors},
    events, glance,
    openapi::Documented,
    orders, page,
};
use crate::{
    core::task::RunId,
    engine::view::InstanceView,
    view::{
        Desk, StatusPage,
        desk::RunsWanted,
        history::{RunPage, RunsPage},
        ready::ReadyView,
    },
};

/// A process whose engine does not answer within this time hangs.
const ALIVE_LIMIT: Duration = Duration::from_secs(1);
/// Rows of a page.
pub(super) const ROWS: u32 = 100;
/// The longest page.
pub(super) const ROWS_MAX: u32 = 1_000;

/// Every route, and the document that describes them.
pub(super) fn all(desk: Desk) -> Documented {
    let api = OpenApiRouter::new()
        .routes(routes!(ping))
        .routes(routes!(status))
        .routes(routes!(tasks))
        .routes(routes!(runs))
        .routes(routes!(run))
        .merge(orders::routes())
        .merge(events::routes())
        .merge(glance::routes());
    let top = OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready));
    let (router, document) = OpenApiRouter::new().nest("/api/v1", api).merge(top).split_for_parts();
    Documented { router: router.merge(page::routes()).with_state(desk), document }
}

/// That it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) struct HealthView {
    pub(super) alive: bool,
}

/// Whether taskrun lives: its engine answers.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = HealthView), ReadErrors))]
async fn health(State(desk): State<Desk>) -> Result<Json<HealthView>, ApiError> {
    match tokio::time::timeout(ALIVE_LIMIT, desk.control.runs()).await {
        Ok(answer) => answer.map(|_| Json(HealthView { alive: true })).map_err(ApiError::from),
        Err(_) => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "hangs", "the engine does not answer")),
    }
}

/// Whether all is well: 200, or 503 with the reasons.
#[utoipa::path(get, path = "/ready", tag = "health",
    responses((status = 200, body = ReadyView), (status = 503, body = ReadyView), ReadErrors))]
async fn ready(State(desk): State<Desk>) -> Result<Response, ApiError> {
    let view = desk.ready().await?;
    let status = if view.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(view)).into_response())
}

/// Who answers. The engine has to: a process whose engine hangs is as good as hung.
#[utoipa::path(get, path = "/ping", tag = "status", responses((status = 200, body = Pong), ReadErrors))]
async fn ping(State(desk): State<Desk>) -> Result<Json<Pong>, ApiError> {
    desk.control.runs().await?;
    Ok(Json(Pong { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned() }))
}

/// Everything about the daemon: its tasks, open runs, quotas, the age of the data. The same as `taskrun status --json`.
#[utoipa::path(get, path = "/status", tag = "status", responses((status = 200, body = StatusPage), ReadErrors))]
async fn status(State(desk): State<Desk>) -> Result<Json<StatusPage>, ApiError> {
    Ok(Json(desk.status().await?))
}

/// Each instance with its schedule, next fire and last end. The same as `taskrun list --json`.
#[utoipa::path(get, path = "/tasks", tag = "status", responses((status = 200, body = Vec<InstanceView>), ReadErrors))]
async fn tasks(State(desk): State<Desk>) -> Result<Json<Vec<InstanceView>>, ApiError> {
    Ok(Json(desk.control.status().await?.instances))
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RunsQuery {
    /// Only of this task or instance.
    task: Option<String>,
    /// Only runs that failed, timed out or were lost.
    failed: Option<bool>,
    /// Only what is still open.
    open: Option<bool>,
    /// Only what was due at or after this instant.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Only rows with a smaller number: the `next` of the page before.
    before: Option<i64>,
    /// At most so many rows; 100 where it is not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Runs and skips, newest first. The rows are those of `taskrun history --json`.
#[utoipa::path(get, path = "/runs", tag = "runs", params(RunsQuery), responses((status = 200, body = RunsPage), ReadErrors))]
async fn runs(State(desk): State<Desk>, Query(query): Query<RunsQuery>) -> Result<Json<RunsPage>, ApiError> {
    let wanted = RunsWanted {
        name: query.task,
        failed: query.failed.unwrap_or(false),
        open: query.open.unwrap_or(false),
        since: query.since.as_deref().map(|since| instant("since", since)).transpose()?,
        before: query.before,
        limit: rows(query.limit)?,
    };
    Ok(Json(desk.history(wanted).await?))
}

/// A run with its attempts.
#[utoipa::path(get, path = "/runs/{run}", tag = "runs", params(("run" = i64, Path, description = "The run's number.")),
    responses((status = 200, body = RunPage), (status = 404, body = ErrorBody, description = "There is no such run."), ReadErrors))]
async fn run(State(desk): State<Desk>, Path(run): Path<i64>) -> Result<Json<RunPage>, ApiError> {
    desk.run(RunId(run)).await?.map(Json).ok_or_else(|| no_run(run))
}

pub(super) fn no_run(run: i64) -> ApiError {
    ApiError::missing("unknown_run", format!("there is no run {run}"))
}

/// An instant of a query or a body.
pub(super) fn instant(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    text.parse().map_err(|_| ApiError::bad(format!("`{name}` is not an instant such as `2026-11-22T13:48:00+09:00`")))
}

/// How many rows are wanted.
pub(super) fn rows(limit: Option<u32>) -> Result<usize, ApiError> {
    let limit = limit.unwrap_or(ROWS);
    let fits = (1..=ROWS_MAX).contains(&limit);
    usize::try_from(limit).ok().filter(|_| fits).ok_or_else(|| ApiError::bad(format!("`limit` is from 1 to {ROWS_MAX}")))
}
