//! `taskrun products show`: all that is known of a product, and how old it is.
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    cli::{
        exit::{Exit, Failure},
        place::Place,
        text::{self, BOLD, Cell, DIM, Times},
    },
    shop::product::{Dated, Listing},
    store::shop::{Catalogue as _, CatalogueEntry, CostRow, PriceRow},
    view::rfc3339,
};

/// Rows of each history that are shown unless `-n` says otherwise.
const ROWS: &str = "30";

/// All that is known of a product: each value with its age, its listings, its prices and costs
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun products show B0TEST0001")]
pub(super) struct Args {
    #[arg(value_name = "ASIN")]
    asin: String,
    /// At most so many rows of each history
    #[arg(short = 'n', value_name = "N", default_value = ROWS)]
    rows: usize,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let asin = super::named(&args.asin)?;
    let times = place.times(place.now()?);
    let found = match place.existing_store().await? {
        Some(store) => store.product(asin.clone(), args.rows).await?,
        None => None,
    };
    let Some(entry) = found else {
        return Err(
            Failure::usage(format!("there is no product {asin} in the catalogue")).advise("`taskrun products list` shows what there is")
        );
    };
    if args.json {
        place.screen.json(&EntryView::of(&entry, &times))?;
    } else {
        place.screen.data(&render(&entry, &times))?;
    }
    Ok(Exit::Done)
}

fn render(entry: &CatalogueEntry, times: &Times) -> String {
    let mut text = format!("{BOLD}{}{BOLD:#}  in the catalogue since {}\n\n", entry.product.asin, times.dated(entry.created_at));
    text.push_str(&values(entry, times));
    let mut add = |title: &str, table: String| {
        if !table.is_empty() {
            write!(text, "\n{DIM}# {title}{DIM:#}\n{table}").unwrap_or_default();
        }
    };
    add("listings, as last written", listings(&entry.listings, times));
    add("prices, newest first", prices(&entry.prices, times));
    add("costs, newest first", costs(&entry.costs, times));
    text
}

fn values(entry: &CatalogueEntry, times: &Times) -> String {
    let (product, details) = (&entry.product, &entry.details);
    let row = |name: &str, value: Option<(String, Timestamp)>| match value {
        Some((value, at)) => [name.into(), times.passed(at).into(), text::one_line(&value).into()],
        None => [name.into(), Cell::new("never", DIM), Cell::new("-", DIM)],
    };
    let read = |value: &Option<Dated<String>>| value.as_ref().map(|value| (value.value.clone(), value.fetched_at));
    let images = details.images.as_ref().map(|images| (images.value.join(" "), images.fetched_at));
    text::table(&[
        ["# value", "as of", ""].map(|title| Cell::new(title, DIM)),
        row("cost", product.cost.map(|cost| (format!("{} yen", cost.value), cost.fetched_at))),
        row("stock", product.stock.map(|stock| (stock.value.word().to_owned(), stock.fetched_at))),
        row("title", read(&details.title)),
        row("brand", read(&details.brand)),
        row("category", read(&details.category)),
        row("description", read(&details.description)),
        row("images", images),
    ])
}

fn listings(listings: &[Listing], times: &Times) -> String {
    let shown = |listing: &Listing| {
        let visible = listing.visible.map_or("", |visible| if visible { "visible" } else { "hidden" });
        [
            Cell::from(&*listing.account),
            listing.state.word().into(),
            listing.price.map_or_else(|| Cell::new("-", DIM), |price| format!("{price} yen").into()),
            visible.into(),
            listing.item_id.as_deref().map(|item| format!("item {item}")).unwrap_or_default().into(),
            format!("sku {}", listing.sku).into(),
            listing.written_at.map(|at| format!("written {}", times.passed(at))).unwrap_or_default().into(),
        ]
    };
    text::table(&listings.iter().map(shown).collect::<Vec<_>>())
}

fn prices(prices: &[PriceRow], times: &Times) -> String {
    let shown = |price: &PriceRow| {
        let by = price.run.map(|run| format!(" (run {run})")).unwrap_or_default();
        [
            Cell::from(times.dated(price.at)),
            (&*price.shop.account).into(),
            change(price.old, price.new).into(),
            price.cost.map(|cost| format!("cost {cost}")).unwrap_or_default().into(),
            format!("{}{by}", text::one_line(&price.reason)).into(),
        ]
    };
    text::table(&prices.iter().map(shown).collect::<Vec<_>>())
}

