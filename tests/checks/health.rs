//! `health_check`: what is well, what is not, and who hears of it.
use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use taskrun::{
    clock::Clock as _,
    core::value::Secret,
    handlers::{Access, Handler as _, HandlerError, Plan, Report, health_check::HealthCheck},
    notify::{Event, Level},
    outbound::{Outbound, SystemResolver},
    sandbox::seed,
    store::{
        inspect::Inspect,
        shop::{ShopStore, TokenPair, Tokens as _},
    },
};

use super::{
    bench::{Bench, LIMIT, MINUTE, Told, accounts, shop_key},
    file::{fault, task},
};

const HOUR: i64 = 60 * MINUTE;

struct Desk {
    bench: Bench,
    told: Arc<Told>,
}

impl Desk {
    async fn new() -> Self {
        let (bench, told) = Bench::with_items(20).await.told();
        bench.live().await.result.unwrap();
        told.0.lock().unwrap().clear();
        Self { bench, told }
    }

    async fn look_as(&self, checks: &str, access: Access) -> Result<Report, HandlerError> {
        let endpoint = self.bench.sandbox.endpoint();
        let hosts = format!("http_hosts: [{{ host: \"{}\", private: true }}]", endpoint.trim_start_matches("http://"));
        let mut config = task("health_check", &hosts, &format!("checks: [{}]", checks.replace("HERE", &endpoint))).unwrap();
        config.accounts = accounts();
        let instance = config.instances.values().next().unwrap().clone();
        let mut ctx = self.bench.context(access);
        ctx.params = instance.with.clone();
        // A task that has a past, whose runs are the bench's.
        config.instances.insert("sync_inventory".into(), Arc::clone(&instance));
        let shop: Arc<dyn ShopStore> = Arc::new(self.bench.store.clone());
        let store: Arc<dyn Inspect> = Arc::new(self.bench.store.clone());
        let handler = HealthCheck::new(&config, Outbound::new(config.http_hosts.clone(), Arc::new(SystemResolver)), shop, store);
        tokio::time::timeout(LIMIT, handler.run(&ctx)).await.expect("it takes too long")
    }

    async fn look(&self, checks: &str) -> Result<Report, HandlerError> {
        self.look_as(checks, Access::Live(self.bench.admit().await)).await
    }

    async fn error(&self, checks: &str) -> String {
        self.look(checks).await.expect_err("it should not be well").to_string()
    }

    fn heard(&self) -> Vec<(Level, String)> {
        let told = std::mem::take(&mut *self.told.0.lock().unwrap());
        told.into_iter()
            .inspect(|notice| assert_eq!(notice.event, Event::Health))
            .map(|notice| (notice.level, notice.to_string()))
            .collect()
    }

    fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.bench.dir.path().join("taskrun.db")).unwrap().execute_batch(sql).unwrap();
    }
}

/// One of each kind.
const ALL: &str = "{url: HERE/, expect: {status: [200-499]}}, {command: [\"true\"]}, {queue: upload, max_due: 10, max_age: 2h, max_dead: 0}, {data_age: 4h}, \
                   {disk: ., min_free: 1KB}, {store: true}, {tokens: 5d}";

#[tokio::test]
async fn all_is_well_and_nobody_hears_of_it() {
    let desk = Desk::new().await;
    assert_eq!(desk.look(ALL).await.unwrap().summary, "OK: all 7 checks passed");
    assert_eq!(desk.heard(), []);
}

