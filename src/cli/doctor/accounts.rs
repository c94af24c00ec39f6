//! The accounts and the channels: whether taskrun may call the ones, and whether people hear by the others.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Finding;
use crate::{
    cli::{
        exit::Failure,
        place::Place,
        text::{self, Times},
    },
    config::Config,
    store::{
        notices::Outbox as _,
        shop::{Parked, Verdict},
        sqlite::SqliteStore,
    },
    view::accounts::{Known, logins},
};

/// A login that ends sooner is told of, as `refresh_tokens` does.
const LOGIN_LEAST: SignedDuration = SignedDuration::from_hours(5 * 24);

pub(super) async fn look(place: &Place, config: &Config, store: Option<Arc<SqliteStore>>) -> Result<Vec<Finding>, Failure> {
    let now = place.now()?;
    let known = match &store {
        Some(store) => logins(&**store, config, now).await?,
        None => Known::without_store(config),
    };
    let times = place.times(now);
    let mut findings: Vec<Finding> = known.iter().filter(|known| known.enabled).map(|known| account(known, config, &times)).collect();
    let channels = match &store {
        Some(store) => store.channels().await?,
        None => Vec::new(),
    };
    for channel in config.notify.channels.iter().filter(|channel| channel.enabled) {
        let failing = channels.iter().find(|row| row.name == channel.name).and_then(|row| row.failing.clone());
        findings.push(match failing {
            Some((since, why)) => {
                Finding::bad("channel", format!("{} takes no messages since {}: {why}", channel.name, times.dated(since)))
                    .because("people hear of nothing by it")
                    .advise(format!("`taskrun notify test {}`", channel.name))
            }
            None => Finding::ok("channel", format!("{} is configured; `taskrun notify test {}` tries it", channel.name, channel.name)),
        });
    }
    if !config.notify.channels.iter().any(|channel| channel.enabled) {
        findings.push(
            Finding::warning("channel", "nobody is told of anything but by the log")
                .because("a task that fails at night is found in the morning, by a person who looks")
                .advise("add Chatwork, a webhook or e-mail under `notify:`; docs/notifications.md"),
        );
    }
    Ok(findings)
}

fn account(known: &Known, config: &Config, times: &Times) -> Finding {
    let name = &known.key.account;
    let of = format!("{name} ({})", known.key.platform.word());
    let login = format!("`taskrun accounts login {name}`");
    let has_first = config.accounts.get(name).is_some_and(|account| account.refresh_token.is_some());
    let refused = known.token.as_ref().and_then(|token| token.refused.as_deref());
    let park = known.parks.first();
    let invalid = known.check.as_ref().filter(|check| check.verdict != Verdict::Valid);
    let left = known.refresh_ends().map(|ends| ends.duration_since(times.now));
    let bad =
        |found: String| Finding::bad("account", found).because("it is not called until then: nothing is listed, read or changed there");
    if let Some(why) = refused {
        return bad(format!("{of}: its login was refused: {why}")).advise(login);
    }
    if let Some(park) = park {
        let until = park.until.map(|until: Timestamp| format!(" until {}", times.coming(until, &times.zone))).unwrap_or_default();
        let found = format!("{of} is parked{until} ({}): {}", park.cause.word(), park.detail);
        return match park.cause {
            Parked::Login => bad(found).advise(login),
            Parked::Restricted => bad(found).advise(format!("see what the marketplace wants, then `taskrun accounts resume {name}`")),
            Parked::Paused => Finding::warning("account", found).advise(format!("`taskrun accounts resume {name}` when it may go on")),
            Parked::Limited => Finding::warning("account", found).advise("nothing: it goes on by itself"),
        };
    }
    if let Some(check) = invalid {
        let found = format!("{of}: its credentials are {}: {}", check.verdict.word(), check.detail);
        let advice = format!("see to it at the marketplace, then `taskrun accounts check {name}`");
        return match check.verdict {
            Verdict::Valid | Verdict::Inactive | Verdict::Suspended => Finding::warning("account", found).advise(advice),
            Verdict::Scope | Verdict::Denied | Verdict::Revoked | Verdict::Application => bad(found).advise(advice),
        };
    }
    if known.token.is_none() && !has_first {
        return bad(format!("{of} has no login yet")).advise(login);
    }
    match left {
        Some(left) if !left.is_positive() => bad(format!("{of}: its login has ended")).advise(login),
        Some(left) if left < LOGIN_LEAST => Finding::warning("account", format!("{of}: its login ends in {}", text::took(left)))
            .because("after that only a person can log in again")
            .advise("`taskrun once refresh_tokens`, and see that the task is enabled"),
        Some(left) => Finding::ok("account", format!("{of}: its login ends in {} unless it is renewed", text::took(left))),
        None => Finding::ok("account", format!("{of} has a login; `taskrun accounts check {name}` tries it")),
    }
}
