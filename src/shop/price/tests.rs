#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use proptest::prelude::*;

use super::*;

/// The tiers that the earlier system sold by.
fn tiered() -> Pricing {
    let tier = |up_to, markup| Tier { up_to, markup };
    Pricing {
        tiers: vec![tier(1_000, 1_400_000), tier(5_000, 1_300_000), tier(10_000, 1_250_000)],
        markup: 1_200_000,
        ..Pricing::default()
    }
}

fn value(cost: i64, pricing: &Pricing) -> i64 {
    match selling_price(cost, pricing) {
        Price::Sell(price) | Price::AboveMax(price) => price,
    }
}

#[test]
fn the_golden_prices_of_a_simple_markup_hold() {
    for (cost, price) in [(999, 1300), (1505, 1960), (1984, 2580), (380, 500), (385, 500), (76_923, 100_000)] {
        assert_eq!(selling_price(cost, &Pricing::default()), Price::Sell(price), "{cost}");
    }
    let half_up = Pricing { markup: ONE, ..Pricing::default() };
    assert_eq!(half_up.round(times(1984, ONE), Rounding::HalfUp), 1980, "not 1,990, as was documented once");
}

#[test]
fn the_golden_prices_of_tiers_hold_but_where_they_fell() {
    for (cost, price) in [(1_000, 1_400), (5_000, 6_500), (10_000, 12_500), (3_000, 3_900), (8_000, 10_000), (20_000, 24_000)] {
        assert_eq!(selling_price(cost, &tiered()), Price::Sell(price), "{cost}");
    }
    // These fell to 1,300, 6,250 and 12,000. They stay where they are until the cost has caught up.
    for (cost, price) in
        [(1_001, 1_400), (1_077, 1_400), (1_081, 1_410), (5_001, 6_500), (5_204, 6_510), (10_001, 12_500), (10_421, 12_510)]
    {
        assert_eq!(selling_price(cost, &tiered()), Price::Sell(price), "{cost}");
    }
}

#[test]
fn the_edges_where_tiers_fall_are_named() {
    let fall = |tier, up_to, from, to| Fall { tier, up_to, from, to };
    let wanted = [fall(1, 1_000, 1_400, 1_300), fall(2, 5_000, 6_500, 6_250), fall(3, 10_000, 12_500, 12_000)];
    assert_eq!(tiered().falls(), wanted);
    let raised = Pricing { min: 2_000, ..tiered() };
    assert_eq!(raised.falls(), wanted[1..], "what `min` raises to the same price does not fall");
    assert_eq!(Pricing { tiers: vec![Tier { up_to: 1_000, markup: 1_200_000 }], ..Pricing::default() }.falls(), []);
    assert_eq!(Pricing::default().falls(), []);
}

#[test]
fn a_price_above_max_is_not_clamped() {
    assert_eq!(selling_price(76_930, &Pricing::default()), Price::AboveMax(100_010));
    assert_eq!(selling_price(120_000, &Pricing::default()), Price::AboveMax(156_000));
    assert_eq!(selling_price(i64::MAX, &Pricing::default()), Price::AboveMax(i64::MAX));
}

#[test]
fn a_half_is_rounded_as_the_mode_says() {
    let pricing = |rounding| Pricing { markup: 1_500_000, min: 0, rounding, ..Pricing::default() };
    for (rounding, of_1330, of_1329, of_1320) in
        [(Rounding::HalfUp, 2000, 1990, 1980), (Rounding::Up, 2000, 2000, 1980), (Rounding::Down, 1990, 1990, 1980)]
    {
        // 1,995, 1,993.5 and 1,980 yen.
        let prices = [1330, 1329, 1320].map(|cost| selling_price(cost, &pricing(rounding)));
        assert_eq!(prices, [of_1330, of_1329, of_1320].map(Price::Sell), "{rounding}");
    }
}

#[test]
fn the_markup_is_exact_where_binary_fractions_are_not() {
    // 1.15 × 100 is 114.99999999999999 in binary floating point.
    let pricing = Pricing { markup: 1_150_000, step: 1, rounding: Rounding::Down, min: 0, max: 1000, ..Pricing::default() };
    assert_eq!(selling_price(100, &pricing), Price::Sell(115));
}

#[test]
fn the_margin_floor_raises_what_rounding_or_a_low_markup_would_sell_too_cheap() {
    let at_cost = Pricing { markup: ONE, rounding: Rounding::Down, ..Pricing::default() };
    assert_eq!(selling_price(1_999, &at_cost), Price::Sell(2_000), "never below cost, whatever the rounding");
    let tenth = Pricing { margin: Least { amount: 0, share: 100_000 }, ..at_cost.clone() };
    assert_eq!((tenth.floor(1_999), selling_price(1_999, &tenth)), (2_199, Price::Sell(2_200)));
    let amount = Pricing { margin: Least { amount: 300, share: 100_000 }, ..at_cost };
    assert_eq!(selling_price(1_999, &amount), Price::Sell(2_300), "the amount is more than the share");
    assert_eq!(selling_price(5_000, &amount), Price::Sell(5_500), "and here the share more than the amount");
    assert_eq!(selling_price(95_000, &amount), Price::AboveMax(104_500), "the floor of what is too dear is no reason to clamp it");
}

