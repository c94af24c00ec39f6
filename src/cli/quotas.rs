//! The marketplaces' limits in `taskrun status`: what is allowed, how much of it is used and by what, when the next call may go out.
use super::text::{self, BAD, BOLD, Cell, DIM, ODD, PLAIN, Times};
use crate::{
    shop::quota::Purpose,
    view::quotas::{QuotaView, UsedBy},
};

fn row(view: &QuotaView, times: &Times) -> [Cell; 6] {
    let per = text::took(text::seconds(view.per_s));
    let limit = match view.burst {
        None => format!("{} in {per}", view.limit),
        Some(1) => format!("1 in {per}"),
        Some(burst) => format!("1 in {per}, {burst} at once"),
    };
    let next = view.next_at.parse().ok().filter(|next| times.now < *next);
    let refused = match (view.refused_today, view.refused_in_row) {
        (0, 0) => Cell::new("-", DIM),
        (today, 0) => Cell::new(format!("{today} today"), ODD),
        (today, in_row) => Cell::new(format!("{today} today, the last {in_row} in a row"), BAD),
    };
    [
        Cell::new(&view.account, BOLD),
        view.operation.as_str().into(),
        limit.into(),
        used_text(view).into(),
        next.map_or_else(|| Cell::new("now", DIM), |next| Cell::new(times.coming(next, &times.zone), PLAIN)),
        refused,
    ]
}

/// `1204 (sync 1100, manual 104)`.
fn used_text(view: &QuotaView) -> String {
    let UsedBy { sync, upload, manual } = view.used_by;
    let by = [(Purpose::Sync, sync), (Purpose::Upload, upload), (Purpose::Manual, manual)];
    let by: Vec<_> = by.iter().filter(|(_, calls)| *calls > 0).map(|(purpose, calls)| format!("{purpose} {calls}")).collect();
    let today = if view.burst.is_some() { " today" } else { "" };
    if by.is_empty() { format!("0{today}") } else { format!("{}{today} ({})", view.used, by.join(", ")) }
}

/// The limits as a table, for people.
pub(crate) fn table(views: &[QuotaView], times: &Times) -> String {
    let header = ["# quota of", "operation", "limit", "used", "next call", "refused"].map(|title| Cell::new(title, DIM));
    let body = views.iter().map(|view| row(view, times));
    text::table(&std::iter::once(header).chain(body).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz::TimeZone};

    use super::*;
    use crate::{
        shop::quota::{PerPurpose, Period, Rule, Use},
        store::shop::QuotaRow,
    };

    fn views() -> Vec<QuotaView> {
        let now: Timestamp = "2026-11-22T04:48:00Z".parse().unwrap();
        let ms = now.as_millisecond();
        let row = |account: &str, operation: &str, rule, used| QuotaRow {
            application: "client-id".into(),
            account: account.into(),
            operation: operation.into(),
            rule,
            learned_ms: Some(10_000),
            used,
        };
        let calls = PerPurpose { sync: 1100, upload: 0, manual: 104 };
        let hour = Rule::Window { period: Period::Hour, calls: 5000, reserve: PerPurpose::default() };
        let began = Period::Hour.began(ms);
        [
            row(
                "amazon_main",
                "getItemOffersBatch",
                Rule::Bucket { interval_ms: 10_000, burst: 1 },
                Use { at_ms: ms + 8_000, calls, ..Use::default() },
            ),
            row(
                "shop",
                "calls_per_hour",
                hour,
                Use { at_ms: began, shut_until_ms: began + 3_600_000, refused: 2, refused_in_row: 1, ..Use::default() },
            ),
        ]
        .iter()
        .map(|row| QuotaView::of(row, now))
        .collect()
    }

    #[test]
    fn each_limit_shows_its_use_and_its_next_place() {
        let times = Times { now: "2026-11-22T04:48:00Z".parse().unwrap(), zone: TimeZone::get("Asia/Tokyo").unwrap(), relative: true };
        let expected = "\
# quota of   operation           limit       used                                next call             refused
amazon_main  getItemOffersBatch  1 in 10s    1204 today (sync 1100, manual 104)  Sun 13:48:08 (in 8s)  -
shop         calls_per_hour      5000 in 1h  0                                   Sun 14:00 (in 12m)    2 today, the last 1 in a row
";
        assert_eq!(anstream::adapter::strip_str(&table(&views(), &times)).to_string(), expected);
    }

    #[test]
    fn the_json_is_stable() {
        let shop = serde_json::to_value(views().remove(1)).unwrap();
        let expected = serde_json::json!({
            "account": "shop", "operation": "calls_per_hour", "limit": 5000, "per_s": 3600.0, "learned": true,
            "used": 0, "used_by": { "sync": 0, "upload": 0, "manual": 0 }, "used_since": "2026-11-22T04:00:00Z",
            "next_at": "2026-11-22T05:00:00Z", "refused_today": 2, "refused_in_row": 1,
        });
        assert_eq!(shop, expected);
    }
}
