//! The work queue: jobs of the queue that are no uploads. Same table, same states, same leases; whose lane it is, is a source's and not a shop's.
use std::sync::Arc;

use jiff::Timestamp;

use super::{Guarded, ItemError, Lease, Ordered, SupplyKey};
use crate::{
    shop::upload::{ItemId, Order, State, Work},
    store::{Answer, Fence},
};

/// So often may a worker's process die with a job in hand; then the job is set aside.
pub const DEATHS_MAX: u32 = 3;
/// The code of a job that was set aside for that.
pub const POISON: &str = "poison";

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number; uploads are counted in the same row.
    pub id: ItemId,
    /// What is to be done.
    pub work: Work,
    /// At which source.
    pub source: Arc<str>,
    /// For which listing.
    pub key: SupplyKey,
    /// Where it stands.
    pub state: State,
    /// 1 to 20; the higher one comes first.
    pub priority: u8,
    /// When it is due.
    pub scheduled_at: Timestamp,
    /// It was put back and is not due before then.
    pub retry_at: Option<Timestamp>,
    /// How often a worker took it, less those times that do not count.
    pub attempts: u32,
    /// How often a process died with it in hand.
    pub deaths: u32,
    /// Who has it.
    pub lease: Option<Lease>,
    /// Why it failed or was put back, the last time.
    pub error: Option<ItemError>,
    /// When it entered.
    pub created_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// Whose jobs: a kind of work at a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkLane {
    /// What is to be done.
    pub work: Work,
    /// At which source.
    pub source: Arc<str>,
}

/// What became of jobs whose worker is no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// So many wait again.
    pub back: u32,
    /// These killed their worker too often and are dead letters now.
    pub poisoned: Vec<Job>,
}

/// How a worker is done with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// All of it is done.
    Done,
    /// It is due again then.
    PutBack {
        /// When.
        until: Timestamp,
        /// Whether this attempt counts: a limit or an orderly stop does not.
        counts: bool,
        /// Why, where something went wrong.
        error: Option<ItemError>,
    },
    /// It will not be tried again by itself: a dead letter.
    Failed(ItemError),
}

/// Which jobs are wanted.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of this kind; otherwise of all but uploads.
    pub work: Option<Work>,
    /// Of this source.
    pub source: Option<Arc<str>>,
    /// In this state.
    pub state: Option<State>,
    /// Whose last error has this code.
    pub code: Option<Arc<str>>,
    /// At most this many, newest first.
    pub limit: usize,
}

/// How many jobs of a lane are in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCount {
    /// The lane; of uploads, the platform stands for the source.
    pub lane: WorkLane,
    /// The state.
    pub state: State,
    /// How many.
    pub jobs: u32,
    /// Of those that wait, how many are due.
    pub due: u32,
    /// Since when the longest of these is due.
    pub oldest_due: Option<Timestamp>,
}

/// The jobs.
///
/// What workers write carries their run's fence and is refused for a job that is not that run's (any more).
pub trait WorkQueue: Send + Sync + std::fmt::Debug {
    /// Takes back jobs whose worker is no more: its run is over or shut out, or the lease has ended. `own`: also those of this run, for its
    /// beginning, when its hands are empty. Each counts a death, and after [`DEATHS_MAX`] of them it is a dead letter.
    fn reclaim_jobs(&self, fence: Fence, lane: WorkLane, own: bool, at: Timestamp) -> Answer<Guarded<Reclaimed>>;
    /// Takes jobs that are due: by scheduled time, priority (high first), number. `suspect`: only one that has had a death; otherwise only such as
    /// had none. So a job that kills its process is soon alone with it, and takes no other along.
    fn claim_jobs(
        &self,
        fence: Fence,
        lane: WorkLane,
        suspect: bool,
        limit: usize,
        lease: (Timestamp, Timestamp),
    ) -> Answer<Guarded<Vec<Job>>>;
    /// All jobs of this run are its own until then.
    fn renew_jobs(&self, fence: Fence, lane: WorkLane, until: Timestamp) -> Answer<Guarded<()>>;
    /// When the next job that had no death is due; the past, where one is. `None`: none waits.
    fn next_job_at(&self, lane: WorkLane) -> Answer<Option<Timestamp>>;
    /// Ends the work on a job. `None`: it is not this run's any more.
    fn settle_job(&self, fence: Fence, job: ItemId, how: JobEnd, at: Timestamp) -> Answer<Guarded<Option<State>>>;

    /// Jobs as a filter wants them, newest first.
    fn jobs(&self, filter: JobFilter) -> Answer<Vec<Job>>;
    /// One job; none for an upload.
    fn job(&self, id: ItemId) -> Answer<Option<Job>>;
    /// How many there are of everything, uploads as well, by kind, source and state.
    fn job_counts(&self, at: Timestamp) -> Answer<Vec<JobCount>>;
    /// Follows a person's order for jobs, each for itself. One that is tried again starts without attempts and deaths.
    fn order_jobs(&self, jobs: Vec<ItemId>, order: Order, at: Timestamp) -> Answer<Vec<Ordered>>;
}
