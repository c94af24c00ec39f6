//! The schema and the loader know the same keys, at every place of the file.
use std::{collections::BTreeSet, path::Path};

use serde_json::{Map, Value, json};
use taskrun::{
    cli::schema,
    config::{self, LoadOptions, Secrets},
    handlers::registry,
};

#[test]
fn the_loader_knows_just_the_keys_that_the_schema_has() {
    let document = schema::document();
    let mut tables = Vec::new();
    find(&document, &document, &[], &mut tables);
    let every_name: BTreeSet<&str> = tables.iter().flat_map(|table| table.keys.iter().map(String::as_str)).collect();
    assert!(40 < tables.len() && 200 < every_name.len(), "the schema has shrunk: {} tables, {} names", tables.len(), every_name.len());
    let mut faults = Vec::new();
    for table in &tables {
        // Fewer at once than the loader has patience for.
        for names in every_name.iter().copied().collect::<Vec<_>>().chunks(100) {
            let unknown = unknown_of(table, names);
            for name in names {
                if table.keys.contains(*name) == unknown.contains(*name) {
                    let who = if unknown.contains(*name) { "the loader does not know" } else { "the schema does not have" };
                    faults.push(format!("{who} `{name}` in {}", table.shown()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// A table of the file.
#[derive(Debug)]
struct Table {
    /// The way there: keys, and a pair of brackets for an element of a list.
    path: Vec<String>,
    keys: BTreeSet<String>,
    /// The handler of the task that it is in.
    handler: Option<String>,
}

impl Table {
    fn shown(&self) -> String {
        format!("`{}`{}", self.path.join("."), self.handler.as_deref().map(|name| format!(" of {name}")).unwrap_or_default())
    }
}

/// Every table that the schema knows, with a made-up name where names are free.
fn find(schema: &Value, root: &Value, path: &[String], tables: &mut Vec<Table>) {
    let deeper = |key: &str| [path, &[key.to_owned()]].concat();
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        tables.push(Table { path: path.to_vec(), keys: properties.keys().cloned().collect(), handler: None });
        for (key, schema) in properties {
            find(schema, root, &deeper(key), tables);
        }
    }
    if let Some(others) = schema.get("additionalProperties").filter(|others| others.is_object()) {
        find(others, root, &deeper("some_name"), tables);
    }
    if let Some(items) = schema.get("items") {
        find(items, root, &deeper("[]"), tables);
    }
    for branch in schema.get("anyOf").into_iter().flat_map(|branches| branches.as_array().unwrap()) {
        find(branch, root, path, tables);
    }
    for branch in schema.get("allOf").into_iter().flat_map(|branches| branches.as_array().unwrap()) {
        let Some(handler) = branch.pointer("/if/properties/handler/const").and_then(Value::as_str) else { continue };
        let before = tables.len();
        find(&root["definitions"][handler], root, &deeper("with"), tables);
        tables[before..].iter_mut().for_each(|table| table.handler = Some(handler.to_owned()));
    }
}

/// Which of these names the loader calls unknown keys when they stand in a table. JSON is YAML.
fn unknown_of(table: &Table, names: &[&str]) -> BTreeSet<String> {
    let mut value: Value = names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect::<Map<_, _>>().into();
    for (depth, key) in table.path.iter().enumerate().rev() {
        value = if key == "[]" { json!([value]) } else { json!({ key: value }) };
        if let (Some(handler), 2) = (&table.handler, depth) {
            value.as_object_mut().unwrap().insert("handler".to_owned(), json!(handler));
        }
    }
    let options = LoadOptions {
        handlers: registry::SPECS,
        practice: false,
        secrets: Secrets::Required,
        env: &|_| None,
        now: "2026-11-24T00:00:00Z".parse().unwrap(),
    };
    let faults = config::read(&value.to_string(), Path::new("tasks.yaml"), &options).unwrap_err();
    let name = |message: &str| Some(message.strip_prefix("unknown key `")?.strip_suffix('`')?.to_owned());
    let here = |path: &str| path.replace("[0]", ".[]").trim_start_matches('.').split('.').count() == table.path.len() + 1;
    faults.iter().filter(|fault| here(&fault.key_path)).filter_map(|fault| name(&fault.message)).collect()
}
