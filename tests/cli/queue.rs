//! `taskrun queue`, as people and scripts meet it.
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use taskrun::store::sqlite::SqliteStore;

use crate::shop::{Done, Shop};

const TASKS: &str = r#"
timezone: Asia/Tokyo
marketplaces: { base: { client_id: x, client_secret: "${SECRET}" } }
accounts:
  shop_a: { platform: base, daily_limit: 3 }
  shop_b: { platform: base, daily_limit: 3 }
  shop_c: { platform: base, enabled: false }
tasks:
  hello: { handler: command, with: { run: ["echo", "hello"] } }
"#;

fn asin(n: usize) -> String {
    format!("B0{n:08}")
}

/// A shop with `n` whole products in its catalogue, and one without a title.
fn shop(n: usize) -> Shop {
    let shop = Shop::new(TASKS);
    fill(&shop, "state/taskrun.db", n);
    shop
}

fn fill(shop: &Shop, store: &str, n: usize) {
    drop(SqliteStore::open(&shop.file(store)).unwrap());
    let insert = "INSERT INTO products (asin, title, title_fetched_at_ms, cost_yen, cost_fetched_at_ms, created_at_ms)
        VALUES (?1, '水筒', 0, 1980, 0, 0)";
    let conn = rusqlite::Connection::open(shop.file(store)).unwrap();
    for n in 1..=n {
        conn.execute(insert, [asin(n)]).unwrap();
    }
    let images =
        "INSERT INTO product_texts (asin, images, images_fetched_at_ms) SELECT asin, '[\"https://example.com/1.jpg\"]', 0 FROM products";
    conn.execute(images, []).unwrap();
    conn.execute("INSERT INTO products (asin, created_at_ms) VALUES ('B0UNTITLED', 0)", []).unwrap();
}

/// Changes the store behind the command line's back.
fn sql(shop: &Shop, sql: &str) {
    rusqlite::Connection::open(shop.file("state/taskrun.db")).unwrap().execute_batch(sql).unwrap();
}

fn ids(done: &Done) -> Vec<i64> {
    done.json().as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect()
}

