//! The top of tasks.yaml: puts together what the other files read.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, tz::TimeZone};

use super::{
    Account, Config, LoadOptions, LogConfig, LogFormat, LogLevel, Platform, StoreLocation, agree,
    fault::{Fault, Faults},
    http,
    keys::{ACCOUNT, CALLS, POLICY, ROOT, TASK},
    notify, order, outside, publish,
    read::{Reader, Table},
    remote, store_in,
    task::{self, Known, KnownAccount},
    timing::{self, Calendars},
    tree::{Data, Entry, Tree},
};
use crate::core::{
    task::InstanceSet,
    value::{Params, Value},
};

/// The state folder, where the file names no other.
pub(super) const STATE_DIR: &str = "state";

/// Checks a tree. `faults`: what is already known to be wrong.
pub(super) fn config(text: &str, path: &Path, options: &LoadOptions<'_>, tree: &Tree, faults: Vec<Fault>) -> Result<Config, Faults> {
    let base_dir = folder(path);
    let mut reader = Reader::new(options, faults);
    let config = root(&mut reader, &base_dir, tree);
    let settle = |faults| Faults::settle(path.to_owned(), text.into(), Some(tree), faults);
    match config {
        Some(config) if reader.faults.is_empty() => {
            Ok(Config { path: path.to_owned(), secrets: reader.secrets, warnings: settle(reader.warnings), ..config })
        }
        _ => Err(settle(reader.faults)),
    }
}

