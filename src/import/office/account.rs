//! The shops of `accounts.py`: who there is, what each may do, and the upload tasks that come of it.
use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::{Office, SECONDS_MAX, duration, pricing};
use crate::{
    import::{
        literal::{Data, Node},
        sheet::{Sheet, mapping, plain_name},
    },
    shop::setting::names_a_secret,
};

/// A shop.
#[derive(Debug, Default)]
pub(super) struct Account {
    enabled: Option<bool>,
    daily_limit: Option<i64>,
    /// Names of variables.
    refresh_token: Option<String>,
    proxy: Option<String>,
    tick: Tick,
}

/// How a shop's uploads go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tick {
    pub(super) enabled: Option<bool>,
    interval: Option<i64>,
    batch_size: Option<i64>,
    hours: Option<(i64, i64)>,
    /// There are hours, and they cannot be read.
    unsure: bool,
}

impl Tick {
    /// Takes over what a dict says of it.
    pub(super) fn read(&mut self, office: &mut Office, of: &str, node: &Node) {
        self.enabled = office.yes(of, node, &["enabled"], false).or(self.enabled);
        self.interval = office.number(of, node, &["interval_seconds", "interval"], 1..=SECONDS_MAX).or(self.interval);
        self.batch_size = office.number(of, node, &["batch_size", "batch"], 1..=1000).or(self.batch_size);
        self.read_hours(office, of, node);
    }

    /// Takes over the hours. Where they cannot be read nothing is listed, rather than at all hours.
    fn read_hours(&mut self, office: &mut Office, of: &str, node: &Node) {
        let is_said = |node: &&Node| node.data != Data::None;
        let whole = node.get("business_hours").filter(is_said);
        let bound =
            |name: &str| whole.and_then(|hours| hours.get(name)).or_else(|| node.get(&format!("business_hours_{name}"))).filter(is_said);
        let (start, end) = (bound("start"), bound("end"));
        let Some(first) = whole.or(start).or(end) else { return };
        let old = self.hours.unwrap_or((0, 24));
        let hour = |node: Option<&Node>, old| node.map_or(Some(old), Node::int);
        self.hours = hour(start, old.0).zip(hour(end, old.1));
        self.unsure = self.hours().is_none() || start.or(end).is_none();
        if self.unsure {
            let text = format!(
                "`{of}`: its business hours cannot be read, so it is off: write `business_hours: 09:00-18:00`, then `enabled: true`"
            );
            office.sheet.left_out(first.line, text);
        }
    }

    /// The hours as tasks.yaml writes them, if they are any.
    fn hours(&self) -> Option<String> {
        let (start, end) = self.hours.filter(|(start, end)| start != end)?;
        ((0..24).contains(&start) && (1..=24).contains(&end)).then(|| format!("{start:02}:00-{end:02}:00"))
    }

    /// What makes a task of its own necessary: an account cannot say it.
    fn pace(&self, all: &Self) -> (i64, i64) {
        let or = |own: Option<i64>, all: Option<i64>, otherwise| own.or(all).unwrap_or(otherwise);
        (or(self.interval, all.interval, 60), or(self.batch_size, all.batch_size, 10))
    }
}

impl Account {
    pub(super) fn write(&self, all: Option<&Tick>) -> Mapping {
        let mut account = mapping([("platform", "base".into())]);
        if self.enabled == Some(false) || self.tick.unsure {
            account.insert("enabled".into(), false.into());
        }
        let variables = [("refresh_token", &self.refresh_token), ("proxy", &self.proxy)];
        for (key, name) in variables.into_iter().filter_map(|(key, name)| Some((key, name.as_ref()?))) {
            account.insert(key.into(), format!("${{{name}}}").into());
        }
        if let Some(limit) = self.daily_limit {
            account.insert("daily_limit".into(), limit.into());
        }
        if let Some(hours) = self.tick.hours().filter(|hours| all.and_then(Tick::hours).as_ref() != Some(hours)) {
            account.insert("business_hours".into(), hours.into());
        }
        account
    }
}

