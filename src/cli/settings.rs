//! `taskrun settings`: names and values that a person keeps in the store, for env files and worker counts.
use std::{collections::BTreeSet, io::Read as _};

use serde::Serialize;

use super::{
    exit::{Exit, Failure},
    place::Place,
    text::{self, BOLD, Cell, DIM},
};
use crate::{
    shop::setting::{SettingName, SettingValue, VALUE_MAX, looks_secret},
    store::shop::{Setting, Settings as _},
};

/// Names and values kept in the store, which `update_env` writes into an env file
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun settings set CHECK_WORKERS=14")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Set(SetArgs),
    Unset(UnsetArgs),
}

/// What is set; values that look like secrets are not shown
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun settings list --show")]
struct ListArgs {
    /// Show all values, secrets too
    #[arg(long)]
    show: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

/// Set names to values, all of them or none
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun settings set CHECK_WORKERS=14 REGION=fe; taskrun settings set API_KEY < key.txt")]
struct SetArgs {
    /// The name and its value; the name alone reads the value from stdin, where no other user can see it
    #[arg(value_name = "NAME=VALUE", required = true)]
    settings: Vec<String>,
}

/// Forget names and their values
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun settings unset CHECK_WORKERS")]
struct UnsetArgs {
    /// The names
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// A setting, as JSON; stable.
#[derive(Debug, Serialize)]
struct SettingView<'a> {
    name: &'a str,
    /// Absent where it is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    secret: bool,
    changed_at: String,
}

impl<'a> SettingView<'a> {
    fn of(setting: &'a Setting, show: bool) -> Self {
        let secret = looks_secret(&setting.name, &setting.value);
        let value = (show || !secret).then(|| setting.value.expose());
        Self { name: setting.name.as_str(), value, secret, changed_at: setting.changed_at.to_string() }
    }
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    match args.command {
        Command::List(args) => list(&args, place).await,
        Command::Set(args) => set(&args, place).await,
        Command::Unset(args) => unset(&args, place).await,
    }
}

async fn list(args: &ListArgs, place: &Place) -> Result<Exit, Failure> {
    let settings = match place.existing_store().await? {
        Some(store) => store.settings().await?,
        None => Vec::new(),
    };
    let views: Vec<_> = settings.iter().map(|setting| SettingView::of(setting, args.show)).collect();
    if args.json {
        place.screen.json(&views)?;
        return Ok(Exit::Done);
    }
    let times = place.times(place.now()?);
    let header = ["# setting", "value", "changed"].map(|title| Cell::new(title, DIM));
    let row = |(view, setting): (&SettingView<'_>, &Setting)| {
        let value = view.value.map_or_else(|| Cell::new("***", DIM), Cell::from);
        [Cell::new(view.name, BOLD), value, Cell::from(times.passed(setting.changed_at))]
    };
    let rows: Vec<_> = std::iter::once(header).chain(views.iter().zip(&settings).map(row)).collect();
    place.screen.data(&text::table(&rows))?;
    Ok(Exit::Done)
}

async fn set(args: &SetArgs, place: &Place) -> Result<Exit, Failure> {
    let settings: Vec<_> = args.settings.iter().map(|text| read(text)).collect::<Result<_, _>>()?;
    let count = settings.len();
    let mut names = BTreeSet::new();
    if let Some((twice, _)) = settings.iter().find(|(name, _)| !names.insert(name.clone())) {
        return Err(Failure::usage(format!("{twice} is set twice; nothing was changed")).advise("give each name once"));
    }
    let changed = place.store().await?.set_settings(settings, place.now()?).await?;
    match changed.len() {
        0 => place.screen.say("nothing changed: so it was already"),
        _ => place.screen.say(&format!("{} of {count} changed: {}", changed.len(), listed(&changed))),
    }
    Ok(Exit::Done)
}

/// Reads `NAME=VALUE`, or the value from stdin. What is wrong is said without the value: it may be a secret.
fn read(text: &str) -> Result<(SettingName, SettingValue), Failure> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => (text, String::new()),
    };
    let name = named(name)?;
    let value = if text.contains('=') { value } else { from_stdin()? };
    let value = SettingValue::parse(&value)
        .map_err(|unfit| Failure::usage(format!("the value of {name} can't be kept: {unfit}")).advise("write it in another way"))?;
    Ok((name, value))
}

/// One line; its line feed is not part of it.
fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let limit = u64::try_from(VALUE_MAX).unwrap_or(u64::MAX).saturating_add(3);
    std::io::stdin()
        .lock()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|error| Failure::because(Exit::Usage, "failed to read the value from stdin", &error))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

async fn unset(args: &UnsetArgs, place: &Place) -> Result<Exit, Failure> {
    let names: Vec<_> = args.names.iter().map(|name| named(name)).collect::<Result<_, _>>()?;
    let forgotten = match place.existing_store().await? {
        Some(store) => store.unset_settings(names.clone()).await?,
        None => Vec::new(),
    };
    let unknown: Vec<_> = names.into_iter().filter(|name| !forgotten.contains(name)).collect();
    if !forgotten.is_empty() {
        place.screen.say(&format!("no longer set: {}", listed(&forgotten)));
    }
    if unknown.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::usage(format!("was not set: {}", listed(&unknown))).advise("`taskrun settings list` shows what there is"))
}

fn named(text: &str) -> Result<SettingName, Failure> {
    SettingName::parse(text).ok_or_else(|| {
        let message = "a setting's name is upper-case letters, digits and `_`, and begins with a letter";
        // What stands there may be a value.
        let shown = if text.len() <= 64 && !text.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') { text } else { "…" };
        Failure::usage(format!("`{shown}` is no name: {message}")).advise("write `NAME=VALUE`, as in `CHECK_WORKERS=14`")
    })
}

fn listed(names: &[SettingName]) -> String {
    names.iter().map(SettingName::as_str).collect::<Vec<_>>().join(", ")
}
