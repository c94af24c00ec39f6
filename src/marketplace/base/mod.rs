//! BASE's shop API, for one shop.
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use tokio_util::task::TaskTracker;

use super::{
    CallError,
    http::Http,
    limit::Budget,
    token::{Access, Grant, Tokens},
};
use crate::{
    access::Caller,
    config::{self, Account},
    shop::{
        quota::{PerPurpose, Period, Rule},
        upload::DAILY_LIMIT,
    },
    store::shop::{AccountKey, QuotaKey, ShopStore},
};

mod audit;
mod errors;
mod items;
mod listing;
pub(super) mod oauth;

pub use audit::PAGE;
pub use items::{ShopItem, Target};

/// What all calls of a shop share.
const CALLS_PER_HOUR: &str = "calls_per_hour";
const CALLS_PER_DAY: &str = "calls_per_day";
/// New items of a shop on a day in Japan.
const ADDS_PER_DAY: &str = "adds_per_day";

/// A shop at BASE: the client of its calls, its tokens, its limit.
#[derive(Debug)]
pub struct Shop {
    http: Http,
    key: AccountKey,
    store: Arc<dyn ShopStore>,
    login: oauth::Login,
    tokens: Tokens,
    /// The token that was got because the one before was refused. A refusal of this one has another reason.
    renewed_to: AtomicI64,
    calls: Budget,
    /// What new items share besides.
    adds: Budget,
}

/// The budget of a shop's calls.
fn calls(base: &config::Base, account: &Account, key: &AccountKey, store: &Arc<dyn ShopStore>) -> Budget {
    let quota = |operation| QuotaKey { application: base.client_id.as_str().into(), account: Arc::clone(&key.account), operation };
    let rule = |period, calls| Rule::Window { period, calls, reserve: base.calls.reserve.shares_of(calls) };
    let hourly = rule(Period::Hour, account.calls_per_hour.unwrap_or(base.calls.per_hour));
    let daily = rule(Period::Day, account.calls_per_day.unwrap_or(base.calls.per_day));
    Budget::new(Arc::clone(store), quota(CALLS_PER_HOUR), hourly, "BASE's calls").and(quota(CALLS_PER_DAY), daily)
}

/// The budget of a shop's new items: all of it for whoever lists.
fn adds(base: &config::Base, account: &Account, key: &AccountKey, store: &Arc<dyn ShopStore>) -> Budget {
    let key = QuotaKey { application: base.client_id.as_str().into(), account: Arc::clone(&key.account), operation: ADDS_PER_DAY };
    let calls = i64::from(account.daily_limit.unwrap_or(DAILY_LIMIT));
    let rule = Rule::Window { period: Period::Day, calls, reserve: PerPurpose::default() };
    Budget::new(Arc::clone(store), key, rule, "BASE's new items")
}

impl Shop {
    pub(super) fn connect(
        base: &config::Base,
        key: AccountKey,
        account: &Account,
        store: &Arc<dyn ShopStore>,
        refreshes: &TaskTracker,
    ) -> Self {
        let http = Http::new(&base.endpoint, account.proxy.as_ref());
        let login = oauth::Login {
            http: http.clone(),
            client_id: base.client_id.clone(),
            client_secret: base.client_secret.clone(),
            redirect_uri: base.redirect_uri.clone().unwrap_or_default(),
        };
        Self {
            http,
            calls: calls(base, account, &key, store),
            adds: adds(base, account, &key, store),
            tokens: Tokens::new(Arc::clone(store), key.clone(), account.refresh_token.clone(), Grant::Base(login.clone()), refreshes),
            login,
            renewed_to: AtomicI64::new(-1),
            store: Arc::clone(store),
            key,
        }
    }

    /// Whose shop it is.
    pub fn key(&self) -> &AccountKey {
        &self.key
    }

    /// What must be had before a call: the account is not parked, a token, and a place in the quota.
    async fn prepare(&self, caller: &Caller) -> Result<Access, CallError> {
        self.tokens.ask_parks(caller).await?;
        let access = self.prepare_parked(caller).await?;
        // Whoever waited for a place may have been parked meanwhile.
        self.tokens.ask_parks(caller).await?;
        Ok(access)
    }

    /// The same for calls that a park does not stop: those that look whether it can end.
    async fn prepare_parked(&self, caller: &Caller) -> Result<Access, CallError> {
        let access = self.tokens.access(caller).await?;
        self.calls.spend(caller).await?.used(caller);
        Ok(access)
    }

    /// Sends a request and reads its answer. What a refusal asks for is done on the way: a token is renewed, a limit marked as used up.
    async fn send<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        what: &'static str,
        access: &Access,
        request: RequestBuilder,
    ) -> Result<T, CallError> {
        let answer = self.http.send(what, request.bearer_auth(access.token.expose())).await?;
        match errors::read(what, &answer, &[&access.token]) {
            Ok(body) => {
                self.calls.accepted(None).await?;
                Ok(body)
            }
            Err(errors::Refusal::Token(error)) => {
                if self.renewed_to.load(Ordering::Relaxed) == access.generation {
                    return Err(error);
                }
                let renewed = self.tokens.renew(caller, access.generation).await?;
                self.renewed_to.store(renewed.generation, Ordering::Relaxed);
                Err(CallError::Again { what, why: error.to_string() })
            }
            Err(errors::Refusal::HourLimit) => Err(self.calls.exhaust(caller, Some(CALLS_PER_HOUR)).await?),
            Err(errors::Refusal::DayLimit) => Err(self.calls.exhaust(caller, Some(CALLS_PER_DAY)).await?),
            Err(errors::Refusal::Other(error)) => Err(error),
        }
    }
}
