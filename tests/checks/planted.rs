//! `verify`: drift of each kind is planted, found and named; a shop in order gives a clean report; a fault is never drift.
use std::{collections::BTreeMap, sync::Arc};

use taskrun::{
    config::Account,
    handlers::{Access, AttemptContext, Handler as _, HandlerError, Plan, Report, verify::Verify},
    marketplace::Market,
    notify::{Event, Level},
    sandbox::{Fault, FaultKind, Item, seed},
    shop::product::Asin,
    store::{
        inspect::Inspect,
        shop::{Catalogue as _, ShopStore},
    },
};

use super::{
    bench::{Bench, LIMIT, MINUTE, Told, accounts, marketplaces, shop_key},
    file::task,
};

const SHOP: &str = seed::SHOPS[0];
const LIST: &str = "/1/items";
const HOUR: i64 = 60 * MINUTE;

struct Desk {
    bench: Bench,
    handler: Verify,
    told: Arc<Told>,
}

impl Desk {
    /// Shops in order: everything was synced once.
    async fn in_order(items: u32) -> Self {
        let desk = Self::never_synced(items).await;
        desk.bench.live().await.result.unwrap();
        desk.told.0.lock().unwrap().clear();
        desk
    }

    async fn never_synced(items: u32) -> Self {
        let (bench, told) = Bench::with_items(items).await.told();
        let handler = handler(&bench, accounts());
        Self { bench, handler, told }
    }

    async fn with(&self, with: &str, access: Access) -> Result<Report, HandlerError> {
        let mut ctx = self.bench.context(access);
        ctx.params = task("verify", "", with).unwrap().instances[&"t".into()].with.clone();
        self.attempt(&ctx).await
    }

    async fn attempt(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        tokio::time::timeout(LIMIT, self.handler.run(ctx)).await.expect("it takes too long")
    }

    async fn verify(&self) -> Result<Report, HandlerError> {
        self.with("", Access::Live(self.bench.admit().await)).await
    }

    /// What a dry run would mend: target, change and reason.
    async fn plan(&self) -> Vec<String> {
        let plan = Plan::default();
        self.with("repair: plan", Access::Dry(plan.clone())).await.unwrap();
        plan.planned().into_iter().map(|one| format!("{} | {} | {}", one.target, one.change, one.reason)).collect()
    }

    fn items(&self) -> Vec<Item> {
        self.bench.sandbox.items(SHOP).into_iter().filter(|item| item.visible).collect()
    }

    fn all(&self) -> usize {
        seed::SHOPS.iter().map(|shop| self.bench.sandbox.items(shop).len()).sum()
    }

    fn sql(&self, sql: &str) {
        let conn = rusqlite::Connection::open(self.bench.dir.path().join("taskrun.db")).unwrap();
        conn.execute_batch(sql).unwrap();
    }

    fn heard(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut *self.told.0.lock().unwrap())
            .into_iter()
            .filter(|notice| notice.event == Event::Drift)
            .map(|notice| (notice.level, notice.text))
            .collect()
    }
}

fn handler(bench: &Bench, accounts: BTreeMap<Arc<str>, Account>) -> Verify {
    let shop: Arc<dyn ShopStore> = Arc::new(bench.store.clone());
    let store: Arc<dyn Inspect> = Arc::new(bench.store.clone());
    let market = Arc::new(Market::connect(&marketplaces(&bench.sandbox.endpoint()), &accounts, &shop));
    let mut config = task("verify", "", "").unwrap();
    config.accounts = accounts;
    Verify::new(&config, market, shop, store)
}

#[tokio::test]
async fn shops_in_order_give_a_clean_report_and_nothing_is_written() {
    let desk = Desk::in_order(120).await;
    let writes = desk.bench.writes().len();
    assert_eq!(desk.verify().await.unwrap().summary, format!("all agrees; {} items of shops were looked at", desk.all()));
    assert_eq!(desk.plan().await, Vec::<String>::new());
    assert_eq!((desk.bench.writes().len(), desk.heard()), (writes, vec![]));
}

