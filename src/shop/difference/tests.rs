#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use proptest::prelude::*;

use super::*;
use crate::shop::{
    price::Least,
    product::{Asin, Dated},
};

const NOW: i64 = 1_774_828_800;
const HOUR: i64 = 3600;

fn at(age: i64) -> Timestamp {
    Timestamp::from_second(NOW - age).unwrap()
}

fn product(stock: Option<(Stock, i64)>, cost: Option<(i64, i64)>) -> Product {
    Product {
        asin: Asin::parse("B0TEST0001").unwrap(),
        cost: cost.map(|(value, age)| Dated { value, fetched_at: at(age) }),
        cost_before: None,
        stock: stock.map(|(value, age)| Dated { value, fetched_at: at(age) }),
    }
}

/// In stock for so much, as read a minute ago.
fn costs(cost: i64) -> Product {
    product(Some((Stock::InStock, 60)), Some((cost, 60)))
}

fn rules() -> Rules {
    Rules {
        pricing: Pricing::default(),
        data_max_age: SignedDuration::from_hours(4),
        restock: Restock::AfterFreshCheck,
        phases: Phases::ALL,
        checked_since: at(HOUR),
    }
}

fn shown(price: i64, visible: bool, stock: i64) -> Shown {
    Shown { price, visible, stock }
}

fn compared(product: &Product, shown: Shown, rules: &Rules) -> Want {
    compare(product, shown, rules, at(0))
}

const NOTHING: Edit = Edit { price: None, visible: None, stock: None };

#[test]
fn a_listing_is_brought_in_line_only_by_fresh_data() {
    struct Case {
        stock: Option<(Stock, i64)>,
        cost: Option<(i64, i64)>,
        shown: (i64, bool),
        want: Want,
    }
    let change = |price, visible| Want::Change(Edit { price, visible, stock: None });
    let cases = [
        Case { stock: Some((Stock::InStock, 0)), cost: Some((1984, 0)), shown: (2580, true), want: Want::Right },
        Case { stock: Some((Stock::InStock, 0)), cost: Some((1984, 0)), shown: (2500, true), want: change(Some(2580), None) },
        Case { stock: Some((Stock::InStock, 0)), cost: Some((1984, 0)), shown: (2500, false), want: change(Some(2580), Some(true)) },
        Case { stock: Some((Stock::InStock, 0)), cost: Some((1984, 5 * HOUR)), shown: (2500, false), want: Want::Stale },
        Case { stock: Some((Stock::InStock, 0)), cost: None, shown: (2500, true), want: Want::Stale },
        Case { stock: Some((Stock::NoOffer, 0)), cost: Some((1984, 0)), shown: (2500, true), want: change(None, Some(false)) },
        Case { stock: Some((Stock::Filtered, 0)), cost: None, shown: (2500, true), want: change(None, Some(false)) },
        Case { stock: Some((Stock::NoOffer, 0)), cost: Some((1984, 0)), shown: (2500, false), want: Want::Right },
        Case { stock: Some((Stock::NoOffer, 4 * HOUR)), cost: None, shown: (2500, true), want: change(None, Some(false)) },
        Case { stock: Some((Stock::NoOffer, 4 * HOUR + 1)), cost: None, shown: (2500, true), want: Want::Stale },
        Case { stock: None, cost: None, shown: (2500, true), want: Want::Stale },
        Case { stock: Some((Stock::NoOffer, -5 * HOUR)), cost: None, shown: (2500, true), want: Want::Stale },
    ];
    for case in cases {
        let shown = shown(case.shown.0, case.shown.1, 1);
        assert_eq!(compared(&product(case.stock, case.cost), shown, &rules()), case.want, "{:?} {:?} {shown:?}", case.stock, case.cost);
    }
}

