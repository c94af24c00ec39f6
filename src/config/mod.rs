//! tasks.yaml: text to checked values. No async, no store, no handlers: what they need to know of it comes in as tables.
pub mod amount;
pub mod env;
pub mod fault;
pub mod keys;
mod tree;
