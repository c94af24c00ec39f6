//! The service under Windows: in the hands of its service control manager, with an account of its own that may do nothing but what it is given.
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use tokio::process::Command;
use windows_service::{
    service::{
        Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceConfig, ServiceErrorControl, ServiceFailureActions,
        ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceType,
    },
    service_manager::ServiceManagerAccess,
};

use self::manager::{ENTER, Installed, begin, connect, find, halt, installed, refused};
use super::{
    super::{
        exit::{Exit, Failure},
        place::Place,
    },
    InstallArgs, UninstallArgs, Which,
};
use crate::{engine::supervisor::Supervisor, os};

mod manager;
mod served;

pub(super) const EXAMPLES: &str = "Examples, in a terminal run as administrator:\n  \
    taskrun service install --dry-run      show what would be done\n  \
    taskrun service install\n  \
    taskrun service status";
pub(super) const INSTALL_EXAMPLES: &str = "Examples:\n  taskrun service install --dry-run\n  taskrun service install --writable C:\\shop\n  taskrun service install --run-as \"NT AUTHORITY\\LocalService\"";

/// What stops without a reason is started again: at once, then more slowly; a tasks.yaml that is put right is found within the minute.
const RESTART_AFTER: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(15), Duration::from_mins(1)];
/// After this long without a failure the first delay counts again.
const FORGIVEN_AFTER: Duration = Duration::from_hours(24);
/// How much longer than `shutdown_grace` the service may take to stop.
const STOP_MARGIN: Duration = Duration::from_secs(30);
/// How long the start may take; a large store has to be looked through.
const START_LIMIT: Duration = Duration::from_mins(5);
/// What the service may do with files, as icacls calls it.
const READ: &str = "RX";
const WRITE: &str = "M";
/// What we do with a service that we put in place.
const CHANGES: ServiceAccess = ServiceAccess::START.union(ServiceAccess::CHANGE_CONFIG);

pub(super) async fn install(args: InstallArgs, place: &Place) -> Result<Exit, Failure> {
    let config = place.load_without_secrets()?;
    let looks = ServiceAccess::QUERY_STATUS;
    let there = find(&args.which, if args.dry_run { looks } else { looks | ServiceAccess::STOP | CHANGES })?;
    let wanted = Wanted::of(&args, there.as_ref().map(|there| &there.config), place)?;
    let mut written = vec![config.state_dir.clone(), config.log.dir.clone()];
    for folder in &args.writable {
        written.push(std::path::absolute(folder)?);
    }
    written.sort();
    written.dedup();
    let read = [Some(wanted.exe.as_path()), wanted.config.parent()].into_iter().flatten();
    let rights: Vec<(&Path, &str)> = read.map(|path| (path, READ)).chain(written.iter().map(|folder| (folder.as_path(), WRITE))).collect();
    place.screen.say(&format!("{} `{}`: {}", if args.dry_run { "would install" } else { "installs" }, args.which.name, wanted.line()));
    place.screen.say(&format!("  as {}, started with the machine (delayed), and again when it fails", wanted.account));
    for (path, right) in &rights {
        place.screen.say(&format!("  {} may {} {}", wanted.account, if *right == WRITE { "write to" } else { "read" }, path.display()));
    }
    if args.dry_run {
        return Ok(Exit::Done);
    }
    // The account comes into being with the service.
    let (service, has_changed) = wanted.put(there, patience(place)).map_err(|error| refused("install the service", &error))?;
    for folder in &written {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::because(Exit::Failed, format!("failed to make `{}`", folder.display()), &error))?;
    }
    for (path, right) in rights {
        grant(path, &wanted.account, right).await?;
    }
    if has_changed && manager::state(&service)? != ServiceState::Stopped {
        place.screen.say(&format!("restarts {}, which runs as it was set up before", args.which.name));
        halt(&service, &args.which, place).await?;
    }
    begin(&service, &args.which, place).await?;
    place.screen.say(&format!("{} is installed and runs", args.which.name));
    Ok(Exit::Done)
}

