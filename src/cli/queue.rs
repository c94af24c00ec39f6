//! `taskrun queue`: what is to be listed, when, and what became of it. It needs no daemon: items are rows in the store.
use std::{str::FromStr, sync::Arc};

use clap::Subcommand;
use jiff::{Timestamp, civil::Time, tz::TimeZone};

use super::{
    accounts::{configured, unknown},
    exit::{Exit, Failure},
    place::Place,
    text::{self, BAD, Cell, DIM, GOOD, ODD, PLAIN, Times},
};
use crate::{
    config::Config,
    shop::{
        product::Platform,
        upload::{ItemId, State, Work},
    },
    store::shop::{AccountKey, Item, Queue as _},
    store::sqlite::SqliteStore,
};

mod add;
mod look;
mod orders;

/// What is to be listed, when, and what became of it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun queue add --all-pending --limit 500 --distribute --dry-run\n\
    States: pending, uploading, success, failed, uncertain, review, on_hold, cancelled.")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Add(add::Args),
    List(look::ListArgs),
    Stats(look::StatsArgs),
    Retry(orders::RetryArgs),
    Cancel(orders::CancelArgs),
    Hold(orders::HoldArgs),
    Release(orders::ReleaseArgs),
    Reschedule(orders::RescheduleArgs),
    Review(orders::ReviewArgs),
    Dead(orders::DeadArgs),
}

pub(super) use orders::tell;

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    match args.what {
        What::Add(args) => add::run(args, place).await,
        What::List(args) => look::list(args, place).await,
        What::Stats(args) => look::stats(args, place).await,
        What::Retry(args) => orders::retry(args, place).await,
        What::Cancel(args) => orders::cancel(args, place).await,
        What::Hold(args) => orders::hold(args, place).await,
        What::Release(args) => orders::release(args, place).await,
        What::Reschedule(args) => orders::reschedule(args, place).await,
        What::Review(args) => orders::review(args, place).await,
        What::Dead(args) => orders::dead(args, place).await,
    }
}

/// The account of a name: one of the file's, or one that has left the file and still has items.
async fn account(config: &Config, store: Option<&SqliteStore>, name: &str) -> Result<AccountKey, Failure> {
    if let Some((name, account)) = config.accounts.get_key_value(name) {
        return Ok(AccountKey { platform: account.platform, account: Arc::clone(name) });
    }
    if let Some(store) = store {
        let left = store.item_counts(Work::Upload).await?.into_iter().map(|count| count.account).find(|account| &*account.account == name);
        if let Some(account) = left {
            return Ok(account);
        }
    }
    Err(unknown(name, config.accounts.keys().map(|name| &**name)))
}

/// A time to come: `now`, `23:00` (the next time the clock shows it), an instant, or how long from now.
fn when(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Failure> {
    if text == "now" {
        return Ok(now);
    }
    let Some(time) = time_of_day(text) else { return text::instant_after(text, now) };
    let today = now.to_zoned(zone.clone());
    let next = [Some(today.clone()), today.tomorrow().ok()].into_iter().flatten().filter_map(|day| {
        let at = day.date().to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp();
        Some(at).filter(|at| *at > now)
    });
    next.min().ok_or_else(|| Failure::usage(format!("`{text}` never comes")))
}

fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let is_number = |text: &str| !text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hour) || !is_number(minute) || minute.len() != 2 {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn state(text: &str) -> Result<State, String> {
    State::from_word(text).ok_or_else(|| format!("one of {}", State::ALL.iter().map(|state| state.word()).collect::<Vec<_>>().join(", ")))
}

fn platform(text: &str) -> Result<Platform, String> {
    Platform::from_word(text)
        .ok_or_else(|| format!("one of {}", Platform::ALL.iter().map(|platform| platform.word()).collect::<Vec<_>>().join(", ")))
}

pub(super) fn item_id(text: &str) -> Result<ItemId, String> {
    i64::from_str(text).map(ItemId).map_err(|_| "the number of an item, as `taskrun queue list` shows it".to_owned())
}

/// Items as a table, for people.
fn table(items: &[Item], times: &Times) -> String {
    let header = ["# id", "asin", "account", "due", "prio", "state", "what"].map(|title| Cell::new(title, DIM));
    let body = items.iter().map(|item| row(item, times));
    text::table(&std::iter::once(header).chain(body).collect::<Vec<_>>())
}

fn row(item: &Item, times: &Times) -> [Cell; 7] {
    let due = |at| if at > times.now { times.coming(at, &times.zone) } else { times.dated(at) };
    [
        format!("{:>5}", item.id.0).into(),
        Cell::from(&*item.subject),
        Cell::from(&*item.account.account),
        due(item.scheduled_at).into(),
        format!("{:>4}", item.priority).into(),
        Cell::new(words(item.state), style(item.state)),
        text::one_line(&what(item, times)).into(),
    ]
}

/// What there is to say of an item besides its state.
fn what(item: &Item, times: &Times) -> String {
    let mut parts = Vec::new();
    if let Some(lease) = item.lease {
        parts.push(format!("run {} has it", lease.run));
    }
    if let Some(wish) = item.wish {
        parts.push(format!("then {}", words(wish)));
    }
    if let Some(at) = item.retry_at {
        parts.push(format!("again {}", times.coming(at, &times.zone)));
    }
    if let Some(id) = &item.item_id {
        parts.push(format!("shop's item {id}"));
    }
    if item.attempts > 1 {
        parts.push(format!("{} attempts", item.attempts));
    }
    if let Some(error) = &item.error {
        parts.push(format!("{}: {}", error.code, error.text));
    }
    parts.join(", ")
}

/// A state as people read it.
fn words(state: State) -> String {
    state.word().replace('_', " ")
}

fn style(state: State) -> clap::builder::styling::Style {
    match state {
        State::Success => GOOD,
        State::Failed | State::Uncertain => BAD,
        State::Review | State::OnHold => ODD,
        State::Cancelled => DIM,
        State::Pending | State::Uploading => PLAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_the_next_one_and_everything_else_is_an_instant() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let now: Timestamp = "2026-11-24T12:00:00+09:00".parse().unwrap();
        let at = |text| when(text, now, &zone).unwrap().to_zoned(zone.clone()).strftime("%d %H:%M").to_string();
        assert_eq!(
            ["now", "23:00", "6:00", "12:00", "2h", "2026-11-30T00:00:00Z"].map(at),
            ["24 12:00", "24 23:00", "25 06:00", "25 12:00", "24 14:00", "30 09:00"]
        );
        for text in ["24:00", "6:0", "", "noon"] {
            assert!(when(text, now, &zone).is_err(), "{text}");
        }
    }
}
