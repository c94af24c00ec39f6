//! The files that `cleanup` finds old: logs, copies of the store, stores put aside, what killed processes left.
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{
    errors::chain,
    handlers::backup::{self, Retention},
    observe::sweep::OldLogs,
    os,
};

/// Where files grow old.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder of the logs.
    pub log_dir: PathBuf,
    /// Rotated files that each log keeps.
    pub log_keep: usize,
    /// The instances of the configuration.
    pub instances: BTreeSet<String>,
    /// The state folder.
    pub state_dir: PathBuf,
    /// The store's file.
    pub store: PathBuf,
}

/// From when on what stays.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) logs: Option<Timestamp>,
    /// Instances that there ever were.
    pub(super) gone: BTreeSet<String>,
    pub(super) backups: Option<(PathBuf, Retention)>,
    pub(super) replaced_stores: Option<Timestamp>,
    pub(super) temp_files: Option<Timestamp>,
}

/// Files of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) what: &'static str,
    pub(super) paths: Vec<PathBuf>,
}

impl Places {
    /// The files that are old, and what could not be looked at.
    pub(super) fn find(&self, wanted: &Wanted) -> (Vec<Found>, Vec<String>) {
        let (mut found, mut trouble) = (Vec::new(), Vec::new());
        let mut take = |what, paths: Result<Vec<PathBuf>, String>| match paths {
            Ok(paths) if paths.is_empty() => {}
            Ok(paths) => found.push(Found { what, paths }),
            Err(error) => trouble.push(error),
        };
        if wanted.logs.is_some() {
            let logs = OldLogs {
                dir: self.log_dir.clone(),
                instances: self.instances.clone(),
                gone: wanted.gone.clone(),
                keep: self.log_keep,
                before: wanted.logs,
            };
            take("log files", logs.find().map_err(|error| unread(&self.log_dir, &error)));
        }
        if let Some((dir, retention)) = wanted.backups.as_ref().filter(|(dir, _)| dir.exists()) {
            take("copies of the store", backup::remove_old(dir, retention, true).map_err(|error| chain(&error)));
        }
        let name = self.store.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if let Some(before) = wanted.replaced_stores {
            take(
                "stores that were put aside",
                self.beside_store(&format!("{name}.before-"), |path, _| put_aside(path).is_some_and(|at| at < before)),
            );
        }
        if let Some(before) = wanted.temp_files {
            let stem = self.store.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            take("files of killed processes", self.beside_store(&format!("{stem}.restoring-"), |_, written| written < before));
        }
        (found, trouble)
    }

    /// Plain files beside the store whose names begin so, and that are old by their name or by when they were last written.
    fn beside_store(&self, prefix: &str, is_old: impl Fn(&Path, Timestamp) -> bool) -> Result<Vec<PathBuf>, String> {
        let folder = os::above(&self.store);
        let entries = fs::read_dir(folder).map_err(|error| unread(folder, &error))?;
        let is_old = |entry: &fs::DirEntry| {
            let found = entry.metadata().ok().filter(fs::Metadata::is_file);
            let at = found.and_then(|found| Timestamp::try_from(found.modified().ok()?).ok());
            at.is_some_and(|at| is_old(&entry.path(), at))
        };
        let is_named = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        let mut paths: Vec<_> = entries.flatten().filter(|entry| is_named(entry) && is_old(entry)).map(|entry| entry.path()).collect();
        paths.sort_unstable();
        Ok(paths)
    }
}

/// When a restore put a store aside, by its name; a store that nobody wrote to for long is as new as that.
fn put_aside(path: &Path) -> Option<Timestamp> {
    let (_, stamp) = path.file_name()?.to_str()?.split_once(".before-")?;
    let stamp = stamp.split('-').next()?;
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp())
}

fn unread(folder: &Path, error: &io::Error) -> String {
    format!("failed to read `{}`: {error}", folder.display())
}

/// Removes files; what could not be removed, in words. A link goes itself, not what it leads to.
pub(super) fn remove(paths: &[PathBuf]) -> Vec<String> {
    let failed = |path: &PathBuf| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Some(format!("failed to remove `{}`: {error}", path.display())),
        Ok(()) | Err(_) => None,
    };
    paths.iter().filter_map(failed).collect()
}
