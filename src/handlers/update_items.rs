//! The handler `update_items`: looks for another item for each listing whose own is gone, and restocks it.
//!
//! It works on what `check_items` has flagged, at its own times: either may be late. Where nothing is found the listing goes on waiting.
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    AttemptContext, Handler, HandlerError, Planned, Report,
    check_items::{connect, named},
    crew::{Crew, CrewSettings, Done, ITEM_TIMEOUT, MAX_ATTEMPTS, PORTION, Trade, Trouble, WORKERS, WORKERS_SETTING},
    guarded, store_failed,
};
use crate::{
    access::Caller,
    clock::BoxFuture,
    config::{
        self,
        keys::{HandlerSpec, Key, Kind},
    },
    marketplace::source::Source,
    shop::{quota::Purpose, upload::Work},
    store::{
        Fence,
        shop::{Job, NewItem, Replaced, ShopStore, Supply, SupplyFilter, SupplyState, WorkLane},
    },
};

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "update_items",
    doc: "Looks for another item for each listing whose own is gone, and restocks it.",
    params: &[
        Key { name: "source", kind: Kind::Name, required: true, doc: "The source: a name under `sources`." },
        Key {
            name: "candidates",
            kind: Kind::Int(1, 50),
            required: false,
            doc: "How many items a search may give, of which the cheapest that backs no other listing is taken; default 10.",
        },
        PORTION,
        WORKERS,
        WORKERS_SETTING,
        ITEM_TIMEOUT,
        MAX_ATTEMPTS,
    ],
    retries: 3,
    resumable: true,
    parks: true,
    needs: &[],
    eager_in_practice: false,
};

/// The handler.
#[derive(Debug)]
pub struct UpdateItems {
    sources: Arc<BTreeMap<Arc<str>, Source>>,
    store: Arc<dyn ShopStore>,
}

/// One attempt.
struct Update<'a> {
    ctx: &'a AttemptContext,
    caller: Caller,
    store: &'a dyn ShopStore,
    source: &'a Source,
    candidates: u32,
}

/// An attempt that may write.
struct Searching<'u, 'a> {
    update: &'u Update<'a>,
    fence: &'u Fence,
    restocked: AtomicU64,
}

impl UpdateItems {
    /// A handler that searches these sources for the supplies of this store.
    pub fn new(sources: &BTreeMap<Arc<str>, config::Source>, store: Arc<dyn ShopStore>) -> Self {
        Self { sources: connect(sources, &store), store }
    }
}

impl Handler for UpdateItems {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(async move {
            let source = named(&self.sources, ctx)?;
            let candidates = ctx.params.int("candidates").and_then(|most| u32::try_from(most).ok()).unwrap_or(10);
            let update = Update { ctx, caller: ctx.caller(Purpose::Sync), store: self.store.as_ref(), source, candidates };
            match ctx.access.fence() {
                Some(fence) => update.live(fence).await,
                None => update.plan().await,
            }
        })
    }
}

impl Update<'_> {
    async fn live(&self, fence: &Fence) -> Result<Report, HandlerError> {
        let settings = CrewSettings::read(&self.ctx.params);
        let lane = WorkLane { work: Work::Replace, source: Arc::clone(self.source.name()) };
        let crew = Crew { ctx: self.ctx, store: self.store, fence, lane, settings: &settings };
        let (mut done, mut total) = (Done::default(), 0_u64);
        let searching = Searching { update: self, fence, restocked: AtomicU64::new(0) };
        crew.begin(&mut done).await?;
        loop {
            if self.ctx.closes_at.is_some_and(|closes_at| closes_at <= self.caller.now()) {
                break;
            }
            let (source, since, now) = (Arc::clone(self.source.name()), self.ctx.fire_at, self.caller.now());
            let queued = guarded(self.store.queue_replacements(fence.clone(), source, since, settings.portion, now).await)?;
            total = total.saturating_add(u64::from(queued));
            self.ctx.progress.set_total(total.max(done.finished));
            let before = (done.finished, done.dead);
            crew.work_through(&searching, &mut done).await?;
            // What could not be searched stays due: without that, a run would never end.
            if queued == 0 || before == (done.finished, done.dead) {
                break;
            }
        }
        let restocked = searching.restocked.load(Ordering::Relaxed);
        let waiting = done.finished.saturating_sub(restocked);
        Ok(Report { summary: format!("{} searched, {restocked} restocked, {waiting} still wait{}", done.finished, done.troubles()) })
    }

    /// A dry run: searches for one portion, and says what would take whose place.
    async fn plan(&self) -> Result<Report, HandlerError> {
        let limit = CrewSettings::read(&self.ctx.params).portion;
        let filter = SupplyFilter { source: Some(Arc::clone(self.source.name())), state: Some(SupplyState::Gone), account: None, limit };
        let supplies = self.store.supplies(filter).await.map_err(|error| store_failed(&error))?;
        let (mut searched, mut found) = (0_u64, 0_u64);
        for supply in &supplies {
            let Some(query) = &supply.query else { continue };
            if self.ctx.cancel.is_cancelled() {
                return Err(HandlerError::Cancelled);
            }
            searched += 1;
            match self.source.search(&self.caller, query, dearest(supply), self.candidates).await {
                Err(error) => tracing::warn!("{}: {error}", supply.key.sku),
                Ok(offered) => {
                    let Some(new) = offered.into_iter().find(|offered| offered.item != supply.item) else { continue };
                    found += 1;
                    self.ctx.access.permit(|| Planned {
                        kind: "restock",
                        target: format!("{} {}", supply.key.account, supply.key.sku),
                        change: format!("0 -> {}", supply.restock),
                        reason: format!("{} at {} takes the place of {}, for {} yen", new.item, supply.source, supply.item, new.price),
                    });
                }
            }
        }
        Ok(Report { summary: format!("{searched} searched, {found} could be restocked; nothing was changed") })
    }
}

/// What another item may cost: what the supply says, else no more than the one that is gone.
fn dearest(supply: &Supply) -> Option<i64> {
    supply.max_price.or(supply.price)
}

impl Trade for Searching<'_, '_> {
    fn work<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move {
            let Update { store, source, caller, candidates, .. } = self.update;
            let failed = |error| Trouble::Run(store_failed(&error));
            let Some(supply) = store.supply(job.key.clone()).await.map_err(failed)? else { return Ok(()) };
            let Some(query) = supply.query.clone().filter(|_| supply.state == SupplyState::Gone && supply.source == job.source) else {
                return Ok(());
            };
            let offered = source.search(caller, &query, dearest(&supply), *candidates).await?;
            for offered in offered.into_iter().filter(|offered| offered.item != supply.item) {
                let new = NewItem { item: offered.item, price: offered.price };
                let (fence, key, gone) = (self.fence.clone(), job.key.clone(), Arc::clone(&supply.item));
                match guarded(store.replace_supply(fence, key, gone, new, caller.now()).await).map_err(Trouble::Run)? {
                    Replaced::Made => {
                        self.restocked.fetch_add(1, Ordering::Relaxed);
                        return Ok(());
                    }
                    Replaced::Taken => {}
                    Replaced::NotWanted => return Ok(()),
                }
            }
            guarded(store.supply_searched(self.fence.clone(), job.key.clone(), caller.now()).await).map_err(Trouble::Run)
        })
    }
}
