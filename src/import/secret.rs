//! What may be a secret in somebody else's file. Broader than what tasks.yaml itself takes for one: too much hidden is mended by hand, too little is not.
use std::ops::Range;

use crate::shop::setting::{names_a_secret, open_doors};

/// What stands where a secret stood.
pub(super) const HIDDEN: &str = "***";

/// Parts of names by which secrets go.
const PARTS: [&str; 6] = ["pass", "secret", "token", "key", "pwd", "cred"];

/// Options behind which programs take a secret.
const OPTIONS: &[(&[&str], &[&str], Shape)] = &[
    (&["sshpass", "mongo"], &["-p"], Shape::Word),
    (&["mysql", "mariadb", "7z"], &["-p"], Shape::Joined),
    (&["redis-cli"], &["-a"], Shape::Word),
    (&["ldap"], &["-w"], Shape::Word),
    (&["curl", "lftp"], &["--proxy-user", "--user", "-u", "-U"], Shape::Login),
];

/// How a secret stands behind its option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// With no blank between them.
    Joined,
    /// As the rest of the word, or the next one.
    Word,
    /// As the second half of the next word: `me:SECRET`.
    Login,
}

/// Whether a name says that what goes by it is a secret, however it is written.
pub(super) fn is_named(name: &str) -> bool {
    // The shell's own: the folder it is in, and the one before.
    let is_folder = matches!(name, "PWD" | "OLDPWD");
    let lower = name.to_ascii_lowercase();
    !is_folder && (PARTS.iter().any(|part| lower.contains(part)) || names_a_secret(&lower.replace(['-', '.', ' '], "_")))
}

/// Whether it is a setting, or part of one, that has a secret in it.
pub(super) fn is_setting(name: &str, value: &str) -> bool {
    !value.is_empty() && (is_named(name) || shows_one(value))
}

/// Whether some part of a text looks like a secret.
pub(super) fn shows_one(text: &str) -> bool {
    !found(text).is_empty()
}

/// A text without what looks like a secret in it.
pub(super) fn masked(text: &str) -> String {
    let mut found = found(text);
    found.sort_by_key(|range| range.start);
    let (mut shown, mut from) = (String::new(), 0);
    for range in found {
        if from <= range.start {
            shown.push_str(text.get(from..range.start).unwrap_or_default());
            shown.push_str(HIDDEN);
        }
        from = from.max(range.end);
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    shown
}

/// Where secrets seem to stand. Each part of the text is looked at a few times at most, however many names it has.
fn found(text: &str) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let mut found = behind_names(text);
    found.extend(in_addresses(text));
    found.extend(in_options(text, &lower));
    found.extend(behind_doors(&lower));
    found.retain(|range| !range.is_empty());
    found
}

/// What stands behind names of secrets: `--token=…`.
fn behind_names(text: &str) -> Vec<Range<usize>> {
    let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let first = text.find(|c: char| !c.is_whitespace() && !"#\"'".contains(c)).unwrap_or(text.len());
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let start = at.saturating_add(rest.find(is_name).unwrap_or(rest.len()));
        let word = text.get(start..).unwrap_or_default();
        let end = start.saturating_add(word.find(|c| !is_name(c)).unwrap_or(word.len()));
        let name = text.get(start..end).unwrap_or_default();
        let range = behind_a_name(text, name, end, start == first);
        // What is hidden already need not be looked at again.
        at = range.as_ref().map_or(end, |range| range.end.max(end));
        found.extend(range);
    }
    found
}

/// What stands behind a name of secrets and its sign; the whole line behind `NAME=`, if nothing stands before it.
fn behind_a_name(text: &str, name: &str, end: usize, is_first: bool) -> Option<Range<usize>> {
    let is_flag = name.starts_with("--");
    if !is_named(name) {
        return None;
    }
    let rest = text.get(end..)?;
    let sign = rest.trim_start_matches([' ', '\t', '"', '\'']);
    let value = match sign.chars().next() {
        Some('=') if !sign.starts_with("==") => sign.get(1..)?,
        Some(':') if !sign.starts_with("://") && sign.get(1..).is_some_and(|rest| rest.starts_with([' ', '"', '\''])) => sign.get(1..)?,
        _ if is_flag && rest.starts_with([' ', '\t']) => rest,
        _ => return None,
    };
    let whole = sign.starts_with('=') && is_first;
    let blanks = if sign.starts_with('=') && rest.starts_with('=') && !whole { 0 } else { value.len() - value.trim_start().len() };
    let start = text.len() - value.len() + blanks;
    let value = text.get(start..)?;
    if whole {
        return Some(start..text.trim_end().len().max(start));
    }
    let is_variable = value.trim_start_matches(['"', '\'']).starts_with(['$', '`']);
    if is_variable || is_flag && value.starts_with('-') {
        return None;
    }
    let length = word_length(value);
    if value.get(..length)?.trim_start_matches(['"', '\'']).is_empty() {
        return None;
    }
    // `Authorization: Bearer …` is more than a word.
    let length =
        if sign.starts_with(':') { value.find(['"', '\'']).filter(|at| 0 < *at).unwrap_or(value.len()).max(length) } else { length };
    Some(start..start.saturating_add(length))
}

/// How long the first word is, as a shell takes it.
fn word_length(text: &str) -> usize {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some(mark) if c == mark => quote = None,
            _ if c == '\\' => escaped = true,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => return at,
            Some(_) | None => {}
        }
    }
    text.len()
}

