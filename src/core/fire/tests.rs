use super::*;
use crate::core::{
    event::{Event, SkipReason},
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
        assert!(commands.iter().any(|command| matches!(command, Command::SetAside { run: left, .. } if *left == run)), "{commands:?}");
        assert!(state.runs.is_empty());
    }
}

fn after(seconds: i64) -> Now {
    let passed = SignedDuration::from_secs(seconds);
    Now { wall: now().wall.saturating_add(passed).unwrap(), uptime: passed }
}

fn judged(state: &mut State, instance: &Arc<Instance>, request: Ticket, answer: Judgement, now: Now) -> Vec<Command> {
    step(state, Event::Judged { instance: Arc::clone(instance), request, answer }, now, 0.0)
}

/// A run that waits for its named locks, in a process of its own.
fn waiting_for_locks() -> (Arc<Instance>, State, RunId) {
    let instance = Arc::new(Instance { lock_wait: SignedDuration::from_hours(1), ..instance(Schedule::Start, CatchUp::Latest) });
    let (mut state, ticket) = judging(&instance);
    let run = RunId(7);
    judged(&mut state, &instance, ticket, Judgement::LockWait { run, holder_hangs: false }, now());
    (instance, state, run)
}

/// What is sent to be judged: a run that waits, or a fire.
fn judge_of(commands: &[Command], waits: bool) -> Option<Ticket> {
    let tickets = commands.iter().filter_map(|command| if let Command::Judge { ticket, .. } = command { Some(*ticket) } else { None });
    tickets.into_iter().find(|ticket| ticket.waiting.is_some() == waits)
}

#[test]
fn a_run_goes_on_waiting_for_its_locks_after_a_reload_took_its_instance_out() {
    let (_, mut state, run) = waiting_for_locks();
    step(&mut state, Event::Reloaded { instances: [].into(), marks: Vec::new() }, now(), 0.0);
    let commands = step(&mut state, Event::Tick, after(1), 0.0);
    assert_eq!(judge_of(&commands, true).unwrap().waiting, Some(run));
}

#[test]
fn an_answer_that_comes_after_a_waiting_run_was_told_to_stop_changes_nothing() {
    let (instance, mut state, run) = waiting_for_locks();
    let ticket = judge_of(&step(&mut state, Event::Tick, after(1), 0.0), true).unwrap();
    let commands = step(&mut state, Event::StopAsked { run, reason: StopReason::Cancelled }, after(1), 0.0);
    assert!(matches!(commands.as_slice(), [Command::Close { .. }]), "{commands:?}");
    let admitted = Judgement::Admitted { run, generation: Generation(1), rivals: Vec::new() };
    assert!(judged(&mut state, &instance, ticket, admitted, after(1)).is_empty());
    assert_eq!(state.runs.get(run).unwrap().phase, Phase::Closing);
}

#[test]
fn a_process_that_missed_one_look_is_not_taken_over_one_that_misses_all_is() {
    let instance = Arc::new(Instance { overlap: Overlap::Queue, ..instance(Schedule::Start, CatchUp::Latest) });
    let (mut state, ticket) = judging(&instance);
    let (run, rival) = (RunId(7), Rival { run: RunId(3), process: Some(ProcessId(2)), told: false });
    judged(&mut state, &instance, ticket, Judgement::Admitted { run, generation: Generation(2), rivals: vec![rival] }, now());
    let mut takes_over = |second: i64, hang: bool| {
        let commands = step(&mut state, Event::Tick, after(second), 0.0);
        let takes_over = commands.iter().any(|command| matches!(command, Command::TakeOver { .. }));
        if !takes_over {
            step(&mut state, Event::RivalsSeen { run, open: vec![rival.run], hang }, after(second), 0.0);
        }
        takes_over
    };
    assert!((0..100).all(|second| !takes_over(second, second == 50)), "it answered but once");
    let first = (100..200).find(|second| takes_over(*second, true)).unwrap();
    assert_eq!(first, 127, "takeover is 30 s, three of them go into asking");
}

#[test]
fn an_answer_from_before_the_clock_was_set_back_does_not_silence_its_instance() {
    let instance = Arc::new(instance(Schedule::Every { interval: SignedDuration::from_mins(1) }, CatchUp::Latest));
    let (mut state, ticket) = judging(&instance);
    judged(&mut state, &instance, ticket, Judgement::AlreadyJudged, now());
    let ticket = judge_of(&step(&mut state, Event::Tick, after(3600), 0.0), false).unwrap();
    let back = Now { wall: now().wall, uptime: SignedDuration::from_secs(3601) };
    step(&mut state, Event::Tick, back, 0.0);
    let commands = judged(&mut state, &instance, ticket, Judgement::AlreadyJudged, back);
    assert!(matches!(commands.as_slice(), [Command::LowerWatermarks { to }] if *to == back.wall), "{commands:?}");
    assert!(state.instances[&instance.name].watermark <= back.wall);
}

#[test]
fn an_instance_that_is_removed_and_comes_back_while_it_is_judged_is_judged_once_at_a_time() {
    let instance = Arc::new(instance(Schedule::Start, CatchUp::Latest));
    let (mut state, ticket) = judging(&instance);
    step(&mut state, Event::Reloaded { instances: [].into(), marks: Vec::new() }, now(), 0.0);
    let back = [(instance.name.clone(), Arc::clone(&instance))].into();
    step(&mut state, Event::Reloaded { instances: back, marks: Vec::new() }, now(), 0.0);
    let asked = Event::Asked { ask: 2, instance: instance.name.clone(), trigger: Trigger::Manual };
    let commands = step(&mut state, asked, after(1), 0.0);
    assert_eq!(judge_of(&commands, false), None, "the first fire has no answer yet");
    let skipped = Judgement::Skipped { run: RunId(7), reason: SkipReason::Paused, detail: None };
    let commands = judged(&mut state, &instance, ticket, skipped, after(2));
    assert_eq!(judge_of(&commands, false).and_then(|ticket| ticket.ask), Some(2), "{commands:?}");
}
