//! BASE's tokens: each refresh gives a new pair, and the old refresh token is dead from then on.
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    super::{
        CallError,
        http::{self, Http},
    },
    errors::{self, Refusal},
};
use crate::{core::value::Secret, store::shop::TokenPair};

const WHAT: &str = "BASE's login";

/// The application at BASE.
#[derive(Clone, Debug)]
pub(in super::super) struct Login {
    pub(super) http: Http,
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    pub(super) redirect_uri: String,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: String,
    expires_in: i64,
}

impl Login {
    pub(in super::super) async fn refresh(&self, refresh: &Secret, asked_at: Timestamp) -> Result<TokenPair, CallError> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.expose()),
            ("refresh_token", refresh.expose()),
            ("redirect_uri", &self.redirect_uri),
        ];
        let answer = http::send(WHAT, self.http.post(WHAT, "/1/oauth/token")?.form(&form)).await?;
        match errors::read::<Granted>(WHAT, &answer, refresh) {
            Ok(granted) => Ok(TokenPair {
                access: Secret::new(granted.access_token),
                expires_at: asked_at.saturating_add(SignedDuration::from_secs(granted.expires_in)).unwrap_or(asked_at),
                refresh: Some(Secret::new(granted.refresh_token)),
            }),
            Err(Refusal::Token(error) | Refusal::HourLimit(error) | Refusal::Other(error)) => Err(error),
            Err(Refusal::DayLimit) => Err(CallError::Limited { what: WHAT, until: errors::next_day(asked_at) }),
        }
    }
}
