//! The async shell around the core: it performs what the core decides, and feeds back what came of it.
pub mod control;
pub mod view;
