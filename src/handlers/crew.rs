//! A crew: several workers side by side that take jobs of one lane of the work queue, until none is due.
//!
//! Each job has a limit; one that hangs beyond it is dropped and put back, and another takes its place. Jobs that were in hand when a process died
//! come first and alone: one that kills its process is soon the only suspect, and the third time it is set aside. Nothing here knows what a job is.
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use jiff::{SignedDuration, Timestamp};

use super::{AttemptContext, HandlerError, guarded, store_failed};
use crate::{
    clock::BoxFuture,
    config::keys::{Key, Kind},
    core::value::Params,
    errors::chain,
    marketplace::{CallError, Concern},
    notify::{Event, Level, Notice},
    shop::{setting::SettingName, upload::State},
    store::{
        Fence,
        shop::{ItemError, Job, JobEnd, ShopStore, WorkLane},
    },
};

/// How long jobs stay this run's after a sign of life, of the marketplace's time: the longest wait for a place in a limit, and some.
const LEASE: SignedDuration = SignedDuration::from_mins(15);
/// The same in real time; signs of life come a good deal more often.
const LEASE_REAL: Duration = Duration::from_mins(2);
const RENEW_EVERY: Duration = Duration::from_secs(30);
/// Failures in a row, of all workers, after which the source is in trouble and not the jobs.
const FAILURES_MAX: u32 = 10;
/// How long a source is left alone that shut us out so often.
const COOLDOWN: SignedDuration = SignedDuration::from_mins(10);
/// A job that was put back is waited for within the run, if it is due so soon.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
const RETRY_DELAY: SignedDuration = SignedDuration::from_secs(5);
const RETRY_DELAY_MAX: SignedDuration = SignedDuration::from_mins(5);

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

/// The parameters of every handler with a crew.
pub(super) const PORTION: Key = key("portion", Kind::Int(1, 100_000), "How many jobs are put into the queue at once; default 500.");
pub(super) const WORKERS: Key = key("workers", Kind::Int(1, 100), "How many jobs are worked on at once; default 14.");
pub(super) const WORKERS_SETTING: Key = key(
    "workers_setting",
    Kind::Text,
    "The setting (`taskrun settings`) that says how many; followed while the run goes on. `workers` where it is not set or no number.",
);
pub(super) const ITEM_TIMEOUT: Key =
    key("item_timeout", Kind::Duration(false), "A job that takes longer, in real time, is dropped and tried again later; default 60s.");
pub(super) const MAX_ATTEMPTS: Key =
    key("max_attempts", Kind::Int(1, 100), "A job that failed so often is a dead letter (`taskrun work dead`); default 3.");

/// The same, read.
#[derive(Clone, Debug)]
pub(super) struct CrewSettings {
    pub(super) portion: usize,
    workers: usize,
    workers_setting: Option<SettingName>,
    item_timeout: Duration,
    max_attempts: u32,
}

impl CrewSettings {
    pub(super) fn read(params: &Params) -> Self {
        let count = |name, otherwise| params.int(name).and_then(|count| usize::try_from(count).ok()).unwrap_or(otherwise);
        Self {
            portion: count("portion", 500),
            workers: count("workers", 14),
            workers_setting: params.text("workers_setting").and_then(SettingName::parse),
            item_timeout: params.duration("item_timeout").and_then(|limit| limit.try_into().ok()).unwrap_or(Duration::from_mins(1)),
            max_attempts: params.int("max_attempts").and_then(|most| u32::try_from(most).ok()).unwrap_or(3),
        }
    }
}

/// Why a job was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The source's.
    Call(CallError),
    /// The run's: it ends.
    Run(HandlerError),
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// What a worker of the crew does with a job.
pub(super) trait Trade: Sync {
    /// Does it. It may be dropped at any await and done again, so it has to bear that.
    fn work<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), Trouble>>;
}

/// What a crew has done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) finished: u64,
    /// Why jobs were put back, and how often.
    pub(super) put_back: BTreeMap<Arc<str>, u64>,
    /// New dead letters.
    pub(super) dead: u64,
    /// Failures of all workers since the last job that was done: the source's trouble, not the jobs'.
    failures: u32,
}

impl Done {
    /// The sentence's part about what did not go well; empty where all did.
    pub(super) fn troubles(&self) -> String {
        let mut text = String::new();
        for (code, times) in &self.put_back {
            _ = write!(text, ", {times} put back ({code})");
        }
        if self.dead > 0 {
            _ = write!(text, ", {} given up: see `taskrun work dead list`", self.dead);
        }
        text
    }
}

/// The crew of one attempt.
pub(super) struct Crew<'a> {
    pub(super) ctx: &'a AttemptContext,
    pub(super) store: &'a dyn ShopStore,
    pub(super) fence: &'a Fence,
    pub(super) lane: WorkLane,
    pub(super) settings: &'a CrewSettings,
}

/// A worker's answer.
type Answer = (Job, Option<Result<(), Trouble>>);

/// What the crew knows while it works.
struct Shift<'s> {
    done: &'s mut Done,
    /// Why no new job is taken.
    stop: Option<HandlerError>,
}

