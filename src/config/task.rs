//! Tasks into instances: what `defaults`, the task and the account each say, the last word counting.
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use jiff::{SignedDuration, tz::TimeZone};

use super::{
    Platform,
    fault::Fault,
    keys::{FOR_EACH, HandlerSpec, POLICY, TASK},
    order::{self, Link},
    read::{Reader, Table},
    timing::{self, At, Calendars, Hours, Opening, Places},
    tree::{Data, Entry},
};
use crate::core::{
    calendar::{Calendar, DateRange},
    schedule::Schedule,
    task::{Backoff, CatchUp, Instance, InstanceName, InstanceSet, LockName, OnLost, Overlap, RetryPolicy, spread},
    timing::Timing,
    value::{Params, Value},
};

/// What tasks build on.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) zone: (TimeZone, Arc<str>),
    pub(super) calendars: Calendars,
    /// The marketplaces that the file configures, with faults or without.
    pub(super) marketplaces: BTreeSet<String>,
    pub(super) accounts: BTreeMap<Arc<str>, KnownAccount>,
    pub(super) defaults: Policy,
}

/// What tasks need to know of an account.
#[derive(Debug)]
pub(super) struct KnownAccount {
    /// `None` where it could not be read.
    pub(super) platform: Option<Platform>,
    pub(super) policy: Policy,
    pub(super) has_seller_id: bool,
}

/// The need of a handler for a key of its accounts.
const SELLER_ID: &str = "account.seller_id";

macro_rules! policy {
    ($($field:ident: $kind:ty),* $(,)?) => {
        /// What one of the places that can say something about a task says.
        #[derive(Clone, Debug, Default)]
        pub(super) struct Policy { $($field: Option<$kind>),* }
        impl Policy {
            /// What this says, and where it says nothing, what the other says.
            fn or(&self, other: &Self) -> Self {
                Self { $($field: self.$field.as_ref().or(other.$field.as_ref()).cloned()),* }
            }
        }
    };
}
policy! {
    enabled: bool, zone: (TimeZone, Arc<str>), opening: Opening, holidays: Vec<DateRange>, calendar: Calendar, defer: bool, jitter: SignedDuration,
    catch_up: CatchUp, start_deadline: Option<SignedDuration>, overlap: Overlap, locks: Vec<LockName>, lock_wait: SignedDuration,
    retries_max: u32, retry_delay: SignedDuration, backoff: Backoff, max_delay: SignedDuration, retry_jitter: f64,
    timeout: Option<SignedDuration>, deadline: Option<SignedDuration>, grace: SignedDuration, takeover: SignedDuration, on_lost: OnLost,
}

impl Policy {
    pub(super) fn enabled(&self) -> bool {
        self.enabled.unwrap_or(true)
    }

    fn hours(&self) -> Option<&At<Hours>> {
        if let Some(Opening::Hours(hours)) = &self.opening { Some(hours) } else { None }
    }
}

/// Reads the keys of [`POLICY`] from a table that has them among others.
pub(super) fn policy(reader: &mut Reader<'_>, table: Table<'_>, calendars: &Calendars) -> Policy {
    let plain = reader.plain(table, &[POLICY]);
    let word = |name| plain.text(name);
    let limit = |name| plain.get(name).map(|value| if let Value::Duration(length) = value { Some(*length) } else { None });
    let none = Params::default();
    let retries = plain.table("retries").unwrap_or(&none);
    if let Some((delay, most)) = retries.duration("delay").zip(retries.duration("max_delay")).filter(|(delay, most)| delay > most) {
        reader.fault(
            &table.place("retries"),
            format!("`max_delay` {most:#} is less than `delay` {delay:#}"),
            "raise `max_delay`, or leave it out",
        );
    }
    let locks = plain.get("locks").map(|_| {
        plain.list("locks").iter().filter_map(|lock| if let Value::Text(name) = lock { Some(LockName(Arc::clone(name))) } else { None })
    });
    let place = |name| table.entry(name).map(|entry| (&entry.value, &entry.key.span));
    Policy {
        enabled: plain.bool("enabled"),
        zone: word("timezone").and_then(|name| Some((TimeZone::get(name).ok()?, Arc::from(name)))),
        opening: place("business_hours").and_then(|(node, at)| timing::hours(reader, node, at, calendars)),
        holidays: place("holidays").map(|(node, at)| timing::dates(reader, node, at, calendars)),
        calendar: place("calendar").and_then(|(node, at)| timing::calendar(reader, node, at, calendars)),
        defer: plain.bool("defer"),
        jitter: plain.duration("jitter"),
        catch_up: word("catch_up").and_then(CatchUp::from_word),
        start_deadline: limit("start_deadline"),
        overlap: word("overlap").and_then(Overlap::from_word),
        locks: locks.map(Iterator::collect),
        lock_wait: plain.duration("lock_wait"),
        retries_max: retries.int("max").and_then(|max| u32::try_from(max).ok()),
        retry_delay: retries.duration("delay"),
        backoff: retries.text("backoff").and_then(Backoff::from_word),
        max_delay: retries.duration("max_delay"),
        retry_jitter: retries.decimal("jitter").and_then(|share| u32::try_from(share).ok()).map(|share| f64::from(share) / 1e6),
        timeout: limit("timeout"),
        deadline: limit("deadline"),
        grace: plain.duration("grace"),
        takeover: plain.duration("takeover"),
        on_lost: word("on_lost").and_then(OnLost::from_word),
    }
}

