//! The one loop. It owns the state, so the state needs no mutex: events come in, commands go out.
use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{
    control::{Control, Request, tell},
    neighbours::Neighbours,
    overseer::EngineOverseer,
    perform::{Trouble, rough},
    process,
    reload::{Fresh, Reloads},
    report::{Ended, Reporter},
    supervisor::Supervisor,
    view::schedule_key,
    worker::{Handlers, Worker, Workshop},
};
use crate::{
    clock::Clock,
    core::{
        event::{AskAnswer, AskId, Command, Event, StopReason},
        recover::{Beginning, recover},
        state::{State, wake},
        step::step,
        task::{InstanceSet, Now, ProcessId, RunId},
    },
    notify::{Health, Notifier},
    store::{InstanceSeen, RunStore, StoreError},
    tally::Tally,
};

/// Answers and outcomes that may wait for the driver at once; whoever has more waits.
const MESSAGES_MAX: usize = 1024;
/// The driver looks at the clock at least this often, so that a wall clock that was set is noticed. It reads two clocks and nothing else.
const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// A running run asks for stop requests this often.
const STOP_LOOK: Duration = Duration::from_secs(1);
/// One wish to stop may arrive twice, as when a supervisor signals the process and its group; a second wish comes later than this.
const SAME_WISH: SignedDuration = SignedDuration::from_millis(300);
/// After the grace period of a shutdown, what is left is given this long to be killed and closed.
pub(super) const LAST_MOMENT: Duration = Duration::from_secs(5);
/// Whoever was told to leave with runs open waits for the store's answers no longer than this.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// How long a `once` waits for a store that does not take the fire that it was started for.
const HOPE: SignedDuration = SignedDuration::from_secs(30);

/// What the engine needs of a configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub instances: InstanceSet,
    pub running_max: usize,
    pub shutdown_grace: SignedDuration,
    pub handlers: Handlers,
    /// The folder of tasks.yaml.
    pub base_dir: PathBuf,
    /// The file, for people.
    pub path: PathBuf,
}

/// Loads the configuration again. The error is every fault, as `file:line:column: message (hint)`.
pub type Load = Arc<dyn Fn() -> Result<Loaded, Vec<String>> + Send + Sync>;

/// Called when a configuration has come into force.
pub type InForce = Arc<dyn Fn() + Send + Sync>;

/// What an engine is made of.
pub struct EngineOptions {
    pub loaded: Loaded,
    pub load: Load,
    /// Called when what was loaded has come into force: for what the engine does not know of, such as the log.
    pub in_force: InForce,
    pub store: Arc<dyn RunStore>,
    pub process: ProcessId,
    pub neighbours: Neighbours,
    pub clock: Arc<dyn Clock>,
    /// A daemon fires schedules and adopts orphans; a `once` does neither and ends when its runs have ended.
    pub scheduling: bool,
    /// What the children of this process carry in their environment: the name of its process record.
    pub marker: Arc<str>,
    pub requests: mpsc::Receiver<Request>,
    /// What is counted.
    pub tally: Arc<Tally>,
    /// The speed of the practice clock.
    pub practice_speed: Option<u32>,
    /// Where people are told.
    pub notifier: Arc<dyn Notifier>,
    /// Which channels do not work.
    pub health: Health,
    /// Who looks after this process.
    pub supervisor: Arc<dyn Supervisor>,
}

impl std::fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineOptions").field("process", &self.process).finish_non_exhaustive()
    }
}

/// How the engine ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StopReport {
    /// Every run that ended, in order; only a `once` keeps them.
    pub ended: Vec<Ended>,
    /// Everything ended in time: nothing was abandoned.
    pub in_time: bool,
}

/// Something for the driver. `done` is told once what follows from the event is on its way to the store.
#[derive(Debug)]
pub(super) struct Message {
    pub event: Event,
    pub done: Option<oneshot::Sender<()>>,
}

impl From<Event> for Message {
    fn from(event: Event) -> Self {
        Self { event, done: None }
    }
}

