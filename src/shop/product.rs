//! What we know of a product, since when, and where it is listed.
use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::offer::Finding;
use crate::core::task::words;

words! {
    /// A marketplace that taskrun talks to.
    Platform {
        /// Where the offers are: Amazon's SP-API.
        Amazon = "amazon",
        /// Where we sell: thebase.in.
        Base = "base",
        /// Where we sell abroad: eBay's Inventory API.
        Ebay = "ebay",
    }
}

words! {
    /// Whether a product can be bought, by the offer rule. An error is none of these: it changes nothing.
    Stock {
        /// At least one offer passes the rule.
        InStock = "in_stock",
        /// Nobody offers it.
        NoOffer = "no_offer",
        /// There are offers, and none passes the rule.
        Filtered = "filtered",
    }
}

words! {
    /// What became of a listing.
    ListingState {
        /// Not at the shop yet.
        Pending = "pending",
        /// At the shop.
        Listed = "listed",
        /// Taken out of the books because the shop no longer knows it.
        Delisted = "delisted",
        /// Deleted by a person's hand.
        Deleted = "deleted",
    }
}

/// Amazon's number of a product: ten capital letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asin(Arc<str>);

impl Asin {
    /// Reads a number; `None` for what cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        well_formed.then(|| Self(text.into()))
    }

    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Asin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A fetched value, and when it was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated<T> {
    pub value: T,
    pub fetched_at: Timestamp,
}

impl<T> Dated<T> {
    /// Whether the value is at most `max_age` old. One from as far ahead was fetched before the clock was set back: nobody knows its age.
    pub fn is_fresh(&self, now: Timestamp, max_age: SignedDuration) -> bool {
        now.duration_since(self.fetched_at).abs() <= max_age
    }
}

/// What we know of a product. Each value is as old as its own date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub asin: Asin,
    /// The lowest offer that passes the rule, in yen. Out of stock, it stays what it was.
    pub cost: Option<Dated<i64>>,
    /// What the reading before that one found, in yen; `None`: there was none.
    pub cost_before: Option<i64>,
    pub stock: Option<Dated<Stock>>,
}

impl Product {
    /// Takes over what was found. An error changes nothing; a finding without a price leaves the price.
    pub fn learn(&mut self, finding: &Finding, at: Timestamp) {
        match finding {
            Finding::Ok { cost } => {
                self.cost_before = self.cost.map(|cost| cost.value);
                self.cost = Some(Dated { value: *cost, fetched_at: at });
                self.stock = Some(Dated { value: Stock::InStock, fetched_at: at });
            }
            Finding::NoOffer => self.stock = Some(Dated { value: Stock::NoOffer, fetched_at: at }),
            Finding::Filtered(_) => self.stock = Some(Dated { value: Stock::Filtered, fetched_at: at }),
            Finding::Error { .. } => {}
        }
    }
}

/// What people see of a product. An absent value is one that nobody has told us; it never takes the place of one that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    pub title: Option<String>,
    pub description: Option<String>,
    pub brand: Option<String>,
    /// From the widest to the narrowest: `A > B > C`.
    pub category: Option<String>,
    /// Addresses, the main picture first. Never empty.
    pub images: Option<Vec<String>>,
}

/// The same as it is known, each value as old as its own date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatedDetails {
    pub title: Option<Dated<String>>,
    pub description: Option<Dated<String>>,
    pub brand: Option<Dated<String>>,
    pub category: Option<Dated<String>>,
    pub images: Option<Dated<Vec<String>>>,
}

/// Our own number of a product in a shop, where nobody gave it one: always the same for a product and account, and never that of another.
pub fn sku(account: &str, asin: &Asin) -> Arc<str> {
    // An ASIN has no hyphen and always ten characters, so the account can be told from it whatever it is called.
    format!("{account}-{asin}").into()
}

/// A product in one shop. There is at most one for a product, platform and account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    pub asin: Asin,
    pub platform: Platform,
    pub account: Arc<str>,
    /// The shop's number of it, once it is there.
    pub item_id: Option<Arc<str>>,
    /// Our own number of it at the shop.
    pub sku: Arc<str>,
    /// What the shop asked for it when we last wrote it, in yen.
    pub price: Option<i64>,
    /// Whether it was visible when we last wrote it.
    pub visible: Option<bool>,
    /// When we last wrote it.
    pub written_at: Option<Timestamp>,
    pub state: ListingState,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_error_changes_nothing_and_no_offer_keeps_the_price() {
        let mut product = Product { asin: Asin::parse("B0TEST0001").unwrap(), cost: None, cost_before: None, stock: None };
        product.learn(&Finding::Ok { cost: 1980 }, at(1));
        let known = product.clone();
        product.learn(&Finding::Error { code: "QuotaExceeded".into(), message: "…".into(), retry: true }, at(2));
        assert_eq!(product, known);
        product.learn(&Finding::NoOffer, at(3));
        assert_eq!(product.cost, Some(Dated { value: 1980, fetched_at: at(1) }));
        assert_eq!(product.stock, Some(Dated { value: Stock::NoOffer, fetched_at: at(3) }));
        product.learn(&Finding::Ok { cost: 700 }, at(4));
        assert_eq!((product.cost.map(|cost| cost.value), product.cost_before), (Some(700), Some(1980)));
    }

    #[test]
    fn a_product_has_a_number_of_its_own_in_each_shop() {
        let (one, other) = (Asin::parse("B0TEST0001").unwrap(), Asin::parse("B0TEST0002").unwrap());
        assert_eq!(&*sku("base_account_1", &one), "base_account_1-B0TEST0001");
        let all = [sku("a", &one), sku("b", &one), sku("a", &other), sku("a-b", &one), sku("a-B0TEST0001", &one)];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn only_ten_capitals_and_digits_are_an_asin() {
        assert!(Asin::parse("B0TEST0001").is_some());
        for text in ["", "B0TEST001", "b0test0001", "B0TEST00011", "B0TEST 001"] {
            assert!(Asin::parse(text).is_none(), "{text}");
        }
    }
}
