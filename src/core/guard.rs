//! Whether a fire may become a run, judged on what the store knows, inside the transaction that records the verdict.
//!
//! The checks stand in this order on purpose: overlap is last, because it is the only one that harms something that runs.
//! Business hours and calendars are judged before, in [`super::plan`]: they need no store.
use std::sync::Arc;

use jiff::Timestamp;

use super::{
    event::{JudgeRequest, SkipReason},
    order::{self, LastRun},
    task::{Generation, InstanceName, LockName, Overlap, ProcessId, RunId},
};

/// Superseded this many times in a row, an instance is starving.
pub const STARVING_AT: u32 = 3;

/// What the store knows when a fire is judged.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The process that judges.
    pub me: ProcessId,
    /// When it is judged.
    pub at: Timestamp,
    /// The last fire time judged.
    pub watermark: Option<Timestamp>,
    /// A scheduled run (not a skip) stands in the history for this very fire time: the clock was set back since.
    pub ran: bool,
    /// The request is for a follow-up that has its answer already.
    pub followed: bool,
    /// The last runs of the instances that this one needs; those that never ended are not among them.
    pub needed: Vec<LastRun>,
    /// When the instance's last run ended, whichever process had it.
    pub last_end: Option<Timestamp>,
    /// A pause of the instance or its task that is in force: until when and why.
    pub paused: Option<(Option<Timestamp>, Option<Arc<str>>)>,
    /// The park of the instance's account that is in force, if it has one and heeds it: until when and why.
    pub parked: Option<(Option<Timestamp>, Arc<str>)>,
    /// The instance's open runs, oldest first, without the one that is judged.
    pub open: Vec<OpenRun>,
    /// Those of the instance's named locks that somebody holds, without those the judged run holds itself.
    pub held: Vec<HeldLock>,
}

/// An open run of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRun {
    pub run: RunId,
    /// `None`: set aside by an orderly stop.
    pub process: Option<ProcessId>,
    /// `None`: it waits for named locks.
    pub generation: Option<Generation>,
    /// No attempt of it runs.
    pub waits: bool,
}

/// A named lock that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLock {
    pub lock: LockName,
    pub run: RunId,
    pub instance: InstanceName,
    pub process: Option<ProcessId>,
}

/// What is to become of the fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The fire time was judged before.
    AlreadyJudged,
    /// A fire of `after` that is not due yet: another process's run ended later, then, or is still open.
    NotYet {
        last_end: Option<Timestamp>,
    },
    /// These processes have to be looked at first.
    Suspect(Vec<ProcessId>),
    Skip {
        reason: SkipReason,
        detail: Option<Arc<str>>,
    },
    /// It waits for named locks and harms nobody.
    LockWait {
        holder_hangs: bool,
    },
    /// It takes the next generation and its named locks.
    Admit {
        /// Told to stop; must end first.
        supersede: Vec<RunId>,
        /// Must end first, in their own time.
        behind: Vec<RunId>,
        /// Hung holders of named locks: their floor rises and they end as lost.
        broken: Vec<RunId>,
    },
}

/// Judges a fire.
pub fn judge(request: &JudgeRequest, bench: &Bench) -> Verdict {
    let Some(asked) = request.asked else { return Verdict::AlreadyJudged };
    if bench.followed {
        return Verdict::AlreadyJudged;
    }
    if asked.trigger.scheduled()
        && request.waiting.is_none()
        && (bench.ran || bench.watermark.is_some_and(|watermark| asked.fire_at <= watermark))
    {
        return Verdict::AlreadyJudged;
    }
    let suspects = suspects(request, bench);
    if !suspects.is_empty() {
        return Verdict::Suspect(suspects);
    }
    if let Some(ended_at) = request.ended_at {
        let elsewhere = bench.open.iter().any(|open| open.process != Some(bench.me));
        if elsewhere || bench.last_end.is_some_and(|last_end| ended_at < last_end) {
            return Verdict::NotYet { last_end: bench.last_end.filter(|_| !elsewhere) };
        }
    }
    if let Some(reason) = request.refused {
        return Verdict::Skip { reason, detail: None };
    }
    if let Some((until, why)) = &bench.paused {
        return Verdict::Skip { reason: SkipReason::Paused, detail: Some(paused(*until, why.as_deref())) };
    }
    if let Some((until, why)) = &bench.parked {
        return Verdict::Skip { reason: SkipReason::Parked, detail: Some(parked(*until, why)) };
    }
    if !asked.trigger.by_hand()
        && let Some(unmet) = order::unmet(&request.instance.needs, &bench.needed, bench.at)
    {
        return Verdict::Skip { reason: SkipReason::NeedsUnmet, detail: Some(unmet) };
    }
    let (supersede, behind) = match rivals(request, bench) {
        Ok(rivals) => rivals,
        Err(busy) => return Verdict::Skip { reason: SkipReason::Overlap, detail: Some(format!("run {busy} is still open").into()) },
    };
    // What a run that ends for the newcomer holds, counts as the newcomer's.
    let passes = |held: &HeldLock| supersede.contains(&held.run) || behind.contains(&held.run);
    let busy: Vec<&HeldLock> = bench.held.iter().filter(|held| !passes(held)).collect();
    let hangs = |held: &HeldLock| held.process.is_some_and(|process| request.vouched.contains(&(process, false)));
    let Some(first) = busy.first() else { return Verdict::Admit { supersede, behind, broken: Vec::new() } };
    let all_hang = busy.iter().all(|held| hangs(held));
    if all_hang && request.break_locks {
        return Verdict::Admit { supersede, behind, broken: busy.iter().map(|held| held.run).collect() };
    }
    // Who hangs for a moment keeps its locks, even past the newcomer's `lock_wait`. Who waits already, goes on until its last chance.
    if all_hang || (!request.last_chance && (request.waiting.is_some() || request.instance.lock_wait.is_positive())) {
        return Verdict::LockWait { holder_hangs: all_hang };
    }
    let detail = format!("lock `{}` is held by run {} of {}", first.lock, first.run, first.instance);
    Verdict::Skip { reason: SkipReason::LockBusy, detail: Some(detail.into()) }
}