/// Reads one assignment of the file.
pub(super) fn read(office: &mut Office, name: &str, value: &Node) {
    match name {
        _ if value.data == Data::Unreadable => {
            let text = format!("`{name}` is not written out but worked out; nothing of the file is run: write down by hand what it says");
            office.sheet.left_out(value.line, text);
        }
        "UPLOAD_ACCOUNTS" => {
            office.tick.get_or_insert_default();
            named(office, name, value);
            for (platform, accounts) in value.entries() {
                if !matches!(accounts.data, Data::List(_)) {
                    office
                        .sheet
                        .left_out(accounts.line, format!("`{name}.{platform}` is no list of accounts that can be read: add them by hand"));
                }
                for account in accounts.list() {
                    add(office, platform, account);
                }
            }
        }
        "DAEMON_CONFIG" => {
            named(office, name, value);
            let mut tick = office.tick.take().unwrap_or_default();
            tick.read(office, name, value);
            office.tick = Some(tick);
            pace_keys(office, name, value);
        }
        "ACCOUNT_SPECIFIC_CONFIG" => {
            named(office, name, value);
            for (account, settings) in value.entries() {
                named(office, account, settings);
                set(office, account, settings);
            }
        }
        _ if name.ends_with("ACCOUNTS") || name.ends_with("ACCOUNT_CONFIGS") => {
            let platform = |node: &Node| node.get("platform").and_then(Node::text).unwrap_or("base").to_owned();
            value.list().iter().for_each(|account| add(office, &platform(account), account));
            if !matches!(value.data, Data::List(_)) {
                named(office, name, value);
            }
            for (account, settings) in value.entries() {
                named(office, account, settings);
                if admit(office, &platform(settings), account, settings.line) {
                    set(office, account, settings);
                }
            }
        }
        _ if is_secret(name) => {
            office.sheet.left_out(value.line, format!("`{name}` looks like a secret: it comes from the environment where it is needed"));
        }
        _ => office.unknown(value.line, name),
    }
}

/// Whether shops or how they are served are told under that name.
pub(super) fn is_known(name: &str) -> bool {
    name == "DAEMON_CONFIG" || name == "ACCOUNT_SPECIFIC_CONFIG" || name.ends_with("ACCOUNTS") || name.ends_with("ACCOUNT_CONFIGS")
}

/// Says what has no name where only what has one is read.
fn named(office: &mut Office, name: &str, value: &Node) {
    let unread = match &value.data {
        Data::Dict(pairs) => pairs.iter().find(|(key, _)| key.text().is_none()).map(|(key, _)| key.line),
        _ => Some(value.line),
    };
    if let Some(line) = unread {
        office.sheet.left_out(line, format!("`{name}` is not wholly a dict of names that can be read: write down by hand what it says"));
    }
}

/// Adds an account that stands in a list: by its id, or as a dict with one.
fn add(office: &mut Office, platform: &str, account: &Node) {
    let id = account.text().or_else(|| ["id", "account_id", "name"].into_iter().find_map(|key| account.get(key)?.text()));
    let Some(id) = id else {
        office.sheet.left_out(account.line, "an account without an id: add it under `accounts` by hand");
        return;
    };
    if admit(office, platform, id, account.line) {
        set(office, id, account);
    }
}

/// Gives an account a name of its own, if its marketplace is one that we can list at.
fn admit(office: &mut Office, platform: &str, id: &str, line: usize) -> bool {
    let plain = if id.chars().any(|c| c.is_ascii_alphanumeric()) { plain_name(id) } else { "shop".to_owned() };
    if !platform.eq_ignore_ascii_case("base") {
        let what = if platform.eq_ignore_ascii_case("ebay") { "has settings of its own" } else { "cannot be listed at yet" };
        office.sheet.left_out(line, format!("`{plain}`: `{}` {what}; see docs/platforms.md", plain_name(platform)));
        return false;
    }
    if office.names.contains_key(id) {
        return true;
    }
    let mut name = plain.clone();
    let mut number = 1_usize;
    while office.accounts.contains_key(&name) {
        number = number.saturating_add(1);
        name = format!("{plain}_{number}");
    }
    if name != id {
        office
            .sheet
            .differs(line, format!("an account is called `{name}` now: names have small letters, digits, `_` and `-`; it was `{id}`"));
    }
    office.accounts.insert(name.clone(), Account::default());
    office.names.insert(id.to_owned(), name);
    true
}

/// Takes over what is said of an account.
fn set(office: &mut Office, id: &str, settings: &Node) {
    let known = office.names.get(id).cloned();
    let Some((name, mut account)) = known.and_then(|name| office.accounts.remove_entry(&name)) else {
        office.sheet.left_out(settings.line, format!("`{}` is no account that the file lists: its settings are nobody's", plain_name(id)));
        return;
    };
    account.tick.read(office, &name, settings);
    account.enabled = office.yes(&name, settings, &["active", "enabled"], false).or(account.enabled);
    // Of the account, not of its uploads alone.
    account.tick.enabled = None;
    account.daily_limit = office.number(&name, settings, &["daily_upload_limit", "daily_limit"], 0..=1_000_000).or(account.daily_limit);
    let inner = settings.get("credentials").into_iter().flat_map(Node::entries);
    for (key, value) in settings.entries().chain(inner) {
        credential(office, &name, &mut account, key, value);
    }
    pace_keys(office, &name, settings);
    office.accounts.insert(name, account);
}

