//! A sound row against what is known: what it adds, changes or replaces, and what speaks against it.
use std::sync::Arc;

use super::{Column, Fault, Placing, Refusal, Row};
use crate::shop::product::{Asin, Details, ListingState, sku};

/// What the catalogue knows of a row's product and of its listings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// `None`: the product is new.
    pub details: Option<Details>,
    /// One for each listing of the row, in the same order.
    pub listings: Vec<KnownListing>,
}

impl Known {
    /// What an empty catalogue knows beside a row.
    pub fn nothing(row: &Row) -> Self {
        Self { details: None, listings: row.listings.iter().map(|_| KnownListing::default()).collect() }
    }

    /// What will be known when the earlier rows of the file are taken in: for looking ahead without writing. They agree with this row.
    #[must_use]
    pub fn after_earlier_rows(mut self, row: &Row) -> Self {
        let Some([title, description, brand, category, images]) = row.earlier else { return self };
        let Details { title: has_title, description: has_description, brand: has_brand, category: has_category, images: has_images } =
            self.details.get_or_insert_default();
        let given = &row.details;
        // Where this row has no title, it matters only that there is one.
        take_over(has_title, title, given.title.as_ref().or(Some(&String::new())));
        take_over(has_description, description, given.description.as_ref());
        take_over(has_brand, brand, given.brand.as_ref());
        take_over(has_category, category, given.category.as_ref());
        take_over(has_images, images, given.images.as_ref());
        self
    }
}

/// What the catalogue knows of a listing, and who has what it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownListing {
    /// `None`: the listing is new.
    pub now: Option<ListingNow>,
    /// Another product that has the listing's SKU in this shop.
    pub sku_of: Option<Asin>,
    /// Another product that has the listing's item in this shop.
    pub item_of: Option<Asin>,
}

impl Placing {
    /// Our own number of the product there: the given one, or the usual one.
    pub fn sku_of(&self, asin: &Asin) -> Arc<str> {
        self.sku.clone().unwrap_or_else(|| sku(&self.account, asin))
    }
}

/// A listing as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingNow {
    pub state: ListingState,
    pub item_id: Option<Arc<str>>,
    pub sku: Arc<str>,
    /// In yen.
    pub price: Option<i64>,
    pub visible: Option<bool>,
}

/// What a row would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// A product or a listing comes in that was not there.
    pub adds: bool,
    /// What becomes of what was there.
    pub change: Change,
    /// Nobody has told us the product's title.
    pub untitled: bool,
}

impl Weight {
    fn with(self, change: Change) -> Self {
        Self { change: self.change.max(change), ..self }
    }

    /// Whether there is anything to write.
    pub fn writes(self) -> bool {
        self.adds || self.change != Change::Nothing
    }
}

/// What given values do to those that are known; the larger, the more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// They are the same, or absent.
    #[default]
    Nothing,
    /// One takes a place that was empty.
    Fills,
    /// One takes the place of another.
    Replaces,
}

fn take_over<T: Clone>(known: &mut Option<T>, was_given: bool, given: Option<&T>) {
    if let (true, Some(given)) = (was_given, given) {
        *known = Some(given.clone());
    }
}

fn change<T: PartialEq>(given: Option<&T>, known: Option<&T>) -> Change {
    match (given, known) {
        (None, _) => Change::Nothing,
        (Some(_), None) => Change::Fills,
        (Some(given), Some(known)) if given == known => Change::Nothing,
        (Some(_), Some(_)) => Change::Replaces,
    }
}

/// Says what a row would do.
///
/// # Errors
/// The first thing that speaks against it; then none of it is taken.
pub fn weigh(row: &Row, known: &Known) -> Result<Weight, Refusal> {
    let title = row.details.title.as_ref().or(known.details.as_ref().and_then(|details| details.title.as_ref()));
    let mut weight = match &known.details {
        None => Weight { adds: true, ..Weight::default() },
        Some(details) => Weight::default().with(weigh_details(&row.details, details)),
    };
    weight.untitled = title.is_none();
    for (placing, known) in row.listings.iter().zip(&known.listings) {
        is_free(&row.asin, placing, known)?;
        weight = match &known.now {
            None if placing.item_id.is_none() && weight.untitled => return Err(Refusal::new(Column::Title, "", Fault::NoTitle)),
            None => Weight { adds: true, ..weight },
            Some(now) => weigh_listing(placing, now, weight)?,
        };
    }
    Ok(weight)
}

/// What given details do to those that are known. An absent one does nothing.
pub fn weigh_details(given: &Details, known: &Details) -> Change {
    change(given.title.as_ref(), known.title.as_ref())
        .max(change(given.description.as_ref(), known.description.as_ref()))
        .max(change(given.brand.as_ref(), known.brand.as_ref()))
        .max(change(given.category.as_ref(), known.category.as_ref()))
        .max(change(given.images.as_ref(), known.images.as_ref()))
}

fn is_free(asin: &Asin, placing: &Placing, known: &KnownListing) -> Result<(), Refusal> {
    if let (Some(item), Some(other)) = (&placing.item_id, &known.item_of) {
        return Err(Refusal::new(Column::ItemId, item, Fault::ItemTaken(other.clone())));
    }
    match &known.sku_of {
        Some(other) => Err(Refusal::new(Column::Sku, &placing.sku_of(asin), Fault::SkuTaken(other.clone()))),
        None => Ok(()),
    }
}

fn weigh_listing(placing: &Placing, now: &ListingNow, weight: Weight) -> Result<Weight, Refusal> {
    if let Some(sku) = placing.sku.as_ref().filter(|sku| **sku != now.sku) {
        return Err(Refusal::new(Column::Sku, sku, Fault::OtherSku(Arc::clone(&now.sku))));
    }
    let other_item = placing.item_id.as_ref().filter(|item| now.item_id.as_ref() != Some(item));
    match (now.state, other_item, &now.item_id) {
        (state @ (ListingState::Delisted | ListingState::Deleted), Some(item), _) => {
            Err(Refusal::new(Column::ItemId, item, Fault::Gone(state)))
        }
        // What is gone stays as it was.
        (ListingState::Delisted | ListingState::Deleted, None, _) => Ok(weight),
        (ListingState::Pending | ListingState::Listed, Some(item), Some(known)) => {
            Err(Refusal::new(Column::ItemId, item, Fault::OtherItem(Arc::clone(known))))
        }
        (ListingState::Pending | ListingState::Listed, other_item, _) => Ok(weight
            .with(change(other_item, None))
            .with(change(placing.price.as_ref(), now.price.as_ref()))
            .with(change(placing.visible.as_ref(), now.visible.as_ref()))),
    }
}
