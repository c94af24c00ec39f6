//! `refresh_tokens` and `validate_credentials` against the practice marketplace.
use std::sync::Arc;

use jiff::Timestamp;
use taskrun::{
    clock::Clock as _,
    core::value::Secret,
    handlers::{
        Access, AttemptContext, Handler, HandlerError, Plan, Report, refresh_tokens::RefreshTokens,
        validate_credentials::ValidateCredentials,
    },
    marketplace::Market,
    notify::{Event, Level},
    sandbox::{
        self, Fault, FaultKind, SandboxOptions, World,
        control::{Participation, Restricted, Switch},
        seed,
    },
    shop::product::Platform,
    store::shop::{AccountKey, Credentials as _, Park, Parked, Parks as _, ShopStore, Token, Tokens as _, Verdict},
};

use super::bench::{Bench, MINUTE, Told, accounts, marketplaces, shop_key};

const TOKEN: &str = "/1/oauth/token";
const LWA: &str = "/auth/o2/token";
const PARTICIPATIONS: &str = "/sellers/v1/marketplaceParticipations";
const DAY: i64 = 24 * 60 * MINUTE;

/// A marketplace, and everything that was told.
struct Desk {
    bench: Bench,
    market: Arc<Market>,
    told: Arc<Told>,
}

impl Desk {
    async fn new() -> Self {
        let bench = Bench::with_items(20).await;
        let shops: Arc<dyn ShopStore> = Arc::new(bench.store.clone());
        let market = Arc::new(Market::connect(&marketplaces(&bench.sandbox.endpoint()), &accounts(), &shops));
        Self { bench, market, told: Arc::default() }
    }

    async fn run(&self, handler: &dyn Handler, access: Access) -> Result<Report, HandlerError> {
        let ctx = AttemptContext { notifier: self.told.clone(), ..self.bench.context(access) };
        handler.run(&ctx).await
    }

    async fn refresh(&self) -> Result<Report, HandlerError> {
        let access = Access::Live(self.bench.admit().await);
        self.run(&RefreshTokens::new(Arc::clone(&self.market), Arc::new(self.bench.store.clone())), access).await
    }

    async fn validate(&self) -> Result<Report, HandlerError> {
        let access = Access::Live(self.bench.admit().await);
        self.run(&ValidateCredentials::new(Arc::clone(&self.market), Arc::new(self.bench.store.clone())), access).await
    }

    /// What was told since the last time.
    fn heard(&self) -> Vec<(Event, Level, String)> {
        let told = std::mem::take(&mut *self.told.0.lock().unwrap());
        told.into_iter().map(|notice| (notice.event, notice.level, notice.to_string())).collect()
    }

    async fn token(&self, account: &str) -> Token {
        self.bench.store.token(shop_key(account), None).await.unwrap().unwrap()
    }

    async fn parks(&self, account: &AccountKey) -> Vec<Park> {
        self.bench.store.parks(Some(account.clone()), self.now()).await.unwrap()
    }

    async fn verdict(&self, account: &str) -> Verdict {
        self.bench.store.verdicts().await.unwrap().into_iter().find(|check| &*check.account.account == account).unwrap().verdict
    }

    fn now(&self) -> Timestamp {
        self.bench.clock.now().wall
    }

    fn trouble(&self, route: &'static str, times: u32, kind: FaultKind) {
        self.bench.sandbox.inject(Fault { route, times, kind });
    }
}

fn seller() -> AccountKey {
    AccountKey { platform: Platform::Amazon, account: seed::SELLER.into() }
}

fn is_about(heard: &[(Event, Level, String)], expected: &[(Event, Level, &str)]) -> bool {
    heard.len() == expected.len()
        && heard
            .iter()
            .zip(expected)
            .all(|(heard, expected)| (heard.0, heard.1) == (expected.0, expected.1) && heard.2.contains(expected.2))
}

#[tokio::test]
async fn each_night_every_refresh_token_begins_anew() {
    let desk = Desk::new().await;
    for night in 0..40 {
        assert_eq!(desk.refresh().await.unwrap().summary, "3 renewed");
        assert_eq!(desk.token(seed::SHOPS[0]).await.generation, night + 1);
        desk.bench.clock.advance(DAY);
    }
    assert_eq!(desk.heard(), []);
    assert!(desk.bench.calls(TOKEN).iter().all(|call| call.status == 200), "40 days, and none of them ended");
}

