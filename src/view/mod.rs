//! What people and programs see: the JSON of the commands' `--json` and of the HTTP API, with one definition each, and the desk that reads it.
//!
//! Times are RFC 3339, durations seconds. These types are stable from now on.
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::view::StatusView;

pub mod accounts;
pub mod data;
pub mod desk;
pub mod fires;
pub mod history;
pub mod logs;
pub mod metrics;
pub mod notices;
pub mod queue;
pub mod quotas;
pub mod ready;
pub mod today;
pub mod trends;
pub mod worked;

pub use desk::Desk;

/// What the daemon says of itself, and what stands in the store beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusPage {
    #[serde(flatten)]
    pub status: StatusView,
    /// Absent where nothing is listed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<data::DataView>,
    /// The marketplaces' limits, as far as they were asked.
    pub quotas: Vec<quotas::QuotaView>,
}

/// An instant for programs, in a zone: with a fraction of a second where there is one.
pub fn rfc3339(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
}
