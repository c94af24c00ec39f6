//! `taskrun run`: the daemon, in the foreground.
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    exit::{Exit, Failure},
    list,
    place::Place,
    presence::{Presence, Role},
    render, service,
    text::{self, BOLD, Cell, ODD, Times},
    views,
};
use crate::{
    config::Config,
    engine::{
        self, EngineOptions,
        control::Control,
        signal::{self, Signal},
        view::InstanceView,
    },
    handlers::registry,
};

/// Fires that the first screen shows.
const FIRST_FIRES: usize = 3;

/// A message that is on its way when the daemon stops has so long to arrive; otherwise the next start sends it again.
const LAST_MESSAGE: Duration = Duration::from_secs(5);

/// How often a watched file is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The daemon, in the foreground: fires each task at its time until it is stopped
#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Examples:\n  taskrun run --sandbox     practice: nothing real is touched\n  taskrun run --replace     take over from a daemon that runs"
)]
pub(crate) struct Args {
    /// Stop the daemon that runs, and take over from it
    #[arg(long)]
    replace: bool,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let config = place.load()?;
    under(args, config, signal::listen()?, place).await
}

/// The daemon; `signals` come from the system, or from who looks after its services.
pub(crate) async fn under(args: Args, mut config: Config, signals: mpsc::Receiver<Signal>, place: &Place) -> Result<Exit, Failure> {
    let presence = Presence::begin(Role::Daemon { replace: args.replace }, &mut config, place).await?;
    let (control, requests) = Control::channel();
    let options = EngineOptions { supervisor: service::supervisor(), ..presence.engine(&config, requests, place) };
    let closing = CancellationToken::new();
    let listening = match presence.listen(control.clone(), closing.clone()).await {
        Ok(listening) => listening,
        Err(failure) => {
            presence.end(true).await?;
            return Err(failure);
        }
    };
    let sending = presence.send_notices(closing.clone());
    if !config.warnings.is_empty() {
        place.screen.say(render::warnings(&config.warnings, place.screen.err_has_color()).trim_end());
    }
    introduce(&config, &presence, listening.url.as_deref(), place).await?;
    let mut engine = tokio::spawn(engine::run(options));
    let heeding = tokio::spawn(heed(signals, control.clone()));
    if config.watch {
        tokio::spawn(watch(config.path.clone(), control.clone()));
    }
    if place.practice().is_some() {
        begin_eagerly(&config, &control).await;
    }
    let report = tokio::select! {
        report = &mut engine => report,
        () = presence.displaced() => {
            tracing::error!("`{}` was removed or replaced under taskrun: what it writes down is lost, so it stops", presence.state.store.display());
            drop(control.stop().await);
            engine.await
        }
    };
    let report = report.map_err(|error| Failure::because(Exit::Failed, "the engine stopped working", &error))??;
    heeding.abort();
    closing.cancel();
    // A message on its way is sent to its end.
    drop(tokio::time::timeout(LAST_MESSAGE, sending).await);
    listening.end().await;
    let in_time = report.in_time;
    let displaced = (!presence.is_in_place()).then(|| presence.state.store.clone());
    presence.end(in_time).await?;
    if let Some(store) = displaced {
        let message = format!("stopped, because the store `{}` was removed or replaced while taskrun ran", store.display());
        return Err(Failure::told(Exit::Store, message).advise("put it back if it was moved, then `taskrun run`"));
    }
    place.screen.say(if in_time { "stopped" } else { "stopped; some runs did not end in time, the next start goes on with them" });
    Ok(if in_time { Exit::Done } else { Exit::Failed })
}

/// Turns signals into requests.
async fn heed(mut signals: mpsc::Receiver<Signal>, control: Control) {
    while let Some(signal) = signals.recv().await {
        match signal {
            Signal::Terminate | Signal::Interrupt => drop(control.stop().await),
            Signal::HangUp => {
                // Its outcome goes to the log and to status; nobody waits for it here.
                let control = control.clone();
                tokio::spawn(async move { drop(control.reload(false).await) });
            }
        }
    }
}

/// Loads the configuration again when the file has changed and rests, for `watch: true`.
async fn watch(path: PathBuf, control: Control) {
    let mut loaded = changed_at(&path).await;
    let mut seen = loaded;
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let now = changed_at(&path).await;
        // A file that is being written is left until it has not changed between two looks.
        if now.is_some() && now == seen && now != loaded {
            loaded = now;
            if control.reload(false).await.is_err() {
                return;
            }
        }
        seen = now;
    }
}

async fn changed_at(path: &Path) -> Option<SystemTime> {
    tokio::fs::metadata(path).await.ok()?.modified().ok()
}

/// In practice, what would be due in hours begins at once.
async fn begin_eagerly(config: &Config, control: &Control) {
    let eager = |handler: &str| registry::SPECS.iter().any(|spec| spec.name == handler && spec.eager_in_practice);
    for instance in config.instances.values().filter(|instance| instance.enabled && eager(&instance.handler)) {
        drop(control.trigger(instance.name.to_string(), false).await);
    }
}

/// The first screen: what this is, what it will do, where to look.
async fn introduce(config: &Config, presence: &Presence, url: Option<&str>, place: &Place) -> Result<(), Failure> {
    let now = presence.clock.now().wall;
    let times = Times { now, zone: config.timezone.clone(), relative: true };
    let mut views = views::instances(config, Some(&*presence.store), now).await?;
    views.retain(|view| view.next_at.is_some());
    views.sort_by_key(|view| view.next_at.as_deref().and_then(list::instant));
    let flag = if place.practice().is_some() { " --sandbox" } else { "" };
    let tasks = text::counted(views::tasks(config), "task");
    let mut rows: Vec<[Cell; 2]> = vec![[
        "  file".into(),
        format!("{}: {tasks}, {}", config.path.display(), text::counted(config.instances.len(), "instance")).into(),
    ]];
    let next: Vec<[Cell; 2]> = views.iter().take(FIRST_FIRES).map(|view| next(view, &times)).collect();
    for (index, line) in text::table(&next).lines().enumerate() {
        rows.push([if index == 0 { "  next" } else { "" }.into(), line.into()]);
    }
    if views.is_empty() {
        rows.push(["  next".into(), "nothing is due by itself".into()]);
    }
    rows.push(["  logs".into(), format!("{}: taskrun.log, and a file for each instance", config.log.dir.display()).into()]);
    rows.push(["  state".into(), config.state_dir.display().to_string().into()]);
    rows.push([
        "  look".into(),
        format!("`taskrun status{flag}` shows what runs, `taskrun history{flag}` what ran, `taskrun list{flag}` what is declared").into(),
    ]);
    if let Some(url) = url {
        rows.push(["  web".into(), url.into()]);
    }
    if let Some((endpoint, speed)) = presence.practice() {
        let spelled = if speed == 60 { " (an hour a minute)" } else { "" };
        let what = format!("nothing real is touched: a made-up marketplace at {endpoint}, and time runs {speed} times as fast{spelled}");
        rows.push([Cell::new("  practice", ODD), what.into()]);
    }
    place.screen.say(&format!("{BOLD}taskrun {}{BOLD:#} runs until Ctrl+C", env!("CARGO_PKG_VERSION")));
    place.screen.say(text::table(&rows).trim_end());
    Ok(())
}

fn next(view: &InstanceView, times: &Times) -> [Cell; 2] {
    let zone = TimeZone::get(&view.zone).unwrap_or(TimeZone::UTC);
    let at = view.next_at.as_deref().and_then(list::instant).map(|at| times.coming(at, &zone));
    [view.instance.as_str().into(), at.unwrap_or_default().into()]
}
