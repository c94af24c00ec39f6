//! How uploads go: their pace, their hours, and the tasks that come of them.
use std::{collections::BTreeMap, ops::RangeInclusive};

use serde_yaml::{Mapping, Value};

use super::{Office, SECONDS_MAX, account::Account, duration, pricing};
use crate::import::{
    literal::{Data, Node},
    sheet::{Sheet, mapping},
};

/// The hours of the old office where nobody says any.
const HOURS: (i64, i64) = (6, 23);

/// What one file, one daemon or one shop says of its uploads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tick {
    interval: Option<i64>,
    batch_size: Option<i64>,
    start: Bound,
    end: Bound,
}

/// When business hours begin or end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Bound {
    #[default]
    Unsaid,
    Hour(i64),
    Unreadable,
}

impl Bound {
    fn or(self, other: Self) -> Self {
        if self == Self::Unsaid { other } else { self }
    }

    fn hour(self, otherwise: i64) -> Option<i64> {
        match self {
            Self::Unsaid => Some(otherwise),
            Self::Hour(hour) => Some(hour),
            Self::Unreadable => None,
        }
    }
}

/// An upload daemon, or what stands for one where only shops are named.
#[derive(Debug)]
pub(super) struct Upload {
    /// Its name, if it has one.
    pub(super) name: Option<String>,
    pub(super) enabled: bool,
    pub(super) tick: Tick,
}

impl Tick {
    /// What a dict says of it.
    pub(super) fn read(office: &mut Office, of: &str, node: &Node) -> Self {
        let interval = office.number(of, node, &["interval_seconds", "interval"], 1..=SECONDS_MAX);
        let batch_size = office.number(of, node, &["batch_size", "batch"], 1..=1000);
        let (start, end) = read_hours(office, of, node);
        Self { interval, batch_size, start, end }
    }

    /// The same, and what another says where this one is silent.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self {
            interval: self.interval.or(other.interval),
            batch_size: self.batch_size.or(other.batch_size),
            start: self.start.or(other.start),
            end: self.end.or(other.end),
        }
    }

    pub(super) fn has_hours(&self) -> bool {
        self.start != Bound::Unsaid || self.end != Bound::Unsaid
    }

    /// The hours as tasks.yaml writes them, if they can be told.
    pub(super) fn hours(&self) -> Option<String> {
        let (start, end) = self.start.hour(HOURS.0).zip(self.end.hour(HOURS.1)).filter(|(start, end)| start != end)?;
        Some(format!("{start:02}:00-{end:02}:00"))
    }

    /// What makes a task of its own necessary, as an account cannot say it: the seconds between two ticks, and the items of one.
    fn pace(&self) -> (i64, i64) {
        (self.interval.unwrap_or(60), self.batch_size.unwrap_or(10))
    }
}

/// Reads the hours. Where they cannot be read nothing will be listed, rather than at all hours.
fn read_hours(office: &mut Office, of: &str, node: &Node) -> (Bound, Bound) {
    let is_said = |node: &&Node| node.data != Data::None;
    let whole = node.get("business_hours").filter(is_said);
    let bound =
        |name: &str| whole.and_then(|hours| hours.get(name)).or_else(|| node.get(&format!("business_hours_{name}"))).filter(is_said);
    let (start, end) = (bound("start"), bound("end"));
    let Some(first) = whole.or(start).or(end) else { return (Bound::Unsaid, Bound::Unsaid) };
    let read = |node: Option<&Node>, hours: RangeInclusive<i64>| match node.map(|node| node.int().filter(|hour| hours.contains(hour))) {
        None => Bound::Unsaid,
        Some(Some(hour)) => Bound::Hour(hour),
        Some(None) => Bound::Unreadable,
    };
    let hours = (read(start, 0..=23), read(end, 1..=24));
    let is_nothing = start.or(end).is_none() || hours.0 == hours.1;
    if !is_nothing && hours.0 != Bound::Unreadable && hours.1 != Bound::Unreadable {
        return hours;
    }
    let text = format!(
        "`{of}`: its business hours cannot be read, so its uploads are off: write `business_hours: 09:00-18:00` for them, then `enabled: true`"
    );
    office.sheet.left_out(first.line, text);
    (Bound::Unreadable, Bound::Unreadable)
}

/// Writes the tasks of an upload daemon: one for all shops, and one for each that has a pace of its own or whose uploads are off.
pub(super) fn tasks(sheet: &mut Sheet, accounts: &BTreeMap<String, Account>, upload: &Upload) {
    let usual = upload.tick.pace();
    let (own, shared): (Vec<_>, Vec<_>) =
        accounts.iter().partition(|(_, account)| account.held || account.tick.or(&upload.tick).pace() != usual);
    if let Some(name) = &upload.name {
        sheet.comment(&format!("`{name}`:"));
    }
    if !shared.is_empty() {
        let for_each =
            if own.is_empty() { mapping([("platform", "base".into())]) } else { of_accounts(shared.iter().map(|(name, _)| *name)) };
        let is_on = upload.enabled && upload.tick.hours().is_some();
        sheet.task("upload_tick", task(for_each, is_on, &upload.tick));
    }
    for (name, account) in own {
        let what = if account.held { "only its own uploads are off" } else { "it has a pace of its own" };
        sheet.comment(&format!("`{name}`: {what}, so it has a task of its own."));
        let is_on = upload.enabled && upload.tick.hours().is_some() && !account.held;
        sheet.task(&format!("upload_tick_{name}"), task(of_accounts([name].into_iter()), is_on, &account.tick.or(&upload.tick)));
    }
}

fn of_accounts<'n>(names: impl Iterator<Item = &'n String>) -> Mapping {
    mapping([("accounts", names.map(|name| Value::from(name.as_str())).collect::<Vec<_>>().into())])
}

fn task(for_each: Mapping, is_on: bool, tick: &Tick) -> Mapping {
    let mut task = mapping([("handler", "upload_tick".into()), ("for_each", for_each.into())]);
    if !is_on {
        task.insert("enabled".into(), false.into());
    }
    let (interval, batch_size) = tick.pace();
    task.insert("schedule".into(), mapping([("every", duration(interval).into())]).into());
    if let Some(hours) = tick.hours() {
        task.insert("business_hours".into(), hours.into());
    }
    task.insert("overlap".into(), "skip".into());
    task.insert(
        "with".into(),
        mapping([("batch_size", batch_size.into()), ("spacing", "2s".into()), ("pricing", pricing().into())]).into(),
    );
    task
}
