//! A marketplace's limits as values: when may the next call go out?
//!
//! Whoever takes a place keeps it and sleeps until then ("reserve, then sleep"), so that two who wait never wake for the same place.
//! Instants are milliseconds UTC.

use crate::core::task::words;

words! {
    /// What calls are for. Each purpose may have a share of a limit that the others leave to it.
    Purpose {
        /// Bringing price and visibility in line.
        Sync = "sync",
        /// Listing items.
        Upload = "upload",
        /// Whatever a person started.
        Manual = "manual",
    }
}

/// Nobody waits longer than this for a place: ten minutes. So a use that lies further ahead was written before the clock was set back.
pub const PATIENCE_MAX_MS: i64 = 600_000;

/// What a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One call every `interval_ms`, and `burst` at once after a rest.
    Bucket { interval_ms: i64, burst: i64 },
    /// So many calls in each clock period of `length_ms`, counted from 1970.
    Window { length_ms: i64, calls: i64 },
}

impl Rule {
    /// The same rule at the rate that the marketplace said, where it said one. A window has no rate.
    #[must_use]
    pub fn at_interval(self, learned_ms: Option<i64>) -> Self {
        match (self, learned_ms) {
            (Self::Bucket { burst, .. }, Some(interval_ms)) => Self::Bucket { interval_ms, burst },
            (rule, _) => rule,
        }
    }
}

/// What has been taken of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// A bucket's: when it will be full again. A window's: when the period began.
    pub at_ms: i64,
    /// Calls taken in the period; a bucket needs no count.
    pub calls: i64,
}

/// When a call may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Then; the place is taken.
    At(i64),
    /// Not before then; nothing was taken.
    NotBefore(i64),
}

/// Takes a place that comes no later than `latest_ms` (at most [`PATIENCE_MAX_MS`] ahead), or says when to ask again.
pub fn take(rule: Rule, used: Use, now_ms: i64, latest_ms: i64) -> (Place, Use) {
    match rule {
        Rule::Bucket { interval_ms, burst } => {
            let empty = now_ms.saturating_add(interval_ms.saturating_mul(burst.max(1)));
            let clock_went_back = used.at_ms > empty.saturating_add(PATIENCE_MAX_MS);
            let full_at = if clock_went_back { empty } else { used.at_ms.max(now_ms) };
            let slack = interval_ms.saturating_mul(burst.max(1).saturating_sub(1));
            let at = full_at.saturating_sub(slack).max(now_ms);
            if at > latest_ms {
                return (Place::NotBefore(at), used);
            }
            (Place::At(at), Use { at_ms: full_at.saturating_add(interval_ms), calls: 0 })
        }
        Rule::Window { length_ms, calls } => {
            let begin = now_ms.saturating_sub(now_ms.checked_rem_euclid(length_ms).unwrap_or(0));
            let taken = if used.at_ms == begin { used.calls } else { 0 };
            if taken >= calls {
                return (Place::NotBefore(begin.saturating_add(length_ms)), used);
            }
            (Place::At(now_ms), Use { at_ms: begin, calls: taken.saturating_add(1) })
        }
    }
}

