//! One feed for many listings. It is written down before it is handed in, so that whoever comes after looks at Amazon whether it was; its result is
//! read once, and each of its messages has an end.
use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{Update, guarded, tally::Tally};
use crate::{
    access::Planned,
    errors::chain,
    handlers::HandlerError,
    marketplace::{
        AGAIN_MAX, CallError, REQUEST_TIME,
        amazon::feeds::{Outcome, Stage},
    },
    store::shop::{FeedEnd, FeedRow, OpenFeed, Push, Refusal},
};

/// How soon a feed is asked for again, at the soonest and at the latest; in between, after half of the time that it has taken so far.
const GAP_MIN: SignedDuration = SignedDuration::from_secs(15);
const GAP_MAX: SignedDuration = SignedDuration::from_mins(2);
/// Amazon's clock and ours differ by less.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(2);
/// A feed that takes longer is a fault that somebody should look at.
const STUCK_AFTER: SignedDuration = SignedDuration::from_hours(6);

impl Update<'_> {
    /// Hands in one feed with all of these.
    pub(super) async fn send_feed(&self, pushes: Vec<Push>, tally: &mut Tally) -> Result<(), HandlerError> {
        let deletions = pushes.iter().filter(|push| push.stock.is_none()).count();
        let planned = || Planned {
            kind: "feed",
            target: format!("{}: {} listings", self.account, pushes.len()),
            change: format!("{} stocks, {deletions} deletions", pushes.len() - deletions),
            reason: format!("more than {} changed", self.settings.patch_up_to),
        };
        let Some(fence) = self.caller.access.permit(planned) else {
            tally.planned += pushes.len();
            return Ok(());
        };
        let mut refusals = 0;
        loop {
            let ready = match self.seller.prepare_feed(&self.caller, &pushes).await {
                Ok(ready) => ready,
                Err(error) => return Err(self.trouble(error).await),
            };
            let begun = self.store.begin_feed(fence.clone(), Arc::clone(&self.account), pushes.clone(), self.now()).await;
            let Some(row) = guarded(begun)? else {
                return Err(HandlerError::NotYet { message: "another feed is in flight".to_owned(), until: self.after(GAP_MIN) });
            };
            match self.seller.hand_in(&self.caller, ready).await {
                Ok(feed_id) => {
                    guarded(self.store.feed_submitted(fence.clone(), row, Arc::clone(&feed_id)).await)?;
                    let message = format!("feed {feed_id} with {} listings was handed in", pushes.len());
                    tracing::info!("{}: {message}", self.account);
                    return Err(HandlerError::NotYet { message, until: self.after(GAP_MIN) });
                }
                Err(error) if error.may_have_been_made() => {
                    let message = format!("{}; whether Amazon has the feed is looked up", chain(&error));
                    return Err(HandlerError::NotYet { message, until: self.known_from(self.now()) });
                }
                Err(error) => {
                    self.end(row, FeedEnd::Failed(format!("not handed in: {}", chain(&error)).into())).await?;
                    if refusals >= AGAIN_MAX || !matches!(error, CallError::Again { .. }) {
                        return Err(self.trouble(error).await);
                    }
                    refusals += 1;
                }
            }
        }
    }

    /// Looks after the feed in flight. True: it is over, and what changed can be told.
    pub(super) async fn follow(&self, open: &OpenFeed, tally: &mut Tally) -> Result<bool, HandlerError> {
        let (feed_id, stage) = match &open.feed_id {
            Some(feed_id) => match self.seller.feed(&self.caller, feed_id).await {
                Ok(stage) => (Arc::clone(feed_id), stage),
                Err(error) => return Err(self.trouble(error).await),
            },
            None => match self.look_up(open, tally).await? {
                Some(found) => found,
                None => return Ok(self.caller.access.fence().is_some()),
            },
        };
        if self.caller.access.fence().is_none() {
            tally.feed = Some(format!("feed {feed_id} with {} listings is in flight: {stage:?}", open.messages));
            return Ok(false);
        }
        match stage {
            Stage::Working => self.wait(open, &feed_id, tally),
            Stage::Done(document) => {
                let outcome = match self.seller.feed_outcome(&self.caller, &feed_id, &document).await {
                    Ok(outcome) => outcome,
                    Err(error) => return Err(self.trouble(error).await),
                };
                self.settle(open, &feed_id, outcome, tally).await.map(|()| true)
            }
            Stage::Failed(word) => {
                self.end(open.row, FeedEnd::Failed(word.as_str().into())).await?;
                let message = format!("feed {feed_id} ended {word}; its {} listings are told anew", open.messages);
                Err(HandlerError::Transient { message, retry_after: None })
            }
        }
    }

    /// Whether a feed was handed in whose answer was lost. `None`: it was not, or nobody can tell; it is over then.
    async fn look_up(&self, open: &OpenFeed, tally: &mut Tally) -> Result<Option<(Arc<str>, Stage)>, HandlerError> {
        let known_from = self.known_from(open.at);
        if self.now() < known_from && self.caller.access.fence().is_some() {
            let message = "whether Amazon has the last feed is not known yet".to_owned();
            return Err(HandlerError::NotYet { message, until: known_from });
        }
        // What came later is somebody else's.
        let since = open.at.saturating_sub(CLOCKS_DIFFER).unwrap_or(open.at);
        let until = known_from.saturating_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
        let ours = Self::read(self.store.feed_ids(Arc::clone(&self.account)).await)?;
        let mut found = match self.seller.feeds_between(&self.caller, since, until).await {
            Ok(found) => found,
            Err(error) => return Err(self.trouble(error).await),
        };
        found.retain(|(feed_id, _)| !ours.contains(feed_id));
        if found.len() > 1 {
            // One of them is ours; until all are over, nothing may overtake it.
            if found.iter().any(|(_, stage)| *stage == Stage::Working) {
                let message = "one of several feeds at Amazon is ours, and not all are over".to_owned();
                return Err(HandlerError::NotYet { message, until: self.after(GAP_MAX) });
            }
            let names: Vec<_> = found.iter().map(|(feed_id, _)| &**feed_id).collect();
            let text =
                format!("which of the feeds {} was ours can't be told, so its {} listings are told anew", names.join(", "), open.messages);
            self.end(open.row, FeedEnd::Failed(text.as_str().into())).await?;
            tally.odd = Some(text);
            return Ok(None);
        }
        let Some((feed_id, stage)) = found.pop() else {
            self.end(open.row, FeedEnd::Failed("Amazon does not have it".into())).await?;
            return Ok(None);
        };
        tracing::info!("{}: Amazon has the feed whose answer was lost: {feed_id}", self.account);
        if let Some(fence) = self.caller.access.fence() {
            guarded(self.store.feed_submitted(fence.clone(), open.row, Arc::clone(&feed_id)).await)?;
        }
        Ok(Some((feed_id, stage)))
    }

    /// Amazon is still at work: the run waits, with growing gaps, and after a while leaves it to the next.
    fn wait(&self, open: &OpenFeed, feed_id: &str, tally: &mut Tally) -> Result<bool, HandlerError> {
        let age = self.now().duration_since(open.at);
        let message = format!("Amazon works on feed {feed_id} with {} listings for {} s", open.messages, age.as_secs());
        if STUCK_AFTER < age {
            return Err(HandlerError::Permanent { message: format!("{message}; look at Seller Central whether it is stuck") });
        }
        if self.settings.feed_wait < age {
            tally.feed = Some(format!("{message}; the next run looks again"));
            return Ok(false);
        }
        let gap = (age / 2).clamp(GAP_MIN, GAP_MAX);
        Err(HandlerError::NotYet { message, until: self.after(gap) })
    }

    /// Every message has an end: taken, refused, or, where the result does not say which, told anew.
    async fn settle(&self, open: &OpenFeed, feed_id: &str, outcome: Outcome, tally: &mut Tally) -> Result<(), HandlerError> {
        let pushes = Self::read(self.store.feed_pushes(open.row).await)?;
        let is_complete = usize::try_from(open.messages).is_ok_and(|messages| messages == outcome.processed);
        let by_message: BTreeMap<_, _> = outcome.issues.iter().filter_map(|issue| Some((issue.message?, issue))).collect();
        // An issue that names a listing and no message.
        let by_sku = outcome.issues.iter().filter(|issue| issue.message.is_none());
        let by_sku: BTreeMap<_, _> = by_sku.map(|issue| (issue.sku.as_deref().unwrap_or_default(), issue)).collect();
        let named = by_message.len() + by_sku.len();
        let is_told = is_complete && named == outcome.invalid;
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        for (number, push) in pushes {
            match by_message.get(&number).or_else(|| by_sku.get(&*push.sku)) {
                Some(issue) => {
                    let (code, text) = (issue.code.as_str().into(), issue.text.as_str().into());
                    refused.push(Refusal { push, code, text, at: self.now() });
                }
                None => taken.push(push),
            }
        }
        let left = taken.len();
        if is_told {
            self.keep(taken, tally).await?;
        }
        self.keep_refusals(refused, tally).await?;
        self.end(open.row, FeedEnd::Done).await?;
        if is_told {
            tally.feed = Some(format!("feed {feed_id} is done"));
            return Ok(());
        }
        let Outcome { processed, invalid, .. } = outcome;
        let message = format!(
            "the result of feed {feed_id} does not account for all of its {} listings ({processed} looked at, {invalid} refused, {named} named): \
             {left} of them are told anew",
            open.messages
        );
        tally.odd = Some(message.clone());
        Err(HandlerError::Transient { message, retry_after: None })
    }

    async fn end(&self, row: FeedRow, end: FeedEnd) -> Result<(), HandlerError> {
        let Some(fence) = self.caller.access.fence() else { return Ok(()) };
        guarded(self.store.end_feed(fence.clone(), row, end, self.now()).await)
    }

    fn after(&self, wait: SignedDuration) -> Timestamp {
        self.now().saturating_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// From when on Amazon's list tells whether a feed was handed in that was on its way at an instant.
    fn known_from(&self, at: Timestamp) -> Timestamp {
        at.saturating_add(self.caller.clock.wall(REQUEST_TIME)).unwrap_or(Timestamp::MAX)
    }
}
