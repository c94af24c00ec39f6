//! The handler `check_items`: asks a source whether the items that back listings at Amazon are still there.
//!
//! What is due goes into the work queue in portions, a crew asks, and each answer is kept at once. What follows from the items that are gone is judged
//! at the end, for all of them together: too many at once look like a fault of the source, and then nothing changes. An error is never "gone".
use std::{collections::BTreeMap, sync::Arc};

use jiff::{Timestamp, civil::Time, tz::TimeZone};

use super::{
    AttemptContext, Handler, HandlerError, Planned, Report,
    crew::{Crew, CrewSettings, Done, ITEM_TIMEOUT, MAX_ATTEMPTS, PORTION, Trade, Trouble, WORKERS, WORKERS_SETTING, in_trouble},
    guarded, store_failed,
};
use crate::{
    access::Caller,
    clock::BoxFuture,
    config::{
        self,
        keys::{HandlerSpec, Key, Kind},
    },
    errors::chain,
    marketplace::{
        CallError,
        source::{Source, Status},
    },
    notify::{Event, Level, Notice},
    shop::{difference::brake_trips, quota::Purpose, upload::Work},
    store::{
        Fence,
        shop::{ChecksDue, Job, Missing, ShopStore, Supply, SupplyState, WorkLane},
    },
};

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "check_items",
    doc: "Finds out which items of a source are sold or ended, and takes their listings' stock away.",
    params: &[
        Key { name: "source", kind: Kind::Name, required: true, doc: "The source: a name under `sources`." },
        Key {
            name: "on_gone",
            kind: Kind::Word(&["out_of_stock", "withdraw"]),
            required: false,
            doc: "What becomes of a listing whose item is gone: no stock, or deleted at Amazon; default out_of_stock.",
        },
        Key {
            name: "max_gone",
            kind: Kind::Percent,
            required: false,
            doc: "Where a larger share of those checked in a run is gone, nothing is changed and a person is told; default 20%.",
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

/// A fifth, in millionths.
const MAX_GONE: i64 = 200_000;

/// The sources that are configured, ready to be asked.
pub(super) fn connect(sources: &BTreeMap<Arc<str>, config::Source>, store: &Arc<dyn ShopStore>) -> Arc<BTreeMap<Arc<str>, Source>> {
    let connect = |(name, source): (&Arc<str>, &config::Source)| (Arc::clone(name), Source::connect(Arc::clone(name), source, store));
    Arc::new(sources.iter().map(connect).collect())
}

/// The source that the task names.
pub(super) fn named<'s>(sources: &'s BTreeMap<Arc<str>, Source>, ctx: &AttemptContext) -> Result<&'s Source, HandlerError> {
    let name = ctx.params.text("source").unwrap_or_default();
    sources.get(name).ok_or_else(|| {
        let message = format!("there is no source `{name}`; add `sources: {{ {name}: {{ endpoint: URL }} }}` to tasks.yaml");
        HandlerError::Permanent { message }
    })
}

/// The handler.
#[derive(Debug)]
pub struct CheckItems {
    sources: Arc<BTreeMap<Arc<str>, Source>>,
    store: Arc<dyn ShopStore>,
}

/// One attempt.
struct Check<'a> {
    ctx: &'a AttemptContext,
    caller: Caller,
    store: &'a dyn ShopStore,
    source: &'a Source,
}

/// An attempt that may write.
struct Asking<'c, 'a> {
    check: &'c Check<'a>,
    fence: &'c Fence,
}

impl CheckItems {
    /// A handler that asks these sources about the supplies of this store.
    pub fn new(sources: &BTreeMap<Arc<str>, config::Source>, store: Arc<dyn ShopStore>) -> Self {
        Self { sources: connect(sources, &store), store }
    }
}

impl Handler for CheckItems {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(async move {
            let source = named(&self.sources, ctx)?;
            let check = Check { ctx, caller: ctx.caller(Purpose::Sync), store: self.store.as_ref(), source };
            match ctx.access.fence() {
                Some(fence) => check.live(fence).await,
                None => check.plan().await,
            }
        })
    }
}

