//! The daemon and the commands that talk to it.
use rustix::process::Signal;

use crate::shop::{Shop, TASKS, wait_until};

#[test]
fn the_first_screen_says_what_it_is_and_where_to_look() {
    let shop = Shop::new(TASKS);
    let daemon = shop.command("run").stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_until("the daemon answers", || shop.run("status").code == 0);
    shop.run("stop").ends(0).says(&["stopped (pid "]);
    let output = daemon.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in
        ["taskrun 0.1.0 runs until Ctrl+C", "tasks.yaml: 4 tasks, 4 instances", "  next   ", "taskrun.log", "`taskrun status`", "stopped"]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn status_shows_what_runs() {
    let shop = Shop::new(TASKS);
    let daemon = shop.daemon("");
    shop.run("trigger slow").ends(0).prints(&["slow: run 1\n"]);
    wait_until("it runs", || shop.runs().iter().any(|run| run["phase"] == "running"));
    shop.run("status").ends(0).prints(&[&format!("pid {}", daemon.pid()), "# run  task  phase", "slow  running  1", "# m h dom mon dow"]);
    shop.run("cancel 1").ends(0);
    wait_until("it has ended", || shop.runs().is_empty());
    assert_eq!(shop.history()[0]["state"], "cancelled");
    assert_eq!(shop.history()[0]["trigger"], "api");
    shop.run("cancel 1").ends(2).says(&["run 1 is not open"]);
    shop.run("trigger slwo").ends(2).says(&["did you mean `slow`?"]);
}

#[test]
fn a_second_daemon_is_refused_with_the_first_one_s_pid_and_may_replace_it() {
    let shop = Shop::new(TASKS);
    let first = shop.daemon("");
    let pid = first.pid();
    shop.run("run").ends(2).says(&[&format!("process {pid}"), "run --replace"]);
    let second = shop.daemon("--replace");
    assert_eq!(first.code(), 0);
    shop.run("stop").ends(0);
    assert_eq!(second.code(), 0);
}

#[test]
fn a_daemon_that_hangs_is_replaced_too() {
    let shop = Shop::new(&format!("shutdown_grace: 1s\n{TASKS}"));
    let first = shop.daemon("");
    first.signal(Signal::STOP);
    shop.run("status").ends(3).says(&["does not answer"]);
    let _second = shop.daemon("--replace");
    assert_eq!(first.code(), -1);
}

#[test]
fn a_daemon_whose_state_is_removed_stops_instead_of_running_beside_the_next_one() {
    let shop = Shop::new(TASKS);
    let daemon = shop.daemon("");
    std::fs::remove_dir_all(shop.file("state")).unwrap();
    assert_eq!(daemon.code(), 74);
}

#[test]
fn a_daemon_whose_store_is_replaced_stops() {
    let shop = Shop::new(TASKS);
    let daemon = shop.daemon("");
    std::fs::rename(shop.file("state/taskrun.db"), shop.file("state/old.db")).unwrap();
    std::fs::write(shop.file("state/taskrun.db"), "").unwrap();
    assert_eq!(daemon.code(), 74);
}

#[test]
fn a_reload_is_applied_as_a_whole_or_not_at_all() {
    let shop = Shop::new(TASKS);
    let daemon = shop.daemon("");
    shop.write(&TASKS.replace("  bad:", "  worse:"));
    shop.run("check --diff").ends(0).prints(&["a reload would change:", "bad", "worse"]);
    shop.run("reload").ends(0).prints(&["bad", "worse"]).says(&["reloaded"]);
    shop.write("tasks: { a: { handler: comand } }");
    shop.run("reload").ends(2).says(&["there is no handler `comand`", "1 fault", "stays in force"]);
    // The daemon is found and answers though the file has faults.
    shop.run("status").ends(0).prints(&["worse", "the last reload failed", "there is no handler `comand`"]);
    shop.write(TASKS);
    daemon.signal(Signal::HUP);
    wait_until("the signal reloads", || shop.run("status").out.contains("bad"));
    let status = shop.run("status --json").json();
    assert_eq!(status["config"]["reloads"], 3);
    assert_eq!(status["config"]["last_reload_faults"], serde_json::json!([]));
}

#[test]
fn a_watched_file_is_loaded_again_when_it_changes() {
    let shop = Shop::new(&format!("watch: true\n{TASKS}"));
    let _daemon = shop.daemon("");
    shop.write(&format!("watch: true\n{}", TASKS.replace("  bad:", "  worse:")));
    wait_until("the change is seen", || shop.run("status").out.contains("worse"));
}

#[test]
fn the_log_follows_a_reload() {
    let shop = Shop::new(TASKS);
    let _daemon = shop.daemon("");
    shop.write(&format!("log: {{ dir: elsewhere }}\n{TASKS}"));
    shop.run("reload").ends(0);
    shop.run("trigger hello").ends(0);
    wait_until("it logs in the new place", || shop.file("elsewhere/hello.log").exists());
}

#[test]
fn a_pause_reaches_the_daemon() {
    let shop = Shop::new(TASKS);
    let _daemon = shop.daemon("");
    shop.run("pause hello --reason stocktaking").ends(0);
    shop.run("status").ends(0).prints(&["paused: stocktaking"]);
    shop.run("trigger hello").ends(75).prints(&["hello: skipped (paused"]);
    shop.run("resume hello").ends(0);
    shop.run("trigger hello").ends(0);
}

#[test]
fn a_signal_stops_the_daemon_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let shop = Shop::new(TASKS);
        let daemon = shop.daemon("");
        shop.run("trigger slow").ends(0);
        daemon.signal(signal);
        assert_eq!(daemon.code(), 0);
        assert_eq!(shop.history()[0]["state"], "cancelled");
        let left: Vec<_> =
            std::fs::read_dir(shop.file("state/taskrun.processes")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["daemon.lock"]);
    }
}

#[test]
fn only_its_user_may_look_into_the_state() {
    use std::os::unix::fs::PermissionsExt as _;
    let shop = Shop::new(TASKS);
    let _daemon = shop.daemon("");
    let mode = |name: &str| std::fs::metadata(shop.file(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state"), mode("state/taskrun.db"), mode("state/taskrun.processes")), (0o700, 0o600, 0o700));
}
