//! The doctor: what it finds, how it says so, and how it ends.
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread::JoinHandle,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::shop::{Done, Shop, TASKS, wait_until};

const CHANNEL: &str = "notify: { webhook: { url: \"${HOOK}\", enabled: false } }\n";

/// The findings on a topic: level, what was found, and what to do.
fn findings(done: &Done, topic: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let view = done.json();
    let all = view["findings"].as_array().unwrap();
    all.iter().filter(|one| one["topic"] == topic).map(|one| (text(&one["level"]), text(&one["found"]), text(&one["advice"]))).collect()
}

#[track_caller]
fn finds(done: &Done, topic: &str, level: &str, parts: &[&str]) {
    let found = findings(done, topic);
    let fits = |(is, found, advice): &(String, String, String)| {
        is == level && parts.iter().all(|part| found.contains(part) || advice.contains(part))
    };
    assert!(found.iter().any(fits), "no {level} {parts:?} in {found:?} of {done:#?}");
}

#[test]
fn a_new_shop_hears_what_is_still_to_do_and_nothing_is_bad() {
    let shop = Shop::new(TASKS);
    let done = shop.run("doctor --json").ends(0);
    finds(&done, "config", "ok", &["4 tasks, 3 instances enabled"]);
    finds(&done, "store", "note", &["is not there yet"]);
    finds(&done, "files", "ok", &["no file of secrets yet"]);
    finds(&done, "zone", "ok", &["Asia/Tokyo"]);
    finds(&done, "daemon", "note", &["nothing fires by itself", "taskrun service install"]);
    finds(&done, "channel", "warning", &["nobody is told", "`notify:`"]);
    assert!(!shop.file("state").exists(), "looking makes nothing");
    shop.run("doctor").ends(0).prints(&["note     store", "why: a task that fails at night", "do: add Chatwork"]);
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_not_taken_for_an_empty_one() {
    let shop = Shop::new(TASKS);
    // As good as one that belongs to somebody else; root may look into those.
    std::os::unix::fs::symlink("state", shop.file("state")).unwrap();
    let done = shop.run("doctor --json").ends(74);
    finds(&done, "store", "bad", &["nobody can tell", "as the user"]);
    finds(&done, "daemon", "bad", &["failed to look for"]);
    for line in ["history", "status", "doctor --quick"] {
        let done = shop.run(line).ends(74);
        assert!(format!("{}{}", done.out, done.err).contains("failed to look for"), "{line}: {done:#?}");
    }
}

#[test]
fn a_health_check_is_well_with_a_daemon_that_answers_and_only_then() {
    let shop = Shop::new(TASKS);
    shop.run("doctor --quick").ends(3).prints(&["no daemon runs"]);
    let daemon = shop.daemon("");
    let done = shop.run("doctor --quick --json").ends(0);
    finds(&done, "daemon", "ok", &["answers and goes on"]);
    finds(&shop.run("doctor --json").ends(0), "daemon", "ok", &[&format!("pid {}", daemon.pid())]);
    daemon.signal(Signal::STOP);
    let (lives, goes_on) = (format!("process {}, lives and is stopped (SIGSTOP)", daemon.pid()), format!("`kill -CONT {}`", daemon.pid()));
    for line in ["doctor --quick --json", "doctor --json"] {
        finds(&shop.run(line).ends(3), "daemon", "bad", &[&lives, "its store was last written to", &goes_on]);
    }
    shop.run("status").ends(3).says(&[&lives, &goes_on]);
    daemon.signal(Signal::CONT);
    wait_until("it answers again", || shop.run("doctor --quick").code == 0);
}

#[test]
fn a_file_that_is_not_there_is_a_fault_of_the_configuration_not_of_a_daemon() {
    let shop = Shop::new(TASKS);
    fs::remove_file(shop.file("tasks.yaml")).unwrap();
    for line in ["doctor --quick", "doctor", "status", "stop", "reload", "-c /nope doctor --quick"] {
        let done = Done::of(shop.command(line).env("TASKRUN_CONFIG", "/nope").output().unwrap()).ends(2);
        assert!(format!("{}{}", done.out, done.err).contains("/nope"), "{line}: {done:#?}");
    }
    shop.run("--state-dir elsewhere doctor --quick").ends(3).prints(&["no daemon runs"]);
}

#[test]
fn a_faulty_file_is_told_and_the_rest_is_looked_at_all_the_same() {
    let shop = Shop::new(&TASKS.replace("hello: { handler: command", "hello: { handler: comand"));
    let done = shop.run("doctor --json").ends(2);
    finds(&done, "config", "bad", &["1 fault", "comand", "`taskrun check`"]);
    finds(&done, "disk", if findings(&done, "disk")[0].0 == "ok" { "ok" } else { "warning" }, &["MB are free"]);
    fs::remove_file(shop.file("tasks.yaml")).unwrap();
    shop.run("doctor").ends(2).prints(&["there is no tasks.yaml here", "`taskrun init` writes one"]);
}

#[test]
fn secrets_that_others_can_read_are_bad() {
    let shop = Shop::new(TASKS);
    fs::write(shop.file("taskrun.env"), "TOKEN=secret\n").unwrap();
    fs::set_permissions(shop.file("taskrun.env"), fs::Permissions::from_mode(0o640)).unwrap();
    let done = shop.run("doctor --json").ends(1);
    finds(&done, "files", "bad", &["others can get at", "taskrun.env", "mode 640", "chmod 600"]);
    fs::set_permissions(shop.file("taskrun.env"), fs::Permissions::from_mode(0o600)).unwrap();
    finds(&shop.run("doctor --json").ends(0), "files", "ok", &["1 file of secrets"]);
    fs::create_dir_all(shop.file("state")).unwrap();
    for (mode, code, found, said) in [
        (0o777, 1, "bad", ["everybody can write into", "mode 777", "chmod go-w"]),
        (0o775, 0, "warning", ["its group can write into", "mode 775", "chmod go-w"]),
        (0o1777, 0, "ok", ["1 file of secrets", "state and logs", "can be written"]),
    ] {
        fs::set_permissions(shop.file("state"), fs::Permissions::from_mode(mode)).unwrap();
        finds(&shop.run("doctor --json").ends(code), "files", found, &said);
    }
}

#[test]
fn a_store_that_is_damaged_or_of_the_future_is_told_of_and_left_alone() {
    let shop = Shop::new(TASKS);
    shop.run("once hello").ends(0);
    finds(&shop.run("doctor --json").ends(0), "store", "ok", &["is whole, schema"]);
    let store = shop.file("state/taskrun.db");
    let whole = fs::read(&store).unwrap();
    set_schema(&store, 9_999);
    finds(&shop.run("doctor --json").ends(74), "store", "bad", &["newer version", "install that newer taskrun"]);
    fs::write(&store, &whole).unwrap();
    set_schema(&store, 3);
    finds(&shop.run("doctor --json").ends(0), "store", "note", &["has schema 3, and the next start brings it to"]);
    let mut torn = whole;
    let middle = torn.len() / 2;
    torn[middle..].fill(0x55);
    fs::write(&store, &torn).unwrap();
    finds(&shop.run("doctor --json").ends(74), "store", "bad", &["damaged", "taskrun restore"]);
    assert_eq!(fs::read(&store).unwrap(), torn);
}

fn set_schema(store: &Path, schema: u32) {
    rusqlite::Connection::open(store).unwrap().pragma_update(None, "user_version", schema).unwrap();
}

#[test]
fn a_port_is_free_or_ours_or_somebody_else_s() {
    // Of this machine, and no other test's: the port stays ours while nobody has it.
    let listener = TcpListener::bind("127.77.13.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shop = Shop::new(&format!("http: {{ listen: \"{address}\" }}\n{TASKS}"));
    finds(&shop.run("doctor --json").ends(1), "port", "bad", &["another program has", "ss -ltnp"]);
    drop(listener);
    finds(&shop.run("doctor --json").ends(0), "port", "ok", &["is free"]);
    let _daemon = shop.daemon("");
    finds(&shop.run("doctor --json").ends(0), "port", "ok", &["the daemon that runs has no trouble"]);
}

#[test]
fn an_account_without_a_login_is_bad_before_it_is_needed() {
    let market = "marketplaces: { base: { client_id: x, client_secret: \"${S}\", endpoint: \"http://127.0.0.1:9\" } }\n";
    let accounts = "accounts:\n  one: { platform: base }\n  two: { platform: base, enabled: false }\n";
    let shop = Shop::new(&format!("{market}{accounts}{TASKS}"));
    let done = Done::of(shop.command("doctor --json").env("S", "secret").output().unwrap()).ends(1);
    finds(&done, "account", "bad", &["one (base) has no login yet", "taskrun accounts login one"]);
    assert_eq!(findings(&done, "account").len(), 1, "one that is off needs none");
    finds(&done, "endpoint", "bad", &["127.0.0.1:9"]);
}

#[test]
fn only_hosts_that_the_file_names_are_asked_and_for_nothing() {
    let (address, asked) = server("Sun, 22 Nov 2020 00:00:00 GMT");
    let shop = Shop::new(&format!("sources: {{ yahoo: {{ endpoint: \"http://{address}/yahoo\", token: \"${{S}}\" }} }}\n{CHANNEL}{TASKS}"));
    let mut command = shop.command("doctor --json");
    // Whoever would be asked besides would be asked by this proxy, which is not there.
    let done = Done::of(command.env("S", "hush").env("HTTPS_PROXY", "http://127.0.0.1:9").output().unwrap()).ends(1);
    finds(&done, "endpoint", "ok", &[&format!("{address} (yahoo) answers")]);
    assert_eq!(findings(&done, "endpoint").len(), 1);
    finds(&done, "clock", "bad", &["ahead that of", "set-ntp"]);
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("HEAD /yahoo HTTP/1.1\r\n") && !asked.contains("hush"), "{asked}");
}

/// A server that answers once, and tells what it was asked.
fn server(date: &'static str) -> (std::net::SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut piece) = (Vec::new(), [0; 1024]);
        while !asked.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut piece).unwrap();
            assert!(length > 0, "it broke off");
            asked.extend_from_slice(&piece[..length]);
        }
        write!(stream, "HTTP/1.1 404 Not Found\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, asked)
}
