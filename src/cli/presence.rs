//! This process among others: its record, its store, its log, its socket, and in practice its clock and marketplace.
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{Level, level_filters::LevelFilter};

use super::{
    discreet::{discreet, secrets},
    exit::{Exit, Failure},
    place::{Place, State},
    practice::{self, Marketplace, PracticeClock},
    text,
};
use crate::{
    clock::{Clock, SystemClock},
    config::{Config, LogFormat, LogLevel, Secrets},
    core::task::ProcessId,
    engine::{
        EngineOptions, Handlers, InForce, Load, Loaded, chain,
        control::{Control, Request},
        neighbours::{Call, Neighbours},
        process::{self, DaemonLock, Holder, ProcessRecord, RecordError},
        supervisor::Nobody,
    },
    handlers::registry,
    http::{
        self, ListenError, ListenTrouble, Server,
        client::{self, Client},
    },
    notify::{self, Post},
    observe::log::{self, LogGuard, LogSettings},
    os::{self, FileId},
    store::{RunStore as _, shop::ShopStore, sqlite::SqliteStore, upkeep::Upkeep},
    tally::Tally,
    view::{Desk, trends::Trends},
};

/// How much longer than its own grace period a daemon that is replaced may take to end.
const REPLACE_MARGIN: Duration = Duration::from_secs(10);
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How often we look whether it is gone.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a `once` takes to send what people are to hear of; what is left is for the next taskrun.
const LAST_NOTICES: Duration = Duration::from_secs(10);
/// How often a daemon looks whether its state is still there.
const STAND_EVERY: Duration = Duration::from_secs(2);

/// What a process is here for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Fires schedules; there is one for each store. `replace`: it takes over from another.
    Daemon { replace: bool },
    /// Runs something once.
    Once,
}

/// A configuration that was read and is not in force yet, and its log's settings.
type Pending = Arc<Mutex<Option<(LogSettings, Config)>>>;

/// What listens for this process.
#[derive(Debug)]
pub(crate) struct Listening {
    socket: JoinHandle<std::io::Result<()>>,
    tcp: Option<JoinHandle<()>>,
    /// Where the dashboard is.
    pub(crate) url: Option<String>,
}

impl Listening {
    /// Comes back when everybody has been answered, once it was told to close.
    pub(crate) async fn end(self) {
        if let Ok(Err(error)) = self.socket.await {
            tracing::debug!(%error, "the local socket was not closed in order");
        }
        if let Some(tcp) = self.tcp {
            drop(tcp.await);
        }
    }
}

/// This process among others.
#[derive(Debug)]
pub(crate) struct Presence {
    pub(crate) state: State,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) log: LogGuard,
    /// Who is told what.
    pub(crate) post: Arc<Post>,
    role: Role,
    record: ProcessRecord,
    /// Which file the store was when it was opened.
    file: Option<FileId>,
    process: ProcessId,
    daemon: Option<DaemonLock>,
    practice: Option<(PracticeClock, Marketplace)>,
    /// The configuration in force.
    config: watch::Sender<Arc<Config>>,
    /// What is counted.
    tally: Arc<Tally>,
}

impl Presence {
    /// Takes its place: from here on other processes know of it. In practice, the practice marketplace stands in for the real ones in `config`.
    pub(crate) async fn begin(role: Role, config: &mut Config, place: &Place) -> Result<Self, Failure> {
        let state = State::of(&config.state_dir, &config.store);
        refuse_root(&state.dir)?;
        let system = SystemClock::start();
        let now = system.now().wall;
        let record = ProcessRecord::create(&state.records, role == Role::Once, now).map_err(|error| refused(&error))?;
        let daemon = match role {
            Role::Daemon { replace } => match lock(&state, &record, replace, config, place).await {
                Ok(lock) => Some(lock),
                Err(failure) => {
                    record.retire();
                    return Err(failure);
                }
            },
            Role::Once => None,
        };
        let practice =
            place.practice().map(|speed| PracticeClock::start(&state, speed, record.name(), now, &config.timezone)).transpose()?;
        let clock: Arc<dyn Clock> =
            practice.as_ref().map_or(system as Arc<dyn Clock>, |practice| Arc::clone(&practice.clock) as Arc<dyn Clock>);
        let settings = log_settings(config, role, place);
        let log =
            log::init(settings, Arc::clone(&clock)).map_err(|error| Failure::because(Exit::Failed, "failed to start the log", &error))?;
        let store = super::place::open(&state.store).await?;
        let file = FileId::at(&state.store).ok();
        if daemon.is_some() {
            sweep(&state, &store).await?;
        }
        let process = store.register_process(std::process::id(), role == Role::Once, record.name().to_owned(), clock.now().wall).await?;
        let practice = match practice {
            Some(practice) => {
                let marketplace = Marketplace::start(&state, Arc::clone(&clock), role != Role::Once).await?;
                practice::stand_in(config, &marketplace.endpoint());
                practice::seed(&*store, clock.now().wall).await?;
                Some((practice, marketplace))
            }
            None => None,
        };
        let settings = notice_settings(config, practice.is_some());
        let post = Post::open(store.clone(), store.clone(), Arc::clone(&clock), settings).await?;
        let config = watch::Sender::new(Arc::new(config.clone()));
        Ok(Self { state, clock, store, log, post, role, record, file, process, daemon, practice, config, tally: Arc::default() })
    }

