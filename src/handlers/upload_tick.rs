//! The handler `upload_tick`: lists at one shop what is due in the queue, one item after the other, each at most once.
//!
//! An item is taken, judged by the publish rules, priced, made at the shop, and given its pictures; each step is written down before it goes out and
//! after. Whatever dies in between leaves an open step behind, and an open step is looked up at the shop before it is made again. Items are taken
//! one by one: a run that dies has one of them in hand, and what is urgent overtakes between two.
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use jiff::{Timestamp, tz::TimeZone};

use super::{AttemptContext, Handler, HandlerError, Report, guarded, store_failed};
use crate::{
    access::Caller,
    clock::BoxFuture,
    config::{Account, Publish},
    marketplace::{Market, shop::Shop},
    notify::{Event, Level, Notice},
    shop::{
        product::Platform,
        quota::Purpose,
        spread::day_of,
        upload::{DAILY_LIMIT, Work},
    },
    store::{
        Fence,
        shop::{AccountKey, Batch, Cap, ClaimRequest, Item, ItemFilter, ShopStore},
    },
};

mod judge;
mod plan;
mod settings;
mod steps;
mod tally;
mod trouble;

pub use settings::SPEC;
use settings::Settings;
use tally::Tally;
use trouble::Next;

/// How long an item stays this run's after a sign of life, of the marketplace's time: the longest wait for a place in a limit, and some.
const LEASE: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);
/// The same in real time: requests take what they take, also in practice.
const LEASE_REAL: std::time::Duration = std::time::Duration::from_mins(2);
/// Items looked at for each one that may be listed: what is put back at once (out of stock, old data) must not keep a run going for ever.
const LOOKS_MAX: usize = 20;
/// Items in a row that fail for passing reasons before the shop is left alone for this attempt.
const FAILURES_MAX: u32 = 3;

/// The handler.
#[derive(Debug)]
pub struct UploadTick {
    market: Arc<Market>,
    store: Arc<dyn ShopStore>,
    publish: Option<Publish>,
    /// Where each account sells, and how many items it may list on a day.
    accounts: BTreeMap<Arc<str>, (Platform, Option<u32>)>,
}

/// One attempt: for whom, and what it may do.
struct Tick<'a> {
    ctx: &'a AttemptContext,
    caller: Caller,
    store: &'a dyn ShopStore,
    shop: &'a dyn Shop,
    publish: &'a Publish,
    settings: Settings,
    account: AccountKey,
    daily_limit: u32,
}

/// An attempt that may write.
struct Live<'t, 'a> {
    tick: &'t Tick<'a>,
    fence: &'t Fence,
}

impl UploadTick {
    /// A handler that lists at these marketplaces what the queue of this store says, as far as the configuration allows.
    pub fn new(publish: Option<Publish>, accounts: &BTreeMap<Arc<str>, Account>, market: Arc<Market>, store: Arc<dyn ShopStore>) -> Self {
        let accounts = accounts.iter().map(|(name, account)| (Arc::clone(name), (account.platform, account.daily_limit))).collect();
        Self { market, store, publish, accounts }
    }

    async fn tick(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let permanent = |message: String| HandlerError::Permanent { message };
        let name = ctx
            .instance
            .account
            .as_ref()
            .ok_or_else(|| permanent("this task serves no account; add `for_each: { platform: base }` to it".to_owned()))?;
        let publish = self.publish.as_ref().ok_or_else(|| {
            permanent("nothing is listed without rules; add `publish: { rules: deploy/publish-rules.yaml }` to tasks.yaml".to_owned())
        })?;
        let known = self.accounts.get(name).and_then(|(platform, daily_limit)| {
            let account = AccountKey { platform: *platform, account: Arc::clone(name) };
            Some((self.market.shop(&account)?, account, daily_limit.unwrap_or(DAILY_LIMIT)))
        });
        let (shop, account, daily_limit) =
            known.ok_or_else(|| permanent(format!("`{name}` is no shop that products can be listed at, or it is disabled")))?;
        let settings = Settings::read(&ctx.params);
        let tick =
            Tick { ctx, caller: ctx.caller(Purpose::Upload), store: self.store.as_ref(), shop, publish, settings, account, daily_limit };
        let due = tick.due().await?;
        ctx.progress.set_total(u64::try_from(due.len()).unwrap_or(u64::MAX));
        match tick.caller.access.fence() {
            Some(fence) => Live { tick: &tick, fence }.list().await,
            None => tick.plan(due).await,
        }
    }
}

