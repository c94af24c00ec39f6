//! The desk: reads, for whoever asks, what the engine and the store know.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::{
    StatusPage,
    data::DataView,
    history::{AttemptView, HistoryView, RunPage, RunsPage},
    quotas::QuotaView,
    trends::Trends,
};
use crate::{
    clock::Clock,
    config::Config,
    core::{
        event::StopReason,
        task::{Instance, RunId},
        value::Params,
    },
    engine::control::{Control, Gone},
    handlers::sync_inventory::{self, data_max_age},
    observe::read::{Line, Logs, Wanted},
    store::{HistoryFilter, Pause, RunStore, StoreError, shop::ShopStore},
};

/// What can go wrong at the desk.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The engine no longer answers.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The store cannot be read or written.
    #[error("the store does not answer")]
    Store(#[from] StoreError),
    /// The log files cannot be read.
    #[error("the logs cannot be read")]
    Logs(#[source] std::io::Error),
}

/// Which rows of the history are wanted, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunsWanted {
    /// Only of this task or instance.
    pub name: Option<String>,
    /// Only runs that did not end well.
    pub failed: bool,
    /// Only what is still open.
    pub open: bool,
    /// Only fires at or after this instant.
    pub since: Option<Timestamp>,
    /// Only rows with a smaller number.
    pub before: Option<i64>,
    /// At most this many rows.
    pub limit: usize,
}

/// A task or an instance that is to rest.
#[derive(Clone, Debug)]
pub struct PauseWanted {
    pub name: String,
    pub until: Option<Timestamp>,
    pub reason: Option<String>,
}

/// Reads, for whoever asks, what the engine and the store know.
#[derive(Clone)]
pub struct Desk {
    /// The engine.
    pub control: Control,
    pub runs: Arc<dyn RunStore>,
    pub shop: Arc<dyn ShopStore>,
    pub clock: Arc<dyn Clock>,
    /// The configuration in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// What else may be wrong.
    pub trouble: Vec<Trouble>,
    /// What was seen over the last day.
    pub trends: Trends,
}

/// Says what is wrong, if something is.
pub type Trouble = Arc<dyn Fn() -> Option<String> + Send + Sync>;

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    /// The wall clock; the practice clock's in practice.
    pub fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// Everything about the engine, and what stands in the store beside it. What cannot be read is left out: the engine says what is wrong.
    ///
    /// # Errors
    /// The engine stops.
    pub async fn status(&self) -> Result<StatusPage, DeskError> {
        let status = self.control.status().await?;
        Ok(StatusPage { status, data: self.data().await, quotas: self.quotas().await.unwrap_or_default() })
    }

    /// The data's age; nothing where nothing is listed, or it cannot be read.
    pub async fn data(&self) -> Option<DataView> {
        let max_age = max_age(&self.config());
        let age = self.shop.data_age(self.now().checked_sub(max_age).ok()?).await.ok()?;
        (age.listed > 0).then(|| DataView::of(&age, max_age))
    }

    /// The marketplaces' limits.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn quotas(&self) -> Result<Vec<QuotaView>, DeskError> {
        let now = self.now();
        let rows = self.shop.quotas(now).await?;
        Ok(rows.iter().map(|row| QuotaView::of(row, now)).collect())
    }

    /// A page of the history.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn history(&self, wanted: RunsWanted) -> Result<RunsPage, DeskError> {
        let RunsWanted { name, failed, open, since, before, limit } = wanted;
        let filter = HistoryFilter { name, failed, open, since, before: before.map(RunId), limit };
        let rows = self.runs.history(filter).await?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.run.0);
        Ok(RunsPage { runs: rows.iter().map(HistoryView::of).collect(), next })
    }

    /// Lets a task or an instance rest. False: there is none of that name.
    ///
    /// # Errors
    /// When the store fails, or the engine stops.
    pub async fn pause(&self, wanted: PauseWanted) -> Result<bool, DeskError> {
        let PauseWanted { name, until, reason } = wanted;
        let is_meant = |instance: &Instance| instance.name.as_str() == name || instance.task.as_str() == name;
        if !self.config().instances.values().any(|instance| is_meant(instance)) {
            return Ok(false);
        }
        self.runs.pause(Pause { name, until, reason, since: self.now() }).await?;
        self.control.poke().await?;
        Ok(true)
    }

    /// Ends a pause. False: there was none of that name.
    ///
    /// # Errors
    /// When the store fails, or the engine stops.
    pub async fn resume(&self, name: &str) -> Result<bool, DeskError> {
        let was_paused = self.runs.resume(name.to_owned()).await?;
        self.control.poke().await?;
        Ok(was_paused)
    }

    /// Tells an open run to stop; one of another process hears of it within a second. False: it is not open.
    ///
    /// # Errors
    /// When the store fails, or the engine stops.
    pub async fn cancel(&self, run: RunId) -> Result<bool, DeskError> {
        Ok(self.control.cancel(run).await? || self.runs.ask_stop(run, StopReason::Cancelled).await?)
    }

    /// The last lines of all logs that are wanted, oldest first.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub async fn log(&self, wanted: Wanted, limit: usize) -> Result<Vec<Line>, DeskError> {
        let config = self.config();
        let read = move || Logs::new(&config.log.dir, config.timezone.clone()).lines(&wanted, Some(limit));
        tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other).flatten().map_err(DeskError::Logs)
    }

    /// A run and its attempts; nothing where there is none of that number.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run(&self, run: RunId) -> Result<Option<RunPage>, DeskError> {
        let Some(row) = self.runs.row(run).await? else { return Ok(None) };
        let attempts = self.runs.attempts(run).await?;
        Ok(Some(RunPage { run: HistoryView::of(&row), attempt_rows: attempts.iter().map(AttemptView::of).collect() }))
    }
}

/// How old the data may be that a sync writes by. Of several syncs, the strictest counts; of none, what it would be.
fn max_age(config: &Config) -> SignedDuration {
    let syncs = config.instances.values().filter(|instance| &*instance.handler == sync_inventory::SPEC.name);
    syncs.map(|instance| data_max_age(&instance.with)).min().unwrap_or_else(|| data_max_age(&Params::default()))
}
