//! Products, and where they are listed.
use std::sync::Arc;

use jiff::Timestamp;

use super::{AccountKey, Guarded, ShopStore};
use crate::{
    access::Access,
    core::task::RunId,
    shop::{
        import::{Refusal, Row, Weight},
        offer::Finding,
        product::{Asin, Dated, DatedDetails, Details, Listing, ListingState, Product, Stock},
    },
    store::{Answer, Fence, StoreResult},
};

/// A listing to be taken into the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewListing {
    /// The product; it is taken in too where it is new.
    pub asin: Asin,
    /// Its name, for people.
    pub title: Option<String>,
    /// The shop.
    pub shop: AccountKey,
    /// The shop's number of it.
    pub item_id: Option<Arc<str>>,
    /// Our own number of it at the shop.
    pub sku: Arc<str>,
}

/// Which products are asked for. What is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogueFilter {
    /// Those with a listing at this account.
    pub account: Option<AccountKey>,
    /// Those with a listing in this state (at the account, if one is given).
    pub state: Option<ListingState>,
    /// Those that were last found so.
    pub stock: Option<Stock>,
    /// Those whose stock was fetched before this instant, or never. They come oldest first; otherwise the order is that of the ASINs.
    pub older_than: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
}

/// A product among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueRow {
    /// What is known of its offers.
    pub product: Product,
    /// Its name, for people.
    pub title: Option<Dated<String>>,
    /// Its listings, by account.
    pub listings: Vec<Listing>,
}

/// All that is known of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// What is known of its offers.
    pub product: Product,
    /// What people see of it.
    pub details: DatedDetails,
    /// When it came into the catalogue.
    pub created_at: Timestamp,
    /// When one of its details last became another; `None`: never.
    pub updated_at: Option<Timestamp>,
    /// Its listings, by account.
    pub listings: Vec<Listing>,
    /// The changes of its price in the shops, newest first.
    pub prices: Vec<PriceRow>,
    /// The changes of its cost, newest first.
    pub costs: Vec<CostRow>,
}

/// A change of what a shop asks for a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceRow {
    /// The shop.
    pub shop: AccountKey,
    /// In yen; `None`: none was known.
    pub old: Option<i64>,
    /// In yen.
    pub new: i64,
    /// What the product cost at that time, in yen, as far as that was known.
    pub cost: Option<i64>,
    /// Why.
    pub reason: String,
    /// The run that changed it; `None`: a person's import.
    pub run: Option<RunId>,
    /// When it was known to be so.
    pub at: Timestamp,
}

/// A change of a product's cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostRow {
    /// In yen; `None`: none was known.
    pub old: Option<i64>,
    /// In yen.
    pub new: i64,
    /// When it was found.
    pub at: Timestamp,
}

/// How old the data is that the shops are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataAge {
    /// Products that are listed anywhere.
    pub listed: u32,
    /// Those of them that were never fetched.
    pub never: u32,
    /// Those of them whose data is older than was asked about, or was never fetched.
    pub older: u32,
    /// The oldest date among them, apart from those that were never fetched.
    pub oldest: Option<Timestamp>,
}

/// What became of each row of an import, or would, in the rows' order.
pub type Weighed = Vec<Result<Weight, Refusal>>;

/// The catalogue.
pub trait Catalogue: Send + Sync + std::fmt::Debug {
    /// Every product that is listed anywhere, each once: those never fetched first, then the oldest data first.
    fn listed_products(&self) -> Answer<Vec<Product>>;
    /// What people see of the products that are listed anywhere, in the order of their ASINs, after one of them: at most so many.
    fn listed_details(&self, after: Option<Asin>, limit: usize) -> Answer<Vec<(Asin, Details)>>;
    /// Products that are to be listed at a shop and are not listed anywhere yet, at most so many: those that are due in its queue before `due`, then
    /// those never fetched, then the oldest data first. If that are fewer, those follow that have no shop yet.
    fn products_to_list(&self, shop: AccountKey, due: Timestamp, limit: usize) -> Answer<Vec<Product>>;
    /// What is listed at a shop.
    fn listings(&self, shop: AccountKey) -> Answer<Vec<Listing>>;
    /// Takes in listings, and the products they are of. One whose product, SKU or item the shop has already stays as it is. How many were new.
    fn add_listings(&self, listings: Vec<NewListing>, at: Timestamp) -> Answer<usize>;
    /// Takes over what was found, as [`Product::learn`] says. A cost that changed goes into the history.
    fn learn(&self, fence: Fence, findings: Vec<(Asin, Finding)>, at: Timestamp) -> Answer<Guarded<()>>;
    /// What rows of an import would do, beside what is known and what the rows before them say.
    fn weigh(&self, rows: Vec<Row>) -> Answer<Weighed>;
    /// Takes in the rows of an import, all that are not refused, each as a whole or not at all. An absent value never overwrites.
    fn take_in(&self, rows: Vec<Row>, at: Timestamp) -> Answer<Weighed>;
    /// How many products there are.
    fn count_products(&self) -> Answer<u32>;
    /// The products that pass a filter.
    fn products(&self, filter: CatalogueFilter) -> Answer<Vec<CatalogueRow>>;
    /// All that is known of a product; of its histories the newest rows, at most so many.
    fn product(&self, asin: Asin, history: usize) -> Answer<Option<CatalogueEntry>>;
    /// How old the data of the listed products is, and how many are older than `at`.
    fn data_age(&self, at: Timestamp) -> Answer<DataAge>;
}

/// Keeps what a run has found, as far as the run may write.
///
/// # Errors
/// When the store fails.
pub async fn keep_findings(
    store: &dyn ShopStore,
    access: &Access,
    findings: Vec<(Asin, Finding)>,
    at: Timestamp,
) -> StoreResult<Guarded<()>> {
    match access.fence() {
        Some(fence) => store.learn(fence.clone(), findings, at).await,
        None => Ok(Guarded::Done(())),
    }
}
