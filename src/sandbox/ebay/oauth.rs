//! eBay's tokens: a refresh token that never changes, and access tokens of two hours.
use std::{collections::HashMap, sync::Arc};

use axum::{
    Form,
    extract::{FromRequest, Request, State},
    http::{Method, StatusCode},
    response::Response,
};
use serde_json::json;

use super::ACCESS_LIVES_MS;
use crate::sandbox::{Noted, Practice, Side, basic, reply};

/// A flat object, as OAuth wants it.
fn refuse(status: u16, error: &str, description: &str) -> Response {
    let noted = Noted { detail: error.to_owned(), ..Noted::default() };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply(status, &json!({ "error": error, "error_description": description }), noted)
}

/// The answer for a status that was asked for.
pub(super) fn trouble(status: StatusCode) -> Response {
    match status.as_u16() {
        401 => refuse(401, "invalid_client", "client authentication failed"),
        503 | 429 => refuse(status.as_u16(), "temporarily_unavailable", "the server is busy"),
        code if code < 500 => refuse(code, "invalid_request", "request is missing a required parameter or malformed"),
        code => refuse(code, "server_error", "the server met an unexpected condition"),
    }
}

/// `POST /identity/v1/oauth2/token`.
pub(in crate::sandbox) async fn token(State(practice): State<Arc<Practice>>, request: Request) -> Response {
    if request.method() != Method::POST {
        return trouble(StatusCode::METHOD_NOT_ALLOWED);
    }
    let client = basic::client(request.headers());
    let fields = Form::<HashMap<String, String>>::from_request(request, &()).await.map(|Form(fields)| fields).unwrap_or_default();
    grant(&practice, client, &fields)
}

fn grant(practice: &Practice, client: Option<(String, String)>, fields: &HashMap<String, String>) -> Response {
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let Some((id, secret)) = client else { return trouble(StatusCode::UNAUTHORIZED) };
    let Ok(known) = practice.state.client(Side::Ebay, &id) else { return trouble(StatusCode::INTERNAL_SERVER_ERROR) };
    if known.is_none_or(|known| known.secret != secret || !known.active) {
        return trouble(StatusCode::UNAUTHORIZED);
    }
    if field("grant_type") != "refresh_token" {
        return refuse(400, "unsupported_grant_type", "grant type in request is not supported by the authorization server");
    }
    let now_ms = practice.now_ms();
    let found = practice.state.refresher(Side::Ebay, field("refresh_token"), &id, now_ms).ok().flatten();
    let Some((account, _)) = found.filter(|(_, expires_ms)| now_ms < *expires_ms) else {
        return refuse(400, "invalid_grant", "the provided authorization refresh token is invalid or was issued to another client");
    };
    let granted = practice.state.scopes(Side::Ebay, &account).unwrap_or_default();
    // Without a word about it, it is for all that the seller has agreed to.
    if !field("scope").split(' ').filter(|scope| !scope.is_empty()).all(|scope| granted.split(' ').any(|has| has == scope)) {
        return refuse(
            400,
            "invalid_scope",
            "The requested scope is invalid, unknown, malformed, or exceeds the scope granted to the client",
        );
    }
    let access = format!("v^1.1#i^1#{:032x}", fastrand::u128(..));
    if practice.state.grant(Side::Ebay, &account, (&access, now_ms + ACCESS_LIVES_MS), None).is_err() {
        return trouble(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let body = json!({ "access_token": access, "expires_in": ACCESS_LIVES_MS / 1000, "token_type": "User Access Token" });
    reply(StatusCode::OK, &body, Noted { account, ..Noted::default() })
}