/// The engine at work.
pub(super) struct Driver {
    pub state: State,
    pub loaded: Loaded,
    pub store: Arc<dyn RunStore>,
    pub process: ProcessId,
    pub neighbours: Neighbours,
    pub clock: Arc<dyn Clock>,
    pub workshop: Workshop,
    /// The handlers of runs that were open at a reload: each run finishes with those that it began with.
    pub handlers_before: BTreeMap<RunId, Handlers>,
    pub workers: BTreeMap<RunId, Worker>,
    pub performing: TaskTracker,
    /// The last call of the store for each run that has not been answered yet.
    pub calls: BTreeMap<RunId, JoinHandle<()>>,
    pub messages: mpsc::Sender<Message>,
    pub trouble: Trouble,
    pub health: Health,
    /// Since when the store has not taken our writes, by the uptime.
    pub trouble_since: Option<SignedDuration>,
    pub asks: BTreeMap<AskId, oneshot::Sender<AskAnswer>>,
    pub next_ask: AskId,
    pub reporter: Reporter,
    pub reloads: Reloads,
    pub fresh: mpsc::Sender<Fresh>,
    pub load: Load,
    pub in_force: InForce,
    pub practice_speed: Option<u32>,
    pub supervisor: Arc<dyn Supervisor>,
    pub started_at: Timestamp,
    /// When the shutdown's patience ends, on the real clock; then once more for the last moment.
    shutdown: Option<Shutdown>,
    /// Attempts that did not stop and were left behind.
    pub abandoned: Vec<RunId>,
    /// Told when there may be a new process beside this one.
    pub came: Arc<Notify>,
}

#[derive(Clone, Copy, Debug)]
struct Shutdown {
    asked_at: SignedDuration,
    abort_at: SignedDuration,
    leave_at: SignedDuration,
    aborted: bool,
}

/// Runs an engine until it is told to stop; a `once` until its runs have ended.
pub async fn run(options: EngineOptions) -> Result<StopReport, StoreError> {
    let (messages, inbox) = mpsc::channel(MESSAGES_MAX);
    let (fresh, arrivals) = mpsc::channel(1);
    let scheduling = options.scheduling;
    let mut requests = options.requests;
    let clock = Arc::clone(&options.clock);
    let now = clock.now();
    let seen = seen(&options.loaded.instances);
    // A `once` changes nothing of what the daemon remembers.
    let marks = if scheduling { options.store.register_instances(seen, true, now.wall).await? } else { Vec::new() };
    let dead = if scheduling { options.neighbours.census().await?.1 } else { Vec::new() };
    let left = if scheduling { options.neighbours.bury(dead, true).await? } else { Vec::new() };
    let beginning = Beginning {
        me: options.process,
        scheduling,
        running_max: options.loaded.running_max,
        instances: options.loaded.instances.clone(),
        marks,
        left,
        // A new instance's watermark is `now`: its `@start` fires just after.
        started_at: now.wall.saturating_add(SignedDuration::from_millis(1)).unwrap_or(now.wall),
    };
    let (state, commands) = recover(beginning, now);
    let (control, oversights) = Control::channel();
    let (store, neighbours) = (Arc::clone(&options.store), options.neighbours.clone());
    let overseer = Arc::new(EngineOverseer { control, store, neighbours, me: options.process });
    let workshop = Workshop {
        store: Arc::clone(&options.store),
        clock: Arc::clone(&clock),
        notifier: Arc::clone(&options.notifier),
        overseer,
        marker: options.marker,
        events: messages.clone(),
        threads: Arc::new(AtomicUsize::new(0)),
    };
    let mut driver = Driver {
        state,
        reporter: Reporter::new(scheduling, Arc::clone(&clock), Arc::clone(&options.notifier), Arc::clone(&options.tally)),
        reloads: Reloads::new(now.wall),
        fresh,
        loaded: options.loaded,
        store: options.store,
        process: options.process,
        neighbours: options.neighbours,
        clock,
        workshop,
        handlers_before: BTreeMap::new(),
        workers: BTreeMap::new(),
        performing: TaskTracker::new(),
        calls: BTreeMap::new(),
        messages,
        trouble: Trouble::new(options.notifier, options.tally),
        health: options.health,
        trouble_since: None,
        asks: BTreeMap::new(),
        next_ask: 0,
        load: options.load,
        in_force: options.in_force,
        practice_speed: options.practice_speed,
        supervisor: options.supervisor,
        started_at: now.wall,
        shutdown: None,
        abandoned: Vec::new(),
        came: Arc::new(Notify::new()),
    };
    driver.perform_all(commands);
    let _beside = driver.mind_the_others();
    let report = driver.drive(inbox, arrivals, &mut requests, oversights).await;
    driver.leave().await;
    Ok(report)
}

