//! `taskrun next`.
use serde_json::Value;

use crate::shop::{Shop, TASKS};

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_expression_needs_no_file_and_gives_one_object_a_line() {
    let shop = Shop::new(TASKS);
    std::fs::remove_file(shop.file("tasks.yaml")).unwrap();
    let done = shop.run("next --cron '0 9 * * mon-fri' --tz Asia/Tokyo --from 2026-11-20T00:00:00Z -n 3 --json").ends(0);
    let at: Vec<Value> = lines(&done.out).iter().map(|line| line["at"].clone()).collect();
    assert_eq!(at, ["2026-11-23T09:00:00+09:00", "2026-11-24T09:00:00+09:00", "2026-11-25T09:00:00+09:00"]);
    assert_eq!(lines(&done.out)[0]["skipped"], Value::Null);
    assert_eq!(lines(&done.out)[0]["deferred"], false);
}

#[test]
fn the_start_itself_is_excluded() {
    let shop = Shop::new(TASKS);
    let done = shop.run("next --cron '0 0 * * *' --tz UTC --from 2026-11-20T00:00:00Z -n 1 --json").ends(0);
    assert_eq!(lines(&done.out)[0]["at"], "2026-11-21T00:00:00+00:00");
}

#[test]
fn what_a_change_of_the_clocks_does_is_noted() {
    let shop = Shop::new(TASKS);
    let done = shop.run("next --cron '30 2 * * *' --tz Europe/Berlin --from 2026-03-28T12:00:00Z -n 1 --json").ends(0);
    let fire = &lines(&done.out)[0];
    assert_eq!(fire["at"], "2026-03-29T03:00:00+02:00");
    assert!(fire["note"].is_string(), "{fire}");
    shop.run("next --cron '30 2 * * *' --tz Europe/Berlin --from 2026-03-28T12:00:00Z -n 1")
        .ends(0)
        .prints(&["2026-03-29T03:00:00+02:00  "]);
}

#[test]
fn what_is_no_schedule_or_never_fires_ends_with_2() {
    let shop = Shop::new(TASKS);
    let done = shop.run("next --cron '0 25 * * *'").ends(2).says(&["0 25 * * *\n", "  ^^\n"]);
    assert_eq!(done.out, "");
    for line in ["next --cron '0 0 30 2 *'", "next --cron ''", "next --cron '* * *'", "next --cron '0 0 1 1 * 1999' --tz UTC"] {
        shop.run(line).ends(2);
    }
    shop.run("next --cron '* * * * *' --tz Asia/Tokio").ends(2).says(&["did you mean `Asia/Tokyo`?"]);
    shop.run("next --cron '* * * * *' --from yesterday").ends(2).says(&["not an instant"]);
    shop.run("next --cron '* * * * *' -n 0").ends(2);
}

#[test]
fn a_task_shows_its_own_zone_hours_and_calendar() {
    let shop = Shop::new(
        "timezone: Asia/Tokyo\ntasks: { tick: { handler: command, schedule: \"0 */6 * * *\", business_hours: \"06:00-13:00\", with: { run: [x] } } }",
    );
    let done = shop.run("next tick --from 2026-11-20T00:00:00+09:00 -n 3 --json").ends(0);
    let fires: Vec<(Value, Value)> = lines(&done.out).iter().map(|line| (line["at"].clone(), line["skipped"].clone())).collect();
    assert_eq!(fires[0], ("2026-11-20T06:00:00+09:00".into(), Value::Null));
    assert_eq!(fires[2], ("2026-11-20T18:00:00+09:00".into(), "outside_hours".into()));
    shop.run("next tick --from 2026-11-20T00:00:00+09:00 -n 3")
        .ends(0)
        .prints(&["2026-11-20T18:00:00+09:00  skipped: outside 06:00-13:00\n"]);
    shop.run("next tik").ends(2).says(&["did you mean `tick`?"]);
}
