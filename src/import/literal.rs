//! Literal values of a Python file, or of JSON, which looks almost the same: texts, numbers, lists and dicts. Nothing is ever run.
use std::{iter::Peekable, str::Chars};

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

/// `NAME = VALUE`s that begin a line; the last of a name counts for Python, and all are given.
pub(super) fn assignments(text: &str) -> Vec<(String, Node)> {
    let mut reader = Reader::of(text);
    let mut found = Vec::new();
    while let Some(first) = reader.next() {
        if first.kind == Kind::Mark('\n') {
            continue;
        }
        let name = if let (Kind::Name(name), true) = (first.kind, first.begins) { Some(name) } else { None };
        // The type that some write between the name and `=`.
        let is_set = name.is_some() && {
            if reader.take(':') {
                reader.skip_to('=');
            }
            reader.take('=') && !reader.take('=')
        };
        let value = is_set.then(|| reader.value(0));
        let whole = reader.skip_to('\n');
        if let Some((name, mut value)) = name.zip(value) {
            if !whole {
                value.data = Data::Unreadable;
            }
            found.push((name, value));
        }
    }
    found
}

/// Lines that change what has a name already, as `NAME["a"].append(1)` does: the name, and the line.
pub(super) fn changes(text: &str) -> Vec<(String, usize)> {
    let mut reader = Reader::of(text);
    let mut found = Vec::new();
    while let Some(first) = reader.next() {
        if first.kind == Kind::Mark('\n') {
            continue;
        }
        let changes = reader.tokens.peek().is_some_and(|next| matches!(next.kind, Kind::Mark('.' | '[' | '+' | '|')));
        if let (Kind::Name(name), true, true) = (first.kind, first.begins, changes) {
            found.push((name, first.line));
        }
        reader.skip_to('\n');
    }
    found
}

/// The one value of a JSON document.
pub(super) fn document(text: &str) -> Node {
    let mut reader = Reader::of(text);
    // A line end that ends a statement ends no document.
    while reader.take('\n') {}
    reader.value(0)
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
    /// It is the first of its line, and nothing stands before it.
    begins: bool,
    kind: Kind,
}

struct Reader {
    tokens: Peekable<std::vec::IntoIter<Token>>,
    line: usize,
}

impl Reader {
    fn of(text: &str) -> Self {
        Self { tokens: Scanner::of(text).tokens().into_iter().peekable(), line: 1 }
    }

    fn next(&mut self) -> Option<Token> {
        self.tokens.next().inspect(|token| self.line = token.line)
    }

    fn take(&mut self, mark: char) -> bool {
        self.tokens.next_if(|token| token.kind == Kind::Mark(mark)).is_some()
    }

    /// Goes on to a mark outside all brackets, or the end of the line; whether nothing but comments stood before it.
    fn skip_to(&mut self, mark: char) -> bool {
        let (mut depth, mut nothing) = (0_usize, true);
        while let Some(token) = self.tokens.peek() {
            match token.kind {
                Kind::Mark('\n') if depth == 0 => {
                    if mark == '\n' {
                        self.next();
                    }
                    return nothing;
                }
                Kind::Mark(found) if depth == 0 && found == mark => return nothing,
                Kind::Mark('[' | '{' | '(') => depth = depth.saturating_add(1),
                Kind::Mark(']' | '}' | ')') => depth = depth.saturating_sub(1),
                Kind::Mark(_) | Kind::Name(_) | Kind::Text(_) | Kind::Number(_) => {}
            }
            nothing = false;
            self.next();
        }
        nothing
    }

