//! `needs` and `after_success`: read task by task, and put into the instances once all tasks are known.
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use jiff::SignedDuration;

use super::{
    fault::{Fault, quote},
    keys::NEED,
    read::{Reader, Table},
    tree::Entry,
};
use crate::core::{
    order::{Need, NeedEnd},
    task::{Instance, InstanceName, InstanceSet},
};

/// What one task says of another.
#[derive(Debug)]
pub(super) struct Link {
    task: Arc<str>,
    other: Arc<str>,
    /// The other's name in the file.
    at: Range<usize>,
    says: Says,
}

#[derive(Clone, Copy, Debug)]
enum Says {
    Needs { end: NeedEnd, max_age: Option<SignedDuration> },
    Starts,
}

impl Link {
    /// Which of the two has to be over before the other begins.
    fn first_and_second(&self) -> (&str, &str) {
        match self.says {
            Says::Needs { .. } => (&self.other, &self.task),
            Says::Starts => (&self.task, &self.other),
        }
    }
}

/// Reads what a task says of others.
pub(super) fn read(reader: &mut Reader<'_>, task: &Entry, table: Table<'_>, links: &mut Vec<Link>) {
    let name = || Arc::from(&*task.key.text);
    let needs = table.entry("needs").map(|entry| reader.named(&entry.value, &entry.key.span)).unwrap_or_default();
    for entry in needs {
        let Some(need) = reader.params(&entry.value, &entry.key.span, &[NEED]) else { continue };
        let end = need.text("end").and_then(NeedEnd::from_word).unwrap_or(NeedEnd::Succeeded);
        let says = Says::Needs { end, max_age: need.duration("max_age") };
        links.push(Link { task: name(), other: Arc::from(&*entry.key.text), at: entry.key.span.clone(), says });
    }
    let Some(follows) = table.entry("after_success") else { return };
    for node in reader.elements(&follows.value, &follows.key.span, "names of tasks") {
        if let Some(other) = reader.name(node, &follows.key.span) {
            links.push(Link { task: name(), other: other.text.into(), at: other.span, says: Says::Starts });
        }
    }
}

/// Judges the links and puts them into the instances. `tasks`: every task in the file, with faults or without.
pub(super) fn settle(reader: &mut Reader<'_>, links: &[Link], tasks: &BTreeSet<&str>, instances: &mut InstanceSet) {
    let mut sound: Vec<&Link> = Vec::new();
    for link in links {
        if !tasks.contains(&*link.other) {
            reader.unknown(&link.at, "task", &link.other, tasks.iter().copied());
        } else if link.task == link.other {
            let what = if let Says::Starts = link.says { "start itself after its own success" } else { "need itself" };
            reader.fault(&link.at, format!("a task can't {what}"), "name another task, or use `schedule: { after: 1h }`");
        } else if let Some(circle) = circle(&sound, link) {
            let message = format!("these tasks wait for each other in a circle: {}", circle.join(" before "));
            reader.fault(&link.at, message, "take one of these `needs` or `after_success` out");
        } else {
            sound.push(link);
        }
    }
    for link in &sound {
        warn(reader, link, links, instances);
        apply(link, instances);
    }
}

/// The circle that a link would close, from a task back to itself.
fn circle<'l>(links: &[&'l Link], new: &'l Link) -> Option<Vec<&'l str>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for link in links {
        let (first, second) = link.first_and_second();
        next.entry(first).or_default().push(second);
    }
    let (last, start) = new.first_and_second();
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = vec![start];
    while let Some(task) = found.pop() {
        for after in next.get(task).into_iter().flatten().copied() {
            if after != start && !came_from.contains_key(after) {
                came_from.insert(after, task);
                found.push(after);
            }
        }
    }
    came_from.contains_key(last).then(|| {
        let mut path = vec![start, last];
        let mut at = last;
        while let Some(before) = came_from.get(at).copied() {
            path.push(before);
            at = before;
        }
        path.reverse();
        path
    })
}

/// Says where a need can't be met by itself.
fn warn(reader: &mut Reader<'_>, link: &Link, links: &[Link], instances: &InstanceSet) {
    let of = |task: &Arc<str>| {
        let task = Arc::clone(task);
        instances.values().filter(move |instance| instance.task.as_str() == &*task)
    };
    let asleep = !of(&link.task).any(|instance| instance.enabled) || of(&link.other).next().is_none();
    if asleep || matches!(link.says, Says::Starts) {
        return;
    }
    let other = &link.other;
    let starts = |instance: &Arc<Instance>| !instance.timing.schedules.is_empty();
    let started = of(other).any(starts) || links.iter().any(|link| matches!(link.says, Says::Starts) && link.other == *other);
    let message = if !of(other).any(|instance| instance.enabled) {
        format!("{} is disabled: as long as nobody starts it, {} is skipped", quote(other), quote(&link.task))
    } else if !started {
        format!("nothing starts {}: as long as nobody does so by hand, {} is skipped", quote(other), quote(&link.task))
    } else {
        return;
    };
    reader.warnings.push(Fault::new(link.at.clone(), message));
}

fn apply(link: &Link, instances: &mut InstanceSet) {
    let names: Vec<InstanceName> =
        instances.iter().filter(|(_, instance)| instance.task.as_str() == &*link.task).map(|(name, _)| name.clone()).collect();
    for name in names {
        let others = others(&name, &link.other, instances);
        let Some(instance) = instances.get_mut(&name).map(Arc::make_mut) else { continue };
        match link.says {
            Says::Needs { end, max_age } => instance.needs.extend(others.into_iter().map(|of| Need { of, end, max_age })),
            Says::Starts => {
                instance.after_success.extend(others);
                instance.after_success.sort();
                instance.after_success.dedup();
            }
        }
    }
}

/// The other task's instance for the same account, if it has one; else all of its instances.
fn others(name: &InstanceName, other: &str, instances: &InstanceSet) -> Vec<InstanceName> {
    let account = instances.get(name).and_then(|instance| instance.account.as_deref());
    let twin = account.map(|account| InstanceName(format!("{other}@{account}").into())).filter(|twin| instances.contains_key(twin));
    match twin {
        Some(twin) => vec![twin],
        None => instances.iter().filter(|(_, instance)| instance.task.as_str() == other).map(|(name, _)| name.clone()).collect(),
    }
}
