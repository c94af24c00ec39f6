use super::*;
use crate::core::{
    event::Event,
    plan::tests::instance,
    recover::{Beginning, recover},
    schedule::Schedule,
    state::State,
    step::step,
    task::{CatchUp, Now, ProcessId},
    timing::tests::at,
};

const NOW: &str = "2026-11-22T00:00:00Z";

fn now() -> Now {
    Now { wall: at(NOW), uptime: SignedDuration::ZERO }
}

/// A daemon with one instance, whose start by hand is on its way to be judged.
fn judging(instance: &Arc<Instance>) -> (State, Ticket) {
    let beginning = Beginning {
        me: ProcessId(1),
        scheduling: true,
        running_max: 4,
        instances: [(instance.name.clone(), Arc::clone(instance))].into(),
        marks: Vec::new(),
        left: Vec::new(),
        started_at: at(NOW),
    };
    let (mut state, _) = recover(beginning, now());
    let asked = Event::Asked { ask: 1, instance: instance.name.clone(), trigger: Trigger::Manual };
    let commands = step(&mut state, asked, now(), 0.0);
    let [Command::Judge { ticket, .. }] = commands.as_slice() else { panic!("{commands:?}") };
    (state, *ticket)
}

#[test]
fn a_start_that_meets_a_shutdown_on_its_way_to_be_judged_is_stopped_whatever_the_verdict() {
    let instance = Arc::new(Instance { lock_wait: SignedDuration::from_hours(1), ..instance(Schedule::Start, CatchUp::Latest) });
    let run = RunId(7);
    for answer in
        [Judgement::Admitted { run, generation: Generation(1), rivals: Vec::new() }, Judgement::LockWait { run, holder_hangs: false }]
    {
        let (mut state, ticket) = judging(&instance);
        step(&mut state, Event::Stopping { grace: SignedDuration::from_secs(30) }, now(), 0.0);
        let commands = step(&mut state, Event::Judged { instance: Arc::clone(&instance), request: ticket, answer }, now(), 0.0);
        assert!(commands.iter().any(|command| matches!(command, Command::SetAside { run: left } if *left == run)), "{commands:?}");
        assert!(state.runs.is_empty());
    }
}
