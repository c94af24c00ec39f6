//! What came of a run, for the history and for people.
use std::{fmt, sync::Arc};

use crate::{
    handlers::AttemptContext,
    notify::{Event, Level, Notice},
    store::shop::Refusal,
};

/// Listings that are named; the log names all.
const NAMED_MAX: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Listings that have the stock now that they are to show.
    pub(super) told: usize,
    /// Listings that are deleted.
    pub(super) withdrawn: usize,
    /// Changes that a dry run did not make.
    pub(super) planned: usize,
    /// What Amazon refused, or would refuse.
    pub(super) refused: Vec<Refusal>,
    /// Left out, as Amazon has refused them not long ago.
    pub(super) held: usize,
    /// What is to be known of a feed.
    pub(super) feed: Option<String>,
    /// Something that a person should look at besides.
    pub(super) odd: Option<String>,
}

impl Tally {
    fn named(&self) -> String {
        let named: Vec<_> = self
            .refused
            .iter()
            .take(NAMED_MAX)
            .map(|refusal| format!("{} ({}: {})", refusal.push.sku, refusal.code, refusal.text))
            .collect();
        let more = self.refused.len().saturating_sub(NAMED_MAX);
        let and = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{and}", named.join(", "))
    }

    /// Tells a person what needs one's eye, once for the whole attempt.
    pub(super) fn tell(&self, ctx: &AttemptContext, account: &Arc<str>) {
        for Refusal { push, code, text, .. } in &self.refused {
            tracing::warn!("{account} {}: Amazon refused {}: {code} {text}", push.sku, what(push.stock));
        }
        let mut parts = Vec::new();
        if !self.refused.is_empty() {
            parts.push(format!("Amazon refused changes of {} listings, which keep what they show: {}", self.refused.len(), self.named()));
        }
        parts.extend(self.odd.clone());
        if !parts.is_empty() {
            let notice = Notice { event: Event::NeedsEye, level: Level::Warning, subject: Arc::clone(account), text: parts.join("; ") };
            ctx.notifier.notify(notice);
        }
    }
}

/// A change in words.
pub(super) fn what(stock: Option<u32>) -> String {
    stock.map_or_else(|| "its deletion".to_owned(), |stock| format!("stock {stock}"))
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut count = |number: usize, text: &str| {
            if number > 0 {
                parts.push(format!("{number} {text}"));
            }
        };
        count(self.told, "listings told their stock");
        count(self.withdrawn, "listings deleted");
        count(self.planned, "changes planned");
        count(self.held, "left out, as Amazon refused them before");
        if !self.refused.is_empty() {
            parts.push(format!("{} refused: {}", self.refused.len(), self.named()));
        }
        parts.extend(self.feed.clone());
        if parts.is_empty() { f.write_str("Amazon knows every stock") } else { f.write_str(&parts.join("; ")) }
    }
}