impl Check<'_> {
    /// Since when a check counts, for both classes.
    fn due(&self, limit: usize) -> ChecksDue {
        let zone = &self.ctx.instance.timing.zone;
        let since = |per_day| slot_began(self.caller.now(), per_day, zone);
        ChecksDue { source: Arc::clone(self.source.name()), twice_since: since(2), four_since: since(4), limit }
    }

    async fn live(&self, fence: &Fence) -> Result<Report, HandlerError> {
        let settings = CrewSettings::read(&self.ctx.params);
        let lane = WorkLane { work: Work::Check, source: Arc::clone(self.source.name()) };
        let crew = Crew { ctx: self.ctx, store: self.store, fence, lane, settings: &settings };
        let blocks = self.source.blocks();
        let (mut done, mut total) = (Done::default(), 0_u64);
        crew.begin(&mut done).await?;
        loop {
            if self.ctx.closes_at.is_some_and(|closes_at| closes_at <= self.caller.now()) {
                break;
            }
            let queued = self.store.queue_checks(fence.clone(), self.due(settings.portion), self.caller.now()).await;
            let queued = guarded(queued)?;
            total = total.saturating_add(u64::from(queued));
            self.ctx.progress.set_total(total.max(done.finished));
            crew.work_through(&Asking { check: self, fence }, &mut done).await?;
            if queued == 0 {
                break;
            }
        }
        let followed = self.follow(fence).await?;
        let blocked = match self.source.blocks().saturating_sub(blocks) {
            0 => String::new(),
            times => format!(", blocked {times} times"),
        };
        Ok(Report { summary: format!("{followed}{}{blocked}", done.troubles()) })
    }

    /// What follows from what this run has found, whichever of its attempts did. The sentence that says so.
    async fn follow(&self, fence: &Fence) -> Result<String, HandlerError> {
        let source = self.source.name();
        let found = self.store.found(fence.run, Arc::clone(source)).await.map_err(|error| store_failed(&error))?;
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let max_gone = self.ctx.params.decimal("max_gone").unwrap_or(MAX_GONE);
        let trips = brake_trips(count(found.missing), count(found.checked), max_gone);
        let (what, became) = match self.ctx.params.text("on_gone") {
            _ if trips => (Missing::Forget, "left as they are: too many at once"),
            Some("withdraw") => (Missing::Withdraw, "to be withdrawn"),
            _ => (Missing::OutOfStock, "out of stock now"),
        };
        let gone = guarded(self.store.settle_missing(fence.clone(), Arc::clone(source), what, self.caller.now()).await)?;
        for key in &gone {
            tracing::info!("{} {}: its item at {source} is gone, {became}", key.account, key.sku);
        }
        if trips {
            let text = format!(
                "{} of {} items checked at {source} are gone, which is more than `max_gone`: it looks like a fault of the source, and no stock was \
                 changed. If it is so, run it again with `taskrun once {} --set max_gone=100%`",
                found.missing, found.checked, self.ctx.instance.name
            );
            tracing::warn!("{text}");
            self.ctx.notifier.notify(Notice { event: Event::Brake, level: Level::Alert, subject: Arc::clone(source), text });
        }
        Ok(match gone.len() {
            0 => format!("{} items checked, none gone", found.checked),
            gone => format!("{} items checked, {gone} gone and {became}", found.checked),
        })
    }

    /// A dry run: asks about one portion of what is due, and says what would follow.
    async fn plan(&self) -> Result<Report, HandlerError> {
        let limit = CrewSettings::read(&self.ctx.params).portion;
        let supplies = self.store.checks_due(self.due(limit)).await.map_err(|error| store_failed(&error))?;
        self.ctx.progress.set_total(u64::try_from(supplies.len()).unwrap_or(u64::MAX));
        let (mut asked, mut unanswered, mut in_a_row, mut gone) = (0_usize, 0_usize, 0_u32, Vec::new());
        for supply in &supplies {
            match self.source.status(&self.caller, &supply.item).await {
                Ok(status) => {
                    (asked, in_a_row) = (asked + 1, 0);
                    self.ctx.progress.set_done(u64::try_from(asked).unwrap_or(u64::MAX));
                    if status == Status::Gone {
                        gone.push(supply);
                    }
                }
                Err(error) => {
                    (unanswered, in_a_row) = (unanswered + 1, in_a_row + 1);
                    self.bear(supply, &error, in_a_row)?;
                }
            }
        }
        let max_gone = self.ctx.params.decimal("max_gone").unwrap_or(MAX_GONE);
        let follows = if brake_trips(gone.len(), asked, max_gone) {
            ", which is more than `max_gone`: it looks like a fault of the source, and no stock would be changed"
        } else {
            for supply in &gone {
                self.note(supply);
            }
            "; nothing was changed"
        };
        let errors = if unanswered == 0 { String::new() } else { format!(", {unanswered} not answered") };
        Ok(Report { summary: format!("{asked} items checked{errors}, {} gone{follows}", gone.len()) })
    }

    /// Goes on after an error of a dry run, as long as the run itself would.
    fn bear(&self, supply: &Supply, error: &CallError, in_a_row: u32) -> Result<(), HandlerError> {
        if self.ctx.cancel.is_cancelled() {
            tracing::debug!(%error, "the dry run was told to stop");
            return Err(HandlerError::Cancelled);
        }
        if let CallError::Limited { until, .. } = error {
            return Err(HandlerError::NotYet { message: chain(error), until: *until });
        }
        tracing::warn!("{}: {}", supply.item, chain(error));
        in_trouble(self.source.name(), error, in_a_row, self.caller.now()).map_or(Ok(()), Err)
    }

    fn note(&self, supply: &Supply) {
        let withdraws = self.ctx.params.text("on_gone") == Some("withdraw");
        self.ctx.access.permit(|| Planned {
            kind: "stock",
            target: format!("{} {}", supply.key.account, supply.key.sku),
            change: if withdraws { "deleted at Amazon".to_owned() } else { format!("{} -> 0", supply.wanted) },
            reason: format!("{} at {} is gone", supply.item, supply.source),
        });
    }
}

