//! A store, and short words for what the tests do with it.
use std::{path::PathBuf, sync::Arc};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use taskrun::{
    core::{
        event::{AdoptAnswer, Asked, CloseAnswer, JudgeRequest, Judgement, NotYet, Outcome, Rival, RunEnd, Skip, SkipReason, StartAnswer},
        task::{Backoff, CatchUp, Generation, Instance, InstanceName, OnLost, Overlap, ProcessId, RetryPolicy, RunId, Trigger},
        timing::Timing,
        value::Params,
    },
    shop::product::Platform,
    store::{
        CloseRequest, Fence, HistoryFilter, HistoryRow, PostponeRequest, RowState, RunStore, StoreResult,
        memory::MemoryStore,
        shop::{AccountKey, Park, Parked, Parks as _, ShopStore},
        sqlite::SqliteStore,
        upkeep::Upkeep,
    },
};

/// A store of either kind.
pub(crate) enum Kind {
    Memory(MemoryStore),
    Sqlite(SqliteStore),
}

pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) store: Arc<dyn RunStore>,
    kind: Kind,
    folder: Option<tempfile::TempDir>,
}

/// Minute `n` of the day of these tests.
pub(crate) fn minute(n: i64) -> Timestamp {
    "2026-11-22T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(n)
}

pub(crate) fn instance(name: &str) -> Instance {
    let (task, account) = name.split_once('@').map_or((name, None), |(task, account)| (task, Some(account)));
    Instance {
        name: name.into(),
        task: task.into(),
        account: account.map(Into::into),
        handler: "command".into(),
        enabled: true,
        timing: Timing {
            schedules: Vec::new(),
            zone: TimeZone::UTC,
            zone_name: "UTC".into(),
            hours: None,
            calendar: None,
            defer: false,
            splay: SignedDuration::ZERO,
        },
        catch_up: CatchUp::Latest,
        start_deadline: None,
        overlap: Overlap::LastWins,
        locks: Vec::new(),
        lock_wait: SignedDuration::ZERO,
        retries: RetryPolicy { max: 3, delay: SignedDuration::ZERO, backoff: Backoff::Fixed, max_delay: SignedDuration::ZERO, jitter: 0.0 },
        timeout: None,
        deadline: None,
        grace: SignedDuration::ZERO,
        takeover: SignedDuration::ZERO,
        on_lost: OnLost::Retry,
        resumable: true,
        parks: true,
        needs: Vec::new(),
        after_success: Vec::new(),
        with: Params::default(),
    }
}

pub(crate) fn overlapping(name: &str, overlap: Overlap) -> Instance {
    Instance { overlap, ..instance(name) }
}

pub(crate) fn locking(name: &str, locks: &[&str]) -> Instance {
    Instance { locks: locks.iter().map(|lock| (*lock).into()).collect(), ..instance(name) }
}

/// What is sent to be judged.
pub(crate) fn fire(instance: &Instance, at: i64) -> JudgeRequest {
    let asked = Some(Asked { fire_at: minute(at), trigger: Trigger::Schedule });
    JudgeRequest {
        instance: Arc::new(instance.clone()),
        skips: Vec::new(),
        asked,
        ended_at: None,
        follow_up: None,
        refused: None,
        waiting: None,
        last_chance: false,
        break_locks: false,
        vouched: Vec::new(),
    }
}

pub(crate) fn by_hand(instance: &Instance, at: i64) -> JudgeRequest {
    JudgeRequest { asked: Some(Asked { fire_at: minute(at), trigger: Trigger::Manual }), ..fire(instance, at) }
}

pub(crate) fn skips(instance: &Instance, skips: Vec<Skip>) -> JudgeRequest {
    JudgeRequest { skips, asked: None, ..fire(instance, 0) }
}

pub(crate) fn skip(first: i64, last: i64, reason: SkipReason, detail: Option<&str>) -> Skip {
    let count = u32::try_from(last - first + 1).unwrap();
    Skip { first_at: minute(first), last_at: minute(last), count, at_least: false, reason, detail: detail.map(Into::into) }
}

pub(crate) fn again(request: JudgeRequest, waiting: RunId, last_chance: bool) -> JudgeRequest {
    JudgeRequest { waiting: Some(waiting), last_chance, break_locks: last_chance, ..request }
}

pub(crate) fn vouching(request: JudgeRequest, vouched: &[(ProcessId, bool)]) -> JudgeRequest {
    JudgeRequest { vouched: vouched.to_vec(), ..request }
}

pub(crate) fn failed(error: &str) -> Outcome {
    Outcome::Failed { transient: true, retry_after: None, error: error.into() }
}

pub(crate) fn not_yet(until: i64) -> Outcome {
    Outcome::NotYet(NotYet { until: minute(until), why: "1000 calls are used up".into() })
}

pub(crate) fn succeeded(summary: &str) -> Outcome {
    Outcome::Succeeded { summary: summary.into() }
}

pub(crate) fn ended(end: RunEnd, by: Option<RunId>) -> RowState {
    RowState::Ended { end, by }
}

impl World {
    /// One world of each kind of store.
    pub(crate) fn each() -> Vec<Self> {
        vec![Self::memory(), Self::sqlite()]
    }

