//! `taskrun next`: the next fires of a task or of a cron expression, with what shifts or skips them.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{
    exit::{Exit, Failure},
    place::Place,
    text::{self, Cell, DIM, ODD, Times},
};
use crate::core::{
    cron::CronExpr,
    schedule::Schedule,
    task::Instance,
    timing::{Anchors, Preview, Timing, preview},
};
use crate::{store::RunStore as _, view::fires::FireView};

/// Fires shown unless `-n` says otherwise.
const FIRES: usize = 10;
/// More fires than anyone reads, and few enough to be found in seconds.
const FIRES_MAX: usize = 100_000;

/// The next fires, with what shifts or skips them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  taskrun next sync_inventory\n  taskrun next --cron '0 9 * * mon-fri' --tz Asia/Tokyo -n 3")]
pub(crate) struct Args {
    /// A task or an instance of tasks.yaml
    #[arg(value_name = "TASK", required_unless_present = "cron", conflicts_with = "cron")]
    name: Option<String>,
    /// A cron expression instead
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    cron: Option<String>,
    /// The zone of --cron; otherwise that of tasks.yaml, or the system's where there is none
    #[arg(long, value_name = "ZONE", requires = "cron")]
    tz: Option<String>,
    /// Only fires after this instant (itself excluded); otherwise from now on
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// How many
    #[arg(short = 'n', value_name = "N", default_value_t = FIRES, value_parser = count)]
    fires: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=FIRES_MAX) => Ok(count),
        _ => Err(format!("from 1 to {FIRES_MAX}")),
    }
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let from = args.from.as_deref().map_or(Ok(now), from_instant)?;
    match (&args.cron, &args.name) {
        (Some(expression), _) => {
            let timing = cron_timing(expression, args.tz.as_deref(), place)?;
            let fires = preview(&timing, from, args.fires, Anchors::default());
            if fires.is_empty() {
                let message = format!("`{expression}` never fires after {}", text::stamp(from, &timing.zone));
                return Err(Failure::usage(message).advise("look at its day, month and year: no such date comes any more"));
            }
            show(None, &timing, &fires, now, &args, place)
        }
        (None, Some(name)) => tasks(name, from, now, &args, place).await,
        (None, None) => Err(Failure::usage("name a task, or an expression with --cron")),
    }
}

fn from_instant(text: &str) -> Result<Timestamp, Failure> {
    text.parse().map_err(|_| {
        Failure::usage(format!("`{text}` is not an instant"))
            .advise("write it with its offset: `2026-11-22T13:48:00+09:00`, or `Z` for UTC")
    })
}

async fn tasks(name: &str, from: Timestamp, now: Timestamp, args: &Args, place: &Place) -> Result<Exit, Failure> {
    let config = place.load_without_secrets()?;
    let instances = super::views::named(&config.instances, name)?;
    let store = place.existing_store().await?;
    let ends = match &store {
        Some(store) => store.last_ends().await?,
        None => Vec::new(),
    };
    let many = instances.len() > 1;
    for instance in instances {
        let last_end = ends.iter().find(|row| row.instance == instance.name).and_then(|row| row.ended_at);
        let anchors = Anchors { last_end: last_end.or(Some(now)), start: None };
        let fires = preview(&instance.timing, from, args.fires, anchors);
        explain(&instance, &fires, place);
        show(many.then_some(instance.name.as_str()), &instance.timing, &fires, now, args, place)?;
    }
    Ok(Exit::Done)
}

/// Says what the list of fires does not.
fn explain(instance: &Instance, fires: &[Preview], place: &Place) {
    if !instance.enabled {
        place.screen.say(&format!("{} is disabled: none of these will run", instance.name));
    }
    if instance.timing.splay > SignedDuration::ZERO {
        place.screen.say(&format!("{} starts {} after each of these (jitter)", instance.name, text::took(instance.timing.splay)));
    }
    for schedule in &instance.timing.schedules {
        match schedule {
            Schedule::After { delay } => {
                place.screen.say(&format!(
                    "{} fires {} after each run ends; the first of these is as if one had ended just now, or when the last did",
                    instance.name,
                    text::took(*delay)
                ));
            }
            Schedule::Start => place.screen.say(&format!("{} also fires once at each start of the daemon", instance.name)),
            Schedule::Cron { .. } | Schedule::Every { .. } => {}
        }
    }
    if fires.is_empty() {
        place.screen.say(&format!("{} has no fire time ahead", instance.name));
    }
}

/// The timing of a bare expression: no hours, no calendar, no jitter.
fn cron_timing(expression: &str, zone: Option<&str>, place: &Place) -> Result<Timing, Failure> {
    let expr = CronExpr::parse(expression).map_err(|misread| Failure::misread(expression, &misread))?;
    for warning in expr.warnings() {
        place.screen.say(&format!("note: {warning}"));
    }
    let zone = zone.map_or_else(|| Ok(place.zone()), named_zone)?;
    Ok(Timing {
        schedules: vec![Schedule::Cron { expr: Arc::new(expr), text: expression.into() }],
        zone_name: zone.iana_name().unwrap_or("UTC").into(),
        zone,
        hours: None,
        calendar: None,
        defer: false,
        splay: SignedDuration::ZERO,
    })
}

fn named_zone(name: &str) -> Result<TimeZone, Failure> {
    TimeZone::get(name).map_err(|_| {
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let failure = Failure::usage(format!("there is no time zone `{name}`"));
        match text::closest(name, known.iter().map(String::as_str)) {
            Some(closest) => failure.advise(format!("did you mean `{closest}`?")),
            None => failure.advise("name it as IANA does: `Asia/Tokyo`, `Europe/Berlin`, `UTC`"),
        }
    })
}

fn show(instance: Option<&str>, timing: &Timing, fires: &[Preview], now: Timestamp, args: &Args, place: &Place) -> Result<Exit, Failure> {
    if args.json {
        for fire in fires {
            place.screen.json_line(&FireView::of(instance, fire, timing))?;
        }
        return Ok(Exit::Done);
    }
    let times = Times { now, zone: timing.zone.clone(), relative: place.screen.out_is_terminal() };
    let rows: Vec<[Cell; 3]> =
        fires.iter().map(|fire| [instance.unwrap_or_default().into(), times.coming(fire.at, &timing.zone).into(), remark(fire)]).collect();
    let text = match instance {
        Some(_) => text::table(&rows),
        None => text::table(&rows.into_iter().map(|[_, at, remark]| [at, remark]).collect::<Vec<_>>()),
    };
    place.screen.data(&text)?;
    Ok(Exit::Done)
}

fn remark(fire: &Preview) -> Cell {
    match (fire.closed, &fire.note) {
        (Some(_), Some(why)) => Cell::new(format!("skipped: {why}"), DIM),
        (Some(reason), None) => Cell::new(format!("skipped: {}", reason.word().replace('_', " ")), DIM),
        (None, Some(note)) => Cell::new(note, ODD),
        (None, None) if fire.deferred => Cell::new("stands for the fires outside the hours", ODD),
        (None, None) => Cell::from(""),
    }
}
