//! `taskrun logs`.
use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::shop::{Shop, TASKS};

#[test]
fn the_lines_of_all_logs_are_one_stream_and_filtered() {
    let shop = Shop::new(TASKS);
    shop.run("logs").ends(0).says(&["no such line"]);
    shop.run("once hello").ends(0);
    shop.run("once bad").ends(1);
    let all = shop.run("logs").ends(0);
    let (hello, bad) = (all.out.find("hello#1: run 1 starts").unwrap(), all.out.find("bad#2: run 2 starts").unwrap());
    assert!(hello < bad, "{all:?}");
    assert!(!shop.run("logs hello").ends(0).prints(&["hello#1: run 1 starts"]).out.contains("bad#2"));
    assert!(!shop.run("logs --run 2").ends(0).prints(&["bad#2: run 2 starts"]).out.contains("hello#1"));
    assert!(!shop.run("logs --level error").ends(0).prints(&["[ERROR] bad#2"]).out.contains("[INFO]"));
    assert_eq!(shop.run("logs -n 1").ends(0).out.lines().count(), 1);
    assert_eq!(shop.run("logs --since 2999-01-01T00:00:00Z").ends(0).out, "");
    let line: serde_json::Value = serde_json::from_str(shop.run("logs bad --json -n 1").ends(0).out.trim()).unwrap();
    assert_eq!((&line["instance"], &line["run"]), (&"bad".into(), &2.into()));
    shop.run("logs helo").ends(2).says(&["did you mean `hello`?"]);
}

#[test]
fn a_file_with_faults_still_has_its_logs() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    shop.write("tasks: { hello: { handler: nonsense } }");
    shop.run("logs").ends(0).prints(&["hello#1: run 1 starts"]).says(&["taskrun check"]);
}

#[test]
fn what_another_process_writes_is_followed() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    let mut logs = shop.command("logs -f --run 2").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(logs.stdout.take().unwrap()).lines();
    shop.run("once hello").ends(0);
    assert!(lines.next().unwrap().unwrap().contains("hello#2: run 2 starts"));
    logs.kill().unwrap();
    logs.wait().unwrap();
}
