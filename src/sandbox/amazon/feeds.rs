//! Feeds: a document is announced, uploaded to an address of its own and handed in; the work on it takes a while; what came of it is a document, too.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write as _,
    sync::Arc,
};

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    MARKETPLACE, error, field,
    listings::{patched, standing},
    serve, trouble, words,
};
use crate::sandbox::{
    Noted, Practice,
    ledger::instant,
    operation::Operation,
    reply, seed,
    state::{Document, FeedFate, Kept, SellerFeed, SellerListing},
};

/// How long an address of a document is good.
const ADDRESS_LIVES_MS: i64 = 300_000;
/// How long a feed waits, and how long the work takes by itself and for each message.
const IN_QUEUE_MS: i64 = 15_000;
const WORK_MS: i64 = 30_000;
const WORK_PER_MESSAGE_MS: i64 = 5;
/// So many feeds in five minutes, besides the bucket.
const SUBMISSIONS_MAX: i64 = 5;
const SUBMISSIONS_MS: i64 = 300_000;
const MESSAGES_MAX: usize = 25_000;
/// The only type whose feeds are worked on: those of XML and flat files end at once.
const LISTINGS: &str = "JSON_LISTINGS_FEED";

fn refuse(message: &str, noted: Noted) -> Response {
    error(StatusCode::BAD_REQUEST, "InvalidInput", message, noted)
}

fn failed(_: rusqlite::Error) -> Response {
    trouble(StatusCode::INTERNAL_SERVER_ERROR)
}

fn random() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// The address of a document: on the host that was asked.
fn address(headers: &HeaderMap, key: &str) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    format!("http://{host}/feed-documents/{key}")
}

/// `POST /feeds/2021-06-30/documents`.
pub(in crate::sandbox) async fn create_document(State(practice): State<Arc<Practice>>, headers: HeaderMap, body: Bytes) -> Response {
    serve(&practice, Operation::FeedDocument, &headers, |account| {
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = format!("amzn1.tortuga.4.fe.{}", random());
        let noted = Noted { account: account.to_owned(), detail: id.clone() };
        let Some(content_type) = field(&body, "contentType").as_str().filter(|kind| !kind.is_empty()) else {
            return refuse("contentType is missing.", noted);
        };
        let document = Document {
            id,
            account: account.to_owned(),
            key: random(),
            content_type: content_type.to_owned(),
            open_until_ms: practice.now_ms() + ADDRESS_LIVES_MS,
            body: None,
        };
        let url = address(&headers, &document.key);
        match practice.state.add_document(&document) {
            Ok(()) => reply(StatusCode::CREATED, &json!({ "feedDocumentId": document.id, "url": url }), noted),
            Err(error) => failed(error),
        }
    })
}

