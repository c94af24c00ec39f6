//! The tasks.yaml that is being made: tasks and sections in order, with comments and remarks at their places.
//!
//! `serde_yaml` writes the values, so that quoting is its affair; comments, which it does not know, go between them.
use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::{Mapping, Value};

use super::{Imported, Remark};

/// The file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    #[error("failed to write the YAML")]
    Yaml(#[from] serde_yaml::Error),
    #[error("failed to write a value on one line")]
    Json(#[from] serde_json::Error),
    #[error("the tasks would take more than {} MiB: split the file, or shorten what stands in each of them", TASKS_MAX >> 20)]
    TasksTooLarge,
    #[error("more than {} MiB would come of it, which is more than tasks.yaml may have: split the file", SIZE_MAX >> 20)]
    TooLarge,
}

/// A name longer than this is none for tasks.yaml; what comes behind tells two of them apart.
const NAME_MAX: usize = 56;
/// Tasks that take more bytes than this are a mistake, and could be more values than tasks.yaml may hold.
const TASKS_MAX: usize = 8 << 20;
/// More bytes than this are no tasks.yaml.
const SIZE_MAX: usize = 16 << 20;

/// A file in the making.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    head: Vec<String>,
    sections: Vec<Piece>,
    tasks: Vec<Piece>,
    /// What stands before the next section or task.
    pending: Vec<Piece>,
    /// The file that the remarks are about, where there are several.
    source: String,
    remarks: Vec<Remark>,
    names: Names,
    count: usize,
    /// How many bytes the tasks take, and how many all that is said.
    tasks_size: usize,
    size: usize,
    /// Why there will be no file. From then on, nothing more is kept.
    fault: Option<SheetError>,
}

#[derive(Debug)]
enum Piece {
    /// With its `#`; empty for an empty line.
    Comment(String),
    /// As YAML.
    Entry(String),
}

impl Piece {
    fn is_gap(&self) -> bool {
        matches!(self, Self::Comment(text) if text.is_empty())
    }
}

impl Sheet {
    /// A line at the top of the file.
    pub(super) fn head(&mut self, text: impl Into<String>) {
        self.head.push(text.into());
    }

    /// From here on, remarks are about this file.
    pub(super) fn source(&mut self, name: &str) {
        self.source = printable(name);
    }

    /// There will be no file, as it would be too large: whatever else is said of it is in vain.
    pub(super) fn is_lost(&self) -> bool {
        self.fault.is_some()
    }

    /// A comment before the next section or task.
    pub(super) fn comment(&mut self, text: &str) {
        self.verbatim(&format!("# {text}"));
    }

    /// A comment that has its `#` already.
    pub(super) fn verbatim(&mut self, text: &str) {
        let text = printable(text);
        if self.has_room(text.len()) {
            self.pending.push(Piece::Comment(text));
        }
    }

    /// An empty line before the next task; several are one.
    pub(super) fn gap(&mut self) {
        if self.pending.last().or(self.tasks.last()).is_some_and(|last| !last.is_gap()) && self.has_room(0) {
            self.pending.push(Piece::Comment(String::new()));
        }
    }

