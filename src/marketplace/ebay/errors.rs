//! eBay's errors: a status, and a list of numbers with words. The status and the number decide, never the text.
//!
//! The numbers are not confirmed. So only those below are taken to be about the one item, and everything else to be about the account.
use serde::Deserialize;

use super::super::{
    CallError,
    http::{self, Answer},
};
use crate::core::value::Secret;

/// A slip in what was sent for an item, an item or an offer that is not there.
const OF_AN_ITEM: [u32; 6] = [25_002, 25_702, 25_707, 25_709, 25_710, 25_713];

/// What an answer asks us to do.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The access token is no longer good.
    Token(CallError),
    /// A limit is used up.
    Limit,
    /// Anything else.
    Other(CallError),
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "errorId")]
    error_id: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

/// Whether an answer is a success, or what is wrong.
pub(super) fn look(what: &'static str, answer: &Answer, secrets: &[&Secret]) -> Result<(), Refusal> {
    let status = answer.status;
    let fault = serde_json::from_slice::<Errors>(&answer.body).ok().and_then(|errors| errors.errors.into_iter().next());
    let (code, text) = match &fault {
        None if (200..300).contains(&status) => return Ok(()),
        None => (None, String::new()),
        Some(fault) => (Some(fault.error_id), http::said(&words(fault), secrets)),
    };
    let refused = |code: String, item| CallError::Refused { what, status, code, text: text.clone(), item };
    Err(match (status, code) {
        (429, _) => Refusal::Limit,
        (401, _) => Refusal::Token(refused("invalid_token".to_owned(), false)),
        (403, _) => Refusal::Other(refused("access_denied".to_owned(), false)),
        (400..500, Some(code)) => Refusal::Other(refused(code.to_string(), OF_AN_ITEM.contains(&code))),
        (_, Some(_)) => Refusal::Other(CallError::Unwell { what, status, text, retry_after: http::retry_after(answer) }),
        (_, None) => Refusal::Other(http::unreadable(what, answer)),
    })
}

fn words(fault: &Fault) -> String {
    let about: Vec<_> = fault.parameters.iter().map(|Parameter { name, value }| format!("{name}={value}")).collect();
    format!("{} {}", fault.message, about.join(" "))
}

/// Whether nothing is there of what was asked for.
pub(super) fn is_missing(error: &CallError) -> bool {
    matches!(error, CallError::Refused { status: 404, item: true, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_and_the_number_decide_and_not_the_text() {
        let look = |status, body: &str| {
            let answer = Answer { status, headers: reqwest::header::HeaderMap::new(), body: body.as_bytes().to_vec() };
            super::look("a call", &answer, &[&Secret::new("canary")])
        };
        let with = |status, id: u32| {
            let body = format!(r#"{{"errors":[{{"errorId":{id},"message":"… canary","parameters":[{{"name":"sku","value":"A-1"}}]}}]}}"#);
            look(status, &body)
        };
        assert!(matches!(with(401, 1001), Err(Refusal::Token(_))));
        assert!(matches!(with(429, 2001), Err(Refusal::Limit)));
        assert!(
            matches!(with(400, 25_002), Err(Refusal::Other(CallError::Refused { item: true, text, code, .. })) if text == "… *** sku=A-1" && code == "25002")
        );
        assert!(matches!(with(400, 25_007), Err(Refusal::Other(CallError::Refused { item: false, .. }))), "one that we don't know");
        assert!(matches!(with(403, 1100), Err(Refusal::Other(CallError::Refused { item: false, code, .. })) if code == "access_denied"));
        assert!(matches!(with(500, 25_001), Err(Refusal::Other(CallError::Unwell { .. }))));
        assert!(matches!(with(200, 25_001), Err(Refusal::Other(CallError::Unwell { .. }))), "an error body counts whatever the status");
        assert!(matches!(look(502, "<html>"), Err(Refusal::Other(CallError::Unwell { status: 502, .. }))));
        assert!(matches!(look(404, ""), Err(Refusal::Other(CallError::Unreadable { .. }))));
        assert!(look(204, "").is_ok() && look(201, r#"{"offerId":"1"}"#).is_ok());
    }
}
