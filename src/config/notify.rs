//! `notify`: who is told, by which channels, of what.
use std::{collections::BTreeMap, path::Path, sync::Arc};

use jiff::{SignedDuration, civil::Time};

use super::{
    Secret,
    fault::{Fault, quote},
    keys::{Key, Kind, key, required},
    read::{Reader, Reading, Table},
    remote,
    tree::{self, Data, Entry, Node},
};
use crate::core::{
    notice::{Event, Level},
    task::words,
    value::{Params, Value},
};

pub const NOTIFY: &[Key] = &[
    key("chatwork", Kind::Apart(&Kind::Tables(&[CHATWORK, CHANNEL])), "A room of Chatwork."),
    key(
        "webhook",
        Kind::Apart(&Kind::Tables(&[WEBHOOK, CHANNEL])),
        "An address that takes messages over HTTP, such as Slack's or Discord's.",
    ),
    key("webhooks", Kind::Apart(&Kind::Named(&Kind::Tables(&[WEBHOOK, CHANNEL]))), "Several of them, by name."),
    key("email", Kind::Apart(&Kind::Tables(&[EMAIL, CHANNEL])), "Messages by e-mail."),
    key("on", Kind::List(&Kind::Word(EVENTS)), "The events that are told. All of them where it is not given."),
    key("min_level", Kind::Word(LEVELS), "What matters less is not told. `info`, which is everything, where it is not given."),
    key("language", Kind::Word(&["en", "ja"]), "The language of the messages. `en` where it is not given."),
    key(
        "repeat_after",
        Kind::Duration(false),
        "What goes on happening is told again after this long, with a count. 6h where it is not given.",
    ),
    key("daily_report", Kind::Text, "When the report of the day before is sent: `09:00`. None where it is not given."),
];

/// What every channel may say for itself.
pub const CHANNEL: &[Key] = &[
    key("enabled", Kind::Bool, "Whether it is used. `true` where it is not given; of one that is not, secrets need not be there."),
    key("on", Kind::List(&Kind::Word(EVENTS)), "The events that are told here. Those of `notify` where it is not given."),
    key("min_level", Kind::Word(LEVELS), "What matters less is not told here. That of `notify` where it is not given."),
    key(
        "per_day",
        Kind::Int(1, 100_000),
        "How many messages it gets on a day in Japan at most; what is beyond waits, folded. 100 where it is not given.",
    ),
];

pub const CHATWORK: &[Key] = &[
    required("room_id", Kind::Text, "The room: the digits after `#!rid` in its address."),
    required("token", Kind::Secret, "The API token of the account that writes."),
    key("endpoint", Kind::Url, "Where the API is. Chatwork's host where it is not given."),
];

pub const WEBHOOK: &[Key] = &[
    required("url", Kind::Secret, "Where messages are posted; whoever knows it can post there, so it is a secret."),
    key("preset", Kind::Word(&["generic", "slack", "discord"]), "How a message looks. `generic`, a JSON object, where it is not given."),
    key("template", Kind::Text, "JSON of your own, with {{title}}, {{text}}, {{level}}, {{event}} and {{subject}} inside its texts."),
    key("headers", Kind::Map(&Kind::Text), "Headers that go along, such as `Authorization`."),
];

pub const EMAIL: &[Key] = &[
    required("smtp", Kind::Text, "The mail server: a host, or `host:port`."),
    key("tls", Kind::Word(&["starttls", "implicit", "none"]), "How the connection is kept secret. `starttls` where it is not given."),
    key("username", Kind::Text, "Who logs in there. Nobody does where it is not given."),
    key("password", Kind::Secret, "The password for it."),
    required("from", Kind::Text, "The address that messages come from."),
    required("to", Kind::List(&Kind::Text), "The addresses that they go to."),
];

const LEVELS: &[&str] = &["info", "warning", "alert"];
const EVENTS: &[&str] = &[
    "failed",
    "recovered",
    "lost",
    "starving",
    "stuck",
    "frozen",
    "late",
    "overdue",
    "parked",
    "data_stale",
    "brake",
    "token_ending",
    "quota_exhausted",
    "credentials",
    "needs_eye",
    "health",
    "drift",
    "reload_failed",
    "store_trouble",
    "channel_failed",
    "daily_report",
];

const CHATWORK_ENDPOINT: &str = "https://api.chatwork.com";
const REPEAT_AFTER: SignedDuration = SignedDuration::from_hours(6);
/// Chatwork's free plan lets an organisation write so many messages a day.
const PER_DAY: i64 = 100;
/// What may stand in a template.
pub const PLACEHOLDERS: [&str; 5] = ["title", "text", "level", "event", "subject"];

