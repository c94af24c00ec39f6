//! What was done for an account today, and what went wrong with it: its cap, its calls, and the runs of its own tasks.
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::{
    cli::{
        exit::Failure,
        queue,
        text::{self, BAD, BOLD, Cell, DIM, ODD, PLAIN, Times},
    },
    config::{Account, Config},
    core::{
        event::{OutcomeKind, RunEnd},
        task::{InstanceName, RunId},
    },
    shop::{product::Platform, quota::Rule, spread::day_of, upload::Work},
    store::{
        AttemptRow, HISTORY_MAX, HistoryFilter, RowState, RunStore as _,
        shop::{AccountKey, Queue as _, QuotaRow, Quotas as _},
        sqlite::SqliteStore,
    },
};

/// What is known of an account's work.
#[derive(Debug, Default)]
pub(super) struct Worked {
    /// Listings that count for today's cap, and the cap. None for sellers: nothing is listed there.
    listed: Option<(u32, Option<u32>)>,
    quotas: Vec<QuotaRow>,
    /// Attempts of today that died with their process, and were begun anew.
    restarts: u32,
    error: Option<Failed>,
}

/// The newest run for the account that did not end well.
#[derive(Debug)]
struct Failed {
    run: RunId,
    instance: InstanceName,
    at: Timestamp,
    text: String,
}

/// The same as JSON; stable.
#[derive(Debug, Serialize)]
pub(super) struct WorkedView {
    /// Listings of today, as the cap counts them; null for a seller.
    listed_today: Option<u32>,
    /// The cap; null: there is none.
    daily_limit: Option<u32>,
    calls: Vec<CallsView>,
    /// Attempts of today that died with their process.
    restarts_today: u32,
    last_error: Option<ErrorView>,
}

#[derive(Debug, Serialize)]
struct CallsView {
    operation: String,
    /// In this hour, on this day.
    used: i64,
    /// Null where calls have a rate, and no number.
    limit: Option<i64>,
}

#[derive(Debug, Serialize)]
struct ErrorView {
    run: i64,
    instance: String,
    at: String,
    text: String,
}

impl Worked {
    pub(super) async fn look(
        store: &SqliteStore,
        config: &Config,
        key: &AccountKey,
        account: &Account,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let lane = queue::lane(config, &key.account, account);
        let listed = match key.platform {
            Platform::Amazon => None,
            Platform::Base | Platform::Ebay => {
                let today = store.today(Work::Upload, key.clone(), day_of(now, &lane.zone), now).await?;
                Some((today.counted, lane.daily_limit))
            }
        };
        let mut quotas = store.quotas(now).await?;
        quotas.retain(|row| *row.account == *key.account);
        let mut worked = Self { listed, quotas, ..Self::default() };
        let begun = day_of(now, &config.timezone).start;
        for instance in config.instances.values().filter(|instance| instance.account.as_deref() == Some(&*key.account)) {
            worked.look_at(store, &instance.name, begun).await?;
        }
        Ok(worked)
    }

    async fn look_at(&mut self, store: &SqliteStore, instance: &InstanceName, begun: Timestamp) -> Result<(), Failure> {
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

    pub(super) fn view(&self, zone: &TimeZone) -> WorkedView {
        let calls =
            |row: &QuotaRow| CallsView { operation: row.operation.to_string(), used: row.used.calls.total(), limit: allowed(row.rule) };
        let error = |failed: &Failed| ErrorView {
            run: failed.run.0,
            instance: failed.instance.to_string(),
            at: text::rfc3339(failed.at, zone),
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

    pub(super) const HEADER: [&str; 5] = ["# account", "listed today", "calls", "restarts today", "last error"];

    pub(super) fn row(&self, name: &str, times: &Times) -> [Cell; 5] {
        let listed = match self.listed {
            None => Cell::new("-", DIM),
            Some((listed, None)) => listed.to_string().into(),
            Some((listed, Some(limit))) => Cell::new(format!("{listed}/{limit}"), if listed < limit { PLAIN } else { ODD }),
        };
        let restarts = Cell::new(self.restarts.to_string(), if self.restarts == 0 { DIM } else { ODD });
        let error = self.error.as_ref().map_or_else(
            || Cell::new("none", DIM),
            |failed| {
                let text = format!("run {} of {}, {}: {}", failed.run, failed.instance, times.passed(failed.at), failed.text);
                Cell::new(text::one_line(&text), BAD)
            },
        );
        [Cell::new(name, BOLD), listed, self.calls(), restarts, error]
    }

    /// `1204/5000 this hour, 9000/100000 today`.
    fn calls(&self) -> Cell {
        let words = |operation: &str| match operation {
            "calls_per_hour" => "this hour".to_owned(),
            "calls_per_day" => "today".to_owned(),
            "adds_per_day" => "new items today".to_owned(),
            operation => operation.to_owned(),
        };
        let one = |row: &QuotaRow| match allowed(row.rule) {
            Some(limit) => format!("{}/{limit} {}", row.used.calls.total(), words(&row.operation)),
            None => format!("{} {}", row.used.calls.total(), words(&row.operation)),
        };
        if self.quotas.is_empty() {
            return Cell::new("none yet", DIM);
        }
        self.quotas.iter().rev().map(one).collect::<Vec<_>>().join(", ").into()
    }
}

fn allowed(rule: Rule) -> Option<i64> {
    match rule {
        Rule::Bucket { .. } => None,
        Rule::Window { calls, .. } => Some(calls),
    }
}
