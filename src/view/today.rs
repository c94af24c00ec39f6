//! A day at a glance: when each instance may run, what ran, what was skipped, what is to come.
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, desk::DeskError, history::state_word};
use crate::{
    core::{
        task::Instance,
        timing::{Anchors, preview},
    },
    store::{HISTORY_MAX, HistoryFilter, HistoryRow, RowState},
    view::history::HistoryView,
};

/// Marks of the same kind that are closer than this share of the day are one: more cannot be told apart on a screen.
const SLOTS: i64 = 720;
/// Fires of one instance that are looked at: a minutely task's of a whole day.
const FIRES_MAX: usize = 1_440;
/// Fires that are closer than this to the one before are left out: more cannot be told apart on a screen.
const FIRES_APART: SignedDuration = SignedDuration::from_mins(10);
/// Instances that are drawn; nobody reads more rows.
const INSTANCES_MAX: usize = 200;

/// Today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DayView {
    /// Midnight, in the zone of tasks.yaml.
    pub from: String,
    /// The next midnight.
    pub to: String,
    pub now: String,
    pub zone: Option<String>,
    pub instances: Vec<DayRow>,
}

/// An instance's day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DayRow {
    pub instance: String,
    /// When its business hours are open: from, to.
    pub open: Vec<(String, String)>,
    /// What became of its fires, oldest first. Equal ones that are close are one.
    pub bars: Vec<BarView>,
    /// Its next fires that count, at least ten minutes apart.
    pub fires: Vec<String>,
}

/// A run, a skip, or several alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BarView {
    pub from: String,
    pub to: String,
    /// As in the history.
    pub state: &'static str,
    pub reason: Option<&'static str>,
    /// The last of them.
    pub run: i64,
    pub count: u32,
}

/// The last rows of the history of one instance, oldest first.
pub type Ends = BTreeMap<String, Vec<HistoryView>>;

struct Bar {
    from: Timestamp,
    to: Timestamp,
    view: BarView,
}

impl Desk {
    /// Today in the zone of tasks.yaml.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn today(&self) -> Result<DayView, DeskError> {
        let (config, now) = (self.config(), self.now());
        let midnight = now.to_zoned(config.timezone.clone()).start_of_day().unwrap_or_else(|_| now.to_zoned(config.timezone.clone()));
        let to = midnight.checked_add(1.day()).map_or(now, |next: Zoned| next.timestamp());
        let from = midnight.timestamp();
        let filter = HistoryFilter { since: Some(from), limit: HISTORY_MAX, ..HistoryFilter::default() };
        let mut rows: BTreeMap<String, Vec<HistoryRow>> = BTreeMap::new();
        for row in self.runs.history(filter).await? {
            rows.entry(row.instance.to_string()).or_default().push(row);
        }
        let instances = config.instances.values().filter(|instance| instance.enabled || rows.contains_key(instance.name.as_str()));
        let instances = instances.take(INSTANCES_MAX).map(|instance| DayRow {
            instance: instance.name.to_string(),
            open: open(instance, from, to),
            bars: bars(rows.get(instance.name.as_str()).map_or(&[], Vec::as_slice), now, (from, to)),
            fires: fires(instance, now, to),
        });
        let zone = config.timezone.iana_name().map(ToOwned::to_owned);
        Ok(DayView { from: from.to_string(), to: to.to_string(), now: now.to_string(), zone, instances: instances.collect() })
    }

    /// The last rows of each instance's history.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn ends(&self, count: usize) -> Result<Ends, DeskError> {
        let mut ends = Ends::new();
        for name in self.config().instances.keys().take(INSTANCES_MAX) {
            let rows = self.runs.history(HistoryFilter { name: Some(name.to_string()), limit: count, ..HistoryFilter::default() }).await?;
            ends.insert(name.to_string(), rows.iter().rev().map(HistoryView::of).collect());
        }
        Ok(ends)
    }
}

/// When the hours are open within the day.
fn open(instance: &Instance, from: Timestamp, to: Timestamp) -> Vec<(String, String)> {
    let Some(hours) = &instance.timing.hours else { return Vec::new() };
    let zone = &instance.timing.zone;
    let mut spans = Vec::new();
    let mut begins = if hours.is_open(from, zone) { Some(from) } else { hours.next_open(from, zone) };
    while let Some(begin) = begins.filter(|begin| *begin < to && spans.len() < 48) {
        let end = hours.closes_at(begin, zone).unwrap_or(to).min(to);
        spans.push((begin.to_string(), end.to_string()));
        begins = hours.next_open(end, zone);
    }
    spans
}

/// The fires to come that count.
fn fires(instance: &Instance, now: Timestamp, to: Timestamp) -> Vec<String> {
    if !instance.enabled {
        return Vec::new();
    }
    let next = preview(&instance.timing, now, FIRES_MAX, Anchors { last_end: Some(now), start: None });
    let mut last = None;
    let mut apart = |at: &Timestamp| {
        let apart = last.is_none_or(|last: Timestamp| at.duration_since(last) >= FIRES_APART);
        last = if apart { Some(*at) } else { last };
        apart
    };
    let open = next.iter().filter(|fire| fire.closed.is_none()).map(|fire| fire.at);
    open.take_while(|at| *at < to).filter(|at| apart(at)).map(|at| at.to_string()).collect()
}

/// The rows of a day, newest first, as marks on it.
fn bars(rows: &[HistoryRow], now: Timestamp, (from, to): (Timestamp, Timestamp)) -> Vec<BarView> {
    let gap = to.duration_since(from).checked_div(i32::try_from(SLOTS).unwrap_or(1)).unwrap_or_default();
    let mut bars: Vec<Bar> = Vec::new();
    for row in rows.iter().rev() {
        let (reason, count, last) = match &row.state {
            RowState::Skipped { reason, count, last_at, .. } => (Some(reason.word()), *count, Some(*last_at)),
            _ => (None, 1, None),
        };
        let begins = row.started_at.unwrap_or(row.fire_at);
        let ends = last.or(row.ended_at).unwrap_or(now).max(begins);
        let state = state_word(&row.state);
        match bars.last_mut().filter(|bar| bar.view.state == state && bar.view.reason == reason && begins.duration_since(bar.to) <= gap) {
            Some(bar) => {
                bar.to = bar.to.max(ends);
                bar.view.count = bar.view.count.saturating_add(count);
                bar.view.run = row.run.0;
            }
            None => bars.push(Bar {
                from: begins,
                to: ends,
                view: BarView { from: String::new(), to: String::new(), state, reason, run: row.run.0, count },
            }),
        }
    }
    bars.into_iter().map(|bar| BarView { from: bar.from.to_string(), to: bar.to.to_string(), ..bar.view }).collect()
}
