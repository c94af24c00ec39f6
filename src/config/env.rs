//! What comes from outside the file: `${NAME}` from the environment, secrets from files. The only reader of the environment.
use std::{fs, io::Read as _, ops::Range, path::Path};

use crate::{
    core::value::Secret,
    shop::setting::{is_variable, names_a_secret},
};

/// A secret's file is a line, not a library.
const SECRET_MAX: u64 = 64 * 1_024;

/// A variable of this process's environment.
#[expect(clippy::disallowed_methods, reason = "this is where the environment enters")]
pub fn system_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A text with its `${NAME}`s filled in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Variables that are not set, and where they stand in the text.
    pub(super) unset: Vec<(Range<usize>, String)>,
    /// What the variables stood for.
    pub(super) values: Vec<String>,
    /// Those of them whose name says that they are secret.
    pub(super) secrets: Vec<Secret>,
    /// A `${` that begins no variable.
    pub(super) broken: Option<Range<usize>>,
}

/// Fills in `${NAME}`; `$${` stands for `${` itself.
pub(super) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Expanded {
    let mut out = Expanded::default();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let at = text.len() - after.len() - 2;
        rest = after;
        if let Some(escaped) = before.strip_suffix('$') {
            out.text.push_str(escaped);
            out.text.push_str("${");
            continue;
        }
        out.text.push_str(before);
        let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_variable(name)) else {
            let end = after.find('}').map_or(text.len(), |length| at + 2 + length + 1);
            out.broken.get_or_insert(at..end);
            out.text.push_str("${");
            continue;
        };
        rest = after;
        match env(name) {
            Some(value) => {
                out.text.push_str(&value);
                if names_a_secret(name) {
                    out.secrets.push(Secret::new(value.clone()));
                }
                out.values.push(value);
            }
            None => out.unset.push((at..at + name.len() + 3, name.to_owned())),
        }
    }
    out.text.push_str(rest);
    out
}

/// Reads a secret from a file that nobody else can read or write; a last line feed does not belong to it.
pub(super) fn read_secret(path: &Path) -> Result<Secret, SecretError> {
    let shown = || path.display().to_string();
    let unreadable = |source: std::io::Error| SecretError::Unreadable { path: shown(), why: source.to_string() };
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(SecretError::NoFile { path: shown() });
    }
    let file = fs::File::open(path).map_err(unreadable)?;
    if open_to_others(&file.metadata().map_err(unreadable)?) {
        return Err(SecretError::OpenToOthers { path: shown() });
    }
    let mut text = String::new();
    file.take(SECRET_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > SECRET_MAX {
        return Err(SecretError::TooLarge { path: shown() });
    }
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(SecretError::Empty { path: shown() });
    }
    Ok(Secret::new(text))
}

/// Why a file gives no secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretError {
    #[error("failed to read the secret in `{path}`: {why}")]
    Unreadable { path: String, why: String },
    #[error("the secret `{path}` is not a file")]
    NoFile { path: String },
    #[error("others can read or write the secret in `{path}`")]
    OpenToOthers { path: String },
    #[error("the secret in `{path}` is larger than 64 KiB")]
    TooLarge { path: String },
    #[error("the secret in `{path}` is empty")]
    Empty { path: String },
}

impl SecretError {
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::OpenToOthers { path } => Some(format!("chmod 600 {path}")),
            Self::Unreadable { .. } | Self::NoFile { .. } | Self::TooLarge { .. } | Self::Empty { .. } => None,
        }
    }
}

#[cfg(unix)]
fn open_to_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o077 != 0
}

/// Elsewhere the folder's access list decides.
#[cfg(not(unix))]
fn open_to_others(_metadata: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_filled_in_and_escapes_are_not() {
        for (text, expected) in [
            ("${A}", "one"),
            ("x${A}y${A}", "xoneyone"),
            ("$${A}", "${A}"),
            ("plain $A $ {A}", "plain $A $ {A}"),
            ("${EMPTY}", ""),
            ("$$${A}", "$${A}"),
        ] {
            let expanded = expand(text, &env);
            assert_eq!((expanded.text.as_str(), expanded.unset.len(), expanded.broken), (expected, 0, None), "{text}");
        }
    }

    #[test]
    fn what_is_unset_or_broken_is_named_with_its_place() {
        assert_eq!(expand("é ${NOPE}!", &env).unset, [(3..10, "NOPE".to_owned())]);
        for (text, place) in [("a${", 1..3), ("${A:-b}", 0..7), ("${}", 0..3), ("${1A}", 0..5), ("${A b} ${", 0..6)] {
            assert_eq!(expand(text, &env).broken, Some(place), "{text}");
        }
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::new("hush");
        assert_eq!((format!("{secret} {secret:?}").as_str(), secret.expose()), ("*** ***", "hush"));
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "hush\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read_secret(&path), Err(SecretError::OpenToOthers { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read_secret(&path), Ok(Secret::new("hush")));
        assert!(matches!(read_secret(folder.path()), Err(SecretError::NoFile { .. })));
    }
}
