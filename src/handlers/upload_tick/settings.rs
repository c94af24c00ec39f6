//! The parameters of `upload_tick`: what the configuration may say, and what holds where it says nothing.
use jiff::SignedDuration;

use crate::{
    config::keys::{HandlerSpec, Key, Kind},
    core::value::Params,
    handlers::{
        pricing::{self, PRICING},
        sync_inventory::data_max_age,
    },
    shop::price::Pricing,
};

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "upload_tick",
    doc: "Lists at a shop what is due in the queue.",
    params: &[
        key("batch_size", Kind::Int(1, 1000), "At most so many listings in a run; default 10."),
        key("spacing", Kind::Duration(true), "The time between two listings; default 2s."),
        key(
            "max_attempts",
            Kind::Int(1, 100),
            "An item that failed so often for passing reasons waits for a person, as `failed`; default 3. A limit, a park and a stop don't count.",
        ),
        key(
            "retry_delay",
            Kind::Duration(false),
            "How long an item waits after a passing failure; twice as long after each more; default 5s.",
        ),
        key("max_retry_delay", Kind::Duration(false), "But never longer than this; default 10m."),
        key(
            "data_max_age",
            Kind::Duration(false),
            "A product whose cost or stock is known from longer ago is not listed until it was read anew; default 4h.",
        ),
        key(
            "pricing",
            Kind::Checked(&Kind::Table(PRICING), pricing::complaints),
            "How a cost becomes a price; the same as `sync_inventory`'s.",
        ),
    ],
    retries: 3,
    resumable: true,
    parks: true,
    needs: &[],
    eager_in_practice: false,
};

/// The parameters, with their defaults.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) batch_size: usize,
    pub(super) spacing: SignedDuration,
    pub(super) max_attempts: u32,
    pub(super) retry_delay: SignedDuration,
    pub(super) max_retry_delay: SignedDuration,
    pub(super) data_max_age: SignedDuration,
    pub(super) pricing: Pricing,
}

impl Settings {
    pub(super) fn read(params: &Params) -> Self {
        Self {
            batch_size: params.int("batch_size").and_then(|size| usize::try_from(size).ok()).unwrap_or(10),
            spacing: params.duration("spacing").unwrap_or(SignedDuration::from_secs(2)),
            max_attempts: params.int("max_attempts").and_then(|most| u32::try_from(most).ok()).unwrap_or(3),
            retry_delay: params.duration("retry_delay").unwrap_or(SignedDuration::from_secs(5)),
            max_retry_delay: params.duration("max_retry_delay").unwrap_or(SignedDuration::from_mins(10)),
            data_max_age: data_max_age(params),
            pricing: pricing::read(params.table("pricing").unwrap_or(&Params::default())),
        }
    }

    /// How long an item waits after its n-th attempt, counted from 1.
    pub(super) fn wait_after(&self, attempts: u32) -> SignedDuration {
        // Beyond that, the limit has long been reached.
        let doublings = attempts.saturating_sub(1).min(30);
        self.retry_delay.saturating_mul(1 << doublings).min(self.max_retry_delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_waits_twice_as_long_each_time_up_to_a_limit() {
        let settings = Settings::read(&Params::default());
        let waits: Vec<i64> = [1, 2, 3, 7, 8, 100].iter().map(|attempts| settings.wait_after(*attempts).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 320, 600, 600]);
    }
}
