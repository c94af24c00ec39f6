//! What can be read: one router serves the local socket and TCP.
use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, ToSchema,
    openapi::schema::{Object, ObjectBuilder, Type},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Pong,
    answer::{ApiError, ErrorBody, Path, Query, ReadErrors},
    events, glance,
    openapi::{self, Documented},
    orders, page,
};
use crate::{
    core::task::RunId,
    engine::view::InstanceView,
    observe::read::Wanted,
    shop::upload::State as ItemState,
    tally::Format,
    view::{
        Desk, StatusPage,
        accounts::AccountView,
        desk::RunsWanted,
        fires::FireView,
        history::{RunPage, RunsPage},
        logs::LogView,
        queue::{ItemView, StandingView},
        quotas::QuotaView,
        ready::ReadyView,
    },
};

/// A process whose engine does not answer within this time hangs.
const ALIVE_LIMIT: Duration = Duration::from_secs(1);
/// Rows of a page.
pub(super) const ROWS: u32 = 100;
/// What a client says that reads `OpenMetrics`.
const OPEN_METRICS: &str = "application/openmetrics-text";
/// Fires of each instance.
const FIRES: u32 = 10;
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
        .routes(routes!(run_log))
        .routes(routes!(next))
        .routes(routes!(accounts))
        .routes(routes!(quotas))
        .routes(routes!(queue))
        .routes(routes!(items))
        .merge(orders::routes())
        .merge(events::routes())
        .merge(glance::routes())
        .merge(openapi::routes());
    let top = OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready)).routes(routes!(metrics));
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

/// The metrics, for Prometheus: its own text, or `OpenMetrics` where that is accepted.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "The metrics.",
        content((String = "text/plain"), (String = "application/openmetrics-text"))),
    ReadErrors,
))]
async fn metrics(State(desk): State<Desk>, headers: HeaderMap) -> Result<Response, ApiError> {
    let accepts = headers.get_all(header::ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(OPEN_METRICS)));
    let (format, kind) = if accepts {
        (Format::OpenMetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (Format::Prometheus, "text/plain; version=0.0.4; charset=utf-8")
    };
    let page = desk.metrics().await?;
    Ok(([(header::CONTENT_TYPE, kind)], page.write(format)).into_response())
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

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LimitQuery {
    /// At most so many; 100 where it is not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The last lines that a run wrote to the log, oldest first.
#[utoipa::path(get, path = "/runs/{run}/log", tag = "runs", params(("run" = i64, Path, description = "The run's number."), LimitQuery),
    responses((status = 200, body = Vec<LogView>), (status = 404, body = ErrorBody, description = "There is no such run."), ReadErrors))]
async fn run_log(State(desk): State<Desk>, Path(run): Path<i64>, Query(query): Query<LimitQuery>) -> Result<Json<Vec<LogView>>, ApiError> {
    let limit = rows(query.limit)?;
    let Some(page) = desk.run(RunId(run)).await? else { return Err(no_run(run)) };
    let wanted = Wanted { task: Some(page.run.instance), run: Some(run), ..Wanted::default() };
    Ok(Json(desk.lines(wanted, limit).await?))
}

/// Which fires.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct NextQuery {
    /// Only of this task or instance.
    task: Option<String>,
    /// Only up to this instant.
    #[param(format = DateTime)]
    until: Option<String>,
    /// At most so many of each instance; 10 where it is not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The next fires, by time; at most 10,000 in all. The same as `taskrun next --json`.
#[utoipa::path(get, path = "/next", tag = "status", params(NextQuery),
    responses((status = 200, body = Vec<FireView>), (status = 404, body = ErrorBody, description = "There is no such task."), ReadErrors))]
async fn next(State(desk): State<Desk>, Query(query): Query<NextQuery>) -> Result<Json<Vec<FireView>>, ApiError> {
    let until = query.until.as_deref().map(|until| instant("until", until)).transpose()?;
    let fires = desk.next(query.task.as_deref(), until, rows(query.limit.or(Some(FIRES)))?).await?;
    fires.map(Json).ok_or_else(|| orders::unknown_task(query.task.as_deref().unwrap_or_default()))
}

/// The accounts: their logins, parks, caps, calls and last errors; no token is in it. The same as `taskrun accounts list --json`.
#[utoipa::path(get, path = "/accounts", tag = "shop", responses((status = 200, body = Vec<AccountView>), ReadErrors))]
async fn accounts(State(desk): State<Desk>) -> Result<Json<Vec<AccountView>>, ApiError> {
    Ok(Json(desk.accounts().await?))
}

/// The marketplaces' limits and how much of them is used.
#[utoipa::path(get, path = "/quotas", tag = "shop", responses((status = 200, body = Vec<QuotaView>), ReadErrors))]
async fn quotas(State(desk): State<Desk>) -> Result<Json<Vec<QuotaView>>, ApiError> {
    Ok(Json(desk.quotas().await?))
}

/// How each account stands with its queue. The same as `taskrun queue stats --json`.
#[utoipa::path(get, path = "/queue", tag = "shop", responses((status = 200, body = Vec<StandingView>), ReadErrors))]
async fn queue(State(desk): State<Desk>) -> Result<Json<Vec<StandingView>>, ApiError> {
    Ok(Json(desk.queue().await?))
}

fn item_states() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(ItemState::ALL.iter().map(|state| state.word()))).build()
}

/// Which items.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ItemsQuery {
    /// Only those in this state.
    #[param(schema_with = item_states)]
    state: Option<String>,
    /// Only this account's.
    account: Option<String>,
    /// Only those whose time has come.
    due: Option<bool>,
    /// At most so many; 100 where it is not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Items of the queue. The same as `taskrun queue list --json`.
#[utoipa::path(get, path = "/queue/items", tag = "shop", params(ItemsQuery),
    responses((status = 200, body = Vec<ItemView>), (status = 404, body = ErrorBody, description = "There is no such account."), ReadErrors))]
async fn items(State(desk): State<Desk>, Query(query): Query<ItemsQuery>) -> Result<Json<Vec<ItemView>>, ApiError> {
    let unknown = |word: &String| ItemState::from_word(word).ok_or_else(|| ApiError::bad(format!("there is no state `{word}`")));
    let state = query.state.as_ref().map(unknown).transpose()?;
    let items = desk.items(state, query.account.as_deref(), query.due.unwrap_or(false), rows(query.limit)?).await?;
    items.map(Json).ok_or_else(|| ApiError::missing("unknown_account", "there is no such account"))
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
