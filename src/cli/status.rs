//! `taskrun status`: what the running daemon is doing.
use std::{fmt::Write as _, time::Duration};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    exit::{Exit, Failure},
    list,
    place::Place,
    products::age,
    quotas,
    text::{self, BAD, BOLD, Cell, DIM, ODD, Times},
};
use crate::{
    engine::view::{RunView, StatusView},
    view::StatusPage,
};

/// A run that has moved within this time is not said to be still.
const STILL_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// How often `--watch` looks again.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// What the running daemon is doing
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun status --watch")]
pub(crate) struct Args {
    /// One JSON document (with --watch: one a line)
    #[arg(long)]
    json: bool,
    /// Look again every second, until Ctrl+C
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let daemon = place.daemon().await?;
    loop {
        let shown = daemon.status().await?;
        match (args.json, args.watch) {
            (true, true) => place.screen.json_line(&shown)?,
            (true, false) => place.screen.json(&shown)?,
            (false, watch) => {
                // From the top left corner, each line and the rest of the screen cleared: no flicker.
                let (home, end) = if watch && place.screen.out_is_terminal() { ("\x1b[H", "\x1b[J") } else { ("", "") };
                let text = render(&shown, place.screen.out_is_terminal());
                let text = if home.is_empty() { text } else { text.replace('\n', "\x1b[K\n") };
                place.screen.data(&format!("{home}{text}{end}"))?;
            }
        }
        if !args.watch {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// The whole status, for people.
fn render(shown: &StatusPage, relative: bool) -> String {
    let status = &shown.status;
    let now = list::instant(&status.now).unwrap_or(Timestamp::UNIX_EPOCH);
    // The daemon is where its tasks are.
    let zone = status.instances.first().and_then(|view| TimeZone::get(&view.zone).ok()).unwrap_or_else(TimeZone::system);
    let times = Times { now, zone, relative };
    let mut text = head(status, &times);
    if let Some(data) = &shown.data {
        writeln!(text, "data       {}", age::line(data, &times)).unwrap_or_default();
    }
    if !status.runs.is_empty() {
        let header = ["# run", "task", "phase", "attempt", "since", "progress", "note"].map(|title| Cell::new(title, DIM));
        let rows: Vec<_> = std::iter::once(header).chain(status.runs.iter().map(|run| run_row(run, &times))).collect();
        write!(text, "\n{}", text::table(&rows)).unwrap_or_default();
    }
    write!(text, "\n{}", list::table(&status.instances, &times)).unwrap_or_default();
    if !shown.quotas.is_empty() {
        write!(text, "\n{}", quotas::table(&shown.quotas, &times)).unwrap_or_default();
    }
    text
}

fn head(status: &StatusView, times: &Times) -> String {
    let mut text = format!("{BOLD}taskrun {}{BOLD:#}, pid {}", status.version, status.pid);
    let mut add = |part: String| text.push_str(&part);
    if let Some(started) = list::instant(&status.started_at) {
        add(format!(", started {}", times.dated(started)));
    }
    if let Some(speed) = status.practice_speed {
        add(format!("\n{ODD}practice{ODD:#}   the marketplace is a sandbox, time runs {speed} times as fast: it is {}", times.clock()));
    }
    if status.stopping {
        add(format!("\n{ODD}stopping{ODD:#}   no new runs; waits for {}", text::counted(status.runs.len(), "run")));
    }
    add(format!("\nfile       {}", status.config.path));
    if let Some(loaded) = list::instant(&status.config.loaded_at) {
        add(format!(", read {}", times.passed(loaded)));
    }
    if status.config.reloads > 0 {
        add(format!(", {}", text::counted(usize::try_from(status.config.reloads).unwrap_or(usize::MAX), "reload")));
    }
    for fault in &status.config.last_reload_faults {
        add(format!("\n{BAD}fault{BAD:#}      {}", text::one_line(fault)));
    }
    if !status.config.last_reload_faults.is_empty() {
        add("\n           the last reload failed; the tasks below are those of the file before it".to_owned());
    }
    for trouble in &status.degraded {
        add(format!("\n{BAD}trouble{BAD:#}    {}", text::one_line(trouble)));
    }
    text.push('\n');
    text
}

fn run_row(run: &RunView, times: &Times) -> [Cell; 7] {
    let until =
        run.until.as_deref().and_then(list::instant).map(|at| format!(", goes on {}", times.coming(at, &times.zone))).unwrap_or_default();
    let since = run.started_at.as_deref().and_then(list::instant).map(|at| times.passed(at)).unwrap_or_default();
    [
        format!("{:>5}", run.run).into(),
        Cell::new(&run.instance, BOLD),
        format!("{}{until}", run.phase.replace('_', " ")).into(),
        run.attempt.to_string().into(),
        since.into(),
        progress(run).into(),
        text::one_line(&run.note).into(),
    ]
}

/// `120/240 (50%), 3m 2s left`, as far as that is known.
fn progress(run: &RunView) -> String {
    let mut text = match (run.done, run.total) {
        (0, 0) => String::new(),
        (done, 0) => done.to_string(),
        (done, total) => format!("{done}/{total} ({}%)", done.min(total).saturating_mul(100) / total),
    };
    if let Some(still) = run.still_s.map(text::seconds).filter(|still| STILL_AFTER <= *still) {
        write!(text, "{}still for {}", if text.is_empty() { "" } else { ", " }, text::took(still)).unwrap_or_default();
    }
    if let Some(left) = run.left_s {
        write!(text, ", {} left", text::took(text::seconds(left))).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::view::ConfigView;

    fn status() -> StatusView {
        StatusView {
            version: "0.1.0".to_owned(),
            pid: 4711,
            started_at: "2026-11-22T04:00:00Z".to_owned(),
            now: "2026-11-22T04:48:00Z".to_owned(),
            practice_speed: None,
            config: ConfigView {
                path: "tasks.yaml".to_owned(),
                loaded_at: "2026-11-22T04:00:00Z".to_owned(),
                reloads: 2,
                last_reload_faults: Vec::new(),
            },
            stuck: 0,
            degraded: Vec::new(),
            stopping: false,
            instances: Vec::new(),
            runs: vec![RunView {
                run: 12,
                instance: "sync_inventory".to_owned(),
                trigger: "schedule".to_owned(),
                fire_at: "2026-11-22T04:45:00Z".to_owned(),
                phase: "lock_wait".to_owned(),
                until: None,
                attempt: 1,
                started_at: Some("2026-11-22T04:45:00Z".to_owned()),
                done: 120,
                total: 240,
                note: "waiting for the offers quota".to_owned(),
                left_s: Some(182.0),
                still_s: Some(2.0),
                timeout_governs: false,
                grace_s: 30.0,
            }],
        }
    }

    fn shown(status: &StatusView) -> String {
        let shown = StatusPage { status: status.clone(), data: None, quotas: Vec::new() };
        anstream::adapter::strip_str(&render(&shown, true)).to_string()
    }

    #[test]
    fn a_run_shows_how_far_it_is_and_what_it_waits_for() {
        let text = shown(&status());
        assert!(
            text.contains("12  sync_inventory  lock wait  1        3m ago  120/240 (50%), 3m 2s left  waiting for the offers quota"),
            "{text}"
        );
        assert!(text.contains("file       tasks.yaml, read 48m ago, 2 reloads"), "{text}");
    }

    #[test]
    fn a_run_that_waits_for_a_limit_says_until_when() {
        let mut status = status();
        status.runs[0] = RunView {
            phase: "not_yet".to_owned(),
            until: Some("2026-11-22T05:00:00Z".to_owned()),
            note: "the hour's calls are used up".to_owned(),
            ..status.runs[0].clone()
        };
        let text = shown(&status);
        assert!(text.contains("not yet, goes on") && text.contains("(in 12m)") && text.contains("the hour's calls are used up"), "{text}");
    }

    #[test]
    fn what_is_wrong_stands_at_the_top() {
        let mut status = status();
        status.config.last_reload_faults = vec!["tasks.yaml:3:4: unknown key".to_owned()];
        status.degraded = vec!["the store refuses writes".to_owned()];
        status.stopping = true;
        let text = shown(&status);
        for line in
            ["fault      tasks.yaml:3:4: unknown key", "trouble    the store refuses writes", "stopping   no new runs; waits for 1 run"]
        {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn practice_says_so_and_shows_its_own_time() {
        let status = StatusView { practice_speed: Some(60), ..status() };
        assert!(shown(&status).contains("practice   the marketplace is a sandbox, time runs 60 times as fast"));
    }
}
