//! What differs between two sets of instances, in words.
use std::fmt;

use super::task::{InstanceName, InstanceSet};

/// One instance that a reload adds, removes or changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    Added(InstanceName),
    Removed(InstanceName),
    Changed(InstanceName),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(name) => write!(f, "{name}: added"),
            Self::Removed(name) => write!(f, "{name}: removed"),
            Self::Changed(name) => write!(f, "{name}: changed"),
        }
    }
}

/// What differs, by name.
pub fn differences(old: &InstanceSet, new: &InstanceSet) -> Vec<Difference> {
    let removed = old.keys().filter(|name| !new.contains_key(*name)).cloned().map(Difference::Removed);
    let rest = new.iter().filter_map(|(name, instance)| match old.get(name) {
        None => Some(Difference::Added(name.clone())),
        Some(before) if before != instance => Some(Difference::Changed(name.clone())),
        Some(_) => None,
    });
    removed.chain(rest).collect()
}
