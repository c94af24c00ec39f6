//! A seller whose registration at Amazon is no good: it is parked, and people hear of it in words.
use taskrun::{
    core::value::Value,
    handlers::HandlerError,
    notify::{Event, Level},
    sandbox::control::{Participation, Restricted, Switch},
    shop::product::Platform,
    store::shop::{AccountKey, Parked, Parks as _},
};

use crate::desk::*;

#[tokio::test]
async fn a_broken_registration_parks_the_seller_and_says_so() {
    let restricted = |restricted| Switch { restricted: Some(restricted), ..Switch::default() };
    let participation = |participation| Switch { participation: Some(participation), ..Switch::default() };
    for (switch, part) in [
        (restricted(Restricted::Role), "Access to requested resource is denied"),
        (restricted(Restricted::Secret), "client_secret"),
        (participation(Participation::Missing), "does not take part"),
        (participation(Participation::Not), "does not take part"),
    ] {
        for patch_up_to in [500, 0] {
            let desk = Desk::with(3).await.set("patch_up_to", Value::Int(patch_up_to));
            desk.switch(switch);
            let Err(HandlerError::Permanent { message }) = desk.run().await else { panic!("it has failed for good") };
            assert!(message.contains("their stock is not updated"), "{message}");
            let key = AccountKey { platform: Platform::Amazon, account: SELLER.into() };
            let parks = desk.bench.store.parks(Some(key), desk.bench.clock.now_wall()).await.unwrap();
            assert_eq!(parks.iter().map(|park| park.cause).collect::<Vec<_>>(), [Parked::Restricted]);
            let notices = desk.told.of(Event::Parked);
            assert_eq!(notices.len(), 1);
            assert_eq!((&*notices[0].subject, notices[0].level), (SELLER, Level::Alert));
            assert!(notices[0].text.contains(part), "{}", notices[0].text);
            assert!(desk.bench.writes().is_empty());
            assert_eq!(desk.left().await.len(), 3, "nothing counts as told");
        }
    }
}

#[tokio::test]
async fn passing_trouble_is_a_retrys_and_no_change_is_lost() {
    let desk = Desk::with(20).await;
    desk.bench.sandbox.plan(&"patch_listing:503%20,seed=7".parse().unwrap());
    let mut runs = 0;
    while !desk.left().await.is_empty() {
        runs += 1;
        assert!(runs < 20, "it does not end");
        _ = desk.run().await;
    }
    desk.assert_told(0..20);
}

#[tokio::test]
async fn an_upload_that_fails_is_made_anew_with_a_new_address() {
    let desk = Desk::with(5).await.set("patch_up_to", Value::Int(0));
    desk.bench.sandbox.plan(&"feed_upload:403#1,feed_download:500#1,feed_result:html#1".parse().unwrap());
    desk.run().await.unwrap();
    assert_eq!(desk.feeds(), 1);
    desk.assert_told(0..5);
}
