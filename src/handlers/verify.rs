//! The handler `verify`: looks each night whether what we know and what is so have come apart, and says what would mend it. It mends nothing itself.
//!
//! First the store by itself (is the file whole, do its parts agree), then each shop's items against the books. A shop is read with the share of its
//! limits that is kept for people, so no sync waits for it; a limit makes the run wait, and it goes on where it was.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use self::shop::{Audit, Left};
use super::{AttemptContext, Handler, HandlerError, Planned, Report, parking, store_failed};
use crate::{
    clock::BoxFuture,
    config::{
        Config,
        keys::{HandlerSpec, Key, Kind},
    },
    core::task::RunId,
    marketplace::Market,
    notify::{Event, Level, Notice},
    shop::drift::{self, Drift},
    store::{
        inspect::Inspect,
        shop::{AccountKey, ShopStore},
    },
};

mod shop;

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "verify",
    doc: "Looks whether store, queue, listings and shops agree; changes nothing.",
    params: &[
        Key {
            name: "repair",
            kind: Kind::Word(&["none", "plan"]),
            required: false,
            doc: "With `plan` what would mend each finding is told as well; default none. Nothing is ever mended by this.",
        },
        Key {
            name: "shops",
            kind: Kind::Bool,
            required: false,
            doc: "Whether the shops are read and held against the books, too; default true.",
        },
        Key {
            name: "ignore",
            kind: Kind::List(&Kind::Word(&[
                "unlisted",
                "unqueued",
                "stuck",
                "open_create",
                "open_edit",
                "unknown_product",
                "unknown_account",
                "supply",
                "gone",
                "stranger",
                "double",
                "sku",
                "price",
                "visibility",
                "images",
            ])),
            required: false,
            doc: "Kinds of findings that are not told, such as `stranger` for a shop that also sells what is not ours.",
        },
    ],
    retries: 3,
    resumable: true,
    parks: false,
    needs: &[],
    eager_in_practice: false,
};

/// What was left in the middle for less than this may still be at work.
const STALE: SignedDuration = SignedDuration::from_hours(1);
/// Findings that are told one by one; more are counted.
const TOLD_MAX: usize = 100;
/// No run waits longer for a limit.
const WAIT_MAX: SignedDuration = SignedDuration::from_hours(24);

/// How far shops were read, by account.
type Audits = BTreeMap<Arc<str>, Audit>;

/// Looks whether all agrees.
#[derive(Debug)]
pub struct Verify {
    market: Arc<Market>,
    shop: Arc<dyn ShopStore>,
    store: Arc<dyn Inspect>,
    accounts: Vec<AccountKey>,
    /// How far the shops were read by a run whose earlier attempts could not end.
    past: Mutex<(Option<RunId>, Audits)>,
}

impl Verify {
    /// A handler that looks at this store and these accounts' shops.
    pub fn new(config: &Config, market: Arc<Market>, shop: Arc<dyn ShopStore>, store: Arc<dyn Inspect>) -> Self {
        let accounts = config.accounts.iter();
        let accounts = accounts.map(|(name, account)| AccountKey { platform: account.platform, account: Arc::clone(name) }).collect();
        Self { market, shop, store, accounts, past: Mutex::default() }
    }

    async fn verify(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        ctx.progress.note("reading the store");
        let faults = self.store.check_file().await.map_err(|error| store_failed(&error))?;
        if !faults.is_empty() {
            let message =
                format!("the store is damaged: {}; stop taskrun, keep the file, and `taskrun restore` a backup", faults.join(", "));
            tell(ctx, Level::Alert, message.clone());
            return Err(HandlerError::Permanent { message });
        }
        let stale = ctx.clock.now().wall.saturating_sub(STALE).unwrap_or(Timestamp::MIN);
        let mut drifts = self.store.drifts(self.accounts.clone(), stale).await.map_err(|error| store_failed(&error))?;
        let (audits, left) =
            if ctx.params.bool("shops").unwrap_or(true) { self.read_shops(ctx).await? } else { (BTreeMap::new(), Vec::new()) };
        let read: usize = audits.values().map(Audit::items).sum();
        let mut unsure: Vec<String> = audits.iter().filter_map(|(account, audit)| audit.unsure(account)).collect();
        drifts.extend(audits.into_values().flat_map(Audit::into_drifts));
        let ignored: Vec<&str> = ctx.params.list("ignore").iter().filter_map(|kind| Some(kind.exposed()?.0)).collect();
        drifts.retain(|drift| !ignored.contains(&drift.kind.word()));
        drifts.sort();
        unsure.extend(left.iter().map(|left| format!("{}: {}", left.account, left.why)));
        let summary = summary(&drifts, read, &unsure);
        say(ctx, &drifts, &summary, left.iter().any(|left| left.is_passing));
        end(ctx, summary, &left)
    }

