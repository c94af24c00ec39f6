//! The decisions of taskrun, and nothing else.
//!
//! Nothing here reads a clock, a file, a socket, a random number or the environment: `now` and `draw` come in as arguments, commands go out as
//! values. The modules stand in the order in which a fire passes through them.
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::wildcard_enum_match_arm)]
pub mod task;
pub mod value;
pub mod cron;
pub mod schedule;
pub mod calendar;
pub mod timing;
pub mod plan;
pub mod guard;
pub mod attempt;
pub mod event;
pub mod state;
pub mod step;
pub mod reload;
