//! What a claim costs with a thousand and with a million items waiting, and how many items a second workers can take and finish here.
//!
//! `cargo run --release --example queue_speed [FOLDER]` writes to new files in the folder (else in the system's temporary one), needs about a
//! minute and 1 GB, and prints a line each for both sizes and for one and 64 workers. An item is four durable writes: claimed, begun, made,
//! finished. Many workers share a sync to disk, so the last figure is many times the one before; beside it stands what the disk allows.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use taskrun::{
    clock::{Clock, SystemClock},
    config::{self, LoadOptions, Secrets},
    core::event::{Asked, JudgeRequest, Judgement, RunEnd},
    core::task::{ProcessId, Trigger},
    handlers::command,
    shop::{
        product::Platform,
        upload::{ItemId, Step, Work},
    },
    store::{
        Fence, RunStore, StoreResult,
        shop::{AccountKey, Batch, Cap, ClaimRequest, Guarded, NextStep, Queue, Settled},
        sqlite::SqliteStore,
    },
};

type Failed = Box<dyn Error + Send + Sync>;

/// Claims that are measured.
const CLAIMS: u32 = 384;
/// Claims that go to the disk together.
const TOGETHER: u32 = 64;
/// How long workers are measured.
const MEASURED: SignedDuration = SignedDuration::from_secs(2);
/// Every item is due.
const DUE: i64 = 2_000_000_000_000;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let clock = SystemClock::start();
    for items in [1_000, 1_000_000] {
        let folder = tempfile::tempdir_in(&folder)?;
        let bench = Bench::open(&folder.path().join("taskrun.db"), items, Arc::clone(&clock)).await?;
        bench.claims(items).await?;
        if items > 1_000 {
            bench.workers(1).await?;
            bench.workers(64).await?;
            bench.writes(64).await?;
        }
    }
    Ok(())
}

struct Bench {
    store: SqliteStore,
    process: ProcessId,
    clock: Arc<SystemClock>,
}

impl Bench {
    /// A store with so many items that wait for one account.
    async fn open(path: &Path, items: u32, clock: Arc<SystemClock>) -> Result<Self, Failed> {
        drop(SqliteStore::open(path)?);
        let conn = rusqlite::Connection::open(path)?;
        conn.execute_batch(&format!(
            "BEGIN; WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {items})
               INSERT INTO products (asin, created_at_ms) SELECT printf('B0%08d', i), 0 FROM n;
             INSERT INTO queue (kind, platform, account, subject, state, priority, scheduled_at_ms, created_at_ms)
               SELECT 'upload', 'base', 'shop', asin, 'pending', 5, rowid, 0 FROM (SELECT asin, row_number() OVER () AS rowid FROM products);
             COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"
        ))?;
        drop(conn);
        let store = SqliteStore::open(path)?;
        let process = store.register_process(1, false, "bench".to_owned(), clock.now().wall).await?;
        Ok(Self { store, process, clock })
    }

    /// A run that may write beside others.
    async fn fence(&self, n: i64) -> Result<Fence, Failed> {
        let text = "tasks: {upload: {handler: command, overlap: allow, with: {run: [x]}}}";
        let now = self.clock.now().wall;
        let options = LoadOptions { handlers: &[command::SPEC], practice: false, secrets: Secrets::NotNeeded, env: &|_| None, now };
        let config = config::read(text, Path::new("tasks.yaml"), &options).map_err(|faults| faults.to_string())?;
        let instance = config.instances.into_values().next().ok_or("no instance")?;
        let name = instance.name.clone();
        let asked = Asked { fire_at: Timestamp::from_second(n)?, trigger: Trigger::Manual };
        let request = JudgeRequest {
            instance,
            skips: Vec::new(),
            asked: Some(asked),
            follow_up: None,
            refused: None,
            ended_at: None,
            waiting: None,
            last_chance: false,
            break_locks: false,
            vouched: Vec::new(),
        };
        match self.store.judge(self.process, request, now).await? {
            Judgement::Admitted { run, generation, .. } => Ok(Fence { instance: name, run, generation }),
            _ => Err("the run was not admitted".into()),
        }
    }

    /// What claims cost: many that share a commit, and one at a time to the disk.
    async fn claims(&self, items: u32) -> Result<(), Failed> {
        let fence = self.fence(0).await?;
        let mut next = 0;
        // The first ones read the file's pages.
        self.claim_together(&fence, &mut next).await?;
        let begun = self.clock.now().uptime;
        for _ in 0..CLAIMS / TOGETHER {
            self.claim_together(&fence, &mut next).await?;
        }
        let together = (self.clock.now().uptime - begun).as_secs_f64() / f64::from(CLAIMS);
        let mut alone = Vec::new();
        for _ in 0..100 {
            next += 1;
            let begun = self.clock.now().uptime;
            let batch = done(self.store.claim_items(fence.clone(), claiming()?, at()?).await?)?;
            alone.push((self.clock.now().uptime - begun).as_secs_f64() * 1e3);
            if batch.items.first().map(|claimed| claimed.item.id) != Some(ItemId(next)) {
                return Err("items came out of order".into());
            }
            done(self.store.settle_item(fence.clone(), ItemId(next), put_back()?, at()?).await?)?;
        }
        alone.sort_by(f64::total_cmp);
        let (median, worst) = (alone.get(50).copied().unwrap_or(0.0), alone.get(98).copied().unwrap_or(0.0));
        println!(
            "{items:>9} waiting: {:.0} us for a claim and its end; alone and durable {median:.1} ms, 99 % below {worst:.1} ms",
            together * 1e6
        );
        Ok(())
    }

