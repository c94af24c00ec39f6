//! What a period to come will bring: the real core and its rules, on a store in memory, with runs that take as long as they did before.
//!
//! Nothing fails here and nobody asks for anything by hand. It answers what the file means, not what the world will do.
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{perform::follow_ups, view::schedule_key};
use crate::{
    core::{
        event::{AdoptAnswer, Asked, Command, Event, JudgeRequest, Judgement, Mark, Notice, Outcome, RunEnd, SkipReason},
        order::LastRun,
        recover::{Beginning, recover},
        state::{State, wake},
        step::step,
        task::{InstanceName, InstanceSet, Now, ProcessId, RunId, Trigger},
    },
    store::{Answer, CloseRequest, InstanceSeen, Pause, PostponeRequest, RunStore, StoreResult, memory::MemoryStore},
};

/// A run that is told to stop finishes what it has in hand in this time.
const STOPS_IN: SignedDuration = SignedDuration::from_secs(1);
/// What happens is worked out this far and no further; a week of a hundred tasks that run every minute is a fifth of it.
const STEPS_MAX: usize = 5_000_000;

/// What is to be forecast.
#[derive(Debug)]
pub struct Question {
    /// What there is.
    pub instances: InstanceSet,
    /// At most this many runs at once.
    pub running_max: usize,
    /// Pauses in force.
    pub pauses: Vec<Pause>,
    /// When each instance's last run ended, where it is known.
    pub last_ends: BTreeMap<InstanceName, Timestamp>,
    /// Those that had an end of their own: what others may need.
    pub last_runs: Vec<LastRun>,
    /// How long a run takes.
    pub takes: BTreeMap<InstanceName, SignedDuration>,
    /// The period: from this instant
    pub from: Timestamp,
    /// to this one.
    pub to: Timestamp,
}

/// Something that will happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// To whom.
    pub instance: InstanceName,
    /// What.
    pub what: What,
}

/// What will happen to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is due, and does not run.
    Skipped {
        /// Why.
        reason: SkipReason,
        /// In a sentence.
        detail: Option<Arc<str>>,
        /// So many fires, from this one on.
        count: u32,
    },
    /// Its handler is called.
    Starts {
        /// Its number in the forecast.
        run: RunId,
        /// Counted from 1; a later one, as the one before ran out of time.
        attempt: u32,
        /// How long after its fire, less its jitter.
        late: SignedDuration,
    },
    /// Its run ends.
    Ends {
        /// Its number in the forecast.
        run: RunId,
        /// How.
        end: RunEnd,
        /// Whose fire put an end to it.
        by: Option<InstanceName>,
        /// How long the handler was at work.
        took: SignedDuration,
    },
    /// It was superseded so many times in a row.
    Starves {
        /// How often.
        times: u32,
    },
}

/// A forecast.
#[derive(Debug, Default)]
pub struct Forecast {
    /// In the order of time.
    pub happenings: Vec<Happening>,
    /// Less than the period was worked out: up to here.
    pub stopped_at: Option<Timestamp>,
    /// The most runs at once.
    pub most_at_once: usize,
}

/// Works out what happens in the period.
///
/// # Errors
/// Never, as the store is in memory.
pub fn forecast(question: Question) -> StoreResult<Forecast> {
    World::begin(question)?.run()
}

/// The memory store answers at the first poll.
fn now<T>(mut answer: Answer<T>) -> StoreResult<T> {
    match answer.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => Err(crate::store::StoreError::Closed),
    }
}

/// Lets the last runs that others need stand in the history.
fn remember(store: &MemoryStore, me: ProcessId, question: &Question) -> StoreResult<()> {
    let needed = |last: &&LastRun| question.instances.values().any(|instance| instance.needs.iter().any(|need| need.of == last.instance));
    for last in question.last_runs.iter().filter(needed) {
        let (Some(instance), at) = (question.instances.get(&last.instance), last.ended_at.min(question.from)) else { continue };
        let request = JudgeRequest {
            instance: Arc::clone(instance),
            skips: Vec::new(),
            asked: Some(Asked { fire_at: at, trigger: Trigger::Manual }),
            ended_at: None,
            waiting: None,
            last_chance: true,
            break_locks: false,
            vouched: Vec::new(),
            follow_up: None,
            refused: None,
        };
        if let Judgement::Admitted { run, .. } = now(store.judge(me, request, at))? {
            let (by, outcome, follow_ups) = (None, None, Vec::new());
            let request = CloseRequest { run, process: me, end: last.end, by, attempt: 0, outcome, raise_floor: false, follow_ups };
            now(store.close(request, at))?;
        }
    }
    Ok(())
}

