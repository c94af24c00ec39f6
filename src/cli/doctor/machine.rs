//! The machine: its clock, what it knows of time zones, and its disk.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use super::Finding;
use crate::{cli::place::State, config::Config, os::free_space};

/// With less, the next days fill the disk.
const FREE_LOW: u64 = 1_000_000_000;
/// With less, the store may refuse writes any moment.
const FREE_LEAST: u64 = 100_000_000;
/// How long the system may take to say how its clock is.
const CLOCK_LIMIT: Duration = Duration::from_secs(2);
/// Where systemd's own client notes that it has set the clock.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// Where the system keeps its zones, and the file there that says their version.
const ZONES: &str = "/usr/share/zoneinfo";
const ZONES_VERSION: &str = "/usr/share/zoneinfo/tzdata.zi";
/// Some country changes its clocks each year.
const ZONES_YEARS: i16 = 3;

pub(super) async fn look(state: &State, config: Option<&Config>, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![clock().await];
    if let Some(config) = config {
        findings.push(zone(config, now));
    }
    findings.extend(disks(state, config));
    findings
}

/// Whether somebody keeps the clock right, as far as the system tells.
async fn clock() -> Finding {
    let told = || async {
        let mut command = tokio::process::Command::new("timedatectl");
        command.args(["show", "--property=NTPSynchronized", "--value"]).kill_on_drop(true);
        let output = tokio::time::timeout(CLOCK_LIMIT, command.output()).await.ok()?.ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let synchronised = if Path::new(SYNCHRONISED).exists() { Some("yes".to_owned()) } else { told().await };
    match synchronised.as_deref() {
        Some("yes") => Finding::ok("clock", "it is synchronised"),
        Some("no") => Finding::warning("clock", "nobody keeps it right")
            .because("tasks fire by it, and marketplaces refuse logins from a clock that is minutes off")
            .advise("`sudo timedatectl set-ntp true`, or install chrony; in a container the host's counts"),
        Some(_) | None => Finding::note("clock", "this system does not say whether it is synchronised"),
    }
}

fn zone(config: &Config, now: Timestamp) -> Finding {
    let name = &config.timezone_name;
    let version = fs::read_to_string(ZONES_VERSION).ok().and_then(|text| Some(text.lines().next()?.strip_prefix("# version ")?.to_owned()));
    let source = match &version {
        Some(version) => format!("data of the system, {version}"),
        None if Path::new(ZONES).is_dir() => "data of the system".to_owned(),
        None => "data built into taskrun".to_owned(),
    };
    let found = format!("{name}; {source}");
    let year = version.and_then(|version| version.get(..4)?.parse::<i16>().ok());
    let today = now.to_zoned(config.timezone.clone()).year();
    if year.is_some_and(|year| year.saturating_add(ZONES_YEARS) < today) {
        return Finding::warning("zone", found)
            .because("where clocks were changed by law since then, tasks fire an hour off")
            .advise("update the package `tzdata`");
    }
    if &**name == "UTC" {
        return Finding::note("zone", found).advise("for a shop in Japan, write `timezone: Asia/Tokyo` at the top of the file");
    }
    Finding::ok("zone", found)
}

/// The room on each disk that is written to.
fn disks(state: &State, config: Option<&Config>) -> Vec<Finding> {
    let mut folders = vec![state.dir.clone()];
    folders.extend(state.store.parent().map(Path::to_owned));
    folders.extend(config.map(|config| config.log.dir.clone()));
    // Those with the same room are on the same disk.
    let mut rooms: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut findings = Vec::new();
    for folder in folders {
        let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
        match free_space(there) {
            Ok(free) => _ = rooms.entry(free / 1_000_000).or_insert(folder),
            Err(error) => findings.push(Finding::note("disk", format!("the room at `{}` is not known: {error}", folder.display()))),
        }
    }
    findings.extend(rooms.into_iter().map(|(megabytes, folder)| room(megabytes.saturating_mul(1_000_000), &folder)));
    findings
}

fn room(free: u64, folder: &Path) -> Finding {
    let found = format!("{} MB are free at `{}`", free / 1_000_000, folder.display());
    let why = "a full disk delays every run until there is room again";
    let advice = "`taskrun once cleanup`, fewer log files and backups (`log.keep`, `backup`), or a larger disk";
    match free {
        ..FREE_LEAST => Finding::bad("disk", found).because(why).advise(advice),
        FREE_LEAST..FREE_LOW => Finding::warning("disk", found).because(why).advise(advice),
        _ => Finding::ok("disk", found),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn a_disk_with_little_room_is_told_of_before_it_is_full() {
        let level = |free| room(free, Path::new("state")).level;
        assert_eq!(
            [level(99_999_999), level(100_000_000), level(999_999_999), level(1_000_000_000)],
            [Level::Bad, Level::Warning, Level::Warning, Level::Ok]
        );
    }
}