/// `PUT` and `GET /feed-documents/{key}`: what the addresses of documents lead to. No login, and none may be sent.
pub(in crate::sandbox) async fn transfer(
    State(practice): State<Arc<Practice>>,
    Path(key): Path<String>,
    (method, headers): (Method, HeaderMap),
    body: Bytes,
) -> Response {
    let answer = |status: StatusCode, why: &str, noted| {
        let mut response = (status, format!("<Error><Code>{why}</Code></Error>")).into_response();
        response.extensions_mut().insert(noted);
        response
    };
    let Ok(Some(document)) = practice.state.document_at(&key) else {
        return answer(StatusCode::FORBIDDEN, "AccessDenied", Noted::default());
    };
    let noted = Noted { account: document.account.clone(), detail: document.id.clone() };
    if document.open_until_ms <= practice.now_ms() {
        return answer(StatusCode::FORBIDDEN, "Request has expired", noted);
    }
    if headers.contains_key("x-amz-access-token") {
        return answer(StatusCode::BAD_REQUEST, "InvalidArgument", noted);
    }
    match (method, document.body) {
        (Method::GET, Some(body)) => {
            let mut response = (StatusCode::OK, body).into_response();
            response.extensions_mut().insert(noted);
            response
        }
        (Method::PUT, _) => {
            let sent = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            if sent != document.content_type {
                return answer(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", noted);
            }
            match practice.state.add_document(&Document { body: Some(body.to_vec()), ..document }) {
                Ok(()) => answer(StatusCode::OK, "", noted),
                Err(error) => failed(error),
            }
        }
        _ => answer(StatusCode::NOT_FOUND, "NoSuchKey", noted),
    }
}

/// `POST` and `GET /feeds/2021-06-30/feeds`.
pub(in crate::sandbox) async fn feeds(
    State(practice): State<Arc<Practice>>,
    Query(query): Query<HashMap<String, String>>,
    (method, headers): (Method, HeaderMap),
    body: Bytes,
) -> Response {
    if method == Method::POST {
        return serve(&practice, Operation::CreateFeed, &headers, |account| create(&practice, account, &body));
    }
    serve(&practice, Operation::GetFeeds, &headers, |account| {
        settle(&practice, account);
        let noted = Noted { account: account.to_owned(), detail: query.get("createdSince").cloned().unwrap_or_default() };
        let types: Vec<_> = query.get("feedTypes").map_or("", String::as_str).split(',').filter(|kind| !kind.is_empty()).collect();
        if types.is_empty() {
            return refuse("Either feedTypes or nextToken is needed.", noted);
        }
        let instant =
            |name: &str| query.get(name).map(|text| text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond)).transpose();
        let (Ok(since), Ok(until)) = (instant("createdSince"), instant("createdUntil")) else {
            return refuse("createdSince or createdUntil is no date and time.", noted);
        };
        let created = since.unwrap_or(i64::MIN)..=until.unwrap_or(i64::MAX);
        let size = query.get("pageSize").and_then(|size| size.parse().ok()).filter(|size| (1..=100).contains(size)).unwrap_or(10);
        match practice.state.kept_feeds(account) {
            Ok(kept) => {
                let is_meant = |kept: &&Kept| created.contains(&kept.feed.created_ms) && types.contains(&kept.feed.feed_type.as_str());
                let feeds: Vec<_> = kept.iter().rev().filter(is_meant).take(size).map(|kept| shown(kept, practice.now_ms())).collect();
                reply(StatusCode::OK, &json!({ "feeds": feeds }), noted)
            }
            Err(error) => failed(error),
        }
    })
}

fn create(practice: &Practice, account: &str, body: &Bytes) -> Response {
    let noted = |detail: String| Noted { account: account.to_owned(), detail };
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let (kind, document) =
        (field(&body, "feedType").as_str().unwrap_or_default(), field(&body, "inputFeedDocumentId").as_str().unwrap_or_default());
    if kind.is_empty() || field(&body, "marketplaceIds").as_array().is_none_or(Vec::is_empty) {
        return refuse("feedType and marketplaceIds are needed.", noted(String::new()));
    }
    let now_ms = practice.now_ms();
    let handed_in = || -> rusqlite::Result<Response> {
        let found = practice.state.document(document)?.filter(|found| found.account == account);
        let Some(text) = found.and_then(|found| found.body) else {
            return Ok(refuse("inputFeedDocumentId names no document that was uploaded.", noted(document.to_owned())));
        };
        if practice.state.feeds_since(account, now_ms - SUBMISSIONS_MS)? >= SUBMISSIONS_MAX {
            let (code, message) = words(StatusCode::TOO_MANY_REQUESTS);
            return Ok(error(StatusCode::TOO_MANY_REQUESTS, code, message, noted(document.to_owned())));
        }
        let text: Value = serde_json::from_slice(&text).unwrap_or_default();
        let messages = field(&text, "messages").as_array().map_or(0, Vec::len);
        let messages = i64::try_from(messages).unwrap_or(i64::MAX);
        let feed = SellerFeed { feed_id: 0, feed_type: kind.to_owned(), status: String::new(), created_ms: now_ms, messages, invalid: 0 };
        let begins_ms = now_ms + IN_QUEUE_MS;
        let ends_ms = begins_ms + WORK_MS + messages * WORK_PER_MESSAGE_MS;
        let fate = practice.next_feed(account)?;
        let kept = Kept { feed, begins_ms, ends_ms, fate, document: document.to_owned(), result: None };
        let id = practice.state.add_feed(account, &kept)?;
        Ok(reply(StatusCode::ACCEPTED, &json!({ "feedId": id.to_string() }), noted(format!("feed={id} messages={messages}"))))
    };
    handed_in().unwrap_or_else(failed)
}

