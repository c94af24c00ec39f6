//! Literal values of a Python file, or of JSON, which looks almost the same: texts, numbers, lists and dicts. Nothing is ever run.
use std::{collections::BTreeSet, iter::Peekable, slice::Iter, str::Chars};

use crate::shop::setting::is_variable;

/// Deeper than any settings are.
const DEPTH_MAX: usize = 32;

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) data: Data,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Text(String),
    /// As it was written, without `_`.
    Number(String),
    Bool(bool),
    None,
    List(Vec<Node>),
    Dict(Vec<(Node, Node)>),
    /// `os.environ["NAME"]` and the like.
    Variable(String),
    /// Something that would have to be run.
    Unreadable,
}

impl Node {
    /// A whole number.
    pub(super) fn int(&self) -> Option<i64> {
        if let Data::Number(text) | Data::Text(text) = &self.data { text.strip_suffix(".0").unwrap_or(text).parse().ok() } else { None }
    }

    pub(super) fn bool(&self) -> Option<bool> {
        if let Data::Bool(value) = self.data { Some(value) } else { None }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Data::Text(text) = &self.data { Some(text) } else { None }
    }

    pub(super) fn list(&self) -> &[Node] {
        if let Data::List(items) = &self.data { items } else { &[] }
    }

    /// The entries of a dict that go by a name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Node)> {
        let entries: &[(Node, Node)] = if let Data::Dict(entries) = &self.data { entries } else { &[] };
        entries.iter().filter_map(|(key, value)| Some((key.text()?, value)))
    }

    /// The value of a name; the last one counts.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entries().filter(|(key, _)| *key == name).last().map(|(_, value)| value)
    }
}

/// What a Python file says without being run.
#[derive(Debug, Default)]
pub(super) struct Python {
    /// `NAME = VALUE`s that begin a line; the last of a name counts for Python, and all are given.
    pub(super) assignments: Vec<(String, Node)>,
    /// Lines that say something else of a name that is known, and so may change it: the name, or `*` for whatever an import brings.
    pub(super) changes: Vec<(String, usize)>,
}

/// Reads a Python file.
pub(super) fn python(text: &str, is_known: impl Fn(&str) -> bool) -> Python {
    let mut python = Python::default();
    let tokens = Scanner::of(&text.replace("\r\n", "\n")).tokens();
    // How far in the function or class begins whose body it is.
    let mut body = None::<usize>;
    for line in tokens.split(|token| token.kind == Kind::Mark('\n')) {
        let Some(first) = line.first() else { continue };
        let indent = first.indent.unwrap_or_default();
        body = body.filter(|outer| *outer < indent);
        if body.is_none() && matches!(&first.kind, Kind::Name(word) if matches!(word.as_str(), "def" | "class" | "async")) {
            body = Some(indent);
        }
        let assignment = assignment(line);
        let rest = if assignment.is_some() { line.get(1..).unwrap_or_default() } else { line };
        if let Some(name) = change(rest, assignment.is_none(), body.is_some(), &is_known) {
            python.changes.push((name, first.line));
        }
        python.assignments.extend(assignment);
    }
    python
}

/// What a line assigns that begins with a name and `=`, with or without a type between them.
fn assignment(line: &[Token]) -> Option<(String, Node)> {
    let (first, rest) = line.split_first()?;
    let Kind::Name(name) = &first.kind else { return None };
    let mut reader = Reader { tokens: rest.iter().peekable(), line: first.line };
    if reader.take(':') {
        reader.skip_to('=');
    }
    if first.indent != Some(0) || !reader.take('=') || reader.take('=') {
        return None;
    }
    let mut value = reader.value(0);
    if reader.tokens.next().is_some() {
        value.data = Data::Unreadable;
    }
    Some((name.clone(), value))
}

