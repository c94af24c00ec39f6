//! A validator for as much of JSON Schema as ours uses. A keyword that it does not know fails the test, so it cannot pass over anything.
use regex_lite::Regex;
use serde_json::{Map, Value};

/// What a schema says only for people and editors.
const TALK: [&str; 9] =
    ["$schema", "title", "description", "definitions", "examples", "patternErrorMessage", "markdownEnumDescriptions", "then", "else"];

/// What holds, or is looked at with the keys of a table.
const KNOWN: [&str; 12] = [
    "enum",
    "const",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "minProperties",
    "maxProperties",
    "not",
    "anyOf",
    "properties",
    "additionalProperties",
];

/// What is wrong with a value, each with its place; nothing: it is valid.
pub(super) fn judge(schema: &Value, value: &Value, root: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    look(schema, value, root, "", &mut faults);
    faults
}

fn is_valid(schema: &Value, value: &Value, root: &Value) -> bool {
    judge(schema, value, root).is_empty()
}

fn look(schema: &Value, value: &Value, root: &Value, at: &str, faults: &mut Vec<String>) {
    let schema = schema.as_object().unwrap();
    for (keyword, says) in schema {
        let mut fault = |why: String| faults.push(format!("{at}: {value} {why}"));
        match keyword.as_str() {
            "type" => {
                let types: Vec<&str> = says
                    .as_array()
                    .map_or_else(|| vec![says], |types| types.iter().collect())
                    .iter()
                    .map(|name| name.as_str().unwrap())
                    .collect();
                if !types.iter().any(|name| is_a(name, value)) {
                    fault(format!("is no {}", types.join(" or ")));
                }
            }
            "enum" if !says.as_array().unwrap().contains(value) => fault(format!("is none of {says}")),
            "const" if says != value => fault(format!("is not {says}")),
            "pattern" if value.as_str().is_some_and(|text| !Regex::new(says.as_str().unwrap()).unwrap().is_match(text)) => {
                fault(format!("does not match {says}"));
            }
            "minimum" if value.as_f64().is_some_and(|number| number < says.as_f64().unwrap()) => fault(format!("is below {says}")),
            "maximum" if value.as_f64().is_some_and(|number| says.as_f64().unwrap() < number) => fault(format!("is above {says}")),
            "minItems" if value.as_array().is_some_and(|items| (items.len() as u64) < says.as_u64().unwrap()) => {
                fault("is too short".to_owned());
            }
            "minProperties" if value.as_object().is_some_and(|keys| (keys.len() as u64) < says.as_u64().unwrap()) => {
                fault("is empty".to_owned());
            }
            "maxProperties" if value.as_object().is_some_and(|keys| says.as_u64().unwrap() < (keys.len() as u64)) => {
                fault("says too much".to_owned());
            }
            "required" => {
                for key in says.as_array().unwrap().iter().map(|key| key.as_str().unwrap()) {
                    if value.as_object().is_some_and(|keys| !keys.contains_key(key)) {
                        faults.push(format!("{at}: `{key}` is missing"));
                    }
                }
            }
            "not" if is_valid(says, value, root) => fault("is what it must not be".to_owned()),
            "anyOf" if !says.as_array().unwrap().iter().any(|schema| is_valid(schema, value, root)) => fault(format!("is none of {says}")),
            "allOf" => says.as_array().unwrap().iter().for_each(|schema| look(schema, value, root, at, faults)),
            "if" => {
                let branch = if is_valid(says, value, root) { "then" } else { "else" };
                schema.get(branch).into_iter().for_each(|schema| look(schema, value, root, at, faults));
            }
            "$ref" => {
                let pointer = says.as_str().unwrap().strip_prefix('#').unwrap();
                look(root.pointer(pointer).unwrap(), value, root, at, faults);
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    look(says, item, root, &format!("{at}[{index}]"), faults);
                }
            }
            "propertyNames" => {
                for key in value.as_object().into_iter().flat_map(Map::keys) {
                    look(says, &Value::String(key.clone()), root, &format!("{at}.{key}"), faults);
                }
            }
            other => assert!(TALK.contains(&other) || KNOWN.contains(&other), "the keyword `{other}` is not known to this test"),
        }
    }
    look_into(schema, value, root, at, faults);
}

fn look_into(schema: &Map<String, Value>, value: &Value, root: &Value, at: &str, faults: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match (schema.get("properties").and_then(|keys| keys.get(key)), schema.get("additionalProperties")) {
            (Some(known), _) => look(known, value, root, &at, faults),
            (None, Some(Value::Bool(false))) => faults.push(format!("{at}: unknown key")),
            (None, Some(others)) => look(others, value, root, &at, faults),
            (None, None) => {}
        }
    }
}

fn is_a(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("there is no type {other}"),
    }
}
