//! `taskrun history`: runs and skips, newest first, one row per due instant (adjacent equal skips share one).
use std::num::NonZeroUsize;

use clap::builder::styling::Style;
use jiff::Timestamp;

use super::{
    Place,
    exit::{Exit, Failure},
    text::{self, BAD, Cell, DIM, GOOD, ODD, PLAIN, Times},
};
use crate::{
    core::{event::RunEnd, task::Trigger},
    store::{self, HistoryFilter, HistoryRow, RowState, RunStore},
    view::history::HistoryView,
};

/// Rows shown unless `-n` says otherwise: about a screenful.
const ROWS: &str = "30";

/// Runs and skips, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun history sync_inventory --failed --since 7d")]
pub(crate) struct Args {
    /// Only this task or instance
    #[arg(value_name = "TASK")]
    name: Option<String>,
    /// Only runs that failed, timed out or were lost
    #[arg(long)]
    failed: bool,
    /// Only what was due since then: `2h`, `7d`, or an instant
    #[arg(long, value_name = "D")]
    since: Option<String>,
    /// At most this many rows
    #[arg(short = 'n', value_name = "N", default_value = ROWS)]
    rows: NonZeroUsize,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let since = args.since.as_deref().map(|since| text::instant_before(since, now)).transpose()?;
    let rows = match place.existing_store().await? {
        Some(store) => {
            let filter =
                HistoryFilter { name: args.name.clone(), failed: args.failed, since, limit: args.rows.get(), ..HistoryFilter::default() };
            store.history(filter).await?
        }
        None => Vec::new(),
    };
    if let (true, Some(name)) = (rows.is_empty(), &args.name) {
        place.known_name(name)?;
    }
    if args.json {
        let views: Vec<HistoryView> = rows.iter().map(HistoryView::of).collect();
        place.screen.json(&views)?;
    } else if rows.is_empty() {
        let narrowed = args.name.is_some() || args.failed || args.since.is_some();
        place.screen.say(if narrowed { "nothing of that kind in the history" } else { "nothing in the history yet" });
    } else {
        place.screen.data(&render(&rows, &place.times(now)))?;
    }
    Ok(Exit::Done)
}

/// The rows as a table, for people.
pub(crate) fn render(rows: &[HistoryRow], times: &Times) -> String {
    let header = ["# run", "task", "due", "start", "what", "took", "text"].map(|title| Cell::new(title, DIM));
    let body = rows.iter().map(|row| cells(row, times));
    text::table(&std::iter::once(header).chain(body).collect::<Vec<_>>())
}

fn cells(row: &HistoryRow, times: &Times) -> [Cell; 7] {
    let (what, style) = what(row, times);
    let dry = if row.dry { "dry run: " } else { "" };
    let tries = row.attempts.saturating_sub(row.waits);
    let attempts = if tries > 1 { format!(" in {tries} attempts") } else { String::new() };
    let waits = if row.waits > 0 {
        format!(", {}", text::counted(usize::try_from(row.waits).unwrap_or(usize::MAX), "wait"))
    } else {
        String::new()
    };
    let took = store::took(row).filter(|_| is_run(row)).map(text::took).unwrap_or_default();
    [
        format!("{:>5}", row.run.0).into(),
        row.instance.as_str().into(),
        times.dated(row.fire_at).into(),
        trigger(row.trigger).into(),
        Cell::new(format!("{dry}{what}"), style),
        format!("{took}{attempts}{waits}").trim_start_matches(", ").into(),
        text::one_line(row.text.as_deref().unwrap_or_default()).into(),
    ]
}

fn is_run(row: &HistoryRow) -> bool {
    !matches!(row.state, RowState::Skipped { .. })
}

fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Schedule => "schedule",
        Trigger::CatchUp => "catch-up",
        Trigger::Manual => "by hand",
        Trigger::Api => "trigger",
        Trigger::FollowUp => "follow-up",
    }
}

/// What became of the fire, in words.
fn what(row: &HistoryRow, times: &Times) -> (String, Style) {
    match &row.state {
        RowState::Waiting => ("waiting".to_owned(), PLAIN),
        RowState::Running => ("running".to_owned(), PLAIN),
        RowState::Backoff { retry_at } => (format!("tries again {}", times.coming(*retry_at, &times.zone)), ODD),
        RowState::NotYet { until } => (format!("goes on {}", times.coming(*until, &times.zone)), ODD),
        RowState::Ended { end, by } => {
            let by = by.map(|run| format!(" by run {run}")).unwrap_or_default();
            (format!("{}{by}", end_words(end.word())), end_style(*end))
        }
        RowState::Skipped { reason, count, at_least, last_at } => {
            let reason = reason.word().replace('_', " ");
            let more = if *at_least { "at least " } else { "" };
            let many = if *count > 1 { format!(" {more}{count} times until {}", last(*last_at, times)) } else { String::new() };
            (format!("skipped ({reason}){many}"), DIM)
        }
    }
}

