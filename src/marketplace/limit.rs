//! Call budgets: every call takes its place in the store's quotas first, so that all processes together stay under a marketplace's limits.
//!
//! A place is taken, then slept for. One that is not used after all, because the attempt was told to stop, is given back while nobody has taken one
//! after it; otherwise it is lost, and so is that of a process that dies.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::CallError;
use crate::{
    access::Caller,
    clock::Clock,
    core::task::spread,
    shop::quota::{PATIENCE_MAX_MS, Period, Place, Rule, earliest_of},
    store::shop::{Demand, Limit, QuotaKey, QuotaRow, ShopStore},
};

/// Requests take a while to arrive, and not always the same: this much, in real time, is added to the gap between two of them.
const GUARD: Duration = Duration::from_millis(20);
/// The slowest operation we know allows one call in two minutes; a marketplace that says a day has lost its way.
const GAP_MAX: Duration = Duration::from_hours(24);
/// A wait that people may wonder about.
const NOTABLE: Duration = Duration::from_secs(1);
/// When a period begins anew, accounts go on within this many milliseconds, each at an instant of its own.
const ANEW_WITHIN_MS: u64 = 30_000;

/// The limits of an operation for one account.
#[derive(Debug)]
pub(super) struct Budget {
    store: Arc<dyn ShopStore>,
    limits: Arc<[Limit]>,
    /// For messages: `Amazon's offers batch`.
    what: &'static str,
    /// The gap that the marketplace told this process last; 0: none.
    told_ms: AtomicI64,
    /// The store may have refusals in a row.
    may_be_refused: AtomicBool,
}

/// A place that was taken. Dropped before it is used, it is given back.
#[derive(Debug)]
#[must_use = "the place is given back at once"]
pub(super) struct Taken {
    store: Arc<dyn ShopStore>,
    demand: Demand,
    place: Timestamp,
    is_used: bool,
}

impl Taken {
    /// The call goes out now. One that is much later than its place puts the next one off, so that the two don't arrive too near to each other.
    pub(super) fn used(mut self, caller: &Caller) {
        self.is_used = true;
        let now = caller.now();
        let has_rate = self.demand.limits.iter().any(|limit| matches!(limit.rule, Rule::Bucket { .. }));
        if has_rate && GUARD / 2 < caller.clock.real(now.duration_since(self.place)) {
            // The writes of a process are made in their order: nobody needs to wait for this one.
            drop(self.store.put_off(self.demand.clone(), self.place, now));
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.is_used {
            drop(self.store.give_back(self.demand.clone(), self.place));
        }
    }
}

impl Budget {
    pub(super) fn new(store: Arc<dyn ShopStore>, key: QuotaKey, rule: Rule, what: &'static str) -> Self {
        let limits = Arc::new([Limit { key, rule }]);
        Self { store, limits, what, told_ms: AtomicI64::new(0), may_be_refused: AtomicBool::new(true) }
    }

    /// The same, bound by one more limit.
    pub(super) fn and(mut self, key: QuotaKey, rule: Rule) -> Self {
        self.limits = self.limits.iter().cloned().chain([Limit { key, rule }]).collect();
        self
    }

    /// Takes the next place in all limits and sleeps until then. One that is further off than anybody would wait is not taken.
    ///
    /// # Errors
    /// [`CallError::Limited`] when there is none so soon.
    pub(super) async fn spend(&self, caller: &Caller) -> Result<Taken, CallError> {
        let latest = after(caller.now(), PATIENCE_MAX_MS);
        let demand = Demand { limits: Arc::clone(&self.limits), purpose: caller.purpose, guard_ms: guard_ms(caller.clock.as_ref()) };
        loop {
            match self.store.take_place(demand.clone(), caller.now(), latest).await? {
                Place::At(at) => {
                    let place = instant(at);
                    let taken = Taken { store: Arc::clone(&self.store), demand, place, is_used: false };
                    self.wait(caller, place).await?;
                    return Ok(taken);
                }
                Place::NotBefore(at) => {
                    let until = self.anew(instant(at));
                    if latest < until {
                        return Err(CallError::Limited { what: self.what, until, said: false });
                    }
                    self.wait(caller, until).await?;
                }
            }
        }
    }