#[test]
fn acceptance_14_what_costs_more_than_the_cap_is_skipped_and_never_sold_at_it() {
    let above = |price, edit| Want::AboveMax { price, edit };
    let hide = Edit { visible: Some(false), ..NOTHING };
    assert_eq!(compared(&costs(120_000), shown(100_000, true, 1), &rules()), above(156_000, hide), "100,000 is less than it costs");
    assert_eq!(compared(&costs(120_000), shown(100_000, false, 0), &rules()), above(156_000, NOTHING), "nor is it shown again");
    assert_eq!(compared(&costs(80_000), shown(99_000, true, 1), &rules()), above(104_000, NOTHING), "not at a loss: it is left alone");
    let prices_only = Rules { phases: Phases { visibility: false, ..Phases::ALL }, ..rules() };
    assert_eq!(compared(&costs(120_000), shown(100_000, true, 1), &prices_only), above(156_000, NOTHING));
}

#[test]
fn acceptance_14_a_drift_of_98_yen_below_the_floor_is_corrected() {
    // 600 yen were right for a cost of 460. It now costs 535: 700 yen are right, and the difference is under the threshold.
    let pricing = |share| Pricing {
        markup: 1_305_000,
        step: 1,
        min: 1,
        threshold: Least { amount: 100, share: 50_000 },
        margin: Least { amount: 0, share },
        ..Pricing::default()
    };
    let with = |share| Rules { pricing: pricing(share), ..rules() };
    let change = Want::Change(Edit { price: Some(698), ..NOTHING });
    assert_eq!(compared(&costs(535), shown(600, true, 1), &with(150_000)), change, "600 yen are less than 535 and 15 %");
    assert_eq!(compared(&costs(535), shown(600, true, 1), &with(100_000)), Want::Right, "and more than 535 and 10 %");
    assert_eq!(compared(&costs(535), shown(598, true, 1), &with(100_000)), change, "100 yen are the threshold");
}

#[test]
fn a_price_that_falls_deep_waits_for_a_second_reading() {
    let seen = |before, cost| Product { cost_before: before, ..costs(cost) };
    let (dear, fallen) = (shown(10_400, true, 1), Want::Fell { price: 3900, edit: NOTHING });
    let change = |price| Want::Change(Edit { price: Some(price), ..NOTHING });
    assert_eq!(compared(&seen(Some(8000), 3000), dear, &rules()), fallen, "one reading of 3,000 yen is not believed");
    assert_eq!(compared(&seen(None, 3000), dear, &rules()), fallen, "nor is the first of all");
    assert_eq!(compared(&seen(Some(3100), 3000), dear, &rules()), change(3900), "two are");
    assert_eq!(
        compared(&seen(Some(3000), 20), dear, &rules()),
        Want::Fell { price: 500, edit: NOTHING },
        "the second is a slip of its own"
    );
    assert_eq!(compared(&seen(Some(200_000), 4000), dear, &rules()), change(5200), "half is not more than half");
    assert_eq!(compared(&seen(Some(3000), 8000), shown(3900, true, 1), &rules()), change(10_400), "a rise is written at once");
    let sold_out = shown(10_400, false, 0);
    let back = Edit { visible: Some(true), stock: Some(1), ..NOTHING };
    assert_eq!(
        compared(&seen(Some(8000), 3000), sold_out, &rules()),
        Want::Fell { price: 3900, edit: back },
        "shown again, at the price it has"
    );
    let believing = Rules { pricing: Pricing { max_fall: ONE, ..Pricing::default() }, ..rules() };
    assert_eq!(compared(&seen(Some(8000), 3000), dear, &believing), change(3900));
    let no_prices = Rules { phases: Phases { price: false, ..Phases::ALL }, ..rules() };
    assert_eq!(compared(&seen(Some(8000), 3000), dear, &no_prices), Want::Right, "a run that writes no prices has nothing to hold");
}

