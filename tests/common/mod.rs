//! What the tests of the configuration share: handlers, an environment, and a way in.
#![cfg(test)]
#![allow(dead_code, reason = "each test binary uses its part")]
use std::path::Path;

use taskrun::{
    config::{self, Config, Faults, LoadOptions, Secrets, keys::HandlerSpec},
    handlers::{command, sync_inventory},
};

/// The real handlers, and one that needs less.
pub(crate) const HANDLERS: &[HandlerSpec] = &[
    command::SPEC,
    sync_inventory::SPEC,
    HandlerSpec {
        name: "refresh",
        doc: "Refreshes tokens.",
        params: &[],
        retries: 3,
        resumable: true,
        parks: true,
        needs: &["base"],
        eager_in_practice: false,
    },
];

pub(crate) fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" | "LWA_CLIENT_SECRET" => Some("hush".to_owned()),
        "CRON" => Some("30 4 * * *".to_owned()),
        "NAME" => Some("value".to_owned()),
        _ => None,
    }
}

pub(crate) fn options() -> LoadOptions<'static> {
    LoadOptions { handlers: HANDLERS, practice: false, secrets: Secrets::Required, env: &env, now: "2026-11-23T00:00:00Z".parse().unwrap() }
}

pub(crate) fn read(text: &str) -> Result<Config, Faults> {
    config::read(text, Path::new("tasks.yaml"), &options())
}

/// Loads a file.
pub(crate) fn load(path: &Path) -> Result<Config, Faults> {
    config::load(path, &options())
}

/// The only fault.
pub(crate) fn fault_of(result: Result<Config, Faults>) -> String {
    let faults = result.unwrap_err();
    assert_eq!(faults.len(), 1, "{faults}");
    faults.iter().map(ToString::to_string).collect()
}

/// A marketplace, for accounts and handlers that need one.
pub(crate) const BASE: &str = "marketplaces: {base: {client_id: x, client_secret: \"${SECRET}\"}}\n";

/// A file with one task `t` that says this.
pub(crate) fn task(says: &str) -> String {
    format!("tasks:\n  t:\n    handler: command\n    with: {{run: [ls]}}\n    {says}\n")
}
