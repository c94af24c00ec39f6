#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use proptest::prelude::*;

use super::*;

const OFFERS: Rule = Rule::Bucket { interval_ms: 10_000, burst: 1 };
const NONE: PerPurpose = PerPurpose { sync: 0, upload: 0, manual: 0 };
const HOURLY: Rule = Rule::Window { period: Period::Hour, calls: 5000, reserve: NONE };
const DAILY: Rule = Rule::Window { period: Period::Day, calls: 100_000, reserve: NONE };
/// Monday 30 March 2026, 00:00 UTC: 09:00 in Japan.
const NOW: i64 = 1_774_828_800_000;
const PATIENCE: i64 = PATIENCE_MAX_MS;
const SYNC: Purpose = Purpose::Sync;

/// Takes from one limit alone.
fn take_one(rule: Rule, used: Use, now_ms: i64, latest_ms: i64) -> (Place, Use) {
    let (place, after) = take(&[(rule, used)], SYNC, now_ms, latest_ms);
    (place, after[0])
}

fn synced(at_ms: i64, calls: i64) -> Use {
    Use { at_ms, calls: PerPurpose { sync: calls, ..NONE }, day_ms: Period::Day.began(at_ms), ..Use::default() }
}

#[test]
fn places_in_a_bucket_are_one_interval_apart() {
    let mut used = Use::default();
    for n in 0..5 {
        let (place, after) = take_one(OFFERS, used, NOW, NOW + PATIENCE);
        assert_eq!(place, Place::At(NOW + n * 10_000));
        used = after;
    }
    assert_eq!(take_one(OFFERS, used, NOW + 600_000, NOW + 1_200_000).0, Place::At(NOW + 600_000), "a rest fills it");
}

#[test]
fn a_burst_goes_at_once_and_then_the_rate_holds() {
    let rule = Rule::Bucket { interval_ms: 200, burst: 5 };
    let mut used = Use::default();
    let places: Vec<_> = (0..7)
        .map(|_| {
            let (place, after) = take_one(rule, used, NOW, NOW + PATIENCE);
            used = after;
            place
        })
        .collect();
    assert_eq!(places, [0, 0, 0, 0, 0, 200, 400].map(|ms| Place::At(NOW + ms)));
}

#[test]
fn a_place_that_comes_too_late_is_not_taken() {
    let used = synced(NOW + 30_000, 3);
    assert_eq!(take_one(OFFERS, used, NOW, NOW + 20_000), (Place::NotBefore(NOW + 30_000), used));
}

#[test]
fn a_clock_set_back_makes_nobody_wait_for_days() {
    for days in [1, 2, 400] {
        let ahead = NOW + days * DAY_MS;
        assert_eq!(take_one(OFFERS, synced(ahead, 0), NOW, NOW + PATIENCE).0, Place::At(NOW + 10_000));
        for (rule, period) in [(HOURLY, Period::Hour), (DAILY, Period::Day)] {
            let used_up = Use { shut_until_ms: period.ends(ahead), ..synced(period.began(ahead), 100_000) };
            let (place, used) = take_one(rule, used_up, NOW, NOW + PATIENCE);
            assert_eq!(place, Place::NotBefore(period.ends(NOW)), "what was taken is not had twice");
            assert_eq!(take_one(rule, used, period.ends(NOW), i64::MAX).0, Place::At(period.ends(NOW)), "and it begins anew as ever");
        }
    }
}

#[test]
fn a_clock_set_back_within_the_hours_gives_no_call_twice() {
    let used = synced(NOW, 4_000);
    let before = NOW - 10 * 60_000;
    let (place, used) = take_one(HOURLY, used, before, before + PATIENCE);
    assert_eq!((place, used.calls.total()), (Place::At(before), 4_001));
    assert_eq!(take_one(HOURLY, used, NOW, NOW + PATIENCE).1.calls.total(), 1, "until the hour is over");
}

#[test]
fn a_clock_set_forward_is_a_new_hour() {
    assert_eq!(take_one(HOURLY, synced(NOW, 5_000), NOW + 40 * DAY_MS, i64::MAX).0, Place::At(NOW + 40 * DAY_MS));
}

