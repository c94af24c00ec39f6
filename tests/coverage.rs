//! What `docs/` says is there: every line of the old systems has a counterpart, every command and metric that is named exists, every handler has its page.
#![cfg(test)]
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
    path::Path,
    process::Command,
};

use taskrun::handlers::registry::SPECS;

/// The sections of `requirements.md` that the page is about, and their lines.
const SECTIONS: &[(&str, RangeInclusive<u32>)] = &[
    ("D", 82..=116),
    ("K", 217..=243),
    ("L", 244..=256),
    ("N", 262..=281),
    ("O", 282..=288),
    ("P", 289..=291),
    ("Q", 292..=301),
    ("T", 336..=363),
    ("U", 364..=367),
];
const COVERAGE: &str = include_str!("../docs/coverage.md");

#[test]
fn every_line_of_the_old_systems_has_a_counterpart_once() {
    let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut section = String::new();
    for line in COVERAGE.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.split('.').next().unwrap().clone_into(&mut section);
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", number, what, counterpart, ""] = cells[..]
            && let Ok(number) = number.parse()
        {
            assert!(!what.is_empty() && 3 < counterpart.len(), "{line}");
            found.entry(section.clone()).or_default().push(number);
        }
    }
    for (section, lines) in SECTIONS {
        assert_eq!(found.remove(*section).unwrap_or_default(), lines.clone().collect::<Vec<_>>(), "section {section}");
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_command_that_the_documents_name_exists() {
    let documents = ["docs/coverage.md", "docs/runbook.md", "docs/runbook.ja.md", "README.md", "README.ja.md"];
    let pages = fs::read_dir("docs/handlers").unwrap().map(|entry| entry.unwrap().path());
    let mut commands = BTreeSet::new();
    for document in documents.iter().map(Into::into).chain(pages) {
        commands.extend(inline(&fs::read_to_string(&document).unwrap()).filter(|code| code.starts_with("taskrun ")).map(str::to_owned));
    }
    assert!(60 < commands.len(), "{commands:?}");
    let faults: Vec<String> = commands.iter().filter_map(|command| unknown(command)).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// What is wrong with a command line, by what `--help` of its subcommand says.
fn unknown(command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let help = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_taskrun")).args(words).arg("--help").output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    };
    let mut path: Vec<&str> = Vec::new();
    let mut shown = help(&[])?;
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        let subcommands = shown.split("Commands:").nth(1).unwrap_or_default().split("Options:").next().unwrap_or_default();
        if !subcommands.lines().any(|line| line.split_whitespace().next() == Some(*word)) {
            break;
        }
        path.push(word);
        shown = help(&path)?;
    }
    let is_named = words.iter().any(|word| matches!(*word, "--version" | "--help" | "COMMAND" | "コマンド名"));
    if path.is_empty() && !is_named {
        return Some(format!("`{command}`: there is no such command"));
    }
    let options = words.iter().filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap());
    let missing: Vec<&str> = options.filter(|option| !shown.contains(*option)).collect();
    (!missing.is_empty()).then(|| format!("`{command}`: no {}", missing.join(", ")))
}

#[test]
fn every_metric_that_the_documents_name_exists() {
    let families: String = ["src/view/metrics.rs", "src/tally.rs"].map(|file| fs::read_to_string(file).unwrap()).concat();
    let documents = ["docs/coverage.md", "docs/runbook.md"].map(|file| fs::read_to_string(file).unwrap()).concat();
    let metrics: BTreeSet<&str> = inline(&documents).filter(|code| code.starts_with("taskrun_")).collect();
    assert!(20 < metrics.len(), "{metrics:?}");
    for metric in metrics {
        assert!(families.contains(&format!("\"{metric}\"")), "{metric}");
    }
}

#[test]
fn every_alert_and_every_shipped_file_that_the_page_names_is_there() {
    let alerts = fs::read_to_string("deploy/prometheus/alerts.yaml").unwrap();
    let named: BTreeSet<&str> = inline(COVERAGE).filter(|code| code.starts_with("Taskrun")).collect();
    assert!(5 < named.len(), "{named:?}");
    for alert in named {
        assert!(alerts.contains(&format!("alert: {alert}\n")), "{alert}");
    }
    for file in inline(COVERAGE).filter(|code| code.starts_with("deploy/")) {
        assert!(Path::new(file).exists(), "{file}");
    }
}

#[test]
fn every_handler_has_a_page_that_names_its_parameters() {
    for spec in SPECS {
        let page = fs::read_to_string(format!("docs/handlers/{}.md", spec.name)).unwrap_or_else(|error| panic!("{}: {error}", spec.name));
        for param in spec.params {
            assert!(page.contains(&format!("`{}", param.name)), "the page of `{}` does not name `{}`", spec.name, param.name);
        }
    }
}

#[test]
fn every_page_that_is_linked_is_there() {
    let mut linked = 0;
    for document in ["docs/coverage.md", "docs/runbook.md", "docs/runbook.ja.md", "README.md", "README.ja.md"] {
        let text = fs::read_to_string(document).unwrap();
        let folder = Path::new(document).parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| !target.contains("://")) {
            linked += 1;
            assert!(folder.join(target).exists(), "{document} links to {target}");
        }
    }
    assert!(30 < linked);
}

#[test]
fn every_entry_of_the_runbook_that_is_named_is_there() {
    let runbook = include_str!("../docs/runbook.md");
    let procedures = COVERAGE.split("\n## T.").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: Vec<&str> = procedures.split('"').skip(1).step_by(2).collect();
    assert_eq!(named.len(), 28);
    for entry in named {
        assert!(
            runbook.lines().any(|line| line.strip_prefix("## ").is_some_and(|heading| heading.starts_with(entry))),
            "no entry `{entry}`"
        );
    }
}

/// What stands between backticks, outside blocks.
fn inline(text: &str) -> impl Iterator<Item = &str> {
    let mut is_block = false;
    text.lines()
        .filter(move |line| {
            is_block ^= line.starts_with("```");
            !is_block && !line.starts_with("```")
        })
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}
