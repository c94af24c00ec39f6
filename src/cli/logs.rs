//! `taskrun logs`: all log files as one stream.
use std::{num::NonZeroUsize, time::Duration};

use clap::builder::styling::{AnsiColor, Style};
use jiff::tz::TimeZone;
use tracing::Level;

use super::{
    exit::{Exit, Failure},
    log_level,
    place::Place,
    presence::level_of,
    text::{self, BAD, DIM, GOOD, ODD},
};
use crate::{
    config::{LogLevel, Secrets},
    observe::{
        log::printable,
        read::{Line, Logs, Wanted},
    },
    os,
    view::logs::LogView,
};

/// Lines shown unless `-n` or `--since` says otherwise: what `docker logs` users and others tail.
const LINES: usize = 100;
/// How soon a line that was written is shown.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What accounts and tasks are told apart by. Red, green and yellow say how bad a line is.
const COLOURS: [AnsiColor; 6] =
    [AnsiColor::Cyan, AnsiColor::Magenta, AnsiColor::Blue, AnsiColor::BrightCyan, AnsiColor::BrightMagenta, AnsiColor::BrightBlue];

/// All log files as one stream, in the order of time
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  taskrun logs -f\n  taskrun logs upload_tick --account base_account_1 --since 2h\n  \
    taskrun logs --level warn -n 20\n  taskrun logs --run 41 --json")]
pub(crate) struct Args {
    /// Only this task or instance; `taskrun` is the daemon itself
    #[arg(value_name = "TASK")]
    name: Option<String>,
    /// Go on with what is written from now on, until Ctrl+C
    #[arg(short, long)]
    follow: bool,
    /// At most this many of the last lines; otherwise 100, or all with --since or --run
    #[arg(short = 'n', long = "lines", value_name = "N")]
    lines: Option<NonZeroUsize>,
    /// Only of this account's instances
    #[arg(long, value_name = "A")]
    account: Option<String>,
    /// Only what is at least as important: error, warn, info, debug, trace
    #[arg(long, value_name = "L", value_parser = log_level)]
    level: Option<LogLevel>,
    /// Only of this run
    #[arg(long, value_name = "RUN")]
    run: Option<i64>,
    /// Only what was written since then: `2h`, `7d`, or an instant
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let (logs, zone) = logs(place)?;
    let wanted = Wanted {
        task: args.name.clone(),
        account: args.account.clone(),
        level: args.level.map(level_of),
        run: args.run,
        since: args.since.as_deref().map(|since| text::instant_before(since, now)).transpose()?,
    };
    let all = wanted.since.is_some() || wanted.run.is_some();
    let limit = args.lines.map(NonZeroUsize::get).or((!all).then_some(LINES));
    // Before the past is read: what is written meanwhile belongs to what follows, and may be shown twice rather than not at all.
    let mut follower = args.follow.then(|| logs.follow(wanted.clone()));
    let lines = logs.lines(&wanted, limit).map_err(|error| unreadable(&error))?;
    if lines.is_empty() && !args.follow {
        nothing(&args, place)?;
    }
    show(&lines, &args, place, &zone)?;
    while let Some(follower) = &mut follower {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = tokio::signal::ctrl_c() => break,
        }
        show(&follower.look().map_err(|error| unreadable(&error))?, &args, place, &zone)?;
    }
    Ok(Exit::Done)
}

/// Where the logs are. A file with faults still has its logs, and now they matter.
fn logs(place: &Place) -> Result<(Logs, TimeZone), Failure> {
    let file = place.config_file()?;
    if let Ok(config) = place.read_config(&file, Secrets::NotNeeded)? {
        return Ok((Logs::new(&config.log.dir, config.timezone.clone()), config.timezone));
    }
    let dir = os::above(&file).join("logs");
    place.screen.say(&format!("{} has faults (`taskrun check`); these are the logs in {}", file.display(), dir.display()));
    Ok((Logs::new(&dir, TimeZone::system()), TimeZone::system()))
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::because(Exit::Failed, "failed to read the logs", error).advise("they belong to whoever runs the daemon; see `log: { dir: }`")
}

/// A name that is nothing's is a slip; otherwise there is nothing yet.
fn nothing(args: &Args, place: &Place) -> Result<(), Failure> {
    if let Some(name) = args.name.as_deref().filter(|name| *name != "taskrun") {
        place.known_name(name)?;
    }
    place.screen.say("no such line in the logs");
    Ok(())
}

fn show(lines: &[Line], args: &Args, place: &Place, zone: &TimeZone) -> Result<(), Failure> {
    if args.json {
        return lines.iter().try_for_each(|line| place.screen.json_line(&LogView::of(line, zone)));
    }
    let text: String = lines.iter().map(|line| coloured(line, zone)).collect();
    place.screen.data(&text)
}

/// A line as people read it: the level and the account in their colours.
fn coloured(line: &Line, zone: &TimeZone) -> String {
    let message = printable(&line.message);
    let Some(at) = line.at else { return format!("{message}\n") };
    let time = at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S");
    let tone = match line.level {
        Level::ERROR => BAD,
        Level::WARN => ODD,
        Level::INFO => GOOD,
        _ => DIM,
    };
    let whose = colour_of(line.account().unwrap_or(&line.name));
    let run = line.run.map(|run| format!("{DIM}#{run}{DIM:#}")).unwrap_or_default();
    let name = printable(&line.name);
    let body = if line.level == Level::ERROR { format!("{BAD}{message}{BAD:#}") } else { message.into_owned() };
    format!("{DIM}{time}{DIM:#} [{tone}{}{tone:#}] {whose}{name}{whose:#}{run}: {body}\n", line.level)
}

/// The same name always has the same colour.
fn colour_of(name: &str) -> Style {
    let sum = name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    COLOURS.get(sum % COLOURS.len()).copied().unwrap_or(AnsiColor::Cyan).on_default().bold()
}