/// The name that is known of which a line says something; in the body of a function, only what a statement begins with.
fn change(line: &[Token], mut begins: bool, in_a_body: bool, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let mut imports = false;
    for token in line {
        match &token.kind {
            Kind::Name(name) if is_known(name) && (begins || !in_a_body) => return Some(name.clone()),
            Kind::Mark('*') if imports => return Some("*".to_owned()),
            Kind::Mark(_) | Kind::Name(_) | Kind::Text(_) | Kind::Number(_) => {}
        }
        imports = matches!(&token.kind, Kind::Name(word) if word == "import");
        begins = match &token.kind {
            Kind::Mark(mark) => matches!(mark, ';' | ':'),
            Kind::Name(word) => matches!(word.as_str(), "del" | "global" | "nonlocal"),
            Kind::Text(_) | Kind::Number(_) => false,
        };
    }
    None
}

/// The one value of a JSON document, and the line of what stands behind it.
pub(super) fn document(text: &str) -> (Node, Option<usize>) {
    let mut tokens = Scanner::of(text).tokens();
    // Statements end with lines, documents do not.
    tokens.retain(|token| token.kind != Kind::Mark('\n'));
    let mut reader = Reader { tokens: tokens.iter().peekable(), line: 1 };
    let node = reader.begun(0);
    (node, reader.tokens.next().map(|token| token.line))
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Name(String),
    Text(String),
    Number(String),
    Mark(char),
}

#[derive(Clone, Debug)]
struct Token {
    line: usize,
    /// How many blanks stand before it, if nothing else does.
    indent: Option<usize>,
    kind: Kind,
}

struct Reader<'t> {
    tokens: Peekable<Iter<'t, Token>>,
    line: usize,
}

