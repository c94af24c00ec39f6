//! One event as a line: text for people, JSON for programs. Whatever it says, it stays one line and moves no cursor.
use std::{borrow::Cow, error::Error, fmt, fmt::Write};

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{
    Level, Metadata,
    field::{Field, Visit},
    level_filters::LevelFilter,
};

use super::{DAEMON, Format, LogSettings};
use crate::core::task::Now;

/// A longer message or field is cut.
const TEXT_MAX: usize = 256 << 10;

/// Whose an event is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Origin {
    pub(super) instance: Option<String>,
    run: Option<Value>,
    attempt: Option<Value>,
}

impl Origin {
    /// Takes from an outer span what is not known yet.
    pub(super) fn fill_from(&mut self, outer: &Self) {
        // A run belongs to its instance: an event of another instance does not inherit it.
        if self.instance.is_some() && self.instance != outer.instance {
            return;
        }
        self.instance = self.instance.take().or_else(|| outer.instance.clone());
        self.run = self.run.take().or_else(|| outer.run.clone());
        self.attempt = self.attempt.take().or_else(|| outer.attempt.clone());
    }
}

/// What an event or a span says.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) origin: Origin,
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = plain(&value).into_owned(),
            "instance" => self.origin.instance = Some(plain(&value).into_owned()),
            "run" => self.origin.run = Some(number(value)),
            "attempt" => self.origin.attempt = Some(number(value)),
            name => {
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.put(field, text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// A value without the quotes that JSON puts around text.
fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

/// A number that was given as text, as `%run` does, is a number all the same.
fn number(value: Value) -> Value {
    match plain(&value).parse::<i64>() {
        Ok(number) => number.into(),
        Err(_) => value,
    }
}

/// An event as JSON; its keys are a promise to whoever reads the log.
#[derive(Serialize)]
struct JsonLine<'a> {
    ts: String,
    level: String,
    target: &'a str,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<&'a Value>,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

/// An event that is to become a line.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    now: Now,
    level: Level,
    target: &'a str,
    pub(super) origin: Origin,
    message: String,
    fields: Map<String, Value>,
}

impl<'a> Entry<'a> {
    pub(super) fn of(metadata: &'a Metadata<'a>, fields: Fields, now: Now) -> Self {
        Self {
            now,
            level: *metadata.level(),
            target: metadata.target(),
            origin: fields.origin,
            message: fields.message,
            fields: fields.others,
        }
    }

    /// What a file says when it can be written again.
    pub(super) fn lost(lines: u64, now: Now) -> Self {
        let message = if lines == 1 { "1 log line was lost".to_owned() } else { format!("{lines} log lines were lost") };
        Self { level: Level::WARN, ..Self::complaint(message, now) }
    }

    /// What the log says of itself.
    pub(super) fn complaint(message: String, now: Now) -> Self {
        Self { now, level: Level::ERROR, target: "taskrun::log", origin: Origin::default(), message, fields: Map::new() }
    }

    /// The line, with its line feed.
    pub(super) fn render(&self, settings: &LogSettings, format: Format, color: bool) -> String {
        match format {
            Format::Text => self.text(settings, color),
            Format::Json => self.json(settings),
        }
    }

    fn text(&self, settings: &LogSettings, color: bool) -> String {
        let paint = |style: &'static str| if color { (style, "\x1b[0m") } else { ("", "") };
        let (dim, dim_off) = paint("\x1b[2m");
        let (strong, strong_off) = paint("\x1b[1m");
        let (tone, tone_off) = paint(tone(self.level));
        let time = self.now.wall.to_zoned(settings.zone.clone()).strftime("%Y-%m-%d %H:%M:%S");
        let name = self.origin.instance.as_deref().unwrap_or(DAEMON);
        let run = self.origin.run.as_ref().map(|run| format!("#{}", plain(run))).unwrap_or_default();
        let pid = if settings.level >= LevelFilter::DEBUG { format!("[{}] ", std::process::id()) } else { String::new() };
        let mut line = format!(
            "{dim}{time}{dim_off} [{tone}{}{tone_off}] {pid}{strong}{}{strong_off}{dim}{}{dim_off}: ",
            self.level,
            printable(name),
            printable(&run)
        );
        line.push_str(&printable(&settings.secrets.mask(cut(&self.message))));
        for (name, value) in &self.fields {
            let value = plain(value);
            let value = settings.secrets.mask(cut(&value));
            let written = write!(line, " {dim}{name}={dim_off}{}", printable(&value));
            debug_assert!(written.is_ok(), "a String takes everything");
        }
        line.push('\n');
        line
    }

    fn json(&self, settings: &LogSettings) -> String {
        let masked = |value: &Value| match value {
            Value::String(text) => Value::String(settings.secrets.mask(cut(text)).into_owned()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.clone(),
        };
        let fields: Map<String, Value> = self.fields.iter().map(|(name, value)| (name.clone(), masked(value))).collect();
        let line = JsonLine {
            ts: self.now.wall.to_zoned(settings.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            level: self.level.as_str().to_ascii_lowercase(),
            target: self.target,
            pid: std::process::id(),
            instance: self.origin.instance.as_deref(),
            run: self.origin.run.as_ref(),
            attempt: self.origin.attempt.as_ref(),
            message: settings.secrets.mask(cut(&self.message)),
            fields,
        };
        let line = serde_json::to_string(&line).unwrap_or_default();
        // Within JSON, control characters stand in strings only, and there an escape means the same.
        let mut text = escaped(&line, |c, text| write!(text, "\\u{:04x}", u32::from(c))).into_owned();
        text.push('\n');
        text
    }
}

fn tone(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

/// The text without anything that could end the line or move the cursor.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c, text| write!(text, "{}", c.escape_default()))
}

fn escaped(text: &str, escape: impl Fn(char, &mut String) -> fmt::Result) -> Cow<'_, str> {
    // Also what ends a line for some readers, and what makes text read in the other direction than it is written.
    let harmful = |c: char| (c.is_control() && c != '\t') || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if harmful(c) {
            let written = escape(c, &mut clean);
            debug_assert!(written.is_ok(), "a String takes everything");
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// The beginning of a text that is too long for a line.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or(text)
}
