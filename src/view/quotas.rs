//! The marketplaces' limits: what is allowed, how much of it is used and by what, when the next call may go out.
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    shop::quota::{Period, Rule, earliest},
    store::shop::QuotaRow,
};

/// One limit of one account: the JSON of `taskrun status --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuotaView {
    pub account: String,
    pub operation: String,
    /// So many calls ...
    pub limit: i64,
    /// ... in so many seconds.
    pub per_s: f64,
    /// So many at once after a rest; only where calls have a rate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub burst: Option<i64>,
    /// The marketplace itself said the rate.
    pub learned: bool,
    /// Calls since `used_since`: the beginning of the hour or the day; of the day where calls have a rate.
    pub used: i64,
    pub used_by: UsedBy,
    pub used_since: String,
    /// When the next call may go out.
    pub next_at: String,
    /// Calls that the marketplace refused today for this limit.
    pub refused_today: i64,
    /// Those since the last call that it took.
    pub refused_in_row: i64,
}

/// By what the calls were for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsedBy {
    pub sync: i64,
    pub upload: i64,
    pub manual: i64,
}

impl QuotaView {
    /// A row of the store.
    pub fn of(row: &QuotaRow, now: Timestamp) -> Self {
        let QuotaRow { rule, used, .. } = row;
        let (limit, per_ms, burst, since) = match *rule {
            Rule::Bucket { interval_ms, burst } => (1, interval_ms, Some(burst), Period::Day.began(now.as_millisecond())),
            Rule::Window { period, calls, .. } => (calls, period.ends(used.at_ms) - period.began(used.at_ms), None, used.at_ms),
        };
        Self {
            account: row.account.to_string(),
            operation: row.operation.to_string(),
            limit,
            per_s: SignedDuration::from_millis(per_ms).as_secs_f64(),
            burst,
            learned: row.learned_ms.is_some(),
            used: used.calls.total(),
            used_by: UsedBy { sync: used.calls.sync, upload: used.calls.upload, manual: used.calls.manual },
            used_since: instant(since).to_string(),
            next_at: instant(earliest(*rule, *used, None, now.as_millisecond())).to_string(),
            refused_today: used.refused,
            refused_in_row: used.refused_in_row,
        }
    }
}

fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}
