//! `taskrun once`: runs, their exit codes, dry runs.
use rustix::process::Signal;

use crate::shop::{Done, Shop, TASKS, wait_until};

#[test]
fn the_exit_code_tells_the_end() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0).prints(&["hello: run 1 ok after ", ": hello\n"]);
    shop.run("once bad").ends(1).prints(&["bad: run 2 failed after "]);
    shop.run("once nobody").ends(2).says(&["there is no task or instance `nobody`"]);
    let states: Vec<_> = shop.history().iter().map(|row| (row["run"].clone(), row["state"].clone(), row["trigger"].clone())).collect();
    assert_eq!(states, [(2.into(), "failed".into(), "manual".into()), (1.into(), "succeeded".into(), "manual".into())]);
}

#[test]
fn root_leaves_no_files_in_another_users_state() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can try this");
        return;
    }
    let shop = Shop::new(TASKS);
    let state = shop.file("state");
    std::fs::create_dir(&state).unwrap();
    std::os::unix::fs::chown(&state, Some(65534), None).unwrap();
    shop.run("once hello").ends(2).says(&["belongs to user 65534", "sudo -u '#65534' taskrun"]);
    shop.run("run").ends(2).says(&["belongs to user 65534"]);
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
    shop.run("history").ends(0);
}

#[test]
fn json_gives_each_instance_its_end() {
    let shop = Shop::new(TASKS);
    let json = shop.run("once bad --json").ends(1).json();
    assert_eq!((&json[0]["instance"], &json[0]["end"], &json[0]["dry"]), (&"bad".into(), &"failed".into(), &false.into()));
    assert!(json[0]["took_s"].is_number());
}

#[test]
fn a_task_runs_all_its_instances_and_the_worst_end_counts() {
    let shop = Shop::new(
        "accounts: { good: { platform: base }, broken: { platform: base } }\n\
         marketplaces: { base: { client_id: a, client_secret: \"${PATH}\" } }\n\
         tasks: { tick: { handler: command, for_each: { platform: base }, with: { run: [\"/bin/sh\", \"-c\", \"test $TASKRUN_INSTANCE = tick@good\"] } } }",
    );
    shop.run("once tick").ends(1).prints(&["tick@good: run", "tick@broken: run"]);
    shop.run("once tick@good").ends(0);
    shop.run("once tick@god").ends(2).says(&["did you mean `tick@good`?"]);
}

#[test]
fn a_signal_ends_the_run_and_names_the_code() {
    let shop = Shop::new(TASKS);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let runs = shop.run("history --json").json().as_array().unwrap().len();
        let once = shop.start("once slow");
        wait_until("the run runs", || shop.history().len() > runs && shop.history()[0]["state"] == "running");
        once.signal(signal);
        assert_eq!(once.code(), code);
        assert_eq!(shop.history()[0]["state"], "cancelled");
    }
}

#[test]
fn the_newest_start_counts_and_history_shows_who_superseded_whom() {
    let shop = Shop::new(TASKS);
    let first = shop.start("once slow");
    wait_until("the first runs", || shop.history().first().is_some_and(|row| row["state"] == "running"));
    let second = shop.start("once slow");
    assert_eq!(first.code(), 75);
    wait_until("the second runs", || shop.history()[0]["state"] == "running");
    let history = shop.history();
    assert_eq!((&history[1]["state"], &history[1]["superseded_by"]), (&"superseded".into(), &2.into()));
    shop.run("history").ends(0).prints(&["superseded by run 2"]);
    // Cancelled from outside, without a daemon.
    shop.run("cancel 2").ends(0).says(&["run 2 is told to stop"]);
    assert_eq!(second.code(), 75);
    assert_eq!(shop.history()[0]["state"], "cancelled");
    shop.run("cancel 2").ends(2).says(&["run 2 is not open"]);
}

#[test]
fn one_that_hangs_is_shut_out_and_learns_it_when_it_wakes() {
    let shop = Shop::new("tasks: { slow: { handler: command, grace: 1s, takeover: 1s, with: { run: [sleep, \"300\"] } } }");
    let first = shop.start("once slow");
    wait_until("the first runs", || shop.history().first().is_some_and(|row| row["state"] == "running"));
    first.signal(Signal::STOP);
    let second = shop.start("once slow --set 'run=[\"true\"]'");
    assert_eq!(second.code(), 0);
    first.signal(Signal::CONT);
    assert_eq!(first.code(), 75);
    let history = shop.history();
    let states: Vec<_> = history.iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["succeeded", "superseded"]);
}

#[test]
fn a_setting_replaces_a_parameter_of_the_handler() {
    let shop = Shop::new(TASKS);
    shop.run("once bad --set 'run=[\"true\"]'").ends(0);
    shop.run("once bad").ends(1);
    shop.run("once bad --set shel=true").ends(2).says(&["`shel`", "did you mean `shell`?"]);
    shop.run("once bad --set run").ends(2);
}

#[test]
fn a_dry_run_prints_the_plan_and_does_nothing() {
    let shop = Shop::new("tasks: { touch: { handler: command, with: { run: [touch, made.txt] } } }");
    shop.run("once touch --dry-run").ends(0).prints(&[
        "# what",
        "command",
        "touch made.txt",
        "would write: 1 command\n",
        "touch: dry run 1 ok",
    ]);
    assert!(!shop.file("made.txt").exists());
    let history = shop.history();
    assert_eq!(
        (&history[0]["dry"], &history[0]["state"], &history[0]["generation"]),
        (&true.into(), &"succeeded".into(), &serde_json::Value::Null)
    );
    shop.run("history").ends(0).prints(&["dry run: ok"]);
    let json = shop.run("once touch --dry-run --json").ends(0).json();
    assert_eq!(json[0]["plan"][0]["kind"], "command");
    shop.run("once touch").ends(0);
    assert!(shop.file("made.txt").exists());
}

#[test]
fn state_goes_where_the_flag_says() {
    let shop = Shop::new(TASKS);
    shop.run("once hello --state-dir elsewhere").ends(0);
    assert!(shop.file("elsewhere/taskrun.db").exists() && !shop.file("state").exists());
    shop.run("history --state-dir elsewhere").ends(0).prints(&["hello"]);
    assert!(shop.history().is_empty());
}

#[test]
fn quiet_says_nothing_but_the_end() {
    let shop = Shop::new(TASKS);
    let done = shop.run("once hello -q").ends(0);
    assert_eq!(done.err, "");
}

#[test]
fn a_machine_without_certificates_is_told_of_once() {
    let market = "marketplaces: { base: { client_id: x, client_secret: \"${S}\", endpoint: \"http://127.0.0.1:9\" } }\n";
    let accounts = "accounts: { one: { platform: base }, two: { platform: base } }\n";
    let shop = Shop::new(&format!("{market}{accounts}{TASKS}"));
    let none = shop.file("none");
    let output = shop.command("once hello").env("S", "secret").env("SSL_CERT_FILE", &none).env("SSL_CERT_DIR", &none).output().unwrap();
    let done = Done::of(output).ends(0);
    assert_eq!(done.err.matches("using those built in").count(), 1, "{done:#?}");
}
