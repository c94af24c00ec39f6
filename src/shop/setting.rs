//! Settings: a name and a value of one line, which every reader of an env file takes the same way.
use std::{fmt, sync::Arc};

use crate::core::value::Secret;

/// The longest name.
pub const NAME_MAX: usize = 64;
/// The longest value, in bytes.
pub const VALUE_MAX: usize = 4096;

/// Words of a name whose value is not for everybody's eyes.
const SECRET_WORDS: &[&str] = &[
    "APIKEY",
    "AUTH",
    "AUTHORIZATION",
    "BEARER",
    "COOKIE",
    "COOKIES",
    "CRED",
    "CREDENTIAL",
    "CREDENTIALS",
    "CREDS",
    "DSN",
    "HMAC",
    "JWT",
    "KEY",
    "KEYS",
    "OTP",
    "PASS",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PASSWORDS",
    "PIN",
    "PRIVATE",
    "PW",
    "PWD",
    "SALT",
    "SECRET",
    "SECRETS",
    "SESSION",
    "SESSIONID",
    "SIGNATURE",
    "TOKEN",
    "TOKENS",
    "TOTP",
    "WEBHOOK",
    "WEBHOOKS",
];

/// Addresses at which everybody may post who knows them.
const OPEN_DOORS: &[&str] = &[
    "hooks.slack.com/",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
    ".webhook.office.com/",
    "chat.googleapis.com/v1/spaces/",
];

/// A setting's name: `[A-Z][A-Z0-9_]*`, at most [`NAME_MAX`] long.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingName(Arc<str>);

impl SettingName {
    /// `None` where it is no name.
    pub fn parse(text: &str) -> Option<Self> {
        let begins = text.starts_with(|first: char| first.is_ascii_uppercase());
        let rest = text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        (begins && rest && text.len() <= NAME_MAX).then(|| Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a value can't be a setting's. None of them shows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Line feeds, tabs, NUL.
    #[error("it has a control character, and a value is one line of text")]
    Control,
    /// More than [`VALUE_MAX`] bytes.
    #[error("it is longer than {VALUE_MAX} bytes")]
    Long,
    /// Old and new readers differ on it.
    #[error("it has a backslash, which systemd, shells and dotenv read differently")]
    Backslash,
    /// Some readers put a variable there, whatever the quotes.
    #[error("it has `${{`, where some readers put a variable")]
    Expansion,
    /// Neither kind of quotes can hold it.
    #[error("it has a single quote beside a double quote, `$` or backtick, which no quoting can hold for systemd, shells and dotenv alike")]
    Quotes,
}

/// A setting's value. It never prints itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingValue(Secret);

impl SettingValue {
    /// A value that every reader of an env file takes the same way.
    ///
    /// # Errors
    /// When it is too long, more than a line, or can't be quoted for all of them.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        if VALUE_MAX < text.len() {
            return Err(Unfit::Long);
        }
        if text.contains(char::is_control) {
            return Err(Unfit::Control);
        }
        if text.contains('\\') {
            return Err(Unfit::Backslash);
        }
        if text.contains("${") {
            return Err(Unfit::Expansion);
        }
        if text.contains('\'') && text.contains(['"', '$', '`']) {
            return Err(Unfit::Quotes);
        }
        Ok(Self(Secret::new(text)))
    }

    /// The value itself, for the one place that shows or writes it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A line of an env file, which systemd's `EnvironmentFile`, sh and dotenv read back as this name and value. Without its line feed.
pub fn env_line(name: &SettingName, value: &SettingValue) -> String {
    let text = value.expose();
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c));
    let quote = match (is_plain, text.contains('\'')) {
        (true, _) => "",
        (false, false) => "'",
        (false, true) => "\"",
    };
    format!("{name}={quote}{text}{quote}")
}

/// Whether a value should be shown only to who asks for it: its name says so, or it is an address with a password, or one that is a password itself.
pub fn looks_secret(name: &SettingName, value: &SettingValue) -> bool {
    let password = value.expose().split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@')).is_some();
    let lower = value.expose().to_ascii_lowercase();
    names_a_secret(name.as_str()) || password || open_doors(&lower).next().is_some()
}

