//! `taskrun man`: the manual, a page a command, out of the help texts.
use std::{fs, path::PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::{
    Line,
    exit::{Exit, Failure},
    place::Place,
    text,
};

/// The manual: a page on stdout, or all pages into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    taskrun man | man -l -\n  \
    taskrun man queue add | man -l -\n  \
    taskrun man --out ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// The page of this command; otherwise of taskrun itself
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write all pages into this folder, which is made
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, place: &Place) -> Result<Exit, Failure> {
    let mut top = Line::command();
    top.build();
    if let Some(folder) = &args.out {
        let failed = |error: std::io::Error| Failure::because(Exit::Failed, format!("failed to write into `{}`", folder.display()), &error);
        fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(top, folder).map_err(failed)?;
        let pages = fs::read_dir(folder).map_err(failed)?.count();
        place.screen.say(&format!("{} in `{}`", text::counted(pages, "page"), folder.display()));
        return Ok(Exit::Done);
    }
    let mut command = &top;
    for name in &args.command {
        command = command.find_subcommand(name).ok_or_else(|| unknown(command, name))?;
    }
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    place.screen.data(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}

fn unknown(command: &Command, name: &str) -> Failure {
    let failure = Failure::usage(format!("there is no command `{name}`"));
    match text::closest(name, command.get_subcommands().map(Command::get_name)) {
        Some(closest) => failure.advise(format!("did you mean `{closest}`?")),
        None => failure.advise("`taskrun --help` shows what there is"),
    }
}
