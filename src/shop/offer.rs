//! What a product's offers mean: it can be bought at a price, or not, or nobody knows.
use jiff::SignedDuration;

use crate::core::task::words;

words! {
    /// The condition that an offer has to be in.
    Condition {
        New = "new",
        Used = "used",
    }
}

/// Which offers count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferRule {
    pub condition: Condition,
    /// Only those without a price for shipping. Otherwise it is part of the cost.
    pub free_shipping: bool,
    /// Only those that are sent within this time; `None`: however long it takes.
    pub ships_within: Option<SignedDuration>,
    /// Only those that can be bought now, without a later date.
    pub available_now: bool,
    /// Those too that say nothing about when they are sent, which is how an offer to invited buyers looks.
    pub invitation_only: bool,
}

impl Default for OfferRule {
    fn default() -> Self {
        let ships_within = Some(SignedDuration::from_hours(72));
        Self { condition: Condition::New, free_shipping: true, ships_within, available_now: true, invitation_only: false }
    }
}

/// What the rule looks at in one offer. `None`: the marketplace did not say, which never counts in an offer's favour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub is_new: bool,
    /// In yen, without shipping.
    pub price: Option<i64>,
    /// In yen.
    pub shipping: Option<i64>,
    /// Can be bought now, without a later date.
    pub available_now: bool,
    /// Hours until it is sent. Absent where only invited buyers can order.
    pub hours_max: Option<i64>,
}

words! {
    /// Why no offer passes: the reason of the one that came nearest. In the order in which the rule asks.
    Filter {
        /// New where used is wanted, or the other way round.
        Condition = "other_condition",
        NotNow = "not_now",
        NoDeliveryTime = "no_delivery_time",
        Slow = "slow",
        UnknownShipping = "unknown_shipping",
        PaidShipping = "paid_shipping",
        NoPrice = "no_price",
    }
}

/// What was found out about a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It can be bought: what the cheapest offer that passes the rule costs, in yen.
    Ok { cost: i64 },
    /// Nobody offers it.
    NoOffer,
    /// There are offers, and none passes the rule.
    Filtered(Filter),
    /// Nothing was found out: what was known stays.
    Error {
        /// Why, in a word, to be counted by.
        code: String,
        message: String,
        /// Asking again soon can help.
        retry: bool,
    },
}

/// Judges a product by its offers: the cheapest that passes the rule gives its cost.
pub fn judge(offers: &[Offer], rule: &OfferRule) -> Finding {
    let mut lowest = None;
    let mut nearest = None;
    for offer in offers {
        match cost(offer, rule) {
            Ok(cost) => lowest = Some(lowest.map_or(cost, |known: i64| known.min(cost))),
            Err(filter) => nearest = nearest.max(Some(filter)),
        }
    }
    match (lowest, nearest) {
        (Some(cost), _) => Finding::Ok { cost },
        (None, Some(filter)) => Finding::Filtered(filter),
        (None, None) => Finding::NoOffer,
    }
}

