//! `taskrun init`: the files to begin with. Asks nothing, and overwrites nothing.
use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;

use super::{
    exit::{Exit, Failure},
    place::Place,
    schema,
};
use crate::shop::setting::is_variable;

const TASKS: &str = "tasks.yaml";
const STARTER: &str = include_str!("init/tasks.yaml");
const SHOP: &str = include_str!("../../tasks.yaml");
/// What the shop's file names beside it.
const SHOP_RULES: (&str, &str) = ("deploy/publish-rules.yaml", include_str!("../../deploy/publish-rules.yaml"));
const VARIABLES: &str = ".env.example";
/// Where the system does not say its zone, the shop's.
const ZONE: &str = "Asia/Tokyo";
const ECHO: &str = if cfg!(windows) { "[cmd, /c, echo good morning]" } else { "[echo, good morning]" };

/// Write the files to begin with: tasks.yaml, its schema for editors, and a list of its variables
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  taskrun init\n  taskrun init --dir /srv/taskrun\n  taskrun init --shop --dir shop\n\n\
    It asks nothing and overwrites nothing: where there is a tasks.yaml, it writes nothing at all (exit code 2).")]
pub(crate) struct Args {
    /// The folder, which is made; otherwise this one
    #[arg(long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    dir: PathBuf,
    /// A shop's back office, whole, instead of a file with one task: what Amazon has, listed at BASE
    #[arg(long)]
    shop: bool,
}

pub(crate) fn run(args: &Args, place: &Place) -> Result<Exit, Failure> {
    let there = args.dir.join(TASKS);
    if there.symlink_metadata().is_ok() {
        let message = format!("`{}` is there already: nothing was written", there.display());
        return Err(Failure::usage(message).advise("`taskrun check` looks at it; `taskrun init --dir FOLDER` begins another"));
    }
    let tasks = if args.shop { SHOP.to_owned() } else { starter(&zone()) };
    let mut files = vec![(VARIABLES, variables(&tasks)), (schema::FILE, schema::text())];
    if args.shop {
        files.push((SHOP_RULES.0, SHOP_RULES.1.to_owned()));
    }
    // The one that says that all is there comes last.
    files.push((TASKS, tasks));
    let mut text = String::new();
    for (name, content) in files {
        let path = args.dir.join(name);
        let did = match write_new(&path, &content) {
            Ok(()) => "wrote",
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => "kept ",
            Err(error) => return Err(Failure::because(Exit::Failed, format!("failed to write `{}`", path.display()), &error)),
        };
        writeln!(text, "{did} {}", path.display()).unwrap_or_default();
    }
    place.screen.data(&format!("{text}\nNext:\n{}", next(args)))?;
    Ok(Exit::Done)
}

/// The file with one task, for this machine.
pub fn starter(zone: &str) -> String {
    STARTER.replace("@ZONE@", zone).replace("@ECHO@", ECHO)
}

fn zone() -> String {
    TimeZone::try_system().ok().and_then(|zone| zone.iana_name().map(ToOwned::to_owned)).unwrap_or_else(|| ZONE.to_owned())
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, content: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(content.as_bytes())
}

/// Three commands, and where to type them.
fn next(args: &Args) -> String {
    let mut lines = Vec::new();
    if args.dir != Path::new(".") {
        lines.push(format!("cd {}", quoted(&args.dir)));
    }
    let commands = if args.shop {
        [
            "taskrun check --sandbox        # --sandbox is practice: nothing real is touched",
            "taskrun run --sandbox",
            "taskrun doctor                 # before it is the real thing",
        ]
    } else {
        ["taskrun check", "taskrun once hello", "taskrun run"]
    };
    lines.extend(commands.map(str::to_owned));
    format!("  {}\n", lines.join("\n  "))
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | ':' | '\\');
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The variables that a file names, those in its comments included, for their owner to fill in.
fn variables(tasks: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for after in tasks.split("${").skip(1) {
        let name = after.split('}').next().unwrap_or_default();
        if is_variable(name) && name != "NAME" && !names.contains(&name) {
            names.push(name);
        }
    }
    let head = "# The variables that tasks.yaml names. Copy this to taskrun.env, fill it in, and let nobody else read it:\n\
        #   cp .env.example taskrun.env && chmod 600 taskrun.env\n\
        # The service reads taskrun.env by itself. In a terminal:\n\
        #   set -a; . ./taskrun.env; set +a\n";
    names.iter().fold(head.to_owned(), |text, name| format!("{text}{name}=\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_are_those_of_the_file() {
        let text = variables("a: ${ONE} # ${TWO}\nb: \"${ONE}${NAME}\"\nc: $${\n");
        assert!(text.ends_with("set +a\nONE=\nTWO=\n"), "{text}");
        assert!(variables(SHOP).contains("\nLWA_CLIENT_SECRET=\n"));
    }

    #[test]
    fn a_folder_with_a_blank_is_quoted() {
        assert_eq!(quoted(Path::new("/srv/my shop's")), r"'/srv/my shop'\''s'");
        assert_eq!(quoted(Path::new("/srv/店")), "/srv/店");
    }
}
