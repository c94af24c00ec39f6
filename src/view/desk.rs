//! The desk: reads, for whoever asks, what the engine and the store know.
use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::{
    StatusPage,
    accounts::{self, AccountView},
    data::DataView,
    fires::FireView,
    history::{AttemptView, HistoryView, RunPage, RunsPage},
    logs::LogView,
    notices::NoticesView,
    queue::{self, ItemView, Standing, StandingView},
    quotas::QuotaView,
    trends::Trends,
};
use crate::{
    clock::Clock,
    config::{Account, Config},
    core::{
        event::StopReason,
        task::{Instance, RunId},
        timing::{Anchors, preview},
        value::Params,
    },
    engine::control::{Control, Gone},
    handlers::sync_inventory::{self, data_max_age},
    observe::{
        log::LogHandle,
        read::{Logs, Wanted},
    },
    shop::upload::{State, Work},
    store::{
        HistoryFilter, Pause, RunStore, StoreError,
        notices::Outbox,
        shop::{AccountKey, ItemFilter, ShopStore},
    },
    tally::Tally,
};

/// Fires that one answer may hold.
const FIRES_MAX: usize = 10_000;

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
    /// Working it out went wrong.
    #[error("the answer could not be worked out")]
    Broken(#[from] tokio::task::JoinError),
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
    /// What people are told.
    pub outbox: Arc<dyn Outbox>,
    pub clock: Arc<dyn Clock>,
    /// The configuration in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// What was counted since the start.
    pub tally: Arc<Tally>,
    /// How the log fares.
    pub log: Option<LogHandle>,
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

    /// The accounts of the configuration.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn accounts(&self) -> Result<Vec<AccountView>, DeskError> {
        let (config, now) = (self.config(), self.now());
        let known = accounts::look(&*self.runs, &*self.shop, &config, now).await?;
        Ok(known.iter().map(|known| known.view(now, &config.timezone)).collect())
    }

    /// What people are told, and how the channels fare.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn notices(&self, limit: u32) -> Result<NoticesView, DeskError> {
        Ok(NoticesView::of(&self.outbox.channels().await?, &self.outbox.notices(limit).await?))
    }

    /// How each account stands with its queue.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn queue(&self) -> Result<Vec<StandingView>, DeskError> {
        let standings = queue::standings(&*self.shop, &self.config(), self.now()).await?;
        Ok(standings.iter().map(Standing::view).collect())
    }

    /// Items of the queue; nothing where there is no such account.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn items(
        &self,
        state: Option<State>,
        account: Option<&str>,
        due: bool,
        limit: usize,
    ) -> Result<Option<Vec<ItemView>>, DeskError> {
        let config = self.config();
        let key = |(name, account): (&Arc<str>, &Account)| AccountKey { platform: account.platform, account: Arc::clone(name) };
        let account = match account.map(|name| config.accounts.get_key_value(name).map(key)) {
            Some(None) => return Ok(None),
            known => known.flatten(),
        };
        let filter = ItemFilter { state, account, due_at: due.then(|| self.now()), limit };
        let items = self.shop.items(Work::Upload, filter).await?;
        Ok(Some(items.iter().map(ItemView::of).collect()))
    }

    /// The next fires of a task's instances, or of all, each at most `limit`, up to `until`. Nothing where there is no such task.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next(&self, name: Option<&str>, until: Option<Timestamp>, limit: usize) -> Result<Option<Vec<FireView>>, DeskError> {
        let (config, now) = (self.config(), self.now());
        let is_meant = |instance: &Instance| name.is_none_or(|name| instance.name.as_str() == name || instance.task.as_str() == name);
        let wanted: Vec<_> = config.instances.values().filter(|instance| is_meant(instance)).cloned().collect();
        if wanted.is_empty() && name.is_some() {
            return Ok(None);
        }
        let ends: BTreeMap<_, _> = self.runs.last_ends().await?.into_iter().map(|row| (row.instance.to_string(), row.ended_at)).collect();
        // A hundred fires of a thousand tasks take a while, and others want to be answered meanwhile.
        let fires = tokio::task::spawn_blocking(move || {
            let mut fires = Vec::new();
            for instance in wanted.iter().filter(|instance| instance.enabled) {
                let last_end = ends.get(instance.name.as_str()).copied().flatten();
                let anchors = Anchors { last_end: last_end.or(Some(now)), start: None };
                let ahead = preview(&instance.timing, now, limit, anchors).into_iter();
                let ahead = ahead.take_while(|fire| until.is_none_or(|until| fire.at <= until));
                fires.extend(ahead.map(|fire| (fire.at, FireView::of(Some(instance.name.as_str()), &fire, &instance.timing))));
            }
            fires.sort_by_key(|(at, _)| *at);
            fires.truncate(FIRES_MAX);
            fires.into_iter().map(|(_, view)| view).collect()
        });
        Ok(Some(fires.await?))
    }

    /// The last lines of the log that are wanted, oldest first.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub async fn lines(&self, wanted: Wanted, limit: usize) -> Result<Vec<LogView>, DeskError> {
        let config = self.config();
        let lines = tokio::task::spawn_blocking(move || {
            let lines = Logs::new(&config.log.dir, config.timezone.clone()).lines(&wanted, Some(limit))?;
            Ok(lines.iter().map(|line| LogView::of(line, &config.timezone)).collect())
        });
        lines.await?.map_err(DeskError::Logs)
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
        self.tally.tell();
        self.control.poke().await?;
        Ok(true)
    }

    /// Ends a pause. False: there was none of that name.
    ///
    /// # Errors
    /// When the store fails, or the engine stops.
    pub async fn resume(&self, name: &str) -> Result<bool, DeskError> {
        let was_paused = self.runs.resume(name.to_owned()).await?;
        self.tally.tell();
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
