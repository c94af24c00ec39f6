//! Fires to come.
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::core::{
    event::SkipReason,
    timing::{Preview, Timing},
};

/// A fire to come: `taskrun next --json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FireView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    pub at: String,
    /// Why it is passed over (`outside_hours`, `calendar`); null when it counts.
    pub skipped: Option<&'static str>,
    /// It stands for fires that were deferred to this opening.
    pub deferred: bool,
    /// What a change of the clocks did to it.
    pub note: Option<String>,
}

impl FireView {
    /// A fire of this timing.
    pub fn of(instance: Option<&str>, fire: &Preview, timing: &Timing) -> Self {
        Self {
            instance: instance.map(ToOwned::to_owned),
            at: rfc3339(fire.at, &timing.zone),
            skipped: fire.closed.map(SkipReason::word),
            deferred: fire.deferred,
            note: fire.note.clone(),
        }
    }
}
