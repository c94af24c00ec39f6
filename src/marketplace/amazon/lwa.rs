//! Login with Amazon: an access token for a refresh token, which stays the same.
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::super::{
    CallError,
    http::{self, Http},
    token::NoGrant,
};
use crate::{core::value::Secret, store::shop::TokenPair};

const WHAT: &str = "Amazon's login";

/// The application at Login with Amazon.
#[derive(Clone, Debug)]
pub(in super::super) struct Login {
    pub(super) http: Http,
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: i64,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Login {
    pub(in super::super) async fn refresh(&self, refresh: &Secret, asked_at: Timestamp) -> Result<TokenPair, NoGrant> {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose()),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.expose()),
        ];
        let answer = self.http.send(WHAT, self.http.post(WHAT, "/auth/o2/token")?.form(&form)).await?;
        if let (200, Ok(granted)) = (answer.status, serde_json::from_slice::<Granted>(&answer.body)) {
            let expires_at = asked_at.saturating_add(SignedDuration::from_secs(granted.expires_in)).unwrap_or(asked_at);
            return Ok(TokenPair { access: Secret::new(granted.access_token), expires_at, refresh: None });
        }
        let status = answer.status;
        let Ok(denied) = serde_json::from_slice::<Denied>(&answer.body) else { return Err(http::unreadable(WHAT, &answer).into()) };
        let text = http::said(&denied.error_description, &[refresh, &self.client_secret]);
        if status >= 500 || status == 429 {
            return Err(CallError::Unwell { what: WHAT, status, text, retry_after: http::retry_after(&answer) }.into());
        }
        let revoked = denied.error == "invalid_grant";
        let error = CallError::Refused { what: WHAT, status, code: denied.error, text, item: false };
        Err(if revoked { NoGrant::Token(error.to_string()) } else { error.into() })
    }
}