#[test]
fn what_sold_is_sold_again_only_after_a_check_in_this_run() {
    let restocked = Want::Change(Edit { stock: Some(1), ..NOTHING });
    let sold = shown(2580, true, 0);
    assert_eq!(compared(&costs(1984), sold, &rules()), restocked);
    let unchecked = Rules { checked_since: at(59), ..rules() };
    assert_eq!(compared(&costs(1984), sold, &unchecked), Want::Right, "fresh, but read before this run");
    let from_afar = product(Some((Stock::InStock, -60)), Some((1984, -60)));
    assert_eq!(compared(&from_afar, sold, &rules()), Want::Right, "the clock was set back: nobody knows when that was read");
    assert_eq!(compared(&costs(1984), sold, &Rules { restock: Restock::Never, ..rules() }), Want::Right);
    let stale = product(Some((Stock::InStock, 5 * HOUR)), Some((1984, 5 * HOUR)));
    assert_eq!(compared(&stale, sold, &Rules { checked_since: at(6 * HOUR), ..rules() }), Want::Stale);
    let gone = product(Some((Stock::NoOffer, 0)), Some((1984, 0)));
    assert_eq!(compared(&gone, shown(2580, false, 0), &rules()), Want::Right);
    let back = Want::Change(Edit { price: Some(2580), visible: Some(true), stock: Some(1) });
    assert_eq!(compared(&costs(1984), shown(2000, false, 0), &rules()), back, "one write for all");
    assert_eq!(compared(&costs(1984), shown(2580, true, 7), &rules()), Want::Right, "a person's stock stays");
}

#[test]
fn each_phase_writes_its_own() {
    let with = |price, visibility| Rules { phases: Phases { price, visibility, ..Phases::ALL }, ..rules() };
    let off = shown(3000, false, 0);
    assert_eq!(compared(&costs(1984), off, &with(true, false)), Want::Change(Edit { price: Some(2580), ..NOTHING }));
    assert_eq!(compared(&costs(1984), off, &with(false, true)), Want::Change(Edit { visible: Some(true), stock: Some(1), ..NOTHING }));
    assert_eq!(compared(&costs(1984), off, &with(false, false)), Want::Right);
    let gone = product(Some((Stock::NoOffer, 0)), None);
    assert_eq!(compared(&gone, shown(2580, true, 1), &with(true, false)), Want::Right);
    assert_eq!([Phase::Price, Phase::Price].into_iter().collect::<Phases>(), Phases { fetch: false, price: true, visibility: false });
    assert_eq!(Phase::ALL.iter().copied().collect::<Phases>(), Phases::ALL);
}

#[test]
fn nothing_is_shown_below_the_floor_by_a_run_that_writes_no_prices() {
    let no_prices = Rules { phases: Phases { price: false, ..Phases::ALL }, ..rules() };
    for visible in [false, true] {
        assert_eq!(compared(&costs(1984), shown(1983, visible, 1), &no_prices), Want::BelowFloor, "{visible}");
    }
    assert_eq!(compared(&costs(1984), shown(1984, false, 1), &no_prices), Want::Change(Edit { visible: Some(true), ..NOTHING }));
}

#[test]
fn the_brake_allows_the_share_and_not_one_more() {
    assert!(!brake_trips(12, 240, 50_000));
    assert!(brake_trips(13, 240, 50_000));
    assert!(!brake_trips(0, 0, 50_000));
}

#[test]
fn a_small_shop_may_hide_two_at_once_unless_it_may_hide_none() {
    assert!(!brake_trips(1, 10, 50_000) && !brake_trips(2, 10, 50_000) && brake_trips(3, 10, 50_000));
    assert!(brake_trips(1, 10, 0) && !brake_trips(0, 10, 0));
}

#[test]
fn an_edit_is_done_when_what_it_names_is_so() {
    let price = Edit { price: Some(2580), ..NOTHING };
    assert!(price.is_done(shown(2580, false, 0)));
    assert!(!price.is_done(shown(2500, false, 0)));
    let restock = Edit { stock: Some(1), ..NOTHING };
    assert!(restock.is_done(shown(2580, true, 1)));
    assert!(!restock.is_done(shown(2580, true, 0)));
}

/// The item after the edit.
fn edited(shown: Shown, edit: Edit) -> Shown {
    Shown {
        price: edit.price.unwrap_or(shown.price),
        visible: edit.visible.unwrap_or(shown.visible),
        stock: edit.stock.unwrap_or(shown.stock),
    }
}