/// Who logs in at an address, and by what: `postgres://me:secret@host`.
fn in_addresses(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 0_usize);
    for word in text.split_inclusive(|c: char| c.is_whitespace() || "\"'`".contains(c)) {
        let last = word.rfind('@').unwrap_or_default();
        let mut seen = 0;
        for (start, _) in word.match_indices("://").take_while(|(mark, _)| *mark < last) {
            if let Some(range) = login(word, start.saturating_add(3), last).filter(|_| seen <= start) {
                seen = range.end;
                found.push(at.saturating_add(range.start)..at.saturating_add(range.end));
            }
        }
        at = at.saturating_add(word.len());
    }
    found
}

/// Who logs in at the address that begins there; `last` is where the last `@` of the word stands.
fn login(word: &str, start: usize, last: usize) -> Option<Range<usize>> {
    let host = word.get(start..)?.split('/').next()?;
    // A password may hold a slash; a port is a number.
    let is_port = host.split_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let end = match host.rfind('@') {
        Some(at) => start.saturating_add(at),
        None if is_port => return None,
        None => last,
    };
    let who = word.get(start..end)?;
    let secret = who.split_once(':').map_or(who, |(_, secret)| secret);
    (!secret.is_empty() && !secret.starts_with('$') && who != "git").then_some(start..end)
}

/// `mysqldump -pSECRET`, `curl -u me:SECRET`.
fn in_options(text: &str, lower: &str) -> Vec<Range<usize>> {
    let known: Vec<_> = OPTIONS.iter().filter(|(programs, ..)| programs.iter().any(|program| lower.contains(program))).collect();
    let (mut found, mut seen) = (Vec::new(), 0);
    if known.is_empty() {
        return found;
    }
    for at in text.match_indices([' ', '\t']).map(|(at, _)| at.saturating_add(1)) {
        let Some(option) = text.get(at..).filter(|_| seen <= at) else { continue };
        let taken = known.iter().find_map(|(_, letters, shape)| {
            let value = letters.iter().find_map(|letters| option.strip_prefix(letters))?;
            Some((if *shape == Shape::Joined { value } else { value.trim_start_matches([' ', '\t', '=']) }, *shape))
        });
        let Some((value, shape)) = taken else { continue };
        let range = at.saturating_add(option.len() - value.len())..at.saturating_add(option.len() - value.len() + word_length(value));
        seen = range.end;
        let word = text.get(range.clone()).unwrap_or_default().trim_matches(['"', '\'']);
        let secret = if shape == Shape::Login { word.split_once([':', ',']).map_or("", |(_, secret)| secret) } else { word };
        if !secret.is_empty() && !secret.starts_with('$') && (shape == Shape::Joined || !word.starts_with('-')) {
            found.push(range);
        }
    }
    found
}

/// What makes an address at which everybody may post who knows it.
fn behind_doors(lower: &str) -> Vec<Range<usize>> {
    let mut doors: Vec<usize> = open_doors(lower).collect();
    doors.sort_unstable();
    let mut found: Vec<Range<usize>> = Vec::new();
    for door in doors {
        if found.last().is_none_or(|last| last.end <= door) {
            let rest = lower.get(door..).unwrap_or_default();
            let length = rest.find(|c: char| c.is_whitespace() || "\"'`".contains(c)).unwrap_or(rest.len());
            found.push(door..door.saturating_add(length));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        for (text, expected) in [
            ("# DB_TOKEN=hunter2 and more", "# DB_TOKEN=***"),
            ("\"MY API_TOKEN\" = hunter2", "\"MY API_TOKEN\" = ***"),
            ("x --password=hunter2 y", "x --password=*** y"),
            ("x --password 'hun ter2' y", "x --password *** y"),
            ("x apiToken=hunter2 y", "x apiToken=*** y"),
            ("curl -H 'Authorization: Bearer hunter2' x", "curl -H 'Authorization: ***' x"),
            ("{\"token\": \"hunter2\"}", "{\"token\": ***"),
            ("x postgres://u:hunter2@h/d", "x postgres://***@h/d"),
            ("x postgres://u:hun/ter2@h/d", "x postgres://***@h/d"),
            ("mysqldump -phunter2 db", "mysqldump -p*** db"),
            ("curl -u me:hunter2 x", "curl -u *** x"),
            ("curl --user=me:hunter2 x", "curl --user=*** x"),
            ("x PGPASSWORD=hunter2 y", "x PGPASSWORD=*** y"),
            ("x pwd=hunter2 y", "x pwd=*** y"),
            ("x token=\"hunter2\"", "x token=***"),
            ("sshpass -p hunter2 ssh h", "sshpass -p *** ssh h"),
            ("sshpass -phunter2 ssh h", "sshpass -p*** ssh h"),
            ("sshpass -p hunter2 ssh h mysqldump db", "sshpass -p *** ssh h mysqldump db"),
            ("redis-cli -a hunter2 ping", "redis-cli -a *** ping"),
            ("curl https://hooks.slack.com/services/T0/hunter2 x", "curl https://hooks.slack.com/*** x"),
            ("curl 'https://Discord.com/api/webhooks/1/hunter2'", "curl 'https://Discord.com/api/webhooks/***'"),
            ("x http://a/ http://u:hunter2@h,http://v:hunter2@i", "x http://a/ http://***@h,http://***@i"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
        for text in [
            "x --password=$PW",
            "x token=\"$T\"",
            "x --password",
            "https://example.com:80/@a",
            "https://example.com/a:b@c",
            "git@host",
            "mkdir -pv x",
            "curl -u me x",
            "make password",
            "PWD=/srv make",
            "sshpass -p \"$PW\" ssh h",
            "curl https://slack.com/help",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