#[tokio::test]
async fn what_a_shop_has_otherwise_is_found_and_named() {
    let desk = Desk::in_order(120).await;
    let items = desk.items();
    let sandbox = &desk.bench.sandbox;
    let [price, hidden, number, gone] = [&items[0], &items[1], &items[2], &items[3]];
    sandbox.put_item(&Item { price: price.price + 10, ..price.clone() });
    sandbox.put_item(&Item { visible: false, ..hidden.clone() });
    sandbox.put_item(&Item { identifier: Some("other".to_owned()), ..number.clone() });
    sandbox.remove_item(gone.item_id);
    sandbox.put_item(&Item { item_id: 900_001, identifier: Some("nobody's".to_owned()), ..items[4].clone() });
    sandbox.put_item(&Item { item_id: 900_002, ..items[5].clone() });
    for (item, left) in [(price, price.price), (hidden, hidden.price)] {
        desk.sql(&format!("UPDATE listings SET price_yen = {left}, visible = 1 WHERE account = '{SHOP}' AND item_id = '{}'", item.item_id));
    }
    let writes = desk.bench.writes().len();
    let summary = desk.verify().await.unwrap().summary;
    // The second of a double is a stranger only where its number is nobody's.
    assert!(summary.starts_with("6 findings (1 gone, 1 stranger, 1 double, 1 sku, 1 price, 1 visibility);"), "{summary}");
    let heard = desk.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].0 == Level::Alert && heard[0].1.starts_with("1 products are listed twice"), "{heard:?}");
    let plan = desk.plan().await;
    let said = |parts: &[&str]| assert!(plan.iter().any(|line| parts.iter().all(|part| line.contains(part))), "{parts:?}: {plan:#?}");
    said(&[
        &price.item_id.to_string(),
        "sync_inventory",
        &format!("the shop asks {} yen, and {} was written", price.price + 10, price.price),
    ]);
    said(&[&hidden.item_id.to_string(), "it is hidden at the shop, and was left visible"]);
    said(&[&number.item_id.to_string(), "its number is other at the shop"]);
    said(&[&gone.item_id.to_string(), "taskrun queue add", "the shop does not have it"]);
    said(&["900001", "nobody's"]);
    said(&[&items[5].identifier.clone().unwrap(), "900002", &format!("but {}", items[5].item_id)]);
    assert_eq!(desk.bench.writes().len(), writes, "it mends nothing");
    let summary =
        desk.with("ignore: [gone, stranger, double, sku, price, visibility]", Access::Dry(Plan::default())).await.unwrap().summary;
    assert!(summary.starts_with("all agrees"), "{summary}");
}

#[tokio::test]
async fn pictures_that_were_sent_and_are_not_there_are_missed() {
    let desk = Desk::in_order(20).await;
    let item = desk.items().remove(0);
    let listings = desk.bench.store.listings(shop_key(SHOP)).await.unwrap();
    let asin = listings.iter().find(|listing| listing.item_id.as_deref() == Some(&*item.item_id.to_string())).unwrap().asin.clone();
    desk.sql(&format!(
        "INSERT INTO queue (id, kind, platform, account, subject, state, priority, scheduled_at_ms, item_id, created_at_ms, ended_at_ms)
           VALUES (7, 'upload', 'base', '{SHOP}', '{asin}', 'success', 5, 1, '{}', 1, 2);
         INSERT INTO queue_steps VALUES (7, 'create', 0, 1, 2), (7, 'image', 1, 1, 2), (7, 'image', 2, 1, 2), (7, 'image', 3, 1, NULL)",
        item.item_id
    ));
    let plan = desk.plan().await;
    assert!(plan.len() == 1 && plan[0].contains("0 of the 2 pictures"), "{plan:?}");
}

#[tokio::test]
async fn what_has_come_apart_within_the_store_is_found_and_named() {
    let desk = Desk::in_order(20).await;
    let listings = desk.bench.store.listings(shop_key(SHOP)).await.unwrap();
    let asins: Vec<&Asin> = listings.iter().map(|listing| &listing.asin).collect();
    let [unlisted, unqueued, stuck, open] = [asins[0], asins[1], asins[2], asins[3]];
    desk.sql(&format!(
        "PRAGMA foreign_keys = OFF;
         UPDATE listings SET state = 'pending', item_id = NULL WHERE account = '{SHOP}' AND asin IN ('{unlisted}', '{unqueued}');
         INSERT INTO queue (id, kind, platform, account, subject, state, priority, scheduled_at_ms, item_id, created_at_ms, ended_at_ms, run, generation, lease_until_ms)
           VALUES (1, 'upload', 'base', '{SHOP}', '{unlisted}', 'success', 5, 1, '77', 1, 2, NULL, NULL, NULL),
                  (2, 'upload', 'base', '{SHOP}', '{stuck}', 'uploading', 5, 1, NULL, 1, NULL, 1, 1, 1),
                  (3, 'upload', 'base', '{SHOP}', '{open}', 'uncertain', 5, 1, NULL, 1, NULL, NULL, NULL, NULL),
                  (4, 'upload', 'base', '{SHOP}', 'B0NOBODY00', 'pending', 5, 1, NULL, 1, NULL, NULL, NULL, NULL),
                  (5, 'upload', 'base', 'old_shop', '{open}', 'pending', 5, 1, NULL, 1, NULL, NULL, NULL, NULL);
         INSERT INTO supplies (account, sku, source, source_item, state, wanted, pushed, changed_at_ms, created_at_ms)
           VALUES ('amazon_main', 'S-1', 'yahoo', 'y1', 'backed', 1, 0, 1, {now}), ('amazon_main', 'S-2', 'yahoo', 'y2', 'backed', 1, 1, 1, 1);
         INSERT INTO queue_steps VALUES (3, 'create', 0, 1, NULL);
         INSERT INTO intents (instance, run, platform, account, asin, item_id, price_yen, created_at_ms)
           VALUES ('sync_inventory', 1, 'base', '{SHOP}', '{open}', '501', 100, 1);",
        now = desk.bench.clock.ms()
    ));
    desk.bench.clock.advance(2 * HOUR);
    let plan = Plan::default();
    let summary = desk.with("repair: plan, shops: false", Access::Dry(plan.clone())).await.unwrap().summary;
    assert!(
        summary.starts_with(
            "9 findings (1 unlisted, 1 unqueued, 1 stuck, 1 open_create, 1 open_edit, 1 unknown_product, 1 unknown_account, 2 supply)"
        ),
        "{summary}"
    );
    let planned = plan.planned();
    let said = |parts: &[&str]| {
        assert!(planned.iter().any(|one| parts.iter().all(|part| format!("{one:?}").contains(part))), "{parts:?}: {planned:#?}");
    };
    said(&["queue item 1", "listed as item 77", "is pending"]);
    said(&[unqueued.as_str(), &format!("taskrun queue add {unqueued} --account {SHOP}")]);
    said(&["upload item 2", "run 1 has it in hand"]);
    said(&["queue item 3", "taskrun queue retry 3"]);
    said(&["item 501", "answer was lost"]);
    said(&["queue item 4", "taskrun queue cancel 4"]);
    said(&["S-1", "told 0", "told 1", "update_feed"]);
    said(&["S-2", "yahoo still has y2", "check_items"]);
    said(&["old_shop", "0 listings and 1 items of work"]);
}

