//! `taskrun list`: what is declared, as crontab would show it, with the next fire and the last end of each instance.
//!
//! It needs no daemon: the file says what is due, the store what was.
use jiff::{Timestamp, tz::TimeZone};

use super::{
    exit::{Exit, Failure},
    history,
    place::Place,
    text::{self, BAD, BOLD, Cell, DIM, PLAIN, Times},
};
use crate::{
    engine::view::{InstanceView, LastView, PausedView},
    store::RunStore,
};

/// What is declared: schedule, task, zone, hours, overlap, next fire, last end
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun list --json")]
pub(crate) struct Args {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let config = place.load_without_secrets()?;
    let now = place.now()?;
    let store = place.existing_store().await?;
    let views = super::views::instances(&config, store.as_deref().map(|store| store as &dyn RunStore), now).await?;
    if args.json {
        place.screen.json(&views)?;
    } else {
        place.screen.data(&table(&views, &place.times(now)))?;
    }
    Ok(Exit::Done)
}

/// The instances as a table, for people.
pub(crate) fn table(views: &[InstanceView], times: &Times) -> String {
    let header = ["# m h dom mon dow", "task", "zone", "hours", "overlap", "next", "last"].map(|title| Cell::new(title, DIM));
    let body = views.iter().map(|view| row(view, times));
    text::table(&std::iter::once(header).chain(body).collect::<Vec<_>>())
}

fn row(view: &InstanceView, times: &Times) -> [Cell; 7] {
    let style = if view.enabled { PLAIN } else { DIM };
    [
        Cell::new(schedule(view), style),
        Cell::new(&view.instance, if view.enabled { BOLD } else { DIM }),
        Cell::new(&view.zone, style),
        Cell::new(&view.hours, style),
        Cell::new(view.overlap.replace('_', " "), style),
        next(view, times),
        last(view.last.as_ref(), times),
    ]
}

/// What starts it: its schedule, or the success of another.
fn schedule(view: &InstanceView) -> String {
    match view.follows.as_slice() {
        [] => view.schedule.clone(),
        follows if view.schedule == "by hand" => format!("after {}", follows.join(", ")),
        follows => format!("{}; after {}", view.schedule, follows.join(", ")),
    }
}

fn next(view: &InstanceView, times: &Times) -> Cell {
    let zone = TimeZone::get(&view.zone).unwrap_or(TimeZone::UTC);
    if !view.enabled {
        return Cell::new("disabled", DIM);
    }
    if let Some(paused) = &view.paused {
        return Cell::new(pause(paused, &zone, times), text::ODD);
    }
    match view.next_at.as_deref().and_then(instant) {
        Some(at) => times.coming(at, &zone).into(),
        None => Cell::new("-", DIM),
    }
}

fn pause(paused: &PausedView, zone: &TimeZone, times: &Times) -> String {
    let until = match paused.until.as_deref().and_then(instant) {
        Some(until) => format!("paused until {}", times.coming(until, zone)),
        None => "paused".to_owned(),
    };
    paused.reason.as_ref().map_or_else(|| until.clone(), |reason| format!("{until}: {}", text::one_line(reason)))
}

fn last(last: Option<&LastView>, times: &Times) -> Cell {
    let Some(last) = last else { return Cell::new("-", DIM) };
    let reason = last.reason.as_ref().map(|reason| format!(" ({})", reason.replace('_', " "))).unwrap_or_default();
    if last.state == "skipped" {
        return Cell::new(format!("skipped{reason}"), DIM);
    }
    let ended = last.ended_at.as_deref().and_then(instant).map(|at| format!(" {}", times.passed(at))).unwrap_or_default();
    let took = last.took_s.map(|took| format!(", {}", text::took(text::seconds(took)))).unwrap_or_default();
    let style = match last.state.as_str() {
        "succeeded" => PLAIN,
        "failed" | "timed_out" | "lost" => BAD,
        _ => text::ODD,
    };
    Cell::new(format!("{}{ended}{took}", history::end_words(&last.state)), style)
}

/// An instant in one of our own views.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(instance: &str) -> InstanceView {
        InstanceView {
            instance: instance.to_owned(),
            task: instance.to_owned(),
            account: None,
            handler: "command".to_owned(),
            enabled: true,
            schedule: "0 */3 * * *".to_owned(),
            zone: "Asia/Tokyo".to_owned(),
            hours: "always".to_owned(),
            overlap: "last_wins".to_owned(),
            needs: Vec::new(),
            after_success: Vec::new(),
            follows: Vec::new(),
            next_at: Some("2026-11-22T15:00:00+09:00".to_owned()),
            paused: None,
            last: Some(LastView {
                run: 1,
                state: "succeeded".to_owned(),
                reason: None,
                ended_at: Some("2026-11-22T10:47:00+09:00".to_owned()),
                took_s: Some(5340.0),
                text: None,
            }),
        }
    }

    fn shown(views: &[InstanceView], relative: bool) -> String {
        let now = "2026-11-22T13:47:39+09:00".parse().unwrap();
        let times = Times { now, zone: TimeZone::get("Asia/Tokyo").unwrap(), relative };
        anstream::adapter::strip_str(&table(views, &times)).to_string()
    }

    #[test]
    fn a_terminal_reads_like_a_crontab_with_a_future_and_a_past() {
        let text = shown(&[view("sync_inventory")], true);
        let expected = "\
# m h dom mon dow  task            zone        hours   overlap    next                   last
0 */3 * * *        sync_inventory  Asia/Tokyo  always  last wins  Sun 15:00 (in 1h 12m)  ok 3h ago, 1h 29m
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_another_s_success_starts_says_so_where_its_schedule_would_stand() {
        let follows = vec!["sync_inventory".to_owned()];
        let by_hand = InstanceView { schedule: "by hand".to_owned(), next_at: None, follows: follows.clone(), ..view("upload") };
        assert_eq!(schedule(&by_hand), "after sync_inventory");
        assert_eq!(schedule(&InstanceView { follows, ..view("upload") }), "0 */3 * * *; after sync_inventory");
    }

    #[test]
    fn a_pipe_gets_instants() {
        let text = shown(&[view("sync_inventory")], false);
        assert!(text.contains("  2026-11-22T15:00:00+09:00  ok 2026-11-22T10:47:00+09:00, 1h 29m\n"), "{text}");
    }

    #[test]
    fn what_will_not_run_says_so() {
        let paused = PausedView { since: String::new(), until: None, reason: Some("stocktaking".to_owned()) };
        let views = [InstanceView { enabled: false, ..view("a") }, InstanceView { paused: Some(paused), next_at: None, ..view("b") }];
        let text = shown(&views, true);
        assert!(text.contains("  disabled ") && text.contains("  paused: stocktaking "), "{text}");
    }
}
