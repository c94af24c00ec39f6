//! The settings of the old Python back office as a tasks.yaml: `daemons.json`, and the accounts in `accounts.py`.
//!
//! Values that may be secrets are neither read on nor shown: `${NAME}` stands where they stood, and a remark says what to set.
use std::{collections::BTreeMap, ops::RangeInclusive};

use serde_yaml::{Mapping, Value};

use self::{
    account::{Account, Hours},
    tick::{Tick, Upload},
};
use super::{
    Imported,
    literal::{self, Data, Node},
    sheet::{Names, Sheet, SheetError, mapping, plain_name},
};
use crate::{core::value::DURATION_MAX, shop::setting::is_variable};

mod account;
mod tick;

/// A pass over all products takes Amazon's limits this long (1.8 h for 10,772 of them); a shorter interval means passes without a pause.
const PASS_SECONDS: i64 = 6_500;

/// Makes a tasks.yaml of `daemons.json`; with the accounts of an `accounts.py`, if there is one.
///
/// # Errors
/// When the YAML cannot be written.
pub fn from_daemons(name: &str, json: &str, accounts: Option<(&str, &str)>) -> Result<Imported, SheetError> {
    let mut office = Office::default();
    office.open(name);
    if let Some((file, python)) = accounts {
        office.sheet.source(file);
        office.read_accounts(python);
        office.sheet.source(name);
    }
    let (document, rest) = literal::document(json);
    if let Some(line) = rest {
        office.sheet.left_out(line, "there is more behind the first value, and JSON has only one: correct the file");
    }
    let daemons = document.get("daemons").unwrap_or(&document);
    if !matches!(daemons.data, Data::Dict(_)) {
        office.sheet.left_out(daemons.line, "this is no JSON object with a daemon's settings under each name: correct the file");
    }
    if document.get("daemons").is_some() {
        document.entries().filter(|(key, _)| *key != "daemons").for_each(|(key, value)| office.unknown(value.line, key));
    }
    for (name, daemon) in daemons.entries() {
        office.daemon(name, daemon);
    }
    office.finish()
}

/// Makes a tasks.yaml of `accounts.py`, whose literal values are read; nothing of it is run.
///
/// # Errors
/// When the YAML cannot be written.
pub fn from_accounts(name: &str, python: &str) -> Result<Imported, SheetError> {
    let mut office = Office::default();
    office.open(name);
    office.read_accounts(python);
    office.finish()
}

/// What is known of the old office so far.
#[derive(Debug, Default)]
struct Office {
    sheet: Sheet,
    /// In the order of their names.
    accounts: BTreeMap<String, Account>,
    /// What uploads do unless a daemon or a shop says otherwise; `None`: the accounts do not speak of uploads.
    tick: Option<Tick>,
    /// Whether they do it at all, if that is said.
    enabled: Option<bool>,
    /// Whether they only try.
    dry: Option<bool>,
    uploads: Vec<Upload>,
    /// There is an upload daemon, and it serves another marketplace.
    served_elsewhere: bool,
    /// Tasks that are not about uploads.
    tasks: Vec<(String, Mapping)>,
    /// What the accounts were called before, and are called now.
    names: BTreeMap<String, String>,
    /// Names of accounts, and of variables.
    free: Names,
    variables: Names,
    /// The variables that have been named, by account and setting.
    own: BTreeMap<(String, String), String>,
    needs_amazon: bool,
}

impl Office {
    fn open(&mut self, name: &str) {
        self.free.take(SELLER);
        AMAZONS.iter().chain(&BASES).for_each(|name| self.variables.take(name));
        self.sheet.head(format!(
            "Made from {name} by `taskrun import`. Lines with `!` say what is different now. Then: taskrun check; taskrun list"
        ));
        self.sheet.section(
            &["The old hours were those of the machine's clock; here they are Japan's, wherever it runs."],
            "timezone",
            "Asia/Tokyo",
        );
    }

    fn read_accounts(&mut self, python: &str) {
        let python = literal::python(python, account::is_known);
        python.assignments.iter().for_each(|(_, value)| self.reserve(value));
        for (name, value) in &python.assignments {
            account::read(self, name, value);
        }
        for (name, line) in python.changes {
            let text = match name.as_str() {
                "*" => {
                    "what this line brings along is not read: if there are accounts or settings in it, write them down by hand".to_owned()
                }
                _ => format!("this line may change `{name}`, and nothing of the file is run: write down by hand what it says"),
            };
            self.sheet.left_out(line, text);
        }
    }

