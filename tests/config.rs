//! tasks.yaml: what is read, and what every kind of mistake looks like.
#![cfg(test)]
use std::path::Path;

use taskrun::config::{
    self, Config, Faults, LoadOptions, Secrets,
    keys::{HandlerSpec, Key, Kind},
};

const HANDLERS: &[HandlerSpec] = &[
    HandlerSpec {
        name: "command",
        doc: "Runs a program.",
        params: &[
            Key { name: "run", kind: Kind::List(&Kind::Text), required: true, doc: "The program and its arguments." },
            Key { name: "shell", kind: Kind::Bool, required: false, doc: "Let a shell read it." },
            Key { name: "env", kind: Kind::Map(&Kind::Text), required: false, doc: "Variables for the program." },
            Key { name: "cwd", kind: Kind::Path, required: false, doc: "Where it runs." },
            Key { name: "output_cap", kind: Kind::Size, required: false, doc: "How much of its output is kept." },
        ],
        retries: 0,
        resumable: false,
        needs: &[],
        eager_in_practice: false,
    },
    HandlerSpec {
        name: "sync_inventory",
        doc: "Syncs prices and visibility.",
        params: &[
            Key { name: "max_hide", kind: Kind::Percent, required: false, doc: "The most that is hidden in one run." },
            Key {
                name: "pricing",
                kind: Kind::Table(&[Key { name: "markup", kind: Kind::Decimal(1_000_000, 10_000_000), required: true, doc: "Cost times this." }]),
                required: false,
                doc: "How prices are made.",
            },
        ],
        retries: 3,
        resumable: true,
        needs: &["amazon", "base"],
        eager_in_practice: true,
    },
];

fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" | "LWA_CLIENT_SECRET" => Some("hush".to_owned()),
        "NAME" => Some("value".to_owned()),
        _ => None,
    }
}

fn options() -> LoadOptions<'static> {
    LoadOptions { handlers: HANDLERS, practice: false, secrets: Secrets::Required, env: &env, now: "2026-11-23T00:00:00Z".parse().unwrap() }
}

fn read(text: &str) -> Result<Config, Faults> {
    config::read(text, Path::new("tasks.yaml"), &options())
}

#[test]
fn a_task_gets_the_built_in_defaults() {
    let config = read("timezone: Asia/Tokyo\ntasks:\n  hello: {handler: command, schedule: \"0 9 * * *\", with: {run: [echo, hi]}}\n").unwrap();
    let hello = config.instances.values().next().unwrap();
    assert_eq!((hello.name.as_str(), hello.retries.max, hello.timing.zone_name.as_ref()), ("hello", 0, "Asia/Tokyo"));
}