/// Foreign processes that stand in the way and were not looked at yet.
fn suspects(request: &JudgeRequest, bench: &Bench) -> Vec<ProcessId> {
    let rivals = bench.open.iter().filter_map(|open| open.process);
    let holders = bench.held.iter().filter_map(|held| held.process);
    let mut suspects: Vec<ProcessId> = rivals
        .chain(holders)
        .filter(|process| *process != bench.me && !request.vouched.iter().any(|(vouched, _)| vouched == process))
        .collect();
    suspects.sort_unstable();
    suspects.dedup();
    suspects
}

/// Which open runs the newcomer tells to stop, and which it queues behind; or the run that it gives way to.
fn rivals(request: &JudgeRequest, bench: &Bench) -> Result<(Vec<RunId>, Vec<RunId>), RunId> {
    let names = |open: &[OpenRun]| open.iter().map(|open| open.run).collect::<Vec<_>>();
    // What a stop set aside is nobody's: whoever starts anew does its work.
    let (aside, open): (Vec<OpenRun>, Vec<OpenRun>) = bench.open.iter().partition(|open| open.process.is_none());
    match request.instance.overlap {
        // Of starts that wait for named locks in several processes the newest counts, whichever looks first.
        Overlap::LastWins => match request.waiting.and_then(|waiting| bench.open.iter().find(|other| waiting < other.run)) {
            Some(newer) => Err(newer.run),
            None => Ok((names(&bench.open), Vec::new())),
        },
        Overlap::Skip => match open.first() {
            Some(older) => Err(older.run),
            None => Ok((names(&aside), Vec::new())),
        },
        // One deep: a run that waits already keeps its place. One that waits for its named locks would wait for a newcomer that took them.
        Overlap::Queue => match open.iter().enumerate().find(|(nth, open)| open.generation.is_none() || (0 < *nth && open.waits)) {
            Some((_, queued)) => Err(queued.run),
            None => Ok((names(&aside), names(&open))),
        },
        Overlap::Allow => Ok((Vec::new(), Vec::new())),
    }
}

fn paused(until: Option<Timestamp>, why: Option<&str>) -> Arc<str> {
    let until = until.map_or_else(|| "until `taskrun resume`".to_owned(), |until| format!("until {until}"));
    why.map_or_else(|| format!("paused {until}"), |why| format!("paused {until}: {why}")).into()
}

