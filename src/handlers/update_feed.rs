//! The handler `update_feed`: tells Amazon the stock of a seller's listings whose supplies changed, and deletes those that are to be withdrawn.
//!
//! A few are told one by one, many as one feed, of which a seller has one in flight. What Amazon was told is kept only once Amazon has said that it
//! took it, and as the number that was sent: what changed meanwhile is told by the next run.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{AttemptContext, Handler, HandlerError, Report, guarded, parking, store_failed};
use crate::{
    access::Caller,
    clock::BoxFuture,
    config::keys::{HandlerSpec, Key, Kind},
    core::value::Params,
    errors::chain,
    marketplace::{
        CallError, Market,
        amazon::{Seller, feeds::MESSAGES_MAX},
    },
    shop::quota::Purpose,
    store::{
        StoreError,
        shop::{Parked, Push, ShopStore, SupplyFilter, SupplyState},
    },
};

mod feed;
mod single;
mod tally;

use tally::Tally;

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "update_feed",
    doc: "Tells Amazon the stock of the listings whose supplies changed.",
    params: &[
        key(
            "patch_up_to",
            Kind::Int(0, 25_000),
            "Up to so many changed listings are told one by one, more of them as one feed; default 500.",
        ),
        key("feed_wait", Kind::Duration(false), "A feed on which Amazon works longer than this is left to the next run; default 8m."),
        key("refused_wait", Kind::Duration(false), "What Amazon refused is told again after this time, unless it changes; default 24h."),
    ],
    retries: 3,
    resumable: true,
    parks: true,
    needs: &["amazon", "account.seller_id"],
    eager_in_practice: false,
};

/// Supplies of a seller, at most: more are not looked through for what is doubtful.
const SUPPLIES_MAX: usize = 1_000_000;

/// The handler.
#[derive(Debug)]
pub struct UpdateFeed {
    market: Arc<Market>,
    store: Arc<dyn ShopStore>,
}

/// The parameters, with their defaults.
struct Settings {
    patch_up_to: usize,
    feed_wait: SignedDuration,
    refused_wait: SignedDuration,
}

impl Settings {
    fn read(params: &Params) -> Self {
        Self {
            patch_up_to: params.int("patch_up_to").and_then(|most| usize::try_from(most).ok()).unwrap_or(500),
            feed_wait: params.duration("feed_wait").unwrap_or(SignedDuration::from_mins(8)),
            refused_wait: params.duration("refused_wait").unwrap_or(SignedDuration::from_hours(24)),
        }
    }
}

/// One attempt: for whom, and what it may do.
struct Update<'a> {
    ctx: &'a AttemptContext,
    caller: Caller,
    store: &'a dyn ShopStore,
    seller: &'a Seller,
    account: Arc<str>,
    settings: Settings,
}

impl UpdateFeed {
    /// A handler that tells these sellers' listings what the store's supplies say.
    pub fn new(market: Arc<Market>, store: Arc<dyn ShopStore>) -> Self {
        Self { market, store }
    }

    async fn update(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let permanent = |message: String| HandlerError::Permanent { message };
        let account = ctx.instance.account.clone();
        let account =
            account.ok_or_else(|| permanent("this task serves no account; add `for_each: { platform: amazon }` to it".to_owned()))?;
        let seller = self.market.sellers().get(&account);
        let seller = seller.ok_or_else(|| permanent(format!("`{account}` is no Amazon seller, or it is disabled")))?;
        let (caller, settings) = (ctx.caller(Purpose::Sync), Settings::read(&ctx.params));
        let update = Update { ctx, caller, store: self.store.as_ref(), seller, account, settings };
        let mut tally = Tally::default();
        let ended = update.go(&mut tally).await;
        tally.tell(ctx, &update.account);
        ended.map(|()| Report { summary: tally.to_string() })
    }
}

impl Handler for UpdateFeed {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(async move {
            let result = self.update(ctx).await;
            self.market.at_rest().await;
            result
        })
    }
}

