//! What is asked of the service control manager.
use std::{path::Path, time::Duration};

use windows_service::{
    service::{Service, ServiceAccess, ServiceConfig, ServiceState},
    service_manager::{ServiceManager, ServiceManagerAccess},
};

use super::{
    super::{
        super::{
            exit::{Exit, Failure},
            place::Place,
            text,
        },
        Which,
    },
    START_LIMIT, patience, served,
};
use crate::os;

/// How often we look how the service is.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What stands behind the program in each of our services.
pub(super) const ENTER: [&str; 3] = ["service", "enter", "--name"];

/// What Windows says where a service is not there, runs already, is on its way into another state, or does not run.
const DOES_NOT_EXIST: i32 = 1060;
const RUNS_ALREADY: i32 = 1056;
const HEARS_NOTHING: i32 = 1061;
const NOT_ACTIVE: i32 = 1062;

/// A service that there is, and how it is set up.
pub(super) struct Installed {
    pub(super) service: Service,
    pub(super) config: ServiceConfig,
}

/// A service of ours, if there is one of this name. Another program's is left alone.
pub(super) fn find(which: &Which, access: ServiceAccess) -> Result<Option<Installed>, Failure> {
    let manager = connect(ServiceManagerAccess::CONNECT).map_err(|error| refused("reach the service control manager", &error))?;
    let service = match manager.open_service(&which.name, access | ServiceAccess::QUERY_CONFIG) {
        Ok(service) => service,
        Err(error) if code(&error) == Some(DOES_NOT_EXIST) => return Ok(None),
        Err(error) => return Err(refused("open the service", &error)),
    };
    let config = service.query_config().map_err(|error| refused("ask what the service runs", &error))?;
    if is_ours(&config.executable_path) {
        return Ok(Some(Installed { service, config }));
    }
    let message = format!("the service `{}` is another program's: {}", which.name, config.executable_path.display());
    Err(Failure::usage(message).advise("give ours another name: `--name taskrun-shop`"))
}

/// A service that has to be there.
pub(super) fn installed(which: &Which, access: ServiceAccess) -> Result<Service, Failure> {
    find(which, access)?.map(|installed| installed.service).ok_or_else(|| {
        Failure::usage(format!("there is no service `{}`", which.name)).advise("`taskrun service install`, as administrator, makes it")
    })
}

pub(super) fn connect(access: ServiceManagerAccess) -> windows_service::Result<ServiceManager> {
    ServiceManager::local_computer(None::<&str>, access)
}

fn is_ours(command_line: &Path) -> bool {
    command_line.to_string_lossy().contains(&format!(" {} ", ENTER.join(" ")))
}

/// How the service is right now.
pub(super) fn state(service: &Service) -> Result<ServiceState, Failure> {
    service.query_status().map(|status| status.current_state).map_err(|error| refused("ask how the service is", &error))
}

/// Starts the service and waits until it runs.
pub(super) async fn begin(service: &Service, which: &Which, place: &Place) -> Result<(), Failure> {
    // One that is still stopping counts as running, and then runs no more.
    if state(service)? == ServiceState::StopPending {
        reached(service, ServiceState::Stopped, patience(place)).await?;
    }
    if let Err(error) = asked(START_LIMIT, || service.start(&[] as &[&str])).await
        && code(&error) != Some(RUNS_ALREADY)
    {
        return Err(refused("start the service", &error));
    }
    match reached(service, ServiceState::Running, START_LIMIT).await? {
        ServiceState::Running => Ok(()),
        _ => {
            let words = served::last_words(place).map(|words| format!(": {}", words.trim_end())).unwrap_or_default();
            Err(Failure::told(Exit::Failed, format!("{} did not start{words}", which.name))
                .advise("`taskrun check` shows faults of tasks.yaml"))
        }
    }
}

/// Stops the service and waits until it has.
pub(super) async fn halt(service: &Service, which: &Which, place: &Place) -> Result<(), Failure> {
    let patience = patience(place);
    if let Err(error) = asked(START_LIMIT.saturating_add(patience), || service.stop()).await {
        return if code(&error) == Some(NOT_ACTIVE) { Ok(()) } else { Err(refused("stop the service", &error)) };
    }
    match reached(service, ServiceState::Stopped, patience).await? {
        ServiceState::Stopped => Ok(()),
        _ => Err(Failure::told(Exit::Failed, format!("{} is still stopping after {}", which.name, text::took(text::real(patience))))),
    }
}

/// Asks again for as long as the service, on its way into another state, hears nothing.
async fn asked<T>(limit: Duration, mut ask: impl FnMut() -> windows_service::Result<T>) -> windows_service::Result<T> {
    let heard = async {
        loop {
            match ask() {
                Err(error) if code(&error) == Some(HEARS_NOTHING) => tokio::time::sleep(LOOK_EVERY).await,
                answer => return answer,
            }
        }
    };
    match tokio::time::timeout(limit, heard).await {
        Ok(answer) => answer,
        Err(_) => ask(),
    }
}

/// Waits for a state of the service, or until it has stopped; gives the last one.
async fn reached(service: &Service, wanted: ServiceState, limit: Duration) -> Result<ServiceState, Failure> {
    let reached = async {
        loop {
            let state = state(service)?;
            if state == wanted || state == ServiceState::Stopped {
                return Ok(state);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(limit, reached).await {
        Ok(state) => state,
        Err(_) => state(service),
    }
}

fn code(error: &windows_service::Error) -> Option<i32> {
    match error {
        windows_service::Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

pub(super) fn refused(what: &str, error: &windows_service::Error) -> Failure {
    let failure = Failure::because(Exit::Failed, format!("failed to {what}"), error);
    if code(error) == Some(os::ACCESS_DENIED) {
        return failure.advise("services are the administrator's: open the terminal with `Run as administrator`");
    }
    failure
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn said(code: i32) -> windows_service::Result<()> {
        Err(windows_service::Error::Winapi(io::Error::from_raw_os_error(code)))
    }

    #[test]
    fn a_service_of_another_program_is_none_of_ours() {
        for ours in [
            r"C:\taskrun.exe -c C:\tasks.yaml service enter --name taskrun",
            r#""C:\Program Files\taskrun\taskrun.exe" -c "C:\my shop\tasks.yaml" service enter --name shop-2"#,
        ] {
            assert!(is_ours(Path::new(ours)), "{ours}");
        }
        for other in [r"C:\Windows\System32\spoolsv.exe", r"C:\taskrun.exe run", r#"C:\nssm.exe "C:\service enter\x.exe""#] {
            assert!(!is_ours(Path::new(other)), "{other}");
        }
    }

    #[tokio::test]
    async fn a_service_that_hears_nothing_is_asked_again_but_not_for_ever() {
        let mut asks = 0;
        let stopped = asked(START_LIMIT, || {
            asks += 1;
            if asks < 4 { said(HEARS_NOTHING) } else { Ok(()) }
        });
        assert!(stopped.await.is_ok());
        assert_eq!(code(&asked(LOOK_EVERY, || said(HEARS_NOTHING)).await.unwrap_err()), Some(HEARS_NOTHING));
        let mut asks = 0;
        let answer = asked(START_LIMIT, || {
            asks += 1;
            said(NOT_ACTIVE)
        });
        assert_eq!(code(&answer.await.unwrap_err()), Some(NOT_ACTIVE));
        assert_eq!(asks, 1, "that is an answer");
    }
}
