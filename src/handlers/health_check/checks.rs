//! The checks as tasks.yaml names them, each a table with one key that says what is looked at.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    config::keys::{Complaint, Key, Kind},
    core::value::{Params, Value},
    handlers::expect,
    shop::upload::Work,
};

/// `checks`.
pub(super) const KIND: Kind = Kind::Checked(&Kind::List(&Kind::Table(KEYS)), complaints);

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

const COUNT: Kind = Kind::Int(0, 1_000_000_000);

const KEYS: &[Key] = &[
    key("name", Kind::Text, "What people call it; otherwise what it looks at."),
    key("timeout", Kind::Duration(false), "How long it may take."),
    key("url", Kind::CallUrl, "A URL that has to answer; its host has to stand under `http_hosts`."),
    key("expect", expect::KIND, "With `url`: what the answer has to be; default: a status of 200-299."),
    key("command", Kind::Words("shell"), "A program that has to end with 0."),
    key("queue", Kind::Text, "Work whose queue must not be stuck: `upload`, `check` or `replace`."),
    key("account", Kind::Account, "With `queue`: of this account alone."),
    key("max_due", COUNT, "With `queue`: at most so many items may be due."),
    key("max_age", Kind::Duration(false), "With `queue`: none may be due for longer than this."),
    key("max_dead", COUNT, "With `queue`: at most so many items may wait for a person, as failed or uncertain."),
    key("data_age", Kind::Duration(false), "Offers must not be older than this, but those of 5% of what is listed."),
    key("disk", Kind::Path, "A folder on whose disk there has to be room."),
    key("min_free", Kind::Size, "With `disk`: so much."),
    key("store", Kind::Bool, "`true`: the store has to be whole, and take a write."),
    key("tokens", Kind::Duration(false), "No login may end within this, or have been refused."),
    key("task", Kind::Text, "A task, or an instance of one, that has to succeed now and then."),
    key("max_since_success", Kind::Duration(false), "With `task`: its last success must not be longer ago."),
];

/// What a check looks at, and what may and must stand beside it.
const LOOKS: &[(&str, &[&str], &[&str])] = &[
    ("url", &["expect"], &[]),
    ("command", &[], &[]),
    ("queue", &["account", "max_due", "max_age", "max_dead"], &[]),
    ("data_age", &[], &[]),
    ("disk", &["min_free"], &["min_free"]),
    ("store", &[], &[]),
    ("tokens", &[], &[]),
    ("task", &["max_since_success"], &["max_since_success"]),
];

/// One of the checks.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) name: Arc<str>,
    /// Which key says what is looked at.
    pub(super) what: &'static str,
    pub(super) timeout: Option<Duration>,
    pub(super) params: Params,
}

impl Check {
    /// All checks of parameters that were checked. Each has a name of its own.
    pub(super) fn all(params: &Params) -> Vec<Self> {
        let tables = params.list("checks").iter().filter_map(|value| if let Value::Table(table) = value { Some(table) } else { None });
        let count = params.list("checks").len();
        let mut taken = BTreeSet::new();
        tables
            .filter_map(|table| {
                let what = looks_at(table).next()?.0;
                let plain = named(table, what);
                let name = (1..=count)
                    .map(|n| if n == 1 { plain.clone() } else { format!("{plain} #{n}") })
                    .find(|name| taken.insert(name.clone()))?;
                let timeout = table.duration("timeout").and_then(|timeout| timeout.try_into().ok());
                Some(Self { name: name.into(), what, timeout, params: table.clone() })
            })
            .collect()
    }
}

fn looks_at(table: &Params) -> impl Iterator<Item = &'static (&'static str, &'static [&'static str], &'static [&'static str])> {
    LOOKS.iter().filter(|(what, ..)| table.get(what).is_some())
}

/// What a check is called that has no name: `queue upload`, `url https://a.example/health`.
fn named(table: &Params, what: &str) -> String {
    if let Some(name) = table.text("name") {
        return name.to_owned();
    }
    let of = match (what, table.get(what)) {
        ("url", Some(url)) => expect::mask(
            &crate::outbound::shown(url.exposed().map_or("", |(url, _)| url)),
            &table.secrets().into_iter().cloned().collect::<Vec<_>>(),
        ),
        (_, Some(Value::Text(text))) => text.to_string(),
        (_, Some(Value::List(words))) => words.iter().filter_map(|word| Some(word.exposed()?.0.to_owned())).collect::<Vec<_>>().join(" "),
        (_, Some(_) | None) => String::new(),
    };
    let account = table.text("account").map_or_else(String::new, |account| format!(" of {account}"));
    format!("{what} {of}{account}").trim_end().to_owned()
}

/// What is wrong with the checks.
fn complaints(value: &Value) -> Vec<Complaint> {
    let Value::List(checks) = value else { return Vec::new() };
    if checks.is_empty() {
        return vec![Complaint {
            at: String::new(),
            message: "there is no check".to_owned(),
            hint: "write `- { store: true }`".to_owned(),
        }];
    }
    let tables =
        checks.iter().enumerate().filter_map(|(index, check)| if let Value::Table(table) = check { Some((index, table)) } else { None });
    tables.filter_map(|(index, table)| complaint(index, table)).collect()
}

fn complaint(index: usize, table: &Params) -> Option<Complaint> {
    let say = |at: String, message: String, hint: String| Some(Complaint { at, message, hint });
    let all = || LOOKS.iter().map(|(what, ..)| *what).collect::<Vec<_>>().join(", ");
    let mut looks = looks_at(table);
    let Some((what, may, must)) = looks.next() else {
        return say(index.to_string(), "this check looks at nothing".to_owned(), format!("give it one of {}", all()));
    };
    if let Some((other, ..)) = looks.next() {
        return say(format!("{index}.{other}"), format!("this check looks at `{what}` already"), "make two checks of it".to_owned());
    }
    let fits = |key: &str| key == *what || key == "name" || key == "timeout" || may.contains(&key);
    if let Some(key) = table.0.keys().find(|key| !fits(key)) {
        return say(format!("{index}.{key}"), format!("`{key}` has no meaning for a check of `{what}`"), "leave it out".to_owned());
    }
    if let Some(missing) = must.iter().find(|key| table.get(key).is_none()) {
        return say(format!("{index}.{what}"), format!("a check of `{what}` needs `{missing}`"), format!("add `{missing}` beside it"));
    }
    match *what {
        "queue" if table.text("queue").and_then(Work::from_word).is_none() => {
            let known = Work::ALL.iter().map(|work| work.word()).collect::<Vec<_>>().join(", ");
            say(format!("{index}.queue"), "there is no such work".to_owned(), format!("write one of {known}"))
        }
        "queue" if ["max_due", "max_age", "max_dead"].iter().all(|key| table.get(key).is_none()) => {
            say(format!("{index}.queue"), "this check allows everything".to_owned(), "add `max_due`, `max_age` or `max_dead`".to_owned())
        }
        "store" if table.bool("store") == Some(false) => say(
            format!("{index}.store"),
            "this check looks at nothing".to_owned(),
            "write `store: true`, or leave the check out".to_owned(),
        ),
        _ => None,
    }
}
