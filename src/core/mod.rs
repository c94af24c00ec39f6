//! The decisions of taskrun, and nothing else.
//!
//! Nothing here reads a clock, a file, a socket, a random number or the environment: `now` and `draw` come in as arguments, commands go out as
//! values. A fire passes through `timing` (with `schedule`, `cron`, `calendar`), `plan`, `fire`, `guard`, `step`, `timer`, `attempt`.
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::wildcard_enum_match_arm)]
pub mod attempt;
pub mod calendar;
pub mod cron;
pub mod event;
mod fire;
pub mod guard;
pub mod notice;
pub mod order;
mod part;
pub mod plan;
pub mod recover;
pub mod reload;
pub mod runs;
pub mod schedule;
pub mod state;
pub mod step;
pub mod task;
pub mod timer;
pub mod timing;
pub mod value;
