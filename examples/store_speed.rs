//! How many durable writes a second the store makes here, with one task that waits for each and with 64 of them.
//!
//! `cargo run --release --example store_speed [FOLDER]` writes to a new file in the folder (else in the system's temporary one), for two seconds
//! each, and prints two lines. A durable write is a row of the history:
//! it survives `kill -9` and power loss once it is answered.
//! Many waiting tasks share a sync to disk, so the second figure is many times the first.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
use std::{error::Error, path::PathBuf, sync::Arc};

use jiff::SignedDuration;
use taskrun::{
    clock::{Clock, SystemClock},
    core::event::RunEnd,
    store::{RunStore, StoreResult, sqlite::SqliteStore},
};

/// How long each figure is measured.
const MEASURED: SignedDuration = SignedDuration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let store = SqliteStore::open(&folder.path().join("taskrun.db"))?;
    let clock = SystemClock::start();
    for waiting in [1, 64] {
        let begun = clock.now().uptime;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..waiting {
            tasks.spawn(write(store.clone(), Arc::clone(&clock), begun + MEASURED));
        }
        let mut writes = 0;
        while let Some(written) = tasks.join_next().await {
            writes += written??;
        }
        let seconds = (clock.now().uptime - begun).as_secs_f64();
        println!("{waiting:>2} waiting: {:.0} durable writes/s", f64::from(writes) / seconds);
    }
    Ok(())
}

/// Writes one row after the other, each when the one before it is safe, and counts them.
async fn write(store: SqliteStore, clock: Arc<SystemClock>, until: SignedDuration) -> StoreResult<u32> {
    let mut writes = 0;
    while clock.now().uptime < until {
        let at = clock.now().wall;
        store.record_dry("store_speed".into(), RunEnd::Succeeded, None, at, at).await?;
        writes += 1;
    }
    Ok(writes)
}
