//! `cleanup`: each kind of what grows old goes by its own limit, is listed by a dry run, and what is needed stays.
use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp};

use crate::shop::Shop;

const TASKS: &str = "tasks:
  hello: { handler: command, with: { run: [echo, hello] } }
  tidy: { handler: cleanup, with: { backups: { keep: 2, keep_for: 60d } } }
";

fn days_ago(days: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24 * days)
}

fn conn(shop: &Shop) -> rusqlite::Connection {
    rusqlite::Connection::open(shop.path().join("state/taskrun.db")).unwrap()
}

/// Adds an item of work that ended so many days ago; gives its number.
fn work(conn: &rusqlite::Connection, subject: &str, state: &str, days: i64) -> i64 {
    let at = days_ago(days).as_millisecond();
    let error = (state == "failed").then_some("x");
    conn.execute(
        "INSERT INTO queue (kind, platform, account, subject, state, priority, scheduled_at_ms, created_at_ms, ended_at_ms, item_id, error_code, error_text)
         VALUES ('upload', 'base', 'a', ?1, ?2, 5, ?3, ?3, iif(?2 = 'pending', NULL, ?3), iif(?2 = 'success', '1', NULL), ?4, ?4)",
        rusqlite::params![subject, state, at, error],
    )
    .unwrap();
    conn.last_insert_rowid()
}

fn left(conn: &rusqlite::Connection, table: &str) -> Vec<i64> {
    let mut rows = conn.prepare(&format!("SELECT id FROM {table} ORDER BY id")).unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn told(shop: &Shop) -> String {
    shop.run("history tidy --json").json()[0]["text"].as_str().unwrap().to_owned()
}

#[test]
fn finished_work_and_dead_letters_go_by_age_and_what_is_needed_stays() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    let db = conn(&shop);
    let rows = [("A", "success", 200), ("A", "cancelled", 120), ("A", "success", 10), ("B", "success", 300), ("C", "success", 200)];
    let mut ids: Vec<_> = rows.iter().map(|(subject, state, days)| work(&db, subject, state, *days)).collect();
    ids.extend([
        work(&db, "C", "failed", 190),
        work(&db, "D", "failed", 100),
        work(&db, "E", "cancelled", 200),
        work(&db, "E", "pending", 200),
    ]);
    // What may be at the shop though nobody saw it made.
    ids.push(work(&db, "F", "failed", 300));
    db.execute("INSERT INTO queue_steps (item, step, number, begun_at_ms) VALUES (?1, 'create', 0, 0)", [ids[9]]).unwrap();
    shop.run("once tidy --dry-run").ends(0).prints(&["4 finished items of work", "1 dead letters"]);
    assert_eq!(left(&db, "queue"), ids, "a dry run removes nothing");
    shop.run("once tidy").ends(0);
    assert_eq!(left(&db, "queue"), [ids[2], ids[3], ids[6], ids[8], ids[9]]);
    assert!(told(&shop).starts_with("4 finished items of work, 1 dead letters removed"), "{}", told(&shop));
    shop.run("once tidy --set work=none --set dead_letters=1d").ends(0);
    assert_eq!(left(&db, "queue"), [ids[2], ids[3], ids[8], ids[9]]);
}

#[test]
fn changes_of_prices_and_costs_go_by_age_but_the_newest_of_each_product() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    let db = conn(&shop);
    db.execute("INSERT INTO products (asin, created_at_ms) VALUES ('B0TEST0001', 0)", []).unwrap();
    for (days, yen) in [(500, 1), (450, 2), (10, 3)] {
        let at = days_ago(days).as_millisecond();
        for account in ["a", "b"] {
            let price = "INSERT INTO price_history (asin, platform, account, new_yen, reason, at_ms) VALUES ('B0TEST0001', 'base', ?1, ?2, 'x', ?3)";
            if account == "a" || yen < 3 {
                db.execute(price, rusqlite::params![account, yen, at]).unwrap();
            }
        }
        db.execute("INSERT INTO cost_history (asin, new_yen, at_ms) VALUES ('B0TEST0001', ?1, ?2)", rusqlite::params![yen, at]).unwrap();
    }
    shop.run("once tidy").ends(0);
    assert_eq!((left(&db, "price_history"), left(&db, "cost_history")), (vec![4, 5], vec![3]));
    assert!(told(&shop).starts_with("5 changes of prices and costs removed"), "{}", told(&shop));
}

#[test]
fn files_go_by_their_own_limits_and_are_listed_by_a_dry_run() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    for _ in 0..4 {
        shop.run("backup").ends(0);
    }
    let old = |name: &str, days: u64| {
        let path = shop.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(SystemTime::now() - Duration::from_hours(24 * days)).unwrap();
        path
    };
    let stamp = |days: i64| days_ago(days).strftime("%Y%m%dT%H%M%SZ").to_string();
    let goes = [
        old("logs/hello.2020-01-01T00-00-00.000Z.log", 90),
        old("state/taskrun.restoring-1", 2),
        old("state/taskrun.restoring-1-wal", 2),
        old(&format!("state/taskrun.db.before-{}", stamp(61)), 1),
        old(&format!("state/taskrun.db.before-{}-wal", stamp(61)), 1),
    ];
    let stays = [
        old("logs/nginx.2020-01-01T00-00-00.000Z.log", 90),
        old("state/taskrun.restoring-2", 0),
        old(&format!("state/taskrun.db.before-{}", stamp(59)), 90),
        old("state/backups/mine.db.gz", 900),
    ];
    let copies = || taskrun::handlers::backup::copies(&shop.path().join("state/backups")).unwrap();
    let before = copies();
    let paths: Vec<_> = goes.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    shop.run("once tidy --dry-run").ends(0).prints(&paths);
    assert!(goes.iter().chain(&stays).all(|path| path.exists()) && copies() == before, "a dry run removes nothing");
    shop.run("once tidy").ends(0);
    assert_eq!(goes.iter().filter(|path| path.exists()).collect::<Vec<_>>(), Vec::<&PathBuf>::new());
    assert!(stays.iter().all(|path| path.exists()));
    assert_eq!(copies(), before[2..]);
    let told = told(&shop);
    for part in ["1 log files", "2 copies of the store", "2 stores that were put aside", "2 files of killed processes"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    shop.run("once tidy").ends(0);
}

#[test]
fn a_run_ends_in_time_and_the_next_goes_on() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    let db = conn(&shop);
    db.execute_batch(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
         INSERT INTO queue (kind, platform, account, subject, state, priority, scheduled_at_ms, created_at_ms, ended_at_ms)
         SELECT 'check', 'yahoo', 'a', 's' || (i % 100), 'success', 5, 0, 0, 0 FROM n",
    )
    .unwrap();
    shop.run("once tidy --set max_time=1ms").ends(0);
    assert!(told(&shop).contains("the rest is left for the next run"), "{}", told(&shop));
    shop.run("once tidy").ends(0);
    assert_eq!(left(&db, "queue").len(), 100, "the newest of each");
}