    /// The practice marketplace's address and the practice clock's speed.
    pub(crate) fn practice(&self) -> Option<(String, u32)> {
        self.practice.as_ref().map(|(clock, marketplace)| (marketplace.endpoint(), clock.speed))
    }

    /// An engine for this process, over this configuration.
    pub(crate) fn engine(&self, config: &Config, requests: mpsc::Receiver<Request>, place: &Place) -> EngineOptions {
        let pending = Pending::default();
        let ping: Call = Arc::new(|socket: PathBuf| Box::pin(async move { client::answers(&socket).await }));
        let poke: Call = Arc::new(|socket: PathBuf| Box::pin(async move { client::poke(&socket).await }));
        EngineOptions {
            loaded: loaded(config.clone(), self.handlers(config)),
            load: self.load(place, Arc::clone(&pending)),
            in_force: self.in_force(pending),
            store: self.store.clone(),
            process: self.process,
            neighbours: Neighbours::new(self.store.clone(), self.state.records.clone(), ping, poke),
            clock: Arc::clone(&self.clock),
            scheduling: self.role != Role::Once,
            marker: self.record.name().into(),
            requests,
            tally: Arc::clone(&self.tally),
            practice_speed: self.practice().map(|(_, speed)| speed),
            notifier: self.post.notifier(),
            health: self.post.health(),
            supervisor: Arc::new(Nobody),
        }
    }

    /// Listens until `closing`: on the local socket, and a daemon also where its configuration says.
    pub(crate) async fn listen(&self, control: Control, closing: CancellationToken) -> Result<Listening, Failure> {
        let (config, trouble, practice) = (self.config.subscribe(), ListenTrouble::default(), self.practice.is_some());
        let wanted = config.borrow().http.clone().filter(|_| self.role != Role::Once);
        let bound = match &wanted {
            Some(wanted) => Some(http::bind(wanted, &self.state.dir, practice).await.map_err(|error| deaf(&error))?),
            None => None,
        };
        let url = bound.as_ref().map(http::Bound::url);
        let desk = self.desk(control, trouble.clone());
        if self.role != Role::Once {
            tokio::spawn(desk.trends.clone().watch(desk.clone(), closing.clone()));
        }
        let app = http::router(desk, closing.clone());
        let socket = http::serve(&self.record.socket(), app.clone(), closing.clone()).map_err(|error| {
            let message = format!("failed to listen on the local socket `{}`", self.record.socket().display());
            Failure::because(Exit::Failed, message, &error)
        })?;
        let server = Server { app, state_dir: self.state.dir.clone(), config, practice, trouble };
        let tcp = (self.role != Role::Once).then(|| server.start(bound, closing));
        Ok(Listening { socket, tcp, url })
    }

    fn desk(&self, control: Control, trouble: ListenTrouble) -> Desk {
        Desk {
            control,
            runs: self.store.clone(),
            shop: self.store.clone(),
            outbox: self.store.clone(),
            clock: Arc::clone(&self.clock),
            config: self.config.subscribe(),
            tally: Arc::clone(&self.tally),
            log: Some(self.log.handle()),
            trouble: vec![Arc::new(move || trouble.now())],
            trends: Trends::default(),
        }
    }

    /// Comes back when the state was removed or replaced under us: then no other process knows of us, and what we write down is lost.
    pub(crate) async fn displaced(&self) {
        while self.is_in_place() {
            tokio::time::sleep(STAND_EVERY).await;
        }
    }

    pub(crate) fn is_in_place(&self) -> bool {
        self.record.is_in_place() && FileId::at(&self.state.store).ok() == self.file
    }

