//! Reading the offers: twenty products a call, each batch kept before the next is asked for.
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use super::{Catalogue, FAILURES_MAX, Sync};
use crate::{
    access::Planned,
    handlers::HandlerError,
    marketplace::{Concern, amazon::Seller},
    shop::{
        offer::{Filter, Finding},
        product::{Asin, Stock},
    },
    store::shop::{Guarded, keep_findings},
};

/// How often a product is asked for in one attempt, if its answer was a passing error.
const ASKED_MAX: u32 = 2;

/// What came of it, for the summary.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// Products read in this run, by earlier attempts too.
    read: usize,
    in_stock: usize,
    no_offer: usize,
    filtered: usize,
    /// Why those were filtered that this attempt has read.
    filters: BTreeMap<Filter, usize>,
    /// Products of which nothing was found out: what was known stays.
    errors: usize,
    /// The business hours ended before all were read.
    pub(super) is_closed: bool,
    /// The run reads no offers.
    is_left_out: bool,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_left_out {
            return f.write_str("no offers read");
        }
        write!(f, "{} items read: {} in stock, {} without offers, {} filtered", self.read, self.in_stock, self.no_offer, self.filtered)?;
        if !self.filters.is_empty() {
            let filters: Vec<_> = self.filters.iter().map(|(filter, count)| format!("{count} {filter}")).collect();
            write!(f, " ({})", filters.join(", "))?;
        }
        if self.errors > 0 {
            write!(f, ", {} errors", self.errors)?;
        }
        Ok(())
    }
}

impl Fetched {
    /// Of a run that goes by what earlier ones have read.
    pub(super) fn left_out() -> Self {
        Self { is_left_out: true, ..Self::default() }
    }

    fn count(&mut self, finding: &Finding) {
        match finding {
            Finding::Ok { .. } => self.in_stock += 1,
            Finding::NoOffer => self.no_offer += 1,
            Finding::Filtered(filter) => {
                self.filtered += 1;
                *self.filters.entry(*filter).or_default() += 1;
            }
            Finding::Error { .. } => self.errors += 1,
        }
        self.read += usize::from(!matches!(finding, Finding::Error { .. }));
    }
}

/// Who is still to be asked for.
struct Waiting {
    queue: VecDeque<(Asin, u32)>,
}

impl Waiting {
    fn take(&mut self, most: usize) -> Vec<(Asin, u32)> {
        let count = self.queue.len().min(most);
        self.queue.drain(..count).collect()
    }

    /// Puts a product at the end to be asked for again; false: it was asked for often enough.
    fn again(&mut self, asin: &Asin, asked: u32) -> bool {
        let may = asked + 1 < ASKED_MAX;
        if may {
            self.queue.push_back((asin.clone(), asked + 1));
        }
        may
    }
}

impl Sync<'_> {
    /// Reads the offers of every product that this run has not read yet, and lets the catalogue learn them.
    pub(super) async fn fetch(&self, seller: &Seller, catalogue: &mut Catalogue) -> Result<Fetched, HandlerError> {
        let mut fetched = Fetched::default();
        let mut waiting = self.still_to_read(catalogue, &mut fetched);
        let (total, asked) = (catalogue.order.len(), waiting.queue.len());
        self.ctx.progress.set_total(count(total));
        let mut failures = 0;
        let mut last_error = None;
        while !waiting.queue.is_empty() {
            if self.caller.cancel.is_cancelled() {
                return Err(HandlerError::Cancelled);
            }
            if self.is_closed() {
                fetched.is_closed = true;
                return Ok(fetched);
            }
            self.ctx.progress.set_done(count(total.saturating_sub(waiting.queue.len())));
            self.ctx.progress.note("reading offers");
            let batch = waiting.take(Seller::OFFERS_BATCH_MAX);
            let asins: Vec<_> = batch.iter().map(|(asin, _)| asin.clone()).collect();
            let findings = match seller.offers(&self.caller, &asins, &self.settings.offers).await {
                Ok(findings) => {
                    failures = 0;
                    findings
                }
                Err(error) => {
                    failures += 1;
                    if error.concern() != Concern::Call || failures >= FAILURES_MAX {
                        return Err(self.failure(&error));
                    }
                    tracing::warn!("a batch of {} products was not read: {error}", batch.len());
                    let missed = |asin: &Asin| (asin.clone(), Finding::Error { message: error.to_string(), retry: true });
                    let findings = asins.iter().map(missed).collect();
                    last_error = Some(error);
                    findings
                }
            };
            self.take_over(&findings, catalogue).await?;
            for (asin, asked) in batch {
                let Some(finding) = findings.get(&asin) else { continue };
                if !(matches!(finding, Finding::Error { retry: true, .. }) && waiting.again(&asin, asked)) {
                    note_error(&asin, finding);
                    fetched.count(finding);
                }
            }
        }
        self.ctx.progress.set_done(count(total));
        // One line of a dry run's plan for all that was kept, batch by batch, in a live one.
        _ = self.caller.access.permit(|| kept(fetched.read));
        match last_error {
            // Not one answer: nothing that follows would stand on fresh data.
            Some(error) if asked > 0 && fetched.errors == asked => Err(self.failure(&error)),
            _ => Ok(fetched),
        }
    }

    /// The products that are older than this run, or from a time to come as the clock was set back. Those that an earlier attempt of it has read are counted as read.
    fn still_to_read(&self, catalogue: &Catalogue, fetched: &mut Fetched) -> Waiting {
        let (since, now) = (self.ctx.fire_at, self.now());
        let mut queue = VecDeque::new();
        for asin in &catalogue.order {
            let stock = catalogue.products.get(asin).and_then(|product| product.stock);
            match stock.filter(|stock| since <= stock.fetched_at && stock.fetched_at <= now) {
                None => queue.push_back((asin.clone(), 0)),
                Some(stock) => {
                    fetched.read += 1;
                    match stock.value {
                        Stock::InStock => fetched.in_stock += 1,
                        Stock::NoOffer => fetched.no_offer += 1,
                        Stock::Filtered => fetched.filtered += 1,
                    }
                }
            }
        }
        Waiting { queue }
    }

    /// Keeps what was found, in the store and for the rest of the run.
    async fn take_over(&self, findings: &BTreeMap<Asin, Finding>, catalogue: &mut Catalogue) -> Result<(), HandlerError> {
        let at = self.now();
        let known: Vec<_> = findings.iter().filter(|(_, finding)| !matches!(finding, Finding::Error { .. })).collect();
        if known.is_empty() {
            return Ok(());
        }
        let kept = known.iter().map(|(asin, finding)| ((*asin).clone(), (*finding).clone())).collect();
        match keep_findings(self.store, &self.caller.access, kept, at).await {
            Ok(Guarded::Done(())) => {}
            Ok(Guarded::Fenced) => return Err(HandlerError::Fenced),
            Err(error) => return Err(self.failure(&error.into())),
        }
        for (asin, finding) in known {
            if let Some(product) = catalogue.products.get_mut(asin) {
                product.learn(finding, at);
            }
        }
        Ok(())
    }
}

fn kept(products: usize) -> Planned {
    Planned {
        kind: "catalogue",
        target: format!("{products} products"),
        change: "cost and stock".to_owned(),
        reason: "as found".to_owned(),
    }
}

fn note_error(asin: &Asin, finding: &Finding) {
    if let Finding::Error { message, .. } = finding {
        tracing::debug!(%asin, "nothing found out: {message}");
    }
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
