//! The practice marketplace answers as the real ones do, goes wrong as asked, and remembers what it answered.
#![cfg(test)]
mod amazon;
mod base;
mod bench;
mod control;
mod ebay;
mod faults;
mod feeds;
#[cfg(unix)]
mod process;
mod wire;
