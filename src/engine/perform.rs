//! One command of the core: one call to the store, a worker or a neighbour, and the answer as an event.
//!
//! The store takes its jobs in the order of the calls, which is the order of the commands. A call that fails changes nothing, so it is made
//! again until it succeeds: a full disk or a locked file delays runs, it does not lose them.
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;

use super::{control::tell, driver::Driver, neighbours::Life, others::Others, process, worker::Job};
use crate::{
    children,
    clock::Clock,
    core::{
        event::{Command, Event, JudgeRequest, Judgement, Ticket},
        order::FollowUp,
        task::{Instance, ProcessId, RunId},
    },
    errors::chain,
    notify::{Event as Told, Level, Notice, Notifier},
    store::{BoxFuture, CloseRequest, FOLLOW_UPS_MAX, PostponeRequest, StoreError, StoreResult},
    tally::{self, Tally},
};

/// A call to the store that failed is made again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// How often suspects are looked at for one fire, before it is judged as if they hung.
const LOOKS_MAX: u32 = 5;

/// Why the store does not take our writes, as long as that lasts.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    now: Arc<Mutex<Option<String>>>,
    notifier: Arc<dyn Notifier>,
    tally: Arc<Tally>,
}

/// What people read as the subject.
const STORE: &str = "store";

impl Trouble {
    pub(super) fn new(notifier: Arc<dyn Notifier>, tally: Arc<Tally>) -> Self {
        Self { now: Arc::default(), notifier, tally }
    }

    /// What is wrong right now.
    pub(super) fn now(&self) -> Option<String> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says it in the log when it begins and when it is over, not each time.
    fn set(&self, trouble: Option<String>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*now, &trouble) {
            (None, Some(error)) => {
                tracing::error!("the store does not take writes: {error}; trying again every second, nothing is lost");
                let (event, level) = (Told::StoreTrouble, Level::Alert);
                self.notifier.notify_people(Notice { event, level, subject: STORE.into(), text: error.clone() });
            }
            (Some(_), None) => {
                tracing::info!("the store takes writes again");
                self.notifier.over(Told::StoreTrouble, STORE);
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        *now = trouble;
    }
}

/// Makes a call until it succeeds; `None` once the store is closed.
async fn insist<T>(
    trouble: Trouble,
    first: BoxFuture<'static, StoreResult<T>>,
    call: impl Fn() -> BoxFuture<'static, StoreResult<T>>,
) -> Option<T> {
    let mut attempt = first;
    loop {
        let begun = tokio::time::Instant::now();
        match attempt.await {
            Ok(answer) => {
                trouble.tally.took(&tally::STORE_TOOK, &[], begun.elapsed());
                trouble.set(None);
                return Some(answer);
            }
            Err(StoreError::Closed) => return None,
            Err(error) => {
                trouble.tally.count(&tally::STORE_FAILED, &[]);
                trouble.set(Some(chain(&error)));
                tokio::time::sleep(AGAIN).await;
            }
        }
        attempt = call();
    }
}

impl Driver {
    pub(super) fn perform(&mut self, command: Command) {
        let (store, me, at) = (Arc::clone(&self.store), self.process, self.clock.now().wall);
        match command {
            Command::Judge { request, ticket } => self.judge(*request, ticket),
            Command::Start { run, attempt, raise_floor } => {
                self.insist_for(
                    run,
                    move || store.start(me, run, attempt, raise_floor, at),
                    move |answer| Some(Event::StartAnswered { run, attempt, answer }),
                );
            }
            Command::Launch { run, attempt, generation, instance, trigger, fire_at } => {
                let job = Job { run, attempt, generation, instance, trigger, fire_at };
                let handlers = self.handlers_before.get(&run).unwrap_or(&self.loaded.handlers);
                let worker = self.workshop.launch(&job, handlers, self.loaded.base_dir.clone());
                self.reporter.attempt_begun(&job, &worker);
                self.workers.insert(run, worker);
            }
            Command::Cancel { run, reason } => {
                if let Some(worker) = self.workers.get(&run) {
                    let instance = &worker.instance;
                    tracing::info!(%instance, run = run.0, attempt = worker.attempt, "run {run} is told to stop: {reason}");
                    worker.cancel.cancel();
                }
            }
            Command::Kill { run } => self.kill_children(run),
            Command::Abandon { run, attempt: _ } => {
                self.kill_children(run);
                self.workers.remove(&run);
                self.abandoned.push(run);
            }
            Command::Postpone { run, attempt, outcome, retry_at } => {
                let request = PostponeRequest { run, process: me, attempt, outcome, retry_at };
                self.insist_for(run, move || store.postpone(request.clone(), at), |()| None);
            }
            Command::Close { run, end, by, attempt, outcome, raise_floor, follow_ups } => {
                let request = CloseRequest { run, process: me, end, by, attempt, outcome, raise_floor, follow_ups };
                self.insist_for(run, move || store.close(request.clone(), at), move |answer| Some(Event::CloseAnswered { run, answer }));
            }
            Command::LookForFollowUps => self.look_for_follow_ups(),
            Command::DropFollowUp { id } => self.insist(move || store.drop_follow_up(id), |()| None),
            Command::SetAside { run, frees_locks } => self.insist_for(run, move || store.set_aside(me, run, frees_locks, at), |()| None),
            Command::LookAtRivals { run, rivals } => self.look_at_rivals(run, rivals),
            Command::TakeOver { run, rivals, even_if_alive } => self.take_over(run, rivals, even_if_alive),
            Command::Adopt { run, lost, instance } => {
                let call = move || store.adopt(run, me, Arc::clone(&instance), lost, at);
                self.insist_for(run, call, move |answer| Some(Event::Adopted { run, answer }));
            }
            Command::CloseOrphan { run, end, by } => self.insist_for(run, move || store.close_orphan(run, end, by, at), |()| None),
            Command::LowerWatermarks { to } => {
                tracing::warn!(to = %to, "the clock was set back; fires go by the new time, and what already ran at a time to come is not run again");
                self.insist(move || store.lower_watermarks(to), |()| None);
            }
            Command::AnswerAsk { ask, answer } => {
                if let Some(reply) = self.asks.remove(&ask) {
                    tell(reply, answer);
                }
            }
            Command::Notice(notice) => self.reporter.notice(notice),
        }
    }