#[tokio::test]
async fn another_attempt_renews_only_what_failed() {
    let desk = Desk::new().await;
    desk.refresh().await.unwrap();
    desk.bench.clock.advance(DAY);
    let ctx = AttemptContext { notifier: desk.told.clone(), ..desk.bench.context(Access::Live(desk.bench.admit().await)) };
    let handler = RefreshTokens::new(Arc::clone(&desk.market), Arc::new(desk.bench.store.clone()));
    desk.trouble(TOKEN, 2, FaultKind::Status(503));
    let error = handler.run(&ctx).await.unwrap_err();
    assert!(matches!(error, HandlerError::Transient { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.starts_with("2 renewed; base_account_1 failed: BASE's login: the answer was 503"), "{message}");
    desk.bench.clock.advance(MINUTE);
    assert_eq!(handler.run(&ctx).await.unwrap().summary, "3 renewed");
    assert_eq!(desk.bench.calls(TOKEN).iter().map(|call| call.status).collect::<Vec<_>>(), [200, 200, 503, 503, 200, 200]);
    assert_eq!(desk.heard(), [], "nothing that a person would have to see to");
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_renew_and_renews_nothing() {
    let desk = Desk::new().await;
    desk.refresh().await.unwrap();
    desk.bench.clock.advance(3 * DAY);
    let calls = desk.bench.sandbox.ledger().len();
    let plan = Plan::default();
    let handler = RefreshTokens::new(Arc::clone(&desk.market), Arc::new(desk.bench.store.clone()));
    assert_eq!(desk.run(&handler, Access::Dry(plan.clone())).await.unwrap().summary, "0 renewed, 3 would be");
    assert_eq!(desk.bench.sandbox.ledger().len(), calls);
    let planned = plan.planned();
    assert_eq!(planned.len(), 3);
    assert!(planned.iter().all(|one| one.kind == "renew" && one.reason.ends_with("3 d old")), "{planned:?}");
}

#[tokio::test]
async fn people_hear_of_a_refresh_token_that_grows_old_and_cannot_be_renewed() {
    let desk = Desk::new().await;
    desk.refresh().await.unwrap();
    for day in 1..=26 {
        desk.bench.clock.advance(DAY);
        desk.trouble(TOKEN, 4, FaultKind::Status(503));
        desk.refresh().await.unwrap_err();
        desk.bench.sandbox.clear_faults();
        let heard = desk.heard();
        let expected = if day < 25 { 0 } else { 2 };
        assert_eq!(heard.len(), expected, "day {day}: {heard:?}");
        assert!(heard.iter().all(|(event, _, text)| *event == Event::TokenEnding && text.contains("ends at 2026-04-29T")), "{heard:?}");
    }
    desk.bench.clock.advance(DAY);
    assert_eq!(desk.refresh().await.unwrap().summary, "3 renewed");
}

#[tokio::test]
async fn acceptance_12_a_dead_refresh_token_parks_the_shop_and_is_told_once() {
    let desk = Desk::new().await;
    let [first, second] = seed::SHOPS;
    desk.refresh().await.unwrap();
    desk.bench.clock.advance(DAY);
    desk.bench.sandbox.revoke(first);
    let error = desk.refresh().await.unwrap_err();
    assert!(
        matches!(&error, HandlerError::Permanent { message } if message.starts_with("2 renewed; base_account_1 failed: ")),
        "{error:?}"
    );
    let heard = desk.heard();
    assert!(is_about(&heard, &[(Event::Parked, Level::Alert, "`taskrun accounts login base_account_1`")]), "{heard:?}");
    let parks = desk.parks(&shop_key(first)).await;
    assert_eq!(parks.iter().map(|park| (park.cause, park.until)).collect::<Vec<_>>(), [(Parked::Login, None)]);
    let calls = desk.bench.calls(TOKEN).len();
    desk.bench.clock.advance(DAY);
    assert_eq!(desk.refresh().await.unwrap().summary, "2 renewed, waiting for a person's login: base_account_1");
    assert_eq!(desk.heard(), [], "once");
    assert_eq!(desk.bench.calls(TOKEN).len() - calls, 1, "the other shop's");
    assert_eq!(desk.token(second).await.generation, 3);
}

#[tokio::test]
async fn while_the_access_token_is_good_a_shop_is_not_parked_for_its_refresh_token() {
    let desk = Desk::new().await;
    let [first, _] = seed::SHOPS;
    desk.refresh().await.unwrap();
    desk.bench.clock.advance(30 * MINUTE);
    desk.bench.sandbox.revoke(first);
    desk.refresh().await.unwrap_err();
    let heard = desk.heard();
    assert!(is_about(&heard, &[(Event::TokenEnding, Level::Alert, "calls go on until 2026-03-30T01:00:00Z")]), "{heard:?}");
    assert_eq!(desk.parks(&shop_key(first)).await, []);
    assert_eq!(
        desk.market.shops()[first]
            .items(&desk.bench.context(Access::Dry(Plan::default())).caller(taskrun::shop::quota::Purpose::Sync))
            .await
            .unwrap()
            .len(),
        desk.bench.sandbox.items(first).len()
    );
}

#[tokio::test]
async fn a_paused_account_is_renewed_all_the_same() {
    let desk = Desk::new().await;
    let account = shop_key(seed::SHOPS[0]);
    let park = Park { account: account.clone(), cause: Parked::Paused, detail: "stocktaking".into(), since: desk.now(), until: None };
    desk.bench.store.park(park).await.unwrap();
    assert_eq!(desk.refresh().await.unwrap().summary, "3 renewed");
    assert_eq!(desk.parks(&account).await.len(), 1);
    assert_eq!(desk.validate().await.unwrap().summary, "3 valid");
}

#[tokio::test]
async fn credentials_that_work_are_valid_and_nobody_is_told() {
    let desk = Desk::new().await;
    for _ in 0..3 {
        assert_eq!(desk.validate().await.unwrap().summary, "3 valid");
        desk.bench.clock.advance(240 * MINUTE);
    }
    assert_eq!(desk.heard(), []);
    assert_eq!(desk.bench.calls(PARTICIPATIONS).len(), 3);
    assert_eq!(desk.bench.calls("/1/users/me").len(), 6);
    let checks = desk.bench.store.verdicts().await.unwrap();
    assert!(checks.iter().all(|check| check.verdict == Verdict::Valid && check.since < check.checked_at));
}

#[tokio::test]
async fn a_sellers_standing_is_told_when_it_changes() {
    let desk = Desk::new().await;
    for (participation, verdict, told) in [
        (Participation::Suspended, Verdict::Suspended, Some(Level::Alert)),
        (Participation::Suspended, Verdict::Suspended, None),
        (Participation::Missing, Verdict::Inactive, Some(Level::Warning)),
        (Participation::Not, Verdict::Inactive, None),
        (Participation::Participating, Verdict::Valid, Some(Level::Info)),
    ] {
        desk.bench.sandbox.set_switch(seed::SELLER, Switch { participation: Some(participation), ..Switch::default() });
        desk.validate().await.unwrap();
        assert_eq!(desk.verdict(seed::SELLER).await, verdict);
        let heard: Vec<_> = desk.heard().iter().map(|(event, level, _)| (*event, *level)).collect();
        assert_eq!(heard, told.map(|level| (Event::Credentials, level)).into_iter().collect::<Vec<_>>(), "{participation:?}");
    }
    assert_eq!(desk.parks(&seller()).await, []);
}

#[tokio::test]
async fn an_account_that_is_refused_is_parked_and_told_once() {
    let desk = Desk::new().await;
    let [first, _] = seed::SHOPS;
    desk.bench.sandbox.set_switch(seed::SELLER, Switch { restricted: Some(Restricted::Role), ..Switch::default() });
    desk.bench.sandbox.set_switch(first, Switch { restricted: Some(Restricted::All), ..Switch::default() });
    for round in 0..3 {
        desk.validate().await.unwrap();
        for account in [seed::SELLER, first] {
            assert_eq!(desk.verdict(account).await, Verdict::Denied);
        }
        let heard = desk.heard();
        let expected = [(Event::Parked, Level::Alert, "amazon_main: "), (Event::Parked, Level::Alert, "base_account_1: ")];
        assert!(is_about(&heard, &expected[..if round == 0 { 2 } else { 0 }]), "{heard:?}");
    }
    for account in [seller(), shop_key(first)] {
        assert_eq!(desk.parks(&account).await.iter().map(|park| park.cause).collect::<Vec<_>>(), [Parked::Restricted]);
    }
    assert_eq!(desk.verdict(seed::SHOPS[1]).await, Verdict::Valid);
}

#[tokio::test]
async fn an_applications_own_key_is_told_once_for_all_its_accounts() {
    let desk = Desk::new().await;
    let mut wrong = marketplaces(&desk.bench.sandbox.endpoint());
    wrong.base.as_mut().unwrap().client_secret = Secret::new("canary-secret");
    wrong.amazon.as_mut().unwrap().client_secret = Secret::new("canary-secret");
    let shops: Arc<dyn ShopStore> = Arc::new(desk.bench.store.clone());
    let desk = Desk { market: Arc::new(Market::connect(&wrong, &accounts(), &shops)), ..desk };
    for round in 0..2 {
        desk.validate().await.unwrap();
        let heard = desk.heard();
        let expected = [
            (Event::Credentials, Level::Alert, "none of its accounts can work (amazon_main)"),
            (Event::Credentials, Level::Alert, "none of its accounts can work (base_account_1, base_account_2)"),
        ];
        assert!(is_about(&heard, &expected[..if round == 0 { 2 } else { 0 }]), "{heard:?}");
        desk.bench.clock.advance(10 * MINUTE);
    }
    for account in [seed::SELLER, seed::SHOPS[0], seed::SHOPS[1]] {
        assert_eq!(desk.verdict(account).await, Verdict::Application);
    }
}

#[tokio::test]
async fn what_could_not_be_told_leaves_the_last_verdict() {
    let desk = Desk::new().await;
    desk.bench.sandbox.set_switch(seed::SELLER, Switch { participation: Some(Participation::Suspended), ..Switch::default() });
    desk.validate().await.unwrap();
    desk.heard();
    for (route, status) in [(PARTICIPATIONS, 429), (PARTICIPATIONS, 503), (LWA, 503)] {
        desk.trouble(route, 20, FaultKind::Status(status));
        let error = desk.validate().await.unwrap_err();
        assert!(
            matches!(&error, HandlerError::Transient { message, .. } if message.starts_with("2 valid; amazon_main could not be told: ")),
            "{error:?}"
        );
        desk.bench.sandbox.clear_faults();
        assert_eq!(desk.verdict(seed::SELLER).await, Verdict::Suspended);
        assert_eq!(desk.heard(), []);
        desk.bench.clock.advance(240 * MINUTE);
    }
}

#[tokio::test]
async fn a_secret_that_is_too_old_is_the_applications_trouble() {
    let desk = Desk::new().await;
    desk.bench.sandbox.set_switch(seed::SELLER, Switch { restricted: Some(Restricted::Secret), ..Switch::default() });
    desk.validate().await.unwrap();
    assert_eq!(desk.verdict(seed::SELLER).await, Verdict::Application);
    assert_eq!(desk.bench.calls(PARTICIPATIONS).len(), 1, "an access token that is renewed again and again would not help");
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_renewed_on_the_way() {
    let desk = Desk::new().await;
    desk.refresh().await.unwrap();
    desk.bench.sandbox.expire(seed::SHOPS[0]);
    assert_eq!(desk.validate().await.unwrap().summary, "3 valid");
    assert_eq!(desk.token(seed::SHOPS[0]).await.generation, 2);
}

#[tokio::test]
async fn a_shop_that_did_not_allow_all_that_is_needed_waits_for_a_login() {
    let desk = Desk::new().await;
    let [first, second] = seed::SHOPS;
    let clock = Arc::clone(&desk.bench.clock);
    let mut world = World::practice(20, clock.ms());
    world.accounts.iter_mut().filter(|account| account.name == first).for_each(|account| account.scopes = "read_users".to_owned());
    let listen = "127.0.0.1:0".parse().unwrap();
    let now = Arc::new(move || clock.ms());
    let options = SandboxOptions { dir: desk.bench.dir.path().join("narrow"), listen, items: 20, now };
    let sandbox = sandbox::start_with(options, world).await.unwrap();
    let shops: Arc<dyn ShopStore> = Arc::new(desk.bench.store.clone());
    let desk = Desk { market: Arc::new(Market::connect(&marketplaces(&sandbox.endpoint()), &accounts(), &shops)), ..desk };
    desk.validate().await.unwrap();
    assert_eq!((desk.verdict(first).await, desk.verdict(second).await), (Verdict::Scope, Verdict::Valid));
    let heard = desk.heard();
    assert!(is_about(&heard, &[(Event::Parked, Level::Alert, "`taskrun accounts login base_account_1`")]), "{heard:?}");
    assert_eq!(desk.parks(&shop_key(first)).await[0].cause, Parked::Login);
}
