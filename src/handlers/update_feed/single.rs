//! One call for each listing.
use super::{
    Update, guarded, store_failed,
    tally::{Tally, what},
};
use crate::{
    access::Planned,
    errors::chain,
    handlers::HandlerError,
    marketplace::{CallError, Concern, Written},
    store::shop::{Push, Refusal},
};

/// Calls in a row that fail for passing reasons before the rest is left for another attempt.
const FAILURES_MAX: u32 = 3;

impl Update<'_> {
    /// Tells one listing after the other. What met passing trouble is left for another attempt.
    pub(super) async fn tell_each(&self, pushes: Vec<Push>, tally: &mut Tally) -> Result<(), HandlerError> {
        let mut left: Vec<CallError> = Vec::new();
        let mut failures = 0;
        for (done, push) in (1..).zip(pushes) {
            if self.caller.cancel.is_cancelled() {
                return Err(HandlerError::Cancelled);
            }
            if self.is_closed() {
                break;
            }
            match self.tell(push, tally).await? {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    let asked = error.retry_after(self.now()).is_some_and(|asked| asked.is_positive());
                    left.push(error);
                    if failures >= FAILURES_MAX || asked {
                        break;
                    }
                }
            }
            self.ctx.progress.set_done(done);
        }
        let Some(last) = left.pop() else { return Ok(()) };
        let message = format!("{} listings could not be told their stock, the last because of this: {}", left.len() + 1, chain(&last));
        Err(HandlerError::Transient { message, retry_after: last.retry_after(self.now()) })
    }

    /// Tells one listing. What concerns this call alone is given back.
    async fn tell(&self, push: Push, tally: &mut Tally) -> Result<Result<(), CallError>, HandlerError> {
        let planned = Planned {
            kind: if push.stock.is_some() { "stock" } else { "withdraw" },
            target: format!("{} listing {}", self.account, push.sku),
            change: what(push.stock),
            reason: "its supply says so".to_owned(),
        };
        let answer = match self.seller.push(&self.caller, &push, planned).await {
            Ok(Written::Made) => {
                self.keep(vec![push], tally).await?;
                return Ok(Ok(()));
            }
            Ok(Written::Planned) => {
                tally.planned += 1;
                // Deletions have no preview.
                if push.stock.is_some() { self.seller.preview(&self.caller, &push).await } else { Ok(()) }
            }
            Err(error) => Err(error),
        };
        let Err(error) = answer else { return Ok(Ok(())) };
        match error.concern() {
            Concern::Item => self.refuse(push, &error, tally).await.map(Ok),
            Concern::Call => Ok(Err(error)),
            Concern::Account => Err(self.trouble(error).await),
            Concern::Run => Err(HandlerError::of(&error, self.now())),
        }
    }

    async fn refuse(&self, push: Push, error: &CallError, tally: &mut Tally) -> Result<(), HandlerError> {
        let (code, text) = match error {
            CallError::Refused { code, text, .. } => (code.as_str().into(), text.as_str().into()),
            error => ("refused".into(), chain(error).into()),
        };
        let refusal = Refusal { push, code, text, at: self.now() };
        self.keep_refusals(vec![refusal], tally).await
    }

    /// Keeps what Amazon refused, by listing.
    pub(super) async fn keep_refusals(&self, refused: Vec<Refusal>, tally: &mut Tally) -> Result<(), HandlerError> {
        tally.refused.extend(refused.iter().cloned());
        match self.caller.access.fence() {
            Some(fence) if !refused.is_empty() => guarded(self.store.refuse_pushes(fence.clone(), self.account.clone(), refused).await),
            _ => Ok(()),
        }
    }

    /// An answer of the store that is no write.
    pub(super) fn read<T>(answer: Result<T, crate::store::StoreError>) -> Result<T, HandlerError> {
        answer.map_err(|error| store_failed(&error))
    }
}
