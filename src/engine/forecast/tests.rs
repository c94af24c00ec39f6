//! What a file means for a day, on small files whose answer can be worked out by hand.
use super::*;
use crate::{
    config::{self, LoadOptions, Secrets},
    handlers::registry,
};

fn at(text: &str) -> Timestamp {
    format!("2026-11-24T{text}:00Z").parse().unwrap()
}

fn asked(tasks: &str, takes: &[(&str, i64)]) -> Question {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tasks.yaml");
    std::fs::write(&path, format!("timezone: UTC\ntasks:\n{tasks}")).unwrap();
    let env = |_: &str| None;
    let options = LoadOptions { handlers: registry::SPECS, practice: false, secrets: Secrets::NotNeeded, env: &env, now: at("00:00") };
    let config = config::load(&path, &options).unwrap_or_else(|faults| panic!("{faults}"));
    Question {
        instances: config.instances,
        running_max: config.max_running,
        pauses: Vec::new(),
        last_ends: BTreeMap::new(),
        last_runs: Vec::new(),
        takes: takes.iter().map(|(name, minutes)| ((*name).into(), SignedDuration::from_mins(*minutes))).collect(),
        from: at("00:00"),
        to: "2026-11-25T00:00:00Z".parse().unwrap(),
    }
}

fn count(forecast: &Forecast, is: impl Fn(&What) -> bool) -> usize {
    forecast.happenings.iter().filter(|happening| is(&happening.what)).count()
}

fn ends(forecast: &Forecast, wanted: RunEnd) -> usize {
    count(forecast, |what| matches!(what, What::Ends { end, .. } if *end == wanted))
}

fn skips(forecast: &Forecast, wanted: SkipReason) -> u32 {
    let count = |happening: &Happening| match &happening.what {
        What::Skipped { reason, count, .. } if *reason == wanted => *count,
        _ => 0,
    };
    forecast.happenings.iter().map(count).sum()
}

const COMMAND: &str = "handler: command, with: { run: [\"true\"] }";

#[test]
fn what_takes_less_than_its_interval_runs_each_time() {
    let forecast = forecast(asked(&format!("  a: {{ {COMMAND}, schedule: \"0 * * * *\" }}\n"), &[("a", 10)])).unwrap();
    assert_eq!(ends(&forecast, RunEnd::Succeeded), 23, "the fire of 00:00 was before the period");
    assert_eq!(forecast.most_at_once, 1);
}

#[test]
fn what_takes_longer_is_superseded_each_time_and_starves() {
    let file = format!("  a: {{ {COMMAND}, schedule: \"0 * * * *\" }}\n");
    let forecast = forecast(asked(&file, &[("a", 70)])).unwrap();
    assert_eq!(ends(&forecast, RunEnd::Succeeded), 0);
    assert_eq!(ends(&forecast, RunEnd::Superseded), 22);
    let first = forecast.happenings.iter().find(|happening| matches!(happening.what, What::Starves { .. })).unwrap();
    assert_eq!(first.at, at("04:00").checked_add(STOPS_IN).unwrap());
}

#[test]
fn a_lock_that_is_held_skips_the_other() {
    let file =
        format!("  a: {{ {COMMAND}, schedule: \"0 * * * *\", locks: [x] }}\n  b: {{ {COMMAND}, schedule: \"30 * * * *\", locks: [x] }}\n");
    let forecast = forecast(asked(&file, &[("a", 40), ("b", 1)])).unwrap();
    assert_eq!(skips(&forecast, SkipReason::LockBusy), 23);
}