words! {
    /// The language of messages.
    Language { En = "en", Ja = "ja" }
}

words! {
    /// What a webhook's messages look like.
    Preset { Generic = "generic", Slack = "slack", Discord = "discord" }
}

words! {
    /// How the connection to a mail server is kept secret.
    Tls { Starttls = "starttls", Implicit = "implicit", None = "none" }
}

impl Tls {
    /// The port that such mail servers listen at.
    pub fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

/// Who is told, by which channels, of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// By name, those that are not enabled included.
    pub channels: Vec<Channel>,
    pub language: Language,
    /// What goes on happening is told again after this long.
    pub repeat_after: SignedDuration,
    /// When the report of the day before is sent, in the file's zone.
    pub daily_report: Option<Time>,
}

impl Default for Notify {
    fn default() -> Self {
        Self { channels: Vec::new(), language: Language::En, repeat_after: REPEAT_AFTER, daily_report: None }
    }
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// `chatwork`, `webhook`, `email`, or the name of one of `webhooks`.
    pub name: Arc<str>,
    pub enabled: bool,
    pub events: Arc<[Event]>,
    pub min_level: Level,
    /// Messages on a day in Japan.
    pub per_day: i64,
    pub via: Via,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    Chatwork {
        room_id: String,
        token: Secret,
        /// Without a slash at its end.
        endpoint: String,
    },
    Webhook {
        url: Secret,
        preset: Preset,
        template: Option<String>,
        /// Their values may be secrets.
        headers: BTreeMap<String, Secret>,
    },
    Email {
        host: String,
        /// What the kind of connection uses where it is not given.
        port: Option<u16>,
        tls: Tls,
        login: Option<(String, Secret)>,
        from: String,
        to: Vec<String>,
    },
}

impl Via {
    /// What must not appear in a log.
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Chatwork { token, .. } => vec![token],
            Self::Webhook { url, headers, .. } => std::iter::once(url).chain(headers.values()).collect(),
            Self::Email { login, .. } => login.iter().map(|(_, password)| password).collect(),
        }
    }
}

pub(super) fn notify(reader: &mut Reader<'_>, entry: &Entry, base_dir: &Path) -> Notify {
    let Some(table) = reader.table(&entry.value, &entry.key.span, &[NOTIFY]) else { return Notify::default() };
    let plain = reader.plain(table, &[NOTIFY]);
    let common =
        Common { events: events(&plain).unwrap_or_else(|| Event::ALL.into()), min_level: level(&plain).unwrap_or(Level::Info), base_dir };
    let mut channels = Vec::new();
    for (name, read) in [("chatwork", chatwork as Read), ("webhook", webhook), ("email", email)] {
        channels.extend(table.entry(name).and_then(|entry| channel(reader, entry, name, read, &common)));
    }
    if let Some(entry) = table.entry("webhooks") {
        for entry in reader.named(&entry.value, &entry.key.span) {
            let name = &*entry.key.text;
            if ["chatwork", "webhook", "email"].contains(&name) {
                reader.fault(&entry.key.span, format!("a channel is called `{name}` by itself"), "give this one another name");
            }
            channels.extend(channel(reader, entry, name, webhook, &common));
        }
    }
    let daily_report = table.entry("daily_report").and_then(|entry| time(reader, entry));
    Notify {
        channels,
        language: plain.text("language").and_then(Language::from_word).unwrap_or(Language::En),
        repeat_after: plain.duration("repeat_after").unwrap_or(REPEAT_AFTER),
        daily_report,
    }
}

/// What channels have from `notify` itself.
struct Common<'a> {
    events: Arc<[Event]>,
    min_level: Level,
    base_dir: &'a Path,
}

type Read = fn(&mut Reader<'_>, Table<'_>, &Params, &Path) -> Option<Via>;

/// Reads a channel. One that is not enabled need not have its secrets.
fn channel(reader: &mut Reader<'_>, entry: &Entry, name: &str, read: Read, common: &Common<'_>) -> Option<Channel> {
    let keys = match name {
        "chatwork" => CHATWORK,
        "email" => EMAIL,
        _ => WEBHOOK,
    };
    let table = reader.table(&entry.value, &entry.key.span, &[keys, CHANNEL])?;
    let own = reader.plain(table, &[CHANNEL]);
    let enabled = own.bool("enabled").unwrap_or(true);
    reader.forgiving = !enabled;
    let plain = reader.plain(table, &[keys]);
    let via = read(reader, table, &plain, common.base_dir);
    reader.forgiving = false;
    Some(Channel {
        name: name.into(),
        enabled,
        events: events(&own).unwrap_or_else(|| Arc::clone(&common.events)),
        min_level: level(&own).unwrap_or(common.min_level),
        per_day: own.int("per_day").unwrap_or(PER_DAY),
        via: via?,
    })
}

