//! Accounts' tokens: taken from the store, renewed before they end, by one at a time over all processes.
//!
//! BASE gives a new refresh token with each refresh, and the old one is dead, at once or after a moment of grace. So a refresh is written down before
//! it is sent, its pair is kept before anybody uses it, and where its answer was lost it is tried once more, at once: by whoever sent it, or, after a
//! kill, by the next who needs it. What is refused then is refused for good: nobody tries again until a person logs in. Where no answer comes at
//! all, there is a try a minute. The access token that is there goes on until it ends.
use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio_retry::strategy::FixedInterval;
use tokio_util::task::TaskTracker;

use super::{CallError, amazon::lwa, base::oauth, ebay, http::REQUEST_MAX};
use crate::{
    access::Caller,
    children,
    clock::Clock,
    core::value::Secret,
    store::shop::{AccountKey, Claim, Claimant, NoPair, Park, Parked, ShopStore, Token, TokenPair},
};

/// How long a new pair is tried to be kept where the store takes no writes, in real time: nobody else has it.
const KEEP_MAX: Duration = Duration::from_secs(30);
const KEEP_TRIES: usize = 30;
const KEEP_AGAIN: Duration = Duration::from_secs(1);
/// How long a refresh may take before another process may try, in real time: longer than two requests and the keeping of the pair can. A process that
/// is proved dead is not waited for.
const CLAIM: Duration = Duration::from_secs(2 * REQUEST_MAX.as_secs() + KEEP_MAX.as_secs() + 15);
/// From a refresh that failed to the next one, whoever makes it, in real time.
const REST: Duration = Duration::from_mins(1);
/// A token that is younger is not at fault when a call is refused.
const FRESH: SignedDuration = SignedDuration::from_mins(10);
/// How often somebody who waits for another's refresh looks again, in real time.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const WHAT: &str = "renewing a token";

/// Where an account's tokens come from.
#[derive(Clone, Debug)]
pub(super) enum Grant {
    Lwa(lwa::Login),
    Base(oauth::Login),
    Ebay(ebay::oauth::Login),
}

/// Why an authorisation server gave no pair.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoGrant {
    /// The refresh token, or the code, is no good; in the server's words.
    #[error("{0}")]
    Token(String),
    /// Anything else.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Grant {
    async fn refresh(&self, refresh: &Secret, asked_at: Timestamp) -> Result<TokenPair, NoGrant> {
        match self {
            Self::Lwa(login) => login.refresh(refresh, asked_at).await,
            Self::Base(login) => login.refresh(refresh, asked_at).await,
            Self::Ebay(login) => login.refresh(refresh, asked_at).await,
        }
    }

    /// A pair for what a person's login gave: BASE's code, or a refresh token, which Amazon and eBay show to the seller.
    async fn redeem(&self, given: &Secret, asked_at: Timestamp) -> Result<TokenPair, NoGrant> {
        match self {
            Self::Lwa(login) => Ok(TokenPair { refresh: Some(given.clone()), ..login.refresh(given, asked_at).await? }),
            Self::Base(login) => login.redeem(given, asked_at).await,
            Self::Ebay(login) => Ok(TokenPair { refresh: Some(given.clone()), ..login.refresh(given, asked_at).await? }),
        }
    }

    /// A token that ends sooner than this is renewed first. The less can be done when a refresh fails, the earlier.
    fn early(&self) -> SignedDuration {
        match self {
            Self::Lwa(_) => SignedDuration::from_secs(60),
            Self::Base(_) | Self::Ebay(_) => SignedDuration::from_mins(5),
        }
    }

    /// Whether there may be a new pair that nobody has seen.
    fn may_be_lost(&self, error: &NoGrant) -> bool {
        let sent = matches!(
            error,
            NoGrant::Call(CallError::NoAnswer { sent: true, .. } | CallError::Unwell { .. } | CallError::Unreadable { .. })
        );
        sent && matches!(self, Self::Base(_))
    }

    /// What becomes of the account's tokens when a refresh ended so. `rest`: until when nobody tries again.
    fn ended(&self, error: &NoGrant, rest: Timestamp) -> NoPair {
        match error {
            error if self.may_be_lost(error) => NoPair::Lost(rest),
            NoGrant::Token(said) => NoPair::Refused(said.as_str().into()),
            NoGrant::Call(error) => match error {
                CallError::Refused { .. } | CallError::Limited { .. } => NoPair::Denied(rest),
                CallError::NoAnswer { .. }
                | CallError::Unwell { .. }
                | CallError::Unreadable { .. }
                | CallError::NoClient { .. }
                | CallError::Cancelled
                | CallError::Fenced
                | CallError::Parked { .. }
                | CallError::Resting { .. }
                | CallError::Again { .. }
                | CallError::Login { .. }
                | CallError::Uncertain { .. }
                | CallError::Store(_) => NoPair::Nothing,
            },
        }
    }
}

/// The tokens of an account.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    store: Arc<dyn ShopStore>,
    account: AccountKey,
    configured: Option<Secret>,
    grant: Grant,
    /// Refreshes under way, of every account.
    refreshes: TaskTracker,
}