    /// Reads every shop that was not read yet. What was found, and what is left and why.
    async fn read_shops(&self, ctx: &AttemptContext) -> Result<(Audits, Vec<Left>), HandlerError> {
        let mut past = self.take_past(ctx.run);
        let mut left = Vec::new();
        let shops = self.market.shops();
        ctx.progress.set_total(u64::try_from(shops.len()).unwrap_or(0));
        for (done, (account, shop)) in (1..).zip(shops) {
            if ctx.instance.account.as_ref().is_some_and(|only| only != account) {
                continue;
            }
            ctx.progress.note(format!("reading {account}"));
            let audit = past.entry(Arc::clone(account)).or_default();
            let ended = shop::read(ctx, shop, self.shop.as_ref(), self.store.as_ref(), audit).await;
            if let Err(error) = ended {
                let park = parking::park(ctx, self.shop.as_ref(), shop.key(), &error).await.map_err(|error| store_failed(&error))?;
                match Left::of(account, &error, park.as_ref(), ctx.clock.now().wall) {
                    Ok(found) => left.push(found),
                    Err(fatal) => {
                        self.keep_past(ctx.run, past);
                        return Err(fatal);
                    }
                }
            }
            ctx.progress.set_done(done);
        }
        if left.iter().any(|left| left.is_passing) {
            self.keep_past(ctx.run, past.clone());
        }
        past.retain(|_, audit| audit.is_done());
        Ok((past, left))
    }

    fn take_past(&self, run: RunId) -> Audits {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, audits) = std::mem::take(&mut *past);
        if of == Some(run) { audits } else { BTreeMap::new() }
    }

    fn keep_past(&self, run: RunId, audits: Audits) {
        *self.past.lock().unwrap_or_else(PoisonError::into_inner) = (Some(run), audits);
    }
}

impl Handler for Verify {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(async move {
            let result = self.verify(ctx).await;
            self.market.at_rest().await;
            result
        })
    }
}

/// Tells of what was found: each in the log, and people once a run. A run that goes on says it at its end.
fn say(ctx: &AttemptContext, drifts: &[Drift], summary: &str, goes_on: bool) {
    if goes_on {
        return;
    }
    let with_plan = ctx.params.text("repair") == Some("plan");
    for drift in drifts.iter().take(TOLD_MAX) {
        tracing::warn!("{}: {}: {}: {}", drift.kind, drift.account, drift.subject, drift.detail);
    }
    if let Some(more) = drifts.len().checked_sub(TOLD_MAX).filter(|more| 0 < *more) {
        tracing::warn!("{more} more findings");
    }
    if with_plan {
        plan(ctx, drifts);
    }
    let doubles = drifts.iter().filter(|drift| drift.kind == drift::Kind::Double).count();
    if 0 < doubles {
        let text = format!(
            "{doubles} products are listed twice at a shop, so both may be sold; {summary}. `taskrun once verify --set repair=plan` says what to do"
        );
        tell(ctx, Level::Alert, text);
    } else if !drifts.is_empty() {
        tell(ctx, Level::Warning, format!("{summary}. `taskrun once verify --set repair=plan` says what to do"));
    }
}

/// What would mend it, as lines of the log; in a dry run as its plan.
fn plan(ctx: &AttemptContext, drifts: &[Drift]) {
    for drift in drifts {
        let planned = || Planned {
            kind: "mend",
            target: format!("{} {}", drift.account, drift.subject),
            change: drift.mend.clone(),
            reason: format!("{}: {}", drift.kind, drift.detail),
        };
        if ctx.access.permit(planned).is_some() {
            tracing::info!("plan: {}: {}: {}", drift.account, drift.subject, drift.mend);
        }
    }
}

fn tell(ctx: &AttemptContext, level: Level, text: String) {
    ctx.notifier.notify(Notice { event: Event::Drift, level, subject: ctx.instance.name.as_str().into(), text });
}

/// `3 findings (1 double, 2 price) in 240 items`, and what was not read.
fn summary(drifts: &[Drift], items: usize, unsure: &[String]) -> String {
    let count = |kind: &drift::Kind| drifts.iter().filter(|drift| drift.kind == *kind).count();
    let kinds = drift::Kind::ALL.iter().map(|kind| (kind, count(kind))).filter(|(_, count)| 0 < *count);
    let kinds = kinds.map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ");
    let mut summary = if drifts.is_empty() {
        format!("all agrees; {items} items of shops were looked at")
    } else {
        format!("{} findings ({kinds}); {items} items of shops were looked at", drifts.len())
    };
    for unsure in unsure {
        summary.extend(["; ", unsure]);
    }
    summary
}

/// Findings are no failure: people hear of them. What could not be read makes the run wait, or try again.
fn end(ctx: &AttemptContext, summary: String, left: &[Left]) -> Result<Report, HandlerError> {
    let now = ctx.clock.now().wall;
    let until = left.iter().filter(|left| left.is_passing).filter_map(|left| left.until).max();
    match until.filter(|until| until.duration_since(now) <= WAIT_MAX) {
        Some(until) => Err(HandlerError::NotYet { message: summary, until }),
        None if left.iter().any(|left| left.is_passing) => Err(HandlerError::Transient { message: summary, retry_after: None }),
        None => Ok(Report { summary }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_finding_can_be_ignored() {
        let Some(Kind::List(Kind::Word(words))) = SPEC.params.iter().find(|key| key.name == "ignore").map(|key| key.kind) else {
            panic!("`ignore` is no list of words");
        };
        assert_eq!(words.to_vec(), drift::Kind::ALL.iter().map(|kind| kind.word()).collect::<Vec<_>>());
    }
}
