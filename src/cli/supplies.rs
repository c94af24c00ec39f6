//! `taskrun supplies`: which item of a source backs which listing at Amazon.
use std::{collections::BTreeMap, fs::File, io::BufReader, num::NonZeroUsize, path::PathBuf, sync::Arc};

use serde::Serialize;

use super::{
    accounts::configured,
    exit::{Exit, Failure},
    place::Place,
    products::csv::{Records, utf8},
    text::{self, BAD, Cell, DIM, GOOD, ODD},
};
use crate::{
    config::{Config, Platform},
    store::shop::{Supplies as _, Supply, SupplyFilter, SupplyKey, SupplyRow, SupplyState, TakenIn},
};

const COLUMNS: [&str; 9] = ["account", "sku", "source", "item", "query", "max_price", "checks_per_day", "restock", "images"];
const NO_FIT: &str = "it does not fit the columns: is a quote or a comma in the wrong place?";
/// Rows that are wrong and told one by one.
const TOLD_MAX: usize = 20;

/// Which item of a source backs which listing at Amazon
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun supplies import supplies.csv --dry-run")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Import(ImportArgs),
    List(ListArgs),
    Show(ShowArgs),
}

/// Take supplies in from a CSV file
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun supplies import supplies.csv --dry-run\n\n\
    Columns: account, sku, source, item; and where wanted query and max_price (for a replacement), checks_per_day (2 or 4),\n\
    restock (the stock to show), images (a folder). A blank value leaves what is known.\n\
    Exit code 1: some rows were refused, the others are in. 2: nothing was written.")]
struct ImportArgs {
    /// UTF-8, with a line that names the columns
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check the file, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Supplies, by seller and number
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun supplies list --state gone")]
struct ListArgs {
    /// Only of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only of this seller
    #[arg(long, value_name = "A")]
    account: Option<String>,
    /// Only in this state: backed, gone, withdraw, withdrawn
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<SupplyState>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "50")]
    limit: NonZeroUsize,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// All there is to know of a supply
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun supplies show amazon_main SKU-0001")]
struct ShowArgs {
    /// The seller's account
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// The seller's own number
    #[arg(value_name = "SKU")]
    sku: String,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

fn state(text: &str) -> Result<SupplyState, String> {
    SupplyState::from_word(text).ok_or_else(|| "one of backed, gone, withdraw, withdrawn".to_owned())
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    match args.what {
        What::Import(args) => import(&args, place).await,
        What::List(args) => list(&args, place).await,
        What::Show(args) => show(&args, place).await,
    }
}

/// What became of the rows, as JSON; stable.
#[derive(Debug, Default, Serialize)]
struct ImportView {
    rows: usize,
    added: usize,
    changed: usize,
    same: usize,
    refused: Vec<RefusedView>,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct RefusedView {
    line: u64,
    reason: String,
}

async fn import(args: &ImportArgs, place: &Place) -> Result<Exit, Failure> {
    let config = configured(place)?;
    let (rows, mut view) = read(&args.file, &config)?;
    view.dry_run = args.dry_run;
    if !args.dry_run && !rows.is_empty() {
        let store = place.store().await?;
        let (lines, rows): (Vec<u64>, Vec<SupplyRow>) = rows.into_iter().unzip();
        let taken = store.take_in_supplies(rows, place.now()?).await?;
        for (line, taken) in lines.into_iter().zip(taken) {
            match taken {
                TakenIn::Added => view.added += 1,
                TakenIn::Changed => view.changed += 1,
                TakenIn::Same => view.same += 1,
                TakenIn::Taken => view.refused.push(RefusedView { line, reason: "its item backs another listing already".to_owned() }),
            }
        }
    }
    if args.json {
        place.screen.json(&view)?;
    } else {
        for refused in view.refused.iter().take(TOLD_MAX) {
            place.screen.error(&format!("line {}: {}", refused.line, refused.reason), None);
        }
        let done = if args.dry_run {
            "nothing was written".to_owned()
        } else {
            format!("{} added, {} changed, {} known", view.added, view.changed, view.same)
        };
        place.screen.say(&format!("{}: {done}, {} refused", text::counted(view.rows, "row"), view.refused.len()));
    }
    Ok(if view.refused.is_empty() { Exit::Done } else { Exit::Failed })
}

/// The rows of a file with their lines; what is wrong with a row is the row's, what is wrong with the file is the file's.
fn read(path: &PathBuf, config: &Config) -> Result<(Vec<(u64, SupplyRow)>, ImportView), Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::because(Exit::Usage, format!("failed to read `{name}`"), &error))?;
    let mut records = Records::new(BufReader::new(file));
    let broken = |error| Failure::because(Exit::Usage, format!("{name}: nothing was written"), &error);
    let header = records.next().map_err(broken)?.ok_or_else(|| Failure::usage(format!("{name} is empty")))?;
    let mut columns = Vec::new();
    for field in header.fields {
        let title = utf8(&name, field, header.line)?.trim_start_matches('\u{feff}').trim().to_lowercase();
        let Some(known) = COLUMNS.iter().find(|column| **column == title) else {
            let message = format!("{name}: there is no column `{}`; nothing was written", text::one_line(&title));
            return Err(Failure::usage(message).advise(format!("the columns are {}", COLUMNS.join(", "))));
        };
        if columns.contains(known) {
            return Err(Failure::usage(format!("{name}: the column `{known}` is there twice; nothing was written")));
        }
        columns.push(*known);
    }
    let mut view = ImportView::default();
    let mut rows = Vec::new();
    while let Some(record) = records.next().map_err(broken)? {
        view.rows += 1;
        let fields = record.fields.into_iter().map(|field| utf8(&name, field, record.line)).collect::<Result<Vec<_>, _>>()?;
        let row = if record.malformed { Err(NO_FIT.to_owned()) } else { row(&columns, &fields, config) };
        match row {
            Ok(row) => rows.push((record.line, row)),
            Err(reason) => view.refused.push(RefusedView { line: record.line, reason }),
        }
    }
    Ok((once_each(rows, &mut view.refused), view))
}