/// The folder of the file, whatever becomes of the working directory.
pub(super) fn folder(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn root(reader: &mut Reader<'_>, base_dir: &Path, tree: &Tree) -> Option<Config> {
    let top = 0..0;
    let table = reader.table(&tree.root, &top, &[ROOT])?;
    let plain = reader.plain(table, &[ROOT]);
    base_dir.clone_into(&mut reader.base_dir);
    let hosts = table.entry("http_hosts").map(|entry| outside::hosts(reader, entry)).unwrap_or_default();
    reader.hosts = Some(hosts.clone());
    // Locks and accounts by name first: what is read after them refers to them.
    reader.locks = plain.get("locks").map(|_| texts(plain.list("locks")).collect());
    let accounts = table.entry("accounts").map(|entry| reader.named(&entry.value, &entry.key.span)).unwrap_or_default();
    reader.accounts = accounts.iter().map(|entry| entry.key.text.to_string()).collect();
    let zone = plain.text("timezone").and_then(|name| Some((TimeZone::get(name).ok()?, Arc::from(name)))).unwrap_or_else(system_zone);
    let calendars = calendars(reader, table);
    let marketplaces = table.entry("marketplaces").map(|entry| remote::marketplaces(reader, entry, base_dir)).unwrap_or_default();
    let configured = marketplace_names(table);
    let (accounts, known_accounts) = self::accounts(reader, &accounts, &calendars, &configured, base_dir);
    let http = table.entry("http").and_then(|entry| http::http(reader, entry, base_dir));
    let sources = table.entry("sources").map(|entry| remote::sources(reader, entry, base_dir)).unwrap_or_default();
    let publish = table.entry("publish").and_then(|entry| publish::publish(reader, entry, base_dir));
    let notify = table.entry("notify").map(|entry| notify::notify(reader, entry, base_dir)).unwrap_or_default();
    let defaults = table.entry("defaults").and_then(|entry| reader.table_with(&entry.value, &entry.key.span, &[POLICY], &of_a_task));
    let defaults = defaults.map(|table| task::policy(reader, table, &calendars)).unwrap_or_default();
    let known = Known { zone, calendars, marketplaces: configured, accounts: known_accounts, defaults };
    let mut instances = InstanceSet::new();
    let tasks = table.entry("tasks").map(|entry| reader.named(&entry.value, &entry.key.span)).unwrap_or_default();
    let mut links = Vec::new();
    for entry in &tasks {
        task::read(reader, entry, &known, &mut instances, &mut links);
    }
    order::settle(reader, &links, &tasks.iter().map(|entry| &*entry.key.text).collect(), &mut instances);
    agree::pricing(reader, &tasks, &instances);
    if let Some(tasks) =
        table.entry("tasks").filter(|entry| entry.value.is_null() || matches!(&entry.value.data, Data::Map(tasks) if tasks.is_empty()))
    {
        reader.warnings.push(Fault::new(tasks.key.span.clone(), "there is no task here: nothing will ever run"));
    }
    if let Some(entry) = table.entry("accounts") {
        task::idle_policies(reader, entry, &instances);
    }
    let (state_dir, store) = whereabouts(reader, table, &plain, base_dir);
    let count = |name, otherwise| plain.int(name).and_then(|count| usize::try_from(count).ok()).unwrap_or(otherwise);
    Some(Config {
        path: PathBuf::new(),
        base_dir: base_dir.to_owned(),
        timezone: known.zone.0,
        timezone_name: known.zone.1,
        store: store?,
        state_dir,
        log: log(base_dir, plain.table("log").unwrap_or(&Params::default())),
        http,
        marketplaces,
        accounts,
        sources,
        publish,
        http_hosts: Some(hosts.into()),
        notify,
        secrets: Vec::new(),
        max_running: count("max_running", 64),
        shutdown_grace: plain.duration("shutdown_grace").unwrap_or(SignedDuration::from_secs(30)),
        watch: plain.bool("watch").unwrap_or(false),
        instances,
        warnings: Faults::default(),
    })
}

/// The state folder, and the store unless there is a fault with it.
pub(super) fn whereabouts(reader: &mut Reader<'_>, table: Table<'_>, plain: &Params, base_dir: &Path) -> (PathBuf, Option<StoreLocation>) {
    let state_dir = base_dir.join(plain.text("state_dir").unwrap_or(STATE_DIR));
    let store =
        table.entry("store").map_or_else(|| Some(StoreLocation::Sqlite(store_in(&state_dir))), |entry| store(reader, entry, base_dir));
    (state_dir, store)
}

fn texts(values: &[Value]) -> impl Iterator<Item = String> {
    values.iter().filter_map(|value| if let Value::Text(text) = value { Some(text.to_string()) } else { None })
}

/// The zone that cron would use; UTC where the system does not say.
fn system_zone() -> (TimeZone, Arc<str>) {
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    match zone.iana_name().map(Arc::from) {
        Some(name) => (zone, name),
        None => (TimeZone::UTC, "UTC".into()),
    }
}

/// Why a key of a task can't stand in `defaults`.
fn of_a_task(key: &str) -> Option<String> {
    TASK.iter().any(|known| known.name == key).then(|| format!("`{key}` belongs in each task"))
}

fn calendars(reader: &mut Reader<'_>, table: Table<'_>) -> Calendars {
    let entries = table.entry("calendars").map(|entry| reader.named(&entry.value, &entry.key.span)).unwrap_or_default();
    let mut calendars = Calendars::new();
    for entry in entries {
        // Each may build on those above it.
        let dates = timing::dates(reader, &entry.value, &entry.key.span, &calendars);
        calendars.insert(entry.key.text.to_string(), dates);
    }
    calendars
}

/// The marketplaces that the file configures, with faults or without.
fn marketplace_names(table: Table<'_>) -> BTreeSet<String> {
    let entries = table.entry("marketplaces").map(|entry| entry.value.entries()).unwrap_or_default();
    entries.iter().map(|entry| entry.key.text.to_string()).collect()
}

type Accounts = (BTreeMap<Arc<str>, Account>, BTreeMap<Arc<str>, KnownAccount>);

fn accounts(
    reader: &mut Reader<'_>,
    entries: &[&Entry],
    calendars: &Calendars,
    marketplaces: &BTreeSet<String>,
    base_dir: &Path,
) -> Accounts {
    let (mut accounts, mut known) = Accounts::default();
    for entry in entries {
        let Some(table) = reader.table(&entry.value, &entry.key.span, &[ACCOUNT, CALLS, POLICY]) else { continue };
        let plain = reader.plain(table, &[ACCOUNT, CALLS]);
        let platform = plain.text("platform").and_then(Platform::from_word);
        if let Some(platform) = platform.filter(|platform| !reader.options.practice && !marketplaces.contains(platform.word())) {
            reader.fault(
                &table.place("platform"),
                format!("the marketplace `{platform}` is not configured"),
                format!("add `{platform}:` under `marketplaces:`"),
            );
        }
        if platform.is_some_and(|platform| platform != Platform::Base)
            && let Some(entry) = table.entries().iter().find(|entry| CALLS.iter().any(|key| *key.name == *entry.key.text))
        {
            reader.fault(
                &entry.key.span,
                format!("`{}` is for BASE shops", entry.key.text),
                "no other marketplace's limits are configured",
            );
        }
        let refresh_token = remote::secret(reader, table, "refresh_token", base_dir);
        let proxy = remote::proxy(reader, table);
        let policy = task::policy(reader, table, calendars);
        let name: Arc<str> = Arc::from(&*entry.key.text);
        let mut has_seller_id = false;
        if let Some(platform) = platform {
            let daily_limit = plain.int("daily_limit").and_then(|limit| u32::try_from(limit).ok());
            let (calls_per_hour, calls_per_day) = (plain.int("calls_per_hour"), plain.int("calls_per_day"));
            let enabled = policy.enabled();
            let seller_id: Option<Arc<str>> = plain.text("seller_id").map(Into::into);
            has_seller_id = seller_id.is_some();
            let account = Account { platform, enabled, refresh_token, proxy, seller_id, daily_limit, calls_per_hour, calls_per_day };
            accounts.insert(Arc::clone(&name), account);
        }
        known.insert(name, KnownAccount { platform, policy, has_seller_id });
    }
    (accounts, known)
}

fn log(base_dir: &Path, log: &Params) -> LogConfig {
    LogConfig {
        dir: base_dir.join(log.text("dir").unwrap_or("logs")),
        level: log.text("level").and_then(LogLevel::from_word).unwrap_or(LogLevel::Info),
        format: log.text("format").and_then(LogFormat::from_word).unwrap_or(LogFormat::Text),
        max_size: log.size("max_size").unwrap_or(10_000_000),
        keep: log.int("keep").and_then(|keep| usize::try_from(keep).ok()).unwrap_or(5),
        console: log.bool("console").unwrap_or(true),
    }
}

fn store(reader: &mut Reader<'_>, entry: &Entry, base_dir: &Path) -> Option<StoreLocation> {
    let text = reader.whole(&entry.value, &entry.key.span, "a store such as `sqlite://state/taskrun.db`")?;
    let hint = "write it like `sqlite://state/taskrun.db`";
    match text.text.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => return Some(StoreLocation::Sqlite(base_dir.join(path))),
        Some(("postgres" | "postgresql", _)) => {
            reader.faults.push(Fault::new(text.span, "a store on PostgreSQL is not built yet").hint(hint).hidden());
        }
        _ => reader.faults.push(Fault::new(text.span, "this is not a store").hint(hint).hidden()),
    }
    None
}
