//! Amazon's side: LWA tokens and the offers batch with its token bucket.
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Form,
    body::Bytes,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    ACCESS_LIVES_MS, Noted, Practice, Side,
    faults::Force,
    reply,
    seed::{self, Availability},
    state::Opened,
};

/// Requests in one batch.
const BATCH_MAX: usize = 20;
/// The default rate of the batch, in calls per second; its burst is 1.
const DEFAULT_RATE: f64 = 0.1;

/// The bucket of each seller, and the rate they all have.
#[derive(Debug)]
pub(super) struct Buckets {
    inner: Mutex<(f64, HashMap<String, i64>)>,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { inner: Mutex::new((DEFAULT_RATE, HashMap::new())) }
    }
}

impl Buckets {
    pub(super) fn set_rate(&self, rate: f64) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).0 = rate;
    }

    /// Takes a token. `Ok`: the rate to tell; `Err`: there is none.
    fn take(&self, seller: &str, now_ms: i64) -> Result<f64, ()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (rate, buckets) = &mut *inner;
        let refill = std::time::Duration::try_from_secs_f64(1.0 / *rate).map_err(drop)?;
        let full_at = buckets.entry(seller.to_owned()).or_insert(i64::MIN);
        if now_ms < *full_at {
            return Err(());
        }
        *full_at = now_ms + i64::try_from(refill.as_millis()).unwrap_or(i64::MAX / 2);
        Ok(*rate)
    }
}

/// SP-API's error body.
pub(super) fn error(status: StatusCode, code: &str, message: &str, noted: Noted) -> Response {
    detailed(status, code, message, "", noted)
}

fn detailed(status: StatusCode, code: &str, message: &str, details: &str, noted: Noted) -> Response {
    reply(status, &json!({ "errors": [{ "code": code, "message": message, "details": details }] }), noted)
}

/// What SP-API says with a status.
pub(super) fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status.as_u16() {
        429 => ("QuotaExceeded", "You exceeded your quota for the requested resource."),
        403 => ("Unauthorized", "Access to requested resource is denied."),
        503 => ("ServiceUnavailable", "Service is temporarily unavailable. Please try again later."),
        400 => ("InvalidInput", "Request has missing or invalid parameters and cannot be parsed."),
        _ => ("InternalFailure", "We encountered an internal error. Please try again."),
    }
}

fn oauth_error(status: StatusCode, error: &str, description: &str) -> Response {
    reply(status, &json!({ "error": error, "error_description": description }), Noted::default())
}

/// `POST /auth/o2/token`, form or JSON.
pub(super) async fn token(State(practice): State<Arc<Practice>>, request: Request) -> Response {
    if request.method() != Method::POST {
        return oauth_error(StatusCode::BAD_REQUEST, "invalid_request", "The request must be a POST");
    }
    let fields = fields(request).await;
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let Ok(client) = practice.state.client(Side::Amazon, field("client_id")) else {
        return oauth_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "Internal error");
    };
    if client.is_none_or(|client| client.secret != field("client_secret") || !client.active) {
        return oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed");
    }
    if field("grant_type") != "refresh_token" {
        let text = "The authorization grant type is not supported by the authorization server";
        return oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type", text);
    }
    let Ok(Some((account, _))) = practice.state.refresher(Side::Amazon, field("refresh_token"), field("client_id")) else {
        let text = "The request has an invalid grant parameter : refresh_token. User may have revoked or didn't grant the permission.";
        return oauth_error(StatusCode::BAD_REQUEST, "invalid_grant", text);
    };
    let access = format!("Atza|{:032x}", fastrand::u128(..));
    if practice.state.grant(Side::Amazon, &account, (&access, (practice.now)() + ACCESS_LIVES_MS), None).is_err() {
        return oauth_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "Internal error");
    }
    let body = json!({ "access_token": access, "token_type": "bearer", "expires_in": ACCESS_LIVES_MS / 1000, "refresh_token": field("refresh_token") });
    let mut response = reply(StatusCode::OK, &body, Noted { account, ..Noted::default() });
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn fields(request: Request) -> HashMap<String, String> {
    let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json {
        let body = Bytes::from_request(request, &()).await.unwrap_or_default();
        return serde_json::from_slice(&body).unwrap_or_default();
    }
    Form::<HashMap<String, String>>::from_request(request, &()).await.map(|Form(fields)| fields).unwrap_or_default()
}