    /// Keeps the variables that a value names from meaning something else, too.
    fn reserve(&mut self, value: &Node) {
        match &value.data {
            Data::Variable(name) => self.variables.take(name),
            Data::List(items) => items.iter().for_each(|item| self.reserve(item)),
            Data::Dict(pairs) => pairs.iter().for_each(|(_, value)| self.reserve(value)),
            Data::Text(_) | Data::Number(_) | Data::Bool(_) | Data::None | Data::Unreadable => {}
        }
    }

    /// The variable that a setting of an account is to come from.
    fn variable(&mut self, account: &str, key: &str) -> String {
        let wanted = format!("{account}_{key}").replace('-', "_").to_ascii_uppercase();
        let wanted = if is_variable(&wanted) { wanted } else { format!("SHOP_{wanted}") };
        let named = self.own.entry((account.to_owned(), key.to_owned()));
        named.or_insert_with(|| self.variables.free(&wanted)).clone()
    }

    /// Reads one of the daemons.
    fn daemon(&mut self, name: &str, daemon: &Node) {
        let small = name.to_ascii_lowercase();
        let is = |word: &str| small.contains(word);
        if !matches!(daemon.data, Data::Dict(_)) {
            self.sheet.left_out(daemon.line, format!("`{name}` has no settings under it: correct it, or write the task by hand"));
        } else if is("upload") {
            self.upload(name, daemon);
        } else if let Some(handler) = ["sync_inventory", "refresh_tokens", "cleanup"].into_iter().find(|handler| is(handler)) {
            self.other(name, daemon, handler);
        } else {
            let text =
                format!("there is no handler like `{name}`: if it is a program, write `handler: command` with `run: [program, argument]`");
            self.sheet.left_out(daemon.line, text);
        }
    }

    fn other(&mut self, name: &str, daemon: &Node, handler: &str) {
        if handler == "sync_inventory" && !self.is_for_base(name, daemon) {
            return;
        }
        let mut task = mapping([("handler", handler.into())]);
        self.frame(name, daemon, &mut task);
        for (key, value) in daemon.entries() {
            match key {
                "platform" if handler == "sync_inventory" => self.sheet.comment(&format!("`{name}` serves every shop under `accounts`")),
                _ if FRAME.contains(&key) => {}
                _ => self.unknown(value.line, &format!("{name}.{key}")),
            }
        }
        if handler == "sync_inventory" {
            self.needs_amazon = true;
            if daemon.get("interval_seconds").and_then(Node::int).is_some_and(|seconds| seconds < PASS_SECONDS) {
                let text =
                    "a pass over ten thousand products takes 1.8 hours, as Amazon answers 20 of them in 12 s: `every: 3h` is what worked";
                self.sheet.differs(daemon.line, text);
            }
            self.sheet.differs(daemon.line, "`pricing` is the old simple markup; look at it before anything is written, with `--dry-run`");
            task.insert("with".into(), mapping([("pricing", pricing().into())]).into());
        }
        self.tasks.push((name.to_owned(), task));
    }

    /// What all daemons have.
    fn frame(&mut self, name: &str, daemon: &Node, task: &mut Mapping) {
        let is_dry = self.yes(name, daemon, &["dry_run"], true) == Some(true);
        if is_dry {
            let task = plain_name(name);
            let text =
                format!("`{name}` only made dry runs; a schedule has none here: it is off, and `taskrun once {task} --dry-run` makes one");
            self.sheet.differs(daemon.line, text);
        }
        if self.yes(name, daemon, &["enabled"], false) == Some(false) || is_dry {
            task.insert("enabled".into(), false.into());
        }
        if let Some(seconds) = self.number(name, daemon, &["interval_seconds"], 1..=SECONDS_MAX) {
            let line = daemon.get("interval_seconds").map_or(daemon.line, |node| node.line);
            task.insert("schedule".into(), mapping([("every", duration(seconds).into())]).into());
            task.insert("overlap".into(), "skip".into());
            let after = duration(seconds);
            let text = format!(
                "`{name}` counted {after} from the end of a run; here it is due every {after}, and skipped while it still runs. As it \
                    was: `schedule: {{ after: {after} }}`"
            );
            self.sheet.differs(line, text);
        }
        let retries = [("max_retries", "max", 1000), ("retry_delay_seconds", "delay", SECONDS_MAX)].map(|(old, key, most)| {
            let value = self.number(name, daemon, &[old], 0..=most)?;
            Some((Value::from(key), if key == "max" { Value::from(value) } else { duration(value).into() }))
        });
        let retries: Mapping = retries.into_iter().flatten().collect();
        if !retries.is_empty() {
            task.insert("retries".into(), retries.into());
        }
    }

