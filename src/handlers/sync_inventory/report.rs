//! How an attempt ends: the sentence for the history, and whether the run is over, goes on later, or has failed.
use std::{fmt::Write as _, sync::Arc};

use jiff::SignedDuration;

use super::{
    Catalogue, Fetched, Sync,
    past::Past,
    shops::{Left, Unfinished},
};
use crate::{
    handlers::{HandlerError, Report},
    notify::{Event, Level, Notice},
};

impl Sync<'_> {
    /// Tells a person, once in a run, that data is older than it may be: nothing is written by it.
    pub(super) fn tell_stale(&self, catalogue: &Catalogue, past: &mut Past, has_failed: bool) {
        let (now, max_age) = (self.now(), self.settings.rules.data_max_age);
        let stocks = catalogue.products.values().map(|product| product.stock);
        let stale: Vec<_> = stocks.filter(|stock| !stock.is_some_and(|stock| stock.is_fresh(now, max_age))).collect();
        // What was never read is as new as its listing; it is told of where reading it fails.
        if stale.is_empty() || past.has_told_stale {
            return;
        }
        let oldest = stale.iter().flatten().map(|stock| now.duration_since(stock.fetched_at)).max();
        let oldest = oldest.map_or_else(|| "never read".to_owned(), oldest_of);
        let text = format!(
            "the offers of {} of {} listed products are older than `data_max_age` ({oldest}): neither price nor visibility is written for them{}",
            stale.len(),
            catalogue.order.len(),
            if has_failed { "; reading them has failed, see `taskrun history`" } else { "" }
        );
        let level = if has_failed { Level::Alert } else { Level::Warning };
        self.ctx.notifier.notify(Notice { event: Event::DataStale, level, subject: self.ctx.instance.name.as_str().into(), text });
        past.has_told_stale = true;
    }

    /// The end of an attempt. What another attempt can do soon comes first; then what a person has to see to; the rest is a success.
    pub(super) fn report(
        &self,
        fetched: Option<&Fetched>,
        products: usize,
        past: &Past,
        unfinished: &[Unfinished],
    ) -> Result<Report, HandlerError> {
        let total = past.total();
        let mut text = fetched.map_or_else(|| "no offers read".to_owned(), ToString::to_string);
        if !past.shops.is_empty() {
            _ = write!(text, "; {total}");
        }
        let (mut is_transient, mut retry_after, mut until) = (false, None, None);
        for Unfinished { account, left, why } in unfinished {
            match left {
                Left::Until(later) => {
                    until = Some(until.map_or(*later, |until: jiff::Timestamp| until.min(*later)));
                    _ = write!(text, "; {account} waits: {why}");
                }
                Left::Parked => _ = write!(text, "; {account} is left out: {why}"),
                Left::Failed(error) => {
                    is_transient |= error.is_passing();
                    retry_after = retry_after.max(error.retry_after(self.now()));
                    _ = write!(text, "; {account} failed: {why}");
                }
            }
        }
        if is_transient {
            return Err(HandlerError::Transient { message: text, retry_after });
        }
        if let Some(until) = until {
            return Err(HandlerError::NotYet { message: text, until });
        }
        let is_told = |account: &Arc<str>| unfinished.iter().any(|unfinished| unfinished.account == *account);
        let of_earlier_attempts = past.shops.iter().filter(|(account, _)| !is_told(account));
        let mut problems: Vec<_> = of_earlier_attempts.filter_map(|(_, shop)| shop.problem.clone()).collect();
        problems.extend(past.braked.as_ref().map(|reason| format!("brake: {reason}")));
        let errors = fetched.map_or(0, Fetched::errors) + total.errors;
        if self.settings.fail_if.is_passed(errors, products) {
            problems.push(format!("{errors} errors among {products} products are more than `fail_if` allows"));
        }
        for problem in &problems {
            _ = write!(text, "; {problem}");
        }
        let has_problem = !problems.is_empty() || past.shops.values().any(|shop| shop.problem.is_some());
        if has_problem { Err(HandlerError::Permanent { message: text }) } else { Ok(Report { summary: text }) }
    }
}

/// How old the oldest data is; where the clock was set back, all of it may be from a time to come.
fn oldest_of(age: SignedDuration) -> String {
    if age.is_negative() {
        "the oldest is from a time to come: was the clock set back?".to_owned()
    } else {
        format!("the oldest {} h", age.as_hours())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_data_is_less_than_no_hours_old() {
        assert_eq!(oldest_of(SignedDuration::from_hours(5)), "the oldest 5 h");
        assert!(oldest_of(SignedDuration::from_hours(-4)).contains("from a time to come"));
    }
}