impl Crew<'_> {
    fn now(&self) -> Timestamp {
        self.ctx.clock.now().wall
    }

    fn lease_until(&self) -> Timestamp {
        let lease = LEASE.saturating_add(self.ctx.clock.wall(LEASE_REAL));
        self.now().saturating_add(lease).unwrap_or(Timestamp::MAX)
    }

    /// Takes back what an earlier attempt or a dead process had in hand. To be called once, with empty hands.
    pub(super) async fn begin(&self, done: &mut Done) -> Result<(), HandlerError> {
        self.reclaim(true, done).await
    }

    async fn reclaim(&self, own: bool, done: &mut Done) -> Result<(), HandlerError> {
        let taken = self.store.reclaim_jobs(self.fence.clone(), self.lane.clone(), own, self.now()).await;
        let reclaimed = guarded(taken)?;
        if reclaimed.back > 0 {
            tracing::warn!("{} jobs of {} were in the hand of a worker that is no more, and wait again", reclaimed.back, self.lane.source);
        }
        for job in &reclaimed.poisoned {
            done.dead += 1;
            let text = format!(
                "job {} ({} of {}) killed its worker {} times and is set aside; see `taskrun work dead show {}`",
                job.id, job.work, job.key.sku, job.deaths, job.id
            );
            let notice = Notice { event: Event::NeedsEye, level: Level::Warning, subject: Arc::clone(&job.source), text };
            self.ctx.notifier.notify(notice);
        }
        Ok(())
    }

    /// Does all jobs that are due, and those that are put back for a short while.
    pub(super) async fn work_through(&self, trade: &dyn Trade, done: &mut Done) -> Result<(), HandlerError> {
        loop {
            // Suspects first, alone.
            self.shift(trade, true, done).await?;
            self.shift(trade, false, done).await?;
            self.reclaim(false, done).await?;
            let next = self.store.next_job_at(self.lane.clone()).await.map_err(|error| store_failed(&error))?;
            let Some(next) = next else { return Ok(()) };
            let wait = next.duration_since(self.now());
            if PATIENCE < wait {
                return Ok(());
            }
            // Never less than a moment, so that a job nobody can take costs no busy wait.
            let wait = wait.max(SignedDuration::from_secs(1));
            self.ctx.progress.note(format!("waiting for jobs that were put back until {next:.0}"));
            self.ctx.cancel.run_until_cancelled(self.ctx.clock.sleep(wait)).await.ok_or(HandlerError::Cancelled)?;
        }
    }

    async fn workers(&self) -> Result<usize, HandlerError> {
        let Some(name) = &self.settings.workers_setting else { return Ok(self.settings.workers) };
        let setting = self.store.setting(name.clone()).await.map_err(|error| store_failed(&error))?;
        let said = setting.and_then(|setting| setting.value.expose().trim().parse::<usize>().ok());
        Ok(said.filter(|workers| (1..=100).contains(workers)).unwrap_or(self.settings.workers))
    }

    /// Takes jobs until none is due.
    async fn shift(&self, trade: &dyn Trade, suspects: bool, done: &mut Done) -> Result<(), HandlerError> {
        let mut shift = Shift { done, stop: None };
        let mut hands = FuturesUnordered::new();
        let mut renewal = tokio::time::interval(RENEW_EVERY);
        let workers = if suspects { 1 } else { self.workers().await? };
        let mut in_hand: BTreeMap<i64, Job> = BTreeMap::new();
        let ended = loop {
            if shift.stop.is_none() && in_hand.len() < workers {
                match self.claim(suspects, workers.saturating_sub(in_hand.len())).await {
                    Ok(jobs) => {
                        for job in jobs {
                            in_hand.insert(job.id.0, job.clone());
                            hands.push(self.attend(trade, job));
                        }
                    }
                    Err(error) => break Err(error),
                }
            }
            if in_hand.is_empty() {
                break shift.stop.map_or(Ok(()), Err);
            }
            tokio::select! {
                answer = hands.next() => if let Some((job, answer)) = answer {
                    in_hand.remove(&job.id.0);
                    if let Err(error) = self.settle(&job, answer, &mut shift).await {
                        break Err(error);
                    }
                },
                _ = renewal.tick() => {
                    let renewed = self.store.renew_jobs(self.fence.clone(), self.lane.clone(), self.lease_until()).await;
                    if let Err(error) = guarded(renewed) {
                        break Err(error);
                    }
                }
                () = self.ctx.cancel.cancelled() => break Err(HandlerError::Cancelled),
            }
        };
        drop(hands);
        // Whatever is still in hand was not done, and it was not its fault.
        for job in in_hand.into_values() {
            let back = JobEnd::PutBack { until: self.now(), counts: false, error: None };
            if let Err(error) = guarded(self.store.settle_job(self.fence.clone(), job.id, back, self.now()).await) {
                tracing::debug!("job {} could not be put back: {error}", job.id);
            }
        }
        ended
    }

    async fn claim(&self, suspects: bool, free: usize) -> Result<Vec<Job>, HandlerError> {
        let lease = (self.now(), self.lease_until());
        guarded(self.store.claim_jobs(self.fence.clone(), self.lane.clone(), suspects, free, lease).await)
    }

    /// `None`: it hung.
    async fn attend(&self, trade: &dyn Trade, job: Job) -> Answer {
        let ended = tokio::time::timeout(self.settings.item_timeout, trade.work(&job)).await.ok();
        (job, ended)
    }

    async fn settle(&self, job: &Job, answer: Option<Result<(), Trouble>>, shift: &mut Shift<'_>) -> Result<(), HandlerError> {
        let how = self.judge(job, answer, shift)?;
        match &how {
            JobEnd::Done => {
                shift.done.finished += 1;
                shift.done.failures = 0;
            }
            JobEnd::PutBack { error: Some(error), .. } => *shift.done.put_back.entry(Arc::clone(&error.code)).or_default() += 1,
            JobEnd::PutBack { error: None, .. } => {}
            JobEnd::Failed(error) => {
                shift.done.dead += 1;
                tracing::warn!("job {} ({} of {}) is given up: {}", job.id, job.work, job.key.sku, error.text);
            }
        }
        let settled: Option<State> = guarded(self.store.settle_job(self.fence.clone(), job.id, how, self.now()).await)?;
        if settled.is_none() {
            tracing::debug!("job {} is another worker's by now", job.id);
        }
        self.ctx.progress.set_done(shift.done.finished);
        Ok(())
    }

    /// What becomes of a job, and of the shift.
    fn judge(&self, job: &Job, answer: Option<Result<(), Trouble>>, shift: &mut Shift<'_>) -> Result<JobEnd, HandlerError> {
        let now = self.now();
        let source = &self.lane.source;
        let error = match answer {
            Some(Ok(())) => return Ok(JobEnd::Done),
            Some(Err(Trouble::Run(error))) => return Err(error),
            Some(Err(Trouble::Call(error))) => error,
            None => {
                let text = format!("it hung for {:?} and was dropped", self.settings.item_timeout);
                return Ok(self.again(job, problem("frozen", &text), None, now));
            }
        };
        let text = chain(&error);
        match &error {
            CallError::Cancelled => Err(HandlerError::Cancelled),
            CallError::Fenced => Err(HandlerError::Fenced),
            CallError::Store(error) => Err(store_failed(error)),
            CallError::Limited { until, .. } => {
                shift.stop = Some(HandlerError::NotYet { message: text, until: *until });
                Ok(JobEnd::PutBack { until: *until, counts: false, error: None })
            }
            _ if error.concern() == Concern::Account => {
                shift.done.failures += 1;
                if let Some(trouble) = in_trouble(source, &error, shift.done.failures, now) {
                    shift.stop = Some(trouble);
                }
                Ok(JobEnd::PutBack { until: later(now, RETRY_DELAY_MAX), counts: false, error: Some(problem("blocked", &text)) })
            }
            _ => {
                // One refusal may be the job's own fault; a wrong address or a page in between refuses every job.
                let code = if error.concern() == Concern::Item { "refused" } else { "no_answer" };
                shift.done.failures += 1;
                let asked = error.retry_after(now).filter(SignedDuration::is_positive);
                if let Some(trouble) = in_trouble(source, &error, shift.done.failures, now) {
                    shift.stop = Some(trouble);
                }
                Ok(self.again(job, problem(code, &text), asked, now))
            }
        }
    }

    /// Put back, for longer each time and no shorter than the source `asked`; in the end it is given up.
    fn again(&self, job: &Job, error: ItemError, asked: Option<SignedDuration>, now: Timestamp) -> JobEnd {
        if self.settings.max_attempts <= job.attempts {
            return JobEnd::Failed(error);
        }
        // Beyond that, the limit has long been reached.
        let doublings = job.attempts.saturating_sub(1).min(10);
        let wait = RETRY_DELAY.saturating_mul(1 << doublings).min(RETRY_DELAY_MAX);
        let wait = asked.map_or(wait, |asked| wait.max(asked));
        JobEnd::PutBack { until: later(now, wait), counts: true, error: Some(error) }
    }
}

/// What a run ends with after so many failures in a row, the last of which is this; `None`: it goes on.
pub(super) fn in_trouble(source: &str, error: &CallError, failures: u32, now: Timestamp) -> Option<HandlerError> {
    let text = chain(error);
    let are_too_many = failures >= FAILURES_MAX;
    if error.concern() == Concern::Account {
        let message = format!("{source} shuts us out: {text}; nothing is asked for {COOLDOWN:#}");
        return are_too_many.then_some(HandlerError::Transient { message, retry_after: Some(COOLDOWN) });
    }
    let asked = error.retry_after(now).filter(SignedDuration::is_positive);
    let why = match asked {
        Some(asked) => format!("wants to be left alone for {asked:#}"),
        None if are_too_many => format!("is in trouble, {FAILURES_MAX} calls in a row failed"),
        None => return None,
    };
    Some(HandlerError::Transient { message: format!("{source} {why}: {text}"), retry_after: asked })
}

fn problem(code: &str, text: &str) -> ItemError {
    ItemError { code: code.into(), text: text.into() }
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}