fn parked(until: Option<Timestamp>, why: &str) -> Arc<str> {
    let until = until.map_or_else(|| "until a person sees to it".to_owned(), |until| format!("until {until}"));
    format!("parked {until}: {why}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        event::{Asked, RunEnd},
        order::{Need, NeedEnd},
        plan::tests::instance,
        schedule::Schedule,
        task::{CatchUp, Trigger},
    };

    fn asked(trigger: Trigger) -> JudgeRequest {
        let fire_at = Timestamp::UNIX_EPOCH;
        JudgeRequest {
            instance: Arc::new(instance(Schedule::Start, CatchUp::Latest)),
            skips: Vec::new(),
            asked: Some(Asked { fire_at, trigger }),
            ended_at: None,
            follow_up: None,
            refused: None,
            waiting: None,
            last_chance: false,
            break_locks: false,
            vouched: Vec::new(),
        }
    }

    /// Nothing stands in the way but an older run.
    fn bench() -> Bench {
        let me = ProcessId(1);
        let older = OpenRun { run: RunId(1), process: Some(me), generation: Some(Generation(1)), waits: false };
        let at = Timestamp::UNIX_EPOCH;
        let (open, held, needed) = (vec![older], Vec::new(), Vec::new());
        Bench { me, at, watermark: None, ran: false, followed: false, needed, last_end: None, paused: None, parked: None, open, held }
    }

    fn skip(reason: SkipReason, detail: &str) -> Verdict {
        Verdict::Skip { reason, detail: Some(detail.into()) }
    }

    #[test]
    fn a_parked_account_refuses_schedule_and_person_alike_and_harms_nobody_that_runs() {
        let until = Some("2026-11-22T06:00:00Z".parse().unwrap());
        let parked = |until| Bench { parked: Some((until, "the hour's calls are used up".into())), ..bench() };
        for trigger in Trigger::ALL {
            let verdict = judge(&asked(*trigger), &parked(until));
            assert_eq!(verdict, skip(SkipReason::Parked, "parked until 2026-11-22T06:00:00Z: the hour's calls are used up"), "{trigger}");
        }
        let verdict = judge(&asked(Trigger::Schedule), &parked(None));
        assert_eq!(verdict, skip(SkipReason::Parked, "parked until a person sees to it: the hour's calls are used up"));
        assert!(matches!(judge(&asked(Trigger::Schedule), &bench()), Verdict::Admit { .. }));
    }

    #[test]
    fn an_unmet_need_holds_back_everything_but_a_person() {
        let need = Need { of: "sync".into(), end: NeedEnd::Succeeded, max_age: None };
        let failed = LastRun { instance: "sync".into(), run: RunId(7), end: RunEnd::Failed, ended_at: Timestamp::UNIX_EPOCH };
        let needed = Bench { needed: vec![failed.clone()], ..bench() };
        let met = Bench { needed: vec![LastRun { end: RunEnd::Succeeded, ..failed }], ..bench() };
        for trigger in Trigger::ALL {
            let mut request = asked(*trigger);
            Arc::make_mut(&mut request.instance).needs = vec![need.clone()];
            let detail = "needs sync succeeded: run 7 of sync ended as failed at 1970-01-01T00:00:00Z";
            let verdict = judge(&request, &needed);
            if trigger.by_hand() {
                assert!(matches!(verdict, Verdict::Admit { .. }), "{trigger}");
            } else {
                assert_eq!(verdict, skip(SkipReason::NeedsUnmet, detail), "{trigger}");
            }
            assert!(matches!(judge(&request, &met), Verdict::Admit { .. }), "{trigger}");
        }
    }

    #[test]
    fn a_follow_up_is_answered_once_and_for_the_reason_that_the_core_gives() {
        let request = JudgeRequest { refused: Some(SkipReason::Disabled), ..asked(Trigger::FollowUp) };
        let paused = Bench { paused: Some((None, None)), ..bench() };
        assert_eq!(judge(&request, &paused), Verdict::Skip { reason: SkipReason::Disabled, detail: None });
        assert_eq!(judge(&request, &Bench { followed: true, ..paused }), Verdict::AlreadyJudged);
    }

    #[test]
    fn a_pause_is_said_before_a_park() {
        let both = Bench { paused: Some((None, None)), parked: Some((None, "no token".into())), ..bench() };
        assert_eq!(judge(&asked(Trigger::Manual), &both), skip(SkipReason::Paused, "paused until `taskrun resume`"));
    }

    #[test]
    fn what_gives_way_to_an_older_run_takes_the_place_of_one_that_a_stop_set_aside() {
        let mut request = asked(Trigger::Manual);
        Arc::make_mut(&mut request.instance).overlap = Overlap::Skip;
        assert_eq!(judge(&request, &bench()), skip(SkipReason::Overlap, "run 1 is still open"));
        let aside = OpenRun { run: RunId(1), process: None, generation: Some(Generation(1)), waits: true };
        let verdict = judge(&request, &Bench { open: vec![aside], ..bench() });
        assert_eq!(verdict, Verdict::Admit { supersede: vec![RunId(1)], behind: Vec::new(), broken: Vec::new() });
        let works = OpenRun { run: RunId(2), ..bench().open[0] };
        assert_eq!(judge(&request, &Bench { open: vec![aside, works], ..bench() }), skip(SkipReason::Overlap, "run 2 is still open"));
    }
}
