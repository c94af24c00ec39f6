//! Whole syncs of the practice shops.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use taskrun::{
    clock::Clock,
    core::{task::Instance, value::Secret},
    handlers::{Access, AttemptContext, Handler, HandlerError, Plan},
    notify::Event,
    sandbox::{self, Entry, Fault, FaultKind, Force, seed},
    shop::{offer::Finding, product::Asin},
    store::shop::{Catalogue as _, Guarded, Intent, Intents as _, NewListing, Tokens as _},
};

use crate::bench::*;

#[tokio::test]
async fn a_dry_run_writes_nothing_and_plans_what_the_live_run_then_does() {
    let bench = Bench::new().await;
    let dry = bench.dry().await;
    assert!(dry.summary().contains("planned: "), "{}", dry.summary());
    assert_eq!(bench.writes(), [], "a dry run writes nothing");
    let products = bench.store.listed_products().await.unwrap();
    assert!(products.iter().all(|product| product.stock.is_none()), "nor into the catalogue");
    let edits = ["price", "hide", "show"];
    let planned: BTreeSet<_> =
        dry.plan.planned().into_iter().filter(|planned| edits.contains(&planned.kind)).map(|planned| planned.target).collect();
    assert!(planned.len() > 5, "{planned:?}");

    let live = bench.live().await;
    let asins: BTreeMap<_, _> = seed::catalogue(ITEMS).into_iter().map(|seeded| (seeded.item_id, (seeded.account, seeded.asin))).collect();
    let written: Vec<_> = bench
        .writes()
        .iter()
        .map(|entry| {
            assert_eq!(entry.status, 200, "{entry:?}");
            let item_id = entry.detail.split(' ').find_map(|field| field.strip_prefix("item_id=")).unwrap();
            let (account, asin) = &asins[&item_id.parse().unwrap()];
            assert_eq!(account, &entry.account);
            format!("{account} item {item_id} ({asin})")
        })
        .collect();
    assert_eq!(written.len(), planned.len(), "{}", live.summary());
    assert_eq!(written.into_iter().collect::<BTreeSet<_>>(), planned);
    bench.assert_in_line(&[]);
    assert!(live.summary().starts_with(&format!("{ITEMS} items read: ")), "{}", live.summary());
}

