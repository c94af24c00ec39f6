//! The folder of the copies: their names, how long they stay, and what killed runs left there.
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{BackupError, file, read_back};
use crate::{
    config::keys::{Key, Kind},
    core::value::Params,
    os,
};

/// Where copies lie and how long: what `backup` is told, and `cleanup` of it.
pub const RETENTION: &[Key] = &[
    Key { name: "dir", kind: Kind::Path, required: false, doc: "The folder of the copies; default `backups` in the state folder." },
    Key { name: "keep", kind: Kind::Int(1, 10_000), required: false, doc: "How many copies are kept; default 14." },
    Key {
        name: "keep_for",
        kind: Kind::Duration(false),
        required: false,
        doc: "Copies older than this are removed, but never the last whole one; default 60d.",
    },
];

const KEEP: usize = 14;
const KEEP_FOR: SignedDuration = SignedDuration::from_hours(60 * 24);

const PREFIX: &str = "taskrun-";
const SUFFIX: &str = ".db.gz";
/// What is not finished has this in its name; nobody takes it for a copy.
const PART: &str = ".part";
/// Where locks do not work, what a killed run left behind goes after this long.
const PART_LIVES: Duration = Duration::from_hours(24);

/// Which copies stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// At most so many.
    pub keep: usize,
    /// None from before.
    pub before: Timestamp,
}

impl Retention {
    /// What parameters of the table [`RETENTION`] say.
    pub fn of(params: &Params, now: Timestamp) -> Self {
        let keep = params.int("keep").and_then(|keep| usize::try_from(keep).ok()).unwrap_or(KEEP);
        Self { keep, before: now.checked_sub(params.duration("keep_for").unwrap_or(KEEP_FOR)).unwrap_or(Timestamp::MIN) }
    }
}

/// The folder that parameters of the table [`RETENTION`] name.
pub fn folder_of(params: &Params, base: &Path, default: &Path) -> PathBuf {
    params.text("dir").map_or_else(|| default.to_owned(), |dir| base.join(dir))
}

/// The name of a copy that is made now.
pub(super) fn name_of(now: Timestamp) -> String {
    format!("{PREFIX}{}{SUFFIX}", now.strftime("%Y%m%dT%H%M%S.%3fZ"))
}

/// The name of what becomes a copy.
pub(super) fn part_of(name: &str, what: &str) -> String {
    format!("{name}.{}.{what}{PART}", std::process::id())
}

/// Shares the folder with others who make copies there. Who comes while nobody is at work removes what killed runs left.
pub(super) fn hold(dir: &Path) -> io::Result<fs::File> {
    let folder = os::lock_of_folder(dir)?;
    match folder.try_lock() {
        Ok(()) => {
            remove_parts(dir, Duration::ZERO);
            // Under Windows the other lock would not take its place, but come to it.
            os::unlock(&folder);
        }
        Err(fs::TryLockError::WouldBlock) => {}
        // Some network drives know no locks.
        Err(fs::TryLockError::Error(_)) => {
            remove_parts(dir, PART_LIVES);
            return Ok(folder);
        }
    }
    folder.lock_shared()?;
    Ok(folder)
}

/// Removes what is unfinished and at least that old.
fn remove_parts(dir: &Path, age: Duration) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_part = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX) && name.contains(PART));
        let is_old =
            || entry.metadata().and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok()).is_some_and(|old| age <= old);
        if is_part && (age.is_zero() || is_old()) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// The finished copies of a folder, oldest first.
///
/// # Errors
/// When the folder can't be read.
pub fn copies(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if taken_at(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// When a copy was taken, by its name; `None` for whatever is none.
fn taken_at(path: &Path) -> Option<Timestamp> {
    let text = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S%.fZ", text).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp())
}

/// Removes the copies that are too many or too old, and gives their names; with `dry` it only gives them. The newest stays, and so does the newest
/// whole one, should those that stay be damaged.
///
/// # Errors
/// When the folder can't be read, or a copy not removed.
pub fn remove_old(dir: &Path, retention: &Retention, dry: bool) -> Result<Vec<PathBuf>, BackupError> {
    let found = copies(dir).map_err(file("read", dir))?;
    let beyond = found.len().saturating_sub(retention.keep.max(1));
    let newest = found.len().saturating_sub(1);
    let is_old = |nth: usize, path: &Path| nth < newest && (nth < beyond || taken_at(path).is_some_and(|at| at < retention.before));
    let (old, staying): (Vec<_>, Vec<_>) = found.into_iter().enumerate().partition(|(nth, path)| is_old(*nth, path));
    let mut old: Vec<_> = old.into_iter().map(|(_, path)| path).collect();
    let is_whole = |path: &Path| read_back(path).is_ok_and(|length| length > 0);
    if !old.is_empty() && !staying.iter().rev().any(|(_, path)| is_whole(path)) {
        let last = old.iter().rposition(|path| is_whole(path));
        last.map(|last| old.remove(last));
    }
    if !dry {
        for path in &old {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file("remove", path)(error)),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(old)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn copy(dir: &Path, day: i64, whole: bool) -> PathBuf {
        let path = dir.join(name_of("2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * day)));
        let mut gzip = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast());
        gzip.write_all(b"a store").unwrap();
        gzip.finish().unwrap();
        if !whole {
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        }
        path
    }

    fn retention(keep: usize, day: i64) -> Retention {
        Retention { keep, before: "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * day) }
    }

    #[test]
    fn copies_go_by_number_and_by_age_and_the_newest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<_> = (0..6).map(|day| copy(dir.path(), day, true)).collect();
        fs::write(dir.path().join("mine.db.gz"), "x").unwrap();
        assert_eq!(remove_old(dir.path(), &retention(4, 0), true).unwrap(), all[..2], "a look removes nothing");
        assert_eq!(remove_old(dir.path(), &retention(4, 0), false).unwrap(), all[..2]);
        assert_eq!(remove_old(dir.path(), &retention(4, 3), false).unwrap(), all[2..3]);
        assert_eq!(remove_old(dir.path(), &retention(1, 99), false).unwrap(), all[3..5], "however old");
        assert_eq!(copies(dir.path()).unwrap(), all[5..]);
        assert!(dir.path().join("mine.db.gz").exists());
    }

    #[test]
    fn the_last_whole_copy_stays_where_newer_ones_are_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<_> = [true, true, false, false].into_iter().zip(0..).map(|(whole, day)| copy(dir.path(), day, whole)).collect();
        assert_eq!(remove_old(dir.path(), &retention(1, 99), false).unwrap(), [all[0].clone(), all[2].clone()]);
        assert_eq!(copies(dir.path()).unwrap(), [all[1].clone(), all[3].clone()]);
    }

    #[test]
    fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join(format!("{}-journal", part_of(&name_of(Timestamp::UNIX_EPOCH), "plain")));
        let first = hold(dir.path()).unwrap();
        fs::write(&left, "half").unwrap();
        let second = hold(dir.path()).unwrap();
        assert!(left.exists(), "somebody is at work");
        drop((first, second));
        drop(hold(dir.path()).unwrap());
        assert!(!left.exists());
    }
}