#[tokio::test]
async fn each_kind_of_trouble_is_named_with_its_number() {
    let desk = Desk::new().await;
    let shop = seed::SHOPS[0];
    desk.bench.clock.advance(5 * HOUR);
    let now = desk.bench.clock.ms();
    desk.sql(&format!(
        "INSERT INTO queue (kind, platform, account, subject, state, priority, scheduled_at_ms, created_at_ms, ended_at_ms, error_code, error_text)
           VALUES ('upload', 'base', '{shop}', 'B0TEST0001', 'pending', 5, {}, 1, NULL, NULL, NULL),
                  ('upload', 'base', '{shop}', 'B0TEST0002', 'pending', 5, {now}, 1, NULL, NULL, NULL),
                  ('upload', 'base', '{shop}', 'B0TEST0003', 'failed', 5, 1, 1, 2, 'x', 'y')",
        now - 3 * HOUR
    ));
    for (check, expected) in [
        ("{url: HERE/}", "the answer was 403, not 200-299"),
        ("{url: \"HERE/?key=${TOKEN}\", name: front, timeout: 1s}", "front: the answer was 403"),
        ("{command: [\"false\"]}", "command false: exit status 1"),
        ("{command: [sh, -c, \"echo no room >&2; exit 3\"], name: script}", "script: exit status 3: no room"),
        ("{command: [no-such-program]}", "failed to start `no-such-program`"),
        ("{queue: upload, max_due: 1}", "queue upload: 2 items are due, at most 1 should be"),
        ("{queue: upload, max_age: 2h}", "the oldest item is due for 3 h, at most 2h it should be"),
        ("{queue: upload, max_dead: 0}", "1 items wait for a person, at most 0 should"),
        ("{data_age: 4h}", "the offers of 20 of 20 listed products are older than 4h (0 never read, the oldest 5 h)"),
        ("{disk: ., min_free: 1000000GB}", "at least 1000000000 MB should be"),
        ("{disk: no/such/folder, min_free: 1KB}", "can't be looked at"),
        ("{task: sync_inventory, max_since_success: 4h}", "sync_inventory has never succeeded"),
        ("{task: nobody, max_since_success: 4h}", "the file has no such task"),
    ] {
        let error = desk.error(check).await;
        assert!(error.starts_with("ERROR: 1 of 1 checks failed: ") && error.contains(expected), "{check}: {error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn a_login_that_ends_soon_or_was_refused_is_named() {
    let desk = Desk::new().await;
    let [first, second] = seed::SHOPS;
    let now = desk.bench.clock.now_wall();
    let pair = || TokenPair { access: Secret::new("a"), expires_at: now, refresh: Some(Secret::new("b")) };
    for shop in seed::SHOPS {
        desk.bench.store.log_in(shop_key(shop), None, pair(), now).await.unwrap();
    }
    desk.bench.clock.advance(26 * 24 * HOUR);
    desk.sql(&format!("UPDATE tokens SET refused = 'invalid_grant' WHERE account = '{second}'"));
    let error = desk.error("{tokens: 5d}").await;
    assert!(error.contains(&format!("the login of {first} ends in 4 d")), "{error}");
    assert!(error.contains(&format!("the login of {second} was refused (invalid_grant); `taskrun accounts login {second}`")), "{error}");
}

#[tokio::test]
async fn people_hear_of_a_check_that_turns_and_not_each_time() {
    let desk = Desk::new().await;
    let checks = "{command: [sh, -c, \"test ! -e bad\"], name: script}, {store: true}";
    let bad = desk.bench.dir.path().join("bad");
    desk.look(checks).await.unwrap();
    std::fs::write(&bad, "").unwrap();
    for _ in 0..3 {
        desk.error(checks).await;
        desk.bench.clock.advance(10 * MINUTE);
    }
    let heard = desk.heard();
    assert!(matches!(&heard[..], [(Level::Alert, text)] if text == "sync_inventory: script: exit status 1"), "{heard:?}");
    std::fs::remove_file(&bad).unwrap();
    desk.look(checks).await.unwrap();
    desk.look(checks).await.unwrap();
    let heard = desk.heard();
    assert!(matches!(&heard[..], [(Level::Info, text)] if text.contains("it is well again")), "{heard:?}");
}

#[tokio::test]
async fn a_check_that_hangs_is_stopped_and_delays_no_other() {
    let desk = Desk::new().await;
    let marker = desk.bench.dir.path().join("done");
    let checks = format!(
        "{{command: [sh, -c, \"sleep 600 & sleep 600\"], name: hangs, timeout: 400ms}}, {{command: [sh, -c, \"sleep 1; touch {}\"], name: slow}}, {{command: [\"true\"]}}",
        marker.display()
    );
    let error = tokio::time::timeout(Duration::from_secs(20), desk.error(&checks)).await.expect("it takes as long as the longest");
    assert!(error.starts_with("ERROR: 1 of 3 checks failed: hangs: it was stopped after 400ms"), "{error}");
    assert!(marker.exists(), "the end of one program ended no other");
}

#[tokio::test]
async fn a_dry_run_starts_no_program_and_keeps_nothing() {
    let desk = Desk::new().await;
    let plan = Plan::default();
    let checks = "{command: [touch, made]}, {queue: upload, max_due: 0}, {data_age: 1h}";
    desk.bench.clock.advance(2 * HOUR);
    let ended = desk.look_as(checks, Access::Dry(plan.clone())).await;
    assert!(ended.unwrap_err().to_string().starts_with("ERROR: 1 of 3 checks failed: data_age"));
    assert!(plan.planned().len() == 1 && !desk.bench.dir.path().join("made").exists());
    assert_eq!(desk.heard(), []);
    desk.error("{data_age: 1h}").await;
    assert_eq!(desk.heard().len(), 1, "the dry run has not used it up");
}

#[tokio::test]
async fn a_task_that_succeeded_lately_is_well() {
    let desk = Desk::new().await;
    let at = desk.bench.clock.now().wall.saturating_sub(SignedDuration::from_hours(2)).unwrap().as_millisecond();
    desk.bench.admit().await;
    desk.sql(&format!(
        "UPDATE runs SET state = 'ended', run_end = 'succeeded', process = NULL, ended_at_ms = {at} WHERE id = (SELECT min(id) FROM runs)"
    ));
    let check = |hours: u32| format!("{{task: sync_inventory, max_since_success: {hours}h}}");
    desk.look(&check(3)).await.unwrap();
    let error = desk.error(&check(1)).await;
    assert!(error.contains("sync_inventory succeeded 2 h ago, at most 1h it should be"), "{error}");
}

#[test]
fn what_is_wrong_with_checks_is_a_fault_when_the_file_is_loaded() {
    for (checks, expected) in [
        ("", "there is no check"),
        ("{name: a}", "looks at nothing"),
        ("{store: true, tokens: 5d}", "looks at `store` already"),
        ("{store: true, max_due: 5}", "`max_due` has no meaning for a check of `store`"),
        ("{store: false}", "looks at nothing"),
        ("{disk: .}", "needs `min_free`"),
        ("{task: a}", "needs `max_since_success`"),
        ("{queue: nothing, max_due: 5}", "there is no such work"),
        ("{queue: upload}", "allows everything"),
        ("{queue: upload, account: nobody, max_due: 5}", "there is no account `nobody`"),
        ("{url: \"https://a.example/\"}", "may be called"),
        ("{command: \"ls -l\"}", "nothing takes it apart"),
        ("{url: \"https://good.example/\", expect: {status: [0]}}", "is no status"),
    ] {
        let told = fault(task("health_check", "http_hosts: [good.example]", &format!("checks: [{checks}]")));
        assert!(told.contains(expected), "{checks}: {told}");
    }
}
