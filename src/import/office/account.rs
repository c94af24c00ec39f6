//! The shops of `accounts.py`: who there is, and what each may do.
use serde_yaml::Mapping;

use super::{
    Office,
    tick::{Tick, Upload},
};
use crate::import::{
    literal::{Data, Node},
    secret::is_named,
    sheet::{mapping, plain_name},
};

/// A shop.
#[derive(Debug, Default)]
pub(super) struct Account {
    enabled: Option<bool>,
    /// It is said whether the shop is in use, and nobody can read what.
    unclear: bool,
    dry: Option<bool>,
    daily_limit: Option<i64>,
    /// Names of variables.
    refresh_token: Option<String>,
    proxy: Option<String>,
    pub(super) tick: Tick,
    /// Its uploads are off, and the shop is not: its stock is to be looked after all the same.
    pub(super) held: bool,
}

impl Account {
    /// Whether its uploads are to wait for somebody who looks at them.
    pub(super) fn is_held(&self, hours: Option<&Hours>) -> bool {
        self.dry == Some(true) || self.unclear || hours == Some(&Hours::Unsure)
    }

    /// The account as tasks.yaml has it; what its hours are where they are its own.
    pub(super) fn write(&self, hours: Option<&Hours>) -> Mapping {
        let mut account = mapping([("platform", "base".into())]);
        if self.enabled == Some(false) && !self.unclear {
            account.insert("enabled".into(), false.into());
        }
        let variables = [("refresh_token", &self.refresh_token), ("proxy", &self.proxy)];
        for (key, name) in variables.into_iter().filter_map(|(key, name)| Some((key, name.as_ref()?))) {
            account.insert(key.into(), format!("${{{name}}}").into());
        }
        if let Some(limit) = self.daily_limit {
            account.insert("daily_limit".into(), limit.into());
        }
        if let Some(Hours::Sure(hours)) = hours {
            account.insert("business_hours".into(), hours.as_str().into());
        }
        account
    }

    /// Its own hours, if it has any: what it does not say is what the daemons do that serve it, as far as they agree.
    pub(super) fn hours(&self, uploads: &[Upload]) -> Option<Hours> {
        if !self.tick.has_hours() {
            return None;
        }
        let mut hours = uploads.iter().map(|upload| self.tick.or(&upload.tick).hours());
        let first = hours.next().unwrap_or_else(|| self.tick.hours());
        Some(first.filter(|first| hours.all(|other| other.as_ref() == Some(first))).map_or(Hours::Unsure, Hours::Sure))
    }
}

/// The hours of a shop.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hours {
    Sure(String),
    /// There are some, and nobody can tell which: nothing is listed.
    Unsure,
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
            let tick = Tick::read(office, name, value);
            office.tick = Some(tick.or(&office.tick.take().unwrap_or_default()));
            office.enabled = office.yes(name, value, &["enabled"], false).or(office.enabled);
            office.dry = office.yes(name, value, &["dry_run"], true).or(office.dry);
            if value.get("dry_run").is_some() && office.dry == Some(true) {
                let text = format!("`{name}` only made dry runs: the uploads are off, and `taskrun once upload_tick --dry-run` makes one");
                office.sheet.differs(value.line, text);
            }
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
        _ if is_named(name) => {
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
    let name = office.free.free(&plain);
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
    account.tick = Tick::read(office, &name, settings).or(&account.tick);
    in_use(office, &name, &mut account, settings);
    account.daily_limit = office.number(&name, settings, &["daily_upload_limit", "daily_limit"], 0..=1_000_000).or(account.daily_limit);
    let inner = settings.get("credentials").into_iter().flat_map(Node::entries);
    for (key, value) in settings.entries().chain(inner) {
        credential(office, &name, &mut account, key, value);
    }
    pace_keys(office, &name, settings);
    office.accounts.insert(name, account);
}

/// Takes over whether the shop is in use, and whether its uploads were only tried.
fn in_use(office: &mut Office, name: &str, account: &mut Account, settings: &Node) {
    const KEYS: [&str; 2] = ["active", "enabled"];
    if let Some(enabled) = office.yes(name, settings, &KEYS, false) {
        account.enabled = Some(enabled);
        account.unclear = KEYS.iter().find_map(|key| settings.get(key)).is_some_and(|value| value.bool().is_none());
        if account.unclear {
            let text = format!("`{name}`: its uploads are off; the stock of what it sells is looked after");
            office.sheet.differs(settings.line, text);
        } else if !enabled {
            let text = format!(
                "`{name}` is not in use, so no task calls it, `sync_inventory` neither: what is listed there stays on sale. To have only its \
                    uploads off, `enabled: false` belongs to their task"
            );
            office.sheet.differs(settings.line, text);
        }
    }
    account.dry = office.yes(name, settings, &["dry_run"], true).or(account.dry);
    if settings.get("dry_run").is_some() && account.dry == Some(true) {
        let task = plain_name(&format!("upload_tick_{name}"));
        let text = format!("`{name}` only made dry runs: its uploads are off, and `taskrun once {task} --dry-run` makes one");
        office.sheet.differs(settings.line, text);
    }
}

/// Settings of an account that are secrets.
const CREDENTIALS: [&str; 5] = ["refresh_token", "proxy", "client_id", "client_secret", "access_token"];

/// Takes over where a secret is to come from. Its value is not looked at.
fn credential(office: &mut Office, name: &str, account: &mut Account, key: &str, value: &Node) {
    if !CREDENTIALS.contains(&key) {
        return;
    }
    let variable = if let Data::Variable(variable) = &value.data { variable.clone() } else { office.variable(name, key) };
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
        _ => format!("`{name}`: access tokens are fetched with the refresh token"),
    };
    office.sheet.differs(value.line, text);
}

/// Names the settings that nothing comes of.
fn pace_keys(office: &mut Office, of: &str, settings: &Node) {
    const KNOWN: [&str; 18] = [
        "id",
        "account_id",
        "name",
        "platform",
        "active",
        "enabled",
        "dry_run",
        "daily_upload_limit",
        "daily_limit",
        "credentials",
        "interval_seconds",
        "interval",
        "batch_size",
        "batch",
        "business_hours",
        "business_hours_start",
        "business_hours_end",
        "owner",
    ];
    for (key, value) in settings.entries().filter(|(key, _)| !KNOWN.contains(key) && !CREDENTIALS.contains(key)) {
        match key {
            "rate_limit_per_hour" => {
                let text = format!(
                    "`{of}.{key}` was read by nobody; calls are counted by themselves, and `calls_per_hour` of the account lowers the limit"
                );
                office.sheet.left_out(value.line, text);
            }
            _ if is_named(key) => {
                office.sheet.left_out(value.line, format!("`{of}.{key}` looks like a secret: set it where it is needed"));
            }
            _ => office.unknown(value.line, &format!("{of}.{key}")),
        }
    }
}
