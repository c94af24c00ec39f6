//! Words in texts: written in whatever width and case, found as a reader would find them, and taken out without a trace.
use std::{ops::Range, sync::Arc};

use icu_normalizer::ComposingNormalizerBorrowed;

/// A word of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    written: Arc<str>,
    folded: Vec<char>,
}

/// A text in one width and case, and where each of its characters came from.
#[derive(Clone, Debug, Default)]
pub(super) struct Folded {
    chars: Vec<char>,
    /// The bytes of the text that each character stands for.
    from: Vec<Range<usize>>,
}

/// A text without the words that were to be taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleaned {
    pub text: String,
    /// What was taken out, as the rules write it.
    pub removed: Vec<Arc<str>>,
}

impl Needle {
    /// A word to be looked for; `None` where nothing of it is left to look for.
    pub fn new(written: &str) -> Option<Self> {
        let folded = fold(written.trim()).chars;
        (!folded.is_empty()).then(|| Self { written: written.trim().into(), folded })
    }

    /// The word as it was written.
    pub fn written(&self) -> &str {
        &self.written
    }

    pub(super) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.written)
    }

    pub(super) fn is_in(&self, text: &Folded) -> bool {
        self.find(text).next().is_some()
    }

    /// Where it stands, in characters. A Latin word stands alone: there is no `gin` in `engine`.
    fn find<'t>(&'t self, text: &'t Folded) -> impl Iterator<Item = Range<usize>> + 't {
        let length = self.folded.len();
        let places = text.chars.windows(length).enumerate().filter(move |(_, window)| *window == self.folded);
        places.map(move |(at, _)| at..at.saturating_add(length)).filter(move |place| self.stands_alone(text, place))
    }

    fn stands_alone(&self, text: &Folded, place: &Range<usize>) -> bool {
        let joins = |inner: Option<&char>, outer: Option<&char>| {
            inner.is_some_and(char::is_ascii_alphanumeric) && outer.is_some_and(char::is_ascii_alphanumeric)
        };
        let before = place.start.checked_sub(1).and_then(|at| text.chars.get(at));
        !joins(self.folded.first(), before) && !joins(self.folded.last(), text.chars.get(place.end))
    }
}

impl Folded {
    pub(super) fn into_text(self) -> String {
        self.chars.into_iter().collect()
    }
}

/// Brings a text to one width and case (NFKC, lower case), cluster by cluster, so that every character knows where it came from.
pub(super) fn fold(text: &str) -> Folded {
    let normalizer = ComposingNormalizerBorrowed::new_nfkc();
    let mut folded = Folded::default();
    let mut chars = text.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        let mut cluster = String::from(first);
        while let Some((_, mark)) = chars.next_if(|(_, next)| is_mark(*next)) {
            cluster.push(mark);
        }
        let end = chars.peek().map_or(text.len(), |(at, _)| *at);
        for character in normalizer.normalize(&cluster).chars().flat_map(char::to_lowercase) {
            folded.chars.push(character);
            folded.from.push(start..end);
        }
    }
    folded
}

/// Whether a character belongs to the one before it: accents, and the voicing marks of kana in either width.
fn is_mark(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{3099}' | '\u{309a}' | '\u{ff9e}' | '\u{ff9f}')
}

/// Takes words out of a text, the longest first, then what they leave behind: characters that shops refuse, empty brackets, doubled blanks.
pub fn clean(text: &str, words: &[Needle]) -> Cleaned {
    let mut words: Vec<&Needle> = words.iter().collect();
    words.sort_by_key(|needle| std::cmp::Reverse(needle.folded.len()));
    let mut text = text.to_owned();
    let mut removed = Vec::new();
    for needle in words {
        let folded = fold(&text);
        let places: Vec<_> = needle.find(&folded).filter_map(|place| bytes(&folded, &place)).collect();
        if places.is_empty() {
            continue;
        }
        removed.push(needle.shared());
        let (mut rest, mut end) = (String::new(), 0);
        for place in places {
            if place.start < end {
                continue;
            }
            rest.push_str(text.get(end..place.start).unwrap_or_default());
            rest.push(' ');
            end = place.end;
        }
        rest.push_str(text.get(end..).unwrap_or_default());
        text = rest;
    }
    Cleaned { text: tidy(&text), removed }
}

fn bytes(folded: &Folded, place: &Range<usize>) -> Option<Range<usize>> {
    let (first, last) = (folded.from.get(place.start)?, folded.from.get(place.end.checked_sub(1)?)?);
    Some(first.start..last.end)
}

const BRACKETS: [(char, char); 10] =
    [('(', ')'), ('（', '）'), ('[', ']'), ('［', '］'), ('【', '】'), ('「', '」'), ('『', '』'), ('〔', '〕'), ('<', '>'), ('《', '》')];

/// What BASE refuses: characters of four bytes, which is what emoji are, and what joins or colours them.
fn is_refused(character: char) -> bool {
    character.len_utf8() == 4 || character.is_control() || matches!(character, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}')
}

fn is_separator(character: char) -> bool {
    character.is_whitespace() || matches!(character, '-' | '|' | '｜' | '/' | '／' | ',' | '、' | '・' | ':' | '：' | ';')
}

fn tidy(text: &str) -> String {
    let mut kept: Vec<char> = Vec::new();
    for character in text.chars().map(|c| if is_refused(c) { ' ' } else { c }) {
        let blank = character.is_whitespace();
        if blank && kept.last().is_none_or(|last| last.is_whitespace()) {
            continue;
        }
        let opened = BRACKETS.iter().find(|(_, close)| *close == character).map(|(open, _)| *open);
        let inside = kept.iter().rposition(|c| !c.is_whitespace());
        if let Some(at) = inside.filter(|at| opened.is_some() && kept.get(*at).copied() == opened) {
            // Nothing is left between the two.
            kept.truncate(at);
            continue;
        }
        kept.push(character);
    }
    kept.into_iter().collect::<String>().trim_matches(is_separator).to_owned()
}