fn chatwork(reader: &mut Reader<'_>, table: Table<'_>, plain: &Params, base_dir: &Path) -> Option<Via> {
    let room_id = remote::line(reader, table, "room_id");
    if let (Some(room), Some(entry)) = (&room_id, table.entry("room_id"))
        && !room.chars().all(|c| c.is_ascii_digit())
    {
        reader.fault(
            &entry.value.span,
            format!("{} is not the number of a room", quote(room)),
            "write the digits after `#!rid` in the room's address",
        );
    }
    let token = remote::secret(reader, table, "token", base_dir);
    Some(Via::Chatwork { room_id: room_id?, token: token?, endpoint: plain.text("endpoint").unwrap_or(CHATWORK_ENDPOINT).to_owned() })
}

fn webhook(reader: &mut Reader<'_>, table: Table<'_>, plain: &Params, base_dir: &Path) -> Option<Via> {
    let url = remote::secret(reader, table, "url", base_dir);
    let is_url = |url: &Secret| url.expose().starts_with("https://") || remote::is_plain_and_here(url.expose());
    if let (Some(url), Some(entry)) = (&url, table.entry("url"))
        && !(is_url(url) || reader.lenient() && url.expose().is_empty())
    {
        let hint = "it begins with `https://`; plain `http://` is for this machine only";
        reader.faults.push(Fault::new(entry.value.span.clone(), "this does not hold the URL of a webhook").hint(hint).hidden());
    }
    let preset = plain.text("preset").and_then(Preset::from_word).unwrap_or(Preset::Generic);
    let template = table.entry("template").and_then(|entry| template(reader, &entry.value, &entry.key.span));
    if let Some(entry) = table.entry("template").filter(|_| preset != Preset::Generic) {
        reader.fault(&entry.key.span, format!("`{preset}` has a form of its own"), "remove `preset` or `template`");
    }
    let headers = table.entry("headers").map(|entry| headers(reader, entry)).unwrap_or_default();
    Some(Via::Webhook { url: url?, preset, template, headers })
}

/// Reads a template: JSON once its places are filled.
fn template(reader: &mut Reader<'_>, node: &Node, at: &std::ops::Range<usize>) -> Option<String> {
    let text = reader.text(node, at, "a template")?;
    let mut filled = String::new();
    for (number, piece) in text.text.split("{{").enumerate() {
        let (place, rest) =
            if number == 0 { (None, piece) } else { piece.split_once("}}").map_or((Some(piece), ""), |(place, rest)| (Some(place), rest)) };
        if let Some(place) = place.filter(|place| !PLACEHOLDERS.contains(&place.trim())) {
            reader.fault(&text.span, format!("there is no {} to fill in", quote(place)), format!("there is {}", PLACEHOLDERS.join(", ")));
            return None;
        }
        filled.push_str(rest);
    }
    // JSON is YAML, which we can read; that it is no other YAML is seen at its first letter.
    let is_object = |tree: tree::Tree| matches!(tree.root.data, Data::Map(_));
    let is_json = filled.trim_start().starts_with('{') && tree::parse(&filled, &mut Vec::new()).is_ok_and(is_object);
    if !is_json {
        reader.fault(&text.span, "this template is not a JSON object", "write it like `{\"text\": \"{{title}}: {{text}}\"}`");
    }
    is_json.then_some(text.text)
}

fn headers(reader: &mut Reader<'_>, entry: &Entry) -> BTreeMap<String, Secret> {
    let Some(table) = reader.open_table(&entry.value, &entry.key.span) else { return BTreeMap::new() };
    let mut headers = BTreeMap::new();
    for entry in table.entries() {
        let name = &entry.key.text;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            reader.fault(&entry.key.span, format!("{} is not the name of a header", quote(name)), "write it like `Authorization`");
        }
        if let Some(text) = remote::line(reader, table, name) {
            headers.insert(name.to_string(), Secret::new(text));
        }
    }
    headers
}

