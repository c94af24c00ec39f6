//! The engine as the handler `watch_runs` sees it: the view that everybody has, and two of the requests that everybody can make.
use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{
    control::Control,
    neighbours::{Life, Neighbours},
    view::{RunView, StatusView},
};
use crate::{
    clock::BoxFuture,
    core::task::{InstanceName, ProcessId, RunId},
    errors::chain,
    handlers::{
        HandlerError,
        overseer::{HangingRun, Overseer, Picture, SeenInstance, SeenRun},
    },
    store::{HistoryFilter, RunStore, StoreError},
};

/// Open runs of other processes that are looked at: more than any shop has.
const OPEN_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct EngineOverseer {
    pub control: Control,
    pub store: Arc<dyn RunStore>,
    pub neighbours: Neighbours,
    pub me: ProcessId,
}

impl EngineOverseer {
    async fn look(&self) -> Result<Picture, HandlerError> {
        let status = self.control.status().await.map_err(|_| HandlerError::Cancelled)?;
        let names = status.instances.iter().map(|view| InstanceName::from(view.instance.as_str())).collect();
        let successes = self.store.last_successes(names).await.map_err(|error| transient(&error))?;
        let successes: BTreeMap<InstanceName, Timestamp> = successes.into_iter().map(|last| (last.instance, last.ended_at)).collect();
        let hanging = self.hanging().await.map_err(|error| transient(&error))?;
        Ok(picture(&status, &successes, hanging))
    }

    /// The open runs of processes that live and do not answer. What the dead left is cleared up without us.
    async fn hanging(&self) -> Result<Vec<HangingRun>, StoreError> {
        let open = self.store.history(HistoryFilter { open: true, limit: OPEN_MAX, ..HistoryFilter::default() }).await?;
        let others = open.into_iter().filter_map(|row| Some((row.process.filter(|process| *process != self.me)?, row.run, row.instance)));
        let mut lives: BTreeMap<ProcessId, Life> = BTreeMap::new();
        let mut hanging = Vec::new();
        let rows = self.store.processes().await?;
        for (process, run, instance) in others {
            let life = match lives.get(&process) {
                Some(life) => *life,
                None => self.neighbours.look(process).await?,
            };
            lives.insert(process, life);
            if life == Life::Hangs {
                let pid = rows.iter().find(|row| row.id == process).map(|row| row.pid);
                hanging.push(HangingRun { run, instance, pid });
            }
        }
        Ok(hanging)
    }
}

impl Overseer for EngineOverseer {
    fn picture(&self) -> BoxFuture<'_, Result<Picture, HandlerError>> {
        Box::pin(self.look())
    }

    fn cancel(&self, run: RunId) -> BoxFuture<'_, bool> {
        Box::pin(async move { self.control.cancel(run).await.unwrap_or(false) })
    }

    fn start(&self, instance: InstanceName) -> BoxFuture<'_, Result<RunId, String>> {
        Box::pin(async move {
            let answers = self.control.trigger(instance.to_string(), false).await.map_err(|error| error.to_string())?;
            let first = answers.into_iter().next().ok_or_else(|| "there is no such instance".to_owned())?;
            first.run.map(RunId).ok_or_else(|| first.skipped.unwrap_or_default())
        })
    }
}

fn transient(error: &StoreError) -> HandlerError {
    HandlerError::Transient { message: chain(error), retry_after: None }
}

fn picture(status: &StatusView, successes: &BTreeMap<InstanceName, Timestamp>, hanging: Vec<HangingRun>) -> Picture {
    let instances = status.instances.iter().map(|view| {
        let name = InstanceName::from(view.instance.as_str());
        SeenInstance {
            task: view.task.as_str().into(),
            awake: view.enabled && view.paused.is_none(),
            next_at: view.next_at.as_deref().and_then(instant),
            last_success: successes.get(&name).copied(),
            name,
        }
    });
    Picture {
        since: instant(&status.started_at),
        runs: status.runs.iter().filter_map(seen).collect(),
        hanging,
        instances: instances.collect(),
        stuck: status.stuck,
    }
}

fn seen(view: &RunView) -> Option<SeenRun> {
    let seconds = |seconds: f64| SignedDuration::try_from_secs_f64(seconds).ok();
    Some(SeenRun {
        run: RunId(view.run),
        instance: view.instance.as_str().into(),
        fire_at: instant(&view.fire_at)?,
        not_begun: view.attempt == 0,
        phase: view.phase.clone(),
        still_for: view.still_s.and_then(seconds).filter(|_| view.phase == "running"),
        timeout_governs: view.timeout_governs,
        grace: seconds(view.grace_s).unwrap_or_default(),
    })
}

fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
