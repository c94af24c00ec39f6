//! How old the data is that the shops are held against.
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::shop::DataAge;

/// The data's age.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DataView {
    /// Products that are listed anywhere.
    pub listed: u32,
    /// When the oldest data among them was fetched.
    pub oldest_fetched_at: Option<String>,
    pub never_fetched: u32,
    /// The sync's `data_max_age`.
    pub max_age_s: f64,
    /// Products whose data is older than that, or was never fetched.
    pub too_old: u32,
}

impl DataView {
    /// What the store says of data older than `max_age`.
    pub fn of(age: &DataAge, max_age: SignedDuration) -> Self {
        Self {
            listed: age.listed,
            oldest_fetched_at: age.oldest.map(|at| at.to_string()),
            never_fetched: age.never,
            max_age_s: max_age.as_secs_f64(),
            too_old: age.older,
        }
    }
}
