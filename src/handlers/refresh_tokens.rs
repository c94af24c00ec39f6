//! The handler `refresh_tokens`: renews every account's tokens, so that a refresh token never grows old, and says in time where one does.
//!
//! A dry run renews nothing. An account that is parked is renewed all the same: a park ends some day, and its refresh token should still be good.
use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{AttemptContext, Handler, HandlerError, Report, parking};
use crate::{
    access::{Caller, Planned},
    clock::BoxFuture,
    config::keys::{HandlerSpec, Key, Kind},
    errors::chain,
    marketplace::{CallError, Client, Market, refresh_lives},
    notify::{Event, Level, Notice},
    shop::quota::Purpose,
    store::{
        StoreError,
        shop::{Parked, ShopStore},
    },
};

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "refresh_tokens",
    doc: "Renews every account's tokens, and says in time where that fails.",
    params: &[Key {
        name: "alert_before",
        kind: Kind::Duration(false),
        required: false,
        doc: "How long before a refresh token ends that could not be renewed people are told each time; default 5d.",
    }],
    retries: 3,
    resumable: true,
    needs: &[],
    parks: false,
    eager_in_practice: false,
};

const ALERT_BEFORE: SignedDuration = SignedDuration::from_hours(5 * 24);

/// The handler.
#[derive(Debug)]
pub struct RefreshTokens {
    market: Arc<Market>,
    store: Arc<dyn ShopStore>,
}

/// What became of the accounts.
#[derive(Debug, Default)]
struct Tally {
    renewed: usize,
    planned: usize,
    /// Accounts that wait for a person's login, who has been told.
    waiting: Vec<Arc<str>>,
    failed: Vec<(Arc<str>, CallError)>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} renewed", self.renewed)?;
        if self.planned > 0 {
            write!(f, ", {} would be", self.planned)?;
        }
        if !self.waiting.is_empty() {
            write!(f, ", waiting for a person's login: {}", self.waiting.join(", "))?;
        }
        self.failed.iter().try_for_each(|(account, error)| write!(f, "; {account} failed: {}", chain(error)))
    }
}

impl Handler for RefreshTokens {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(async move {
            let result = self.renew_all(ctx).await;
            self.market.at_rest().await;
            result
        })
    }
}

impl RefreshTokens {
    /// A handler that renews the tokens of these accounts.
    pub fn new(market: Arc<Market>, store: Arc<dyn ShopStore>) -> Self {
        Self { market, store }
    }

    async fn renew_all(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let clients = self.market.clients(ctx.instance.account.as_deref());
        if clients.is_empty() {
            return Err(HandlerError::Permanent { message: "there is no account to renew tokens of, or it is disabled".to_owned() });
        }
        ctx.progress.set_total(u64::try_from(clients.len()).unwrap_or(0));
        let caller = ctx.caller(Purpose::Sync);
        let mut tally = Tally::default();
        for (done, client) in (1..).zip(clients) {
            match self.renew(ctx, &caller, client, &mut tally).await {
                Ok(()) => ctx.progress.set_done(done),
                Err(error) => return Err(HandlerError::of(&error, caller.now())),
            }
        }
        let message = tally.to_string();
        if tally.failed.is_empty() {
            return Ok(Report { summary: message });
        }
        let passing = tally.failed.iter().filter(|(_, error)| error.is_passing());
        match passing.map(|(_, error)| error.retry_after(caller.now())).max() {
            Some(retry_after) => Err(HandlerError::Transient { message, retry_after }),
            None => Err(HandlerError::Permanent { message }),
        }
    }

    /// One account. Its trouble is its own; an error is the whole run's.
    async fn renew(&self, ctx: &AttemptContext, caller: &Caller, client: Client<'_>, tally: &mut Tally) -> Result<(), CallError> {
        let key = client.key();
        let refreshed_at = self.store.token(key.clone(), None).await?.and_then(|token| token.refreshed_at);
        if refreshed_at.is_some_and(|at| ctx.fire_at <= at) {
            // By an earlier attempt of this run, or because somebody needed it.
            tally.renewed += 1;
            return Ok(());
        }
        if ctx.access.permit(|| planned(client, refreshed_at, caller.now())).is_none() {
            tally.planned += 1;
            return Ok(());
        }
        match client.renew_tokens(caller).await {
            Ok(()) => tally.renewed += 1,
            Err(error @ (CallError::Cancelled | CallError::Store(_))) => return Err(error),
            Err(error) => {
                if self.is_waiting(ctx, client).await? {
                    tally.waiting.push(Arc::clone(&key.account));
                    return Ok(());
                }
                parking::park_once_shut(ctx, self.store.as_ref(), key, &error).await?;
                warn_of_end(ctx, client, refreshed_at, &error);
                tally.failed.push((Arc::clone(&key.account), error));
            }
        }
        Ok(())
    }

    /// Whether a person has been told before that the account needs a login.
    async fn is_waiting(&self, ctx: &AttemptContext, client: Client<'_>) -> Result<bool, StoreError> {
        let parks = self.store.parks(Some(client.key().clone()), ctx.clock.now().wall).await?;
        Ok(parks.iter().any(|park| park.cause == Parked::Login))
    }
}

fn planned(client: Client<'_>, refreshed_at: Option<Timestamp>, now: Timestamp) -> Planned {
    let reason = match refreshed_at {
        Some(at) => format!("they are of {at:.0}, {} old", age(at, now)),
        None => "they have not been renewed yet".to_owned(),
    };
    Planned { kind: "renew", target: client.key().account.to_string(), change: "new tokens".to_owned(), reason }
}

/// Tells that a refresh token ends soon which could not be renewed.
fn warn_of_end(ctx: &AttemptContext, client: Client<'_>, refreshed_at: Option<Timestamp>, error: &CallError) {
    let alert_before = ctx.params.duration("alert_before").unwrap_or(ALERT_BEFORE);
    let now = ctx.clock.now().wall;
    let ends_at = refreshed_at.zip(refresh_lives(client.key().platform)).and_then(|(at, lives)| at.saturating_add(lives).ok());
    let Some(ends_at) = ends_at.filter(|ends_at| ends_at.duration_since(now) <= alert_before) else { return };
    let name = &client.key().account;
    let text = format!(
        "its refresh token ends at {ends_at:.0} and could not be renewed: {}; after that only `taskrun accounts login {name}` helps",
        chain(error)
    );
    ctx.notifier.notify(Notice { event: Event::TokenEnding, level: Level::Alert, subject: Arc::clone(name), text });
}

/// `12 d`, or `3 h` within the first two days.
fn age(at: Timestamp, now: Timestamp) -> String {
    let hours = now.duration_since(at).as_hours();
    if hours < 48 { format!("{hours} h") } else { format!("{} d", hours / 24) }
}