impl Reader<'_> {
    fn take(&mut self, mark: char) -> bool {
        self.tokens.next_if(|token| token.kind == Kind::Mark(mark)).is_some()
    }

    /// Goes on to a mark outside all brackets.
    fn skip_to(&mut self, mark: char) {
        self.skip_until(|found| found == mark);
    }

    fn skip_until(&mut self, ends: impl Fn(char) -> bool) {
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.peek() {
            match token.kind {
                Kind::Mark(found) if depth == 0 && ends(found) => return,
                Kind::Mark('[' | '{' | '(') => depth = depth.saturating_add(1),
                Kind::Mark(']' | '}' | ')') => depth = depth.saturating_sub(1),
                Kind::Mark(_) | Kind::Name(_) | Kind::Text(_) | Kind::Number(_) => {}
            }
            self.tokens.next();
        }
    }

    /// A value, and nothing but it up to the next comma or bracket.
    fn value(&mut self, depth: usize) -> Node {
        let node = self.begun(depth);
        let ends = self.tokens.peek().is_none_or(|next| matches!(next.kind, Kind::Mark(',' | ':' | ']' | '}' | ')')));
        if ends {
            return node;
        }
        self.skip_until(|mark| matches!(mark, ',' | ']' | '}' | ')'));
        Node { line: node.line, data: Data::Unreadable }
    }

    /// The value that begins here, whatever comes behind it.
    fn begun(&mut self, depth: usize) -> Node {
        let Some(token) = self.tokens.next_if(|token| !matches!(token.kind, Kind::Mark(',' | ']' | '}' | ')'))) else {
            return Node { line: self.line, data: Data::Unreadable };
        };
        self.line = token.line;
        let data = match &token.kind {
            _ if depth >= DEPTH_MAX => Data::Unreadable,
            Kind::Text(text) => {
                let mut text = text.clone();
                // Texts side by side are one.
                while let Some(Token { kind: Kind::Text(more), .. }) = self.tokens.next_if(|token| matches!(token.kind, Kind::Text(_))) {
                    text.push_str(more);
                }
                Data::Text(text)
            }
            Kind::Number(text) => Data::Number(text.clone()),
            Kind::Mark('-') => match self.value(depth.saturating_add(1)).data {
                Data::Number(text) => Data::Number(format!("-{text}")),
                _ => Data::Unreadable,
            },
            Kind::Mark(open @ ('[' | '(')) => self.items(if *open == '[' { ']' } else { ')' }, depth),
            Kind::Mark('{') => self.pairs(depth),
            Kind::Name(name) => match name.as_str() {
                "True" | "true" => Data::Bool(true),
                "False" | "false" => Data::Bool(false),
                "None" | "null" => Data::None,
                "os" | "environ" | "getenv" => self.variable(depth),
                _ => Data::Unreadable,
            },
            Kind::Mark(_) => Data::Unreadable,
        };
        Node { line: token.line, data }
    }

    fn items(&mut self, close: char, depth: usize) -> Data {
        let mut items = Vec::new();
        let mut commas = false;
        while !self.take(close) {
            items.push(self.value(depth.saturating_add(1)));
            let comma = self.take(',');
            commas |= comma;
            if !comma && !self.take(close) {
                return Data::Unreadable;
            } else if !comma {
                break;
            }
        }
        // Brackets around one value make no list of it.
        match items.pop() {
            Some(only) if close == ')' && !commas => only.data,
            Some(last) => {
                items.push(last);
                Data::List(items)
            }
            None => Data::List(items),
        }
    }

    fn pairs(&mut self, depth: usize) -> Data {
        let mut pairs = Vec::new();
        while !self.take('}') {
            let key = self.value(depth.saturating_add(1));
            let value = if self.take(':') { self.value(depth.saturating_add(1)) } else { Node { line: key.line, data: Data::Unreadable } };
            pairs.push((key, value));
            if !self.take(',') {
                if self.take('}') {
                    break;
                }
                return Data::Unreadable;
            }
        }
        // The last of a name counts, as for Python.
        let mut names = BTreeSet::new();
        pairs.reverse();
        pairs.retain(|(key, _)| key.text().is_none_or(|name| names.insert(name.to_owned())));
        pairs.reverse();
        Data::Dict(pairs)
    }

    /// The rest of `os.environ["NAME"]`, `os.environ.get("NAME", ...)`, `os.getenv("NAME")`.
    fn variable(&mut self, depth: usize) -> Data {
        while self.take('.') {
            if self
                .tokens
                .next_if(|token| matches!(&token.kind, Kind::Name(name) if matches!(name.as_str(), "environ" | "getenv" | "get")))
                .is_none()
            {
                return Data::Unreadable;
            }
        }
        let close = if self.take('[') {
            ']'
        } else if self.take('(') {
            ')'
        } else {
            return Data::Unreadable;
        };
        let name = self.value(depth.saturating_add(1));
        self.skip_to(close);
        match name.data {
            Data::Text(name) if self.take(close) && is_variable(&name) => Data::Variable(name),
            _ => Data::Unreadable,
        }
    }
}

/// Text to tokens.
struct Scanner<'a> {
    letters: Peekable<Chars<'a>>,
    line: usize,
    /// How many blanks stand before what comes, if nothing else does.
    indent: Option<usize>,
    depth: usize,
    tokens: Vec<Token>,
}

impl<'a> Scanner<'a> {
    fn of(text: &'a str) -> Self {
        Self { letters: text.trim_start_matches('\u{feff}').chars().peekable(), line: 1, indent: Some(0), depth: 0, tokens: Vec::new() }
    }

    fn tokens(mut self) -> Vec<Token> {
        while let Some(c) = self.letters.next() {
            let (line, indent) = (self.line, self.indent.take());
            let kind = match c {
                '\n' => {
                    self.new_line();
                    if self.depth > 0 {
                        continue;
                    }
                    Kind::Mark('\n')
                }
                '\\' if self.letters.next_if_eq(&'\n').is_some() => {
                    self.line = self.line.saturating_add(1);
                    continue;
                }
                '#' => {
                    while self.letters.next_if(|c| *c != '\n').is_some() {}
                    continue;
                }
                c if c.is_whitespace() => {
                    self.indent = indent.map(|blanks| blanks.saturating_add(1));
                    continue;
                }
                '"' | '\'' => Kind::Text(self.text(c, false)),
                c if c.is_ascii_digit() => self.number(c),
                c if c.is_alphabetic() || c == '_' => self.word(c),
                c => self.mark(c),
            };
            self.tokens.push(Token { line, indent, kind });
        }
        self.tokens
    }

