//! The size of the real shops: 10,772 products, at the rate that Amazon allows.
use std::collections::HashMap;

use taskrun::{
    sandbox::seed,
    shop::price::{Price, Pricing, selling_price},
    store::shop::Catalogue as _,
};

use crate::bench::*;

const PRODUCTS: u32 = 10_772;
const BATCHES: usize = 539;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_products_take_as_long_as_the_official_limit_asks_and_no_longer() {
    let bench = Bench::with_items(PRODUCTS).await;
    let ended = bench.live().await;
    assert!(ended.summary().contains("10772 items read"), "{}", ended.summary());
    let batches = bench.calls(OFFERS);
    assert_eq!(batches.len(), BATCHES);
    assert!(batches.iter().all(|batch| batch.status == 200), "no 429");
    let took = batches.last().unwrap().at_ms - batches.first().unwrap().at_ms;
    let official = 10_000 * (i64::try_from(BATCHES).unwrap() - 1);
    assert!(official <= took, "{took} ms is faster than allowed");
    assert!(took * 99 <= official * 100, "{took} ms, the limit asks for {official} ms");
    assert_shops_follow_the_rules(&bench).await;
}

/// Every item at the shops is as the rules say for what was offered when it was read.
async fn assert_shops_follow_the_rules(bench: &Bench) {
    let products: HashMap<_, _> =
        bench.store.listed_products().await.unwrap().into_iter().map(|product| (product.asin.to_string(), product)).collect();
    let items: HashMap<_, _> = seed::SHOPS.iter().flat_map(|shop| bench.sandbox.items(shop)).map(|item| (item.item_id, item)).collect();
    for listing in seed::catalogue(PRODUCTS) {
        let (product, item) = (&products[&listing.asin], &items[&listing.item_id]);
        let read_at = product.stock.unwrap().fetched_at.as_millisecond();
        let is_sold = seed::availability(&listing.asin, read_at) == seed::Availability::Buyable;
        match selling_price(seed::cost(&listing.asin, read_at), &Pricing::default()) {
            _ if !is_sold => assert!(!item.visible, "{} is sold out and on sale", listing.asin),
            Price::Sell(price) => assert_eq!((item.visible, item.price), (true, price), "{}", listing.asin),
            Price::AboveMax(_) => {}
        }
    }
}
