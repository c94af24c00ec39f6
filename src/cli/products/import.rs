//! `taskrun products import`: rows of a file into the catalogue.
//!
//! The file is gone through twice by the same code: once looking only, which is all that a dry run does, then taking in. So a file that cannot be
//! read to its end, or that would overwrite too much, changes nothing.
use std::{collections::HashSet, path::PathBuf, sync::Arc};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::read::{BadLine, Format, Source};
use crate::{
    cli::{
        accounts,
        exit::{Exit, Failure},
        place::Place,
        text,
    },
    config::amount,
    core::value::decimal_text,
    handlers::backup,
    shop::{
        difference::brake_trips,
        gate::Rules,
        import::{Accounts, Change, Checker, Known, Oddity, Refusal, Row, weigh},
        product::Asin,
    },
    store::{
        shop::{Catalogue as _, Weighed},
        sqlite::SqliteStore,
    },
};

/// Rows of one transaction: few enough that a daemon beside it hardly waits.
const BATCH: usize = 500;
/// The share of the products that an import may overwrite values of, unless it is told otherwise.
const MAX_CHANGE: &str = "20%";
/// An import that changes more products than this is preceded by a copy of the store.
const COPY_ABOVE: u64 = 100;
/// Where these copies are, in the folder of all copies: many imports must not push out those of many nights.
const COPIES: &str = "imports";
/// As many of them are kept, the newest ones.
const COPIES_KEPT: usize = 5;
/// Refusals, and warnings, that a JSON document lists one by one.
const LISTED_MAX: usize = 1_000;
/// Warnings that are told one by one.
const WARNINGS_TOLD: u64 = 20;

/// Take products and listings into the catalogue, row by row
#[derive(Debug, clap::Args)]
#[command(after_help = "Columns: asin, title, description, brand, category (A > B), images (separated by |), and for a listing account,\n\
    platform, item_id, sku, price, visible. A blank value leaves what is known. With an item_id it is at the shop, else pending.\n\
    Exit code 1: some rows were refused, the others are in. 2: nothing was written.\n\
    Example: taskrun products import products.csv --dry-run")]
pub(super) struct Args {
    /// UTF-8, with a line that names the columns (CSV) or an object a line (JSON); `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Otherwise by the file's ending
    #[arg(long, value_enum, value_name = "csv|jsonl", hide_possible_values = true)]
    format: Option<Format>,
    /// Rows that name no account are listings of this one; may be given several times
    #[arg(long, value_name = "A")]
    account: Vec<String>,
    /// Leave out a column that the catalogue does not have; may be given several times
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// Write nothing if values of more of the products than this would be overwritten
    #[arg(long, value_name = "SHARE", default_value = MAX_CHANGE, value_parser = share)]
    max_change: i64,
    /// Say what would be taken in, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// In millionths.
fn share(text: &str) -> Result<i64, String> {
    amount::percent(text).map_err(|misfit| format!("{misfit}{}", misfit.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default()))
}

pub(super) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let (accounts, gate) = configured(place, &args.account)?;
    let source = Source::open(&args.file, args.format, &args.ignore)?;
    let now = place.now()?;
    let store = place.existing_store().await?;
    let mut look = Pass::new(&source, place, args.dry_run.then_some(args.json));
    let look_only = async |rows| match &store {
        Some(store) => store.weigh(rows).await.map_err(Failure::from),
        None => Ok(rows.iter().map(|row: &Row| weigh(row, &Known::nothing(row).after_earlier_rows(row))).collect()),
    };
    let seen = look.go(Checker::new(accounts.clone()).behind(gate.clone()), look_only).await?;
    if let Some(store) = &store {
        brake(&seen, store.count_products().await?, args.max_change)?;
    }
    if args.dry_run {
        return seen.tell(&source, place, &args, None);
    }
    let (store, copy) = prepare(place, store, &seen, now).await?;
    let take_in = async |rows| store.take_in(rows, now).await.map_err(Failure::from);
    let taken = Pass::new(&source, place, Some(args.json)).go(Checker::new(accounts).behind(gate), take_in).await?;
    taken.tell(&source, place, &args, copy)
}

/// The store, and a copy of it where much is about to change.
async fn prepare(
    place: &Place,
    store: Option<Arc<SqliteStore>>,
    seen: &Tally,
    now: Timestamp,
) -> Result<(Arc<SqliteStore>, Option<PathBuf>), Failure> {
    match store {
        Some(store) if seen.touched > COPY_ABOVE => {
            let dir = place.state()?.dir.join(backup::FOLDER).join(COPIES);
            let copied = backup::make(&*store, &dir, now, &CancellationToken::new()).await?;
            backup::remove_old(&dir, &backup::Retention { keep: COPIES_KEPT, before: Timestamp::MIN }, false)?;
            Ok((store, Some(copied.path)))
        }
        Some(store) => Ok((store, None)),
        None => Ok((place.store().await?, None)),
    }
}

