//! `taskrun explain`: why a task ran, or did not, at a given time, and what it will do at one to come.
use std::sync::Arc;

use super::{
    exit::{Exit, Failure},
    history,
    place::Place,
    text::{self, Times},
};
use crate::{
    core::{
        order::{LastRun, Need},
        task::Instance,
    },
    store::{AttemptRow, HistoryFilter, HistoryRow, RowState, RunStore},
    view::history::state_word,
};

mod future;

/// Rows looked at: some days of a busy task.
const ROWS: usize = 10_000;
/// Rows shown around the time in question.
const AROUND: usize = 3;

/// Why it ran, or did not, at that time
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun explain sync_inventory --at 2026-11-22T15:00:00+09:00")]
pub(crate) struct Args {
    /// A task or an instance
    #[arg(value_name = "TASK")]
    name: String,
    /// When: an instant, past or to come, or so long ago; otherwise the last time
    #[arg(long, value_name = "T")]
    at: Option<String>,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let at = args.at.as_deref().map_or(Ok(now), |at| text::instant_before(at, now))?;
    let store = place.existing_store().await?;
    if at > now {
        place.screen.data(&future::tell(&args.name, at, store.as_deref(), place, &place.times(now)).await?)?;
        return Ok(Exit::Done);
    }
    let rows = match &store {
        Some(store) => store.history(HistoryFilter { name: Some(args.name.clone()), limit: ROWS, ..HistoryFilter::default() }).await?,
        None => Vec::new(),
    };
    if rows.is_empty() {
        place.known_name(&args.name)?;
        place.screen.say(&format!("{} has no history yet: no fire of it came due while a taskrun with this state ran", args.name));
        return Ok(Exit::Done);
    }
    let times = place.times(now);
    // Newest first: the first row that had come due by then is the answer, its neighbours are the story.
    let answer = rows.iter().position(|row| row.fire_at <= at);
    let from = answer.unwrap_or(rows.len()).saturating_sub(AROUND);
    let around: Vec<HistoryRow> = rows.iter().skip(from).take(2 * AROUND + 1).cloned().collect();
    let row = answer.and_then(|index| rows.get(index));
    let sentence = row.map_or_else(|| format!("{} had not come due by then", args.name), |row| because(row, &args.name, at, &times));
    let attempts = match (&store, row.filter(|row| row.attempts > 1)) {
        (Some(store), Some(row)) => store.attempts(row.run).await?,
        _ => Vec::new(),
    };
    let attempts: String = attempts.iter().map(|attempt| told(attempt, &times)).collect();
    let needs = match &store {
        Some(store) => needs(&args.name, store.as_ref(), place, now).await?,
        None => String::new(),
    };
    place.screen.data(&format!("{sentence}\n{attempts}{needs}\n{}", history::render(&around, &times)))?;
    Ok(Exit::Done)
}

/// What the task needs, and whether it has it now: `  needs sync_inventory succeeded within 4h: succeeded 2h ago (run 812): met`.
async fn needs(name: &str, store: &dyn RunStore, place: &Place, now: jiff::Timestamp) -> Result<String, Failure> {
    // Why it ran can be asked without a file, too.
    let Ok(config) = place.load_without_secrets() else { return Ok(String::new()) };
    let of_name = |instance: &&Arc<Instance>| instance.name.as_str() == name || instance.task.as_str() == name;
    let mut lines = Vec::new();
    for instance in config.instances.values().filter(of_name) {
        let last = store.last_runs(instance.needs.iter().map(|need| need.of.clone()).collect()).await?;
        lines.extend(instance.needs.iter().map(|need| needed(need, &last, now)));
    }
    lines.dedup();
    Ok(lines.concat())
}