prop_compose! {
    fn any_product()(
        stock in prop::option::of((prop::sample::select(Stock::ALL), -6 * HOUR..6 * HOUR)),
        cost in prop::option::of((1_i64..120_000, -6 * HOUR..6 * HOUR)),
        cost_before in prop::option::of(1_i64..120_000),
    ) -> Product {
        Product { cost_before, ..product(stock, cost) }
    }
}

prop_compose! {
    fn any_rules()(
        (amount, share) in (0_i64..500, 0_i64..200_000),
        (threshold, percent) in (0_i64..500, 0_i64..100_000),
        restock in prop::sample::select(Restock::ALL),
        (fetch, price, visibility) in any::<(bool, bool, bool)>(),
        since in -HOUR..6 * HOUR,
    ) -> Rules {
        let (margin, threshold) = (Least { amount, share }, Least { amount: threshold, share: percent });
        let pricing = Pricing { markup: 1_050_000, margin, threshold, ..Pricing::default() };
        Rules { pricing, restock, phases: Phases { fetch, price, visibility }, checked_since: at(since), ..rules() }
    }
}

proptest! {
    #[test]
    fn no_write_is_made_at_a_loss_nor_on_stale_data(
        product in any_product(), rules in any_rules(), price in 1_i64..150_000, visible: bool, stock in 0_i64..2,
    ) {
        let before = shown(price, visible, stock);
        let want = compared(&product, before, &rules);
        let edit = match want {
            Want::Change(edit) | Want::AboveMax { edit, .. } | Want::Fell { edit, .. } => edit,
            Want::Right | Want::Stale | Want::BelowFloor => NOTHING,
        };
        let after = edited(before, edit);
        if !edit.is_empty() {
            prop_assert!(product.stock.unwrap().is_fresh(at(0), rules.data_max_age));
        }
        if let Some(cost) = product.cost.filter(|_| edit.price.is_some() || edit.visible == Some(true) || edit.stock.is_some()) {
            prop_assert!(cost.is_fresh(at(0), rules.data_max_age));
            prop_assert!(after.price >= rules.pricing.floor(cost.value), "sold at a loss");
            prop_assert!(edit.price.is_none_or(|price| price <= rules.pricing.max && price % 10 == 0));
        }
        if let Some(right) = edit.price.filter(|right| *right < price / 2) {
            let backed = product.cost_before.is_some_and(|cost| rules.pricing.price(cost) / 2 <= right);
            prop_assert!(backed, "a fall that one reading alone has seen");
        }
        prop_assert!(rules.phases.price || edit.price.is_none());
        prop_assert!(rules.phases.visibility || (edit.visible, edit.stock) == (None, None));
        if edit.stock.is_some() {
            prop_assert!(rules.restock == Restock::AfterFreshCheck && product.stock.unwrap().fetched_at >= rules.checked_since);
        }
        // What was written once is right: no second run writes it again.
        if matches!(want, Want::Change(_)) {
            prop_assert_eq!(compared(&product, after, &rules), Want::Right);
        }
    }

    #[test]
    fn with_all_phases_nothing_is_left_for_sale_at_a_loss(product in any_product(), rules in any_rules(), price in 1_i64..150_000) {
        let rules = Rules { phases: Phases::ALL, ..rules };
        let before = shown(price, true, 1);
        let after = match compared(&product, before, &rules) {
            Want::Change(edit) | Want::AboveMax { edit, .. } | Want::Fell { edit, .. } => edited(before, edit),
            want @ (Want::Right | Want::Stale | Want::BelowFloor) => {
                prop_assert!(want != Want::BelowFloor);
                before
            }
        };
        let is_known = product.stock.zip(product.cost).filter(|(stock, cost)| {
            stock.is_fresh(at(0), rules.data_max_age) && cost.is_fresh(at(0), rules.data_max_age)
        });
        if let Some((_, cost)) = is_known {
            prop_assert!(!after.visible || rules.pricing.floor(cost.value) <= after.price);
        }
    }
}
