//! The work queue under `check_items` and `update_items`, against practice sources: real SQLite, real HTTP.
#![cfg(test)]

#[path = "../sync/bench.rs"]
#[allow(dead_code, reason = "the sync's tests use the rest")]
mod bench;
mod checks;
mod queue;
mod updates;
mod yard;
