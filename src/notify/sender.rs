//! One channel's sender: takes what is due from the outbox, within the channel's limits, and notes what became of it.
//!
//! A message is claimed, sent, then settled. A process that is killed in between leaves the claim to its end, and the message is sent again under the
//! same number: twice rather than never.
use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{
    Event, Level, Notice, SendError,
    channel::{Channel, SEND_MAX},
    post::Post,
    text::{Message, Style},
};
use crate::{
    errors::chain,
    shop::quota::{PATIENCE_MAX_MS, Place, Purpose},
    store::{
        StoreError, StoreResult,
        notices::{Claimed, Delivery, Wants},
        shop::Demand,
    },
};

/// Notices of one message; those beyond come in the next.
const NOTICES_MAX: u32 = 500;
/// What other processes have written down is looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a failure, the next try comes after this, then after twice this, and so on.
const AGAIN_FIRST: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_mins(15);
/// A channel that says how long to wait is not believed beyond this.
const ASKED_MAX: Duration = Duration::from_hours(1);
/// A channel that takes no more and does not say until when: Chatwork's room is free again after ten seconds.
const LIMITED_MS: i64 = 10_000;
/// Failures in a row that may be a moment's.
const BLIPS: u32 = 3;
/// Requests take a while to arrive, and not always the same.
const GUARD: Duration = Duration::from_millis(20);
/// The store is asked so often to note what became of a message, a second apart.
const SETTLE_TRIES: u32 = 60;

#[derive(Debug)]
pub(super) struct Sender {
    post: Arc<Post>,
    channel: Channel,
    style: Style,
    failures: u32,
    /// The outbox may still say that the channel fails.
    may_be_failing: bool,
}

impl Sender {
    pub(super) fn new(post: Arc<Post>, channel: Channel, style: Style) -> Self {
        Self { post, channel, style, failures: 0, may_be_failing: true }
    }

