//! The publish gate: what may not be listed is not, whatever else is right with it.
use taskrun::{
    handlers::HandlerError,
    shop::{
        gate::{CategoryRule, Group, Needle, Rules},
        offer::Finding,
        product::Details,
        upload::{Obeyed, Order, State},
    },
    store::shop::{Queue as _, Which},
};

use super::{
    bench::accounts,
    desk::{ADD, COST, Desk, OTHER, SHOP, asin, details, publish},
};

fn needles(words: &[&str]) -> Vec<Needle> {
    words.iter().filter_map(|word| Needle::new(word)).collect()
}

fn rules() -> Rules {
    let group = |name: &str, score, words: &[&str], except: &[&str]| Group {
        name: name.into(),
        score,
        words: needles(words),
        except: needles(except),
    };
    Rules {
        version: 7,
        groups: vec![group("alcohol", 100, &["ビール"], &["ビールグラス"]), group("medicine", 60, &["第2類"], &[])],
        categories: vec![CategoryRule { path: "食品 > お酒".into(), score: 100 }],
        removed: needles(&["Amazon.co.jp限定", "Amazon"]),
        ..Rules::default()
    }
}

/// A shop that holds by these rules, with one product that is due.
async fn one(rules: Rules, details: Details, finding: Finding) -> (Desk, taskrun::shop::upload::ItemId) {
    let desk = Desk::with(publish(rules), accounts()).await;
    desk.take_in(1, SHOP, details).await;
    desk.offer(1, finding).await;
    let id = desk.queue(1..=1, SHOP).await[0];
    (desk, id)
}

fn sold() -> Finding {
    Finding::Ok { cost: COST }
}

#[tokio::test]
async fn acceptance_13_what_is_prohibited_is_never_made_and_says_why() {
    let glass = Details { category: Some("食品 > お酒 > ビール".to_owned()), ..details("ビールグラス", 1) };
    for details in [details("生ﾋﾞｰﾙ 6本", 1), glass] {
        let (desk, id) = one(rules(), details, sold()).await;
        assert_eq!(desk.tick(SHOP).await.summary(), "1 failed");
        let item = desk.item(id).await;
        let error = item.error.unwrap();
        assert_eq!((item.state, &*error.code), (State::Failed, "prohibited"));
        assert!(error.text.contains("version 7 of the rules"), "{}", error.text);
        assert_eq!(desk.bench.calls(ADD), [], "a word that excepts one group opens no other");
        // Nobody's order opens a ban.
        desk.bench.store.order_items(Which::Ids(vec![id]), Order::Retry, desk.now()).await.unwrap();
        assert_eq!(desk.tick(SHOP).await.summary(), "1 failed");
        assert_eq!(desk.bench.calls(ADD), []);
    }
}

#[tokio::test]
async fn acceptance_13_what_is_doubtful_waits_for_a_person() {
    let (desk, id) = one(rules(), details("第2類 かぜ薬", 1), sold()).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 for review");
    assert_eq!((desk.item(id).await.state, desk.code(id).await.as_str()), (State::Review, "review"));
    assert_eq!(desk.tick(SHOP).await.summary(), "nothing is due");
    let ordered = desk.bench.store.order_items(Which::Ids(vec![id]), Order::Approve, desk.now()).await.unwrap();
    assert_eq!(ordered, [(id, Ok(Obeyed::Now(State::Pending)))]);
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    desk.assert_listed(1, SHOP, 1);
}

#[tokio::test]
async fn acceptance_13_a_yes_does_not_open_a_ban() {
    let banned = Rules { banned: [asin(1)].into(), ..rules() };
    let (desk, id) = one(rules(), details("第2類 かぜ薬", 1), sold()).await;
    desk.tick(SHOP).await.summary();
    desk.bench.store.order_items(Which::Ids(vec![id]), Order::Approve, desk.now()).await.unwrap();
    let desk = desk.under(publish(banned));
    assert_eq!(desk.tick(SHOP).await.summary(), "1 failed");
    assert_eq!((desk.code(id).await.as_str(), desk.bench.calls(ADD).len()), ("prohibited", 0));
}

