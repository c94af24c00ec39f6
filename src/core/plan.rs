//! Which fire times of an instance are due, and when to look again.
//!
//! Every fire gets exactly one answer: [`Due`] covers all fires from the watermark to `upto`, as skips or as the one that may become a run.
use jiff::{SignedDuration, Timestamp};

use super::{
    calendar::just_before,
    event::{Asked, Skip, SkipReason},
    schedule::Schedule,
    task::{CatchUp, Instance, Trigger},
    timing::{Anchors, Fire, Fires},
};

#[cfg(test)]
pub(super) mod tests;

/// A fire this much behind its start is a misfire: nobody was there to act on it. Quartz' threshold, too.
pub const LATE_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// `catch_up: all` runs this many at most, as Kubernetes does; a longer backlog is of no use to anybody.
pub const BACKLOG_MAX: usize = 100;
/// Passed fires are counted one by one up to here; beyond it, history says "at least".
pub const COUNT_MAX: usize = 1000;

/// What is due of one instance: skips first, then at most one fire that may become a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// All before `asked`, in their order.
    pub skips: Vec<Skip>,
    pub asked: Option<Asked>,
    /// The last fire time this covers: the watermark once it is recorded.
    pub upto: Timestamp,
}

/// What is due by `now`; `None` if nothing is. `busy`: a catch-up run of the instance is still open, so `catch_up: all` waits for it.
///
/// There may be more: once `upto` is recorded, ask again.
pub fn due(instance: &Instance, watermark: Timestamp, now: Timestamp, anchors: Anchors, busy: bool) -> Option<Due> {
    if !instance.enabled || (busy && instance.catch_up == CatchUp::All) {
        return None;
    }
    // Behind the splay, a fire is as late as it is before `until`.
    let until = now.checked_sub(instance.timing.splay).ok()?;
    let fires = instance.timing.fires(watermark, anchors);
    fires.next(watermark).filter(|first| first.at <= until)?;
    let runs = candidate(instance, &fires, watermark, until);
    let skips = skips(&fires, watermark, runs.map_or(until, |fire| just_before(fire.at)));
    let asked = runs.map(|fire| {
        // One that another has followed already was missed, however short ago: it is caught up before the other.
        let followed = instance.catch_up == CatchUp::All && fires.latest_open(fire.at, until).is_some();
        let late = followed || until.duration_since(fire.at) > LATE_AFTER;
        Asked { fire_at: fire.at, trigger: if late { Trigger::CatchUp } else { Trigger::Schedule } }
    });
    let upto = asked.map(|asked| asked.fire_at).or_else(|| skips.last().map(|skip| skip.last_at))?;
    Some(Due { skips, asked, upto })
}

/// Why a follow-up is skipped whatever the store knows: its task is off, it comes too late, or outside the hours.
pub fn refuses(instance: &Instance, asked_at: Timestamp, now: Timestamp) -> Option<SkipReason> {
    let behind = now.duration_since(asked_at);
    let too_late = instance.start_deadline.is_some_and(|deadline| deadline < behind);
    let missed = instance.catch_up == CatchUp::None && LATE_AFTER < behind && !instance.timing.defer;
    if !instance.enabled {
        Some(SkipReason::Disabled)
    } else if too_late || missed {
        Some(SkipReason::Misfire)
    } else {
        instance.timing.closed(now)
    }
}

/// The end that a due fire counts from, if it is due by `after` and nothing else.
pub fn counts_from(instance: &Instance, watermark: Timestamp, asked: Asked, anchors: Anchors) -> Option<Timestamp> {
    let timing = &instance.timing;
    let after = timing.schedules.iter().any(|schedule| matches!(schedule, Schedule::After { .. }));
    let others = Anchors { last_end: None, ..anchors };
    let by_another = || timing.fires(watermark, others).next(just_before(asked.fire_at)).is_some_and(|fire| fire.at == asked.fire_at);
    anchors.last_end.filter(|_| after && !by_another())
}

/// When [`due`] will next have an answer, the splay included. It lies in the past where something is due already.
pub fn next_start(instance: &Instance, watermark: Timestamp, anchors: Anchors) -> Option<Timestamp> {
    let next = instance.timing.fires(watermark, anchors).next(watermark).filter(|_| instance.enabled)?;
    next.at.checked_add(instance.timing.splay).ok()
}

/// The fire that may become a run.
fn candidate(instance: &Instance, fires: &Fires<'_>, watermark: Timestamp, until: Timestamp) -> Option<Fire> {
    let in_time = |fire: &Fire| {
        let behind = until.duration_since(fire.at);
        let in_deadline = instance.start_deadline.is_none_or(|deadline| behind <= deadline);
        in_deadline && (behind <= LATE_AFTER || instance.catch_up != CatchUp::None)
    };
    let newest = fires.latest_open(watermark, until).filter(in_time);
    match instance.catch_up {
        CatchUp::None | CatchUp::Latest => newest,
        CatchUp::All => {
            let older = |fire: &Fire| fires.latest_open(watermark, just_before(fire.at)).filter(in_time);
            std::iter::successors(newest, older).take(BACKLOG_MAX).last()
        }
    }
}

/// The answers to the fires after `after` and up to `until`: closed, or passed over.
fn skips(fires: &Fires<'_>, after: Timestamp, until: Timestamp) -> Vec<Skip> {
    let mut skips: Vec<Skip> = Vec::new();
    let mut next = fires.next(after).filter(|fire| fire.at <= until);
    for _ in 0..COUNT_MAX {
        let Some(fire) = next else { return skips };
        add(&mut skips, fire.at, fire.closed.unwrap_or(SkipReason::Misfire));
        next = fires.next(fire.at).filter(|fire| fire.at <= until);
    }
    // The rest is not counted; where any of it would have run, it counts as missed.
    if let Some(first) = next
        && let Some(last) = fires.latest(just_before(first.at), until)
    {
        let missed = fires.latest_open(just_before(first.at), until).is_some();
        let reason = first.closed.filter(|_| !missed).unwrap_or(SkipReason::Misfire);
        add(&mut skips, first.at, reason);
        if let Some(skip) = skips.last_mut() {
            (skip.last_at, skip.at_least) = (last.at, last.at > first.at);
        }
    }
    skips
}

/// Adds a skip, to the one before it if the reason is the same.
fn add(skips: &mut Vec<Skip>, at: Timestamp, reason: SkipReason) {
    match skips.last_mut() {
        Some(skip) if skip.reason == reason => (skip.last_at, skip.count) = (at, skip.count.saturating_add(1)),
        _ => skips.push(Skip { first_at: at, last_at: at, count: 1, at_least: false, reason, detail: None }),
    }
}
