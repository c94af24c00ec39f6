//! `taskrun accounts list`: each account with the ages of its tokens, what it is parked for, what the last look at its credentials
//! found, and what was done for it today.
use jiff::SignedDuration;

use super::{configured, worked};
use crate::{
    cli::{
        exit::{Exit, Failure},
        place::Place,
        text::{self, BAD, Cell, DIM, GOOD, ODD, Times},
    },
    store::shop::{Park, Parked, Verdict},
    view::accounts::{self, Known},
};

/// Less than this is left to a refresh token: somebody should look.
const ENDING: SignedDuration = SignedDuration::from_hours(5 * 24);

/// Accounts: the ages of their tokens, what they are parked for, their caps, calls, restarts and last error
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun accounts list --json")]
pub(crate) struct Args {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let config = configured(place)?;
    let now = place.now()?;
    let known = match place.existing_store().await? {
        Some(store) => accounts::look(&*store, &*store, &config, now).await?,
        None => Known::without_store(&config),
    };
    if args.json {
        let views: Vec<_> = known.iter().map(|known| known.view(now, &config.timezone)).collect();
        place.screen.json(&views)?;
        return Ok(Exit::Done);
    }
    let times = place.times(now);
    let header = ["# account", "platform", "access token", "refresh token", "parked", "credentials"].map(|title| Cell::new(title, DIM));
    let rows = known.iter().map(|known| {
        let platform = if known.enabled { known.key.platform.word().to_owned() } else { format!("{} (off)", known.key.platform) };
        let name = Cell::from(known.key.account.to_string());
        [name, platform.into(), access(known, &times), refresh(known, &times), parked(known, &times), credentials(known, &times)]
    });
    let logins = text::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>());
    let header = worked::HEADER.map(|title| Cell::new(title, DIM));
    let rows = known.iter().map(|known| worked::row(&known.worked, &known.key.account, &times));
    let work = text::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>());
    place.screen.data(&format!("{logins}\n{work}"))?;
    Ok(Exit::Done)
}

fn access(known: &Known, times: &Times) -> Cell {
    match known.token.as_ref().and_then(|token| token.expires_at) {
        None => Cell::new("none yet", DIM),
        Some(at) if at <= times.now => Cell::new("ended", DIM),
        Some(at) => format!("until {}", times.coming(at, &times.zone)).into(),
    }
}

fn refresh(known: &Known, times: &Times) -> Cell {
    let Some(token) = &known.token else { return Cell::new("none yet", DIM) };
    if token.refused.is_some() {
        return Cell::new("refused", BAD);
    }
    if token.sent_at.is_some() {
        return Cell::new("a refresh is open", ODD);
    }
    match (token.refreshed_at, known.refresh_ends()) {
        (None, _) => "not used yet".into(),
        (Some(at), None) => format!("used {}", times.passed(at)).into(),
        (Some(_), Some(ends)) if ends <= times.now => Cell::new("ended", BAD),
        (Some(_), Some(ends)) => {
            let style = if ends.duration_since(times.now) <= ENDING { ODD } else { text::PLAIN };
            Cell::new(format!("until {}", times.coming(ends, &times.zone)), style)
        }
    }
}

fn parked(known: &Known, times: &Times) -> Cell {
    if known.parks.is_empty() {
        return Cell::new("no", DIM);
    }
    let one = |park: &Park| match park.until {
        Some(until) => format!("{} until {}: {}", park.cause, times.coming(until, &times.zone), park.detail),
        None => format!("{}: {}", park.cause, park.detail),
    };
    let needs_a_person = known.parks.iter().any(|park| matches!(park.cause, Parked::Login | Parked::Restricted));
    let style = if needs_a_person { BAD } else { ODD };
    Cell::new(text::one_line(&known.parks.iter().map(one).collect::<Vec<_>>().join("; ")), style)
}

fn credentials(known: &Known, times: &Times) -> Cell {
    let Some(check) = &known.check else { return Cell::new("not looked at", DIM) };
    let style = if check.verdict == Verdict::Valid { GOOD } else { BAD };
    Cell::new(format!("{}, {}", check.verdict, times.passed(check.checked_at)), style)
}
