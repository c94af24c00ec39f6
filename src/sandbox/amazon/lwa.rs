//! Login with Amazon: refresh tokens that never change, and access tokens of an hour.
use std::{collections::HashMap, sync::Arc};

use axum::{
    Form,
    body::Bytes,
    extract::{FromRequest, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use serde_json::json;

use crate::sandbox::{ACCESS_LIVES_MS, Noted, Practice, Side, reply};

/// How access tokens begin that belong to no seller.
pub(super) const GRANTLESS: &str = "Atza|grantless-";
const GRANTLESS_SCOPES: [&str; 3] =
    ["sellingpartnerapi::notifications", "sellingpartnerapi::migration", "sellingpartnerapi::client_credential:rotation"];

/// LWA's error: a flat object, not SP-API's list.
fn refuse(status: u16, error: &str, description: &str) -> Response {
    let noted = Noted { detail: error.to_owned(), ..Noted::default() };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    quiet(reply(status, &json!({ "error": error, "error_description": description }), noted))
}

/// Nothing about tokens may be kept on the way.
fn quiet(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// The answer for a status that was asked for.
pub(in crate::sandbox) fn trouble(status: StatusCode) -> Response {
    match status.as_u16() {
        401 => refuse(401, "invalid_client", "Client authentication failed"),
        503 | 429 => refuse(status.as_u16(), "temporarily_unavailable", "The authorization server is temporarily unavailable"),
        code if code < 500 => refuse(code, "invalid_request", "The request is missing a required parameter"),
        code => refuse(code, "server_error", "The authorization server encountered an unexpected condition"),
    }
}

/// `POST /auth/o2/token`, form or JSON.
pub(in crate::sandbox) async fn token(State(practice): State<Arc<Practice>>, request: Request) -> Response {
    if request.method() != Method::POST {
        return refuse(400, "invalid_request", "The request must be a POST");
    }
    grant(&practice, &fields(request).await)
}

fn grant(practice: &Practice, fields: &HashMap<String, String>) -> Response {
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    if let Some(missing) = ["grant_type", "client_id", "client_secret"].iter().find(|name| field(name).is_empty()) {
        return refuse(400, "invalid_request", &format!("The request is missing a required parameter : {missing}"));
    }
    let Ok(client) = practice.state.client(Side::Amazon, field("client_id")) else { return trouble(StatusCode::INTERNAL_SERVER_ERROR) };
    if client.is_none_or(|client| client.secret != field("client_secret") || !client.active) {
        return trouble(StatusCode::UNAUTHORIZED);
    }
    match field("grant_type") {
        "refresh_token" if field("refresh_token").is_empty() => {
            refuse(400, "invalid_request", "The request is missing a required parameter : refresh_token")
        }
        "refresh_token" => refresh(practice, field("refresh_token"), field("client_id")),
        "client_credentials" if GRANTLESS_SCOPES.contains(&field("scope")) => {
            let access = format!("{GRANTLESS}{:032x}", fastrand::u128(..));
            let body = json!({ "access_token": access, "token_type": "bearer", "expires_in": ACCESS_LIVES_MS / 1000 });
            quiet(reply(StatusCode::OK, &body, Noted::default()))
        }
        "client_credentials" => refuse(400, "invalid_scope", "The requested scope is invalid, unknown, or malformed"),
        _ => {
            let text = "The authorization grant type is not supported by the authorization server";
            refuse(400, "unsupported_grant_type", text)
        }
    }
}

fn refresh(practice: &Practice, token: &str, client: &str) -> Response {
    let now_ms = practice.now_ms();
    let Ok(Some((account, _))) = practice.state.refresher(Side::Amazon, token, client, now_ms) else {
        let text = "The request has an invalid grant parameter : refresh_token. User may have revoked or didn't grant the permission.";
        return refuse(400, "invalid_grant", text);
    };
    let access = format!("Atza|{:032x}", fastrand::u128(..));
    if practice.state.grant(Side::Amazon, &account, (&access, now_ms + ACCESS_LIVES_MS), None).is_err() {
        return trouble(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let body = json!({ "access_token": access, "token_type": "bearer", "expires_in": ACCESS_LIVES_MS / 1000, "refresh_token": token });
    quiet(reply(StatusCode::OK, &body, Noted { account, ..Noted::default() }))
}

async fn fields(request: Request) -> HashMap<String, String> {
    let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json {
        let body = Bytes::from_request(request, &()).await.unwrap_or_default();
        return serde_json::from_slice(&body).unwrap_or_default();
    }
    Form::<HashMap<String, String>>::from_request(request, &()).await.map(|Form(fields)| fields).unwrap_or_default()
}
