//! What works without a daemon: help, check, list, pause; and what says that there is none.
use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::shop::{Shop, TASKS};

const COMMANDS: &[&str] = &[
    "run",
    "once",
    "list",
    "next",
    "check",
    "status",
    "history",
    "explain",
    "reload",
    "stop",
    "pause",
    "resume",
    "trigger",
    "cancel",
    "sandbox",
    "products",
    "products import",
    "products list",
    "products show",
    "products relist",
    "accounts",
    "accounts list",
    "accounts check",
    "accounts login",
    "accounts pause",
    "accounts resume",
    "backup",
    "restore",
    "queue",
    "queue add",
    "queue list",
    "queue stats",
    "queue retry",
    "queue cancel",
    "queue hold",
    "queue release",
    "queue review",
    "queue reschedule",
    "queue dead",
    "service",
    "service install",
    "service uninstall",
    "service start",
    "service stop",
    "service status",
    "doctor",
    "schema",
    "init",
    "completions",
    "man",
];

#[test]
fn help_of_each_command_is_short_and_has_an_example() {
    let shop = Shop::new(TASKS);
    for command in COMMANDS {
        let help = shop.run(&format!("{command} --help")).ends(0).prints(&["Usage: taskrun", "Example"]);
        assert!(help.out.lines().count() < 40, "{}", help.out);
        assert!(help.out.lines().all(|line| line.chars().count() <= 130), "{}", help.out);
    }
    let top: Vec<&str> = COMMANDS.iter().copied().filter(|command| !command.contains(' ')).collect();
    shop.run("--help").ends(0).prints(&top);
}

#[test]
fn wrong_usage_ends_with_2() {
    let shop = Shop::new(TASKS);
    for line in ["", "rnu", "list --jsn", "next", "next hello --cron '* * * * *'", "once", "list --sandbox=0", "list --log-level loud"] {
        shop.run(line).ends(2);
    }
}

#[test]
fn a_sound_file_is_told_in_a_line() {
    let shop = Shop::new(TASKS);
    let done = shop.run("check").ends(0);
    assert_eq!(done.out, "tasks.yaml: ok, 4 tasks, 4 instances\n");
    let json = shop.run("check --json").ends(0).json();
    assert_eq!((&json["ok"], &json["instances"], &json["faults"]), (&true.into(), &4.into(), &serde_json::json!([])));
}

#[test]
fn every_fault_is_shown_at_once_with_its_place() {
    let shop = Shop::new(
        "tasks:\n  a: { handler: comand, schedule: \"0 25 * * *\" }\n  b: { handler: command, with: { run: [x] }, overlap: sometimes }\n",
    );
    let done = shop.run("check").ends(2);
    for part in ["there is no handler `comand`", "did you mean `command`?", "tasks.yaml:2:", "`25`", "tasks.yaml:3:", "`sometimes`"] {
        assert!(done.out.contains(part), "no {part} in {done:#?}");
    }
    let json = shop.run("check --json").ends(2).json();
    assert_eq!(json["ok"], false);
    assert_eq!(json["faults"].as_array().unwrap().len(), 3, "{json:#}");
    assert_eq!(json["faults"][0]["line"], 2);
    // Who wants to run tasks hears the same, on stderr.
    shop.run("run").ends(2).says(&["there is no handler `comand`", "`sometimes`"]);
    shop.run("once a").ends(2).says(&["there is no handler `comand`"]);
}

#[test]
fn the_file_is_found_by_flag_in_the_folder_or_by_variable() {
    let shop = Shop::new(TASKS);
    let elsewhere = Shop::new("tasks: { only: { handler: command, with: { run: [x] } } }");
    let other = elsewhere.file("tasks.yaml").display().to_string();
    shop.run(&format!("list -c {other}")).ends(0).prints(&["only"]);
    shop.run(&format!("check {other}")).ends(0).prints(&["1 task, 1 instance"]);
    fs::remove_file(shop.file("tasks.yaml")).unwrap();
    shop.run("list").ends(2).says(&["there is no tasks.yaml here", "--config FILE"]);
    let output = shop.command("list").env("TASKRUN_CONFIG", other).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("only"));
}