/// What the store is told of the instances: their names and what makes their schedule another one.
pub(super) fn seen(instances: &InstanceSet) -> Vec<InstanceSeen> {
    instances.values().map(|instance| InstanceSeen { name: instance.name.clone(), schedule: schedule_key(instance) }).collect()
}

impl Driver {
    /// What is still being written is a close or a set-aside: it is given its moment.
    async fn leave(self) {
        // Whatever a run left behind in a session of its own.
        let marker = self.workshop.marker.to_string();
        self.performing.spawn(process::kill_children(Vec::new(), vec![marker]));
        self.performing.close();
        // Where runs are open still, they have had their moment.
        let moment = if self.state.runs.is_empty() { LAST_MOMENT } else { AFTERWARDS };
        if tokio::time::timeout(moment, self.performing.wait()).await.is_err() {
            tracing::error!("the store did not take the last writes in time; the next start finds those runs open and recovers them");
        }
    }

    async fn drive(
        &mut self,
        mut inbox: mpsc::Receiver<Message>,
        mut arrivals: mpsc::Receiver<Fresh>,
        requests: &mut mpsc::Receiver<Request>,
        mut oversights: mpsc::Receiver<Request>,
    ) -> StopReport {
        let mut stop_look = tokio::time::interval(STOP_LOOK);
        stop_look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut waiting: VecDeque<Message> = VecDeque::new();
        let mut requests_open = true;
        let mut asked = false;
        self.supervisor.serves();
        loop {
            if self.may_leave(asked) {
                break;
            }
            let runs = !self.state.runs.is_empty();
            tokio::select! {
                biased;
                message = inbox.recv() => {
                    waiting.extend(message);
                    while let Ok(message) = inbox.try_recv() {
                        waiting.push_back(message);
                    }
                    for message in waiting.drain(..) {
                        self.apply(message.event);
                        if let Some(done) = message.done {
                            tell(done, ());
                        }
                    }
                }
                request = requests.recv(), if requests_open => match request {
                    Some(request) => {
                        asked |= matches!(request, Request::Trigger { .. });
                        self.answer(request);
                    }
                    None => requests_open = false,
                },
                // A handler's request never ends a `once`.
                Some(request) = oversights.recv() => self.answer(request),
                fresh = arrivals.recv() => {
                    if let Some(fresh) = fresh {
                        self.put_in_force(fresh);
                    }
                }
                _ = stop_look.tick(), if runs => self.look_at_stops(),
                () = tokio::time::sleep(self.nap()) => {}
            }
            self.apply(Event::Tick);
            self.watch_shutdown();
            let now = self.clock.now().uptime;
            self.workers.values_mut().for_each(|worker| worker.look_at_progress(now));
            self.trouble_since = self.trouble.now().map(|_| self.trouble_since.unwrap_or(now));
            self.say_it_moves();
        }
        let in_time = self.abandoned.is_empty() && self.state.runs.is_empty();
        StopReport { ended: self.reporter.take_ended(), in_time }
    }

    /// How long nothing can happen but a message; at most until the next look at the clock.
    fn nap(&self) -> Duration {
        let now = self.clock.now();
        let wake = wake(&self.state);
        let wall = wake.wall.map(|at| self.clock.real(at.duration_since(now.wall)));
        let uptime = wake
            .uptime
            .into_iter()
            .chain(self.shutdown.map(|shutdown| if shutdown.aborted { shutdown.leave_at } else { shutdown.abort_at }));
        let uptime = uptime.map(|at| Duration::try_from(at.saturating_sub(now.uptime)).unwrap_or(Duration::ZERO));
        wall.into_iter().chain(uptime).min().unwrap_or(CLOCK_LOOK).min(CLOCK_LOOK)
    }

    /// Applies an event and performs what follows.
    pub(super) fn apply(&mut self, event: Event) {
        let now = self.clock.now();
        if let Event::AttemptEnded { run, .. } = &event {
            self.attempt_over(*run);
        }
        let commands = step(&mut self.state, event, now, fastrand::f64());
        self.perform_all(commands);
    }