    /// Works until told to stop; a message on its way is sent to its end.
    pub(super) async fn work(mut self, stop: CancellationToken) {
        self.try_out().await;
        let mut came = self.post.came.subscribe();
        while !stop.is_cancelled() {
            came.mark_unchanged();
            let next = self.turn_or_later(&stop).await;
            let nap = next.map_or(LOOK_EVERY, |next| self.post.clock.real(next.duration_since(self.now()))).min(LOOK_EVERY);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(nap) => {}
                // What came may be due by now; what is due comes in a moment.
                _ = came.changed() => {}
            }
        }
    }

    /// Sends until nothing is due.
    pub(super) async fn drain(mut self, stop: CancellationToken) {
        while self.turn_or_later(&stop).await.is_some_and(|next| next <= self.now()) {}
    }

    /// Tries the channel without a message, so that a dead one is known before it is needed.
    async fn try_out(&mut self) {
        let name = Arc::clone(self.channel.name());
        match self.channel.check().await {
            Ok(said) => {
                tracing::info!("the channel `{name}` is in order: {said}");
                self.works().await;
            }
            Err(error) => {
                let why = self.style.clean(&error.to_string());
                tracing::warn!("the channel `{name}` is not in order: {why}; `taskrun notify test {name}` tries it again");
                self.post.health.set(&name, Some(why.clone()));
                if is_lasting(&error) {
                    self.tell_others(why).await;
                }
            }
        }
    }

    /// One message, if one is due; when to look again. The store's trouble is the engine's to report.
    async fn turn_or_later(&mut self, stop: &CancellationToken) -> Option<Timestamp> {
        match self.turn(stop).await {
            Ok(next) => next,
            Err(error) => {
                tracing::debug!(error = chain(&error), "the outbox can't be read or written");
                None
            }
        }
    }

    async fn turn(&mut self, stop: &CancellationToken) -> StoreResult<Option<Timestamp>> {
        let (post, wants) = (Arc::clone(&self.post), self.channel.wants.clone());
        match post.outbox.next_due(wants.clone(), self.now()).await? {
            Some(due) if due <= self.now() => {}
            later => return Ok(later),
        }
        let demand = self.demand();
        let place = match post.shop.take_place(demand.clone(), self.now(), self.after(Duration::ZERO, PATIENCE_MAX_MS)).await? {
            Place::At(at) => instant(at),
            Place::NotBefore(at) => return Ok(Some(instant(at))),
        };
        let slept = stop.run_until_cancelled(post.clock.sleep(place.duration_since(self.now()))).await;
        let lease = self.after(SEND_MAX + SEND_MAX, 0);
        let claimed = match slept {
            // What is not due yet, but on its way, comes along.
            Some(()) => post.outbox.claim(Wants { gather: SignedDuration::ZERO, ..wants }, NOTICES_MAX, self.now(), lease).await?,
            None => None,
        };
        let Some(claimed) = claimed else {
            // Another process was faster.
            post.shop.give_back(demand, place).await?;
            return Ok(Some(self.after(Duration::from_secs(1), 0)));
        };
        let result = self.channel.send(&Message::of(&claimed, &self.style)).await;
        let delivery = self.judge(result, &demand).await?;
        self.settle(claimed, delivery).await?;
        Ok(Some(self.now()))
    }

    /// What became of a message, and when it is tried again.
    async fn judge(&mut self, result: Result<String, SendError>, demand: &Demand) -> StoreResult<Delivery> {
        let name = Arc::clone(self.channel.name());
        let error = match result {
            Ok(said) => {
                tracing::debug!("the channel `{name}` took a message: {said}");
                self.works().await;
                return Ok(Delivery::Taken);
            }
            Err(SendError::Limited { why, wait, until }) => {
                let until = until.map(|until| self.post.clock.real(until.duration_since(self.now())));
                let wait = wait.or(until).map(|wait| wait.min(ASKED_MAX));
                if let Some(limit) = demand.limits.first() {
                    self.post.shop.exhaust(limit.clone(), demand.guard_ms, self.now()).await?;
                }
                let retry_at = wait.map_or_else(|| self.after(Duration::ZERO, LIMITED_MS), |wait| self.after(wait, 0));
                tracing::info!("the channel `{name}` takes no more for now ({}); trying again at {retry_at:.0}", self.style.clean(&why));
                return Ok(Delivery::NotYet { retry_at });
            }
            Err(error) => error,
        };
        self.failures = self.failures.saturating_add(1);
        let why = self.style.clean(&error.to_string());
        let doubled = 1_u32.checked_shl(self.failures.saturating_sub(1).min(16)).unwrap_or(u32::MAX);
        let retry_at = self.after(AGAIN_FIRST.saturating_mul(doubled).min(AGAIN_MAX), 0);
        self.post.health.set(&name, Some(why.clone()));
        if self.failures == if is_lasting(&error) { 1 } else { BLIPS } {
            tracing::error!("the channel `{name}` takes no messages: {why}; trying again, what waits is kept");
            self.tell_others(why.clone()).await;
        }
        Ok(match error {
            SendError::NoAnswer(_) => Delivery::Doubtful { error: why, retry_at },
            _ => Delivery::Refused { error: why, retry_at },
        })
    }

    async fn settle(&self, claimed: Claimed, delivery: Delivery) -> StoreResult<()> {
        let mut tries = 0;
        loop {
            let settled = self.post.outbox.settle(Arc::clone(self.channel.name()), claimed.clone(), delivery.clone(), self.now()).await;
            tries += 1;
            match settled {
                Err(error) if tries < SETTLE_TRIES && !matches!(error, StoreError::Closed) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                settled => return settled,
            }
        }
    }

    /// The channel fails: the others say so.
    async fn tell_others(&mut self, why: String) {
        self.may_be_failing = true;
        let subject = Arc::clone(self.channel.name());
        let notice = Notice { event: Event::ChannelFailed, level: Level::Alert, subject, text: why };
        if let Err(error) = self.post.outbox.tell(notice, self.now()).await {
            tracing::debug!(error = chain(&error), "that a channel fails could not be kept");
        }
        self.post.came.send_modify(|count| *count = count.wrapping_add(1));
    }

    async fn works(&mut self) {
        self.failures = 0;
        let name = Arc::clone(self.channel.name());
        self.post.health.set(&name, None);
        if std::mem::take(&mut self.may_be_failing) {
            match self.post.outbox.resolve(Event::ChannelFailed, Arc::clone(&name), self.now()).await {
                Ok(true) => tracing::info!("the channel `{name}` takes messages again"),
                Ok(false) => {}
                Err(error) => tracing::debug!(error = chain(&error), "that a channel works again could not be kept"),
            }
        }
    }

    fn demand(&self) -> Demand {
        let guard_ms = i64::try_from(self.post.clock.wall(GUARD).as_millis()).unwrap_or(0);
        Demand { limits: Arc::clone(&self.channel.limits), purpose: Purpose::Manual, guard_ms }
    }

    fn now(&self) -> Timestamp {
        self.post.clock.now().wall
    }

    /// So much real time from now, and so many milliseconds of the clock.
    fn after(&self, real: Duration, wall_ms: i64) -> Timestamp {
        let by = self.post.clock.wall(real).saturating_add(SignedDuration::from_millis(wall_ms));
        self.now().saturating_add(by).unwrap_or(Timestamp::MAX)
    }
}

/// It will not be better before a person has put it right.
fn is_lasting(error: &SendError) -> bool {
    matches!(error, SendError::Unusable(_) | SendError::Refused(_))
}

fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}
