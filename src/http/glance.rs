//! What the dashboard shows at a glance: today, the last ends, the next fires, how limits and the queue went, the log.
use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::{
    IntoParams,
    openapi::schema::{Object, ObjectBuilder, Type},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::{ApiError, Query, ReadErrors},
    routes::{instant, rows},
};
use crate::{
    observe::read::Wanted,
    view::{
        Desk,
        logs::LogView,
        notices::NoticesView,
        today::{DayView, Ends},
        trends::TrendsView,
    },
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(timeline))
        .routes(routes!(ends))
        .routes(routes!(trends))
        .routes(routes!(logs))
        .routes(routes!(notices))
}

/// Today: when each instance may run, what became of its fires, and what is to come.
#[utoipa::path(get, path = "/timeline", tag = "glance", responses((status = 200, body = DayView), ReadErrors))]
async fn timeline(State(desk): State<Desk>) -> Result<Json<DayView>, ApiError> {
    Ok(Json(desk.today().await?))
}

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CountQuery {
    /// Rows of each instance; 20 where it is not given.
    #[param(minimum = 1, maximum = 50)]
    count: Option<u32>,
}

/// The last runs and skips of each instance, oldest first.
#[utoipa::path(get, path = "/ends", tag = "glance", params(CountQuery), responses((status = 200, body = Ends), ReadErrors))]
async fn ends(State(desk): State<Desk>, Query(query): Query<CountQuery>) -> Result<Json<Ends>, ApiError> {
    Ok(Json(desk.ends(few(query.count, 20)?).await?))
}

fn few(count: Option<u32>, otherwise: u32) -> Result<usize, ApiError> {
    let count = count.unwrap_or(otherwise);
    usize::try_from(count).ok().filter(|count| (1..=50).contains(count)).ok_or_else(|| ApiError::bad("`count` is from 1 to 50"))
}

/// How much of each limit was used, and how the queue stood, over the last day; from when this daemon started.
#[utoipa::path(get, path = "/trends", tag = "glance", responses((status = 200, body = TrendsView), ReadErrors))]
async fn trends(State(desk): State<Desk>) -> Result<Json<TrendsView>, ApiError> {
    Ok(Json(desk.trends.view()))
}

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct NoticesQuery {
    /// At most so many; 100 where it is not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// What people are told, newest first, and how the channels fare. The same as `taskrun notify list --json`.
#[utoipa::path(get, path = "/notices", tag = "glance", params(NoticesQuery), responses((status = 200, body = NoticesView), ReadErrors))]
async fn notices(State(desk): State<Desk>, Query(query): Query<NoticesQuery>) -> Result<Json<NoticesView>, ApiError> {
    let limit = u32::try_from(rows(query.limit)?).unwrap_or(u32::MAX);
    Ok(Json(desk.notices(limit).await?))
}

/// How important a line is.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

fn levels() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(LEVELS)).build()
}

/// Which lines of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogsQuery {
    /// Only of this task or instance; `taskrun` is the daemon itself.
    task: Option<String>,
    /// Only of this account's instances.
    account: Option<String>,
    /// Only what is at least as important.
    #[param(schema_with = levels)]
    level: Option<String>,
    /// Only of this run.
    run: Option<i64>,
    /// Only what was written since then.
    #[param(format = DateTime)]
    since: Option<String>,
    /// At most so many of the last lines; 100 where it is not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The last lines of all logs as one stream.
#[utoipa::path(get, path = "/logs", tag = "glance", params(LogsQuery), responses((status = 200, body = Vec<LogView>), ReadErrors))]
async fn logs(State(desk): State<Desk>, Query(query): Query<LogsQuery>) -> Result<Json<Vec<LogView>>, ApiError> {
    let unknown = |level: &str| ApiError::bad(format!("there is no level `{level}`"));
    let known = |level: &str| level.parse().ok().filter(|_| LEVELS.contains(&level)).ok_or_else(|| unknown(level));
    let level = query.level.as_deref().map(known).transpose()?;
    let since = query.since.as_deref().map(|since| instant("since", since)).transpose()?;
    let wanted = Wanted { task: query.task, account: query.account, level, run: query.run, since };
    Ok(Json(desk.lines(wanted, rows(query.limit)?).await?))
}
