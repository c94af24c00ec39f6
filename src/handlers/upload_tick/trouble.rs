//! What an error means: for the item, for the shop, for the run. The word of an error decides, never its text.
use jiff::{SignedDuration, Timestamp};

use super::{Live, judge::item_error, store_failed};
use crate::{
    errors::chain,
    handlers::{HandlerError, parking},
    marketplace::{CallError, Concern},
    store::shop::{Item, ItemError, Settled},
};

/// What a step met that the item cannot get over now.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A call of the shop.
    Call(CallError),
    /// The run itself.
    Run(HandlerError),
    /// The item is not this run's any more.
    Lost,
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Fenced => Self::Run(HandlerError::Fenced),
            CallError::Store(error) => Self::Run(store_failed(&error)),
            error => Self::Call(error),
        }
    }
}

impl From<HandlerError> for Trouble {
    fn from(error: HandlerError) -> Self {
        Self::Run(error)
    }
}

/// What follows after an item.
#[derive(Debug)]
pub(super) enum Next {
    /// The next one.
    On,
    /// The next one, unless too many end so in a row; the run would fail with this then.
    Failed(HandlerError),
    /// No more in this run, and it is nobody's fault.
    Rest(String),
    /// No more in this run.
    Fail(HandlerError),
}

impl Live<'_, '_> {
    /// What becomes of an item whose call failed, and what follows.
    pub(super) async fn weigh(&self, item: &Item, error: CallError) -> Result<(Settled, Next), HandlerError> {
        let now = self.tick.now();
        let back = |until, counts, error| Settled::PutBack { until, counts, error };
        let problem = item_error(word(&error), chain(&error));
        if matches!(error, CallError::Cancelled) {
            return Ok((back(now, false, None), Next::Fail(HandlerError::Cancelled)));
        }
        match error.concern() {
            Concern::Item => Ok((Settled::Failed(problem), Next::On)),
            Concern::Account => self.shop_trouble(item, error, problem).await,
            // Whoever can't be reached has refused nothing: that is not the item's fault.
            Concern::Call | Concern::Run => {
                let counts = !matches!(error, CallError::NoAnswer { sent: false, .. });
                let retry_after = error.retry_after(now);
                let failed = HandlerError::Transient { message: chain(&error), retry_after };
                let settled = self.passing(item, counts, retry_after, problem);
                Ok((settled, if counts && retry_after.is_none() { Next::Failed(failed) } else { Next::Fail(failed) }))
            }
        }
    }

    /// An item that failed for a passing reason: it is tried again, until it was tried often enough.
    pub(super) fn passing(&self, item: &Item, counts: bool, asked: Option<SignedDuration>, problem: ItemError) -> Settled {
        let settings = &self.tick.settings;
        if counts && settings.max_attempts <= item.attempts {
            let text = format!("tried {} times; the last time: {}", item.attempts, problem.text);
            return Settled::Failed(ItemError { text: text.into(), ..problem });
        }
        let wait = settings.wait_after(item.attempts).max(asked.unwrap_or(SignedDuration::ZERO));
        Settled::PutBack { until: self.after(wait), counts, error: Some(problem) }
    }

    /// An account that is not to be called is parked, its items go back, and none of this counts.
    async fn shop_trouble(&self, item: &Item, error: CallError, problem: ItemError) -> Result<(Settled, Next), HandlerError> {
        let tick = self.tick;
        let parked = parking::park(tick.ctx, tick.store, &tick.account, &error).await.map_err(|error| store_failed(&error))?;
        let back = |until: Option<Timestamp>| Settled::PutBack {
            until: until.unwrap_or_else(|| tick.now()),
            counts: false,
            error: Some(problem.clone()),
        };
        let why = chain(&error);
        Ok(match (&error, parked) {
            (CallError::Limited { until, .. } | CallError::Resting { until, .. }, _) => (back(Some(*until)), Next::Rest(why)),
            (CallError::Parked { until, .. }, _) => (back(*until), Next::Rest(why)),
            (_, Some(park)) => (back(park.until), Next::Fail(HandlerError::Permanent { message: why })),
            // A refusal that we know nothing of may be about the item after all: it must not stand at the front for ever.
            (CallError::Refused { .. }, None) => {
                (self.passing(item, true, None, problem.clone()), Next::Fail(HandlerError::Permanent { message: why }))
            }
            (_, None) => (self.passing(item, false, None, problem.clone()), Next::Fail(HandlerError::Permanent { message: why })),
        })
    }

    /// The instant after a wait.
    pub(super) fn after(&self, wait: SignedDuration) -> Timestamp {
        self.tick.now().saturating_add(wait).unwrap_or(Timestamp::MAX)
    }
}

/// The word of an error, for programs.
pub(super) fn word(error: &CallError) -> &str {
    match error {
        CallError::Refused { code, .. } => code,
        CallError::Limited { .. } => "limited",
        CallError::Parked { .. } => "parked",
        CallError::Resting { .. } => "resting",
        CallError::Again { .. } => "again",
        CallError::NoClient { .. } => "no_client",
        CallError::NoAnswer { .. } => "no_answer",
        CallError::Unwell { .. } => "unwell",
        CallError::Unreadable { .. } => "unreadable",
        CallError::Login { .. } => "login",
        CallError::Uncertain { cause, .. } => word(cause),
        CallError::Cancelled => "cancelled",
        CallError::Fenced => "fenced",
        CallError::Store(_) => "store",
    }
}
