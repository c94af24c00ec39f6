//! What is listed and may not be, by the rules of the gate: it is hidden in every shop, whatever its offers are, and never shown again.
use std::collections::BTreeMap;

use super::Sync;
use crate::{
    handlers::HandlerError,
    shop::{
        gate::{Candidate, Rules, Verdict, judge},
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
                if let Verdict::Block(reasons) = judge(&Candidate::of(asin, details), rules) {
                    bans.insert(asin.clone(), format!("may not be listed: {}", rules.explain(&reasons)));
                }
            }
            after = portion.last().map(|(asin, _)| asin.clone());
            if portion.len() < PORTION {
                return Ok(bans);
            }
        }
    }
}