fn instant(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn an_empty_queue_says_so_and_no_store_is_made_by_looking() {
    let shop = Shop::new(TASKS);
    shop.run("queue list").ends(0).says(&["nothing in the queue yet"]);
    shop.run("queue stats --json").ends(0).prints(&["[]"]);
    shop.run("queue dead list").ends(0).says(&["no item is failed"]);
    shop.run("queue add B000000001 --dry-run").ends(75).says(&["B000000001: it is not in the catalogue"]);
    assert!(!shop.file("state").exists());
    shop.run("queue dead show 7").ends(2).says(&["there is no item 7"]);
}

#[test]
fn wrong_usage_names_what_is_wrong() {
    let shop = shop(1);
    for line in [
        "queue",
        "queue add",
        "queue add B000000001 --all-pending",
        "queue add b000000001",
        "queue add --all-pending --priority 21",
        "queue add --all-pending --priority 0",
        "queue add B000000001 --limit 3",
        "queue add B000000001 --again",
        "queue retry",
        "queue retry 1 --status failed",
        "queue hold --account shop_a",
        "queue list --status done",
        "queue reschedule",
        "queue reschedule --until 23:00 --now",
        "queue reschedule --every 0s",
        "queue review 1",
        "queue review --approve",
        "queue dead clear",
        "queue add B000000001 --platform amazon",
    ] {
        shop.run(line).ends(2);
    }
    shop.run("queue add B000000001 --platform amazon").ends(2).says(&["nothing is listed there"]);
    shop.run("work dead clear 7").ends(2).says(&["there is no job 7"]);
    shop.run("queue add B000000001 --account shop_d").ends(2).says(&["there is no account `shop_d`", "did you mean `shop_"]);
    shop.run("queue list --account shop_d").ends(2).says(&["did you mean"]);
}

#[test]
fn what_is_queued_is_told_by_day_and_account_and_each_refusal_with_its_reason() {
    let shop = shop(8);
    let dry = shop.run("queue add --all-pending --distribute --dry-run").ends(0).says(&[
        "8 items would be queued",
        "it takes 2 days",
        "B0UNTITLED: it has no title",
    ]);
    let lines: Vec<&str> = dry.out.lines().collect();
    assert_eq!(lines.len(), 5, "{dry:#?}");
    assert!(lines[0].starts_with("# day       account  items  first"), "{dry:#?}");
    assert!(lines[1].contains("  shop_a       3  ") && lines[4].contains("  shop_b       1  "), "{dry:#?}");
    assert_eq!(shop.run("queue list --json").ends(0).out, "[]\n", "nothing was changed");
    let json = shop.run("queue add --all-pending --distribute --json").ends(0).json();
    assert_eq!(
        (json["added"].as_array().unwrap().len(), &json["refused"][0]["reason"], &json["more"]),
        (8, &"no_title".into(), &false.into())
    );
    let first = instant(&json["added"][0]["scheduled_at"]).to_zoned(jiff::tz::TimeZone::get("Asia/Tokyo").unwrap());
    assert_eq!((first.hour(), first.minute()), (6, 0), "tomorrow's opening");
    // Again: nothing new, and nothing wrong.
    shop.run("queue add --all-pending").ends(0).says(&["0 items queued"]);
    shop.run(&format!("queue add {}", asin(1))).ends(0).says(&["it is in the queue of shop_a already: item 1 is `pending`"]);
    shop.run("queue add B0UNTITLED").ends(75).says(&["it has no title"]);
}

#[test]
fn a_scan_takes_as_many_as_it_was_told_and_says_that_there_are_more() {
    let shop = shop(4);
    let done = shop.run("queue add --all-pending --limit 2 --priority 20").ends(0).says(&["2 items queued", "there are more"]);
    assert!(done.out.contains("shop_a") && done.out.contains("shop_b"), "as many to one as to the other: {done:#?}");
    assert_eq!(ids(&shop.run("queue list --due --json").ends(0)), [1, 2], "due at once");
    shop.run("queue list --due").ends(0).prints(&["# id", "B000000001", "shop_a", "  20  pending"]);
}

#[test]
fn acceptance_13_what_the_rules_forbid_is_not_queued_and_what_is_doubtful_waits_for_a_person() {
    let shop = shop(3);
    sql(
        &shop,
        "UPDATE products SET title = '生ﾋﾞｰﾙ' WHERE asin = 'B000000001'; UPDATE products SET title = '第2類 かぜ薬' WHERE asin = 'B000000002'",
    );
    let rules = "version: 7\ngroups:\n  alcohol: { score: 100, words: [ビール] }\n  medicine: { score: 60, words: [第2類] }\n";
    std::fs::write(shop.file("rules.yaml"), rules).unwrap();
    shop.write(&format!("publish: {{ rules: rules.yaml }}\n{TASKS}"));
    let dry = shop.run("queue add --all-pending --dry-run").ends(0);
    let why = "not queued: B000000001: the rules forbid it: alcohol: ビール (100); version 7 of the rules";
    dry.says(&["2 items would be queued", "1 of them waits for a person first", why]);
    let json = shop.run("queue add --all-pending --json").ends(0).json();
    assert_eq!(json["refused"][0]["reason"], "prohibited");
    assert_eq!(json["added"][0]["review"], "medicine: 第2類 (60); version 7 of the rules");
    assert_eq!(json["added"][1]["review"], Value::Null);
    shop.run("queue review").ends(0).prints(&["B000000002", "review: medicine: 第2類 (60)"]);
    assert_eq!(ids(&shop.run("queue list --due --json")), [2], "what waits for a person is not due");
    shop.run("queue review 1 --approve").ends(0).says(&["item 1 is pending now"]);
    shop.run(&format!("queue add {}", asin(1))).ends(75).says(&["the rules forbid it"]);
    shop.write(&format!("publish: {{ rules: rules.yaml, min_images: 2 }}\n{TASKS}"));
    shop.run(&format!("queue add {} --account shop_a", asin(3))).ends(75).says(&["it has too few images"]);
}

#[test]
fn without_rules_whoever_queues_is_told_that_nothing_will_be_listed() {
    let shop = shop(1);
    shop.run("queue add --all-pending").ends(0).says(&["nothing will be listed until `publish: { rules: .. }` stands in tasks.yaml"]);
}

#[test]
fn where_one_shop_is_the_rule_no_other_account_gets_what_one_has() {
    let shop = shop(2);
    std::fs::write(shop.file("rules.yaml"), "version: 1\n").unwrap();
    shop.write(&format!("publish: {{ rules: rules.yaml, one_shop: true }}\n{TASKS}"));
    shop.run(&format!("queue add {} --account shop_a", asin(1))).ends(0).says(&["1 item queued"]);
    let done = shop.run(&format!("queue add {} --account shop_b", asin(1))).ends(0);
    done.says(&["0 items queued", "it is in the queue of shop_a already"]);
    shop.run("queue add --all-pending --account shop_b").ends(0).says(&["1 item queued"]);
    assert_eq!(shop.run("queue list --json").json().as_array().unwrap().len(), 2);
}

#[test]
fn acceptance_09_an_inactive_shop_gets_none() {
    let shop = shop(3);
    let json = shop.run("queue add --all-pending --json").ends(0).json();
    assert!(json["added"].as_array().unwrap().iter().all(|added| added["account"] != "shop_c"));
    shop.run(&format!("queue add {} --account shop_c", asin(1))).ends(75).says(&["`shop_c` is disabled in tasks.yaml"]);
    shop.run(&format!("queue add {} --account shop_b", asin(1))).ends(0).says(&["1 item queued"]);
    let accounts: Vec<_> = shop
        .run("queue list --json")
        .json()
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["asin"] == asin(1).as_str())
        .map(|item| item["account"].clone())
        .collect();
    assert_eq!(accounts, ["shop_b", "shop_a"], "in two shops it is two items");
}