/// An access token that can be used now.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) token: Secret,
    /// Counts the pairs.
    pub(super) generation: i64,
}

impl Tokens {
    pub(super) fn new(
        store: Arc<dyn ShopStore>,
        account: AccountKey,
        configured: Option<Secret>,
        grant: Grant,
        refreshes: &TaskTracker,
    ) -> Self {
        Self { store, account, configured: configured.filter(|token| !token.is_unset()), grant, refreshes: refreshes.clone() }
    }

    /// Asks whether the account may be called. Of several parks, the one that ends last is told.
    pub(super) async fn ask_parks(&self, caller: &Caller) -> Result<(), CallError> {
        let mut parks = self.store.parks(Some(self.account.clone()), caller.now()).await?;
        if parks.iter().any(|park| park.cause == Parked::Login) {
            // A token that a person put into the configuration meanwhile ends that park.
            self.store.token(self.account.clone(), self.configured.clone()).await?;
            parks = self.store.parks(Some(self.account.clone()), caller.now()).await?;
        }
        match parks.into_iter().max_by_key(|park| park.until.unwrap_or(Timestamp::MAX)) {
            Some(Park { account, cause, detail, until, .. }) => Err(CallError::Parked { account: account.account, cause, detail, until }),
            None => Ok(()),
        }
    }

    /// A token that will last for a while; where none can be had, the one that is there until it ends.
    pub(super) async fn access(&self, caller: &Caller) -> Result<Access, CallError> {
        let known = self.known().await?;
        if let Some(access) = good_for(&known, caller, self.grant.early()) {
            return Ok(access);
        }
        let old = good_for(&known, caller, SignedDuration::ZERO);
        match (self.renew_or(caller, known.generation, old.as_ref()).await, old) {
            (Err(CallError::Cancelled), _) => Err(CallError::Cancelled),
            (Err(error), Some(old)) => {
                tracing::debug!(account = %self.account.account, %error, "no new token; the old one goes on until it ends");
                Ok(old)
            }
            (renewed, _) => renewed,
        }
    }

    /// A newer token than pair `generation`, which the marketplace no longer takes: somebody else's, or one of our own getting.
    pub(super) async fn renew(&self, caller: &Caller, generation: i64) -> Result<Access, CallError> {
        self.renew_or(caller, generation, None).await
    }

    /// Whether the pair was got a moment ago: another one would fare no better.
    pub(super) async fn is_fresh(&self, caller: &Caller) -> bool {
        let renewed_at = self.known().await.ok().and_then(|known| known.refreshed_at);
        renewed_at.is_some_and(|at| caller.now().duration_since(at) < FRESH)
    }

    /// A new pair, however long the old one would last.
    pub(super) async fn renew_now(&self, caller: &Caller) -> Result<(), CallError> {
        match self.renew(caller, self.known().await?.generation).await {
            // Another pair has taken its place: that one's turn.
            Err(CallError::Again { .. }) => self.renew(caller, self.known().await?.generation).await.map(drop),
            renewed => renewed.map(drop),
        }
    }

    /// Redeems what a person's login gave, a code or a refresh token, and keeps the pair. Like a refresh, it is never broken off.
    pub(super) async fn log_in(&self, caller: &Caller, given: Secret) -> Result<(), CallError> {
        let (tokens, asked_at) = (self.clone(), caller.now());
        let exchange = self.refreshes.spawn(async move {
            let pair = tokens.grant.redeem(&given, asked_at).await?;
            let keep = || tokens.store.log_in(tokens.account.clone(), tokens.configured.clone(), pair.clone(), asked_at);
            Ok(tokio_retry::Retry::start(keep_again(), keep).await.map_err(CallError::from)?)
        });
        match caller.cancel.run_until_cancelled(exchange).await.ok_or(CallError::Cancelled)? {
            Ok(Err(NoGrant::Token(said))) => Err(self.login(&said)),
            Ok(Err(NoGrant::Call(error))) => Err(error),
            Ok(Ok(())) => Ok(()),
            Err(_) => Err(stopping()),
        }
    }

    /// Whether the refresh token was refused for good, whatever the access token still opens.
    pub(super) async fn ask_login(&self) -> Result<(), CallError> {
        self.known().await?.refused.map_or(Ok(()), |said| Err(self.login(&said)))
    }

    async fn known(&self) -> Result<Token, CallError> {
        let known = self.store.token(self.account.clone(), self.configured.clone()).await?;
        known.ok_or_else(|| self.login("there is no refresh token in tasks.yaml or in the store"))
    }

    /// Where somebody else is at it, `meanwhile` is used, if it is there.
    async fn renew_or(&self, caller: &Caller, generation: i64, meanwhile: Option<&Access>) -> Result<Access, CallError> {
        let mut dead = None;
        loop {
            let at = caller.now();
            let until = later(at, caller.clock.as_ref(), CLAIM);
            let claimant = Claimant { holder: children::this_process(), dead: dead.take(), at, until };
            match self.store.claim_refresh(self.account.clone(), generation, claimant).await? {
                Claim::Yours(token) => return self.refresh(caller, token).await,
                Claim::Renewed(token) => return self.newer(caller, &token),
                Claim::Refused(said) => return Err(self.login(&said)),
                Claim::Resting(until) => return Err(CallError::Resting { account: Arc::clone(&self.account.account), until }),
                Claim::Busy(holder) if children::is_gone(&holder) => dead = Some(holder),
                Claim::Busy(_) => {
                    if let Some(meanwhile) = meanwhile {
                        return Ok(meanwhile.clone());
                    }
                    caller.progress.note(format!("waiting for another process to renew the token of {}", self.account.account));
                    caller.cancel.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.ok_or(CallError::Cancelled)?;
                }
            }
        }
    }