/// Reads one task and adds its instances, and what it says of other tasks.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry, known: &Known, instances: &mut InstanceSet, links: &mut Vec<Link>) {
    let handlers = reader.options.handlers;
    let named = handler_name(entry);
    let spec = handlers.iter().find(|spec| named.is_some_and(|name| spec.name == name));
    let Some(table) = reader.table_with(&entry.value, &entry.key.span, &[TASK, POLICY], &|key| advise(key, spec)) else { return };
    if let Some(handler) = table.entry("handler")
        && let Some(name) = reader.whole(&handler.value, &handler.key.span, "the name of a handler")
        && spec.is_none()
    {
        reader.unknown(&name.span, "handler", &name.text, handlers.iter().map(|spec| spec.name));
    }
    let schedules = table.entry("schedule").map(|entry| timing::schedules(reader, &entry.value, &entry.key.span)).unwrap_or_default();
    let own = policy(reader, table, &known.calendars);
    order::read(reader, entry, table, links);
    let accounts = table.entry("for_each").and_then(|entry| for_each(reader, entry, known));
    // The parameters of an unknown handler can't be judged.
    let Some(spec) = spec else { return };
    needs(reader, spec, &table.entry("handler").map_or_else(|| entry.key.span.clone(), |handler| handler.value.span.clone()), known);
    let with = match table.entry("with") {
        Some(with) => {
            reader.table_with(&with.value, &with.key.span, &[spec.params], &of_the_task).map(|table| reader.plain(table, &[spec.params]))
        }
        None => lacking(reader, spec, &entry.key.span),
    };
    let draft = Draft { name: Arc::from(&*entry.key.text), spec, schedules, own, with: with.unwrap_or_default() };
    match (table.entry("for_each"), accounts) {
        (None, _) => draft.instance(reader, None, known, instances),
        (Some(_), accounts) => {
            let accounts = accounts.unwrap_or_default();
            account_needs(reader, spec, &entry.key.span, &accounts, known);
            for name in accounts {
                draft.instance(reader, Some(name), known, instances);
            }
        }
    }
}

/// The handler's name, looked up before the keys are judged: its parameters are what is most often put one level too high.
fn handler_name(entry: &Entry) -> Option<&str> {
    let handler = entry.value.entries().iter().find(|entry| &*entry.key.text == "handler")?;
    if let Data::Scalar(scalar) = &handler.value.data { Some(&scalar.text) } else { None }
}