/// Whose access token it is, or the answer that refuses it.
fn authorise(practice: &Practice, headers: &HeaderMap) -> Result<String, Box<Response>> {
    let refuse = |details| {
        let (code, message) = words(StatusCode::FORBIDDEN);
        Box::new(detailed(StatusCode::FORBIDDEN, code, message, details, Noted::default()))
    };
    let token = headers.get("x-amz-access-token").and_then(|token| token.to_str().ok());
    let token = token.ok_or_else(|| refuse("Access token is missing in the request header."))?;
    match practice.state.opened_by(Side::Amazon, token) {
        Ok(Some(Opened { account, expires_ms, .. })) if (practice.now)() < expires_ms => Ok(account),
        Ok(Some(_)) => Err(refuse("The access token you provided has expired.")),
        Ok(None) | Err(_) => Err(refuse("The access token you provided is revoked, malformed or invalid.")),
    }
}

/// `POST /batches/products/pricing/v0/itemOffers`.
pub(super) async fn item_offers(State(practice): State<Arc<Practice>>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let account = match authorise(&practice, &headers) {
        Ok(account) => account,
        Err(refusal) => return *refusal,
    };
    let now_ms = (practice.now)();
    let noted = |detail| Noted { account: account.clone(), detail };
    let Ok(rate) = practice.buckets.take(&account, now_ms) else {
        let (code, message) = words(StatusCode::TOO_MANY_REQUESTS);
        // No rate header here: callers must not rely on one.
        return error(StatusCode::TOO_MANY_REQUESTS, code, message, noted(String::new()));
    };
    let mut response = match asked(&method, &body) {
        Err(message) => error(StatusCode::BAD_REQUEST, "InvalidInput", message, noted(String::new())),
        Ok(asked) => {
            let mut answers: Vec<_> = asked.iter().map(|request| answer(&practice, request, now_ms)).collect();
            // Amazon does not promise an order.
            let by = usize::try_from(now_ms.unsigned_abs()).unwrap_or(0) % answers.len().max(1);
            answers.rotate_left(by);
            reply(StatusCode::OK, &json!({ "responses": answers }), noted(asked.iter().map(asin).collect::<Vec<_>>().join(" ")))
        }
    };
    if let Ok(rate) = HeaderValue::from_str(&rate.to_string()) {
        response.headers_mut().insert("x-amzn-RateLimit-Limit", rate);
    }
    let id = format!("{:032x}", fastrand::u128(..));
    response.headers_mut().extend(HeaderValue::from_str(&id).ok().map(|id| (header::HeaderName::from_static("x-amzn-requestid"), id)));
    response
}

/// The requests of a batch, or what is wrong with it as a whole.
fn asked(method: &Method, body: &Bytes) -> Result<Vec<Value>, &'static str> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "Could not parse the request body.")?;
    let requests =
        body.get("requests").and_then(Value::as_array).filter(|_| method == Method::POST).ok_or("Missing required field: requests")?;
    if requests.is_empty() || requests.len() > BATCH_MAX {
        return Err("The number of requests must be between 1 and 20.");
    }
    let known = |request: &Value| request.get("MarketplaceId").is_some_and(Value::is_string) && request.get("queryParams").is_none();
    if !requests.iter().all(known) {
        return Err("Requested MarketplaceId is invalid, unsupported, or does not exist.");
    }
    let distinct: BTreeSet<_> = requests.iter().map(uri).collect();
    if distinct.len() < requests.len() {
        return Err("Duplicate requests submitted. Cannot run batch request.");
    }
    Ok(requests.clone())
}

fn uri(request: &Value) -> &str {
    request.get("uri").and_then(Value::as_str).unwrap_or_default()
}

/// The product that a request of a batch is for.
fn asin(request: &Value) -> &str {
    uri(request).strip_prefix("/products/pricing/v0/items/").and_then(|rest| rest.strip_suffix("/offers")).unwrap_or_default()
}

