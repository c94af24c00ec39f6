//! The log: a file for the daemon, one for each instance, and the console. A log that cannot be written never fails or delays a task.
//!
//! A span made by [`attempt_span`] says whose an event is. Files are written directly, line by line; the console goes through a queue that drops
//! lines when nobody reads it. What can't be written to any file goes to the console, whatever the settings say.
use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::MultiProgress;
use jiff::{SignedDuration, tz::TimeZone};
use tracing::{Level, Metadata, Span, Subscriber, level_filters::LevelFilter, span, subscriber::SetGlobalDefaultError};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use self::entry::{Entry, Fields, Origin};
pub use self::{entry::printable, secrets::Secrets};
use super::rotate::{Limits, LogFile, Lost};
use crate::{
    clock::Clock,
    core::task::{InstanceName, Now, RunId},
};

mod entry;
mod secrets;

/// The log file of everything that a daemon does, and whose a line is that belongs to no instance.
pub(super) const DAEMON: &str = "taskrun";

/// Log files kept open at once; beyond that the one that was not used for longest is closed.
const OPEN_MAX: usize = 128;

/// Lines that wait for the console; beyond that they are dropped and counted.
const CONSOLE_LINES_MAX: usize = 16_384;

/// One complaint in this time, however many files fail and however often they recover.
const COMPLAIN_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `2026-11-22 13:48:00 [INFO] sync_inventory: ...`
    #[default]
    Text,
    /// One JSON object: `ts`, `level`, `target`, `instance`, `run`, `attempt`, `message`, `fields`.
    Json,
}

/// Where the log goes and how it looks.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// The folder of the files, made when it is missing. `None`: no files, as for commands that only print, and dry runs.
    pub dir: Option<PathBuf>,
    /// Nothing more detailed than this. From `debug` on, text lines show the process id.
    pub level: LevelFilter,
    pub format: Format,
    /// Bytes of one file.
    pub max_size: u64,
    /// Rotated files of each log, beside the current one.
    pub keep: usize,
    /// Whether everything goes to stderr too.
    pub console: bool,
    /// Whether the console shows colours.
    pub color: bool,
    /// The zone of the times.
    pub zone: TimeZone,
    /// Never shown.
    pub secrets: Secrets,
    /// Whether there is a `taskrun.log` of everything; a `once` writes to its instance's file only.
    pub daemon: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            dir: None,
            level: LevelFilter::INFO,
            format: Format::Text,
            max_size: 10_000_000,
            keep: 5,
            console: true,
            color: false,
            zone: TimeZone::UTC,
            secrets: Secrets::default(),
            daemon: false,
        }
    }
}

/// Keeps the log going; dropped, it writes out what waits for the console.
#[derive(Debug)]
pub struct LogGuard {
    handle: LogHandle,
    _console: WorkerGuard,
}

impl LogGuard {
    /// A handle to give away.
    pub fn handle(&self) -> LogHandle {
        self.handle.clone()
    }
}

/// Changes the log while it is in use, and tells how it fares.
#[derive(Clone, Debug)]
pub struct LogHandle(Arc<Shared>);

impl LogHandle {
    /// Puts other settings in force, after a reload.
    pub fn apply(&self, settings: LogSettings) {
        self.0.files().slots.clear();
        *self.0.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Lines that did not reach a file, since the start.
    pub fn write_failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// Lines that the console was too slow for, since the start.
    pub fn console_drops(&self) -> u64 {
        self.0.console_drops.dropped_lines() as u64
    }

    /// The text without the secrets in it, for what is shown or kept elsewhere.
    pub fn mask(&self, text: &str) -> String {
        self.0.settings().secrets.mask(text).into_owned()
    }

    /// The progress bars that log lines make way for.
    pub fn bars(&self) -> MultiProgress {
        self.0.bars.clone()
    }
}

/// Starts the log for the whole process.
///
/// # Errors
/// The process has one already.
pub fn init(settings: LogSettings, clock: Arc<dyn Clock>) -> Result<LogGuard, SetGlobalDefaultError> {
    let (subscriber, guard) = start(settings, clock);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(guard)
}

/// Makes a log for whoever wants one of their own.
pub fn start(settings: LogSettings, clock: Arc<dyn Clock>) -> (impl Subscriber + Send + Sync, LogGuard) {
    let bars = MultiProgress::new();
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(CONSOLE_LINES_MAX).thread_name("log-console");
    let (console, worker) = builder.finish(Console(bars.clone()));
    let shared = Arc::new(Shared {
        settings: RwLock::new(Arc::new(settings)),
        files: Mutex::default(),
        console_drops: console.error_counter(),
        console,
        bars,
        failures: AtomicU64::new(0),
        clock,
    });
    let guard = LogGuard { handle: LogHandle(shared.clone()), _console: worker };
    (tracing_subscriber::registry().with(LogLayer(shared)), guard)
}

/// The span of an attempt: what happens in it goes to the instance's file, whatever the level.
pub fn attempt_span(instance: &InstanceName, run: RunId, attempt: u32) -> Span {
    tracing::error_span!("attempt", %instance, run = run.0, attempt)
}

/// Writes to stderr, above the progress bars.
struct Console(MultiProgress);

impl Write for Console {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// What the layer and the handles share.
struct Shared {
    settings: RwLock<Arc<LogSettings>>,
    files: Mutex<Files>,
    console: NonBlocking,
    console_drops: ErrorCounter,
    bars: MultiProgress,
    failures: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).field("failures", &self.failures).finish_non_exhaustive()
    }
}

