//! What a standard authorisation server (RFC 6749, section 5) answers to a refresh token that stays the same: an access token, or why not.
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    CallError,
    http::{self, Answer},
    token::NoGrant,
};
use crate::{core::value::Secret, store::shop::TokenPair};

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// In seconds.
    expires_in: i64,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Reads the answer; its token lives from `asked_at` on. `secrets`: what the server may have repeated, and nobody is to read.
pub(super) fn read(what: &'static str, answer: &Answer, asked_at: Timestamp, secrets: &[&Secret]) -> Result<TokenPair, NoGrant> {
    if let (200, Ok(granted)) = (answer.status, serde_json::from_slice::<Granted>(&answer.body)) {
        let expires_at = asked_at.saturating_add(SignedDuration::from_secs(granted.expires_in)).unwrap_or(asked_at);
        return Ok(TokenPair { access: Secret::new(granted.access_token), expires_at, refresh: None });
    }
    let status = answer.status;
    let Ok(denied) = serde_json::from_slice::<Denied>(&answer.body) else { return Err(http::unreadable(what, answer).into()) };
    let text = http::said(&denied.error_description, secrets);
    if status >= 500 || status == 429 {
        return Err(CallError::Unwell { what, status, text, retry_after: http::retry_after(answer) }.into());
    }
    let is_dead = denied.error == "invalid_grant";
    let error = CallError::Refused { what, status, code: denied.error, text, item: false };
    Err(if is_dead { NoGrant::Token(error.to_string()) } else { error.into() })
}
