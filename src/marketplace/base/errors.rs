//! BASE's errors: always a status 400 and a word. The word decides, never the text.
use serde::{Deserialize, de::DeserializeOwned};

use super::super::{
    CallError,
    http::{self, Answer},
};
use crate::core::value::Secret;

/// What an answer asks us to do.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The access token is no longer good.
    Token(CallError),
    /// The hour's calls are used up.
    HourLimit,
    /// The day's calls are used up.
    DayLimit,
    /// Anything else.
    Other(CallError),
}

#[derive(Deserialize)]
struct Denied {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Reads an answer's body, or what is wrong.
pub(super) fn read<T: DeserializeOwned>(what: &'static str, answer: &Answer, secrets: &[&Secret]) -> Result<T, Refusal> {
    let status = answer.status;
    if let Ok(denied) = serde_json::from_slice::<Denied>(&answer.body) {
        let text = http::said(&denied.error_description, secrets);
        return Err(classify(what, status, denied.error, text, answer));
    }
    match serde_json::from_slice(&answer.body) {
        Ok(body) if (200..300).contains(&status) => Ok(body),
        Ok(_) | Err(_) => Err(Refusal::Other(http::unreadable(what, answer))),
    }
}

fn classify(what: &'static str, status: u16, code: String, text: String, answer: &Answer) -> Refusal {
    let refused = |code: String, item| CallError::Refused { what, status, code, text: text.clone(), item };
    match code.as_str() {
        _ if status >= 500 => Refusal::Other(CallError::Unwell { what, status, text, retry_after: http::retry_after(answer) }),
        // Also what is said of an item that can't be edited; so with a good token it is about the item.
        "invalid_request" => Refusal::Token(refused(code, true)),
        "hour_api_limit" => Refusal::HourLimit,
        "day_api_limit" => Refusal::DayLimit,
        "server_error" | "db_error" | "search_error" => Refusal::Other(CallError::Unwell { what, status, text, retry_after: None }),
        "bad_item_id" | "no_item" | "no_item_id" | "validation_error" | "bad_params" | "bad_variation_id" | "no_image"
        | "image_put_fail" => Refusal::Other(refused(code, true)),
        _ => Refusal::Other(refused(code, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_decides_and_not_the_text() {
        let read = |status, body: &str| {
            let answer = Answer { status, headers: reqwest::header::HeaderMap::new(), body: body.as_bytes().to_vec() };
            super::read::<serde_json::Value>("a call", &answer, &[&Secret::new("canary")])
        };
        let with = |code: &str| read(400, &format!(r#"{{"error":"{code}","error_description":"… canary"}}"#));
        assert!(matches!(with("invalid_request"), Err(Refusal::Token(_))));
        assert!(matches!(with("hour_api_limit"), Err(Refusal::HourLimit)));
        assert!(matches!(with("day_api_limit"), Err(Refusal::DayLimit)));
        assert!(matches!(with("bad_item_id"), Err(Refusal::Other(CallError::Refused { item: true, text, .. })) if text == "… ***"));
        assert!(matches!(with("access_denied"), Err(Refusal::Other(CallError::Refused { item: false, .. }))));
        assert!(matches!(with("db_error"), Err(Refusal::Other(CallError::Unwell { .. }))));
        assert!(matches!(read(502, "<html>"), Err(Refusal::Other(CallError::Unwell { status: 502, .. }))));
        assert!(matches!(read(200, "{\"items\":["), Err(Refusal::Other(CallError::Unreadable { .. }))));
        assert!(matches!(read(200, r#"{"error":"hour_api_limit"}"#), Err(Refusal::HourLimit)), "an error body counts whatever the status");
        assert!(read(200, r#"{"items":[]}"#).is_ok());
    }
}
