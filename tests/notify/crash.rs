//! The real binary: what a run's end means for people is never lost, and a channel never costs a run anything.
use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt as _, time::Duration};

use rustix::process::Signal;
use taskrun::sandbox::{FaultPlan, Operation, practice_keys};

use crate::{
    bench::{Bench, ROOM},
    harness::{World, stress, wait_for, watch},
};

const SOON: Duration = Duration::from_secs(30);

fn world(endpoint: &str, notify: &str, tasks: &str) -> World {
    let world = World::new("tasks: {}");
    let token = world.path("chatwork.token");
    fs::write(&token, practice_keys().chatwork_token).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    world.write(&format!(
        "notify:\n  chatwork: {{ room_id: \"{ROOM}\", token: {{ file: chatwork.token }}, endpoint: \"{endpoint}\" }}\n{notify}tasks:\n{tasks}"
    ));
    world
}

/// So many tasks that fail within a few seconds of each other.
fn failing(count: usize) -> String {
    (0..count).fold(String::new(), |mut tasks, n| {
        writeln!(
            tasks,
            "  fails_{n}: {{ handler: command, schedule: \"@start\", with: {{ run: [sh, -c, \"sleep {}; exit 3\"] }} }}",
            n % 4
        )
        .unwrap();
        tasks
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_an_end_and_its_message_loses_no_message() {
    let bench = Bench::open(1).await;
    for round in 0..stress(50_u64, 3) {
        let tasks = 5;
        let world = world(&bench.chat.endpoint(), "", &failing(tasks));
        // Messages hang: the daemon is killed at any point between the end of a run and its arrival.
        bench.chat.plan(&"chatwork_message:hang".parse::<FaultPlan>().unwrap());
        let mut daemon = world.daemon();
        watch(Duration::from_millis(700 + 650 * (round % 7)));
        daemon.kill();
        bench.chat.clear_faults();
        let before = bench.messages().len();
        let mut daemon = world.daemon();
        let told = || bench.messages().split_off(before).concat();
        for n in 0..tasks {
            // Whatever ended before the kill is told now; what was killed is told as lost.
            let name = format!("fails_{n}: ");
            tokio::task::block_in_place(|| {
                wait_for(&format!("{name} is told in round {round}: {}", told()), Duration::from_secs(90), || {
                    told().contains(&name).then_some(())
                });
            });
        }
        assert_eq!(daemon.stop(), 0);
        world.assert_nothing_left();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_once_without_a_daemon_tells_by_itself_and_a_recovery_too() {
    let bench = Bench::open(1).await;
    let world = world(&bench.chat.endpoint(), "", "  flaky: { handler: command, with: { run: [test, -e, healthy] } }\n");
    let (code, text) = tokio::task::block_in_place(|| world.run(&["once", "flaky"]));
    assert_eq!(code, 1, "{text}");
    let first = bench.messages();
    assert!(first.len() == 1 && first[0].contains("ALERT flaky: failed") && first[0].contains("run 1"), "{first:#?}");
    // The second failure is folded; the success says so.
    let (code, _) = tokio::task::block_in_place(|| world.run(&["once", "flaky"]));
    assert_eq!((code, bench.messages().len()), (1, 1));
    fs::write(world.path("healthy"), "").unwrap();
    let (code, text) = tokio::task::block_in_place(|| world.run(&["once", "flaky"]));
    assert_eq!(code, 0, "{text}");
    let messages = bench.messages();
    assert!(
        messages.len() == 2 && messages[1].contains("flaky: works again") && messages[1].contains("after 2 failures since"),
        "{messages:#?}"
    );
    // A success that follows no failure is nothing to tell.
    assert_eq!(tokio::task::block_in_place(|| world.run(&["once", "flaky"])).0, 0);
    assert_eq!(bench.messages().len(), 2);
    // A dry run tells nobody.
    fs::remove_file(world.path("healthy")).unwrap();
    tokio::task::block_in_place(|| world.run(&["once", "flaky", "--dry-run"]));
    assert_eq!(bench.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_channel_fails_no_task_and_stands_in_the_status() {
    let bench = Bench::open(1).await;
    // Nobody listens there.
    let world = world(
        "http://127.0.0.1:9",
        "",
        "  works: { handler: command, schedule: { every: 1s }, with: { run: [\"true\"] } }\n  fails: { handler: command, with: { run: [\"false\"] } }\n",
    );
    tokio::task::block_in_place(|| {
        let (code, text) = world.run(&["once", "works"]);
        assert_eq!(code, 0, "{text}");
        let since = std::time::Instant::now();
        let (code, text) = world.run(&["once", "fails"]);
        assert!(code == 1 && since.elapsed() < Duration::from_secs(13), "{code} {text}");
        let (code, text) = world.run(&["notify", "test"]);
        assert!(code == 1 && text.contains("chatwork") && text.contains("can't be reached"), "{code} {text}");
        let mut daemon = world.daemon();
        wait_for("works has run", SOON, || {
            (2 < world.history("works").iter().filter(|row| row.state() == "succeeded").count()).then_some(())
        });
        let degraded = wait_for("the status says it", SOON, || {
            world.status().map(|status| status["degraded"].to_string()).filter(|degraded| degraded.contains("chatwork"))
        });
        assert!(degraded.contains("takes no messages"), "{degraded}");
        let list = world.must(&["notify", "list"]);
        assert!(list.contains("fails") && list.contains("takes no messages since"), "{list}");
        assert_eq!(daemon.stop(), 0);
        assert!(world.history("works").iter().all(|row| row.state() == "succeeded"), "{}", world.picture());
    });
    assert!(bench.messages().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_message_and_the_list_say_what_the_channel_said() {
    let bench = Bench::open(1).await;
    let world = world(
        &bench.chat.endpoint(),
        "  webhooks: { ops: { enabled: false, url: \"${NOT_SET}\" } }\n",
        "  fails: { handler: command, with: { run: [\"false\"] } }\n",
    );
    tokio::task::block_in_place(|| {
        let text = world.must(&["notify", "test"]);
        assert!(text.contains("chatwork") && text.contains("in room 100000001"), "{text}");
        assert_eq!(bench.taken(Operation::ChatworkMessage).len(), 1);
        let (code, text) = world.run(&["notify", "test", "ops"]);
        assert!(code == 2 && text.contains("`ops` is not enabled") && text.contains("enabled: true"), "{text}");
        let (code, text) = world.run(&["notify", "test", "chat"]);
        assert!(code == 2 && text.contains("there is chatwork, ops"), "{text}");
        world.run(&["once", "fails"]);
        let list: serde_json::Value = serde_json::from_str(&world.must(&["notify", "list", "--json"])).unwrap();
        assert_eq!(list["notices"][0]["event"], "failed");
        assert_eq!(list["notices"][0]["sends"][0]["told"], 1);
        assert_eq!(list["channels"][0]["sent"], 1);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reload_and_a_lost_run_are_told() {
    let bench = Bench::open(1).await;
    let world = world(&bench.chat.endpoint(), "", "  sleeps: { handler: command, with: { run: [sleep, \"60\"] } }\n");
    let good = world.text("tasks.yaml");
    tokio::task::block_in_place(|| {
        let mut once = world.start(&["once", "sleeps"]);
        world.wait_until_running("sleeps");
        once.kill();
        let mut daemon = world.daemon();
        wait_for("the loss is told", SOON, || bench.messages().concat().contains("sleeps: lost with its process").then_some(()));
        world.write_raw(&good.replace("handler: command", "handler: comand"));
        daemon.signal(Signal::HUP);
        wait_for("the refusal is told", SOON, || {
            bench.messages().concat().contains("configuration: new configuration refused").then_some(())
        });
        world.write_raw(&good);
        daemon.signal(Signal::HUP);
        wait_for("that it is over is told", SOON, || bench.messages().concat().contains("configuration: works again").then_some(()));
        assert_eq!(daemon.stop(), 0);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_copy_knows_what_has_been_told_since() {
    let bench = Bench::open(1).await;
    let world = world(&bench.chat.endpoint(), "", "  flaky: { handler: command, with: { run: [test, -e, healthy] } }\n");
    tokio::task::block_in_place(|| {
        fs::write(world.path("healthy"), "").unwrap();
        world.must(&["once", "flaky"]);
        let copy = world.must(&["backup"]);
        let copy = copy.split_whitespace().find(|word| word.contains(".db")).unwrap().to_owned();
        fs::remove_file(world.path("healthy")).unwrap();
        assert_eq!(world.run(&["once", "flaky"]).0, 1);
        assert_eq!(bench.messages().len(), 1);
        let (code, text) = world.run(&["restore", &copy]);
        assert_eq!(code, 0, "{text}");
        assert_eq!((world.run(&["once", "flaky"]).0, bench.messages().len()), (1, 1), "the failure was told before");
        fs::write(world.path("healthy"), "").unwrap();
        world.must(&["once", "flaky"]);
        assert!(bench.messages()[1].contains("after 2 failures since"), "{:#?}", bench.messages());
    });
}
