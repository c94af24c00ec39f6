//! The world: one machine with two clocks, one store, one daemon at a time, a few `once` beside it, and everything that goes wrong.
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use taskrun::{
    core::{
        event::{AskId, Event, LeftRun, Mark, StopReason},
        state::State,
        task::{InstanceName, Now, ProcessId, RunId, Trigger},
    },
    store::memory::MemoryStore,
};

use crate::{
    bugs::Bug,
    calls::{Burial, Call, Judging, Look},
    handlers::Attempt,
    laws::Laws,
    rng::Rng,
    shop::Config,
    tally::Tally,
    trace::Trace,
};

/// The driver looks at its clock at least this often, and so notices a wall clock that was set.
const CLOCK_LOOK: i64 = 1000;

/// What the world is like: fixed by its seed, or by the test.
#[derive(Clone, Debug)]
pub(crate) struct Climate {
    /// When the machine is switched on.
    pub(crate) begins: Timestamp,
    /// How long things go wrong, and how long they then go well, in milliseconds.
    pub(crate) stormy: i64,
    pub(crate) calm: i64,
    /// The mean time between two things that go wrong.
    pub(crate) faults_every: i64,
    /// Of a thousand steps and of a thousand calls of the store, how many kill the process, and how many fail.
    pub(crate) deaths: i64,
    pub(crate) store_fails: i64,
    /// How long nobody starts the daemon again.
    pub(crate) downtime_max: i64,
    /// Whether the wall clock is ever set back.
    pub(crate) set_back: bool,
    /// How often the laws about what is open are looked at.
    pub(crate) audits_every: i64,
    /// Whether tasks.yaml is ever edited.
    pub(crate) reloads: bool,
}

/// Something that is to happen.
#[derive(Debug)]
enum Happening {
    /// It reaches a process; or nobody, if that is dead by then.
    News(ProcessId, News),
    /// The store takes the process's next call.
    Turn(ProcessId),
    /// The daemon is started, by the supervisor or by a person.
    Start,
    Thaw(ProcessId),
    Fault,
    Audit,
}

/// What can reach a process.
#[derive(Debug)]
pub(crate) enum News {
    Wake,
    Event(Event),
    /// The store wants these looked at before it judges.
    Suspects(Box<Judging>, Vec<ProcessId>),
    StillOpen(Look, Vec<(RunId, Option<ProcessId>)>),
    Looked(Look, Vec<(RunId, Option<ProcessId>)>),
    /// Somebody beside this daemon may have died.
    Watch,
    Buried(Vec<LeftRun>, Burial),
    /// A call failed; it is made again.
    Again(Call),
    HandlerEnds(RunId, u32),
    HandlerWrites(RunId, u32),
    LookAtStops,
    LookForFollowUps,
    Stops(Vec<(RunId, Option<StopReason>)>),
    Ask(InstanceName, Trigger),
    /// SIGTERM.
    Signal,
    Reload,
    Reloaded(usize, Vec<Mark>),
    CancelByHand(RunId),
}

/// How far an orderly stop is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shutdown {
    pub(crate) abort_at: i64,
    pub(crate) leave_at: i64,
    pub(crate) aborted: bool,
}

/// A process: its core, and what the engine around it has under way.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Process {
    pub(crate) once: bool,
    pub(crate) state: State,
    /// When it started, on the machine's uptime.
    pub(crate) born: i64,
    /// The version of tasks.yaml in force.
    pub(crate) version: usize,
    /// Calls of the store that it has not taken yet.
    pub(crate) calls: VecDeque<Call>,
    /// Behind a call that failed and is made again: what follows for the same run.
    pub(crate) held: BTreeMap<RunId, VecDeque<Call>>,
    pub(crate) in_turn: bool,
    pub(crate) frozen: bool,
    /// Alive, but it does not answer until then.
    pub(crate) sluggish_until: i64,
    /// Since when it has hung, when it last did, and when it was last continued.
    pub(crate) hung_since: i64,
    pub(crate) hung_last: i64,
    pub(crate) thawed_at: i64,
    pub(crate) inbox: Vec<News>,
    pub(crate) attempts: BTreeMap<(RunId, u32), Attempt>,
    wake_at: Option<i64>,
    pub(crate) asks: BTreeMap<AskId, i64>,
    next_ask: AskId,
    pub(crate) asked: bool,
    pub(crate) shutdown: Option<Shutdown>,
    /// Its loop is over; the last calls are being made.
    pub(crate) leaving: bool,
    pub(crate) reloading: bool,
    /// Runs whose judgement is on its way to the core.
    pub(crate) expected: BTreeSet<RunId>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) climate: Climate,
    pub(crate) rng: Rng,
    /// Milliseconds since the machine started, and how far the wall clock is ahead of them.
    pub(crate) now: i64,
    pub(crate) ahead: i64,
    seq: u64,
    queue: BTreeMap<(i64, u64), Happening>,
    pub(crate) store: MemoryStore,
    /// The store takes nothing until then.
    pub(crate) stalled_until: i64,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    pub(crate) daemon: Option<ProcessId>,
    /// The versions of tasks.yaml; the last one is on the disk.
    pub(crate) file: Vec<Config>,
    pub(crate) laws: Laws,
    pub(crate) tally: Tally,
    pub(crate) bug: Option<Bug>,
    /// Nothing goes wrong any more.
    pub(crate) kind: bool,
    pub(crate) trace: Trace,
}

