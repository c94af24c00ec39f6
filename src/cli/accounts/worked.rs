//! What was done for an account today, and what went wrong with it, as a table.
use crate::{
    cli::text::{self, BAD, BOLD, Cell, DIM, ODD, PLAIN, Times},
    store::shop::QuotaRow,
    view::worked::{Worked, allowed},
};

pub(super) const HEADER: [&str; 5] = ["# account", "listed today", "calls", "restarts today", "last error"];

pub(super) fn row(worked: &Worked, name: &str, times: &Times) -> [Cell; 5] {
    let listed = match worked.listed {
        None => Cell::new("-", DIM),
        Some((listed, None)) => listed.to_string().into(),
        Some((listed, Some(limit))) => Cell::new(format!("{listed}/{limit}"), if listed < limit { PLAIN } else { ODD }),
    };
    let restarts = Cell::new(worked.restarts.to_string(), if worked.restarts == 0 { DIM } else { ODD });
    let error = worked.error.as_ref().map_or_else(
        || Cell::new("none", DIM),
        |failed| {
            let text = format!("run {} of {}, {}: {}", failed.run, failed.instance, times.passed(failed.at), failed.text);
            Cell::new(text::one_line(&text), BAD)
        },
    );
    [Cell::new(name, BOLD), listed, calls(worked), restarts, error]
}

/// `1204/5000 this hour, 9000/100000 today`.
fn calls(worked: &Worked) -> Cell {
    let words = |operation: &str| match operation {
        "calls_per_hour" => "this hour".to_owned(),
        "calls_per_day" => "today".to_owned(),
        "adds_per_day" => "new items today".to_owned(),
        operation => operation.to_owned(),
    };
    let one = |row: &QuotaRow| match allowed(row.rule) {
        Some(limit) => format!("{}/{limit} {}", row.used.calls.total(), words(&row.operation)),
        None => format!("{} {}", row.used.calls.total(), words(&row.operation)),
    };
    if worked.quotas.is_empty() {
        return Cell::new("none yet", DIM);
    }
    worked.quotas.iter().rev().map(one).collect::<Vec<_>>().join(", ").into()
}