/// Where in a text of small letters an address at which everybody may post becomes secret: behind what is known of it.
pub fn open_doors(lower: &str) -> impl Iterator<Item = usize> {
    OPEN_DOORS.iter().flat_map(|door| lower.match_indices(door).map(|(at, door)| at.saturating_add(door.len())))
}

/// Whether a name says that what goes by it is a secret: `API_KEY`, `DB_PASSWORD`. `PWD`, which each shell sets, is the folder it is in.
pub fn names_a_secret(name: &str) -> bool {
    name != "PWD" && name.split('_').any(|word| SECRET_WORDS.iter().any(|secret| word.eq_ignore_ascii_case(secret)))
}

/// Whether `${NAME}` can stand for a variable of the environment with that name: `[A-Za-z_][A-Za-z0-9_]*`.
pub fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A word as one would type it in a shell: in single quotes where it must be.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(value: &str) -> String {
        env_line(&SettingName::parse("A_1").unwrap(), &SettingValue::parse(value).unwrap())
    }

    #[test]
    fn names_are_upper_case_and_begin_with_a_letter() {
        for good in ["A", "WORKERS", "CHECK_WORKERS_2"] {
            assert!(SettingName::parse(good).is_some(), "{good}");
        }
        for bad in ["", "1A", "_A", "a", "A-B", "A B", "A=", "Ä", &"A".repeat(65)] {
            assert!(SettingName::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_value_is_quoted_only_where_it_must_be() {
        for (value, expected) in [
            ("", "A_1="),
            ("14", "A_1=14"),
            ("https://a.example:80/x", "A_1=https://a.example:80/x"),
            ("~/x", "A_1='~/x'"),
            ("a b # c", "A_1='a b # c'"),
            ("$HOME `id` \"q\"", "A_1='$HOME `id` \"q\"'"),
            ("it's", "A_1=\"it's\""),
            ("水筒", "A_1='水筒'"),
        ] {
            assert_eq!(line(value), expected);
        }
    }

    #[test]
    fn what_readers_take_differently_is_refused() {
        for (value, unfit) in [
            ("a\nb", Unfit::Control),
            ("a\0", Unfit::Control),
            ("a\tb", Unfit::Control),
            ("C:\\x", Unfit::Backslash),
            ("${HOME}", Unfit::Expansion),
            ("it's \"so\"", Unfit::Quotes),
            ("it's $5", Unfit::Quotes),
            (&"x".repeat(VALUE_MAX + 1), Unfit::Long),
        ] {
            assert_eq!(SettingValue::parse(value), Err(unfit), "{value}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_names_and_by_passwords_in_addresses() {
        let is = |name, value| looks_secret(&SettingName::parse(name).unwrap(), &SettingValue::parse(value).unwrap());
        for (name, value) in [("API_KEY", "x"), ("MWS_TOKEN_2", "x"), ("DATABASE_URL", "mysql://u:p@db/x")] {
            assert!(is(name, value), "{name}");
        }
        for name in ["DB_PWD", "YAHOO_COOKIE", "SESSION_ID", "SLACK_WEBHOOK", "API_KEYS", "MY_APIKEY"] {
            assert!(is(name, "x"), "{name}");
        }
        for door in ["https://hooks.slack.com/services/T0/B0/x", "https://discord.com/api/webhooks/1/x", "https://HOOKS.slack.com/x"] {
            assert!(is("URL", door), "{door}");
        }
        for (name, value) in [("WORKERS", "14"), ("KEYBOARD", "jp"), ("MAIL", "a@example.com"), ("URL", "https://a.example/@x")] {
            assert!(!is(name, value), "{name}");
        }
        assert_eq!(format!("{:?}", SettingValue::parse("hush").unwrap()), "SettingValue(***)");
        assert!(!names_a_secret("PWD") && names_a_secret("pwd"));
    }

    #[test]
    fn a_variable_begins_with_no_digit() {
        for (name, is) in [("A", true), ("_a1", true), ("1A", false), ("", false), ("A-B", false), ("Ä", false)] {
            assert_eq!(is_variable(name), is, "{name}");
        }
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        for (word, expected) in [("a/b=c", "a/b=c"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$A", "'$A'"), ("~", "'~'")] {
            assert_eq!(shell_word(word), expected);
        }
    }
}