#[test]
fn acceptance_10_a_failed_item_is_tried_again_and_cancelled_stays_cancelled() {
    let shop = shop(3);
    shop.run("queue add --all-pending --account shop_a").ends(0);
    sql(
        &shop,
        "UPDATE queue SET state = 'failed', ended_at_ms = 0, attempts = 3, error_code = 'timeout', error_text = 'no answer' WHERE id IN (1, 2)",
    );
    shop.run("queue cancel 3").ends(0).says(&["item 3 is cancelled now"]);
    let done = shop.run("queue add --all-pending").ends(0);
    done.says(&[
        "B000000001: it failed before (item 1); `taskrun queue retry 1` tries it again",
        "B000000003: it was cancelled before (item 3); `--again` brings it back",
    ]);
    shop.run("queue dead list").ends(0).prints(&["timeout: no answer", "3 attempts"]);
    shop.run("queue dead show 1").ends(0).prints(&["B000000001", "failed", "timeout: no answer"]);
    shop.run("queue dead requeue --all --code other").ends(0).says(&["no item is of that kind"]);
    shop.run("queue retry 1").ends(0).says(&["item 1 is pending now"]);
    shop.run("queue dead clear --all --account shop_a").ends(0).says(&["item 2 is cancelled now"]);
    shop.run("queue retry 1").ends(75).says(&["item 1 was not retried: it is `pending`, so it cannot be retried"]);
    let again = shop.run("queue add --all-pending --again --json").ends(0).json();
    assert_eq!(again["added"].as_array().unwrap().len(), 2);
    let json = shop.run("queue cancel 99 --json").ends(75).json();
    assert_eq!((&json[0]["done"], &json[0]["error"]), (&false.into(), &"there is no such item".into()));
}

