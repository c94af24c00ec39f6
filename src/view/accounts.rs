//! The accounts: their logins, what they are parked for, what the last look at their credentials found, and what was done for them today.
use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    rfc3339,
    worked::{Worked, WorkedView},
};
use crate::{
    config::Config,
    marketplace::refresh_lives,
    store::{
        RunStore, StoreResult,
        shop::{AccountKey, CredentialCheck, Park, ShopStore, Token},
    },
};

/// What is known of an account.
#[derive(Debug)]
pub struct Known {
    pub key: AccountKey,
    pub enabled: bool,
    pub token: Option<Token>,
    pub parks: Vec<Park>,
    pub check: Option<CredentialCheck>,
    pub worked: Worked,
}

/// An account as JSON; stable. Times are RFC 3339, durations seconds. No token is in it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AccountView {
    pub account: String,
    pub platform: &'static str,
    pub enabled: bool,
    pub access_ends: Option<String>,
    pub access_left_s: Option<i64>,
    /// When the refresh token was got; null: it is the configured one, whose age nobody knows.
    pub refresh_since: Option<String>,
    pub refresh_age_s: Option<i64>,
    /// When it ends; null: it does not, or nobody knows.
    pub refresh_ends: Option<String>,
    pub refresh_left_s: Option<i64>,
    /// When a refresh was sent whose answer was lost.
    pub refresh_open_since: Option<String>,
    /// What was said when the refresh token was refused.
    pub refused: Option<String>,
    pub parks: Vec<ParkView>,
    pub credentials: Option<CheckView>,
    #[serde(flatten)]
    pub worked: WorkedView,
}

/// Why an account is not called.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ParkView {
    pub cause: &'static str,
    pub detail: String,
    pub since: String,
    pub until: Option<String>,
}

/// What the last look at the credentials found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CheckView {
    pub verdict: &'static str,
    pub detail: String,
    pub since: String,
    pub checked: String,
}

/// Reads what is known of each account of the configuration.
///
/// # Errors
/// When the store fails.
pub async fn look(runs: &dyn RunStore, shop: &dyn ShopStore, config: &Config, now: Timestamp) -> StoreResult<Vec<Known>> {
    let mut known = logins(shop, config, now).await?;
    for (known, account) in known.iter_mut().zip(config.accounts.values()) {
        known.worked = Worked::look(runs, shop, config, &known.key, account, now).await?;
    }
    Ok(known)
}

/// The same without what was done for them, which takes a look at their runs: for who asks every few seconds.
///
/// # Errors
/// When the store fails.
pub async fn logins(shop: &dyn ShopStore, config: &Config, now: Timestamp) -> StoreResult<Vec<Known>> {
    let (parks, checks) = (shop.parks(None, now).await?, shop.verdicts().await?);
    let mut known = Vec::new();
    for (name, account) in &config.accounts {
        let key = AccountKey { platform: account.platform, account: Arc::clone(name) };
        known.push(Known {
            enabled: account.enabled,
            token: shop.token(key.clone(), None).await?,
            parks: parks.iter().filter(|park| park.account == key).cloned().collect(),
            check: checks.iter().find(|check| check.account == key).cloned(),
            worked: Worked::default(),
            key,
        });
    }
    Ok(known)
}

impl Known {
    /// What is known without a store.
    pub fn without_store(config: &Config) -> Vec<Self> {
        let known = config.accounts.iter().map(|(name, account)| Self {
            key: AccountKey { platform: account.platform, account: Arc::clone(name) },
            enabled: account.enabled,
            token: None,
            parks: Vec::new(),
            check: None,
            worked: Worked::default(),
        });
        known.collect()
    }

    /// When the pair was got.
    pub fn refreshed_at(&self) -> Option<Timestamp> {
        self.token.as_ref().and_then(|token| token.refreshed_at)
    }

    /// When the refresh token ends, where it does.
    pub fn refresh_ends(&self) -> Option<Timestamp> {
        let (at, lives) = self.refreshed_at().zip(refresh_lives(self.key.platform))?;
        at.saturating_add(lives).ok()
    }

    /// The same as JSON.
    pub fn view(&self, now: Timestamp, zone: &TimeZone) -> AccountView {
        let token = self.token.as_ref();
        let shown = |at: Option<Timestamp>| at.map(|at| rfc3339(at, zone));
        let left = |at: Option<Timestamp>| at.map(|at| at.duration_since(now).as_secs());
        let access_ends = token.and_then(|token| token.expires_at);
        let park = |park: &Park| ParkView {
            cause: park.cause.word(),
            detail: park.detail.to_string(),
            since: rfc3339(park.since, zone),
            until: shown(park.until),
        };
        let check = |check: &CredentialCheck| CheckView {
            verdict: check.verdict.word(),
            detail: check.detail.clone(),
            since: rfc3339(check.since, zone),
            checked: rfc3339(check.checked_at, zone),
        };
        AccountView {
            account: self.key.account.to_string(),
            platform: self.key.platform.word(),
            enabled: self.enabled,
            access_ends: shown(access_ends),
            access_left_s: left(access_ends),
            refresh_since: shown(self.refreshed_at()),
            refresh_age_s: self.refreshed_at().map(|at| now.duration_since(at).as_secs()),
            refresh_ends: shown(self.refresh_ends()),
            refresh_left_s: left(self.refresh_ends()),
            refresh_open_since: shown(token.and_then(|token| token.sent_at)),
            refused: token.and_then(|token| token.refused.as_deref().map(ToOwned::to_owned)),
            parks: self.parks.iter().map(park).collect(),
            credentials: self.check.as_ref().map(check),
            worked: self.worked.view(zone),
        }
    }
}
