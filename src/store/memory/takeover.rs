//! Runs that change hands: taken over from a process that hangs, or orphaned by one that is gone.
use jiff::Timestamp;

use super::tables::{Run, Tables};
use crate::{
    core::{
        event::{AdoptAnswer, LeftRun, OutcomeKind, Rival, RunEnd, StopReason},
        task::{Instance, InstanceName, LockName, Overlap, ProcessId, RunId},
    },
    store::{HistoryRow, RowState},
};

impl Tables {
    pub fn take_over(&mut self, run: RunId, rivals: &[RunId], at: Timestamp) {
        let Some(newcomer) = self.open_run(run) else { return };
        let (name, process) = (newcomer.row.instance.clone(), newcomer.row.process);
        let Some(generation) = newcomer.row.generation else { return };
        if let Some(instance) = self.instances.get_mut(&name) {
            instance.floor = instance.floor.max(generation.0);
        }
        for rival in rivals {
            let older = self.open_run(*rival).is_some_and(|rival| rival.row.instance == name && rival.row.generation < Some(generation));
            if older {
                self.end_lost(*rival, (RunEnd::Superseded, Some(run)), process, at);
            }
        }
    }

    pub fn leftover(&mut self, dead: &[ProcessId], set_aside: bool) -> Vec<LeftRun> {
        for process in dead {
            if let Some(process) = self.processes.get_mut(process) {
                process.dead = true;
            }
        }
        let open = self.open.iter().filter_map(|run| self.runs.get(run));
        let left = open.filter(|run| run.row.process.map_or(set_aside, |process| dead.contains(&process)));
        left.map(|run| LeftRun {
            run: run.row.run,
            instance: run.row.instance.clone(),
            fire_at: run.row.fire_at,
            trigger: run.row.trigger,
            process: run.row.process,
            once: run.row.process.and_then(|process| self.processes.get(&process)).is_some_and(|process| process.row.once),
            generation: run.row.generation,
            attempts: run.row.attempts,
            waits: run.waits(),
            not_yet: run.not_yet(),
            running: run.row.state == RowState::Running,
            stop: run.stop,
            started_at: run.row.started_at,
            locks: run.locks.clone(),
        })
        .collect()
    }

    pub fn adopt(&mut self, run: RunId, process: ProcessId, task: &Instance, lost: bool, at: Timestamp) -> AdoptAnswer {
        let Some(orphan) = self.orphan(run).filter(|run| run.row.generation.is_some()) else { return AdoptAnswer::Gone };
        let (name, before, has) = (orphan.row.instance.clone(), orphan.row.generation, orphan.locks.clone());
        let lacks: Vec<LockName> = task.locks.iter().filter(|lock| !has.contains(lock)).cloned().collect();
        let busy = lacks.iter().any(|lock| self.is_held_against(lock, run, &name, task.overlap));
        let older = self.open_of(&name).filter(|older| older.row.generation.is_some() && older.row.generation < before);
        let told = |older: &Run| older.stop == Some(StopReason::Superseded(run));
        let rivals = older.map(|older| Rival { run: older.row.run, process: older.row.process, told: told(older) }).collect();
        let generation = if busy { None } else { Some(self.next_generation(&name)) };
        let Some(orphan) = self.open_run(run) else { return AdoptAnswer::Gone };
        if lost {
            orphan.end_attempt(OutcomeKind::Lost, None, at);
        }
        orphan.row.process = Some(process);
        orphan.row.generation = generation;
        orphan.stop = orphan.stop.filter(|reason| *reason != StopReason::Shutdown);
        let Some(generation) = generation else {
            orphan.row.state = RowState::Waiting;
            orphan.locks.clear();
            return AdoptAnswer::LockWait;
        };
        orphan.row.state = orphan.set_back();
        orphan.locks.extend(lacks);
        orphan.locks.sort();
        self.raise_floor(&name, generation.0);
        AdoptAnswer::Adopted { generation, rivals }
    }

    /// Whether somebody else has a lock who does not wait for this run.
    fn is_held_against(&self, lock: &LockName, run: RunId, name: &InstanceName, overlap: Overlap) -> bool {
        let holders = self.open.iter().filter_map(|open| self.runs.get(open)).filter(|open| open.locks.contains(lock));
        let waits = |row: &HistoryRow| row.instance == *name && row.state == RowState::Waiting && row.attempts == 0;
        holders.filter(|open| open.row.run != run).any(|open| overlap == Overlap::Allow || !waits(&open.row))
    }

    pub fn close_orphan(&mut self, run: RunId, end: RunEnd, by: Option<RunId>, at: Timestamp) {
        if self.orphan(run).is_some()
            && let Some((name, Some(generation))) = self.end_lost(run, (end, by), None, at)
        {
            self.raise_floor(&name, generation.0 + 1);
        }
    }
}
