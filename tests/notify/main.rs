//! Notifications: real SQLite, real HTTP to the practice marketplace's chat side, a mail server of a few lines, and the real binary.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "these tests measure real time, and look again after a while")]

mod bench;
mod chatwork;
mod config;
#[cfg(unix)]
mod crash;
mod daily;
mod email;
mod fold;
#[cfg(unix)]
#[path = "../daemon/harness.rs"]
#[allow(dead_code, reason = "the tests of the daemon use the rest")]
mod harness;
mod hostile;
mod webhook;
