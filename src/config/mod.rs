//! tasks.yaml: text to checked values. No async, no store, no handlers: what they need to know of it comes in as tables.
pub mod keys;
