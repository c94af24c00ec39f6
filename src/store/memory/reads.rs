//! What can be asked.
use std::collections::BTreeMap;

use super::tables::{Run, Tables, millis};
use crate::{
    core::{
        event::{RunEnd, StopReason},
        order::{FollowUp, LastRun},
        task::{InstanceName, ProcessId, RunId},
    },
    store::{AttemptRow, ChildGroup, FOLLOW_UPS_MAX, HISTORY_MAX, HistoryFilter, HistoryRow, Pause, ProcessRow, RowState},
};

impl Tables {
    pub fn processes(&self) -> Vec<ProcessRow> {
        self.processes.values().map(|process| process.row.clone()).collect()
    }

    pub fn still_open(&self, runs: &[RunId]) -> Vec<(RunId, Option<ProcessId>)> {
        let open = self.open.iter().filter(|run| runs.contains(run)).filter_map(|run| self.runs.get(run));
        open.map(|run| (run.row.run, run.row.process)).collect()
    }

    pub fn stop_requests(&self, process: ProcessId) -> Vec<(RunId, Option<StopReason>)> {
        let own = |run: &&RunId| self.runs.get(run).is_some_and(|run| run.row.process == Some(process));
        let told = self.open.iter().filter(own).filter_map(|run| Some((*run, Some(self.runs.get(run)?.stop?))));
        let closed = self.unheard.iter().filter(own).map(|run| (*run, None));
        let mut all: Vec<_> = told.chain(closed).collect();
        all.sort_unstable_by_key(|(run, _)| *run);
        all
    }

    pub fn children(&self, processes: &[ProcessId], runs: &[RunId]) -> Vec<ChildGroup> {
        let wanted = |owner: Option<ProcessId>, run| owner.is_some_and(|owner| processes.contains(&owner)) || runs.contains(&run);
        self.children.values().filter(|(child, owner)| wanted(*owner, child.run)).map(|(child, _)| child.clone()).collect()
    }

    pub fn pauses(&self) -> Vec<Pause> {
        self.pauses.values().cloned().collect()
    }

    pub fn history(&self, filter: &HistoryFilter) -> Vec<HistoryRow> {
        let wanted = self.runs.values().rev().filter(|run| matches(filter, &run.row));
        wanted.take(filter.limit.min(HISTORY_MAX)).map(|run| self.shown(run)).collect()
    }

    pub fn row(&self, run: RunId) -> Option<HistoryRow> {
        self.runs.get(&run).map(|run| self.shown(run))
    }

    pub fn attempts(&self, run: RunId) -> Vec<AttemptRow> {
        self.runs.get(&run).map(|run| run.attempts.clone()).unwrap_or_default()
    }

    pub fn follow_ups(&self) -> Vec<FollowUp> {
        self.follow_ups.values().take(FOLLOW_UPS_MAX).cloned().collect()
    }

    pub fn last_run(&self, name: &InstanceName) -> Option<LastRun> {
        self.last_that(name, |end| end != RunEnd::Superseded)
    }

    pub fn last_success(&self, name: &InstanceName) -> Option<LastRun> {
        self.last_that(name, |end| end == RunEnd::Succeeded)
    }

    fn last_that(&self, name: &InstanceName, fits: impl Fn(RunEnd) -> bool) -> Option<LastRun> {
        self.runs.values().rev().filter(|run| run.row.instance == *name && !run.row.dry).find_map(|run| match run.row.state {
            RowState::Ended { end, .. } if !fits(end) => None,
            RowState::Ended { end, .. } => {
                Some(LastRun { instance: name.clone(), run: run.row.run, end, ended_at: run.row.ended_at.unwrap_or_default() })
            }
            RowState::Waiting | RowState::Running | RowState::Backoff { .. } | RowState::NotYet { .. } | RowState::Skipped { .. } => None,
        })
    }

    pub fn last_ends(&self) -> Vec<HistoryRow> {
        let finished = self.runs.values().filter(|run| !run.row.dry && !self.open.contains(&run.row.run));
        let last: BTreeMap<&InstanceName, &Run> = finished.map(|run| (&run.row.instance, run)).collect();
        last.into_values().map(|run| self.shown(run)).collect()
    }

    fn shown(&self, run: &Run) -> HistoryRow {
        let process = run.row.process.filter(|_| self.open.contains(&run.row.run));
        HistoryRow { process, waits: run.waits(), ..run.row.clone() }
    }
}

fn matches(filter: &HistoryFilter, row: &HistoryRow) -> bool {
    let instance = row.instance.as_str();
    let task = instance.split_once('@').map_or(instance, |(task, _)| task);
    let named = filter.name.as_deref().is_none_or(|name| if name.contains('@') { name == instance } else { name == task });
    let (open, bad, last_at) = match &row.state {
        RowState::Waiting | RowState::Running | RowState::Backoff { .. } | RowState::NotYet { .. } => (true, false, row.fire_at),
        RowState::Ended { end, .. } => (false, matches!(end, RunEnd::Failed | RunEnd::TimedOut | RunEnd::Lost), row.fire_at),
        RowState::Skipped { last_at, .. } => (false, false, *last_at),
    };
    let before = filter.before.is_none_or(|run| row.run < run);
    named && before && (open || !filter.open) && (bad || !filter.failed) && filter.since.is_none_or(|since| millis(since) <= last_at)
}
