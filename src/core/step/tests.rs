use super::*;
use crate::core::{
    event::Judgement,
    plan::tests::instance,
    recover::{Beginning, recover},
    schedule::Schedule,
    task::{CatchUp, Generation, ProcessId, Trigger},
    timing::tests::at,
};

fn later(seconds: i64) -> Now {
    let passed = SignedDuration::from_secs(seconds);
    Now { wall: at("2026-11-22T00:00:00Z").saturating_add(passed).unwrap(), uptime: passed }
}

/// A daemon with a run whose attempt works.
fn working() -> (State, RunId) {
    let instance = Arc::new(instance(Schedule::Start, CatchUp::Latest));
    let (now, run) = (later(0), RunId(7));
    let beginning = Beginning {
        me: ProcessId(1),
        scheduling: true,
        running_max: 4,
        instances: [(instance.name.clone(), Arc::clone(&instance))].into(),
        marks: Vec::new(),
        left: Vec::new(),
        started_at: now.wall,
    };
    let (mut state, _) = recover(beginning, now);
    let commands = step(&mut state, Event::Asked { ask: 1, instance: instance.name.clone(), trigger: Trigger::Manual }, now, 0.0);
    let [Command::Judge { ticket, .. }] = commands.as_slice() else { panic!("{commands:?}") };
    let answer = Judgement::Admitted { run, generation: Generation(1), rivals: Vec::new() };
    step(&mut state, Event::Judged { instance, request: *ticket, answer }, now, 0.0);
    step(&mut state, Event::StartAnswered { run, attempt: 1, answer: StartAnswer::Started }, now, 0.0);
    (state, run)
}

#[test]
fn a_shutdown_leaves_open_what_does_not_stop_in_time() {
    let (mut state, run) = working();
    step(&mut state, Event::Stopping { grace: SignedDuration::from_secs(5) }, later(1), 0.0);
    let commands = step(&mut state, Event::Tick, later(6), 0.0);
    assert!(matches!(commands.as_slice(), [Command::Kill { .. }]), "{commands:?}");
    let commands = step(&mut state, Event::Tick, later(9), 0.0);
    assert!(matches!(commands.first(), Some(Command::Abandon { .. })), "{commands:?}");
    assert!(matches!(commands.last(), Some(Command::SetAside { run: left }) if *left == run), "{commands:?}");
}

#[test]
fn an_instance_that_starves_is_spoken_of_even_if_another_process_counted_the_third_time() {
    let closed = |times| {
        let (mut state, run) = working();
        step(&mut state, Event::AttemptEnded { run, attempt: 1, outcome: Outcome::Succeeded { summary: "".into() } }, later(1), 0.0);
        let answer = CloseAnswer::Closed { superseded_in_row: times };
        let commands = step(&mut state, Event::CloseAnswered { run, answer }, later(1), 0.0);
        commands.iter().any(|command| matches!(command, Command::Notice(Notice::Starving { .. })))
    };
    assert_eq!([2, 3, 4].map(closed), [false, true, true]);
}
