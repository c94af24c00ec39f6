//! YAML events into a tree whose every node knows its place.
//!
//! The only file that names the YAML parser. Aliases share their node and merge keys (`<<`) are applied here, under a budget that counts what they
//! stand for, so a small file cannot unfold into a large one.
use std::{collections::HashMap, ops::Range, rc::Rc};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use super::fault::{Fault, quote};

/// 10,000 generous tasks are 400,000 nodes. More than this is no configuration.
const NODES_MAX: u32 = 2_000_000;
/// Deeper than this is no configuration.
const DEPTH_MAX: u32 = 64;

/// A node and where it is written.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) data: Data,
    /// How many nodes this one stands for, itself and its aliases included.
    weight: u32,
    /// How many levels lie below this one, itself included.
    depth: u32,
}

#[derive(Debug)]
pub(super) enum Data {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    /// In the order of the keys' places.
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Not quoted: `~` is nothing, `"~"` is a text.
    pub(super) plain: bool,
    /// Where the text begins in the source, if it stands there just as it reads.
    pub(super) verbatim: Option<usize>,
}

/// A key and its value, in a map.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Rc<Key>,
    pub(super) value: Rc<Node>,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) text: Rc<str>,
    pub(super) span: Range<usize>,
}

/// A whole file.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Rc<Node>,
}

impl Node {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Scalar(_) if self.is_null() => "nothing",
            Data::Scalar(_) => "a single value",
            Data::List(_) => "a list",
            Data::Map(_) => "a table",
        }
    }

    /// The entries of a table; none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Data::Map(entries) = &self.data { entries } else { &[] }
    }

    /// Nothing is written there, or `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.data, Data::Scalar(scalar) if scalar.plain && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

impl Tree {
    /// The keys on the way to a place: `tasks.report.retries.max`.
    pub(super) fn key_path(&self, at: usize) -> String {
        let mut path = String::new();
        let mut node = &self.root;
        loop {
            match &node.data {
                Data::Scalar(_) => return path,
                Data::List(items) => {
                    // Not a search by halves: an alias stands where it is used and knows only the place of what it stands for.
                    let holds = |item: &Rc<Node>| item.span.start <= at && at < item.span.end.max(item.span.start + 1);
                    let Some((index, item)) = items.iter().enumerate().find(|(_, item)| holds(item)) else { return path };
                    path.extend(["[", &index.to_string(), "]"]);
                    node = item;
                }
                Data::Map(entries) => {
                    let after = entries.partition_point(|entry| entry.key.span.start <= at);
                    let Some(entry) = after.checked_sub(1).and_then(|last| entries.get(last)) else { return path };
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(&quote(&entry.key.text).replace('`', ""));
                    if at < entry.key.span.end {
                        return path;
                    }
                    node = &entry.value;
                }
            }
        }
    }
}

/// Reads a text. Faults that don't end the reading go to `faults`; the one that does is the error.
pub(super) fn parse(text: &str, faults: &mut Vec<Fault>) -> Result<Tree, Box<Fault>> {
    let mut builder = Builder { text, faults, open: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0 };
    let limit = DEPTH_MAX as usize + 1;
    let options = granit_parser::options! { disallow_directives: true, flow_nesting_limit: limit, block_nesting_limit: limit };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.take(event, &span)?,
            Err(error) => return Err(syntax(text, &error)),
        }
    }
    let empty = || Box::new(Fault::new(0..0, "the file is empty").hint("it needs `tasks:` with at least one task"));
    builder.root.map(|root| Tree { root }).ok_or_else(empty)
}

/// A list or map whose end has not come yet.
struct Open {
    start: usize,
    anchor: usize,
    data: Data,
    /// The key whose value comes next.
    key: Option<Rc<Key>>,
}

struct Builder<'a> {
    text: &'a str,
    faults: &'a mut Vec<Fault>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    nodes: u32,
}

