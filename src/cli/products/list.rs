//! `taskrun products list`: a line for each product.
use std::num::NonZeroUsize;

use serde::Serialize;

use super::show::{ListingView, ValueView};
use crate::{
    cli::{
        accounts,
        exit::{Exit, Failure},
        place::Place,
        text::{self, Cell, DIM, ODD, PLAIN, Times},
    },
    shop::product::{Listing, ListingState, Platform, Stock},
    store::shop::{AccountKey, Catalogue as _, CatalogueFilter, CatalogueRow},
};

/// Products shown unless `--limit` says otherwise.
const LIMIT: &str = "100";

/// The products, by ASIN; those with old data, oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun products list --account base_account_1 --stock no_offer --limit 20")]
pub(super) struct Args {
    /// Only those listed at this account
    #[arg(long, value_name = "A")]
    account: Option<String>,
    /// Only those with a listing that is `pending`, `listed`, `delisted` or `deleted`
    #[arg(long, value_name = "S", value_parser = state)]
    state: Option<ListingState>,
    /// Only those last found `in_stock`, `no_offer` or `filtered`
    #[arg(long, value_name = "S", value_parser = stock)]
    stock: Option<Stock>,
    /// Only those whose stock was last fetched longer ago than this, or never: `4h`, or an instant
    #[arg(long, value_name = "D")]
    older_than: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = LIMIT)]
    limit: NonZeroUsize,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

fn state(word: &str) -> Result<ListingState, String> {
    ListingState::from_word(word).ok_or_else(|| one_of(ListingState::ALL.iter().map(|state| state.word())))
}

fn stock(word: &str) -> Result<Stock, String> {
    Stock::from_word(word).ok_or_else(|| one_of(Stock::ALL.iter().map(|stock| stock.word())))
}

fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", words.collect::<Vec<_>>().join(", "))
}

pub(super) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let now = place.now()?;
    let older_than = args.older_than.as_deref().map(|age| text::instant_before(age, now)).transpose()?;
    let account = args.account.as_deref().map(|account| AccountKey { platform: platform_of(place, account), account: account.into() });
    let limit = args.limit.get();
    // One more than is shown tells whether there are more.
    let filter = CatalogueFilter { account, state: args.state, stock: args.stock, older_than, limit: limit.saturating_add(1) };
    let mut rows = match place.existing_store().await? {
        Some(store) => store.products(filter).await?,
        None => Vec::new(),
    };
    if let (true, Some(account)) = (rows.is_empty(), &args.account) {
        known_account(place, account)?;
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let times = place.times(now);
    if args.json {
        place.screen.json(&rows.iter().map(|row| RowView::of(row, &times)).collect::<Vec<_>>())?;
    } else if rows.is_empty() {
        place.screen.say("no such product in the catalogue");
    } else {
        place.screen.data(&table(&rows, &times))?;
    }
    if more {
        place.screen.say(&format!("these are the first {limit}; `--limit` shows more"));
    }
    Ok(Exit::Done)
}

/// Where an account sells, if the file says it.
fn platform_of(place: &Place, account: &str) -> Platform {
    let configured = super::import::configured(place, &[]).ok();
    configured.and_then(|(accounts, ..)| accounts.known.get(account).map(|(platform, _)| *platform)).unwrap_or(Platform::Base)
}

/// Refuses a name that is no account of the configuration.
fn known_account(place: &Place, name: &str) -> Result<(), Failure> {
    let known = super::import::configured(place, &[])?.0.known;
    if known.contains_key(name) {
        return Ok(());
    }
    Err(accounts::unknown(name, known.keys().map(|name| &**name)))
}

fn table(rows: &[CatalogueRow], times: &Times) -> String {
    let header = ["# asin", "cost", "stock", "fetched", "listings", "title"].map(|title| Cell::new(title, DIM));
    let body = rows.iter().map(|row| cells(row, times));
    text::table(&std::iter::once(header).chain(body).collect::<Vec<_>>())
}

fn cells(row: &CatalogueRow, times: &Times) -> [Cell; 6] {
    let product = &row.product;
    let dash = || Cell::new("-", DIM);
    let stock =
        product.stock.map_or_else(dash, |stock| Cell::new(stock.value.word(), if stock.value == Stock::InStock { PLAIN } else { ODD }));
    [
        product.asin.as_str().into(),
        product.cost.map_or_else(dash, |cost| cost.value.to_string().into()),
        stock,
        product.stock.map_or_else(|| Cell::new("never", DIM), |stock| times.passed(stock.fetched_at).into()),
        row.listings.iter().map(listing).collect::<Vec<_>>().join(", ").into(),
        text::one_line(row.title.as_ref().map(|title| title.value.as_str()).unwrap_or_default()).into(),
    ]
}

/// `base_account_1 listed 1980 hidden`, as last written.
fn listing(listing: &Listing) -> String {
    let price = listing.price.map(|price| format!(" {price}")).unwrap_or_default();
    let hidden = if listing.visible == Some(false) { " hidden" } else { "" };
    format!("{} {}{price}{hidden}", listing.account, listing.state)
}

/// A product among others as JSON; stable.
#[derive(Debug, Serialize)]
struct RowView {
    asin: String,
    title: Option<ValueView<String>>,
    cost_yen: Option<ValueView<i64>>,
    stock: Option<ValueView<&'static str>>,
    listings: Vec<ListingView>,
}

impl RowView {
    fn of(row: &CatalogueRow, times: &Times) -> Self {
        let product = &row.product;
        Self {
            asin: product.asin.to_string(),
            title: row.title.as_ref().map(|title| ValueView::of(title, times, Clone::clone)),
            cost_yen: product.cost.as_ref().map(|cost| ValueView::of(cost, times, |cost| *cost)),
            stock: product.stock.as_ref().map(|stock| ValueView::of(stock, times, |stock| stock.word())),
            listings: row.listings.iter().map(|listing| ListingView::of(listing, times)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::product::{Asin, Dated, Product};

    #[test]
    fn a_line_says_what_is_known_and_how_old_it_is() {
        let now: jiff::Timestamp = "2026-11-22T13:47:39+09:00".parse().unwrap();
        let at = now - jiff::SignedDuration::from_hours(3);
        let asin = Asin::parse("B0TEST0001").unwrap();
        let on = |account: &str, state, price, visible| Listing {
            asin: asin.clone(),
            platform: Platform::Base,
            account: account.into(),
            item_id: None,
            sku: "S".into(),
            price,
            visible,
            written_at: None,
            state,
        };
        let known = CatalogueRow {
            product: Product {
                asin: asin.clone(),
                cost: Some(Dated { value: 1500, fetched_at: at }),
                cost_before: None,
                stock: Some(Dated { value: Stock::NoOffer, fetched_at: at }),
            },
            title: Some(Dated { value: "水筒".to_owned(), fetched_at: at }),
            listings: vec![on("a", ListingState::Listed, Some(1980), Some(false)), on("b", ListingState::Pending, None, None)],
        };
        let bare = CatalogueRow {
            product: Product { asin: Asin::parse("B0TEST0002").unwrap(), cost: None, cost_before: None, stock: None },
            title: None,
            listings: Vec::new(),
        };
        let times = Times { now, zone: jiff::tz::TimeZone::get("Asia/Tokyo").unwrap(), relative: true };
        let text = anstream::adapter::strip_str(&table(&[known, bare], &times)).to_string();
        let expected = "\
# asin      cost  stock     fetched  listings                         title
B0TEST0001  1500  no_offer  3h ago   a listed 1980 hidden, b pending  水筒
B0TEST0002  -     -         never
";
        assert_eq!(text, expected);
    }
}
