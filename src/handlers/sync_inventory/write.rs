//! Writing what differs, one item after the other. An item that is refused is counted; what concerns the shop ends its part.
use super::{
    FAILURES_MAX, Sync,
    brake::Brake,
    compare::{Change, Compared},
    delist::Gone,
    tally::Tally,
};
use crate::marketplace::{CallError, Concern, RefusedAs, Written, base::Shop};

impl Sync<'_> {
    /// Writes what a shop needs: what hides nothing goes on while the brake is not settled; then the hides, as buyers can order what they see; then
    /// the rest. Items that met passing trouble are tried once more at the end.
    pub(super) async fn write(&self, shop: &Shop, compared: &mut Compared, brake: &Brake, tally: &mut Tally) -> Result<(), CallError> {
        self.more_to_do(compared.hides.len() + compared.others.len());
        let mut again = Vec::new();
        let mut failures = 0;
        while let Some(change) = self.next(shop, compared, brake).await? {
            if !self.goes_on(tally)? {
                return Ok(());
            }
            match self.write_one(shop, &change, tally).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures = if error.concern() == Concern::Call { failures + 1 } else { 0 };
                    if failures >= FAILURES_MAX || error.retry_after(self.now()).is_some_and(|asked| asked.is_positive()) {
                        return Err(error);
                    }
                    if let Some(change) = note(shop, change, error, compared, tally)? {
                        again.push(change);
                    }
                }
            }
        }
        for change in again {
            if !self.goes_on(tally)? {
                return Ok(());
            }
            if let Err(error) = self.write_one(shop, &change, tally).await
                && note(shop, change, error, compared, tally)?.is_some()
            {
                tally.errors += 1;
            }
        }
        Ok(())
    }

    /// Whether another item may be taken.
    fn goes_on(&self, tally: &mut Tally) -> Result<bool, CallError> {
        if self.caller.cancel.is_cancelled() {
            return Err(CallError::Cancelled);
        }
        tally.is_closed |= self.is_closed();
        Ok(!tally.is_closed)
    }

    /// The next change that may be made.
    async fn next(&self, shop: &Shop, compared: &mut Compared, brake: &Brake) -> Result<Option<Change>, CallError> {
        loop {
            if compared.hides.is_empty() {
                return Ok(compared.others.pop_front());
            }
            match brake.verdict(&shop.key().account) {
                Some(true) => compared.hides.clear(),
                Some(false) => return Ok(compared.hides.pop_front()),
                None => {
                    if let Some(change) = compared.others.pop_front() {
                        return Ok(Some(change));
                    }
                    self.caller.cancel.run_until_cancelled(brake.settled()).await.ok_or(CallError::Cancelled)?;
                }
            }
        }
    }

    async fn write_one(&self, shop: &Shop, change: &Change, tally: &mut Tally) -> Result<(), CallError> {
        self.ctx.progress.note(format!("changing the items of {}", shop.key().account));
        let kind = change.edit.kind();
        match shop.edit(&self.caller, &change.target, change.edit, change.reason.clone()).await? {
            Written::Made => tally.made(kind),
            Written::Planned => tally.planned(kind),
        }
        self.one_more_done();
        Ok(())
    }
}

/// What an error means for the item: it is counted, or given back to be tried once more. What is not the item's ends the shop's part.
fn note(shop: &Shop, change: Change, error: CallError, compared: &mut Compared, tally: &mut Tally) -> Result<Option<Change>, CallError> {
    match error.concern() {
        Concern::Account | Concern::Run => return Err(error),
        Concern::Item | Concern::Call => {}
    }
    let target = &change.target;
    tracing::warn!("{} item {} ({}): {error}", shop.key().account, target.item_id, target.asin);
    match &error {
        CallError::Refused { .. } => {
            if error.refused_as() == Some(RefusedAs::NoSuchItem) {
                compared.gone.push(Gone { asin: target.asin.clone(), item_id: target.item_id });
            }
            tally.errors += 1;
            Ok(None)
        }
        // Whether it was made is looked up by the next run; until then it is not sent again.
        CallError::Uncertain { .. } => {
            tally.errors += 1;
            Ok(None)
        }
        _ => Ok(Some(change)),
    }
}
