//! Turns nodes into values: texts with their variables filled in, and every kind that the tables of keys know. Each misfit is a fault, and the
//! reading goes on.
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};

use jiff::SignedDuration;

use super::{
    LoadOptions, Secrets,
    amount::{self, Misfit},
    env::{Expanded, expand},
    fault::{FAULTS_MAX, Fault, did_you_mean, quote},
    keys::{Key, Kind},
    lint,
    outside::{self, AllowedHost},
    remote, timing,
    tree::{Data, Entry, Node},
};
use crate::core::{
    cron::CronExpr,
    value::{Misread, Params, Secret, Value},
};

/// Collects what is wrong while values are read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) options: &'a LoadOptions<'a>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
    /// The named locks there are; `None`: whatever a task names.
    pub(super) locks: Option<BTreeSet<String>>,
    /// The accounts there are, with faults or without.
    pub(super) accounts: BTreeSet<String>,
    /// The hosts that may be called; `None`: that is not judged here.
    pub(super) hosts: Option<Vec<AllowedHost>>,
    /// The folder of the file.
    pub(super) base_dir: PathBuf,
    /// Cron expressions by their text: tasks that fire alike share one.
    pub(super) crons: BTreeMap<String, Arc<CronExpr>>,
    /// What is read belongs to something that is not enabled.
    pub(super) forgiving: bool,
    /// What variables stood for whose names say that they are secret.
    pub(super) secrets: Vec<Secret>,
}

/// The keys that a table may have.
pub(super) type Keys<'k> = &'k [&'static [Key]];

/// A table whose keys were checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'t> {
    entries: &'t [Entry],
    /// Where to point when something in it is missing.
    at: &'t Range<usize>,
}

impl<'t> Table<'t> {
    pub(super) fn entry(self, name: &str) -> Option<&'t Entry> {
        self.entries.iter().find(|entry| &*entry.key.text == name)
    }

    pub(super) fn entries(self) -> &'t [Entry] {
        self.entries
    }

    /// Where to point for a key: at its name.
    pub(super) fn place(self, name: &str) -> Range<usize> {
        self.entry(name).map_or_else(|| self.at.clone(), |entry| entry.key.span.clone())
    }
}

/// A single value as text, with its variables filled in.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) text: String,
    pub(super) span: Range<usize>,
    verbatim: Option<usize>,
    /// A variable in it is not set, and need not be.
    pub(super) unset: bool,
    /// What its variables stood for.
    pub(super) filled: Vec<String>,
}