#[test]
fn a_window_ends_with_the_clock_hour() {
    let (place, used) = take_one(HOURLY, synced(NOW, 4999), NOW + 1_800_000, NOW + 1_800_000 + PATIENCE);
    assert_eq!((place, used), (Place::At(NOW + 1_800_000), synced(NOW, 5000)));
    assert_eq!(take_one(HOURLY, used, NOW + 1_900_000, NOW + 2_500_000), (Place::NotBefore(NOW + HOUR_MS), used));
    assert_eq!(take_one(HOURLY, used, NOW + HOUR_MS, NOW + HOUR_MS + PATIENCE).1, synced(NOW + HOUR_MS, 1));
}

#[test]
fn a_place_in_the_next_hour_is_not_taken_in_this_one() {
    let used = synced(NOW, 5000);
    let late = NOW + HOUR_MS - 1_000;
    assert_eq!(take_one(HOURLY, used, late, late + PATIENCE), (Place::NotBefore(NOW + HOUR_MS), used), "else this hour's count were lost");
    let slow = (OFFERS, synced(late + 9_000, 0));
    let (place, after) = take(&[slow, (HOURLY, synced(NOW, 3))], SYNC, late, late + PATIENCE);
    assert_eq!((place, after[1]), (Place::NotBefore(late + 9_000), synced(NOW, 3)));
}

#[test]
fn the_day_begins_at_midnight_in_japan() {
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let midnight = at("2026-03-31T00:00:00+09:00");
    assert_eq!(Period::Day.ends(at("2026-03-30T00:00:00+09:00")), midnight);
    assert_eq!(Period::Day.ends(at("2026-03-30T23:59:59+09:00")), midnight);
    assert_eq!(Period::Day.began(midnight), midnight);
    let used = synced(at("2026-03-30T00:00:00+09:00"), 100_000);
    assert_eq!(take_one(DAILY, used, midnight - 1, i64::MAX).0, Place::NotBefore(midnight));
}

#[test]
fn a_call_has_its_place_in_all_limits_or_in_none() {
    let (hour, day) = ((HOURLY, synced(NOW, 10)), (DAILY, synced(Period::Day.began(NOW), 100_000)));
    let (place, uses) = take(&[hour, day], SYNC, NOW, NOW + PATIENCE);
    assert_eq!((place, uses), (Place::NotBefore(Period::Day.ends(NOW)), vec![hour.1, day.1]), "the day is used up");
    let day = (DAILY, synced(Period::Day.began(NOW), 99_999));
    let (place, uses) = take(&[hour, day], SYNC, NOW, NOW + PATIENCE);
    assert_eq!((place, uses[0].calls.sync, uses[1].calls.sync), (Place::At(NOW), 11, 100_000));
}

#[test]
fn several_limits_agree_on_the_latest_instant() {
    let slow = (Rule::Bucket { interval_ms: 60_000, burst: 1 }, synced(NOW + 45_000, 0));
    let (place, uses) = take(&[(OFFERS, Use::default()), slow], SYNC, NOW, NOW + PATIENCE);
    assert_eq!(place, Place::At(NOW + 45_000));
    assert_eq!((uses[0].at_ms, uses[1].at_ms), (NOW + 55_000, NOW + 105_000), "each counts from the call on");
}

#[test]
fn a_limit_without_any_place_never_hangs() {
    let none = Rule::Window { period: Period::Hour, calls: 0, reserve: NONE };
    assert!(matches!(take_one(none, Use::default(), NOW, i64::MAX).0, Place::NotBefore(at) if at > NOW));
}

#[test]
fn what_the_marketplace_calls_used_up_is_used_up() {
    assert_eq!(take_one(OFFERS, exhaust(OFFERS, Use::default(), NOW), NOW, NOW + PATIENCE).0, Place::At(NOW + 10_000));
    let late = NOW + 30 * 60_000;
    let used = exhaust(HOURLY, Use::default(), late);
    assert_eq!(take_one(HOURLY, used, late + 10, late + PATIENCE).0, Place::NotBefore(NOW + HOUR_MS));
    assert_eq!(take_one(HOURLY, used, NOW + HOUR_MS, i64::MAX).0, Place::At(NOW + HOUR_MS));
}