fn email(reader: &mut Reader<'_>, table: Table<'_>, plain: &Params, base_dir: &Path) -> Option<Via> {
    let tls = plain.text("tls").and_then(Tls::from_word).unwrap_or(Tls::Starttls);
    let server = table.entry("smtp").and_then(|entry| server(reader, &entry.value, &entry.key.span));
    let username = remote::line_if_given(reader, table, "username");
    let password = remote::secret(reader, table, "password", base_dir).filter(|password| !password.expose().is_empty());
    if username.is_some() != password.is_some() && reader.faults.is_empty() {
        let (there, missing) = if username.is_some() { ("username", "password") } else { ("password", "username") };
        reader.fault(&table.place(there), format!("`{there}` is of no use without `{missing}`"), format!("add `{missing}`"));
    }
    if let (Some((host, _)), Tls::None, Some(_)) = (&server, tls, &password)
        && !remote::is_here(host)
    {
        reader.fault(
            &table.place("tls"),
            format!("the password would go to {} in the clear", quote(host)),
            "write `tls: starttls` or `tls: implicit`",
        );
    }
    let from = table.entry("from").and_then(|entry| address(reader, &entry.value, &entry.key.span));
    let mut to = Vec::new();
    if let Some(entry) = table.entry("to") {
        for node in reader.elements(&entry.value, &entry.key.span, "a list of addresses") {
            to.extend(address(reader, node, &entry.key.span));
        }
        if matches!(&entry.value.data, Data::List(items) if items.is_empty()) {
            reader.fault(&entry.value.span, "there is nobody to write to", "write at least one address, or `enabled: false`");
        }
    }
    let (host, port) = server?;
    Some(Via::Email { host, port, tls, login: username.zip(password), from: from?, to })
}

/// A host, and a port where there is one.
fn server(reader: &mut Reader<'_>, node: &Node, at: &std::ops::Range<usize>) -> Option<(String, Option<u16>)> {
    let text = reader.whole(node, at, "a mail server")?;
    let (host, port) = text.text.rsplit_once(':').map_or((text.text.as_str(), None), |(host, port)| (host, Some(port)));
    let number = port.map(str::parse::<u16>);
    let is_host = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    match number {
        None if is_host => Some((host.to_owned(), None)),
        Some(Ok(port)) if is_host => Some((host.to_owned(), Some(port))),
        _ => {
            reader.fault(&text.span, format!("{} is not a mail server", quote(&text.text)), "write it like `smtp.example.com:587`");
            None
        }
    }
}

/// An address, with a name before it or without.
fn address(reader: &mut Reader<'_>, node: &Node, at: &std::ops::Range<usize>) -> Option<String> {
    let text = reader.whole(node, at, "an e-mail address")?;
    let bare = text.text.split_once('<').map_or(text.text.as_str(), |(_, rest)| rest.trim_end().trim_end_matches('>'));
    let is_address = bare.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && !host.is_empty()
            && !host.contains('@')
            && !bare.chars().any(|c| c.is_whitespace() || matches!(c, '<' | '>' | ','))
    });
    let good = is_address && !text.text.chars().any(char::is_control);
    if !good {
        reader.fault(&text.span, format!("{} is not an e-mail address", quote(&text.text)), "write it like `shop@example.com`");
    }
    good.then_some(text.text)
}

fn time(reader: &mut Reader<'_>, entry: &Entry) -> Option<Time> {
    let text: Reading = reader.whole(&entry.value, &entry.key.span, "a time of day")?;
    let time = Time::strptime("%H:%M", &text.text);
    if time.is_err() {
        reader.fault(&text.span, format!("{} is not a time of day", quote(&text.text)), "write it like `09:00`, in quotes");
    }
    time.ok()
}

fn events(plain: &Params) -> Option<Arc<[Event]>> {
    plain.get("on")?;
    Some(plain.list("on").iter().filter_map(|value| if let Value::Text(word) = value { Event::from_word(word) } else { None }).collect())
}

fn level(plain: &Params) -> Option<Level> {
    plain.text("min_level").and_then(Level::from_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_have_the_core_s_words() {
        assert_eq!(EVENTS, Event::ALL.iter().map(|event| event.word()).collect::<Vec<_>>());
        assert_eq!(LEVELS, Level::ALL.iter().map(|level| level.word()).collect::<Vec<_>>());
    }

    #[test]
    fn every_key_is_explained_in_a_sentence() {
        for key in [NOTIFY, CHANNEL, CHATWORK, WEBHOOK, EMAIL].into_iter().flatten() {
            assert!(key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
        }
    }
}