impl Update<'_> {
    fn now(&self) -> Timestamp {
        self.caller.now()
    }

    fn is_closed(&self) -> bool {
        self.ctx.closes_at.is_some_and(|closes_at| closes_at <= self.now())
    }

    /// First what is in flight, then what has changed.
    async fn go(&self, tally: &mut Tally) -> Result<(), HandlerError> {
        if let Some(open) = self.store.open_feed(Arc::clone(&self.account)).await.map_err(|error| store_failed(&error))?
            && !self.follow(&open, tally).await?
        {
            return Ok(());
        }
        let pushes = self.changes(tally).await?;
        if pushes.is_empty() || self.is_closed() {
            return Ok(());
        }
        self.ctx.progress.set_total(u64::try_from(pushes.len()).unwrap_or(u64::MAX));
        if let Err(error) = self.seller.takes_part(&self.caller).await {
            return Err(self.trouble(error).await);
        }
        if pushes.len() <= self.settings.patch_up_to { self.tell_each(pushes, tally).await } else { self.send_feed(pushes, tally).await }
    }

    /// What Amazon is to be told: what changed, and what may or may not have been told before. What it refused not long ago is left out.
    async fn changes(&self, tally: &mut Tally) -> Result<Vec<Push>, HandlerError> {
        let mut pushes = self.wanted().await.map_err(|error| store_failed(&error))?;
        let refused = self.store.refusals(Arc::clone(&self.account)).await.map_err(|error| store_failed(&error))?;
        let just: BTreeSet<_> = tally.refused.iter().map(|refusal| Arc::clone(&refusal.push.sku)).collect();
        let since = self.now().saturating_sub(self.settings.refused_wait).unwrap_or(Timestamp::MIN);
        for refusal in refused.iter().filter(|refusal| since < refusal.at) {
            if pushes.get(&refusal.push.sku) == Some(&refusal.push.stock) {
                pushes.remove(&refusal.push.sku);
                tally.held += usize::from(!just.contains(&refusal.push.sku));
            }
        }
        Ok(pushes.into_iter().map(|(sku, stock)| Push { sku, stock }).take(MESSAGES_MAX).collect())
    }

    async fn wanted(&self) -> Result<BTreeMap<Arc<str>, Option<u32>>, StoreError> {
        let account = || Arc::clone(&self.account);
        let stock = self.store.stock_to_push(account(), MESSAGES_MAX).await?;
        let mut wanted: BTreeMap<_, _> = stock.into_iter().map(|(sku, stock)| (sku, Some(stock))).collect();
        wanted.extend(self.store.listings_to_withdraw(account(), MESSAGES_MAX).await?.into_iter().map(|sku| (sku, None)));
        let doubtful = self.store.doubtful_pushes(account(), MESSAGES_MAX).await?;
        if !doubtful.is_empty() {
            let filter = SupplyFilter { account: Some(account()), limit: SUPPLIES_MAX, ..SupplyFilter::default() };
            let supplies = self.store.supplies(filter).await?;
            let known: BTreeMap<_, _> = supplies.iter().map(|supply| (&supply.key.sku, supply)).collect();
            for sku in doubtful {
                if let Some(supply) = known.get(&sku) {
                    let stock = match supply.state {
                        SupplyState::Backed | SupplyState::Gone => Some(supply.wanted),
                        SupplyState::Withdraw | SupplyState::Withdrawn => None,
                    };
                    wanted.insert(sku, stock);
                }
            }
        }
        Ok(wanted)
    }

    /// Keeps that Amazon has taken these, as they were sent.
    async fn keep(&self, taken: Vec<Push>, tally: &mut Tally) -> Result<(), HandlerError> {
        let Some(fence) = self.caller.access.fence() else { return Ok(()) };
        let skus = taken.iter().map(|push| Arc::clone(&push.sku)).collect();
        let told: Vec<_> = taken.iter().filter_map(|push| Some((Arc::clone(&push.sku), push.stock?))).collect();
        let withdrawn: Vec<_> = taken.into_iter().filter(|push| push.stock.is_none()).map(|push| push.sku).collect();
        (tally.told, tally.withdrawn) = (tally.told + told.len(), tally.withdrawn + withdrawn.len());
        if !told.is_empty() {
            guarded(self.store.stock_pushed(fence.clone(), Arc::clone(&self.account), told, self.now()).await)?;
        }
        if !withdrawn.is_empty() {
            guarded(self.store.listings_withdrawn(fence.clone(), Arc::clone(&self.account), withdrawn, self.now()).await)?;
        }
        guarded(self.store.end_pushes(fence.clone(), Arc::clone(&self.account), skus).await)
    }

    /// What an error means that concerns the seller. One whose registration is no good is parked, and people are told.
    async fn trouble(&self, error: CallError) -> HandlerError {
        match parking::park(self.ctx, self.store, self.seller.key(), &error).await {
            Err(error) => return store_failed(&error),
            Ok(Some(_)) => {
                let name = &self.account;
                let message = format!(
                    "Amazon does not let taskrun change the listings of `{name}`, so their stock is not updated: {}",
                    chain(&error)
                );
                return HandlerError::Permanent { message };
            }
            Ok(None) => {}
        }
        match &error {
            // A pause is a person's, who may end it at any moment: nobody sits and waits for its end.
            CallError::Parked { cause: Parked::Paused, .. } => HandlerError::Permanent { message: chain(&error) },
            CallError::Limited { until, .. } | CallError::Parked { until: Some(until), .. } => {
                HandlerError::NotYet { message: chain(&error), until: *until }
            }
            error => HandlerError::of(error, self.now()),
        }
    }
}
