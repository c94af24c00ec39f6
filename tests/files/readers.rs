//! Four ways to read an env file, each by its program's rules, and a shell itself.
#![allow(clippy::string_slice, clippy::too_many_lines, reason = "the rules of other programs, as they are written")]
use std::{collections::BTreeMap, path::Path, process::Command};

/// As systemd's `parse_env_file` does (v252).
pub(crate) fn systemd(text: &str) -> BTreeMap<String, String> {
    enum At {
        Key,
        Value,
        Single,
        Double,
        DoubleEscape,
        Escape,
        Comment,
    }
    let (mut found, mut key, mut value, mut trail, mut at) = (BTreeMap::new(), String::new(), String::new(), 0, At::Key);
    for c in text.chars() {
        at = match (at, c) {
            (At::Key, '#' | ';') if key.is_empty() => At::Comment,
            (At::Key, '=') => At::Value,
            (At::Key, '\n') => {
                key.clear();
                At::Key
            }
            (At::Key, c) => {
                key.push(c);
                At::Key
            }
            (At::Comment, '\n') => At::Key,
            (At::Comment, _) => At::Comment,
            (At::Value, '\n') => {
                value.truncate(value.len() - trail);
                found.insert(std::mem::take(&mut key).trim().to_owned(), std::mem::take(&mut value));
                trail = 0;
                At::Key
            }
            (At::Value, '\'') => At::Single,
            (At::Value, '"') => At::Double,
            (At::Value, '\\') => At::Escape,
            (At::Value, c) => {
                let blank = c.is_ascii_whitespace();
                if !(blank && value.is_empty()) {
                    trail = if blank { trail + 1 } else { 0 };
                    value.push(c);
                }
                At::Value
            }
            (At::Escape, c) => {
                if c != '\n' {
                    value.push(c);
                }
                At::Value
            }
            (At::Single, '\'') | (At::Double, '"') => {
                trail = 0;
                At::Value
            }
            (At::Single, c) => {
                value.push(c);
                At::Single
            }
            (At::Double, '\\') => At::DoubleEscape,
            (At::Double, c) => {
                value.push(c);
                At::Double
            }
            (At::DoubleEscape, c) => {
                if !"\"\\`$\n".contains(c) {
                    value.push('\\');
                }
                if c != '\n' {
                    value.push(c);
                }
                At::Double
            }
        };
    }
    found
}

/// As node's dotenv does: a line each, quotes taken off, `\n` read in double ones, a comment cut off without quotes.
pub(crate) fn node(text: &str) -> BTreeMap<String, String> {
    lines(text)
        .map(|(name, rest)| {
            let rest = rest.trim();
            let value = match rest.chars().next().filter(|first| "'\"`".contains(*first)).map(|first| (first, rest[1..].find(first))) {
                Some((first, Some(end))) => {
                    let inner = &rest[1..=end];
                    if first == '"' { inner.replace("\\n", "\n").replace("\\r", "\r") } else { inner.to_owned() }
                }
                _ => rest.split('#').next().unwrap().trim().to_owned(),
            };
            (name, value)
        })
        .collect()
}

/// As python-dotenv does: escapes in both kinds of quotes, `${..}` replaced everywhere, a comment after a blank.
pub(crate) fn python(text: &str) -> BTreeMap<String, String> {
    lines(text)
        .map(|(name, rest)| {
            let rest = rest.trim_start_matches([' ', '\t']);
            let value = match rest.chars().next() {
                Some(quote @ ('\'' | '"')) => {
                    let mut value = String::new();
                    let mut inner = rest[1..].chars();
                    loop {
                        match inner.next().expect("the quotes end") {
                            '\\' => match inner.next().expect("an escape has a character") {
                                c if c == quote || c == '\\' => value.push(c),
                                'n' if quote == '"' => value.push('\n'),
                                't' if quote == '"' => value.push('\t'),
                                c => value.extend(['\\', c]),
                            },
                            c if c == quote => break value,
                            c => value.push(c),
                        }
                    }
                }
                _ => rest.split(" #").next().unwrap().trim_end().to_owned(),
            };
            assert!(!value.contains("${"), "it would be replaced");
            (name, value)
        })
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once('=').unwrap()).map(|(name, rest)| (name.to_owned(), rest))
}

/// As a shell does that reads the file.
pub(crate) fn sh(path: &Path) -> BTreeMap<String, String> {
    let output = Command::new("/bin/sh")
        .args(["-c", "set -a; . \"$1\"; exec env -0", "sh"])
        .arg(path)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.split_terminator('\0').map(|pair| pair.split_once('=').unwrap());
    pairs
        .filter(|(name, _)| !matches!(*name, "PATH" | "PWD" | "_" | "SHLVL" | "OLDPWD"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