    /// Reads an upload daemon. Each stands for itself: what one does for real, another only tried.
    fn upload(&mut self, name: &str, daemon: &Node) {
        if !self.is_for_base(name, daemon) {
            self.served_elsewhere = true;
            return;
        }
        let tick = Tick::read(self, name, daemon);
        let known =
            ["enabled", "interval_seconds", "platform", "dry_run", "max_retries", "retry_delay_seconds", "batch_size", "business_hours"];
        let known = |key: &str| known.contains(&key) || key.starts_with("business_hours_");
        for (key, value) in daemon.entries().filter(|(key, _)| !known(key)) {
            self.unknown(value.line, &format!("{name}.{key}"));
        }
        let is_dry = self.yes(name, daemon, &["dry_run"], true) == Some(true);
        if is_dry {
            let text = format!("`{name}` only made dry runs: its tasks are off, and `taskrun once upload_tick --dry-run` makes one");
            self.sheet.differs(daemon.line, text);
        }
        if daemon.get("max_retries").is_some() {
            self.sheet.comment("An item that could not be listed is tried again by `upload_tick` itself (`with: { max_attempts: 3 }`).");
        }
        let enabled = self.yes(name, daemon, &["enabled"], false).or(self.enabled);
        let is_dry = is_dry || self.dry == Some(true);
        self.uploads.push(Upload { name: Some(name.to_owned()), enabled: enabled != Some(false) && !is_dry, tick });
    }

    /// Whether a daemon serves the marketplace whose shops are taken over.
    fn is_for_base(&mut self, name: &str, daemon: &Node) -> bool {
        let Some(platform) = daemon.get("platform").filter(|platform| platform.data != Data::None) else { return true };
        if platform.text().is_some_and(|platform| platform.eq_ignore_ascii_case("base")) {
            return true;
        }
        let platform = platform.text().map_or_else(|| "something that cannot be read".to_owned(), |text| format!("`{}`", plain_name(text)));
        let text =
            format!("`{name}` serves {platform}, and only what serves `base` is taken over: write its task by hand, see docs/platforms.md");
        self.sheet.left_out(daemon.line, text);
        false
    }

    /// A number by the first of these names; one that taskrun does not allow becomes the nearest.
    fn number(&mut self, of: &str, node: &Node, names: &[&str], range: RangeInclusive<i64>) -> Option<i64> {
        let (name, value) = names.iter().find_map(|name| Some((name, node.get(name)?)))?;
        if value.data == Data::None {
            return None;
        }
        let Some(number) = value.int() else {
            let what = if name.contains("seconds") || name.contains("interval") { " of seconds" } else { "" };
            self.sheet.left_out(value.line, format!("`{of}.{name}` is no number{what} that can be read: write it down by hand"));
            return None;
        };
        let nearest = number.clamp(*range.start(), *range.end());
        if nearest != number {
            let text = format!("`{of}.{name}` was {number}, and is {nearest} now: {} to {} is what there is", range.start(), range.end());
            self.sheet.differs(value.line, text);
        }
        Some(nearest)
    }

    /// Yes or no by the first of these names; `otherwise` where it is neither.
    fn yes(&mut self, of: &str, node: &Node, names: &[&str], otherwise: bool) -> Option<bool> {
        let (name, value) = names.iter().find_map(|name| Some((name, node.get(name)?)))?;
        if value.data != Data::None && value.bool().is_none() {
            self.sheet.left_out(value.line, format!("`{of}.{name}` is neither true nor false: it is taken for {otherwise}"));
            return Some(otherwise);
        }
        value.bool()
    }

    fn unknown(&mut self, line: usize, key: &str) {
        self.sheet.left_out(line, format!("`{key}` has no counterpart; docs/handlers/ says what each handler can be told"));
    }

    fn finish(mut self) -> Result<Imported, SheetError> {
        // From here on it is about the whole.
        self.sheet.source("");
        self.settle_uploads();
        self.marketplaces();
        self.write_accounts();
        self.sheet.section(&[], "defaults", mapping([("catch_up", "latest".into()), ("grace", "30s".into())]));
        let Self { mut sheet, accounts, uploads, tasks, .. } = self;
        let refreshes = tasks.iter().any(|(_, task)| task.get("handler").and_then(Value::as_str) == Some("refresh_tokens"));
        for (name, task) in tasks {
            sheet.task(&name, task);
        }
        if !uploads.is_empty() {
            let text = "nothing is listed until `publish: { rules: FILE }` says what may be; start from deploy/publish-rules.yaml";
            sheet.differs(0, text);
        }
        for upload in &uploads {
            tick::tasks(&mut sheet, &accounts, upload);
        }
        if !accounts.is_empty() && !refreshes {
            sheet.comment("BASE's logins end after 30 days without this.");
            sheet.task("refresh_tokens", mapping([("handler", "refresh_tokens".into()), ("schedule", "0 3 * * *".into())]));
        }
        sheet.finish()
    }

