//! `taskrun work`: the work queue as a whole: what waits, what is in hand, what was given up. It needs no daemon: jobs are rows in the store.
use std::{collections::BTreeMap, num::NonZeroUsize};

use clap::Subcommand;
use serde::Serialize;

use super::{
    exit::{Exit, Failure},
    place::Place,
    queue::{item_id, tell},
    text::{self, BAD, Cell, DIM, PLAIN, Times},
};
use crate::{
    shop::upload::{ItemId, Order, State, Work},
    store::shop::{Job, JobCount, JobFilter, WorkLane, WorkQueue as _},
};

/// Rows that a list shows.
const ROWS: usize = 50;

/// The work queue: what waits, what is in hand, what was given up
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun work stats\nUploads have more to them: `taskrun queue`.")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Stats(StatsArgs),
    List(ListArgs),
    Dead(DeadArgs),
}

/// How much waits, since when, and who is at it; by kind of work and source
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun work stats --json")]
struct StatsArgs {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Jobs, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun work list --kind check --status pending")]
struct ListArgs {
    /// Only this kind: check, replace
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<Work>,
    /// Only of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only in this state: pending, working, success, failed, cancelled
    #[arg(long, value_name = "STATE", value_parser = state)]
    status: Option<State>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "50")]
    limit: NonZeroUsize,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Jobs that were given up: dead letters
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun work dead requeue --all --code no_answer")]
struct DeadArgs {
    #[command(subcommand)]
    what: Dead,
}