/// The log files in use, by name.
#[derive(Default)]
struct Files {
    slots: HashMap<Box<str>, Slot>,
    /// When the last complaint was made, in uptime.
    complained_at: Option<SignedDuration>,
}

impl Files {
    /// The file with this name. Where too many are open, the one that was not used for longest is closed.
    fn slot(&mut self, name: &str, now: Now, make: impl FnOnce() -> LogFile) -> &mut Slot {
        if self.slots.len() >= OPEN_MAX && !self.slots.contains_key(name) {
            let idle = self.slots.iter().filter(|(_, slot)| !slot.file.is_failing()).min_by_key(|(_, slot)| slot.used);
            if let Some(idle) = idle.map(|(name, _)| name.clone()) {
                self.slots.remove(&idle);
            }
        }
        let slot = self.slots.entry(name.into()).or_insert_with(|| Slot { file: make(), used: now.uptime });
        slot.used = now.uptime;
        slot
    }

    fn may_complain(&mut self, now: Now) -> bool {
        let due = self.complained_at.is_none_or(|last| now.uptime >= last.saturating_add(COMPLAIN_EVERY));
        if due {
            self.complained_at = Some(now.uptime);
        }
        due
    }
}

/// A log file in use.
struct Slot {
    file: LogFile,
    /// When it was last written to, in uptime.
    used: SignedDuration,
}

impl Shared {
    fn settings(&self) -> Arc<LogSettings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an event wherever it belongs.
    fn log(&self, entry: &Entry<'_>, now: Now) {
        let settings = self.settings();
        let line = entry.render(&settings, settings.format, false);
        let reached = self.log_to_files(entry, &line, &settings, now);
        if settings.console || !reached {
            let line = if settings.color { entry.render(&settings, settings.format, true) } else { line };
            self.print(&line);
        }
    }

    /// False: none of the files that the event belongs to could be written.
    fn log_to_files(&self, entry: &Entry<'_>, line: &str, settings: &LogSettings, now: Now) -> bool {
        let main = settings.daemon.then(|| DAEMON.to_owned());
        let own = entry.origin.instance.as_deref().map(file_name).filter(|own| main.as_deref() != Some(own));
        let mut files = main.into_iter().chain(own).peekable();
        if settings.dir.is_none() || files.peek().is_none() {
            return true;
        }
        let written: Vec<bool> = files.map(|name| self.append(&name, line, settings, now)).collect();
        written.contains(&true)
    }

    fn append(&self, name: &str, line: &str, settings: &LogSettings, now: Now) -> bool {
        let Some(dir) = &settings.dir else { return false };
        let limits = Limits { max_size: settings.max_size, keep: settings.keep };
        let notice = |lost| Entry::lost(lost, now).render(settings, settings.format, false).into_bytes();
        let mut files = self.files();
        let slot = files.slot(name, now, || LogFile::new(dir, name, limits));
        let Err(Lost { error, first }) = slot.file.append(line.as_bytes(), now, notice) else { return true };
        let complaint = format!(
            "failed to write the log `{}`: {error}; tasks go on, its lines are lost until it can be written again",
            slot.file.path().display()
        );
        self.failures.fetch_add(1, Ordering::Relaxed);
        if first && files.may_complain(now) {
            drop(files);
            self.print(&Entry::complaint(complaint, now).render(settings, settings.format, settings.color));
        }
        false
    }

    /// Puts a line into the console's queue; a full queue drops and counts it.
    fn print(&self, line: &str) {
        let queued = self.console.clone().write_all(line.as_bytes());
        debug_assert!(queued.is_ok(), "the queue never fails, it drops");
    }
}

/// Instance names are safe as file names; this holds whatever somebody writes into a field.
fn file_name(instance: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "_-@".contains(c) { c } else { '_' };
    instance.chars().map(safe).collect()
}

/// What tracing calls for each event.
struct LogLayer(Arc<Shared>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _ctx: Context<'_, S>) -> bool {
        let level = self.0.settings().level;
        // Other crates explain themselves on request only.
        let ours = metadata.target().starts_with("taskrun") || level == LevelFilter::TRACE;
        metadata.is_span() || (*metadata.level() <= level && (ours || *metadata.level() <= Level::WARN))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.settings().level)
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id)
            && fields.origin != Origin::default()
        {
            span.extensions_mut().insert(fields.origin);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, ctx: Context<'_, S>) {
        let now = self.0.clock.now();
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in ctx.event_scope(event).into_iter().flatten() {
            if let Some(origin) = span.extensions().get::<Origin>() {
                fields.origin.fill_from(origin);
            }
        }
        self.0.log(&Entry::of(event.metadata(), fields, now), now);
    }
}

#[cfg(test)]
mod tests;
