//! The README's examples do what they say: its files are written, its commands run, and what they print has the shape that is shown.
#![cfg(test)]
use std::{fs, path::Path, process::Command};

#[derive(Debug, Default)]
struct Examples {
    files: Vec<(String, String)>,
    /// A command, and the lines it is said to print.
    commands: Vec<(String, Vec<String>)>,
}

#[test]
fn the_readme_does_what_it_says() {
    holds("README.md", 8);
}

#[test]
fn the_japanese_readme_does_what_it_says() {
    holds("README.ja.md", 2);
}

fn holds(readme: &str, commands: usize) {
    let examples = read(&fs::read_to_string(readme).unwrap());
    assert!(commands <= examples.commands.len(), "the examples are gone: {examples:?}");
    let folder = tempfile::tempdir().unwrap();
    for name in ["examples", "deploy"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for file in ["tasks.yaml", "deploy/publish-rules.yaml", "examples/products.csv"] {
        fs::copy(file, folder.path().join(file)).unwrap();
    }
    for (name, text) in &examples.files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    for (command, shown) in &examples.commands {
        let printed = run(folder.path(), command);
        let shapes: Vec<String> = printed.lines().map(shape).collect();
        for line in shown {
            let wanted = shape(line);
            let fits = |printed: &String| wanted.strip_suffix("...").map_or(*printed == wanted, |begin| printed.starts_with(begin));
            assert!(shapes.iter().any(fits), "`{command}` does not print\n{line}\nbut\n{printed}");
        }
    }
}

fn read(text: &str) -> Examples {
    let mut examples = Examples::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(fence) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        if let Some(name) = fence.strip_prefix("yaml ") {
            examples.files.push((name.to_owned(), block.join("\n")));
        } else if fence == "console" {
            for line in block {
                match line.strip_prefix("$ ") {
                    Some(command) => examples.commands.push((command.to_owned(), Vec::new())),
                    None => examples.commands.last_mut().unwrap().1.push(line.to_owned()),
                }
            }
        }
    }
    examples
}

fn run(folder: &Path, command: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_taskrun"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env!("PATH"));
    let output = Command::new("sh").args(["-c", command]).env("PATH", path).current_dir(folder).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A line without what differs from day to day: numbers, units and widths.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if !(c == '#' && shape.ends_with('#')) {
            shape.push(c);
        }
    }
    let took = |word: &&str| !matches!(word.trim_end_matches(':'), "#.#s" | "#s" | "#ms" | "#m");
    let words: Vec<&str> = shape.split_whitespace().filter(took).collect();
    words.join(" ")
}
