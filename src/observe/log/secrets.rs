//! Values that never appear in a log.
use std::{borrow::Cow, fmt, sync::Arc};

/// A shorter value is no secret: masking it would only make logs unreadable.
const SHORTEST: usize = 4;

/// Known secret values; they are shown as `***`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Arc<[String]>);

impl Secrets {
    /// Keeps these values secret. Logs are lines, so each line of a value is a secret by itself.
    pub fn new<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Self {
        let lines = |value: T| value.as_ref().lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
        let mut values: Vec<String> = values.into_iter().flat_map(lines).filter(|line| line.len() >= SHORTEST).collect();
        // The longest first: one secret may begin with another.
        values.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        values.dedup();
        Self(values.into())
    }

    /// The text with every secret in it replaced.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in self.0.iter().filter(|secret| text.contains(secret.as_str())) {
            masked = Cow::Owned(masked.replace(secret, "***"));
        }
        masked
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_short_values_are_not() {
        let secrets = Secrets::new(["hunter22", "hunter22-long", "abc", "line one\nline two"]);
        assert_eq!(secrets.mask("key hunter22-long, hunter22, abc"), "key ***, ***, abc");
        assert_eq!(secrets.mask("got line two"), "got ***");
        assert_eq!(format!("{secrets:?}"), "Secrets(4)");
    }
}
