//! Reading the offers: each batch is kept before the next is asked for, so that a run that stops goes on behind the last one.
//!
//! Two operations give the same answer, each under a quota of its own. Where both are used they drain one queue side by side.
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::{Catalogue, FAILURES_MAX, Sync};
use crate::{
    access::Planned,
    handlers::HandlerError,
    marketplace::{
        CallError, Concern,
        amazon::{Lane, Seller},
    },
    shop::{
        offer::{Filter, Finding},
        product::{Asin, Stock},
    },
    store::shop::{Guarded, keep_findings},
};

/// How often a product is asked for in one attempt by each lane, if its answer was a passing error.
const ASKED_MAX: u32 = 2;
/// A line of the log for so many batches: with the usual quota, one in four minutes.
const BATCHES_A_LINE: u64 = 25;

/// What came of it, for the summary.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetched {
    /// Products read in this run, by earlier attempts too.
    read: usize,
    in_stock: usize,
    no_offer: usize,
    filtered: usize,
    /// Why those were filtered that this attempt has read.
    filters: BTreeMap<Filter, usize>,
    /// Products of which nothing was found out, by the reason: what was known stays.
    errors: BTreeMap<String, usize>,
    /// The business hours ended before all were read.
    pub(super) is_closed: bool,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items read: {} in stock, {} without offers, {} filtered", self.read, self.in_stock, self.no_offer, self.filtered)?;
        reasons(f, &self.filters)?;
        if self.errors() > 0 {
            let noun = if self.errors() == 1 { "error" } else { "errors" };
            write!(f, ", {} {noun}", self.errors())?;
            reasons(f, &self.errors)?;
        }
        if self.is_closed {
            f.write_str("; closed for now, the rest is left for the next run")?;
        }
        Ok(())
    }
}

fn reasons<K: fmt::Display>(f: &mut fmt::Formatter<'_>, counts: &BTreeMap<K, usize>) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    let counts: Vec<_> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    write!(f, " ({})", counts.join(", "))
}

impl Fetched {
    /// Products of which nothing was found out.
    pub(super) fn errors(&self) -> usize {
        self.errors.values().sum()
    }

    fn count(&mut self, finding: &Finding) {
        match finding {
            Finding::Ok { .. } => self.in_stock += 1,
            Finding::NoOffer => self.no_offer += 1,
            Finding::Filtered(filter) => {
                self.filtered += 1;
                *self.filters.entry(*filter).or_default() += 1;
            }
            Finding::Error { code, .. } => *self.errors.entry(code.clone()).or_default() += 1,
        }
        self.read += usize::from(!matches!(finding, Finding::Error { .. }));
    }

    fn count_known(&mut self, stock: Stock) {
        self.read += 1;
        match stock {
            Stock::InStock => self.in_stock += 1,
            Stock::NoOffer => self.no_offer += 1,
            Stock::Filtered => self.filtered += 1,
        }
    }
}

/// What the lanes share. It is locked for moments, never across a call.
struct Shared<'c> {
    work: Mutex<Work<'c>>,
    /// A batch came back from a call.
    is_back: Notify,
}

struct Work<'c> {
    /// Products, and how often each was asked for.
    queue: VecDeque<(Asin, u32)>,
    /// Batches that are being asked for: some of their products may come back.
    in_hand: usize,
    /// How often a product may be asked for: a lane that fails leaves it to the others.
    asked_max: u32,
    catalogue: &'c mut Catalogue,
    fetched: Fetched,
    batches: u64,
}

impl<'c> Shared<'c> {
    fn lock(&self) -> MutexGuard<'_, Work<'c>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch; none when all is read.
    async fn next(&self, most: usize) -> Vec<(Asin, u32)> {
        loop {
            let is_back = self.is_back.notified();
            {
                let mut work = self.lock();
                let batch = work.take(most);
                if !batch.is_empty() || work.in_hand == 0 {
                    return batch;
                }
            }
            is_back.await;
        }
    }
}

