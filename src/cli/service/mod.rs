//! `taskrun service`: a service of the machine that keeps taskrun running. What a service is, each system says in a file of its own.
use std::{path::PathBuf, sync::Arc};

use super::{
    exit::{Exit, Failure},
    place::Place,
};
use crate::engine::supervisor::Supervisor;

#[cfg(unix)]
mod notify_socket;
#[cfg(unix)]
mod person;
#[cfg(unix)]
mod systemd;
#[cfg(unix)]
mod unit;

#[cfg(windows)]
mod windows;

#[cfg(unix)]
use systemd as manager;
#[cfg(windows)]
use windows as manager;

/// Longest name of a service; it becomes part of a file's name.
const NAME_MAX: usize = 64;

/// Keep taskrun running as a service of this machine: from the start of the machine on, and again after a crash
#[derive(Debug, clap::Args)]
#[command(after_help = manager::EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Put the service in place for the tasks.yaml at hand and start it; once more changes nothing
    #[command(after_help = manager::INSTALL_EXAMPLES)]
    Install(InstallArgs),
    /// Stop the service and take it away; tasks.yaml and its state stay
    #[command(after_help = "Example: sudo taskrun service uninstall")]
    Uninstall(UninstallArgs),
    /// Start the service
    #[command(after_help = "Example: sudo taskrun service start")]
    Start(Which),
    /// Stop the service in order; what runs gets its grace period
    #[command(after_help = "Example: sudo taskrun service stop")]
    Stop(Which),
    /// Say how the service is
    #[command(after_help = "Example: taskrun service status")]
    Status(Which),
    /// What the manager of Windows' services starts
    #[cfg(windows)]
    #[command(hide = true, after_help = "Example: taskrun service enter --name taskrun")]
    Enter(Which),
}

/// Which service.
#[derive(Debug, clap::Args)]
struct Which {
    /// Your own service, without root, instead of the machine's
    #[cfg(unix)]
    #[arg(long)]
    user: bool,
    /// Its name, where a machine has more than one
    #[arg(long, default_value = "taskrun", value_parser = name)]
    name: String,
}

#[derive(Debug, clap::Args)]
struct InstallArgs {
    #[command(flatten)]
    which: Which,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// The user that it runs as; otherwise the owner of tasks.yaml, or `taskrun` if that is root
    #[arg(long, value_name = "USER")]
    #[cfg_attr(unix, arg(conflicts_with = "user"))]
    run_as: Option<String>,
    /// Another folder that tasks write to (repeatable); the folders of tasks.yaml, state and logs are known
    #[arg(long, value_name = "DIR")]
    writable: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct UninstallArgs {
    #[command(flatten)]
    which: Which,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    match args.command {
        What::Install(args) => manager::install(args, place).await,
        What::Uninstall(args) => manager::uninstall(args, place).await,
        What::Start(which) => manager::start(which, place).await,
        What::Stop(which) => manager::stop(which, place).await,
        What::Status(which) => manager::status(which, place).await,
        #[cfg(windows)]
        What::Enter(which) => manager::enter_service(&which, place),
    }
}

/// Who started this daemon and looks after it.
pub(crate) fn supervisor() -> Arc<dyn Supervisor> {
    manager::supervisor()
}

/// A name that every system takes as part of a file's name.
fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.len() <= NAME_MAX && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err(format!("at most {NAME_MAX} letters, digits, `-` and `_`, a letter or digit first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path_and_no_option() {
        for good in ["taskrun", "shop-2", "A_b"] {
            assert_eq!(name(good), Ok(good.to_owned()));
        }
        for bad in ["", "-x", "../x", "a b", "a.service", "ショップ", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
