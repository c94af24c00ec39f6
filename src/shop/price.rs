//! The selling price: one pure function, and no other way to come by one.
//!
//! Money is whole yen. A markup or a share is an exact decimal, kept as millionths: 1.15 times 100 is 115. Whatever the rules are, a price never falls
//! as the cost rises, is a multiple of the step, and is never below the margin floor.
use crate::core::task::words;

/// What stands for 1 in a markup or a share: a decimal is kept as millionths.
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
    /// Markups of their own for what costs little, from the cheapest upwards.
    pub tiers: Vec<Tier>,
    /// For what costs more than every tier, in millionths: 1,300,000 is 1.30.
    pub markup: i64,
    /// The price is a multiple of this many yen.
    pub step: i64,
    pub rounding: Rounding,
    /// A lower price is raised to this, in yen.
    pub min: i64,
    /// What would cost more than this is not sold by us, in yen: to clamp it would be to sell below cost.
    pub max: i64,
    /// What has to be left over the cost. Nothing at all still means: never below cost.
    pub margin: Least,
    /// A price that is off by less than this, of the right price, stays.
    pub threshold: Least,
    /// A price outside these multiples of the cost, in millionths, is written and a person told.
    pub usual: Option<Usual>,
    /// A price that would fall by more than this share, in millionths, is held until a second reading of the cost says so, too: what one reading
    /// alone finds that cheap may be a mistake of the seller's, gone before anything can be bought there.
    pub max_fall: i64,
}

/// A markup for costs up to an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The highest cost in it, in yen.
    pub up_to: i64,
    /// In millionths.
    pub markup: i64,
}

/// At least so much: an amount, or a share of something, whichever is more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Least {
    /// In yen.
    pub amount: i64,
    /// In millionths.
    pub share: i64,
}

/// What price divided by cost usually is, in millionths, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    pub lowest: i64,
    pub highest: i64,
}

impl Default for Pricing {
    fn default() -> Self {
        Self {
            tiers: Vec::new(),
            markup: 1_300_000,
            step: 10,
            rounding: Rounding::HalfUp,
            min: 500,
            max: 100_000,
            margin: Least::default(),
            threshold: Least::default(),
            usual: None,
            max_fall: ONE / 2,
        }
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

/// A tier that begins with a lower price than the one below it ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fall {
    /// Its place among the tiers; the number of tiers for what lies above them all.
    pub tier: usize,
    /// The highest cost of the one below, in yen.
    pub up_to: i64,
    /// The price of that, in yen.
    pub from: i64,
    /// The price one yen of cost further on.
    pub to: i64,
}

/// The selling price for a cost in yen.
pub fn selling_price(cost: i64, pricing: &Pricing) -> Price {
    let price = pricing.price(cost);
    if price > pricing.max { Price::AboveMax(price) } else { Price::Sell(price) }
}

impl Pricing {
    /// The lowest price, in yen, that leaves the margin. What is sold for less is sold at a loss.
    pub fn floor(&self, cost: i64) -> i64 {
        cost.saturating_add(self.margin.of(cost))
    }

    /// The lowest price there can be, whatever the cost.
    pub fn lowest(&self) -> i64 {
        self.settle(0, 0)
    }

    /// Whether a shown price is to be replaced by the right one: it is below the floor, or off by the threshold or more.
    pub fn is_off(&self, shown: i64, right: i64, cost: i64) -> bool {
        let difference = right.saturating_sub(shown).saturating_abs();
        difference > 0 && (shown < self.floor(cost) || difference >= self.threshold.of(right))
    }

    /// Whether going from one price to another, both in yen, is a deeper fall than one reading is believed.
    pub fn is_deep(&self, from: i64, to: i64) -> bool {
        times(to, ONE) < times(from, ONE.saturating_sub(self.max_fall))
    }

    /// Whether a person should look at a price for that cost.
    pub fn is_unusual(&self, price: i64, cost: i64) -> bool {
        self.usual.is_some_and(|usual| {
            let price = times(price, ONE);
            price < times(cost, usual.lowest) || price > times(cost, usual.highest)
        })
    }

    /// The edges where the tiers' own prices fall as the cost rises. [`selling_price`] holds the price there until the cost has caught up.
    pub fn falls(&self) -> Vec<Fall> {
        let above = self.tiers.iter().skip(1).map(|tier| tier.markup).chain([self.markup]);
        let edges = self.tiers.iter().zip(above).enumerate();
        let fall = |(index, (tier, above)): (usize, (&Tier, i64))| {
            let next = tier.up_to.saturating_add(1);
            let (from, to) = (self.settle(tier.up_to, times(tier.up_to, tier.markup)), self.settle(next, times(next, above)));
            (to < from).then_some(Fall { tier: index.saturating_add(1), up_to: tier.up_to, from, to })
        };
        edges.filter_map(fall).collect()
    }

    /// The price in yen, be it above `max` or not.
    pub fn price(&self, cost: i64) -> i64 {
        self.settle(cost, self.exact(cost))
    }

    /// The price before rounding, in millionths of a yen: the tier's own, or the highest of those below it where that is more.
    fn exact(&self, cost: i64) -> i128 {
        let mut highest = 0;
        for tier in &self.tiers {
            highest = times(cost.min(tier.up_to), tier.markup).max(highest);
            if cost <= tier.up_to {
                return highest;
            }
        }
        times(cost, self.markup).max(highest)
    }

    /// The price in yen for a price in millionths: rounded, and raised to the lowest multiple of the step that is allowed.
    fn settle(&self, cost: i64, exact: i128) -> i64 {
        let least = times(self.min.max(self.floor(cost)), ONE);
        let price = self.round(exact, self.rounding).max(self.round(least, Rounding::Up));
        i64::try_from(price).unwrap_or(i64::MAX)
    }

    fn round(&self, millionths: i128, rounding: Rounding) -> i128 {
        let step = i128::from(self.step.max(1));
        let unit = step.saturating_mul(i128::from(ONE));
        let bias = match rounding {
            Rounding::HalfUp => unit.checked_div(2).unwrap_or(0),
            Rounding::Up => unit.saturating_sub(1),
            Rounding::Down => 0,
        };
        millionths.saturating_add(bias).checked_div(unit).unwrap_or(0).saturating_mul(step)
    }
}

impl Least {
    /// How much that is of `whole` yen; a share is rounded up.
    pub fn of(self, whole: i64) -> i64 {
        let share = times(whole, self.share).saturating_add(i128::from(ONE - 1)).checked_div(i128::from(ONE)).unwrap_or(0);
        i64::try_from(share).unwrap_or(i64::MAX).max(self.amount)
    }
}

/// Yen times millionths, in millionths. Nothing costs less than nothing.
fn times(yen: i64, millionths: i64) -> i128 {
    i128::from(yen.max(0)).saturating_mul(i128::from(millionths.max(0)))
}

#[cfg(test)]
mod tests;
