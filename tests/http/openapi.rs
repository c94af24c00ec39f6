//! The document is true: every route is in it and answers as it says.
use serde_json::Value;

use crate::daemon::{Answer, Daemon, until};

/// A request that each operation accepts.
fn request(daemon: &Daemon, method: &str, path: &str) -> Answer {
    let path = path.replace("{run}", "1");
    let body = match &*path {
        "/api/v1/trigger" | "/api/v1/pause" | "/api/v1/resume" => "{\"name\": \"hello\"}",
        "/api/v1/cancel" => "{\"run\": 1}",
        _ => "{}",
    };
    match method {
        "get" => daemon.get(&path),
        "post" => daemon.post(&path, body),
        other => panic!("an operation with another method: {other} {path}"),
    }
}

#[test]
fn every_operation_answers_as_the_document_says() {
    let daemon = Daemon::start();
    until("run 1 has ended", || daemon.get("/api/v1/runs/1").body.contains("\"succeeded\""));
    let document = daemon.get("/api/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 20, "{}", paths.len());
    for (path, operations) in paths.iter().filter(|(path, _)| !path.ends_with("/events") && !path.ends_with("/stop")) {
        for (method, operation) in operations.as_object().unwrap() {
            let answer = request(&daemon, method, path);
            let documented = &operation["responses"][answer.status.to_string()];
            assert!(documented.is_object(), "{method} {path}: {} is not documented", answer.status);
            assert!(answer.status == 200 || (path == "/api/v1/cancel" && answer.status == 404), "{method} {path}: {answer:?}");
            let kind = answer.header("content-type").unwrap();
            let kinds = documented["content"].as_object().unwrap();
            assert!(kinds.contains_key(kind) || kinds.keys().any(|known| kind.starts_with(&**known)), "{method} {path}: {kind}");
            if kind == "application/json" {
                let schema = &documented["content"]["application/json"]["schema"];
                fits(&answer.json(), schema, &document, &format!("{method} {path}"));
            }
            // What it does not say is refused, in the same words.
            for status in ["400", "401", "403", "413", "421", "503"] {
                assert!(operation["responses"][status].is_object(), "{method} {path} does not document {status}");
            }
            assert_eq!(method == "post", operation["responses"]["415"].is_object(), "{method} {path}");
        }
        for method in ["PUT", "DELETE", "PATCH"] {
            assert_eq!(daemon.send(method, &path.replace("{run}", "1"), &authorised(&daemon), "{}").status, 405, "{method} {path}");
        }
    }
}

fn authorised(daemon: &Daemon) -> Vec<(&str, &str)> {
    let token: &str = Box::leak(format!("Bearer {}", daemon.token()).into_boxed_str());
    vec![("Host", &daemon.address), ("Authorization", token), ("Content-Type", "application/json")]
}

/// Whether a value is what a schema says; as much of JSON Schema as the document uses.
fn fits(value: &Value, schema: &Value, document: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/components/schemas/");
        return fits(value, &document["components"]["schemas"][name], document, &format!("{at} {name}"));
    }
    if let Some(all) = schema["allOf"].as_array() {
        return all.iter().for_each(|schema| fits(value, schema, document, at));
    }
    if let Some(some) = schema["oneOf"].as_array() {
        let own = some.iter().find(|schema| schema["type"] != "null").unwrap();
        if !value.is_null() {
            fits(value, own, document, at);
        }
        return;
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) if kinds.contains(&"number") => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.contains(&kind), "{at}: {value} is no {kinds:?}");
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(value.get(name).is_some(), "{at}: `{name}` is missing in {value}");
    }
    if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, field) in fields {
            if let Some(schema) = properties.get(name) {
                fits(field, schema, document, &format!("{at}.{name}"));
            }
        }
    }
    for element in value.as_array().into_iter().flatten() {
        fits(element, &schema["items"], document, &format!("{at}[]"));
    }
}
