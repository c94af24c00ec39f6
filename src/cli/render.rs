//! Faults on a terminal: the place, the source line, a caret and a hint, as rustc shows them.
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};

use crate::config::{Fault, Faults};

/// A source line longer than this is not shown: nobody reads it, and laying it out takes long.
const LINE_MAX: usize = 2_000;
/// Faults that are shown with their source lines. Those beyond take a line each.
const SHOWN_MAX: usize = 200;

/// All faults of a file, one after the other, then how many there are.
pub fn faults(faults: &Faults, color: bool) -> String {
    render(faults, &Level::ERROR, color)
}

/// All warnings about a file.
pub fn warnings(warnings: &Faults, color: bool) -> String {
    render(warnings, &Level::WARNING, color)
}

fn render(faults: &Faults, level: &Level<'static>, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let file = faults.path().display().to_string();
    let shown = faults.iter().take(SHOWN_MAX).map(|fault| renderer.render(&[group(fault, faults.text(), &file, level)]));
    let shown = shown.map(|shown| shown.trim_end().to_owned() + "\n").collect::<Vec<_>>().join("\n");
    let gap = |fault: &Fault| if fault.line > 0 { ":" } else { ": " };
    let rest = faults.iter().skip(SHOWN_MAX).map(|fault| format!("{file}{}{fault}\n", gap(fault)));
    let unseen = Some(faults.len().saturating_sub(faults.iter().len())).filter(|unseen| *unseen > 0);
    let unseen = unseen.map(|unseen| format!("{file}: {unseen} more\n"));
    std::iter::once(shown).chain(rest).chain(unseen).collect()
}

fn group<'a>(fault: &'a Fault, text: &'a str, file: &'a str, level: &Level<'static>) -> Group<'a> {
    let title = level.clone().primary_title(normalize_untrusted_str(&fault.message));
    let group = match excerpt(fault, text) {
        Some(excerpt) => {
            let other =
                fault.other.as_ref().map(|other| AnnotationKind::Context.span(excerpt.inside(&other.span)).label(other.label.as_str()));
            let own = AnnotationKind::Primary.span(excerpt.inside(&fault.span)).label(other.is_some().then_some("again"));
            title.element(Snippet::source(excerpt.text).line_start(excerpt.line).path(file).annotation(own).annotations(other))
        }
        None => title.element(annotate_snippets::Origin::path(file)),
    };
    let hint = fault.hint.as_ref().map(|hint| Level::HELP.message(normalize_untrusted_str(hint)));
    group.elements(hint)
}

/// The lines around a fault.
struct Excerpt<'a> {
    text: &'a str,
    /// The number of its first line.
    line: usize,
    /// Where it begins in the file.
    begin: usize,
}

impl Excerpt<'_> {
    /// Where a part of the file stands in the excerpt.
    fn inside(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.saturating_sub(self.begin).min(self.text.len());
        start..span.end.saturating_sub(self.begin).clamp(start, self.text.len())
    }
}

/// The lines from the first to the last place of a fault; `None` where there is nothing to see.
fn excerpt<'a>(fault: &Fault, text: &'a str) -> Option<Excerpt<'a>> {
    let other = fault.other.as_ref();
    let (first, line) = match other {
        Some(other) if other.span.start < fault.span.start => (other.span.start, other.line),
        _ => (fault.span.start, fault.line),
    };
    let last = other.map_or(fault.span.end, |other| other.span.end.max(fault.span.end)).max(first);
    let begin = text.get(..first)?.rfind('\n').map_or(0, |end| end + 1);
    let end = text.get(last..)?.find('\n').map_or(text.len(), |length| last + length);
    let shown = text.get(begin..end)?;
    (fault.line > 0 && shown.lines().all(|line| line.len() <= LINE_MAX)).then_some(Excerpt { text: shown, line, begin })
}
