//! `update_feed` against the practice marketplace: real SQLite, real HTTP, and a clock that leaps over every wait.
#![cfg(test)]

#[path = "../sync/bench.rs"]
#[allow(dead_code, reason = "the sync's tests use the rest")]
mod bench;
mod desk;
mod ends;
mod pushes;
mod trouble;
