//! Whose crontab it is: the system's, with a user before each command, or a user's own.
use super::{
    Surroundings,
    line::{self, Entry, Line},
};

/// Users whose names stand in no user's crontab as a command.
const SURE_USERS: [&str; 4] = ["root", "www-data", "nobody", "postgres"];

/// Whether the sixth word is a user, by what most lines say; and a line that says otherwise, with what to tell of it.
pub(super) fn guess(texts: &[&str], lines: &[Line<'_>], surroundings: &Surroundings<'_>) -> (bool, Option<(usize, String)>) {
    let told = |text: &&str| text.starts_with('#') && text.contains("dow") && text.contains("user") && text.contains("command");
    let has_home = |user: &str| (surroundings.home)(Some(user)).is_some_and(|home| home.starts_with("/home/"));
    let (mut with, mut without, mut sure) = (Vec::new(), Vec::new(), Vec::new());
    for (number, entry) in entries(lines) {
        let (user, command) = line::first_word(entry.rest);
        let is_sure = SURE_USERS.contains(&user) || has_home(user);
        if is_sure {
            sure.push(number);
        }
        if is_sure || is_user(user) && !command.is_empty() {
            with.push(number);
        } else {
            without.push(number);
        }
    }
    let is_told = texts.iter().any(told);
    let system = (is_told || !sure.is_empty()) && without.len() <= with.len();
    let doubt = match (system, sure.first(), without.first()) {
        (true, _, Some(line)) => {
            let text = "no user stands before this command, though the rest looks like the system's crontab; if the file is a user's own: `--user`";
            Some((*line, text.to_owned()))
        }
        (false, Some(line), _) => {
            let text = "this looks like a user and a command, though most lines have no user; if the file is the system's: `--system`";
            Some((*line, text.to_owned()))
        }
        _ => None,
    };
    (system, doubt)
}

/// Whether a file that no task comes of is a crontab at all, even if an empty one.
pub fn is_one(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(line::read);
    let is_blank = |line: &Line<'_>| matches!(line, Line::Blank | Line::Comment(_));
    !text.contains('\0')
        && (lines.clone().all(|line| is_blank(&line)) || lines.any(|line| matches!(line, Line::Entry(_) | Line::Setting(..))))
}

/// Whether it can be the name of a user.
pub(super) fn is_user(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && word.chars().all(fits)
}

/// Who has to run taskrun, so that all lines run as their users.
pub(super) fn runner(lines: &[Line<'_>], surroundings: &Surroundings<'_>) -> String {
    let users = || {
        let words = entries(lines).map(|(_, entry)| line::first_word(entry.rest));
        words.filter(|(user, command)| is_user(user) && !command.is_empty()).map(|(user, _)| user)
    };
    let only = users().next().filter(|first| users().all(|user| user == *first));
    surroundings.run_as.or(only).unwrap_or("root").to_owned()
}

/// The lines that start something, with their numbers.
fn entries<'l>(lines: &'l [Line<'l>]) -> impl Iterator<Item = (usize, &'l Entry<'l>)> {
    (1..).zip(lines).filter_map(|(number, line)| match line {
        Line::Entry(entry) => Some((number, entry)),
        Line::Blank | Line::Comment(_) | Line::Setting(..) | Line::Broken(_) => None,
    })
}