/// Refuses to overwrite more than was foreseen.
fn brake(seen: &Tally, products: u32, max_change: i64) -> Result<(), Failure> {
    let (replaced, all) = (seen.replaced.len(), usize::try_from(products).unwrap_or(usize::MAX));
    if !brake_trips(replaced, all, max_change) {
        return Ok(());
    }
    let most = decimal_text(max_change.saturating_mul(100));
    let message =
        format!("values of {replaced} of {all} products would be overwritten, and {most}% is the most that may be: nothing was written");
    Err(Failure::usage(message).advise("`--dry-run` and `products show ASIN` say what differs; if it is meant, say `--max-change 100%`"))
}

/// The accounts of the configuration, and what may be listed there; accounts that the command line names must be shops.
pub(super) fn configured(place: &Place, usual: &[String]) -> Result<(Accounts, Option<Arc<Rules>>), Failure> {
    let config = accounts::configured(place)?;
    let known = config.accounts.into_iter().map(|(name, account)| (name, (account.platform, account.enabled))).collect();
    let accounts = Accounts { known, usual: Vec::new() };
    let shop = |name: &String| accounts.shop(name).map_err(|fault| Failure::usage(format!("--account {name}: {fault}")));
    let usual = usual.iter().map(|name| shop(name).map(|(_, name)| name)).collect::<Result<_, _>>()?;
    Ok((Accounts { usual, ..accounts }, config.publish.map(|publish| publish.rules)))
}

/// One going through the file.
struct Pass<'a> {
    source: &'a Source,
    place: &'a Place,
    /// Whether somebody hears of the rows one by one: `Some(json)`.
    told: Option<bool>,
    tally: Tally,
    bar: ProgressBar,
}

impl<'a> Pass<'a> {
    fn new(source: &'a Source, place: &'a Place, told: Option<bool>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(source.bytes), ProgressDrawTarget::hidden());
        if place.screen.draws_bars() {
            bar.set_style(ProgressStyle::with_template("{msg} [{bar:30}] {percent}%").unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(if told.is_some() { "taking in" } else { "checking" });
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        Self { source, place, told, tally: Tally::default(), bar }
    }

    async fn go(&mut self, mut checker: Checker, step: impl AsyncFn(Vec<Row>) -> Result<Weighed, Failure>) -> Result<Tally, Failure> {
        let mut rows = self.source.rows()?;
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(raw) = rows.next()? {
            self.tally.rows += 1;
            match raw {
                Err(bad) => self.refuse(RefusalView::of_line(&bad))?,
                Ok(raw) => match checker.check(&raw) {
                    Err(refusal) => self.refuse(RefusalView::of(raw.line, &refusal))?,
                    Ok((row, oddities)) => {
                        for oddity in &oddities {
                            self.warn(row.line, oddity);
                        }
                        batch.push(row);
                    }
                },
            }
            if batch.len() == BATCH {
                self.settle(std::mem::take(&mut batch), &step).await?;
                self.bar.set_position(rows.bytes_read());
            }
        }
        self.settle(batch, &step).await?;
        self.bar.finish_and_clear();
        Ok(std::mem::take(&mut self.tally))
    }

    async fn settle(&mut self, batch: Vec<Row>, step: &impl AsyncFn(Vec<Row>) -> Result<Weighed, Failure>) -> Result<(), Failure> {
        let keys: Vec<(u64, Asin)> = batch.iter().map(|row| (row.line, row.asin.clone())).collect();
        for ((line, asin), weighed) in keys.into_iter().zip(step(batch).await?) {
            match weighed {
                Err(refusal) => self.refuse(RefusalView::of(line, &refusal))?,
                Ok(weight) => {
                    let tally = &mut self.tally;
                    let count = match (weight.adds, weight.change) {
                        (true, _) => &mut tally.new,
                        (false, Change::Nothing) => &mut tally.unchanged,
                        (false, Change::Fills | Change::Replaces) => &mut tally.changed,
                    };
                    *count += 1;
                    tally.touched += u64::from(weight.change != Change::Nothing);
                    tally.without_title += u64::from(weight.untitled);
                    if weight.change == Change::Replaces {
                        tally.replaced.insert(asin);
                    }
                }
            }
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: RefusalView) -> Result<(), Failure> {
        self.tally.refused += 1;
        match self.told {
            Some(false) => self.bar.suspend(|| self.place.screen.data(&format!("{}\n", refusal.line_of_text())))?,
            Some(true) if self.tally.refusals.len() < LISTED_MAX => self.tally.refusals.push(refusal),
            Some(true) | None => {}
        }
        Ok(())
    }

    fn warn(&mut self, line: u64, oddity: &Oddity) {
        self.tally.warned += 1;
        match self.told {
            Some(false) if self.tally.warned <= WARNINGS_TOLD => {
                self.bar.suspend(|| self.place.screen.say(&format!("line {line}: {oddity}")));
            }
            Some(true) if self.tally.warnings.len() < LISTED_MAX => {
                self.tally.warnings.push(WarningView { line, message: oddity.to_string() });
            }
            Some(_) | None => {}
        }
    }
}

/// What became of the rows.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    new: u64,
    changed: u64,
    unchanged: u64,
    refused: u64,
    without_title: u64,
    warned: u64,
    /// Rows that change something that was there.
    touched: u64,
    /// Products of which a value gives way to another.
    replaced: HashSet<Asin>,
    refusals: Vec<RefusalView>,
    warnings: Vec<WarningView>,
}

impl Tally {
    fn tell(self, source: &Source, place: &Place, args: &Args, copy: Option<PathBuf>) -> Result<Exit, Failure> {
        let exit = if self.refused > 0 { Exit::Failed } else { Exit::Done };
        if args.json {
            place.screen.json(&self.view(source, args.dry_run, copy))?;
            return Ok(exit);
        }
        if self.warned > WARNINGS_TOLD {
            place.screen.say(&format!("{} more such warnings", self.warned - WARNINGS_TOLD));
        }
        if let Some(copy) = copy {
            place.screen.say(&format!("the store as it was before is kept in {}; `taskrun restore FILE` puts it back", copy.display()));
        }
        place.screen.data(&format!("{}: {}\n", source.name, self.words(args.dry_run)))?;
        Ok(exit)
    }

