//! What may be a secret in somebody else's file. Broader than what tasks.yaml itself takes for one: too much hidden is mended by hand, too little is not.
use std::ops::Range;

use crate::shop::setting::names_a_secret;

/// What stands where a secret stood.
const HIDDEN: &str = "***";

/// Parts of names by which secrets go.
const PARTS: [&str; 6] = ["pass", "secret", "token", "key", "pwd", "cred"];

/// Programs that take a password right behind `-p`.
const P_PROGRAMS: [&str; 5] = ["mysql", "mariadb", "sshpass", "mongo", "7z"];

/// Whether a name says that what goes by it is a secret, however it is written.
pub(super) fn is_named(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    PARTS.iter().any(|part| lower.contains(part)) || names_a_secret(&lower.replace(['-', '.', ' '], "_"))
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

/// Where secrets seem to stand.
fn found(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let start = at.saturating_add(rest.find(is_name).unwrap_or(rest.len()));
        let word = text.get(start..).unwrap_or_default();
        let end = start.saturating_add(word.find(|c| !is_name(c)).unwrap_or(word.len()));
        if let Some((name, before)) = text.get(start..end).zip(text.get(..start))
            && let Some(range) = behind_a_name(text, before, name, end)
        {
            found.push(range);
        }
        at = end;
    }
    found.extend(in_addresses(text));
    found.extend(in_options(text));
    found.retain(|range| !range.is_empty());
    found
}

/// What stands behind a name of secrets and its sign.
fn behind_a_name(text: &str, before: &str, name: &str, end: usize) -> Option<Range<usize>> {
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
    let whole = sign.starts_with('=') && before.chars().all(|c| c.is_whitespace() || "#\"'".contains(c));
    let blanks = if sign.starts_with('=') && rest.starts_with('=') && !whole { 0 } else { value.len() - value.trim_start().len() };
    let start = text.len() - value.len() + blanks;
    let value = text.get(start..)?;
    if whole {
        return Some(start..text.trim_end().len().max(start));
    }
    let length = word_length(value);
    let bare = value.get(..length)?.trim_start_matches(['"', '\'']);
    let is_variable = bare.starts_with('$') || bare.starts_with('`');
    if bare.is_empty() || is_variable || is_flag && value.starts_with('-') {
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
    let address = |(at, _): (usize, &str)| {
        let start = at.saturating_add(3);
        let rest = text.get(start..)?;
        let rest = rest.get(..rest.find(|c: char| c.is_whitespace() || "\"'`".contains(c)).unwrap_or(rest.len()))?;
        let host = rest.split('/').next().unwrap_or_default();
        // A password may hold a slash; a port is a number.
        let is_port = host.split_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let who = if host.contains('@') || is_port { host.rsplit_once('@')?.0 } else { rest.rsplit_once('@')?.0 };
        let word = who.split_once(':').map_or(who, |(_, word)| word);
        (!word.is_empty() && !word.starts_with('$') && who != "git").then(|| start..start.saturating_add(who.len()))
    };
    text.match_indices("://").filter_map(address).collect()
}

/// `mysqldump -pSECRET`, `curl -u me:SECRET`.
fn in_options(text: &str) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let behind_p = P_PROGRAMS.iter().any(|program| lower.contains(program));
    let behind_u = lower.contains("curl") || lower.contains("lftp");
    let mut found = Vec::new();
    for (at, option) in text.match_indices([' ', '\t']).filter_map(|(at, _)| Some((at, text.get(at.saturating_add(1)..)?))) {
        let letters = ["--proxy-user", "--user", "-p", "-u", "-U"].into_iter().find(|letters| option.starts_with(letters));
        let Some(letters) = letters.filter(|letters| if *letters == "-p" { behind_p } else { behind_u }) else { continue };
        let value = option.get(letters.len()..).unwrap_or_default();
        let value = if letters == "-p" { value } else { value.trim_start_matches([' ', '\t', '=']) };
        let length = word_length(value);
        let word = value.get(..length).unwrap_or_default().trim_matches(['"', '\'']);
        let secret = if letters == "-p" { Some(word) } else { word.split_once([':', ',']).map(|(_, secret)| secret) };
        if secret.is_some_and(|secret| !secret.is_empty() && !secret.starts_with('$')) {
            let start = at.saturating_add(1).saturating_add(option.len() - value.len());
            found.push(start..start.saturating_add(length));
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
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
        for text in
            ["x --password=$PW", "x --password", "https://example.com:80/@a", "git@host", "mkdir -pv x", "curl -u me x", "make password"]
        {
            assert_eq!(masked(text), text);
        }
    }
}
