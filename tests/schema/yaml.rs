//! YAML to JSON, as an editor reads it: numbers and `true` by their looks, anchors and merge keys filled in.
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};

/// The document of a text; `Err` with what the parser says.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        builder.take(event.map_err(|error| error.to_string())?.0);
    }
    Ok(builder.root.unwrap_or(Value::Null))
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Value>,
    root: Option<Value>,
}

struct Open {
    anchor: usize,
    value: Value,
    key: Option<String>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let is_key = self.open.last().is_some_and(|open| open.value.is_object() && open.key.is_none());
                self.place(if plain && !is_key { scalar(&text) } else { json!(text) }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => self.open.push(Open { anchor, value: json!([]), key: None }),
            Event::MappingStart(_, anchor, _) => self.open.push(Open { anchor, value: json!({}), key: None }),
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().unwrap();
                self.place(open.value, open.anchor);
            }
            Event::Alias(anchor) => self.place(self.anchors[&anchor].clone(), 0),
            _ => {}
        }
    }

    fn place(&mut self, value: Value, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(value);
            return;
        };
        match (&mut open.value, open.key.take()) {
            (Value::Object(map), Some(key)) if key == "<<" => merge(map, value),
            (Value::Object(map), Some(key)) => _ = map.insert(key, value),
            (Value::Object(_), None) => open.key = Some(value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)),
            (Value::Array(items), _) => items.push(value),
            (other, _) => panic!("{other} is open"),
        }
    }
}

fn merge(map: &mut Map<String, Value>, value: Value) {
    if let Value::Object(more) = value {
        for (key, value) in more {
            map.entry(key).or_insert(value);
        }
    }
}

/// A plain scalar by YAML's core schema.
fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => json!(true),
        "false" | "False" | "FALSE" => json!(false),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => json!(number),
            (_, Ok(number)) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') => json!(number),
            _ => json!(text),
        },
    }
}
