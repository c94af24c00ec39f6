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
}

/// A name longer than this is none for tasks.yaml; what comes behind tells two of them apart.
const NAME_MAX: usize = 56;

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
    names: BTreeSet<String>,
    /// The last number behind a name that was not free.
    numbers: BTreeMap<String, u32>,
}

#[derive(Debug)]
enum Piece {
    /// With its `#`; empty for an empty line.
    Comment(String),
    Entry(String, Value),
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
        name.clone_into(&mut self.source);
    }

    /// A comment before the next section or task.
    pub(super) fn comment(&mut self, text: &str) {
        self.verbatim(&format!("# {text}"));
    }

    /// A comment that has its `#` already.
    pub(super) fn verbatim(&mut self, text: &str) {
        self.pending.push(Piece::Comment(printable(text)));
    }

    /// An empty line before the next task; several are one.
    pub(super) fn gap(&mut self) {
        if self.pending.last().or(self.tasks.last()).is_some_and(|last| !last.is_gap()) {
            self.pending.push(Piece::Comment(String::new()));
        }
    }

    /// Something that means something else from now on: before the next section or task, and for the person who imports.
    pub(super) fn differs(&mut self, line: usize, text: impl Into<String>) {
        self.remark(Remark { file: self.source.clone(), line, left_out: false, text: text.into() });
    }

    /// Something that did not become part of the tasks.
    pub(super) fn left_out(&mut self, line: usize, text: impl Into<String>) {
        self.remark(Remark { file: self.source.clone(), line, left_out: true, text: text.into() });
    }

    fn remark(&mut self, remark: Remark) {
        if self.remarks.last() == Some(&remark) {
            return;
        }
        self.comment(&format!("! {remark}"));
        self.remarks.push(remark);
    }

    /// A key at the top level, with what is to be said of it.
    pub(super) fn section(&mut self, comments: &[&str], key: &str, value: impl Into<Value>) {
        self.sections.push(Piece::Comment(String::new()));
        self.sections.append(&mut self.pending);
        self.sections.extend(comments.iter().map(|text| Piece::Comment(printable(&format!("# {text}")))));
        self.sections.push(Piece::Entry(key.to_owned(), value.into()));
    }

    /// A task; its name is made one that no other has.
    pub(super) fn task(&mut self, name: &str, task: Mapping) {
        let name = self.free_name(name);
        self.tasks.append(&mut self.pending);
        self.tasks.push(Piece::Entry(name, Value::Mapping(task)));
        self.tasks.push(Piece::Comment(String::new()));
    }

    fn free_name(&mut self, wanted: &str) -> String {
        let plain = plain_name(wanted);
        let number = self.numbers.entry(plain.clone()).or_insert(1);
        let mut free = plain.clone();
        while self.names.contains(&free) {
            *number = number.saturating_add(1);
            free = format!("{plain}_{number}");
        }
        self.names.insert(free.clone());
        free
    }

    /// The file.
    pub(super) fn finish(mut self) -> Result<Imported, SheetError> {
        self.tasks.append(&mut self.pending);
        while self.tasks.pop_if(|last| last.is_gap()).is_some() {}
        let mut yaml = String::new();
        for line in &self.head {
            push_line(&mut yaml, "", &printable(&format!("# {line}")));
        }
        push_pieces(&mut yaml, "", &self.sections)?;
        let tasks = self.names.len();
        yaml.push_str(if tasks == 0 { "\ntasks: {}\n" } else { "\ntasks:\n" });
        push_pieces(&mut yaml, if tasks == 0 { "" } else { "  " }, &self.tasks)?;
        Ok(Imported { yaml, remarks: self.remarks, tasks })
    }
}

fn push_pieces(yaml: &mut String, indent: &str, pieces: &[Piece]) -> Result<(), SheetError> {
    for piece in pieces {
        match piece {
            Piece::Comment(text) => push_line(yaml, indent, text),
            Piece::Entry(key, value) => {
                let mut entry = Mapping::new();
                entry.insert(key.as_str().into(), value.clone());
                let text = serde_yaml::to_string(&entry)?;
                if text.contains(is_odd) {
                    push_line(yaml, indent, &format!("{key}:"));
                    push_line(yaml, indent, &format!("  {}", quoted(value)?));
                } else {
                    text.lines().for_each(|line| push_line(yaml, indent, line));
                }
            }
        }
    }
    Ok(())
}

/// What some YAML readers take for a line end or refuse, and `serde_yaml` does not always escape.
fn is_odd(c: char) -> bool {
    c != '\n' && c != '\t' && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
}

/// A value on one line, with nothing odd in it that is not escaped.
fn quoted(value: &Value) -> Result<String, SheetError> {
    let json = serde_json::to_string(value)?;
    Ok(json.chars().map(|c| if is_odd(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect())
}

fn push_line(yaml: &mut String, indent: &str, line: &str) {
    if !line.is_empty() {
        yaml.push_str(indent);
        yaml.push_str(line);
    }
    yaml.push('\n');
}

/// A text as a comment can hold it: on one line, without what YAML does not allow.
fn printable(text: &str) -> String {
    let fits = |c: char| c == '\t' || !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'));
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
