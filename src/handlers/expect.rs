//! What an answer of somebody's server has to be: its status, a text in it, values of its JSON.
use std::ops::RangeInclusive;

use serde_json::Value as Json;

use crate::{
    config::keys::{Complaint, Key, Kind},
    core::value::{Params, Secret, Value},
    outbound::Reply,
};

/// The keys of `expect`.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "status",
        kind: Kind::List(&Kind::Text),
        required: false,
        doc: "The statuses that are right, one by one or as `200-299`, which is the default.",
    },
    Key { name: "body_contains", kind: Kind::Text, required: false, doc: "A text that has to stand in the body." },
    Key {
        name: "json",
        kind: Kind::Map(&Kind::Text),
        required: false,
        doc: "What has to stand where in the body's JSON, as in `data.items.0.state: open`.",
    },
];

/// `expect`, checked when the file is loaded.
pub(super) const KIND: Kind = Kind::Checked(&Kind::Table(KEYS), complaints);

const OF_THE_BODY_MAX: usize = 200;
/// Masking shorter values would only make texts unreadable.
const SECRET_MIN: usize = 4;

/// What has to be.
#[derive(Clone, Debug)]
pub(super) struct Expect {
    statuses: Vec<RangeInclusive<u16>>,
    contains: Option<String>,
    json: Vec<(String, String)>,
}

/// What was found instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unexpected {
    Status(String),
    Body(String),
}

impl Expect {
    /// Reads `expect` from parameters that were checked.
    pub(super) fn read(params: &Params) -> Self {
        let none = Params::default();
        let expect = params.table("expect").unwrap_or(&none);
        let mut statuses: Vec<_> = texts(expect.list("status")).filter_map(statuses).collect();
        if statuses.is_empty() {
            statuses.push(200..=299);
        }
        let json = expect.table("json").into_iter().flat_map(|json| &json.0);
        let json = json.filter_map(|(path, value)| Some((path.to_string(), value.exposed()?.0.to_owned())));
        Self { statuses, contains: expect.text("body_contains").map(ToOwned::to_owned), json: json.collect() }
    }

    /// Holds an answer against it.
    pub(super) fn judge(&self, reply: &Reply) -> Result<(), Unexpected> {
        if !self.statuses.iter().any(|statuses| statuses.contains(&reply.status)) {
            let list = self.statuses.iter().map(shown).collect::<Vec<_>>().join(", ");
            return Err(Unexpected::Status(format!("the answer was {}, not {list}", reply.status)));
        }
        if let Some(text) = self.contains.as_ref().filter(|text| !String::from_utf8_lossy(&reply.body).contains(text.as_str())) {
            return Err(Unexpected::Body(format!("{text:?} does not stand in the answer ({})", reply.status)));
        }
        if self.json.is_empty() {
            return Ok(());
        }
        let body: Json =
            serde_json::from_slice(&reply.body).map_err(|_| Unexpected::Body(format!("the answer ({}) is no JSON", reply.status)))?;
        for (path, expected) in &self.json {
            let found = at(&body, path).map(text_of);
            if found.as_deref() != Some(expected) {
                let found = found.map_or_else(|| "nothing".to_owned(), |found| format!("{:?}", short(&found)));
                return Err(Unexpected::Body(format!("`{path}` of the answer is {found}, not {expected:?}")));
            }
        }
        Ok(())
    }
}

/// The beginning of a body for people: one line, whatever its bytes, without the secrets that it may repeat.
pub(super) fn beginning(body: &[u8], secrets: &[Secret]) -> String {
    short(&mask(&String::from_utf8_lossy(body), secrets))
}

/// Takes secrets out of a text that came from outside.
pub(super) fn mask(text: &str, secrets: &[Secret]) -> String {
    let mut secrets: Vec<_> = secrets.iter().filter(|secret| SECRET_MIN <= secret.expose().len()).collect();
    // The longest first: one secret may begin with another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    secrets.iter().fold(text.to_owned(), |text, secret| secret.scrub(&text))
}

fn short(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(OF_THE_BODY_MAX).collect();
    line.trim().to_owned()
}

/// A value within a document, by keys and, in lists, places counted from 0.
fn at<'j>(body: &'j Json, path: &str) -> Option<&'j Json> {
    path.split('.').filter(|name| !name.is_empty()).try_fold(body, |value, name| match value {
        Json::Object(map) => map.get(name),
        Json::Array(items) => items.get(name.parse::<usize>().ok()?),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
    })
}

fn text_of(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn texts(values: &[Value]) -> impl Iterator<Item = &str> {
    values.iter().filter_map(|value| value.exposed()).map(|(text, _)| text)
}

fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let one = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(one(first)?..=one(last)?).filter(|range| !range.is_empty())
}

fn shown(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() { range.start().to_string() } else { format!("{}-{}", range.start(), range.end()) }
}

/// What is wrong with an `expect`.
pub(super) fn complaints(value: &Value) -> Vec<Complaint> {
    let Value::Table(expect) = value else { return Vec::new() };
    let wrong = texts(expect.list("status")).enumerate().filter(|(_, text)| statuses(text).is_none());
    wrong
        .map(|(index, text)| Complaint {
            at: format!("status.{index}"),
            message: format!("`{text}` is no status"),
            hint: "write `204` or `200-299`".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &[u8]) -> Reply {
        Reply { status, retry_after: None, body: body.to_vec() }
    }

    fn expect(statuses: &[RangeInclusive<u16>], contains: Option<&str>, json: &[(&str, &str)]) -> Expect {
        let json = json.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        Expect { statuses: statuses.to_vec(), contains: contains.map(ToOwned::to_owned), json }
    }

    #[test]
    fn an_answer_is_held_against_what_is_expected() {
        let body = br#"{"data": {"items": [{"state": "open", "n": 3}], "ok": true, "none": null}}"#;
        let good = [("data.items.0.state", "open"), ("data.items.0.n", "3"), ("data.ok", "true"), ("data.none", "null")];
        assert_eq!(expect(&[200..=299], Some("open"), &good).judge(&reply(201, body)), Ok(()));
        for (path, value) in
            [("data.items.1.state", "open"), ("data.items.0.state", "shut"), ("data.items.x", "1"), ("data.ok.x", "true"), ("nope", "")]
        {
            assert!(matches!(expect(&[200..=200], None, &[(path, value)]).judge(&reply(200, body)), Err(Unexpected::Body(_))), "{path}");
        }
        assert!(matches!(expect(&[200..=299], None, &[]).judge(&reply(302, body)), Err(Unexpected::Status(_))));
        assert!(matches!(expect(&[200..=299], None, &[("a", "b")]).judge(&reply(200, b"\xff\xfe")), Err(Unexpected::Body(_))));
    }

    #[test]
    fn the_beginning_of_a_body_is_one_line_without_secrets() {
        let secrets = [Secret::new("canary"), Secret::new("canary-long"), Secret::new("abc")];
        assert_eq!(beginning(b"got canary-long\r\n\x1b[31m canary abc \xff", &secrets), "got ***   [31m *** abc \u{fffd}");
        assert_eq!(beginning("あ".repeat(500).as_bytes(), &[]).chars().count(), OF_THE_BODY_MAX);
    }

    #[test]
    fn statuses_are_numbers_and_ranges() {
        assert_eq!(statuses("204"), Some(204..=204));
        assert_eq!(statuses("200-299"), Some(200..=299));
        for text in ["", "2xx", "299-200", "99", "600", "200-", "-200"] {
            assert_eq!(statuses(text), None, "{text}");
        }
    }
}
