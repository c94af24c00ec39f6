//! The selling price: one pure function, and no other way to come by one.
use crate::core::task::words;

/// What stands for 1 in a markup: a decimal is kept as millionths.
pub const ONE: i64 = 1_000_000;

words! {
    /// How a price is brought to a multiple of the step.
    Rounding {
        /// To the nearest multiple, and a half upwards.
        HalfUp = "half_up",
        /// To the next multiple upwards.
        Up = "up",
        /// To the next multiple downwards.
        Down = "down",
    }
}

/// How a cost becomes a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// In millionths: 1,300,000 is 1.30.
    pub markup: i64,
    /// The price is a multiple of this many yen.
    pub step: i64,
    pub rounding: Rounding,
    /// A lower price is raised to this, in yen.
    pub min: i64,
    /// What would cost more than this is not sold by us, in yen: to clamp it would be to sell below cost.
    pub max: i64,
}

impl Default for Pricing {
    fn default() -> Self {
        Self { markup: 1_300_000, step: 10, rounding: Rounding::HalfUp, min: 500, max: 100_000 }
    }
}

/// What a thing would be sold for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// In yen.
    Sell(i64),
    /// The price would be this, and that is more than `max`.
    AboveMax(i64),
}

/// The selling price for a cost in yen.
pub fn selling_price(cost: i64, pricing: &Pricing) -> Price {
    let step = i128::from(pricing.step.max(1));
    let exact = i128::from(cost.max(0)).saturating_mul(i128::from(pricing.markup.max(0)));
    let unit = i128::from(ONE).saturating_mul(step);
    let bias = match pricing.rounding {
        Rounding::HalfUp => unit.checked_div(2).unwrap_or(0),
        Rounding::Up => unit.saturating_sub(1),
        Rounding::Down => 0,
    };
    let rounded = exact.saturating_add(bias).checked_div(unit).unwrap_or(0).saturating_mul(step);
    let price = i64::try_from(rounded).unwrap_or(i64::MAX).max(pricing.min);
    if price > pricing.max { Price::AboveMax(price) } else { Price::Sell(price) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_golden_prices_hold() {
        for (cost, price) in [(999, 1300), (1505, 1960), (1984, 2580), (380, 500), (385, 500), (76_923, 100_000)] {
            assert_eq!(selling_price(cost, &Pricing::default()), Price::Sell(price), "{cost}");
        }
    }

    #[test]
    fn a_price_above_max_is_not_clamped() {
        assert_eq!(selling_price(120_000, &Pricing::default()), Price::AboveMax(156_000));
        assert_eq!(selling_price(i64::MAX, &Pricing::default()), Price::AboveMax(i64::MAX));
    }

    #[test]
    fn a_half_is_rounded_as_the_mode_says() {
        let pricing = |rounding| Pricing { markup: ONE, min: 0, rounding, ..Pricing::default() };
        for (rounding, of_1985, of_1984, of_1980) in
            [(Rounding::HalfUp, 1990, 1980, 1980), (Rounding::Up, 1990, 1990, 1980), (Rounding::Down, 1980, 1980, 1980)]
        {
            let prices = [1985, 1984, 1980].map(|cost| selling_price(cost, &pricing(rounding)));
            assert_eq!(prices, [of_1985, of_1984, of_1980].map(Price::Sell), "{rounding}");
        }
    }

    #[test]
    fn the_markup_is_exact_where_binary_fractions_are_not() {
        // 1.15 × 100 is 114.99999999999999 in binary floating point.
        let pricing = Pricing { markup: 1_150_000, step: 1, rounding: Rounding::Down, min: 0, max: 1000 };
        assert_eq!(selling_price(100, &pricing), Price::Sell(115));
    }

    proptest! {
        #[test]
        fn a_price_is_a_multiple_within_bounds_and_never_falls_as_cost_rises(cost in 0_i64..200_000, markup in 1_000_000_i64..3_000_000) {
            let pricing = Pricing { markup, ..Pricing::default() };
            let value = |cost| match selling_price(cost, &pricing) { Price::Sell(price) | Price::AboveMax(price) => price };
            prop_assert_eq!(value(cost) % 10, 0);
            prop_assert!(value(cost) >= 500);
            prop_assert!(value(cost + 1) >= value(cost));
            prop_assert!(value(cost) + 5 >= cost, "never below cost by more than the rounding");
        }
    }
}
