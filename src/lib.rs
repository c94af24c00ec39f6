//! taskrun: reads tasks.yaml, fires each task at its time, and writes down what happened.
//!
//! Read the modules in the order below: it is the path of one run.
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
pub mod handlers;
#[cfg(feature = "daemon")]
pub mod http;
#[cfg(feature = "daemon")]
pub mod marketplace;
#[cfg(feature = "sqlite")]
pub mod sandbox;
#[cfg(feature = "daemon")]
pub mod observe;
#[cfg(feature = "daemon")]
pub mod store;