    fn new_line(&mut self) {
        self.line = self.line.saturating_add(1);
        self.indent = Some(0);
    }

    fn mark(&mut self, c: char) -> Kind {
        match c {
            '[' | '{' | '(' => self.depth = self.depth.saturating_add(1),
            ']' | '}' | ')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        Kind::Mark(c)
    }

    fn number(&mut self, first: char) -> Kind {
        let mut text = String::from(first);
        while let Some(c) = self.letters.next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_')) {
            text.push(c);
        }
        Kind::Number(text.replace('_', ""))
    }

    /// A name, or a text with letters before its quote.
    fn word(&mut self, first: char) -> Kind {
        let mut word = String::from(first);
        while let Some(c) = self.letters.next_if(|c| c.is_alphanumeric() || *c == '_') {
            word.push(c);
        }
        let prefix = word.to_ascii_lowercase();
        if matches!(prefix.as_str(), "r" | "u" | "b" | "f" | "rb" | "br" | "rf" | "fr")
            && let Some(mark) = self.letters.next_if(|c| matches!(c, '"' | '\''))
        {
            let text = self.text(mark, prefix.contains('r'));
            // What is filled in would have to be run.
            return if prefix.contains('f') && text.contains('{') { Kind::Mark('?') } else { Kind::Text(text) };
        }
        Kind::Name(word)
    }

    fn text(&mut self, mark: char, raw: bool) -> String {
        let mut text = String::new();
        let long = self.letters.next_if_eq(&mark).is_some();
        if long && self.letters.next_if_eq(&mark).is_none() {
            return text;
        }
        let mut marks = 0;
        while let Some(c) = self.letters.next() {
            marks = if c == mark { marks + 1 } else { 0 };
            match c {
                _ if marks == 3 || (marks == 1 && !long) => {
                    text.truncate(text.len().saturating_sub(marks - 1));
                    return text;
                }
                '\n' if !long => {
                    self.new_line();
                    return text;
                }
                '\n' => {
                    self.line = self.line.saturating_add(1);
                    text.push(c);
                }
                '\\' if raw => {
                    let escaped = self.letters.next();
                    self.line = self.line.saturating_add(usize::from(escaped == Some('\n')));
                    text.extend(std::iter::once(c).chain(escaped));
                }
                '\\' => self.escape(&mut text),
                c => text.push(c),
            }
        }
        text
    }

