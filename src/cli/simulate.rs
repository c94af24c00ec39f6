//! `taskrun simulate`: what a file means for a period to come, before it is put in force.
use std::{collections::BTreeMap, fmt::Write as _};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::{
    findings::Finding,
    tally::{InstanceTally, tallies},
};
use super::{
    exit::{Exit, Failure},
    place::Place,
    text::{self, BAD, BOLD, Cell, DIM, GOOD, ODD, PLAIN, Times},
};
use crate::{
    config::Config,
    core::{
        event::RunEnd,
        task::{Instance, InstanceName},
        value::DURATION_MAX,
    },
    engine::forecast::{Forecast, Happening, Question, What, forecast},
    store::{HistoryFilter, RowState, RunStore as _, sqlite::SqliteStore},
};

mod findings;
mod quota;
mod tally;

/// The period unless `--to` says otherwise.
const PERIOD: SignedDuration = SignedDuration::from_hours(24);
/// How long a run takes is the median of so many.
const SAMPLE: usize = 50;

/// What will run, collide, starve or miss its hours in a period to come
#[derive(Debug, clap::Args)]
#[command(after_help = "Runs take as long as they did before (median), and nothing fails.\nExamples:\n  taskrun simulate\n  \
    taskrun simulate --to 7d -c tasks.new.yaml\n  taskrun simulate --takes sync_inventory=110m --events")]
pub(crate) struct Args {
    /// From this instant, or so long from now; otherwise now
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// To this instant, or so long after its beginning; otherwise a day
    #[arg(long, value_name = "T")]
    to: Option<String>,
    /// How long a run of a task or an instance takes, whatever the history says
    #[arg(long, value_name = "TASK=DURATION", value_parser = takes)]
    takes: Vec<(String, SignedDuration)>,
    /// Every start, end and skip, in the order of time
    #[arg(long)]
    events: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

fn takes(text: &str) -> Result<(String, SignedDuration), String> {
    let (name, took) = text.split_once('=').ok_or("write TASK=DURATION, as in `sync_inventory=110m`")?;
    let took = humantime::parse_duration(took).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), took.try_into().map_err(|_| "too long".to_owned())?))
}

/// The forecast as JSON; stable.
#[derive(Debug, Serialize)]
struct View<'a> {
    from: String,
    to: String,
    /// The most runs at once.
    most_at_once: usize,
    instances: &'a [InstanceTally],
    findings: &'a [Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<EventView>>,
}

/// Something that will happen, as JSON.
#[derive(Debug, Serialize)]
struct EventView {
    at: String,
    instance: String,
    /// `starts`, `ends`, `skipped`, `starves`.
    what: &'static str,
    text: String,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let config = place.load_without_secrets()?;
    let now = place.now()?;
    let from = args.from.as_deref().map_or(Ok(now), |from| text::instant_after(from, now))?;
    let to = match &args.to {
        Some(to) => text::instant_after(to, from)?,
        None => from.saturating_add(PERIOD).unwrap_or(Timestamp::MAX),
    };
    if to <= from || DURATION_MAX < to.duration_since(from) {
        return Err(Failure::usage("the period has to be longer than nothing and no longer than a year"));
    }
    for (name, _) in &args.takes {
        super::views::named(&config.instances, name)?;
    }
    let store = place.existing_store().await?;
    let known = durations(&config, store.as_deref(), &args.takes).await?;
    let spenders = match &store {
        Some(store) => quota::spenders(store, &config, now).await?,
        None => Vec::new(),
    };
    let question = question(&config, store.as_deref(), (from, to), &known).await?;
    let forecast = tokio::task::spawn_blocking(move || forecast(question))
        .await
        .map_err(|error| Failure::because(Exit::Failed, "the forecast went wrong", &error))??;
    let tallies = tallies(&config, &forecast, &known);
    let mut findings = findings::of(&config, &forecast, &tallies);
    findings.extend(quota::findings(&spenders, &config, &forecast));
    show(&args, place, (from, to), &config, &Told { forecast, tallies, findings })
}

/// How long a run takes, and how that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    takes: SignedDuration,
    /// The median of so many runs; `None`: somebody said so.
    runs: Option<usize>,
}

async fn durations(
    config: &Config,
    store: Option<&SqliteStore>,
    said: &[(String, SignedDuration)],
) -> Result<BTreeMap<InstanceName, Known>, Failure> {
    let mut known = BTreeMap::new();
    for instance in config.instances.values() {
        let is_meant = |name: &str| name == instance.name.as_str() || name == instance.task.as_str();
        if let Some((_, takes)) = said.iter().rev().find(|(name, _)| is_meant(name)) {
            known.insert(instance.name.clone(), Known { takes: *takes, runs: None });
        } else if let Some(store) = store
            && let Some(measured) = measured(store, instance).await?
        {
            known.insert(instance.name.clone(), measured);
        }
    }
    Ok(known)
}

