//! What an answer is made of, and what is wrong with a request: an error is `{"error": {"code": "...", "message": "..."}}` with a stable code.
use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{engine::control::Gone, view::desk::DeskError};

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorView,
}

/// What went wrong: a stable code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    pub code: String,
    pub message: String,
}

/// What can be wrong with any request.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it is a part of the document")]
pub(super) enum ReadErrors {
    /// The request cannot be understood.
    #[response(status = 400)]
    Bad(#[to_schema] ErrorBody),
    /// It needs the token.
    #[response(status = 401)]
    NoToken(#[to_schema] ErrorBody),
    /// It comes from a page of another site.
    #[response(status = 403)]
    Foreign(#[to_schema] ErrorBody),
    /// It did not come in time.
    #[response(status = 408)]
    Slow(#[to_schema] ErrorBody),
    /// Its body is too large.
    #[response(status = 413)]
    TooLarge(#[to_schema] ErrorBody),
    /// It names another host.
    #[response(status = 421)]
    WrongHost(#[to_schema] ErrorBody),
    /// Its head is too large.
    #[response(status = 431)]
    TooLong(#[to_schema] ErrorBody),
    /// taskrun is stopping, or its store does not answer.
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorBody),
}

/// What else can be wrong with a request for a change.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it is a part of the document")]
pub(super) enum ChangeErrors {
    /// It is not `application/json`.
    #[response(status = 415)]
    WrongType(#[to_schema] ErrorBody),
}

/// An answer that is an error, before it is JSON.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    view: ErrorView,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, view: ErrorView { code: code.to_owned(), message: message.into() } }
    }

    /// Something in the request that cannot be understood.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn missing(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
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

impl From<DeskError> for ApiError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Gone(gone) => gone.into(),
            DeskError::Store(error) => {
                // What the system says of paths and disks is for the log, not for whoever asks.
                tracing::warn!(error = crate::errors::chain(&error), "a request could not be answered: the store failed");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store", "the store does not answer; the log says why")
            }
            DeskError::Broken(error) => {
                tracing::error!(%error, "a request could not be answered: working it out went wrong");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "broken", "the answer could not be worked out; the log says why")
            }
            DeskError::Logs(error) => {
                tracing::warn!(%error, "a request could not be answered: the logs could not be read");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "logs", "the logs cannot be read; taskrun's own log says why")
            }
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        // A body that is no such JSON is 400, whichever way it is not.
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        let code = match status {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "wrong_type",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            _ => "bad_request",
        };
        Self::new(status, code, rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad(rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::bad(rejection.body_text())
    }
}

/// A body of JSON; what is wrong with it is said in JSON, too.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Json(body): Json<Value> = Json::from_request(request, state).await?;
        // A list of the values would do for serde.
        if !body.is_object() {
            return Err(ApiError::bad("the body is no JSON object"));
        }
        serde_json::from_value(body).map(Self).map_err(|error| ApiError::bad(format!("the body is not as it should be: {error}")))
    }
}

/// What stands behind the question mark.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Query(query) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

/// What stands in the path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Path(path) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(path))
    }
}
