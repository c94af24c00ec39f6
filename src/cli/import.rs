//! `taskrun import`: other systems' settings as a tasks.yaml.
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use super::{
    exit::{Exit, Failure},
    place::Place,
    text,
};
use crate::{
    config::system_env,
    import::{
        BYTES_MAX, Imported, SheetError,
        crontab::{self, Format, Surroundings},
        office,
    },
};

/// The name that stands for standard input.
const STDIN: &str = "-";

/// Another system's settings as a tasks.yaml, printed
#[derive(Debug, clap::Args)]
#[command(after_help = "What means something else, and what had to be left out, is said on stderr and stands in the file as a comment.\n\
    Examples:\n  taskrun import crontab /etc/crontab > tasks.yaml\n  crontab -l | taskrun import crontab > tasks.yaml\n  \
    taskrun import daemons-json daemons.json --accounts accounts.py > tasks.yaml")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Crontab(CrontabArgs),
    DaemonsJson(DaemonsArgs),
    AccountsPy(AccountsArgs),
}

/// The old back office's daemons.json
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun import daemons-json daemons.json --accounts accounts.py > tasks.yaml")]
struct DaemonsArgs {
    /// The file; `-`: standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its accounts.py, for the shops
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
}

/// The old back office's accounts.py; it is read, never run
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun import accounts-py accounts.py > tasks.yaml")]
struct AccountsArgs {
    /// The file; `-`: standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A crontab: the system's, with users in it, or a user's own
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  taskrun import crontab /etc/crontab > tasks.yaml\n  crontab -l | taskrun import crontab > tasks.yaml")]
struct CrontabArgs {
    /// The crontab; `-` or nothing: standard input
    #[arg(value_name = "FILE", default_value = STDIN, hide_default_value = true)]
    file: PathBuf,
    /// It is the system's: a user stands before each command; otherwise told by what stands in it
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// It is a user's own
    #[arg(long)]
    user: bool,
    /// Who will run taskrun; otherwise the only user of the file, or root
    #[arg(long = "as", value_name = "USER", conflicts_with = "user")]
    run_as: Option<String>,
}

#[expect(clippy::unused_async, reason = "every command is awaited alike")]
pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let nothing;
    let imported = match args.command {
        Command::Crontab(args) => {
            let bytes = read(&args.file)?;
            let imported = from_crontab(&args, &bytes, place)?;
            nothing = (imported.tasks == 0 && !crontab::is_one(&bytes)).then(|| format!("{} is no crontab", shown(&args.file)));
            imported
        }
        Command::DaemonsJson(args) => {
            let imported = from_daemons(&args)?;
            nothing = (imported.tasks == 0).then(|| format!("{} names no daemon that is known", shown(&args.file)));
            imported
        }
        Command::AccountsPy(args) => {
            let imported = written(office::from_accounts(&shown(&args.file), &read_text(&args.file)?))?;
            nothing = (imported.tasks == 0).then(|| format!("{} names no shop that is known", shown(&args.file)));
            imported
        }
    };
    for remark in &imported.remarks {
        place.screen.say(&remark.to_string());
    }
    if let Some(nothing) = nothing {
        return Err(Failure::usage(nothing).advise("is it the right file, whole, and saved as UTF-8?"));
    }
    let left_out = imported.remarks.iter().filter(|remark| remark.left_out).count();
    let left_out = if left_out == 0 { String::new() } else { format!(", {} left out", text::counted(left_out, "line")) };
    place.screen.data(&imported.yaml)?;
    place.screen.say(&format!(
        "{}{left_out}; next: look at the lines with `!`, then taskrun check and taskrun list",
        text::counted(imported.tasks, "task")
    ));
    Ok(Exit::Done)
}

fn from_crontab(args: &CrontabArgs, bytes: &[u8], place: &Place) -> Result<Imported, Failure> {
    let of_the_system = args.file == Path::new("/etc/crontab") || args.file.parent() == Some(Path::new("/etc/cron.d"));
    let format = match (args.system || of_the_system || args.run_as.is_some(), args.user) {
        (_, true) => Format::User,
        (true, false) => Format::System,
        (false, false) => Format::Auto,
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let homes = homes(&users);
    let home = |user: Option<&str>| match user {
        Some(user) => homes.get(user).map(|home| (*home).to_owned()),
        None => system_env("HOME"),
    };
    let surroundings = Surroundings { format, run_as: args.run_as.as_deref(), home: &home, now: place.now()? };
    written(crontab::import(&shown(&args.file), bytes, &surroundings))
}

fn from_daemons(args: &DaemonsArgs) -> Result<Imported, Failure> {
    let daemons = read_text(&args.file)?;
    let accounts = args.accounts.as_deref().map(|file| Ok::<_, Failure>((shown(file), read_text(file)?))).transpose()?;
    let accounts = accounts.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    written(office::from_daemons(&shown(&args.file), &daemons, accounts))
}

fn written(imported: Result<Imported, SheetError>) -> Result<Imported, Failure> {
    imported.map_err(|error| Failure::because(Exit::Failed, "failed to import", &error))
}

fn read_text(file: &Path) -> Result<String, Failure> {
    let not_text = |_| Failure::usage(format!("{} is not UTF-8", shown(file))).advise("save it as UTF-8");
    String::from_utf8(read(file)?).map_err(not_text)
}

/// The users' home folders, by the lines of /etc/passwd.
fn homes(users: &str) -> BTreeMap<&str, &str> {
    let lines = users.lines().rev().filter_map(|line| line.split_once(':'));
    let homes = lines.filter_map(|(user, rest)| Some((user, rest.split(':').nth(4)?)));
    // The first line of a user counts.
    homes.filter(|(_, home)| home.starts_with('/') && *home != "/nonexistent").collect()
}

fn shown(file: &Path) -> String {
    if file == Path::new(STDIN) { "standard input".to_owned() } else { file.display().to_string() }
}

/// Reads a file or standard input.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::because(Exit::Usage, format!("failed to read {}", shown(file)), &error);
    let mut bytes = Vec::new();
    let limit = BYTES_MAX as u64 + 1;
    if file == Path::new(STDIN) && io::stdin().is_terminal() {
        return Err(Failure::usage("nothing comes in").advise("name a file, or pipe one in: `crontab -l | taskrun import crontab`"));
    } else if file == Path::new(STDIN) {
        io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        File::open(file).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() > BYTES_MAX {
        return Err(
            Failure::usage(format!("{} is longer than {} MiB", shown(file), BYTES_MAX >> 20)).advise("name the settings themselves")
        );
    }
    Ok(bytes)
}
