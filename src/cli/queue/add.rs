//! `taskrun queue add`: which products, to whom, and when.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde::Serialize;

use super::{configured, platform, when};
use crate::{
    cli::{
        exit::{Exit, Failure},
        place::Place,
        text::{self, Cell, DIM, Times},
    },
    config::Config,
    shop::{
        product::{Asin, Platform},
        spread::{Pace, day_of},
        upload::{PRIORITY, PRIORITY_MAX, Refusal},
    },
    store::shop::{AddReport, AddRequest, Added, Queue as _, Target, Wanted},
    view::queue::lane,
};

/// Products that `--all-pending` takes unless `--limit` says otherwise.
const LIMIT: u32 = 100;
/// Products that one call takes: one transaction that others wait for.
const LIMIT_MAX: i64 = 100_000;
/// Refusals that are shown one by one; more are counted by their reason.
const SHOWN_MAX: usize = 10;

/// Queue products to be listed; what is queued or listed already stays as it is
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun queue add --all-pending --limit 500 --distribute --dry-run\n\
    Without --account each product goes to the account with room, as many to one as to the other.\n\
    Without --distribute it is due at once; 20 is urgent, 10 high, 5 normal, 1 low.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Args {
    /// The products
    #[arg(value_name = "ASIN", value_parser = asin, required_unless_present = "all_pending")]
    asins: Vec<Asin>,
    /// All products of the catalogue that are neither listed nor queued
    #[arg(long, conflicts_with = "asins")]
    all_pending: bool,
    /// With --all-pending: also what was cancelled or has failed before
    #[arg(long, conflicts_with = "asins")]
    again: bool,
    /// The marketplace
    #[arg(long, value_name = "P", default_value = "base", value_parser = platform)]
    platform: Platform,
    /// This account only, whatever others have
    #[arg(long, value_name = "A")]
    account: Option<String>,
    /// With --all-pending: at most so many (100)
    #[arg(long, value_name = "N", conflicts_with = "asins", value_parser = clap::value_parser!(u32).range(1..=LIMIT_MAX))]
    limit: Option<u32>,
    /// 1 to 20
    #[arg(long, value_name = "N", default_value_t = PRIORITY, value_parser = clap::value_parser!(u8).range(1..=i64::from(PRIORITY_MAX)))]
    priority: u8,
    /// Evenly over the business hours, from tomorrow on
    #[arg(long)]
    distribute: bool,
    /// Not before then: `now`, `06:00`, `2h`, or an instant
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Only show what would be queued
    #[arg(long)]
    dry_run: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

fn asin(text: &str) -> Result<Asin, String> {
    Asin::parse(text).ok_or_else(|| "an ASIN has ten capital letters and digits".to_owned())
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let (config, now) = (configured(place)?, place.now()?);
    let request = request(&args, &config, now)?;
    // Whoever only asks makes no store.
    let report = match if args.dry_run { place.existing_store().await? } else { Some(place.store().await?) } {
        Some(store) => store.add_uploads(request, now).await?,
        None => AddReport { refused: args.asins.iter().map(|asin| (asin.clone(), Refusal::Unknown)).collect(), ..AddReport::default() },
    };
    if args.json {
        place.screen.json(&ReportView::of(&report, args.dry_run))?;
    } else {
        show(&report, &args, &config, place, now)?;
    }
    // What a scan leaves out is no failure of the scan.
    let was_refused = !args.all_pending && report.refused.iter().any(|(_, refusal)| !refusal.is_so_already());
    Ok(if report.added.is_empty() && was_refused { Exit::Skipped } else { Exit::Done })
}

fn request(args: &Args, config: &Config, now: Timestamp) -> Result<AddRequest, Failure> {
    if args.platform == Platform::Amazon {
        return Err(Failure::usage("offers are read at Amazon, nothing is listed there").advise("the shops are `base` and `ebay`"));
    }
    let at_platform = config.accounts.iter().filter(|(_, account)| account.platform == args.platform);
    let targets: Vec<Target> = at_platform
        .map(|(name, account)| Target {
            account: Arc::clone(name),
            lane: lane(config, name, account),
            closed: (!account.enabled).then(|| format!("`{name}` is disabled in tasks.yaml").into()),
        })
        .collect();
    if targets.is_empty() {
        return Err(Failure::usage(format!("no account is at `{}`", args.platform)).advise("add one under `accounts:`"));
    }
    if let Some(name) = args.account.as_deref().filter(|name| targets.iter().all(|target| &*target.account != *name)) {
        let failure = Failure::usage(format!("there is no account `{name}` at `{}`", args.platform));
        return Err(match text::closest(name, targets.iter().map(|target| &*target.account)) {
            Some(closest) => failure.advise(format!("did you mean `{closest}`?")),
            None => failure,
        });
    }
    let tomorrow = || day_of(now, &config.timezone).end;
    let from = match &args.from {
        Some(from) => when(from, now, &config.timezone)?,
        None if args.distribute => tomorrow(),
        None => now,
    };
    let limit = usize::try_from(args.limit.unwrap_or(LIMIT)).unwrap_or(usize::MAX);
    let wanted = if args.all_pending { Wanted::Pending { limit, again: args.again } } else { Wanted::Named(args.asins.clone()) };
    Ok(AddRequest {
        platform: args.platform,
        targets,
        only: args.account.as_deref().map(Into::into),
        wanted,
        priority: args.priority,
        pace: if args.distribute { Pace::Spread } else { Pace::Soon },
        from,
        publish: config.publish.clone(),
        dry: args.dry_run,
    })
}

fn show(report: &AddReport, args: &Args, config: &Config, place: &Place, now: Timestamp) -> Result<(), Failure> {
    if !report.added.is_empty() {
        place.screen.data(&plan(&report.added, config, &place.times(now)))?;
    }
    let verb = if args.dry_run { "would be queued" } else { "queued" };
    place.screen.say(&format!("{} {verb}", text::counted(report.added.len(), "item")));
    let reviews = report.added.iter().filter(|added| added.review.is_some()).count();
    if reviews > 0 {
        place.screen.say(&format!(
            "{reviews} of them {} for a person first: `taskrun queue review` shows why",
            if reviews == 1 { "waits" } else { "wait" }
        ));
    }
    if config.publish.is_none() && !report.added.is_empty() {
        place.screen.say("nothing was judged and nothing will be listed until `publish: { rules: .. }` stands in tasks.yaml");
    }
    let days = days(&report.added, config);
    if days > 1 {
        place.screen.say(&format!("it takes {days} days: the accounts' daily caps let no more through on one"));
    }
    if report.more {
        place.screen.say("there are more; `--limit N` takes more of them");
    }
    if report.refused.len() <= SHOWN_MAX {
        for (asin, refusal) in &report.refused {
            place.screen.say(&format!("not queued: {asin}: {refusal}"));
        }
        return Ok(());
    }
    let mut reasons: BTreeMap<&str, (usize, &(Asin, Refusal))> = BTreeMap::new();
    for refused in &report.refused {
        reasons.entry(refused.1.word()).or_insert((0, refused)).0 += 1;
    }
    for (count, (asin, refusal)) in reasons.values() {
        place.screen.say(&format!("not queued: {}, such as {asin}: {refusal}", text::counted(*count, "product")));
    }
    place.screen.say("`--json` names each of them");
    Ok(())
}

/// On how many days of the file's zone items are due.
fn days(added: &[Added], config: &Config) -> usize {
    added.iter().map(|added| added.at.to_zoned(config.timezone.clone()).date()).collect::<BTreeSet<_>>().len()
}

/// How many items go to whom on which day.
fn plan(added: &[Added], config: &Config, times: &Times) -> String {
    let mut days: BTreeMap<_, Vec<Timestamp>> = BTreeMap::new();
    for added in added {
        let day = added.at.to_zoned(config.timezone.clone()).date();
        days.entry((day, &added.account)).or_default().push(added.at);
    }
    let header = ["# day", "account", "items", "first", "last"].map(|title| Cell::new(title, DIM));
    let clock = |at: Option<&Timestamp>| at.map(|at| times.day(*at, &config.timezone)).unwrap_or_default();
    let body = days.into_iter().map(|((day, account), mut due)| {
        due.sort_unstable();
        let day = day.strftime("%Y-%m-%d").to_string();
        [day.into(), Cell::from(&**account), format!("{:>5}", due.len()).into(), clock(due.first()).into(), clock(due.last()).into()]
    });
    text::table(&std::iter::once(header).chain(body).collect::<Vec<_>>())
}

/// What became of it, as JSON; stable.
#[derive(Debug, Serialize)]
struct ReportView {
    dry_run: bool,
    added: Vec<AddedView>,
    refused: Vec<RefusedView>,
    /// `--limit` left some out.
    more: bool,
}

#[derive(Debug, Serialize)]
struct AddedView {
    /// Absent in a dry run.
    id: Option<i64>,
    asin: String,
    account: String,
    scheduled_at: String,
    /// Why it waits for a person first; null: it does not.
    review: Option<String>,
}

#[derive(Debug, Serialize)]
struct RefusedView {
    asin: String,
    /// `unknown`, `no_title`, `no_cost`, `no_images`, `prohibited`, `live`, `queued`, `unsettled`, `cancelled`, `failed`, `full`, `closed`.
    reason: &'static str,
    detail: String,
}

impl ReportView {
    fn of(report: &AddReport, dry_run: bool) -> Self {
        let added = |added: &Added| AddedView {
            id: added.id.map(|id| id.0),
            asin: added.asin.to_string(),
            account: added.account.to_string(),
            scheduled_at: added.at.to_string(),
            review: added.review.as_ref().map(ToString::to_string),
        };
        let refused =
            |(asin, refusal): &(Asin, Refusal)| RefusedView { asin: asin.to_string(), reason: refusal.word(), detail: refusal.to_string() };
        Self {
            dry_run,
            added: report.added.iter().map(added).collect(),
            refused: report.refused.iter().map(refused).collect(),
            more: report.more,
        }
    }
}