    /// When so many calls may be made one after the other, as far as can be told now; `None`: now. Nothing is taken.
    pub(super) async fn full_until(&self, caller: &Caller, calls: i64) -> Result<Option<Timestamp>, CallError> {
        let now = caller.now();
        let rows = self.store.quotas(now).await?;
        let mut until = now;
        for limit in self.limits.iter() {
            let is_its = |row: &&QuotaRow| {
                (&row.application, &row.account, &*row.operation) == (&limit.key.application, &limit.key.account, limit.key.operation)
            };
            let used = rows.iter().find(is_its).map(|row| row.used).unwrap_or_default();
            until = until.max(instant(earliest_of(limit.rule, used, caller.purpose, calls, now.as_millisecond())));
        }
        Ok(Some(until).filter(|until| now < *until).map(|until| self.anew(until)))
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

    /// The marketplace says that a limit is used up: that of an operation, or, where it does not say, any of them. The error that tells when there is
    /// a place again.
    pub(super) async fn exhaust(&self, caller: &Caller, operation: Option<&str>) -> Result<CallError, CallError> {
        self.may_be_refused.store(true, Ordering::Relaxed);
        let mut until = caller.now();
        for limit in self.limits.iter().filter(|limit| operation.is_none_or(|operation| operation == limit.key.operation)) {
            let free = self.store.exhaust(limit.clone(), guard_ms(caller.clock.as_ref()), caller.now()).await?;
            let free = match limit.rule {
                Rule::Bucket { .. } => free,
                Rule::Window { .. } => self.anew(free),
            };
            until = until.max(free);
        }
        Ok(CallError::Limited { what: self.what, until, said: true })
    }

    /// The same of all limits, where the other side may have said how long it wants to be left alone: whichever is longer counts.
    pub(super) async fn exhaust_for(&self, caller: &Caller, asked: Option<SignedDuration>) -> Result<CallError, CallError> {
        let asked = asked.and_then(|asked| caller.now().checked_add(asked).ok());
        Ok(match (self.exhaust(caller, None).await?, asked) {
            (CallError::Limited { what, until, said }, Some(asked)) => CallError::Limited { what, until: until.max(asked), said },
            (refusal, _) => refusal,
        })
    }

    /// A call was not refused, and the marketplace may have said how many calls a second it allows.
    pub(super) async fn accepted(&self, per_second: Option<f64>) -> Result<(), CallError> {
        if self.may_be_refused.swap(false, Ordering::Relaxed) {
            self.store.accept(Arc::clone(&self.limits)).await?;
        }
        let gap = per_second.and_then(|rate| Duration::try_from_secs_f64(rate.recip()).ok());
        let gap = gap.filter(|gap| *gap <= GAP_MAX).and_then(|gap| i64::try_from(gap.as_millis()).ok()).filter(|gap| 0 < *gap);
        if let (Some(gap), Some(limit)) = (gap, self.limits.first())
            && self.told_ms.swap(gap, Ordering::Relaxed) != gap
        {
            self.store.learn_interval(limit.clone(), gap).await?;
        }
        Ok(())
    }

    /// When an account goes on after a period has ended: not at the instant at which all the others do.
    fn anew(&self, end: Timestamp) -> Timestamp {
        let account = self.limits.first().map_or("", |limit| &limit.key.account);
        after(end, i64::try_from(spread(account, ANEW_WITHIN_MS)).unwrap_or(0))
    }
}

/// Whether a call that was refused for a limit may be made again within the attempt: its place comes soon enough.
pub(super) fn is_soon(until: Timestamp, now: Timestamp) -> bool {
    until <= after(now, PATIENCE_MAX_MS)
}

/// When the period ends that an instant lies in.
pub(super) fn end_of(period: Period, at: Timestamp) -> Timestamp {
    instant(period.ends(at.as_millisecond()))
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
