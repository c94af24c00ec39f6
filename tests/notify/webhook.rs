//! The forms of webhooks.
use serde_json::Value;
use taskrun::{
    notify::{Event, Level},
    sandbox::Operation,
};

use crate::bench::*;

async fn told(hook: &str) -> Value {
    let bench = Bench::open(1).await;
    let office = bench.office(&format!("  webhooks: {{ ops: {{ url: \"${{HOOK}}\", {hook} }} }}")).await;
    office.notify(Event::Brake, Level::Warning, "sync_inventory", "it would hide 30% of \"all\"");
    until("the hook has it", || !bench.taken(Operation::Hook).is_empty()).await;
    serde_json::from_str(&bench.taken(Operation::Hook)[0]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_preset_has_the_form_of_its_service() {
    let slack = told("preset: slack").await;
    assert!(slack["text"].as_str().unwrap().starts_with("*taskrun: warning sync_inventory: a brake stopped it #1*\n"), "{slack}");
    let discord = told("preset: discord").await;
    assert!(discord["content"].as_str().unwrap().contains("**taskrun: warning sync\\_inventory"), "{discord}");
    assert_eq!(discord["allowed_mentions"]["parse"], serde_json::json!([]));
    let generic = told("headers: { X-Key: \"${PASSWORD}\" }").await;
    let notice = &generic["notices"][0];
    assert_eq!((notice["event"].as_str(), notice["level"].as_str(), notice["count"].as_i64()), (Some("brake"), Some("warning"), Some(1)));
    assert_eq!(notice["text"], "it would hide 30% of \"all\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_filled_in_and_stays_json() {
    let own = told("template: '{\"msg\": \"{{subject}} {{event}}: {{text}}\", \"n\": 1}'").await;
    assert!(own["msg"].as_str().unwrap().starts_with("sync_inventory brake: warning sync_inventory"), "{own}");
    assert_eq!(own["n"], 1);
}
