//! taskrun: reads tasks.yaml, fires each task at its time, and writes down what happened.
//!
//! A run passes through `config`, `core`, `engine`, `store`, `handlers`, `marketplace`; ARCHITECTURE.md follows one on its way.
pub mod config;
pub mod core;
pub mod shop;

#[cfg(feature = "daemon")]
pub mod access;
#[cfg(feature = "daemon")]
pub mod children;
#[cfg(feature = "sqlite")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod clock;
#[cfg(feature = "daemon")]
pub mod engine;
#[cfg(feature = "daemon")]
pub mod errors;
#[cfg(feature = "daemon")]
pub mod files;
#[cfg(feature = "daemon")]
pub mod handlers;
#[cfg(feature = "daemon")]
pub mod http;
#[cfg(feature = "daemon")]
pub mod import;
#[cfg(feature = "daemon")]
pub mod marketplace;
#[cfg(feature = "daemon")]
pub mod notify;
#[cfg(feature = "daemon")]
pub mod observe;
#[cfg(feature = "daemon")]
mod os;
#[cfg(feature = "daemon")]
pub mod outbound;
#[cfg(feature = "sqlite")]
pub mod sandbox;
#[cfg(feature = "daemon")]
pub mod store;
#[cfg(feature = "daemon")]
pub mod tally;
#[cfg(feature = "daemon")]
pub mod view;