#[test]
fn items_are_kept_back_released_and_decided_on() {
    let shop = shop(3);
    shop.run("queue add --all-pending --account shop_a").ends(0);
    shop.run("queue hold --status pending --account shop_a").ends(0).says(&["item 1 is on hold now"]);
    shop.run("queue list --status on_hold").ends(0).prints(&["on hold"]);
    shop.run("queue release 1 2 2 1").ends(0);
    shop.run("queue review").ends(0).says(&["no item waits for review"]);
    sql(&shop, "UPDATE queue SET state = 'review', error_code = 'alcohol', error_text = 'scores 60' WHERE id IN (1, 2)");
    shop.run("queue review").ends(0).prints(&["alcohol: scores 60"]);
    shop.run("queue review 1 --approve").ends(0).says(&["item 1 is pending now"]);
    shop.run("queue review 2 --refuse").ends(0).says(&["item 2 is cancelled now"]);
    assert_eq!(shop.run("queue list --status pending --json").json()[0]["approved"], true);
    let stats = shop.run("queue stats --json").ends(0).json();
    assert_eq!(stats.as_array().unwrap().len(), 3, "{stats:#}");
    assert_eq!(
        (&stats[0]["items"]["pending"], &stats[0]["items"]["cancelled"], &stats[0]["items"]["on_hold"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!((&stats[0]["total"], &stats[0]["due"], &stats[0]["daily_limit"]), (&3.into(), &1.into(), &3.into()));
    let text = shop
        .run("queue stats")
        .ends(0)
        .prints(&["# account  pending  uploading  success  failed  uncertain  review  on hold  cancelled  total  today", "0/3"]);
    assert_eq!(text.out.lines().count(), 5, "each account, and all: {text:#?}");
}

#[test]
fn waiting_items_get_other_times() {
    let shop = shop(3);
    shop.run("queue add --all-pending --account shop_a --from 48h").ends(0);
    assert_eq!(shop.run("queue list --due --json").ends(0).out, "[]\n");
    let json = shop.run("queue reschedule --account shop_a --every 60s --json").ends(0).json();
    assert_eq!((&json[0]["account"], &json[0]["items"]), (&"shop_a".into(), &3.into()));
    let list = shop.run("queue list --status pending --json").ends(0).json();
    let times: Vec<Timestamp> = list.as_array().unwrap().iter().map(|item| instant(&item["scheduled_at"])).collect();
    assert!(times.windows(2).all(|pair| pair[1].duration_since(pair[0]) == SignedDuration::from_mins(1)), "{times:?}");
    shop.run("queue reschedule --now").ends(0).says(&["shop_a: 3 items rescheduled"]);
    assert_eq!(ids(&shop.run("queue list --due --json")), [1, 2, 3]);
    shop.run("queue reschedule --until 48h").ends(0).says(&["3 items rescheduled, the last one"]);
    shop.run("queue reschedule --until 2020-01-01T00:00:00Z").ends(2).says(&["is past"]);
}

#[test]
fn an_account_that_left_the_file_can_still_be_cleared() {
    let shop = shop(2);
    shop.run("queue add --all-pending --account shop_b").ends(0);
    shop.write(&TASKS.replace("  shop_b: { platform: base, daily_limit: 3 }\n", ""));
    shop.run("queue stats").ends(0).prints(&["shop_b"]);
    shop.run("queue cancel --status pending --account shop_b").ends(0).says(&["item 2 is cancelled now"]);
}

#[test]
fn practice_has_a_queue_of_its_own() {
    let shop = Shop::new(TASKS);
    fill(&shop, "state/practice/taskrun.db", 1);
    shop.run(&format!("queue add {} --sandbox", asin(1))).ends(0).says(&["1 item queued"]);
    assert_eq!(ids(&shop.run("queue list --json --sandbox")), [1]);
    assert_eq!(shop.run("queue list --json").ends(0).out, "[]\n");
}

#[test]
fn help_of_each_part_is_short_and_has_an_example() {
    let shop = Shop::new(TASKS);
    for part in ["add", "list", "stats", "retry", "cancel", "hold", "release", "reschedule", "review", "dead"] {
        let help = shop.run(&format!("queue {part} --help")).ends(0).prints(&["Usage: taskrun queue", "Example: taskrun queue"]);
        assert!(help.out.lines().count() < 50 && help.out.lines().all(|line| line.chars().count() <= 130), "{}", help.out);
    }
}

#[test]
fn two_tasks_that_price_a_shop_differently_are_warned_of() {
    let pricing = |sync: &str, upload: &str| {
        let tasks = format!(
            "  sync: {{ handler: sync_inventory, schedule: '@daily', with: {{ {sync} }} }}\n  \
             upload:\n    handler: upload_tick\n    for_each: {{ platform: base }}\n    schedule: '@daily'\n    with:\n      {upload}\n"
        );
        let shop = Shop::new(&format!("{TASKS}{tasks}"));
        shop.run("check --sandbox").ends(0).out
    };
    let out = pricing("pricing: { markup: 1.30, min: 600 }", "pricing: { markup: 1.30, min: 500 }");
    assert!(out.contains("`pricing` differs from `sync`'s: what the one lists, the other gives another price"), "{out}");
    assert!(out.contains("tasks.yaml:16") || out.contains("16 |") || out.contains(":16:"), "the second one is shown: {out}");
    assert_eq!(out.matches("differs").count(), 1, "once for all shops: {out}");
    let out = pricing("pricing: { min: 600, markup: 1.30 }", "pricing: { markup: 1.30, min: 600 }");
    assert!(!out.contains("differs"), "{out}");
}
