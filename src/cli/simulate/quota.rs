//! Whether the calls that the runs of a period need fit into the marketplaces' limits.
//!
//! What a run needs is what today's runs needed. Who has called nothing today is not judged.
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::findings::Finding;
use crate::{
    cli::{exit::Failure, text},
    config::Config,
    core::{event::RunEnd, task::InstanceName},
    engine::forecast::{Forecast, What},
    shop::quota::{Period, Rule},
    store::{
        HistoryFilter, RowState, RunStore as _,
        shop::{QuotaRow, Quotas as _},
        sqlite::SqliteStore,
    },
};

/// Whose runs call under a limit, and how often each.
#[derive(Debug)]
pub(super) struct Spender {
    account: String,
    operation: String,
    rule: Rule,
    /// Calls of a run, by instance.
    calls: BTreeMap<InstanceName, f64>,
}

/// What today's runs needed of each limit.
pub(super) async fn spenders(store: &SqliteStore, config: &Config, now: Timestamp) -> Result<Vec<Spender>, Failure> {
    let since = Timestamp::from_millisecond(Period::Day.began(now.as_millisecond())).unwrap_or(now);
    let rows = store.quotas(now).await?;
    let mut runs = BTreeMap::new();
    for instance in config.instances.values().filter(|instance| matches!(&*instance.handler, SYNC | UPLOAD)) {
        let filter =
            HistoryFilter { name: Some(instance.name.to_string()), since: Some(since), limit: usize::MAX, ..HistoryFilter::default() };
        let worked = |state: &RowState| matches!(state, RowState::Ended { end: RunEnd::Succeeded | RunEnd::Failed, .. });
        runs.insert(instance.name.clone(), store.history(filter).await?.iter().filter(|row| worked(&row.state)).count());
    }
    Ok(rows.iter().map(|row| spender(row, config, &runs)).filter(|spender| !spender.calls.is_empty()).collect())
}

/// Handlers that call on a schedule, for their purpose.
const SYNC: &str = "sync_inventory";
const UPLOAD: &str = "upload_tick";

fn spender(row: &QuotaRow, config: &Config, runs: &BTreeMap<InstanceName, usize>) -> Spender {
    let mut calls = BTreeMap::new();
    for instance in config.instances.values() {
        let used = match &*instance.handler {
            SYNC => row.used.calls.sync,
            UPLOAD if instance.account.as_deref() == Some(&*row.account) => row.used.calls.upload,
            _ => 0,
        };
        let ran = runs.get(&instance.name).copied().unwrap_or(0);
        if used > 0 && ran > 0 {
            let (used, ran) = (u32::try_from(used).unwrap_or(u32::MAX), u32::try_from(ran).unwrap_or(u32::MAX));
            calls.insert(instance.name.clone(), f64::from(used) / f64::from(ran));
        }
    }
    Spender { account: row.account.to_string(), operation: row.operation.to_string(), rule: row.rule, calls }
}

/// The limits that the period's runs would exceed.
pub(super) fn findings(spenders: &[Spender], config: &Config, forecast: &Forecast) -> Vec<Finding> {
    spenders.iter().filter_map(|spender| exceeded(spender, config, forecast)).collect()
}

fn exceeded(spender: &Spender, config: &Config, forecast: &Forecast) -> Option<Finding> {
    let (period, allowed) = match spender.rule {
        Rule::Bucket { interval_ms, .. } => (Period::Day, 86_400_000_i64.checked_div(interval_ms)?),
        Rule::Window { period, calls, .. } => (period, calls),
    };
    let mut wanted: BTreeMap<i64, f64> = BTreeMap::new();
    for happening in &forecast.happenings {
        if let (What::Starts { .. }, Some(calls)) = (&happening.what, spender.calls.get(&happening.instance)) {
            *wanted.entry(period.began(happening.at.as_millisecond())).or_default() += calls;
        }
    }
    let allowed = f64::from(u32::try_from(allowed).unwrap_or(u32::MAX));
    let full: Vec<(i64, f64)> = wanted.into_iter().filter(|(_, calls)| *calls > allowed).collect();
    let (first, calls) = *full.first()?;
    let names: Vec<&str> = spender.calls.keys().map(InstanceName::as_str).collect();
    let length = SignedDuration::from_millis(period.ends(first) - period.began(first));
    let text = format!(
        "{}: {} would make {calls:.0} calls in {}, and {allowed:.0} are allowed; they wait for the rest. Let them run less often",
        spender.operation,
        names.join(" and "),
        text::took(length),
    );
    let first_at = Timestamp::from_millisecond(first).ok().map(|at| crate::view::rfc3339(at, &config.timezone));
    Some(Finding { kind: "quota", instance: spender.account.clone(), count: u32::try_from(full.len()).unwrap_or(u32::MAX), first_at, text })
}
