//! The handler `http_request`: calls a URL, and says whether the answer is what it should be.
//!
//! What a call does is not known here: only `GET` and `HEAD` are made in a dry run, and nothing is made again unless the task says so.
use std::{sync::Arc, time::Duration};

use reqwest::Method;

use super::{
    AttemptContext, Handler, HandlerError, Planned, Report,
    expect::{self, Expect, Unexpected},
};
use crate::{
    clock::BoxFuture,
    config::keys::{Complaint, HandlerSpec, Key, Kind},
    core::value::{Secret, Value},
    outbound::{CallFault, Outbound, Request, shown},
};

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "http_request",
    doc: "Calls a URL and checks the answer.",
    params: &[
        Key { name: "url", kind: Kind::CallUrl, required: true, doc: "What is called; its host has to stand under `http_hosts`." },
        Key {
            name: "method",
            kind: Kind::Word(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
            required: false,
            doc: "How it is called; default GET. In a dry run only GET and HEAD are.",
        },
        Key {
            name: "headers",
            kind: Kind::Checked(&Kind::Map(&Kind::Sensitive), header_complaints),
            required: false,
            doc: "Headers; `${NAME}` in a value, and a value `{ file: PATH }`, are secrets.",
        },
        Key {
            name: "body",
            kind: Kind::Sensitive,
            required: false,
            doc: "The body as it is sent; with a `Content-Type` of its own in `headers`.",
        },
        Key { name: "json", kind: Kind::Json, required: false, doc: "The body as JSON, in place of `body`." },
        Key { name: "expect", kind: expect::KIND, required: false, doc: "What the answer has to be; default: a status of 200-299." },
        Key {
            name: "timeout",
            kind: Kind::Duration(false),
            required: false,
            doc: "How long the call may take, its answer and redirects included; default 30s.",
        },
        Key { name: "max_body", kind: Kind::Size, required: false, doc: "A longer answer is a failure; default 1MB, at most 16MB." },
        Key {
            name: "idempotency_key",
            kind: Kind::Bool,
            required: false,
            doc: "Whether an `Idempotency-Key` is sent, the same in every attempt of a run; default false.",
        },
    ],
    retries: 0,
    resumable: false,
    parks: true,
    needs: &[],
    eager_in_practice: false,
};

const TIMEOUT: Duration = Duration::from_secs(30);
const BODY_MAX: u64 = 1_000_000;
/// What is held in memory, whatever the file says.
const BODY_MOST: u64 = 16_000_000;
const KEY_HEADER: &str = "Idempotency-Key";

/// Calls URLs.
#[derive(Debug)]
pub struct HttpRequest {
    outbound: Outbound,
}

impl HttpRequest {
    /// A handler that goes out this way.
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    async fn call(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let (request, secrets) = request(ctx)?;
        let what = format!("{} {}", request.method, expect::mask(&shown(&request.url), &secrets));
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        let planned = || Planned {
            kind: "http",
            target: ctx.instance.name.to_string(),
            change: what.clone(),
            reason: format!("the task fires at {}", ctx.fire_at),
        };
        if !is_read && ctx.access.permit(planned).is_none() {
            return Ok(Report { summary: format!("would call {what}") });
        }
        let begun = ctx.clock.now().uptime;
        let called = ctx.cancel.run_until_cancelled(self.outbound.call(&request)).await.ok_or(HandlerError::Cancelled)?;
        let reply = match called {
            Ok(reply) => reply,
            Err(CallFault::Practice) => return Ok(Report { summary: format!("this is practice: would call {what}") }),
            Err(fault) => return Err(failure(format!("{what}: {}", expect::mask(&fault.to_string(), &secrets)), fault.is_passing(), None)),
        };
        let took = ctx.clock.now().uptime.saturating_sub(begun).as_secs_f64();
        let beginning = expect::beginning(&reply.body, &secrets);
        let beginning = if beginning.is_empty() { String::new() } else { format!(": {beginning}") };
        let fault = match Expect::read(&ctx.params).judge(&reply) {
            Ok(()) => {
                return Ok(Report { summary: format!("{what}: {} in {took:.2} s, {} bytes{beginning}", reply.status, reply.body.len()) });
            }
            Err(fault) => fault,
        };
        let (why, is_passing) = match fault {
            Unexpected::Status(why) => (why, matches!(reply.status, 408 | 425 | 429 | 500..)),
            Unexpected::Body(why) => (why, true),
        };
        Err(failure(format!("{what}: {}{beginning}", expect::mask(&why, &secrets)), is_passing, reply.retry_after))
    }
}

impl Handler for HttpRequest {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(self.call(ctx))
    }
}

fn failure(message: String, is_passing: bool, retry_after: Option<jiff::SignedDuration>) -> HandlerError {
    if is_passing { HandlerError::Transient { message, retry_after } } else { HandlerError::Permanent { message } }
}

/// The request, and every secret in it.
fn request(ctx: &AttemptContext) -> Result<(Request, Vec<Secret>), HandlerError> {
    let params = &ctx.params;
    let permanent = |message: &str| HandlerError::Permanent { message: message.to_owned() };
    let method = params.text("method").unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| permanent("`method` is none"))?;
    let (url, _) = params.exposed("url").ok_or_else(|| permanent("`url` is missing"))?;
    let mut headers: Vec<(String, String)> = params
        .table("headers")
        .into_iter()
        .flat_map(|headers| &headers.0)
        .filter_map(|(name, value)| Some((name.to_string(), value.exposed()?.0.to_owned())))
        .collect();
    let has = |headers: &[(String, String)], name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let body = match (params.exposed("body"), params.exposed("json")) {
        (Some(_), Some(_)) => return Err(permanent("`body` and `json` are both given; leave one of them out")),
        (Some((body, _)), None) => Some(body.to_owned()),
        (None, Some((json, _))) => {
            if !has(&headers, "Content-Type") {
                headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
            }
            Some(json.to_owned())
        }
        (None, None) => None,
    };
    if params.bool("idempotency_key").unwrap_or(false) && !has(&headers, KEY_HEADER) {
        headers.push((KEY_HEADER.to_owned(), format!("{}-{}", ctx.instance.name, ctx.run)));
    }
    let body_max = usize::try_from(params.size("max_body").unwrap_or(BODY_MAX).min(BODY_MOST)).unwrap_or(usize::MAX);
    let timeout = params.duration("timeout").and_then(|timeout| timeout.try_into().ok()).unwrap_or(TIMEOUT);
    let secrets = params.secrets().into_iter().cloned().collect();
    Ok((Request { method, url: url.to_owned(), headers, body, timeout, body_max }, secrets))
}

/// Headers that the connection itself makes.
const OWN: &[&str] = &["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"];

fn header_complaints(value: &Value) -> Vec<Complaint> {
    let Value::Table(headers) = value else { return Vec::new() };
    let complaint = |name: &Arc<str>, message: String, hint: &str| Complaint { at: name.to_string(), message, hint: hint.to_owned() };
    let judge = |(name, value): (&Arc<str>, &Value)| {
        if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Some(complaint(name, format!("`{name}` is no header"), "write it like `X-Api-Key`"));
        }
        if OWN.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return Some(complaint(name, format!("`{name}` is made by the connection itself"), "leave it out"));
        }
        let is_sendable = value.exposed().is_none_or(|(text, _)| reqwest::header::HeaderValue::from_str(text).is_ok());
        (!is_sendable).then(|| {
            complaint(name, format!("the value of `{name}` has characters that a header can't have"), "look for a line break at its end")
        })
    };
    headers.0.iter().filter_map(judge).collect()
}
