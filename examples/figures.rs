//! Figures for the curious: 1,000 commands due at once beside a bare spawn loop, and a daemon with 10,000 tasks that has nothing to do.
//!
//! `cargo build --release && cargo run --release --example figures`. Reported, not asserted: they belong to this machine.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a program that measures and prints")]
use std::{
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const STORM: usize = 1_000;
const TASKS: usize = 10_000;
const IDLE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_mins(2);

fn main() -> Result<(), Box<dyn Error>> {
    let binary = std::env::current_exe()?.ancestors().nth(2).ok_or("no target folder")?.join("taskrun");
    storm(&binary)?;
    many_tasks(&binary)
}

fn storm(binary: &Path) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let children: Vec<Child> = (0..STORM).map(|_| Command::new("true").spawn()).collect::<Result<_, _>>()?;
    for mut child in children {
        child.wait()?;
    }
    let bare = begun.elapsed();
    let daemon = Daemon::start(binary, STORM, "\"@start\"")?;
    let ended = daemon.wait(|daemon| {
        let rows = daemon.history()?;
        Ok((rows.len() == STORM && rows.iter().all(|row| row["state"] == "succeeded")).then_some(rows))
    })?;
    let instant = |row: &serde_json::Value, key: &str| row[key].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let first = ended.iter().filter_map(|row| instant(row, "fire_at")).min().ok_or("no run began")?;
    let last = ended.iter().filter_map(|row| instant(row, "ended_at")).max().ok_or("no run ended")?;
    let ours = last.duration_since(first);
    println!(
        "{STORM} commands due at once: bare spawn loop {bare:.2?}, taskrun {ours:#.2?} ({:.2} times)",
        ours.as_secs_f64() / bare.as_secs_f64()
    );
    Ok(())
}

fn many_tasks(binary: &Path) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let daemon = Daemon::start(binary, TASKS, "\"0 3 1 1 *\"")?;
    daemon.wait(|daemon| Ok(daemon.answers().then_some(())))?;
    println!("{TASKS} tasks: answers {:.2?} after its start", begun.elapsed());
    thread::sleep(Duration::from_secs(1));
    let before = daemon.cpu()?;
    thread::sleep(IDLE);
    let used = daemon.cpu()?.saturating_sub(before);
    println!("{TASKS} tasks, idle: {} MB resident, {used:.2?} of CPU in {IDLE:?}", daemon.resident_mb()?);
    Ok(())
}

/// A daemon in a folder of its own; ends with the value.
struct Daemon {
    binary: PathBuf,
    folder: tempfile::TempDir,
    child: Child,
}

impl Daemon {
    fn start(binary: &Path, tasks: usize, schedule: &str) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let mut yaml = String::from("timezone: UTC\nlog: { console: false }\ntasks:\n");
        for task in 0..tasks {
            writeln!(yaml, "  task_{task}: {{ handler: command, schedule: {schedule}, with: {{ run: [\"true\"] }} }}")?;
        }
        fs::write(folder.path().join("tasks.yaml"), yaml)?;
        let child = Command::new(binary).arg("run").current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { binary: binary.into(), folder, child })
    }

    fn wait<T>(&self, done: impl Fn(&Self) -> Result<Option<T>, Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(value) = done(self)? {
                return Ok(value);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err("it took too long".into())
    }

    fn history(&self) -> Result<Vec<serde_json::Value>, Box<dyn Error>> {
        let output = Command::new(&self.binary).args(["history", "--json", "-n", "5000"]).current_dir(self.folder.path()).output()?;
        let text = String::from_utf8(output.stdout)?;
        Ok(serde_json::from_str(&text)?)
    }

    fn answers(&self) -> bool {
        let status = Command::new(&self.binary)
            .args(["status", "--json"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }

    /// User and system time, from /proc.
    fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let ticks: u64 =
            stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    fn resident_mb(&self) -> Result<u64, Box<dyn Error>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).unwrap_or("0").parse::<u64>()? / 1024)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}
