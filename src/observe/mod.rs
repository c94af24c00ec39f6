//! What people see of taskrun at work: logs and progress.
pub mod log;
pub mod progress;
pub mod read;
mod rotate;
pub mod sweep;
