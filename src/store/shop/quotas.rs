//! What has been taken of the marketplaces' limits, by all processes together.
use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    shop::quota::{Place, Purpose, Rule, Use},
    store::Answer,
};

/// What is counted: the calls of one operation, by one application, for one seller or shop. Never a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaKey {
    /// The client id of our application.
    pub application: Arc<str>,
    /// The account.
    pub account: Arc<str>,
    /// The operation, or what is shared by several: `calls_per_hour`.
    pub operation: &'static str,
}

/// One of the limits that bound a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is counted.
    pub key: QuotaKey,
    /// What is allowed. A rate that was learned counts before the rule's.
    pub rule: Rule,
}

/// What a call needs a place in.
#[derive(Clone, Debug)]
pub struct Demand {
    /// All of these.
    pub limits: Arc<[Limit]>,
    /// What it is for.
    pub purpose: Purpose,
    /// By how much calls are kept further apart than a rate demands, in milliseconds.
    pub guard_ms: i64,
}

/// How much of a limit has been taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaRow {
    /// The client id of our application.
    pub application: Arc<str>,
    /// The account.
    pub account: Arc<str>,
    /// See [`QuotaKey::operation`].
    pub operation: Arc<str>,
    /// What is allowed, as whoever asked last had it, at the rate that was learned. It has no reserves: they are the configuration's.
    pub rule: Rule,
    /// The interval that the marketplace said last, in milliseconds.
    pub learned_ms: Option<i64>,
    /// What has been taken, as of the instant that was asked for.
    pub used: Use,
}

/// The quotas. What is said of several limits is done in one transaction.
pub trait Quotas: Send + Sync + std::fmt::Debug {
    /// Takes a place that comes no later than `latest`, in all of the limits or in none: [`crate::shop::quota::take`].
    fn take_place(&self, demand: Demand, at: Timestamp, latest: Timestamp) -> Answer<Place>;
    /// A place was not needed: [`crate::shop::quota::give_back`].
    fn give_back(&self, demand: Demand, place: Timestamp) -> Answer<()>;
    /// A call went out later than its place: [`crate::shop::quota::put_off`].
    fn put_off(&self, demand: Demand, place: Timestamp, sent: Timestamp) -> Answer<()>;
    /// The marketplace says that a limit is used up. When there will be a place again.
    fn exhaust(&self, limit: Limit, guard_ms: i64, at: Timestamp) -> Answer<Timestamp>;
    /// A call was not refused.
    fn accept(&self, limits: Arc<[Limit]>) -> Answer<()>;
    /// The marketplace says how far apart calls have to be, in milliseconds.
    fn learn_interval(&self, limit: Limit, interval_ms: i64) -> Answer<()>;
    /// How much of each limit has been taken, by account and operation.
    fn quotas(&self, at: Timestamp) -> Answer<Vec<QuotaRow>>;
}
