//! The other taskrun processes of this store: whether they live, whether they answer, and what their death leaves behind.
use std::{path::PathBuf, sync::Arc};

use super::process;
use crate::{
    clock::BoxFuture,
    core::{event::LeftRun, task::ProcessId},
    store::{ProcessRow, RunStore, StoreResult},
};

/// Asks a process on its local socket; true if it answers within a second.
pub type Call = Arc<dyn Fn(PathBuf) -> BoxFuture<'static, bool> + Send + Sync>;

/// How a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Its record is free: the operating system saw it end.
    Dead,
    /// It lives and answers.
    Answers,
    /// It lives and does not answer: stopped, swapped out, or stuck.
    Hangs,
}

/// Knows how to look at other processes.
#[derive(Clone)]
pub struct Neighbours {
    store: Arc<dyn RunStore>,
    /// Where the process records are.
    records: PathBuf,
    ping: Call,
    poke: Call,
}

impl std::fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Neighbours").field("records", &self.records).finish_non_exhaustive()
    }
}

impl Neighbours {
    /// `ping` and `poke` are the local socket's: the engine does not know its protocol.
    pub fn new(store: Arc<dyn RunStore>, records: PathBuf, ping: Call, poke: Call) -> Self {
        Self { store, records, ping, poke }
    }

    async fn row(&self, process: ProcessId) -> StoreResult<Option<ProcessRow>> {
        Ok(self.store.processes().await?.into_iter().find(|row| row.id == process))
    }

    /// Looks at a process. One that is not registered any more is dead: it retired in order, or was buried.
    pub async fn look(&self, process: ProcessId) -> StoreResult<Life> {
        let Some(row) = self.row(process).await? else { return Ok(Life::Dead) };
        if process::is_dead(&self.records, &row.record) {
            return Ok(Life::Dead);
        }
        let Some(socket) = process::socket_of(&self.records, &row.record) else { return Ok(Life::Hangs) };
        Ok(if (self.ping)(socket).await { Life::Answers } else { Life::Hangs })
    }

    /// Tells a process to look at its stop requests at once. It would do so within a second anyway.
    pub async fn poke(&self, process: ProcessId) {
        if let Ok(Some(row)) = self.row(process).await
            && let Some(socket) = process::socket_of(&self.records, &row.record)
            && !(self.poke)(socket).await
        {
            tracing::debug!(pid = row.pid, "the process does not answer; it looks at its stop requests every second");
        }
    }

    /// Kills what the dead left running, then says which runs they left open.
    pub async fn bury(&self, dead: Vec<ProcessId>, set_aside: bool) -> StoreResult<Vec<LeftRun>> {
        let rows: Vec<ProcessRow> = self.store.processes().await?.into_iter().filter(|row| dead.contains(&row.id)).collect();
        let children = self.store.children(dead.clone(), Vec::new()).await?;
        let markers = rows.iter().map(|row| row.record.clone()).collect();
        process::kill_children(children, markers).await;
        self.store.leftover(dead, set_aside).await
    }

    /// Removes dead processes that have no open run left: their record files and their rows.
    pub async fn forget(&self, dead: Vec<ProcessId>) -> StoreResult<()> {
        let rows = self.store.processes().await?;
        for row in rows.into_iter().filter(|row| dead.contains(&row.id)) {
            if self.store.leftover(vec![row.id], false).await?.is_empty() {
                process::remove_record(&self.records, &row.record);
                self.store.retire_process(row.id).await?;
            }
        }
        Ok(())
    }

    /// Every registered process: those that live, ourselves among them, and those that are dead.
    pub async fn census(&self) -> StoreResult<(Vec<ProcessId>, Vec<ProcessId>)> {
        let rows = self.store.processes().await?;
        let (dead, living): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| process::is_dead(&self.records, &row.record));
        let ids = |rows: Vec<ProcessRow>| rows.into_iter().map(|row| row.id).collect();
        Ok((ids(living), ids(dead)))
    }

    /// Tells the daemon, if there is one, that there is a new process: should that die, the daemon clears up after it.
    pub async fn greet(&self) {
        let rows = self.store.processes().await.unwrap_or_default();
        for row in rows.into_iter().filter(|row| !row.once) {
            self.poke(row.id).await;
        }
    }
}