#[test]
fn a_refusal_right_after_the_hour_began_shuts_it_for_a_moment_only() {
    let used = exhaust(HOURLY, Use::default(), NOW + 5);
    assert_eq!(take_one(HOURLY, used, NOW + 10, NOW + PATIENCE).0, Place::At(NOW + CLOCKS_DIFFER_MS), "it may be about the hour before");
    let used = exhaust(HOURLY, used, NOW + CLOCKS_DIFFER_MS);
    assert_eq!(take_one(HOURLY, used, NOW + CLOCKS_DIFFER_MS, NOW + PATIENCE).0, Place::NotBefore(NOW + HOUR_MS));
}

#[test]
fn refusals_in_a_row_double_the_wait_until_one_call_is_taken() {
    let mut used = Use::default();
    let mut waits = Vec::new();
    let mut now = NOW;
    for _ in 0..8 {
        used = exhaust(OFFERS, used, now);
        let (Place::At(at), after) = take_one(OFFERS, used, now, i64::MAX) else { panic!() };
        waits.push((at - now) / 1_000);
        (used, now) = (after, at);
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 320, 320]);
    assert_eq!((used.refused, used.refused_in_row), (8, 8));
    let used = exhaust(OFFERS, accept(used), now);
    assert_eq!((used.refused, used.refused_in_row, used.at_ms - now), (9, 1, 10_000));
    assert_eq!(exhaust(OFFERS, used, now + DAY_MS).refused, 1, "the day's");
}

#[test]
fn a_place_is_given_back_while_it_is_the_last() {
    let (_, before) = take_one(OFFERS, Use::default(), NOW, NOW);
    let (Place::At(at), taken) = take_one(OFFERS, before, NOW, NOW + PATIENCE) else { panic!() };
    assert_eq!(give_back(OFFERS, taken, SYNC, at), before);
    let (_, two) = take_one(OFFERS, taken, NOW, NOW + PATIENCE);
    assert_eq!(give_back(OFFERS, two, SYNC, at), two, "somebody has the one after it");
    let (_, counted) = take_one(HOURLY, synced(NOW, 7), NOW, NOW);
    assert_eq!(give_back(HOURLY, counted, SYNC, NOW), synced(NOW, 7));
    assert_eq!(give_back(HOURLY, counted, SYNC, NOW - 1), counted, "another hour's");
}

#[test]
fn a_call_that_went_out_late_puts_the_next_off() {
    let (_, taken) = take_one(OFFERS, Use::default(), NOW, NOW);
    let late = put_off(OFFERS, taken, NOW, NOW + 400);
    assert_eq!(take_one(OFFERS, late, NOW + 500, NOW + PATIENCE).0, Place::At(NOW + 10_400));
    let (_, two) = take_one(OFFERS, taken, NOW, NOW + PATIENCE);
    assert_eq!(put_off(OFFERS, two, NOW, NOW + 400), two, "the next place is somebody's already");
}

#[test]
fn what_a_purpose_has_in_reserve_the_others_leave_to_it() {
    let shares = PerPurpose { sync: 400_000, upload: 200_000, manual: 50_000 };
    let reserve = shares.shares_of(5_000);
    assert_eq!(reserve, PerPurpose { sync: 2_000, upload: 1_000, manual: 250 });
    let rule = Rule::Window { period: Period::Hour, calls: 5_000, reserve };
    let can = |purpose, calls| matches!(take(&[(rule, Use { calls, ..synced(NOW, 0) })], purpose, NOW, NOW).0, Place::At(_));
    let calls = |sync, upload, manual| PerPurpose { sync, upload, manual };
    assert!(can(Purpose::Sync, calls(3_749, 0, 0)) && !can(Purpose::Sync, calls(3_750, 0, 0)));
    assert!(can(Purpose::Upload, calls(3_750, 0, 0)) && can(Purpose::Manual, calls(3_750, 0, 0)), "the reserves are there");
    assert!(can(Purpose::Sync, calls(3_749, 1_000, 0)), "what the owner has used is no reserve any more");
    assert!(!can(Purpose::Upload, calls(3_750, 1_000, 0)) && can(Purpose::Manual, calls(3_750, 1_000, 249)));
    assert!(!can(Purpose::Manual, calls(3_750, 1_000, 250)));
}

fn purpose() -> impl Strategy<Value = Purpose> {
    prop::sample::select(Purpose::ALL.to_vec())
}

fn shares() -> impl Strategy<Value = PerPurpose> {
    (0_i64..330_000, 0_i64..330_000, 0_i64..330_000).prop_map(|(sync, upload, manual)| PerPurpose { sync, upload, manual })
}

