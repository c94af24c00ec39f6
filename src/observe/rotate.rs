//! A log file that several processes may append to: whole lines, rotated by size, found again after logrotate, patient with a full disk.
//!
//! Each line is one `write(2)` to a file opened for appending, so it is visible at once and lines of two processes never mix. Who rotates holds
//! the lock (flock) of the very file that it moves aside, and looks again whether that is still the current one; the others notice and follow.
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

use fd_lock::RwLock;
use jiff::{SignedDuration, ToSpan, civil::DateTime, tz::Offset};

use crate::{
    core::task::Now,
    os::{self, FileId},
};

/// How often we look whether the file was moved or deleted, and how often a file that can't be opened is tried again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_millis(500);

/// The time in the name of a rotated file: sorts as text, and is a legal file name everywhere.
pub(super) const STAMP: &str = "%Y-%m-%dT%H-%M-%S%.3fZ";

/// How big a log file may become, and how many of them are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes of one file; a line that would exceed them goes to the next.
    pub(super) max_size: u64,
    /// Rotated files, beside the current one.
    pub(super) keep: usize,
}

/// A line that did not reach its file.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) error: io::Error,
    /// The line before it did.
    pub(super) first: bool,
}

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    limits: Limits,
    open: Option<Open>,
    /// When to look next, in uptime.
    look_at: SignedDuration,
    /// When a rotation that failed may be tried again.
    rotate_at: SignedDuration,
    /// Lines lost since the last one that was written.
    lost: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    identity: FileId,
    size: u64,
    /// The file ends in the middle of a line.
    torn: bool,
}

