//! One attempt: its thread, its cancellation, its caught panic.
//!
//! Each attempt has a thread of its own, which drives the handler's future with the shared timers and sockets. A handler that blocks or
//! never yields holds up its own thread and nothing else.
use std::{
    any::Any,
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::SignedDuration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    clock::{BoxFuture, Clock},
    core::{
        event::{Event, NotYet, Outcome},
        task::{Generation, Instance, InstanceName, Now, RunId, Trigger},
    },
    errors::panic_text,
    handlers::{Access, AttemptContext, Children, Handler, HandlerError, Overseer, Progress, Report},
    notify::Notifier,
    observe::log::attempt_span,
    store::{ChildGroup, Fence, RunStore},
};

/// The handlers by name.
pub type Handlers = Arc<BTreeMap<Arc<str>, Arc<dyn Handler>>>;

/// An attempt to be made.
#[derive(Debug)]
pub(super) struct Job {
    pub run: RunId,
    pub attempt: u32,
    pub generation: Generation,
    pub instance: Arc<Instance>,
    pub trigger: Trigger,
    pub fire_at: jiff::Timestamp,
}

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Worker {
    pub instance: InstanceName,
    pub attempt: u32,
    pub cancel: CancellationToken,
    pub progress: Progress,
    pub started_at: jiff::Timestamp,
    /// Its handler looks often and finds little.
    pub polls: bool,
    /// How often something had moved when it was last looked at, and when it last had, by the uptime.
    moved: (u64, SignedDuration),
    children: Arc<RunChildren>,
}

impl Worker {
    /// Notices whether anything has moved.
    pub(super) fn look_at_progress(&mut self, uptime: SignedDuration) {
        let moves = self.progress.moves();
        if moves != self.moved.0 {
            self.moved = (moves, uptime);
        }
    }

    /// For how long nothing has moved, to the second.
    pub(super) fn still_for(&self, uptime: SignedDuration) -> SignedDuration {
        uptime.saturating_sub(self.moved.1)
    }

