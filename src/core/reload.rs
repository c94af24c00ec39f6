//! What differs between two sets of instances, in words: for `check --diff` and the log of a reload.
use std::{fmt, sync::Arc};

use jiff::SignedDuration;

use super::{
    calendar::{Calendar, DateRange},
    task::{Instance, InstanceName, InstanceSet, LockName},
    timing::Timing,
    value::{Params, Value, decimal_text},
};

/// One instance that a reload adds, removes or changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    Added { name: InstanceName, schedule: String },
    Removed { name: InstanceName },
    Changed { name: InstanceName, changes: Vec<Change> },
}

/// One key of tasks.yaml that says something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key: `timeout`, `retries.max`, `with.max_hide`.
    pub key: String,
    /// What it said and what it says; `None` for texts of `with`, which may hold secrets.
    pub values: Option<(String, String)>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { name, schedule } => write!(f, "{name}: added, {schedule}"),
            Self::Removed { name } => write!(f, "{name}: removed"),
            // A new edition of the time zones changes a definition without a word.
            Self::Changed { name, changes } if changes.is_empty() => write!(f, "{name}: changed"),
            Self::Changed { name, changes } => {
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                write!(f, "{name}: {}", changes.join("; "))
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.values {
            Some((from, to)) => write!(f, "{} {from} -> {to}", self.key),
            None => write!(f, "{} changed", self.key),
        }
    }
}

/// What differs, by name: first what is gone, then what is new or changed.
pub fn differences(old: &InstanceSet, new: &InstanceSet) -> Vec<Difference> {
    let removed = old.keys().filter(|name| !new.contains_key(*name)).map(|name| Difference::Removed { name: name.clone() });
    let rest = new.iter().filter_map(|(name, instance)| match old.get(name) {
        None => Some(Difference::Added { name: name.clone(), schedule: schedules(&instance.timing) }),
        Some(before) if before != instance => Some(Difference::Changed { name: name.clone(), changes: changes(before, instance) }),
        Some(_) => None,
    });
    removed.chain(rest).collect()
}

fn changes(old: &Instance, new: &Instance) -> Vec<Change> {
    let mut changes = Vec::new();
    for ((key, from), (_, to)) in words(old).into_iter().zip(words(new)) {
        if from != to {
            changes.push(Change { key: key.to_owned(), values: Some((from, to)) });
        }
    }
    with_changes("with", &old.with, &new.with, &mut changes);
    changes
}

/// Everything that tasks.yaml says of an instance but `with`, in the same order for every instance.
fn words(instance: &Instance) -> Vec<(&'static str, String)> {
    // Taken apart, so that a new field cannot be forgotten here.
    let Instance {
        name: _,
        task: _,
        account: _,
        handler,
        enabled,
        timing,
        catch_up,
        start_deadline,
        overlap,
        locks,
        lock_wait,
        retries,
        timeout,
        deadline,
        grace,
        takeover,
        on_lost,
        resumable,
        parks,
        needs,
        after_success,
        with: _,
    } = instance;
    let Timing { schedules: _, zone: _, zone_name, hours, calendar, defer, splay } = timing;
    vec![
        ("handler", handler.to_string()),
        ("enabled", enabled.to_string()),
        ("schedule", schedules(timing)),
        ("timezone", zone_name.to_string()),
        ("business_hours", hours.as_ref().map_or_else(|| "always".to_owned(), |hours| hours.text.to_string())),
        ("holidays", hours.as_ref().map_or_else(|| "none".to_owned(), |hours| dates(&hours.holidays))),
        ("calendar", calendar.as_ref().map_or_else(|| "none".to_owned(), days)),
        ("defer", defer.to_string()),
        ("jitter", length(*splay)),
        ("catch_up", catch_up.to_string()),
        ("start_deadline", limit(*start_deadline)),
        ("overlap", overlap.to_string()),
        ("locks", list(locks.iter().map(LockName::as_str))),
        ("lock_wait", length(*lock_wait)),
        ("retries.max", retries.max.to_string()),
        ("retries.delay", length(retries.delay)),
        ("retries.backoff", retries.backoff.to_string()),
        ("retries.max_delay", length(retries.max_delay)),
        ("retries.jitter", retries.jitter.to_string()),
        ("timeout", limit(*timeout)),
        ("deadline", limit(*deadline)),
        ("grace", length(*grace)),
        ("takeover", length(*takeover)),
        ("on_lost", on_lost.to_string()),
        ("resumable", resumable.to_string()),
        ("parks", parks.to_string()),
        ("needs", texts(needs.iter().map(ToString::to_string))),
        ("after_success", list(after_success.iter().map(InstanceName::as_str))),
    ]
}

fn schedules(timing: &Timing) -> String {
    if timing.schedules.is_empty() {
        "by hand".to_owned()
    } else {
        timing.schedules.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

fn length(length: SignedDuration) -> String {
    format!("{length:#}")
}

fn limit(limit: Option<SignedDuration>) -> String {
    limit.map_or_else(|| "none".to_owned(), length)
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn texts(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    list(items.iter().map(String::as_str))
}

fn dates(ranges: &[DateRange]) -> String {
    let text =
        |range: &DateRange| if range.first == range.last { range.first.to_string() } else { format!("{}..{}", range.first, range.last) };
    let texts: Vec<String> = ranges.iter().map(text).collect();
    list(texts.iter().map(String::as_str))
}

fn days(calendar: &Calendar) -> String {
    let only = calendar.only.as_ref().map(|only| format!("only {}", dates(only)));
    let except = (!calendar.except.is_empty()).then(|| format!("except {}", dates(&calendar.except)));
    only.into_iter().chain(except).collect::<Vec<_>>().join(" ")
}

fn with_changes(path: &str, old: &Params, new: &Params, changes: &mut Vec<Change>) {
    let mut keys: Vec<&Arc<str>> = old.0.keys().chain(new.0.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let path = format!("{path}.{key}");
        let (from, to) = (old.get(key), new.get(key));
        if let (Some(Value::Table(from)), Some(Value::Table(to))) = (from, to) {
            with_changes(&path, from, to, changes);
        } else if from != to {
            changes.push(Change { key: path, values: harmless(from).zip(harmless(to)) });
        }
    }
}

/// A value that can be shown: no text, nor what may hold texts.
fn harmless(value: Option<&Value>) -> Option<String> {
    match value {
        None => Some("none".to_owned()),
        Some(Value::Bool(value)) => Some(value.to_string()),
        Some(Value::Int(value)) => Some(value.to_string()),
        Some(Value::Decimal(millionths)) => Some(decimal_text(*millionths)),
        Some(Value::Duration(value)) => Some(length(*value)),
        Some(Value::Size(bytes)) => Some(format!("{bytes}B")),
        Some(Value::Text(_) | Value::Veiled(_) | Value::List(_) | Value::Table(_)) => None,
    }
}