    pub(crate) fn memory() -> Self {
        let store = MemoryStore::default();
        Self { name: "memory", store: Arc::new(store.clone()), kind: Kind::Memory(store), folder: None }
    }

    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("taskrun.db")).unwrap();
        Self { name: "sqlite", store: Arc::new(store.clone()), kind: Kind::Sqlite(store), folder: Some(folder) }
    }

    /// The handlers' half of the same file.
    pub(crate) fn shop(&self) -> Arc<dyn ShopStore> {
        match &self.kind {
            Kind::Memory(_) => panic!("the memory store has runs only"),
            Kind::Sqlite(store) => Arc::new(store.clone()),
        }
    }

    /// The housekeeping of the same file.
    pub(crate) fn upkeep(&self) -> Arc<dyn Upkeep> {
        match &self.kind {
            Kind::Memory(_) => panic!("the memory store needs none"),
            Kind::Sqlite(store) => Arc::new(store.clone()),
        }
    }

    /// The database file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("taskrun.db")
    }

    /// Adopts a run of an instance without named locks.
    pub(crate) async fn adopt(&self, run: RunId, process: ProcessId, lost: bool, at: i64) -> AdoptAnswer {
        self.store.adopt(run, process, Arc::new(instance("sync")), lost, minute(at)).await.unwrap()
    }

    /// Parks an account of BASE.
    pub(crate) async fn park(&self, account: &str, until: Option<i64>, detail: &str) {
        match &self.kind {
            Kind::Memory(store) => store.park(account, until.map(minute), detail).await.unwrap(),
            Kind::Sqlite(store) => {
                let account = AccountKey { platform: Platform::Base, account: account.into() };
                let park = Park { account, cause: Parked::Limited, detail: detail.into(), since: minute(0), until: until.map(minute) };
                store.park(park).await.unwrap();
            }
        }
    }

    pub(crate) async fn daemon(&self) -> ProcessId {
        self.store.register_process(1_000, false, "daemon".to_owned(), minute(0)).await.unwrap()
    }

    pub(crate) async fn once(&self) -> ProcessId {
        self.store.register_process(2_000, true, "once".to_owned(), minute(0)).await.unwrap()
    }

    pub(crate) async fn judge(&self, process: ProcessId, request: JudgeRequest) -> Judgement {
        self.store.judge(process, request, minute(0)).await.unwrap()
    }

    /// A fire that has to become a run.
    pub(crate) async fn admit(&self, process: ProcessId, request: JudgeRequest) -> (RunId, Generation, Vec<Rival>) {
        match self.judge(process, request).await {
            Judgement::Admitted { run, generation, rivals } => (run, generation, rivals),
            other => panic!("{}: not admitted: {other:?}", self.name),
        }
    }

    /// A run that has begun its first attempt.
    pub(crate) async fn running(&self, process: ProcessId, request: JudgeRequest) -> RunId {
        let raise_floor = request.instance.overlap == Overlap::LastWins;
        let (run, ..) = self.admit(process, request).await;
        assert_eq!(self.start(process, run, 1, raise_floor).await, StartAnswer::Started, "{}", self.name);
        run
    }

    pub(crate) async fn start(&self, process: ProcessId, run: RunId, attempt: u32, raise_floor: bool) -> StartAnswer {
        self.store.start(process, run, attempt, raise_floor, minute(1)).await.unwrap()
    }

    pub(crate) async fn postpone(&self, process: ProcessId, run: RunId, attempt: u32, outcome: Outcome, retry_at: Timestamp) {
        self.store.postpone(PostponeRequest { run, process, attempt, outcome, retry_at }, minute(2)).await.unwrap();
    }

    pub(crate) async fn close(&self, process: ProcessId, run: RunId, end: RunEnd) -> CloseAnswer {
        self.store.close(closing(process, run, end), minute(2)).await.unwrap()
    }

    pub(crate) async fn row(&self, run: RunId) -> HistoryRow {
        self.store.row(run).await.unwrap().unwrap()
    }

    pub(crate) async fn state(&self, run: RunId) -> RowState {
        self.row(run).await.state
    }

    pub(crate) async fn history(&self) -> Vec<HistoryRow> {
        self.store.history(HistoryFilter { limit: 100, ..HistoryFilter::default() }).await.unwrap()
    }

    pub(crate) async fn watermark(&self, name: &str) -> Timestamp {
        // A registration that changes nothing tells it.
        let seen = taskrun::store::InstanceSeen { name: name.into(), schedule: "s".to_owned() };
        self.store.register_instances(vec![seen], false, minute(-1_000)).await.unwrap().remove(0).watermark
    }

    pub(crate) async fn register(&self, names: &[&str], all: bool, at: i64) -> Vec<taskrun::core::event::Mark> {
        let seen = |name: &&str| taskrun::store::InstanceSeen { name: (*name).into(), schedule: "s".to_owned() };
        self.store.register_instances(names.iter().map(seen).collect(), all, minute(at)).await.unwrap()
    }

    /// Whether a handler of that run may write.
    pub(crate) async fn may_write(&self, name: &str, run: RunId, generation: Generation) -> bool {
        let fence = Fence { instance: InstanceName::from(name), run, generation };
        let answer: StoreResult<bool> = match &self.kind {
            Kind::Memory(store) => store.may_write(&fence).await,
            Kind::Sqlite(store) => store.may_write(fence).await,
        };
        answer.unwrap()
    }
}

pub(crate) fn closing(process: ProcessId, run: RunId, end: RunEnd) -> CloseRequest {
    CloseRequest { run, process, end, by: None, attempt: 0, outcome: None, raise_floor: false, follow_ups: Vec::new() }
}
