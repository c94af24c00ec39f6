//! The service under Windows: in the hands of its service control manager, with an account of its own that may do nothing but what it is given.
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::SignedDuration;
use tokio::{process::Command, sync::mpsc};
use windows_service::{
    define_windows_service,
    service::{
        Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceControl, ServiceControlAccept, ServiceErrorControl,
        ServiceExitCode, ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceStatus,
        ServiceType,
    },
    service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle},
    service_dispatcher,
    service_manager::{ServiceManager, ServiceManagerAccess},
};

use super::{
    super::{
        exit::{Exit, Failure},
        place::Place,
        run, text,
    },
    InstallArgs, UninstallArgs, Which,
};
use crate::{
    engine::{
        signal::Signal,
        supervisor::{Nobody, Supervisor},
    },
    os,
};

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
/// How often we look how the service is.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What the service may do with files, as icacls calls it.
const READ: &str = "RX";
const WRITE: &str = "M";
/// Why the last start failed, in the state folder: a service has no screen.
const LAST_WORDS: &str = "service-error.txt";

/// What Windows says where a service is not there, runs already, or does not run.
const DOES_NOT_EXIST: i32 = 1060;
const RUNS_ALREADY: i32 = 1056;
const NOT_ACTIVE: i32 = 1062;
const ACCESS_DENIED: i32 = 5;

/// Where the service stands, and its name; Windows calls it through a plain function, which is given nothing.
static PLACE: OnceLock<(Place, String)> = OnceLock::new();
/// Whom the service tells how it is; a process is one service.
static MANAGER: OnceLock<Arc<Manager>> = OnceLock::new();

define_windows_service!(enter, serve);

pub(super) async fn install(args: InstallArgs, place: &Place) -> Result<Exit, Failure> {
    let config = place.load_without_secrets()?;
    let wanted = Wanted::of(&args, place)?;
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
    let service = wanted.put(patience(place)).map_err(|error| refused("install the service", &error))?;
    for folder in &written {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::because(Exit::Failed, format!("failed to make `{}`", folder.display()), &error))?;
    }
    for (path, right) in rights {
        grant(path, &wanted.account, right).await?;
    }
    begin(&service, &args.which, place).await?;
    place.screen.say(&format!("{} is installed and runs", args.which.name));
    Ok(Exit::Done)
}

