//! The real binary, with real signals, kills, clocks and disks.
//!
//! `STRESS=1` repeats what is repeated as often as the project promises it (200 kills, 500 reloads). `TASKRUN_BIN`
//! names another binary to test, such as a release.
#![cfg(test)]
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "these tests measure real time, and look again after a while")]

#[path = "daemon/harness.rs"]
mod harness;

#[path = "daemon/children.rs"]
mod children;
#[path = "daemon/clock.rs"]
mod clock;
#[path = "daemon/crash.rs"]
mod crash;
#[path = "daemon/disk.rs"]
mod disk;
#[path = "daemon/locks.rs"]
mod locks;
#[path = "daemon/market.rs"]
mod market;
#[path = "daemon/order.rs"]
mod order;
#[path = "daemon/overlap.rs"]
mod overlap;
#[path = "daemon/reload.rs"]
mod reload;
#[path = "daemon/schedule.rs"]
mod schedule;
#[path = "daemon/stop.rs"]
mod stop;
#[path = "daemon/supervisor.rs"]
mod supervisor;
#[path = "daemon/sync.rs"]
mod sync;
#[path = "daemon/upload.rs"]
mod upload;