#[test]
fn hours_and_overlap_skip_and_a_timeout_ends() {
    let file = format!(
        "  a: {{ {COMMAND}, schedule: \"0 * * * *\", business_hours: \"06:00-18:00\" }}\n  \
         b: {{ {COMMAND}, schedule: \"0 * * * *\", overlap: skip, timeout: 2h, retries: {{ max: 0 }} }}\n"
    );
    let forecast = forecast(asked(&file, &[("a", 1), ("b", 150)])).unwrap();
    assert_eq!(skips(&forecast, SkipReason::OutsideHours), 11);
    assert!(skips(&forecast, SkipReason::Overlap) >= 10);
    assert!(ends(&forecast, RunEnd::TimedOut) >= 7, "{forecast:#?}");
}

#[test]
fn after_counts_from_the_end_of_the_last_run() {
    let mut question = asked(&format!("  a: {{ {COMMAND}, schedule: {{ after: 50m }} }}\n"), &[("a", 10)]);
    question.last_ends.insert("a".into(), "2026-11-23T23:40:00Z".parse().unwrap());
    let forecast = forecast(question).unwrap();
    let starts: Vec<Timestamp> = forecast
        .happenings
        .iter()
        .filter(|happening| matches!(happening.what, What::Starts { .. }))
        .map(|happening| happening.at)
        .collect();
    assert_eq!(starts.first(), Some(&at("00:30")));
    assert_eq!(starts.get(1), Some(&at("01:30")));
    assert_eq!(starts.len(), 24);
}

#[test]
fn no_more_run_at_once_than_may() {
    let file = (0..5).map(|n| format!("  t{n}: {{ {COMMAND}, schedule: \"0 12 * * *\" }}")).collect::<Vec<_>>().join("\n");
    let takes: Vec<(String, i64)> = (0..5).map(|n| (format!("t{n}"), 10)).collect();
    let takes: Vec<(&str, i64)> = takes.iter().map(|(name, minutes)| (name.as_str(), *minutes)).collect();
    let forecast = forecast(Question { running_max: 2, ..asked(&file, &takes) }).unwrap();
    assert_eq!(forecast.most_at_once, 2);
    let latest = forecast.happenings.iter().filter_map(|happening| match happening.what {
        What::Starts { late, .. } => Some(late),
        _ => None,
    });
    assert_eq!(latest.max(), Some(SignedDuration::from_mins(20)));
}

#[test]
fn what_is_paused_does_not_run_and_what_fires_at_the_start_has_fired() {
    let mut question = asked(&format!("  a: {{ {COMMAND}, schedule: [\"0 * * * *\", \"@start\"] }}\n"), &[]);
    question.pauses = vec![Pause { name: "a".into(), until: Some(at("12:00")), reason: None, since: at("00:00") }];
    let forecast = forecast(question).unwrap();
    assert_eq!(skips(&forecast, SkipReason::Paused), 11);
    assert_eq!(ends(&forecast, RunEnd::Succeeded), 12);
}

#[test]
fn a_need_that_the_past_has_met_is_met_and_a_success_starts_what_follows() {
    let file = format!(
        "  sync: {{ {COMMAND}, schedule: \"0 12 * * *\", after_success: [tell] }}\n  \
         prices: {{ {COMMAND}, schedule: \"0 * * * *\", needs: {{ sync: {{ max_age: 4h }} }} }}\n  tell: {{ {COMMAND} }}\n"
    );
    let mut question = asked(&file, &[]);
    question.last_runs =
        vec![LastRun { instance: "sync".into(), run: RunId(7), end: RunEnd::Succeeded, ended_at: "2026-11-23T23:30:00Z".parse().unwrap() }];
    let forecast = forecast(question).unwrap();
    let begins = |name: &str| {
        let starts = forecast.happenings.iter().filter(|happening| matches!(happening.what, What::Starts { .. }));
        starts.filter(|happening| happening.instance.as_str() == name).count()
    };
    assert_eq!((begins("sync"), begins("tell")), (1, 1));
    assert_eq!(begins("prices"), 3 + 4, "until half past three, and from one until four: at noon the sync has not ended");
    assert_eq!(skips(&forecast, SkipReason::NeedsUnmet), 9 + 7);
}
