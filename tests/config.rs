//! tasks.yaml: what is read, and what every kind of mistake looks like.
#![cfg(test)]
use std::path::Path;

use taskrun::config::{
    self, Config, Faults, LoadOptions, Secrets,
    keys::{HandlerSpec, Key, Kind},
};

const HANDLERS: &[HandlerSpec] = &[
    taskrun::handlers::command::SPEC,
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

#[test]
fn a_program_is_a_list_unless_a_shell_takes_the_line_apart() {
    let run = |with: &str| read(&format!("timezone: Asia/Tokyo\ntasks:\n  hello: {{handler: command, schedule: \"0 9 * * *\", with: {{{with}}}}}\n"));
    let refused = |with: &str| run(with).unwrap_err().to_string();
    assert!(run("run: [./report.sh, --daily]").is_ok());
    assert!(run("run: ./report.sh --daily | tail, shell: true").is_ok());
    assert!(refused("run: ./report.sh --daily").contains(r#"write `run: ["./report.sh", "--daily"]`, or `shell: true` beside it"#));
    assert!(refused("run: []").contains("this list is empty"));
}
