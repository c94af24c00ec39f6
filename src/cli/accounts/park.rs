//! `taskrun accounts pause` and `resume`: a person's word on whether an account is called. Rows of the store, so no daemon is needed.
use super::{configured, named};
use crate::{
    cli::{
        exit::{Exit, Failure},
        place::Place,
        text,
    },
    store::{
        HISTORY_MAX, HistoryFilter, RowState, RunStore as _,
        shop::{Park, Parked, Parks as _, Tokens as _},
    },
};

/// Call an account no more, until a time or until `resume`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun accounts pause base_account_1 --until 2h --reason stocktaking")]
pub(crate) struct PauseArgs {
    /// The account
    #[arg(value_name = "NAME")]
    name: String,
    /// Until an instant, or for a duration; otherwise until `taskrun accounts resume`
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// Why; shown by `accounts list` and wherever the account is passed over
    #[arg(long, value_name = "R")]
    reason: Option<String>,
}

/// Call an account again, whatever it is parked for
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun accounts resume base_account_1")]
pub(crate) struct ResumeArgs {
    /// The account
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) async fn pause(args: PauseArgs, place: &Place) -> Result<Exit, Failure> {
    let account = named(&configured(place)?, &args.name)?;
    let now = place.now()?;
    let until = args.until.as_deref().map(|until| text::instant_after(until, now)).transpose()?;
    if let Some(until) = until.filter(|until| *until <= now) {
        let until = text::stamp(until, &place.times(now).zone);
        return Err(Failure::usage(format!("the pause would end at {until}, which is past")));
    }
    let detail = args.reason.unwrap_or_else(|| "paused by hand".to_owned()).into();
    let store = place.store().await?;
    store.park(Park { account, cause: Parked::Paused, detail, since: now, until }).await?;
    let times = place.times(now);
    let until =
        until.map_or_else(|| "until `taskrun accounts resume`".to_owned(), |until| format!("until {}", times.coming(until, &times.zone)));
    place.screen.say(&format!("{} is not called any more {until}; a call under way goes on", args.name));
    Ok(Exit::Done)
}

pub(crate) async fn resume(args: ResumeArgs, place: &Place) -> Result<Exit, Failure> {
    let account = named(&configured(place)?, &args.name)?;
    let store = place.store().await?;
    // A refresh token that was refused gets another try, too.
    store.try_again(account.clone()).await?;
    let now = place.now()?;
    match store.unpark(account, None, now).await? {
        0 => place.screen.say(&format!("{} was not parked", args.name)),
        _ => place.screen.say(&format!("{} is called again", args.name)),
    }
    // A run that waits for a limit's end goes by that, whatever was parked because of it.
    let open = store.history(HistoryFilter { open: true, limit: HISTORY_MAX, ..HistoryFilter::default() }).await?;
    let times = place.times(now);
    for row in open {
        let name = row.instance.as_str();
        let RowState::NotYet { until } = row.state else { continue };
        if name.split_once('@').is_none_or(|(_, account)| account == args.name) {
            let until = times.coming(until, &times.zone);
            place.screen.say(&format!(
                "run {} of {name} waits until {until}; to have it now: `taskrun cancel {}`, then `taskrun trigger {name}`",
                row.run, row.run
            ));
        }
    }
    Ok(Exit::Done)
}
