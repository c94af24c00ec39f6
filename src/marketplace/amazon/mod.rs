//! Amazon's SP-API, for one seller.
use std::sync::Arc;

use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde::Deserialize;
use tokio_util::task::TaskTracker;

use super::{
    CallError,
    http::{self, Answer, Http},
    limit::{Budget, Taken},
    token::{Access, Grant, Tokens},
};
use crate::{
    access::Caller,
    config::{self, Account},
    store::shop::{AccountKey, QuotaKey, ShopStore},
};

pub mod feeds;
mod listings;
pub(super) mod lwa;
mod pricing;
mod sellers;

pub(super) use sellers::NOT_PARTICIPATING;
pub use sellers::Standing;

pub use pricing::Lane;

/// A seller at Amazon: the client of its calls, its tokens, its limits.
#[derive(Debug)]
pub struct Seller {
    http: Http,
    key: AccountKey,
    marketplace_id: String,
    tokens: Tokens,
    /// The quota of the offers batch.
    offers: Budget,
    /// The quota of the seller's own marketplaces.
    participations: Budget,
    /// The quota of the offers of one product.
    single_offers: Budget,
    store: Arc<dyn ShopStore>,
    /// The seller's number at Amazon, where it is configured.
    merchant: Option<Arc<str>>,
    feeds: feeds::Budgets,
    listings: listings::Budgets,
}

impl Seller {
    pub(super) fn connect(
        amazon: &config::Amazon,
        key: AccountKey,
        account: &Account,
        store: &Arc<dyn ShopStore>,
        refreshes: &TaskTracker,
    ) -> Self {
        let login = lwa::Login {
            http: Http::new(&amazon.lwa_endpoint, account.proxy.as_ref()),
            client_id: amazon.client_id.clone(),
            client_secret: amazon.client_secret.clone(),
        };
        let quota = |operation| QuotaKey { application: amazon.client_id.as_str().into(), account: Arc::clone(&key.account), operation };
        let budget = |operation, rule, what| Budget::new(Arc::clone(store), quota(operation), rule, what);
        Self {
            http: Http::new(&amazon.endpoint, account.proxy.as_ref()),
            marketplace_id: amazon.marketplace_id.clone(),
            offers: budget("getItemOffersBatch", pricing::OFFERS_BATCH, "Amazon's offers batch"),
            participations: budget("getMarketplaceParticipations", sellers::PARTICIPATIONS, "Amazon's seller page"),
            single_offers: budget("getItemOffers", pricing::OFFERS_SINGLE, "Amazon's offers of one product"),
            feeds: feeds::Budgets::new(budget, quota),
            listings: listings::Budgets::new(budget),
            store: Arc::clone(store),
            merchant: account.seller_id.clone(),
            tokens: Tokens::new(Arc::clone(store), key.clone(), account.refresh_token.clone(), Grant::Lwa(login), refreshes),
            key,
        }
    }

    /// Whose seller account it is.
    pub fn key(&self) -> &AccountKey {
        &self.key
    }

    fn seller_id(&self, what: &'static str) -> Result<&str, CallError> {
        let why = || format!("`accounts.{}` has no `seller_id`", self.key.account);
        self.merchant.as_deref().ok_or_else(|| CallError::NoClient { what, why: why() })
    }

    /// What must be had before a call: the account is not parked, a token, and a place in the quota.
    async fn prepare(&self, caller: &Caller, budget: &Budget) -> Result<(Access, Taken), CallError> {
        self.tokens.ask_parks(caller).await?;
        let access = self.tokens.access(caller).await?;
        let place = budget.spend(caller).await?;
        // Whoever waited for a place may have been parked meanwhile.
        self.tokens.ask_parks(caller).await?;
        Ok((access, place))
    }

    /// Sends a request of an operation, unless the account is parked: its token, its place in the quota, and what the answer says about either.
    async fn call(&self, caller: &Caller, what: &'static str, budget: &Budget, request: RequestBuilder) -> Result<Answer, CallError> {
        let (access, place) = self.prepare(caller, budget).await?;
        self.ask(caller, what, (budget, place), &access, request).await
    }

    /// Sends a request and reads what the answer says about token and quota.
    async fn ask(
        &self,
        caller: &Caller,
        what: &'static str,
        (budget, place): (&Budget, Taken),
        access: &Access,
        request: RequestBuilder,
    ) -> Result<Answer, CallError> {
        place.used(caller);
        let request = request.header("x-amz-access-token", access.token.expose()).header("x-amz-date", stamp(caller.now()));
        let answer = self.http.send(what, request.header("accept", "application/json")).await?;
        let rate = answer.headers.get("x-amzn-RateLimit-Limit").and_then(|rate| rate.to_str().ok()).and_then(|rate| rate.parse().ok());
        if answer.status == 429 {
            tracing::debug!(request = request_id(&answer), "{what}: 429, the quota is used up");
            return Err(budget.exhaust_for(caller, http::retry_after(&answer)).await?);
        }
        budget.accepted(rate).await?;
        match answer.status {
            200..=299 => Ok(answer),
            _ => Err(self.refused(caller, what, &answer, access).await),
        }
    }

    /// What an error answer means. An expired token is renewed on the way.
    async fn refused(&self, caller: &Caller, what: &'static str, answer: &Answer, access: &Access) -> CallError {
        let error = serde_json::from_slice::<Errors>(&answer.body).ok().and_then(|errors| errors.errors.into_iter().next());
        let Some(Fault { code, message, details }) = error else { return http::unreadable(what, answer) };
        let text = http::said(&format!("{message} {details} (request {})", request_id(answer)), &[&access.token]);
        // An expired token is a 403. A 401 should not be: another token may do, and where even a fresh one does not, the trouble is theirs.
        let has_expired = answer.status == 403 && details.contains("access token") && details.contains("expired");
        if has_expired || (answer.status == 401 && !self.tokens.is_fresh(caller).await) {
            return match self.tokens.renew(caller, access.generation).await {
                Ok(_) => CallError::Again { what, why: text },
                Err(error) => error,
            };
        }
        if answer.status == 401 {
            return CallError::Unwell { what, status: answer.status, text, retry_after: http::retry_after(answer) };
        }
        if answer.status >= 500 {
            return CallError::Unwell { what, status: answer.status, text, retry_after: http::retry_after(answer) };
        }
        // Where the application's secret is too old, it is told here in a sentence, and at the login in a word.
        let code = if details.contains("LWA secret") { "invalid_client".to_owned() } else { code };
        CallError::Refused { what, status: answer.status, code, text, item: false }
    }
}

/// SP-API's error body.
#[derive(Debug, Deserialize)]
struct Errors {
    errors: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Fault {
    code: String,
    message: String,
    details: String,
}

fn request_id(answer: &Answer) -> &str {
    answer.headers.get("x-amzn-RequestId").and_then(|id| id.to_str().ok()).unwrap_or("unknown")
}

/// `20261122T031500Z`.
fn stamp(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}