/// Refuses all rows of a listing that has several: nobody can say which of them is meant.
fn once_each(rows: Vec<(u64, SupplyRow)>, refused: &mut Vec<RefusedView>) -> Vec<(u64, SupplyRow)> {
    let mut lines: BTreeMap<SupplyKey, Vec<u64>> = BTreeMap::new();
    for (line, row) in &rows {
        lines.entry(row.key.clone()).or_default().push(*line);
    }
    let is_alone = |row: &SupplyRow| lines.get(&row.key).is_none_or(|lines| lines.len() < 2);
    let (alone, several): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, row)| is_alone(row));
    for (line, row) in several {
        let stands: Vec<String> = lines.get(&row.key).into_iter().flatten().map(ToString::to_string).collect();
        let reason = format!("{} of {} stands on the lines {}", row.key.sku, row.key.account, stands.join(" and "));
        refused.push(RefusedView { line, reason });
    }
    refused.sort_by_key(|refused| refused.line);
    alone
}

fn row(columns: &[&str], fields: &[String], config: &Config) -> Result<SupplyRow, String> {
    if columns.len() < fields.len() {
        return Err(NO_FIT.to_owned());
    }
    let value = |name: &str| -> Result<Option<Arc<str>>, String> {
        let Some(field) = columns.iter().position(|column| *column == name).and_then(|at| fields.get(at)) else { return Ok(None) };
        let text = field.trim();
        if text.chars().any(char::is_control) {
            return Err(format!("`{name}` holds a control character"));
        }
        Ok(Some(text).filter(|text| !text.is_empty()).map(Into::into))
    };
    let needed = |name: &str| value(name)?.ok_or_else(|| format!("`{name}` is missing"));
    let number = |name: &str| -> Result<Option<i64>, String> {
        let Some(text) = value(name)? else { return Ok(None) };
        text.parse::<i64>().ok().filter(|number| 0 <= *number).map(Some).ok_or_else(|| format!("`{name}`: `{text}` is no whole number"))
    };
    let account = needed("account")?;
    if config.accounts.get(&account).is_none_or(|account| account.platform != Platform::Amazon) {
        return Err(format!("`{account}` is no account at Amazon in tasks.yaml"));
    }
    let source = needed("source")?;
    if !config.sources.contains_key(&source) {
        return Err(format!("there is no source `{source}` in tasks.yaml"));
    }
    let checks_per_day = match number("checks_per_day")? {
        None => None,
        Some(2) => Some(2),
        Some(4) => Some(4),
        Some(other) => return Err(format!("`checks_per_day`: {other} is neither 2 nor 4")),
    };
    let restock = match number("restock")? {
        None => None,
        Some(stock) => Some(u32::try_from(stock).ok().filter(|stock| 0 < *stock).ok_or("`restock` is 1 or more")?),
    };
    let images = value("images")?;
    if images.as_ref().is_some_and(|folder| folder.split('/').any(|part| matches!(part, "" | "." | ".."))) {
        return Err("`images` is a folder below the root of all images, such as `figures/0001`".to_owned());
    }
    Ok(SupplyRow {
        key: SupplyKey { account, sku: needed("sku")? },
        source,
        item: needed("item")?,
        query: value("query")?,
        max_price: number("max_price")?,
        checks_per_day,
        restock,
        images,
    })
}

/// A supply as JSON; stable.
#[derive(Debug, Serialize)]
struct SupplyView {
    account: String,
    sku: String,
    source: String,
    item: String,
    state: &'static str,
    /// The stock that Amazon is to show, and what it was told last.
    wanted: u32,
    pushed: Option<u32>,
    price: Option<i64>,
    query: Option<String>,
    max_price: Option<i64>,
    checks_per_day: u8,
    restock: u32,
    images: Option<String>,
    gone_at: Option<String>,
    checked_at: Option<String>,
    searched_at: Option<String>,
    changed_at: String,
}

