//! One line of a crontab, as cron takes it apart.

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Blank,
    /// With its `#`.
    Comment(&'a str),
    /// `NAME = value`.
    Setting(String, String),
    Entry(Entry<'a>),
    /// Neither, and why.
    Broken(String),
}

/// A line that starts something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// Five fields or an alias, with single blanks.
    pub(super) time: String,
    /// It begins with `-`: cron keeps quiet about it.
    pub(super) quiet: bool,
    /// What comes behind: a command, or a user and a command.
    pub(super) rest: &'a str,
}

const BLANKS: [char; 2] = [' ', '\t'];

/// Reads a line without its end.
pub(super) fn read(line: &str) -> Line<'_> {
    let line = line.trim_start_matches(BLANKS);
    if line.is_empty() {
        return Line::Blank;
    }
    if line.starts_with('#') {
        return Line::Comment(line);
    }
    if let Some((name, value)) = setting(line) {
        return Line::Setting(name, value);
    }
    match entry(line) {
        Ok(entry) => Line::Entry(entry),
        Err(why) => Line::Broken(why),
    }
}

/// Takes the first word and the blanks behind it.
pub(super) fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(BLANKS).unwrap_or((text, ""));
    (word, rest.trim_start_matches(BLANKS))
}

/// Reads `NAME = value`; either may be quoted, and nothing is expanded.
fn setting(line: &str) -> Option<(String, String)> {
    let (name, rest) = match quoted(line) {
        Some((name, rest)) => (name, rest),
        None => line.split_at(line.find(|c: char| c.is_whitespace() || c == '=')?),
    };
    let value = rest.trim_start().strip_prefix('=')?.trim_start();
    let value = match quoted(value) {
        Some((value, rest)) if rest.trim().is_empty() => value,
        None if !value.is_empty() && !value.starts_with(['"', '\'']) => value.trim_end(),
        Some(_) | None => return None,
    };
    (!name.is_empty() && !name.contains('=')).then(|| (name.to_owned(), value.to_owned()))
}

/// What stands between quotes at the beginning, and what comes behind.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mark = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text.strip_prefix(mark)?.split_once(mark)
}

fn entry(line: &str) -> Result<Entry<'_>, String> {
    let (quiet, line) = line.strip_prefix('-').map_or((false, line), |line| (true, line));
    if line.starts_with('@') {
        let (alias, rest) = first_word(line);
        return Ok(Entry { time: alias.to_owned(), quiet, rest: rest_of(rest)? });
    }
    let (mut fields, mut rest) = (Vec::new(), line);
    while fields.len() < 5 {
        let (field, behind) = first_word(rest);
        if field.is_empty() {
            return Err(too_short(line, fields.len()));
        }
        fields.push(field);
        rest = behind;
    }
    Ok(Entry { time: fields.join(" "), quiet, rest: rest_of(rest)? })
}

fn too_short(line: &str, fields: usize) -> String {
    if let Some((name, value)) = line.split_once('=')
        && name.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return match value.trim() {
            "" => format!("cron takes `{}=` for a schedule; an empty value is written `{}=\"\"`", name.trim(), name.trim()),
            _ => format!("the quotes of `{}` do not match; cron takes the line for a schedule", name.trim()),
        };
    }
    format!("{fields} of the five time fields, and no command: correct the line")
}

fn rest_of(rest: &str) -> Result<&str, String> {
    if rest.is_empty() {
        return Err("a schedule without a command: add the command, or remove the line".to_owned());
    }
    not_a_field(first_word(rest).0)?;
    Ok(rest)
}

/// Refuses a command that looks like one more time field: cron does so for a star, "a common typo", and would run a program called `1`.
pub(super) fn not_a_field(word: &str) -> Result<(), String> {
    let begins = word.starts_with(|c: char| c.is_ascii_digit() || "*?".contains(c));
    if begins && word.chars().all(|c| c.is_ascii_digit() || "*/,-?".contains(c)) {
        return Err("six time fields where cron has five; taskrun can have six, seconds first: write the task by hand".to_owned());
    }
    Ok(())
}