impl World {
    pub(crate) fn new(seed: u64, climate: Climate, config: Config, bug: Option<Bug>, trace: Trace) -> Self {
        let now = 1_000_000;
        let ahead = climate.begins.as_millisecond() - now;
        Self {
            climate,
            rng: Rng::new(seed),
            now,
            ahead,
            seq: 0,
            queue: BTreeMap::new(),
            store: MemoryStore::default(),
            stalled_until: 0,
            processes: BTreeMap::new(),
            daemon: None,
            file: vec![config],
            laws: Laws::default(),
            tally: Tally::default(),
            bug,
            kind: false,
            trace,
        }
    }

    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now + self.ahead).unwrap()
    }

    /// Both clocks, as a process reads them.
    pub(crate) fn clocks(&self, born: i64) -> Now {
        Now { wall: self.wall(), uptime: SignedDuration::from_millis(self.now - born) }
    }

    fn later(&mut self, wait: i64, what: Happening) -> (i64, u64) {
        self.seq += 1;
        let key = (self.now + wait, self.seq);
        self.queue.insert(key, what);
        key
    }

    pub(crate) fn tell(&mut self, pid: ProcessId, wait: i64, news: News) -> (i64, u64) {
        self.later(wait, Happening::News(pid, news))
    }

    pub(crate) fn untell(&mut self, key: (i64, u64)) {
        self.queue.remove(&key);
    }

    pub(crate) fn turn(&mut self, pid: ProcessId) {
        let stalled = (self.stalled_until - self.now).max(0);
        let wait = stalled + self.latency();
        self.later(wait, Happening::Turn(pid));
    }

    pub(crate) fn start_later(&mut self, wait: i64) {
        self.later(wait, Happening::Start);
    }

    pub(crate) fn thaw_later(&mut self, pid: ProcessId, wait: i64) {
        self.later(wait, Happening::Thaw(pid));
    }

    /// How long the machine takes for something small.
    pub(crate) fn latency(&mut self) -> i64 {
        match self.rng.below(100) {
            0..75 => self.rng.below(4),
            75..97 => self.rng.below(40),
            _ => self.rng.below(if self.kind { 40 } else { 600 }),
        }
    }

    /// Lets the world go its way: a storm, a calm, and a look at what is left.
    pub(crate) fn run(&mut self) {
        self.later(0, Happening::Start);
        self.later(self.climate.faults_every, Happening::Fault);
        self.later(self.climate.audits_every, Happening::Audit);
        let storm_ends = self.now + self.climate.stormy;
        self.run_until(storm_ends);
        self.kind = true;
        self.clear_up();
        let calm_ends = self.now + self.climate.calm;
        self.run_until(calm_ends);
        self.last_look();
    }

    pub(crate) fn run_until(&mut self, end: i64) {
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), what) = entry.remove_entry();
            self.now = at;
            self.happen(what);
        }
        self.now = end;
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::News(pid, news) => self.reach(pid, news),
            Happening::Turn(pid) => self.take_turn(pid),
            Happening::Start => self.start_daemon(),
            Happening::Thaw(pid) => self.thaw(pid),
            Happening::Fault => {
                if !self.kind {
                    self.fault();
                    let wait = 1 + self.rng.below(2 * self.climate.faults_every);
                    self.later(wait, Happening::Fault);
                }
            }
            Happening::Audit => {
                self.audit();
                self.later(self.climate.audits_every, Happening::Audit);
            }
        }
    }

    fn reach(&mut self, pid: ProcessId, news: News) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if process.frozen {
            process.inbox.push(news);
            return;
        }
        if matches!(news, News::Wake) {
            if process.wake_at != Some(now) {
                return;
            }
            process.wake_at = None;
        }
        self.receive(pid, news);
        self.settle(pid);
    }

    /// A process that was stopped goes on where it was; what came meanwhile is waiting for it.
    fn thaw(&mut self, pid: ProcessId) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&pid).filter(|process| process.frozen) else { return };
        process.frozen = false;
        (process.hung_last, process.thawed_at) = (now, now);
        let inbox = std::mem::take(&mut process.inbox);
        process.wake_at = Some(now);
        let in_turn = process.in_turn;
        for news in inbox.into_iter().filter(|news| !matches!(news, News::Wake)) {
            self.tell(pid, 0, news);
        }
        self.tell(pid, 0, News::Wake);
        self.tell(pid, 0, News::LookAtStops);
        if in_turn {
            self.turn(pid);
        }
        self.trace.note(self.now, pid, "continues", 0, 0);
    }

    pub(crate) fn thaw_now(&mut self, pid: ProcessId) {
        self.thaw(pid);
    }

    /// Plans when the process wakes by itself.
    pub(crate) fn plan_wake(&mut self, pid: ProcessId) {
        let (now, ahead) = (self.now, self.ahead);
        let Some(process) = self.processes.get_mut(&pid).filter(|process| !process.leaving) else { return };
        let wake = taskrun::core::state::wake(&process.state);
        let up = |at: SignedDuration| process.born.saturating_add(ceil(at.as_nanos()));
        let uptime = wake.uptime.filter(|at| *at < SignedDuration::MAX).map(up);
        let wall = wake.wall.map(|at| ceil(at.as_nanosecond()) - ahead);
        let shutdown = process.shutdown.map(|shutdown| if shutdown.aborted { shutdown.leave_at } else { shutdown.abort_at });
        let at = uptime.into_iter().chain(wall).chain(shutdown).min().map(|at| at.max(now));
        if at != process.wake_at {
            process.wake_at = at;
            if let Some(at) = at {
                self.tell(pid, at - now, News::Wake);
            }
        }
    }

    /// The wall clock was set, or the machine slept: every process notices within a second.
    pub(crate) fn jump(&mut self, by: i64) {
        self.ahead += by;
        self.laws.jumped(self.now, by);
        for pid in self.processes.keys().copied().collect::<Vec<_>>() {
            let wait = self.rng.below(CLOCK_LOOK);
            let at = self.now + wait;
            if let Some(process) = self.processes.get_mut(&pid).filter(|process| process.wake_at.is_none_or(|wake| at < wake)) {
                process.wake_at = Some(at);
                self.tell(pid, wait, News::Wake);
            }
        }
    }

    pub(crate) fn new_process(&mut self, once: bool, state: State, version: usize) -> ProcessId {
        let pid = state.me;
        let process = Process {
            once,
            state,
            born: self.now,
            version,
            calls: VecDeque::new(),
            held: BTreeMap::new(),
            in_turn: false,
            frozen: false,
            sluggish_until: 0,
            hung_since: 0,
            hung_last: i64::MIN / 2,
            thawed_at: 0,
            inbox: Vec::new(),
            attempts: BTreeMap::new(),
            wake_at: None,
            asks: BTreeMap::new(),
            next_ask: 0,
            asked: false,
            shutdown: None,
            leaving: false,
            reloading: false,
            expected: BTreeSet::new(),
        };
        self.processes.insert(pid, process);
        pid
    }

    /// It hangs from now on.
    pub(crate) fn begin_to_hang(&mut self, pid: ProcessId) {
        let (now, hangs) = (self.now, self.hangs(pid));
        if let Some(process) = self.processes.get_mut(&pid)
            && !hangs
            && process.hung_last + 3000 < now
        {
            process.hung_since = now;
        }
    }

    /// Whether a process hangs, for whoever asks it on its socket.
    pub(crate) fn hangs(&self, pid: ProcessId) -> bool {
        self.processes.get(&pid).is_some_and(|process| process.frozen || self.now < process.sluggish_until)
    }

    /// How long it has hung by now; a moment in which it did not, nobody noticed.
    pub(crate) fn hung_for(&self, pid: ProcessId) -> i64 {
        let Some(process) = self.processes.get(&pid) else { return i64::MAX };
        if self.hangs(pid) || self.now < process.hung_last + 3000 { self.now - process.hung_since } else { 0 }
    }

    pub(crate) fn is_dead(&self, pid: ProcessId) -> bool {
        !self.processes.contains_key(&pid)
    }
}

impl Process {
    pub(crate) fn new_ask(&mut self, now: i64) -> AskId {
        self.next_ask += 1;
        self.asks.insert(self.next_ask, now);
        self.next_ask
    }

    /// Nothing is open and nobody waits for an answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.runs.is_empty() && self.asks.is_empty() && self.state.judging.is_empty()
    }
}

/// Whole milliseconds, rounded up: a timer never rings early.
fn ceil(nanos: i128) -> i64 {
    i64::try_from(nanos.div_euclid(1_000_000) + i128::from(nanos.rem_euclid(1_000_000) != 0)).unwrap()
}
