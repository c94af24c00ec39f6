//! What can be ordered: the changes. Each is a POST of JSON.
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::{ApiError, Body, ChangeErrors, ErrorBody, ReadErrors},
    routes::instant,
};
use crate::{
    core::task::RunId,
    engine::view::{ReloadView, TriggeredView},
    view::{Desk, desk::PauseWanted},
};

/// The longest reason of a pause.
const REASON_MAX: usize = 500;

/// Asks for a run now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TriggerBody {
    /// An instance, or a task with all its instances.
    pub name: String,
}

/// Asks for the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    #[serde(deserialize_with = "whole")]
    pub run: i64,
}

/// Asks that a task or an instance rests: its fires are skipped, what runs goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    /// An instance, or a task with all its instances.
    pub name: String,
    /// Until when; until it is resumed where it is not given.
    #[schema(format = DateTime)]
    #[serde(default)]
    pub until: Option<String>,
    /// Why; at most 500 characters.
    #[schema(max_length = 500)]
    #[serde(default)]
    pub reason: Option<String>,
}

/// Asks for the end of a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeBody {
    /// What was paused.
    pub name: String,
}

/// There is nothing to say: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

/// The answer to a request that has nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    pub accepted: bool,
}

/// A whole number; `7.0` is one, too.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    let whole = number.as_i64().or_else(|| number.to_string().strip_suffix(".0")?.parse().ok());
    whole.ok_or_else(|| D::Error::custom(format!("{number} is no whole number of 64 bits")))
}

const ACCEPTED: Json<Accepted> = Json(Accepted { accepted: true });

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(diff))
        .routes(routes!(trigger))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
        .routes(routes!(reload))
        .routes(routes!(stop))
        .routes(routes!(poke))
}

/// What a reload would change. It reads the files and changes nothing, but it takes its time: a POST.
#[utoipa::path(post, path = "/diff", tag = "orders", security(("token" = [])), request_body = NoBody, responses((status = 200, body = ReloadView), ReadErrors, ChangeErrors))]
async fn diff(State(desk): State<Desk>, Body(NoBody {}): Body<NoBody>) -> Result<Json<ReloadView>, ApiError> {
    Ok(Json(desk.control.reload(true).await?))
}

/// Starts a task, or one instance, now.
#[utoipa::path(post, path = "/trigger", tag = "orders", security(("token" = [])), request_body = TriggerBody, responses(
    (status = 200, body = Vec<TriggeredView>, description = "What came of it, by instance."),
    (status = 404, body = ErrorBody, description = "There is no such task."),
    ReadErrors,
    ChangeErrors,
))]
async fn trigger(State(desk): State<Desk>, Body(TriggerBody { name }): Body<TriggerBody>) -> Result<Json<Vec<TriggeredView>>, ApiError> {
    let triggered = desk.control.trigger(name.clone(), false).await?;
    if triggered.is_empty() {
        return Err(unknown_task(&name));
    }
    Ok(Json(triggered))
}

/// Lets a task or an instance rest: its fires are skipped, what runs goes on.
#[utoipa::path(post, path = "/pause", tag = "orders", security(("token" = [])), request_body = PauseBody, responses(
    (status = 200, body = Accepted),
    (status = 404, body = ErrorBody, description = "There is no such task."),
    (status = 409, body = ErrorBody, description = "`until` is past."),
    ReadErrors,
    ChangeErrors,
))]
async fn pause(State(desk): State<Desk>, Body(body): Body<PauseBody>) -> Result<Json<Accepted>, ApiError> {
    let until = body.until.as_deref().map(|until| instant("until", until)).transpose()?;
    if until.is_some_and(|until| until <= desk.now()) {
        return Err(ApiError::new(StatusCode::CONFLICT, "past", "`until` is past"));
    }
    if body.reason.as_ref().is_some_and(|reason| REASON_MAX < reason.chars().count()) {
        return Err(ApiError::bad(format!("`reason` has more than {REASON_MAX} characters")));
    }
    let wanted = PauseWanted { name: body.name.clone(), until, reason: body.reason };
    if desk.pause(wanted).await? { Ok(ACCEPTED) } else { Err(unknown_task(&body.name)) }
}

/// Ends a pause.
#[utoipa::path(post, path = "/resume", tag = "orders", security(("token" = [])), request_body = ResumeBody, responses(
    (status = 200, body = Accepted),
    (status = 404, body = ErrorBody, description = "It is not paused by this name."),
    ReadErrors,
    ChangeErrors,
))]
async fn resume(State(desk): State<Desk>, Body(ResumeBody { name }): Body<ResumeBody>) -> Result<Json<Accepted>, ApiError> {
    if desk.resume(&name).await? {
        return Ok(ACCEPTED);
    }
    Err(ApiError::missing("not_paused", format!("nothing is paused by the name `{name}`")))
}

/// Tells an open run to stop, whoever has it.
#[utoipa::path(post, path = "/cancel", tag = "orders", security(("token" = [])), request_body = CancelBody, responses(
    (status = 200, body = Accepted),
    (status = 404, body = ErrorBody, description = "The run is not open."),
    ReadErrors,
    ChangeErrors,
))]
async fn cancel(State(desk): State<Desk>, Body(CancelBody { run }): Body<CancelBody>) -> Result<Json<Accepted>, ApiError> {
    if desk.cancel(RunId(run)).await? {
        return Ok(ACCEPTED);
    }
    Err(ApiError::missing("not_open", format!("run {run} is not open")))
}

/// Loads the configuration again: all of it, or nothing if it has faults.
#[utoipa::path(post, path = "/reload", tag = "orders", security(("token" = [])), request_body = NoBody,
    responses((status = 200, body = ReloadView, description = "What changed; a file with faults is an answer, too."), ReadErrors, ChangeErrors))]
async fn reload(State(desk): State<Desk>, Body(NoBody {}): Body<NoBody>) -> Result<Json<ReloadView>, ApiError> {
    Ok(Json(desk.control.reload(false).await?))
}

/// Stops taskrun in order; asked a second time, without waiting.
#[utoipa::path(post, path = "/stop", tag = "orders", security(("token" = [])), request_body = NoBody, responses((status = 200, body = Accepted), ReadErrors, ChangeErrors))]
async fn stop(State(desk): State<Desk>, Body(NoBody {}): Body<NoBody>) -> Result<Json<Accepted>, ApiError> {
    desk.control.stop().await?;
    Ok(ACCEPTED)
}

/// Makes taskrun look at the store at once, after another process changed something.
#[utoipa::path(post, path = "/poke", tag = "orders", security(("token" = [])), request_body = NoBody, responses((status = 200, body = Accepted), ReadErrors, ChangeErrors))]
async fn poke(State(desk): State<Desk>, Body(NoBody {}): Body<NoBody>) -> Result<Json<Accepted>, ApiError> {
    desk.control.poke().await?;
    Ok(ACCEPTED)
}

pub(super) fn unknown_task(name: &str) -> ApiError {
    ApiError::missing("unknown_task", format!("there is no task or instance `{name}`"))
}