type Step = Result<(), Box<Fault>>;

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Step {
        let at = span.byte_range().unwrap_or_default();
        if let (Some(tag), true) = (span.tag_span().and_then(|tag| tag.byte_range()), self.faults.len() < 100) {
            let shown = quote(self.text.get(tag.clone()).unwrap_or_default());
            self.faults.push(Fault::new(tag, format!("the tag {shown} means nothing here")).hint("remove it"));
        }
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Box::new(Fault::new(at, "a second document begins here").hint("one file holds one configuration: remove `---`")))
            }
            Event::Scalar(text, style, anchor, _) => self.scalar(text.into_owned(), style, anchor, at),
            Event::SequenceStart(_, anchor, _) => self.begin(at, anchor, Data::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.begin(at, anchor, Data::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => self.end(&at),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    let cost = node.weight;
                    self.place(node, at, cost)
                }
                None => Err(Box::new(Fault::new(at, "an alias cannot stand inside what it stands for"))),
            },
            // Start and end of stream and document say nothing; what else the parser may learn to emit is not asked for.
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, anchor: usize, span: Range<usize>) -> Step {
        let plain = style == ScalarStyle::Plain;
        let begin = if plain { span.start } else { span.start + 1 };
        let verbatim = self.text.get(begin..).filter(|rest| rest.starts_with(&text)).map(|_| begin);
        self.finish(Node { span, data: Data::Scalar(Scalar { text, plain, verbatim }), weight: 1, depth: 1 }, anchor)
    }

    fn begin(&mut self, at: Range<usize>, anchor: usize, data: Data) -> Step {
        if self.open.len() >= DEPTH_MAX as usize {
            return Err(too_deep(at));
        }
        self.open.push(Open { start: at.start, anchor, data, key: None });
        Ok(())
    }

    fn end(&mut self, at: &Range<usize>) -> Step {
        let Some(Open { start, anchor, data, .. }) = self.open.pop() else { return Ok(()) };
        let data = match data {
            Data::Map(entries) => Data::Map(self.settle(entries)?),
            other => other,
        };
        let (last, weight, depth) = match &data {
            Data::Scalar(_) => (start, 0, 0),
            Data::List(items) => measure(items.iter()),
            Data::Map(entries) => measure(entries.iter().map(|entry| &entry.value)),
        };
        // A block ends where its last value does, not at the next line's token; a bracket ends after itself.
        let end = if at.is_empty() { last.max(start) } else { at.end };
        self.finish(Node { span: start..end, data, weight: weight.saturating_add(1), depth: depth + 1 }, anchor)
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Step {
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let at = node.span.clone();
        self.place(node, at, 1)
    }

    /// Puts a finished node where the next one belongs. An alias costs as much as all that it stands for.
    fn place(&mut self, node: Rc<Node>, at: Range<usize>, cost: u32) -> Step {
        if self.open.len() + node.depth as usize > DEPTH_MAX as usize {
            return Err(too_deep(at));
        }
        self.spend(cost, &at)?;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.data, open.key.take()) {
            (Data::Map(entries), Some(key)) => entries.push(Entry { key, value: node }),
            (Data::Map(_), None) => open.key = Some(Rc::new(key_of(&node, at)?)),
            (Data::List(items), _) => items.push(node),
            (Data::Scalar(_), _) => {}
        }
        Ok(())
    }

    fn spend(&mut self, nodes: u32, at: &Range<usize>) -> Step {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        let fault = Fault::new(at.clone(), format!("the file stands for more than {NODES_MAX} values"));
        Err(Box::new(fault.hint("its aliases unfold into too much")))
    }

    /// Reports keys that are given twice, and applies merge keys: own keys win, then earlier sources.
    fn settle(&mut self, entries: Vec<Entry>) -> Result<Vec<Entry>, Box<Fault>> {
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut known: HashMap<Rc<str>, usize> = HashMap::with_capacity(entries.len());
        let mut merges = Vec::new();
        for entry in entries {
            if &*entry.key.text == "<<" {
                merges.push(entry);
                continue;
            }
            if let Some(first) = known.get(&entry.key.text).and_then(|index| kept.get(*index)) {
                let fault = Fault::new(entry.key.span.clone(), format!("{} is given twice", quote(&entry.key.text)));
                self.faults.push(fault.other(first.key.span.clone(), "first"));
                continue;
            }
            known.insert(Rc::clone(&entry.key.text), kept.len());
            kept.push(entry);
        }
        let disordered = !merges.is_empty();
        for merge in merges {
            let sources = match &merge.value.data {
                Data::List(items) => items.clone(),
                Data::Scalar(_) | Data::Map(_) => vec![Rc::clone(&merge.value)],
            };
            for source in sources {
                let Data::Map(more) = &source.data else {
                    let fault = Fault::new(merge.key.span.clone(), format!("`<<` merges tables, and this is {}", source.kind()));
                    self.faults.push(fault.hint("write `<<: *NAME`, where `&NAME` marks a table"));
                    continue;
                };
                self.spend(source.weight, &merge.key.span)?;
                for entry in more {
                    if known.insert(Rc::clone(&entry.key.text), kept.len()).is_none() {
                        kept.push(entry.clone());
                    }
                }
            }
        }
        if disordered {
            kept.sort_by_key(|entry| entry.key.span.start);
        }
        Ok(kept)
    }
}