struct World {
    question: Question,
    store: MemoryStore,
    me: ProcessId,
    state: State,
    at: Timestamp,
    /// What happens later, by its time and its place in the order.
    later: BinaryHeap<Reverse<(Timestamp, u64)>>,
    events: BTreeMap<u64, Event>,
    seq: u64,
    /// Attempts at work: which, and since when.
    at_work: BTreeMap<RunId, (u32, Timestamp)>,
    /// Whose every run is that was admitted.
    whose: BTreeMap<RunId, InstanceName>,
    forecast: Forecast,
}

impl World {
    fn begin(question: Question) -> StoreResult<Self> {
        let store = MemoryStore::default();
        let (at, me) = (question.from, now(store.register_process(0, false, String::new(), question.from))?);
        remember(&store, me, &question)?;
        for pause in &question.pauses {
            now(store.pause(pause.clone()))?;
        }
        let seen =
            question.instances.values().map(|instance| InstanceSeen { name: instance.name.clone(), schedule: schedule_key(instance) });
        let mut marks: Vec<Mark> = now(store.register_instances(seen.collect(), true, at))?;
        for mark in &mut marks {
            mark.last_end = question.last_ends.get(&mark.instance).copied().unwrap_or(at).min(at);
        }
        let nothing = InstanceSet::new();
        let beginning = Beginning {
            me,
            scheduling: true,
            running_max: question.running_max,
            instances: nothing,
            marks: Vec::new(),
            left: Vec::new(),
            started_at: at,
        };
        let (state, _) = recover(beginning, Now { wall: at, uptime: SignedDuration::ZERO });
        let instances = question.instances.clone();
        let mut world = Self {
            question,
            store,
            me,
            state,
            at,
            later: BinaryHeap::new(),
            events: BTreeMap::new(),
            seq: 0,
            at_work: BTreeMap::new(),
            whose: BTreeMap::new(),
            forecast: Forecast::default(),
        };
        // As after a reload: the daemon runs already, so `@start` has fired.
        world.happen(Event::Reloaded { instances, marks })?;
        Ok(world)
    }

    fn run(mut self) -> StoreResult<Forecast> {
        for _ in 0..STEPS_MAX {
            let Some(next) = self.next_at().filter(|next| *next < self.question.to) else { return Ok(self.forecast) };
            self.at = next.max(self.at);
            match self.later.peek() {
                Some(Reverse((at, _))) if *at <= self.at => {
                    let event = self.later.pop().and_then(|Reverse((_, seq))| self.events.remove(&seq));
                    if let Some(event) = event {
                        self.happen(event)?;
                    }
                }
                Some(_) | None => self.happen(Event::Tick)?,
            }
        }
        self.forecast.stopped_at = Some(self.at);
        Ok(self.forecast)
    }

    /// When there is next something to do.
    fn next_at(&self) -> Option<Timestamp> {
        let wake = wake(&self.state);
        let by_uptime = wake.uptime.and_then(|at| self.question.from.checked_add(at).ok());
        let later = self.later.peek().map(|Reverse((at, _))| *at);
        [wake.wall, by_uptime, later].into_iter().flatten().min()
    }

    fn now(&self) -> Now {
        Now { wall: self.at, uptime: self.at.duration_since(self.question.from) }
    }

