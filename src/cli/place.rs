//! Where a command stands: which file, which state directory, which daemon, and how it talks to the user.
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Global,
    exit::{Exit, Failure},
    practice,
    screen::Screen,
    text::Times,
};
use crate::{
    clock::{Clock as _, SystemClock},
    config::{self, Config, Faults, LoadOptions, LogLevel, Secrets, StoreLocation, system_env},
    core::value::Params,
    engine::process::{self, Holder},
    errors::chain,
    handlers::registry,
    http::client::Client,
    os,
    store::sqlite::SqliteStore,
};

/// The configuration where nothing else is said.
const FILE: &str = "tasks.yaml";
/// The variable that names another.
const FILE_VARIABLE: &str = "TASKRUN_CONFIG";
/// The service's, where a package put it: for who is at neither of these.
const FILE_OF_SERVICE: &str = "/etc/taskrun/tasks.yaml";
/// The folder for practice within the state directory.
const PRACTICE: &str = "practice";

/// Where a command stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) screen: Screen,
    global: Global,
    clock: Arc<SystemClock>,
}

impl Place {
    pub(crate) fn new(screen: Screen, global: Global) -> Self {
        Self { screen, global, clock: SystemClock::start() }
    }

    /// The practice clock's speed, if this is practice.
    pub(crate) fn practice(&self) -> Option<u32> {
        self.global.sandbox
    }

    /// The level of the log, where the command line names one.
    pub(crate) fn log_level(&self) -> Option<LogLevel> {
        self.global.log_level
    }

    /// The state folder, where the command line names one.
    pub(crate) fn state_dir(&self) -> Result<Option<PathBuf>, Failure> {
        Ok(self.global.state_dir.as_deref().map(std::path::absolute).transpose()?)
    }

    /// The configuration's file: `--config`, `./tasks.yaml`, `$TASKRUN_CONFIG`, or the service's.
    pub(crate) fn config_file(&self) -> Result<PathBuf, Failure> {
        self.find_config_file().ok_or_else(|| {
            Failure::usage(format!("there is no {FILE} here, and ${FILE_VARIABLE} is not set"))
                .advise("go to the folder of tasks.yaml, or name the file with `--config FILE`")
        })
    }

    fn find_config_file(&self) -> Option<PathBuf> {
        let here = || Some(PathBuf::from(FILE)).filter(|file| file.exists());
        let named = || system_env(FILE_VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from);
        let of_service = || Some(PathBuf::from(FILE_OF_SERVICE)).filter(|file| file.exists());
        self.global.config.clone().or_else(here).or_else(named).or_else(of_service)
    }

    /// Reads a configuration. The inner error is its faults.
    pub(crate) fn read_config(&self, file: &Path, secrets: Secrets) -> Result<Result<Config, Faults>, Failure> {
        let mut config = match config::load(file, &self.load_options(secrets)) {
            Ok(config) => config,
            Err(faults) => return Ok(Err(faults)),
        };
        if let Some(dir) = &self.global.state_dir {
            config.keep_state_in(std::path::absolute(dir)?);
        }
        if self.practice().is_some() {
            let dir = config.state_dir.join(PRACTICE);
            config.log.dir = dir.join("logs");
            config.keep_state_in(dir);
        }
        Ok(Ok(config))
    }