pub(super) async fn uninstall(args: UninstallArgs, place: &Place) -> Result<Exit, Failure> {
    let Some(service) = open(&args.which, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS | ServiceAccess::DELETE)? else {
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
    let Some(service) = open(&which, ServiceAccess::QUERY_STATUS | ServiceAccess::QUERY_CONFIG)? else {
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
    if let Ok(config) = service.query_config() {
        let account = config.account_name.unwrap_or_else(|| "LocalSystem".into());
        place.screen.data(&format!("  {}\n  as {}\n", config.executable_path.display(), account.to_string_lossy()))?;
    }
    if status.current_state != ServiceState::Running
        && let Some(words) = last_words(place).and_then(|path| std::fs::read_to_string(path).ok())
    {
        place.screen.data(&format!("  the last start failed:\n{words}"))?;
    }
    Ok(if status.current_state == ServiceState::Running { Exit::Done } else { Exit::NoDaemon })
}

/// The service as it should be.
struct Wanted {
    name: String,
    exe: PathBuf,
    config: PathBuf,
    arguments: Vec<OsString>,
    account: String,
}

impl Wanted {
    fn of(args: &InstallArgs, place: &Place) -> Result<Self, Failure> {
        let exe = std::env::current_exe().and_then(|exe| os::canonical(&exe));
        let exe = exe.map_err(|error| Failure::because(Exit::Failed, "failed to find the path of this program", &error))?;
        let config = std::path::absolute(place.config_file()?)?;
        let mut arguments: Vec<OsString> = vec!["-c".into(), config.clone().into()];
        if let Some(dir) = place.state_dir()? {
            arguments.extend(["--state-dir".into(), dir.into()]);
        }
        arguments.extend(["service", "enter", "--name", &args.which.name].map(OsString::from));
        let account = args.run_as.clone().unwrap_or_else(|| format!(r"NT SERVICE\{}", args.which.name));
        Ok(Self { name: args.which.name.clone(), exe, config, arguments, account })
    }

    fn line(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        format!("{} {}", self.exe.display(), words.collect::<Vec<_>>().join(" "))
    }

    /// Makes the service, or changes the one that is there.
    fn put(&self, patience: Duration) -> windows_service::Result<Service> {
        let info = ServiceInfo {
            name: self.name.clone().into(),
            display_name: self.name.clone().into(),
            service_type: ServiceType::OWN_PROCESS,
            start_type: ServiceStartType::AutoStart,
            error_control: ServiceErrorControl::Normal,
            executable_path: self.exe.clone(),
            launch_arguments: self.arguments.clone(),
            dependencies: Vec::new(),
            account_name: Some(self.account.clone().into()),
            account_password: None,
        };
        let access = ServiceAccess::QUERY_STATUS | ServiceAccess::START | ServiceAccess::CHANGE_CONFIG;
        let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
        let service = match manager.open_service(&self.name, access) {
            Ok(service) => {
                service.change_config(&info)?;
                service
            }
            Err(error) if code(&error) == Some(DOES_NOT_EXIST) => manager.create_service(&info, access)?,
            Err(error) => return Err(error),
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
        Ok(service)
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
    icacls.arg(path).arg("/grant").arg(format!("{account}:{inherited}({right})")).arg("/q").stdout(Stdio::null());
    let status = icacls.status().await.map_err(|error| Failure::because(Exit::Failed, "failed to run `icacls`", &error))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::told(Exit::Failed, format!("`icacls` did not give {account} rights to `{}`: {status}", path.display()))
        .advise("run this as administrator; what it says above is the reason"))
}

fn open(which: &Which, access: ServiceAccess) -> Result<Option<Service>, Failure> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)
        .map_err(|error| refused("reach the service control manager", &error))?;
    match manager.open_service(&which.name, access) {
        Ok(service) => Ok(Some(service)),
        Err(error) if code(&error) == Some(DOES_NOT_EXIST) => Ok(None),
        Err(error) => Err(refused("open the service", &error)),
    }
}

fn installed(which: &Which, access: ServiceAccess) -> Result<Service, Failure> {
    open(which, access)?.ok_or_else(|| {
        Failure::usage(format!("there is no service `{}`", which.name)).advise("`taskrun service install`, as administrator, makes it")
    })
}

/// How long the service may take to stop.
fn patience(place: &Place) -> Duration {
    place.load_without_secrets().map_or(STOP_MARGIN, |config| config.shutdown_grace.unsigned_abs().saturating_add(STOP_MARGIN))
}

/// Starts the service and waits until it runs.
async fn begin(service: &Service, which: &Which, place: &Place) -> Result<(), Failure> {
    if let Err(error) = service.start(&[] as &[&str])
        && code(&error) != Some(RUNS_ALREADY)
    {
        return Err(refused("start the service", &error));
    }
    match reached(service, ServiceState::Running, START_LIMIT).await? {
        ServiceState::Running => Ok(()),
        _ => {
            let words = last_words(place).and_then(|path| std::fs::read_to_string(path).ok());
            let words = words.map(|words| format!(": {}", words.trim_end())).unwrap_or_default();
            Err(Failure::told(Exit::Failed, format!("{} did not start{words}", which.name))
                .advise("`taskrun check` shows faults of tasks.yaml"))
        }
    }
}

/// Stops the service and waits until it has.
async fn halt(service: &Service, which: &Which, place: &Place) -> Result<(), Failure> {
    if let Err(error) = service.stop() {
        return if code(&error) == Some(NOT_ACTIVE) { Ok(()) } else { Err(refused("stop the service", &error)) };
    }
    let patience = patience(place);
    match reached(service, ServiceState::Stopped, patience).await? {
        ServiceState::Stopped => Ok(()),
        _ => Err(Failure::told(Exit::Failed, format!("{} is still stopping after {}", which.name, text::took(text::real(patience))))),
    }
}

/// Waits for a state of the service, or until it has stopped; gives the last one.
async fn reached(service: &Service, wanted: ServiceState, limit: Duration) -> Result<ServiceState, Failure> {
    let look = || service.query_status().map(|status| status.current_state).map_err(|error| refused("ask how the service is", &error));
    let reached = async {
        loop {
            let state = look()?;
            if state == wanted || state == ServiceState::Stopped {
                return Ok(state);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(limit, reached).await {
        Ok(state) => state,
        Err(_) => look(),
    }
}

fn code(error: &windows_service::Error) -> Option<i32> {
    match error {
        windows_service::Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

fn refused(what: &str, error: &windows_service::Error) -> Failure {
    let failure = Failure::because(Exit::Failed, format!("failed to {what}"), error);
    if code(error) == Some(ACCESS_DENIED) {
        return failure.advise("services are the administrator's: open the terminal with `Run as administrator`");
    }
    failure
}

fn last_words(place: &Place) -> Option<PathBuf> {
    Some(place.state().ok()?.dir.join(LAST_WORDS))
}

/// What the manager starts: gives it this process, and comes back when the service has ended.
pub(super) fn enter_service(which: &Which, place: &Place) -> Result<Exit, Failure> {
    drop(PLACE.set((place.clone(), which.name.clone())));
    service_dispatcher::start(&which.name, enter).map_err(|error| {
        Failure::because(Exit::Usage, "this is for the service control manager, not for people", &error).advise("`taskrun service start`")
    })?;
    Ok(Exit::Done)
}

/// The manager, where this process is a service.
pub(super) fn supervisor() -> Arc<dyn Supervisor> {
    match MANAGER.get() {
        Some(manager) => Arc::clone(manager) as Arc<dyn Supervisor>,
        None => Arc::new(Nobody),
    }
}

/// The service, on a thread of the manager's.
fn serve(_arguments: Vec<OsString>) {
    let Some((place, name)) = PLACE.get() else { return };
    let (signals, heard) = mpsc::channel(16);
    let registered = service_control_handler::register(name, move |control| {
        let signal = match control {
            ServiceControl::Stop | ServiceControl::Preshutdown => Signal::Terminate,
            ServiceControl::ParamChange => Signal::HangUp,
            ServiceControl::Interrogate => return ServiceControlHandlerResult::NoError,
            _ => return ServiceControlHandlerResult::NotImplemented,
        };
        // Full: it has been told often enough.
        signals.try_send(signal).unwrap_or_default();
        ServiceControlHandlerResult::NoError
    });
    let Ok(handle) = registered else { return };
    let manager = MANAGER.get_or_init(|| Arc::new(Manager(handle)));
    manager.tell(ServiceState::StartPending, START_LIMIT, ServiceExitCode::NO_ERROR);
    let exit = daemon(place, heard);
    let code = if exit == Exit::Done { ServiceExitCode::NO_ERROR } else { ServiceExitCode::ServiceSpecific(u32::from(exit as u8)) };
    manager.tell(ServiceState::Stopped, Duration::ZERO, code);
}

/// The daemon, as `taskrun run` is one; it tells the manager itself how it is.
fn daemon(place: &Place, signals: mpsc::Receiver<Signal>) -> Exit {
    let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(async { run::under(run::Args::default(), place.load()?, signals, place).await });
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::because(Exit::Failed, "failed to start", &error)),
    };
    let words = last_words(place);
    match result {
        Ok(exit) => {
            drop(words.map(std::fs::remove_file));
            exit
        }
        Err(failure) => {
            if let Some(path) = words {
                drop(path.parent().map(std::fs::create_dir_all));
                drop(std::fs::write(path, format!("{failure}\n")));
            }
            match failure {
                Failure::Told { exit, .. } => exit,
                Failure::Faults(_) => Exit::Usage,
                Failure::Output(_) => Exit::Failed,
            }
        }
    }
}

/// The service control manager, and what it is told.
#[derive(Debug)]
struct Manager(ServiceStatusHandle);

impl Manager {
    /// `within`: how long what is going on may take.
    fn tell(&self, state: ServiceState, within: Duration, exit_code: ServiceExitCode) {
        let controls_accepted = match state {
            ServiceState::Running => ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN | ServiceControlAccept::PARAM_CHANGE,
            _ => ServiceControlAccept::empty(),
        };
        let status = ServiceStatus {
            service_type: ServiceType::OWN_PROCESS,
            current_state: state,
            controls_accepted,
            exit_code,
            checkpoint: 0,
            wait_hint: within,
            process_id: None,
        };
        if let Err(error) = self.0.set_service_status(status) {
            tracing::warn!("the service control manager was not told: {}", crate::errors::chain(&error));
        }
    }
}

impl Supervisor for Manager {
    fn serves(&self) {
        self.tell(ServiceState::Running, Duration::ZERO, ServiceExitCode::NO_ERROR);
    }

    fn reloads(&self) {}

    fn stops(&self, within: Duration) {
        self.tell(ServiceState::StopPending, within, ServiceExitCode::NO_ERROR);
    }

    fn moves(&self, _uptime: SignedDuration, _status: &dyn Fn() -> String) {}
}
