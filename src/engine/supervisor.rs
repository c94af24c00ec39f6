//! Whoever started taskrun and looks after it (systemd, the Windows service manager) hears how it is.
//!
//! That the engine moves is said by the engine's own loop and by nothing else: where the loop hangs, nobody speaks for it, and the supervisor starts it again.
use std::{fmt, time::Duration};

use jiff::SignedDuration;

use super::driver::{Driver, LAST_MOMENT};

/// What is done after the engine's end: messages on their way are sent, connections and the store closed.
const CLOSING: Duration = Duration::from_secs(15);

/// Whoever looks after this process. A call returns soon, whatever the other side does, as the engine's loop makes it.
pub trait Supervisor: fmt::Debug + Send + Sync {
    /// The store is open, the tasks are loaded, the engine is at work. Once more when a reload is over.
    fn serves(&self);
    /// The configuration is read again.
    fn reloads(&self);
    /// It stops, and is gone after this time at the latest.
    fn stops(&self, within: Duration);
    /// The engine's loop came round, once a second or more often. `uptime` is when; `status` says in a line how it is.
    fn moves(&self, uptime: SignedDuration, status: &dyn Fn() -> String);
}

/// Nobody looks after this process.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Supervisor for Nobody {
    fn serves(&self) {}
    fn reloads(&self) {}
    fn stops(&self, _within: Duration) {}
    fn moves(&self, _uptime: SignedDuration, _status: &dyn Fn() -> String) {}
}

impl Driver {
    /// Says that the loop came round.
    pub(super) fn say_it_moves(&self) {
        self.supervisor.moves(self.now().uptime, &|| self.in_a_line());
    }

    /// Says that it stops, and when it is gone at the latest.
    pub(super) fn say_it_stops(&self, grace: SignedDuration) {
        let grace = Duration::try_from(grace).unwrap_or_default();
        self.supervisor.stops(grace.saturating_add(LAST_MOMENT).saturating_add(CLOSING));
    }

    /// Says that the reload is over, however it ended.
    pub(super) fn say_it_serves_again(&self) {
        if self.state.stopping.is_none() {
            self.supervisor.serves();
        }
    }

    fn in_a_line(&self) -> String {
        let (instances, open) = (self.state.instances.len(), self.state.runs.len());
        let does = if self.state.stopping.is_some() { "stopping; " } else { "" };
        let trouble = self.trouble.now().map(|trouble| format!("; the store does not take writes: {trouble}"));
        format!("{does}{open} open of {instances} instances{}", trouble.unwrap_or_default())
    }
}