impl LogFile {
    /// The log `NAME.log` in a folder. Nothing is opened yet.
    pub(super) fn new(folder: &Path, name: &str, limits: Limits) -> Self {
        let path = folder.join(format!("{name}.log"));
        Self { path, limits, open: None, look_at: SignedDuration::MIN, rotate_at: SignedDuration::MIN, lost: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether lines are being lost.
    pub(super) fn is_failing(&self) -> bool {
        self.lost > 0
    }

    /// Appends a line, which ends in a line feed. `lost` writes the line that says how many were lost before it.
    pub(super) fn append(&mut self, line: &[u8], now: Now, lost: impl FnOnce(u64) -> Vec<u8>) -> Result<(), Lost> {
        let written = if self.lost == 0 {
            self.write(line, now)
        } else {
            // In one piece: a nearly full disk has room for the notice alone, again and again.
            self.write(&[&lost(self.lost), line].concat(), now)
        };
        if written.is_ok() {
            self.lost = 0;
        }
        written.map_err(|error| {
            self.lost += 1;
            Lost { error, first: self.lost == 1 }
        })
    }

    fn write(&mut self, line: &[u8], now: Now) -> io::Result<()> {
        self.look(now);
        let size = self.ready()?.size;
        if size > 0 && size + line.len() as u64 > self.limits.max_size && now.uptime >= self.rotate_at {
            self.rotate(now);
        }
        self.ready()?.append(line)
    }

    /// Lets go of a file that was moved or deleted.
    fn look(&mut self, now: Now) {
        if now.uptime < self.look_at {
            return;
        }
        self.look_at = now.uptime.saturating_add(LOOK_AGAIN);
        if self.open.as_ref().is_some_and(|open| !open.is_at(&self.path)) {
            self.open = None;
        }
    }

    /// The open file; opens it, and makes the folder, where that is needed.
    fn ready(&mut self) -> io::Result<&mut Open> {
        match &mut self.open {
            Some(open) => Ok(open),
            closed => Ok(closed.insert(Open::at(&self.path)?)),
        }
    }

    /// Moves the file aside, or finds that somebody else has. What fails is tried again later; until then the file grows.
    fn rotate(&mut self, now: Now) {
        let Some(open) = self.open.take() else { return };
        // Under Windows a lock keeps others from what it is on: this one is on the first byte alone, which nobody writes any more.
        let moved = match RwLock::new(&open.file).try_write() {
            Ok(_) if open.is_at(&self.path) => Some(self.move_aside(now)),
            Ok(_) => Some(Ok(())),
            Err(_) => None,
        };
        match moved {
            // Somebody else is at it; this line may still go to the file that they move.
            None => self.open = Some(open),
            Some(Err(_)) => self.rotate_at = now.uptime.saturating_add(LOOK_AGAIN),
            Some(Ok(())) => {}
        }
    }

    /// Renames the file after the time, later than any before it, and removes the oldest.
    fn move_aside(&self, now: Now) -> io::Result<()> {
        let (folder, name) = (os::above(&self.path), self.path.file_stem().unwrap_or_default());
        let mut rotated = rotated(folder, name)?;
        let mut stamp = Offset::UTC.to_datetime(now.wall);
        if let Some(newest) = rotated.last().filter(|newest| **newest >= truncated(stamp)) {
            stamp = newest.checked_add(1.millisecond()).unwrap_or(stamp);
        }
        // Without patience, unlike `os::rename`: all that log wait for us. Who has the file now is out of the way at the next try.
        fs::rename(&self.path, rotated_path(folder, name, stamp))?;
        rotated.push(stamp);
        let excess = rotated.len().saturating_sub(self.limits.keep);
        for oldest in rotated.iter().take(excess) {
            match fs::remove_file(rotated_path(folder, name, *oldest)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => (),
            }
        }
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let open = || os::options(0o640).read(true).append(true).create(true).open(path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                os::make_folder(os::above(path), 0o750)?;
                open()?
            }
            opened => opened?,
        };
        let (identity, size) = (FileId::of(&file)?, file.metadata()?.len());
        let torn = !ends_whole(&file)?;
        Ok(Self { file, identity, size, torn })
    }

    /// Whether the path still leads to this file.
    fn is_at(&self, path: &Path) -> bool {
        FileId::at(path).is_ok_and(|found| found == self.identity)
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        // What looked torn may have been another process's line on its way.
        self.torn = self.torn && !ends_whole(&self.file)?;
        let after_torn;
        let line = if self.torn {
            after_torn = [b"\n", line].concat();
            &after_torn
        } else {
            line
        };
        let written = match self.file.write(line) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.file.write(line)?,
            written => written?,
        };
        // After an append the position is the end of what we wrote, wherever others have written before.
        self.size = self.file.stream_position()?;
        if written == line.len() {
            self.torn = false;
            return Ok(());
        }
        // The disk is full. Take the piece back if nobody has written behind it, else the next line starts afresh.
        let taken_back = self.file.metadata()?.len() == self.size && self.file.set_len(self.size - written as u64).is_ok();
        self.torn |= !taken_back;
        Err(io::ErrorKind::StorageFull.into())
    }
}

/// Whether the file is empty or ends with a line feed.
fn ends_whole(file: &File) -> io::Result<bool> {
    let size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        os::read_at(file, &mut last, size - 1)?;
    }
    Ok(last == [b'\n'])
}

/// The time that stands in the name of a rotated file, in UTC.
pub(super) fn stamp(text: &str) -> Option<DateTime> {
    DateTime::strptime(STAMP, text).ok()
}

/// The stamps of a log's rotated files, oldest first.
fn rotated(folder: &Path, name: &OsStr) -> io::Result<Vec<DateTime>> {
    let stamp = |entry: fs::DirEntry| {
        let file = entry.file_name();
        let stamp = file.to_str()?.strip_prefix(name.to_str()?)?.strip_prefix('.')?.strip_suffix(".log")?;
        self::stamp(stamp)
    };
    let mut stamps: Vec<DateTime> = fs::read_dir(folder)?.flatten().filter_map(stamp).collect();
    stamps.sort_unstable();
    Ok(stamps)
}

fn rotated_path(folder: &Path, name: &OsStr, stamp: DateTime) -> PathBuf {
    folder.join(format!("{}.{}.log", name.to_string_lossy(), stamp.strftime(STAMP)))
}

/// To the millisecond, as the stamp shows it.
fn truncated(stamp: DateTime) -> DateTime {
    stamp.with().subsec_nanosecond(i32::from(stamp.millisecond()) * 1_000_000).build().unwrap_or(stamp)
}

#[cfg(test)]
mod tests;
