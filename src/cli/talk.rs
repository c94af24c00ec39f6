//! `taskrun reload`, `stop`, `trigger` and `cancel`: requests to the running daemon.
use std::time::Duration;

use super::{
    exit::{Exit, Failure},
    place::Place,
    text,
};
use crate::{
    core::{event::StopReason, task::RunId},
    engine::view::TriggeredView,
    store::RunStore as _,
};

/// How long `stop` waits for the daemon's end: grace periods are seconds to minutes, and asking again cuts them short.
const STOP_LIMIT: Duration = Duration::from_mins(10);
/// How often `stop` looks whether the daemon is gone.
const STOP_LOOK: Duration = Duration::from_millis(100);

/// Load tasks.yaml again: all of it, or nothing if it has faults
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun check --diff && taskrun reload")]
pub(crate) struct ReloadArgs {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Stop the daemon in order and wait until it is gone; a second time: without grace
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun stop")]
pub(crate) struct StopArgs {}

/// Start a task in the daemon now
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun trigger sync_inventory")]
pub(crate) struct TriggerArgs {
    /// A task with all its instances, or one instance
    #[arg(value_name = "TASK")]
    name: String,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Stop an open run, whoever has it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun cancel 42")]
pub(crate) struct CancelArgs {
    /// The run's number, as in `taskrun status` and `taskrun history`
    #[arg(value_name = "RUN")]
    run: i64,
}

pub(crate) async fn reload(args: ReloadArgs, place: &Place) -> Result<Exit, Failure> {
    let view = place.daemon().await?.reload().await?;
    if args.json {
        place.screen.json(&view)?;
    } else {
        for difference in &view.differences {
            place.screen.data(&format!("{difference}\n"))?;
        }
        for fault in &view.faults {
            place.screen.error(fault, None);
        }
    }
    if !view.applied {
        let message = format!("not reloaded: {}; the configuration before it stays in force", text::counted(view.faults.len(), "fault"));
        return Err(Failure::usage(message).advise("`taskrun check` shows each of them in its place"));
    }
    place.screen.say(if view.differences.is_empty() { "reloaded; nothing changed" } else { "reloaded" });
    Ok(Exit::Done)
}

pub(crate) async fn stop(_args: StopArgs, place: &Place) -> Result<Exit, Failure> {
    let daemon = place.daemon().await?;
    let pid = daemon.ping().await.map(|pong| pong.pid)?;
    daemon.stop().await?;
    let gone = async {
        while place.daemon_lives()? {
            tokio::time::sleep(STOP_LOOK).await;
        }
        Ok::<_, Failure>(())
    };
    tokio::time::timeout(STOP_LIMIT, gone).await.map_err(|_| {
        let message = format!("the daemon (pid {pid}) is still stopping after {}", text::took(text::real(STOP_LIMIT)));
        Failure::told(Exit::Failed, message).advise("`taskrun stop` once more makes it stop without waiting")
    })??;
    place.screen.say(&format!("stopped (pid {pid})"));
    Ok(Exit::Done)
}

pub(crate) async fn trigger(args: TriggerArgs, place: &Place) -> Result<Exit, Failure> {
    let daemon = place.daemon().await?;
    let triggered = match daemon.trigger(&args.name).await {
        Err(error) if error.is("unknown_task") => {
            let names: Vec<String> =
                daemon.status().await?.status.instances.into_iter().flat_map(|view| [view.task, view.instance]).collect();
            return Err(text::unknown_name(&args.name, names.iter().map(String::as_str)));
        }
        answer => answer?,
    };
    if args.json {
        place.screen.json(&triggered)?;
    } else {
        let lines: String = triggered.iter().map(triggered_line).collect();
        place.screen.data(&lines)?;
    }
    Ok(if triggered.iter().all(|one| one.run.is_some()) { Exit::Done } else { Exit::Skipped })
}

fn triggered_line(one: &TriggeredView) -> String {
    match (one.run, &one.skipped) {
        (Some(run), _) => format!("{}: run {run}\n", one.instance),
        (None, Some(reason)) => format!("{}: skipped ({reason})\n", one.instance),
        (None, None) => format!("{}: no run\n", one.instance),
    }
}

/// Cancels in the daemon; a run of another process (a `once`) is told through the store, and that process is poked.
pub(crate) async fn cancel(args: CancelArgs, place: &Place) -> Result<Exit, Failure> {
    if let Ok(daemon) = place.daemon().await {
        match daemon.cancel(args.run).await {
            Ok(_) => {
                place.screen.say(&format!("run {} is told to stop", args.run));
                return Ok(Exit::Done);
            }
            Err(error) if error.is("not_open") => {}
            Err(error) => return Err(error.into()),
        }
    }
    let not_open = || Failure::usage(format!("run {} is not open", args.run)).advise("`taskrun history` shows the runs and how they ended");
    let Some(store) = place.existing_store().await? else { return Err(not_open()) };
    let run = RunId(args.run);
    let Some(row) = store.row(run).await? else { return Err(not_open()) };
    if !store.ask_stop(run, StopReason::Cancelled).await? {
        return Err(not_open());
    }
    let processes = store.processes().await?;
    if let Some(process) = processes.iter().find(|process| Some(process.id) == row.process) {
        place.poke(&process.record).await;
    }
    place.screen.say(&format!("run {} is told to stop", args.run));
    Ok(Exit::Done)
}
