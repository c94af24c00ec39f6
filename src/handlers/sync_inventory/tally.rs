//! What was done at the shops, in numbers, and in a sentence.
use std::{collections::BTreeMap, fmt};

/// What was done at one shop, or at all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// By what was done: `price`, `hide`, `show`, `restock`, `delist`.
    made: BTreeMap<&'static str, usize>,
    planned: BTreeMap<&'static str, usize>,
    /// Items that could not be changed.
    pub(super) errors: usize,
    /// Left alone, as what is known is too old.
    pub(super) stale: usize,
    /// Listings that the shop does not know and that are still in the books.
    pub(super) missing: usize,
    /// Listings without an item's number, which nobody can look at.
    pub(super) numberless: usize,
    pub(super) too_dear: usize,
    pub(super) below_floor: usize,
    pub(super) fallen: usize,
    /// Hides that were to be made, of so many visible listings: what the brake is judged by.
    pub(super) hides: usize,
    pub(super) visible: usize,
    /// The business hours ended first.
    pub(super) is_closed: bool,
}

impl Tally {
    pub(super) fn made(&mut self, kind: &'static str) {
        *self.made.entry(kind).or_default() += 1;
    }

    pub(super) fn planned(&mut self, kind: &'static str) {
        *self.planned.entry(kind).or_default() += 1;
    }

    /// How many were made of a kind.
    pub(super) fn made_of(&self, kind: &str) -> usize {
        self.made.get(kind).copied().unwrap_or(0)
    }

    /// This and another shop's.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.errors += other.errors;
        self.stale += other.stale;
        self.missing += other.missing;
        self.numberless += other.numberless;
        self.too_dear += other.too_dear;
        self.below_floor += other.below_floor;
        self.fallen += other.fallen;
        self.hides += other.hides;
        self.visible += other.visible;
        self.is_closed |= other.is_closed;
        self.after(other)
    }

    /// This and what an earlier attempt has done at the same shop. What that one found is found again.
    pub(super) fn after(mut self, earlier: &Self) -> Self {
        for (totals, earlier) in [(&mut self.made, &earlier.made), (&mut self.planned, &earlier.planned)] {
            for (kind, count) in earlier {
                *totals.entry(kind).or_default() += count;
            }
        }
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.planned.is_empty() {
            write!(f, "{}", Kinds(&self.made))?;
        } else {
            write!(f, "planned: {}", Kinds(&self.planned))?;
        }
        let asides = [
            (self.errors, "not changed because of errors"),
            (self.stale, "left alone as their data is too old"),
            (self.too_dear, "without a price, as they would cost more than `max`"),
            (self.below_floor, "below the margin in a run that writes no prices"),
            (self.fallen, "held, as a price that falls so far waits for a second reading"),
            (self.numberless, "without an item number"),
            (self.missing, "not found at the shop"),
        ];
        for (count, what) in asides.iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        if self.is_closed {
            f.write_str("; closed for now, the rest is left for the next run")?;
        }
        Ok(())
    }
}

struct Kinds<'t>(&'t BTreeMap<&'static str, usize>);

impl fmt::Display for Kinds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |kind| self.0.get(kind).copied().unwrap_or(0);
        let prices = of("price");
        let noun = if prices == 1 { "price" } else { "prices" };
        write!(f, "{prices} {noun} changed, {} hidden, {} shown", of("hide"), of("show"))?;
        for (kind, word) in [("restock", "restocked"), ("delist", "delisted")] {
            if of(kind) > 0 {
                write!(f, ", {} {word}", of(kind))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(kind: &'static str, errors: usize) -> Tally {
        let mut tally = Tally { errors, ..Tally::default() };
        tally.made(kind);
        tally
    }

    #[test]
    fn a_later_attempts_errors_stand_for_the_earlier_ones_and_two_shops_add_up() {
        assert_eq!(
            tally("price", 1).after(&tally("price", 5)).to_string(),
            "2 prices changed, 0 hidden, 0 shown, 1 not changed because of errors"
        );
        assert_eq!(
            tally("delist", 1).and(&tally("price", 5)).to_string(),
            "1 price changed, 0 hidden, 0 shown, 1 delisted, 6 not changed because of errors"
        );
    }
}
