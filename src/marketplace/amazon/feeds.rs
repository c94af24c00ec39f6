//! Feeds: thousands of listings changed by one document. It is announced, uploaded and handed in; then Amazon works on it for a while, and what came of
//! each message is a document, too.
//!
//! Handing in has no key by which Amazon would know a repeat: whoever does not know whether it was done asks for the seller's newest feeds.
use std::{io::Read as _, sync::Arc};

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Seller, listings::patches};
use crate::{
    access::Caller,
    marketplace::{
        CallError,
        http::{self, Answer},
        limit::{Budget, Taken},
        token::Access,
    },
    shop::quota::Rule,
    store::shop::{Push, QuotaKey},
};

/// Messages in one feed, at most.
pub const MESSAGES_MAX: usize = 25_000;
const TYPE: &str = "JSON_LISTINGS_FEED";
/// The upload must have exactly this type, as its address was made for it.
const CONTENT_TYPE: &str = "application/json; charset=UTF-8";
/// The longest result we read, unpacked: 25,000 messages with a few issues each.
const RESULT_MAX: u64 = 64 << 20;

const WHAT_DOCUMENT: &str = "Amazon's place for a feed";
const WHAT_UPLOAD: &str = "the upload of a feed";
const WHAT_HAND_IN: &str = "Amazon's taking of a feed";
const WHAT_FEED: &str = "Amazon's word on a feed";
const WHAT_FEEDS: &str = "Amazon's list of feeds";
const WHAT_RESULT: &str = "a feed's result";

/// What the calls of feeds are bound by, each operation by itself.
#[derive(Debug)]
pub(super) struct Budgets {
    document: Budget,
    hand_in: Budget,
    feed: Budget,
    feeds: Budget,
    result: Budget,
}

impl Budgets {
    pub(super) fn new(budget: impl Fn(&'static str, Rule, &'static str) -> Budget, quota: impl Fn(&'static str) -> QuotaKey) -> Self {
        let bucket = |interval_ms, burst| Rule::Bucket { interval_ms, burst };
        Self {
            document: budget("createFeedDocument", bucket(2_000, 15), "Amazon's places for feeds"),
            // Besides the rate, five in five minutes: one a minute never makes more.
            hand_in: budget("createFeed", bucket(120_482, 15), "Amazon's feeds").and(quota("feeds_in_5_minutes"), bucket(60_000, 1)),
            feed: budget("getFeed", bucket(500, 15), "Amazon's word on feeds"),
            feeds: budget("getFeeds", bucket(45_046, 10), "Amazon's list of feeds"),
            result: budget("getFeedDocument", bucket(45_046, 10), "Amazon's results of feeds"),
        }
    }
}

/// A document that was uploaded, and all that handing it in needs. It is good for one call that goes out at once.
#[derive(Debug)]
pub struct Ready {
    document: String,
    access: Access,
    place: Taken,
}

/// How far Amazon is with a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits, or is worked on.
    Working,
    /// It is over, and each message has an answer in this document.
    Done(String),
    /// Amazon gave it up, with this word. What of it was made is not known.
    Failed(String),
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The message's number, if it is named.
    pub message: Option<u32>,
    /// The listing, if it is named.
    pub sku: Option<String>,
    /// Amazon's word.
    pub code: String,
    /// What it said.
    pub text: String,
}

/// What came of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that were looked at.
    pub processed: usize,
    /// Of these, those that were refused.
    pub invalid: usize,
    /// What is wrong with those; warnings are left out.
    pub issues: Vec<Issue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    feed_document_id: String,
    url: String,
    #[serde(default)]
    compression_algorithm: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HandedIn {
    feed_id: String,
}