    fn attempt_over(&mut self, run: RunId) {
        if let Some(at) = self.abandoned.iter().position(|abandoned| *abandoned == run) {
            self.abandoned.swap_remove(at);
        }
        self.reporter.attempt_over(run);
        let had_children = self.workers.remove(&run).is_some_and(|worker| !worker.children().is_empty());
        if had_children {
            self.forget_children(run);
        }
    }

    pub(super) fn perform_all(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.perform(command);
        }
    }

    /// Nothing has begun, and the store has not taken a write for long: whoever calls again and again must not find more and more of us waiting.
    fn has_no_hope(&self) -> bool {
        let long = |since| HOPE <= self.clock.now().uptime.saturating_sub(since);
        self.state.runs.is_empty() && self.trouble_since.is_some_and(long)
    }

    /// A `once` leaves when it has been asked and nothing is open; anyone leaves when told to and nothing is open, or time is up.
    fn may_leave(&self, asked: bool) -> bool {
        let none_open = self.state.runs.is_empty() && self.asks.is_empty();
        let none_judged = self.state.judging.is_empty();
        match self.shutdown {
            // A fire that the store does not take is judged by the next start.
            Some(shutdown) => {
                let late = shutdown.aborted && shutdown.leave_at <= self.clock.now().uptime;
                late || (none_open && (none_judged || self.trouble.now().is_some()))
            }
            None => !self.state.scheduling && asked && ((none_open && none_judged) || self.has_no_hope()),
        }
    }

    /// Stops in order; the second time it does not wait.
    pub(super) fn stop(&mut self) {
        let now = self.clock.now().uptime;
        match &mut self.shutdown {
            None => {
                let grace = self.loaded.shutdown_grace;
                let abort_at = now.saturating_add(grace);
                self.shutdown = Some(Shutdown { asked_at: now, abort_at, leave_at: SignedDuration::MAX, aborted: false });
                match self.state.runs.len() {
                    0 => tracing::info!("stopping: no new fires, and nothing runs"),
                    open => tracing::info!("stopping: no new fires; what runs ({open}) gets up to {} to end", rough(grace)),
                }
                self.apply(Event::Stopping { grace });
                self.say_it_stops(grace);
            }
            Some(shutdown) if now.saturating_sub(shutdown.asked_at) < SAME_WISH => {}
            Some(shutdown) => shutdown.abort_at = now,
        }
    }

    fn watch_shutdown(&mut self) {
        let now = self.clock.now().uptime;
        if let Some(shutdown) = &mut self.shutdown
            && !shutdown.aborted
            && shutdown.abort_at <= now
        {
            shutdown.aborted = true;
            shutdown.leave_at = now.saturating_add(SignedDuration::try_from(LAST_MOMENT).unwrap_or_default());
            let open = self.state.runs.len();
            tracing::warn!("not waiting any longer: what still runs ({open}) is killed");
            self.apply(Event::Aborting);
        }
    }

    /// Reads which of our runs were told to stop by others.
    pub(super) fn look_at_stops(&mut self) {
        let (asked, messages) = (self.store.stop_requests(self.process), self.messages.clone());
        self.performing.spawn(async move {
            match asked.await {
                Ok(requests) => {
                    for (run, reason) in requests {
                        let reason = reason.unwrap_or(StopReason::Fenced);
                        drop(messages.send(Event::StopAsked { run, reason }.into()).await);
                    }
                }
                Err(error) => tracing::warn!(%error, "could not ask the store for stop requests; asking again in a second"),
            }
        });
    }

    /// A daemon clears up after others that die; a `once` says that it is there.
    fn mind_the_others(&self) -> AbortOnDropHandle<()> {
        let (others, came) = (self.others(), Arc::clone(&self.came));
        let minding = if self.state.scheduling {
            tokio::spawn(others.watch(came))
        } else {
            tokio::spawn(async move { others.neighbours.greet().await })
        };
        AbortOnDropHandle::new(minding)
    }

    /// Both clocks.
    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Attempts whose threads still run although they were given up on.
    pub(super) fn stuck(&self) -> usize {
        self.abandoned.len().min(self.workshop.threads.load(Ordering::Relaxed))
    }
}