pub(super) async fn uninstall(args: UninstallArgs, place: &Place) -> Result<Exit, Failure> {
    let Some(Installed { service, .. }) = find(&args.which, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS | ServiceAccess::DELETE)?
    else {
        place.screen.say(&format!("{} is not installed", args.which.name));
        return Ok(Exit::Done);
    };
    if args.dry_run {
        place.screen.say(&format!("would stop and remove the service {}", args.which.name));
        return Ok(Exit::Done);
    }
    halt(&service, &args.which, place).await?;
    service.delete().map_err(|error| refused("remove the service", &error))?;
    place.screen.say(&format!("{} is gone; tasks.yaml and its state are as they were", args.which.name));
    Ok(Exit::Done)
}

pub(super) async fn start(which: Which, place: &Place) -> Result<Exit, Failure> {
    let service = installed(&which, ServiceAccess::START | ServiceAccess::QUERY_STATUS)?;
    begin(&service, &which, place).await?;
    place.screen.say(&format!("{} runs", which.name));
    Ok(Exit::Done)
}

pub(super) async fn stop(which: Which, place: &Place) -> Result<Exit, Failure> {
    let service = installed(&which, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?;
    halt(&service, &which, place).await?;
    place.screen.say(&format!("{} is stopped", which.name));
    Ok(Exit::Done)
}

/// How the service is. One that doesn't run is a daemon that doesn't answer.
pub(super) async fn status(which: Which, place: &Place) -> Result<Exit, Failure> {
    let Some(Installed { service, config }) = find(&which, ServiceAccess::QUERY_STATUS)? else {
        place.screen.data(&format!("{}: not installed\n", which.name))?;
        return Ok(Exit::NoDaemon);
    };
    let status = service.query_status().map_err(|error| refused("ask how the service is", &error))?;
    let state = match status.current_state {
        ServiceState::Running => "runs",
        ServiceState::StartPending => "is starting",
        ServiceState::StopPending => "is stopping",
        ServiceState::Stopped => "stopped",
        ServiceState::Paused | ServiceState::PausePending | ServiceState::ContinuePending => "paused",
    };
    let process = status.process_id.filter(|pid| *pid != 0).map(|pid| format!(" (process {pid})")).unwrap_or_default();
    place.screen.data(&format!("{}: {state}{process}\n", which.name))?;
    place.screen.data(&format!("  {}\n  as {}\n", config.executable_path.display(), account(&config)))?;
    if status.current_state != ServiceState::Running
        && let Some(words) = served::last_words(place)
    {
        place.screen.data(&format!("  the last start failed:\n{words}"))?;
    }
    Ok(if status.current_state == ServiceState::Running { Exit::Done } else { Exit::NoDaemon })
}

/// What the manager starts.
pub(super) fn enter_service(which: &Which, place: &Place) -> Result<Exit, Failure> {
    served::give(&which.name, place)
}

/// The manager, where this process is a service.
pub(super) fn supervisor() -> Arc<dyn Supervisor> {
    served::supervisor()
}

/// The service as it should be.
struct Wanted {
    name: String,
    exe: PathBuf,
    config: PathBuf,
    arguments: Vec<OsString>,
    account: String,
    /// The account is to be this one, whichever it was.
    is_chosen: bool,
}

impl Wanted {
    /// `there`: the service that is to be changed. Its account may have been chosen elsewhere, and stays.
    fn of(args: &InstallArgs, there: Option<&ServiceConfig>, place: &Place) -> Result<Self, Failure> {
        let exe = std::env::current_exe().and_then(|exe| os::canonical(&exe));
        let exe = exe.map_err(|error| Failure::because(Exit::Failed, "failed to find the path of this program", &error))?;
        let config = std::path::absolute(place.config_file()?)?;
        let mut arguments: Vec<OsString> = vec!["-c".into(), config.clone().into()];
        if let Some(dir) = place.state_dir()? {
            arguments.extend(["--state-dir".into(), dir.into()]);
        }
        arguments.extend(ENTER.map(OsString::from));
        arguments.push(args.which.name.clone().into());
        let is_chosen = args.run_as.is_some() || there.is_none();
        let own = || format!(r"NT SERVICE\{}", args.which.name);
        let account = args.run_as.clone().or_else(|| there.map(account)).unwrap_or_else(own);
        Ok(Self { name: args.which.name.clone(), exe, config, arguments, account, is_chosen })
    }

    fn line(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        format!("{} {}", self.exe.display(), words.collect::<Vec<_>>().join(" "))
    }

    /// Makes the service, or changes the one that is there; and says whether one that runs now runs another way.
    fn put(&self, there: Option<Installed>, patience: Duration) -> windows_service::Result<(Service, bool)> {
        let info = ServiceInfo {
            name: self.name.clone().into(),
            display_name: self.name.clone().into(),
            service_type: ServiceType::OWN_PROCESS,
            start_type: ServiceStartType::AutoStart,
            error_control: ServiceErrorControl::Normal,
            executable_path: self.exe.clone(),
            launch_arguments: self.arguments.clone(),
            dependencies: Vec::new(),
            account_name: self.is_chosen.then(|| self.account.clone().into()),
            account_password: None,
        };
        let (service, has_changed) = if let Some(Installed { service, config: before }) = there {
            service.change_config(&info)?;
            let after = service.query_config()?;
            let has_changed = before.executable_path != after.executable_path || before.account_name != after.account_name;
            (service, has_changed)
        } else {
            let access = ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | CHANGES;
            (connect(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?.create_service(&info, access)?, false)
        };
        service.set_description("Runs the tasks of tasks.yaml at their times. `taskrun service status` says how it is.")?;
        // What Windows lets a service do beyond being started; an older Windows, or Wine, may not know of each.
        let extras = [
            ("the delayed start", service.set_delayed_auto_start(true)),
            ("the restarts", service.update_failure_actions(restarts())),
            ("the restarts after an error", service.set_failure_actions_on_non_crash_failures(true)),
            ("the time to stop", service.set_preshutdown_timeout(patience)),
        ];
        for (what, done) in extras {
            if let Err(error) = done {
                tracing::warn!("{what} could not be set: {}", crate::errors::chain(&error));
            }
        }
        Ok((service, has_changed))
    }
}

/// The account that a service runs as.
fn account(config: &ServiceConfig) -> String {
    config.account_name.as_ref().map_or_else(|| "LocalSystem".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// An account as icacls knows it: the system's own by their numbers, as their names differ between languages; and not with `.` for this machine.
fn trustee(account: &str) -> String {
    match account.to_ascii_lowercase().trim_start_matches(r"nt authority\") {
        "localsystem" | "system" => "*S-1-5-18".to_owned(),
        "localservice" | "local service" => "*S-1-5-19".to_owned(),
        "networkservice" | "network service" => "*S-1-5-20".to_owned(),
        _ => account.strip_prefix(r".\").map_or_else(|| account.to_owned(), |user| format!(r"{}\{user}", os::host_name())),
    }
}

fn restarts() -> ServiceFailureActions {
    let actions = RESTART_AFTER.map(|delay| ServiceAction { action_type: ServiceActionType::Restart, delay });
    ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FORGIVEN_AFTER),
        reboot_msg: None,
        command: None,
        actions: Some(actions.to_vec()),
    }
}

/// Gives an account rights to a file, or to a folder and all in it.
async fn grant(path: &Path, account: &str, right: &str) -> Result<(), Failure> {
    let inherited = if path.is_dir() { "(OI)(CI)" } else { "" };
    let mut icacls = Command::new("icacls");
    icacls.arg(path).arg("/grant").arg(format!("{}:{inherited}({right})", trustee(account))).arg("/q").stdout(Stdio::null());
    let status = icacls.status().await.map_err(|error| Failure::because(Exit::Failed, "failed to run `icacls`", &error))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::told(Exit::Failed, format!("`icacls` did not give {account} rights to `{}`: {status}", path.display()))
        .advise("run this as administrator; what it says above is the reason"))
}

/// How long the service may take to stop.
fn patience(place: &Place) -> Duration {
    place.load_without_secrets().map_or(STOP_MARGIN, |config| config.shutdown_grace.unsigned_abs().saturating_add(STOP_MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icacls_is_told_accounts_by_names_that_it_knows() {
        for (account, known) in [
            (r"NT SERVICE\taskrun", r"NT SERVICE\taskrun"),
            (r"SHOP\tanaka", r"SHOP\tanaka"),
            ("LocalSystem", "*S-1-5-18"),
            (r"NT AUTHORITY\LocalService", "*S-1-5-19"),
            (r"nt authority\Network Service", "*S-1-5-20"),
        ] {
            assert_eq!(trustee(account), known);
        }
        assert_eq!(trustee(r".\tanaka"), format!(r"{}\tanaka", os::host_name()));
    }
}
