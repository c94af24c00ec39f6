//! The files of a folder of logs: their lines in the order of time, the last of them, and what is written from now on.
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};

use super::{Line, Wanted};
use crate::{
    observe::{log::DAEMON, rotate},
    os::FileId,
};

/// More of a line than this is not read: no taskrun writes such lines.
const LINE_MAX: u64 = 1 << 20;
/// Read from one file in one look; the rest follows in the next.
const LOOK_MAX: u64 = 8 << 20;

/// The logs in a folder.
#[derive(Clone, Debug)]
pub struct Logs {
    dir: PathBuf,
    zone: TimeZone,
}

/// One log: a name, and its files from the oldest to the one that is written to.
#[derive(Clone, Debug)]
struct Log {
    name: String,
    /// Those set aside, with the time at which they were.
    rotated: Vec<(Timestamp, PathBuf)>,
    current: PathBuf,
}

impl Log {
    fn paths(&self, since: Option<Timestamp>) -> impl Iterator<Item = &Path> {
        // What was set aside before then holds nothing younger.
        let young = self.rotated.iter().filter(move |(until, _)| since.is_none_or(|since| *until >= since));
        young.map(|(_, path)| path.as_path()).chain([self.current.as_path()])
    }
}

impl Logs {
    /// The logs in a folder. `zone`: of the times in text lines.
    pub fn new(dir: &Path, zone: TimeZone) -> Self {
        Self { dir: dir.to_owned(), zone }
    }

    /// The lines that are wanted, in the order of time: the last `limit` of them, or all.
    ///
    /// # Errors
    /// The folder or a file cannot be read. A folder that is not there is an empty one.
    pub fn lines(&self, wanted: &Wanted, limit: Option<usize>) -> io::Result<Vec<Line>> {
        let logs = self.found(wanted)?;
        // Mostly the last lines stand in the files that are written to, and the old ones need not be opened.
        if let (Some(limit), None) = (limit, wanted.since) {
            let current: Vec<Log> = logs.iter().map(|log| Log { rotated: Vec::new(), ..log.clone() }).collect();
            let horizon =
                logs.iter().filter(|log| !log.rotated.is_empty()).filter_map(|log| log.rotated.last().map(|(until, _)| *until)).max();
            let lines = self.merged(&current, wanted, Some(limit))?;
            let reaches = lines.first().and_then(|line| line.at).is_some_and(|first| horizon.is_none_or(|horizon| first > horizon));
            if horizon.is_none() || (lines.len() >= limit && reaches) {
                return Ok(lines);
            }
        }
        self.merged(&logs, wanted, limit)
    }

    /// What is written from now on.
    pub fn follow(&self, wanted: Wanted) -> Follower {
        let mut follower = Follower { logs: self.clone(), wanted, open: BTreeMap::new() };
        drop(follower.look_from(true));
        follower
    }

    /// The logs that may have wanted lines. An instance's file is read for itself, `taskrun.log` for what belongs to no instance.
    fn found(&self, wanted: &Wanted) -> io::Result<Vec<Log>> {
        let mut logs: BTreeMap<String, Log> = BTreeMap::new();
        let entries = match self.dir.read_dir() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Some(stem) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".log")).map(ToOwned::to_owned) else { continue };
            let (name, until) = match stem.split_once('.') {
                Some((name, stamp)) => match rotate::stamp(stamp) {
                    Some(until) => (name.to_owned(), Some(until)),
                    None => continue,
                },
                None => (stem, None),
            };
            if !wanted.wants_log(&name) {
                continue;
            }
            let current = self.dir.join(format!("{name}.log"));
            let log = logs.entry(name.clone()).or_insert_with(|| Log { name, rotated: Vec::new(), current });
            if let Some(until) = until.and_then(|until| Offset::UTC.to_timestamp(until).ok()) {
                log.rotated.push((until, entry.path()));
            }
        }
        let mut logs: Vec<Log> = logs.into_values().collect();
        for log in &mut logs {
            log.rotated.sort();
        }
        Ok(logs)
    }

    fn merged(&self, logs: &[Log], wanted: &Wanted, limit: Option<usize>) -> io::Result<Vec<Line>> {
        let mut sources: Vec<Source<'_>> = logs.iter().map(|log| Source::new(log, self, wanted)).collect();
        // Times in text lines are whole seconds; within one, the earlier run comes first.
        let mut heads = BinaryHeap::new();
        for (index, source) in sources.iter_mut().enumerate() {
            if let Some((key, line)) = source.next()? {
                heads.push(Reverse((key, line.run, index, Waiting(line))));
            }
        }
        let mut lines = VecDeque::new();
        while let Some(Reverse((.., index, Waiting(line)))) = heads.pop() {
            if limit.is_some_and(|limit| lines.len() >= limit) {
                lines.pop_front();
            }
            lines.push_back(line);
            if let Some((key, line)) = sources.get_mut(index).map_or(Ok(None), Source::next)? {
                heads.push(Reverse((key, line.run, index, Waiting(line))));
            }
        }
        Ok(lines.into())
    }
}