/// A feed that nobody here handed in.
pub(in crate::sandbox) fn put_foreign(practice: &Practice, account: &str) -> rusqlite::Result<()> {
    let now_ms = practice.now_ms();
    let feed_type = LISTINGS.to_owned();
    let feed = SellerFeed { feed_id: 0, feed_type, status: String::new(), created_ms: now_ms, messages: 1, invalid: 0 };
    let (document, ends_ms) = (String::new(), now_ms + 86_400_000);
    let kept = Kept { feed, begins_ms: now_ms, ends_ms, fate: FeedFate::Done, document, result: None };
    practice.state.add_feed(account, &kept).map(drop)
}

fn shown(kept: &Kept, now_ms: i64) -> Value {
    let Kept { feed, begins_ms, ends_ms, result, .. } = kept;
    let status = if feed.status == "IN_QUEUE" && *begins_ms <= now_ms { "IN_PROGRESS" } else { &feed.status };
    let mut shown = json!({
        "feedId": feed.feed_id.to_string(), "feedType": feed.feed_type, "createdTime": instant(feed.created_ms), "processingStatus": status,
        "marketplaceIds": [MARKETPLACE],
    });
    if let Some(fields) = shown.as_object_mut() {
        if status != "IN_QUEUE" {
            fields.insert("processingStartTime".to_owned(), instant(*begins_ms).into());
        }
        if !status.starts_with("IN_") {
            fields.insert("processingEndTime".to_owned(), instant(*ends_ms).into());
        }
        if let Some(result) = result {
            fields.insert("resultFeedDocumentId".to_owned(), result.as_str().into());
        }
    }
    shown
}

/// `GET /feeds/2021-06-30/feeds/{feedId}`.
pub(in crate::sandbox) async fn feed(State(practice): State<Arc<Practice>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    serve(&practice, Operation::GetFeed, &headers, |account| {
        settle(&practice, account);
        let noted = Noted { account: account.to_owned(), detail: id.clone() };
        match practice.state.kept_feeds(account) {
            Ok(kept) => match kept.iter().find(|kept| kept.feed.feed_id.to_string() == id) {
                Some(kept) => reply(StatusCode::OK, &shown(kept, practice.now_ms()), noted),
                None => error(StatusCode::NOT_FOUND, "NotFound", "There is no such feed.", noted),
            },
            Err(error) => failed(error),
        }
    })
}

/// `GET /feeds/2021-06-30/documents/{feedDocumentId}`.
pub(in crate::sandbox) async fn document(State(practice): State<Arc<Practice>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    serve(&practice, Operation::FeedResult, &headers, |account| {
        let noted = Noted { account: account.to_owned(), detail: id.clone() };
        let opened = || -> rusqlite::Result<Response> {
            let found = practice.state.document(&id)?.filter(|found| found.account == account && found.body.is_some());
            let Some(found) = found else { return Ok(error(StatusCode::NOT_FOUND, "NotFound", "There is no such document.", noted)) };
            let opened = Document { open_until_ms: practice.now_ms() + ADDRESS_LIVES_MS, ..found };
            practice.state.add_document(&opened)?;
            let body = json!({ "feedDocumentId": id, "url": address(&headers, &opened.key), "compressionAlgorithm": "GZIP" });
            Ok(reply(StatusCode::OK, &body, noted))
        };
        opened().unwrap_or_else(failed)
    })
}