/// What an unknown key of a task was meant to be, where the likeness of names would not find it.
fn advise(key: &str, spec: Option<&HandlerSpec>) -> Option<String> {
    let of_handler = |spec: &HandlerSpec| {
        spec.params.iter().any(|param| param.name == key).then(|| format!("it belongs to the handler: `with: {{ {key}: … }}`"))
    };
    if let Some(hint) = spec.and_then(of_handler) {
        return Some(hint);
    }
    let hint = match key {
        "command" | "cmd" | "run" | "script" | "args" => "write `handler: command` and `with: { run: [\"program\", \"argument\"] }`",
        "cron" | "at" | "when" => "write `schedule: \"0 9 * * mon-fri\"`",
        "every" | "interval" => "write `schedule: { every: 3h }`",
        "after" => "write `schedule: { after: 1h }`",
        "depends_on" | "requires" | "need" => "write `needs: { other_task: { max_age: 4h } }`",
        "then" | "triggers" | "on_success" => "write `after_success: [other_task]`",
        "active" | "disabled" => "write `enabled: false`",
        "hours" => "write `business_hours: \"09:00-18:00\"`",
        "params" | "parameters" | "options" | "config" => "write `with: { … }`",
        "max_retries" | "attempts" => "write `retries: { max: 3 }`",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Why a key of a task can't stand in its `with`.
fn of_the_task(key: &str) -> Option<String> {
    [TASK, POLICY].concat().iter().any(|known| known.name == key).then(|| format!("`{key}` belongs to the task: put it beside `with`"))
}

/// Reports the parameters that a handler must have, for a task without `with`.
fn lacking(reader: &mut Reader<'_>, spec: &HandlerSpec, at: &Range<usize>) -> Option<Params> {
    let missing: Vec<_> = spec.params.iter().filter(|param| param.required).collect();
    for param in &missing {
        reader.fault(at, format!("the handler `{}` needs `with: {{ {}: … }}`", spec.name, param.name), param.brief());
    }
    missing.is_empty().then(Params::default)
}

/// Reports marketplaces that a handler needs and the file lacks.
fn needs(reader: &mut Reader<'_>, spec: &HandlerSpec, at: &Range<usize>, known: &Known) {
    for name in spec.needs.iter().filter(|name| is_marketplace(name) && !reader.options.practice && !known.marketplaces.contains(**name)) {
        reader.fault(
            at,
            format!("the handler `{}` needs the marketplace `{name}`", spec.name),
            format!("add `{name}:` under `marketplaces:`"),
        );
    }
}

/// What a handler needs, as a word: a marketplace, or a key of its accounts.
fn is_marketplace(need: &str) -> bool {
    need != SELLER_ID
}

/// Reports accounts of a task that lack a key which its handler needs.
fn account_needs(reader: &mut Reader<'_>, spec: &HandlerSpec, at: &Range<usize>, accounts: &[Arc<str>], known: &Known) {
    if reader.options.practice || !spec.needs.contains(&SELLER_ID) {
        return;
    }
    let lacks = |name: &&Arc<str>| known.accounts.get(*name).is_some_and(|account| !account.has_seller_id);
    for name in accounts.iter().filter(lacks) {
        let hint = format!("add `seller_id: \"A…\"`, the merchant token, under `accounts.{name}`");
        reader.fault(at, format!("the handler `{}` needs the `seller_id` of `{name}`", spec.name), hint);
    }
}

/// The accounts that a task has an instance for.
fn for_each(reader: &mut Reader<'_>, entry: &Entry, known: &Known) -> Option<Vec<Arc<str>>> {
    let at = &entry.key.span;
    let params = reader.params(&entry.value, at, &[FOR_EACH])?;
    if params.0.is_empty() {
        reader.fault(at, "`for_each` says nothing", "write `for_each: { platform: base }`");
        return None;
    }
    let platform = params.text("platform").and_then(Platform::from_word);
    let chosen: Option<Vec<&Value>> = params.get("accounts").map(|_| params.list("accounts").iter().collect());
    let is_chosen = |name: &Arc<str>| {
        chosen.as_ref().is_none_or(|chosen| chosen.iter().any(|value| matches!(value, Value::Text(text) if text == name)))
    };
    let fits = |account: &KnownAccount| platform.is_none() || account.platform.is_none() || account.platform == platform;
    let found: Vec<_> =
        known.accounts.iter().filter(|(name, account)| is_chosen(name) && fits(account)).map(|(name, _)| Arc::clone(name)).collect();
    // An account that there is not was reported where it is named.
    let unknown = chosen
        .as_ref()
        .is_some_and(|chosen| chosen.iter().any(|value| !matches!(value, Value::Text(text) if reader.accounts.contains(&**text))));
    if found.is_empty() && !unknown && !reader.options.practice {
        reader.fault(at, "no account is meant by `for_each`, so the task has no instance", "add one under `accounts:`");
    }
    Some(found)
}

/// A task that was read.
struct Draft {
    name: Arc<str>,
    spec: &'static HandlerSpec,
    schedules: Vec<At<Schedule>>,
    own: Policy,
    with: Params,
}

impl Draft {
    /// Adds the instance for an account, or the only one.
    fn instance(&self, reader: &mut Reader<'_>, account: Option<Arc<str>>, known: &Known, instances: &mut InstanceSet) {
        let theirs = account.as_ref().and_then(|name| known.accounts.get(name)).map(|account| account.policy.clone()).unwrap_or_default();
        let policy = theirs.or(&self.own).or(&known.defaults);
        let name = match &account {
            Some(account) => InstanceName(format!("{}@{account}", self.name).into()),
            None => InstanceName(Arc::clone(&self.name)),
        };
        let timing = self.timing(&policy, &name, known);
        let places = Places { schedules: &self.schedules, hours: policy.hours().map(|hours| &hours.span) };
        timing::judge(reader, &timing, &places);
        let mut locks = policy.locks.clone().unwrap_or_default();
        locks.sort();
        locks.dedup();
        let instance = Instance {
            name: name.clone(),
            task: (&*self.name).into(),
            account,
            handler: self.spec.name.into(),
            // Switched off in either place is off.
            enabled: theirs.enabled() && self.own.or(&known.defaults).enabled(),
            timing,
            catch_up: policy.catch_up.unwrap_or(CatchUp::Latest),
            start_deadline: policy.start_deadline.flatten(),
            overlap: policy.overlap.unwrap_or(Overlap::LastWins),
            locks,
            lock_wait: policy.lock_wait.unwrap_or_default(),
            retries: retries(&policy, self.spec),
            timeout: policy.timeout.flatten(),
            deadline: policy.deadline.flatten(),
            grace: policy.grace.unwrap_or(SignedDuration::from_secs(30)),
            takeover: policy.takeover.unwrap_or(SignedDuration::from_secs(30)),
            on_lost: policy.on_lost.unwrap_or(if self.spec.resumable { OnLost::Retry } else { OnLost::Close }),
            resumable: self.spec.resumable,
            parks: self.spec.parks,
            // What it says of others is put in once they are known, too.
            needs: Vec::new(),
            after_success: Vec::new(),
            with: self.with.clone(),
        };
        instances.insert(name, Arc::new(instance));
    }

    fn timing(&self, policy: &Policy, name: &InstanceName, known: &Known) -> Timing {
        let (zone, zone_name) = policy.zone.clone().unwrap_or_else(|| known.zone.clone());
        let hours = policy.hours().map(|hours| &hours.value);
        Timing {
            schedules: self.schedules.iter().map(|schedule| schedule.value.clone()).collect(),
            zone,
            zone_name,
            hours: timing::business_hours(hours, policy.holidays.as_deref().unwrap_or_default()),
            calendar: policy.calendar.clone().filter(|calendar| calendar.only.is_some() || !calendar.except.is_empty()),
            defer: policy.defer.unwrap_or(false),
            splay: splay(name, policy.jitter.unwrap_or_default()),
        }
    }
}

/// The retry policy, with what the file leaves open.
fn retries(policy: &Policy, spec: &HandlerSpec) -> RetryPolicy {
    let delay = policy.retry_delay.unwrap_or(SignedDuration::from_secs(60));
    RetryPolicy {
        max: policy.retries_max.unwrap_or(spec.retries),
        delay,
        backoff: policy.backoff.unwrap_or(Backoff::Fixed),
        max_delay: policy.max_delay.unwrap_or(SignedDuration::from_hours(1)).max(delay),
        jitter: policy.retry_jitter.unwrap_or(0.0),
    }
}

/// By how much an instance's starts are moved: less than the jitter, and the same whenever it is asked.
fn splay(name: &InstanceName, jitter: SignedDuration) -> SignedDuration {
    let millis = u64::try_from(jitter.as_millis()).unwrap_or(0);
    SignedDuration::from_millis(i64::try_from(spread(name.as_str(), millis)).unwrap_or(0))
}

/// Warns of account keys that no task will ever ask for.
pub(super) fn idle_policies(reader: &mut Reader<'_>, accounts: &Entry, instances: &InstanceSet) {
    let served: BTreeSet<&str> = instances.values().filter_map(|instance| instance.account.as_deref()).collect();
    for entry in accounts.value.entries().iter().filter(|entry| !served.contains(&*entry.key.text)) {
        let idle = |key: &&Entry| &*key.key.text != "enabled" && POLICY.iter().any(|known| *known.name == *key.key.text);
        if let Some(key) = entry.value.entries().iter().find(idle) {
            let message = format!("`{}` has no effect: no task has a `for_each` for this account", key.key.text);
            reader.warnings.push(Fault::new(key.key.span.clone(), message));
        }
    }
}