    /// Makes a call of the store now, so that it has its place in the order, and sends what follows from its answer.
    fn insist<T: Send + 'static>(
        &self,
        call: impl Fn() -> BoxFuture<'static, StoreResult<T>> + Send + 'static,
        event: impl FnOnce(T) -> Option<Event> + Send + 'static,
    ) {
        let (messages, trouble) = (self.messages.clone(), self.trouble.clone());
        let first = call();
        self.performing.spawn(async move {
            if let Some(event) = insist(trouble, first, call).await.and_then(event) {
                drop(messages.send(event.into()).await);
            }
        });
    }

    /// As [`Self::insist`], but after the calls for the same run that were made before: one that failed and is made again is not overtaken.
    fn insist_for<T: Send + 'static>(
        &mut self,
        run: RunId,
        call: impl Fn() -> BoxFuture<'static, StoreResult<T>> + Send + 'static,
        event: impl FnOnce(T) -> Option<Event> + Send + 'static,
    ) {
        self.calls.retain(|_, call| !call.is_finished());
        let before = self.calls.remove(&run);
        let (messages, trouble) = (self.messages.clone(), self.trouble.clone());
        let first = if before.is_some() { None } else { Some(call()) };
        let last = self.performing.spawn(async move {
            if let Some(before) = before {
                drop(before.await);
            }
            let first = first.unwrap_or_else(&call);
            if let Some(event) = insist(trouble, first, call).await.and_then(event) {
                drop(messages.send(event.into()).await);
            }
        });
        self.calls.insert(run, last);
    }

    /// What successes ask for is the daemon's to start: another process tells it to look.
    pub(super) fn look_for_follow_ups(&self) {
        let (store, neighbours) = (Arc::clone(&self.store), self.neighbours.clone());
        if self.state.scheduling {
            return self.insist(move || store.follow_ups(), |waiting| Some(follow_ups(waiting)));
        }
        self.performing.spawn(async move { neighbours.greet().await });
    }

    pub(super) fn forget_children(&self, run: RunId) {
        let store = Arc::clone(&self.store);
        self.insist(move || store.forget_children(run), |()| None);
    }

    fn kill_children(&self, run: RunId) {
        let Some(worker) = self.workers.get(&run) else { return };
        let marker = children::marker(&self.workshop.marker, run, worker.attempt);
        self.performing.spawn(process::kill_children(worker.children(), vec![marker]));
    }

    fn judge(&self, request: JudgeRequest, ticket: Ticket) {
        let instance = Arc::clone(&request.instance);
        let judge = Judge { others: self.others(), clock: Arc::clone(&self.clock), trouble: self.trouble.clone() };
        let first = self.store.judge(self.process, request.clone(), self.clock.now().wall);
        self.performing.spawn(judge.judge(first, request, instance, ticket));
    }

    pub(super) fn others(&self) -> Others {
        let (store, neighbours, messages) = (Arc::clone(&self.store), self.neighbours.clone(), self.messages.clone());
        Others { store, neighbours, messages, me: self.process }
    }

    fn look_at_rivals(&self, run: RunId, rivals: Vec<RunId>) {
        let (others, messages) = (self.others(), self.messages.clone());
        self.performing.spawn(async move {
            let (open, hang) = match others.look(rivals.clone()).await {
                Ok(open) => {
                    let hang = open.iter().all(|(.., life)| *life == Life::Hangs);
                    (open.into_iter().map(|(run, ..)| run).collect(), hang)
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), run = run.0, "could not look at the runs of other processes; looking again");
                    tokio::time::sleep(AGAIN).await;
                    (rivals, false)
                }
            };
            drop(messages.send(Event::RivalsSeen { run, open, hang }.into()).await);
        });
    }

    fn take_over(&self, run: RunId, rivals: Vec<RunId>, even_if_alive: bool) {
        let (others, messages, at) = (self.others(), self.messages.clone(), self.clock.now().wall);
        self.performing.spawn(async move {
            let event = match others.take_over(run, rivals, even_if_alive, at).await {
                Ok(true) => Event::TookOver { run },
                Ok(false) => Event::TakeoverRefused { run },
                Err(error) => {
                    tracing::warn!(error = chain(&error), run = run.0, "could not take over; trying again");
                    Event::TakeoverRefused { run }
                }
            };
            drop(messages.send(event.into()).await);
        });
    }
}