    fn value(&mut self, depth: usize) -> Node {
        let Some(token) = self.tokens.next_if(|token| !matches!(token.kind, Kind::Mark('\n' | ',' | ']' | '}' | ')'))) else {
            return Node { line: self.line, data: Data::Unreadable };
        };
        self.line = token.line;
        let data = match token.kind {
            _ if depth >= DEPTH_MAX => Data::Unreadable,
            Kind::Text(mut text) => {
                // Texts side by side are one.
                while let Some(Token { kind: Kind::Text(more), .. }) = self.tokens.next_if(|token| matches!(token.kind, Kind::Text(_))) {
                    text.push_str(&more);
                }
                Data::Text(text)
            }
            Kind::Number(text) => Data::Number(text),
            Kind::Mark('-') => match self.value(depth.saturating_add(1)).data {
                Data::Number(text) => Data::Number(format!("-{text}")),
                _ => Data::Unreadable,
            },
            Kind::Mark(open @ ('[' | '(')) => self.items(if open == '[' { ']' } else { ')' }, depth),
            Kind::Mark('{') => self.pairs(depth),
            Kind::Name(name) => match name.as_str() {
                "True" | "true" => Data::Bool(true),
                "False" | "false" => Data::Bool(false),
                "None" | "null" => Data::None,
                "os" | "environ" | "getenv" => self.variable(),
                _ => Data::Unreadable,
            },
            Kind::Mark(_) => Data::Unreadable,
        };
        let ends = self.tokens.peek().is_none_or(|next| matches!(next.kind, Kind::Mark('\n' | ',' | ':' | ']' | '}' | ')')));
        if ends {
            return Node { line: token.line, data };
        }
        self.skip_value();
        Node { line: token.line, data: Data::Unreadable }
    }

    /// Goes on to what ends a value.
    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.peek() {
            match token.kind {
                Kind::Mark(',' | '\n' | ']' | '}' | ')') if depth == 0 => return,
                Kind::Mark('[' | '{' | '(') => depth = depth.saturating_add(1),
                Kind::Mark(']' | '}' | ')') => depth = depth.saturating_sub(1),
                Kind::Mark(_) | Kind::Name(_) | Kind::Text(_) | Kind::Number(_) => {}
            }
            self.next();
        }
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
        Data::Dict(pairs)
    }

    /// The rest of `os.environ["NAME"]`, `os.environ.get("NAME", ...)`, `os.getenv("NAME")`.
    fn variable(&mut self) -> Data {
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
        let name = self.value(0);
        self.skip_to(close);
        let variable = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match name.data {
            Data::Text(name) if self.take(close) && variable(&name) => Data::Variable(name),
            _ => Data::Unreadable,
        }
    }
}

/// Text to tokens.
struct Scanner<'a> {
    letters: Peekable<Chars<'a>>,
    line: usize,
    begins: bool,
    depth: usize,
    tokens: Vec<Token>,
}

impl<'a> Scanner<'a> {
    fn of(text: &'a str) -> Self {
        Self { letters: text.trim_start_matches('\u{feff}').chars().peekable(), line: 1, begins: true, depth: 0, tokens: Vec::new() }
    }

    fn tokens(mut self) -> Vec<Token> {
        while let Some(c) = self.letters.next() {
            let (line, begins) = (self.line, std::mem::replace(&mut self.begins, false));
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
                c if c.is_whitespace() => continue,
                '"' | '\'' => Kind::Text(self.text(c, false)),
                c if c.is_ascii_digit() => self.number(c),
                c if c.is_alphabetic() || c == '_' => self.word(c),
                c => self.mark(c),
            };
            self.tokens.push(Token { line, begins, kind });
        }
        self.tokens
    }

    fn new_line(&mut self) {
        self.line = self.line.saturating_add(1);
        self.begins = true;
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
                '\\' if raw => text.extend(std::iter::once(c).chain(self.letters.next())),
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
        let found = assignments(text);
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
        let names: Vec<String> = assignments(python).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["G", "H"]);
    }

    #[test]
    fn json_is_read_with_its_lines() {
        let node = document("\n{\n \"a\": {\"b\": true, \"c\": null},\n \"d\": [1, 2.0]\n}\n");
        let d = node.get("d").unwrap();
        assert_eq!((d.line, d.list()[1].int()), (4, Some(2)));
        assert_eq!(node.get("a").and_then(|a| a.get("b")).and_then(Node::bool), Some(true));
    }

    #[test]
    fn depth_does_no_harm() {
        let deep = format!("A = {}", "[".repeat(100_000));
        assert_eq!(assignments(&deep).len(), 1);
    }
}
