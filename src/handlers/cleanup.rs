//! The handler `cleanup`: what is old and of no more use goes, in small portions, so that nobody waits for it.
use std::sync::Arc;

use jiff::SignedDuration;

use super::{AttemptContext, Handler, HandlerError, Report};
use crate::{
    access::Planned,
    clock::BoxFuture,
    config::keys::{HandlerSpec, Key, Kind},
    errors::chain,
    store::{StoreError, upkeep::Upkeep},
};

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "cleanup",
    doc: "Removes old history, and keeps the store small.",
    params: &[
        Key {
            name: "history",
            kind: Kind::Duration(false),
            required: false,
            doc: "Runs and skips that ended longer ago than this are removed, but the newest of each instance; default 90d.",
        },
        Key {
            name: "max_time",
            kind: Kind::Duration(false),
            required: false,
            doc: "No run works for longer than this; the next one goes on; default 5m.",
        },
    ],
    retries: 3,
    resumable: true,
    parks: true,
    needs: &[],
    eager_in_practice: false,
};

const HISTORY: SignedDuration = SignedDuration::from_hours(90 * 24);
const MAX_TIME: SignedDuration = SignedDuration::from_mins(5);

/// The handler.
#[derive(Debug)]
pub struct Cleanup {
    store: Arc<dyn Upkeep>,
}

impl Cleanup {
    /// A handler that keeps this store small.
    pub fn new(store: Arc<dyn Upkeep>) -> Self {
        Self { store }
    }

    async fn clean(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let begun = ctx.clock.now();
        let keep = ctx.params.duration("history").unwrap_or(HISTORY);
        let max_time = ctx.params.duration("max_time").unwrap_or(MAX_TIME);
        let before = begun.wall.checked_sub(keep).map_err(|_| permanent("`history` is longer than time"))?;
        let dry = ctx.access.fence().is_none();
        let (mut rows, mut next) = (0_u64, Some(0));
        while let Some(from) = next {
            if ctx.cancel.is_cancelled() {
                return Err(HandlerError::Cancelled);
            }
            if ctx.clock.now().uptime.saturating_sub(begun.uptime) > max_time {
                break;
            }
            let pruned = self.store.prune_history(before, from, dry).await.map_err(|error| transient(&error))?;
            rows = rows.saturating_add(pruned.rows);
            next = pruned.next;
            ctx.progress.note(format!("{rows} old rows so far"));
        }
        let rest = if next.is_some() { "; the rest is left for the next run" } else { "" };
        let planned = || Planned {
            kind: "history",
            target: format!("{rows} runs and skips"),
            change: "removed".to_owned(),
            reason: format!("they ended before {before:.0}"),
        };
        if ctx.access.permit(planned).is_some() {
            self.store.checkpoint().await.map_err(|error| transient(&error))?;
        }
        let done = if dry { "would go" } else { "removed" };
        Ok(Report { summary: format!("{rows} old runs and skips {done}{rest}") })
    }
}

impl Handler for Cleanup {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(self.clean(ctx))
    }
}

fn permanent(message: &str) -> HandlerError {
    HandlerError::Permanent { message: message.to_owned() }
}

fn transient(error: &StoreError) -> HandlerError {
    HandlerError::Transient { message: chain(error), retry_after: None }
}
