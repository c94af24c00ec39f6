//! `taskrun accounts list`: each account with the ages of its tokens, what it is parked for, what the last look at its credentials
//! found, and what was done for it today.
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Serialize;

use super::{
    configured,
    worked::{Worked, WorkedView},
};
use crate::{
    cli::{
        exit::{Exit, Failure},
        place::Place,
        text::{self, BAD, Cell, DIM, GOOD, ODD, Times},
    },
    config::{Account, Config},
    marketplace::refresh_lives,
    store::shop::{AccountKey, CredentialCheck, Credentials as _, Park, Parked, Parks as _, Token, Tokens as _, Verdict},
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

/// What is known of an account.
struct Known {
    key: AccountKey,
    enabled: bool,
    token: Option<Token>,
    parks: Vec<Park>,
    check: Option<CredentialCheck>,
    worked: Worked,
}

/// An account as JSON; stable. Times are RFC 3339, durations seconds. No token is in it.
#[derive(Serialize)]
struct AccountView {
    account: String,
    platform: &'static str,
    enabled: bool,
    access_ends: Option<String>,
    access_left_s: Option<i64>,
    /// When the refresh token was got; null: it is the configured one, whose age nobody knows.
    refresh_since: Option<String>,
    refresh_age_s: Option<i64>,
    /// When it ends; null: it does not, or nobody knows.
    refresh_ends: Option<String>,
    refresh_left_s: Option<i64>,
    /// When a refresh was sent whose answer was lost.
    refresh_open_since: Option<String>,
    /// What was said when the refresh token was refused.
    refused: Option<String>,
    parks: Vec<ParkView>,
    credentials: Option<CheckView>,
    #[serde(flatten)]
    worked: WorkedView,
}

#[derive(Serialize)]
struct ParkView {
    cause: &'static str,
    detail: String,
    since: String,
    until: Option<String>,
}

#[derive(Serialize)]
struct CheckView {
    verdict: &'static str,
    detail: String,
    since: String,
    checked: String,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let config = configured(place)?;
    let now = place.now()?;
    let mut known = Vec::new();
    for (name, account) in &config.accounts {
        let key = AccountKey { platform: account.platform, account: name.clone() };
        known.push(look_up(key, account, &config, place, now).await?);
    }
    if args.json {
        let views: Vec<_> = known.iter().map(|known| view(known, now, &config.timezone)).collect();
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
    let header = Worked::HEADER.map(|title| Cell::new(title, DIM));
    let rows = known.iter().map(|known| known.worked.row(&known.key.account, &times));
    let work = text::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>());
    place.screen.data(&format!("{logins}\n{work}"))?;
    Ok(Exit::Done)
}

async fn look_up(key: AccountKey, account: &Account, config: &Config, place: &Place, now: Timestamp) -> Result<Known, Failure> {
    let enabled = account.enabled;
    let Some(store) = place.existing_store().await? else {
        return Ok(Known { key, enabled, token: None, parks: Vec::new(), check: None, worked: Worked::default() });
    };
    let worked = Worked::look(&store, config, &key, account, now).await?;
    let token = store.token(key.clone(), None).await?;
    let parks = store.parks(Some(key.clone()), now).await?;
    let check = store.verdicts().await?.into_iter().find(|check| check.account == key);
    Ok(Known { key, enabled, token, parks, check, worked })
}

impl Known {
    fn refreshed_at(&self) -> Option<Timestamp> {
        self.token.as_ref().and_then(|token| token.refreshed_at)
    }

    /// When the refresh token ends, where it does.
    fn refresh_ends(&self) -> Option<Timestamp> {
        let (at, lives) = self.refreshed_at().zip(refresh_lives(self.key.platform))?;
        at.saturating_add(lives).ok()
    }
}

fn view(known: &Known, now: Timestamp, zone: &TimeZone) -> AccountView {
    let token = known.token.as_ref();
    let shown = |at: Option<Timestamp>| at.map(|at| text::rfc3339(at, zone));
    let left = |at: Option<Timestamp>| at.map(|at| at.duration_since(now).as_secs());
    let access_ends = token.and_then(|token| token.expires_at);
    let park = |park: &Park| ParkView {
        cause: park.cause.word(),
        detail: park.detail.to_string(),
        since: text::rfc3339(park.since, zone),
        until: shown(park.until),
    };
    let check = |check: &CredentialCheck| CheckView {
        verdict: check.verdict.word(),
        detail: check.detail.clone(),
        since: text::rfc3339(check.since, zone),
        checked: text::rfc3339(check.checked_at, zone),
    };
    AccountView {
        account: known.key.account.to_string(),
        platform: known.key.platform.word(),
        enabled: known.enabled,
        access_ends: shown(access_ends),
        access_left_s: left(access_ends),
        refresh_since: shown(known.refreshed_at()),
        refresh_age_s: known.refreshed_at().map(|at| now.duration_since(at).as_secs()),
        refresh_ends: shown(known.refresh_ends()),
        refresh_left_s: left(known.refresh_ends()),
        refresh_open_since: shown(token.and_then(|token| token.sent_at)),
        refused: token.and_then(|token| token.refused.as_deref().map(ToOwned::to_owned)),
        parks: known.parks.iter().map(park).collect(),
        credentials: known.check.as_ref().map(check),
        worked: known.worked.view(zone),
    }
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