/// What an offer that passes costs, or the first thing that is wrong with it.
fn cost(offer: &Offer, rule: &OfferRule) -> Result<i64, Filter> {
    if offer.is_new != (rule.condition == Condition::New) {
        return Err(Filter::Condition);
    }
    if rule.available_now && !offer.available_now {
        return Err(Filter::NotNow);
    }
    match offer.hours_max {
        None if !rule.invitation_only => return Err(Filter::NoDeliveryTime),
        Some(hours) if rule.ships_within.is_some_and(|most| hours.saturating_mul(3600) > most.as_secs()) => return Err(Filter::Slow),
        None | Some(_) => {}
    }
    // Shipping that nobody names is not free.
    let shipping = offer.shipping.filter(|shipping| *shipping >= 0).ok_or(Filter::UnknownShipping)?;
    if rule.free_shipping && shipping > 0 {
        return Err(Filter::PaidShipping);
    }
    offer.price.filter(|price| *price > 0).and_then(|price| price.checked_add(shipping)).ok_or(Filter::NoPrice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Offer = Offer { is_new: true, price: Some(1980), shipping: Some(0), available_now: true, hours_max: Some(24) };

    fn judged(offer: &Offer, rule: &OfferRule) -> Finding {
        judge(std::slice::from_ref(offer), rule)
    }

    #[test]
    fn the_lowest_offer_that_passes_gives_the_price() {
        let offers = [
            Offer { price: Some(2100), ..GOOD },
            GOOD,
            Offer { price: Some(900), is_new: false, ..GOOD },
            Offer { price: Some(1000), shipping: Some(500), ..GOOD },
            Offer { price: None, ..GOOD },
        ];
        assert_eq!(judge(&offers, &OfferRule::default()), Finding::Ok { cost: 1980 });
    }

    #[test]
    fn no_offers_and_no_passing_offers_are_different_things() {
        let rule = OfferRule::default();
        assert_eq!(judge(&[], &rule), Finding::NoOffer);
        let cases = [
            (Offer { is_new: false, ..GOOD }, Filter::Condition),
            (Offer { available_now: false, ..GOOD }, Filter::NotNow),
            (Offer { hours_max: None, ..GOOD }, Filter::NoDeliveryTime),
            (Offer { hours_max: Some(73), ..GOOD }, Filter::Slow),
            (Offer { shipping: Some(1), ..GOOD }, Filter::PaidShipping),
            (Offer { shipping: None, ..GOOD }, Filter::UnknownShipping),
            (Offer { shipping: Some(-1), ..GOOD }, Filter::UnknownShipping),
            (Offer { price: None, ..GOOD }, Filter::NoPrice),
            (Offer { price: Some(0), ..GOOD }, Filter::NoPrice),
        ];
        for (offer, filter) in cases {
            assert_eq!(judged(&offer, &rule), Finding::Filtered(filter), "{offer:?}");
        }
        assert_eq!(judged(&Offer { hours_max: Some(72), ..GOOD }, &rule), Finding::Ok { cost: 1980 });
    }

    #[test]
    fn the_reason_is_that_of_the_offer_that_came_nearest() {
        let offers = [Offer { shipping: Some(500), ..GOOD }, Offer { is_new: false, ..GOOD }];
        assert_eq!(judge(&offers, &OfferRule::default()), Finding::Filtered(Filter::PaidShipping));
    }

    #[test]
    fn a_rule_asks_for_what_it_says_and_for_no_more() {
        let usual = OfferRule::default;
        let passes = |offer, rule| assert_eq!(judged(&offer, &rule), Finding::Ok { cost: 1980 }, "{offer:?} {rule:?}");
        passes(Offer { is_new: false, ..GOOD }, OfferRule { condition: Condition::Used, ..usual() });
        passes(Offer { available_now: false, ..GOOD }, OfferRule { available_now: false, ..usual() });
        passes(Offer { hours_max: Some(1_000), ..GOOD }, OfferRule { ships_within: None, ..usual() });
        passes(Offer { hours_max: None, ..GOOD }, OfferRule { invitation_only: true, ..usual() });
        let day = OfferRule { ships_within: Some(SignedDuration::from_hours(24)), ..usual() };
        assert_eq!(judged(&Offer { hours_max: Some(25), ..GOOD }, &day), Finding::Filtered(Filter::Slow));
        let used = OfferRule { condition: Condition::Used, ..usual() };
        assert_eq!(judged(&GOOD, &used), Finding::Filtered(Filter::Condition));
        let patient = OfferRule { ships_within: None, ..usual() };
        assert_eq!(judged(&Offer { hours_max: None, ..GOOD }, &patient), Finding::Filtered(Filter::NoDeliveryTime), "invited buyers only");
    }

    #[test]
    fn shipping_that_is_paid_for_is_part_of_the_cost() {
        let rule = OfferRule { free_shipping: false, ..OfferRule::default() };
        let offers = [Offer { price: Some(1_500), shipping: Some(600), ..GOOD }, GOOD, Offer { price: Some(1), shipping: None, ..GOOD }];
        assert_eq!(judge(&offers, &rule), Finding::Ok { cost: 1980 });
        assert_eq!(judge(&offers[..1], &rule), Finding::Ok { cost: 2100 });
        assert_eq!(judge(&offers[2..], &rule), Finding::Filtered(Filter::UnknownShipping), "and what is not named is not free");
    }
}
