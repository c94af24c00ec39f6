//! `taskrun check`: every fault of the file at once; with `--diff`, what a reload would change.
use std::path::PathBuf;

use serde::Serialize;

use super::{
    exit::{Exit, Failure},
    place::Place,
    render, text, views,
};
use crate::config::{Config, Fault, Faults, Secrets};

/// Every fault of the file at once
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  taskrun check\n  taskrun check --diff && taskrun reload")]
pub(crate) struct Args {
    /// The file, instead of --config
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// What a reload would change in the running daemon
    #[arg(long, conflicts_with = "file")]
    diff: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// The answer as JSON; stable.
#[derive(Debug, Serialize)]
struct CheckView {
    file: String,
    ok: bool,
    faults: Vec<FaultView>,
    warnings: Vec<FaultView>,
    tasks: usize,
    instances: usize,
    /// With --diff: task by task, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct FaultView {
    /// Counted from 1; 0 where the fault is with the file as a whole.
    line: usize,
    column: usize,
    key: String,
    message: String,
    hint: Option<String>,
}

impl FaultView {
    fn of(fault: &Fault) -> Self {
        Self {
            line: fault.line,
            column: fault.column,
            key: fault.key_path.clone(),
            message: fault.message.clone(),
            hint: fault.hint.clone(),
        }
    }
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let file = args.file.clone().map_or_else(|| place.config_file(), Ok)?;
    let config = match place.read_config(&file, Secrets::Required)? {
        Ok(config) => config,
        Err(faults) if args.json => {
            place.screen.json(&faulty(&file, &faults))?;
            return Ok(Exit::Usage);
        }
        Err(faults) => {
            place.screen.data(&render::faults(&faults, place.screen.out_has_color()))?;
            let message = format!("{} in {}", text::counted(faults.len(), "fault"), file.display());
            return Err(Failure::usage(message));
        }
    };
    let differences = if args.diff { Some(differences(place).await?) } else { None };
    if args.json {
        place.screen.json(&sound(&config, differences))?;
        return Ok(Exit::Done);
    }
    if !config.warnings.is_empty() {
        place.screen.data(&render::warnings(&config.warnings, place.screen.out_has_color()))?;
    }
    let accounts =
        if config.accounts.is_empty() { String::new() } else { format!(", {}", text::counted(config.accounts.len(), "account")) };
    let instances = text::counted(config.instances.len(), "instance");
    let tasks = text::counted(views::tasks(&config), "task");
    place.screen.data(&format!("{}: ok, {tasks}, {instances}{accounts}\n", file.display()))?;
    match differences {
        Some(differences) if differences.is_empty() => place.screen.data("a reload would change nothing\n")?,
        Some(differences) => place.screen.data(&format!("a reload would change:\n  {}\n", differences.join("\n  ")))?,
        None => {}
    }
    Ok(Exit::Done)
}

async fn differences(place: &Place) -> Result<Vec<String>, Failure> {
    let view = place.daemon().await?.diff().await?;
    if let Some(fault) = view.faults.first() {
        let message = format!("the daemon finds {} that this check does not: {fault}", text::counted(view.faults.len(), "fault"));
        return Err(Failure::usage(message).advise("it reads its own file, with its own environment: see `taskrun status`"));
    }
    Ok(view.differences)
}

fn faulty(file: &std::path::Path, faults: &Faults) -> CheckView {
    CheckView {
        file: file.display().to_string(),
        ok: false,
        faults: faults.iter().map(FaultView::of).collect(),
        warnings: Vec::new(),
        tasks: 0,
        instances: 0,
        differences: None,
    }
}

fn sound(config: &Config, differences: Option<Vec<String>>) -> CheckView {
    CheckView {
        file: config.path.display().to_string(),
        ok: true,
        faults: Vec::new(),
        warnings: config.warnings.iter().map(FaultView::of).collect(),
        tasks: views::tasks(config),
        instances: config.instances.len(),
        differences,
    }
}