/// The use after the marketplace said that the limit is used up.
pub fn exhaust(rule: Rule, used: Use, now_ms: i64) -> Use {
    match rule {
        Rule::Bucket { interval_ms, burst } => {
            Use { at_ms: used.at_ms.max(now_ms.saturating_add(interval_ms.saturating_mul(burst.max(1)))), calls: 0 }
        }
        Rule::Window { length_ms, calls } => Use { at_ms: now_ms.saturating_sub(now_ms.checked_rem_euclid(length_ms).unwrap_or(0)), calls },
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

    use proptest::prelude::*;

    use super::*;

    const OFFERS: Rule = Rule::Bucket { interval_ms: 10_000, burst: 1 };
    const HOURLY: Rule = Rule::Window { length_ms: 3_600_000, calls: 5000 };
    const NOW: i64 = 1_774_828_800_000;
    const PATIENCE: i64 = PATIENCE_MAX_MS;

    #[test]
    fn places_in_a_bucket_are_one_interval_apart() {
        let mut used = Use::default();
        for n in 0..5 {
            let (place, after) = take(OFFERS, used, NOW, NOW + PATIENCE);
            assert_eq!(place, Place::At(NOW + n * 10_000));
            used = after;
        }
        assert_eq!(take(OFFERS, used, NOW + 600_000, NOW + 1_200_000).0, Place::At(NOW + 600_000), "a rest fills it");
    }

    #[test]
    fn a_burst_goes_at_once_and_then_the_rate_holds() {
        let rule = Rule::Bucket { interval_ms: 200, burst: 5 };
        let mut used = Use::default();
        let places: Vec<_> = (0..7)
            .map(|_| {
                let (place, after) = take(rule, used, NOW, NOW + PATIENCE);
                used = after;
                place
            })
            .collect();
        assert_eq!(places, [0, 0, 0, 0, 0, 200, 400].map(|ms| Place::At(NOW + ms)));
    }

    #[test]
    fn a_place_that_comes_too_late_is_not_taken() {
        let used = Use { at_ms: NOW + 30_000, calls: 0 };
        assert_eq!(take(OFFERS, used, NOW, NOW + 20_000), (Place::NotBefore(NOW + 30_000), used));
    }

    #[test]
    fn a_clock_set_back_makes_nobody_wait_for_days() {
        let used = Use { at_ms: NOW + 2 * 86_400_000, calls: 0 };
        assert_eq!(take(OFFERS, used, NOW, NOW + PATIENCE).0, Place::At(NOW + 10_000));
    }

    #[test]
    fn a_window_ends_with_the_clock_hour() {
        let (place, used) = take(HOURLY, Use { at_ms: NOW, calls: 4999 }, NOW + 1_800_000, NOW + 1_800_000 + PATIENCE);
        assert_eq!(place, Place::At(NOW + 1_800_000));
        assert_eq!(used, Use { at_ms: NOW, calls: 5000 });
        assert_eq!(take(HOURLY, used, NOW + 1_900_000, NOW + 2_500_000), (Place::NotBefore(NOW + 3_600_000), used));
        assert_eq!(take(HOURLY, used, NOW + 3_600_000, NOW + 4_200_000).1, Use { at_ms: NOW + 3_600_000, calls: 1 });
    }

    #[test]
    fn what_the_marketplace_calls_used_up_is_used_up() {
        assert_eq!(take(OFFERS, exhaust(OFFERS, Use::default(), NOW), NOW, NOW + PATIENCE).0, Place::At(NOW + 10_000));
        let used = exhaust(HOURLY, Use::default(), NOW + 5);
        assert_eq!(take(HOURLY, used, NOW + 10, NOW + PATIENCE).0, Place::NotBefore(NOW + 3_600_000));
    }

    proptest! {
        #[test]
        fn a_bucket_is_never_overdrawn(gaps in prop::collection::vec(0_i64..30_000, 1..60), burst in 1_i64..6, interval in 1_i64..12_000) {
            let rule = Rule::Bucket { interval_ms: interval, burst };
            let (mut used, mut now, mut sent) = (Use::default(), NOW, Vec::new());
            for gap in gaps {
                now += gap;
                let (place, after) = take(rule, used, now, now + PATIENCE);
                let Place::At(at) = place else { continue };
                prop_assert!(at >= now);
                sent.push(at);
                used = after;
            }
            for (first, last) in (0..sent.len()).flat_map(|first| (first..sent.len()).map(move |last| (first, last))) {
                let calls = i64::try_from(last - first + 1).unwrap();
                prop_assert!((calls - burst) * interval <= sent[last] - sent[first], "{calls} calls in {} ms", sent[last] - sent[first]);
            }
        }
    }
}
