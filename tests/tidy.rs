//! The shape of the source itself: who may use whom, how long a file may be, how it opens.
#![cfg(test)]
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What reaches the world outside: a file, a clock, the database, another task.
const WORLD: &[&str] = &["tokio", "rusqlite", "tracing", "std::fs", "std::env", "Timestamp::now", "async fn"];
/// The layers that stand on the pure ones.
const ABOVE: &[&str] = &[
    "crate::store",
    "crate::engine",
    "crate::handlers",
    "crate::marketplace",
    "crate::notify",
    "crate::sandbox",
    "crate::http",
    "crate::cli",
];

/// A layer, and what its files may not name.
const LAYERS: &[(&str, &[&[&str]])] = &[
    (
        "src/core",
        &[
            WORLD,
            ABOVE,
            &[
                "serde",
                "reqwest",
                "axum",
                "std::net",
                "std::thread",
                "std::process",
                "Zoned::now",
                "SystemTime",
                "Instant",
                "crate::config",
                "crate::shop",
                "crate::access",
            ],
        ],
    ),
    ("src/shop", &[WORLD, ABOVE, &["serde", "reqwest", "axum", "std::net", "crate::config", "crate::access"]]),
    ("src/config", &[ABOVE, &["tokio", "rusqlite"]]),
    ("src/import", &[WORLD, ABOVE, &["crate::config"]]),
    (
        "src/store",
        &[&[
            "crate::engine",
            "crate::handlers",
            "crate::marketplace",
            "crate::http",
            "crate::cli",
            "crate::config",
            "crate::notify",
            "crate::sandbox",
        ]],
    ),
    ("src/outbound", &[ABOVE, &["rusqlite"]]),
    (
        "src/marketplace",
        &[&["rusqlite", "crate::engine", "crate::handlers", "crate::http", "crate::cli", "crate::notify", "crate::sandbox"]],
    ),
    ("src/handlers", &[&["rusqlite", "crate::engine", "crate::http", "crate::cli", "crate::sandbox"]]),
    (
        "src/notify",
        &[&["rusqlite", "crate::engine", "crate::handlers", "crate::marketplace", "crate::sandbox", "crate::http", "crate::cli"]],
    ),
    ("src/engine", &[&["rusqlite", "reqwest", "axum", "crate::marketplace", "crate::http", "crate::cli", "crate::sandbox"]]),
    ("src/sandbox", &[&["crate::"]]),
    (
        "src/observe",
        &[&[
            "rusqlite",
            "reqwest",
            "axum",
            "crate::store",
            "crate::engine",
            "crate::handlers",
            "crate::marketplace",
            "crate::http",
            "crate::cli",
        ]],
    ),
    (
        "src/http",
        &[&["rusqlite", "crate::store", "crate::handlers", "crate::marketplace", "crate::cli", "crate::core::step", "crate::core::state"]],
    ),
    ("src/view", &[&["rusqlite", "reqwest", "axum", "crate::http", "crate::cli", "crate::core::step", "crate::core::state"]]),
    ("src/cli", &[&["crate::core::step", "crate::core::state"]]),
];
/// Above this a file holds two topics.
const CODE_LINES_MAX: usize = 400;

#[test]
fn source_is_tidy() {
    let mut faults = Vec::new();
    for path in rust_files(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        let test_file = path.file_name().is_some_and(|name| name == "tests.rs");
        if !text.starts_with("//!") && !test_file {
            faults.push(format!("{name}: begins without a `//!` line"));
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
        let lines = code.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).count();
        if CODE_LINES_MAX < lines && !test_file {
            faults.push(format!("{name}: {lines} lines of code, at most {CODE_LINES_MAX}"));
        }
        for (layer, forbidden) in LAYERS.iter().filter(|(layer, _)| name.starts_with(layer) && !test_file) {
            for (number, line) in code.lines().enumerate().map(|(number, line)| (number, line.to_owned())).chain(grouped(code)) {
                let line = line.split("//").next().unwrap_or("");
                for word in forbidden.iter().copied().flatten() {
                    let own = word == &"crate::" && line.contains(&format!("crate::{}", layer.trim_start_matches("src/")));
                    if names(line, word) && !own {
                        faults.push(format!("{name}:{}: {layer} may not name `{word}`", number + 1));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// What `use crate::{...}` names, written out: the line where it begins, and `crate::engine` for each of its members.
fn grouped(code: &str) -> Vec<(usize, String)> {
    const GROUP: &str = "use crate::{";
    let mut named = Vec::new();
    let mut pieces = code.split(GROUP);
    let mut number = pieces.next().unwrap_or("").matches('\n').count();
    for piece in pieces {
        let (mut depth, mut member) = (0, String::new());
        for c in piece.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => named.push((number, format!("crate::{}", std::mem::take(&mut member).trim()))),
                _ if depth == 0 => member.push(c),
                _ => {}
            }
        }
        named.push((number, format!("crate::{}", member.trim())));
        number += piece.matches('\n').count();
    }
    named
}

/// Whether a line names a word: the characters around it belong to no longer name.
fn names(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let (before, after) = (before.chars().next_back(), rest.chars().nth(word.chars().count()));
        let open_end = word.ends_with(':');
        !before.is_some_and(part) && (open_end || !after.is_some_and(part))
    })
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