    /// An event, and all that follows from it at once.
    fn happen(&mut self, event: Event) -> StoreResult<()> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.now();
            for command in step(&mut self.state, event, now, 0.5) {
                events.extend(self.perform(command)?);
            }
        }
        Ok(())
    }

    fn after(&mut self, wait: SignedDuration, event: Event) {
        self.seq += 1;
        self.events.insert(self.seq, event);
        self.later.push(Reverse((self.at.saturating_add(wait).unwrap_or(Timestamp::MAX), self.seq)));
    }

    fn note(&mut self, instance: &InstanceName, what: What) {
        self.forecast.happenings.push(Happening { at: self.at, instance: instance.clone(), what });
    }

    /// Follows a command; the answer where there is one at once. Nothing that has to do with other processes comes up: there are none.
    fn perform(&mut self, command: Command) -> StoreResult<Option<Event>> {
        let at = self.at;
        Ok(match command {
            Command::Judge { request, ticket } => {
                let instance = Arc::clone(&request.instance);
                for skip in &request.skips {
                    let what = What::Skipped { reason: skip.reason, detail: skip.detail.clone(), count: skip.count };
                    self.forecast.happenings.push(Happening { at: skip.first_at, instance: instance.name.clone(), what });
                }
                let answer = now(self.store.judge(self.me, *request, at))?;
                match &answer {
                    Judgement::Skipped { reason, detail, .. } => {
                        self.note(&instance.name, What::Skipped { reason: *reason, detail: detail.clone(), count: 1 });
                    }
                    Judgement::Admitted { run, .. } | Judgement::LockWait { run, .. } => {
                        self.whose.insert(*run, instance.name.clone());
                    }
                    _ => {}
                }
                Some(Event::Judged { instance, request: ticket, answer })
            }
            Command::Start { run, attempt, raise_floor } => {
                let answer = now(self.store.start(self.me, run, attempt, raise_floor, at))?;
                Some(Event::StartAnswered { run, attempt, answer })
            }
            Command::Launch { run, attempt, instance, fire_at, .. } => {
                let late = at.duration_since(fire_at).saturating_sub(instance.timing.splay);
                self.note(&instance.name, What::Starts { run, attempt, late });
                self.at_work.insert(run, (attempt, at));
                self.forecast.most_at_once = self.forecast.most_at_once.max(self.at_work.len());
                let takes = self.question.takes.get(&instance.name).copied().unwrap_or(SignedDuration::ZERO);
                self.after(takes, Event::AttemptEnded { run, attempt, outcome: Outcome::Succeeded { summary: "".into() } });
                None
            }
            Command::Cancel { run, .. } => {
                if let Some((attempt, _)) = self.at_work.get(&run).copied() {
                    self.after(STOPS_IN, Event::AttemptEnded { run, attempt, outcome: Outcome::Cancelled });
                }
                None
            }
            Command::Postpone { run, attempt, outcome, retry_at } => {
                now(self.store.postpone(PostponeRequest { run, process: self.me, attempt, outcome, retry_at }, at))?;
                None
            }
            Command::Close { run, end, by, attempt, outcome, raise_floor, follow_ups } => {
                let request = CloseRequest { run, process: self.me, end, by, attempt, outcome, raise_floor, follow_ups };
                let answer = now(self.store.close(request, at))?;
                self.ended(run, end, by);
                Some(Event::CloseAnswered { run, answer })
            }
            Command::LookForFollowUps => Some(follow_ups(now(self.store.follow_ups())?)),
            Command::LookAtRivals { run, rivals } => {
                let open = now(self.store.still_open(rivals))?.into_iter().map(|(run, _)| run).collect();
                Some(Event::RivalsSeen { run, open, hang: false })
            }
            Command::TakeOver { run, .. } => Some(Event::TakeoverRefused { run }),
            Command::Adopt { run, .. } => Some(Event::Adopted { run, answer: AdoptAnswer::Gone }),
            Command::Notice(Notice::Starving { instance, times }) => {
                self.note(&instance, What::Starves { times });
                None
            }
            _ => None,
        })
    }

    fn ended(&mut self, run: RunId, end: RunEnd, by: Option<RunId>) {
        let by = by.and_then(|by| self.whose.get(&by).cloned());
        let worked = self.at_work.remove(&run);
        let Some(instance) = self.whose.get(&run).cloned() else { return };
        let took = worked.map_or(SignedDuration::ZERO, |(_, since)| self.at.duration_since(since));
        self.note(&instance, What::Ends { run, end, by, took });
    }
}

#[cfg(test)]
mod tests;