    /// The process groups that the attempt has started so far.
    pub(super) fn children(&self) -> Vec<ChildGroup> {
        self.children.started.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What every worker needs.
#[derive(Debug)]
pub(super) struct Workshop {
    pub store: Arc<dyn RunStore>,
    pub clock: Arc<dyn Clock>,
    /// What the children of this process carry in their environment.
    pub marker: Arc<str>,
    pub events: mpsc::Sender<super::driver::Message>,
    /// Where handlers tell people.
    pub notifier: Arc<dyn Notifier>,
    /// What `watch_runs` sees of us.
    pub overseer: Arc<dyn Overseer>,
    /// Threads of attempts, abandoned ones included.
    pub threads: Arc<AtomicUsize>,
}

impl Workshop {
    /// Starts the attempt's thread.
    pub(super) fn launch(&self, job: &Job, handlers: &Handlers, base_dir: PathBuf) -> Worker {
        let (cancel, progress) = (CancellationToken::new(), Progress::default());
        let Now { wall: now, uptime } = self.clock.now();
        let children =
            Arc::new(RunChildren { store: Arc::clone(&self.store), marker: Arc::clone(&self.marker), started: Mutex::default() });
        let timing = &job.instance.timing;
        let scheduled = !job.trigger.by_hand();
        let closes_at = timing.hours.as_ref().filter(|_| scheduled).and_then(|hours| hours.closes_at(now, &timing.zone));
        let fence = Fence { instance: job.instance.name.clone(), run: job.run, generation: job.generation };
        let ctx = AttemptContext {
            run: job.run,
            attempt: job.attempt,
            generation: Some(job.generation),
            params: job.instance.with.clone(),
            fire_at: job.fire_at,
            closes_at,
            cancel: cancel.clone(),
            progress: progress.clone(),
            clock: Arc::clone(&self.clock),
            access: Access::Live(fence),
            base_dir,
            children: Arc::clone(&children) as Arc<dyn Children>,
            notifier: Arc::clone(&self.notifier),
            overseer: Arc::clone(&self.overseer),
            instance: Arc::clone(&job.instance),
        };
        let handler = handlers.get(&job.instance.handler).cloned();
        let polls = handler.as_ref().is_some_and(|handler| handler.polls());
        let moved = (0, uptime);
        let worker =
            Worker { instance: job.instance.name.clone(), attempt: job.attempt, cancel, progress, started_at: now, polls, moved, children };
        self.spawn(ctx, handler);
        worker
    }

    fn spawn(&self, ctx: AttemptContext, handler: Option<Arc<dyn Handler>>) {
        let (run, attempt) = (ctx.run, ctx.attempt);
        let runtime = tokio::runtime::Handle::current();
        let (events, threads) = (self.events.clone(), Arc::clone(&self.threads));
        threads.fetch_add(1, Ordering::Relaxed);
        let counted = Arc::clone(&threads);
        let span = attempt_span(&ctx.instance.name, run, attempt);
        let thread = std::thread::Builder::new().name(format!("run-{run}")).spawn(move || {
            let outcome = match handler {
                Some(handler) => runtime.block_on(attempted(handler, ctx).instrument(span)),
                None => failed("its handler is not in this configuration"),
            };
            counted.fetch_sub(1, Ordering::Relaxed);
            let event = Event::AttemptEnded { run, attempt, outcome };
            // The engine is gone: it abandoned this attempt at its own end.
            drop(runtime.block_on(events.send(event.into())));
        });
        if let Err(error) = thread {
            threads.fetch_sub(1, Ordering::Relaxed);
            let outcome =
                Outcome::Failed { transient: true, retry_after: None, error: format!("no thread could be started: {error}").into() };
            let events = self.events.clone();
            tokio::spawn(async move { drop(events.send(Event::AttemptEnded { run, attempt, outcome }.into()).await) });
        }
    }
}

/// Calls a handler and turns whatever comes of it into an outcome. A panic is an outcome, too.
pub(super) async fn attempted(handler: Arc<dyn Handler>, ctx: AttemptContext) -> Outcome {
    let work = AssertUnwindSafe(async { handler.run(&ctx).await });
    match catch(work).await {
        Ok(result) => outcome_of(result),
        Err(panic) => Outcome::Panicked { error: format!("the handler panicked: {}", panic_text(panic.as_ref())).into() },
    }
}

fn failed(error: &str) -> Outcome {
    Outcome::Failed { transient: false, retry_after: None, error: error.into() }
}

/// What an attempt's result means for the run.
pub fn outcome_of(result: Result<Report, HandlerError>) -> Outcome {
    match result {
        Ok(report) => Outcome::Succeeded { summary: report.summary.into() },
        Err(HandlerError::Transient { message, retry_after }) => Outcome::Failed { transient: true, retry_after, error: message.into() },
        Err(HandlerError::Permanent { message }) => Outcome::Failed { transient: false, retry_after: None, error: message.into() },
        Err(HandlerError::NotYet { message, until }) => Outcome::NotYet(NotYet { until, why: message.into() }),
        Err(HandlerError::Cancelled) => Outcome::Cancelled,
        Err(HandlerError::Fenced) => failed("a newer run has taken over"),
    }
}

async fn catch<T>(future: AssertUnwindSafe<impl Future<Output = T>>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = Box::pin(future.0);
    std::future::poll_fn(move |cx| match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
        Ok(std::task::Poll::Ready(value)) => std::task::Poll::Ready(Ok(value)),
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    })
    .await
}

/// Remembers the child process groups of one attempt, here and in the store.
#[derive(Debug)]
struct RunChildren {
    store: Arc<dyn RunStore>,
    marker: Arc<str>,
    started: Mutex<Vec<ChildGroup>>,
}

impl Children for RunChildren {
    fn record(&self, child: ChildGroup) -> BoxFuture<'_, Result<(), HandlerError>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(child.clone());
        let recorded = self.store.record_child(child);
        Box::pin(async move {
            recorded.await.map_err(|error| HandlerError::Transient {
                message: format!("its child process could not be recorded, so it was not left to run: {error}"),
                retry_after: None,
            })
        })
    }

    fn marker(&self) -> &str {
        &self.marker
    }
}
