//! `taskrun simulate`.
use serde_json::Value;

use crate::shop::Shop;

const TASKS: &str = r#"
timezone: Asia/Tokyo
tasks:
  hourly: { handler: command, schedule: "0 * * * *", locks: [x], with: { run: ["true"] } }
  half: { handler: command, schedule: "30 * * * *", locks: [x], with: { run: ["true"] } }
  office: { handler: command, schedule: "0 * * * *", business_hours: "09:00-17:00", with: { run: ["true"] } }
"#;

const DAY: &str = "--from 2098-11-22T00:00:00+09:00 --to 24h";

fn findings(json: &Value) -> Vec<(String, String)> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    json["findings"].as_array().unwrap().iter().map(|finding| (text(finding, "kind"), text(finding, "instance"))).collect()
}

#[test]
fn a_file_without_trouble_says_so() {
    let shop = Shop::new(TASKS);
    let done = shop.run(&format!("simulate {DAY}")).ends(0);
    done.prints(&["nothing collides, starves or misses its hours", "at most 2 runs at once of 64", "15 outside hours", "as if at once"]);
    assert!(!shop.file("state").exists(), "a forecast writes nothing");
}

#[test]
fn what_collides_starves_and_misses_its_hours_is_named_before_it_happens() {
    let shop = Shop::new(TASKS);
    let line = format!("simulate {DAY} --takes hourly=40m --takes half=1m --takes office=70m --json");
    let json = shop.run(&line).ends(0).json();
    assert_eq!(
        findings(&json),
        [("lock_busy", "half"), ("starves", "office"), ("past_hours", "office")].map(|(kind, name)| (kind.to_owned(), name.to_owned()))
    );
    let half = &json["instances"][0];
    assert_eq!((&half["instance"], &half["runs"], &half["skipped"]["lock_busy"]), (&"half".into(), &1.into(), &23.into()));
    assert!(json["findings"][0]["text"].as_str().unwrap().contains("taken by hourly"));
    let events = shop.run(&format!("simulate {DAY} --events")).ends(0);
    events.prints(&["half    run 1 starts", "office  skipped (outside hours)"]);
}

#[test]
fn how_long_runs_take_is_learned_from_the_history() {
    let shop = Shop::new(TASKS);
    shop.run("once half").ends(0);
    let json = shop.run(&format!("simulate {DAY} --json")).ends(0).json();
    assert_eq!(json["instances"][0]["measured_runs"], 1);
    assert!(json["instances"][1]["takes_s"].is_null());
}

#[test]
fn a_changed_file_is_tried_before_it_is_in_force_and_nonsense_is_refused() {
    let shop = Shop::new(TASKS);
    std::fs::write(shop.file("new.yaml"), TASKS.replace("30 * * * *", "30 2 * * *")).unwrap();
    let json = shop.run(&format!("simulate -c new.yaml {DAY} --json")).ends(0).json();
    assert_eq!(json["instances"][0]["runs"], 1);
    shop.run("simulate --takes haf=1m").ends(2).says(&["did you mean `half`?"]);
    shop.run("simulate --takes half").ends(2).says(&["TASK=DURATION"]);
    shop.run("simulate --to 800d").ends(2).says(&["a year"]);
}
