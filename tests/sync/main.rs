//! `sync_inventory` against the practice marketplace: real SQLite, real HTTP, and a clock that leaps over every wait.
#![cfg(test)]

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