#[tokio::test]
async fn a_second_sync_right_after_writes_nothing_and_a_later_one_what_changed() {
    let bench = Bench::new().await;
    bench.live().await.summary();
    let first = bench.writes().len();
    let again = bench.live().await;
    assert_eq!(bench.writes().len(), first, "{}", again.summary());
    bench.clock.advance(9 * 60 * MINUTE);
    bench.live().await.summary();
    let later = bench.writes().len() - first;
    assert!(0 < later && later < 60, "{later}");
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn an_offer_that_vanishes_hides_the_item_within_one_sync_and_shows_it_again_later() {
    let bench = Bench::new().await;
    let ((gone, gone_item), (slow, slow_item)) = (bench.sold(0), bench.sold(1));
    bench.live().await.summary();
    bench.sandbox.force(&gone, Some(Force::NoOffer));
    bench.sandbox.force(&slow, Some(Force::Filtered));
    bench.live().await.summary();
    assert!(!bench.item(gone_item).visible && !bench.item(slow_item).visible);
    bench.sandbox.force(&gone, Some(Force::Cost(1984)));
    bench.live().await.summary();
    let item = bench.item(gone_item);
    assert_eq!((item.visible, item.price), (true, 2580));
    assert!(!bench.item(slow_item).visible);
}

#[tokio::test]
async fn an_error_changes_nothing_however_it_comes() {
    let bench = Bench::new().await;
    bench.live().await.summary();
    let forces = [Force::ItemError(400), Force::ItemError(429), Force::ItemError(500), Force::TooSoon];
    let items: Vec<_> = (0..forces.len()).map(|n| bench.sold(n)).collect();
    for ((asin, _), force) in items.iter().zip(forces) {
        bench.sandbox.force(asin, Some(force));
    }
    let before: Vec<_> = items.iter().map(|(_, item)| bench.item(*item)).collect();
    bench.clock.advance(30 * MINUTE);
    let (calls, ended) = (bench.calls(OFFERS).len(), bench.live().await);
    assert!(ended.summary().contains(", 4 errors"), "{}", ended.summary());
    assert_eq!(items.iter().map(|(_, item)| bench.item(*item)).collect::<Vec<_>>(), before);
    // Those whose answer may be another a little later were asked for once more, together.
    assert_eq!(bench.calls(OFFERS).len() - calls, 7);

    // Once what is known is too old, nothing is written by it either; here the other shop's price is wrong, and stays.
    bench.clock.advance(4 * 60 * MINUTE);
    let mut wrong = bench.item(items[0].1);
    wrong.price = 77_770;
    bench.sandbox.put_item(&wrong);
    let stale = bench.live().await;
    assert!(stale.summary().contains("left alone as their data is too old"), "{}", stale.summary());
    assert_eq!(bench.item(items[0].1).price, 77_770);
}

#[tokio::test]
async fn the_rate_is_never_passed_and_follows_the_header() {
    let bench = Bench::new().await;
    bench.live().await.summary();
    let gaps = |calls: &[Entry]| calls.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect::<Vec<_>>();
    let calls = bench.calls(OFFERS);
    assert_eq!(calls.len(), 6, "120 products");
    assert!(gaps(&calls).iter().all(|gap| (10_000..10_200).contains(gap)), "{:?}", gaps(&calls));
    bench.sandbox.set_offers_rate(0.5);
    bench.live().await.summary();
    bench.live().await.summary();
    let calls = bench.calls(OFFERS);
    assert!(gaps(&calls[13..]).iter().all(|gap| (2_000..2_200).contains(gap)), "{:?}", gaps(&calls));
    assert!(calls.iter().all(|entry| entry.status == 200), "no call was ever refused");
}

#[tokio::test]
async fn a_429_is_waited_for_and_the_batch_goes_on() {
    let bench = Bench::new().await;
    bench.sandbox.inject(Fault { route: OFFERS, times: 2, kind: FaultKind::Status(429) });
    let ended = bench.live().await;
    assert!(!ended.summary().contains("errors"), "{}", ended.summary());
    let calls = bench.calls(OFFERS);
    assert_eq!(calls.iter().map(|call| call.status).collect::<Vec<_>>(), [429, 429, 200, 200, 200, 200, 200, 200]);
    assert!(calls.windows(2).all(|pair| pair[1].at_ms - pair[0].at_ms >= 10_000));
}

#[tokio::test]
async fn a_batch_that_fails_is_asked_for_again_and_a_dead_service_ends_the_attempt() {
    let bench = Bench::new().await;
    bench.sandbox.inject(Fault { route: OFFERS, times: 4, kind: FaultKind::Status(500) });
    let ended = bench.live().await;
    assert!(!ended.summary().contains("errors"), "{}", ended.summary());
    bench.assert_in_line(&[]);

    let writes = bench.writes().len();
    bench.clock.advance(24 * 60 * MINUTE);
    bench.sandbox.inject(Fault { route: OFFERS, times: 1000, kind: FaultKind::Html });
    let ended = bench.live().await;
    assert!(matches!(ended.error(), HandlerError::Transient { .. }), "{:?}", ended.error());
    assert_eq!(bench.writes().len(), writes, "without fresh data nothing is written");
}

#[tokio::test]
async fn a_retry_goes_on_where_the_attempt_before_it_ended() {
    let bench = Bench::new().await;
    let fence = bench.admit().await;
    let mut ctx = bench.context(Access::Live(fence));
    let run = async |ctx: &AttemptContext| bench.handler.run(ctx).await;
    bench.sandbox.inject(Fault { route: "/1/items", times: 1000, kind: FaultKind::Status(500) });
    let failed = run(&ctx).await.unwrap_err();
    assert!(matches!(failed, HandlerError::Transient { .. }), "{failed}");
    assert_eq!(bench.calls(OFFERS).len(), 6);
    ctx.attempt = 2;
    let failed = run(&ctx).await.unwrap_err();
    assert!(failed.to_string().starts_with(&format!("{ITEMS} items read")), "{failed}");
    assert_eq!(bench.calls(OFFERS).len(), 6, "no product is read twice in one run");
}

#[tokio::test]
async fn the_brake_stops_every_hide_and_nothing_else() {
    let bench = Bench::new().await;
    bench.live().await.summary();
    let writes = bench.writes().len();
    let gone: Vec<_> = (0..30).map(|n| bench.sold(n)).collect();
    for (asin, _) in &gone {
        bench.sandbox.force(asin, Some(Force::NoOffer));
    }
    let (dearer, dearer_item) = bench.sold(40);
    bench.sandbox.force(&dearer, Some(Force::Cost(2000)));
    let ended = bench.live().await;
    assert!(matches!(ended.error(), HandlerError::Permanent { message } if message.contains("brake: ")), "{:?}", ended.error());
    assert!(gone.iter().all(|(_, item)| bench.item(*item).visible), "nothing is hidden");
    assert_eq!((bench.writes().len() - writes, bench.item(dearer_item).price), (1, 2600), "prices go on");

    let bench = bench.set("max_hide", percent(100));
    bench.live().await.summary();
    assert!(gone.iter().all(|(_, item)| !bench.item(*item).visible));
}

#[tokio::test]
async fn one_shops_trouble_is_its_own() {
    let bench = Bench::new().await;
    let [first, second] = seed::SHOPS;
    bench.sandbox.set_calls(first, 3_600_000, 5_000);
    let ended = bench.live().await;
    let HandlerError::NotYet { message, until } = ended.error() else { panic!("{:?}", ended.error()) };
    assert!(message.contains(&format!("{first} waits: ")) && !message.contains(&format!("{second} waits")), "{message}");
    let wait = until.duration_since(bench.clock.now().wall).as_secs();
    assert!((3000..3631).contains(&wait), "until the hour is over: {wait}");
    assert!(bench.writes().iter().all(|entry| entry.account == second));
    assert_eq!(bench.calls("/1/items").iter().filter(|entry| entry.status == 400).count(), 1, "the limit is asked once");
    assert!(bench.writes().iter().any(|entry| entry.account == second), "the other shop goes on");
}

#[tokio::test]
async fn no_call_goes_around_a_proxy_that_is_down() {
    let mut bench = Bench::new().await;
    let [first, second] = seed::SHOPS;
    let mut accounts = accounts();
    accounts.get_mut(first).unwrap().proxy = Some(Secret::new("http://user:canary@127.0.0.1:1"));
    bench.handler = handler_for(&bench.sandbox.endpoint(), &bench.store, &accounts);
    let ended = bench.live().await;
    let HandlerError::Transient { message, .. } = ended.error() else { panic!("{:?}", ended.error()) };
    assert!(message.contains(&format!("{first} failed: ")) && message.contains("no connection through the account's proxy: "), "{message}");
    assert!(!message.contains("canary"), "{message}");
    let callers: BTreeSet<_> = bench.sandbox.ledger().into_iter().map(|entry| entry.account).collect();
    assert_eq!(callers, BTreeSet::from([seed::SELLER.to_owned(), second.to_owned()]));
}

#[tokio::test]
async fn an_account_that_is_disabled_or_not_the_instances_is_left_alone() {
    let mut bench = Bench::new().await.set("max_hide", percent(100));
    let [first, second] = seed::SHOPS;
    let fence = bench.admit().await;
    let mut ctx = bench.context(Access::Live(fence));
    let instance = Instance { account: Some(second.into()), ..(*ctx.instance).clone() };
    ctx.instance = Arc::new(instance);
    bench.handler.run(&ctx).await.unwrap();
    assert!(bench.writes().iter().all(|entry| entry.account == second));
    assert_eq!(bench.calls(OFFERS).len(), 2, "only what that shop has listed is asked for");

    let writes = bench.writes().len();
    let mut accounts = accounts();
    accounts.get_mut(first).unwrap().enabled = false;
    bench.handler = handler_for(&bench.sandbox.endpoint(), &bench.store, &accounts);
    bench.live().await.summary();
    assert_eq!(bench.writes().len(), writes);
}

#[tokio::test]
async fn the_hours_limit_is_waited_for_when_the_hour_is_nearly_over() {
    let bench = Bench::new().await;
    bench.clock.advance(56 * MINUTE);
    for shop in seed::SHOPS {
        bench.sandbox.set_calls(shop, 3_600_000, 5_000);
    }
    bench.live().await.summary();
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn rotated_tokens_are_kept_even_by_a_dry_run_and_renewed_when_they_end() {
    let bench = Bench::new().await;
    bench.dry().await.summary();
    let token = |account: &'static str| bench.store.token(shop_key(account), None);
    let first = token(seed::SHOPS[0]).await.unwrap().unwrap();
    assert_eq!(first.generation, 1);
    assert_ne!(first.refresh.expose(), sandbox::practice_keys().accounts[1].refresh_token);
    // A restart: nothing is known but what the store has, and the first refresh token is dead.
    let restarted = handler(&bench.sandbox.endpoint(), &bench.store);
    bench.clock.advance(2 * 60 * MINUTE);
    let fence = bench.admit().await;
    restarted.run(&bench.context(Access::Live(fence))).await.unwrap();
    assert_eq!(token(seed::SHOPS[0]).await.unwrap().unwrap().generation, 2);
    assert_eq!(bench.calls("/1/oauth/token").iter().map(|call| call.status).collect::<Vec<_>>(), [200; 4]);
}

#[tokio::test]
async fn two_runs_at_once_refresh_each_token_once() {
    let bench = Bench::new().await;
    let fire_at = bench.clock.now().wall;
    bench.live().await.summary();
    bench.clock.advance(61 * MINUTE);
    bench.sandbox.inject(Fault { route: "/1/oauth/token", times: 2, kind: FaultKind::Delay(Duration::from_millis(500)) });
    let other = handler(&bench.sandbox.endpoint(), &bench.store);
    // For these two the offers were read already; both come to the shops at once, with tokens that have ended.
    let ctx = AttemptContext { fire_at, ..bench.context(Access::Dry(Plan::default())) };
    let (one, two) = tokio::join!(bench.handler.run(&ctx), other.run(&ctx));
    one.unwrap();
    two.unwrap();
    assert_eq!(bench.calls("/1/oauth/token").iter().map(|call| call.status).collect::<Vec<_>>(), [200; 4], "two at first, two now");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_a_dead_one_needs_a_person() {
    let bench = Bench::new().await;
    bench.live().await.summary();
    // The marketplace forgets what it gave out: the clocks of both sides went apart.
    let now = bench.clock.now().wall;
    let account = shop_key(seed::SHOPS[0]);
    let known = bench.store.token(account.clone(), None).await.unwrap().unwrap();
    let pair = taskrun::store::shop::TokenPair {
        access: Secret::new("0".repeat(32)),
        expires_at: now + SignedDuration::from_hours(1),
        refresh: None,
    };
    assert!(bench.store.keep_token(account.clone(), known.generation, pair.clone(), now).await.unwrap());
    bench.live().await.summary();
    assert_eq!(bench.calls("/1/oauth/token").len(), 3);

    let known = bench.store.token(account.clone(), None).await.unwrap().unwrap();
    let dead = taskrun::store::shop::TokenPair { refresh: Some(Secret::new("canary-refresh-token")), expires_at: now, ..pair };
    assert!(bench.store.keep_token(account, known.generation, dead, now).await.unwrap());
    let ended = bench.live().await;
    let HandlerError::Permanent { message } = ended.error() else { panic!("{:?}", ended.error()) };
    assert!(message.contains("can't log in") && !message.contains("canary"), "{message}");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_looked_up_and_not_sent_again() {
    let bench = Bench::new().await;
    bench.sandbox.inject(Fault { route: EDIT, times: 3, kind: FaultKind::DropAnswer });
    let ended = bench.live().await;
    assert!(!ended.summary().contains("errors"), "{}", ended.summary());
    let mut items: Vec<_> = bench.writes().iter().map(|entry| entry.detail.clone()).collect();
    let count = items.len();
    items.sort();
    items.dedup();
    assert_eq!(items.len(), count, "no item is written twice");
    bench.assert_in_line(&[]);
    assert_eq!(bench.store.open_edits(shop_key(seed::SHOPS[0])).await.unwrap(), []);
}

#[tokio::test]
async fn what_an_earlier_run_left_open_is_looked_up_first() {
    let bench = Bench::new().await;
    let (asin, item_id) = bench.sold(0);
    let fence = bench.admit().await;
    let edit = taskrun::shop::difference::Edit { price: Some(4440), ..Default::default() };
    let intent = Intent { shop: shop_key(seed::SHOPS[0]), asin: Asin::parse(&asin).unwrap(), item_id: item_id.to_string().into(), edit };
    // One was made and its end not written down; another was never sent.
    let Guarded::Done(_) = bench.store.open_intent(fence.clone(), intent.clone(), bench.clock.now().wall).await.unwrap() else {
        panic!("fenced")
    };
    let mut item = bench.item(item_id);
    item.price = 4440;
    bench.sandbox.put_item(&item);
    let (other, other_item) = bench.sold(1);
    let unsent = Intent { asin: Asin::parse(&other).unwrap(), item_id: other_item.to_string().into(), ..intent };
    let Guarded::Done(_) = bench.store.open_intent(fence, unsent, bench.clock.now().wall).await.unwrap() else { panic!("fenced") };
    bench.live().await.summary();
    assert_eq!(bench.store.open_edits(shop_key(seed::SHOPS[0])).await.unwrap(), []);
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn a_run_that_was_taken_over_writes_nothing_anywhere() {
    let bench = Bench::new().await;
    let stale = bench.admit().await;
    bench.admit().await;
    let ended = bench.attempt(Access::Live(stale.clone())).await;
    assert!(matches!(ended.error(), HandlerError::Fenced), "{:?}", ended.error());
    assert_eq!(bench.writes(), []);
    let products = bench.store.listed_products().await.unwrap();
    assert!(products.iter().all(|product| product.stock.is_none() && product.cost.is_none()));
}

#[tokio::test]
async fn a_run_that_is_taken_over_in_the_middle_sends_nothing_more() {
    let bench = Bench { account: Some(seed::SHOPS[0]), ..Bench::new().await };
    let fence = bench.admit().await;
    bench.sandbox.inject(Fault { route: EDIT, times: 1, kind: FaultKind::Delay(Duration::from_secs(3)) });
    let takeover = async {
        wait_for(|| !bench.writes().is_empty()).await;
        bench.admit().await;
    };
    let (ended, ()) = tokio::join!(bench.attempt(Access::Live(fence)), takeover);
    assert!(matches!(ended.error(), HandlerError::Fenced), "{:?}", ended.error());
    assert_eq!(bench.writes().len(), 1, "the one that was in flight");
    assert_eq!(bench.store.open_edits(shop_key(seed::SHOPS[0])).await.unwrap().len(), 1, "and its fate is left for the next run");
    let bench = Bench { account: None, ..bench };
    bench.live().await.summary();
    assert_eq!(bench.store.open_edits(shop_key(seed::SHOPS[0])).await.unwrap(), []);
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn a_run_that_is_stopped_keeps_what_is_done_and_finishes_the_item_in_hand() {
    let bench = Bench { account: Some(seed::SHOPS[0]), ..Bench::new().await };
    let fence = bench.admit().await;
    bench.sandbox.inject(Fault { route: EDIT, times: 1, kind: FaultKind::Delay(Duration::from_secs(1)) });
    let stop = async {
        wait_for(|| !bench.writes().is_empty()).await;
        bench.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(bench.attempt(Access::Live(fence)), stop);
    assert!(matches!(ended.error(), HandlerError::Cancelled), "{:?}", ended.error());
    assert_eq!(bench.writes().len(), 1);
    assert_eq!(bench.store.open_edits(shop_key(seed::SHOPS[0])).await.unwrap(), [], "the item in hand was finished");
    let products = bench.store.listed_products().await.unwrap();
    let read = products.iter().filter(|product| product.stock.is_some()).count();
    assert_eq!(read, bench.store.listings(shop_key(seed::SHOPS[0])).await.unwrap().len(), "what was read is kept");
}

#[tokio::test]
async fn a_token_that_is_being_renewed_when_the_run_is_stopped_is_kept() {
    let bench = Bench { account: Some(seed::SHOPS[0]), ..Bench::new().await };
    let fence = bench.admit().await;
    bench.sandbox.inject(Fault { route: "/1/oauth/token", times: 1, kind: FaultKind::Delay(Duration::from_secs(1)) });
    let stop = async {
        wait_for(|| !bench.calls("/1/oauth/token").is_empty()).await;
        bench.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(bench.attempt(Access::Live(fence)), stop);
    assert!(matches!(ended.error(), HandlerError::Cancelled), "{:?}", ended.error());
    // From here on the process may end.
    let token = bench.store.token(shop_key(seed::SHOPS[0]), None).await.unwrap().unwrap();
    assert_eq!(token.generation, 1, "BASE gave a new pair, and the one before is dead");
}

#[tokio::test]
async fn what_was_read_before_the_clock_was_set_back_is_read_again() {
    let bench = Bench::new().await.set("max_hide", percent(100));
    let fence = bench.admit().await;
    let tomorrow = bench.clock.now().wall + SignedDuration::from_hours(24);
    let products = bench.store.listed_products().await.unwrap();
    let findings = products.into_iter().map(|product| (product.asin, Finding::NoOffer)).collect();
    assert_eq!(bench.store.learn(fence, findings, tomorrow).await.unwrap(), Guarded::Done(()));
    bench.live().await.summary();
    bench.assert_in_line(&[]);
}

#[tokio::test]
async fn no_new_item_is_taken_when_the_business_hours_end() {
    let mut bench = Bench::new().await;
    bench.closes_at = Some(Timestamp::from_millisecond(START + 25_000).unwrap());
    let ended = bench.live().await;
    assert!(ended.summary().contains("closed for now"), "{}", ended.summary());
    assert_eq!(bench.calls(OFFERS).len(), 4, "the batch in hand is finished, though it had to wait");
    assert_eq!(bench.writes(), []);
}

#[tokio::test]
async fn acceptance_14_an_item_that_became_too_dear_is_not_sold_below_its_cost() {
    let bench = Bench::new().await;
    let ((_, gone), (dear, dear_item), (bearable, bearable_item)) = (bench.sold(0), bench.sold(1), bench.sold(2));
    bench.sandbox.remove_item(gone);
    bench.sandbox.force(&dear, Some(Force::Cost(120_000)));
    bench.sandbox.force(&bearable, Some(Force::Cost(90_000)));
    let mut item = bench.item(bearable_item);
    item.price = 95_000;
    bench.sandbox.put_item(&item);
    let before = bench.item(dear_item);
    let ended = bench.live().await;
    assert!(ended.summary().contains("1 delisted"), "{}", ended.summary());
    assert!(ended.summary().contains("without a price, as they would cost more than `max`"), "{}", ended.summary());
    let after = bench.item(dear_item);
    assert_eq!((after.visible, after.price), (false, before.price), "it would have been sold for less than it costs");
    assert_eq!(bench.item(bearable_item), item, "not at a loss: it is left alone");
}

#[tokio::test]
async fn a_price_that_one_reading_alone_says_fell_far_waits_for_the_next_and_a_slip_is_never_written() {
    let (bench, told) = Bench::new().await.told();
    let ((fallen, fallen_item), (slip, slip_item)) = (bench.sold(0), bench.sold(1));
    for asin in [&fallen, &slip] {
        bench.sandbox.force(asin, Some(Force::Cost(20_000)));
        bench.live().await.summary();
    }
    assert_eq!((bench.item(fallen_item).price, bench.item(slip_item).price), (26_000, 26_000));
    bench.sandbox.force(&fallen, Some(Force::Cost(2_000)));
    bench.sandbox.force(&slip, Some(Force::Cost(20)));
    let held = bench.live().await;
    assert!(held.summary().contains(" held, as a price that falls so far waits for a second reading"), "{}", held.summary());
    let told = told.of(Event::NeedsEye);
    assert!(told.iter().any(|notice| notice.text.contains(&format!("{fallen} (26000 to 2600 yen)"))), "{told:?}");
    assert_eq!((bench.item(fallen_item).price, bench.item(slip_item).price), (26_000, 26_000));
    bench.sandbox.force(&slip, Some(Force::Cost(20_000)));
    bench.clock.advance(MINUTE);
    bench.live().await.summary();
    assert_eq!((bench.item(fallen_item).price, bench.item(slip_item).price), (2_600, 26_000));
}

#[tokio::test]
async fn a_listing_whose_number_is_none_is_named() {
    let (bench, told) = Bench::new().await.told();
    let lost = NewListing {
        asin: Asin::parse("B0TESTLOST").unwrap(),
        title: None,
        shop: shop_key("base_account_1"),
        item_id: Some("item-7".into()),
        sku: "lost".into(),
    };
    bench.store.add_listings(vec![lost], bench.clock.now().wall).await.unwrap();
    let ended = bench.live().await;
    assert!(ended.summary().contains("1 without an item number"), "{}", ended.summary());
    assert!(
        told.of(Event::NeedsEye)
            .iter()
            .any(|notice| notice.text.contains("no item number of theirs") && notice.text.contains("B0TESTLOST"))
    );
}

#[tokio::test]
async fn the_marketplaces_state_survives_a_restart() {
    let bench = Bench::with_items(20).await;
    bench.live().await.summary();
    let (writes, items) = (bench.writes(), bench.sandbox.items(seed::SHOPS[0]));
    let Bench { sandbox, dir, clock, store, .. } = bench;
    sandbox.stop().await.unwrap();
    let sandbox = start_sandbox(dir.path(), &clock, 20).await;
    assert_eq!(sandbox.items(seed::SHOPS[0]), items);
    assert_eq!(sandbox.ledger().into_iter().filter(|entry| entry.write).collect::<Vec<_>>(), writes);
    let lines = std::fs::read_to_string(dir.path().join("sandbox/ledger.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), sandbox.ledger().len());
    let token = store.token(shop_key(seed::SHOPS[0]), None).await.unwrap().unwrap();
    assert!(!lines.contains(token.refresh.expose()) && !lines.contains(token.access.unwrap().expose()), "the ledger holds no secret");
}
