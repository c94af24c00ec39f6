//! The handler `watch_runs`: finds what is frozen, late or overdue, tells a person once, and, where it may, starts it again.
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use self::findings::{Finding, Held, Limits, Remedy, find};
use super::{AttemptContext, Handler, HandlerError, Report, overseer::Picture};
use crate::{
    access::Planned,
    clock::BoxFuture,
    config::keys::{HandlerSpec, Key, Kind},
    core::{task::InstanceName, value::Value},
    errors::chain,
    notify::{Level, Notice},
    shop::upload::{State, Work},
    store::{
        StoreError,
        shop::{ItemFilter, JobFilter, ShopStore},
    },
};

mod findings;

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "watch_runs",
    doc: "Finds runs that make no progress and tasks that do not start, tells of them, and starts them again where it may.",
    params: &[
        key("no_progress", Kind::Duration(false), "A run that makes no progress for this long is frozen; default 15m."),
        key("late", Kind::Duration(false), "What has not begun this long after its time is late; default 10m."),
        key(
            "success_within",
            Kind::Named(&Kind::Duration(false)),
            "Tasks that have to succeed at least this often: `{ sync_inventory: 6h }`.",
        ),
        key("repair", Kind::Bool, "Whether frozen runs are cancelled and started again, and overdue tasks started; default false."),
        key("max_repairs", Kind::Int(1, 60), "How often an instance is repaired within an hour; after that it is only told of; default 3."),
        key("ignore", Kind::List(&Kind::Name), "Tasks that are left alone."),
    ],
    retries: 0,
    resumable: false,
    parks: false,
    needs: &[],
    eager_in_practice: false,
};

const NO_PROGRESS: SignedDuration = SignedDuration::from_mins(15);
const LATE: SignedDuration = SignedDuration::from_mins(10);
const MAX_REPAIRS: i64 = 3;
/// The time in which `max_repairs` counts.
const REPAIRS_IN: SignedDuration = SignedDuration::from_hours(1);
/// How often a run that was told to stop is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// After its grace period a run is killed, given up on and closed; that takes a few seconds.
const AFTER_GRACE: SignedDuration = SignedDuration::from_secs(15);
/// Items in hand that are looked at; more than all workers together hold.
const ITEMS_MAX: usize = 1_000;

/// The handler. What it has told of, and what it has repaired, it remembers until the next reload.
#[derive(Debug)]
pub struct WatchRuns {
    shop: Arc<dyn ShopStore>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// What was wrong the last time, and was told.
    told: BTreeSet<String>,
    /// When each instance was repaired, by the uptime.
    repairs: BTreeMap<InstanceName, VecDeque<SignedDuration>>,
}

impl WatchRuns {
    /// A handler that also looks at the queue of this store.
    pub fn new(shop: Arc<dyn ShopStore>) -> Self {
        Self { shop, memory: Mutex::default() }
    }

    async fn watch(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let limits = limits(ctx);
        let picture = without(ctx.overseer.picture().await?, ctx);
        if let Some(stranger) = limits
            .success_within
            .keys()
            .find(|task| picture.since.is_some() && !picture.instances.iter().any(|seen| seen.task.as_str() == *task))
        {
            let message = format!("`success_within` names `{stranger}`, and there is no such task; correct tasks.yaml");
            return Err(HandlerError::Permanent { message });
        }
        let now = ctx.clock.now().wall;
        let mut found = find(&picture, &limits, now);
        found.extend(findings::dropped(&self.in_hand().await?, limits.late, now));
        self.tell(ctx, &found);
        let mut mended = Vec::new();
        if ctx.params.bool("repair").unwrap_or(false) {
            for finding in &found {
                if let Some(remedy) = &finding.remedy {
                    mended.extend(self.repair(ctx, finding, remedy).await?);
                }
            }
        }
        Ok(Report { summary: summary(&picture, &found, &mended) })
    }

    /// What a worker of the queue has, or had.
    async fn in_hand(&self) -> Result<Vec<Held>, HandlerError> {
        let unread = |error: StoreError| HandlerError::Transient { message: chain(&error), retry_after: None };
        let (state, limit) = (Some(State::Uploading), ITEMS_MAX);
        let items = self.shop.items(Work::Upload, ItemFilter { state, limit, ..ItemFilter::default() }).await.map_err(unread)?;
        let jobs = self.shop.jobs(JobFilter { state, limit, ..JobFilter::default() }).await.map_err(unread)?;
        let uploads = items.into_iter().filter_map(|item| Held::new(item.account.account, item.work, item.lease));
        Ok(uploads.chain(jobs.into_iter().filter_map(|job| Held::new(job.source, job.work, job.lease))).collect())
    }

