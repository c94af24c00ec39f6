//! The command line: arguments to a command, a command to an exit code. One file a command.
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::{
    exit::{Exit, Failure},
    place::Place,
    screen::Screen,
};
use crate::config::LogLevel;

mod accounts;
mod backup;
mod check;
mod completions;
mod discreet;
mod doctor;
mod dry;
pub mod exit;
mod explain;
mod history;
mod import;
pub mod init;
mod list;
mod logs;
mod man;
mod next;
mod notify;
mod once;
mod pause;
mod place;
mod practice;
mod presence;
mod products;
mod queue;
mod quotas;
pub mod render;
mod run;
mod sandbox;
pub mod schema;
mod screen;
mod service;
mod settings;
mod simulate;
mod status;
mod supplies;
mod talk;
mod text;
mod views;
mod work;

/// How much faster the practice clocks run where `--sandbox` does not say.
const PRACTICE_SPEED: &str = "60";
/// The fastest practice clock: a day a second. Beyond, the runner's own milliseconds are minutes.
const PRACTICE_SPEED_MAX: i64 = 86_400;

/// A declarative, cron-style task runner: one tasks.yaml, one binary
#[derive(Debug, Parser)]
#[command(name = "taskrun", version, disable_help_subcommand = true)]
#[command(after_help = "Examples:\n  \
    taskrun run --sandbox      practice: nothing real is touched\n  \
    taskrun init               a tasks.yaml to begin with; then `taskrun check`\n  \
    taskrun doctor             is all right that it stands on\n\n\
    Exit codes: 0 done, 1 the run failed, 2 usage or configuration, 3 no daemon answers, 74 store damaged or unwritable,\n\
    75 skipped or superseded, 130/143 a `once` ended by a signal.")]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "For every command")]
pub(crate) struct Global {
    /// The configuration; otherwise ./tasks.yaml, what `TASKRUN_CONFIG` names, /etc/taskrun/tasks.yaml
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Keep the store and all other state here, whatever the file says
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// The least important log lines that are written: error, warn, info, debug, trace
    #[arg(long, value_name = "L", global = true, value_parser = log_level)]
    log_level: Option<LogLevel>,
    /// Colours: auto, always, never
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_default_value = true, hide_possible_values = true)]
    color: ColorChoice,
    /// No progress bars
    #[arg(long, global = true)]
    no_progress: bool,
    /// Nothing on stderr but errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Practice: a made-up marketplace, a clock SPEED times as fast (60), a state of their own
    #[arg(long, value_name = "SPEED", global = true, num_args = 0..=1, require_equals = true, default_missing_value = PRACTICE_SPEED)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=PRACTICE_SPEED_MAX))]
    sandbox: Option<u32>,
}

fn log_level(text: &str) -> Result<LogLevel, String> {
    LogLevel::from_word(text).ok_or_else(|| "one of error, warn, info, debug, trace".to_owned())
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Once(once::Args),
    List(list::Args),
    Next(next::Args),
    Check(check::Args),
    Status(status::Args),
    History(history::Args),
    Explain(explain::Args),
    Simulate(simulate::Args),
    Logs(logs::Args),
    Reload(talk::ReloadArgs),
    Stop(talk::StopArgs),
    Products(products::Args),
    Accounts(accounts::Args),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Trigger(talk::TriggerArgs),
    Cancel(talk::CancelArgs),
    Queue(queue::Args),
    Notify(notify::Args),
    Work(work::Args),
    Supplies(supplies::Args),
    Settings(settings::Args),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Service(service::Args),
    Import(import::Args),
    Sandbox(sandbox::Args),
    Init(init::Args),
    Completions(completions::Args),
    Man(man::Args),
    Doctor(doctor::Args),
    Schema(schema::Args),
}

/// Threads that looked after blocking work leave after this long without any.
const IDLE_THREADS: std::time::Duration = std::time::Duration::from_secs(2);

/// Runs a command line, its first word being the program's name.
pub fn main(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = line.into_iter().collect();
    // Help and wrong usage are shown before the line is understood.
    let command = Line::command().color(color(&words));
    let line = match command.try_get_matches_from(words).and_then(|matches| Line::from_arg_matches(&matches)) {
        Ok(line) => line,
        Err(error) => return refused(&error).into(),
    };
    let screen = Screen::new(line.global.color, line.global.quiet, !line.global.no_progress);
    // A command that makes connections needs it; refused where there is one already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let place = Place::new(screen, line.global);
    match perform(line.command, &place) {
        Ok(exit) => exit,
        Err(failure) => told(failure, screen),
    }
    .into()
}

