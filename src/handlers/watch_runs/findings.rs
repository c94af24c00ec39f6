//! What is wrong in a picture of all runs. Nothing here reads a clock or does anything.
use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::to_second;
use crate::{
    core::task::{InstanceName, RunId},
    handlers::overseer::{Picture, SeenInstance, SeenRun},
    notify::Event,
    shop::upload::Work,
    store::shop::Lease,
};

/// What may be how old.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) no_progress: SignedDuration,
    pub(super) late: SignedDuration,
    /// By task.
    pub(super) success_within: BTreeMap<String, SignedDuration>,
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    /// The same as long as the same is wrong: it is told once.
    pub(super) key: String,
    pub(super) event: Event,
    /// Whose it is: an instance or an account.
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) remedy: Option<Remedy>,
}

/// What can be done about it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Remedy {
    pub(super) instance: InstanceName,
    /// A run to be cancelled first, and how long it may take to stop.
    pub(super) cancel: Option<(RunId, SignedDuration)>,
}

/// A duration to the second, for people: `15m`, `1h 2m 3s`.
fn rough(length: SignedDuration) -> String {
    format!("{:#}", SignedDuration::from_secs(length.as_secs()))
}

/// Everything wrong with runs and instances.
pub(super) fn find(picture: &Picture, limits: &Limits, now: Timestamp) -> Vec<Finding> {
    let mut found: Vec<Finding> = picture.runs.iter().filter_map(|run| frozen(run, limits)).collect();
    found.extend(picture.hanging.iter().map(|hanging| {
        let pid = hanging.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let text = format!("run {} of {} is in a process{pid} that does not answer", hanging.run, hanging.instance);
        Finding { key: format!("hangs {}", hanging.run), event: Event::Frozen, subject: hanging.instance.to_string(), text, remedy: None }
    }));
    if 0 < picture.stuck {
        let text = format!("attempts that did not stop and were given up on: {}; their threads end with taskrun", picture.stuck);
        found.push(Finding {
            key: format!("stuck {}", picture.stuck),
            event: Event::Frozen,
            subject: "taskrun".to_owned(),
            text,
            remedy: None,
        });
    }
    found.extend(picture.runs.iter().filter_map(|run| waits_too_long(run, limits, now)));
    for seen in picture.instances.iter().filter(|seen| seen.awake) {
        found.extend(unanswered(seen, limits, now));
        found.extend(overdue(seen, picture, limits, now));
    }
    found
}

fn frozen(run: &SeenRun, limits: &Limits) -> Option<Finding> {
    let still = run.still_for.filter(|still| limits.no_progress <= *still && !run.timeout_governs)?;
    let text = format!("run {} of {} has made no progress for {}", run.run, run.instance, rough(still));
    let remedy = Some(Remedy { instance: run.instance.clone(), cancel: Some((run.run, run.grace)) });
    Some(Finding { key: format!("frozen {}", run.run), event: Event::Frozen, subject: run.instance.to_string(), text, remedy })
}

/// A run that has its row and does not begin: it waits for a place, for named locks, or for another to end.
fn waits_too_long(run: &SeenRun, limits: &Limits, now: Timestamp) -> Option<Finding> {
    let waits = now.duration_since(run.fire_at);
    if !run.not_begun || waits < limits.late {
        return None;
    }
    let text =
        format!("run {} of {} has not begun {} after its time: it is {}", run.run, run.instance, rough(waits), run.phase.replace('_', " "));
    Some(Finding { key: format!("late {}", run.run), event: Event::Late, subject: run.instance.to_string(), text, remedy: None })
}

/// A fire that came due and nobody acted on.
fn unanswered(seen: &SeenInstance, limits: &Limits, now: Timestamp) -> Option<Finding> {
    let due = seen.next_at.filter(|due| limits.late <= now.duration_since(*due))?;
    let text = format!("{} was due at {} and has not started", seen.name, to_second(due));
    Some(Finding { key: format!("late {} {due}", seen.name), event: Event::Late, subject: seen.name.to_string(), text, remedy: None })
}

/// Too long since it succeeded, or since anybody has been there to start it.
fn overdue(seen: &SeenInstance, picture: &Picture, limits: &Limits, now: Timestamp) -> Option<Finding> {
    let within = *limits.success_within.get(seen.task.as_str())?;
    let since = seen.last_success.or(picture.since)?;
    if now.duration_since(since) <= within {
        return None;
    }
    let last = match seen.last_success {
        Some(at) => format!("last succeeded at {}", to_second(at)),
        None => format!("has not succeeded since taskrun started at {}", to_second(since)),
    };
    let text = format!("{} {last}, and should every {within:#}", seen.name);
    // What is open may yet succeed; if it is frozen, it is replaced as such.
    let idle = !picture.runs.iter().any(|run| run.instance == seen.name);
    let remedy = idle.then(|| Remedy { instance: seen.name.clone(), cancel: None });
    Some(Finding { key: format!("overdue {} {since}", seen.name), event: Event::Overdue, subject: seen.name.to_string(), text, remedy })
}

