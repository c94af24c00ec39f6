//! Accounts' tokens: taken from the store, renewed before they end, by one at a time over all processes.
use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use tokio_util::task::TaskTracker;

use super::{CallError, amazon::lwa, base::oauth, http::REQUEST_MAX};
use crate::{
    access::Caller,
    core::value::Secret,
    store::shop::{AccountKey, Claim, ShopStore, Token, TokenPair},
};

/// A token that ends sooner than this is renewed first: it has to outlive the call.
const EARLY: SignedDuration = SignedDuration::from_secs(60);
/// How long a refresh may take before another process may try, in real time: longer than a request can.
const CLAIM: Duration = Duration::from_secs(REQUEST_MAX.as_secs() + 15);
/// How often somebody who waits for another's refresh looks again, in real time.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Where an account's tokens come from.
#[derive(Clone, Debug)]
pub(super) enum Grant {
    Lwa(lwa::Login),
    Base(oauth::Login),
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

    /// A token that will last for a while.
    pub(super) async fn access(&self, caller: &Caller) -> Result<Access, CallError> {
        let known = self.store.token(self.account.clone(), self.configured.clone()).await?;
        let known = known.ok_or_else(|| self.login("there is no refresh token in tasks.yaml or in the store; set `refresh_token`"))?;
        match usable(&known, caller) {
            Some(access) => Ok(access),
            None => self.renew(caller, known.generation).await,
        }
    }

    /// A newer token than pair `generation`, which the marketplace no longer takes: somebody else's, or one of our own getting.
    pub(super) async fn renew(&self, caller: &Caller, generation: i64) -> Result<Access, CallError> {
        loop {
            let now = caller.now();
            let until = now.saturating_add(caller.clock.wall(CLAIM)).unwrap_or(now);
            match self.store.claim_refresh(self.account.clone(), generation, now, until).await? {
                Claim::Yours(token) => return self.refresh(caller, token).await,
                Claim::Renewed(token) => match usable(&token, caller) {
                    Some(access) => return Ok(access),
                    None => return Err(CallError::Again { what: "renewing a token", why: "somebody else's has ended already".to_owned() }),
                },
                Claim::Busy => {
                    caller.progress.note(format!("waiting for another process to renew the token of {}", self.account.account));
                    caller.cancel.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.ok_or(CallError::Cancelled)?;
                }
            }
        }
    }

    /// Gets a new pair and keeps it before anybody uses it. That is never broken off, as a rotated pair that nobody kept would be lost: it goes on
    /// where its caller is told to stop, and [`super::Market::at_rest`] waits for it.
    async fn refresh(&self, caller: &Caller, token: Token) -> Result<Access, CallError> {
        let (tokens, clock, generation) = (self.clone(), Arc::clone(&caller.clock), token.generation);
        let exchange = self.refreshes.spawn(async move {
            let asked_at = clock.now().wall;
            let pair = match &tokens.grant {
                Grant::Lwa(login) => login.refresh(&token.refresh, asked_at).await,
                Grant::Base(login) => login.refresh(&token.refresh, asked_at).await,
            };
            let kept = match pair {
                Ok(pair) => tokens.keep(token.generation, pair).await,
                Err(error) => Err(error),
            };
            if kept.is_err() {
                tokens.store.release_refresh(tokens.account.clone(), token.generation).await?;
            }
            kept
        });
        let ended = caller.cancel.run_until_cancelled(exchange).await.ok_or(CallError::Cancelled)?;
        match ended {
            Ok(Err(CallError::Refused { code, text, .. })) => {
                // Refused because somebody else was faster, if there is a newer pair by now.
                let known = self.store.token(self.account.clone(), self.configured.clone()).await?;
                let newer = known.filter(|known| known.generation != generation).and_then(|known| usable(&known, caller));
                newer.ok_or_else(|| self.login(&format!("{code}: {text}; authorise taskrun anew and set `refresh_token`")))
            }
            Ok(kept) => kept,
            Err(_) => Err(CallError::NoAnswer { what: "renewing a token", why: "taskrun is stopping".to_owned(), sent: true }),
        }
    }

    async fn keep(&self, generation: i64, pair: TokenPair) -> Result<Access, CallError> {
        let token = pair.access.clone();
        if self.store.keep_token(self.account.clone(), generation, pair).await? {
            tracing::debug!(account = %self.account.account, "token renewed");
            Ok(Access { token, generation: generation.saturating_add(1) })
        } else {
            Err(CallError::Again { what: "renewing a token", why: "somebody else has renewed it meanwhile".to_owned() })
        }
    }

    fn login(&self, why: &str) -> CallError {
        CallError::Login { account: Arc::clone(&self.account.account), why: why.to_owned() }
    }
}

fn usable(token: &Token, caller: &Caller) -> Option<Access> {
    let (access, expires_at) = token.access.as_ref().zip(token.expires_at)?;
    (EARLY < expires_at.duration_since(caller.now())).then(|| Access { token: access.clone(), generation: token.generation })
}