    /// Sends what people are to hear of until `closing`: a daemon's.
    pub(crate) fn send_notices(&self, closing: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.post).run(closing))
    }

    /// Sends what people are to hear of before a `once` ends, where there is no daemon that does.
    pub(crate) async fn send_last_notices(&self) {
        if self.state.daemon().is_none() {
            self.post.drain(LAST_NOTICES).await;
        }
    }

    /// Leaves in order: nothing of this process is open any more.
    pub(crate) async fn end(self, nothing_open: bool) -> Result<(), Failure> {
        let Self { record, store, process, daemon, practice, post, .. } = self;
        // What a run left behind outside its process group must not outlive us.
        process::kill_children(Vec::new(), vec![record.name().to_owned()]).await;
        if let Some((clock, marketplace)) = practice {
            marketplace.stop().await;
            clock.stop();
        }
        // With something open, the record stays: the next start proves this process dead by it and cleans up.
        if nothing_open {
            store.retire_process(process).await?;
        }
        // Who waits for our end looks at the record, so it goes last: a daemon that is told to stop must leave its place to the next one by then.
        drop(post);
        drop(store);
        drop(daemon);
        if nothing_open {
            record.retire();
        }
        Ok(())
    }

    /// Puts in force what the engine does not know of: the log's settings, the channels, and where the dashboard listens.
    fn in_force(&self, pending: Pending) -> InForce {
        let (handle, post, in_force) = (self.log.handle(), Arc::clone(&self.post), self.config.clone());
        let practice = self.practice.is_some();
        Arc::new(move || {
            if let Some((settings, config)) = pending.lock().unwrap_or_else(PoisonError::into_inner).take() {
                handle.apply(settings);
                post.configure(notice_settings(&config, practice));
                in_force.send_replace(Arc::new(config));
            }
        })
    }

    /// The handlers, ready to work under this configuration.
    pub(crate) fn handlers(&self, config: &Config) -> Handlers {
        let (shop, upkeep) = self.halves();
        Arc::new(discreet(registry::build(config, &shop, &upkeep), &secrets(config)))
    }

    /// The halves of the store that handlers work with.
    fn halves(&self) -> (Arc<dyn ShopStore>, Arc<dyn Upkeep>) {
        (self.store.clone(), self.store.clone())
    }

    /// Reads the configuration again. What names the store and the state folder counts from the next start on; `pending` is put in force with the rest.
    fn load(&self, place: &Place, pending: Pending) -> Load {
        let (place, role, state) = (place.clone(), self.role, self.state.clone());
        let endpoint = self.practice().map(|(endpoint, _)| endpoint);
        let (shop, upkeep) = self.halves();
        Arc::new(move || {
            let said = |failure: Failure| vec![failure.to_string()];
            let file = place.config_file().map_err(said)?;
            let read = place.read_config(&file, Secrets::Required).map_err(said)?;
            let mut config = read.map_err(|faults| faults.to_string().lines().map(ToOwned::to_owned).collect::<Vec<_>>())?;
            if State::of(&config.state_dir, &config.store) != state {
                tracing::warn!("the store or the state folder is another one now; that counts from the next start on");
            }
            if let Some(endpoint) = &endpoint {
                practice::stand_in(&mut config, endpoint);
            }
            let handlers = Arc::new(discreet(registry::build(&config, &shop, &upkeep), &secrets(&config)));
            *pending.lock().unwrap_or_else(PoisonError::into_inner) = Some((log_settings(&config, role, &place), config.clone()));
            Ok(loaded(config, handlers))
        })
    }
}

/// What the engine needs of a configuration.
fn loaded(config: Config, handlers: Handlers) -> Loaded {
    Loaded {
        instances: config.instances,
        running_max: config.max_running,
        shutdown_grace: config.shutdown_grace,
        handlers,
        base_dir: config.base_dir,
        path: config.path,
    }
}

/// Root must not leave files in another user's state: that user's taskrun could not write its own log any more.
fn refuse_root(dir: &Path) -> Result<(), Failure> {
    let Some(owner) = os::other_owner(dir).filter(|_| os::is_root()) else { return Ok(()) };
    let message =
        format!("the state in `{}` belongs to user {owner}, and root would leave files there that user could not write", dir.display());
    Err(Failure::usage(message).advise(format!("run it as that user: `sudo -u '#{owner}' taskrun ...`")))
}

