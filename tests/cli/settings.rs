//! `taskrun settings`: what is kept, what is shown, and what is refused without saying it.
use std::{io::Write as _, process::Stdio};

use crate::shop::{Done, Shop, TASKS};

/// Sets a name to what stdin says.
fn set_from_stdin(shop: &Shop, name: &str, text: &str) -> Done {
    let mut command = shop.command(&format!("settings set {name}"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Done::of(child.wait_with_output().unwrap())
}

#[test]
fn settings_are_set_listed_and_forgotten() {
    let shop = Shop::new(TASKS);
    shop.run("settings list").ends(0).prints(&["# setting"]);
    shop.run("settings unset WORKERS").ends(2).says(&["was not set: WORKERS"]);
    shop.run("settings set WORKERS=14 REGION=fe").ends(0).says(&["2 of 2 changed: WORKERS, REGION"]);
    shop.run("settings set WORKERS=14 REGION=na").ends(0).says(&["1 of 2 changed: REGION"]);
    shop.run("settings set WORKERS=14").ends(0).says(&["nothing changed"]);
    shop.run("settings set WORKERS=1 WORKERS=2").ends(2).says(&["WORKERS is set twice"]);
    shop.run("settings list").ends(0).prints(&["WORKERS    14", "REGION     na"]);
    shop.run("settings unset WORKERS").ends(0).says(&["no longer set: WORKERS"]);
    let listed = shop.run("settings list --json").ends(0).json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["name"], &listed[0]["value"]), (1, &"REGION".into(), &"na".into()));
}

#[test]
fn a_secret_comes_by_stdin_and_is_shown_only_to_who_asks() {
    let shop = Shop::new(TASKS);
    let set = set_from_stdin(&shop, "API_KEY", "hunter22\n");
    assert!(!format!("{set:?}").contains("hunter22"));
    set.ends(0);
    assert!(!shop.run("settings list").ends(0).prints(&["API_KEY", "***"]).out.contains("hunter22"));
    let listed = shop.run("settings list --json").ends(0).json();
    assert_eq!((&listed[0]["secret"], listed[0].get("value")), (&true.into(), None));
    shop.run("settings list --show").ends(0).prints(&["hunter22"]);
    assert_eq!(shop.run("settings list --show --json").json()[0]["value"], "hunter22");
}

#[test]
fn what_cannot_be_kept_is_refused_whole_and_not_repeated() {
    let shop = Shop::new(TASKS);
    for refused in ["WORKERS=1 API_KEY=hunter22\\", "WORKERS=1 hunter22-x", "WORKERS=1 x=hunter22", "WORKERS=1 API_KEY=hunter22${A}"] {
        let done = shop.run(&format!("settings set {refused}")).ends(2);
        assert!(!done.err.contains("hunter22"), "{}", done.err);
    }
    set_from_stdin(&shop, "API_KEY", "two\nlines\n").ends(2).says(&["control character"]);
    set_from_stdin(&shop, "API_KEY", &"x".repeat(10_000)).ends(2).says(&["longer than 4096 bytes"]);
    assert_eq!(shop.run("settings list --json").json(), serde_json::json!([]), "all or none");
}
