//! The kinds of values that tasks.yaml and handlers' parameters know, and the tables of keys made of them.
//!
//! One table drives the reader, the messages and the schema, so they cannot disagree.

/// A key that a table knows.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// One sentence: what it means, its unit, its default.
    pub doc: &'static str,
}

/// What a value has to be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number from .0 to .1.
    Int(i64, i64),
    /// An exact decimal from .0 to .1, in millionths.
    Decimal(i64, i64),
    /// A share such as `5%`, kept in millionths.
    Percent,
    /// Any text.
    Text,
    /// A path; relative ones are beside tasks.yaml.
    Path,
    /// A duration such as `90s` or `3h 30m`; .0: zero is allowed.
    Duration(bool),
    /// A size such as `10MB`.
    Size,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of .0; a single value counts as a list of one.
    List(&'static Kind),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A table with any keys and values of this kind.
    Map(&'static Kind),
}

/// What the configuration knows of a handler.
#[derive(Clone, Copy, Debug)]
pub struct HandlerSpec {
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    pub params: &'static [Key],
    /// Retries unless the file says otherwise: 3 for handlers that can be repeated, 0 for those whose effects we can't know.
    pub retries: u32,
    /// Whether a lost or interrupted run may go on by itself.
    pub resumable: bool,
    /// Marketplaces that must be configured for it.
    pub needs: &'static [&'static str],
    /// In practice (`--sandbox`) it begins at once, so that the first minute shows something.
    pub eager_in_practice: bool,
}
