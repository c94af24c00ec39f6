//! What a shop shows against what it should show: the one change that brings a listing in line, and the brake on hiding too much.
use jiff::{SignedDuration, Timestamp};

use super::{
    price::{ONE, Price, Pricing, selling_price},
    product::{Product, Stock},
};

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

    /// Whether the item is already so.
    pub fn is_done(self, shown: Shown) -> bool {
        self.price.is_none_or(|price| price == shown.price)
            && self.visible.is_none_or(|visible| visible == shown.visible)
            && self.stock.is_none_or(|stock| stock == shown.stock)
    }
}

/// What is to be done about a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// It is as it should be.
    Right,
    /// It differs.
    Change(Edit),
    /// What we know is too old, or there is nothing to know it by: nothing may be written.
    Stale,
    /// It would have to cost this much, which is more than `max`: it is left alone, and a person told.
    AboveMax(i64),
}

/// The rules that a listing is measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub pricing: Pricing,
    /// Older data is never written.
    pub data_max_age: SignedDuration,
}

/// Compares what a shop shows with what we know.
pub fn compare(product: &Product, shown: Shown, rules: &Rules, now: Timestamp) -> Want {
    let Some(stock) = product.stock.filter(|stock| stock.is_fresh(now, rules.data_max_age)) else {
        return Want::Stale;
    };
    let edit = match stock.value {
        Stock::NoOffer | Stock::Filtered => Edit { visible: shown.visible.then_some(false), ..Edit::default() },
        Stock::InStock => {
            let Some(cost) = product.cost.filter(|cost| cost.is_fresh(now, rules.data_max_age)) else {
                return Want::Stale;
            };
            match selling_price(cost.value, &rules.pricing) {
                Price::AboveMax(price) => return Want::AboveMax(price),
                Price::Sell(price) => {
                    Edit { price: (price != shown.price).then_some(price), visible: (!shown.visible).then_some(true), stock: None }
                }
            }
        }
    };
    if edit == Edit::default() { Want::Right } else { Want::Change(edit) }
}

/// Whether hiding `hides` of `visible` items is more than the share `max_hide`, in millionths, allows.
pub fn brake_trips(hides: usize, visible: usize, max_hide: i64) -> bool {
    let wide = |count: usize| i128::try_from(count).unwrap_or(i128::MAX);
    wide(hides).saturating_mul(i128::from(ONE)) > wide(visible).saturating_mul(i128::from(max_hide))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

    use super::*;
    use crate::shop::product::{Asin, Dated};

    const NOW: i64 = 1_774_828_800;
    const HOUR: i64 = 3600;

    fn product(stock: Option<(Stock, i64)>, cost: Option<(i64, i64)>) -> Product {
        let at = |age: i64| Timestamp::from_second(NOW - age).unwrap();
        Product {
            asin: Asin::parse("B0TEST0001").unwrap(),
            cost: cost.map(|(value, age)| Dated { value, fetched_at: at(age) }),
            stock: stock.map(|(value, age)| Dated { value, fetched_at: at(age) }),
        }
    }

    #[test]
    fn a_listing_is_brought_in_line_only_by_fresh_data() {
        struct Case {
            stock: Option<(Stock, i64)>,
            cost: Option<(i64, i64)>,
            shown: (i64, bool),
            want: Want,
        }
        let change = |price, visible| Want::Change(Edit { price, visible, stock: None });
        let cases = [
            Case { stock: Some((Stock::InStock, 0)), cost: Some((1984, 0)), shown: (2580, true), want: Want::Right },
            Case { stock: Some((Stock::InStock, 0)), cost: Some((1984, 0)), shown: (2500, true), want: change(Some(2580), None) },
            Case { stock: Some((Stock::InStock, 0)), cost: Some((1984, 0)), shown: (2500, false), want: change(Some(2580), Some(true)) },
            Case { stock: Some((Stock::InStock, 0)), cost: Some((1984, 5 * HOUR)), shown: (2500, false), want: Want::Stale },
            Case { stock: Some((Stock::InStock, 0)), cost: None, shown: (2500, true), want: Want::Stale },
            Case { stock: Some((Stock::InStock, 0)), cost: Some((120_000, 0)), shown: (90_000, true), want: Want::AboveMax(156_000) },
            Case { stock: Some((Stock::NoOffer, 0)), cost: Some((1984, 0)), shown: (2500, true), want: change(None, Some(false)) },
            Case { stock: Some((Stock::Filtered, 0)), cost: None, shown: (2500, true), want: change(None, Some(false)) },
            Case { stock: Some((Stock::NoOffer, 0)), cost: Some((1984, 0)), shown: (2500, false), want: Want::Right },
            Case { stock: Some((Stock::NoOffer, 4 * HOUR)), cost: None, shown: (2500, true), want: change(None, Some(false)) },
            Case { stock: Some((Stock::NoOffer, 4 * HOUR + 1)), cost: None, shown: (2500, true), want: Want::Stale },
            Case { stock: None, cost: None, shown: (2500, true), want: Want::Stale },
            Case { stock: Some((Stock::NoOffer, -5 * HOUR)), cost: None, shown: (2500, true), want: Want::Stale },
        ];
        let rules = Rules { pricing: Pricing::default(), data_max_age: SignedDuration::from_hours(4) };
        for case in cases {
            let shown = Shown { price: case.shown.0, visible: case.shown.1, stock: 1 };
            let want = compare(&product(case.stock, case.cost), shown, &rules, Timestamp::from_second(NOW).unwrap());
            assert_eq!(want, case.want, "{:?} {:?} {shown:?}", case.stock, case.cost);
        }
    }

    #[test]
    fn the_brake_allows_the_share_and_not_one_more() {
        assert!(!brake_trips(12, 240, 50_000));
        assert!(brake_trips(13, 240, 50_000));
        assert!(!brake_trips(0, 0, 50_000));
        assert!(brake_trips(1, 19, 50_000));
    }

    #[test]
    fn an_edit_is_done_when_what_it_names_is_so() {
        let price = Edit { price: Some(2580), ..Edit::default() };
        assert!(price.is_done(Shown { price: 2580, visible: false, stock: 0 }));
        assert!(!price.is_done(Shown { price: 2500, visible: false, stock: 0 }));
        let restock = Edit { stock: Some(1), ..Edit::default() };
        assert!(restock.is_done(Shown { price: 2580, visible: true, stock: 1 }));
        assert!(!restock.is_done(Shown { price: 2580, visible: true, stock: 0 }));
    }
}
