//! How old the data is that the shops are held against: a line of `taskrun status`.
use std::fmt::Write as _;

use crate::{
    cli::{
        list,
        text::{self, ODD, Times},
    },
    view::data::DataView,
};

/// `240 products listed, the oldest data 2h ago; 12 older than 4h`.
pub(crate) fn line(view: &DataView, times: &Times) -> String {
    let mut line = format!("{} listed", text::counted(usize::try_from(view.listed).unwrap_or(usize::MAX), "product"));
    if let Some(at) = view.oldest_fetched_at.as_deref().and_then(list::instant) {
        write!(line, ", the oldest data {}", times.passed(at)).unwrap_or_default();
    }
    let fetched_too_old = view.too_old.saturating_sub(view.never_fetched);
    if fetched_too_old > 0 {
        write!(line, "; {ODD}{fetched_too_old} older than {}{ODD:#}", text::took(text::seconds(view.max_age_s))).unwrap_or_default();
    }
    if view.never_fetched > 0 {
        write!(line, "; {ODD}{} never fetched{ODD:#}", view.never_fetched).unwrap_or_default();
    }
    line
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::store::shop::DataAge;

    #[test]
    fn what_is_too_old_and_what_was_never_fetched_are_told_apart() {
        let now: Timestamp = "2026-11-22T13:00:00+09:00".parse().unwrap();
        let times = Times { now, zone: jiff::tz::TimeZone::get("Asia/Tokyo").unwrap(), relative: true };
        let line = |age| {
            let line = super::line(&DataView::of(&age, SignedDuration::from_hours(4)), &times);
            anstream::adapter::strip_str(&line).to_string()
        };
        let fresh = DataAge { listed: 240, never: 0, older: 0, oldest: Some(now - SignedDuration::from_hours(2)) };
        assert_eq!(line(fresh), "240 products listed, the oldest data 2h ago");
        let stale = DataAge { never: 3, older: 15, oldest: Some(now - SignedDuration::from_hours(5)), ..fresh };
        assert_eq!(line(stale), "240 products listed, the oldest data 5h ago; 12 older than 4h; 3 never fetched");
        assert_eq!(line(DataAge { listed: 1, never: 1, older: 1, oldest: None }), "1 product listed; 1 never fetched");
    }
}