    /// `3 new, 0 changed, 1 unchanged, 2 refused`.
    fn words(&self, dry: bool) -> String {
        let Self { new, changed, unchanged, refused, .. } = self;
        let untitled = match self.without_title {
            0 => String::new(),
            count => format!("; {count} without a title"),
        };
        let would = if dry { "would be " } else { "" };
        let nothing = if dry { "; nothing was written" } else { "" };
        let all_known = if !dry && *new == 0 && *changed == 0 { "nothing new: " } else { "" };
        format!("{all_known}{would}{new} new, {changed} changed, {unchanged} unchanged, {refused} refused{untitled}{nothing}")
    }

    fn view(self, source: &Source, dry_run: bool, copy: Option<PathBuf>) -> ImportView {
        ImportView {
            file: source.name.clone(),
            dry_run,
            rows: self.rows,
            new: self.new,
            changed: self.changed,
            unchanged: self.unchanged,
            refused: self.refused,
            without_title: self.without_title,
            refusals: self.refusals,
            warnings: self.warnings,
            copy: copy.map(|copy| copy.display().to_string()),
        }
    }
}

/// The answer as JSON; stable.
#[derive(Debug, Serialize)]
struct ImportView {
    file: String,
    dry_run: bool,
    rows: u64,
    /// Rows with a product or a listing that was not there.
    new: u64,
    /// Rows that gave something that was there a value, or another one.
    changed: u64,
    unchanged: u64,
    refused: u64,
    /// Rows of products whose title nobody has told us.
    without_title: u64,
    /// The first thousand.
    refusals: Vec<RefusalView>,
    /// The first thousand.
    warnings: Vec<WarningView>,
    /// The copy of the store that was made before.
    copy: Option<String>,
}

#[derive(Debug, Serialize)]
struct RefusalView {
    line: u64,
    /// `null` where the row as a whole cannot be read.
    column: Option<&'static str>,
    value: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct WarningView {
    line: u64,
    message: String,
}

impl RefusalView {
    fn of(line: u64, refusal: &Refusal) -> Self {
        let value = text::one_line(&refusal.value);
        Self { line, column: Some(refusal.column.word()), value, reason: refusal.fault.to_string() }
    }

    fn of_line(bad: &BadLine) -> Self {
        Self {
            line: bad.line,
            column: bad.column.map(crate::shop::import::Column::word),
            value: text::one_line(&bad.value),
            reason: bad.reason.clone(),
        }
    }

    /// ``line 5: asin `b0test`: an ASIN is ten capital letters and digits``.
    fn line_of_text(&self) -> String {
        let column = self.column.map(|column| format!("{column} ")).unwrap_or_default();
        let value = if self.value.is_empty() { String::new() } else { format!("`{}`", self.value) };
        let what = format!("{column}{value}");
        format!("line {}: {}: {}", self.line, what.trim_end(), self.reason)
    }
}
