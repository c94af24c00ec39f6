//! What in a forecast a person should know before a file is put in force.
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::tally::InstanceTally;
use crate::{
    cli::text::{self, BAD, BOLD, Cell, GOOD, ODD, PLAIN, Times},
    config::Config,
    core::{
        event::{RunEnd, SkipReason},
        task::{Instance, InstanceName, RunId},
    },
    engine::forecast::{Forecast, What},
};

/// A start this late is worth a word.
const LATE: SignedDuration = SignedDuration::from_mins(1);

/// Something to know, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// `starves`, `superseded`, `timed_out`, `lock_busy`, `overlap`, `past_hours`, `late`, `never_runs`, `quota`.
    pub(super) kind: &'static str,
    /// Whom it happens to; an account for `quota`.
    pub(super) instance: String,
    /// How often.
    pub(super) count: u32,
    /// The first time.
    pub(super) first_at: Option<String>,
    /// What happens, why, and what to do.
    pub(super) text: String,
}

impl Finding {
    fn is_bad(&self) -> bool {
        matches!(self.kind, "starves" | "never_runs" | "quota" | "timed_out")
    }
}

/// How often something happens, and when first.
#[derive(Clone, Copy, Debug, Default)]
struct Often {
    count: u32,
    first: Option<Timestamp>,
}

impl Often {
    fn add(&mut self, at: Timestamp, count: u32) {
        self.count = self.count.saturating_add(count);
        self.first = self.first.or(Some(at));
    }
}

/// What happens to one instance that is worth a word.
#[derive(Debug, Default)]
struct Story {
    superseded: Often,
    timed_out: Often,
    starves: Often,
    lock_busy: Often,
    overlap: Often,
    late: Often,
    past_hours: Often,
    /// Who held the locks that it wanted.
    holders: BTreeSet<String>,
}

/// The findings, instance by instance.
pub(super) fn of(config: &Config, forecast: &Forecast, tallies: &[InstanceTally]) -> Vec<Finding> {
    let mut stories = stories(config, forecast);
    let mut findings = Vec::new();
    for instance in config.instances.values() {
        let story = stories.remove(&instance.name).unwrap_or_default();
        let tally = tallies.iter().find(|tally| tally.instance == instance.name.as_str());
        findings.extend(tally.and_then(|tally| never_runs(instance, tally)));
        findings.extend(told(instance, &story, tally.and_then(|tally| tally.takes_s)));
    }
    findings
}

fn stories<'a>(config: &'a Config, forecast: &Forecast) -> BTreeMap<&'a InstanceName, Story> {
    let mut stories: BTreeMap<&InstanceName, Story> = BTreeMap::new();
    let mut at_work: BTreeMap<RunId, &InstanceName> = BTreeMap::new();
    for happening in &forecast.happenings {
        let Some((name, instance)) = config.instances.get_key_value(&happening.instance) else { continue };
        let (story, at) = (stories.entry(name).or_default(), happening.at);
        match &happening.what {
            What::Skipped { reason: SkipReason::LockBusy, count, .. } => {
                story.lock_busy.add(at, *count);
                story.holders.extend(holders(config, instance, at_work.values().copied()));
            }
            What::Skipped { reason: SkipReason::Overlap, count, .. } => story.overlap.add(at, *count),
            What::Skipped { .. } => {}
            What::Starts { attempt: 2.., .. } => story.timed_out.add(at, 1),
            What::Starts { run, late, .. } => {
                at_work.insert(*run, name);
                if *late >= LATE {
                    story.late.add(at, 1);
                }
            }
            What::Ends { run, end, took, .. } => {
                at_work.remove(run);
                match end {
                    RunEnd::Superseded => story.superseded.add(at, 1),
                    RunEnd::TimedOut => story.timed_out.add(at, 1),
                    RunEnd::Succeeded | RunEnd::Failed | RunEnd::Cancelled | RunEnd::Lost => {}
                }
                if goes_past_hours(instance, at, *took) {
                    story.past_hours.add(at, 1);
                }
            }
            What::Starves { .. } => story.starves.add(at, 1),
        }
    }
    stories
}

