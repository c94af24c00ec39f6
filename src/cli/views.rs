//! Instances as the commands see them that need no daemon: the file says what is due, the store what was.
use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use super::{exit::Failure, text};
use crate::{
    config::Config,
    core::{
        task::{Instance, InstanceSet},
        timing::Anchors,
    },
    engine::{
        self,
        view::{InstanceView, LastView, say_what_follows},
    },
    store::RunStore,
};

/// Every instance of the configuration.
pub(crate) async fn instances(config: &Config, store: Option<&dyn RunStore>, now: Timestamp) -> Result<Vec<InstanceView>, Failure> {
    let (last, pauses) = match store {
        Some(store) => engine::past(store).await?,
        None => Default::default(),
    };
    let views = config.instances.values().map(|instance| {
        let last = last.get(instance.name.as_str());
        let anchors = Anchors { last_end: last.and_then(|row| row.ended_at).or(Some(now)), start: None };
        let mut view = InstanceView::of(instance, next_start(instance, anchors, now));
        view.last = last.map(LastView::of);
        view.paused = engine::pause_of(&pauses, &view.task, &view.instance, now);
        view
    });
    let mut views: Vec<InstanceView> = views.collect();
    say_what_follows(&mut views);
    Ok(views)
}

/// When it will next start. A fire that jitter still holds back is ahead, too.
fn next_start(instance: &Instance, anchors: Anchors, now: Timestamp) -> Option<Timestamp> {
    let splay = instance.timing.splay;
    let fire = instance.timing.next_open_after(now.checked_sub(splay).ok()?, anchors).filter(|_| instance.enabled)?;
    fire.at.checked_add(splay).ok()
}

/// The instances that a name means: one instance, or a task with all of its.
pub(crate) fn named(instances: &InstanceSet, name: &str) -> Result<Vec<Arc<Instance>>, Failure> {
    let is_meant = |instance: &&Arc<Instance>| instance.name.as_str() == name || instance.task.as_str() == name;
    let found: Vec<Arc<Instance>> = instances.values().filter(is_meant).map(Arc::clone).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    Err(text::unknown_name(name, instances.values().flat_map(|instance| [instance.task.as_str(), instance.name.as_str()])))
}

/// How many tasks the instances belong to.
pub(crate) fn tasks(config: &Config) -> usize {
    config.instances.values().map(|instance| &instance.task).collect::<BTreeSet<_>>().len()
}
