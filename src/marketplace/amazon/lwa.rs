//! Login with Amazon: an access token for a refresh token, which stays the same.
use jiff::Timestamp;

use super::super::{grant, http::Http, token::NoGrant};
use crate::{core::value::Secret, store::shop::TokenPair};

const WHAT: &str = "Amazon's login";

/// The application at Login with Amazon.
#[derive(Clone, Debug)]
pub(in super::super) struct Login {
    pub(super) http: Http,
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
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
        grant::read(WHAT, &answer, asked_at, &[refresh, &self.client_secret])
    }
}
