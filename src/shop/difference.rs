//! What a shop shows against what it should show: the one change that brings a listing in line, and the brake on hiding too much.
use jiff::{SignedDuration, Timestamp};

use super::{
    price::{ONE, Price, Pricing, selling_price},
    product::{Product, Stock},
};
use crate::core::task::words;

/// What the shop really shows, as just read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// In yen.
    pub price: i64,
    pub visible: bool,
    /// How many it has to sell; 0: it sold.
    pub stock: i64,
}

/// One change of an item. What is absent stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// In yen.
    pub price: Option<i64>,
    pub visible: Option<bool>,
    /// How many there are to sell.
    pub stock: Option<i64>,
}

impl Edit {
    /// The word for it in plans, logs and totals.
    pub fn kind(self) -> &'static str {
        match (self.visible, self.stock) {
            (Some(true), _) => "show",
            (Some(false), _) => "hide",
            (None, Some(_)) => "restock",
            (None, None) => "price",
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether the item is already so.
    pub fn is_done(self, shown: Shown) -> bool {
        self.price.is_none_or(|price| price == shown.price)
            && self.visible.is_none_or(|visible| visible == shown.visible)
            && self.stock.is_none_or(|stock| stock == shown.stock)
    }
}

words! {
    /// What happens to an item that sold and can be bought again.
    Restock {
        /// It is sold again once its offers were read in this run.
        AfterFreshCheck = "after_fresh_check",
        /// Its stock is a person's business.
        Never = "never",
    }
}

words! {
    /// A part of the sync that can run alone.
    Phase {
        /// The offers are read.
        Fetch = "fetch",
        /// Prices are written.
        Price = "price",
        /// What the offers say of being visible and in stock is written.
        Visibility = "visibility",
    }
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    pub fetch: bool,
    pub price: bool,
    pub visibility: bool,
}

impl Phases {
    /// All there are.
    pub const ALL: Self = Self { fetch: true, price: true, visibility: true };
}

impl FromIterator<Phase> for Phases {
    fn from_iter<T: IntoIterator<Item = Phase>>(named: T) -> Self {
        let mut phases = Self { fetch: false, price: false, visibility: false };
        for phase in named {
            match phase {
                Phase::Fetch => phases.fetch = true,
                Phase::Price => phases.price = true,
                Phase::Visibility => phases.visibility = true,
            }
        }
        phases
    }
}

/// What is to be done about a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// It is as it should be.
    Right,
    /// It differs.
    Change(Edit),
    /// What we know is too old, or there is nothing to know it by: nothing may be written.
    Stale,
    /// It would have to cost `price` yen, which is more than `max`: that is never written, and a person told. Where it is being sold below the margin
    /// floor, `edit` hides it; otherwise it is empty.
    AboveMax { price: i64, edit: Edit },
    /// It would have to cost `price` yen, so much less than it does that one reading is not believed: the price stays until the next one says so, too,
    /// and a person is told. `edit` is the rest.
    Fell { price: i64, edit: Edit },
    /// It is for sale, or would be, below the margin floor, and this run writes no prices: it is not shown, and a person told.
    BelowFloor,
}

/// The rules that a listing is measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub pricing: Pricing,
    /// Older data is never written.
    pub data_max_age: SignedDuration,
    pub restock: Restock,
    /// Which of price and visibility may be written.
    pub phases: Phases,
    /// Offers that were read from then on were read in this run.
    pub checked_since: Timestamp,
}

/// Compares what a shop shows with what we know.
pub fn compare(product: &Product, shown: Shown, rules: &Rules, now: Timestamp) -> Want {
    let Some(stock) = product.stock.filter(|stock| stock.is_fresh(now, rules.data_max_age)) else {
        return Want::Stale;
    };
    match stock.value {
        Stock::NoOffer | Stock::Filtered => Want::of(hide(shown, rules)),
        Stock::InStock => {
            let is_checked = rules.checked_since <= stock.fetched_at && stock.fetched_at <= now;
            match product.cost.filter(|cost| cost.is_fresh(now, rules.data_max_age)) {
                Some(cost) => sell(Costs { now: cost.value, before: product.cost_before }, is_checked, shown, rules),
                None => Want::Stale,
            }
        }
    }
}

/// What is to be done about a listing that must not be there, whatever is known of its offers: buyers don't see it.
pub fn withhold(shown: Shown, rules: &Rules) -> Want {
    Want::of(hide(shown, rules))
}

impl Want {
    fn of(edit: Edit) -> Self {
        if edit.is_empty() { Self::Right } else { Self::Change(edit) }
    }
}

/// What it takes for buyers not to see it.
fn hide(shown: Shown, rules: &Rules) -> Edit {
    Edit { visible: (shown.visible && rules.phases.visibility).then_some(false), ..Edit::default() }
}

/// What it costs us, in yen, and what the reading before that found.
#[derive(Clone, Copy)]
struct Costs {
    now: i64,
    before: Option<i64>,
}

/// What it takes to sell what costs us so much. `is_checked`: its offers were read in this run.
fn sell(costs: Costs, is_checked: bool, shown: Shown, rules: &Rules) -> Want {
    let Rules { pricing, phases, .. } = rules;
    let is_at_a_loss = shown.price < pricing.floor(costs.now);
    let right = match selling_price(costs.now, pricing) {
        Price::Sell(price) => price,
        Price::AboveMax(price) => {
            let edit = if is_at_a_loss { hide(shown, rules) } else { Edit::default() };
            return Want::AboveMax { price, edit };
        }
    };
    if is_at_a_loss && !phases.price {
        return Want::BelowFloor;
    }
    // A sale that came after the check would be made good for again by the next run's.
    let may_restock = match rules.restock {
        Restock::AfterFreshCheck => is_checked,
        Restock::Never => false,
    };
    let edit = Edit {
        price: (phases.price && pricing.is_off(shown.price, right, costs.now)).then_some(right),
        visible: (phases.visibility && !shown.visible).then_some(true),
        stock: (phases.visibility && may_restock && shown.stock <= 0).then_some(1),
    };
    let is_backed = || costs.before.is_some_and(|before| !pricing.is_deep(pricing.price(before), right));
    if edit.price.is_some() && pricing.is_deep(shown.price, right) && !is_backed() {
        return Want::Fell { price: right, edit: Edit { price: None, ..edit } };
    }
    Want::of(edit)
}

/// Fewer than this never trip the brake: in a shop of ten, one item that sold out at Amazon is no fault of Amazon's.
const HIDES_NOTICED: usize = 3;

/// Whether hiding `hides` of `visible` items is more than the share `max_hide`, in millionths, allows. Fewer than three always are; with a share of
/// nothing, not one is.
pub fn brake_trips(hides: usize, visible: usize, max_hide: i64) -> bool {
    let wide = |count: usize| i128::try_from(count).unwrap_or(i128::MAX);
    let is_too_many = wide(hides).saturating_mul(i128::from(ONE)) > wide(visible).saturating_mul(i128::from(max_hide));
    is_too_many && (hides >= HIDES_NOTICED || max_hide == 0)
}

#[cfg(test)]
mod tests;
