//! What people hear: a line in the log for everything that happens to a run, and the progress of long work.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    perform::rough,
    worker::{Job, Worker},
};
use crate::{
    access::Progress,
    clock::Clock,
    core::{
        event::{NotYet, Notice, RunEnd, Skip},
        task::{InstanceName, RunId, Trigger},
    },
    notify::{self, Event, Level, Notifier},
    observe::{
        log,
        progress::{self, Style},
    },
    tally::{self, Tally, of_instance},
};

/// How a run ended, for whoever waited for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub instance: InstanceName,
    pub run: RunId,
    pub end: RunEnd,
    /// The run that superseded it.
    pub by: Option<RunId>,
    /// The summary or the error.
    pub text: Option<Arc<str>>,
    pub took: SignedDuration,
}

/// Turns notices into log lines, tells people what is more than that, and remembers the ends for a `once`.
#[derive(Debug)]
pub(super) struct Reporter {
    keep: bool,
    ended: Vec<Ended>,
    clock: Arc<dyn Clock>,
    notifier: Arc<dyn Notifier>,
    tally: Arc<Tally>,
    lines: BTreeMap<RunId, Watched>,
    /// Runs that looked and found nothing to do.
    idle: BTreeSet<RunId>,
}

/// An attempt whose progress is told.
#[derive(Debug)]
struct Watched {
    done: CancellationToken,
    /// Of a run that is not worth a line if it finds nothing to do.
    quiet: Option<Progress>,
}

impl Reporter {
    pub(super) fn new(scheduling: bool, clock: Arc<dyn Clock>, notifier: Arc<dyn Notifier>, tally: Arc<Tally>) -> Self {
        Self { keep: !scheduling, ended: Vec::new(), clock, notifier, tally, lines: BTreeMap::new(), idle: BTreeSet::new() }
    }

    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    pub(super) fn attempt_begun(&mut self, job: &Job, worker: &Worker) {
        let Job { run, attempt, instance, trigger, fire_at, .. } = job;
        let (run, instance) = (*run, &instance.name);
        let late = worker.started_at.duration_since(*fire_at);
        self.counted_start(job, late);
        let why = match trigger {
            Trigger::Schedule => "scheduled".to_owned(),
            Trigger::CatchUp => format!("catching up what was missed {} ago", rough(late)),
            Trigger::Manual => "started by hand".to_owned(),
            Trigger::Api => "triggered".to_owned(),
            Trigger::FollowUp => "after the success that it follows".to_owned(),
        };
        let again = if *attempt == 1 { String::new() } else { format!(", attempt {attempt}") };
        let is_quiet = worker.polls && *attempt == 1 && *trigger == Trigger::Schedule;
        if is_quiet {
            tracing::debug!(%instance, run = run.0, attempt, "run {run} starts ({why})");
        } else {
            tracing::info!(%instance, run = run.0, attempt, "run {run} starts ({why}{again})");
        }
        let done = CancellationToken::new();
        self.lines.insert(run, Watched { done: done.clone(), quiet: is_quiet.then(|| worker.progress.clone()) });
        let lines = progress::watch(worker.progress.clone(), instance.to_string(), Style::Log, Arc::clone(&self.clock), done);
        tokio::spawn(lines.instrument(log::attempt_span(instance, run, *attempt)));
    }

    pub(super) fn attempt_over(&mut self, run: RunId) {
        if let Some(Watched { done, quiet }) = self.lines.remove(&run) {
            done.cancel();
            if quiet.is_some_and(|progress| progress.is_idle()) {
                self.idle.insert(run);
            }
        }
    }

    fn counted_start(&self, job: &Job, late: SignedDuration) {
        self.tally.tell();
        if job.attempt == 1 && job.trigger == Trigger::Schedule {
            let late = late.saturating_sub(job.instance.timing.splay);
            self.tally.took(&tally::LATENESS, &[], Duration::try_from(late).unwrap_or_default());
        }
    }

    /// Another process changed something.
    pub(super) fn news(&self) {
        self.tally.tell();
    }

    pub(super) fn reloaded(&self, is_applied: bool) {
        self.tally.tell();
        self.tally.count(&tally::RELOADS, &[if is_applied { "applied" } else { "refused" }]);
    }

