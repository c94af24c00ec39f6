//! Every example does what its first lines say: each `Try:` runs, and prints what `You see:` says.
#![cfg(test)]
use std::{fs, path::Path, process::Command};

#[test]
fn every_example_does_what_it_says() {
    let mut tried = 0;
    let mut faults = Vec::new();
    for entry in fs::read_dir("examples").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let commands = tries(&text);
        assert!(!commands.is_empty(), "{}: says nothing to try", path.display());
        let copy = copy(&path, &text);
        for (command, seen) in commands {
            tried += 1;
            faults.extend(run(&path, copy.path(), &command, &seen));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(0 < tried, "no example was tried");
}

/// The commands of an example's first lines, each with what it prints.
fn tries(text: &str) -> Vec<(String, String)> {
    let mut tries = Vec::new();
    let mut command = None;
    for line in text.lines().map_while(|line| line.strip_prefix('#')) {
        if let Some(tried) = line.trim().strip_prefix("Try:") {
            command = Some(tried.trim().to_owned());
        } else if let (Some(seen), Some(command)) = (line.trim().strip_prefix("You see:"), command.take()) {
            tries.push((command, seen.trim().to_owned()));
        }
    }
    tries
}

/// A copy in a folder of its own, so that its state is, too.
fn copy(path: &Path, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let examples = folder.path().join("examples");
    fs::create_dir(&examples).unwrap();
    fs::write(examples.join(path.file_name().unwrap()), text).unwrap();
    folder
}

fn run(path: &Path, folder: &Path, command: &str, seen: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[0], "taskrun", "{}: `{command}`", path.display());
    let output = Command::new(env!("CARGO_BIN_EXE_taskrun")).args(&words[1..]).current_dir(folder).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let good = output.status.success() && text.contains(seen);
    (!good).then(|| format!("{}: `{command}` ended with {} and did not print `{seen}`:\n{text}", path.display(), output.status))
}
