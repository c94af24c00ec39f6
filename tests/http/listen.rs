//! Where it listens: what is refused at the start, and what a reload changes.
use std::net::TcpListener;

use crate::daemon::{Daemon, folder, taskrun, until, write};

fn refused(http: &str) -> String {
    let folder = folder(http);
    // Without practice, and without a task that would need a marketplace.
    let text = std::fs::read_to_string(folder.path().join("tasks.yaml")).unwrap();
    let text = text.lines().filter(|line| !line.contains("sync_inventory")).collect::<Vec<_>>().join("\n");
    std::fs::write(folder.path().join("tasks.yaml"), text).unwrap();
    let output = taskrun(&folder).env("TOKEN", "a token that is long enough").args(["run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{http}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_address_beyond_this_machine_needs_a_token_and_a_certificate() {
    for address in ["0.0.0.0:9700", "192.0.2.1:9700", "[::]:9700"] {
        for (rest, missing) in
            [("", "token and tls"), (", token: \"${TOKEN}\"", "tls is missing"), (", tls: { cert: a.pem, key: b.pem }", "token is missing")]
        {
            let said = refused(&format!("{{ listen: \"{address}\"{rest} }}"));
            assert!(said.contains("can be reached from other machines") && said.contains(missing), "{said}");
        }
        let said = refused(&format!("{{ listen: \"{address}\", token: \"${{TOKEN}}\", tls: {{ cert: a.pem, key: b.pem }} }}"));
        assert!(said.contains("a.pem"), "{said}");
    }
    assert!(refused("{ token: secret-in-the-file-itself }").contains("does not belong in this file"));
}

#[test]
fn a_port_that_is_taken_is_said_at_the_start() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let said = refused(&format!("{{ listen: \"{address}\" }}"));
    assert!(said.contains(&address.to_string()) && said.contains("another program has that port"), "{said}");
}

#[test]
fn in_practice_a_port_that_is_taken_is_no_obstacle() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let daemon = Daemon::of(folder(&format!("{{ listen: \"{}\" }}", other.local_addr().unwrap())), &["--sandbox"]);
    assert_eq!(daemon.get("/health").status, 200);
}

#[test]
fn a_reload_moves_it_and_one_that_cannot_be_followed_leaves_it() {
    let folder = folder("{ listen: \"127.0.0.1:0\" }");
    let text = std::fs::read_to_string(folder.path().join("tasks.yaml")).unwrap();
    let rest = text.lines().filter(|line| !line.contains("sync_inventory")).collect::<Vec<_>>().join("\n");
    let put = |folder: &tempfile::TempDir, http: &str| {
        std::fs::write(folder.path().join("tasks.yaml"), rest.replace("{ listen: \"127.0.0.1:0\" }", http)).unwrap();
    };
    put(&folder, "{ listen: \"127.0.0.1:0\" }");
    let mut daemon = Daemon::of(folder, &[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    put(&daemon.folder, &format!("{{ listen: \"{}\" }}", taken.local_addr().unwrap()));
    assert_eq!(daemon.post("/api/v1/reload", "{}").json()["applied"], true);
    until("it says that it could not follow", || daemon.get("/ready").body.contains("failed to listen on"));
    assert_eq!(daemon.get("/ready").status, 503);
    let free = taken.local_addr().unwrap().to_string();
    drop(taken);
    put(&daemon.folder, &format!("{{ listen: \"{free}\", allowed_hosts: [taskrun.example] }}"));
    assert!(taskrun(&daemon.folder).arg("reload").output().unwrap().status.success());
    daemon.address = free;
    until("it listens at the other port", || std::net::TcpStream::connect(&daemon.address).is_ok());
    assert_eq!(daemon.send("GET", "/health", &[("Host", "taskrun.example")], "").status, 200);
    write(&daemon.folder, "{ nonsense: 1 }");
    assert_eq!(daemon.post("/api/v1/reload", "{}").json()["applied"], false);
    assert!(daemon.get("/ready").body.contains("the last reload was refused"));
}

#[test]
fn a_token_that_others_could_read_is_replaced_and_no_other() {
    use std::os::unix::fs::PermissionsExt as _;
    for (mode, kept) in [(0o644, false), (0o400, true)] {
        let folder = folder("{ listen: \"127.0.0.1:0\" }");
        let path = folder.path().join("state/practice/http.token");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "a token somebody made\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let daemon = Daemon::of(folder, &["--sandbox"]);
        assert_eq!(daemon.token() == "a token somebody made", kept, "{mode:o}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, if kept { mode } else { 0o600 });
    }
}