    fn load_options(&self, secrets: Secrets) -> LoadOptions<'static> {
        LoadOptions {
            handlers: registry::SPECS,
            practice: self.practice().is_some(),
            secrets,
            env: &system_env,
            now: self.clock.now().wall,
        }
    }

    /// Reads `KEY=VALUE`s as parameters of a handler.
    pub(crate) fn settings(&self, settings: &[String], handler: &str, config: &Config) -> Result<Params, Failure> {
        let Some(spec) = registry::SPECS.iter().find(|spec| spec.name == handler) else {
            return Err(Failure::usage(format!("there is no handler `{handler}`")));
        };
        let accounts = config.accounts.keys().map(AsRef::as_ref);
        config::settings(settings, spec, accounts, &self.load_options(Secrets::Required)).map_err(Failure::Faults)
    }

    /// The configuration, for commands that run tasks.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        self.read_config(&self.config_file()?, Secrets::Required)?.map_err(Failure::Faults)
    }

    /// The configuration, for commands that look: unset secrets are no fault.
    pub(crate) fn load_without_secrets(&self) -> Result<Config, Failure> {
        self.read_config(&self.config_file()?, Secrets::NotNeeded)?.map_err(Failure::Faults)
    }

    /// Where the store and the process records are. A file with faults still says it: its daemon may run under an earlier one.
    pub(crate) fn state(&self) -> Result<State, Failure> {
        let (mut dir, mut store) = match &self.global.state_dir {
            Some(dir) => {
                let dir = std::path::absolute(dir)?;
                let store = StoreLocation::Sqlite(config::store_in(&dir));
                (dir, store)
            }
            None => config::whereabouts(&self.config_file()?, &self.load_options(Secrets::NotNeeded)),
        };
        if self.practice().is_some() {
            dir = dir.join(PRACTICE);
            store = StoreLocation::Sqlite(config::store_in(&dir));
        }
        Ok(State::of(&dir, &store))
    }

    /// What time it is: the practice clock's in practice.
    pub(crate) fn now(&self) -> Result<Timestamp, Failure> {
        let now = self.clock.now().wall;
        match self.practice() {
            Some(_) => Ok(practice::time(&self.state()?, now)),
            None => Ok(now),
        }
    }

    /// How to show times: in a terminal relative.
    pub(crate) fn times(&self, now: Timestamp) -> Times {
        let zone = self.zone();
        Times { now, zone, relative: self.screen.out_is_terminal() }
    }

    /// The file's zone; the system's where there is no file that can be read.
    pub(crate) fn zone(&self) -> TimeZone {
        let file = self.find_config_file().and_then(|file| self.read_config(&file, Secrets::NotNeeded).ok()?.ok());
        file.map_or_else(TimeZone::system, |config| config.timezone)
    }

    /// The store, if there is one already; for looking.
    pub(crate) async fn existing_store(&self) -> Result<Option<Arc<SqliteStore>>, Failure> {
        let state = self.state()?;
        state.can_be_entered()?;
        if state.store.exists() { open(&state.store).await.map(Some) } else { Ok(None) }
    }

    /// The store; made if there is none.
    pub(crate) async fn store(&self) -> Result<Arc<SqliteStore>, Failure> {
        open(&self.state()?.store).await
    }

    /// A connection to the running daemon.
    pub(crate) async fn daemon(&self) -> Result<Client, Failure> {
        let state = self.state()?;
        state.can_be_entered()?;
        let none = || self.no_daemon(&state);
        let holder = state.daemon().ok_or_else(none)?;
        let client = Client::of(&process::socket_of(&state.records, &holder.record).ok_or_else(none)?)?;
        client.ping().await.map_err(|error| self.silent(&state, &holder, &chain(&error)))?;
        Ok(client)
    }

    /// No daemon runs there; or nobody can tell, as the file that says where is not to be had.
    fn no_daemon(&self, state: &State) -> Failure {
        if self.practice().is_some() {
            return Failure::no_daemon(&state.dir).advise("start one for practice with `taskrun run --sandbox`");
        }
        let file = self.find_config_file().filter(|_| self.global.state_dir.is_none());
        match file.and_then(|file| File::open(&file).err().map(|error| (file, error))) {
            Some((file, error)) => Failure::because(Exit::Usage, format!("failed to read `{}`", file.display()), &error)
                .advise(format!("it says where the daemon is: name another with `--config FILE` or ${FILE_VARIABLE}")),
            None => Failure::no_daemon(&state.dir),
        }
    }

    /// The daemon lives and says nothing.
    fn silent(&self, state: &State, holder: &Holder, why: &str) -> Failure {
        let pid = holder.pid;
        let times = Times { now: self.clock.now().wall, zone: TimeZone::system(), relative: true };
        let last = state.last_written().map(|at| format!("; its store was last written to {}", times.passed(at))).unwrap_or_default();
        let (is_how, advice) = if os::is_halted(pid) {
            (" and is stopped (SIGSTOP)", format!("`kill -CONT {pid}` lets it go on"))
        } else {
            ("", "restart it: `taskrun run --replace`, or the service (`taskrun service status` shows it); keep its log".to_owned())
        };
        let message = format!("the daemon, process {pid}, lives{is_how} but does not answer: {why}{last}");
        Failure::told(Exit::NoDaemon, message).advise(advice)
    }

    /// What to say of a daemon that did not answer in time, if there is one.
    pub(crate) fn daemon_in_silence(&self, why: &str) -> Result<Option<Failure>, Failure> {
        let state = self.state()?;
        Ok(state.daemon().map(|holder| self.silent(&state, &holder, why)))
    }

    /// Whether a daemon holds its lock, answering or not.
    pub(crate) fn daemon_lives(&self) -> Result<bool, Failure> {
        let state = self.state()?;
        state.can_be_entered()?;
        Ok(state.daemon().is_some())
    }

    /// Makes the daemon look at the store at once, if there is one: otherwise it looks within a second.
    pub(crate) async fn poke_daemon(&self) {
        if let Ok(daemon) = self.daemon().await {
            drop(daemon.poke().await);
        }
    }

    /// Makes another process look at the store at once; otherwise it looks within a second.
    pub(crate) async fn poke(&self, record: &str) {
        if let Ok(state) = self.state()
            && let Some(socket) = process::socket_of(&state.records, record)
            && let Ok(client) = Client::of(&socket)
        {
            drop(client.poke().await);
        }
    }

    /// Refuses a name that is no task and no instance of the configuration.
    pub(crate) fn known_name(&self, name: &str) -> Result<(), Failure> {
        let config = self.load_without_secrets()?;
        super::views::named(&config.instances, name).map(|_| ())
    }
}