impl Handler for UploadTick {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(async move {
            let result = self.tick(ctx).await;
            self.market.at_rest().await;
            result
        })
    }

    fn polls(&self) -> bool {
        true
    }
}

impl Tick<'_> {
    fn now(&self) -> Timestamp {
        self.caller.now()
    }

    fn zone(&self) -> &TimeZone {
        &self.ctx.instance.timing.zone
    }

    fn cap(&self) -> Cap {
        Cap { day: day_of(self.now(), self.zone()), limit: Some(self.daily_limit) }
    }

    /// Whether no new item is to be taken: the business hours are over.
    fn is_closed(&self) -> bool {
        self.ctx.closes_at.is_some_and(|closes_at| closes_at <= self.now())
    }

    fn lease_until(&self) -> Timestamp {
        let lease = LEASE.saturating_add(self.caller.clock.wall(LEASE_REAL));
        self.now().saturating_add(lease).unwrap_or(Timestamp::MAX)
    }

    /// The items that would be taken next, as many as one run lists.
    async fn due(&self) -> Result<Vec<Item>, HandlerError> {
        let filter =
            ItemFilter { account: Some(self.account.clone()), due_at: Some(self.now()), limit: self.settings.batch_size, state: None };
        self.store.items(Work::Upload, filter).await.map_err(|error| store_failed(&error))
    }
}

impl Live<'_, '_> {
    async fn list(&self) -> Result<Report, HandlerError> {
        let mut tally = Tally::default();
        let ended = self.batch(&mut tally).await;
        self.tell(&tally);
        if tally.is_empty() {
            self.tick.ctx.progress.set_idle();
        }
        ended.map(|()| Report { summary: tally.to_string() })
    }

    /// One item after the other, until there is a reason to stop.
    async fn batch(&self, tally: &mut Tally) -> Result<(), HandlerError> {
        let Tick { ctx, settings, .. } = self.tick;
        let mut failures = 0;
        while tally.begun < settings.batch_size && tally.looked_at < settings.batch_size.saturating_mul(LOOKS_MAX) {
            if ctx.cancel.is_cancelled() {
                return Err(HandlerError::Cancelled);
            }
            if self.tick.is_closed() {
                tally.stopped = Some("the business hours are over".to_owned());
                return Ok(());
            }
            let Batch { items, capped } = self.claim().await?;
            let Some(claimed) = items.first() else {
                if capped {
                    let until = self.tick.cap().day.end;
                    tally.stopped = Some(format!("the day's {} are used up until {until:.0}", self.tick.daily_limit));
                }
                return Ok(());
            };
            let next = self.attend(claimed, tally).await?;
            ctx.progress.set_done(u64::try_from(tally.begun).unwrap_or(u64::MAX));
            match next {
                Next::On => failures = 0,
                Next::Failed(error) => {
                    failures += 1;
                    if failures >= FAILURES_MAX {
                        return Err(error);
                    }
                }
                Next::Rest(why) => {
                    tally.stopped = Some(why);
                    return Ok(());
                }
                Next::Fail(error) => return Err(error),
            }
            if tally.made_last {
                self.pause(tally).await?;
            }
        }
        Ok(())
    }

    /// The space between two listings. Nothing is in hand meanwhile.
    async fn pause(&self, tally: &mut Tally) -> Result<(), HandlerError> {
        tally.made_last = false;
        let Tick { ctx, settings, .. } = self.tick;
        if tally.begun >= settings.batch_size {
            return Ok(());
        }
        ctx.cancel.run_until_cancelled(ctx.clock.sleep(settings.spacing)).await.ok_or(HandlerError::Cancelled)
    }

    async fn claim(&self) -> Result<Batch, HandlerError> {
        let tick = self.tick;
        let request =
            ClaimRequest { work: Work::Upload, account: tick.account.clone(), limit: 1, lease_until: tick.lease_until(), cap: tick.cap() };
        guarded(tick.store.claim_items(self.fence.clone(), request, tick.now()).await)
    }

    /// Tells a person what waits for one, once for the whole run.
    fn tell(&self, tally: &Tally) {
        if tally.for_people.is_empty() {
            return;
        }
        let mut text = String::new();
        for (state, example) in &tally.for_people {
            let and = if text.is_empty() { "" } else { "; " };
            _ = write!(text, "{and}{state}: {example}");
        }
        let subject = Arc::clone(&self.tick.account.account);
        text.push_str("; see `taskrun queue list --account ");
        text.push_str(&subject);
        text.push('`');
        self.tick.ctx.notifier.notify(Notice { event: Event::NeedsEye, level: Level::Warning, subject, text });
    }
}