/// Nobody could reach the dashboard.
fn deaf(error: &ListenError) -> Failure {
    let failure = Failure::told(Exit::Usage, chain(error));
    if error.is_taken() {
        return failure
            .advise("another program has that port, perhaps another taskrun; name another with `http: { listen: \"127.0.0.1:9701\" }`");
    }
    failure.advise("look at `http` in tasks.yaml")
}

fn refused(error: &RecordError) -> Failure {
    let exit = match error {
        RecordError::Io { .. } => Exit::Store,
        RecordError::NetworkDrive { .. } | RecordError::DaemonRuns { .. } => Exit::Usage,
    };
    Failure::told(exit, crate::engine::chain(error))
}

/// Removes the records of processes that died before the store knew them.
async fn sweep(state: &State, store: &SqliteStore) -> Result<(), Failure> {
    let known: Vec<String> = store.processes().await?.into_iter().map(|process| process.record).collect();
    Ok(process::remove_strays(&state.records, &known)?)
}

/// Takes the daemon's lock, from another daemon if that is wanted.
async fn lock(state: &State, record: &ProcessRecord, replace: bool, config: &Config, place: &Place) -> Result<DaemonLock, Failure> {
    let first = DaemonLock::take(&state.records, record);
    let holder = match first {
        Err(RecordError::DaemonRuns { holder: Some(holder) }) if replace => holder,
        taken => return taken.map_err(|error| refused(&error)),
    };
    place.screen.say(&format!("taking over from process {}", holder.pid));
    let grace = Duration::try_from(config.shutdown_grace).unwrap_or_default();
    replace_daemon(state, &holder, grace, place).await?;
    let take = || DaemonLock::take(&state.records, record);
    // A process that was killed loses its locks one after the other.
    let freed = async {
        loop {
            match take() {
                Err(RecordError::DaemonRuns { holder: Some(still) }) if still == holder => tokio::time::sleep(LOOK_EVERY).await,
                taken => return taken,
            }
        }
    };
    tokio::time::timeout(KILL_LIMIT, freed).await.unwrap_or_else(|_| take()).map_err(|error| refused(&error))
}

/// Stops a daemon: it is asked, then told, then killed. It keeps the kernel's lock as long as it lives, so no softer way is left for one that hangs.
async fn replace_daemon(state: &State, holder: &Holder, grace: Duration, place: &Place) -> Result<(), Failure> {
    let client = process::socket_of(&state.records, &holder.record).and_then(|socket| Client::of(&socket).ok());
    let asked = match client {
        Some(client) => client.stop().await.is_ok(),
        None => false,
    };
    if !asked {
        end(holder, false);
    }
    if gone_within(state, holder, grace + REPLACE_MARGIN).await {
        return Ok(());
    }
    let patience = text::took(text::real(grace + REPLACE_MARGIN));
    place.screen.say(&format!("process {} did not end within {patience}: killing it", holder.pid));
    end(holder, true);
    if gone_within(state, holder, KILL_LIMIT).await {
        return Ok(());
    }
    Err(Failure::told(Exit::Failed, format!("process {} cannot be killed", holder.pid))
        .advise("the kernel holds it; a dead network drive can do that"))
}

/// The record is still locked, so the process id is still that process's.
fn end(holder: &Holder, at_once: bool) {
    if let Err(error) = os::end_process(holder.pid, at_once) {
        tracing::debug!(%error, pid = holder.pid, "the other daemon could not be told to end");
    }
}

async fn gone_within(state: &State, holder: &Holder, limit: Duration) -> bool {
    let gone = async {
        while !process::is_dead(&state.records, &holder.record) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(limit, gone).await.is_ok()
}

/// The level by its word.
pub(crate) fn level_of(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

/// The channels as the configuration wants them.
fn notice_settings(config: &Config, practice: bool) -> notify::Settings {
    notify::Settings { notify: config.notify.clone(), zone: config.timezone.clone(), secrets: secrets(config), practice }
}

/// The log as the configuration and the command line want it.
pub(crate) fn log_settings(config: &Config, role: Role, place: &Place) -> LogSettings {
    let level = LevelFilter::from_level(level_of(place.log_level().unwrap_or(config.log.level)));
    let format = match config.log.format {
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    LogSettings {
        dir: Some(config.log.dir.clone()),
        level,
        format,
        max_size: config.log.max_size,
        keep: config.log.keep,
        console: config.log.console && !place.screen.is_quiet(),
        color: place.screen.err_has_color(),
        zone: config.timezone.clone(),
        secrets: secrets(config),
        daemon: role != Role::Once,
    }
}
