//! The runbooks and the pages of troubleshooting work: every command of them is run, in order, against a daemon in practice, and ends with 0.
//!
//! What is in `text` blocks (services, other machines) is only read: where a service would be started there, the daemon is.
#![cfg(test)]
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "this test waits for real processes, and gives them its own PATH")]
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// No wait takes longer, even on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(1);
/// How many times as fast practice is.
const SPEED: u32 = 120;
const ENGLISH: &str = include_str!("../docs/runbook.md");
const JAPANESE: &str = include_str!("../docs/runbook.ja.md");
const TROUBLES: &str = include_str!("../docs/troubleshooting.md");
const TROUBLES_JA: &str = include_str!("../docs/troubleshooting.ja.md");

#[test]
fn every_command_of_both_runbooks_works() {
    work((ENGLISH, JAPANESE), 130);
}

#[test]
fn every_command_of_both_pages_of_troubleshooting_works() {
    work((TROUBLES, TROUBLES_JA), 50);
}

#[test]
fn every_link_into_a_runbook_meets_an_entry() {
    for (page, runbook, name) in [(TROUBLES, ENGLISH, "runbook.md"), (TROUBLES_JA, JAPANESE, "runbook.ja.md")] {
        let anchor = |heading: &str| -> String {
            let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
            kept.replace(' ', "-")
        };
        let entries: Vec<String> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
        let links: Vec<&str> = page.split(&format!("]({name}#")).skip(1).filter_map(|rest| rest.split(')').next()).collect();
        assert!(25 < links.len(), "{links:?}");
        for link in links {
            assert!(entries.iter().any(|entry| entry == link), "{link} is none of {entries:?}");
        }
    }
}

fn work((english, japanese): (&str, &str), commands: usize) {
    let (english, japanese) = (steps(english), steps(japanese));
    assert!(commands < english.len(), "the commands are gone: {english:?}");
    for (index, (english, japanese)) in english.iter().zip(&japanese).enumerate() {
        assert_eq!(english.plain(), japanese.plain(), "step {index}");
    }
    assert_eq!(english.len(), japanese.len());
    Practice::new().follow(english.iter().zip(&japanese));
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// A new entry, or a service that is started: from here on there is a daemon.
    Daemon,
    /// A command, without its comment.
    Run(String),
}

impl Step {
    /// Without the reason of a pause, which each language has for itself.
    fn plain(&self) -> Option<String> {
        match self {
            Self::Daemon => None,
            Self::Run(command) if command.contains("--reason") => Some(command.split('"').step_by(2).collect()),
            Self::Run(command) => Some(command.clone()),
        }
    }
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("## ") {
            steps.push(Step::Daemon);
        }
        // In a table of symptoms the second column is what to look with.
        if let Some(command) = line.split(" | ").nth(1).and_then(|cell| cell.strip_prefix('`')?.strip_suffix('`')) {
            steps.push(Step::Run(command.to_owned()));
        }
        let Some(fence) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        match fence {
            "sh" => steps.extend(block.into_iter().map(|line| Step::Run(line.split(" #").next().unwrap().trim_end().to_owned()))),
            "text" if block.iter().any(|line| line.contains("systemctl start") || line.contains("systemctl restart")) => {
                steps.push(Step::Daemon);
            }
            "text" => {}
            other => panic!("a block of the kind `{other}` is neither run nor left alone"),
        }
    }
    steps
}

/// A copy of the shipped files in which `taskrun` means practice.
#[derive(Debug)]
struct Practice {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Practice {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["bin", "deploy", "examples", "state/practice/logs", "state/practice/backups"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        for file in ["tasks.yaml", "deploy/publish-rules.yaml", "examples/products.csv"] {
            fs::copy(file, path.join(file)).unwrap();
        }
        // What the real thing has in `state` and `logs`, practice has below `state/practice`.
        symlink("practice/backups", path.join("state/backups")).unwrap();
        symlink("state/practice/logs", path.join("logs")).unwrap();
        let wrapper = path.join("bin/taskrun");
        fs::write(&wrapper, format!("#!/bin/sh\nexec {} --sandbox={SPEED} \"$@\"\n", env!("CARGO_BIN_EXE_taskrun"))).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, daemon: None }
    }

    fn follow<'a>(mut self, steps: impl Iterator<Item = (&'a Step, &'a Step)>) {
        self.have_daemon();
        self.wait_until("the first sync is done", |practice| practice.sh("taskrun history sync_inventory --json").contains("succeeded"));
        let mut faults = Vec::new();
        for (english, japanese) in steps {
            let spoken: &[&Step] = if english == japanese { &[english] } else { &[english, japanese] };
            for step in spoken {
                match step {
                    Step::Daemon => self.have_daemon(),
                    Step::Run(command) => faults.extend(self.fault_of(command)),
                }
            }
        }
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    }

    /// What goes wrong with a command.
    fn fault_of(&self, command: &str) -> Option<String> {
        let command = self.filled_in(command);
        let mut output = self.output(&command);
        for _ in 0..5 {
            // The daemon's own run of the task was or came in the way.
            if output.status.code() == Some(75) && command.starts_with("taskrun once ") {
                output = self.output(&command);
            }
        }
        (!output.status.success()).then(|| format!("`{command}`: {}\n{}", output.status, said(&output)))
    }

    /// The command with the address and the open run that it is about.
    fn filled_in(&self, command: &str) -> String {
        let address = self.address().unwrap_or_default();
        let command = command.replace("127.0.0.1:9700", &address);
        if !command.contains(" 41") {
            return command;
        }
        let said = self.sh("taskrun trigger prices");
        let run = said.split_whitespace().last().unwrap();
        assert!(run.parse::<u64>().is_ok(), "{said}");
        command.replace(" 41", &format!(" {run}"))
    }

    fn have_daemon(&mut self) {
        if self.output("taskrun status").status.success() {
            return;
        }
        if let Some(mut daemon) = self.daemon.take() {
            // It was told to stop, and is on its way out.
            daemon.wait().unwrap();
        }
        let log = fs::File::create(self.said_by_daemon()).unwrap();
        self.daemon = Some(self.command("exec taskrun run").stderr(log).stdout(Stdio::null()).spawn().unwrap());
        self.wait_until("the daemon answers", |practice| {
            practice.address().is_some() && practice.output("taskrun status").status.success()
        });
    }

    /// Where its HTTP server listens.
    fn address(&self) -> Option<String> {
        let said = fs::read_to_string(self.said_by_daemon()).ok()?;
        let line = said.lines().find(|line| line.trim_start().starts_with("web "))?;
        Some(line.split_once("http://")?.1.trim_end_matches('/').to_owned())
    }

    fn said_by_daemon(&self) -> PathBuf {
        self.folder.path().join("daemon.txt")
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "it never happened that {what}: {:?}", fs::read_to_string(self.said_by_daemon()));
            sleep(Duration::from_millis(50));
        }
    }

    fn sh(&self, command: &str) -> String {
        said(&self.output(command))
    }

    fn output(&self, command: &str) -> Output {
        self.command(command).output().unwrap()
    }

    fn command(&self, line: &str) -> Command {
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.folder.path()).env("PATH", path).env_remove("TASKRUN_CONFIG").stdin(Stdio::null());
        command
    }
}

impl Drop for Practice {
    fn drop(&mut self) {
        self.output("taskrun stop");
        if let Some(mut daemon) = self.daemon.take() {
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)).trim_end().to_owned()
}