    /// Tells of what was not wrong the last time.
    fn tell(&self, ctx: &AttemptContext, found: &[Finding]) {
        let now_wrong: BTreeSet<String> = found.iter().map(|finding| finding.key.clone()).collect();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in found.iter().filter(|finding| !memory.told.contains(&finding.key)) {
            let text = finding.text.clone();
            ctx.notifier.notify(Notice { event: finding.event, level: Level::Alert, subject: finding.subject.as_str().into(), text });
        }
        memory.told = now_wrong;
    }

    /// Whether the instance may be repaired once more within the hour; if so, this counts.
    fn may_repair(&self, ctx: &AttemptContext, instance: &InstanceName) -> bool {
        let now = ctx.clock.now().uptime;
        let most = usize::try_from(ctx.params.int("max_repairs").unwrap_or(MAX_REPAIRS)).unwrap_or(usize::MAX);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let repairs = memory.repairs.entry(instance.clone()).or_default();
        repairs.retain(|at| now.saturating_sub(*at) < REPAIRS_IN);
        if most <= repairs.len() {
            return false;
        }
        repairs.push_back(now);
        true
    }

    /// Cancels what is frozen and starts it again.
    async fn repair(&self, ctx: &AttemptContext, finding: &Finding, remedy: &Remedy) -> Result<Option<String>, HandlerError> {
        let instance = &remedy.instance;
        let planned = || Planned {
            kind: "repair",
            target: instance.to_string(),
            change: remedy.cancel.map_or_else(|| "started".to_owned(), |(run, _)| format!("run {run} cancelled, and started again")),
            reason: finding.text.clone(),
        };
        if ctx.access.permit(planned).is_none() {
            return Ok(None);
        }
        if !self.may_repair(ctx, instance) {
            tracing::warn!(%instance, "{instance} was repaired often enough within the hour; it is left to a person");
            return Ok(Some(format!("{instance} is left to a person, it was repaired too often")));
        }
        if let Some((run, grace)) = remedy.cancel {
            tracing::warn!(%instance, run = run.0, "run {run} is cancelled and started again: {}", finding.text);
            let limit = ctx.clock.now().uptime.saturating_add(grace).saturating_add(AFTER_GRACE);
            // Where it has ended by itself, nothing is left to repair.
            if !ctx.overseer.cancel(run).await {
                return Ok(None);
            }
            while ctx.overseer.picture().await?.runs.iter().any(|seen| seen.run == run) && ctx.clock.now().uptime < limit {
                if ctx.cancel.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_none() {
                    return Err(HandlerError::Cancelled);
                }
            }
        }
        Ok(Some(match ctx.overseer.start(instance.clone()).await {
            Ok(run) => format!("{instance} was started again as run {run}"),
            Err(why) => format!("{instance} could not be started again: {why}"),
        }))
    }
}

impl Handler for WatchRuns {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(self.watch(ctx))
    }
}

fn limits(ctx: &AttemptContext) -> Limits {
    let within = ctx.params.table("success_within").into_iter().flat_map(|table| &table.0);
    let within =
        within.filter_map(|(task, value)| if let Value::Duration(within) = value { Some((task.to_string(), *within)) } else { None });
    Limits {
        no_progress: ctx.params.duration("no_progress").unwrap_or(NO_PROGRESS),
        late: ctx.params.duration("late").unwrap_or(LATE),
        success_within: within.collect(),
    }
}

/// The picture without what is to be left alone: this instance itself, and what the file says.
fn without(picture: Picture, ctx: &AttemptContext) -> Picture {
    let ignored: BTreeSet<&str> =
        ctx.params.list("ignore").iter().filter_map(|value| if let Value::Text(task) = value { Some(&**task) } else { None }).collect();
    let task = |name: &InstanceName| name.as_str().split_once('@').map_or_else(|| name.to_string(), |(task, _)| task.to_owned());
    let watched = |name: &InstanceName| *name != ctx.instance.name && !ignored.contains(task(name).as_str());
    let Picture { since, mut runs, mut hanging, instances, stuck } = picture;
    runs.retain(|seen| watched(&seen.instance));
    hanging.retain(|seen| watched(&seen.instance));
    let mut instances = instances;
    // They stay known, or `success_within` would name a stranger.
    for seen in instances.iter_mut().filter(|seen| !watched(&seen.name)) {
        seen.awake = false;
    }
    Picture { since, runs, hanging, instances, stuck }
}

fn summary(picture: &Picture, found: &[Finding], mended: &[String]) -> String {
    if picture.since.is_none() {
        return "no engine to look at here: nothing was looked at but the queue".to_owned();
    }
    let all: Vec<&str> = found.iter().map(|finding| finding.text.as_str()).chain(mended.iter().map(String::as_str)).collect();
    if all.is_empty() {
        format!("all well: {} open runs, {} instances", picture.runs.len(), picture.instances.len())
    } else {
        all.join("; ")
    }
}

/// An instant to the second, for people.
fn to_second(at: Timestamp) -> Timestamp {
    at.round(jiff::Unit::Second).unwrap_or(at)
}
