//! What systemd hears of the daemon over its notification socket.
use std::{
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use rustix::process::Signal;

use crate::harness::{Process, SOON, World, wait_for};

const TASKS: &str = "tasks:\n  tick: { handler: command, with: { run: [\"true\"] } }\n";

/// A socket as systemd makes it.
struct Socket {
    socket: UnixDatagram,
    name: String,
}

impl Socket {
    fn in_folder(world: &World) -> Self {
        let path = world.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket, name: path.display().to_string() }
    }

    fn abstract_one(world: &World) -> Self {
        let name = format!("taskrun-test{}", world.path("notify").display());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket, name: format!("@{name}") }
    }

    fn start(&self, world: &World) -> Process {
        let mut command = world.command(&["run"]);
        command.env("NOTIFY_SOCKET", &self.name).env("WATCHDOG_USEC", "1000000");
        world.start_command(command, &["run"])
    }

    #[track_caller]
    fn hears(&self) -> String {
        let mut bytes = [0; 1000];
        let length = self.socket.recv(&mut bytes).expect("the daemon says something");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Waits for a message; what comes before it is about the watchdog.
    #[track_caller]
    fn hears_next(&self, begins: &str) -> String {
        for _ in 0..100 {
            let heard = self.hears();
            if heard.starts_with(begins) {
                return heard;
            }
            assert!(heard.starts_with("WATCHDOG=1\nSTATUS="), "{heard:?} came before {begins}");
        }
        panic!("{begins} never came");
    }
}

#[test]
fn systemd_hears_when_the_daemon_serves_moves_reloads_and_stops() {
    let world = World::new(TASKS);
    let socket = Socket::in_folder(&world);
    let mut daemon = socket.start(&world);
    // The first word is not said before the daemon answers for its tasks, out of its store.
    assert_eq!(socket.hears(), "READY=1");
    assert_eq!(world.status().expect("who is ready answers")["pid"], daemon.pid());
    assert_eq!(world.count("SELECT count(*) FROM instances"), 1);
    for _ in 0..3 {
        assert_eq!(socket.hears(), "WATCHDOG=1\nSTATUS=0 open of 1 instances");
    }
    daemon.signal(Signal::HUP);
    socket.hears_next("RELOADING=1\nMONOTONIC_USEC=");
    socket.hears_next("READY=1");
    world.write_raw("tasks: [");
    daemon.signal(Signal::HUP);
    socket.hears_next("RELOADING=1");
    socket.hears_next("READY=1");
    daemon.signal(Signal::TERM);
    let heard = socket.hears_next("STOPPING=1\nEXTEND_TIMEOUT_USEC=");
    let micros: u64 = heard.rsplit_once('=').unwrap().1.parse().unwrap();
    assert!(Duration::from_secs(3) < Duration::from_micros(micros), "the grace of this world is 3s: {heard}");
    assert_eq!(daemon.wait(SOON), 0);
}

#[test]
fn a_daemon_that_cannot_serve_says_nothing() {
    let world = World::new("tasks:\n  tick: { handler: nothing_of_the_kind }\n");
    let socket = Socket::in_folder(&world);
    let mut daemon = socket.start(&world);
    assert_eq!(daemon.wait(SOON), 2);
    socket.socket.set_nonblocking(true).unwrap();
    assert!(socket.socket.recv(&mut [0; 100]).is_err());
}

#[test]
fn a_socket_without_a_file_is_told_too_and_programs_do_not_inherit_it() {
    let world = World::new("tasks:\n  show: { handler: command, schedule: \"@start\", with: { run: [\"env > seen\"], shell: true } }\n");
    let socket = Socket::abstract_one(&world);
    let mut daemon = socket.start(&world);
    socket.hears_next("READY=1");
    wait_for("the program has run", SOON, || world.text("seen").contains("TASKRUN_TASK=show").then_some(()));
    assert!(!world.text("seen").contains("NOTIFY_SOCKET"), "{}", world.text("seen"));
    assert_eq!(daemon.stop(), 0);
}
