//! `publish`, and the file with the rules that it names: what may be listed at a shop at all. Rules that can't be read are a fault, never no rules.
use std::{collections::BTreeSet, path::Path, sync::Arc};

use super::{
    Publish,
    fault::{Fault, Faults, quote},
    file,
    keys::{PUBLISH, RULES},
    read::{Reader, Table},
    tree::{self, Entry, Tree},
};
use crate::{
    core::value::{Params, Value},
    shop::{
        gate::{CategoryRule, Group, Needle, Rules},
        product::Asin,
    },
};

/// Faults of the rules that are told; a person mends these first.
const TOLD_MAX: usize = 20;
/// A Latin word shorter than this is found in too many texts to mean anything.
const LATIN_MIN: usize = 3;

pub(super) fn publish(reader: &mut Reader<'_>, entry: &Entry, base_dir: &Path) -> Option<Publish> {
    let table = reader.table(&entry.value, &entry.key.span, &[PUBLISH])?;
    let plain = reader.plain(table, &[PUBLISH]);
    let min_images = plain.int("min_images").and_then(|images| u32::try_from(images).ok()).unwrap_or(1);
    let path = base_dir.join(plain.text("rules")?);
    let at = &table.entry("rules")?.value.span;
    match read(reader, &path) {
        Ok((rules, warnings)) => {
            tell(&warnings, |message| reader.warnings.push(Fault::new(at.clone(), message)));
            Some(Publish { rules: Arc::new(rules), min_images, one_shop: plain.bool("one_shop").unwrap_or(false) })
        }
        Err(faults) => {
            tell(&faults, |message| reader.faults.push(Fault::new(at.clone(), message)));
            None
        }
    }
}

/// The faults of the rules, as faults of the key that names them.
fn tell(faults: &Faults, mut push: impl FnMut(String)) {
    let file = faults.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    for fault in faults.iter().take(TOLD_MAX) {
        let gap = if fault.line > 0 { ":" } else { ": " };
        push(format!("{file}{gap}{fault}"));
    }
    let rest = faults.len().saturating_sub(TOLD_MAX);
    if rest > 0 {
        push(format!("{file}: {rest} more faults"));
    }
}

/// The rules and what is odd about them, or every fault.
fn read(outer: &Reader<'_>, path: &Path) -> Result<(Rules, Faults), Faults> {
    let text = file::read(path).map_err(|error| {
        let (mut fault, text) = *error;
        // What helps where tasks.yaml is not there would lead astray here.
        fault.hint = None;
        Faults::settle(path.to_owned(), text.into(), None, vec![fault])
    })?;
    let settle = |tree: Option<&Tree>, faults| Faults::settle(path.to_owned(), text.as_str().into(), tree, faults);
    let mut faults = Vec::new();
    let tree = match tree::parse(&text, &mut faults) {
        Ok(tree) => tree,
        Err(fault) => {
            faults.push(*fault);
            return Err(settle(None, faults));
        }
    };
    let mut reader = Reader::new(outer.options, faults);
    let rules = rules(&mut reader, &tree);
    match rules {
        Some(rules) if reader.faults.is_empty() => Ok((rules, settle(Some(&tree), reader.warnings))),
        _ => Err(settle(Some(&tree), reader.faults)),
    }
}

fn rules(reader: &mut Reader<'_>, tree: &Tree) -> Option<Rules> {
    let top = 0..0;
    let table = reader.table(&tree.root, &top, &[RULES])?;
    let plain = reader.plain(table, &[RULES]);
    let none = Params::default();
    let groups = plain.table("groups").unwrap_or(&none);
    let groups = groups.0.iter().filter_map(|(name, group)| match group {
        Value::Table(group) => Some(Group {
            name: Arc::clone(name),
            score: score(group),
            words: needles(group.list("words")),
            except: needles(group.list("except")),
        }),
        _ => None,
    });
    let categories = plain.list("categories").iter().filter_map(|category| match category {
        Value::Table(category) => Some(CategoryRule { path: category.text("path")?.into(), score: score(category) }),
        _ => None,
    });
    let rules = Rules {
        version: plain.int("version").and_then(|version| u32::try_from(version).ok())?,
        groups: groups.collect(),
        categories: categories.collect(),
        brands: needles(plain.list("brands")),
        banned: asins(reader, table, &plain, "banned"),
        allowed: asins(reader, table, &plain, "allowed"),
        removed: needles(plain.list("remove_words")),
    };
    lint(reader, table, &rules);
    Some(rules)
}