/// An item or a job of the queue that a worker has, or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Its account or source.
    lane: Arc<str>,
    work: Work,
    /// The end of its lease.
    until: Timestamp,
}

impl Held {
    /// `None`: nobody has it.
    pub(super) fn new(lane: Arc<str>, work: Work, lease: Option<Lease>) -> Option<Self> {
        lease.map(|Lease { until, .. }| Self { lane, work, until })
    }
}

/// What has lost its worker: the lease is over, and nobody has taken it since. By account or source, and kind of work.
pub(super) fn dropped(held: &[Held], late: SignedDuration, now: Timestamp) -> Vec<Finding> {
    let mut by: BTreeMap<(String, &'static str), (usize, Timestamp)> = BTreeMap::new();
    for Held { lane, work, until } in held.iter().filter(|held| late <= now.duration_since(held.until)) {
        let (count, oldest) = by.entry((lane.to_string(), work.word())).or_insert((0, *until));
        *count = count.saturating_add(1);
        *oldest = (*oldest).min(*until);
    }
    let finding = |((account, work), (count, oldest)): ((String, &'static str), (usize, Timestamp))| {
        let text = format!(
            "{count} items of {account} ({work}) are in nobody's hands since {}: their worker stopped, and no other takes them",
            to_second(oldest)
        );
        Finding { key: format!("dropped {account} {work} {oldest}"), event: Event::Frozen, subject: account, text, remedy: None }
    };
    by.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    fn mins(minutes: i64) -> SignedDuration {
        SignedDuration::from_mins(minutes)
    }

    fn limits() -> Limits {
        Limits { no_progress: mins(15), late: mins(10), success_within: [("sync".to_owned(), mins(360))].into() }
    }

    fn run(still: Option<i64>) -> SeenRun {
        SeenRun {
            run: RunId(7),
            instance: "sync".into(),
            fire_at: at(990),
            phase: "running".to_owned(),
            not_begun: false,
            still_for: still.map(mins),
            timeout_governs: false,
            grace: mins(1),
        }
    }

    fn sync(next: Option<i64>, success: Option<i64>) -> SeenInstance {
        SeenInstance { name: "sync".into(), task: "sync".into(), awake: true, next_at: next.map(at), last_success: success.map(at) }
    }

    fn found(picture: &Picture) -> Vec<(Event, String)> {
        let picture = Picture { since: Some(at(0)), ..picture.clone() };
        find(&picture, &limits(), at(1000)).into_iter().map(|finding| (finding.event, finding.text)).collect()
    }

    #[test]
    fn a_run_is_frozen_when_nothing_moves_but_not_while_it_waits_or_has_a_timeout() {
        let of = |run: SeenRun| found(&Picture { runs: vec![run], ..Picture::default() });
        assert_eq!(of(run(Some(15))), [(Event::Frozen, "run 7 of sync has made no progress for 15m".to_owned())]);
        for well in [run(Some(14)), run(None), SeenRun { timeout_governs: true, ..run(Some(600)) }] {
            assert_eq!(of(well), []);
        }
    }

    #[test]
    fn what_does_not_begin_is_late_whether_it_has_its_row_or_not() {
        let queued = SeenRun { not_begun: true, phase: "lock_wait".to_owned(), still_for: None, ..run(None) };
        let late = found(&Picture { runs: vec![queued.clone()], ..Picture::default() });
        assert_eq!(late, [(Event::Late, "run 7 of sync has not begun 10m after its time: it is lock wait".to_owned())]);
        assert_eq!(found(&Picture { runs: vec![SeenRun { fire_at: at(991), ..queued }], ..Picture::default() }), []);
        let of = |seen: SeenInstance| found(&Picture { instances: vec![seen], ..Picture::default() });
        assert_eq!(of(sync(Some(990), Some(900))), [(Event::Late, "sync was due at 1970-01-01T16:30:00Z and has not started".to_owned())]);
        assert_eq!(of(sync(Some(991), Some(900))), []);
        assert_eq!(of(SeenInstance { awake: false, ..sync(Some(0), None) }), []);
    }

    #[test]
    fn an_instance_that_never_succeeded_counts_from_the_start_of_taskrun() {
        let of = |success| found(&Picture { instances: vec![sync(None, success)], ..Picture::default() });
        assert_eq!(of(Some(640)), []);
        assert_eq!(of(Some(639)), [(Event::Overdue, "sync last succeeded at 1970-01-01T10:39:00Z, and should every 6h".to_owned())]);
        let never = "sync has not succeeded since taskrun started at 1970-01-01T00:00:00Z, and should every 6h";
        assert_eq!(of(None), [(Event::Overdue, never.to_owned())]);
    }

    #[test]
    fn what_is_overdue_is_started_unless_it_runs() {
        let remedy = |runs: Vec<SeenRun>| {
            let picture = Picture { since: Some(at(0)), instances: vec![sync(None, None)], runs, ..Picture::default() };
            find(&picture, &limits(), at(1000)).pop().unwrap().remedy
        };
        assert_eq!(remedy(Vec::new()), Some(Remedy { instance: "sync".into(), cancel: None }));
        assert_eq!(remedy(vec![run(Some(1))]), None);
    }
}
