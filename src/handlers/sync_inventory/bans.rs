//! What is listed and may not be, by the rules of the gate: it is hidden in every shop, whatever its offers are, and never shown again.
use std::collections::BTreeMap;

use super::Sync;
use crate::{
    handlers::HandlerError,
    shop::{
        gate::{Candidate, Reason, Rules, Verdict, judge},
        product::Asin,
    },
};

/// Products that are looked at together: their texts are all that is in memory of them.
const PORTION: usize = 200;

/// The products that must not be seen, and why.
pub(super) type Bans = BTreeMap<Asin, String>;

impl Sync<'_> {
    /// Looks at everything that is listed.
    pub(super) async fn bans(&self, rules: &Rules) -> Result<Bans, HandlerError> {
        let mut bans = Bans::new();
        let mut after = None;
        loop {
            let portion = self.store.listed_details(after, PORTION).await.map_err(|error| self.failure(&error.into()))?;
            for (asin, details) in &portion {
                let text = |value: &Option<String>| value.clone().unwrap_or_default();
                let (title, description) = (text(&details.title), text(&details.description));
                let (brand, category) = (text(&details.brand), text(&details.category));
                let candidate = Candidate { asin, title: &title, description: &description, brand: &brand, category: &category };
                if let Verdict::Block(reasons) = judge(&candidate, rules) {
                    bans.insert(asin.clone(), why(&reasons, rules));
                }
            }
            after = portion.last().map(|(asin, _)| asin.clone());
            if portion.len() < PORTION {
                return Ok(bans);
            }
        }
    }
}

fn why(reasons: &[Reason], rules: &Rules) -> String {
    let found: Vec<_> = reasons.iter().map(|reason| format!("{} ({})", reason.rule, reason.found)).collect();
    format!("may not be listed by version {} of the rules: {}", rules.version, found.join(", "))
}
