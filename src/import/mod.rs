//! Moving in: the settings of other systems as a tasks.yaml, with what could not be taken over at its place.
//!
//! Pure: texts come in, a text and remarks go out. A value that may be a secret is never shown; `${NAME}` stands where it stood.
use std::fmt;

pub mod crontab;
mod literal;
pub mod office;
mod secret;
mod sheet;

pub use sheet::SheetError;

/// The longest file that is read: what comes of a longer one could be more than tasks.yaml may hold.
pub const BYTES_MAX: usize = 1 << 20;

/// A tasks.yaml made of somebody else's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    pub yaml: String,
    /// What means something else than before, and what was left out; in the order of the lines. Each stands in the YAML as a comment, too.
    pub remarks: Vec<Remark>,
    pub tasks: usize,
}

/// What a person should know of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which file it is about, where there are several; empty where there is one.
    pub file: String,
    /// Counted from 1; 0 where it is about the file as a whole.
    pub line: usize,
    /// Whether the line did not become part of the tasks.
    pub left_out: bool,
    /// What, why, and what to do.
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = if self.left_out { "left out: " } else { "" };
        let file = if self.file.is_empty() { String::new() } else { format!("{} ", self.file) };
        match self.line {
            0 => write!(f, "{file}{left_out}{}", self.text),
            line => write!(f, "{file}line {line}: {left_out}{}", self.text),
        }
    }
}