/// Where things are that a state directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) dir: PathBuf,
    /// The database file.
    pub(crate) store: PathBuf,
    /// The folder of the process records, beside it.
    pub(crate) records: PathBuf,
}

impl State {
    pub(crate) fn of(dir: &Path, store: &StoreLocation) -> Self {
        let StoreLocation::Sqlite(store) = store;
        // Named after the store: two stores may lie in one folder, and each has its own daemon.
        Self { dir: dir.to_owned(), store: store.clone(), records: store.with_extension("processes") }
    }

    /// Whether one can see what is there: what is shut is not the same as nothing.
    fn can_be_entered(&self) -> Result<(), Failure> {
        let shut = |path: &Path| path.try_exists().err().map(|error| (path.to_owned(), error));
        let Some((path, error)) = shut(&self.store).or_else(|| shut(&self.records)) else { return Ok(()) };
        Err(Failure::because(Exit::Store, format!("failed to look for `{}`", path.display()), &error)
            .advise("look as the user that taskrun runs as, or as root"))
    }

    /// When somebody last wrote to the store: a daemon that hangs writes nothing.
    fn last_written(&self) -> Option<Timestamp> {
        let mut log = self.store.clone().into_os_string();
        log.push("-wal");
        let written = [self.store.as_path(), Path::new(&log)].map(|path| std::fs::metadata(path).and_then(|found| found.modified()).ok());
        written.into_iter().flatten().max().and_then(|at| Timestamp::try_from(at).ok())
    }

    /// The running daemon, answering or not.
    pub(crate) fn daemon(&self) -> Option<Holder> {
        process::daemon(&self.records).filter(|holder| !process::is_dead(&self.records, &holder.record))
    }
}

/// Opens a store; reading its pages from a cold disk takes a while, so off the async threads.
pub(crate) async fn open(path: &Path) -> Result<Arc<SqliteStore>, Failure> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path)).await;
    let store = opened.map_err(|error| Failure::because(Exit::Store, "opening the store went wrong", &error))??;
    Ok(Arc::new(store))
}