impl SupplyView {
    fn of(supply: &Supply) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_ref().map(ToString::to_string);
        Self {
            account: supply.key.account.to_string(),
            sku: supply.key.sku.to_string(),
            source: supply.source.to_string(),
            item: supply.item.to_string(),
            state: supply.state.word(),
            wanted: supply.wanted,
            pushed: supply.pushed,
            price: supply.price,
            query: text(&supply.query),
            max_price: supply.max_price,
            checks_per_day: supply.checks_per_day,
            restock: supply.restock,
            images: text(&supply.images),
            gone_at: supply.gone_at.map(|at| at.to_string()),
            checked_at: supply.checked_at.map(|at| at.to_string()),
            searched_at: supply.searched_at.map(|at| at.to_string()),
            changed_at: supply.changed_at.to_string(),
        }
    }
}

fn style(state: SupplyState) -> clap::builder::styling::Style {
    match state {
        SupplyState::Backed => GOOD,
        SupplyState::Gone => BAD,
        SupplyState::Withdraw => ODD,
        SupplyState::Withdrawn => DIM,
    }
}

async fn list(args: &ListArgs, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let filter = SupplyFilter {
        source: args.source.as_deref().map(Into::into),
        account: args.account.as_deref().map(Into::into),
        state: args.state,
        limit: args.limit.get(),
    };
    let supplies = match place.existing_store().await? {
        Some(store) => store.supplies(filter).await?,
        None => Vec::new(),
    };
    if args.json {
        place.screen.json(&supplies.iter().map(SupplyView::of).collect::<Vec<_>>())?;
    } else if supplies.is_empty() {
        place.screen.say("no supply is of that kind; `taskrun supplies import FILE` takes some in");
    } else {
        let times = place.times(now);
        let header = ["# account", "sku", "source", "item", "state", "stock", "at amazon", "checked"].map(|title| Cell::new(title, DIM));
        let body = supplies.iter().map(|supply| {
            [
                Cell::from(&*supply.key.account),
                Cell::from(&*supply.key.sku),
                Cell::from(&*supply.source),
                Cell::from(&*supply.item),
                Cell::new(supply.state.word(), style(supply.state)),
                Cell::from(supply.wanted.to_string()),
                Cell::from(supply.pushed.map_or_else(|| "not told".to_owned(), |stock| stock.to_string())),
                Cell::from(supply.checked_at.map_or_else(|| "never".to_owned(), |at| times.passed(at))),
            ]
        });
        place.screen.data(&text::table(&std::iter::once(header).chain(body).collect::<Vec<_>>()))?;
        if supplies.len() == args.limit.get() {
            place.screen.say("`--limit N` shows more");
        }
    }
    Ok(Exit::Done)
}

async fn show(args: &ShowArgs, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let key = SupplyKey { account: args.account.as_str().into(), sku: args.sku.as_str().into() };
    let found = match place.existing_store().await? {
        Some(store) => store.supply(key).await?,
        None => None,
    };
    let Some(supply) = found else { return Err(Failure::usage(format!("there is no supply {} of {}", args.sku, args.account))) };
    if args.json {
        place.screen.json(&SupplyView::of(&supply))?;
        return Ok(Exit::Done);
    }
    let times = place.times(now);
    let mut rows: Vec<[Cell; 2]> = Vec::new();
    let mut say = |title: &str, text: String| rows.push([Cell::new(title, DIM), text.into()]);
    say("listing", format!("{} of {}", supply.key.sku, supply.key.account));
    say("item", format!("{} at {}", supply.item, supply.source));
    say("state", supply.state.word().to_owned());
    say("stock", supply.wanted.to_string());
    say("restock", supply.restock.to_string());
    say("at amazon", supply.pushed.map_or_else(|| "not told".to_owned(), |stock| stock.to_string()));
    if let Some(price) = supply.price {
        say("price", format!("{price} yen"));
    }
    let most = supply.max_price.map(|price| format!(", at most {price} yen")).unwrap_or_default();
    say("replacement", supply.query.as_ref().map_or_else(|| "none is looked for".to_owned(), |query| format!("{query}{most}")));
    if let Some(images) = &supply.images {
        say("images", images.to_string());
    }
    say("checks", format!("{} a day", supply.checks_per_day));
    let moments =
        [("gone", supply.gone_at), ("checked", supply.checked_at), ("searched", supply.searched_at), ("changed", Some(supply.changed_at))];
    for (title, at) in moments {
        if let Some(at) = at {
            say(title, times.dated(at));
        }
    }
    place.screen.data(&text::table(&rows))?;
    Ok(Exit::Done)
}