#[tokio::test]
async fn acceptance_13_without_rules_nothing_is_listed() {
    let desk = Desk::with(None, accounts()).await;
    desk.stock(1..=1, SHOP).await;
    desk.queue(1..=1, SHOP).await;
    let ended = desk.tick(SHOP).await;
    let HandlerError::Permanent { message } = ended.error() else { panic!("{:?}", ended.error()) };
    assert!(message.contains("`publish: { rules: deploy/publish-rules.yaml }`"), "{message}");
    assert_eq!(desk.bench.calls(ADD), []);
}

#[tokio::test]
async fn words_that_do_not_belong_there_are_taken_out() {
    let said = Details { description: Some("Amazonで人気".to_owned()), ..details("【Amazon.co.jp限定】水筒 😀 500ml", 1) };
    let (desk, _) = one(rules(), said, sold()).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    let shown = &desk.shown(1, SHOP)[0];
    assert_eq!((shown.title.as_str(), shown.detail.as_str()), ("水筒 500ml", "で人気"));
}

#[tokio::test]
async fn an_item_without_a_description_says_its_title() {
    let (desk, _) = one(rules(), Details { description: None, ..details("水筒", 1) }, sold()).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    assert_eq!(desk.shown(1, SHOP)[0].detail, "水筒");
}

#[tokio::test]
async fn what_would_cost_too_much_fails_and_is_never_sold_for_less() {
    let (desk, id) = one(rules(), details("金の水筒", 1), Finding::Ok { cost: 120_000 }).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 failed");
    assert_eq!((desk.code(id).await.as_str(), desk.bench.calls(ADD).len()), ("too_dear", 0));
}

#[tokio::test]
async fn what_one_reading_alone_says_fell_far_is_not_listed_at_that_price() {
    let (desk, id) = one(rules(), details("水筒", 1), Finding::Ok { cost: 20_000 }).await;
    desk.offer(1, Finding::Ok { cost: 20 }).await;
    assert_eq!(desk.tick(SHOP).await.summary(), "1 put back");
    assert_eq!((desk.code(id).await.as_str(), desk.item(id).await.attempts, desk.bench.calls(ADD).len()), ("fell", 0, 0));
    desk.offer(1, Finding::Ok { cost: 20 }).await;
    desk.later(jiff::SignedDuration::from_mins(10));
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
}

#[tokio::test]
async fn what_is_sold_out_or_known_too_long_waits_for_a_sync() {
    let (desk, id) = one(rules(), details("水筒", 1), sold()).await;
    desk.later(jiff::SignedDuration::from_hours(5));
    assert_eq!(desk.tick(SHOP).await.summary(), "1 put back");
    assert_eq!((desk.code(id).await.as_str(), desk.item(id).await.attempts), ("stale", 0));
    desk.offer(1, Finding::NoOffer).await;
    desk.later(jiff::SignedDuration::from_mins(10));
    assert_eq!(desk.tick(SHOP).await.summary(), "1 put back");
    assert_eq!(desk.code(id).await, "out_of_stock");
    desk.offer(1, sold()).await;
    desk.later(jiff::SignedDuration::from_mins(10));
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    assert_eq!(desk.item(id).await.attempts, 1);
}

#[tokio::test]
async fn a_product_with_too_few_images_fails() {
    let (desk, id) = one(rules(), details("水筒", 1), sold()).await;
    let mut wants_more = publish(rules());
    wants_more.min_images = 3;
    let desk = desk.under(wants_more);
    assert_eq!(desk.tick(SHOP).await.summary(), "1 failed");
    assert_eq!(desk.code(id).await, "no_images");
}

#[tokio::test]
async fn what_is_at_one_shop_is_made_at_no_other_where_that_is_the_rule() {
    let desk = Desk::new().await;
    desk.stock(1..=1, SHOP).await;
    let here = desk.queue(1..=1, SHOP).await[0];
    let there = desk.queue(1..=1, OTHER).await[0];
    let mut one_shop = publish(Rules::default());
    one_shop.one_shop = true;
    let desk = desk.under(one_shop);
    assert_eq!(desk.tick(SHOP).await.summary(), "1 listed");
    assert_eq!(desk.tick(OTHER).await.summary(), "1 failed");
    assert_eq!((desk.item(here).await.state, desk.code(there).await.as_str()), (State::Success, "elsewhere"));
    assert_eq!(desk.made(ADD).len(), 1);
}
