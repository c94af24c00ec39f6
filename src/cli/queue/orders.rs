//! What a person wants of items: another try, an end, a pause, another time, a decision.
use std::{collections::BTreeSet, sync::Arc};

use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{account, configured, item_id, state, table, what, when, words};
use crate::{
    cli::{
        exit::{Exit, Failure},
        place::Place,
        text::{self, Cell, DIM, Times},
    },
    config::Config,
    shop::{
        spread::{Rhythm, open_within},
        upload::{ItemId, Obeyed, Order, State, Step, Work},
    },
    store::{
        shop::{AccountKey, Disobeyed, Item, ItemFilter, Moved, Ordered, Queue as _, StepState, Which},
        sqlite::SqliteStore,
    },
    view::queue::{ItemView, lane},
};

/// Items that a list shows.
const ROWS: usize = 30;
/// Outcomes that are told one by one; more are counted.
const TOLD_MAX: usize = 10;

/// Which items are meant.
#[derive(Debug, clap::Args)]
struct Meant {
    /// The items, by their numbers
    #[arg(value_name = "ID", value_parser = item_id, required_unless_present = "status")]
    ids: Vec<ItemId>,
    /// All in this state
    #[arg(long, value_name = "S", value_parser = state, conflicts_with = "ids")]
    status: Option<State>,
    #[command(flatten)]
    narrow: Narrow,
}

/// Which of many items are meant.
#[derive(Debug, clap::Args)]
struct Narrow {
    /// Only this account's
    #[arg(long, value_name = "A", conflicts_with = "ids")]
    account: Option<String>,
    /// Only those whose last error has this code
    #[arg(long, value_name = "C", conflicts_with = "ids")]
    code: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Try failed, uncertain or cancelled items again, with all their attempts
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun queue retry --status failed --account base_account_1 --code image_put_fail")]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    meant: Meant,
}

/// Give items up; a scan of the catalogue does not bring them back
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: taskrun queue cancel 12 13\nAn item that is being uploaded is cancelled when its worker puts it back, unless it succeeds."
)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    meant: Meant,
}

/// Keep items back until they are released
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun queue hold --status pending --account base_account_1")]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    meant: Meant,
}

/// Let items go on that were kept back
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun queue release --status on_hold")]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    meant: Meant,
}

