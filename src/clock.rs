//! The two clocks. The only place that asks the system for the time.
//!
//! The wall clock can be scaled, for the practice marketplace; the uptime never is.
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::core::task::Now;

/// A boxed future, so that a trait with async work can stand behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Both clocks, read together.
    fn now(&self) -> Now;
    /// How long to really wait for this much of wall-clock time to pass; the same unless the clock is scaled.
    fn real(&self, wall: SignedDuration) -> Duration;
    /// How much of wall-clock time passes in this much real time; the same unless the clock is scaled.
    fn wall(&self, real: Duration) -> SignedDuration {
        let an_hour = self.real(SignedDuration::from_hours(1)).as_secs_f64();
        SignedDuration::try_from_secs_f64(real.as_secs_f64() * 3600.0 / an_hour).unwrap_or(SignedDuration::ZERO)
    }
    /// Completes when this much of wall-clock time has passed.
    fn sleep(&self, wall: SignedDuration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(self.real(wall)))
    }
}

/// The system's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// Starts the uptime at zero.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Arc<Self> {
        Arc::new(Self { started: std::time::Instant::now() })
    }

    fn uptime(&self) -> SignedDuration {
        SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX)
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Now {
        Now { wall: Timestamp::now(), uptime: self.uptime() }
    }

    fn real(&self, wall: SignedDuration) -> Duration {
        wall.try_into().unwrap_or(Duration::ZERO)
    }
}

/// A wall clock that runs `speed` times as fast from an anchor on; for practice only.
#[derive(Debug)]
pub struct ScaledClock {
    inner: Arc<SystemClock>,
    anchor: Anchor,
}

/// At the real instant `real`, the practice clock showed `practice`, and ran `speed` times as fast from then on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anchor {
    pub real: Timestamp,
    pub practice: Timestamp,
    /// At least 1.
    pub speed: u32,
}

impl ScaledClock {
    /// A clock that goes on from an anchor.
    pub fn new(anchor: Anchor) -> Arc<Self> {
        Arc::new(Self { inner: SystemClock::start(), anchor })
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Now {
        let real = self.inner.now();
        let speed = i32::try_from(self.anchor.speed.max(1)).unwrap_or(i32::MAX);
        let passed = real.wall.duration_since(self.anchor.real).saturating_mul(speed);
        let wall = self.anchor.practice.saturating_add(passed).unwrap_or(Timestamp::MAX);
        Now { wall, uptime: real.uptime }
    }

    fn real(&self, wall: SignedDuration) -> Duration {
        Duration::try_from(wall).unwrap_or(Duration::ZERO) / self.anchor.speed.max(1)
    }
}
