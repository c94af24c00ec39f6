//! May this be listed? The rules of a person, kept in a file, against what a product says of itself.
//!
//! A shop that lists what is forbidden is closed, and with it everything it sells. So nothing is listed past this gate: it is asked when a product is
//! taken in, before it is created at a shop, and every night for what is live.
use std::{collections::BTreeSet, sync::Arc};

use super::product::{Asin, Details};

mod text;

pub use text::{Cleaned, Needle, clean};
use text::{Folded, fold};

/// From this score on, a product is not listed.
pub const BLOCK_AT: u32 = 80;
/// From this score on, a person has to look at it first.
pub const REVIEW_AT: u32 = 50;
/// What a score counts up to.
pub const SCORE_MAX: u32 = 100;

/// What may be listed at a shop at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub rules: Arc<Rules>,
    /// A product with fewer images is not listed.
    pub min_images: u32,
    /// A product that is at one shop, or queued for it, is listed at no other.
    pub one_shop: bool,
}

/// What is forbidden, and how surely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Counted up by whoever changes the file: a verdict says by which version it was given.
    pub version: u32,
    pub groups: Vec<Group>,
    pub categories: Vec<CategoryRule>,
    /// Brands that are not sold, whatever the product.
    pub brands: Vec<Needle>,
    /// Products that are never listed.
    pub banned: BTreeSet<Asin>,
    /// Products that a person has looked at and allows: no word or category counts against them.
    pub allowed: BTreeSet<Asin>,
    /// Words that are taken out of titles and descriptions: a marketplace's name, its labels.
    pub removed: Vec<Needle>,
}

/// Words that mean the same danger. However many of them are found, the group counts once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: Arc<str>,
    pub score: u32,
    pub words: Vec<Needle>,
    /// Where one of these is found, this group does not count. The others do.
    pub except: Vec<Needle>,
}

/// A branch of categories: itself and all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryRule {
    /// From the top, as in `食品・飲料・お酒 > お酒`.
    pub path: Arc<str>,
    pub score: u32,
}

/// What a product says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub asin: &'a Asin,
    pub title: &'a str,
    pub description: &'a str,
    pub brand: &'a str,
    /// From the top, as in `食品・飲料・お酒 > お酒 > ビール`; empty: unknown.
    pub category: &'a str,
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be listed.
    Pass,
    /// A person has to look at it.
    Review(Vec<Reason>),
    /// It is not listed.
    Block(Vec<Reason>),
}

/// Something that counts against a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The group, or `category`, `brand`, `banned`.
    pub rule: Arc<str>,
    /// What was found, as the rules write it.
    pub found: Arc<str>,
    pub score: u32,
}

impl Rules {
    /// What was found, for a person: `alcohol: ビール (100); version 3 of the rules`.
    pub fn explain(&self, reasons: &[Reason]) -> String {
        let found: Vec<_> = reasons.iter().map(|Reason { rule, found, score }| format!("{rule}: {found} ({score})")).collect();
        format!("{}; version {} of the rules", found.join(", "), self.version)
    }
}

impl<'a> Candidate<'a> {
    /// A product by its details; what is not known says nothing.
    pub fn of(asin: &'a Asin, details: &'a Details) -> Self {
        fn text(value: Option<&String>) -> &str {
            value.map_or("", String::as_str)
        }
        let Details { title, description, brand, category, .. } = details;
        Self {
            asin,
            title: text(title.as_ref()),
            description: text(description.as_ref()),
            brand: text(brand.as_ref()),
            category: text(category.as_ref()),
        }
    }
}

/// Judges a product by the rules.
pub fn judge(candidate: &Candidate<'_>, rules: &Rules) -> Verdict {
    if rules.banned.contains(candidate.asin) {
        return Verdict::Block(vec![Reason { rule: "banned".into(), found: candidate.asin.as_str().into(), score: SCORE_MAX }]);
    }
    if rules.allowed.contains(candidate.asin) {
        return Verdict::Pass;
    }
    let said = [fold(candidate.title), fold(candidate.description)];
    let mut reasons: Vec<_> = rules.groups.iter().filter_map(|group| found_in(group, &said)).collect();
    reasons.extend(of_category(candidate.category, &rules.categories));
    let brand = fold(candidate.brand);
    if let Some(needle) = rules.brands.iter().find(|needle| needle.is_in(&brand)) {
        reasons.push(Reason { rule: "brand".into(), found: needle.shared(), score: SCORE_MAX });
    }
    let score = reasons.iter().fold(0_u32, |sum, reason| sum.saturating_add(reason.score)).min(SCORE_MAX);
    match score {
        BLOCK_AT.. => Verdict::Block(reasons),
        REVIEW_AT.. => Verdict::Review(reasons),
        _ => Verdict::Pass,
    }
}

fn found_in(group: &Group, said: &[Folded]) -> Option<Reason> {
    let is_said = |needle: &&Needle| said.iter().any(|text| needle.is_in(text));
    if group.except.iter().any(|needle| is_said(&needle)) {
        return None;
    }
    let needle = group.words.iter().find(is_said)?;
    Some(Reason { rule: Arc::clone(&group.name), found: needle.shared(), score: group.score })
}

/// The rule of the deepest branch that the category lies in.
fn of_category(category: &str, rules: &[CategoryRule]) -> Option<Reason> {
    let steps = steps(category);
    let lies_in = |rule: &&CategoryRule| {
        let branch = self::steps(&rule.path);
        !branch.is_empty() && branch.len() <= steps.len() && branch.iter().zip(&steps).all(|(a, b)| a == b)
    };
    let rule = rules.iter().filter(lies_in).max_by_key(|rule| self::steps(&rule.path).len())?;
    Some(Reason { rule: "category".into(), found: Arc::clone(&rule.path), score: rule.score })
}

fn steps(path: &str) -> Vec<String> {
    path.split('>').map(|step| fold(step.trim()).into_text()).filter(|step| !step.is_empty()).collect()
}

#[cfg(test)]
mod tests;
