//! The front: every request passes here. It makes the trouble that was asked for, and writes the request down before it is answered.
use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::{self, Body},
    extract::{ConnectInfo, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};
use serde_json::json;

use super::{
    Noted, Practice, Side, amazon, base, chat, control, ebay,
    faults::{Asked, FaultKind, Met, RetryAfter},
    operation::Operation,
    reply, source,
    state::Entry,
    wire::Line,
};

/// Bodies that clients send are smaller.
const BODY_MAX: usize = 12 << 20;
const PAGE: &str = "<html><body><h1>Sorry</h1><p>We will be back soon.</p></body></html>";

pub(super) fn router(practice: &Arc<Practice>) -> Router {
    let practised = Router::new()
        .route("/auth/o2/token", any(amazon::lwa::token))
        .route("/batches/products/pricing/v0/itemOffers", any(amazon::pricing::batch))
        .route("/products/pricing/v0/items/{asin}/offers", any(amazon::pricing::one))
        .route("/sellers/v1/marketplaceParticipations", any(amazon::sellers::participations))
        .route("/feeds/2021-06-30/documents", any(amazon::feeds::create_document))
        .route("/feeds/2021-06-30/documents/{id}", any(amazon::feeds::document))
        .route("/feeds/2021-06-30/feeds", any(amazon::feeds::feeds))
        .route("/feeds/2021-06-30/feeds/{id}", any(amazon::feeds::feed))
        .route("/feed-documents/{key}", any(amazon::feeds::transfer))
        .route("/listings/2021-08-01/items/{seller}/{sku}", any(amazon::listings::item))
        .route("/1/oauth/authorize", any(base::oauth::authorize))
        .route("/1/oauth/token", any(base::oauth::token))
        .route("/1/users/me", any(base::items::me))
        .route("/1/items", any(base::items::items))
        .route("/1/items/search", any(base::items::search))
        .route("/1/items/detail/", any(base::items::detail))
        .route("/1/items/detail/{item_id}", any(base::items::detail))
        .route("/1/items/add", any(base::writes::write))
        .route("/1/items/edit", any(base::writes::write))
        .route("/1/items/delete", any(base::writes::write))
        .route("/1/items/edit_stock", any(base::writes::write))
        .route("/1/items/add_image", any(base::writes::write))
        .route("/1/items/delete_image", any(base::writes::write))
        .route("/identity/v1/oauth2/token", any(ebay::oauth::token))
        .route("/sell/inventory/v1/inventory_item/{sku}", any(ebay::items::item))
        .route("/sell/inventory/v1/offer", any(ebay::offers::offers))
        .route("/sell/inventory/v1/offer/{offer_id}", any(ebay::offers::offer))
        .route("/sell/inventory/v1/offer/{offer_id}/{what}", any(ebay::offers::offer))
        .route("/sell/inventory/v1/bulk_update_price_quantity", any(ebay::bulk::update))
        .route("/source/{source}/items/{id}", any(source::item))
        .route("/source/{source}/search", any(source::search))
        .route("/v2/rooms/{room}/messages", any(chat::message))
        .route("/v2/me", any(chat::me))
        .route("/hook/{name}", any(chat::hook))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(practice), witness));
    control::router().merge(practised).with_state(Arc::clone(practice))
}

async fn unknown(request: Request) -> Response {
    if ["/1/", "/sell/"].iter().any(|start| request.uri().path().starts_with(start)) {
        return StatusCode::NOT_FOUND.into_response();
    }
    amazon::error(StatusCode::FORBIDDEN, "MissingAuthenticationToken", "Missing Authentication Token", Noted::default())
}

