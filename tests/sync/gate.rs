//! What may not be listed is hidden in every shop, and not shown again while the rules say so.
use std::{collections::BTreeMap, sync::Arc};

use taskrun::{
    notify::Event,
    sandbox::seed,
    shop::{
        gate::{Group, Needle, Rules},
        product::Asin,
    },
};

use crate::bench::*;

/// A product that is sold and visible in both shops, and its items.
fn in_both_shops(bench: &Bench) -> (String, Vec<i64>) {
    let mut items: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for seeded in seed::catalogue(ITEMS) {
        items.entry(seeded.asin).or_default().push(seeded.item_id);
    }
    let is_sold = |asin: &str| seed::availability(asin, bench.clock.ms()) == seed::Availability::Buyable;
    items.into_iter().find(|(asin, items)| items.len() == 2 && is_sold(asin) && items.iter().all(|item| bench.item(*item).visible)).unwrap()
}

fn behind(mut bench: Bench, rules: &Rules) -> Bench {
    bench.handler = handler(&bench.sandbox.endpoint(), &bench.store).behind(Some(Arc::new(rules.clone())));
    bench
}

#[tokio::test]
async fn acceptance_13_a_ban_reaches_every_shops_live_items() {
    let (bench, told) = Bench::new().await.told();
    let (asin, items) = in_both_shops(&bench);
    let ban = Rules { version: 2, banned: [Asin::parse(&asin).unwrap()].into(), ..Rules::default() };
    let bench = behind(bench, &ban);
    bench.live().await.summary();
    assert!(items.iter().all(|item| !bench.item(*item).visible), "hidden in both shops");
    let notices: Vec<_> = told.of(Event::NeedsEye).into_iter().filter(|notice| notice.text.contains("may not be listed")).collect();
    assert_eq!(notices.len(), 2, "one for each shop: {notices:?}");
    assert!(notices.iter().all(|notice| notice.text.contains(&asin)));
    // It can be bought at Amazon all the same: nobody shows it again, and nobody is told again.
    bench.live().await.summary();
    assert!(items.iter().all(|item| !bench.item(*item).visible));
    assert_eq!(told.of(Event::NeedsEye).iter().filter(|notice| notice.text.contains("may not be listed")).count(), 2);
    let bench = behind(bench, &Rules::default());
    bench.live().await.summary();
    assert!(items.iter().all(|item| bench.item(*item).visible), "the ban is lifted");
}

#[tokio::test]
async fn rules_that_forbid_half_the_shop_trip_the_brake() {
    let (bench, told) = Bench::new().await.told();
    // A slip: words of every other product.
    let words = ["マグカップ", "弁当箱", "水筒", "卓上ライト", "収納ボックス", "まな板"].into_iter().filter_map(Needle::new).collect();
    let group = Group { name: "slip".into(), score: 100, words, except: Vec::new() };
    let bench = behind(bench, &Rules { version: 1, groups: vec![group], ..Rules::default() });
    let visible = |bench: &Bench| seed::SHOPS.iter().flat_map(|shop| bench.sandbox.items(shop)).filter(|item| item.visible).count();
    let before = visible(&bench);
    bench.live().await.error();
    assert!(visible(&bench) >= before, "nothing was hidden");
    assert_eq!(told.of(Event::Brake).len(), 1);
}
