//! The rules of the sync, as the parameters change them: phases, restock, which offers count, prices that are left.
use std::collections::BTreeSet;

use taskrun::{
    core::value::{Params, Value},
    sandbox::{Fault, FaultKind, Force},
};

use crate::bench::*;

fn words(words: &[&str]) -> Value {
    Value::List(words.iter().map(|word| Value::Text((*word).into())).collect())
}

fn table(entries: &[(&str, Value)]) -> Value {
    Value::Table(Params(entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect()))
}

/// The fields that were written since the n-th write.
fn fields(bench: &Bench, since: usize) -> BTreeSet<String> {
    let names = |detail: String| detail.split(' ').filter_map(|field| Some(field.split_once('=')?.0.to_owned())).collect::<Vec<_>>();
    bench.writes().into_iter().skip(since).flat_map(|entry| names(entry.detail)).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// Takes all that there is of an item at the shop, as a buyer would.
fn buy(bench: &Bench, item_id: i64) {
    let mut item = bench.item(item_id);
    item.stock = 0;
    bench.sandbox.put_item(&item);
}

#[tokio::test]
async fn a_phase_that_runs_alone_does_only_its_own() {
    let bench = Bench::new().await.set("phases", words(&["fetch"]));
    let fetched = bench.live().await;
    assert!(fetched.summary().starts_with("120 items read: ") && !fetched.summary().contains("changed"), "{}", fetched.summary());
    assert!(bench.calls("/1/items").is_empty(), "what is not written is not read");

    let bench = bench.set("phases", words(&["price"]));
    let read = bench.calls(OFFERS).len();
    let priced = bench.live().await;
    assert!(priced.summary().starts_with("no offers read; ") && priced.summary().contains(" 0 hidden, 0 shown"), "{}", priced.summary());
    assert_eq!((fields(&bench, 0), bench.calls(OFFERS).len()), (set(["item_id", "price"]), read));

    let since = bench.writes().len();
    let bench = bench.set("phases", words(&["visibility"]));
    let seen = bench.live().await;
    assert!(seen.summary().contains("0 prices changed"), "{}", seen.summary());
    assert_eq!(fields(&bench, since), set(["item_id", "visible"]));
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn without_the_offers_a_phase_writes_nothing_on_stale_data() {
    let bench = Bench::new().await;
    bench.live().await.summary();
    let since = bench.writes().len();
    bench.clock.advance(4 * 60 * MINUTE + MINUTE);
    let bench = bench.set("phases", words(&["price", "visibility"]));
    let stale = bench.live().await;
    assert!(stale.summary().contains("left alone as their data is too old"), "{}", stale.summary());
    assert_eq!(bench.writes().len(), since);
}

#[tokio::test]
async fn what_sold_is_sold_again_only_when_its_offers_were_read_in_the_run() {
    let bench = Bench::new().await;
    bench.live().await.summary();
    let ((_, sold), (unread, unread_item), (gone, gone_item)) = (bench.sold(0), bench.sold(1), bench.sold(2));
    for item in [sold, unread_item, gone_item] {
        buy(&bench, item);
    }
    bench.sandbox.force(&unread, Some(Force::ItemError(400)));
    bench.sandbox.force(&gone, Some(Force::NoOffer));

    let bench = bench.set("phases", words(&["price", "visibility"]));
    bench.live().await.summary();
    assert_eq!(bench.item(sold).stock, 0, "fresh, but not read in this run");
    let bench = bench.set("phases", words(&["fetch", "price", "visibility"])).set("restock", Value::Text("never".into()));
    bench.live().await.summary();
    assert_eq!(bench.item(sold).stock, 0, "a person's business");
    let bench = bench.set("restock", Value::Text("after_fresh_check".into()));
    let dry = bench.dry().await;
    let planned = dry.plan.planned().into_iter().find(|planned| planned.kind == "restock").unwrap();
    assert_eq!(planned.change, "stock 0 -> 1");
    let ended = bench.live().await;
    assert!(ended.summary().contains(", 1 restocked"), "{}", ended.summary());
    let stocks = [sold, unread_item, gone_item].map(|item| bench.item(item).stock);
    assert_eq!(stocks, [1, 0, 0], "an error is no check, and what nobody offers is not sold");
    assert!(!bench.item(gone_item).visible);
}

#[tokio::test]
async fn a_restock_whose_answer_is_lost_is_looked_up() {
    let bench = Bench::new().await;
    bench.live().await.summary();
    let (since, (_, sold)) = (bench.writes().len(), bench.sold(0));
    buy(&bench, sold);
    bench.sandbox.inject(Fault { route: EDIT, times: 1, kind: FaultKind::DropAnswer });
    let ended = bench.live().await;
    assert!(ended.summary().contains(", 1 restocked"), "{}", ended.summary());
    assert_eq!((bench.item(sold).stock, bench.writes().len() - since), (1, 1));
}

#[tokio::test]
async fn the_file_says_which_offers_count() {
    let bench = Bench::new().await;
    let (filtered, item) = bench.sold(0);
    bench.sandbox.force(&filtered, Some(Force::Filtered));
    let usual = bench.live().await;
    assert!(usual.summary().contains(" paid_shipping") && !bench.item(item).visible, "{}", usual.summary());
    let generous = bench.set("offers", table(&[("free_shipping", Value::Bool(false))]));
    let ended = generous.live().await;
    assert!(ended.summary().contains(" 0 filtered") && generous.item(item).visible, "{}", ended.summary());
}

#[tokio::test]
async fn a_small_difference_is_left_and_a_loss_is_not() {
    let least = |amount| table(&[("amount", Value::Int(amount))]);
    let pricing = table(&[("threshold", least(100)), ("min_margin", least(300))]);
    let bench = Bench::new().await;
    bench.live().await.summary();
    let bench = bench.set("pricing", pricing);
    let ((drifted, item), (cheap, cheap_item)) = (bench.sold(0), bench.sold(1));
    for (asin, item, cost, price) in [(&drifted, item, 2_000, 2_690), (&cheap, cheap_item, 1_000, 1_290)] {
        bench.sandbox.force(asin, Some(Force::Cost(cost)));
        let mut item = bench.item(item);
        item.price = price;
        bench.sandbox.put_item(&item);
    }
    bench.live().await.summary();
    assert_eq!(bench.item(item).price, 2_690, "2,600 would be right: 90 yen are under the threshold");
    assert_eq!(bench.item(cheap_item).price, 1_300, "10 yen are too, but they are below the margin");
}