async fn witness(State(practice): State<Arc<Practice>>, line: ConnectInfo<Line>, request: Request, next: Next) -> Response {
    let at_ms = practice.now_ms();
    let (parts, body) = request.into_parts();
    let Ok(body) = body::to_bytes(body, BODY_MAX).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let operation = Operation::of(&method, &path);
    let is_preview = parts.uri.query().is_some_and(|query| query.split('&').any(|field| field == amazon::listings::PREVIEW));
    let caller = caller(&practice, &parts, &body);
    let met = practice.faults.meet(Asked { operation, path: &path, account: &caller });
    let _at_once = practice.crowd.enter(operation, &caller);
    let mut noted = Noted::default();
    let (done, kind) = met.as_ref().map_or((true, None), |Met { done, kind, .. }| (*done, Some(*kind)));
    let mut response = if done {
        let mut response = next.run(Request::from_parts(parts, Body::from(body))).await;
        noted = response.extensions_mut().remove::<Noted>().unwrap_or_default();
        response
    } else {
        StatusCode::OK.into_response()
    };
    let truth = response.status().as_u16();
    if let Some(kind) = kind {
        response = instead(&practice, operation, kind, response);
        let words = response.extensions_mut().remove::<Noted>().unwrap_or_default();
        if !done {
            noted.detail = words.detail;
        }
    }
    let answered = if matches!(kind, Some(FaultKind::Drop | FaultKind::Hang)) { 0 } else { response.status().as_u16() };
    let status = if done { truth } else { answered };
    // A preview says what a change would meet, and changes nothing.
    let write = method != "GET" && operation.is_some_and(Operation::writes) && !is_preview;
    let fault = met.map(|met| met.told).unwrap_or_default();
    let account = if noted.account.is_empty() { caller } else { noted.account };
    let entry = Entry { seq: 0, at_ms, method, path, account, write, status, detail: noted.detail, fault };
    if let Err(error) = practice.record(entry) {
        // Nothing is answered that is not in the ledger.
        tracing::error!(%error, "the practice marketplace can't write its ledger");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    match kind {
        Some(FaultKind::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(kind) => return line.0.spoil(kind, response, &practice.shutdown).await,
        None => {}
    }
    response
}

/// What comes in place of the answer; the answer itself where the trouble lies in how it is sent.
fn instead(practice: &Practice, operation: Option<Operation>, kind: FaultKind, answer: Response) -> Response {
    match kind {
        FaultKind::Status(status) => trouble(operation, status),
        FaultKind::StatusAfter(status, after) => {
            let mut response = trouble(operation, status);
            let now_ms = practice.now_ms();
            response.headers_mut().extend(retry_after(after, now_ms).map(|after| (header::RETRY_AFTER, after)));
            // The date of a real server and what it asks for are by one clock.
            response.headers_mut().extend(date(now_ms).map(|date| (header::DATE, date)));
            response
        }
        FaultKind::Html => page(StatusCode::BAD_GATEWAY),
        FaultKind::Page => page(StatusCode::OK),
        FaultKind::Empty => StatusCode::OK.into_response(),
        FaultKind::Error200 => {
            let mut response = trouble(operation, 500);
            *response.status_mut() = StatusCode::OK;
            response
        }
        FaultKind::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to.url())]).into_response(),
        _ => answer,
    }
}

fn page(status: StatusCode) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=UTF-8")], PAGE).into_response()
}

fn retry_after(after: RetryAfter, now_ms: i64) -> Option<HeaderValue> {
    let text = match after {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::Date => return date(now_ms + 60_000),
        RetryAfter::Absurd => "31536000000".to_owned(),
        RetryAfter::Garbage => "soon".to_owned(),
    };
    HeaderValue::from_str(&text).ok()
}

fn date(at_ms: i64) -> Option<HeaderValue> {
    let at = jiff::Timestamp::from_millisecond(at_ms).ok()?;
    HeaderValue::from_str(&jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?).ok()
}

/// The usual body for a status that was asked for.
fn trouble(operation: Option<Operation>, status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match operation {
        Some(Operation::Lwa) => amazon::lwa::trouble(status),
        Some(operation) => match operation.side() {
            Side::Amazon => amazon::trouble(status),
            Side::Base => base::trouble(status),
            Side::Ebay => ebay::trouble(operation, status),
            Side::Chat => chat::trouble(status),
        },
        None => reply(status, &json!({}), Noted::default()),
    }
}

/// Whose token a request carries, good or ended; empty where it is nobody's.
fn caller(practice: &Practice, parts: &Parts, body: &[u8]) -> String {
    let word = |headers: &HeaderMap, name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let state = &practice.state;
    let opened = |side, token: &str| state.opened_by(side, token).ok().flatten().map(|opened| opened.account);
    let refreshed = |side| {
        let fields: HashMap<String, String> = serde_json::from_slice(body).ok().or_else(|| form(body)).unwrap_or_default();
        fields.get("refresh_token").and_then(|token| state.refresh_owner(side, token).ok().flatten())
    };
    let operation = Operation::of(parts.method.as_str(), parts.uri.path());
    let side = operation.map_or(Side::Base, Operation::side);
    let account = match operation {
        Some(Operation::Lwa | Operation::Token | Operation::EbayToken) => refreshed(side),
        _ if side == Side::Amazon => word(&parts.headers, "x-amz-access-token").and_then(|token| opened(side, &token)),
        _ => word(&parts.headers, "authorization").and_then(|text| text.strip_prefix("Bearer ").and_then(|token| opened(side, token))),
    };
    account.unwrap_or_default()
}

/// A form's fields: written as a query is.
fn form(body: &[u8]) -> Option<HashMap<String, String>> {
    let query: Uri = format!("/?{}", std::str::from_utf8(body).ok()?).parse().ok()?;
    Query::try_from_uri(&query).ok().map(|Query(fields)| fields)
}
