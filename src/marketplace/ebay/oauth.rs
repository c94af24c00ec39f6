//! eBay's tokens: an access token of two hours for a refresh token, which stays the same for 18 months.
//!
//! How a person's consent becomes the refresh token is not in what we have read: it is got at eBay's own pages, and put into tasks.yaml or given to
//! `taskrun accounts login`.
use jiff::Timestamp;

use super::super::{grant, http::Http, token::NoGrant};
use crate::{core::value::Secret, store::shop::TokenPair};

const WHAT: &str = "eBay's login";
/// What taskrun wants to be allowed to do in a shop.
const SCOPE: &str = "https://api.ebay.com/oauth/api_scope/sell.inventory";

/// The application at eBay.
#[derive(Clone, Debug)]
pub(in super::super) struct Login {
    pub(super) http: Http,
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
}

impl Login {
    pub(in super::super) async fn refresh(&self, refresh: &Secret, asked_at: Timestamp) -> Result<TokenPair, NoGrant> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose()), ("scope", SCOPE)];
        let request = self.http.post(WHAT, "/identity/v1/oauth2/token")?.basic_auth(&self.client_id, Some(self.client_secret.expose()));
        let answer = self.http.send(WHAT, request.form(&form)).await?;
        grant::read(WHAT, &answer, asked_at, &[refresh, &self.client_secret])
    }
}
