//! systemd's notification socket, as `sd_notify(3)` describes it: ready, reloading, stopping, and a watchdog that is fed by the engine's loop.
use std::{
    io,
    os::unix::net::{SocketAddr, UnixDatagram},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use rustix::time::{ClockId, clock_gettime};

use crate::engine::supervisor::Supervisor;

/// A line of status is sent at least this seldom; the watchdog may want to hear of us more often.
const STATUS_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// A supervisor that doesn't read holds us up no longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// The socket that `NOTIFY_SOCKET` names.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Whether a watchdog waits for us.
    watched: bool,
    /// How often it is told that the engine moves.
    every: SignedDuration,
    told_at: Mutex<Option<SignedDuration>>,
}

impl NotifySocket {
    /// The socket that the environment names; `None` where there is none, or none that can be used.
    pub(super) fn of(env: &dyn Fn(&str) -> Option<String>, pid: u32) -> Option<Self> {
        let name = env("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let address = match address(&name) {
            Ok(address) => address,
            Err(error) => {
                tracing::warn!("the socket `{name}` of $NOTIFY_SOCKET can't be used: {error}");
                return None;
            }
        };
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_write_timeout(Some(PATIENCE)).ok()?;
        let watchdog = watchdog(env, pid);
        // Half of its patience, as sd_watchdog_enabled(3) advises.
        let every = watchdog.map_or(STATUS_EVERY, |patience| STATUS_EVERY.min(patience / 2));
        Some(Self { socket, address, watched: watchdog.is_some(), every, told_at: Mutex::new(None) })
    }

    fn tell(&self, state: &str) {
        // Without a listener nobody restarts us and nobody waits for us: there is nothing better to do than to go on.
        if let Err(error) = self.socket.send_to_addr(state.as_bytes(), &self.address) {
            tracing::debug!("systemd could not be told {state:?}: {error}");
        }
    }
}

impl Supervisor for NotifySocket {
    fn serves(&self) {
        self.tell("READY=1");
    }

    fn reloads(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    fn stops(&self, within: Duration) {
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
    }

    fn moves(&self, uptime: SignedDuration, status: &dyn Fn() -> String) {
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_some_and(|told_at| uptime < told_at.saturating_add(self.every)) {
            return;
        }
        *told_at = Some(uptime);
        let watchdog = if self.watched { "WATCHDOG=1\n" } else { "" };
        self.tell(&format!("{watchdog}STATUS={}", status().replace('\n', " ")));
    }
}

/// A path, or with an `@` first a name in the abstract namespace.
fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => Err(io::ErrorKind::Unsupported.into()),
        None if name.starts_with('/') => SocketAddr::from_pathname(name),
        None => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// The watchdog's patience, if it watches this process and not the one that started it.
fn watchdog(env: &dyn Fn(&str) -> Option<String>, pid: u32) -> Option<SignedDuration> {
    let micros: i64 = env("WATCHDOG_USEC")?.parse().ok().filter(|micros| 0 < *micros)?;
    let ours = env("WATCHDOG_PID").is_none_or(|watched| watched.parse() == Ok(pid));
    ours.then(|| SignedDuration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket of systemd's, and ours to it.
    fn pair(folder: &tempfile::TempDir, more: &'static [(&str, &str)]) -> (UnixDatagram, NotifySocket) {
        let path = folder.path().join("notify");
        let theirs = UnixDatagram::bind(&path).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let env = move |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.display().to_string()),
            name => more.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
        };
        let ours = NotifySocket::of(&env, 7).unwrap();
        (theirs, ours)
    }

    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 500];
        let length = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    #[test]
    fn a_watchdog_is_fed_at_half_its_patience_and_only_by_the_engine() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = pair(&folder, &[("WATCHDOG_USEC", "4000000"), ("WATCHDOG_PID", "7")]);
        let at = SignedDuration::from_millis;
        let fed: Vec<bool> = [0, 900, 1999, 2000, 2100, 9000]
            .map(|ms| {
                ours.moves(at(ms), &|| "fine\nso far".to_owned());
                heard(&theirs).is_some_and(|heard| heard == "WATCHDOG=1\nSTATUS=fine so far")
            })
            .to_vec();
        assert_eq!(fed, [true, false, false, true, false, true]);
        ours.serves();
        assert_eq!(heard(&theirs).as_deref(), Some("READY=1"));
    }

    #[test]
    fn anothers_watchdog_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = pair(&folder, &[("WATCHDOG_USEC", "4000000"), ("WATCHDOG_PID", "8")]);
        ours.moves(SignedDuration::ZERO, &|| "fine".to_owned());
        assert_eq!(heard(&theirs).as_deref(), Some("STATUS=fine"));
    }

    #[test]
    fn without_a_socket_nobody_is_told() {
        for name in ["", "relative/path", "vsock:2:1234"] {
            assert!(NotifySocket::of(&|_| Some(name.to_owned()), 7).is_none(), "{name}");
        }
        assert!(NotifySocket::of(&|_| None, 7).is_none());
    }

    #[test]
    fn a_reload_carries_the_monotonic_clock() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = pair(&folder, &[]);
        let micros = |text: String| text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse::<u64>().unwrap();
        ours.reloads();
        let first = micros(heard(&theirs).unwrap());
        ours.reloads();
        assert!(first <= micros(heard(&theirs).unwrap()) && 0 < first);
        ours.stops(Duration::from_secs(50));
        assert_eq!(heard(&theirs).as_deref(), Some("STOPPING=1\nEXTEND_TIMEOUT_USEC=50000000"));
    }
}
