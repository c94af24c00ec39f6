//! The async shell around the core: it performs what the core decides, and feeds back what came of it.
pub mod control;
mod driver;
pub mod forecast;
pub mod neighbours;
mod others;
mod overseer;
mod perform;
pub mod process;
mod reload;
mod report;
pub mod signal;
mod status;
pub mod supervisor;
pub mod view;
mod worker;

pub use crate::errors::chain;
pub use driver::{EngineOptions, InForce, Load, Loaded, StopReport, run};
pub use perform::rough;
pub use report::Ended;
pub use status::{past, pause_of};
pub use worker::{Handlers, outcome_of};
