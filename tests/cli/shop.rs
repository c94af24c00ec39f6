//! A folder with a tasks.yaml, and the binary to be run in it.
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// No wait takes longer, even on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_mins(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Tasks that end at once, later, badly, and when they are told to.
pub(crate) const TASKS: &str = r#"
timezone: Asia/Tokyo
tasks:
  hello: { handler: command, schedule: "0 */3 * * *", with: { run: ["echo", "hello"] } }
  bad: { handler: command, schedule: "0 3 * * *", with: { run: ["false"] } }
  slow: { handler: command, grace: 2s, with: { run: ["sleep", "300"] } }
  never: { handler: command, enabled: false, schedule: "@hourly", with: { run: ["true"] } }
"#;

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Asserts that stdout has these parts.
    #[track_caller]
    pub(crate) fn prints(self, parts: &[&str]) -> Self {
        assert!(parts.iter().all(|part| self.out.contains(part)), "no {parts:?} in {self:#?}");
        self
    }

    /// Asserts that stderr has these parts.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        assert!(parts.iter().all(|part| self.err.contains(part)), "no {parts:?} in {self:#?}");
        self
    }

    /// Stdout as a JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A folder with a tasks.yaml.
#[derive(Debug)]
pub(crate) struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    pub(crate) fn new(tasks: &str) -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        shop.write(tasks);
        shop
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces tasks.yaml.
    pub(crate) fn write(&self, tasks: &str) {
        let path = self.path().join("tasks.yaml");
        fs::write(&path, tasks).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taskrun"));
        command.args(words(line)).current_dir(self.path()).env_remove("TASKRUN_CONFIG").stdin(Stdio::null());
        command
    }

    /// Runs a command line to its end.
    pub(crate) fn run(&self, line: &str) -> Done {
        Done::of(self.command(line).output().unwrap())
    }

    /// Starts a command line and goes on.
    pub(crate) fn start(&self, line: &str) -> Running {
        let mut command = self.command(line);
        let file = |name: &str| fs::File::create(self.path().join(format!("{name}-{}", fastrand::u32(..)))).unwrap();
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Running { child }
    }

    /// Starts a daemon and waits until it answers.
    pub(crate) fn daemon(&self, options: &str) -> Running {
        let flag = if options.contains("--sandbox") { "--sandbox" } else { "" };
        let daemon = self.start(&format!("run {options}"));
        let pid = u64::from(daemon.child.id());
        wait_until("the daemon answers", || {
            let status = self.run(&format!("status --json {flag}"));
            status.code == 0 && status.json()["pid"] == pid
        });
        daemon
    }

    /// The open runs of the daemon.
    pub(crate) fn runs(&self) -> Vec<Value> {
        self.run("status --json").ends(0).json()["runs"].as_array().unwrap().clone()
    }

    /// The history, newest first.
    pub(crate) fn history(&self) -> Vec<Value> {
        self.run("history --json").ends(0).json().as_array().unwrap().clone()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

/// Words with 'single quotes' around those that have blanks.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(n, part)| if n % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(ToOwned::to_owned).collect() })
        .collect()
}

/// A process that is killed when the test is over.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; gives the exit code.
    pub(crate) fn code(mut self) -> i32 {
        let mut code = None;
        wait_until("the process ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits for a condition, with a limit.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..LIMIT.as_millis() / LOOK_EVERY.as_millis() {
        if condition() {
            return;
        }
        pause();
    }
    panic!("waited in vain: {what}");
}

#[expect(clippy::disallowed_methods, reason = "between two looks at a condition that has a limit")]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}