#[derive(Debug, Subcommand)]
enum Dead {
    /// Show them, newest first
    #[command(after_help = "Example: taskrun work dead list --kind check")]
    List(Narrow),
    /// Show all there is to know of a job
    #[command(after_help = "Example: taskrun work dead show 12")]
    Show {
        /// The job, by its number
        #[arg(value_name = "ID", value_parser = item_id)]
        id: ItemId,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Try them again
    #[command(after_help = "Example: taskrun work dead requeue 12 13")]
    Requeue(Meant),
    /// Give them up: they stand as cancelled from then on
    #[command(after_help = "Example: taskrun work dead clear --all --kind check")]
    Clear(Meant),
}

#[derive(Debug, clap::Args)]
struct Narrow {
    /// Only this kind: check, replace
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<Work>,
    /// Only of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only with this error: poison, frozen, refused, `no_answer`
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Meant {
    /// The jobs, by their numbers
    #[arg(value_name = "ID", value_parser = item_id, required_unless_present = "all")]
    ids: Vec<ItemId>,
    /// All of them
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    narrow: Narrow,
}

fn kind(text: &str) -> Result<Work, String> {
    Work::from_word(text)
        .filter(|work| *work != Work::Upload)
        .ok_or_else(|| "one of check, replace; uploads are in `taskrun queue`".to_owned())
}

fn state(text: &str) -> Result<State, String> {
    State::ALL.iter().copied().find(|state| word(*state) == text).ok_or_else(|| {
        let words: Vec<&str> = State::ALL.iter().map(|state| word(*state)).collect();
        format!("one of {}", words.join(", "))
    })
}

/// A state's word here: nothing is uploaded.
fn word(state: State) -> &'static str {
    match state {
        State::Uploading => "working",
        state => state.word(),
    }
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    match args.what {
        What::Stats(args) => stats(&args, place).await,
        What::List(args) => {
            let filter = JobFilter {
                work: args.kind,
                source: args.source.as_deref().map(Into::into),
                state: args.status,
                code: None,
                limit: args.limit.get(),
            };
            list(filter, args.json, place).await
        }
        What::Dead(args) => match args.what {
            Dead::List(narrow) => list(dead(&narrow, if narrow.json { usize::MAX } else { ROWS }), narrow.json, place).await,
            Dead::Show { id, json } => show(id, json, place).await,
            Dead::Requeue(meant) => order(meant, Order::Retry, place).await,
            Dead::Clear(meant) => order(meant, Order::Cancel, place).await,
        },
    }
}

fn dead(narrow: &Narrow, limit: usize) -> JobFilter {
    let text = |text: &Option<String>| text.as_deref().map(Into::into);
    JobFilter { work: narrow.kind, source: text(&narrow.source), state: Some(State::Failed), code: text(&narrow.code), limit }
}

/// How a lane stands, as JSON; stable.
#[derive(Debug, Default, Serialize)]
struct LaneView {
    kind: &'static str,
    /// Of uploads, the platform.
    source: String,
    pending: u32,
    /// Of these, those whose time has come.
    due: u32,
    /// Since when the longest of them is due.
    oldest_due_at: Option<String>,
    /// In the hand of a worker.
    working: u32,
    success: u32,
    failed: u32,
    /// Uncertain, under review or on hold: a person decides.
    for_people: u32,
    cancelled: u32,
}

fn lanes(counts: &[JobCount]) -> BTreeMap<WorkLane, LaneView> {
    let mut lanes: BTreeMap<WorkLane, LaneView> = BTreeMap::new();
    for count in counts {
        let view = lanes.entry(count.lane.clone()).or_default();
        (view.kind, view.source) = (count.lane.work.word(), count.lane.source.to_string());
        match count.state {
            State::Pending => {
                (view.pending, view.due) = (count.jobs, count.due);
                view.oldest_due_at = count.oldest_due.map(|at| at.to_string());
            }
            State::Uploading => view.working = count.jobs,
            State::Success => view.success = count.jobs,
            State::Failed => view.failed = count.jobs,
            State::Cancelled => view.cancelled = count.jobs,
            State::Uncertain | State::Review | State::OnHold => view.for_people = view.for_people.saturating_add(count.jobs),
        }
    }
    lanes
}

async fn stats(args: &StatsArgs, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let counts = match place.existing_store().await? {
        Some(store) => store.job_counts(now).await?,
        None => Vec::new(),
    };
    let lanes = lanes(&counts);
    if args.json {
        place.screen.json(&lanes.values().collect::<Vec<_>>())?;
    } else if lanes.is_empty() {
        place.screen.say("nothing in the work queue yet");
    } else {
        let times = place.times(now);
        let header = ["# kind", "source", "waiting", "due", "oldest due", "at work", "dead", "for people", "done"]
            .map(|title| Cell::new(title, DIM));
        let number = |number: u32| Cell::from(format!("{number:>4}"));
        let body = lanes.iter().map(|(lane, view)| {
            let oldest =
                counts.iter().find(|count| count.lane == *lane && count.state == State::Pending).and_then(|count| count.oldest_due);
            [
                Cell::from(view.kind),
                Cell::from(view.source.as_str()),
                number(view.pending),
                number(view.due),
                Cell::from(oldest.map(|at| times.passed(at)).unwrap_or_default()),
                number(view.working),
                Cell::new(format!("{:>4}", view.failed), if view.failed > 0 { BAD } else { PLAIN }),
                number(view.for_people),
                number(view.success),
            ]
        });
        place.screen.data(&text::table(&std::iter::once(header).chain(body).collect::<Vec<_>>()))?;
    }
    Ok(Exit::Done)
}

/// A job as JSON; stable.
#[derive(Debug, Serialize)]
struct JobView {
    id: i64,
    kind: &'static str,
    source: String,
    account: String,
    sku: String,
    state: &'static str,
    scheduled_at: String,
    /// It was put back and is not due before then.
    retry_at: Option<String>,
    attempts: u32,
    /// How often a process died with it in hand.
    deaths: u32,
    /// The run that has it.
    run: Option<i64>,
    lease_until: Option<String>,
    error_code: Option<String>,
    error: Option<String>,
    created_at: String,
    ended_at: Option<String>,
}

impl JobView {
    fn of(job: &Job) -> Self {
        Self {
            id: job.id.0,
            kind: job.work.word(),
            source: job.source.to_string(),
            account: job.key.account.to_string(),
            sku: job.key.sku.to_string(),
            state: word(job.state),
            scheduled_at: job.scheduled_at.to_string(),
            retry_at: job.retry_at.map(|at| at.to_string()),
            attempts: job.attempts,
            deaths: job.deaths,
            run: job.lease.map(|lease| lease.run.0),
            lease_until: job.lease.map(|lease| lease.until.to_string()),
            error_code: job.error.as_ref().map(|error| error.code.to_string()),
            error: job.error.as_ref().map(|error| error.text.to_string()),
            created_at: job.created_at.to_string(),
            ended_at: job.ended_at.map(|at| at.to_string()),
        }
    }
}

async fn list(filter: JobFilter, json: bool, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let jobs = match place.existing_store().await? {
        Some(store) => store.jobs(filter).await?,
        None => Vec::new(),
    };
    if json {
        place.screen.json(&jobs.iter().map(JobView::of).collect::<Vec<_>>())?;
    } else if jobs.is_empty() {
        place.screen.say("no job is of that kind");
    } else {
        let times = place.times(now);
        let header = ["# id", "kind", "source", "account", "sku", "state", "what"].map(|title| Cell::new(title, DIM));
        let body = jobs.iter().map(|job| {
            [
                Cell::from(format!("{:>5}", job.id.0)),
                Cell::from(job.work.word()),
                Cell::from(&*job.source),
                Cell::from(&*job.key.account),
                Cell::from(&*job.key.sku),
                Cell::new(word(job.state), if job.state == State::Failed { BAD } else { PLAIN }),
                Cell::from(text::one_line(&what(job, &times))),
            ]
        });
        place.screen.data(&text::table(&std::iter::once(header).chain(body).collect::<Vec<_>>()))?;
    }
    Ok(Exit::Done)
}

/// What there is to say of a job besides its state.
fn what(job: &Job, times: &Times) -> String {
    let mut parts = Vec::new();
    if let Some(lease) = job.lease {
        parts.push(format!("run {} has it", lease.run));
    }
    if let Some(at) = job.retry_at {
        parts.push(format!("again {}", times.coming(at, &times.zone)));
    }
    if job.attempts > 1 {
        parts.push(format!("{} attempts", job.attempts));
    }
    if job.deaths > 0 {
        parts.push(format!("{} deaths", job.deaths));
    }
    if let Some(error) = &job.error {
        parts.push(format!("{}: {}", error.code, error.text));
    }
    parts.join(", ")
}

async fn show(id: ItemId, json: bool, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let found = match place.existing_store().await? {
        Some(store) => store.job(id).await?,
        None => None,
    };
    let Some(job) = found else {
        return Err(missing(id));
    };
    if json {
        place.screen.json(&JobView::of(&job))?;
        return Ok(Exit::Done);
    }
    let times = place.times(now);
    let mut rows: Vec<[Cell; 2]> = Vec::new();
    let mut say = |title: &str, text: String| rows.push([Cell::new(title, DIM), text.into()]);
    say("job", job.id.to_string());
    say("kind", job.work.word().to_owned());
    say("source", job.source.to_string());
    say("listing", format!("{} of {}", job.key.sku, job.key.account));
    say("state", word(job.state).to_owned());
    say("queued", times.dated(job.created_at));
    if let Some(at) = job.ended_at {
        say("over", times.dated(at));
    }
    if !what(&job, &times).is_empty() {
        say("what", text::one_line(&what(&job, &times)));
    }
    place.screen.data(&text::table(&rows))?;
    Ok(Exit::Done)
}

fn missing(id: ItemId) -> Failure {
    Failure::usage(format!("there is no job {id} in the work queue")).advise("`taskrun work list` shows them")
}

async fn order(meant: Meant, order: Order, place: &Place) -> Result<Exit, Failure> {
    let (store, now) = (place.store().await?, place.now()?);
    for id in &meant.ids {
        if store.job(*id).await?.is_none() {
            return Err(missing(*id));
        }
    }
    let ids =
        if meant.all { store.jobs(dead(&meant.narrow, usize::MAX)).await?.into_iter().map(|job| job.id).collect() } else { meant.ids };
    let ordered = store.order_jobs(ids, order, now).await?;
    tell(&ordered, order, meant.narrow.json, place)
}
