//! The marketplaces: their wire protocols, their limits and tokens, and the one door through which anything is changed there.
//!
//! Nothing here decides what a price is or which item is hidden; nothing here retries a task.
#![warn(missing_docs)]
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio_util::task::TaskTracker;

use crate::{
    config::{Account, Marketplaces, Platform},
    store::{
        StoreError,
        shop::{AccountKey, IntentId, Parked, ShopStore},
    },
};

pub mod amazon;
pub mod base;
mod client;
pub mod ebay;
mod grant;
mod http;
mod limit;
mod reach;
pub mod shop;
pub mod source;
mod token;

pub use client::{Client, refresh_lives};
pub use http::Written;
pub use reach::reach;

/// A request that began so long ago, in real time, is not on its way any more: it was answered or given up, and the other side has had time to finish.
pub const REQUEST_TIME: Duration = Duration::from_secs(http::REQUEST_MAX.as_secs() + 10);

/// Refusals that were put right, in a row, before something must be wrong that we don't see.
pub const AGAIN_MAX: u32 = 5;

/// Every seller and shop that is configured, ready to be called.
#[derive(Debug)]
pub struct Market {
    sellers: BTreeMap<Arc<str>, amazon::Seller>,
    shops: BTreeMap<Arc<str>, base::Shop>,
    ebay: BTreeMap<Arc<str>, ebay::Shop>,
    refreshes: TaskTracker,
}

impl Market {
    /// Prepares each enabled account whose marketplace is configured. Nothing is called yet.
    pub fn connect(marketplaces: &Marketplaces, accounts: &BTreeMap<Arc<str>, Account>, store: &Arc<dyn ShopStore>) -> Self {
        let mut market = Self { sellers: BTreeMap::new(), shops: BTreeMap::new(), ebay: BTreeMap::new(), refreshes: TaskTracker::new() };
        // It is waited for whenever it is empty; more may come all the same.
        market.refreshes.close();
        for (name, account) in accounts.iter().filter(|(_, account)| account.enabled) {
            let key = AccountKey { platform: account.platform, account: Arc::clone(name) };
            let Marketplaces { amazon, base, ebay } = marketplaces;
            match account.platform {
                Platform::Amazon => {
                    let seller = amazon.as_ref().map(|amazon| amazon::Seller::connect(amazon, key, account, store, &market.refreshes));
                    market.sellers.extend(seller.map(|seller| (Arc::clone(name), seller)));
                }
                Platform::Base => {
                    let shop = base.as_ref().map(|base| base::Shop::connect(base, key, account, store, &market.refreshes));
                    market.shops.extend(shop.map(|shop| (Arc::clone(name), shop)));
                }
                Platform::Ebay => {
                    let shop = ebay.as_ref().map(|ebay| ebay::Shop::connect(ebay, key, account, store, &market.refreshes));
                    market.ebay.extend(shop.map(|shop| (Arc::clone(name), shop)));
                }
            }
        }
        market
    }

    /// Waits until no token is being refreshed. A refresh outlives the call that was told to stop, and a process that ended before it would lose
    /// the account's only good refresh token.
    pub async fn at_rest(&self) {
        self.refreshes.wait().await;
    }

    /// Amazon's sellers, by account.
    pub fn sellers(&self) -> &BTreeMap<Arc<str>, amazon::Seller> {
        &self.sellers
    }

    /// The BASE shops, by account.
    pub fn shops(&self) -> &BTreeMap<Arc<str>, base::Shop> {
        &self.shops
    }
}

/// How a call ended that gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The attempt was told to stop.
    #[error("stopped when asked to")]
    Cancelled,
    /// A newer run has taken over: nothing was sent.
    #[error("a newer run has taken over")]
    Fenced,
    /// The limit is used up for longer than anybody would wait.
    #[error("{what}: no more calls are allowed before {until}")]
    Limited {
        /// The call.
        what: &'static str,
        /// When it may be made.
        until: Timestamp,
        /// The marketplace said so. Otherwise it is our own count, maybe only of one purpose's share.
        said: bool,
    },
    /// The account is parked: nothing was sent.
    #[error("`{account}` is parked ({cause}){}: {detail}", until_text(*.until))]
    Parked {
        /// The account.
        account: Arc<str>,
        /// Why, in a word.
        cause: Parked,
        /// Why, in a sentence.
        detail: Arc<str>,
        /// Until when; `None`: until a person says so.
        until: Option<Timestamp>,
    },
    /// The account's token can't be renewed for the moment: the login did not answer, and is left alone until then.
    #[error("the token of `{account}` can't be renewed: its login failed, and is asked again at {until:.0}")]
    Resting {
        /// The account.
        account: Arc<str>,
        /// When it is asked again.
        until: Timestamp,
    },
    /// Refused for something that was put right since: the call can be made again at once.
    #[error("{what}: {why}")]
    Again {
        /// The call.
        what: &'static str,
        /// What was wrong.
        why: String,
    },
    /// There is no way to make calls for this account.
    #[error("{what}: no call can be made: {why}")]
    NoClient {
        /// The call.
        what: &'static str,
        /// What is wrong, without the proxy's password.
        why: String,
    },
    /// No answer came.
    #[error("{what}: {why}")]
    NoAnswer {
        /// The call.
        what: &'static str,
        /// What happened.
        why: String,
        /// It may have arrived all the same.
        sent: bool,
    },
    /// The other side has trouble of its own.
    #[error("{what}: the answer was {status}{}", detail(.text))]
    Unwell {
        /// The call.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// What it said, if that could be read.
        text: String,
        /// When it wants to be asked again.
        retry_after: Option<SignedDuration>,
    },
    /// The answer can't be read.
    #[error("{what}: the answer ({status}) can't be read: {why}")]
    Unreadable {
        /// The call.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        why: String,
    },
    /// No, and a repeat would be refused too.
    #[error("{what}: refused ({status} {code}){}", detail(.text))]
    Refused {
        /// The call.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// The marketplace's own word for it.
        code: String,
        /// What it said.
        text: String,
        /// It is about the one item, not about the account.
        item: bool,
    },
    /// The account's credentials are no good; a person has to see to it.
    #[error("account `{account}` can't log in: {why}")]
    Login {
        /// The account.
        account: Arc<str>,
        /// What the authorisation server said, and what to do.
        why: String,
    },
    /// A write may or may not have been made; its intent is open.
    #[error("{cause}; whether it was made is not known")]
    Uncertain {
        /// The intent.
        intent: IntentId,
        /// What happened.
        cause: Box<CallError>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn until_text(until: Option<Timestamp>) -> String {
    until.map_or_else(|| " until a person sees to it".to_owned(), |until| format!(" until {until:.0}"))
}

fn detail(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// Whom an error concerns: who is left alone because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// This call: the next may fare better.
    Call,
    /// The item that it was about.
    Item,
    /// The account, until a time or until a person sees to it.
    Account,
    /// The run: it was told to stop, or can't write anything down.
    Run,
}

/// What a refusal means, whatever the marketplace's word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedAs {
    /// The shop has no such item. `no_item_id` does not say so: that is said of a request without a number.
    NoSuchItem,
    /// The account may not do this.
    Denied,
    /// The application's own key is no good.
    Application,
    /// The account has not allowed the application to do this.
    Scope,
    /// What we know no meaning of beyond its word.
    Other,
}