    /// Gives each upload daemon what the accounts say of all, and the shops a daemon.
    fn settle_uploads(&mut self) {
        if let (Some(_), []) = (&self.tick, self.uploads.as_slice()) {
            if self.served_elsewhere {
                self.sheet.differs(0, "no upload daemon served `base`: the task for its shops is off");
            }
            let enabled = self.enabled != Some(false) && self.dry != Some(true) && !self.served_elsewhere;
            self.uploads.push(Upload { name: None, enabled, tick: Tick::default() });
        }
        let all = self.tick.take().unwrap_or_default();
        for upload in &mut self.uploads {
            upload.tick = upload.tick.or(&all);
        }
        if self.uploads.iter().any(|upload| !upload.tick.has_hours()) {
            self.sheet.differs(0, "nobody says when uploads may go out: 06:00-23:00 it is, as it was with the old daemon");
        }
        if !self.uploads.is_empty() && self.accounts.is_empty() {
            let text = "no shop is named: one stands under `accounts` as an example; `--accounts accounts.py` takes them over";
            self.sheet.differs(0, text);
            self.accounts.insert("base_account_1".to_owned(), Account::default());
        }
    }

    fn marketplaces(&mut self) {
        let mut marketplaces = Mapping::new();
        let mut names = Vec::new();
        if self.needs_amazon {
            let keys = [
                ("region", "fe"),
                ("marketplace_id", "A1VC38T7YXB528"),
                ("client_id", "${LWA_CLIENT_ID}"),
                ("client_secret", "${LWA_CLIENT_SECRET}"),
            ];
            marketplaces.insert("amazon".into(), mapping(keys.map(|(key, value)| (key, value.into()))).into());
            names.extend(AMAZONS);
        }
        if self.needs_amazon || !self.accounts.is_empty() {
            let keys = [("client_id", "${BASE_CLIENT_ID}"), ("client_secret", "${BASE_CLIENT_SECRET}")];
            marketplaces.insert("base".into(), mapping(keys.map(|(key, value)| (key, value.into()))).into());
            names.extend(BASES);
        }
        if marketplaces.is_empty() {
            return;
        }
        let text = format!("set where taskrun is started: {}", names.join(", "));
        self.sheet.differs(0, text);
        self.sheet.section(&["Secrets come from the environment, never from this file."], "marketplaces", marketplaces);
    }

    fn write_accounts(&mut self) {
        let mut accounts = Mapping::new();
        if self.needs_amazon {
            let seller = mapping([("platform", "amazon".into()), ("refresh_token", "${LWA_REFRESH_TOKEN}".into())]);
            accounts.insert(SELLER.into(), seller.into());
        }
        for (name, account) in &mut self.accounts {
            let hours = account.hours(&self.uploads);
            if hours == Some(Hours::Unsure) && account.tick.hours().is_some() {
                let text = format!(
                    "`{name}`: its business hours cannot be told, so its uploads are off: see which fit, and remove `enabled: false`"
                );
                self.sheet.differs(0, text);
            }
            account.held = account.is_held(hours.as_ref());
            accounts.insert(name.as_str().into(), account.write(hours.as_ref()).into());
        }
        if !accounts.is_empty() {
            self.sheet.section(&[], "accounts", accounts);
        }
    }
}

/// What our Amazon seller is called, and what is set where taskrun is started.
const SELLER: &str = "amazon_main";
const AMAZONS: [&str; 3] = ["LWA_CLIENT_ID", "LWA_CLIENT_SECRET", "LWA_REFRESH_TOKEN"];
const BASES: [&str; 2] = ["BASE_CLIENT_ID", "BASE_CLIENT_SECRET"];

const SECONDS_MAX: i64 = DURATION_MAX.as_secs();

/// Settings of every daemon.
const FRAME: [&str; 5] = ["enabled", "interval_seconds", "dry_run", "max_retries", "retry_delay_seconds"];

/// What the old office's prices were made by.
fn pricing() -> Mapping {
    mapping([("markup", 1.3.into()), ("round", 10.into()), ("min", 500.into()), ("max", 100_000.into())])
}

/// Seconds as people write them.
fn duration(seconds: i64) -> String {
    match seconds {
        _ if seconds >= 3600 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        _ if seconds > 60 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