    /// Claims and settles without waiting in between: the store makes them in this order, and commits them together.
    async fn claim_together(&self, fence: &Fence, next: &mut i64) -> Result<(), Failed> {
        let mut answers = Vec::new();
        for _ in 0..TOGETHER {
            *next += 1;
            let claimed = self.store.claim_items(fence.clone(), claiming()?, at()?);
            answers.push((claimed, self.store.settle_item(fence.clone(), ItemId(*next), put_back()?, at()?)));
        }
        for (claimed, settled) in answers {
            done(claimed.await?)?;
            done(settled.await?)?.ok_or("an item was not ours")?;
        }
        Ok(())
    }

    /// How many items a second workers take and finish.
    async fn workers(&self, workers: i64) -> Result<(), Failed> {
        let mut tasks = tokio::task::JoinSet::new();
        let begun = self.clock.now().uptime;
        for n in 0..workers {
            let (store, clock, fence) = (self.store.clone(), Arc::clone(&self.clock), self.fence(1 + workers + n).await?);
            tasks.spawn(async move {
                let mut finished = 0_u32;
                while clock.now().uptime < begun + MEASURED {
                    finish_one(&store, &fence).await?;
                    finished += 1;
                }
                Ok::<_, Failed>(finished)
            });
        }
        let mut finished = 0;
        while let Some(done) = tasks.join_next().await {
            finished += done??;
        }
        let seconds = (self.clock.now().uptime - begun).as_secs_f64();
        let rate = f64::from(finished) / seconds;
        println!("{workers:>9} workers: {rate:.0} items/s, which are {:.0} durable writes/s", rate * 4.0);
        Ok(())
    }

    /// What the disk allows: durable writes of the simplest kind.
    async fn writes(&self, waiting: u32) -> Result<(), Failed> {
        let mut tasks = tokio::task::JoinSet::new();
        let begun = self.clock.now().uptime;
        for _ in 0..waiting {
            let (store, clock) = (self.store.clone(), Arc::clone(&self.clock));
            tasks.spawn(async move {
                let mut writes = 0_u32;
                while clock.now().uptime < begun + MEASURED {
                    let at = clock.now().wall;
                    store.record_dry("queue_speed".into(), RunEnd::Succeeded, None, at, at).await?;
                    writes += 1;
                }
                StoreResult::Ok(writes)
            });
        }
        let mut writes = 0;
        while let Some(written) = tasks.join_next().await {
            writes += written??;
        }
        println!("{waiting:>9} others : {:.0} durable writes/s of the simplest kind", f64::from(writes) / MEASURED.as_secs_f64());
        Ok(())
    }
}

/// Takes an item and lists it, as a worker does.
async fn finish_one(store: &SqliteStore, fence: &Fence) -> Result<(), Failed> {
    let batch: Batch = done(store.claim_items(fence.clone(), claiming()?, at()?).await?)?;
    let item = batch.items.first().ok_or("nothing to claim")?.item.id;
    let next = NextStep { item, step: Step::Create, cap: cap()?, lease_until: at()? };
    done(store.begin_step(fence.clone(), next, at()?).await?)?;
    done(store.finish_step(fence.clone(), item, Step::Create, Some(item.to_string().into()), at()?).await?)?;
    let finished = Settled::Finished { price: 1980, visible: true };
    done(store.settle_item(fence.clone(), item, finished, at()?).await?)?;
    Ok(())
}

fn at() -> Result<Timestamp, Failed> {
    Ok(Timestamp::from_millisecond(DUE)?)
}

fn cap() -> Result<Cap, Failed> {
    Ok(Cap { day: at()?..Timestamp::MAX, limit: None })
}

fn claiming() -> Result<ClaimRequest, Failed> {
    let account = AccountKey { platform: Platform::Base, account: "shop".into() };
    let day = Timestamp::UNIX_EPOCH..Timestamp::UNIX_EPOCH;
    let lease_until = at()? + SignedDuration::from_hours(1);
    Ok(ClaimRequest { work: Work::Upload, account, limit: 1, lease_until, cap: Cap { day, limit: Some(1000) } })
}

fn put_back() -> Result<Settled, Failed> {
    Ok(Settled::PutBack { until: at()? + SignedDuration::from_hours(1), counts: true, error: None })
}

fn done<T>(guarded: Guarded<T>) -> Result<T, Failed> {
    match guarded {
        Guarded::Done(value) => Ok(value),
        Guarded::Fenced => Err("the run is shut out".into()),
    }
}
