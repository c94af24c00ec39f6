//! What comes before what: the runs that a task needs to have ended, and the tasks that follow its success.
use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{
    event::RunEnd,
    task::{InstanceName, RunId, words},
};

words! {
    /// How the last run of a needed instance has to have ended.
    NeedEnd {
        /// It has done its work.
        Succeeded = "succeeded",
        /// However it ended: it is enough that it is over.
        Any = "any",
    }
}

/// An instance's last run has to have ended, and how, and when, before another's fire may become a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The instance whose last run is looked at. One that was superseded does not count, nor does a dry one.
    pub of: InstanceName,
    pub end: NeedEnd,
    /// At most this long ago; `None`: whenever that was.
    pub max_age: Option<SignedDuration>,
}

impl fmt::Display for Need {
    /// `sync_inventory succeeded within 4h`, `backup ended`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.end {
            NeedEnd::Succeeded => "succeeded",
            NeedEnd::Any => "ended",
        };
        write!(f, "{} {end}", self.of)?;
        self.max_age.map_or(Ok(()), |max_age| write!(f, " within {max_age:#}"))
    }
}

/// The last run of an instance that had an end of its own: none that was superseded, and none that was dry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    pub instance: InstanceName,
    pub run: RunId,
    pub end: RunEnd,
    pub ended_at: Timestamp,
}

impl Need {
    /// Why the need is not met at that instant; `None`: it is. The text says when the last run ended and not how long ago that is, so that it
    /// stays the same as long as nothing changes.
    pub fn unmet(&self, last: &[LastRun], at: Timestamp) -> Option<String> {
        let Some(last) = last.iter().find(|last| last.instance == self.of) else {
            return Some(format!("{} has not ended yet", self.of));
        };
        let fits = match self.end {
            NeedEnd::Succeeded => last.end == RunEnd::Succeeded,
            NeedEnd::Any => true,
        };
        let too_old = self.max_age.is_some_and(|max_age| max_age < at.duration_since(last.ended_at));
        if fits && !too_old {
            return None;
        }
        let second = last.ended_at.round(jiff::Unit::Second).unwrap_or(last.ended_at);
        Some(format!("run {} of {} ended as {} at {second}", last.run, last.instance, last.end))
    }
}

/// Which needs are not met, in a sentence; `None`: all are.
pub fn unmet(needs: &[Need], last: &[LastRun], at: Timestamp) -> Option<Arc<str>> {
    let unmet = needs.iter().filter_map(|need| Some(format!("needs {need}: {}", need.unmet(last, at)?)));
    let unmet: Vec<String> = unmet.collect();
    if unmet.is_empty() { None } else { Some(unmet.join("; ").into()) }
}

/// A number for a follow-up, given by the store, growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowUpId(pub i64);

/// A fire that a run's success asked for (`after_success`) and that has no answer yet. It is written down with the end of that run, and goes
/// with its own row: whoever dies in between loses none and starts none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    pub id: FollowUpId,
    /// What is to be started.
    pub instance: InstanceName,
    /// The run that succeeded.
    pub cause: RunId,
    /// When it did.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute.saturating_mul(60)).unwrap()
    }

    fn last(end: RunEnd, minute: i64) -> Vec<LastRun> {
        vec![LastRun { instance: "sync".into(), run: RunId(7), end, ended_at: at(minute) }]
    }

    fn need(end: NeedEnd, minutes: Option<i64>) -> Need {
        Need { of: "sync".into(), end, max_age: minutes.map(SignedDuration::from_mins) }
    }

    #[test]
    fn a_need_is_met_by_the_last_end_of_its_kind_that_is_young_enough() {
        struct Case {
            need: Need,
            last: Vec<LastRun>,
            met: bool,
        }
        let success = |minutes| need(NeedEnd::Succeeded, minutes);
        let cases = [
            Case { need: success(Some(60)), last: Vec::new(), met: false },
            Case { need: success(Some(60)), last: last(RunEnd::Succeeded, 940), met: true },
            Case { need: success(Some(60)), last: last(RunEnd::Succeeded, 939), met: false },
            Case { need: success(None), last: last(RunEnd::Succeeded, 0), met: true },
            // The clock was set back since.
            Case { need: success(Some(60)), last: last(RunEnd::Succeeded, 1100), met: true },
            Case { need: success(None), last: last(RunEnd::Failed, 999), met: false },
            Case { need: success(None), last: last(RunEnd::Cancelled, 999), met: false },
            Case { need: need(NeedEnd::Any, None), last: last(RunEnd::Lost, 0), met: true },
            Case { need: need(NeedEnd::Any, Some(60)), last: last(RunEnd::Lost, 0), met: false },
            Case { need: need(NeedEnd::Any, Some(60)), last: Vec::new(), met: false },
        ];
        for Case { need, last, met } in cases {
            assert_eq!(need.unmet(&last, at(1000)).is_none(), met, "{need}: {last:?}");
        }
    }

    #[test]
    fn what_is_unmet_is_named_and_stays_the_same_while_nothing_changes() {
        let needs = [need(NeedEnd::Succeeded, Some(240)), Need { of: "backup".into(), ..need(NeedEnd::Any, None) }];
        let said = unmet(&needs, &last(RunEnd::Failed, 60), at(1000)).unwrap();
        assert_eq!(
            &*said,
            "needs sync succeeded within 4h: run 7 of sync ended as failed at 1970-01-01T01:00:00Z; needs backup ended: backup has not ended yet"
        );
        assert_eq!(unmet(&needs, &last(RunEnd::Failed, 60), at(2000)), Some(said));
        assert_eq!(unmet(&[], &[], at(0)), None);
    }
}
