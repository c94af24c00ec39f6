//! Reload: the whole configuration again, as one step or not at all.
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    control::tell,
    driver::{Driver, Load, Loaded, seen},
    view::ReloadView,
};
use crate::core::{
    event::{Event, Mark},
    reload::differences,
};
use crate::{errors::chain, notify};

/// What people read as the subject of a refused reload.
const CONFIGURATION: &str = "configuration";

/// What is known of reloads.
#[derive(Debug)]
pub(super) struct Reloads {
    pub loaded_at: Timestamp,
    pub count: u64,
    /// The faults of the last one, if it failed.
    pub faults: Vec<String>,
    /// Whoever asked while one was under way: they are answered by the next.
    waiting: Vec<oneshot::Sender<ReloadView>>,
    under_way: bool,
}

/// A configuration that was read again, on its way into force.
#[derive(Debug)]
pub(super) struct Fresh {
    result: Result<(Loaded, Vec<Mark>), Vec<String>>,
    replies: Vec<oneshot::Sender<ReloadView>>,
}

impl Reloads {
    pub(super) fn new(loaded_at: Timestamp) -> Self {
        Self { loaded_at, count: 0, faults: Vec::new(), waiting: Vec::new(), under_way: false }
    }
}

async fn read(load: Load) -> Result<Loaded, Vec<String>> {
    match tokio::task::spawn_blocking(move || load()).await {
        Ok(loaded) => loaded,
        Err(error) => Err(vec![format!("the configuration could not be read: {error}")]),
    }
}

impl Driver {
    /// Says what a reload would change.
    pub(super) fn say_differences(&self, reply: oneshot::Sender<ReloadView>) {
        let (load, old) = (Arc::clone(&self.load), self.loaded.instances.clone());
        self.performing.spawn(async move {
            let view = match read(load).await {
                Ok(fresh) => ReloadView { applied: false, differences: words(&old, &fresh), faults: Vec::new() },
                Err(faults) => ReloadView { applied: false, differences: Vec::new(), faults },
            };
            tell(reply, view);
        });
    }

    /// Reads the configuration; requests that come meanwhile share the next reading.
    pub(super) fn reload(&mut self, reply: oneshot::Sender<ReloadView>) {
        self.reloads.waiting.push(reply);
        self.read_again();
    }

    fn read_again(&mut self) {
        if self.reloads.under_way || self.reloads.waiting.is_empty() {
            return;
        }
        self.reloads.under_way = true;
        self.supervisor.reloads();
        let replies = std::mem::take(&mut self.reloads.waiting);
        // Everything due by now is on its way to be judged before the store hears of the new schedules.
        let at = self.now().wall;
        self.apply(Event::Tick);
        let (load, store, fresh) = (Arc::clone(&self.load), Arc::clone(&self.store), self.fresh.clone());
        self.performing.spawn(async move {
            let result = match read(load).await {
                Ok(loaded) => match store.register_instances(seen(&loaded.instances), true, at).await {
                    Ok(marks) => Ok((loaded, marks)),
                    Err(error) => Err(vec![format!("the store did not take the new configuration: {}", chain(&error))]),
                },
                Err(faults) => Err(faults),
            };
            drop(fresh.send(Fresh { result, replies }).await);
        });
    }

    /// Open runs go on with the handlers that they began with.
    fn keep_handlers(&mut self) {
        let before = std::mem::take(&mut self.handlers_before);
        let kept = |run| (run, before.get(&run).unwrap_or(&self.loaded.handlers).clone());
        self.handlers_before = self.state.runs.ids().into_iter().map(kept).collect();
    }

    /// Puts a configuration in force, or says why not; one step either way.
    pub(super) fn put_in_force(&mut self, fresh: Fresh) {
        self.reloads.under_way = false;
        self.reloads.count += 1;
        self.reporter.reloaded(fresh.result.is_ok());
        let view = match fresh.result {
            Err(faults) => {
                for fault in &faults {
                    tracing::error!("reload: {fault}");
                }
                tracing::error!(faults = faults.len(), "reload refused: the configuration before it stays in force");
                self.reloads.faults.clone_from(&faults);
                let more = faults.len().saturating_sub(1);
                let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
                let text = format!("{}{more}", faults.first().map_or("it could not be read", String::as_str));
                let (event, level) = (notify::Event::ReloadFailed, notify::Level::Alert);
                self.workshop.notifier.notify_people(notify::Notice { event, level, subject: CONFIGURATION.into(), text });
                ReloadView { applied: false, differences: Vec::new(), faults }
            }
            Ok((loaded, marks)) => {
                let differences = words(&self.loaded.instances, &loaded);
                for difference in &differences {
                    tracing::info!("reload: {difference}");
                }
                tracing::info!(tasks = loaded.instances.len(), changes = differences.len(), "reloaded {}", loaded.path.display());
                self.reloads.faults.clear();
                self.workshop.notifier.over(notify::Event::ReloadFailed, CONFIGURATION);
                self.reloads.loaded_at = self.now().wall;
                let instances = loaded.instances.clone();
                self.keep_handlers();
                self.state.running_max = loaded.running_max;
                self.loaded = loaded;
                (self.in_force)();
                self.apply(Event::Reloaded { instances, marks });
                ReloadView { applied: true, differences, faults: Vec::new() }
            }
        };
        for reply in fresh.replies {
            tell(reply, view.clone());
        }
        self.say_it_serves_again();
        self.read_again();
    }
}

fn words(old: &crate::core::task::InstanceSet, fresh: &Loaded) -> Vec<String> {
    differences(old, &fresh.instances).iter().map(ToString::to_string).collect()
}
