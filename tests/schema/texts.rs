//! What is shipped is right by the schema, and what is broken is refused.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use taskrun::cli::{init, schema};

use super::{judge::judge, yaml};

#[test]
fn the_shipped_schema_is_what_the_program_prints() {
    let shipped = fs::read_to_string(schema::FILE).unwrap_or_default();
    assert!(shipped == schema::text(), "{} is not up to date: cargo run -- schema > {}", schema::FILE, schema::FILE);
}

#[test]
fn every_yaml_that_is_shipped_or_shown_is_right_by_the_schema() {
    let document = schema::document();
    let mut seen = 0;
    let mut faults = Vec::new();
    for (name, text) in shipped().into_iter().chain(shown()) {
        seen += 1;
        let value = yaml::read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        faults.extend(judge(&for_part(&document, &value), &value, &document).into_iter().map(|fault| format!("{name}{fault}")));
    }
    assert!(25 < seen, "the examples are gone");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// tasks.yaml and the examples.
fn shipped() -> Vec<(String, String)> {
    let examples = fs::read_dir("examples").unwrap().map(|entry| entry.unwrap().path());
    let files = examples.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).chain([PathBuf::from("tasks.yaml")]);
    let files = files.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()));
    files.chain([("what `init` writes".to_owned(), init::starter("Asia/Tokyo"))]).collect()
}

/// The YAML of the documentation; what it shows as wrong is left out.
fn shown() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let mut pages = ["README.md", "README.ja.md"].map(PathBuf::from).to_vec();
    find_pages(Path::new("docs"), &mut pages);
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for (number, block) in text.split("\n```yaml").skip(1).enumerate() {
            let (first, block) = block.split_once('\n').unwrap();
            if !first.contains("wrong") && !first.contains("not-tasks") {
                texts.push((format!("{}#{}", page.display(), number + 1), block.split("\n```").next().unwrap().to_owned()));
            }
        }
    }
    texts
}

fn find_pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_pages(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// The schema for a part of a file: `tasks` may be missing.
fn for_part(document: &Value, value: &Value) -> Value {
    let mut part = document.clone();
    if value.get("tasks").is_none() {
        part.as_object_mut().unwrap().remove("required");
    }
    part
}

/// Each line that is wrong ends with this.
const MARK: &str = "# <-- wrong";

#[test]
fn thirty_broken_files_are_refused_by_check_at_their_line_and_by_the_schema() {
    let document = schema::document();
    let mut broken: Vec<PathBuf> = fs::read_dir("tests/data/broken").unwrap().map(|entry| entry.unwrap().path()).collect();
    broken.sort();
    assert!(30 <= broken.len(), "there are {}", broken.len());
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for path in broken {
        let (name, text) = (path.display().to_string(), fs::read_to_string(&path).unwrap());
        let marked: Vec<u64> = (1..).zip(text.lines()).filter(|(_, line)| line.ends_with(MARK)).map(|(number, _)| number).collect();
        let copy = folder.path().join("tasks.yaml");
        fs::write(&copy, &text).unwrap();
        let told = check(&copy);
        if told != marked {
            faults.push(format!("{name}: check complains of the lines {told:?}, marked are {marked:?}"));
        }
        let passes = yaml::read(&text).is_ok_and(|value| judge(&document, &value, &document).is_empty());
        // What is given twice, or has a tag, is no value any more: editors see it in the text.
        if passes && !text.contains("given twice") && !text.contains("a tag") {
            faults.push(format!("{name}: the schema finds nothing wrong"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The lines with faults, as `taskrun check` tells them.
fn check(path: &Path) -> Vec<u64> {
    let output = Command::new(env!("CARGO_BIN_EXE_taskrun")).arg("check").arg(path).arg("--json").env("TOKEN", "t").output().unwrap();
    let view: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut lines: Vec<u64> = view["faults"].as_array().unwrap().iter().map(|fault| fault["line"].as_u64().unwrap()).collect();
    lines.dedup();
    lines
}
