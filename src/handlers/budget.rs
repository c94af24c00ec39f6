//! How long a run may go on, for handlers that can leave the rest to the next one.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::AttemptContext;
use crate::{
    clock::Clock,
    config::keys::{Key, Kind},
    files::Limit,
};

/// The parameter that says it.
pub(super) const MAX_TIME: Key = Key {
    name: "max_time",
    kind: Kind::Duration(false),
    required: false,
    doc: "No run works for longer than this; the next one goes on; default 5m.",
};
const DEFAULT: SignedDuration = SignedDuration::from_mins(5);

/// The time of one attempt. It counts what went, too.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
    until: SignedDuration,
    gone: Arc<AtomicU64>,
}

impl Budget {
    pub(super) fn of(ctx: &AttemptContext) -> Self {
        let length = ctx.params.duration(MAX_TIME.name).unwrap_or(DEFAULT);
        let until = ctx.clock.now().uptime.saturating_add(length);
        Self { clock: Arc::clone(&ctx.clock), cancel: ctx.cancel.clone(), until, gone: Arc::default() }
    }

    /// Whether it is used up.
    pub(super) fn is_used_up(&self) -> bool {
        self.until < self.clock.now().uptime
    }

    /// Files and folders that went.
    pub(super) fn gone(&self) -> u64 {
        self.gone.load(Ordering::Relaxed)
    }
}

impl Limit for Budget {
    fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.is_used_up()
    }

    fn count(&self) {
        self.gone.fetch_add(1, Ordering::Relaxed);
    }
}
