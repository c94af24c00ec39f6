//! eBay's Inventory API, for one shop, as far as listing needs it.
//!
//! Not confirmed: what is said about a limit that is used up. So nobody calls until the clock hour ends that a 429 came in, whatever limit was meant;
//! eBay's own count of a day's calls, which is the application's, is not asked for.
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use tokio_util::task::TaskTracker;

use super::{
    CallError,
    http::{self, Answer, Http},
    limit::Budget,
    token::{Access, Grant, Tokens},
};
use crate::{
    access::Caller,
    config::{self, Account},
    core::value::Secret,
    shop::quota::{PerPurpose, Period, Rule},
    store::shop::{AccountKey, QuotaKey, ShopStore},
};

mod errors;
mod listing;
pub(super) mod oauth;

/// What eBay allows an application on a day; which of its limits that is, is not confirmed.
const CALLS_MAX: i64 = 2_000_000;
const CALLS_PER_HOUR: &str = "calls_per_hour";
const CALLS_PER_DAY: &str = "calls_per_day";

/// A shop at eBay: the client of its calls, its tokens, its limit.
#[derive(Debug)]
pub struct Shop {
    http: Http,
    key: AccountKey,
    tokens: Tokens,
    /// The token that was got because the one before was refused. A refusal of this one has another reason.
    renewed_to: AtomicI64,
    calls: Budget,
    terms: config::EbayTerms,
}

/// The budget of a shop's calls.
fn calls(ebay: &config::Ebay, key: &AccountKey, store: &Arc<dyn ShopStore>) -> Budget {
    let quota = |operation| QuotaKey { application: ebay.client_id.as_str().into(), account: Arc::clone(&key.account), operation };
    let rule = |period| Rule::Window { period, calls: CALLS_MAX, reserve: PerPurpose::default() };
    Budget::new(Arc::clone(store), quota(CALLS_PER_HOUR), rule(Period::Hour), "eBay's calls").and(quota(CALLS_PER_DAY), rule(Period::Day))
}

impl Shop {
    pub(super) fn connect(
        ebay: &config::Ebay,
        key: AccountKey,
        account: &Account,
        store: &Arc<dyn ShopStore>,
        refreshes: &TaskTracker,
    ) -> Self {
        let http = Http::new(&ebay.endpoint, account.proxy.as_ref());
        let login = oauth::Login { http: http.clone(), client_id: ebay.client_id.clone(), client_secret: ebay.client_secret.clone() };
        Self {
            http,
            calls: calls(ebay, &key, store),
            tokens: Tokens::new(Arc::clone(store), key.clone(), account.refresh_token.clone(), Grant::Ebay(login), refreshes),
            renewed_to: AtomicI64::new(-1),
            terms: ebay.terms.clone(),
            key,
        }
    }

    /// Whose shop it is.
    pub fn key(&self) -> &AccountKey {
        &self.key
    }

    /// Keeps the refresh token that a person got at eBay's pages.
    ///
    /// # Errors
    /// When eBay refuses it, or does not answer.
    pub async fn log_in(&self, caller: &Caller, given: Secret) -> Result<(), CallError> {
        self.tokens.log_in(caller, given).await
    }

    /// Gets a new access token, however long the old one would last. Not stopped by parks.
    ///
    /// # Errors
    /// When there is none. The old one goes on as long as it lasts.
    pub async fn renew_tokens(&self, caller: &Caller) -> Result<(), CallError> {
        self.tokens.renew_now(caller).await
    }

    /// Looks whether the credentials open what taskrun needs, by asking for offers of something that is not there. Not stopped by parks.
    ///
    /// # Errors
    /// When they don't, or it can't be told.
    pub async fn check(&self, caller: &Caller) -> Result<(), CallError> {
        self.tokens.ask_login().await?;
        http::read(caller, || async {
            let access = self.prepare_parked(caller).await?;
            self.find_offer(caller, &access, "taskrun").await.map(drop)
        })
        .await
    }

    /// What must be had before a call: the account is not parked, a token, and a place in the quota.
    async fn prepare(&self, caller: &Caller) -> Result<Access, CallError> {
        self.tokens.ask_parks(caller).await?;
        let access = self.prepare_parked(caller).await?;
        // Whoever waited for a place may have been parked meanwhile.
        self.tokens.ask_parks(caller).await?;
        Ok(access)
    }

    async fn prepare_parked(&self, caller: &Caller) -> Result<Access, CallError> {
        let access = self.tokens.access(caller).await?;
        self.calls.spend(caller).await?.used(caller);
        Ok(access)
    }

    /// Sends a request. What a refusal asks for is done on the way: a token is renewed, a limit marked as used up.
    async fn send(&self, caller: &Caller, what: &'static str, access: &Access, request: RequestBuilder) -> Result<Answer, CallError> {
        let answer = self.http.send(what, request.bearer_auth(access.token.expose())).await?;
        match errors::look(what, &answer, &[&access.token]) {
            Ok(()) => {
                self.calls.accepted(None).await?;
                Ok(answer)
            }
            Err(errors::Refusal::Token(error)) => {
                if self.renewed_to.load(Ordering::Relaxed) == access.generation {
                    return Err(error);
                }
                let renewed = self.tokens.renew(caller, access.generation).await?;
                self.renewed_to.store(renewed.generation, Ordering::Relaxed);
                Err(CallError::Again { what, why: error.to_string() })
            }
            Err(errors::Refusal::Limit) => Err(self.calls.exhaust(caller, Some(CALLS_PER_HOUR)).await?),
            Err(errors::Refusal::Other(error)) => Err(error),
        }
    }
}

/// The JSON of an answer.
fn body<T: DeserializeOwned>(what: &'static str, answer: &Answer) -> Result<T, CallError> {
    serde_json::from_slice(&answer.body).map_err(|_| http::unreadable(what, answer))
}