impl Reading {
    /// Where a part of the text stands in the source; the whole value where that can't be told.
    pub(super) fn part(&self, part: &Range<usize>) -> Range<usize> {
        let place = self.verbatim.map(|begin| begin + part.start..begin + part.end.max(part.start));
        place.filter(|place| place.end <= self.span.end && !self.text.is_empty()).unwrap_or_else(|| self.span.clone())
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(options: &'a LoadOptions<'a>, faults: Vec<Fault>) -> Self {
        Self {
            options,
            faults,
            warnings: Vec::new(),
            locks: None,
            accounts: BTreeSet::new(),
            hosts: None,
            base_dir: PathBuf::from("."),
            crons: BTreeMap::new(),
            forgiving: false,
            secrets: Vec::new(),
        }
    }

    /// What is not set in the environment is empty, and no fault.
    pub(super) fn lenient(&self) -> bool {
        self.forgiving || self.options.practice || self.options.secrets == Secrets::NotNeeded
    }

    pub(super) fn fault(&mut self, at: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(Fault::new(at.clone(), message).hint(hint));
    }

    pub(super) fn misread(&mut self, text: &Reading, misread: Misread) {
        self.faults.push(Fault::new(text.part(&misread.at), misread.message).maybe_hint(misread.hint));
    }

    fn misfit<T>(&mut self, text: &Reading, read: Result<T, Misfit>) -> Option<T> {
        read.map_err(|misfit| self.faults.push(Fault::new(text.span.clone(), misfit.message).maybe_hint(misfit.hint))).ok()
    }

    /// Says that a node is not what was expected there. `at` is its key, for a value that isn't there at all.
    pub(super) fn unexpected(&mut self, node: &Node, at: &Range<usize>, expected: &str) {
        let place = if node.is_null() { at } else { &node.span };
        let hint = node.is_null().then(|| "give it a value, or remove the key".to_owned());
        self.faults.push(Fault::new(place.clone(), format!("expected {expected}, found {}", node.kind())).maybe_hint(hint));
    }

    /// Reads a table: reports keys that it may not have and keys that it lacks. Nothing at all counts as an empty table.
    pub(super) fn table<'t>(&mut self, node: &'t Node, at: &'t Range<usize>, keys: Keys<'_>) -> Option<Table<'t>> {
        self.table_with(node, at, keys, &|_| None)
    }

    /// Like [`Reader::table`]; `advise` knows better than the likeness of names what an unknown key was meant to be.
    pub(super) fn table_with<'t>(
        &mut self,
        node: &'t Node,
        at: &'t Range<usize>,
        keys: Keys<'_>,
        advise: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Table<'t>> {
        let table = self.open_table(node, at)?;
        let names = || keys.iter().copied().flatten().map(|key| key.name);
        for entry in table.entries.iter().filter(|entry| !names().any(|name| *name == *entry.key.text)) {
            // Nobody will see the hint, and looking for it takes long.
            if self.faults.len() >= FAULTS_MAX {
                self.faults.push(Fault::new(entry.key.span.clone(), "unknown key"));
                continue;
            }
            let known = || format!("the keys here are {}", names().collect::<Vec<_>>().join(", "));
            let name = &*entry.key.text;
            let deeper = || keys.iter().copied().flatten().find(|key| key.holds(name));
            let hint = advise(name)
                .or_else(|| deeper().map(|key| format!("`{name}` belongs under `{}`", key.name)))
                .or_else(|| did_you_mean(name, names()))
                .or_else(|| (names().count() <= 8).then(known));
            self.faults.push(Fault::new(entry.key.span.clone(), format!("unknown key {}", quote(&entry.key.text))).maybe_hint(hint));
        }
        for key in keys.iter().copied().flatten().filter(|key| key.required && table.entry(key.name).is_none()) {
            self.fault(at, format!("`{}` is missing", key.name), key.brief());
        }
        Some(table)
    }

    /// Reads a table with any keys.
    pub(super) fn open_table<'t>(&mut self, node: &'t Node, at: &'t Range<usize>) -> Option<Table<'t>> {
        match &node.data {
            Data::Map(entries) => Some(Table { entries, at }),
            Data::Scalar(_) if node.is_null() => Some(Table { entries: &[], at }),
            Data::Scalar(_) | Data::List(_) => {
                self.unexpected(node, at, "a table");
                None
            }
        }
    }

    /// Reads a table whose keys are names.
    pub(super) fn named<'t>(&mut self, node: &'t Node, at: &'t Range<usize>) -> Vec<&'t Entry> {
        let entries = self.open_table(node, at).map(Table::entries).unwrap_or_default();
        entries.iter().filter(|entry| self.is_name(&entry.key.text, &entry.key.span)).collect()
    }

    fn is_name(&mut self, text: &str, at: &Range<usize>) -> bool {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let good = !text.is_empty() && text.len() <= 64 && text.chars().all(fits);
        if !good {
            self.fault(at, format!("{} is not a name", quote(text)), "names have 1 to 64 of the letters a-z, digits, `_` and `-`");
        }
        good
    }

    /// The elements of a list; a single value counts as a list of one.
    pub(super) fn elements<'t>(&mut self, node: &'t Rc<Node>, at: &Range<usize>, expected: &str) -> &'t [Rc<Node>] {
        match &node.data {
            Data::List(items) => items,
            Data::Scalar(_) if node.is_null() => {
                self.unexpected(node, at, expected);
                &[]
            }
            Data::Scalar(_) | Data::Map(_) => std::slice::from_ref(node),
        }
    }

    /// Reads a single value as text. `None` with a fault, or without one where a variable is not set and need not be, for `whole` values.
    pub(super) fn text(&mut self, node: &Node, at: &Range<usize>, expected: &str) -> Option<Reading> {
        let Data::Scalar(scalar) = &node.data else {
            self.unexpected(node, at, expected);
            return None;
        };
        if node.is_null() {
            self.unexpected(node, at, expected);
            return None;
        }
        let span = node.span.clone();
        if !scalar.text.contains("${") {
            return Some(Reading { text: scalar.text.clone(), span, verbatim: scalar.verbatim, unset: false, filled: Vec::new() });
        }
        let Expanded { text, unset, values, secrets, broken } = expand(&scalar.text, self.options.env);
        self.secrets.extend(secrets);
        let source = Reading { text: scalar.text.clone(), span, verbatim: scalar.verbatim, unset: !unset.is_empty(), filled: values };
        if let Some(part) = &broken {
            self.fault(&source.part(part), "`${` begins the name of a variable, and this is none", "write `$${` for `${` itself");
            return None;
        }
        if !unset.is_empty() && !self.lenient() {
            for (part, name) in &unset {
                self.fault(
                    &source.part(part),
                    format!("`${{{name}}}` is not set in the environment"),
                    format!("export {name}=… before taskrun starts"),
                );
            }
            return None;
        }
        Some(Reading { text, verbatim: None, ..source })
    }

    /// Reads a single value that has to be complete: `None` without a fault where a variable is not set and need not be.
    pub(super) fn whole(&mut self, node: &Node, at: &Range<usize>, expected: &str) -> Option<Reading> {
        self.text(node, at, expected).filter(|text| !text.unset)
    }

    /// Reads a value of a kind.
    pub(super) fn value(&mut self, kind: Kind, node: &Rc<Node>, at: &Range<usize>) -> Option<Value> {
        let text = |read: Reading| Value::Text(read.text.into());
        match kind {
            Kind::Bool => self.boolean(node, at).map(Value::Bool),
            Kind::Int(least, most) => {
                let read = self.whole(node, at, "a whole number")?;
                self.misfit(&read, amount::whole(&read.text, least, most)).map(Value::Int)
            }
            Kind::Decimal(least, most) => {
                let read = self.whole(node, at, "a number")?;
                let number = self.misfit(&read, amount::decimal(&read.text))?;
                self.misfit(&read, amount::within(number, least, most)).map(Value::Decimal)
            }
            Kind::Percent => {
                let read = self.whole(node, at, "a share such as `5%`")?;
                self.misfit(&read, amount::percent(&read.text)).map(Value::Decimal)
            }
            Kind::Text => self.text(node, at, "a text").map(text),
            Kind::Path => self.path(node, at).map(text),
            Kind::Duration(zero) => self.duration(node, at, zero).map(Value::Duration),
            Kind::Limit => self.limit(node, at),
            Kind::Size => {
                let read = self.whole(node, at, "a size such as `10MB`")?;
                self.misfit(&read, amount::size(&read.text)).map(Value::Size)
            }
            Kind::Word(words) => self.word(node, at, words).map(|word| Value::Text(word.into())),
            Kind::Name => self.name(node, at).map(text),
            Kind::Lock => self.lock(node, at).map(text),
            Kind::Account => self.account(node, at).map(text),
            Kind::Zone => self.whole(node, at, "a time zone").and_then(|name| timing::zone(self, &name)).map(|(_, name)| Value::Text(name)),
            Kind::Url => self.whole(node, at, "a URL").and_then(|url| remote::url(self, &url)).map(|url| Value::Text(url.into())),
            Kind::CallUrl => outside::call_url(self, node, at),
            Kind::Sensitive => outside::sensitive(self, node, at),
            Kind::Json => outside::json(self, node),
            Kind::Address => self
                .whole(node, at, "an address and a port")
                .and_then(|address| remote::address(self, &address))
                .map(|address| Value::Text(address.into())),
            Kind::List(element) => {
                let elements = self.elements(node, at, "a list");
                Some(Value::List(elements.iter().filter_map(|node| self.value(*element, node, at)).collect()))
            }
            Kind::Words(_) => self.value(Kind::List(&Kind::Text), node, at),
            Kind::Table(keys) => self.params(node, at, &[keys]).map(Value::Table),
            Kind::Tables(keys) => self.params(node, at, keys).map(Value::Table),
            Kind::Map(element) => {
                let entries = self.open_table(node, at)?.entries().iter().collect();
                Some(Value::Table(self.params_of(entries, |_| Some(*element))))
            }
            Kind::Named(element) => {
                let entries = self.named(node, at);
                Some(Value::Table(self.params_of(entries, |_| Some(*element))))
            }
            Kind::Checked(kind, check) => lint::checked(self, (*kind, check), node, at),
            // These mean more than a value can say: they are read where they are used.
            Kind::Secret | Kind::Schedule | Kind::Hours | Kind::Dates | Kind::Params | Kind::Store | Kind::Host | Kind::Apart(_) => None,
        }
    }

    /// Reads a table into parameters.
    pub(super) fn params(&mut self, node: &Node, at: &Range<usize>, keys: Keys<'_>) -> Option<Params> {
        let table = self.table(node, at, keys)?;
        Some(self.plain(table, keys))
    }

    /// The values of a table whose keys were checked, but those that mean more than a value can say.
    pub(super) fn plain(&mut self, table: Table<'_>, keys: Keys<'_>) -> Params {
        self.params_of(table.entries.iter().collect(), |name| {
            keys.iter().copied().flatten().find(|key| key.name == name).map(|key| key.kind)
        })
    }

    fn params_of(&mut self, entries: Vec<&Entry>, kind: impl Fn(&str) -> Option<Kind>) -> Params {
        let mut params = BTreeMap::new();
        for entry in &entries {
            if let Some(value) = kind(&entry.key.text).and_then(|kind| self.value(kind, &entry.value, &entry.key.span)) {
                params.insert(Arc::from(&*entry.key.text), value);
            }
        }
        let params = Params(params);
        for entry in entries {
            if let Some(Kind::Words(flag)) = kind(&entry.key.text) {
                self.words(entry, flag, params.bool(flag).unwrap_or(false));
            }
        }
        params
    }

    /// Reports words that are one text where they had to be apart, and no words at all.
    fn words(&mut self, entry: &Entry, flag: &str, joined: bool) {
        match &entry.value.data {
            Data::Scalar(scalar) if !joined && !entry.value.is_null() => {
                let words: Vec<_> = scalar.text.split_whitespace().map(|word| format!("{word:?}")).collect();
                let hint = format!("write `{}: [{}]`, or `{flag}: true` beside it", entry.key.text, words.join(", "));
                self.fault(&entry.value.span, format!("{} is one text, and nothing takes it apart", quote(&scalar.text)), hint);
            }
            Data::List(items) if items.is_empty() => self.fault(&entry.value.span, "this list is empty", "write at least one element"),
            Data::List(items) => {
                let nameless = |item: &&Rc<Node>| matches!(&item.data, Data::Scalar(scalar) if scalar.text.trim().is_empty());
                if let Some(first) = items.first().filter(nameless) {
                    self.fault(&first.span, "the program to run is empty", "write its name or its path");
                }
            }
            Data::Scalar(_) | Data::Map(_) => {}
        }
    }

    fn boolean(&mut self, node: &Node, at: &Range<usize>) -> Option<bool> {
        let read = self.whole(node, at, "`true` or `false`")?;
        match read.text.as_str() {
            "true" => return Some(true),
            "false" => return Some(false),
            _ => {}
        }
        let hint = match read.text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "true" | "1" => "write `true`",
            "no" | "off" | "n" | "false" | "0" => "write `false`",
            _ => "write `true` or `false`",
        };
        self.fault(&read.span, format!("{} is neither `true` nor `false`", quote(&read.text)), hint);
        None
    }

    pub(super) fn duration(&mut self, node: &Node, at: &Range<usize>, zero: bool) -> Option<SignedDuration> {
        let read = self.whole(node, at, "a duration such as `90s`")?;
        self.misfit(&read, amount::duration(&read.text, zero))
    }

    /// A duration, or the text `none`.
    fn limit(&mut self, node: &Node, at: &Range<usize>) -> Option<Value> {
        let read = self.whole(node, at, "a duration such as `90s`, or `none`")?;
        if read.text == "none" {
            Some(Value::Text("none".into()))
        } else {
            self.misfit(&read, amount::duration(&read.text, false)).map(Value::Duration)
        }
    }

    pub(super) fn word(&mut self, node: &Node, at: &Range<usize>, words: &'static [&'static str]) -> Option<&'static str> {
        let read = self.whole(node, at, &format!("one of {}", words.join(", ")))?;
        let found = words.iter().copied().find(|word| *word == read.text);
        if found.is_none() {
            let hint = did_you_mean(&read.text, words.iter().copied()).unwrap_or_else(|| "write one of these words".to_owned());
            self.fault(&read.span, format!("{} is not one of {}", quote(&read.text), words.join(", ")), hint);
        }
        found
    }

    pub(super) fn name(&mut self, node: &Node, at: &Range<usize>) -> Option<Reading> {
        let read = self.whole(node, at, "a name")?;
        self.is_name(&read.text, &read.span).then_some(read)
    }

    fn lock(&mut self, node: &Node, at: &Range<usize>) -> Option<Reading> {
        let read = self.name(node, at)?;
        let known = self.locks.as_ref().filter(|locks| !locks.contains(&read.text)).map(|locks| locks.iter().cloned().collect::<Vec<_>>());
        if let Some(known) = &known {
            self.unknown(&read.span, "lock", &read.text, known.iter().map(String::as_str));
        }
        Some(read)
    }

    fn account(&mut self, node: &Node, at: &Range<usize>) -> Option<Reading> {
        let read = self.name(node, at)?;
        if !self.accounts.contains(&read.text) {
            let known: Vec<String> = self.accounts.iter().cloned().collect();
            self.unknown(&read.span, "account", &read.text, known.iter().map(String::as_str));
        }
        Some(read)
    }

    fn path(&mut self, node: &Node, at: &Range<usize>) -> Option<Reading> {
        let read = self.text(node, at, "a path")?;
        if let Some(rest) = read.text.strip_prefix("~/") {
            self.fault(&read.span, "`~` means nothing in a path here", format!("write `${{HOME}}/{rest}`"));
            return None;
        }
        if read.text.is_empty() && !read.unset {
            self.fault(&read.span, "the path is empty", "write `.` for the folder of this file");
            return None;
        }
        Some(read)
    }

    /// Says that a name is not among those that there are.
    pub(super) fn unknown<'n>(&mut self, at: &Range<usize>, what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) {
        let known: Vec<&str> = known.into_iter().collect();
        let listed = || match known.as_slice() {
            [] => Cow::from(format!("there is no {what} at all")),
            few if few.len() <= 8 => Cow::from(format!("there is {}", few.join(", "))),
            _ => Cow::from("check its spelling"),
        };
        let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| listed().into_owned());
        self.fault(at, format!("there is no {what} {}", quote(name)), hint);
    }
}
