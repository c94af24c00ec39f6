//! Where messages to people go: Chatwork's side, and an address that takes any webhook.
//!
//! What was posted stands in the ledger. The rooms 403 and 404 answer so; every other number is a room.
use std::{collections::HashMap, sync::Arc};

use axum::{
    Form,
    body::Bytes,
    extract::{Path, State, rejection::FormRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    response::Response,
};
use serde_json::{Value, json};

use super::{Noted, Practice, Side, reply};

/// The application that Chatwork's token belongs to.
pub(super) const CHATWORK: &str = "chatwork";
/// A token may make so many requests in five minutes.
const REQUESTS_MAX: i64 = 300;
const REQUESTS_MS: i64 = 300_000;
/// A room takes so many messages in ten seconds.
const MESSAGES_MAX: i64 = 10;
const MESSAGES_MS: i64 = 10_000;
/// A longer message is refused.
const CHARS_MAX: usize = 65_535;

fn refuse(status: StatusCode, text: &str) -> Response {
    let noted = Noted { account: CHATWORK.to_owned(), detail: text.to_owned() };
    reply(status, &json!({ "errors": [text] }), noted)
}

/// The answer for a status that was asked for.
pub(super) fn trouble(status: StatusCode) -> Response {
    refuse(status, status.canonical_reason().unwrap_or("Error"))
}

/// `POST /v2/rooms/{room}/messages`.
pub(super) async fn message(
    State(practice): State<Arc<Practice>>,
    Path(room): Path<String>,
    method: Method,
    headers: HeaderMap,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response {
    serve(&practice, &headers, |now_ms| {
        if method != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
        }
        match room.as_str() {
            "403" => return refuse(StatusCode::FORBIDDEN, "You don't have permission to send messages to this room"),
            room if room == "404" || !room.chars().all(|c| c.is_ascii_digit()) => return refuse(StatusCode::NOT_FOUND, "Room not found"),
            _ => {}
        }
        let path = format!("/v2/rooms/{room}/messages");
        let posted = practice.state.answered(&path, StatusCode::OK.as_u16(), now_ms - MESSAGES_MS).unwrap_or(0);
        if MESSAGES_MAX <= posted {
            return refuse(StatusCode::TOO_MANY_REQUESTS, "Rate limit for message posting per room exceeded.");
        }
        let body = form.ok().and_then(|Form(mut fields)| fields.remove("body")).unwrap_or_default();
        if body.is_empty() || CHARS_MAX < body.chars().count() {
            return refuse(StatusCode::BAD_REQUEST, "Invalid body");
        }
        let noted = Noted { account: CHATWORK.to_owned(), detail: body };
        reply(StatusCode::OK, &json!({ "message_id": format!("{}", fastrand::u64(1_000_000_000..10_000_000_000)) }), noted)
    })
}

/// `GET /v2/me`.
pub(super) async fn me(State(practice): State<Arc<Practice>>, headers: HeaderMap) -> Response {
    serve(&practice, &headers, |_| {
        let body = json!({ "account_id": 1, "room_id": 2, "name": "練習", "chatwork_id": "practice" });
        reply(StatusCode::OK, &body, Noted { account: CHATWORK.to_owned(), detail: String::new() })
    })
}

/// `POST /hook/{name}`: takes anything that is JSON.
pub(super) async fn hook(Path(name): Path<String>, method: Method, body: Bytes) -> Response {
    let noted = |detail: String| Noted { account: name.clone(), detail };
    match serde_json::from_slice::<Value>(&body) {
        Ok(value) if method == Method::POST => reply(StatusCode::OK, &json!({ "ok": true }), noted(value.to_string())),
        _ => reply(StatusCode::BAD_REQUEST, &json!({ "ok": false }), noted("no JSON by POST".to_owned())),
    }
}

/// Looks at the token and its limit, and says on every answer how much of it is left.
fn serve(practice: &Practice, headers: &HeaderMap, answer: impl FnOnce(i64) -> Response) -> Response {
    let now_ms = practice.now_ms();
    let token = headers.get("x-chatworktoken").and_then(|token| token.to_str().ok()).unwrap_or_default();
    let client = practice.state.client(Side::Chat, CHATWORK).ok().flatten();
    if client.is_none_or(|client| client.secret != token || !client.active) {
        return refuse(StatusCode::UNAUTHORIZED, "Invalid API Token");
    }
    let began_ms = now_ms - now_ms.rem_euclid(REQUESTS_MS);
    let used = practice.state.asked("/v2/", StatusCode::UNAUTHORIZED.as_u16(), began_ms).unwrap_or(0);
    let mut response = if REQUESTS_MAX <= used { refuse(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded") } else { answer(now_ms) };
    let left = (REQUESTS_MAX - used - 1).max(0);
    for (name, value) in [("limit", REQUESTS_MAX), ("remaining", left), ("reset", (began_ms + REQUESTS_MS) / 1_000)] {
        let name = HeaderName::try_from(format!("x-ratelimit-{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value.to_string())) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
