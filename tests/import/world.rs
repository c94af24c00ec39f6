//! What the tests of imports share: importing as on a machine of their own, and reading what comes of it.
use std::{path::Path, sync::Arc};

use taskrun::{
    config::{self, Config, Faults, LoadOptions, Secrets},
    core::{schedule::Schedule, task::Instance},
    handlers::registry::SPECS,
    import::{
        Imported,
        crontab::{self, Format, Surroundings},
    },
};

/// A machine where `richs` and `ada` have homes.
pub(crate) fn home(user: Option<&str>) -> Option<String> {
    match user {
        Some("root") => Some("/root".to_owned()),
        Some("www-data") => Some("/var/www".to_owned()),
        Some("richs") => Some("/home/richs".to_owned()),
        None | Some("ada") => Some("/home/ada".to_owned()),
        Some(_) => None,
    }
}

pub(crate) fn surroundings(format: Format) -> Surroundings<'static> {
    Surroundings { format, run_as: None, home: &home, now: "2027-06-01T00:00:00Z".parse().unwrap() }
}

pub(crate) fn imported(text: &[u8], format: Format) -> Imported {
    crontab::import("a test", text, &surroundings(format)).unwrap()
}

pub(crate) fn read(yaml: &str) -> Result<Config, Faults> {
    let now = "2027-06-01T00:00:00Z".parse().unwrap();
    // Every variable there is.
    let any = |name: &str| Some(format!("http://{name}.example"));
    let options = LoadOptions { handlers: SPECS, practice: false, secrets: Secrets::Required, env: &any, now };
    config::read(yaml, Path::new("tasks.yaml"), &options)
}

/// The instances in the order in which they stand in the file.
pub(crate) fn instances(yaml: &str) -> Vec<Arc<Instance>> {
    let config = read(yaml).unwrap_or_else(|faults| panic!("{faults}\n{yaml}"));
    let tasks = yaml.split_once("\ntasks:\n").map_or("", |(_, tasks)| tasks);
    let name = |line: &str| {
        let key = line.strip_prefix("  ")?.strip_suffix(':')?;
        let key = key.trim_matches('\'');
        (!key.starts_with([' ', '#'])).then(|| key.to_owned())
    };
    let found: Vec<_> = tasks.lines().filter_map(name).map(|name| Arc::clone(&config.instances[&name.as_str().into()])).collect();
    assert_eq!(found.len(), config.instances.len(), "{yaml}");
    found
}

pub(crate) fn is_start(instance: &Instance) -> bool {
    matches!(instance.timing.schedules.as_slice(), [Schedule::Start])
}
