//! What becomes of each instance in the period, in numbers.
use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Serialize;

use super::Known;
use crate::{
    cli::text::{self, BOLD, Cell, DIM, ODD},
    config::Config,
    core::{event::RunEnd, task::InstanceName},
    engine::forecast::{Forecast, What},
};

/// An instance's numbers, as JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct InstanceTally {
    pub(super) instance: String,
    /// Runs that begin.
    pub(super) runs: u32,
    /// Fires that become no run, by reason.
    pub(super) skipped: BTreeMap<&'static str, u32>,
    /// Runs that end, by how.
    pub(super) ends: BTreeMap<&'static str, u32>,
    /// How long a run is taken to take; null where nothing is known, which counts as no time.
    pub(super) takes_s: Option<f64>,
    /// Of so many runs that is the median; null where it was said.
    pub(super) measured_runs: Option<usize>,
    /// The latest start after its fire.
    pub(super) latest_s: f64,
    /// How long it is at work in all.
    pub(super) busy_s: f64,
}

impl InstanceTally {
    pub(super) fn ended(&self, end: RunEnd) -> u32 {
        self.ends.get(end.word()).copied().unwrap_or(0)
    }
}

/// The numbers of every instance, in the order of their names.
pub(super) fn tallies(config: &Config, forecast: &Forecast, known: &BTreeMap<InstanceName, Known>) -> Vec<InstanceTally> {
    let mut tallies: BTreeMap<&InstanceName, InstanceTally> = config.instances.keys().map(|name| (name, begun(name, known))).collect();
    for happening in &forecast.happenings {
        let Some(tally) = tallies.get_mut(&happening.instance) else { continue };
        match &happening.what {
            What::Skipped { reason, count, .. } => *tally.skipped.entry(reason.word()).or_default() += count,
            What::Starts { attempt: 2.., .. } | What::Starves { .. } => {}
            What::Starts { late, .. } => {
                tally.runs += 1;
                tally.latest_s = tally.latest_s.max(late.as_secs_f64());
            }
            What::Ends { end, took, .. } => {
                *tally.ends.entry(end.word()).or_default() += 1;
                tally.busy_s += took.as_secs_f64();
            }
        }
    }
    tallies.into_values().collect()
}

fn begun(name: &InstanceName, known: &BTreeMap<InstanceName, Known>) -> InstanceTally {
    let known = known.get(name);
    InstanceTally {
        instance: name.to_string(),
        takes_s: known.map(|known| known.takes.as_secs_f64()),
        measured_runs: known.and_then(|known| known.runs),
        ..InstanceTally::default()
    }
}

/// The numbers as a table.
pub(super) fn table(tallies: &[InstanceTally]) -> String {
    let header = ["# task", "runs", "superseded", "skipped", "takes", "known from", "latest start"].map(|title| Cell::new(title, DIM));
    let rows: Vec<[Cell; 7]> = std::iter::once(header).chain(tallies.iter().map(row)).collect();
    text::table(&rows)
}

fn row(tally: &InstanceTally) -> [Cell; 7] {
    let count = |count: u32| if count == 0 { Cell::new("-", DIM) } else { count.to_string().into() };
    let skipped: Vec<String> = tally.skipped.iter().map(|(reason, count)| format!("{count} {}", reason.replace('_', " "))).collect();
    let known = match (tally.takes_s, tally.measured_runs) {
        (None, _) => Cell::new("nothing: as if at once", ODD),
        (Some(_), None) => "--takes".into(),
        (Some(_), Some(runs)) => text::counted(runs, "run").into(),
    };
    let superseded = tally.ended(RunEnd::Superseded);
    [
        Cell::new(&tally.instance, BOLD),
        count(tally.runs),
        if superseded == 0 { Cell::new("-", DIM) } else { Cell::new(superseded.to_string(), ODD) },
        if skipped.is_empty() { Cell::new("-", DIM) } else { skipped.join(", ").into() },
        tally.takes_s.map_or_else(|| Cell::new("?", DIM), |takes| text::took(text::seconds(takes)).into()),
        known,
        if tally.latest_s < 1.0 { Cell::new("in time", DIM) } else { text::took(SignedDuration::from_secs_f64(tally.latest_s)).into() },
    ]
}
