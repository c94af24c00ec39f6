//! How limits and the queue went over the last day: what the daemon saw every few minutes. It forgets with the process.
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::Desk;
use crate::shop::upload::Work;

/// How often is looked, by the wall clock.
const EVERY: SignedDuration = SignedDuration::from_mins(5);
/// How many looks are kept: a day of them.
const KEPT: usize = 288;

/// One look.
#[derive(Clone, Debug)]
struct Sample {
    at: Timestamp,
    quotas: BTreeMap<(String, String), i64>,
    queue: BTreeMap<&'static str, i64>,
}

/// The looks of the last day.
#[derive(Clone, Debug, Default)]
pub struct Trends(Arc<Mutex<VecDeque<Sample>>>);

/// How limits and the queue went, over the last day at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrendsView {
    pub quotas: Vec<QuotaTrend>,
    pub queue: Vec<QueueTrend>,
}

/// How much of a limit was used when; the numbers fall where its hour or day begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaTrend {
    pub account: String,
    pub operation: String,
    /// Instant, calls used.
    pub points: Vec<(String, i64)>,
}

/// How many items of the upload queue were in a state when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueTrend {
    pub state: String,
    /// Instant, items.
    pub points: Vec<(String, i64)>,
}

impl Trends {
    /// Looks every five minutes, until it is cancelled. A look that fails is left out.
    pub async fn watch(self, desk: Desk, until: CancellationToken) {
        loop {
            if let Some(sample) = look(&desk).await {
                let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                while samples.len() >= KEPT {
                    samples.pop_front();
                }
                samples.push_back(sample);
            }
            tokio::select! {
                () = desk.clock.sleep(EVERY) => {}
                () = until.cancelled() => return,
            }
        }
    }

    /// What was seen.
    pub fn view(&self) -> TrendsView {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut quotas: BTreeMap<(String, String), Vec<(String, i64)>> = BTreeMap::new();
        let mut queue: BTreeMap<&'static str, Vec<(String, i64)>> = BTreeMap::new();
        for sample in &samples {
            for (key, used) in &sample.quotas {
                quotas.entry(key.clone()).or_default().push((sample.at.to_string(), *used));
            }
            for (state, items) in &sample.queue {
                queue.entry(state).or_default().push((sample.at.to_string(), *items));
            }
        }
        TrendsView {
            quotas: quotas.into_iter().map(|((account, operation), points)| QuotaTrend { account, operation, points }).collect(),
            queue: queue.into_iter().map(|(state, points)| QueueTrend { state: state.to_owned(), points }).collect(),
        }
    }
}

async fn look(desk: &Desk) -> Option<Sample> {
    let quotas = desk.quotas().await.ok()?;
    let counts = desk.shop.item_counts(Work::Upload).await.ok()?;
    let mut queue = BTreeMap::new();
    for count in counts {
        *queue.entry(count.state.word()).or_default() += i64::from(count.items);
    }
    let quotas = quotas.into_iter().map(|quota| ((quota.account, quota.operation), quota.used)).collect();
    Some(Sample { at: desk.now(), quotas, queue })
}
