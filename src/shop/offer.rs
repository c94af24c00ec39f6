//! What a product's offers mean: it can be bought at a price, or not, or nobody knows.
use crate::core::task::words;

/// An offer that takes longer than this to be sent does not count.
pub const SHIPS_WITHIN_HOURS: i64 = 72;

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
        NotNew = "not_new",
        NotNow = "not_now",
        NoDeliveryTime = "no_delivery_time",
        Slow = "slow",
        PaidShipping = "paid_shipping",
        NoPrice = "no_price",
    }
}

/// What was found out about a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It can be bought: the lowest price that passes the rule, in yen.
    Ok { cost: i64 },
    /// Nobody offers it.
    NoOffer,
    /// There are offers, and none passes the rule.
    Filtered(Filter),
    /// Nothing was found out: what was known stays.
    Error {
        message: String,
        /// Asking again soon can help.
        retry: bool,
    },
}

/// Judges a product by its offers: new, available now, sent within 72 hours, free shipping, and the lowest of these.
pub fn judge(offers: &[Offer]) -> Finding {
    let mut lowest = None;
    let mut nearest = None;
    for offer in offers {
        match check(offer) {
            Ok(price) => lowest = Some(lowest.map_or(price, |known: i64| known.min(price))),
            Err(filter) => nearest = nearest.max(Some(filter)),
        }
    }
    match (lowest, nearest) {
        (Some(cost), _) => Finding::Ok { cost },
        (None, Some(filter)) => Finding::Filtered(filter),
        (None, None) => Finding::NoOffer,
    }
}

/// The price of an offer that passes, or the first thing that is wrong with it.
fn check(offer: &Offer) -> Result<i64, Filter> {
    if !offer.is_new {
        return Err(Filter::NotNew);
    }
    if !offer.available_now {
        return Err(Filter::NotNow);
    }
    match offer.hours_max {
        None => return Err(Filter::NoDeliveryTime),
        Some(hours) if hours > SHIPS_WITHIN_HOURS => return Err(Filter::Slow),
        Some(_) => {}
    }
    if offer.shipping != Some(0) {
        return Err(Filter::PaidShipping);
    }
    offer.price.filter(|price| *price > 0).ok_or(Filter::NoPrice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Offer = Offer { is_new: true, price: Some(1980), shipping: Some(0), available_now: true, hours_max: Some(24) };

    #[test]
    fn the_lowest_offer_that_passes_gives_the_price() {
        let offers = [
            Offer { price: Some(2100), ..GOOD },
            GOOD,
            Offer { price: Some(900), is_new: false, ..GOOD },
            Offer { price: Some(1000), shipping: Some(500), ..GOOD },
            Offer { price: None, ..GOOD },
        ];
        assert_eq!(judge(&offers), Finding::Ok { cost: 1980 });
    }

    #[test]
    fn no_offers_and_no_passing_offers_are_different_things() {
        assert_eq!(judge(&[]), Finding::NoOffer);
        let cases = [
            (Offer { is_new: false, ..GOOD }, Filter::NotNew),
            (Offer { available_now: false, ..GOOD }, Filter::NotNow),
            (Offer { hours_max: None, ..GOOD }, Filter::NoDeliveryTime),
            (Offer { hours_max: Some(73), ..GOOD }, Filter::Slow),
            (Offer { shipping: Some(1), ..GOOD }, Filter::PaidShipping),
            (Offer { shipping: None, ..GOOD }, Filter::PaidShipping),
            (Offer { price: None, ..GOOD }, Filter::NoPrice),
            (Offer { price: Some(0), ..GOOD }, Filter::NoPrice),
        ];
        for (offer, filter) in cases {
            assert_eq!(judge(std::slice::from_ref(&offer)), Finding::Filtered(filter), "{offer:?}");
        }
        assert_eq!(judge(&[Offer { hours_max: Some(72), ..GOOD }]), Finding::Ok { cost: 1980 });
    }

    #[test]
    fn the_reason_is_that_of_the_offer_that_came_nearest() {
        let offers = [Offer { shipping: Some(500), ..GOOD }, Offer { is_new: false, ..GOOD }];
        assert_eq!(judge(&offers), Finding::Filtered(Filter::PaidShipping));
    }
}
