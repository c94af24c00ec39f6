//! eBay's side, as far as listing goes: what all of its operations share. Tokens are in `oauth`, items in `items`, offers in `offers`, changes of
//! many at once in `bulk`.
//!
//! Not confirmed by anything we have read: the numbers of errors and most of their statuses, that a shop's day begins at midnight UTC, that the daily
//! limit counts per shop, what an offer needs before it can be published, and that a published offer is refused when it is published again.
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    Noted, Practice, Side,
    operation::Operation,
    reply,
    state::{Count, Offer},
};

pub(super) mod bulk;
pub(super) mod items;
pub(super) mod oauth;
pub(super) mod offers;

/// Access tokens live two hours, refresh tokens 18 months.
pub(super) const ACCESS_LIVES_MS: i64 = 7_200_000;
pub(super) const REFRESH_LIVES_MS: i64 = 47_304_000_000;
/// What a token must open for all that is here.
pub(super) const SCOPE: &str = "https://api.ebay.com/oauth/api_scope/sell.inventory";
/// Calls of a shop on a day.
const DAY_LIMIT: i64 = 2_000_000;
const DAY_MS: i64 = 86_400_000;

type Answer = Result<Response, Refusal>;

/// What eBay says no with.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    error: Error,
    account: String,
}

/// One of eBay's errors.
#[derive(Debug)]
pub(super) struct Error {
    id: u32,
    domain: &'static str,
    message: String,
    /// What it is about: names and values.
    parameters: Vec<(&'static str, String)>,
}

const INVENTORY: &str = "API_INVENTORY";

impl Error {
    fn new(id: u32, domain: &'static str, message: impl Into<String>) -> Self {
        Self { id, domain, message: message.into(), parameters: Vec::new() }
    }

    /// An error of the seller's own making.
    fn user(message: impl Into<String>) -> Self {
        Self::new(25_002, INVENTORY, message)
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.parameters.push((name, value.to_owned()));
        self
    }

    fn told(&self, status: u16) -> Value {
        let parameters: Vec<_> = self.parameters.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let category = if status >= 500 { "APPLICATION" } else { "REQUEST" };
        json!({ "errorId": self.id, "domain": self.domain, "category": category, "message": self.message, "parameters": parameters })
    }
}

fn refuse<T>(status: u16, error: Error, account: &str) -> Result<T, Refusal> {
    Err(Refusal { status, error, account: account.to_owned() })
}

fn broken<T>(account: &str) -> Result<T, Refusal> {
    refuse(500, general(500), account)
}

/// Turns a refusal into eBay's answer.
fn answer(result: Answer) -> Response {
    result.unwrap_or_else(|Refusal { status, error, account }| {
        let noted = Noted { account, detail: error.id.to_string() };
        let body = json!({ "errors": [error.told(status)] });
        reply(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body, noted)
    })
}

/// What eBay says with a status, whatever was asked.
fn general(status: u16) -> Error {
    match status {
        401 => Error::new(1001, "OAuth", "Invalid access token"),
        403 => Error::new(1100, "ACCESS", "Access denied"),
        429 => Error::new(2001, "ACCESS", "Too many requests. The request limit has been reached for the resource."),
        404 => Error::new(25_710, INVENTORY, "We didn't find the resource/entity you are requesting."),
        status if status < 500 => Error::user("A user error has occurred."),
        _ => Error::new(25_001, INVENTORY, "A system error has occurred."),
    }
}

/// The answer for a status that was asked for.
pub(super) fn trouble(operation: Operation, status: StatusCode) -> Response {
    if operation == Operation::EbayToken {
        return oauth::trouble(status);
    }
    answer(refuse(status.as_u16(), general(status.as_u16()), ""))
}

/// When the day began that an instant lies in.
pub(super) fn began(now_ms: i64) -> i64 {
    now_ms.div_euclid(DAY_MS) * DAY_MS
}

/// The shop behind a bearer token: one more call of its day.
fn admit(practice: &Practice, headers: &HeaderMap, operation: Operation) -> Result<String, Refusal> {
    let now_ms = practice.now_ms();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
    let opened = bearer.and_then(|token| practice.state.opened_by(Side::Ebay, token).ok().flatten());
    let Some(opened) = opened.filter(|opened| now_ms < opened.expires_ms) else { return refuse(401, general(401), "") };
    let account = opened.account;
    if !practice.state.count(&account, Count::Day, began(now_ms), DAY_LIMIT).unwrap_or(false) {
        return refuse(429, general(429), &account);
    }
    let allowed = match practice.restricted(&account).as_str() {
        "no" => true,
        "writes" => !operation.writes(),
        _ => false,
    };
    if !allowed || !opened.scopes.split(' ').any(|scope| scope == SCOPE) {
        return refuse(403, general(403), &account);
    }
    Ok(account)
}

/// The language of what is sent, which must be said.
fn language(headers: &HeaderMap, account: &str) -> Result<String, Refusal> {
    let told = headers.get(header::CONTENT_LANGUAGE).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
    let wrong = || Error::new(25_709, INVENTORY, "Invalid value for header Content-Language.").with("headerName", "Content-Language");
    told.map_or_else(|| refuse(400, wrong(), account), |told| Ok(told.to_owned()))
}

/// The JSON object that was sent.
fn object(body: &[u8], account: &str) -> Result<Value, Refusal> {
    let read = serde_json::from_slice(body).ok().filter(Value::is_object);
    read.map_or_else(|| refuse(400, Error::new(2004, "ACCESS", "Invalid request"), account), Ok)
}

/// Something non-empty at this place.
fn said<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// An amount of money that buyers could be asked for: `{"value":"9.99","currency":"USD"}`.
fn is_price(price: &Value) -> bool {
    let amount = said(price, "/value").is_some_and(|text| {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        !whole.is_empty() && part.len() <= 2 && digits(whole) && digits(part) && text.parse::<f64>().is_ok_and(|amount| amount > 0.0)
    });
    amount && said(price, "/currency").is_some_and(|currency| currency.len() == 3)
}

/// An offer as it is shown.
fn shown(offer: &Offer) -> Value {
    let mut shown = offer.body.clone();
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("offerId".to_owned(), offer.offer_id.to_string().into());
        let status = if offer.listing_id.is_some() { "PUBLISHED" } else { "UNPUBLISHED" };
        fields.insert("status".to_owned(), status.into());
        if let Some(listing_id) = offer.listing_id {
            fields.insert("listing".to_owned(), json!({ "listingId": listing_id.to_string(), "listingStatus": "ACTIVE" }));
        }
    }
    shown
}
