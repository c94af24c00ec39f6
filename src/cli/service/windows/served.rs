//! The service itself: what the service control manager starts, and what it hears of it.
use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::SignedDuration;
use tokio::sync::mpsc;
use windows_service::{
    define_windows_service,
    service::{ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType},
    service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle},
    service_dispatcher,
};

use super::{
    super::super::{
        exit::{Exit, Failure},
        place::Place,
        run,
    },
    START_LIMIT,
};
use crate::{
    engine::{
        signal::Signal,
        supervisor::{Nobody, Supervisor},
    },
    os,
};

/// Why the last start failed, in the state folder: a service has no screen.
const LAST_WORDS: &str = "service-error.txt";

/// Where the service stands, and its name; Windows calls it through a plain function, which is given nothing.
static PLACE: OnceLock<(Place, String)> = OnceLock::new();
/// Whom the service tells how it is; a process is one service.
static MANAGER: OnceLock<Arc<Manager>> = OnceLock::new();

define_windows_service!(enter, serve);

/// Why the last start failed, if it did.
pub(super) fn last_words(place: &Place) -> Option<String> {
    std::fs::read_to_string(words_file(place)?).ok()
}

fn words_file(place: &Place) -> Option<PathBuf> {
    Some(place.state().ok()?.dir.join(LAST_WORDS))
}

/// What the manager starts: gives it this process, and comes back when the service has ended.
pub(super) fn give(name: &str, place: &Place) -> Result<Exit, Failure> {
    drop(PLACE.set((place.clone(), name.to_owned())));
    service_dispatcher::start(name, enter).map_err(|error| {
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
    let told_to_stop = Arc::new(AtomicBool::new(false));
    let stops = Arc::clone(&told_to_stop);
    let registered = service_control_handler::register(name, move |control| {
        let signal = match control {
            ServiceControl::Stop | ServiceControl::Preshutdown => {
                stops.store(true, Ordering::Relaxed);
                Signal::Terminate
            }
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
    let ended = daemon(place, heard);
    leave_words(&ended, place);
    manager.tell(ServiceState::Stopped, Duration::ZERO, exit_code(&ended, told_to_stop.load(Ordering::Relaxed)));
}

/// The daemon, as `taskrun run` is one; it tells the manager itself how it is.
fn daemon(place: &Place, signals: mpsc::Receiver<Signal>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::because(Exit::Failed, "failed to start", &error))?;
    let ended = runtime.block_on(async { run::under(run::Args::default(), place.load()?, signals, place).await });
    runtime.shutdown_background();
    ended
}

fn leave_words(ended: &Result<Exit, Failure>, place: &Place) {
    let Some(path) = words_file(place) else { return };
    match ended {
        Ok(_) => drop(std::fs::remove_file(path)),
        Err(failure) => {
            drop(std::fs::create_dir_all(os::above(&path)));
            drop(std::fs::write(path, format!("{failure}\n")));
        }
    }
}

/// What the manager is told of the end: it starts again whatever ends with a code, wanted or not. The daemon comes to its end only where it was told
/// to stop, by the manager or by `taskrun stop`; that some run did not end in time is then no reason to start it again.
fn exit_code(ended: &Result<Exit, Failure>, told_to_stop: bool) -> ServiceExitCode {
    match ended {
        Err(failure) if !told_to_stop => ServiceExitCode::ServiceSpecific(u32::from(failure.exit() as u8)),
        Ok(_) | Err(_) => ServiceExitCode::NO_ERROR,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_started_again_and_what_was_stopped_is_not() {
        let failed = || Err(Failure::told(Exit::Store, "the store is gone"));
        assert_eq!(exit_code(&failed(), false), ServiceExitCode::ServiceSpecific(74));
        assert_eq!(exit_code(&failed(), true), ServiceExitCode::NO_ERROR);
        for in_time in [Ok(Exit::Done), Ok(Exit::Failed)] {
            assert_eq!(exit_code(&in_time, false), ServiceExitCode::NO_ERROR);
        }
    }
}
