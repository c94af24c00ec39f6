//! `taskrun pause` and `taskrun resume`: rows in the store, so they work without a daemon and outlive it.
use super::{
    exit::{Exit, Failure},
    place::Place,
    text,
};
use crate::store::{Pause, RunStore as _};

/// Let a task or an instance rest: its fires are skipped, what runs goes on
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun pause upload_tick@base_account_1 --until 2h --reason stocktaking")]
pub(crate) struct PauseArgs {
    /// A task with all its instances, or one instance
    #[arg(value_name = "TASK")]
    name: String,
    /// Until an instant, or for a duration; otherwise until `taskrun resume`
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// Why; shown by list, status and history
    #[arg(long, value_name = "R")]
    reason: Option<String>,
}

/// End a pause
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun resume upload_tick@base_account_1")]
pub(crate) struct ResumeArgs {
    /// What was paused: a task or an instance
    #[arg(value_name = "TASK")]
    name: String,
}

pub(crate) async fn pause(args: PauseArgs, place: &Place) -> Result<Exit, Failure> {
    place.known_name(&args.name)?;
    let now = place.now()?;
    let until = args.until.as_deref().map(|until| text::instant_after(until, now)).transpose()?;
    if let Some(until) = until.filter(|until| *until <= now) {
        let until = text::stamp(until, &place.times(now).zone);
        return Err(Failure::usage(format!("the pause would end at {until}, which is past")));
    }
    let store = place.store().await?;
    store.pause(Pause { name: args.name.clone(), until, reason: args.reason, since: now }).await?;
    place.poke_daemon().await;
    let times = place.times(now);
    let until = until.map_or_else(|| "until `taskrun resume`".to_owned(), |until| format!("until {}", times.coming(until, &times.zone)));
    place.screen.say(&format!("{} is paused {until}; what runs goes on", args.name));
    Ok(Exit::Done)
}

pub(crate) async fn resume(args: ResumeArgs, place: &Place) -> Result<Exit, Failure> {
    let store = place.store().await?;
    if store.resume(args.name.clone()).await? {
        place.poke_daemon().await;
        place.screen.say(&format!("{} goes on with its next fire", args.name));
        return Ok(Exit::Done);
    }
    // A pause of something that has left the file can be ended, so the name is looked up only now.
    place.known_name(&args.name)?;
    let pauses = store.pauses().await?;
    let task = args.name.split('@').next().unwrap_or_default();
    if let Some(pause) = pauses.iter().find(|pause| pause.name == task) {
        let message = format!("`{}` has no pause of its own: its task `{}` is paused", args.name, pause.name);
        return Err(Failure::usage(message).advise(format!("`taskrun resume {}` resumes all its instances", pause.name)));
    }
    place.screen.say(&format!("{} was not paused", args.name));
    Ok(Exit::Done)
}
