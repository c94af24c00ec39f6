//! `http_request`, `health_check` and `verify`: a hostile server, the practice marketplace, and drift that was planted.
#![cfg(test)]

#[path = "../sync/bench.rs"]
#[allow(dead_code, reason = "the sync's tests use the rest")]
mod bench;
mod calls;
mod file;
mod health;
mod planted;
