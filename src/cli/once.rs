//! `taskrun once`: one run now, by the same rules as the daemon's, and the exit code of its end.
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use indicatif::MultiProgress;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    dry,
    exit::{Exit, Failure},
    history::end_words,
    place::Place,
    presence::{Presence, Role},
    text, views,
};
use crate::{
    access::Progress,
    clock::Clock,
    config::Config,
    core::{
        event::RunEnd,
        order,
        task::{Instance, RunId},
    },
    engine::{
        self, Ended,
        control::Control,
        signal::{self, Signal},
        view::TriggeredView,
    },
    observe::progress::{self, Style},
    store::{self, HistoryRow, RowState, RunStore},
};

/// How often the bars take over how far the runs are.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One run now, by the same rules as the daemon's; the exit code tells its end
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  taskrun once sync_inventory --dry-run\n  taskrun once upload_tick@base_account_1 --set batch_size=1")]
pub(crate) struct Args {
    /// A task with all its instances, or one instance
    #[arg(value_name = "INSTANCE|TASK")]
    name: String,
    /// Read everything, write nothing, and print what would be written
    #[arg(long)]
    dry_run: bool,
    /// Another value for a key under `with`; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// How a run ended, as JSON; stable.
#[derive(Debug, Serialize)]
pub(crate) struct OnceView {
    pub(crate) instance: String,
    pub(crate) run: Option<i64>,
    /// The run's end (`succeeded`, `failed`, ...), `skipped`, or `open` where the process stopped before it.
    pub(crate) end: &'static str,
    /// Why it was skipped.
    pub(crate) reason: Option<String>,
    pub(crate) superseded_by: Option<i64>,
    pub(crate) took_s: Option<f64>,
    pub(crate) dry: bool,
    pub(crate) text: Option<String>,
    /// What a dry run would have written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<Vec<dry::PlannedView>>,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let mut config = place.load()?;
    for instance in views::named(&config.instances, &args.name)? {
        let changed = with_settings(&instance, &args.set, &config, place)?;
        config.instances.insert(instance.name.clone(), changed);
    }
    let signals = signal::listen()?;
    let presence = Presence::begin(Role::Once, &mut config, place).await?;
    let meant = views::named(&config.instances, &args.name)?;
    if args.dry_run {
        let (views, exit) = dry::run(&meant, &config, &presence, signals, place).await?;
        show(&views, args.json, place)?;
        presence.end(true).await?;
        return Ok(exit);
    }
    say_unmet(&meant, presence.store.as_ref(), place).await?;
    let (control, requests) = Control::channel();
    let options = presence.engine(&config, requests, place);
    let closing = CancellationToken::new();
    let listening = presence.listen(control.clone(), closing.clone()).await?;
    let engine = tokio::spawn(engine::run(options));
    let bars =
        tokio::spawn(mirror(control.clone(), place.screen.draws_bars().then(|| presence.log.handle().bars()), Arc::clone(&presence.clock)));
    let signalled = Arc::new(OnceLock::new());
    let heeding = tokio::spawn(heed(signals, control.clone(), Arc::clone(&signalled)));
    let triggered = control.trigger(args.name.clone(), true).await;
    let report = engine.await.map_err(|error| Failure::because(Exit::Failed, "the engine stopped working", &error))??;
    bars.abort();
    heeding.abort();
    closing.cancel();
    listening.end().await;
    if triggered.is_err() && signalled.get().is_none() {
        let message = format!("nothing ran: the store `{}` does not take writes", presence.state.store.display());
        return Err(Failure::told(Exit::Store, message).advise("the log says why; is the disk full?"));
    }
    let triggered = triggered.unwrap_or_default();
    let mut views = Vec::new();
    for one in &triggered {
        let left = match one.run.filter(|run| !report.ended.iter().any(|ended| ended.run.0 == *run)) {
            Some(run) => presence.store.row(RunId(run)).await?,
            None => None,
        };
        views.push(view(one, &report.ended, left.as_ref()));
    }
    presence.send_last_notices().await;
    presence.end(report.in_time).await?;
    show(&views, args.json, place)?;
    let exit = views.iter().map(OnceView::exit).fold(Exit::Done, Exit::worse);
    Ok(signalled.get().copied().map_or(exit, Exit::by))
}

/// A start by hand passes the needs; whoever starts it is told what is missing.
async fn say_unmet(meant: &[Arc<Instance>], store: &dyn RunStore, place: &Place) -> Result<(), Failure> {
    for instance in meant {
        let last = store.last_runs(instance.needs.iter().map(|need| need.of.clone()).collect()).await?;
        if let Some(unmet) = order::unmet(&instance.needs, &last, place.now()?) {
            place.screen.say(&format!("note: {} {unmet}; it was started by hand, and runs all the same", instance.name));
        }
    }
    Ok(())
}

/// The instance with what `--set` changes.
fn with_settings(instance: &Arc<Instance>, settings: &[String], config: &Config, place: &Place) -> Result<Arc<Instance>, Failure> {
    let mut changed = Instance::clone(instance);
    changed.with.0.extend(place.settings(settings, &instance.handler, config)?.0);
    Ok(Arc::new(changed))
}

/// Turns signals into requests, and remembers the first.
async fn heed(mut signals: mpsc::Receiver<Signal>, control: Control, first: Arc<OnceLock<Signal>>) {
    while let Some(signal) = signals.recv().await {
        first.get_or_init(|| signal);
        drop(control.stop().await);
    }
}

/// Shows in bars how far the runs are. Without bars the log says it, a line a minute.
async fn mirror(control: Control, bars: Option<MultiProgress>, clock: Arc<dyn Clock>) {
    let Some(bars) = bars else { return };
    let mut shown: BTreeMap<i64, (Progress, DropGuard)> = BTreeMap::new();
    while let Ok(status) = control.status().await {
        shown.retain(|run, _| status.runs.iter().any(|view| view.run == *run));
        for view in status.runs {
            let (progress, _) = shown.entry(view.run).or_insert_with(|| {
                let (progress, over) = (Progress::default(), CancellationToken::new());
                tokio::spawn(progress::watch(
                    progress.clone(),
                    view.instance.clone(),
                    Style::Bar(bars.clone()),
                    Arc::clone(&clock),
                    over.clone(),
                ));
                (progress, over.drop_guard())
            });
            progress.set_total(view.total);
            progress.set_done(view.done);
            progress.note(view.note);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How it ended: as the engine saw it, or, where somebody else ended it, as the store has it.
fn view(one: &TriggeredView, ended: &[Ended], left: Option<&HistoryRow>) -> OnceView {
    let view = OnceView {
        instance: one.instance.clone(),
        run: one.run,
        end: "open",
        reason: None,
        superseded_by: None,
        took_s: None,
        dry: false,
        text: None,
        plan: None,
    };
    if let Some(ended) = ended.iter().find(|ended| Some(ended.run.0) == one.run) {
        return OnceView {
            end: ended.end.word(),
            superseded_by: ended.by.map(|run| run.0),
            took_s: Some(ended.took.as_secs_f64()),
            text: ended.text.as_deref().map(ToOwned::to_owned),
            ..view
        };
    }
    if one.run.is_none() {
        return OnceView { end: "skipped", reason: one.skipped.clone(), ..view };
    }
    match left {
        Some(HistoryRow { state: RowState::Ended { end, by }, text, .. }) => {
            let took_s = left.and_then(store::took).map(|took| took.as_secs_f64());
            OnceView { end: end.word(), superseded_by: by.map(|run| run.0), took_s, text: text.clone(), ..view }
        }
        // This process stops before the run has ended: the next start sees to it.
        Some(_) | None => view,
    }
}

impl OnceView {
    fn exit(&self) -> Exit {
        match RunEnd::from_word(self.end) {
            Some(end) => Exit::of(end),
            None if self.end == "skipped" => Exit::Skipped,
            None => Exit::Failed,
        }
    }

    /// `sync_inventory: run 12 ok in 4.1s: 240 items read`.
    fn line(&self) -> String {
        let Some(run) = self.run else {
            return format!("{}: skipped ({})\n", self.instance, self.reason.as_deref().unwrap_or("no reason given"));
        };
        let what = if self.dry { "dry run" } else { "run" };
        let by = self.superseded_by.map(|run| format!(" by run {run}")).unwrap_or_default();
        let took = self.took_s.map(|took| format!(" after {}", text::took(text::seconds(took)))).unwrap_or_default();
        let text = self.text.as_deref().map(|text| format!(": {}", text::one_line(text))).unwrap_or_default();
        format!("{}: {what} {run} {}{by}{took}{text}\n", self.instance, end_words(self.end))
    }
}

fn show(views: &[OnceView], json: bool, place: &Place) -> Result<(), Failure> {
    if json {
        return place.screen.json(&views);
    }
    for view in views {
        if let Some(planned) = &view.plan {
            place.screen.data(&dry::plan(planned))?;
        }
        place.screen.data(&view.line())?;
    }
    Ok(())
}
