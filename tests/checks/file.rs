//! A task's parameters as a file would give them.
use std::path::Path;

use taskrun::{
    config::{self, Config, Faults, LoadOptions, Secrets},
    handlers::registry,
};

pub(crate) const TOKEN: &str = "canary-0123";

fn env(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| TOKEN.to_owned())
}

pub(crate) fn read(text: &str) -> Result<Config, Faults> {
    let now = "2026-03-30T00:00:00Z".parse().unwrap();
    let options = LoadOptions { handlers: registry::SPECS, practice: false, secrets: Secrets::Required, env: &env, now };
    config::read(text, Path::new("/nowhere/tasks.yaml"), &options)
}

/// A file with one task `t` of this handler.
pub(crate) fn task(handler: &str, top: &str, with: &str) -> Result<Config, Faults> {
    read(&format!("timezone: Asia/Tokyo\n{top}\ntasks:\n  t:\n    handler: {handler}\n    with: {{{with}}}\n"))
}

/// The only fault of a file.
pub(crate) fn fault(result: Result<Config, Faults>) -> String {
    let faults = result.expect_err("there should be a fault");
    assert_eq!(faults.len(), 1, "{faults}");
    faults.to_string()
}
