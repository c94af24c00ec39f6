//! The store's side: each process's calls, one after the other, and their answers on the way back.
use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use taskrun::{
    core::{
        event::{Event, JudgeRequest, Judgement, Outcome, RunEnd, Ticket},
        order::FollowUpId,
        task::{Instance, InstanceSet, ProcessId, RunId},
        timing::Anchors,
    },
    engine::view::schedule_key,
    store::{Answer, CloseRequest, InstanceSeen, PostponeRequest, RunStore},
};

use crate::world::{News, World};

/// A call that failed is made again after this.
const AGAIN: i64 = 1000;

/// What a process asks of the store.
#[derive(Debug)]
pub(crate) enum Call {
    Judge(Box<Judging>),
    Start {
        run: RunId,
        attempt: u32,
        raise_floor: bool,
        at: Timestamp,
    },
    Postpone {
        run: RunId,
        attempt: u32,
        outcome: Outcome,
        retry_at: Timestamp,
        at: Timestamp,
    },
    Close {
        request: CloseRequest,
        at: Timestamp,
    },
    SetAside {
        run: RunId,
        frees_locks: bool,
        at: Timestamp,
    },
    Adopt {
        run: RunId,
        lost: bool,
        instance: Arc<Instance>,
        at: Timestamp,
    },
    CloseOrphan {
        run: RunId,
        end: RunEnd,
        by: Option<RunId>,
        at: Timestamp,
    },
    LowerWatermarks {
        to: Timestamp,
    },
    FollowUps,
    DropFollowUp(FollowUpId),
    StillOpen(Look),
    Leftover(Burial),
    /// `hung`: how long each of the others had hung when they were looked at.
    TakeOver {
        run: RunId,
        rivals: Vec<RunId>,
        even_if_alive: bool,
        hung: BTreeMap<ProcessId, i64>,
    },
    Forget(Vec<ProcessId>),
    StopRequests,
    Register {
        version: usize,
        at: Timestamp,
    },
    Retire,
}

impl Call {
    /// The run that it is for, if it is one of those that take effect in their order.
    pub(crate) fn run(&self) -> Option<RunId> {
        match self {
            Self::Close { request, .. } => Some(request.run),
            Self::Start { run, .. }
            | Self::Postpone { run, .. }
            | Self::SetAside { run, .. }
            | Self::Adopt { run, .. }
            | Self::CloseOrphan { run, .. } => Some(*run),
            Self::Judge(_)
            | Self::LowerWatermarks { .. }
            | Self::FollowUps
            | Self::DropFollowUp(_)
            | Self::StillOpen(_)
            | Self::Leftover(_)
            | Self::TakeOver { .. }
            | Self::Forget(_)
            | Self::StopRequests
            | Self::Register { .. }
            | Self::Retire => None,
        }
    }
}

/// A fire on its way to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Judging {
    pub(crate) request: JudgeRequest,
    pub(crate) ticket: Ticket,
    /// What tasks.yaml really says.
    pub(crate) truth: Arc<Instance>,
    /// What the core knew of the instance's past when it asked.
    pub(crate) anchors: Anchors,
    pub(crate) watermark: Timestamp,
    pub(crate) looks: u32,
    /// Of those that hung when they were looked at, how long they did.
    pub(crate) hung: BTreeMap<ProcessId, i64>,
}

/// A look at the rivals of other processes; `takeover`: to take over from them, and whether even if they live.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) run: RunId,
    pub(crate) rivals: Vec<RunId>,
    pub(crate) takeover: Option<bool>,
}

/// Processes that were found dead, and what their finder was about to do.
#[derive(Debug)]
pub(crate) struct Burial {
    pub(crate) dead: Vec<ProcessId>,
    pub(crate) set_aside: bool,
    pub(crate) then: Then,
}

#[derive(Debug)]
pub(crate) enum Then {
    Judge(Box<Judging>),
    Look(Look, Vec<(RunId, Option<ProcessId>)>),
    Nothing,
}