impl CallError {
    /// What it was refused as; `None`: it was not refused.
    pub fn refused_as(&self) -> Option<RefusedAs> {
        let Self::Refused { code, .. } = self else { return None };
        Some(match code.as_str() {
            "no_item" | "bad_item_id" => RefusedAs::NoSuchItem,
            "access_denied" | "Unauthorized" | amazon::NOT_PARTICIPATING => RefusedAs::Denied,
            "invalid_client" | "unauthorized_client" => RefusedAs::Application,
            "invalid_scope" => RefusedAs::Scope,
            _ => RefusedAs::Other,
        })
    }

    /// Whom it concerns.
    pub fn concern(&self) -> Concern {
        match self {
            Self::NoAnswer { .. } | Self::Unwell { .. } | Self::Unreadable { .. } | Self::Again { .. } => Concern::Call,
            Self::Refused { item: true, .. } => Concern::Item,
            Self::Limited { .. }
            | Self::Parked { .. }
            | Self::Resting { .. }
            | Self::NoClient { .. }
            | Self::Refused { item: false, .. }
            | Self::Login { .. } => Concern::Account,
            Self::Uncertain { cause, .. } => cause.concern(),
            Self::Cancelled | Self::Fenced | Self::Store(_) => Concern::Run,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Limited { .. } | Self::Parked { until: Some(_), .. } | Self::Resting { .. } | Self::Store(_))
            || self.concern() == Concern::Call
    }

    /// How long the other side wants to be left alone, seen from `now`.
    pub fn retry_after(&self, now: Timestamp) -> Option<SignedDuration> {
        match self {
            Self::Limited { until, .. } | Self::Resting { until, .. } => Some(until.duration_since(now).max(SignedDuration::ZERO)),
            Self::Parked { until, .. } => until.map(|until| until.duration_since(now).max(SignedDuration::ZERO)),
            Self::Unwell { retry_after, .. } => *retry_after,
            Self::Uncertain { cause, .. } => cause.retry_after(now),
            Self::Cancelled
            | Self::Fenced
            | Self::Again { .. }
            | Self::NoClient { .. }
            | Self::NoAnswer { .. }
            | Self::Unreadable { .. }
            | Self::Refused { .. }
            | Self::Login { .. }
            | Self::Store(_) => None,
        }
    }

    /// Whether a call that was refused may be made again at once: what was wrong was put right, or it first waits for its place in a limit. After
    /// [`AGAIN_MAX`] refusals in a row the limit is the caller's to wait for.
    pub fn is_worth_another(&self, now: Timestamp) -> bool {
        match self {
            Self::Again { .. } => true,
            Self::Limited { until, .. } => limit::is_soon(*until, now),
            Self::Cancelled
            | Self::Fenced
            | Self::Parked { .. }
            | Self::Resting { .. }
            | Self::NoClient { .. }
            | Self::NoAnswer { .. }
            | Self::Unwell { .. }
            | Self::Unreadable { .. }
            | Self::Refused { .. }
            | Self::Login { .. }
            | Self::Uncertain { .. }
            | Self::Store(_) => false,
        }
    }

    /// Whether a write that ended so may have been made.
    pub fn may_have_been_made(&self) -> bool {
        match self {
            Self::NoAnswer { sent, .. } => *sent,
            Self::Unwell { .. } | Self::Unreadable { .. } => true,
            Self::Cancelled
            | Self::Fenced
            | Self::Limited { .. }
            | Self::Parked { .. }
            | Self::Resting { .. }
            | Self::Again { .. }
            | Self::NoClient { .. }
            | Self::Refused { .. }
            | Self::Login { .. }
            | Self::Uncertain { .. }
            | Self::Store(_) => false,
        }
    }
}
