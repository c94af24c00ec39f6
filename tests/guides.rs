//! The guides for those who move in do what they say: their files pass the check, and their commands end with 0.
//!
//! `yaml tasks.yaml` blocks are files of ours, `sh` blocks are run; `text`, `ini` and `yml` show what others have, or what only a real machine can do.
#![cfg(test)]
use std::{fs, path::Path, process::Command};

const MOVING_IN: &str = include_str!("../docs/moving-in.md");
const MIGRATION: &str = include_str!("../docs/migration.md");
const MIGRATION_JA: &str = include_str!("../docs/migration.ja.md");

/// The blocks of a page, each with what stands behind its fence.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        assert!(
            ["yaml tasks.yaml", "sh", "text", "ini", "yml"].contains(&kind),
            "a block of the kind `{kind}` is neither run nor left alone"
        );
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        found.push((kind, block.join("\n") + "\n"));
    }
    found
}

/// The commands of a page, without their comments and reasons, which each language has for itself.
fn commands(page: &str) -> Vec<String> {
    let blocks = blocks(page);
    let lines = blocks.iter().filter(|(kind, _)| *kind == "sh").flat_map(|(_, block)| block.lines());
    lines.map(|line| line.split(" #").next().unwrap().trim_end().to_owned()).collect()
}

#[track_caller]
fn run(folder: &Path, command: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_taskrun"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), env!("PATH"));
    let output =
        Command::new("sh").args(["-c", command]).current_dir(folder).env("PATH", path).env_remove("TASKRUN_CONFIG").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{command}`: {}\n{said}", output.status);
    said
}

#[test]
fn every_example_of_moving_in_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut examples = 0;
    for (_, yaml) in blocks(MOVING_IN).iter().filter(|(kind, _)| *kind == "yaml tasks.yaml") {
        examples += 1;
        fs::write(folder.join("tasks.yaml"), yaml).unwrap();
        let checked = run(folder, "taskrun check");
        assert!(checked.starts_with("tasks.yaml: ok, "), "{checked}\n{yaml}");
        let commands = commands(MOVING_IN);
        assert_eq!(commands.len(), 3);
        for command in &commands {
            run(folder, command);
        }
    }
    assert_eq!(examples, 5);
}

#[test]
fn the_crontab_of_moving_in_is_imported_as_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks(MOVING_IN);
    let [(_, crontab), (_, shown), ..] = blocks.as_slice() else { panic!("{blocks:?}") };
    fs::write(folder.path().join("crontab"), crontab).unwrap();
    run(folder.path(), "taskrun import crontab crontab > tasks.yaml");
    let imported = run(folder.path(), "taskrun list");
    fs::write(folder.path().join("tasks.yaml"), shown).unwrap();
    let by_hand = run(folder.path(), "taskrun list");
    let columns = |list: &str| -> Vec<String> {
        list.lines()
            .skip(1)
            .map(|line| line.split("  ").filter(|word| !word.is_empty()).take(3).map(str::trim).collect::<Vec<_>>().join("|"))
            .collect()
    };
    assert_eq!(columns(&imported), columns(&by_hand), "{imported}\n{by_hand}");
}

#[test]
fn the_way_from_the_old_systems_can_be_gone() {
    let (english, japanese) = (commands(MIGRATION), commands(MIGRATION_JA));
    let plain = |commands: &[String]| -> Vec<String> { commands.iter().map(|line| line.split('"').step_by(2).collect()).collect() };
    assert_eq!(plain(&english), plain(&japanese));
    assert!(14 <= english.len(), "{english:?}");
    for commands in [english, japanese] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for name in ["old", "deploy"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        for (from, to) in [
            ("tests/import/crontabs/richs", "old/crontab"),
            ("tests/import/office/daemons.json", "old/daemons.json"),
            ("tests/import/office/accounts.py", "old/accounts.py"),
            ("deploy/publish-rules.yaml", "deploy/publish-rules.yaml"),
        ] {
            fs::copy(from, folder.join(to)).unwrap();
        }
        // A shop that is switched off is refused, as it should be; here all shops serve.
        let accounts = fs::read_to_string(folder.join("old/accounts.py")).unwrap();
        fs::write(folder.join("old/accounts.py"), accounts.replace("'active': False", "'active': True")).unwrap();
        for command in &commands {
            run(folder, command);
        }
    }
}