    /// What metrics say of it.
    fn count(&self, notice: &Notice) {
        self.tally.tell();
        let (family, instance) = match notice {
            Notice::Ended { instance, end, took, .. } => {
                let [task, account] = of_instance(instance.as_str());
                self.tally.count(&tally::RUNS, &[task, account, end.word()]);
                self.tally.took(&tally::RUN_TOOK, &[task], Duration::try_from(*took).unwrap_or_default());
                return;
            }
            Notice::Skipped { instance, skip } => {
                let [task, account] = of_instance(instance.as_str());
                self.tally.add(&tally::SKIPS, &[task, account, skip.reason.word()], f64::from(skip.count));
                return;
            }
            Notice::LockWaits { .. } | Notice::FollowsNobody { .. } => return,
            Notice::Retrying { instance, .. } => (&tally::RETRIES, instance),
            Notice::Waits { instance, .. } => (&tally::WAITS, instance),
            Notice::Lost { instance, .. } => (&tally::LOST, instance),
            Notice::Starving { instance, .. } => (&tally::STARVING, instance),
            Notice::Stuck { instance, .. } => (&tally::STUCK, instance),
            Notice::TookOver { instance, .. } => (&tally::TAKEOVERS, instance),
        };
        self.tally.count(family, &of_instance(instance.as_str()));
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.count(&notice);
        match notice {
            Notice::Ended { instance, run, end, by, text, took } => self.ended(Ended { instance, run, end, by, text, took }),
            Notice::Retrying { instance, run, attempt, error, retry_in } => {
                tracing::warn!(%instance, run = run.0, attempt, "attempt {attempt} of run {run} failed: {error}; next attempt in {}", rough(retry_in));
            }
            Notice::Waits { instance, run, attempt, not_yet: NotYet { until, why } } => {
                tracing::info!(%instance, run = run.0, attempt, %until, "run {run} waits until {until}: {why}; that uses up no attempt");
                self.tell(Event::QuotaExhausted, Level::Info, &instance, format!("run {run} waits until {until:.0}: {why}"));
            }
            Notice::Skipped { instance, skip } => skipped(&instance, &skip),
            Notice::FollowsNobody { instance, cause } => {
                tracing::warn!(%instance, "run {cause} succeeded and was to start {instance}, which is not in tasks.yaml any more");
            }
            Notice::LockWaits { instance, run, locks } => {
                let locks: Vec<&str> = locks.iter().map(crate::core::task::LockName::as_str).collect();
                tracing::info!(%instance, run = run.0, "run {run} waits for its named locks ({})", locks.join(", "));
            }
            Notice::Lost { instance, run, resumed: true } => {
                tracing::warn!(%instance, run = run.0, "run {run} was left open by a taskrun that is gone; it goes on here");
            }
            Notice::Lost { instance, run, resumed: false } => {
                tracing::warn!(%instance, run = run.0, "run {run} was left open by a taskrun that is gone; it is closed");
            }
            Notice::Starving { instance, times } => {
                tracing::warn!(%instance, "starving: superseded {times} times in a row, no run came to an end of its own; give it a longer interval, or `overlap: skip`");
            }
            Notice::Stuck { instance, run } => {
                tracing::error!(%instance, run = run.0, "run {run} did not stop within its grace period; it was given up on and can change nothing any more");
                self.tell(Event::Stuck, Level::Alert, &instance, format!("run {run} did not stop within its grace period"));
            }
            Notice::TookOver { instance, run, rivals } => {
                let rivals: Vec<String> = rivals.iter().map(ToString::to_string).collect();
                tracing::warn!(%instance, run = run.0, "run {run} took over from run {} of another process, which did not end in time", rivals.join(", "));
            }
        }
    }

    /// People hear of a run's end from the store, which keeps that with the end; of what comes before, from here.
    fn tell(&self, event: Event, level: Level, instance: &InstanceName, text: String) {
        self.notifier.notify_people(notify::Notice { event, level, subject: instance.as_str().into(), text });
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { instance, run, end, by, text, took } = &ended;
        let text = text.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
        let took = rough(*took);
        let was_idle = self.idle.remove(run);
        match end {
            RunEnd::Succeeded if was_idle => tracing::debug!(%instance, run = run.0, "run {run} succeeded in {took}{text}"),
            RunEnd::Succeeded => tracing::info!(%instance, run = run.0, "run {run} succeeded in {took}{text}"),
            RunEnd::Superseded => {
                let by = by.map_or_else(|| "a newer run".to_owned(), |by| format!("run {by}"));
                tracing::info!(%instance, run = run.0, "run {run} was superseded by {by} after {took}");
            }
            RunEnd::Cancelled => tracing::warn!(%instance, run = run.0, "run {run} was cancelled after {took}"),
            RunEnd::Failed => tracing::error!(%instance, run = run.0, "run {run} failed after {took}{text}"),
            RunEnd::TimedOut => tracing::error!(%instance, run = run.0, "run {run} timed out after {took}{text}"),
            RunEnd::Lost => tracing::error!(%instance, run = run.0, "run {run} was lost{text}"),
        }
        if self.keep {
            self.ended.push(ended);
        }
    }
}

/// A skip is normal life; the first of a row is said, the history has them all.
fn skipped(instance: &InstanceName, skip: &Skip) {
    let reason = skip.reason.word().replace('_', " ");
    let detail = skip.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let more = if skip.at_least { "at least " } else { "" };
    let times = if skip.count == 1 { String::new() } else { format!(", {more}{} times", skip.count) };
    tracing::info!(%instance, "skipped ({reason}{times}){detail}; said once until something else happens");
}
