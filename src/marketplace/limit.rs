//! Call budgets: every call takes its place in the store's quota first, so that all processes together stay under a marketplace's limit.
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::CallError;
use crate::{
    access::Caller,
    clock::Clock,
    shop::quota::{PATIENCE_MAX_MS, Place, Rule},
    store::shop::{QuotaKey, ShopStore},
};

/// Requests take a while to arrive, and not always the same: this much, in real time, is added to the gap between two of them.
const GUARD: Duration = Duration::from_millis(20);
/// The slowest operation we know allows one call in two minutes; a marketplace that says a day has lost its way.
const GAP_MAX: Duration = Duration::from_hours(24);
/// A wait that people may wonder about.
const NOTABLE: Duration = Duration::from_secs(1);

/// The limit of one operation for one account.
#[derive(Debug)]
pub(super) struct Budget {
    store: Arc<dyn ShopStore>,
    key: QuotaKey,
    rule: Rule,
    /// For messages: `Amazon's offers batch`.
    what: &'static str,
    /// The gap that the marketplace told this process last; 0: none.
    told_ms: AtomicI64,
}

impl Budget {
    pub(super) fn new(store: Arc<dyn ShopStore>, key: QuotaKey, rule: Rule, what: &'static str) -> Self {
        Self { store, key, rule, what, told_ms: AtomicI64::new(0) }
    }

    /// Takes the next place and sleeps until then. A place that is further off than anybody would wait is not taken.
    pub(super) async fn spend(&self, caller: &Caller) -> Result<(), CallError> {
        let latest = after(caller.now(), PATIENCE_MAX_MS);
        loop {
            let now = caller.now();
            match self.store.take_place(self.key.clone(), self.padded(caller.clock.as_ref()), now, latest).await? {
                Place::At(at) => return self.wait(caller, instant(at)).await,
                Place::NotBefore(at) if instant(at) <= latest => self.wait(caller, instant(at)).await?,
                Place::NotBefore(at) => return Err(CallError::Limited { what: self.what, until: instant(at) }),
            }
        }
    }

    async fn wait(&self, caller: &Caller, until: Timestamp) -> Result<(), CallError> {
        let wait = until.duration_since(caller.now());
        if !wait.is_positive() {
            return Ok(());
        }
        let is_notable = NOTABLE <= caller.clock.real(wait);
        let (_, _, before) = caller.progress.read();
        if is_notable {
            caller.progress.note(format!("waiting for the quota of {} until {until:.0}", self.what));
        }
        let slept = caller.cancel.run_until_cancelled(caller.clock.sleep(wait)).await;
        if is_notable {
            caller.progress.note(before);
        }
        slept.ok_or(CallError::Cancelled)
    }

    /// The marketplace says that the limit is used up.
    pub(super) async fn exhaust(&self, caller: &Caller) -> Result<(), CallError> {
        Ok(self.store.exhaust(self.key.clone(), self.padded(caller.clock.as_ref()), caller.now()).await?)
    }

    /// The marketplace says how many calls a second it allows.
    pub(super) async fn learn(&self, caller: &Caller, per_second: f64) -> Result<(), CallError> {
        let gap = Duration::try_from_secs_f64(per_second.recip()).ok().filter(|gap| !gap.is_zero() && *gap <= GAP_MAX);
        let Some(gap) = gap.and_then(|gap| i64::try_from(gap.as_millis()).ok()) else { return Ok(()) };
        if self.told_ms.swap(gap, Ordering::Relaxed) != gap {
            self.store.learn_interval(self.key.clone(), gap + guard_ms(caller.clock.as_ref())).await?;
        }
        Ok(())
    }

    fn padded(&self, clock: &dyn Clock) -> Rule {
        match self.rule {
            Rule::Bucket { interval_ms, burst } => Rule::Bucket { interval_ms: interval_ms + guard_ms(clock), burst },
            window @ Rule::Window { .. } => window,
        }
    }
}

fn guard_ms(clock: &dyn Clock) -> i64 {
    i64::try_from(clock.wall(GUARD).as_millis()).unwrap_or(0)
}

fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

fn after(now: Timestamp, ms: i64) -> Timestamp {
    now.saturating_add(SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX)
}
