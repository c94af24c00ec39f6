//! Which fire times of an instance are due, and when to look again.
use jiff::Timestamp;

use super::{
    event::{Asked, Skip},
    task::Instance,
    timing::Anchors,
};

/// What is due of one instance: skips first, then at most one fire that may become a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub skips: Vec<Skip>,
    pub asked: Option<Asked>,
    /// The last fire time this covers: the watermark once it is recorded.
    pub upto: Timestamp,
}

/// What is due by `now`; `None` if nothing is. `busy`: a catch-up run of the instance is still open, so `catch_up: all` waits for it.
pub fn due(_instance: &Instance, _watermark: Timestamp, _now: Timestamp, _anchors: Anchors, _busy: bool) -> Option<Due> {
    None
}

/// When [`due`] will next have an answer, the splay included.
pub fn next_start(_instance: &Instance, _watermark: Timestamp, _anchors: Anchors) -> Option<Timestamp> {
    None
}
