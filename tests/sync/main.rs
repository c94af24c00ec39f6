//! `sync_inventory` against the practice marketplace: real SQLite, real HTTP, and a clock that leaps over every wait.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "deadlines and stops are measured in real time")]

mod bench;
mod credentials;
mod delist;
mod faults;
mod fetch;
mod gate;
mod parks;
mod quotas;
mod rules;
mod scale;
mod shops;
mod syncs;
mod tokens;
mod writes;