    /// The pair that somebody else got.
    fn newer(&self, caller: &Caller, token: &Token) -> Result<Access, CallError> {
        let ended = || CallError::Again { what: WHAT, why: "another pair has taken its place, and has ended already".to_owned() };
        good_for(token, caller, self.grant.early()).ok_or_else(ended)
    }

    /// Gets a new pair and keeps it before anybody uses it. That is never broken off, as a rotated pair that nobody kept would be lost: it goes on
    /// where its caller is told to stop, and [`super::Market::at_rest`] waits for it.
    async fn refresh(&self, caller: &Caller, token: Token) -> Result<Access, CallError> {
        let (tokens, clock, generation) = (self.clone(), Arc::clone(&caller.clock), token.generation);
        let exchange = self.refreshes.spawn(async move { tokens.exchange(clock.as_ref(), token).await });
        let ended = caller.cancel.run_until_cancelled(exchange).await.ok_or(CallError::Cancelled)?;
        match ended {
            Ok(Err(NoGrant::Token(said))) => {
                // Refused because somebody else was faster, or a slip in the configuration that is mended, if there is another pair by now.
                let known = self.known().await?;
                if known.generation == generation { Err(self.login(&said)) } else { self.newer(caller, &known) }
            }
            Ok(Err(NoGrant::Call(error))) => Err(error),
            Ok(Ok(access)) => Ok(access),
            Err(_) => Err(stopping()),
        }
    }

    async fn exchange(&self, clock: &dyn Clock, token: Token) -> Result<Access, NoGrant> {
        let mut asked_at = clock.now().wall;
        let mut lost_at = token.sent_at;
        let mut result = self.grant.refresh(&token.refresh, asked_at).await;
        if let Err(error) = &result
            && lost_at.is_none()
            && self.grant.may_be_lost(error)
        {
            tracing::warn!("{}: {error}; the old refresh token is tried once more", self.account.account);
            lost_at = Some(asked_at);
            asked_at = clock.now().wall;
            result = self.grant.refresh(&token.refresh, asked_at).await;
        }
        let error = match result {
            Ok(pair) => return Ok(self.keep(token.generation, pair, asked_at).await?),
            Err(NoGrant::Token(said)) => NoGrant::Token(after_lost(said, lost_at)),
            Err(error) => error,
        };
        tracing::warn!("{}: no new token: {error}", self.account.account);
        let rest = later(clock.now().wall, clock, REST);
        self.store.end_refresh(self.account.clone(), token.generation, self.grant.ended(&error, rest)).await.map_err(CallError::from)?;
        Err(error)
    }

    /// Keeps a pair. Where the store takes no writes for a moment, it is tried again: a rotated pair exists nowhere else.
    async fn keep(&self, generation: i64, pair: TokenPair, at: Timestamp) -> Result<Access, CallError> {
        let keep = || self.store.keep_token(self.account.clone(), generation, pair.clone(), at);
        if tokio_retry::Retry::start(keep_again(), keep).await? {
            tracing::debug!(account = %self.account.account, "token renewed");
            Ok(Access { token: pair.access.clone(), generation: generation.saturating_add(1) })
        } else {
            Err(CallError::Again { what: WHAT, why: "somebody else has renewed it meanwhile".to_owned() })
        }
    }

    fn login(&self, why: &str) -> CallError {
        CallError::Login { account: Arc::clone(&self.account.account), why: why.to_owned() }
    }
}

/// When to try again to keep a pair.
fn keep_again() -> impl Iterator<Item = Duration> {
    FixedInterval::new(KEEP_AGAIN).take(KEEP_TRIES)
}

fn stopping() -> CallError {
    CallError::NoAnswer { what: WHAT, why: "taskrun is stopping".to_owned(), sent: true }
}

/// Says which answer was lost, where that is why the token is refused.
fn after_lost(said: String, sent_at: Option<Timestamp>) -> String {
    match sent_at {
        Some(at) => format!("{said}; the answer to a refresh sent at {at:.0} was lost, and the new tokens with it"),
        None => said,
    }
}

fn later(now: Timestamp, clock: &dyn Clock, real: Duration) -> Timestamp {
    now.saturating_add(clock.wall(real)).unwrap_or(Timestamp::MAX)
}

fn good_for(token: &Token, caller: &Caller, least: SignedDuration) -> Option<Access> {
    let (access, expires_at) = token.access.as_ref().zip(token.expires_at)?;
    (least < expires_at.duration_since(caller.now())).then(|| Access { token: access.clone(), generation: token.generation })
}
