//! The back office's own decisions: what an offer means, what a thing is sold for, what differs in a shop, when a call may go out.
//!
//! As pure as `core`: values in, values out; no clock, no store, no network.
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::wildcard_enum_match_arm)]
pub mod currency;
pub mod difference;
pub mod drift;
pub mod gate;
pub mod import;
pub mod offer;
pub mod price;
pub mod product;
pub mod quota;
pub mod setting;
pub mod spread;
pub mod upload;