/// Does the work on a seller's feeds that is over by now.
pub(in crate::sandbox) fn settle(practice: &Practice, account: &str) {
    let now_ms = practice.now_ms();
    let due = practice.state.kept_feeds(account).unwrap_or_default();
    for kept in due.into_iter().filter(|kept| kept.feed.status == "IN_QUEUE" && kept.ends_ms <= now_ms) {
        if let Err(error) = work(practice, account, kept) {
            tracing::error!(%error, "the practice marketplace could not work on a feed");
        }
    }
}

fn work(practice: &Practice, account: &str, mut kept: Kept) -> rusqlite::Result<()> {
    let body = practice.state.document(&kept.document)?.and_then(|document| document.body).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let header = field(&body, "header");
    let is_ours = *field(header, "sellerId") == seed::seller_id(account) && *field(header, "version") == "2.0";
    let messages = field(&body, "messages").as_array().filter(|messages| (1..=MESSAGES_MAX).contains(&messages.len()));
    let is_good = kept.feed.feed_type == LISTINGS && is_ours && kept.fate == FeedFate::Done;
    let Some(messages) = messages.filter(|_| is_good) else {
        if kept.fate == FeedFate::Cancelled { "CANCELLED" } else { "FATAL" }.clone_into(&mut kept.feed.status);
        return practice.state.end_feed(account, &kept, &[], None);
    };
    let (changed, issues) = judge(practice, account, messages)?;
    let invalid: BTreeSet<_> = issues.iter().map(|issue| field(issue, "messageId").as_i64()).collect();
    "DONE".clone_into(&mut kept.feed.status);
    kept.feed.invalid = i64::try_from(invalid.len()).unwrap_or(i64::MAX);
    let report = json!({
        "header": { "sellerId": field(header, "sellerId"), "version": "2.0", "feedId": kept.feed.feed_id.to_string() },
        "issues": issues,
        "summary": {
            "errors": issues.len(), "warnings": 0, "messagesProcessed": messages.len(), "messagesAccepted": messages.len() - invalid.len(),
            "messagesInvalid": invalid.len(),
        },
    });
    let id = format!("amzn1.tortuga.4.fe.{}", random());
    let result = Document { id, account: account.to_owned(), key: random(), body: Some(packed(&report)), ..Document::default() };
    practice.state.end_feed(account, &kept, &changed, Some(&result))
}

/// What the messages make of the listings, and what is wrong with some.
fn judge(practice: &Practice, account: &str, messages: &[Value]) -> rusqlite::Result<(Vec<SellerListing>, Vec<Value>)> {
    let (mut listings, mut issues, mut seen) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
    for message in messages {
        let (id, sku) = (field(message, "messageId").as_i64().unwrap_or(0), field(message, "sku").as_str().unwrap_or_default());
        let before = match listings.get(sku) {
            Some(listing) => SellerListing::clone(listing),
            None => standing(practice, account, sku)?,
        };
        let after = match field(message, "operationType").as_str() {
            _ if id < 1 || !seen.insert(id) => Err(("4000002", "The messageId is missing, or there twice.".to_owned(), "messageId")),
            Some("DELETE") => Ok(SellerListing { state: "gone".to_owned(), quantity: 0, ..before }),
            Some("PATCH") => patched(before, field(message, "patches")),
            _ => Err(("4000003", "The operationType is not supported here.".to_owned(), "operationType")),
        };
        match after {
            Ok(after) => {
                listings.insert(sku.to_owned(), after);
            }
            Err((code, text, attribute)) => issues.push(
                json!({ "messageId": id, "sku": sku, "code": code, "severity": "ERROR", "message": text, "attributeName": attribute }),
            ),
        }
    }
    Ok((listings.into_values().collect(), issues))
}

fn packed(report: &Value) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let written = packer.write_all(report.to_string().as_bytes());
    written.and_then(|()| packer.finish()).unwrap_or_default()
}
