//! Prices in another currency than the yen in which everything is reckoned: at a rate that the configuration names, to the cent.

/// What one unit of a currency with a hundred cents costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In millionths of a yen.
    yen_per_unit: i64,
}

/// Cents and millionths.
const CENTS: i128 = 100;
const ONE: i128 = 1_000_000;

impl Rate {
    /// A rate in millionths of a yen; at least one of them.
    pub fn new(yen_per_unit: i64) -> Self {
        Self { yen_per_unit: yen_per_unit.max(1) }
    }

    /// So many yen in cents, rounded up: nothing is sold for less than it should be.
    pub fn cents(self, yen: i64) -> i64 {
        let rate = i128::from(self.yen_per_unit);
        let whole = i128::from(yen).saturating_mul(CENTS).saturating_mul(ONE);
        let cents = whole.saturating_add(rate.saturating_sub(1)).checked_div_euclid(rate).unwrap_or(0);
        i64::try_from(cents).unwrap_or(i64::MAX)
    }

    /// So many cents in yen, rounded down: never less than the yen of which [`Rate::cents`] made them, and more by less than a cent is worth.
    pub fn yen(self, cents: i64) -> i64 {
        let whole = i128::from(cents).saturating_mul(i128::from(self.yen_per_unit));
        i64::try_from(whole.checked_div_euclid(CENTS.saturating_mul(ONE)).unwrap_or(0)).unwrap_or(i64::MAX)
    }
}

/// Cents as people and interfaces write them: `9.99`.
pub fn amount(cents: i64) -> String {
    let (whole, part) = (cents.checked_div(100).unwrap_or(0), cents.checked_rem(100).unwrap_or(0).abs());
    format!("{whole}.{part:02}")
}

/// Reads what [`amount`] writes, also with one decimal or none; `None`: it is no such amount, or below nothing.
pub fn read_amount(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > 2 || !digits(whole) || !digits(part) {
        return None;
    }
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(format!("{part:0<2}").parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yen_become_cents_upwards_and_come_back_within_a_cent() {
        let rate = Rate::new(150_000_000);
        assert_eq!((rate.cents(1500), rate.cents(1501), rate.yen(1000)), (1000, 1001, 1500));
        for (rate, yen) in [(150_000_000, 9_999), (149_370_000, 1), (149_370_000, 98_765), (1, 3), (1_000_000, 500)] {
            let rate = Rate::new(rate);
            let back = rate.yen(rate.cents(yen));
            assert!(yen <= back && back <= yen + 2, "{yen} came back as {back}");
        }
    }

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for cents in [0, 5, 99, 100, 3450, 123_456] {
            assert_eq!(read_amount(&amount(cents)), Some(cents));
        }
        assert_eq!((read_amount("9.9"), read_amount("10")), (Some(990), Some(1000)));
        for text in ["", ".5", "-1.00", "1.234", "1,00", "1.0x"] {
            assert_eq!(read_amount(text), None, "{text}");
        }
    }
}