/// Why a time is none that cron knows, where our own parser would not say so, or not as well.
pub(super) fn foreign(time: &str) -> Option<String> {
    if let Some(alias) = time.strip_prefix('@') {
        const ALIASES: [&str; 8] = ["reboot", "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
        let small = alias.to_ascii_lowercase();
        return match alias {
            "start" => Some("cron does not know `@start`; its word is `@reboot`".to_owned()),
            "every_minute" => Some("`@every_minute` is FreeBSD's: write `* * * * *`".to_owned()),
            _ if ALIASES.contains(&alias) => None,
            _ if ALIASES.contains(&&*small) => Some(format!("cron knows `@{small}` in small letters only")),
            _ if !alias.is_empty() && alias.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(format!("`@{alias}` is FreeBSD's: write a task with `schedule: {{ after: {alias}s }}`"))
            }
            _ => Some(format!("cron does not know `@{alias}`; for an interval, write a task with `schedule: {{ every: 5m }}`")),
        };
    }
    if time.contains('~') {
        return Some("a random time (`~`), new at each start of cron; write the first time, and `jitter: 59m` for the spread".to_owned());
    }
    let is_anacrons = time.split(' ').nth(2).is_some_and(|job| job.starts_with("cron."));
    is_anacrons
        .then(|| "this is a line of /etc/anacrontab; `catch_up: latest` does what anacron does: write `@daily` and the command".to_owned())
}

/// Whether our parser reads something in it that cron would refuse: nobody's job runs by such a line.
pub(super) fn is_beyond_cron(time: &str) -> bool {
    let mut fields = time.split(' ');
    let day = fields.nth(2).unwrap_or_default().to_ascii_uppercase();
    let weekday = fields.nth(1).unwrap_or_default().to_ascii_uppercase();
    time.contains(['?', '#']) || day.contains(['L', 'W']) || weekday.contains('L')
}

/// Whether some field is `5/15`, of which crons think differently.
pub(super) fn has_open_step(time: &str) -> bool {
    time.split([' ', ',']).filter_map(|item| item.split_once('/')).any(|(from, _)| from != "*" && !from.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_set(line: &str, name: &str, value: &str) {
        assert_eq!(read(line), Line::Setting(name.to_owned(), value.to_owned()), "{line}");
    }

    #[test]
    fn a_setting_is_read_as_cron_reads_it() {
        is_set("MAILTO=root", "MAILTO", "root");
        is_set("  A = b c  ", "A", "b c");
        is_set("A=\" b \"  ", "A", " b ");
        is_set("'A B'=c", "A B", "c");
        is_set("A=b # c", "A", "b # c");
        is_set("A=\"\"", "A", "");
        is_set("PATH=$HOME/bin:\"x\"", "PATH", "$HOME/bin:\"x\"");
        is_set("0 = 5 * * * x", "0", "5 * * * x");
        for no in ["A=", "A=\"b", "A=\"b\" c", "\"A=\"=b", "=b"] {
            assert!(matches!(read(no), Line::Broken(_)), "{no}: {:?}", read(no));
        }
    }

    #[test]
    fn an_entry_is_its_time_and_the_rest() {
        let entry = |time: &str, quiet, rest| Line::Entry(Entry { time: time.to_owned(), quiet, rest });
        assert_eq!(read("\t0  5\t* * 1   a  b "), entry("0 5 * * 1", false, "a  b "));
        assert_eq!(read("-*/5 * * * * x"), entry("*/5 * * * *", true, "x"));
        assert_eq!(read("@daily\tx"), entry("@daily", false, "x"));
        assert_eq!(read("0 5 * * 1 A=b c"), entry("0 5 * * 1", false, "A=b c"));
        assert_eq!(read("  # x"), Line::Comment("# x"));
        for no in ["0 5 * * 1", "@daily", "0 5 * *", "0 0 5 * * * x"] {
            assert!(matches!(read(no), Line::Broken(_)), "{no}");
        }
    }
}