/// What `--color` says, wherever it stands; the terminal, `NO_COLOR` and `CLICOLOR_FORCE` where it says nothing.
fn color(words: &[OsString]) -> ColorChoice {
    let said = words.iter().enumerate().filter_map(|(index, word)| match word.to_str()?.strip_prefix("--color") {
        Some("") => words.get(index.saturating_add(1))?.to_str(),
        Some(said) => said.strip_prefix('='),
        None => None,
    });
    said.rev().find_map(|said| said.parse().ok()).unwrap_or(ColorChoice::Auto)
}

/// Help is data; wrong usage is not.
fn refused(error: &clap::Error) -> Exit {
    let written = error.print();
    if error.use_stderr() || written.is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe) { Exit::Usage } else { Exit::Done }
}

fn perform(command: Command, place: &Place) -> Result<Exit, Failure> {
    // The daemon and `once` run handlers beside the driver; everything else waits for one thing at a time.
    let many = matches!(command, Command::Run(_) | Command::Once(_) | Command::Sandbox(_));
    let mut builder = if many { tokio::runtime::Builder::new_multi_thread() } else { tokio::runtime::Builder::new_current_thread() };
    let runtime = builder
        .enable_all()
        .thread_keep_alive(IDLE_THREADS)
        .build()
        .map_err(|error| Failure::because(Exit::Failed, "failed to start", &error))?;
    let result = runtime.block_on(async {
        match command {
            Command::Run(args) => run::run(args, place).await,
            Command::Once(args) => once::run(args, place).await,
            Command::List(args) => list::run(args, place).await,
            Command::Next(args) => next::run(args, place).await,
            Command::Check(args) => check::run(args, place).await,
            Command::Status(args) => status::run(args, place).await,
            Command::History(args) => history::run(args, place).await,
            Command::Explain(args) => explain::run(args, place).await,
            Command::Simulate(args) => simulate::run(args, place).await,
            Command::Logs(args) => logs::run(args, place).await,
            Command::Reload(args) => talk::reload(args, place).await,
            Command::Stop(args) => talk::stop(args, place).await,
            Command::Products(args) => products::run(args, place).await,
            Command::Accounts(args) => accounts::run(args, place).await,
            Command::Pause(args) => pause::pause(args, place).await,
            Command::Resume(args) => pause::resume(args, place).await,
            Command::Trigger(args) => talk::trigger(args, place).await,
            Command::Cancel(args) => talk::cancel(args, place).await,
            Command::Queue(args) => queue::run(args, place).await,
            Command::Notify(args) => notify::run(args, place).await,
            Command::Work(args) => work::run(args, place).await,
            Command::Supplies(args) => supplies::run(args, place).await,
            Command::Settings(args) => settings::run(args, place).await,
            Command::Backup(args) => backup::backup(args, place).await,
            Command::Restore(args) => backup::restore(args, place).await,
            Command::Service(args) => service::run(args, place).await,
            Command::Import(args) => import::run(args, place).await,
            Command::Sandbox(args) => sandbox::run(args, place).await,
            Command::Init(args) => init::run(&args, place),
            Command::Completions(args) => completions::run(&args, place),
            Command::Man(args) => man::run(&args, place),
            Command::Doctor(args) => doctor::run(args, place).await,
            Command::Schema(_) => schema::run(place),
        }
    });
    // A handler's thread that never ends must not keep the process.
    runtime.shutdown_background();
    result
}

/// Shows why a command failed, all of it at once.
fn told(failure: Failure, screen: Screen) -> Exit {
    let exit = failure.exit();
    match failure {
        Failure::Faults(faults) => screen.on_stderr(render::faults(&faults, screen.err_has_color()).trim_end()),
        Failure::Told { message, advice, .. } => screen.error(&message, advice.as_deref()),
        Failure::Output(_) if exit == Exit::Done => {}
        Failure::Output(error) => screen.error(&format!("failed to write the output: {error}"), None),
    }
    exit
}

#[cfg(test)]
mod tests;
