use super::*;
use crate::core::{
    event::Judgement,
    plan::tests::instance,
    recover::{Beginning, recover},
    schedule::Schedule,
    state::wake,
    task::{CatchUp, Generation, ProcessId, Trigger},
    timing::tests::at,
};

fn later(seconds: i64) -> Now {
    let passed = SignedDuration::from_secs(seconds);
    Now { wall: at("2026-11-22T00:00:00Z").saturating_add(passed).unwrap(), uptime: passed }
}

/// As [`later`], with the wall clock set by so much.
fn set(seconds: i64, by: i64) -> Now {
    Now { wall: later(seconds).wall.saturating_add(SignedDuration::from_secs(by)).unwrap(), ..later(seconds) }
}

fn not_yet(until: i64) -> Outcome {
    Outcome::NotYet(NotYet { until: later(until).wall, why: "the hour's calls are used up".into() })
}

/// The attempt that a tick at that time begins.
fn begun(state: &mut State, now: Now) -> Option<u32> {
    let commands = step(state, Event::Tick, now, 0.0);
    commands.iter().find_map(|command| if let Command::Start { attempt, .. } = command { Some(*attempt) } else { None })
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
    assert!(matches!(commands.last(), Some(Command::SetAside { run: left, .. }) if *left == run), "{commands:?}");
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

#[test]
fn a_run_that_can_do_no_more_for_now_goes_on_then_and_uses_up_no_attempt() {
    let (mut state, run) = working();
    let tries = state.runs.get(run).unwrap().instance.retries.max + 1;
    for attempt in 1..=2 * tries {
        let hour = 3600 * i64::from(attempt);
        let commands = step(&mut state, Event::AttemptEnded { run, attempt, outcome: not_yet(hour) }, later(hour - 3000), 0.0);
        assert!(matches!(commands.first(), Some(Command::Postpone { retry_at, .. }) if *retry_at == later(hour).wall), "{commands:?}");
        assert!(matches!(commands.last(), Some(Command::Notice(Notice::Waits { .. }))), "{commands:?}");
        assert_eq!(state.runs.get(run).unwrap().phase.word(), "not_yet");
        assert_eq!(begun(&mut state, later(hour - 2999)), None, "it has rested, and it is not yet");
        assert_eq!(wake(&state).wall, Some(later(hour).wall));
        assert_eq!(begun(&mut state, later(hour - 1)), None);
        assert_eq!(begun(&mut state, later(hour)), Some(attempt + 1));
        step(&mut state, Event::StartAnswered { run, attempt: attempt + 1, answer: StartAnswer::Started }, later(hour), 0.0);
    }
    let (last, error) = (2 * tries + 1, Outcome::Failed { transient: true, retry_after: None, error: "503".into() });
    let commands = step(&mut state, Event::AttemptEnded { run, attempt: last, outcome: error }, later(90_000), 0.0);
    assert_eq!(matches!(commands.first(), Some(Command::Postpone { .. })), tries > 1, "it has all its retries: {commands:?}");
}

#[test]
fn a_wait_for_an_instant_that_has_passed_rests_a_second() {
    let (mut state, run) = working();
    step(&mut state, Event::AttemptEnded { run, attempt: 1, outcome: not_yet(-10) }, later(5), 0.0);
    assert_eq!(begun(&mut state, later(5)), None);
    assert_eq!(wake(&state).uptime, Some(later(6).uptime));
    assert_eq!(begun(&mut state, later(6)), Some(2));
}

#[test]
fn a_wait_goes_by_the_wall_clock_and_is_over_when_that_is_set_back() {
    for (by, begins) in [(3600, true), (1800, false), (-30, false), (-7200, true)] {
        let (mut state, run) = working();
        step(&mut state, Event::AttemptEnded { run, attempt: 1, outcome: not_yet(3600) }, later(0), 0.0);
        assert_eq!(begun(&mut state, later(2)), None);
        assert_eq!(begun(&mut state, set(3, by)).is_some(), begins, "the clock was set by {by} s");
    }
}

#[test]
fn a_wait_ends_at_once_with_a_cancel_a_stop_a_newer_run_and_the_deadline() {
    let waiting = || {
        let (mut state, run) = working();
        state.runs.change(run, |active| active.deadline_at = Some(later(600).uptime));
        step(&mut state, Event::AttemptEnded { run, attempt: 1, outcome: not_yet(3600) }, later(0), 0.0);
        (state, run)
    };
    for (reason, wanted) in [(StopReason::Cancelled, RunEnd::Cancelled), (StopReason::Superseded(RunId(8)), RunEnd::Superseded)] {
        let (mut state, run) = waiting();
        let commands = step(&mut state, Event::StopAsked { run, reason }, later(1), 0.0);
        assert!(matches!(commands.as_slice(), [Command::Close { end, .. }] if *end == wanted), "{commands:?}");
    }
    let (mut state, run) = waiting();
    let commands = step(&mut state, Event::Stopping { grace: SignedDuration::from_secs(5) }, later(1), 0.0);
    assert!(matches!(commands.as_slice(), [Command::SetAside { run: left, .. }] if *left == run), "{commands:?}");
    let (mut state, _) = waiting();
    step(&mut state, Event::Tick, later(2), 0.0);
    assert_eq!(wake(&state).uptime, Some(later(600).uptime));
    let commands = step(&mut state, Event::Tick, later(600), 0.0);
    assert!(matches!(commands.as_slice(), [Command::Close { end: RunEnd::TimedOut, .. }]), "{commands:?}");
}