/// Give pending items other times, in the order they have
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun queue reschedule --account base_account_2 --until 23:00")]
pub(crate) struct RescheduleArgs {
    /// Only this account's
    #[arg(long, value_name = "A")]
    account: Option<String>,
    /// Evenly over the business hours from now until then: `23:00`, `4h`, or an instant
    #[arg(long, value_name = "T", conflicts_with_all = ["now", "every"])]
    until: Option<String>,
    /// All at once
    #[arg(long, required_unless_present_any = ["until", "every"])]
    now: bool,
    /// From now on, one each so often
    #[arg(long, value_name = "D", value_parser = apart)]
    every: Option<SignedDuration>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Items that wait for a decision; `--approve` lets them be listed, `--refuse` gives them up
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun queue review 12 --approve")]
pub(crate) struct ReviewArgs {
    /// The items that the decision is about, by their numbers
    #[arg(value_name = "ID", value_parser = item_id)]
    ids: Vec<ItemId>,
    /// They may be listed
    #[arg(long, requires = "ids")]
    approve: bool,
    /// They may not
    #[arg(long, requires = "ids", conflicts_with = "approve")]
    refuse: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Items that failed and will not be tried again by themselves
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun queue dead requeue --all --code timeout")]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    what: Dead,
}

#[derive(Debug, Subcommand)]
enum Dead {
    /// Show them, newest first
    #[command(after_help = "Example: taskrun queue dead list --account base_account_1")]
    List {
        /// Only this account's
        #[arg(long, value_name = "A")]
        account: Option<String>,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show all there is to know of an item
    #[command(after_help = "Example: taskrun queue dead show 12")]
    Show {
        /// The item, by its number
        #[arg(value_name = "ID", value_parser = item_id)]
        id: ItemId,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Try them again
    #[command(after_help = "Example: taskrun queue dead requeue 12 13")]
    Requeue(DeadMeant),
    /// Give them up: they stand as cancelled from then on
    #[command(after_help = "Example: taskrun queue dead clear 12")]
    Clear(DeadMeant),
}

#[derive(Debug, clap::Args)]
struct DeadMeant {
    /// The items, by their numbers
    #[arg(value_name = "ID", value_parser = item_id, required_unless_present = "all")]
    ids: Vec<ItemId>,
    /// All of them
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    narrow: Narrow,
}

fn apart(text: &str) -> Result<SignedDuration, String> {
    let apart = humantime::parse_duration(text).ok().and_then(|apart| SignedDuration::try_from(apart).ok());
    apart.filter(SignedDuration::is_positive).ok_or_else(|| "a duration such as `60s`".to_owned())
}

pub(crate) async fn retry(args: RetryArgs, place: &Place) -> Result<Exit, Failure> {
    order(args.meant, Order::Retry, place).await
}

pub(crate) async fn cancel(args: CancelArgs, place: &Place) -> Result<Exit, Failure> {
    order(args.meant, Order::Cancel, place).await
}

pub(crate) async fn hold(args: HoldArgs, place: &Place) -> Result<Exit, Failure> {
    order(args.meant, Order::Hold, place).await
}

pub(crate) async fn release(args: ReleaseArgs, place: &Place) -> Result<Exit, Failure> {
    order(args.meant, Order::Release, place).await
}

pub(crate) async fn review(args: ReviewArgs, place: &Place) -> Result<Exit, Failure> {
    if args.approve || args.refuse {
        let order = if args.approve { Order::Approve } else { Order::Refuse };
        let store = place.store().await?;
        let ordered = store.order_items(Which::Ids(once_each(args.ids)), order, place.now()?).await?;
        return tell(&ordered, order, args.json, place);
    }
    if !args.ids.is_empty() {
        return Err(Failure::usage("what is the decision?").advise("`--approve` or `--refuse`"));
    }
    show_all(State::Review, None, args.json, place).await
}

pub(crate) async fn dead(args: DeadArgs, place: &Place) -> Result<Exit, Failure> {
    match args.what {
        Dead::List { account: name, json } => show_all(State::Failed, name.as_deref(), json, place).await,
        Dead::Show { id, json } => show_one(id, json, place).await,
        Dead::Requeue(dead) => order(dead.meant(), Order::Retry, place).await,
        Dead::Clear(dead) => order(dead.meant(), Order::Cancel, place).await,
    }
}

impl DeadMeant {
    fn meant(self) -> Meant {
        Meant { ids: self.ids, status: self.all.then_some(State::Failed), narrow: self.narrow }
    }
}

async fn order(meant: Meant, order: Order, place: &Place) -> Result<Exit, Failure> {
    let store = place.store().await?;
    let which = match meant.status {
        Some(state) => {
            let account = match &meant.narrow.account {
                Some(name) => Some(account(&configured(place)?, Some(&*store), name).await?),
                None => None,
            };
            Which::Every { state, account, code: meant.narrow.code.as_deref().map(Into::into) }
        }
        None => Which::Ids(once_each(meant.ids)),
    };
    let ordered = store.order_items(which, order, place.now()?).await?;
    tell(&ordered, order, meant.narrow.json, place)
}

/// An item that is named twice is meant once.
fn once_each(mut ids: Vec<ItemId>) -> Vec<ItemId> {
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
    ids
}

/// What became of an order for an item, as JSON; stable.
#[derive(Debug, Serialize)]
struct OrderedView {
    id: i64,
    done: bool,
    /// The state it has, or will have when its worker is done with it.
    state: Option<&'static str>,
    /// The worker is not done with it.
    later: bool,
    error: Option<String>,
}

impl OrderedView {
    fn of((id, outcome): &Ordered) -> Self {
        let (state, later) = match outcome {
            Ok(Obeyed::Now(state)) => (Some(state.word()), false),
            Ok(Obeyed::Later(state)) => (Some(state.word()), true),
            Err(Disobeyed::Illegal(illegal)) => (Some(illegal.state.word()), false),
            Err(Disobeyed::Missing | Disobeyed::Twin(_)) => (None, false),
        };
        Self { id: id.0, done: outcome.is_ok(), state, later, error: outcome.as_ref().err().map(ToString::to_string) }
    }
}

pub(in crate::cli) fn tell(ordered: &[Ordered], order: Order, json: bool, place: &Place) -> Result<Exit, Failure> {
    if json {
        place.screen.json(&ordered.iter().map(OrderedView::of).collect::<Vec<_>>())?;
    } else {
        let done = ordered.iter().filter(|(_, outcome)| outcome.is_ok()).count();
        for (id, outcome) in ordered.iter().take(TOLD_MAX) {
            match outcome {
                Ok(Obeyed::Now(state)) => place.screen.say(&format!("item {id} is {} now", words(*state))),
                Ok(Obeyed::Later(state)) => {
                    place.screen.say(&format!("item {id} is {} when its worker puts it back, unless it succeeds", words(*state)));
                }
                Err(error) => place.screen.error(&format!("item {id} was not {order}: {error}"), None),
            }
        }
        if ordered.len() > TOLD_MAX {
            let refused = ordered.len().saturating_sub(done);
            let not = if refused > 0 { format!(", {refused} not; `--json` says why") } else { String::new() };
            place.screen.say(&format!("{} {order} in all{not}", text::counted(done, "item")));
        }
        if ordered.is_empty() {
            place.screen.say("no item is of that kind");
        }
    }
    Ok(if ordered.iter().all(|(_, outcome)| outcome.is_ok()) { Exit::Done } else { Exit::Skipped })
}

async fn show_all(state: State, name: Option<&str>, json: bool, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let store = place.existing_store().await?;
    let account = match name {
        Some(name) => Some(account(&configured(place)?, store.as_deref(), name).await?),
        None => None,
    };
    let filter = ItemFilter { state: Some(state), account, due_at: None, limit: if json { usize::MAX } else { ROWS } };
    let items = match store {
        Some(store) => store.items(Work::Upload, filter).await?,
        None => Vec::new(),
    };
    if json {
        place.screen.json(&items.iter().map(ItemView::of).collect::<Vec<_>>())?;
    } else if items.is_empty() {
        let nothing = if state == State::Review { "no item waits for review".to_owned() } else { format!("no item is {}", words(state)) };
        place.screen.say(&nothing);
    } else {
        place.screen.data(&table(&items, &place.times(now)))?;
        if items.len() == ROWS {
            place.screen.say(&format!("`taskrun queue list --status {state} --limit N` shows more"));
        }
    }
    Ok(Exit::Done)
}

/// All there is to know of an item, as JSON; stable.
#[derive(Debug, Serialize)]
struct WholeView {
    #[serde(flatten)]
    item: ItemView,
    steps: Vec<StepView>,
}

#[derive(Debug, Serialize)]
struct StepView {
    /// `create`, or `image 1` and so on.
    step: String,
    begun_at: String,
    /// Absent: it may have been done.
    done_at: Option<String>,
}

async fn show_one(id: ItemId, json: bool, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let found = match place.existing_store().await? {
        Some(store) => store.item(id).await?,
        None => None,
    };
    let Some((item, steps)) = found else { return Err(Failure::usage(format!("there is no item {id} in the queue"))) };
    if json {
        let step = |state: &StepState| StepView {
            step: step_words(state.step),
            begun_at: state.begun_at.to_string(),
            done_at: state.done_at.map(|at| at.to_string()),
        };
        place.screen.json(&WholeView { item: ItemView::of(&item), steps: steps.iter().map(step).collect() })?;
    } else {
        place.screen.data(&whole(&item, &steps, &place.times(now)))?;
    }
    Ok(Exit::Done)
}

fn step_words(step: Step) -> String {
    match step {
        Step::Create => "create".to_owned(),
        Step::Image(number) => format!("image {number}"),
    }
}

fn whole(item: &Item, steps: &[StepState], times: &Times) -> String {
    let dated = |at: Timestamp| if at > times.now { times.coming(at, &times.zone) } else { times.dated(at) };
    let mut rows: Vec<[Cell; 2]> = Vec::new();
    let mut say = |title: &str, text: String| rows.push([Cell::new(title, DIM), text.into()]);
    say("item", item.id.to_string());
    say("asin", item.subject.to_string());
    say("account", format!("{} at {}", item.account.account, item.account.platform));
    say("state", words(item.state));
    say("priority", item.priority.to_string());
    say("queued", dated(item.created_at));
    say("due", dated(item.scheduled_at));
    if let Some(at) = item.ended_at {
        say("over", dated(at));
    }
    if !what(item, times).is_empty() {
        say("what", text::one_line(&what(item, times)));
    }
    for state in steps {
        let done = state.done_at.map_or_else(|| "may have been done".to_owned(), |at| format!("done {}", dated(at)));
        say(&step_words(state.step), format!("begun {}, {done}", dated(state.begun_at)));
    }
    text::table(&rows)
}

/// What was given another time, as JSON; stable.
#[derive(Debug, Serialize)]
struct MovedView {
    account: String,
    items: usize,
    last_at: Option<String>,
}

pub(crate) async fn reschedule(args: RescheduleArgs, place: &Place) -> Result<Exit, Failure> {
    let (config, now) = (configured(place)?, place.now()?);
    let store = place.store().await?;
    let accounts = match &args.account {
        Some(name) => vec![account(&config, Some(&*store), name).await?],
        None => waiting(&store).await?,
    };
    let mut rhythms = Vec::new();
    for account in accounts {
        rhythms.push((account.clone(), rhythm(&args, &config, &account, now)?));
    }
    let moved = store.reschedule(rhythms).await?;
    if args.json {
        let view = |moved: &Moved| MovedView {
            account: moved.account.account.to_string(),
            items: moved.items,
            last_at: moved.last.map(|at| at.to_string()),
        };
        place.screen.json(&moved.iter().map(view).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let times = place.times(now);
    for moved in &moved {
        let last = moved.last.map(|at| format!(", the last one {}", times.coming(at, &times.zone))).unwrap_or_default();
        place.screen.say(&format!("{}: {} rescheduled{last}", moved.account.account, text::counted(moved.items, "item")));
    }
    if moved.is_empty() {
        place.screen.say("no item is pending");
    }
    Ok(Exit::Done)
}

/// The accounts that have pending items.
async fn waiting(store: &Arc<SqliteStore>) -> Result<Vec<AccountKey>, Failure> {
    let counts = store.item_counts(Work::Upload).await?;
    Ok(counts.into_iter().filter(|count| count.state == State::Pending).map(|count| count.account).collect())
}

fn rhythm(args: &RescheduleArgs, config: &Config, account: &AccountKey, now: Timestamp) -> Result<Rhythm, Failure> {
    if let Some(apart) = args.every {
        return Ok(Rhythm::Every { from: now, apart });
    }
    let Some(until) = &args.until else { return Ok(Rhythm::At(now)) };
    let lane = config.accounts.get(&account.account).map(|known| lane(config, &account.account, known));
    let zone = lane.as_ref().map_or(&config.timezone, |lane| &lane.zone);
    let until = when(until, now, zone)?;
    if until <= now {
        return Err(Failure::usage(format!("{} is past", text::stamp(until, zone))));
    }
    let open = open_within(lane.as_ref().and_then(|lane| lane.hours.as_ref()), zone, &(now..until));
    if open.is_empty() {
        let message = format!("`{}` does not open before {}", account.account, text::stamp(until, zone));
        return Err(Failure::usage(message).advise("name a later time, or `--account` for those that do"));
    }
    Ok(Rhythm::Evenly(open))
}