impl Work<'_> {
    fn take(&mut self, most: usize) -> Vec<(Asin, u32)> {
        let count = self.queue.len().min(most);
        self.in_hand += usize::from(count > 0);
        self.queue.drain(..count).collect()
    }

    /// Puts back what was not asked for, to be the next.
    fn put_back(&mut self, batch: Vec<(Asin, u32)>) {
        self.in_hand = self.in_hand.saturating_sub(1);
        batch.into_iter().rev().for_each(|asked| self.queue.push_front(asked));
    }

    /// Counts what was found. What may have another answer a little later goes to the end of the queue, if it was not asked for too often.
    fn settle(&mut self, batch: Vec<(Asin, u32)>, findings: &BTreeMap<Asin, Finding>) {
        for (asin, asked) in batch {
            let Some(finding) = findings.get(&asin) else { continue };
            if let Finding::Error { code, message, .. } = finding {
                tracing::debug!(%asin, code, "nothing found out: {message}");
            }
            if matches!(finding, Finding::Error { retry: true, .. }) && asked + 1 < self.asked_max {
                self.queue.push_back((asin, asked + 1));
            } else {
                self.fetched.count(finding);
            }
        }
        self.in_hand = self.in_hand.saturating_sub(1);
        self.batches += 1;
        if self.batches.is_multiple_of(BATCHES_A_LINE) {
            tracing::info!("reading offers: {} read, {} to go", self.fetched.read, self.queue.len());
        }
    }
}

/// What came of a batch.
struct Read {
    findings: BTreeMap<Asin, Finding>,
    /// Why nothing was found out.
    missed: Option<CallError>,
}

/// Why a lane takes no more batches.
enum Stopped {
    Closed,
    Failed(CallError),
}

