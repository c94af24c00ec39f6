//! Both stores beside each other: the same calls, in any order, give the same answers and leave the same rows.
//!
//! The simulation runs on the store in memory; this is why what it shows is true of the file, too.
use std::{fmt::Debug, sync::Arc};

use jiff::SignedDuration;
use taskrun::{
    core::{
        event::{Asked, JudgeRequest, Judgement, Outcome, RunEnd, Skip, SkipReason, StopReason},
        order::{FollowUpId, Need, NeedEnd},
        task::{Instance, Overlap, ProcessId, RunId, Trigger},
    },
    store::{ChildGroup, CloseRequest, Fence, HistoryFilter, InstanceSeen, Pause, PostponeRequest},
};

use crate::world::{World, failed, locking, minute, not_yet, succeeded};

/// Calls in a trace.
const STEPS: usize = 2_000;
/// After this many calls everything that can be read is compared.
const LOOK_EVERY: usize = 40;

struct Pair {
    memory: World,
    sqlite: World,
    rng: fastrand::Rng,
    /// Minutes since the beginning; mostly grows.
    now: i64,
    /// Rows so far, so that random numbers hit some.
    rows: i64,
    processes: i64,
    /// Those that were not retired; only they call.
    living: Vec<ProcessId>,
    judged: [usize; 6],
}

/// Calls both stores in the same way and compares the answers.
macro_rules! both {
    ($pair:expr, $method:ident($($argument:expr),*)) => {{
        let expected = $pair.memory.store.$method($($argument),*).await.unwrap();
        let got = $pair.sqlite.store.$method($($argument),*).await.unwrap();
        assert_eq!(got, expected, "{} {}", stringify!($method), describe(&[$(&$argument as &dyn Debug),*]));
        got
    }};
}

