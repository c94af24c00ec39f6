//! What taskrun does to files: env files, images, copies of the store. With attackers, kills and readers of other programs.
#![cfg(test)]
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "real processes, real files and real waits have the system's time")]
mod cleanup;
mod copies;
mod env;
mod items;
mod readers;
#[allow(dead_code, reason = "shared with the tests of the commands, which use more of it")]
#[path = "../cli/shop.rs"]
mod shop;
mod trees;