/// What the store has to say about follow-ups.
pub(super) fn follow_ups(waiting: Vec<FollowUp>) -> Event {
    let more = FOLLOW_UPS_MAX <= waiting.len();
    Event::FollowUps { waiting, more }
}

/// Gets a fire judged, looking at suspects in between.
struct Judge {
    others: Others,
    clock: Arc<dyn Clock>,
    trouble: Trouble,
}

impl Judge {
    async fn judge(
        self,
        first: BoxFuture<'static, StoreResult<Judgement>>,
        mut request: JudgeRequest,
        instance: Arc<Instance>,
        ticket: Ticket,
    ) {
        let mut first = Some(first);
        let mut looks = 0;
        loop {
            let call = {
                let (store, clock, process, request) =
                    (Arc::clone(&self.others.store), Arc::clone(&self.clock), self.others.me, request.clone());
                move || store.judge(process, request.clone(), clock.now().wall)
            };
            let attempt = first.take().unwrap_or_else(&call);
            let Some(answer) = insist(self.trouble.clone(), attempt, call).await else { return };
            let Judgement::Suspect(suspects) = answer else {
                self.end_shut_out(&request, &answer).await;
                drop(self.others.messages.send(Event::Judged { instance, request: ticket, answer }.into()).await);
                return;
            };
            looks += 1;
            if let Err(error) = self.look(suspects, &mut request, looks).await {
                tracing::warn!(error = chain(&error), instance = %instance.name, "could not look at the processes that hold what this fire wants; looking again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Looks at the suspects: the dead are buried and their runs handed over, the living are vouched for.
    async fn look(&self, suspects: Vec<ProcessId>, request: &mut JudgeRequest, looks: u32) -> StoreResult<()> {
        let suspects: BTreeSet<ProcessId> = suspects.into_iter().collect();
        let mut dead = Vec::new();
        for process in suspects {
            let life = if looks < LOOKS_MAX { self.others.neighbours.look(process).await? } else { Life::Hangs };
            match life {
                Life::Dead => dead.push(process),
                Life::Answers => request.vouched.push((process, true)),
                Life::Hangs => request.vouched.push((process, false)),
            }
        }
        if dead.is_empty() { Ok(()) } else { self.others.clear_up(dead, false).await }
    }

    /// A run that was admitted by breaking named locks begins only when nothing works under them any more.
    async fn end_shut_out(&self, request: &JudgeRequest, answer: &Judgement) {
        let hung: Vec<ProcessId> = request.vouched.iter().filter(|(_, answers)| !answers).map(|(process, _)| *process).collect();
        if !request.break_locks || hung.is_empty() || !matches!(answer, Judgement::Admitted { .. }) {
            return;
        }
        while let Err(error) = self.others.end_shut_out(&hung).await {
            if matches!(error, StoreError::Closed) {
                return;
            }
            tracing::warn!(error = chain(&error), "could not end what works under a broken lock; trying again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// For a person: a duration without needless precision.
pub fn rough(duration: SignedDuration) -> String {
    let tenths = duration.as_millis() / 100;
    let (seconds, tenth) = (tenths / 10, tenths % 10);
    match seconds {
        0..60 => format!("{seconds}.{tenth}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
    }
}
