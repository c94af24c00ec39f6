//! The ledger: every request as a line that people can read, and as JSON for whoever asks.
use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use super::{Practice, state::Entry};

/// Entries in one answer.
const PAGE_MAX: i64 = 1000;

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

fn shown(entry: &Entry) -> Value {
    let at = jiff::Timestamp::from_millisecond(entry.at_ms).unwrap_or_default();
    json!({
        "seq": entry.seq, "at": at.to_string(), "method": entry.method, "path": entry.path, "account": entry.account,
        "write": entry.write, "status": entry.status, "detail": entry.detail,
    })
}

/// `GET /sandbox/ledger?after=SEQ&writes=true`: at most a thousand entries, oldest first.
pub(super) async fn show(
    State(practice): State<Arc<Practice>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, StatusCode> {
    let after = query.get("after").and_then(|after| after.parse().ok()).unwrap_or(0);
    let only_writes = query.get("writes").is_some_and(|writes| writes == "true");
    let entries = practice.state.ledger(after, PAGE_MAX).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let last = entries.last().map_or(after, |entry| entry.seq);
    let shown: Vec<_> = entries.iter().filter(|entry| entry.write || !only_writes).map(shown).collect();
    Ok(Json(json!({ "entries": shown, "last": last })))
}
