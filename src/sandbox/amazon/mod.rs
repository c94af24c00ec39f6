//! Amazon's side: what all of its operations share. Tokens are in `lwa`, offers in `pricing`, the state of a seller in `sellers`, its listings in
//! `listings`, and changes of many of them at once in `feeds`.
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use serde_json::{Value, json};

use super::{Noted, Practice, Side, operation::Operation, reply, state::Opened};

pub(super) mod feeds;
pub(super) mod listings;
pub(super) mod lwa;
pub(super) mod pricing;
pub(super) mod sellers;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const RATE: HeaderName = HeaderName::from_static("x-amzn-ratelimit-limit");

/// Japan.
const MARKETPLACE: &str = "A1VC38T7YXB528";

/// Operations with a bucket, and their usual rate per second and burst.
pub(super) const RATES: [(Operation, (f64, f64)); 11] = [
    (Operation::Offers, (0.1, 1.0)),
    (Operation::ItemOffers, (0.5, 1.0)),
    (Operation::Sellers, (0.016, 15.0)),
    (Operation::FeedDocument, (0.5, 15.0)),
    (Operation::CreateFeed, (0.0083, 15.0)),
    (Operation::GetFeed, (2.0, 15.0)),
    (Operation::GetFeeds, (0.0222, 10.0)),
    (Operation::FeedResult, (0.0222, 10.0)),
    (Operation::PatchListing, (5.0, 5.0)),
    (Operation::GetListing, (5.0, 10.0)),
    (Operation::DeleteListing, (5.0, 5.0)),
];

/// The rate and burst that an operation has by itself.
pub(super) fn usual(operation: Operation) -> Option<(f64, f64)> {
    RATES.iter().find(|(known, _)| *known == operation).map(|(_, usual)| *usual)
}

/// SP-API's error body.
pub(super) fn error(status: StatusCode, code: &str, message: &str, noted: Noted) -> Response {
    detailed(status, code, message, "", noted)
}

fn detailed(status: StatusCode, code: &str, message: &str, details: &str, noted: Noted) -> Response {
    let mut response = reply(status, &json!({ "errors": [{ "code": code, "message": message, "details": details }] }), noted);
    response.headers_mut().extend(HeaderValue::from_str(&format!("{code}Exception")).ok().map(|kind| (ERROR_TYPE, kind)));
    response.headers_mut().insert(REQUEST_ID, request_id());
    response
}

/// What is under a name; nothing where there is nothing.
fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    static NOTHING: Value = Value::Null;
    value.get(name).unwrap_or(&NOTHING)
}

fn request_id() -> HeaderValue {
    HeaderValue::from_str(&format!("{:032x}", fastrand::u128(..))).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// What SP-API says with a status.
pub(super) fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status.as_u16() {
        429 => ("QuotaExceeded", "You exceeded your quota for the requested resource."),
        403 => ("Unauthorized", "Access to requested resource is denied."),
        404 => ("NotFound", "The resource specified does not exist."),
        503 => ("ServiceUnavailable", "Service is temporarily unavailable. Please try again later."),
        400 => ("InvalidInput", "Request has missing or invalid parameters and cannot be parsed."),
        _ => ("InternalFailure", "We encountered an internal error. Please try again."),
    }
}

/// The answer for a status that was asked for.
pub(super) fn trouble(status: StatusCode) -> Response {
    let (code, message) = words(status);
    error(status, code, message, Noted::default())
}

/// Whose access token it is, or the answer that refuses it.
fn authorise(practice: &Practice, headers: &HeaderMap) -> Result<Opened, Box<Response>> {
    let refuse = |details, account: &str| {
        let (code, message) = words(StatusCode::FORBIDDEN);
        Box::new(detailed(StatusCode::FORBIDDEN, code, message, details, Noted { account: account.to_owned(), ..Noted::default() }))
    };
    let token = headers.get("x-amz-access-token").and_then(|token| token.to_str().ok());
    let token = token.ok_or_else(|| refuse("Access token is missing in the request header.", ""))?;
    let opened = match practice.state.opened_by(Side::Amazon, token) {
        Ok(Some(opened)) if practice.now_ms() < opened.expires_ms => opened,
        Ok(Some(_)) => return Err(refuse("The access token you provided has expired.", "")),
        // A token without a seller exists, too; it opens nothing of a seller's.
        Ok(None) if token.starts_with(lwa::GRANTLESS) => return Err(refuse("", "")),
        Ok(None) | Err(_) => return Err(refuse("The access token you provided is revoked, malformed or invalid.", "")),
    };
    match practice.restricted(&opened.account).as_str() {
        "no" => Ok(opened),
        "secret" => Err(refuse("The LWA secret token you provided has expired.", &opened.account)),
        // Without a role the details are empty.
        _ => Err(refuse("", &opened.account)),
    }
}

/// Lets a request of an operation through the token, the seller's bucket and `answer`, in this order, and tells the rate where Amazon does.
fn serve(practice: &Practice, operation: Operation, headers: &HeaderMap, answer: impl FnOnce(&str) -> Response) -> Response {
    let opened = match authorise(practice, headers) {
        Ok(opened) => opened,
        Err(refusal) => return *refusal,
    };
    let noted = Noted { account: opened.account.clone(), ..Noted::default() };
    let usual = usual(operation).unwrap_or((1.0, 1.0));
    let Ok(taken) = practice.state.take(operation, (&opened.account, &opened.client), usual, practice.now_ms()) else {
        let (code, message) = words(StatusCode::INTERNAL_SERVER_ERROR);
        return error(StatusCode::INTERNAL_SERVER_ERROR, code, message, noted);
    };
    if !taken.granted {
        let (code, message) = words(StatusCode::TOO_MANY_REQUESTS);
        // No rate header here: callers must not rely on one.
        return error(StatusCode::TOO_MANY_REQUESTS, code, message, noted);
    }
    let mut response = answer(&opened.account);
    if matches!(response.status().as_u16(), 200 | 201 | 202 | 400 | 404) {
        response.headers_mut().extend(HeaderValue::from_str(&taken.rate.to_string()).ok().map(|rate| (RATE, rate)));
    }
    response.headers_mut().insert(REQUEST_ID, request_id());
    response
}