    fn escape(&mut self, text: &mut String) {
        let Some(c) = self.letters.next() else { return };
        let digits = match c {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let code: String = (0..digits).filter_map(|_| self.letters.next_if(char::is_ascii_hexdigit)).collect();
            text.push(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            return;
        }
        match c {
            '\n' => self.line = self.line.saturating_add(1),
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            '"' | '\'' | '\\' | '/' => text.push(c),
            other => text.extend(['\\', other]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Data {
        let found = python(text, |_| false).assignments;
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        found[0].1.data.clone()
    }

    fn text(text: &str) -> Data {
        Data::Text(text.to_owned())
    }

    #[test]
    fn literals_are_read_and_nothing_else() {
        for (python, expected) in [
            ("A = 'x'", text("x")),
            ("A = \"a\" 'b'  # c", text("ab")),
            ("A: Dict[str, int] = r'\\n'", text("\\n")),
            ("A = '''a\n'b' \\\" c'''\n", text("a\n'b' \" c")),
            ("A = ('x')", text("x")),
            ("A = \"\\u65e5\\x41\"", text("日A")),
            ("A = -1_000", Data::Number("-1000".to_owned())),
            ("A = None", Data::None),
            ("A = os.environ['X_1']", Data::Variable("X_1".to_owned())),
            ("A = os.environ['1X']", Data::Unreadable),
            ("A = os.getenv('X', 'hunter2')", Data::Variable("X".to_owned())),
            ("A = os.environ.get('X')", Data::Variable("X".to_owned())),
            ("A = {**B}", Data::Dict(vec![(Node { line: 1, data: Data::Unreadable }, Node { line: 1, data: Data::Unreadable })])),
            ("A = open('x').read()", Data::Unreadable),
            ("A = [1] + B", Data::Unreadable),
            ("A = f'{B}'", Data::Unreadable),
            ("A = 'x'.upper()", Data::Unreadable),
            ("A = {'a': [1, {", Data::Unreadable),
            ("A =", Data::Unreadable),
        ] {
            assert_eq!(only(python), expected, "{python}");
        }
    }

    #[test]
    fn only_what_begins_a_line_counts() {
        let python = "\"\"\"A = 1\nB = 2\n\"\"\"\nimport os\n\ndef f():\n    C = 3\n    return {\n'D': 4}\nE == 5\n\nF.g = 6\nG = {\n  'h': [\n1,\n],  # '\n}\n\n\nH = \\\n  7\n";
        let names: Vec<String> = super::python(python, |_| false).assignments.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["G", "H"]);
    }

    #[test]
    fn json_is_read_with_its_lines() {
        let (node, rest) = document("\n{\n \"a\": {\"b\": true, \"c\": null},\n \"d\": [1, 2.0]\n}\n");
        let d = node.get("d").unwrap();
        assert_eq!((d.line, d.list()[1].int()), (4, Some(2)));
        assert_eq!(node.get("a").and_then(|a| a.get("b")).and_then(Node::bool), Some(true));
        assert_eq!(rest, None);
    }

    #[test]
    fn the_last_of_a_name_counts() {
        let (node, rest) = document("{\"a\": 1, \"b\": 2, \"a\": 3}\n\n {}");
        let entries: Vec<_> = node.entries().map(|(name, value)| (name, value.int())).collect();
        assert_eq!((entries, rest), (vec![("b", Some(2)), ("a", Some(3))], Some(3)));
    }

    #[test]
    fn depth_does_no_harm() {
        for open in ["[", "(", "{", "{1:", "-", "os(", "os.environ[", "getenv(", "[os(-"] {
            let deep = format!("A = {}", open.repeat(100_000));
            assert_eq!(only(&deep), Data::Unreadable, "{open}");
        }
    }

    #[test]
    fn whatever_may_change_what_is_known_is_found() {
        for (text, line) in [
            ("K = [1]\nK.append(2)", 2),
            ("K = [1]\nif x:\n    K.append(2)", 3),
            ("try:\n    K = [1]\nexcept E:\n    pass", 2),
            ("a = 1; K = [1]", 1),
            ("K = [1]; K.append(2)", 1),
            ("if x: K.append(2)", 1),
            ("def f():\n    global K\n", 2),
            ("def f(): K.append(1)", 1),
            ("class C:\n  def f():\n    a = 1; del K[0]", 3),
            ("def f():\n    return 1\nb = K['base']", 3),
            ("from x import (a,\n  K)", 1),
            ("from x import *", 1),
            ("a = K = [1]", 1),
            ("K == 1", 1),
            ("K +=\\\r\n  [1]", 1),
        ] {
            let changes = python(text, |name| name == "K").changes;
            assert_eq!(changes.iter().map(|(_, line)| *line).collect::<Vec<_>>(), [line], "{text}");
        }
        for text in ["K = [1]\n", "K: List[int] = [1]", "# K\n'K'", "def f():\n    return K[1]\n", "x.K_2 = 1", "def f(a=K):\n  a *= 1"] {
            assert_eq!(python(text, |name| name == "K").changes, [], "{text}");
        }
    }
}
