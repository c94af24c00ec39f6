//! A piece of a text that knows its place in it, so that what is wrong can be pointed at.
use std::ops::Range;

use super::value::Misread;

/// A piece of a text, and the byte at which it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    at: usize,
}

impl<'a> Part<'a> {
    /// The whole text.
    pub(super) fn whole(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The bytes that the piece takes up.
    pub(super) fn range(self) -> Range<usize> {
        self.at..self.at.saturating_add(self.text.len())
    }

    /// The pieces between separators, empty ones included.
    pub(super) fn split(self, is_separator: impl Fn(char) -> bool) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut start = 0;
        for (index, letter) in self.text.char_indices().filter(|(_, letter)| is_separator(*letter)) {
            parts.push(self.slice(start..index));
            start = index.saturating_add(letter.len_utf8());
        }
        parts.push(self.slice(start..self.text.len()));
        parts
    }

    /// The pieces between runs of white space.
    pub(super) fn words(self) -> Vec<Self> {
        let mut words = self.split(|letter| letter.is_ascii_whitespace());
        words.retain(|word| !word.text.is_empty());
        words
    }

    /// The pieces before and after the first separator.
    pub(super) fn split_once(self, separator: &str) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(separator)?;
        let after_at = self.at.saturating_add(before.len()).saturating_add(separator.len());
        Some((Self { text: before, at: self.at }, Self { text: after, at: after_at }))
    }

    /// The same place, misread.
    pub(super) fn misread(self, message: String, hint: Option<String>) -> Misread {
        Misread { at: self.range(), message, hint }
    }

    fn slice(self, range: Range<usize>) -> Self {
        Self { at: self.at.saturating_add(range.start), text: self.text.get(range).unwrap_or_default() }
    }
}