/// Instances at work that share a lock with this one.
fn holders<'a>(config: &Config, wants: &Instance, at_work: impl Iterator<Item = &'a InstanceName>) -> Vec<String> {
    let shares =
        |name: &&InstanceName| config.instances.get(*name).is_some_and(|other| other.locks.iter().any(|lock| wants.locks.contains(lock)));
    at_work.filter(shares).map(ToString::to_string).collect()
}

fn goes_past_hours(instance: &Instance, ended_at: Timestamp, took: SignedDuration) -> bool {
    let began = ended_at.saturating_sub(took).unwrap_or(ended_at);
    let closes = instance.timing.hours.as_ref().and_then(|hours| hours.closes_at(began, &instance.timing.zone));
    closes.is_some_and(|closes| closes < ended_at)
}

/// Due in the period, and never run in it.
fn never_runs(instance: &Instance, tally: &InstanceTally) -> Option<Finding> {
    let skips: u32 = tally.skipped.values().sum();
    if tally.runs > 0 || skips == 0 {
        return None;
    }
    let reasons: Vec<String> = tally.skipped.iter().map(|(reason, count)| format!("{count} {}", reason.replace('_', " "))).collect();
    let text = format!("is due {}, and never runs: {}", text::counted_times(skips), reasons.join(", "));
    Some(Finding { kind: "never_runs", instance: instance.name.to_string(), count: skips, first_at: None, text })
}

fn told(instance: &Instance, story: &Story, takes_s: Option<f64>) -> Vec<Finding> {
    let takes = takes_s.map(|takes| text::took(text::seconds(takes))).unwrap_or_default();
    let holders: Vec<&str> = story.holders.iter().map(String::as_str).collect();
    let holders = if holders.is_empty() { "another task".to_owned() } else { holders.join(", ") };
    let cases = [
        (
            "starves",
            story.starves,
            format!(
                "never comes to an end of its own: a run takes {takes}, and the next fire comes before. Let it fire less often, or set `overlap: skip`"
            ),
        ),
        (
            "superseded",
            story.superseded,
            format!("is due again while a run of {takes} goes on, which is then told to stop (`overlap: last_wins`)"),
        ),
        ("timed_out", story.timed_out, format!("takes {takes}, longer than its `timeout` lets it")),
        ("lock_busy", story.lock_busy, format!("finds a lock taken by {holders}. Move one of the two, or set `lock_wait`")),
        ("overlap", story.overlap, format!("is due while a run of {takes} goes on, and skipped (`overlap: {}`)", instance.overlap)),
        (
            "past_hours",
            story.past_hours,
            format!("is at work after its hours close, as a run takes {takes}; what works item by item stops in time"),
        ),
        (
            "late",
            story.late,
            "begins more than a minute late: too many runs at once (`max_running`), or it waits for a lock or an older run".to_owned(),
        ),
    ];
    let worth = |(kind, often, text): (&'static str, Often, String)| {
        // Who starves is superseded, too; one word for it is enough.
        let said = kind == "superseded" && story.starves.count > 0;
        (often.count > 0 && !said).then(|| Finding {
            kind,
            instance: instance.name.to_string(),
            count: often.count,
            first_at: often.first.map(|at| crate::view::rfc3339(at, &instance.timing.zone)),
            text,
        })
    };
    cases.into_iter().filter_map(worth).collect()
}

/// The findings as people read them.
pub(super) fn list(findings: &[Finding], times: &Times) -> String {
    if findings.is_empty() {
        return format!("{GOOD}nothing collides, starves or misses its hours{GOOD:#}\n");
    }
    let rows: Vec<[Cell; 4]> = findings
        .iter()
        .map(|finding| {
            let style = if finding.is_bad() { BAD } else { ODD };
            let first = finding.first_at.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
            let when = match (finding.count, first) {
                (0, _) => String::new(),
                (count, Some(first)) => format!("{}, first {}", text::counted_times(count), times.day(first, &times.zone)),
                (count, None) => text::counted_times(count),
            };
            [
                Cell::new(finding.kind.replace('_', " "), style),
                Cell::new(&finding.instance, BOLD),
                when.into(),
                Cell::new(&finding.text, PLAIN),
            ]
        })
        .collect();
    text::table(&rows)
}