#[test]
fn list_reads_like_a_crontab_and_leaves_nothing_behind() {
    let shop = Shop::new(TASKS);
    let done = shop.run("list").ends(0);
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(lines[0].starts_with("# m h dom mon dow  task   zone        hours   overlap    next"), "{}", done.out);
    assert!(lines.iter().any(|line| line.starts_with("0 */3 * * *        hello  Asia/Tokyo  always  last wins  2")), "{}", done.out);
    assert!(lines.iter().any(|line| line.starts_with("by hand            slow ")), "{}", done.out);
    assert!(lines.iter().any(|line| line.contains("never  Asia/Tokyo  always  last wins  disabled")), "{}", done.out);
    assert!(lines.iter().all(|line| !line.ends_with(' ')), "{}", done.out);
    assert!(!shop.file("state").exists(), "looking makes no store");
    let json = shop.run("list --json").ends(0).json();
    assert_eq!(json.as_array().unwrap().len(), 4);
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let shop = Shop::new(TASKS);
    assert!(!shop.run("list").out.contains('\x1b'));
    assert!(shop.run("list --color always").out.contains('\x1b'));
}

#[test]
fn looking_needs_no_secrets_and_running_does() {
    let shop = Shop::new(
        "tasks: { hello: { handler: command, schedule: \"@daily\", with: { run: [echo], env: { KEY: \"${NOT_SET_ANYWHERE}\" } } } }",
    );
    for line in ["list", "next hello", "history"] {
        shop.run(line).ends(0);
    }
    shop.run("check").ends(2).prints(&["`${NOT_SET_ANYWHERE}` is not set"]);
    shop.run("once hello").ends(2).says(&["`${NOT_SET_ANYWHERE}` is not set"]);
    shop.run("check --sandbox").ends(0);
}

#[test]
fn without_a_daemon_its_commands_end_with_3_and_say_what_to_do() {
    let shop = Shop::new(TASKS);
    for line in ["status", "status --watch", "reload", "stop", "trigger hello", "check --diff"] {
        shop.run(line).ends(3).says(&["no daemon runs", "`taskrun run`"]);
    }
    assert!(!shop.file("state").exists(), "asking makes no store");
    shop.run("cancel 1").ends(2).says(&["run 1 is not open"]);
}

#[test]
fn a_pause_is_kept_without_a_daemon() {
    let shop = Shop::new(TASKS);
    shop.run("pause hello --until 2h --reason stocktaking").ends(0).says(&["hello is paused until"]);
    shop.run("list").ends(0).prints(&["paused until", ": stocktaking"]);
    shop.run("once hello").ends(75).prints(&["hello: skipped (paused", "stocktaking"]);
    shop.run("resume hello").ends(0).says(&["goes on with its next fire"]);
    shop.run("resume hello").ends(0).says(&["was not paused"]);
    shop.run("once hello").ends(0);
    shop.run("pause helo").ends(2).says(&["there is no task or instance `helo`", "did you mean `hello`?"]);
    shop.run("resume helo").ends(2).says(&["did you mean `hello`?"]);
    shop.run("pause hello --until yesterday").ends(2).says(&["neither an instant nor a duration"]);
    shop.run("pause hello --until 2020-01-01T00:00:00Z").ends(2).says(&["past"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let shop = Shop::new(TASKS);
    let mut child = shop.command("next --cron '* * * * *' -n 20000 --json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with('{'));
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn a_store_that_is_damaged_or_cannot_be_written_ends_with_74() {
    let shop = Shop::new(TASKS);
    fs::create_dir(shop.file("state")).unwrap();
    fs::write(shop.file("state/taskrun.db"), "this is no database, whatever its name says".repeat(100)).unwrap();
    for line in ["history", "once hello", "run", "list"] {
        let done = shop.run(line).ends(74);
        assert!(done.err.contains("taskrun.db"), "{done:#?}");
    }
    let shop = Shop::new(TASKS);
    fs::write(shop.file("state"), "a file where the folder should be").unwrap();
    shop.run("once hello").ends(74);
}
