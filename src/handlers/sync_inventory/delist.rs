//! Taking out of the books what a shop no longer knows, with care: a fault on the way looks the same.
//!
//! First an item that is there is read by the same kind of call: only where that works does an answer `there is no such item` mean anything. Then
//! each missing one is asked for by itself, and at most so many are taken out in one run.
use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    Sync,
    compare::{Compared, few},
    tally::Tally,
};
use crate::{
    marketplace::{CallError, Concern, RefusedAs, base::Shop},
    notify::{Event, Level, Notice},
    shop::product::Asin,
    store::shop::{Guarded, TakenOut, delist},
};

/// A listing whose item the shop does not seem to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) asin: Asin,
    pub(super) item_id: i64,
}

/// How many more may be taken out in this run, over all shops.
#[derive(Debug)]
pub(super) struct Allowance(AtomicUsize);

impl Allowance {
    pub(super) fn new(left: usize) -> Self {
        Self(AtomicUsize::new(left))
    }

    fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn take(&self) {
        _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    }
}

impl Sync<'_> {
    /// Takes out of the books what the shop itself says that it does not have.
    pub(super) async fn delist_gone(
        &self,
        shop: &Shop,
        compared: &Compared,
        allowance: &Allowance,
        tally: &mut Tally,
    ) -> Result<(), CallError> {
        let account = &shop.key().account;
        if compared.gone.is_empty() || tally.is_closed {
            return Ok(());
        }
        let Some(live) = compared.live else {
            let text = format!(
                "none of its {} listings is at the shop, so nothing is done there; is it the right shop? See `taskrun accounts list`",
                compared.gone.len()
            );
            self.ctx.notifier.notify(Notice { event: Event::NeedsEye, level: Level::Alert, subject: Arc::clone(account), text });
            return Ok(());
        };
        match shop.item(&self.caller, live).await {
            Ok(_) => {}
            Err(error) if error.concern() == Concern::Item => {
                tracing::warn!(
                    "{account}: item {live} is there and can't be read by itself, so nothing is taken out of the books: {error}"
                );
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let mut names = Vec::new();
        let mut result = Ok(());
        for gone in &compared.gone {
            if allowance.is_used_up() {
                break;
            }
            match self.delist_one(shop, gone).await {
                Ok(TakenOut::Made) => {
                    allowance.take();
                    tally.made("delist");
                    tally.missing = tally.missing.saturating_sub(1);
                    names.push(gone.asin.to_string());
                }
                Ok(TakenOut::Planned) => {
                    allowance.take();
                    tally.planned("delist");
                }
                Ok(TakenOut::NotThere) => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.tell_delisted(account, &names, tally.missing);
        result
    }

    /// Asks for one item by itself, and takes its listing out of the books if the shop says that there is none.
    async fn delist_one(&self, shop: &Shop, Gone { asin, item_id }: &Gone) -> Result<TakenOut, CallError> {
        let account = &shop.key().account;
        if self.caller.cancel.is_cancelled() {
            return Err(CallError::Cancelled);
        }
        let said = match shop.item(&self.caller, *item_id).await {
            Err(error) if error.refused_as() == Some(RefusedAs::NoSuchItem) => error,
            Ok(_) => {
                tracing::info!("{account}: item {item_id} ({asin}) is there after all; the next run looks at it");
                return Ok(TakenOut::NotThere);
            }
            Err(error) if error.concern() == Concern::Item => {
                tracing::warn!("{account} item {item_id} ({asin}): {error}");
                return Ok(TakenOut::NotThere);
            }
            Err(error) => return Err(error),
        };
        let why = format!("the shop has no item {item_id} ({said})");
        match delist(self.store, &self.caller.access, (shop.key(), asin), &why, self.now()).await? {
            Guarded::Done(taken_out) => Ok(taken_out),
            Guarded::Fenced => Err(CallError::Fenced),
        }
    }

    fn tell_delisted(&self, account: &Arc<str>, names: &[String], left: usize) {
        if names.is_empty() {
            return;
        }
        let mut text = format!("taken out of the books, as the shop says that there are no such items ({}): {}", names.len(), few(names));
        if left > 0 {
            _ = write!(text, "; {left} more that are not found are left for the next run");
        }
        _ = write!(text, ". `taskrun products relist ASIN --account {account}` puts one back");
        self.ctx.notifier.notify(Notice { event: Event::NeedsEye, level: Level::Warning, subject: Arc::clone(account), text });
    }
}