/// The answer to one request of a batch.
fn answer(practice: &Practice, request: &Value, now_ms: i64) -> Value {
    let asin = asin(request);
    let forced = practice.faults.forced(asin);
    let well_formed = asin.len() == 10 && asin.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let (status, body) = match forced {
        Some(Force::ItemError(status)) => {
            let (code, message) = words(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
            (status, json!({ "errors": [{ "code": code, "message": message, "details": "" }] }))
        }
        _ if !well_formed => {
            let message = format!("{asin} is an invalid ASIN for marketplace A1VC38T7YXB528");
            (400, json!({ "errors": [{ "message": message, "details": "", "code": "InvalidInput" }] }))
        }
        _ => (200, json!({ "payload": payload(asin, forced, now_ms) })),
    };
    let echo = |key: &str| request.get(key).cloned().unwrap_or_default();
    json!({
        "headers": { "x-amzn-RequestId": format!("{:032x}", fastrand::u128(..)) },
        "status": { "statusCode": status, "reasonPhrase": if status == 200 { "OK" } else { "Error" } },
        "request": { "MarketplaceId": echo("MarketplaceId"), "ItemCondition": echo("ItemCondition"), "CustomerType": echo("CustomerType"), "Asin": asin },
        "body": body,
    })
}

fn payload(asin: &str, forced: Option<Force>, now_ms: i64) -> Value {
    let cost = match forced {
        Some(Force::Cost(cost)) => cost,
        _ => seed::cost(asin, now_ms),
    };
    let availability = match forced {
        Some(Force::NoOffer | Force::TooSoon) => Availability::Nothing,
        Some(Force::Filtered) => Availability::Unfit,
        Some(Force::Cost(_)) => Availability::Buyable,
        Some(Force::ItemError(_)) | None => seed::availability(asin, now_ms),
    };
    let offers = offers(asin, cost, availability);
    let status = match availability {
        _ if forced == Some(Force::TooSoon) => "ActiveButTooSoonForProcessing",
        // Both happen: an own status, and a success without offers.
        Availability::Nothing if seed::roll(asin, 51).is_multiple_of(2) => "NoBuyableOffers",
        Availability::Nothing | Availability::Unfit | Availability::Buyable => "Success",
    };
    json!({
        "marketplaceId": "A1VC38T7YXB528", "ASIN": asin, "SKU": null, "ItemCondition": "New", "status": status,
        "Identifier": { "MarketplaceId": "A1VC38T7YXB528", "ItemCondition": "New", "ASIN": asin },
        "Summary": { "TotalOfferCount": offers.len() },
        "Offers": offers,
    })
}

/// The offers of a product: those that anybody would take, and beside them cheaper ones with a catch.
fn offers(asin: &str, cost: i64, availability: Availability) -> Vec<Value> {
    let offer = |seller: u64, price: i64, shipping: i64, hours: Option<i64>| {
        let time = match hours {
            Some(hours) => json!({ "minimumHours": 0, "maximumHours": hours, "availabilityType": "NOW" }),
            None => json!({ "availabilityType": "NOW" }),
        };
        json!({
            "SubCondition": "new", "SellerId": format!("A{:013X}", seed::roll(asin, seller) >> 12), "ShippingTime": time,
            "ListingPrice": { "CurrencyCode": "JPY", "Amount": price }, "Shipping": { "CurrencyCode": "JPY", "Amount": shipping },
            "ShipsFrom": { "Country": "JP" }, "IsFulfilledByAmazon": shipping == 0, "IsBuyBoxWinner": seller == 61,
        })
    };
    let mut offers = Vec::new();
    if availability == Availability::Buyable {
        offers.push(offer(61, cost, 0, Some(24)));
        offers.push(offer(62, cost * 21 / 20, 0, Some(48)));
    }
    if availability != Availability::Nothing {
        offers.push(offer(63, cost * 9 / 10, 0, Some(240)));
        offers.push(offer(64, cost * 8 / 10, 450, Some(24)));
        offers.push(offer(65, cost * 7 / 10, 0, None));
    }
    offers
}
