//! How old the data is that the shops are held against: a line of `taskrun status`.
use std::{fmt::Write as _, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    cli::{
        list,
        place::Place,
        text::{self, ODD, Times},
    },
    handlers::sync_inventory::{self, data_max_age},
    store::{
        shop::{Catalogue as _, DataAge},
        sqlite::SqliteStore,
    },
};

/// Looks at the catalogue; what cannot be read is left out.
#[derive(Debug)]
pub(crate) struct Watch {
    store: Option<Arc<SqliteStore>>,
    max_age: SignedDuration,
}

impl Watch {
    pub(crate) fn new(place: &Place, store: Option<Arc<SqliteStore>>) -> Self {
        let config = place.load_without_secrets().ok();
        let instances = config.iter().flat_map(|config| config.instances.values());
        let sync = instances.filter(|instance| &*instance.handler == sync_inventory::SPEC.name);
        // Of several syncs, the strictest counts; of none, what it would be.
        let max_age =
            sync.map(|instance| data_max_age(&instance.with)).min().unwrap_or_else(|| data_max_age(&crate::core::value::Params::default()));
        Self { store, max_age }
    }

    /// The data's age at `now`; nothing where nothing is listed.
    pub(crate) async fn look(&self, now: Option<Timestamp>) -> Option<DataView> {
        let limit = now?.checked_sub(self.max_age).ok()?;
        let age = self.store.as_ref()?.data_age(limit).await.ok()?;
        (age.listed > 0).then(|| DataView::of(age, self.max_age))
    }
}

/// The data's age as JSON; stable.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DataView {
    /// Products that are listed anywhere.
    listed: u32,
    /// When the oldest data among them was fetched.
    oldest_fetched_at: Option<String>,
    never_fetched: u32,
    /// The sync's `data_max_age`.
    max_age_s: f64,
    /// Products whose data is older than that, or was never fetched.
    too_old: u32,
}

impl DataView {
    fn of(age: DataAge, max_age: SignedDuration) -> Self {
        Self {
            listed: age.listed,
            oldest_fetched_at: age.oldest.map(|at| at.to_string()),
            never_fetched: age.never,
            max_age_s: max_age.as_secs_f64(),
            too_old: age.older,
        }
    }

    /// `240 products listed, the oldest data 2h ago; 12 older than 4h`.
    pub(crate) fn line(&self, times: &Times) -> String {
        let mut line = format!("{} listed", text::counted(usize::try_from(self.listed).unwrap_or(usize::MAX), "product"));
        if let Some(at) = self.oldest_fetched_at.as_deref().and_then(list::instant) {
            write!(line, ", the oldest data {}", times.passed(at)).unwrap_or_default();
        }
        let fetched_too_old = self.too_old.saturating_sub(self.never_fetched);
        if fetched_too_old > 0 {
            write!(line, "; {ODD}{fetched_too_old} older than {}{ODD:#}", text::took(text::seconds(self.max_age_s))).unwrap_or_default();
        }
        if self.never_fetched > 0 {
            write!(line, "; {ODD}{} never fetched{ODD:#}", self.never_fetched).unwrap_or_default();
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_and_what_was_never_fetched_are_told_apart() {
        let now: Timestamp = "2026-11-22T13:00:00+09:00".parse().unwrap();
        let times = Times { now, zone: jiff::tz::TimeZone::get("Asia/Tokyo").unwrap(), relative: true };
        let line = |age| {
            let line = DataView::of(age, SignedDuration::from_hours(4)).line(&times);
            anstream::adapter::strip_str(&line).to_string()
        };
        let fresh = DataAge { listed: 240, never: 0, older: 0, oldest: Some(now - SignedDuration::from_hours(2)) };
        assert_eq!(line(fresh), "240 products listed, the oldest data 2h ago");
        let stale = DataAge { never: 3, older: 15, oldest: Some(now - SignedDuration::from_hours(5)), ..fresh };
        assert_eq!(line(stale), "240 products listed, the oldest data 5h ago; 12 older than 4h; 3 never fetched");
        assert_eq!(line(DataAge { listed: 1, never: 1, older: 1, oldest: None }), "1 product listed; 1 never fetched");
    }
}