/// A line on the heap; the heap goes by what stands before it.
struct Waiting(Line);

impl PartialEq for Waiting {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// Whether a line that stands in a log belongs to it: what is an instance's stands in that instance's log, too.
fn is_own(log: &str, line: &Line, dir: &Path) -> bool {
    log != DAEMON || line.name == DAEMON || !dir.join(format!("{}.log", line.name)).exists()
}

/// The wanted lines of one log, oldest first.
struct Source<'a> {
    log: &'a Log,
    logs: &'a Logs,
    wanted: &'a Wanted,
    files: VecDeque<PathBuf>,
    open: Option<BufReader<File>>,
    /// Times never go back within a log: what has no time of its own stays behind what it follows.
    at: Timestamp,
}

impl<'a> Source<'a> {
    fn new(log: &'a Log, logs: &'a Logs, wanted: &'a Wanted) -> Self {
        let files = log.paths(wanted.since).map(ToOwned::to_owned).collect();
        Self { log, logs, wanted, files, open: None, at: Timestamp::MIN }
    }

    fn next(&mut self) -> io::Result<Option<(Timestamp, Line)>> {
        loop {
            let Some(file) = &mut self.open else {
                let Some(path) = self.files.pop_front() else { return Ok(None) };
                // Rotated away and removed in the meantime: older than what is kept.
                self.open = File::open(path).ok().map(BufReader::new);
                continue;
            };
            let Some(text) = read_line(file)? else {
                self.open = None;
                continue;
            };
            let line = Line::parse(&text, &self.logs.zone);
            self.at = line.at.unwrap_or(self.at).max(self.at);
            if self.wanted.takes(&line) && is_own(&self.log.name, &line, &self.logs.dir) {
                return Ok(Some((self.at, line)));
            }
        }
    }
}

/// The next line without its line feed, what is not UTF-8 replaced.
fn read_line(file: &mut BufReader<File>) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if file.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}

/// Reads what is written to the logs of a folder, through rotations, and logs that come into being.
#[derive(Debug)]
pub struct Follower {
    logs: Logs,
    wanted: Wanted,
    /// By name: the file that was the current one when we looked.
    open: BTreeMap<String, Tail>,
}

/// How far a file has been read.
#[derive(Debug)]
struct Tail {
    file: File,
    identity: FileId,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
}

impl Follower {
    /// The wanted lines that were written since the last look, in the order of time.
    ///
    /// # Errors
    /// The folder or a file cannot be read.
    pub fn look(&mut self) -> io::Result<Vec<Line>> {
        self.look_from(false)
    }

    /// `at_end`: what stands in the files already is passed over.
    fn look_from(&mut self, at_end: bool) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for log in self.logs.found(&self.wanted)? {
            let mut texts = Vec::new();
            if let Some(tail) = self.open.get_mut(&log.name) {
                tail.read(&mut texts)?;
            }
            if let Ok(file) = File::open(&log.current) {
                let identity = FileId::of(&file)?;
                let known = self.open.get(&log.name);
                if known.is_none_or(|tail| tail.identity != identity) {
                    let mut tail = Tail { file, identity, begun: Vec::new() };
                    if at_end {
                        io::Seek::seek(&mut tail.file, io::SeekFrom::End(0))?;
                    } else {
                        tail.read(&mut texts)?;
                    }
                    self.open.insert(log.name.clone(), tail);
                }
            }
            let parsed = texts.iter().map(|text| Line::parse(text, &self.logs.zone));
            lines.extend(parsed.filter(|line| self.wanted.takes(line) && is_own(&log.name, line, &self.logs.dir)));
        }
        lines.sort_by_key(|line| (line.at, line.run));
        Ok(lines)
    }
}

impl Tail {
    /// Reads the lines that have come to their end.
    fn read(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        self.file.by_ref().take(LOOK_MAX).read_to_end(&mut self.begun)?;
        let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let rest = self.begun.split_off(end + 1);
        let whole = std::mem::replace(&mut self.begun, rest);
        lines.extend(String::from_utf8_lossy(&whole).lines().map(ToOwned::to_owned));
        Ok(())
    }
}
