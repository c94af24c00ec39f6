//! What a value of a kind has to be, as JSON Schema says it.
//!
//! A value in YAML is told by its look: `30` is a number and `30m` a text, and our reader takes `"30"` for a number too. So most values may be of
//! several types, and each keyword holds for one of them: `minimum` for numbers, `pattern` for texts, `properties` for tables, `items` for lists.
use serde_json::{Map, Value, json};

use super::{of_a_task, patterns};
use crate::{
    config::keys::{HOURS, HTTP_HOST, Key, Kind, SCHEDULE, SECRET_FILE},
    handlers::registry,
};

type Schema = Map<String, Value>;

/// Of a table with these keys.
pub(super) fn table(tables: &[&[Key]]) -> Schema {
    let keys = || tables.iter().copied().flatten();
    let required: Vec<&str> = keys().filter(|key| key.required).map(|key| key.name).collect();
    // Nothing at all counts as an empty table, which lacks what is required.
    let mut table = schema(json!({ "type": if required.is_empty() { json!(["object", "null"]) } else { json!("object") } }));
    table.extend(open_table(tables));
    let words = keys().filter_map(|key| if let Kind::Words(flag) = key.kind { Some(in_words(key, flag, tables)) } else { None });
    let words: Vec<Value> = words.collect();
    if !words.is_empty() {
        table.insert("allOf".to_owned(), json!(words));
    }
    if let Some(with) = keys().find(|key| matches!(key.kind, Kind::Params)) {
        of_a_task(&mut table, with, registry::SPECS);
    }
    table
}

/// The keywords of a table with these keys, for what may be something else as well.
fn open_table(tables: &[&[Key]]) -> Schema {
    let keys = || tables.iter().copied().flatten();
    let property = |key: &Key| {
        let mut property = of(&key.kind);
        property.insert("description".to_owned(), json!(key.doc));
        (key.name.to_owned(), Value::Object(property))
    };
    let required: Vec<&str> = keys().filter(|key| key.required).map(|key| key.name).collect();
    let mut table = schema(json!({ "additionalProperties": false }));
    table.insert("properties".to_owned(), Value::Object(keys().map(property).collect()));
    if !required.is_empty() {
        table.insert("required".to_owned(), json!(required));
    }
    table
}

/// A text where a list of words is meant is right only where the flag beside it says so.
fn in_words(key: &Key, flag: &str, tables: &[&[Key]]) -> Value {
    let apart = json!({ "properties": { key.name: { "type": "array" } } });
    if tables.iter().copied().flatten().any(|key| key.name == flag) {
        let joined = json!({ "enum": [true, "true"] });
        json!({ "if": { "properties": { flag: joined }, "required": [flag] }, "else": apart })
    } else {
        apart
    }
}

