//! `taskrun queue list` and `taskrun queue stats`.
use std::num::NonZeroUsize;

use super::{account, configured, state, table, words};
use crate::{
    cli::{
        exit::{Exit, Failure},
        place::Place,
        text::{self, BOLD, Cell, DIM, PLAIN, Times},
    },
    shop::upload::{State, Work},
    store::shop::{ItemFilter, Queue as _},
    view::queue::{ItemView, Standing, standings},
};

/// Items shown unless `--limit` says otherwise: about a screenful.
const ROWS: &str = "30";

/// Items, newest first; pending and due ones in the order in which they will be taken
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun queue list --status failed --account base_account_1")]
pub(crate) struct ListArgs {
    /// Only those in this state
    #[arg(long, value_name = "S", value_parser = state)]
    status: Option<State>,
    /// Only those whose time has come
    #[arg(long, conflicts_with = "status")]
    due: bool,
    /// Only this account's
    #[arg(long, value_name = "A")]
    account: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value = ROWS)]
    limit: NonZeroUsize,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// How many items are in which state, by account, and how far each is with its day
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun queue stats --json")]
pub(crate) struct StatsArgs {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn list(args: ListArgs, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let store = place.existing_store().await?;
    let account = match &args.account {
        Some(name) => Some(account(&configured(place)?, store.as_deref(), name).await?),
        None => None,
    };
    let filter = ItemFilter { state: args.status, account, due_at: args.due.then_some(now), limit: args.limit.get() };
    let items = match &store {
        Some(store) => store.items(Work::Upload, filter).await?,
        None => Vec::new(),
    };
    if args.json {
        place.screen.json(&items.iter().map(ItemView::of).collect::<Vec<_>>())?;
    } else if items.is_empty() {
        let narrowed = args.status.is_some() || args.due || args.account.is_some();
        place.screen.say(if narrowed { "nothing of that kind in the queue" } else { "nothing in the queue yet" });
    } else {
        place.screen.data(&table(&items, &place.times(now)))?;
    }
    Ok(Exit::Done)
}

pub(crate) async fn stats(args: StatsArgs, place: &Place) -> Result<Exit, Failure> {
    let (config, now) = (configured(place)?, place.now()?);
    let standings = match place.existing_store().await? {
        Some(store) => standings(&*store, &config, now).await?,
        None => Vec::new(),
    };
    if args.json {
        place.screen.json(&standings.iter().map(Standing::view).collect::<Vec<_>>())?;
    } else if standings.is_empty() {
        place.screen.say("nothing in the queue yet");
    } else {
        place.screen.data(&text::table(&rows(&standings, &place.times(now))))?;
    }
    Ok(Exit::Done)
}

fn rows(standings: &[Standing], times: &Times) -> Vec<[Cell; 12]> {
    let mut header = vec!["# account".to_owned()];
    header.extend(State::ALL.iter().map(|state| words(*state)));
    header.extend(["total".to_owned(), "today".to_owned(), "due now".to_owned()]);
    let mut rows = vec![fixed(header.into_iter().map(|title| Cell::new(title, DIM)))];
    for standing in standings {
        let limit = standing.daily_limit.map(|limit| format!("/{limit}")).unwrap_or_default();
        let since = standing.today.oldest.map(|at| format!(", since {}", times.dated(at))).unwrap_or_default();
        let mut cells = vec![Cell::new(&*standing.account.account, BOLD)];
        cells.extend(State::ALL.iter().map(|state| number(standing.counts.get(state).copied().unwrap_or(0), &words(*state))));
        cells.push(number(standing.total(), "total"));
        cells.push(format!("{}{limit}", standing.today.counted).into());
        cells.push(format!("{}{since}", standing.today.due).into());
        rows.push(fixed(cells.into_iter()));
    }
    if standings.len() > 1 {
        let sum = |count: &dyn Fn(&Standing) -> u32| standings.iter().map(count).sum::<u32>();
        let mut cells = vec![Cell::new("all", BOLD)];
        cells.extend(State::ALL.iter().map(|state| number(sum(&|one| one.counts.get(state).copied().unwrap_or(0)), &words(*state))));
        cells.push(number(sum(&Standing::total), "total"));
        cells.push(sum(&|one| one.today.counted).to_string().into());
        cells.push(sum(&|one| one.today.due).to_string().into());
        rows.push(fixed(cells.into_iter()));
    }
    rows
}

/// A number under the end of its title; nothing to look at is dim.
fn number(number: u32, title: &str) -> Cell {
    let width = title.chars().count();
    Cell::new(format!("{number:>width$}"), if number == 0 { DIM } else { PLAIN })
}

fn fixed(mut cells: impl Iterator<Item = Cell>) -> [Cell; 12] {
    std::array::from_fn(|_| cells.next().unwrap_or_else(|| "".into()))
}
