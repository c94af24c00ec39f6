//! The docs as a book: every page is in it, and what a page names is there.
#![cfg(test)]
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const DOCS: &str = "docs";

fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}

/// The targets of a page's links and pictures, without those in code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        links.extend(prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
    }
    links
}

/// What GitHub and mdbook make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>().to_lowercase()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_page_is_in_the_book() {
    let docs = Path::new(DOCS);
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let named: BTreeSet<PathBuf> = links(&summary).into_iter().map(|link| docs.join(link)).collect();
    let there: BTreeSet<PathBuf> = pages(docs).into_iter().filter(|page| !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(there.difference(&named).collect::<Vec<_>>(), Vec::<&PathBuf>::new(), "not in docs/SUMMARY.md");
    assert_eq!(named.difference(&there).collect::<Vec<_>>(), Vec::<&PathBuf>::new(), "named in docs/SUMMARY.md, and not there");
}

#[test]
fn what_a_page_links_to_is_there() {
    let mut pages = pages(Path::new(DOCS));
    pages.extend(["README.md", "README.ja.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(PathBuf::from));
    let (mut seen, mut dead) = (0, Vec::new());
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let anchored = || heading.is_empty() || fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(heading));
            if !target.exists() || !anchored() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(seen > 50, "only {seen} links were found");
    assert_eq!(dead, Vec::<String>::new());
}