#[test]
fn a_price_that_is_raised_is_a_multiple_of_the_step_too() {
    assert_eq!(selling_price(1, &Pricing { min: 505, ..Pricing::default() }), Price::Sell(510));
}

#[test]
fn a_small_difference_stays_unless_the_price_is_below_the_floor() {
    let pricing = Pricing { threshold: Least { amount: 100, share: 50_000 }, ..Pricing::default() };
    assert!(pricing.is_off(1_400, 1_300, 999) && !pricing.is_off(1_399, 1_300, 999), "100 yen are more than 5 % of 1,300");
    assert!(!pricing.is_off(9_600, 10_000, 7_692) && pricing.is_off(9_500, 10_000, 7_692), "5 % of 10,000 yen are 500");
    assert!(pricing.is_off(1_980, 2_000, 1_985), "five yen below cost are five too many");
    assert!(!pricing.is_off(1_990, 2_000, 1_985));
    assert!(Pricing::default().is_off(2_581, 2_580, 1_984), "without a threshold each difference counts");
}

#[test]
fn a_price_outside_the_usual_is_noticed() {
    let pricing = Pricing { usual: Some(Usual { lowest: 1_050_000, highest: 2_000_000 }), ..Pricing::default() };
    let unusual = [(1_049, 1_000), (1_050, 1_000), (2_000, 1_000), (2_001, 1_000)].map(|(price, cost)| pricing.is_unusual(price, cost));
    assert_eq!(unusual, [true, false, false, true]);
    assert!(!Pricing::default().is_unusual(1, 1_000));
}

fn any_least(amount: i64) -> impl Strategy<Value = Least> {
    (0..=amount, 0_i64..500_000).prop_map(|(amount, share)| Least { amount, share })
}

prop_compose! {
    /// Rules of every shape: with tiers and without, that fall or don't.
    fn any_pricing()(
        tiers in prop::collection::btree_map(1_i64..60_000, 1_000_000_i64..3_000_000, 0..5),
        markup in 1_000_000_i64..3_000_000,
        step in prop::sample::select(vec![1_i64, 10, 50, 100, 980]),
        rounding in prop::sample::select(Rounding::ALL),
        (min, max) in (1_i64..3_000, 3_000_i64..200_000),
        (margin, threshold) in (any_least(3_000), any_least(500)),
    ) -> Pricing {
        let tiers = tiers.into_iter().map(|(up_to, markup)| Tier { up_to, markup }).collect();
        Pricing { tiers, markup, step, rounding, min, max, margin, threshold, usual: None, max_fall: ONE }
    }
}

proptest! {
    #[test]
    fn a_price_never_falls_as_the_cost_rises(pricing in any_pricing(), cost in 0_i64..80_000, more in 1_i64..5_000) {
        prop_assert!(value(cost, &pricing) <= value(cost + more, &pricing));
        for tier in &pricing.tiers {
            prop_assert!(value(tier.up_to, &pricing) <= value(tier.up_to + 1, &pricing));
        }
    }

    #[test]
    fn a_price_is_a_multiple_within_bounds_and_above_the_floor(pricing in any_pricing(), cost in 0_i64..200_000) {
        let price = value(cost, &pricing);
        prop_assert_eq!(price % pricing.step, 0);
        prop_assert!(pricing.min <= price && pricing.floor(cost) <= price && cost <= price);
        prop_assert_eq!(selling_price(cost, &pricing) == Price::Sell(price), price <= pricing.max);
    }

    #[test]
    fn where_no_edge_falls_each_tier_has_its_own_markup(pricing in any_pricing(), cost in 1_i64..80_000) {
        prop_assume!(pricing.falls().is_empty());
        let markup = pricing.tiers.iter().find(|tier| cost <= tier.up_to).map_or(pricing.markup, |tier| tier.markup);
        prop_assert_eq!(selling_price(cost, &Pricing { tiers: Vec::new(), markup, ..pricing.clone() }), selling_price(cost, &pricing));
    }

    #[test]
    fn what_is_left_alone_is_near_the_right_price_and_not_below_the_floor(pricing in any_pricing(), cost in 1_i64..60_000, drift in -3_000_i64..3_000) {
        let right = value(cost, &pricing);
        let shown = (right + drift).max(1);
        if !pricing.is_off(shown, right, cost) {
            prop_assert!(shown == right || pricing.floor(cost) <= shown);
            prop_assert!((shown - right).abs() <= pricing.threshold.of(right));
        }
        prop_assert!(!pricing.is_off(right, right, cost), "what was written is right");
    }

    #[test]
    fn no_number_is_too_large(pricing in any_pricing(), cost: i64, shown: i64) {
        let price = value(cost, &pricing);
        prop_assert!(price >= pricing.min && price >= cost);
        pricing.is_off(shown, price, cost);
    }
}
