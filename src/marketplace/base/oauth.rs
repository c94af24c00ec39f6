//! BASE's tokens: each refresh gives a new pair, and the old refresh token is dead from then on. A person's login begins anew.
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    super::{
        CallError,
        http::{self, Http},
        limit,
        token::NoGrant,
    },
    Shop,
    errors::{self, Refusal},
};
use crate::{access::Caller, core::value::Secret, shop::quota::Period, store::shop::TokenPair};

const WHAT: &str = "BASE's login";
/// What taskrun wants to be allowed to do in a shop.
const SCOPES: &str = "read_users read_items write_items";

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
    pub(in super::super) async fn refresh(&self, refresh: &Secret, asked_at: Timestamp) -> Result<TokenPair, NoGrant> {
        self.exchange("refresh_token", ("refresh_token", refresh), asked_at).await
    }

    /// The first pair, for the code that the shop's owner was given.
    pub(in super::super) async fn redeem(&self, code: &Secret, asked_at: Timestamp) -> Result<TokenPair, NoGrant> {
        self.exchange("authorization_code", ("code", code), asked_at).await
    }

    async fn exchange(&self, grant_type: &str, (name, given): (&str, &Secret), asked_at: Timestamp) -> Result<TokenPair, NoGrant> {
        let form = [
            ("grant_type", grant_type),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.expose()),
            (name, given.expose()),
            ("redirect_uri", &self.redirect_uri),
        ];
        let answer = self.http.send(WHAT, self.http.post(WHAT, "/1/oauth/token")?.form(&form)).await?;
        match errors::read::<Granted>(WHAT, &answer, &[given, &self.client_secret]) {
            Ok(granted) => Ok(TokenPair {
                access: Secret::new(granted.access_token),
                expires_at: asked_at.saturating_add(SignedDuration::from_secs(granted.expires_in)).unwrap_or(asked_at),
                refresh: Some(Secret::new(granted.refresh_token)),
            }),
            Err(Refusal::Token(error)) => Err(NoGrant::Token(error.to_string())),
            Err(Refusal::Other(error)) => Err(error.into()),
            Err(Refusal::HourLimit) => {
                Err(CallError::Limited { what: WHAT, until: limit::end_of(Period::Hour, asked_at), said: true }.into())
            }
            Err(Refusal::DayLimit) => {
                Err(CallError::Limited { what: WHAT, until: limit::end_of(Period::Day, asked_at), said: true }.into())
            }
        }
    }
}

impl Shop {
    /// The page on which the shop's owner lets taskrun in. From there BASE sends the browser to the `redirect_uri`, with a code and this `state`.
    ///
    /// # Errors
    /// When the configuration names no `redirect_uri`.
    pub fn login_page(&self, state: &str) -> Result<String, CallError> {
        let Login { http, client_id, redirect_uri, .. } = &self.login;
        if redirect_uri.is_empty() {
            let why =
                "`redirect_uri` under `marketplaces.base` is not set; it is the address that the application is registered with".to_owned();
            return Err(CallError::NoClient { what: WHAT, why });
        }
        let query =
            [("response_type", "code"), ("client_id", client_id), ("redirect_uri", redirect_uri), ("scope", SCOPES), ("state", state)];
        Ok(http.get(WHAT, "/1/oauth/authorize")?.query(&query).build().map_err(|_| unbuildable())?.url().to_string())
    }

    /// Gets the shop's tokens for the code that the login page gave, and keeps them.
    ///
    /// # Errors
    /// When BASE refuses the code, or does not answer.
    pub async fn log_in(&self, caller: &Caller, code: Secret) -> Result<(), CallError> {
        self.tokens.log_in(caller, code).await
    }

    /// Gets a new pair of tokens, however long the old one would last; the refresh token's 30 days begin anew. Not stopped by parks.
    ///
    /// # Errors
    /// When there is no new pair. The old one goes on as long as it lasts.
    pub async fn renew_tokens(&self, caller: &Caller) -> Result<(), CallError> {
        self.tokens.renew_now(caller).await
    }

    /// Looks whether the credentials open what taskrun needs: one read for each scope that has one. Not stopped by parks.
    ///
    /// # Errors
    /// When they don't, or it can't be told.
    pub async fn check(&self, caller: &Caller) -> Result<(), CallError> {
        self.tokens.ask_login().await?;
        for (what, path) in [("BASE's shop page", "/1/users/me"), ("BASE's list of items", "/1/items?limit=1")] {
            let _: serde_json::Value = http::read(caller, || async {
                let access = self.prepare_parked(caller).await?;
                self.send(caller, what, &access, self.http.get(what, path)?).await
            })
            .await?;
        }
        Ok(())
    }
}

fn unbuildable() -> CallError {
    CallError::NoClient { what: WHAT, why: "its `endpoint` is not a URL".to_owned() }
}
