//! The ledger in figures: what a test asks first.
use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use super::{
    Practice, amazon,
    base::began,
    ledger::instant,
    operation::Operation,
    state::{Count, Entry, Filter},
};

/// Calls of one account to one operation.
#[derive(Debug, Default)]
struct Calls {
    count: u64,
    /// Answered with 200 or another success.
    ok: u64,
    /// Refused by a limit.
    limited: u64,
    /// Met by a fault.
    faulty: u64,
    /// Arrivals within the last interval, and the most there were.
    window: VecDeque<i64>,
    most: usize,
}

/// Arrivals within a time: any interval as long as Amazon takes for one token; for the others, a clock hour.
enum Interval {
    Any(i64),
    Hour,
}

impl Calls {
    fn take(&mut self, entry: &Entry, interval: &Interval) {
        self.count += 1;
        self.ok += u64::from((200..300).contains(&entry.status));
        self.limited += u64::from(entry.limited());
        self.faulty += u64::from(!entry.fault.is_empty());
        let ended = |first: i64| match interval {
            Interval::Any(length_ms) => entry.at_ms - first >= *length_ms,
            Interval::Hour => began(Count::Hour, entry.at_ms) != began(Count::Hour, first),
        };
        while self.window.front().is_some_and(|first| ended(*first)) {
            self.window.pop_front();
        }
        self.window.push_back(entry.at_ms);
        self.most = self.most.max(self.window.len());
    }
}

/// The figures, as `GET /sandbox/summary` tells them.
pub(super) fn of(practice: &Practice) -> rusqlite::Result<Value> {
    let mut intervals = BTreeMap::new();
    for operation in Operation::all() {
        let interval = match amazon::usual(operation) {
            Some(usual) => Interval::Any(token_ms(practice.state.rate(operation, usual)?.0)),
            None => Interval::Hour,
        };
        intervals.insert(operation, interval);
    }
    let (mut requests, mut writes) = (0_u64, 0_u64);
    let mut calls: BTreeMap<(String, Operation), Calls> = BTreeMap::new();
    practice.state.visit(&Filter::default(), |entry| {
        requests += 1;
        writes += u64::from(entry.write && (200..300).contains(&entry.status));
        if let Some((operation, interval)) = entry.operation().and_then(|operation| intervals.get_key_value(&operation)) {
            calls.entry((entry.account.clone(), *operation)).or_default().take(&entry, interval);
        }
        true
    })?;
    let calls: Vec<_> = calls
        .into_iter()
        .map(|((account, operation), calls)| {
            let interval_ms = match intervals.get(&operation) {
                Some(Interval::Any(length_ms)) => *length_ms,
                Some(Interval::Hour) | None => super::base::HOUR_MS,
            };
            json!({
                "operation": operation.word(), "calls": calls.count, "ok": calls.ok, "limited": calls.limited, "faulty": calls.faulty,
                "most_in_interval": calls.most, "interval_ms": interval_ms, "most_at_once": practice.crowd.most(operation, &account), "account": account,
            })
        })
        .collect();
    Ok(json!({ "now": instant(practice.now_ms()), "requests": requests, "writes": writes, "calls": calls, "creates": creates(practice)? }))
}

/// How long one token takes.
fn token_ms(rate: f64) -> i64 {
    std::time::Duration::try_from_secs_f64(1.0 / rate).map_or(i64::MAX, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// Items added, by shop: how many, of how many identifiers, and which of these more than once.
fn creates(practice: &Practice) -> rusqlite::Result<Value> {
    let mut shops: BTreeMap<String, (i64, u64, Map<String, Value>)> = BTreeMap::new();
    for (account, identifier, times) in practice.state.creates()? {
        let (adds, identifiers, repeated) = shops.entry(account).or_default();
        *adds += times;
        *identifiers += 1;
        if times > 1 {
            repeated.insert(identifier, times.into());
        }
    }
    let told = |(adds, identifiers, repeated)| json!({ "adds": adds, "identifiers": identifiers, "repeated": Value::Object(repeated) });
    Ok(shops.into_iter().map(|(account, shop)| (account, told(shop))).collect())
}
