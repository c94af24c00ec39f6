//! The ledger's other form: every request as a line of `ledger.jsonl`, for people.
use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

use super::state::Entry;

/// `ledger.jsonl` in the practice folder.
#[derive(Debug)]
pub(super) struct File(Mutex<fs::File>);

impl File {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(fs::OpenOptions::new().create(true).append(true).open(dir.join("ledger.jsonl"))?)))
    }

    /// Adds a line. The state's table is what counts; a line that can't be written is not worth failing for.
    pub(super) fn append(&self, entry: &Entry) {
        let line = format!("{}\n", shown(entry));
        if let Err(error) = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes()) {
            tracing::warn!(%error, "ledger.jsonl can't be written");
        }
    }
}

/// An instant as people and programs read it.
pub(super) fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

pub(super) fn shown(entry: &Entry) -> Value {
    json!({
        "seq": entry.seq, "at": instant(entry.at_ms), "at_ms": entry.at_ms, "method": entry.method, "path": entry.path,
        "operation": entry.operation().map(super::Operation::word), "account": entry.account, "write": entry.write, "status": entry.status,
        "detail": entry.detail, "fault": entry.fault,
    })
}