/// Of a value of a kind.
fn of(kind: &Kind) -> Schema {
    match kind {
        Kind::Bool => text(&["boolean", "string"], patterns::BOOL, "write `true` or `false`", &[]),
        Kind::Int(least, most) => bounded(&["integer", "string"], patterns::INT, (json!(least), json!(most))),
        Kind::Decimal(least, most) => bounded(&["number", "string"], patterns::DECIMAL, (from_millionths(*least), from_millionths(*most))),
        Kind::Percent => text(&["string"], patterns::PERCENT, "write a share with a percent sign: `5%`", &["5%", "0.5%"]),
        Kind::Text => schema(json!({ "type": ["string", "number", "boolean"] })),
        Kind::Path => text(&["string", "number"], patterns::PATH, "write a path; `~` means nothing here, `${HOME}/` does", &[]),
        Kind::Duration(zero) => duration(*zero),
        Kind::Limit => {
            let shape = format!("none|{}", patterns::DURATION);
            text(&["string"], &shape, "write a duration with its unit such as `30m`, or `none`", &["30m", "none"])
        }
        Kind::Size => text(&["string"], patterns::SIZE, "write a size with its unit: `500KB`, `10MB`, `1GiB`", &["10MB", "1GiB"]),
        Kind::Word(words) => schema(json!({ "anyOf": [{ "type": "string", "enum": words }, variable()] })),
        Kind::List(element) => list(of(element)),
        Kind::Words(_) => {
            let element = of(&Kind::Text);
            let mut words = list(element);
            words.insert("minItems".to_owned(), json!(1));
            words
        }
        Kind::Table(keys) => table(&[keys]),
        Kind::Tables(keys) => table(keys),
        Kind::Map(element) => schema(json!({ "type": ["object", "null"], "additionalProperties": of(element) })),
        Kind::Named(element) => {
            let names = json!({
                "pattern": format!("^{}$", patterns::NAME),
                "patternErrorMessage": "names have 1 to 64 of the letters a-z, digits, `_` and `-`",
            });
            schema(json!({ "type": ["object", "null"], "propertyNames": names, "additionalProperties": of(element) }))
        }
        Kind::Name | Kind::Lock | Kind::Account => {
            text(&["string", "integer"], patterns::NAME, "names have 1 to 64 of the letters a-z, digits, `_` and `-`", &[])
        }
        Kind::Zone => text(&["string"], patterns::ZONE, "write an IANA name such as `Asia/Tokyo`", &["Asia/Tokyo", "Europe/Berlin", "UTC"]),
        Kind::Url => {
            let message = "write it like `https://host.example/path`; plain `http://` is for this machine only";
            text(&["string"], patterns::URL, message, &[])
        }
        Kind::CallUrl => text(&["string"], patterns::CALL_URL, "write it like `https://host.example/path?key=value`", &[]),
        Kind::Sensitive => with_table(schema(json!({ "type": ["string", "number", "boolean", "object"] })), SECRET_FILE),
        Kind::Json | Kind::Params => Schema::new(),
        Kind::Secret => secret(),
        Kind::Schedule => schedule(),
        Kind::Hours => hours(),
        Kind::Dates => {
            let message = "write `2026-12-31`, `2026-12-31..2027-01-03`, or the name of a calendar";
            list(text(&["string"], patterns::DATES, message, &["2026-12-31", "2026-12-31..2027-01-03"]))
        }
        Kind::Store => text(&["string"], patterns::STORE, "write it like `sqlite://state/taskrun.db`", &["sqlite://state/taskrun.db"]),
        Kind::Address => text(&["string"], patterns::ADDRESS, "write it like `127.0.0.1:9700`", &["127.0.0.1:9700"]),
        Kind::Host => {
            let message = "write `example.com`, `*.example.com` or `example.com:8443`";
            with_table(text(&["string", "object"], patterns::HOST, message, &["example.com"]), HTTP_HOST)
        }
        Kind::Apart(kind) | Kind::Checked(kind, _) => of(kind),
    }
}

fn schema(value: Value) -> Schema {
    if let Value::Object(schema) = value { schema } else { Schema::new() }
}

fn variable() -> Value {
    json!({ "type": "string", "pattern": patterns::VARIABLE })
}

/// A value that, as a text, has a shape.
fn text(types: &[&str], shape: &str, message: &str, examples: &[&str]) -> Schema {
    let types = if let [one] = types { json!(one) } else { json!(types) };
    let mut text = schema(json!({ "type": types, "pattern": patterns::whole(shape), "patternErrorMessage": message }));
    if !examples.is_empty() {
        text.insert("examples".to_owned(), json!(examples));
    }
    text
}

fn bounded(types: &[&str], shape: &str, (least, most): (Value, Value)) -> Schema {
    let message = format!("write a number from {least} to {most}");
    let mut number = text(types, shape, &message, &[]);
    number.insert("minimum".to_owned(), least);
    number.insert("maximum".to_owned(), most);
    number
}