impl Sync<'_> {
    /// Reads the offers of every product that this run has not read yet, and lets the catalogue learn them.
    pub(super) async fn fetch(&self, seller: &Seller, catalogue: &mut Catalogue) -> Result<Fetched, HandlerError> {
        self.ctx.progress.set_total(count(catalogue.order.len()));
        self.ctx.progress.note("reading offers");
        let (queue, fetched) = self.still_to_read(catalogue);
        let asked = queue.len();
        let lanes = u32::try_from(self.settings.lanes.len()).unwrap_or(1);
        let work = Work { queue, in_hand: 0, asked_max: ASKED_MAX * lanes, catalogue, fetched, batches: 0 };
        let shared = Shared { work: Mutex::new(work), is_back: Notify::new() };
        let ended = join_all(self.settings.lanes.iter().map(|lane| self.drain(*lane, seller, &shared))).await;
        let Work { queue, catalogue, fetched, .. } = shared.work.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.ctx.progress.set_done(count(catalogue.order.len()));
        // One line of a dry run's plan for all that was kept, batch by batch, in a live one.
        _ = self.caller.access.permit(|| kept(fetched.read));
        // Not one answer: nothing that follows would stand on fresh data. A lane that failed alone left its part to the other.
        let is_fruitless = asked > 0 && fetched.errors() == asked;
        let (mut failed, mut missed) = (None, None);
        for end in ended {
            match end {
                Ok(last_missed) => missed = missed.or(last_missed),
                Err(error) if error.concern() == Concern::Run => return Err(self.failure(&error)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed.filter(|_| !queue.is_empty() && !fetched.is_closed).or(missed.filter(|_| is_fruitless)) {
            Some(error) => Err(self.seller_failure(seller, &error).await),
            None => Ok(fetched),
        }
    }

    /// Takes batches from the queue until there are none. The last error that cost a batch, where the next fared better.
    async fn drain(&self, lane: Lane, seller: &Seller, shared: &Shared<'_>) -> Result<Option<CallError>, CallError> {
        let mut failures = 0;
        let mut missed = None;
        loop {
            let next = self.caller.cancel.run_until_cancelled(shared.next(lane.products_max()));
            let batch = next.await.filter(|_| !self.caller.cancel.is_cancelled()).ok_or(CallError::Cancelled)?;
            if batch.is_empty() {
                return Ok(missed);
            }
            let result = self.read_batch(lane, seller, &batch, &mut failures).await;
            let kept = match &result {
                Ok(Read { findings, .. }) => self.keep(findings, shared).await,
                Err(_) => Ok(()),
            };
            let done = {
                let mut work = shared.lock();
                match &result {
                    Ok(Read { findings, .. }) => work.settle(batch, findings),
                    Err(_) => work.put_back(batch),
                }
                work.fetched.is_closed |= matches!(result, Err(Stopped::Closed));
                work.catalogue.order.len().saturating_sub(work.queue.len())
            };
            shared.is_back.notify_waiters();
            self.ctx.progress.set_done(count(done));
            kept?;
            match result {
                Ok(Read { missed: error, .. }) => missed = error.or(missed),
                Err(Stopped::Closed) => return Ok(missed),
                Err(Stopped::Failed(error)) => return Err(error),
            }
        }
    }

    /// Asks for one batch. One that fails while others may fare better is one of errors.
    async fn read_batch(&self, lane: Lane, seller: &Seller, batch: &[(Asin, u32)], failures: &mut u32) -> Result<Read, Stopped> {
        if self.is_closed() {
            return Err(Stopped::Closed);
        }
        let asins: Vec<_> = batch.iter().map(|(asin, _)| asin.clone()).collect();
        match seller.offers_by(lane, &self.caller, &asins, &self.settings.offers).await {
            Ok(findings) => {
                *failures = 0;
                Ok(Read { findings, missed: None })
            }
            Err(error) => {
                *failures += 1;
                let wants_rest = error.retry_after(self.now()).is_some_and(|asked| asked.is_positive());
                // Three in a row are no accident.
                let is_the_batchs = error.concern() == Concern::Call || lane.is_the_calls(&error);
                if !is_the_batchs || *failures >= FAILURES_MAX || wants_rest {
                    return Err(Stopped::Failed(error));
                }
                tracing::warn!("a batch of {} products was not read: {error}", batch.len());
                let message = error.to_string();
                let finding = || Finding::Error { code: "no_answer".to_owned(), message: message.clone(), retry: true };
                Ok(Read { findings: asins.into_iter().map(|asin| (asin, finding())).collect(), missed: Some(error) })
            }
        }
    }

    /// The products that are older than this run, or from a time to come as the clock was set back. Those that an earlier attempt of it has read are
    /// counted as read.
    fn still_to_read(&self, catalogue: &Catalogue) -> (VecDeque<(Asin, u32)>, Fetched) {
        let (mut queue, mut fetched) = (VecDeque::new(), Fetched::default());
        for asin in &catalogue.order {
            let read = catalogue.products.get(asin).filter(|product| self.is_read(product));
            match read.and_then(|product| product.stock) {
                None => queue.push_back((asin.clone(), 0)),
                Some(stock) => fetched.count_known(stock.value),
            }
        }
        self.ctx.progress.set_done(count(fetched.read));
        (queue, fetched)
    }

    /// Keeps what was found, in the store and for the rest of the run.
    async fn keep(&self, findings: &BTreeMap<Asin, Finding>, shared: &Shared<'_>) -> Result<(), CallError> {
        let at = self.now();
        let known: Vec<_> = findings.iter().filter(|(_, finding)| !matches!(finding, Finding::Error { .. })).collect();
        if known.is_empty() {
            return Ok(());
        }
        let kept = known.iter().map(|(asin, finding)| ((*asin).clone(), (*finding).clone())).collect();
        match keep_findings(self.store, &self.caller.access, kept, at).await? {
            Guarded::Done(()) => {}
            Guarded::Fenced => return Err(CallError::Fenced),
        }
        let mut work = shared.lock();
        for (asin, finding) in known {
            if let Some(product) = work.catalogue.products.get_mut(asin) {
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

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