fn costs(costs: &[CostRow], times: &Times) -> String {
    let shown = |cost: &CostRow| [Cell::from(times.dated(cost.at)), change(cost.old, cost.new).into()];
    text::table(&costs.iter().map(shown).collect::<Vec<_>>())
}

fn change(old: Option<i64>, new: i64) -> String {
    old.map_or_else(|| format!("{new} yen"), |old| format!("{old} -> {new} yen"))
}

/// A value with its age as JSON.
#[derive(Debug, Serialize)]
pub(super) struct ValueView<T> {
    value: T,
    fetched_at: String,
    age_s: f64,
}

impl<T> ValueView<T> {
    pub(super) fn of<S>(dated: &Dated<S>, times: &Times, value: impl Fn(&S) -> T) -> Self {
        Self {
            value: value(&dated.value),
            fetched_at: rfc3339(dated.fetched_at, &times.zone),
            age_s: times.now.duration_since(dated.fetched_at).as_secs_f64(),
        }
    }
}

/// A listing as JSON; price and visibility are those that were last written.
#[derive(Debug, Serialize)]
pub(super) struct ListingView {
    platform: &'static str,
    account: String,
    state: &'static str,
    item_id: Option<String>,
    sku: String,
    price_yen: Option<i64>,
    visible: Option<bool>,
    written_at: Option<String>,
}

impl ListingView {
    pub(super) fn of(listing: &Listing, times: &Times) -> Self {
        Self {
            platform: listing.platform.word(),
            account: listing.account.to_string(),
            state: listing.state.word(),
            item_id: listing.item_id.as_deref().map(str::to_owned),
            sku: listing.sku.to_string(),
            price_yen: listing.price,
            visible: listing.visible,
            written_at: listing.written_at.map(|at| rfc3339(at, &times.zone)),
        }
    }
}

/// A product as JSON; stable.
#[derive(Debug, Serialize)]
struct EntryView {
    asin: String,
    title: Option<ValueView<String>>,
    description: Option<ValueView<String>>,
    brand: Option<ValueView<String>>,
    category: Option<ValueView<String>>,
    images: Option<ValueView<Vec<String>>>,
    cost_yen: Option<ValueView<i64>>,
    stock: Option<ValueView<&'static str>>,
    created_at: String,
    updated_at: Option<String>,
    listings: Vec<ListingView>,
    /// Newest first.
    price_history: Vec<PriceView>,
    /// Newest first.
    cost_history: Vec<CostView>,
}

#[derive(Debug, Serialize)]
struct PriceView {
    at: String,
    platform: &'static str,
    account: String,
    old_yen: Option<i64>,
    new_yen: i64,
    cost_yen: Option<i64>,
    reason: String,
    run: Option<i64>,
}

#[derive(Debug, Serialize)]
struct CostView {
    at: String,
    old_yen: Option<i64>,
    new_yen: i64,
}

impl EntryView {
    fn of(entry: &CatalogueEntry, times: &Times) -> Self {
        let (product, details) = (&entry.product, &entry.details);
        let text = |value: &Option<Dated<String>>| value.as_ref().map(|value| ValueView::of(value, times, Clone::clone));
        let at = |at: Timestamp| rfc3339(at, &times.zone);
        let price = |row: &PriceRow| PriceView {
            at: at(row.at),
            platform: row.shop.platform.word(),
            account: row.shop.account.to_string(),
            old_yen: row.old,
            new_yen: row.new,
            cost_yen: row.cost,
            reason: row.reason.clone(),
            run: row.run.map(|run| run.0),
        };
        Self {
            asin: product.asin.to_string(),
            title: text(&details.title),
            description: text(&details.description),
            brand: text(&details.brand),
            category: text(&details.category),
            images: details.images.as_ref().map(|images| ValueView::of(images, times, Clone::clone)),
            cost_yen: product.cost.as_ref().map(|cost| ValueView::of(cost, times, |cost| *cost)),
            stock: product.stock.as_ref().map(|stock| ValueView::of(stock, times, |stock| stock.word())),
            created_at: at(entry.created_at),
            updated_at: entry.updated_at.map(at),
            listings: entry.listings.iter().map(|listing| ListingView::of(listing, times)).collect(),
            price_history: entry.prices.iter().map(price).collect(),
            cost_history: entry.costs.iter().map(|row| CostView { at: at(row.at), old_yen: row.old, new_yen: row.new }).collect(),
        }
    }
}
