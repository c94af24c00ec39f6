//! The checked parameters of a handler: plain values with their types, nothing of YAML left.
use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use jiff::SignedDuration;

/// No wait is longer: an instant plus a duration must stay an instant, and a longer one is a slip of the unit.
pub const DURATION_MAX: SignedDuration = SignedDuration::from_hours(366 * 24);

/// What is wrong with a text that should have been a schedule, a window, a date range: where in it, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Misread {
    /// Bytes of the text that was read.
    pub at: Range<usize>,
    /// Lower case, no full stop, names the offending part: "`25` is not an hour (0 to 23)".
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// A password, key or token: it never prints itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends or keeps it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Nothing stands behind it: `${NAME}` was not set where that was allowed.
    pub fn is_unset(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the secret out of a text that came from outside.
    pub fn scrub(&self, text: &str) -> String {
        if self.is_unset() { text.to_owned() } else { text.replace(&*self.0, "***") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A text that holds secrets, such as `Bearer ${TOKEN}`: it never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Veiled {
    text: Arc<str>,
    secrets: Vec<Secret>,
}

impl Veiled {
    /// A text, and the secrets within it.
    pub fn new(text: impl Into<Arc<str>>, secrets: Vec<Secret>) -> Self {
        Self { text: text.into(), secrets }
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The secrets within it.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }
}

impl fmt::Debug for Veiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Int(i64),
    /// An exact decimal as millionths: `1.30` is 1,300,000. Markups and percentages (`5%` is 50,000).
    Decimal(i64),
    /// Text; also words and paths.
    Text(Arc<str>),
    /// Text with secrets in it.
    Veiled(Veiled),
    Duration(SignedDuration),
    /// Bytes.
    Size(u64),
    List(Vec<Value>),
    Table(Params),
}

impl Value {
    /// A text that may hold secrets, and these; `None`: it is no text.
    pub fn exposed(&self) -> Option<(&str, &[Secret])> {
        match self {
            Self::Text(text) => Some((text, &[])),
            Self::Veiled(veiled) => Some((veiled.expose(), veiled.secrets())),
            Self::Bool(_) | Self::Int(_) | Self::Decimal(_) | Self::Duration(_) | Self::Size(_) | Self::List(_) | Self::Table(_) => None,
        }
    }

    fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Veiled(veiled) => veiled.secrets().iter().collect(),
            Self::List(values) => values.iter().flat_map(Self::secrets).collect(),
            Self::Table(params) => params.secrets(),
            Self::Bool(_) | Self::Int(_) | Self::Decimal(_) | Self::Text(_) | Self::Duration(_) | Self::Size(_) => Vec::new(),
        }
    }
}

/// Millionths as a decimal: 1,300,000 is `1.3`.
pub fn decimal_text(millionths: i64) -> String {
    const ONE: u64 = 1_000_000;
    let sign = if millionths < 0 { "-" } else { "" };
    let magnitude = millionths.unsigned_abs();
    let part = format!("{:06}", magnitude % ONE);
    let part = part.trim_end_matches('0');
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{part}", magnitude / ONE)
}

/// Parameters by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(pub BTreeMap<Arc<str>, Value>);

impl Params {
    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// A boolean, if the key is there and is one.
    pub fn bool(&self, key: &str) -> Option<bool> {
        if let Value::Bool(value) = self.get(key)? { Some(*value) } else { None }
    }

    /// A whole number, if the key is there and is one.
    pub fn int(&self, key: &str) -> Option<i64> {
        if let Value::Int(value) = self.get(key)? { Some(*value) } else { None }
    }

    /// A decimal in millionths, if the key is there and is one.
    pub fn decimal(&self, key: &str) -> Option<i64> {
        if let Value::Decimal(value) = self.get(key)? { Some(*value) } else { None }
    }

    /// A text, if the key is there and is one.
    pub fn text(&self, key: &str) -> Option<&str> {
        if let Value::Text(value) = self.get(key)? { Some(value) } else { None }
    }

    /// A text that may hold secrets, and these, if the key is there and is a text.
    pub fn exposed(&self, key: &str) -> Option<(&str, &[Secret])> {
        self.get(key)?.exposed()
    }

    /// Every secret within these parameters, at any depth.
    pub fn secrets(&self) -> Vec<&Secret> {
        self.0.values().flat_map(Value::secrets).collect()
    }

    /// A duration, if the key is there and is one.
    pub fn duration(&self, key: &str) -> Option<SignedDuration> {
        if let Value::Duration(value) = self.get(key)? { Some(*value) } else { None }
    }

    /// A size in bytes, if the key is there and is one.
    pub fn size(&self, key: &str) -> Option<u64> {
        if let Value::Size(value) = self.get(key)? { Some(*value) } else { None }
    }

    /// The elements of a list; none where the key is absent or is no list.
    pub fn list(&self, key: &str) -> &[Value] {
        if let Some(Value::List(values)) = self.get(key) { values } else { &[] }
    }

    /// A table of parameters, if the key is there and is one.
    pub fn table(&self, key: &str) -> Option<&Params> {
        if let Value::Table(table) = self.get(key)? { Some(table) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millionths_read_as_decimals() {
        for (millionths, expected) in [(1_300_000, "1.3"), (-500_000, "-0.5"), (2_000_000, "2"), (1, "0.000001"), (0, "0")] {
            assert_eq!(decimal_text(millionths), expected);
        }
    }
}