fn last(at: Timestamp, times: &Times) -> String {
    if times.relative { times.day(at, &times.zone) } else { text::stamp(at, &times.zone) }
}

/// How an end reads: `ok`, `timed out`.
pub(crate) fn end_words(word: &str) -> String {
    if word == RunEnd::Succeeded.word() { "ok".to_owned() } else { word.replace('_', " ") }
}

pub(crate) fn end_style(end: RunEnd) -> Style {
    match end {
        RunEnd::Succeeded => GOOD,
        RunEnd::Failed | RunEnd::TimedOut | RunEnd::Lost => BAD,
        RunEnd::Superseded | RunEnd::Cancelled => ODD,
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::core::{
        event::SkipReason,
        task::{Generation, InstanceName, RunId},
    };

    fn row(run: i64, state: RowState) -> HistoryRow {
        let fire_at: Timestamp = "2026-11-22T10:00:00+09:00".parse().unwrap();
        HistoryRow {
            run: RunId(run),
            instance: InstanceName::from("sync_inventory"),
            fire_at,
            trigger: Trigger::Schedule,
            cause: None,
            state,
            generation: Some(Generation(1)),
            attempts: 1,
            waits: 0,
            started_at: Some(fire_at),
            ended_at: Some(fire_at + SignedDuration::from_mins(89)),
            text: Some("240 items read".to_owned()),
            dry: false,
            process: None,
        }
    }

    fn times() -> Times {
        let zone = jiff::tz::TimeZone::get("Asia/Tokyo").unwrap();
        Times { now: "2026-11-22T13:00:00+09:00".parse().unwrap(), zone, relative: true }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_row_says_what_became_of_its_fire_and_who_superseded_whom() {
        let ended = |end, by| RowState::Ended { end, by };
        let skipped = RowState::Skipped {
            reason: SkipReason::OutsideHours,
            count: 3,
            at_least: false,
            last_at: "2026-11-22T12:00:00+09:00".parse().unwrap(),
        };
        let rows = [row(9, skipped), row(8, ended(RunEnd::Succeeded, None)), row(7, ended(RunEnd::Superseded, Some(RunId(8))))];
        let text = plain(&render(&rows, &times()));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("skipped (outside hours) 3 times until Sun 12:00"), "{text}");
        assert!(lines[2].contains("Sun 10:00 (3h ago)  schedule  ok"), "{text}");
        assert!(lines[2].ends_with("1h 29m  240 items read"), "{text}");
        assert!(lines[3].contains("superseded by run 8"), "{text}");
    }

    #[test]
    fn a_wait_for_a_limit_says_when_it_goes_on_and_counts_as_no_attempt() {
        let until = "2026-11-22T15:00:00+09:00".parse().unwrap();
        let waits = HistoryRow { attempts: 4, waits: 3, ended_at: None, ..row(9, RowState::NotYet { until }) };
        let ended = HistoryRow { attempts: 5, waits: 3, ..row(8, RowState::Ended { end: RunEnd::Succeeded, by: None }) };
        let text = plain(&render(&[waits.clone(), ended], &times()));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("goes on Sun 15:00 (in 2h)") && lines[1].contains("  3 waits  "), "{text}");
        assert!(lines[2].ends_with("1h 29m in 2 attempts, 3 waits  240 items read"), "{text}");
        let json = serde_json::to_value(HistoryView::of(&waits)).unwrap();
        assert_eq!((&json["state"], &json["retry_at"]), (&"not_yet".into(), &"2026-11-22T06:00:00Z".into()));
        assert_eq!((&json["attempts"], &json["waits"]), (&4.into(), &3.into()));
    }

    #[test]
    fn a_dry_run_is_marked() {
        let dry = HistoryRow { dry: true, ..row(9, RowState::Ended { end: RunEnd::Succeeded, by: None }) };
        assert!(plain(&render(&[dry], &times())).contains("dry run: ok"));
    }

    #[test]
    fn json_names_every_state_with_one_word() {
        let view = HistoryView::of(&row(7, RowState::Ended { end: RunEnd::Superseded, by: Some(RunId(8)) }));
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["state"], "superseded");
        assert_eq!(json["superseded_by"], 8);
        assert_eq!(json["took_s"], 5340.0);
        assert_eq!(json["fire_at"], "2026-11-22T01:00:00Z");
    }
}