/// The median of what its last runs took that succeeded.
async fn measured(store: &SqliteStore, instance: &Instance) -> Result<Option<Known>, Failure> {
    let filter = HistoryFilter { name: Some(instance.name.to_string()), limit: 4 * SAMPLE, ..HistoryFilter::default() };
    let rows = store.history(filter).await?;
    let took = rows.iter().filter(|row| matches!(row.state, RowState::Ended { end: RunEnd::Succeeded, .. }) && !row.dry);
    let mut took: Vec<SignedDuration> = took.filter_map(|row| Some(row.ended_at?.duration_since(row.started_at?))).take(SAMPLE).collect();
    took.sort_unstable();
    Ok(took.get(took.len() / 2).map(|median| Known { takes: *median, runs: Some(took.len()) }))
}

async fn question(
    config: &Config,
    store: Option<&SqliteStore>,
    (from, to): (Timestamp, Timestamp),
    known: &BTreeMap<InstanceName, Known>,
) -> Result<Question, Failure> {
    let names = config.instances.keys().cloned().collect();
    let (pauses, ends, last_runs) = match store {
        Some(store) => (store.pauses().await?, store.last_ends().await?, store.last_runs(names).await?),
        None => Default::default(),
    };
    Ok(Question {
        instances: config.instances.clone(),
        running_max: config.max_running,
        pauses,
        last_ends: ends.into_iter().filter_map(|row| Some((row.instance, row.ended_at?))).collect(),
        last_runs,
        takes: known.iter().map(|(name, known)| (name.clone(), known.takes)).collect(),
        from,
        to,
    })
}

/// What is to be told.
struct Told {
    forecast: Forecast,
    tallies: Vec<InstanceTally>,
    findings: Vec<Finding>,
}

fn show(args: &Args, place: &Place, (from, to): (Timestamp, Timestamp), config: &Config, told: &Told) -> Result<Exit, Failure> {
    let Told { forecast, tallies, findings } = told;
    let zone = &config.timezone;
    if args.json {
        let event = |happening: &Happening| EventView {
            at: crate::view::rfc3339(happening.at, zone),
            instance: happening.instance.to_string(),
            what: word(&happening.what),
            text: sentence(&happening.what),
        };
        let events = args.events.then(|| forecast.happenings.iter().map(event).collect());
        let (from, to) = (crate::view::rfc3339(from, zone), crate::view::rfc3339(to, zone));
        place.screen.json(&View { from, to, most_at_once: forecast.most_at_once, instances: tallies, findings, events })?;
        return Ok(Exit::Done);
    }
    // A forecast is read beside a clock: absolute, but short.
    let times = Times { now: from, zone: zone.clone(), relative: true };
    let mut page = String::new();
    if args.events {
        let rows: Vec<[Cell; 3]> = forecast.happenings.iter().map(|happening| event_row(happening, &times)).collect();
        page.push_str(&text::table(&rows));
        page.push('\n');
    }
    page.push_str(&tally::table(tallies));
    let (begins, ends, most) = (times.day(from, zone), times.day(to, zone), text::counted(forecast.most_at_once, "run"));
    writeln!(page, "\n{begins} to {ends}: at most {most} at once of {}", config.max_running).unwrap_or_default();
    if let Some(at) = forecast.stopped_at {
        let at = times.day(at, zone);
        writeln!(page, "{ODD}the forecast ends at {at}{ODD:#}: more happens than it works out; choose a shorter period")
            .unwrap_or_default();
    }
    page.push_str(&findings::list(findings, &times));
    place.screen.data(&page)?;
    Ok(Exit::Done)
}

fn word(what: &What) -> &'static str {
    match what {
        What::Skipped { .. } => "skipped",
        What::Starts { .. } => "starts",
        What::Ends { .. } => "ends",
        What::Starves { .. } => "starves",
    }
}

fn sentence(what: &What) -> String {
    match what {
        What::Skipped { reason, detail, count } => {
            let times = if *count > 1 { format!(" {count} times") } else { String::new() };
            let detail = detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("skipped{times} ({}){detail}", reason.word().replace('_', " "))
        }
        What::Starts { run, attempt, .. } if *attempt > 1 => format!("run {run} tries again (attempt {attempt}), as its time was up"),
        What::Starts { run, late, .. } if late.as_secs() > 0 => format!("run {run} starts {} late", text::took(*late)),
        What::Starts { run, .. } => format!("run {run} starts"),
        What::Ends { run, end, by, took } => {
            let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            format!("run {run} {}{by} after {}", end.word().replace('_', " "), text::took(*took))
        }
        What::Starves { times } => format!("starves: superseded {times} times in a row"),
    }
}

fn event_row(happening: &Happening, times: &Times) -> [Cell; 3] {
    let style = match &happening.what {
        What::Skipped { .. } => DIM,
        What::Starts { .. } => PLAIN,
        What::Ends { end: RunEnd::Succeeded, .. } => GOOD,
        What::Ends { end: RunEnd::Superseded, .. } => ODD,
        What::Ends { .. } | What::Starves { .. } => BAD,
    };
    [times.day(happening.at, &times.zone).into(), Cell::new(happening.instance.as_str(), BOLD), Cell::new(sentence(&happening.what), style)]
}
