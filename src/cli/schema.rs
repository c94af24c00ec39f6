//! `taskrun schema`: the JSON Schema of tasks.yaml, out of the tables that the file is read by, for editors.
//!
//! It says what one value can be told by alone. What is between values (names that must be there, circles, hours against schedules) is `check`'s.
use serde_json::{Map, Value, json};

use super::{
    exit::{Exit, Failure},
    place::Place,
};
use crate::{
    config::keys::{HandlerSpec, Key, ROOT},
    handlers::registry,
};

mod kinds;
mod patterns;

/// Where editors look for it: beside tasks.yaml, whose first line names it.
pub const FILE: &str = "tasks.schema.json";

/// The JSON Schema of tasks.yaml, for editors
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun schema > tasks.schema.json\n\n\
    An editor with a YAML language server completes keys and marks mistakes once the first line of tasks.yaml is\n\
    # yaml-language-server: $schema=./tasks.schema.json")]
pub(crate) struct Args {}

pub(crate) fn run(place: &Place) -> Result<Exit, Failure> {
    place.screen.data(&text())?;
    Ok(Exit::Done)
}

/// The schema as it is written into a file.
pub fn text() -> String {
    format!("{:#}\n", document())
}

/// The schema of tasks.yaml, draft 7: what editors understand.
pub fn document() -> Value {
    let mut document = kinds::table(&[ROOT]);
    let head = [
        ("$schema", json!("http://json-schema.org/draft-07/schema#")),
        ("title", json!("tasks.yaml")),
        ("description", json!("What taskrun does, and when. `taskrun check` finds what no schema can say.")),
        ("definitions", definitions(registry::SPECS)),
    ];
    for (key, value) in head {
        document.insert(key.to_owned(), value);
    }
    Value::Object(document)
}

/// The parameters of each handler, by its name.
fn definitions(handlers: &[HandlerSpec]) -> Value {
    let parameters = |spec: &HandlerSpec| {
        let mut table = kinds::table(&[spec.params]);
        table.insert("description".to_owned(), json!(format!("The parameters of `{}`. {}", spec.name, spec.doc)));
        (spec.name.to_owned(), Value::Object(table))
    };
    Value::Object(handlers.iter().map(parameters).collect())
}

/// What makes a table a task: the name of a handler, and its parameters under `with`.
fn of_a_task(table: &mut Map<String, Value>, key: &Key, handlers: &[HandlerSpec]) {
    let docs: Vec<&str> = handlers.iter().map(|spec| spec.doc).collect();
    let names: Vec<&str> = handlers.iter().map(|spec| spec.name).collect();
    if let Some(handler) = table.get_mut("properties").and_then(|keys| keys.get_mut("handler")).and_then(Value::as_object_mut) {
        handler.insert("type".to_owned(), json!("string"));
        handler.insert("enum".to_owned(), json!(names));
        handler.insert("markdownEnumDescriptions".to_owned(), json!(docs));
    }
    let branches = handlers.iter().map(|spec| {
        let with = json!({ "$ref": format!("#/definitions/{}", spec.name) });
        let mut then = json!({ "properties": { key.name: with } });
        if spec.params.iter().any(|param| param.required)
            && let Some(then) = then.as_object_mut()
        {
            then.insert("required".to_owned(), json!([key.name]));
        }
        json!({ "if": { "properties": { "handler": { "const": spec.name } }, "required": ["handler"] }, "then": then })
    });
    table.insert("allOf".to_owned(), branches.collect());
}