/// A whole number as one: `100`, not `100.0`.
#[expect(clippy::cast_precision_loss, reason = "bounds are round numbers of six digits or so")]
fn from_millionths(number: i64) -> Value {
    if number % 1_000_000 == 0 { json!(number / 1_000_000) } else { json!(number as f64 / 1e6) }
}

fn duration(zero: bool) -> Schema {
    let message = "write a duration with its unit: `90s`, `5m`, `3h 30m`";
    if zero {
        let shape = format!("0|{}", patterns::DURATION);
        let mut length = text(&["string", "integer"], &shape, message, &["90s", "3h 30m"]);
        length.insert("minimum".to_owned(), json!(0));
        length.insert("maximum".to_owned(), json!(0));
        return length;
    }
    let mut length = text(&["string"], patterns::DURATION, message, &["90s", "3h 30m"]);
    length.insert("not".to_owned(), json!({ "type": "string", "pattern": patterns::NOTHING }));
    length
}

/// The same as a list, or alone, which counts as a list of one.
fn list(element: Schema) -> Schema {
    let items = Value::Object(element.clone());
    let mut list = element;
    let types = match list.get("type") {
        Some(Value::String(one)) => vec![json!(one)],
        Some(Value::Array(several)) => several.clone(),
        _ => return schema(json!({ "anyOf": [{ "type": "array", "items": items }, items] })),
    };
    list.insert("type".to_owned(), types.into_iter().chain([json!("array")]).collect());
    list.insert("items".to_owned(), items);
    list
}

/// The same, or a table with these keys.
fn with_table(mut schema: Schema, keys: &[Key]) -> Schema {
    schema.extend(open_table(&[keys]));
    schema
}

fn secret() -> Schema {
    let secret = json!({
        "type": ["string", "object"],
        "pattern": patterns::VARIABLE,
        "patternErrorMessage": "a secret does not belong in this file: write `${NAME}`, or `{ file: PATH }`",
        "examples": ["${NAME}"],
    });
    with_table(schema(secret), SECRET_FILE)
}

fn schedule() -> Schema {
    let message = "write minute, hour, day, month and day of the week as in crontab(5), or `{ every: 3h }`, `{ after: 1h }`, `@start`";
    let examples = ["0 9 * * mon-fri", "*/15 * * * *", "@daily", "@start"];
    let mut schedule = with_table(text(&["string", "object"], &patterns::cron(), message, &examples), SCHEDULE);
    schedule.insert("minProperties".to_owned(), json!(1));
    schedule.insert("maxProperties".to_owned(), json!(1));
    if let Some(cron) = schedule.get_mut("properties").and_then(|keys| keys.get_mut("cron")).and_then(Value::as_object_mut) {
        cron.extend(text(&["string"], &patterns::cron(), message, &[]));
    }
    let mut schedules = list(schedule);
    schedules.insert("minItems".to_owned(), json!(1));
    schedules
}

fn hours() -> Schema {
    let message = "write `06:00-23:00`, `mon-fri 09:00-18:00`, `22:00-02:00`, a list of these, or `always`";
    let examples = ["06:00-23:00", "mon-fri 09:00-18:00", "always"];
    let windows = || list(text(&["string"], &patterns::hours(), message, &examples));
    let mut hours = windows();
    hours.insert("minItems".to_owned(), json!(1));
    hours.insert("type".to_owned(), json!(["string", "array", "object"]));
    let others: Vec<Key> = HOURS.iter().filter(|key| !matches!(key.kind, Kind::Hours)).copied().collect();
    hours.extend(open_table(&[&others]));
    for key in HOURS.iter().filter(|key| matches!(key.kind, Kind::Hours)) {
        let mut windows = windows();
        windows.insert("description".to_owned(), json!(key.doc));
        if let Some(keys) = hours.get_mut("properties").and_then(Value::as_object_mut) {
            keys.insert(key.name.to_owned(), Value::Object(windows));
        }
        hours.insert("required".to_owned(), json!([key.name]));
    }
    hours
}