/// Takes over where a secret is to come from. Its value is not looked at.
fn credential(office: &mut Office, name: &str, account: &mut Account, key: &str, value: &Node) {
    let own = format!("{}_{}", name.to_ascii_uppercase().replace('-', "_"), key.to_ascii_uppercase());
    let variable = if let Data::Variable(variable) = &value.data { variable.clone() } else { own };
    let text = match key {
        "refresh_token" => {
            account.refresh_token = Some(variable.clone());
            format!(
                "set `{variable}` where taskrun is started, to the refresh token of `{name}` that this line has, or log in: `taskrun accounts login {name}`"
            )
        }
        "proxy" => {
            account.proxy = Some(variable.clone());
            format!(
                "set `{variable}` where taskrun is started, to the proxy of `{name}`; if it can't be reached, calls fail and never go around it"
            )
        }
        "client_id" | "client_secret" => {
            format!("`{name}`: the keys of the application are BASE_CLIENT_ID and BASE_CLIENT_SECRET, one for all shops")
        }
        "access_token" => format!("`{name}`: access tokens are fetched with the refresh token"),
        _ => return,
    };
    office.sheet.differs(value.line, text);
}

/// Names the settings that nothing comes of.
fn pace_keys(office: &mut Office, of: &str, settings: &Node) {
    const KNOWN: [&str; 22] = [
        "id",
        "account_id",
        "name",
        "platform",
        "active",
        "enabled",
        "daily_upload_limit",
        "daily_limit",
        "credentials",
        "refresh_token",
        "proxy",
        "client_id",
        "client_secret",
        "access_token",
        "interval_seconds",
        "interval",
        "batch_size",
        "batch",
        "business_hours",
        "business_hours_start",
        "business_hours_end",
        "owner",
    ];
    for (key, value) in settings.entries().filter(|(key, _)| !KNOWN.contains(key)) {
        match key {
            "rate_limit_per_hour" => {
                let text = format!(
                    "`{of}.{key}` was read by nobody; calls are counted by themselves, and `calls_per_hour` of the account lowers the limit"
                );
                office.sheet.left_out(value.line, text);
            }
            _ if is_secret(key) => {
                office.sheet.left_out(value.line, format!("`{of}.{key}` looks like a secret: set it where it is needed"));
            }
            _ => office.unknown(value.line, &format!("{of}.{key}")),
        }
    }
}

fn is_secret(name: &str) -> bool {
    names_a_secret(&name.to_ascii_uppercase())
}

/// Writes the upload tasks: one for all shops, and one for each that has a pace of its own.
pub(super) fn tasks(sheet: &mut Sheet, accounts: &BTreeMap<String, Account>, all: &Tick) {
    let usual = all.pace(all);
    let (own, shared): (Vec<_>, Vec<_>) = accounts.iter().partition(|(_, account)| account.tick.pace(all) != usual);
    if !shared.is_empty() {
        let for_each =
            if own.is_empty() { mapping([("platform", "base".into())]) } else { of_accounts(shared.iter().map(|(name, _)| *name)) };
        sheet.task("upload_tick", upload(for_each, usual, all));
    }
    for (name, account) in own {
        sheet.comment(&format!("`{name}` has a pace of its own, so it has a task of its own."));
        sheet.task(&format!("upload_tick_{name}"), upload(of_accounts([name].into_iter()), account.tick.pace(all), all));
    }
}

fn of_accounts<'n>(names: impl Iterator<Item = &'n String>) -> Mapping {
    mapping([("accounts", names.map(|name| Value::from(name.as_str())).collect::<Vec<_>>().into())])
}

fn upload(for_each: Mapping, (interval, batch_size): (i64, i64), all: &Tick) -> Mapping {
    let mut task = mapping([("handler", "upload_tick".into()), ("for_each", for_each.into())]);
    if all.enabled == Some(false) || all.unsure {
        task.insert("enabled".into(), false.into());
    }
    task.insert("schedule".into(), mapping([("every", duration(interval).into())]).into());
    if let Some(hours) = all.hours() {
        task.insert("business_hours".into(), hours.into());
    }
    task.insert("overlap".into(), "skip".into());
    task.insert(
        "with".into(),
        mapping([("batch_size", batch_size.into()), ("spacing", "2s".into()), ("pricing", pricing().into())]).into(),
    );
    task
}