fn describe(arguments: &[&dyn Debug]) -> String {
    arguments.iter().map(|argument| format!("{argument:?}")).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn the_same_calls_give_the_same_answers() {
    for seed in [1, 2] {
        let mut pair = Pair {
            memory: World::memory(),
            sqlite: World::sqlite(),
            rng: fastrand::Rng::with_seed(seed),
            now: 100,
            rows: 0,
            processes: 0,
            living: Vec::new(),
            judged: [0; 6],
        };
        for _ in 0..3 {
            pair.register_process().await;
        }
        for step in 0..STEPS {
            pair.step().await;
            if step % LOOK_EVERY == 0 {
                pair.look().await;
            }
        }
        pair.look().await;
        assert!(pair.judged.iter().all(|times| *times > 0), "seed {seed}: a kind of judgement never came up: {:?}", pair.judged);
    }
}

/// A few instances that meet: over one task, over locks, under every overlap policy.
fn instances() -> Vec<Instance> {
    let needs = |of: &str, end, minutes: Option<i64>| Need { of: of.into(), end, max_age: minutes.map(SignedDuration::from_mins) };
    let waits = |instance: Instance| Instance { lock_wait: SignedDuration::from_mins(1), ..instance };
    vec![
        locking("sync", &[]),
        locking("tick@one", &["base"]),
        waits(locking("tick@two", &["amazon", "base"])),
        Instance { overlap: Overlap::Skip, ..locking("mail", &["amazon"]) },
        Instance { overlap: Overlap::Queue, ..waits(locking("queue", &["base"])) },
        Instance { overlap: Overlap::Allow, ..locking("allow", &[]) },
        Instance { needs: vec![needs("sync", NeedEnd::Succeeded, Some(20)), needs("mail", NeedEnd::Any, None)], ..locking("needy", &[]) },
    ]
}

impl Pair {
    fn instance(&mut self) -> Instance {
        let mut instances = instances();
        instances.swap_remove(self.rng.usize(..instances.len()))
    }

    /// Mostly one of the latest rows.
    fn run(&mut self) -> RunId {
        let back = if self.rng.u8(..10) == 0 { 40 } else { 6 };
        RunId((self.rows + 1 - self.rng.i64(0..=back)).max(0))
    }

    fn process(&mut self) -> ProcessId {
        let latest = self.living.len().saturating_sub(3);
        self.living[self.rng.usize(latest..self.living.len())]
    }

    fn outcome(&mut self) -> Outcome {
        match self.rng.u8(..8) {
            0 => succeeded("done"),
            1 => succeeded(""),
            2 => failed("503"),
            3 => Outcome::Cancelled,
            4 => Outcome::Panicked { error: "bug".into() },
            5 | 6 => not_yet(self.now),
            _ => Outcome::Lost,
        }
    }

    fn end(&mut self) -> RunEnd {
        RunEnd::ALL[self.rng.usize(..RunEnd::ALL.len())]
    }

    fn reason(&mut self) -> StopReason {
        match self.rng.u8(..5) {
            0 => StopReason::Superseded(self.run()),
            1 => StopReason::Cancelled,
            2 => StopReason::Shutdown,
            3 => StopReason::Deadline,
            _ => StopReason::Fenced,
        }
    }

    async fn register_process(&mut self) {
        self.processes += 1;
        let (once, at) = (self.rng.bool(), minute(self.now));
        let process = both!(self, register_process(7, once, format!("record-{}", self.processes), at));
        self.living.push(process);
    }

    async fn step(&mut self) {
        self.now += self.rng.i64(0..3);
        let at = minute(self.now);
        match self.rng.u8(..100) {
            0..40 => self.judge().await,
            40..52 => {
                // The engine counts attempts; a wrong number is refused by nobody, and none of its errors.
                let (process, run, raise) = (self.process(), self.run(), self.rng.bool());
                let attempt = self.memory.store.row(run).await.unwrap().map_or(0, |row| row.attempts) + 1;
                both!(self, start(process, run, attempt, raise, at));
            }
            52..58 => {
                let (process, run, outcome, attempt) = (self.process(), self.run(), self.outcome(), self.rng.u32(1..3));
                let request = PostponeRequest { run, process, attempt, outcome, retry_at: at };
                both!(self, postpone(request.clone(), at));
            }
            58..70 => self.close().await,
            70..74 => {
                let (process, run) = (self.process(), self.run());
                let frees_locks = self.rng.bool();
                both!(self, set_aside(process, run, frees_locks, at));
            }
            74..78 => {
                let (run, rivals) = (self.run(), vec![self.run(), self.run()]);
                both!(self, take_over(run, rivals.clone(), at));
            }
            78..84 => self.recover().await,
            84..88 => {
                let (run, reason) = (self.run(), self.reason());
                both!(self, ask_stop(run, reason));
            }
            88..92 => self.children_and_processes().await,
            92..96 => self.pauses().await,
            96 => {
                let (name, end) = (self.instance().name, self.end());
                both!(self, record_dry(name.clone(), end, Some("plan".to_owned()), at, at));
                self.rows += 1;
            }
            97 => {
                self.now -= self.rng.i64(0..30);
                both!(self, lower_watermarks(minute(self.now)));
            }
            _ => {
                let names: Vec<_> = instances().into_iter().filter(|_| self.rng.bool()).collect();
                let schedule = if self.rng.bool() { "a" } else { "b" }.to_owned();
                let seen: Vec<_> = names.into_iter().map(|one| InstanceSeen { name: one.name, schedule: schedule.clone() }).collect();
                let all = self.rng.bool();
                both!(self, register_instances(seen.clone(), all, at));
            }
        }
    }

    async fn judge(&mut self) {
        let mut instance = self.instance();
        let trigger = Trigger::ALL[self.rng.usize(..Trigger::ALL.len())];
        let mut asked = Asked { fire_at: minute(self.now + self.rng.i64(-5..2)), trigger };
        // Mostly in order, as an engine would: look at the suspects that the last answer named.
        let mut vouched = Vec::new();
        for process in 1..=self.processes {
            if self.rng.u8(..8) > 0 {
                vouched.push((ProcessId(process), self.rng.u8(..4) > 0));
            }
        }
        let mut waiting = None;
        if self.rng.u8(..4) == 0 {
            let run = self.run();
            let row = self.memory.store.row(run).await.unwrap();
            if let Some(row) = row {
                instance = instances().into_iter().find(|one| one.name == row.instance).unwrap();
                asked = Asked { fire_at: row.fire_at, trigger: row.trigger };
                waiting = Some(run);
            }
        }
        let skips = if waiting.is_some() { Vec::new() } else { self.skips() };
        let asked = Some(asked).filter(|_| skips.is_empty() || self.rng.bool());
        let last_chance = waiting.is_some() && self.rng.bool();
        let mut follow_up = None;
        if asked.is_some() && waiting.is_none() && trigger == Trigger::FollowUp {
            // Now and then one that has its answer.
            let open = both!(self, follow_ups());
            let next = open.first().map_or(1, |first| first.id.0);
            follow_up = Some(FollowUpId(next - self.rng.i64(..3)));
            instance = instances().into_iter().find(|one| open.first().is_some_and(|first| first.instance == one.name)).unwrap_or(instance);
        }
        let refused = Some(SkipReason::Disabled).filter(|_| follow_up.is_some() && self.rng.u8(..4) == 0);
        let request = JudgeRequest {
            instance: Arc::new(instance),
            skips,
            asked,
            ended_at: None,
            follow_up,
            refused,
            waiting,
            last_chance,
            break_locks: last_chance,
            vouched,
        };
        let (process, at) = (self.process(), minute(self.now));
        let kind = match both!(self, judge(process, request.clone(), at)) {
            Judgement::Recorded => 0,
            Judgement::AlreadyJudged => 1,
            Judgement::Skipped { .. } => 2,
            Judgement::LockWait { .. } => 3,
            Judgement::Admitted { .. } => 4,
            Judgement::Suspect(_) | Judgement::NotYet { .. } => 5,
        };
        self.judged[kind] += 1;
        self.rows = self.memory.history().await.first().map_or(0, |row| row.run.0);
    }

    fn skips(&mut self) -> Vec<Skip> {
        let mut skips = Vec::new();
        while self.rng.u8(..4) == 0 {
            let first = self.now + self.rng.i64(-3..2);
            let count = self.rng.u32(1..4);
            let reason = [SkipReason::OutsideHours, SkipReason::Misfire][self.rng.usize(..2)];
            let detail = (self.rng.u8(..4) == 0).then(|| "closed".into());
            let at_least = self.rng.u8(..4) == 0;
            skips.push(Skip { first_at: minute(first), last_at: minute(first + i64::from(count) - 1), count, at_least, reason, detail });
        }
        skips
    }

    async fn close(&mut self) {
        let by = Some(self.run()).filter(|_| self.rng.bool());
        let outcome = Some(self.outcome()).filter(|_| self.rng.bool());
        let request = CloseRequest {
            run: self.run(),
            process: self.process(),
            end: self.end(),
            by,
            attempt: 1,
            outcome,
            raise_floor: self.rng.bool(),
            follow_ups: ["mail", "needy", "tick@two"].into_iter().filter(|_| self.rng.u8(..4) == 0).map(Into::into).collect(),
        };
        both!(self, close(request.clone(), minute(self.now)));
    }

    async fn recover(&mut self) {
        let (run, process, lost, at) = (self.run(), self.process(), self.rng.bool(), minute(self.now));
        match self.rng.u8(..4) {
            0 => {
                both!(self, leftover(vec![process], lost));
                if self.rng.bool() {
                    self.register_process().await;
                }
            }
            1 => {
                both!(self, leftover(Vec::<ProcessId>::new(), true));
            }
            2 => {
                let row = self.memory.store.row(run).await.unwrap();
                let task = instances().into_iter().find(|one| row.as_ref().is_some_and(|row| row.instance == one.name));
                let task = Arc::new(task.unwrap_or_else(|| locking("sync", &[])));
                both!(self, adopt(run, process, Arc::clone(&task), lost, at));
            }
            _ => {
                let (end, by) = (self.end(), Some(self.run()));
                both!(self, close_orphan(run, end, by, at));
            }
        }
    }

    async fn children_and_processes(&mut self) {
        let (run, process) = (self.run(), self.process());
        match self.rng.u8(..5) {
            0..3 => {
                let child = ChildGroup { run, pgid: self.rng.u32(1..4), start_time: self.rng.u64(..), boot_id: "b007".to_owned() };
                both!(self, record_child(child.clone()));
            }
            3 => both!(self, forget_children(run)),
            _ => {
                both!(self, retire_process(process));
                self.living = self.memory.store.processes().await.unwrap().into_iter().map(|row| row.id).collect();
                self.register_process().await;
            }
        }
    }

    async fn pauses(&mut self) {
        let name = ["sync", "tick", "tick@one", "queue"][self.rng.usize(..4)].to_owned();
        if self.rng.u8(..3) > 0 {
            both!(self, resume(name.clone()));
            return;
        }
        if self.rng.u8(..3) == 0 {
            let (account, until) = (["one", "two"][self.rng.usize(..2)], Some(self.now + self.rng.i64(-3..20)));
            self.memory.park(account, until, "used up").await;
            return self.sqlite.park(account, until, "used up").await;
        }
        let until = Some(minute(self.now + self.rng.i64(-3..20))).filter(|_| self.rng.u8(..3) > 0);
        let reason = Some("stocktaking".to_owned()).filter(|_| self.rng.bool());
        both!(self, pause(Pause { name: name.clone(), until, reason: reason.clone(), since: minute(self.now) }));
    }

    /// Compares everything that can be read.
    async fn look(&mut self) {
        let all = HistoryFilter { limit: usize::MAX, ..HistoryFilter::default() };
        let rows = both!(self, history(all.clone()));
        for row in rows.iter().take(100) {
            both!(self, attempts(row.run));
            let generation = row.generation.unwrap_or_default();
            let (name, run) = (row.instance.as_str(), row.run);
            let (memory, sqlite) = (self.memory.may_write(name, run, generation).await, self.sqlite.may_write(name, run, generation).await);
            assert_eq!(memory, sqlite, "may write: {:?}", Fence { instance: row.instance.clone(), run, generation });
        }
        for process in (1..=self.processes).map(ProcessId) {
            both!(self, stop_requests(process));
            both!(self, children(vec![process], vec![RunId(self.rows)]));
        }
        for name in [Some("tick"), Some("tick@one"), None] {
            let name = name.map(ToOwned::to_owned);
            for (failed, open) in [(true, false), (false, true)] {
                for before in [None, Some(RunId(self.rows / 2))] {
                    let since = Some(minute(self.now - 40));
                    both!(self, history(HistoryFilter { name: name.clone(), failed, open, since, before, limit: 20 }));
                }
            }
        }
        both!(self, last_ends());
        both!(self, follow_ups());
        both!(self, last_successes(instances().into_iter().map(|one| one.name).collect::<Vec<_>>()));
        both!(self, last_runs(instances().into_iter().map(|one| one.name).collect::<Vec<_>>()));
        both!(self, processes());
        both!(self, pauses());
        both!(self, still_open(rows.iter().map(|row| row.run).collect::<Vec<_>>()));
    }
}
