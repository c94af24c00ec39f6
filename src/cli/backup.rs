//! `taskrun backup` and `taskrun restore`: a copy of the store now, and a copy in place of the store.
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    exit::{Exit, Failure},
    place::{Place, State},
};
use crate::{
    engine::process,
    handlers::backup::{self, BackupError},
    store::sqlite,
};

/// Copy the store now, while work goes on
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun backup\nThe handler `backup` makes copies by itself and removes old ones.")]
pub(crate) struct BackupArgs {
    /// The folder of the copy; otherwise `backups` in the state folder
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Put a copy in place of the store; no taskrun may run
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun restore state/backups/taskrun-20261123T024500.000Z.db.gz\n\
    The store that is there is kept beside it. Tokens that were renewed since, quotas and fire times stay those of today:\n\
    nothing that ran since the copy is run again.")]
pub(crate) struct RestoreArgs {
    /// The copy
    #[arg(value_name = "FILE")]
    copy: PathBuf,
    /// Only say whether the copy is whole
    #[arg(long)]
    check: bool,
}

/// A copy, as JSON; stable.
#[derive(Debug, Serialize)]
struct CopyView {
    path: String,
    bytes: u64,
}

pub(crate) async fn backup(args: BackupArgs, place: &Place) -> Result<Exit, Failure> {
    let state = place.state()?;
    if !state.store.exists() {
        return Err(Failure::usage(format!("there is no store `{}` to copy", state.store.display())));
    }
    let store = place.store().await?;
    let dir = args.to.unwrap_or_else(|| state.dir.join(backup::FOLDER));
    let copied = backup::make(&*store, &dir, place.now()?, &CancellationToken::new()).await?;
    if args.json {
        let view = CopyView { path: copied.path.display().to_string(), bytes: copied.size };
        place.screen.json(&view)?;
    } else {
        place.screen.data(&format!("{}\n", copied.path.display()))?;
        place.screen.say(&format!("{} KiB; `taskrun restore FILE` puts it back", copied.size.div_ceil(1024)));
    }
    Ok(Exit::Done)
}

pub(crate) async fn restore(args: RestoreArgs, place: &Place) -> Result<Exit, Failure> {
    let (state, now) = (place.state()?, place.now()?);
    if !args.check {
        refuse_beside_others(&state)?;
    }
    let unpacked = state.store.with_extension(format!("restoring-{}", std::process::id()));
    if let Some(folder) = unpacked.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let work = {
        let (unpacked, store) = (unpacked.clone(), state.store.clone());
        move || -> Result<_, Failure> {
            backup::unpack(&args.copy, &unpacked)?;
            let schema = sqlite::inspect(&unpacked)?;
            if args.check {
                return Ok((schema, None));
            }
            Ok((schema, Some(sqlite::restore(&unpacked, &store, now)?)))
        }
    };
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| Failure::because(Exit::Store, "restoring went wrong", &error));
    for suffix in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(with_suffix(&unpacked, suffix)));
    }
    let (schema, restored) = done??;
    let Some(restored) = restored else {
        place.screen.say(&format!("the copy is whole; its schema is {schema}"));
        return Ok(Exit::Done);
    };
    place.screen.say(&format!("restored `{}`", state.store.display()));
    if let Some(before) = restored.before {
        place.screen.say(&format!("the store that was there is `{}` now", before.display()));
        if !restored.took_along {
            place.screen.say("it could not be read: tokens renewed since the copy are lost; look at `taskrun accounts list`");
        }
    }
    Ok(Exit::Done)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A store that somebody has open must not be moved.
fn refuse_beside_others(state: &State) -> Result<(), Failure> {
    let records = process::records(&state.records).unwrap_or_default();
    let lives = records.iter().any(|record| !process::is_dead(&state.records, record));
    if state.daemon().is_some() || lives {
        return Err(Failure::usage("a taskrun is at work on this store").advise("stop it with `taskrun stop`, and wait for every `once`"));
    }
    Ok(())
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => error.into(),
            error @ (BackupError::File { .. } | BackupError::Cancelled) => Self::because(Exit::Store, "there is no copy", &error),
        }
    }
}