proptest! {
    #[test]
    fn a_bucket_is_never_overdrawn(gaps in prop::collection::vec(0_i64..30_000, 1..60), burst in 1_i64..6, interval in 1_i64..12_000) {
        let rule = Rule::Bucket { interval_ms: interval, burst };
        let (mut used, mut now, mut sent) = (Use::default(), NOW, Vec::new());
        for gap in gaps {
            now += gap;
            let (place, after) = take_one(rule, used, now, now + PATIENCE);
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

    #[test]
    fn places_given_back_are_never_had_twice(steps in prop::collection::vec((0_i64..15_000, any::<bool>()), 1..60)) {
        let (mut used, mut now, mut sent) = (Use::default(), NOW, std::collections::BTreeSet::new());
        for (gap, gives_back) in steps {
            now += gap;
            let (place, after) = take_one(OFFERS, used, now, now + PATIENCE);
            let Place::At(at) = place else { continue };
            used = after;
            if gives_back && at > now {
                used = give_back(OFFERS, used, SYNC, at);
            } else {
                prop_assert!(sent.range(at - 9_999..at + 10_000).next().is_none(), "{at} is too near to another");
                sent.insert(at);
            }
        }
    }

    #[test]
    fn a_window_is_never_overdrawn_and_a_reserve_is_always_there_for_its_owner(
        calls in 1_i64..60, shares in shares(), patience in 0_i64..PATIENCE,
        asked in prop::collection::vec((purpose(), 0_i64..400_000), 1..200),
    ) {
        let reserve = shares.shares_of(calls);
        let rules = [Rule::Window { period: Period::Hour, calls, reserve }, Rule::Window { period: Period::Day, calls: calls * 3, reserve }];
        let mut uses = vec![Use::default(); 2];
        let mut now = NOW;
        let mut made: Vec<(Purpose, i64)> = Vec::new();
        for (purpose, gap) in asked {
            now += gap;
            let limits: Vec<_> = rules.into_iter().zip(uses.iter().copied()).collect();
            let (place, after) = take(&limits, purpose, now, now + patience);
            let count = |made: &[(Purpose, i64)], period: Period, who: Option<Purpose>| {
                let counted = made.iter().filter(|(of, at)| who.is_none_or(|who| who == *of) && period.began(*at) == period.began(now));
                i64::try_from(counted.count()).unwrap()
            };
            match place {
                Place::At(at) => {
                    prop_assert_eq!(at, now);
                    made.push((purpose, at));
                }
                Place::NotBefore(at) => {
                    prop_assert!(at > now);
                    let unchanged: Vec<_> = limits.iter().map(|(rule, used)| as_of(*rule, *used, now)).collect();
                    prop_assert_eq!(&after, &unchanged, "nothing was taken");
                    let has_reserve = |period| count(&made, period, Some(purpose)) < reserve.of(purpose);
                    prop_assert!(!(has_reserve(Period::Hour) && has_reserve(Period::Day)), "{purpose} has a reserve in both");
                }
            }
            uses = after;
            for (used, (period, most)) in uses.iter().zip([(Period::Hour, calls), (Period::Day, calls * 3)]) {
                prop_assert!(count(&made, period, None) <= most);
                if used.at_ms == period.began(now) {
                    prop_assert_eq!(used.calls.total(), count(&made, period, None), "every use is counted, once");
                }
            }
        }
    }

    #[test]
    fn whatever_the_clock_does_nobody_waits_longer_than_a_period_and_going_back_gives_nothing(
        calls in 1_i64..20, jumps in prop::collection::vec(-3 * DAY_MS..3 * DAY_MS, 1..80),
    ) {
        let rule = Rule::Window { period: Period::Hour, calls, reserve: NONE };
        let (mut used, mut now) = (Use::default(), NOW);
        for jump in jumps {
            let jump = if jump % 3 == 0 { jump } else { jump % 600_000 };
            let back = jump < 0;
            now += jump;
            let before = used.calls.total();
            let (place, after) = take_one(rule, used, now, now);
            match place {
                Place::At(_) if back => prop_assert_eq!(after.calls.total(), before + 1),
                Place::At(_) => prop_assert!(after.calls.total() <= calls),
                Place::NotBefore(at) => prop_assert!(at - now <= HOUR_MS),
            }
            used = after;
        }
    }
}