impl Trade for Asking<'_, '_> {
    fn work<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move {
            let Check { store, source, caller, .. } = self.check;
            let failed = |error| Trouble::Run(store_failed(&error));
            let Some(supply) = store.supply(job.key.clone()).await.map_err(failed)? else { return Ok(()) };
            // Something else backs it by now, or nothing: there is nothing to ask.
            if supply.state != SupplyState::Backed || supply.source != job.source {
                return Ok(());
            }
            let status = source.status(caller, &supply.item).await?;
            let (fence, key, at) = (self.fence.clone(), job.key.clone(), caller.now());
            let kept = match status {
                Status::OnSale(price) => store.supply_seen(fence, key, supply.item, price, at).await,
                Status::Gone => store.supply_missing(fence, key, supply.item, at).await,
            };
            guarded(kept).map(drop).map_err(Trouble::Run)
        })
    }
}

/// When the slot of the day began in which something that is done so often a day is due.
fn slot_began(now: Timestamp, per_day: i8, zone: &TimeZone) -> Timestamp {
    let local = now.to_zoned(zone.clone());
    let hours = 24_i8.checked_div(per_day).unwrap_or(24).max(1);
    let hour = local.hour().saturating_sub(local.hour() % hours);
    let began = Time::new(hour, 0, 0, 0).ok().and_then(|time| local.with().time(time).build().ok());
    began.map_or(now, |began| began.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_two_slots_or_four() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let began = |at: &str, per_day| {
            let at: Timestamp = at.parse().unwrap();
            slot_began(at, per_day, &zone).to_zoned(zone.clone()).strftime("%d %H:%M").to_string()
        };
        assert_eq!(began("2026-11-24T00:00:00+09:00", 2), "24 00:00");
        assert_eq!(began("2026-11-24T11:59:59+09:00", 2), "24 00:00");
        assert_eq!(began("2026-11-24T12:00:00+09:00", 2), "24 12:00");
        assert_eq!(began("2026-11-24T11:59:59+09:00", 4), "24 06:00");
        assert_eq!(began("2026-11-24T18:30:00+09:00", 4), "24 18:00");
    }
}