#[derive(Deserialize)]
struct Feeds {
    feeds: Vec<Feed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feed {
    #[serde(rename = "feedId")]
    id: String,
    processing_status: String,
    #[serde(default)]
    result_feed_document_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    header: ReportHeader,
    summary: Summary,
    #[serde(default)]
    issues: Vec<WireIssue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReportHeader {
    feed_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    messages_processed: usize,
    messages_invalid: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireIssue {
    message_id: Option<u32>,
    sku: Option<String>,
    #[serde(default)]
    code: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    message: String,
}

fn message(number: u32, push: &Push) -> Value {
    match push.stock {
        Some(stock) => json!({
            "messageId": number, "sku": &*push.sku, "operationType": "PATCH", "productType": "PRODUCT", "patches": patches(stock),
        }),
        None => json!({ "messageId": number, "sku": &*push.sku, "operationType": "DELETE" }),
    }
}

impl Seller {
    /// Uploads a document with these changes, its messages numbered from 1 in this order, and waits until it can be handed in. Nothing is changed by
    /// it: a document that nobody hands in is forgotten.
    ///
    /// # Errors
    /// When it can't be had.
    pub async fn prepare_feed(&self, caller: &Caller, pushes: &[Push]) -> Result<Ready, CallError> {
        let header = json!({ "sellerId": self.seller_id(WHAT_DOCUMENT)?, "version": "2.0", "issueLocale": "ja_JP" });
        let messages: Vec<_> = (1..).zip(pushes).map(|(number, push)| message(number, push)).collect();
        let body = json!({ "header": header, "messages": messages }).to_string();
        let document = http::read(caller, || async {
            let request = self.http.post(WHAT_DOCUMENT, "/feeds/2021-06-30/documents")?.json(&json!({ "contentType": CONTENT_TYPE }));
            let answer = self.call(caller, WHAT_DOCUMENT, &self.feeds.document, request).await?;
            let document: Document = read(WHAT_DOCUMENT, &answer)?;
            // The address is good for five minutes, and for this body alone: no login goes with it.
            let request = self.http.elsewhere(WHAT_UPLOAD, Method::PUT, &document.url)?;
            let uploaded = self.http.send(WHAT_UPLOAD, request.header("content-type", CONTENT_TYPE).body(body.clone())).await?;
            if (200..300).contains(&uploaded.status) { Ok(document) } else { Err(not_moved(WHAT_UPLOAD, &uploaded)) }
        })
        .await?;
        let prepared = caller.cancel.run_until_cancelled(self.prepare(caller, &self.feeds.hand_in)).await;
        let (access, place) = prepared.ok_or(CallError::Cancelled)??;
        Ok(Ready { document: document.feed_document_id, access, place })
    }

    /// Hands a document in; Amazon's number of the feed. Not to be made again while [`CallError::may_have_been_made`] is true.
    ///
    /// # Errors
    /// When it was not taken, or nobody knows.
    pub async fn hand_in(&self, caller: &Caller, Ready { document, access, place }: Ready) -> Result<Arc<str>, CallError> {
        let body = json!({ "feedType": TYPE, "marketplaceIds": [self.marketplace_id], "inputFeedDocumentId": document });
        let request = self.http.post(WHAT_HAND_IN, "/feeds/2021-06-30/feeds")?.json(&body);
        let answer = self.ask(caller, WHAT_HAND_IN, (&self.feeds.hand_in, place), &access, request).await?;
        read::<HandedIn>(WHAT_HAND_IN, &answer).map(|taken| taken.feed_id.into())
    }

    /// How far a feed is.
    ///
    /// # Errors
    /// When it can't be told.
    pub async fn feed(&self, caller: &Caller, feed_id: &str) -> Result<Stage, CallError> {
        let path = format!("/feeds/2021-06-30/feeds/{}", http::path_part(feed_id));
        http::read(caller, || async {
            let answer = self.call(caller, WHAT_FEED, &self.feeds.feed, self.http.get(WHAT_FEED, &path)?).await?;
            stage(read(WHAT_FEED, &answer)?).ok_or_else(|| http::unreadable(WHAT_FEED, &answer))
        })
        .await
    }

    /// Amazon's numbers of the feeds that were handed in between two instants, both included, and how far each is; the newest first.
    ///
    /// # Errors
    /// When they can't be had.
    pub async fn feeds_between(&self, caller: &Caller, since: Timestamp, until: Timestamp) -> Result<Vec<(Arc<str>, Stage)>, CallError> {
        let instants = [("createdSince", format!("{since:.0}")), ("createdUntil", format!("{until:.0}"))];
        let query = [("feedTypes", TYPE.to_owned()), ("pageSize", "100".to_owned())].into_iter().chain(instants).collect::<Vec<_>>();
        http::read(caller, || async {
            let request = self.http.get(WHAT_FEEDS, "/feeds/2021-06-30/feeds")?.query(&query);
            let answer = self.call(caller, WHAT_FEEDS, &self.feeds.feeds, request).await?;
            let found: Feeds = read(WHAT_FEEDS, &answer)?;
            let stages = found.feeds.into_iter().map(|feed| (Arc::from(&*feed.id), stage(feed)));
            let known: Option<Vec<_>> = stages.map(|(id, stage)| Some((id, stage?))).collect();
            known.ok_or_else(|| http::unreadable(WHAT_FEEDS, &answer))
        })
        .await
    }

    /// What came of a feed that is done.
    ///
    /// # Errors
    /// When it can't be read, or is another feed's.
    pub async fn feed_outcome(&self, caller: &Caller, feed_id: &str, document: &str) -> Result<Outcome, CallError> {
        let path = format!("/feeds/2021-06-30/documents/{}", http::path_part(document));
        http::read(caller, || async {
            let answer = self.call(caller, WHAT_RESULT, &self.feeds.result, self.http.get(WHAT_RESULT, &path)?).await?;
            let document: Document = read(WHAT_RESULT, &answer)?;
            let mut answer = self.http.send(WHAT_RESULT, self.http.elsewhere(WHAT_RESULT, Method::GET, &document.url)?).await?;
            if answer.status != 200 {
                return Err(not_moved(WHAT_RESULT, &answer));
            }
            if document.compression_algorithm.as_deref() == Some("GZIP") {
                answer.body = unpacked(&answer.body).ok_or_else(|| http::unreadable(WHAT_RESULT, &answer))?;
            }
            let report: Report = read(WHAT_RESULT, &answer)?;
            if report.header.feed_id == feed_id { Ok(outcome(report)) } else { Err(http::unreadable(WHAT_RESULT, &answer)) }
        })
        .await
    }
}

fn read<T: serde::de::DeserializeOwned>(what: &'static str, answer: &Answer) -> Result<T, CallError> {
    serde_json::from_slice(&answer.body).map_err(|_| http::unreadable(what, answer))
}

/// A document that could not be moved: its address may have ended, so that a new one may help.
fn not_moved(what: &'static str, answer: &Answer) -> CallError {
    CallError::Unwell { what, status: answer.status, text: "the address may have ended".to_owned(), retry_after: http::retry_after(answer) }
}

fn stage(feed: Feed) -> Option<Stage> {
    match (feed.processing_status.as_str(), feed.result_feed_document_id) {
        ("IN_QUEUE" | "IN_PROGRESS", _) => Some(Stage::Working),
        ("DONE", Some(document)) => Some(Stage::Done(document)),
        // Without a result nothing is known of its messages.
        ("DONE" | "FATAL" | "CANCELLED", _) => Some(Stage::Failed(feed.processing_status)),
        _ => None,
    }
}

fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let read = flate2::read::GzDecoder::new(packed).take(RESULT_MAX).read_to_end(&mut body).ok()?;
    (u64::try_from(read).ok()? < RESULT_MAX).then_some(body)
}

fn outcome(report: Report) -> Outcome {
    let issue = |issue: WireIssue| Issue {
        message: issue.message_id,
        sku: issue.sku,
        code: http::said(&issue.code, &[]),
        text: http::said(&issue.message, &[]),
    };
    Outcome {
        processed: report.summary.messages_processed,
        invalid: report.summary.messages_invalid,
        issues: report.issues.into_iter().filter(|issue| issue.severity == "ERROR").map(issue).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_result_is_read() {
        let report = json!({
            "header": { "sellerId": "AX", "version": "2.0", "feedId": "1234567890" },
            "issues": [
                { "messageId": 4, "sku": "B", "code": "90220", "severity": "ERROR", "message": "'[batteries_required]' is required." },
                { "messageId": 5, "sku": "C", "code": "1", "severity": "WARNING", "message": "…" },
            ],
            "summary": { "errors": 1, "warnings": 1, "messagesProcessed": 4, "messagesAccepted": 3, "messagesInvalid": 1 },
        });
        let outcome = outcome(serde_json::from_value(report).unwrap());
        assert_eq!((outcome.processed, outcome.invalid, outcome.issues.len()), (4, 1, 1));
        assert_eq!(outcome.issues[0].sku.as_deref(), Some("B"));
    }

    #[test]
    fn a_word_that_is_not_known_is_no_stage() {
        let feed = |status: &str, result: Option<&str>| Feed {
            id: "1".to_owned(),
            processing_status: status.to_owned(),
            result_feed_document_id: result.map(str::to_owned),
        };
        assert_eq!(stage(feed("IN_QUEUE", None)), Some(Stage::Working));
        assert_eq!(stage(feed("DONE", Some("d"))), Some(Stage::Done("d".to_owned())));
        assert_eq!(stage(feed("DONE", None)), Some(Stage::Failed("DONE".to_owned())), "without a result nothing is known");
        assert_eq!(stage(feed("FATAL", Some("d"))), Some(Stage::Failed("FATAL".to_owned())));
        assert_eq!(stage(feed("SOON", None)), None);
    }
}
