//! The handler `cleanup`: what is old and of no more use goes, in small portions, so that nobody waits for it.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use self::files::{Found, Places};
use super::{
    AttemptContext, Handler, HandlerError, Report, backup,
    budget::{Budget, MAX_TIME},
    store_failed,
};
use crate::{
    access::Planned,
    clock::BoxFuture,
    config::keys::{HandlerSpec, Key, Kind},
    core::value::{Params, Value},
    store::upkeep::{Old, Upkeep},
};

pub mod files;

const fn limit(name: &'static str, doc: &'static str) -> Key {
    Key { name, kind: Kind::Limit, required: false, doc }
}

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "cleanup",
    doc: "Removes what is old and of no more use: history, finished work, logs, copies, what killed processes left.",
    params: &[
        limit("history", "Runs and skips that ended longer ago are removed, but the newest of each instance; default 90d."),
        limit(
            "work",
            "Finished and given-up work of the queues that ended longer ago is removed, but the newest of each product; default 90d.",
        ),
        limit("dead_letters", "Work that failed longer ago is removed; default 180d."),
        limit("prices", "Changes of prices and costs from before are removed, but the newest of each product; default 400d."),
        limit("logs", "Rotated log files from before are removed, and the logs of tasks that are gone; default 30d."),
        Key {
            name: "backups",
            kind: Kind::Table(backup::RETENTION),
            required: false,
            doc: "Copies of the store that are too many or too old are removed, as by `backup`; without it, none are.",
        },
        limit("replaced_stores", "Stores that a restore has put aside longer ago are removed; default 60d."),
        limit("temp_files", "What killed processes left in the state folder is removed after this long; default 1d."),
        Key { name: "checkpoint", kind: Kind::Bool, required: false, doc: "Brings the store's log into the store; default true." },
        MAX_TIME,
    ],
    retries: 3,
    resumable: true,
    parks: true,
    needs: &[],
    eager_in_practice: false,
};

const DAY: i64 = 24;
/// What grows old in the store: whose parameter, how long it stays, what it is called.
const ROWS: &[(&str, i64, &[Old], &str)] = &[
    ("history", 90 * DAY, &[Old::History], "old runs and skips"),
    ("work", 90 * DAY, &[Old::Work], "finished items of work"),
    ("dead_letters", 180 * DAY, &[Old::DeadLetters], "dead letters"),
    ("prices", 400 * DAY, &[Old::Prices, Old::Costs], "changes of prices and costs"),
];
const LOGS: i64 = 30 * DAY;
const REPLACED_STORES: i64 = 60 * DAY;
const TEMP_FILES: i64 = DAY;

/// The handler.
#[derive(Debug)]
pub struct Cleanup {
    store: Arc<dyn Upkeep>,
    places: Places,
}

/// What went, in words, and whether all of it did.
#[derive(Debug, Default)]
struct Tally {
    parts: Vec<String>,
    trouble: Vec<String>,
    unfinished: bool,
}

impl Cleanup {
    /// A handler that keeps this store, and the files in these places, small.
    pub fn new(store: Arc<dyn Upkeep>, places: Places) -> Self {
        Self { store, places }
    }

    async fn clean(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let budget = Budget::of(ctx);
        let mut tally = Tally::default();
        for (name, hours, kinds, what) in ROWS {
            if let Some(before) = before(ctx, name, *hours) {
                self.prune(ctx, &budget, (kinds, what), before, &mut tally).await?;
            }
        }
        for found in self.find(ctx, &mut tally).await? {
            if ctx.cancel.is_cancelled() {
                return Err(HandlerError::Cancelled);
            }
            tally.unfinished |= budget.is_used_up();
            if !tally.unfinished {
                remove(ctx, found, &mut tally).await?;
            }
        }
        if ctx.params.bool("checkpoint").unwrap_or(true) && ctx.access.fence().is_some() {
            self.store.checkpoint().await.map_err(|error| store_failed(&error))?;
        }
        tally.report(ctx.access.fence().is_none())
    }

