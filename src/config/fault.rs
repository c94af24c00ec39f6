//! A fault: one thing wrong in tasks.yaml, with its place. How it looks on a terminal is `cli/render.rs`'s business.
use std::{collections::BTreeMap, fmt, ops::Range, path::PathBuf, sync::Arc};

use super::tree::Tree;

/// More faults than this are counted, not kept: a hostile file must not fill the memory, and nobody reads them.
pub(super) const FAULTS_MAX: usize = 1_000;

/// One thing wrong in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1; 0 where the fault is with the file as a whole.
    pub line: usize,
    /// In characters, counted from 1; 0 where the fault is with the file as a whole.
    pub column: usize,
    /// The offending part, as bytes of the source.
    pub span: Range<usize>,
    /// The key the place belongs to: `tasks.report.retries.max`; empty at the top.
    pub key_path: String,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Another place that has to do with it: the first of two equal keys.
    pub other: Option<Other>,
    /// What stands there may be a secret: it is not shown.
    hidden: bool,
}

/// A second place of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    pub line: usize,
    pub column: usize,
    pub span: Range<usize>,
    /// What is there: `first`.
    pub label: String,
}

impl Fault {
    /// A fault with what is at these bytes of the source.
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { line: 1, column: 1, span, key_path: String::new(), message: message.into(), hint: None, other: None, hidden: false }
    }

    /// A fault with the file as a whole: it cannot be read, it is too large.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self { line: 0, column: 0, ..Self::new(0..0, message) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What stands there may be a secret.
    pub(crate) fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(crate) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    pub(crate) fn other(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.other = Some(Other { line: 1, column: 1, span, label: label.into() });
        self
    }
}

impl fmt::Display for Fault {
    /// `12:15: message (hint)`; for the file as a whole without the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// All faults of a file, in the order of their places, and the text they point into.
#[derive(Clone, Default)]
pub struct Faults {
    path: PathBuf,
    text: Arc<str>,
    kept: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// Puts faults in order, once each, and works out lines, columns and key paths.
    pub(super) fn settle(path: PathBuf, text: Arc<str>, tree: Option<&Tree>, mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| (a.span.start, &a.message).cmp(&(b.span.start, &b.message)));
        faults.dedup_by(|a, b| a.span == b.span && a.message == b.message);
        let more = faults.len().saturating_sub(FAULTS_MAX);
        faults.truncate(FAULTS_MAX);
        let places = places(&text, &faults);
        let place = |span: &Range<usize>| places.get(&span.start).copied().unwrap_or((1, 1));
        for fault in faults.iter_mut().filter(|fault| fault.line > 0) {
            (fault.line, fault.column) = place(&fault.span);
            fault.key_path = tree.map(|tree| tree.key_path(fault.span.start)).unwrap_or_default();
            if let Some(other) = &mut fault.other {
                (other.line, other.column) = place(&other.span);
            }
        }
        Self { path, text: mask(text, &faults), kept: faults, more }
    }

    /// The file, as it was named.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The text that the spans point into, with asterisks over what may be a secret.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The faults, in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.kept.iter()
    }

    /// How many there are, those that were only counted included.
    pub fn len(&self) -> usize {
        self.kept.len().saturating_add(self.more)
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    /// `tasks.yaml:12:15: message (hint)`, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.kept.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            let gap = if fault.line > 0 { ":" } else { ": " };
            write!(f, "{end}{}{gap}{fault}", self.path.display())?;
        }
        if self.more > 0 {
            write!(f, "\n{}: {} more faults", self.path.display(), self.more)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Faults {
    /// Without the text, which is long, and whose passwords for proxies are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("path", &self.path).field("faults", &self.kept).field("more", &self.more).finish_non_exhaustive()
    }
}

impl std::error::Error for Faults {}

/// Puts asterisks over what faults hide, byte for byte, so that all other places stay where they are.
fn mask(text: Arc<str>, faults: &[Fault]) -> Arc<str> {
    let mut hidden = faults.iter().filter(|fault| fault.hidden && text.get(fault.span.clone()).is_some()).peekable();
    if hidden.peek().is_none() {
        return text;
    }
    let mut masked = text.to_string();
    for fault in hidden {
        masked.replace_range(fault.span.clone(), &"*".repeat(fault.span.len()));
    }
    masked.into()
}

/// Line and column of every byte offset that the faults name, found in one pass over the text.
fn places(text: &str, faults: &[Fault]) -> BTreeMap<usize, (usize, usize)> {
    let primary = faults.iter().map(|fault| fault.span.start);
    let secondary = faults.iter().filter_map(|fault| fault.other.as_ref()).map(|other| other.span.start);
    let mut places: BTreeMap<usize, (usize, usize)> = primary.chain(secondary).map(|at| (at, (1, 1))).collect();
    // A byte-order mark takes no column.
    let marks = text.char_indices().filter(|(_, c)| *c != '\u{feff}').chain(std::iter::once((text.len(), ' ')));
    let mut wanted = places.iter_mut().peekable();
    let (mut line, mut column) = (1, 1);
    for (at, c) in marks {
        while let Some((_, place)) = wanted.next_if(|(offset, _)| **offset <= at) {
            *place = (line, column);
        }
        if wanted.peek().is_none() {
            break;
        }
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    wanted.for_each(|(_, place)| *place = (line, column));
    places
}

/// A text for a message: between backticks, cut where it is long, its control characters made visible.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN: usize = 60;
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let shown: String = text.chars().take(SHOWN).map(visible).collect();
    let rest = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("`{shown}{rest}`")
}

/// The known name that is most like a text, as a hint.
pub(crate) fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const LIKE: f64 = 0.82;
    const COMPARED_MAX: usize = 1_000;
    const LENGTH_MAX: usize = 64;
    if text.len() > LENGTH_MAX {
        return None;
    }
    let likeness = |name: &'a str| (strsim::jaro_winkler(text, name), name);
    let best = known.into_iter().take(COMPARED_MAX).map(likeness).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > LIKE).then(|| format!("did you mean `{}`?", best.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_end_at_line_feeds() {
        let text = "\u{feff}a: ü\r\nböse: x\n";
        let at = |part: &str| text.find(part).unwrap();
        let faults = [at("a"), at("x"), text.len()].map(|at| Fault::new(at..at, "m")).to_vec();
        let settled = Faults::settle("f.yaml".into(), text.into(), None, faults);
        let places: Vec<_> = settled.iter().map(|fault| (fault.line, fault.column)).collect();
        assert_eq!(places, [(1, 1), (2, 7), (3, 1)]);
    }

    #[test]
    fn a_quoted_text_cannot_reach_the_terminal() {
        assert_eq!(quote("a\x1b[31m"), "`a\\u{1b}[31m`");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), 63);
    }

    #[test]
    fn faults_beyond_the_limit_are_counted() {
        let faults = (0..FAULTS_MAX + 5).map(|at| Fault::new(at..at, "m")).collect();
        let settled = Faults::settle("f.yaml".into(), " ".repeat(2_000).into(), None, faults);
        assert_eq!((settled.iter().count(), settled.len()), (FAULTS_MAX, FAULTS_MAX + 5));
        assert!(settled.to_string().ends_with("f.yaml: 5 more faults"));
    }
}
