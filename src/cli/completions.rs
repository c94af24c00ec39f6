//! `taskrun completions`: what a shell has to know to complete commands and options.
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{
    Line,
    exit::{Exit, Failure},
    place::Place,
};

/// What a shell needs to complete commands and options: bash, zsh, fish, powershell, elvish
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    taskrun completions bash > ~/.local/share/bash-completion/completions/taskrun\n  \
    taskrun completions zsh > ~/.zfunc/_taskrun        with fpath+=~/.zfunc before compinit in ~/.zshrc\n  \
    taskrun completions fish > ~/.config/fish/completions/taskrun.fish\n  \
    taskrun completions powershell >> $PROFILE")]
pub(crate) struct Args {
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &Args, place: &Place) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Line::command(), "taskrun", &mut script);
    place.screen.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