    /// Removes rows, a portion a transaction.
    async fn prune(
        &self,
        ctx: &AttemptContext,
        budget: &Budget,
        (kinds, what): (&[Old], &'static str),
        before: Timestamp,
        tally: &mut Tally,
    ) -> Result<(), HandlerError> {
        let dry = ctx.access.fence().is_none();
        let mut rows = 0_u64;
        for kind in kinds {
            let mut next = Some(0);
            while let Some(from) = next {
                if ctx.cancel.is_cancelled() {
                    return Err(HandlerError::Cancelled);
                }
                if budget.is_used_up() {
                    tally.unfinished = true;
                    break;
                }
                let pruned = self.store.prune(*kind, before, from, dry).await.map_err(|error| store_failed(&error))?;
                rows = rows.saturating_add(pruned.rows);
                next = pruned.next;
                ctx.progress.note(format!("{rows} {what} so far"));
            }
        }
        if rows > 0 {
            let planned = || Planned {
                kind: "rows",
                target: format!("{rows} {what}"),
                change: "removed".to_owned(),
                reason: format!("over since before {before:.0}"),
            };
            ctx.access.permit(planned);
            tally.parts.push(format!("{rows} {what}"));
        }
        Ok(())
    }

    /// The files that are old.
    async fn find(&self, ctx: &AttemptContext, tally: &mut Tally) -> Result<Vec<Found>, HandlerError> {
        let gone = self.store.instance_names().await.map_err(|error| store_failed(&error))?;
        let wanted = files::Wanted {
            logs: before(ctx, "logs", LOGS),
            gone: gone.into_iter().collect(),
            backups: ctx.params.table("backups").map(|table| self.backups(ctx, table)),
            replaced_stores: before(ctx, "replaced_stores", REPLACED_STORES),
            temp_files: before(ctx, "temp_files", TEMP_FILES),
        };
        let places = self.places.clone();
        let (found, trouble) = tokio::task::spawn_blocking(move || places.find(&wanted)).await.map_err(|_| HandlerError::Cancelled)?;
        tally.trouble.extend(trouble);
        Ok(found)
    }

    fn backups(&self, ctx: &AttemptContext, table: &Params) -> (std::path::PathBuf, backup::Retention) {
        let dir = backup::folder_of(table, &ctx.base_dir, &self.places.state_dir.join(backup::FOLDER));
        (dir, backup::Retention::of(table, ctx.clock.now().wall))
    }
}

impl Handler for Cleanup {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(self.clean(ctx))
    }
}

impl Tally {
    fn report(self, dry: bool) -> Result<Report, HandlerError> {
        let what = if self.parts.is_empty() { "nothing".to_owned() } else { self.parts.join(", ") };
        let done = if dry { "would go" } else { "removed" };
        let rest = if self.unfinished { "; the rest is left for the next run" } else { "" };
        let summary = format!("{what} {done}{rest}");
        if self.trouble.is_empty() {
            return Ok(Report { summary });
        }
        Err(HandlerError::Permanent { message: format!("{summary}; {}", self.trouble.join("; ")) })
    }
}

/// What is older than this goes; `None`: nothing does.
fn before(ctx: &AttemptContext, name: &str, hours: i64) -> Option<Timestamp> {
    let keep = match ctx.params.get(name) {
        None => SignedDuration::from_hours(hours),
        Some(Value::Duration(keep)) => *keep,
        // `none`
        Some(_) => return None,
    };
    Some(ctx.clock.now().wall.checked_sub(keep).unwrap_or(Timestamp::MIN))
}

/// Removes the files of one kind, each listed in a dry run.
async fn remove(ctx: &AttemptContext, found: Found, tally: &mut Tally) -> Result<(), HandlerError> {
    let Found { what, paths } = found;
    let mut permitted = Vec::new();
    for path in &paths {
        let planned = || Planned {
            kind: "file",
            target: path.display().to_string(),
            change: "removed".to_owned(),
            reason: format!("one of the {what}"),
        };
        if ctx.access.permit(planned).is_some() {
            permitted.push(path.clone());
        }
    }
    let count = paths.len();
    let failed = tokio::task::spawn_blocking(move || files::remove(&permitted)).await.map_err(|_| HandlerError::Cancelled)?;
    tally.parts.push(format!("{} {what}", count.saturating_sub(failed.len())));
    tally.trouble.extend(failed);
    Ok(())
}