/// The memory store answers at the first poll.
pub(crate) fn answer<T>(mut future: Answer<T>) -> T {
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(answer) => answer.unwrap(),
        std::task::Poll::Pending => panic!("the memory store makes nobody wait"),
    }
}

pub(crate) fn seen(instances: &InstanceSet) -> Vec<InstanceSeen> {
    instances.values().map(|instance| InstanceSeen { name: instance.name.clone(), schedule: schedule_key(instance) }).collect()
}

impl World {
    pub(crate) fn take_turn(&mut self, pid: ProcessId) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if process.frozen {
            return;
        }
        let call = process.calls.pop_front();
        process.in_turn = !process.calls.is_empty();
        if process.in_turn {
            self.turn(pid);
        }
        let Some(call) = call else { return };
        if !self.kind && !matches!(call, Call::Retire) && self.rng.chance(self.climate.store_fails) {
            return self.failed(pid, call);
        }
        self.taken(pid, call);
    }

    /// Nothing was changed; whoever made the call makes it again, or gives up an errand that can wait.
    fn failed(&mut self, pid: ProcessId, call: Call) {
        self.tally.add("calls that failed");
        if let (Some(run), Some(process)) = (call.run(), self.processes.get_mut(&pid)) {
            // What is to follow for the run, waits for it.
            let (behind, others) = process.calls.drain(..).partition(|other| other.run() == Some(run));
            process.calls = others;
            process.held.insert(run, behind);
        }
        let news = match call {
            Call::StillOpen(look) if look.takeover.is_none() => {
                News::Event(Event::RivalsSeen { run: look.run, open: look.rivals, hang: false })
            }
            Call::StillOpen(Look { run, .. }) | Call::TakeOver { run, .. } => News::Event(Event::TakeoverRefused { run }),
            Call::StopRequests => News::LookAtStops,
            call => News::Again(call),
        };
        self.tell(pid, AGAIN, news);
    }

    /// A call that failed is made again, and what waited behind it.
    pub(crate) fn again(&mut self, pid: ProcessId, call: Call) {
        let run = call.run();
        let behind = run.and_then(|run| self.processes.get_mut(&pid)?.held.remove(&run)).unwrap_or_default();
        self.call(pid, call);
        for call in behind {
            self.call(pid, call);
        }
    }

    fn taken(&mut self, pid: ProcessId, call: Call) {
        match call {
            Call::Judge(judging) => self.judged(pid, judging),
            Call::Start { run, attempt, raise_floor, at } => {
                let answer = answer(self.store.start(pid, run, attempt, raise_floor, at));
                self.started(pid, run, (attempt, raise_floor), answer);
                self.reply(pid, Event::StartAnswered { run, attempt, answer });
            }
            Call::Postpone { run, attempt, outcome, retry_at, at } => {
                let request = PostponeRequest { run, process: pid, attempt, outcome, retry_at };
                answer(self.store.postpone(request.clone(), at));
                self.postponed(&request);
                self.look_at_row(run);
            }
            Call::Close { request, at } => {
                let run = request.run;
                let answer = answer(self.store.close(request.clone(), at));
                self.closed(pid, &request, answer);
                self.reply(pid, Event::CloseAnswered { run, answer });
            }
            Call::SetAside { run, frees_locks, at } => {
                answer(self.store.set_aside(pid, run, frees_locks, at));
                self.set_aside(pid, run);
            }
            Call::Adopt { run, lost, instance, at } => {
                let answer = answer(self.store.adopt(run, pid, instance, lost, at));
                self.adopted(pid, run, &answer);
                self.reply(pid, Event::Adopted { run, answer });
            }
            Call::CloseOrphan { run, end, by, at } => {
                answer(self.store.close_orphan(run, end, by, at));
                self.tally.add("orphans closed");
                self.look_at_row(run);
            }
            Call::LowerWatermarks { to } => {
                answer(self.store.lower_watermarks(to));
                self.watermarks_lowered(to);
            }
            Call::FollowUps => {
                let waiting = answer(self.store.follow_ups());
                self.reply(pid, Event::FollowUps { waiting, more: false });
            }
            Call::DropFollowUp(id) => {
                answer(self.store.drop_follow_up(id));
                self.follow_up_dropped(id);
            }
            Call::StillOpen(_) | Call::Leftover(_) | Call::TakeOver { .. } | Call::Forget(_) => self.errand(pid, call),
            Call::StopRequests => {
                let stops = answer(self.store.stop_requests(pid));
                if !stops.is_empty() {
                    let wait = self.latency();
                    self.tell(pid, wait, News::Stops(stops));
                    // Every second, until nothing is asked any more.
                    self.tell(pid, AGAIN, News::LookAtStops);
                }
            }
            Call::Register { version, at } => {
                let marks = answer(self.store.register_instances(seen(&self.file[version].instances), true, at));
                self.registered(version, at, &marks);
                let wait = self.latency();
                self.tell(pid, wait, News::Reloaded(version, marks));
            }
            Call::Retire => {
                answer(self.store.retire_process(pid));
                self.leave(pid);
            }
        }
    }

    fn errand(&mut self, pid: ProcessId, call: Call) {
        let wait = self.latency();
        match call {
            Call::StillOpen(look) => {
                let open = answer(self.store.still_open(look.rivals.clone()));
                self.tell(pid, wait, News::StillOpen(look, open));
            }
            Call::Leftover(burial) => {
                self.check_burial(&burial.dead);
                let left = answer(self.store.leftover(burial.dead.clone(), burial.set_aside));
                self.tell(pid, wait, News::Buried(left, burial));
            }
            Call::TakeOver { run, rivals, even_if_alive, hung } => {
                self.check_takeover(run, &rivals, even_if_alive, &hung);
                answer(self.store.take_over(run, rivals.clone(), self.wall()));
                for rival in &rivals {
                    self.look_at_row(*rival);
                }
                self.stops_changed(pid);
                // One that another process went on with meanwhile has a newer generation, which a takeover does not touch.
                let left = answer(self.store.still_open(rivals));
                let ended = left.iter().all(|(_, process)| *process == Some(pid));
                self.reply(pid, if ended { Event::TookOver { run } } else { Event::TakeoverRefused { run } });
            }
            Call::Forget(dead) => {
                for dead in dead {
                    if answer(self.store.leftover(vec![dead], false)).is_empty() {
                        answer(self.store.retire_process(dead));
                    }
                }
            }
            _ => {}
        }
    }

    fn judged(&mut self, pid: ProcessId, judging: Box<Judging>) {
        let answer = answer(self.store.judge(pid, judging.request.clone(), self.wall()));
        if let Judgement::Suspect(suspects) = answer {
            let wait = self.latency();
            self.tell(pid, wait, News::Suspects(judging, suspects));
            return;
        }
        self.fire_judged(pid, &judging, &answer);
        self.stops_changed(pid);
        let Judging { request, ticket, .. } = *judging;
        self.reply(pid, Event::Judged { instance: request.instance, request: ticket, answer });
    }

    fn reply(&mut self, pid: ProcessId, event: Event) {
        let wait = self.latency();
        self.tell(pid, wait, News::Event(event));
    }

    /// Somebody may have been told to stop: who has open runs asks within a second, as each does every second.
    pub(crate) fn stops_changed(&mut self, but: ProcessId) {
        let others: Vec<ProcessId> =
            self.processes.iter().filter(|(pid, process)| **pid != but && !process.state.runs.is_empty()).map(|(pid, _)| *pid).collect();
        for pid in others {
            let wait = self.rng.below(AGAIN);
            self.tell(pid, wait, News::LookAtStops);
        }
    }
}