fn score(table: &Params) -> u32 {
    table.int("score").and_then(|score| u32::try_from(score).ok()).unwrap_or_default()
}

fn texts(values: &[Value]) -> impl Iterator<Item = &str> {
    values.iter().filter_map(|value| if let Value::Text(text) = value { Some(&**text) } else { None })
}

fn needles(values: &[Value]) -> Vec<Needle> {
    texts(values).filter_map(Needle::new).collect()
}

fn asins(reader: &mut Reader<'_>, table: Table<'_>, plain: &Params, key: &str) -> BTreeSet<Asin> {
    let mut asins = BTreeSet::new();
    for text in texts(plain.list(key)) {
        match Asin::parse(text) {
            Some(asin) => _ = asins.insert(asin),
            None => {
                reader.fault(&table.place(key), format!("{} is not an ASIN", quote(text)), "an ASIN has ten capital letters and digits");
            }
        }
    }
    asins
}

/// What can be read and hardly be meant.
fn lint(reader: &mut Reader<'_>, table: Table<'_>, rules: &Rules) {
    let mut warn = |key: &str, message: String| reader.warnings.push(Fault::new(table.place(key), message));
    for group in &rules.groups {
        if group.words.is_empty() {
            warn("groups", format!("`{}` looks for no word at all", group.name));
        }
        for needle in &group.words {
            let word = needle.written();
            if word.is_ascii() && word.len() < LATIN_MIN {
                warn("groups", format!("{} in `{}` is so short that it is found in many harmless texts", quote(word), group.name));
            }
            if group.except.iter().any(|except| except.written() == word) {
                warn("groups", format!("{} in `{}` is looked for and excepted: the group never counts", quote(word), group.name));
            }
        }
    }
    for asin in rules.banned.intersection(&rules.allowed) {
        warn("allowed", format!("{asin} is banned as well, and the ban counts"));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::config::{Config, Faults, LoadOptions, Secrets, load};

    fn with_rules(rules: Option<&str>) -> Result<Config, Faults> {
        let dir = tempfile::tempdir().unwrap();
        if let Some(rules) = rules {
            fs::write(dir.path().join("rules.yaml"), rules).unwrap();
        }
        let path = dir.path().join("tasks.yaml");
        fs::write(&path, "publish: { rules: rules.yaml }\ntasks: {}\n").unwrap();
        let now = "2026-03-30T00:00:00Z".parse().unwrap();
        load(&path, &LoadOptions { handlers: &[], practice: false, secrets: Secrets::Required, env: &|_| None, now })
    }

    fn faults(rules: Option<&str>) -> String {
        with_rules(rules).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn acceptance_13_rules_that_cannot_be_read_are_a_fault_and_never_no_rules() {
        assert!(faults(None).ends_with("1:19: rules.yaml: there is no such file"), "{}", faults(None));
        assert!(faults(Some("version: 1\ngroups: { alcohol: { score: 100, word: [gin] } }")).contains("unknown key `word`"));
        let told = faults(Some("groups: [\n"));
        assert!(told.contains("rules.yaml:"), "{told}");
        assert!(faults(Some("version: 1\nbanned: [b0]")).contains("`b0` is not an ASIN"));
        assert!(faults(Some("version: 1\ncategories: [{ path: 酒, score: 101 }]")).contains("rules.yaml:2:"));
    }

    #[test]
    fn the_rules_are_read_and_what_is_odd_about_them_is_told() {
        let text = "version: 7\ngroups: { alcohol: { score: 100, words: [gi, ビール], except: [ビール] } }\nremove_words: [Amazon]\n";
        let config = with_rules(Some(text)).unwrap();
        let rules = config.publish.unwrap().rules;
        assert_eq!((rules.version, rules.groups.len(), rules.removed.len()), (7, 1, 1));
        let odd: Vec<_> = config.warnings.iter().map(|warning| warning.message.clone()).collect();
        assert!(odd.iter().any(|odd| odd.contains("`gi` in `alcohol` is so short")), "{odd:?}");
        assert!(odd.iter().any(|odd| odd.contains("looked for and excepted")), "{odd:?}");
    }

    #[test]
    fn the_example_rules_hold() {
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/publish-rules.yaml")).unwrap();
        let config = with_rules(Some(&text)).unwrap();
        assert!(config.warnings.iter().all(|warning| !warning.message.contains("rules.yaml")), "{:?}", config.warnings);
    }
}
