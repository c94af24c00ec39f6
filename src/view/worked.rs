//! What was done for an account today, and what went wrong with it: its cap, its calls, and the runs of its own tasks.
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use utoipa::ToSchema;

use super::{queue::lane, rfc3339};
use crate::{
    config::{Account, Config},
    core::{
        event::{OutcomeKind, RunEnd},
        task::{InstanceName, RunId},
    },
    shop::{product::Platform, quota::Rule, spread::day_of, upload::Work},
    store::{
        AttemptRow, HISTORY_MAX, HistoryFilter, RowState, RunStore, StoreResult,
        shop::{AccountKey, QuotaRow, ShopStore},
    },
};

/// What is known of an account's work.
#[derive(Debug, Default)]
pub struct Worked {
    /// Listings that count for today's cap, and the cap. None for sellers: nothing is listed there.
    pub listed: Option<(u32, Option<u32>)>,
    pub quotas: Vec<QuotaRow>,
    /// Attempts of today that died with their process, and were begun anew.
    pub restarts: u32,
    pub error: Option<Failed>,
}

/// The newest run for the account that did not end well.
#[derive(Debug)]
pub struct Failed {
    pub run: RunId,
    pub instance: InstanceName,
    pub at: Timestamp,
    pub text: String,
}

/// The same as JSON; stable.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WorkedView {
    /// Listings of today, as the cap counts them; null for a seller.
    pub listed_today: Option<u32>,
    /// The cap; null: there is none.
    pub daily_limit: Option<u32>,
    pub calls: Vec<CallsView>,
    /// Attempts of today that died with their process.
    pub restarts_today: u32,
    pub last_error: Option<LastErrorView>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallsView {
    pub operation: String,
    /// In this hour, on this day.
    pub used: i64,
    /// Null where calls have a rate, and no number.
    pub limit: Option<i64>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LastErrorView {
    pub run: i64,
    pub instance: String,
    pub at: String,
    pub text: String,
}

impl Worked {
    /// Reads it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn look(
        runs: &dyn RunStore,
        shop: &dyn ShopStore,
        config: &Config,
        key: &AccountKey,
        account: &Account,
        now: Timestamp,
    ) -> StoreResult<Self> {
        let lane = lane(config, &key.account, account);
        let listed = match key.platform {
            Platform::Amazon => None,
            Platform::Base | Platform::Ebay => {
                let today = shop.today(Work::Upload, key.clone(), day_of(now, &lane.zone), now).await?;
                Some((today.counted, lane.daily_limit))
            }
        };
        let mut quotas = shop.quotas(now).await?;
        quotas.retain(|row| *row.account == *key.account);
        let mut worked = Self { listed, quotas, ..Self::default() };
        let begun = day_of(now, &config.timezone).start;
        for instance in config.instances.values().filter(|instance| instance.account.as_deref() == Some(&*key.account)) {
            worked.look_at(runs, &instance.name, begun).await?;
        }
        Ok(worked)
    }

    async fn look_at(&mut self, store: &dyn RunStore, instance: &InstanceName, begun: Timestamp) -> StoreResult<()> {
        let name = Some(instance.to_string());
        let filter = HistoryFilter { name: name.clone(), failed: true, limit: 1, ..HistoryFilter::default() };
        if let Some(row) = store.history(filter).await?.into_iter().next() {
            let at = row.ended_at.unwrap_or(row.fire_at);
            if self.error.as_ref().is_none_or(|known| known.at < at) {
                self.error = Some(Failed {
                    run: row.run,
                    instance: row.instance,
                    at,
                    text: row.text.unwrap_or_else(|| "lost: its process died".to_owned()),
                });
            }
        }
        let today = HistoryFilter { name, since: Some(begun), limit: HISTORY_MAX, ..HistoryFilter::default() };
        for row in store.history(today).await?.into_iter().filter(|row| row.attempts > 0 && !row.dry) {
            let is_lost = |attempt: &&AttemptRow| attempt.outcome == Some(OutcomeKind::Lost);
            if row.attempts > 1 || matches!(row.state, RowState::Ended { end: RunEnd::Lost, .. }) {
                let lost = store.attempts(row.run).await?.iter().filter(is_lost).count();
                self.restarts = self.restarts.saturating_add(u32::try_from(lost).unwrap_or(u32::MAX));
            }
        }
        Ok(())
    }

    /// The same as JSON.
    pub fn view(&self, zone: &TimeZone) -> WorkedView {
        let calls =
            |row: &QuotaRow| CallsView { operation: row.operation.to_string(), used: row.used.calls.total(), limit: allowed(row.rule) };
        let error = |failed: &Failed| LastErrorView {
            run: failed.run.0,
            instance: failed.instance.to_string(),
            at: rfc3339(failed.at, zone),
            text: failed.text.clone(),
        };
        WorkedView {
            listed_today: self.listed.map(|(listed, _)| listed),
            daily_limit: self.listed.and_then(|(_, limit)| limit),
            calls: self.quotas.iter().map(calls).collect(),
            restarts_today: self.restarts,
            last_error: self.error.as_ref().map(error),
        }
    }
}

/// How many calls of an operation are allowed; nothing where calls have a rate, and no number.
pub fn allowed(rule: Rule) -> Option<i64> {
    match rule {
        Rule::Bucket { .. } => None,
        Rule::Window { calls, .. } => Some(calls),
    }
}
