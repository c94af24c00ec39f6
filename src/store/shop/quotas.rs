//! What has been taken of the marketplaces' limits, by all processes together.
use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    shop::quota::{Place, Rule},
    store::Answer,
};

/// What is counted: the calls of one operation, by one application, for one seller or shop. Never a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaKey {
    /// The client id of our application.
    pub application: Arc<str>,
    /// The account.
    pub account: Arc<str>,
    /// The operation, or `calls` where all share one limit.
    pub operation: &'static str,
}

/// The quotas.
pub trait Quotas: Send + Sync + std::fmt::Debug {
    /// Takes a place that comes no later than `latest`, by [`crate::shop::quota::take`]. A rate that was learned counts before the rule's.
    fn take_place(&self, key: QuotaKey, rule: Rule, at: Timestamp, latest: Timestamp) -> Answer<Place>;
    /// The marketplace says that the limit is used up.
    fn exhaust(&self, key: QuotaKey, rule: Rule, at: Timestamp) -> Answer<()>;
    /// The marketplace says how far apart calls have to be, in milliseconds.
    fn learn_interval(&self, key: QuotaKey, interval_ms: i64) -> Answer<()>;
}
