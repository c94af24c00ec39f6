//! What is wrong between the parts of a value, each of them sound: a tier that is cheaper than the one below it, a least above a most.
use std::{ops::Range, rc::Rc};

use super::{
    keys::{Complaint, Kind},
    read::Reader,
    tree::{Data, Node},
};
use crate::core::value::Value;

/// Reads a value and has it checked, if its parts are sound and there.
pub(super) fn checked(
    reader: &mut Reader<'_>,
    (kind, check): (Kind, fn(&Value) -> Vec<Complaint>),
    node: &Rc<Node>,
    at: &Range<usize>,
) -> Option<Value> {
    let before = reader.faults.len();
    let value = reader.value(kind, node, at)?;
    if reader.faults.len() == before && !(reader.lenient() && has_variables(node)) {
        for Complaint { at: path, message, hint } in check(&value) {
            reader.fault(&place(node, at, &path), message, hint);
        }
    }
    Some(value)
}

/// A variable that is not set, where it need not be, leaves a hole in the value.
fn has_variables(node: &Node) -> bool {
    match &node.data {
        Data::Scalar(scalar) => scalar.text.contains("${"),
        Data::List(items) => items.iter().any(|item| has_variables(item)),
        Data::Map(entries) => entries.iter().any(|entry| has_variables(&entry.value)),
    }
}

/// Where a part of a value stands; what holds it, where the part is not there. A table that spans lines is shown by its key.
fn place(node: &Node, key: &Range<usize>, path: &str) -> Range<usize> {
    let (mut node, mut key) = (node, key);
    for name in path.split('.').filter(|name| !name.is_empty()) {
        let below = match &node.data {
            Data::Map(entries) => entries.iter().find(|entry| *entry.key.text == *name).map(|entry| (&entry.value, &entry.key.span)),
            Data::List(items) => name.parse().ok().and_then(|index: usize| items.get(index)).map(|item| (item, &item.span)),
            Data::Scalar(_) => None,
        };
        match below {
            Some((value, place)) => (node, key) = (value, place),
            // A single value counts as a list of one.
            None if name == "0" => {}
            None => break,
        }
    }
    match &node.data {
        Data::Scalar(_) if !node.is_null() => node.span.clone(),
        Data::Scalar(_) | Data::List(_) | Data::Map(_) => key.clone(),
    }
}