fn needed(need: &Need, last: &[LastRun], now: jiff::Timestamp) -> String {
    let last_end = last.iter().find(|last| last.instance == need.of).map_or_else(
        || "has not ended yet".to_owned(),
        |last| {
            let age = now.duration_since(last.ended_at).max(jiff::SignedDuration::ZERO);
            format!("{} {} ago (run {})", history::end_words(last.end.word()), text::took(age), last.run)
        },
    );
    let met = if need.unmet(last, now).is_none() { "met" } else { "not met" };
    format!("  needs {need}: {last_end}: {met}\n")
}

/// An attempt in a line: `  attempt 1, 09:00:02: not yet: the hour's calls are used up`.
fn told(attempt: &AttemptRow, times: &Times) -> String {
    let outcome = attempt.outcome.map_or_else(|| "running".to_owned(), |outcome| history::end_words(outcome.word()));
    let detail = attempt.text.as_deref().map(|text| format!(": {}", text::one_line(text))).unwrap_or_default();
    format!("  attempt {}, {}: {outcome}{detail}\n", attempt.attempt, text::stamp(attempt.started_at, &times.zone))
}

fn because(row: &HistoryRow, name: &str, at: jiff::Timestamp, times: &Times) -> String {
    let who = if row.instance.as_str() == name { name.to_owned() } else { row.instance.to_string() };
    let detail = row.text.as_deref().map(|text| format!(": {}", text::one_line(text))).unwrap_or_default();
    match &row.state {
        RowState::Skipped { reason, last_at, .. } if *last_at >= at || row.fire_at == *last_at => {
            format!("{who} did not run: skipped ({}){detail}", reason.word().replace('_', " "))
        }
        RowState::Skipped { reason, .. } => {
            format!("{who} was last due before that, and skipped ({}){detail}", reason.word().replace('_', " "))
        }
        RowState::Waiting | RowState::Running | RowState::Backoff { .. } => {
            format!("{who} has run {}, which is still open ({})", row.run, state_word(&row.state))
        }
        RowState::NotYet { until } => {
            format!("{who} has run {}, which waits and goes on {}{detail}", row.run, times.coming(*until, &times.zone))
        }
        RowState::Ended { end, by } => {
            let by = by.map(|run| format!(" by run {run}")).unwrap_or_default();
            let cause = row.cause.map(|cause| format!(" of run {cause}")).unwrap_or_default();
            format!("{who} ran as run {} ({}{cause}), which ended as {}{by}{detail}", row.run, row.trigger, end.word().replace('_', " "))
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz::TimeZone};

    use super::*;
    use crate::core::{
        event::OutcomeKind,
        task::{Generation, RunId, Trigger},
    };

    #[test]
    fn a_wait_for_a_limit_says_until_when_and_why_and_so_does_each_before_it() {
        let at: Timestamp = "2026-11-22T13:00:00+09:00".parse().unwrap();
        let times = Times { now: at, zone: TimeZone::get("Asia/Tokyo").unwrap(), relative: true };
        let until = "2026-11-22T14:00:00+09:00".parse().unwrap();
        let text = Some("the hour's calls are used up".to_owned());
        let row = HistoryRow {
            run: RunId(9),
            instance: "sync".into(),
            fire_at: at,
            trigger: Trigger::Schedule,
            cause: None,
            state: RowState::NotYet { until },
            generation: Some(Generation(1)),
            attempts: 2,
            waits: 2,
            started_at: Some(at),
            ended_at: None,
            text: text.clone(),
            dry: false,
            process: None,
        };
        let sentence = because(&row, "sync", at, &times);
        assert_eq!(sentence, "sync has run 9, which waits and goes on Sun 14:00 (in 1h): the hour's calls are used up");
        let attempt =
            AttemptRow { run: RunId(9), attempt: 1, started_at: at, ended_at: Some(at), outcome: Some(OutcomeKind::NotYet), text };
        let line = told(&attempt, &times);
        assert!(line.starts_with("  attempt 1, 2026-11-22") && line.ends_with(": not yet: the hour's calls are used up\n"), "{line}");
    }
}
