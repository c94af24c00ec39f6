use super::*;
use crate::core::{
    event::{Event, NotYet, Rival},
    plan::tests::instance,
    schedule::Schedule,
    step::step,
    task::{CatchUp, Generation, LockName, Trigger},
    timing::tests::at,
};

const NOW: &str = "2026-11-22T00:00:00Z";

fn now() -> Now {
    Now { wall: at(NOW), uptime: SignedDuration::ZERO }
}

fn later(seconds: i64) -> Now {
    let passed = SignedDuration::from_secs(seconds);
    Now { wall: now().wall.saturating_add(passed).unwrap(), uptime: passed }
}

/// A daemon that starts with one instance, its mark and what is left of it.
fn start(instance: Instance, watermark: &str, left: Vec<LeftRun>) -> (State, Vec<Command>) {
    let name = instance.name.clone();
    let mark = Mark { instance: name.clone(), watermark: at(watermark), last_end: at(watermark) };
    let beginning = Beginning {
        me: ProcessId(2),
        scheduling: true,
        running_max: 4,
        instances: [(name, Arc::new(instance))].into(),
        marks: vec![mark],
        left,
        started_at: at("2026-11-22T00:00:00.001Z"),
    };
    recover(beginning, now())
}

fn orphan(locks: &[&str]) -> LeftRun {
    LeftRun {
        run: RunId(5),
        instance: InstanceName::from("sync"),
        fire_at: at(NOW),
        trigger: Trigger::Schedule,
        process: Some(ProcessId(1)),
        once: false,
        generation: Some(Generation(2)),
        attempts: 0,
        waits: 0,
        not_yet: None,
        running: false,
        stop: None,
        started_at: None,
        locks: locks.iter().map(|lock| LockName::from(*lock)).collect(),
    }
}

fn fires_start(commands: &[Command]) -> bool {
    commands.iter().any(|command| matches!(command, Command::Judge { ticket, .. } if ticket.start))
}

#[test]
fn an_orphan_waits_for_the_older_runs_that_its_adoption_names() {
    let (mut state, commands) = start(instance(Schedule::Start, CatchUp::Latest), NOW, vec![orphan(&[])]);
    assert!(matches!(commands.first(), Some(Command::Adopt { run: RunId(5), lost: false, .. })), "{commands:?}");
    let rivals = vec![Rival { run: RunId(4), process: Some(ProcessId(3)), told: true }];
    let answer = AdoptAnswer::Adopted { generation: Generation(3), rivals };
    let commands = step(&mut state, Event::Adopted { run: RunId(5), answer }, now(), 0.0);
    assert!(commands.is_empty(), "it does not begin: {commands:?}");
    assert_eq!(state.runs.get(RunId(5)).unwrap().phase.word(), "waiting");
}

#[test]
fn an_orphan_goes_on_only_with_the_locks_that_it_needs_today() {
    let locking = Instance { locks: vec!["amazon".into()], ..instance(Schedule::Start, CatchUp::Latest) };
    let (_, commands) = start(locking.clone(), NOW, vec![orphan(&["amazon", "base"])]);
    assert!(matches!(commands.first(), Some(Command::Adopt { .. })), "{commands:?}");
    let (_, commands) = start(locking, NOW, vec![orphan(&["base"])]);
    assert!(matches!(commands.first(), Some(Command::CloseOrphan { end: RunEnd::Lost, .. })), "{commands:?}");
}

#[test]
fn a_once_leaves_to_the_next_daemon_what_a_stop_set_aside_and_nobody_waits_for() {
    let (mut state, _) = start(instance(Schedule::Start, CatchUp::Latest), NOW, Vec::new());
    state.scheduling = false;
    let aside = LeftRun { process: None, ..orphan(&[]) };
    let commands = step(&mut state, Event::Orphaned { left: vec![aside] }, now(), 0.0);
    assert!(commands.is_empty(), "{commands:?}");
    let commands = step(&mut state, Event::Orphaned { left: vec![orphan(&[])] }, now(), 0.0);
    assert!(matches!(commands.first(), Some(Command::CloseOrphan { .. })), "what died is closed: {commands:?}");
}

#[test]
fn a_daemon_that_starts_after_the_clock_was_set_back_fires_its_start() {
    let (mut state, _) = start(instance(Schedule::Start, CatchUp::Latest), "2026-11-22T05:00:00Z", Vec::new());
    let mut commands = step(&mut state, Event::Tick, later(1), 0.0);
    commands.extend(step(&mut state, Event::Tick, later(2), 0.0));
    assert!(matches!(commands.first(), Some(Command::LowerWatermarks { .. })), "{commands:?}");
    assert!(fires_start(&commands), "{commands:?}");
}

#[test]
fn an_instance_that_a_reload_enables_does_not_fire_the_start_that_it_missed() {
    let enabled = instance(Schedule::Start, CatchUp::Latest);
    let (mut state, _) = start(Instance { enabled: false, ..enabled.clone() }, NOW, Vec::new());
    let instances: InstanceSet = [(enabled.name.clone(), Arc::new(enabled))].into();
    step(&mut state, Event::Reloaded { instances, marks: Vec::new() }, later(600), 0.0);
    assert!(!fires_start(&step(&mut state, Event::Tick, later(601), 0.0)));
}

#[test]
fn a_mark_from_before_the_clock_was_set_back_does_not_silence_a_reloaded_instance() {
    let before = instance(Schedule::Every { interval: SignedDuration::from_mins(1) }, CatchUp::Latest);
    let (mut state, _) = start(before.clone(), NOW, Vec::new());
    let mut after = before;
    after.timing.schedules = vec![Schedule::Every { interval: SignedDuration::from_mins(2) }];
    let name = after.name.clone();
    let mark = Mark { instance: name.clone(), watermark: at("2026-11-22T05:00:00Z"), last_end: at(NOW) };
    step(&mut state, Event::Reloaded { instances: [(name.clone(), Arc::new(after))].into(), marks: vec![mark] }, later(1), 0.0);
    step(&mut state, Event::Tick, later(1), 0.0);
    assert_eq!(state.instances[&name].watermark, later(1).wall);
}

#[test]
fn an_orphan_that_waits_for_a_limit_goes_on_waiting_and_its_waits_are_no_tries() {
    let begins = |until: i64, waits: u32| {
        let not_yet = Some(NotYet { until: later(until).wall, why: "the hour's calls are used up".into() });
        let left = LeftRun { attempts: 9, waits, not_yet, ..orphan(&[]) };
        let (mut state, commands) = start(instance(Schedule::Start, CatchUp::Latest), NOW, vec![left]);
        if !matches!(commands.first(), Some(Command::Adopt { .. })) {
            return None;
        }
        let answer = AdoptAnswer::Adopted { generation: Generation(3), rivals: Vec::new() };
        let is_start = |command: &Command| matches!(command, Command::Start { .. });
        let at_once = step(&mut state, Event::Adopted { run: RunId(5), answer }, now(), 0.0).iter().any(is_start);
        let then = step(&mut state, Event::Tick, later(until), 0.0).iter().any(is_start);
        Some((at_once, then))
    };
    assert_eq!(begins(600, 9), Some((false, true)));
    assert_eq!(begins(-600, 9), Some((true, false)), "it is over");
    assert_eq!(begins(1_000_000, 9), Some((true, false)), "it is from before the clock was set back");
    assert_eq!(begins(600, 0), None, "it has no tries left");
}