/// A key has to be a single value.
fn key_of(node: &Node, span: Range<usize>) -> Result<Key, Box<Fault>> {
    match &node.data {
        Data::Scalar(scalar) => Ok(Key { text: scalar.text.as_str().into(), span }),
        Data::List(_) | Data::Map(_) => Err(Box::new(Fault::new(span, format!("a key has to be a name, and this is {}", node.kind())))),
    }
}

/// The end of the last of these nodes, what they stand for, and how deep they go.
fn measure<'a>(nodes: impl Iterator<Item = &'a Rc<Node>>) -> (usize, u32, u32) {
    nodes.fold((0, 0, 0), |(end, weight, depth), node| (end.max(node.span.end), node.weight.saturating_add(weight), node.depth.max(depth)))
}

fn too_deep(at: Range<usize>) -> Box<Fault> {
    Box::new(Fault::new(at, format!("nested deeper than {DEPTH_MAX} levels")))
}

/// What the parser could not read, with what usually helps.
fn syntax(text: &str, error: &ScanError) -> Box<Fault> {
    let at = error.marker().byte_offset().unwrap_or_default().min(text.len());
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return too_deep(at..at);
    }
    let line = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let before = text.get(..line).and_then(|before| before.trim_end().rfind('\n')).unwrap_or(0);
    let end = text.get(line..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| line + length);
    let near = text.get(before..end).unwrap_or_default();
    let wide = near.lines().any(|line| line.split('#').next().is_some_and(|part| part.contains('\u{3000}')));
    let line = text.get(line..end).unwrap_or_default();
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start_matches([' ', '-']);
    let names = |text: &str| text.starts_with(|c: char| c.is_alphanumeric());
    let hint = match error.kind() {
        _ if wide => Some("a full-width space (U+3000) stands here or in the line before; write ordinary ones".to_owned()),
        ErrorKind::UnknownAnchor if value.strip_prefix('*').is_some_and(names) => {
            Some("`*NAME` stands for what `&NAME` marks further up; a text that begins with `*` needs quotes".to_owned())
        }
        _ if value.starts_with(['*', '@', '%', '`', '&']) => {
            Some(format!("text that begins with `{}` needs quotes", value.chars().next().unwrap_or_default()))
        }
        ErrorKind::TabInPlainScalar | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation | ErrorKind::TabNotAllowed => {
            Some("indent with spaces".to_owned())
        }
        ErrorKind::ExpectedBlockMappingKey => Some("keys of one table have the same indentation".to_owned()),
        ErrorKind::MappingValueNotAllowed => {
            Some("a text with `: ` in it needs quotes, and keys of one table the same indentation".to_owned())
        }
        ErrorKind::UnexpectedCharacter { character } if !character.is_control() => {
            Some(format!("text that begins with `{character}` needs quotes"))
        }
        _ => None,
    };
    Box::new(Fault::new(at..at, format!("not readable as YAML: {}", error.info())).maybe_hint(hint))
}

#[cfg(test)]
mod tests;
