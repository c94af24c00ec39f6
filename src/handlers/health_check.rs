//! The handler `health_check`: looks at all that has to be well, side by side, and says what is not, with the number seen and what to do.
//!
//! A run fails when any check does. People hear of a check when it turns bad and when it is good again, not each time.
use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use self::look::Look;
use super::{AttemptContext, Handler, HandlerError, Report, command::Command};
use crate::{
    clock::BoxFuture,
    config::{
        Config,
        keys::{HandlerSpec, Key, Kind},
    },
    core::value::Params,
    errors::chain,
    notify::{Event, Level, Notice},
    outbound::Outbound,
    store::{
        inspect::{Inspect, Turn},
        shop::{Guarded, ShopStore},
    },
};

mod checks;
mod look;

use checks::Check;

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "health_check",
    doc: "Looks whether URLs, programs, queues, data, disk, store, tokens and tasks are well.",
    params: &[
        Key { name: "checks", kind: checks::KIND, required: true, doc: "What is looked at, side by side." },
        Key {
            name: "timeout",
            kind: Kind::Duration(false),
            required: false,
            doc: "How long each check may take that says nothing of its own; default 10s.",
        },
    ],
    // The next look comes soon, and tells more than the same one again.
    retries: 0,
    resumable: true,
    parks: false,
    needs: &[],
    eager_in_practice: false,
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Looks after everybody.
#[derive(Debug)]
pub struct HealthCheck {
    look: Look,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    name: Arc<str>,
    /// What was seen; what is wrong, and what to do.
    said: Result<String, String>,
}

impl HealthCheck {
    /// A handler that goes out this way and looks at this store.
    pub fn new(config: &Config, outbound: Outbound, shop: Arc<dyn ShopStore>, store: Arc<dyn Inspect>) -> Self {
        let accounts = config.accounts.iter().filter(|(_, account)| account.enabled);
        let accounts = accounts.map(|(name, account)| (Arc::clone(name), account.platform)).collect();
        let instances = config.instances.keys().cloned().collect();
        Self { look: Look { command: Command::default(), outbound, shop, store, accounts, instances } }
    }

    async fn look_at_all(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let checks = Check::all(&ctx.params);
        ctx.progress.set_total(u64::try_from(checks.len()).unwrap_or(0));
        let otherwise = ctx.params.duration("timeout").and_then(|timeout| timeout.try_into().ok()).unwrap_or(TIMEOUT);
        let looks = checks.iter().enumerate().map(|(index, check)| self.look_at(ctx, check, index, otherwise));
        let found = ctx.cancel.run_until_cancelled(join_all(looks)).await.ok_or(HandlerError::Cancelled)?;
        if ctx.cancel.is_cancelled() {
            return Err(HandlerError::Cancelled);
        }
        let kept = self.tell_of_turns(ctx, &found).await;
        let bad: Vec<_> = found.iter().filter_map(|found| Some(format!("{}: {}", found.name, found.said.as_ref().err()?))).collect();
        if bad.is_empty() {
            kept?;
            return Ok(Report { summary: format!("OK: all {} checks passed", found.len()) });
        }
        for bad in &bad {
            tracing::error!("{bad}");
        }
        if matches!(kept, Err(HandlerError::Fenced)) {
            return Err(HandlerError::Fenced);
        }
        let message = format!("ERROR: {} of {} checks failed: {}", bad.len(), found.len(), bad.join("; "));
        Err(HandlerError::Transient { message, retry_after: None })
    }

    async fn look_at(&self, ctx: &AttemptContext, check: &Check, index: usize, otherwise: Duration) -> Found {
        let limit = check.timeout.unwrap_or(otherwise);
        let said = self.look.at(ctx, check, index, limit).await;
        if let Ok(said) = &said {
            tracing::debug!("{}: {said}", check.name);
        }
        let (done, ..) = ctx.progress.read();
        ctx.progress.set_done(done.saturating_add(1));
        Found { name: Arc::clone(&check.name), said }
    }

    /// Keeps what was found, and tells of what has turned. Where the store is what is ill, that is told each time: nobody can remember it.
    async fn tell_of_turns(&self, ctx: &AttemptContext, found: &[Found]) -> Result<(), HandlerError> {
        let Some(fence) = ctx.access.fence() else { return Ok(()) };
        let found = found.iter().map(|found| (Arc::clone(&found.name), found.said.as_ref().err().cloned())).collect();
        let task = &ctx.instance.name;
        let tell = |check: &str, level, text: String| {
            ctx.notifier.notify(Notice { event: Event::Health, level, subject: format!("{task}: {check}").into(), text });
        };
        match self.look.store.keep_health(fence.clone(), found, ctx.clock.now().wall).await {
            Ok(Guarded::Done(turns)) => {
                for turn in turns {
                    match turn {
                        Turn::Bad { check, detail } => tell(&check, Level::Alert, detail),
                        Turn::Good { check, since } => tell(&check, Level::Info, format!("it is well again; it was not since {since:.0}")),
                    }
                }
                Ok(())
            }
            Ok(Guarded::Fenced) => Err(HandlerError::Fenced),
            Err(error) => {
                let text = format!("what the checks found can't be kept: {}", chain(&error));
                tell("store", Level::Alert, text.clone());
                Err(HandlerError::Transient { message: text, retry_after: None })
            }
        }
    }
}

impl Handler for HealthCheck {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(self.look_at_all(ctx))
    }
}

/// The parameters of a check as those of a task.
fn only(params: &Params, keys: &[&str]) -> Params {
    Params(params.0.iter().filter(|(key, _)| keys.contains(&&***key)).map(|(key, value)| (Arc::clone(key), value.clone())).collect())
}