    /// Counts a piece in, if there is room for it.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.size = self.size.saturating_add(bytes).saturating_add(LINE_SIZE);
        if SIZE_MAX < self.size {
            self.fault.get_or_insert(SheetError::TooLarge);
        }
        self.fault.is_none()
    }

    /// Something that means something else from now on: before the next section or task, and for the person who imports.
    pub(super) fn differs(&mut self, line: usize, text: impl Into<String>) {
        self.remark(line, false, &text.into());
    }

    /// Something that did not become part of the tasks.
    pub(super) fn left_out(&mut self, line: usize, text: impl Into<String>) {
        self.remark(line, true, &text.into());
    }

    fn remark(&mut self, line: usize, left_out: bool, text: &str) {
        let remark = Remark { file: self.source.clone(), line, left_out, text: printable(text) };
        if self.remarks.last() == Some(&remark) {
            return;
        }
        self.comment(&format!("! {remark}"));
        if !self.is_lost() {
            self.remarks.push(remark);
        }
    }

    /// A key at the top level, with what is to be said of it.
    pub(super) fn section(&mut self, comments: &[&str], key: &str, value: impl Into<Value>) {
        let Some(text) = self.entry(key, value.into()) else { return };
        self.sections.push(Piece::Comment(String::new()));
        self.sections.append(&mut self.pending);
        self.sections.extend(comments.iter().map(|text| Piece::Comment(printable(&format!("# {text}")))));
        self.sections.push(Piece::Entry(text));
    }

    /// A task; its name is made one that no other has.
    pub(super) fn task(&mut self, name: &str, task: Mapping) {
        let name = self.names.free(&plain_name(name));
        let Some(text) = self.entry(&name, Value::Mapping(task)) else { return };
        self.tasks_size = self.tasks_size.saturating_add(text.len()).saturating_add(text.lines().count().saturating_mul(LINE_SIZE));
        if TASKS_MAX < self.tasks_size {
            self.fault.get_or_insert(SheetError::TasksTooLarge);
            return;
        }
        self.count = self.count.saturating_add(1);
        self.tasks.append(&mut self.pending);
        self.tasks.push(Piece::Entry(text));
        self.tasks.push(Piece::Comment(String::new()));
    }

    /// A key and its value as YAML, if there is room for it.
    fn entry(&mut self, key: &str, value: Value) -> Option<String> {
        let text = match written(key, value) {
            Ok(text) => text,
            Err(error) => {
                self.fault.get_or_insert(error);
                return None;
            }
        };
        self.has_room(text.len().saturating_add(text.lines().count().saturating_mul(LINE_SIZE))).then_some(text)
    }

    /// The file.
    pub(super) fn finish(mut self) -> Result<Imported, SheetError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.tasks.append(&mut self.pending);
        while self.tasks.pop_if(|last| last.is_gap()).is_some() {}
        let mut yaml = String::new();
        for line in &self.head {
            push_line(&mut yaml, "", &printable(&format!("# {line}")));
        }
        push_pieces(&mut yaml, "", &self.sections);
        yaml.push_str(if self.count == 0 { "\ntasks: {}\n" } else { "\ntasks:\n" });
        push_pieces(&mut yaml, if self.count == 0 { "" } else { "  " }, &self.tasks);
        Ok(Imported { yaml, remarks: self.remarks, tasks: self.count })
    }
}

/// What each line takes beside its text: its indent and its end.
const LINE_SIZE: usize = 3;

/// Names of which each is given once.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: BTreeSet<String>,
    /// The last number behind a name that was not free.
    numbers: BTreeMap<String, u32>,
}

impl Names {
    /// Takes a name without asking whether it is free.
    pub(super) fn take(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// Takes this name, or if it is not free, the next one with a number behind it.
    pub(super) fn free(&mut self, wanted: &str) -> String {
        let mut free = wanted.to_owned();
        while !self.taken.insert(free.clone()) {
            let number = self.numbers.entry(wanted.to_owned()).or_insert(1);
            *number = number.saturating_add(1);
            free = format!("{wanted}_{number}");
        }
        free
    }
}

fn push_pieces(yaml: &mut String, indent: &str, pieces: &[Piece]) {
    for piece in pieces {
        match piece {
            Piece::Comment(text) => push_line(yaml, indent, text),
            Piece::Entry(text) => text.lines().for_each(|line| push_line(yaml, indent, line)),
        }
    }
}

/// A key and its value as YAML, without anything odd in it that is not escaped.
fn written(key: &str, value: Value) -> Result<String, SheetError> {
    let mut entry = Mapping::new();
    entry.insert(key.into(), value);
    let text = serde_yaml::to_string(&entry)?;
    if !text.contains(is_odd) {
        return Ok(text);
    }
    // JSON is YAML, on one line.
    let json = serde_json::to_string(entry.values().next().unwrap_or(&Value::Null))?;
    let json: String = json.chars().map(|c| if is_odd(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect();
    Ok(format!("{key}:\n  {json}\n"))
}

/// What some YAML readers take for a line end or refuse, and `serde_yaml` does not always escape.
fn is_odd(c: char) -> bool {
    c != '\n' && c != '\t' && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
}

fn push_line(yaml: &mut String, indent: &str, line: &str) {
    if !line.is_empty() {
        yaml.push_str(indent);
        yaml.push_str(line);
    }
    yaml.push('\n');
}

/// A text as a comment and a terminal can hold it: on one line, without what YAML does not allow, a terminal obeys, or turns others around.
fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let fits = |c: char| c == '\t' || !(c.is_control() || turns(c) || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}'));
    let text: String = text.chars().map(|c| if fits(c) { c } else { '?' }).collect();
    text.trim_end().to_owned()
}

/// A name as tasks.yaml wants it.
pub(super) fn plain_name(wanted: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' };
    let name: String = wanted.chars().map(fits).take(NAME_MAX).collect();
    let name = name.trim_matches(['_', '-']);
    if name.is_empty() { "task".to_owned() } else { name.to_owned() }
}

/// A mapping of these, in this order.
pub(super) fn mapping<const N: usize>(entries: [(&str, Value); N]) -> Mapping {
    entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect()
}

/// `${` as tasks.yaml writes it where no variable is meant.
pub(super) fn literal(text: &str) -> String {
    text.replace("${", "$${")
}