#[tokio::test]
async fn a_damaged_store_is_told_at_once() {
    let desk = Desk::in_order(20).await;
    desk.sql("PRAGMA foreign_keys = OFF; INSERT INTO queue_steps VALUES (99, 'create', 0, 1, NULL)");
    let error = desk.verify().await.unwrap_err();
    assert!(matches!(&error, HandlerError::Permanent { message } if message.contains("queue_steps names a row of queue")), "{error:?}");
    assert!(matches!(&desk.heard()[..], [(Level::Alert, text)] if text.contains("restore")));
}

#[tokio::test]
async fn a_fault_is_never_drift() {
    let desk = Desk::in_order(40).await;
    let kinds = [
        FaultKind::Status(500),
        FaultKind::Status(429),
        FaultKind::Html,
        FaultKind::Page,
        FaultKind::Empty,
        FaultKind::Error200,
        FaultKind::Drop,
        FaultKind::Cut,
        FaultKind::Mistyped,
    ];
    for kind in kinds {
        desk.bench.sandbox.inject(Fault { route: LIST, times: 100, kind });
        let ended = desk.verify().await;
        let error = ended.expect_err("nothing can be told");
        assert!(matches!(error, HandlerError::Transient { .. } | HandlerError::NotYet { .. }), "{kind:?}: {error:?}");
        assert!(error.to_string().starts_with("all agrees; 0 items"), "{kind:?}: {error}");
        assert_eq!(desk.heard(), [], "{kind:?}");
        desk.bench.sandbox.clear_faults();
        desk.bench.clock.advance(2 * HOUR);
    }
    assert!(desk.verify().await.unwrap().summary.starts_with(&format!("all agrees; {} items", desk.all())));
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_not_gone() {
    let desk = Desk::in_order(40).await;
    let gone = desk.items().remove(0);
    desk.bench.sandbox.remove_item(gone.item_id);
    desk.bench.sandbox.inject(Fault { route: "/1/items/detail", times: 100, kind: FaultKind::Status(500) });
    let error = desk.verify().await.unwrap_err().to_string();
    assert!(error.starts_with("all agrees") && error.contains("not all of it was read"), "{error}");
    desk.bench.sandbox.clear_faults();
    assert!(desk.verify().await.unwrap().summary.starts_with("1 findings (1 gone)"));
}

#[tokio::test]
async fn at_its_limit_it_waits_and_goes_on_where_it_was() {
    let mut desk = Desk::never_synced(500).await;
    let mut few = accounts();
    few.get_mut(SHOP).unwrap().calls_per_hour = Some(3);
    desk.handler = handler(&desk.bench, few);
    desk.bench.clock.advance(HOUR);
    let before = desk.bench.calls(LIST).len();
    let mut ctx = desk.bench.context(Access::Live(desk.bench.admit().await));
    // Of three calls an hour one is kept for syncs.
    let HandlerError::NotYet { until, message } = desk.attempt(&ctx).await.unwrap_err() else { panic!("it should wait") };
    assert!(message.contains("not all of it was read"), "{message}");
    assert_eq!(until.as_millisecond() / HOUR, desk.bench.clock.ms() / HOUR + 1, "until the next hour");
    let first = desk.bench.calls(LIST).len() - before;
    desk.bench.clock.advance(until.as_millisecond() - desk.bench.clock.ms());
    ctx.attempt = 2;
    let summary = desk.attempt(&ctx).await.unwrap().summary;
    assert!(summary.starts_with(&format!("all agrees; {} items", desk.all())), "{summary}");
    let pages: usize = seed::SHOPS.iter().map(|shop| desk.bench.sandbox.items(shop).len() / 100 + 1).sum();
    assert_eq!(desk.bench.calls(LIST).len() - before, pages, "no page twice ({first} at first)");
    assert_eq!(desk.heard(), []);
}
