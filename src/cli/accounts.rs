//! `taskrun accounts`: the sellers and shops, whether taskrun may call them, and what a person does about it.
use super::{
    exit::{Exit, Failure},
    place::Place,
    practice, text,
};
use crate::{config::Config, store::shop::AccountKey};

mod check;
mod list;
mod login;
mod park;
mod worked;

/// The sellers and shops: their logins, and whether they are called
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun accounts list")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Check(check::Args),
    Login(login::Args),
    Pause(park::PauseArgs),
    Resume(park::ResumeArgs),
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    match args.command {
        Command::List(args) => list::run(args, place).await,
        Command::Check(args) => check::run(args, place).await,
        Command::Login(args) => login::run(args, place).await,
        Command::Pause(args) => park::pause(args, place).await,
        Command::Resume(args) => park::resume(args, place).await,
    }
}

/// The configuration with its accounts, in practice with those of the practice marketplace, for commands that call nobody.
pub(super) fn configured(place: &Place) -> Result<Config, Failure> {
    let mut config = place.load_without_secrets()?;
    if place.practice().is_some() {
        practice::stand_in(&mut config, "");
    }
    Ok(config)
}

/// The account of that name.
fn named(config: &Config, name: &str) -> Result<AccountKey, Failure> {
    if let Some((name, account)) = config.accounts.get_key_value(name) {
        return Ok(AccountKey { platform: account.platform, account: name.clone() });
    }
    Err(unknown(name, config.accounts.keys().map(|name| &**name)))
}

/// A name that is none of these accounts'.
pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let failure = Failure::usage(format!("there is no account `{name}`"));
    match text::closest(name, known) {
        Some(closest) => failure.advise(format!("did you mean `{closest}`?")),
        None => failure.advise("`taskrun accounts list` shows what there is"),
    }
}
