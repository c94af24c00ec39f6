//! Dealing with other processes whose runs stand in the way: looking at them, clearing up after the dead, taking over from those that hang.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    driver::Message,
    neighbours::{Life, Neighbours},
    perform::follow_ups,
    process,
};
use crate::{
    core::{
        event::{Event, LeftRun},
        task::{ProcessId, RunId},
    },
    errors::chain,
    store::{RunStore, StoreResult},
};

/// How often a daemon looks whether the other processes live, as long as there are any.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// What it takes to deal with the others.
#[derive(Clone, Debug)]
pub(super) struct Others {
    pub store: Arc<dyn RunStore>,
    pub neighbours: Neighbours,
    pub messages: mpsc::Sender<Message>,
    pub me: ProcessId,
}

impl Others {
    /// Kills what the dead left running, hands their open runs to the core, and forgets the dead.
    pub(super) async fn clear_up(&self, dead: Vec<ProcessId>, set_aside: bool) -> StoreResult<()> {
        let left = self.neighbours.bury(dead.clone(), set_aside).await?;
        self.hand_over(left).await;
        self.neighbours.forget(dead).await
    }

    /// Hands orphans to the core and waits until what follows is on its way to the store.
    async fn hand_over(&self, left: Vec<LeftRun>) {
        let (done, handed) = oneshot::channel();
        let message = Message { event: Event::Orphaned { left }, done: Some(done) };
        if self.messages.send(message).await.is_ok() {
            drop(handed.await);
        }
    }

    /// Which of the rivals are still open in other processes, and how those are. Runs of dead ones, and those set aside, are handed to the core;
    /// they count as open until the next look, as another process may have gone on with them meanwhile.
    pub(super) async fn look(&self, rivals: Vec<RunId>) -> StoreResult<Vec<(RunId, Option<ProcessId>, Life)>> {
        let open = self.store.still_open(rivals).await?;
        let owners: BTreeSet<ProcessId> = open.iter().filter_map(|(_, process)| *process).filter(|process| *process != self.me).collect();
        let mut lives = BTreeMap::new();
        for owner in owners {
            lives.insert(owner, self.look_and_poke(owner).await?);
        }
        let dead: Vec<ProcessId> = lives.iter().filter(|(_, life)| **life == Life::Dead).map(|(process, _)| *process).collect();
        let set_aside = open.iter().any(|(_, process)| process.is_none());
        if set_aside || !dead.is_empty() {
            self.clear_up(dead, set_aside).await?;
        }
        let others = open.into_iter().filter(|(_, process)| *process != Some(self.me));
        let life = |process: Option<ProcessId>| process.and_then(|process| lives.get(&process).copied()).unwrap_or(Life::Dead);
        Ok(others.map(|(run, process)| (run, process, life(process))).collect())
    }

    /// One that hangs would not hear a poke, and not hearing takes a second.
    async fn look_and_poke(&self, process: ProcessId) -> StoreResult<Life> {
        let life = self.neighbours.look(process).await?;
        if life == Life::Answers {
            self.neighbours.poke(process).await;
        }
        Ok(life)
    }

    /// Takes over from rivals whose processes hang, or that have had their grace; their children are killed first. False: it is too early.
    pub(super) async fn take_over(&self, run: RunId, rivals: Vec<RunId>, even_if_alive: bool, at: Timestamp) -> StoreResult<bool> {
        let others = self.look(rivals.clone()).await?;
        let waits = |life: Life| life == Life::Dead || (life == Life::Answers && !even_if_alive);
        if others.iter().any(|(.., life)| waits(*life)) {
            return Ok(false);
        }
        let runs: Vec<(RunId, ProcessId)> = others.into_iter().filter_map(|(run, process, _)| Some((run, process?))).collect();
        self.kill_children(&runs).await?;
        self.store.take_over(run, rivals.clone(), at).await?;
        // One that another process went on with meanwhile has a newer generation, which a takeover does not touch.
        let left = self.store.still_open(rivals).await?;
        Ok(left.iter().all(|(_, process)| *process == Some(self.me)))
    }

    /// Kills what runs of these processes have started, descendants that left their group included.
    async fn kill_children(&self, runs: &[(RunId, ProcessId)]) -> StoreResult<()> {
        let rows = self.store.processes().await?;
        let record = |process: ProcessId| rows.iter().find(|row| row.id == process).map(|row| row.record.as_str());
        let markers = runs.iter().filter_map(|(run, process)| Some(format!("{}:{run}", record(*process)?))).collect();
        let groups = self.store.children(Vec::new(), runs.iter().map(|(run, _)| *run).collect()).await?;
        process::kill_children(groups, markers).await;
        Ok(())
    }

    /// Kills what those runs of hung processes have started that somebody else has closed.
    pub(super) async fn end_shut_out(&self, hung: &[ProcessId]) -> StoreResult<()> {
        for process in hung {
            let told = self.store.stop_requests(*process).await?;
            let closed = told.into_iter().filter(|(_, reason)| reason.is_none()).map(|(run, _)| (run, *process));
            self.kill_children(&closed.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Clears up after other processes when they die, as long as there are any. `came`: there may be a new one.
    pub(super) async fn watch(self, came: Arc<Notify>) {
        loop {
            // Those beside us first, then what they left to be started: whoever has left by then has written it down.
            let others = self.clear_up_dead().await;
            self.look_for_follow_ups().await;
            match others {
                Ok(false) => came.notified().await,
                Ok(true) => tokio::time::sleep(WATCH_EVERY).await,
                Err(error) => {
                    tracing::debug!(error = chain(&error), "could not look whether the other processes live");
                    tokio::time::sleep(WATCH_EVERY).await;
                }
            }
        }
    }

    /// What succeeded in another process may have asked for a fire, and that process may have died before it could say so.
    async fn look_for_follow_ups(&self) {
        match self.store.follow_ups().await {
            Ok(waiting) if waiting.is_empty() => {}
            Ok(waiting) => drop(self.messages.send(follow_ups(waiting).into()).await),
            Err(error) => tracing::debug!(error = chain(&error), "could not look for follow-ups"),
        }
    }

    /// Clears up after those that are dead. True: others live.
    async fn clear_up_dead(&self) -> StoreResult<bool> {
        let (living, dead) = self.neighbours.census().await?;
        if !dead.is_empty() {
            self.clear_up(dead, false).await?;
        }
        Ok(living.iter().any(|process| *process != self.me))
    }
}
