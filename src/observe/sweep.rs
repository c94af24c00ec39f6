//! Log files that nobody keeps small any more: rotated ones beyond their limits, and those of tasks that are gone.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::rotate::STAMP;

/// The log of everything.
const MAIN: &str = "taskrun";

/// Which log files are of no more use.
#[derive(Clone, Debug)]
pub struct OldLogs {
    /// The folder of the logs.
    pub dir: PathBuf,
    /// Instances that there are.
    pub instances: BTreeSet<String>,
    /// Instances that there were; files of other names are not ours.
    pub gone: BTreeSet<String>,
    /// Rotated files that each log keeps.
    pub keep: usize,
    /// What was last written before this is old; `None`: nothing is.
    pub before: Option<Timestamp>,
}

impl OldLogs {
    /// The files, by name. A folder that is not there has none.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn find(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut old = Vec::new();
        let mut rotated: BTreeMap<String, Vec<(Timestamp, PathBuf)>> = BTreeMap::new();
        for entry in entries.flatten() {
            let Some(found) = entry.metadata().ok().filter(fs::Metadata::is_file) else { continue };
            let Some(stem) = entry.file_name().to_str().and_then(|name| Some(name.strip_suffix(".log")?.to_owned())) else { continue };
            let stamp = stem.split_once('.').and_then(|(name, stamp)| Some((name, stamped(stamp)?)));
            match stamp {
                Some((name, at)) if self.is_ours(name) => rotated.entry(name.to_owned()).or_default().push((at, entry.path())),
                None if self.gone.contains(&stem) && !self.instances.contains(&stem) && self.is_old(written(&found)) => {
                    old.push(entry.path());
                }
                Some(_) | None => {}
            }
        }
        for (_, mut files) in rotated {
            files.sort_unstable();
            let excess = files.len().saturating_sub(self.keep);
            old.extend(
                files.into_iter().enumerate().filter(|(nth, (at, _))| *nth < excess || self.is_old(Some(*at))).map(|(_, (_, path))| path),
            );
        }
        old.sort_unstable();
        Ok(old)
    }

    fn is_ours(&self, name: &str) -> bool {
        name == MAIN || self.instances.contains(name) || self.gone.contains(name)
    }

    fn is_old(&self, at: Option<Timestamp>) -> bool {
        at.zip(self.before).is_some_and(|(at, before)| at < before)
    }
}

fn stamped(text: &str) -> Option<Timestamp> {
    Some(DateTime::strptime(STAMP, text).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn written(found: &fs::Metadata) -> Option<Timestamp> {
    Timestamp::try_from(found.modified().ok()?).ok()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "files have the system's times")]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn rotated_files_beyond_their_number_and_age_are_found_and_files_of_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, days: u64| {
            let path = dir.path().join(name);
            fs::write(&path, "x").unwrap();
            let at = SystemTime::now() - Duration::from_hours(24 * days);
            fs::File::options().append(true).open(&path).unwrap().set_modified(at).unwrap();
        };
        for (name, days) in [
            ("taskrun.log", 90),
            ("taskrun.2026-11-01T00-00-00.000Z.log", 22),
            ("taskrun.2026-11-02T00-00-00.000Z.log", 21),
            ("taskrun.2026-11-03T00-00-00.000Z.log", 20),
            ("sync.log", 90),
            ("sync.2020-01-01T00-00-00.000Z.log", 0),
            ("gone@shop.log", 90),
            ("gone.log", 1),
            ("nginx.log", 90),
            ("nginx.2020-01-01T00-00-00.000Z.log", 90),
            ("gone.txt", 90),
        ] {
            write(name, days);
        }
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let old = OldLogs {
            dir: dir.path().to_owned(),
            instances: names(&["sync"]),
            gone: names(&["sync", "gone", "gone@shop"]),
            keep: 2,
            before: Some("2026-08-01T00:00:00Z".parse().unwrap()),
        };
        let found: Vec<_> = old.find().unwrap().into_iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(found, ["sync.2020-01-01T00-00-00.000Z.log", "taskrun.2026-11-01T00-00-00.000Z.log"]);
        let all = OldLogs { before: Some(Timestamp::now() - jiff::SignedDuration::from_hours(24 * 30)), ..old };
        assert!(all.find().unwrap().contains(&dir.path().join("gone@shop.log")));
        assert!(!all.find().unwrap().contains(&dir.path().join("gone.log")), "written lately");
        let elsewhere = OldLogs { dir: dir.path().join("none"), ..all };
        assert_eq!(elsewhere.find().unwrap(), Vec::<PathBuf>::new());
    }
}
