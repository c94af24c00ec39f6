//! A world of its own for each test: a folder with a tasks.yaml, and the taskrun processes in it, which are gone when the test is.
use std::{
    cell::Cell,
    fmt::Write as _,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The environment variable that every process of a world inherits: by it whoever is left is found, even outside its process group.
const WORLD: &str = "TASKRUN_TEST_WORLD";

/// How long anything that should happen soon may take on a machine that does other things, too.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// With `STRESS=1` the figures that the project promises, otherwise those that fit into every run of the tests.
pub(crate) fn stress<T>(promised: T, everyday: T) -> T {
    if std::env::var_os("STRESS").is_some() { promised } else { everyday }
}

/// The binary under test: the one just built, or the one that `TASKRUN_BIN` names.
fn binary() -> PathBuf {
    std::env::var_os("TASKRUN_BIN").map_or_else(|| env!("CARGO_BIN_EXE_taskrun").into(), PathBuf::from)
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < limit, "waited {limit:?} in vain until {what}");
        sleep(LOOK_EVERY);
    }
}

/// Lets a time pass in which something could go wrong.
pub(crate) fn watch(time: Duration) {
    sleep(time);
}

/// A folder with a tasks.yaml, and the processes in it.
pub(crate) struct World {
    dir: TempDir,
    /// What its processes carry in their environment.
    token: String,
    started: Cell<u32>,
}

impl World {
    /// A world with these tasks; short grace periods, and instants in UTC.
    pub(crate) fn new(tasks: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().display().to_string();
        let world = Self { dir, token, started: Cell::new(0) };
        world.write(tasks);
        world
    }

    /// Other tasks in tasks.yaml from now on, written as editors do: a new file in place of the old one.
    pub(crate) fn write(&self, tasks: &str) {
        let head = "timezone: UTC\nlog: { console: false }\nshutdown_grace: 3s\ndefaults: { grace: 2s, takeover: 2s }\n";
        self.write_raw(&format!("{head}{tasks}"));
    }

    /// Another text of tasks.yaml from now on.
    pub(crate) fn write_raw(&self, text: &str) {
        let draft = self.path("tasks.yaml.new");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, self.path("tasks.yaml")).unwrap();
    }

    /// A file or folder of this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file's text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read(self.path(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The lines of a file.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        self.text(name).lines().map(ToOwned::to_owned).collect()
    }

    /// A taskrun command in this world.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.dir.path()).args(arguments).env(WORLD, &self.token).env_remove("TASKRUN_CONFIG").stdin(Stdio::null());
        command
    }

    /// Starts a taskrun; its output goes to a file.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        self.start_command(self.command(arguments), arguments)
    }

    /// Starts a command that runs taskrun.
    pub(crate) fn start_command(&self, mut command: Command, arguments: &[&str]) -> Process {
        let number = self.started.get();
        self.started.set(number + 1);
        let output = self.path(&format!("output.{number}"));
        let file = fs::File::create(&output).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Process { child: command.spawn().unwrap(), name: arguments.join(" "), output, since: Instant::now() }
    }

    /// Starts a daemon and waits until it answers.
    pub(crate) fn daemon(&self) -> Process {
        let mut daemon = self.start(&["run"]);
        self.wait_until_ready(&mut daemon);
        daemon
    }

    /// Waits until a daemon answers; gives how long that took from its start.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self, daemon: &mut Process) -> Duration {
        wait_for("the daemon answers", SOON, || {
            if let Some(status) = daemon.ended() {
                panic!("the daemon ended ({status}):\n{}", daemon.output());
            }
            self.status().filter(|status| status["pid"] == daemon.pid())
        });
        daemon.since.elapsed()
    }

    /// Runs a command to its end: its exit code and what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap_or(-1), text)
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let (code, text) = self.run(arguments);
        assert_eq!(code, 0, "taskrun {}:\n{text}", arguments.join(" "));
        text
    }

    fn json(&self, arguments: &[&str]) -> Option<Value> {
        // The state directory is named, as a test may have spoilt tasks.yaml.
        let output = self.command(arguments).args(["--state-dir", "state"]).stderr(Stdio::null()).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// What the daemon says of itself; `None` while none answers.
    pub(crate) fn status(&self) -> Option<Value> {
        self.json(&["status", "--json"])
    }

    /// What the daemon says of an instance.
    #[track_caller]
    pub(crate) fn instance(&self, name: &str) -> Value {
        let status = self.status().expect("a daemon answers");
        status["instances"].as_array().unwrap().iter().find(|view| view["instance"] == name).cloned().expect(name)
    }

    /// The history of a task, oldest first.
    #[track_caller]
    pub(crate) fn history(&self, task: &str) -> Vec<Row> {
        let rows = self.json(&["history", task, "--json", "-n", "10000"]).expect("a history");
        rows.as_array().unwrap().iter().rev().map(|row| Row(row.clone())).collect()
    }

    /// Waits for a row of a task's history, the newest of those that fit.
    #[track_caller]
    pub(crate) fn wait_for_row(&self, task: &str, what: &str, fits: impl Fn(&Row) -> bool) -> Row {
        wait_for(&format!("{task} has a row that {what}"), SOON, || self.history(task).into_iter().rev().find(&fits))
    }

    /// Waits until a run of the task is at work.
    #[track_caller]
    pub(crate) fn wait_until_running(&self, task: &str) -> Row {
        self.wait_for_row(task, "runs", |row| row.state() == "running")
    }

    /// Opens the store to look into it.
    pub(crate) fn store(&self) -> rusqlite::Connection {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(self.path("state/taskrun.db"), flags).unwrap()
    }

    /// A number that the store gives.
    #[track_caller]
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.store().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Waits until so many children are recorded: from then on a quiet taskrun writes nothing. Stopped in the middle of a write, it would keep the
    /// file locked, and nobody could do anything but say so.
    #[track_caller]
    pub(crate) fn wait_for_children(&self, count: i64) {
        wait_for("the children are recorded", SOON, || (self.count("SELECT count(*) FROM children") == count).then_some(()));
        sleep(LOOK_EVERY);
    }

    /// The store is whole, and nothing is open but what an orderly stop left to the next start. To be asked when no taskrun runs any more.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let intact: String = self.store().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(intact, "ok");
        let set_aside = "SELECT id FROM runs WHERE state = 'waiting' AND process IS NULL AND attempts = 0";
        for (sql, what) in [
            (
                format!("SELECT count(*) FROM runs WHERE state IN ('waiting', 'running', 'backoff') AND id NOT IN ({set_aside})"),
                "runs are open",
            ),
            ("SELECT count(*) FROM attempts WHERE outcome IS NULL".to_owned(), "attempts are open"),
            (format!("SELECT count(*) FROM locks WHERE run NOT IN ({set_aside})"), "named locks are held"),
            ("SELECT count(*) FROM children WHERE process NOT IN (SELECT id FROM processes)".to_owned(), "children are recorded"),
        ] {
            assert_eq!(self.count(&sql), 0, "{what}:\n{}", self.picture());
        }
        self.assert_no_children();
    }

    /// No process lives that a task of this world started.
    #[track_caller]
    pub(crate) fn assert_no_children(&self) {
        wait_for("no child is left", Duration::from_secs(5), || self.children().is_empty().then_some(()));
    }

    /// The processes that tasks of this world started and that live.
    pub(crate) fn children(&self) -> Vec<u32> {
        let taskrun = fs::canonicalize(binary()).unwrap();
        self.inhabitants().into_iter().filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe != taskrun)).collect()
    }

    /// Every living process of this world.
    fn inhabitants(&self) -> Vec<u32> {
        let entry = format!("{WORLD}={}", self.token);
        let ours = |pid: &u32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes()))
        };
        let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(ours).collect()
    }

    /// Everything that helps to understand a failure.
    pub(crate) fn picture(&self) -> String {
        let mut text = String::new();
        let (_, history) = self.run(&["history", "-n", "40", "--state-dir", "state"]);
        writeln!(text, "history:\n{history}\ndaemon's log:").unwrap();
        let log = self.lines("logs/taskrun.log");
        for line in log.iter().skip(log.len().saturating_sub(60)) {
            writeln!(text, "{line}").unwrap();
        }
        text
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.picture());
        }
        for pid in self.inhabitants() {
            signal(pid, Signal::KILL);
        }
    }
}

/// A taskrun process.
pub(crate) struct Process {
    child: Child,
    name: String,
    output: PathBuf,
    since: Instant,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How long ago it was started.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    pub(crate) fn signal(&self, which: Signal) {
        signal(self.pid(), which);
    }

    /// Kills it and nothing else, as the system would for want of memory.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end; gives its exit code.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> i32 {
        let what = format!("`{}` ends", self.name);
        let status = wait_for(&what, limit, || self.child.try_wait().unwrap());
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
    }

    /// Stops it in order; gives its exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal(Signal::TERM);
        self.wait(SOON)
    }

    /// What it has printed so far.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// How many files it has open.
    pub(crate) fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().count()
    }

    /// How much memory it has, in KiB.
    pub(crate) fn memory(&self) -> i64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("`{}`, pid {}, printed:\n{}", self.name, self.pid(), self.output());
        }
        self.signal(Signal::KILL);
        drop(self.child.wait());
    }
}

/// Sends a signal; a process that is gone does not mind.
pub(crate) fn signal(pid: u32, which: Signal) {
    match kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), which) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => (),
        Err(error) => panic!("failed to signal {pid}: {error}"),
    }
}

/// Whether a process lives, and is not only waited for.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

/// A row of the history, as `taskrun history --json` shows it.
#[derive(Clone, Debug)]
pub(crate) struct Row(pub(crate) Value);

impl Row {
    pub(crate) fn run(&self) -> i64 {
        self.0["run"].as_i64().unwrap()
    }

    pub(crate) fn state(&self) -> &str {
        self.0["state"].as_str().unwrap()
    }

    pub(crate) fn reason(&self) -> &str {
        self.0["reason"].as_str().unwrap_or_default()
    }

    pub(crate) fn trigger(&self) -> &str {
        self.0["trigger"].as_str().unwrap()
    }

    pub(crate) fn by(&self) -> Option<i64> {
        self.0["superseded_by"].as_i64()
    }

    pub(crate) fn count(&self) -> i64 {
        self.0["count"].as_i64().unwrap()
    }

    pub(crate) fn fire_at(&self) -> Timestamp {
        self.at("fire_at").unwrap()
    }

    pub(crate) fn at(&self, key: &str) -> Option<Timestamp> {
        self.0[key].as_str().map(|at| at.parse().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        self.0["text"].as_str().unwrap_or_default()
    }

    /// Whether the schedule wanted it.
    pub(crate) fn scheduled(&self) -> bool {
        matches!(self.trigger(), "schedule" | "catch_up")
    }

    /// How late its first attempt began.
    pub(crate) fn lateness(&self) -> Option<jiff::SignedDuration> {
        Some(self.at("started_at")?.duration_since(self.fire_at()))
    }
}

/// Each instant of a grid with this many seconds between two has exactly one answer, from the first to the last row. Gives how many there are.
#[track_caller]
pub(crate) fn assert_one_answer_each(rows: &[Row], step: i64) -> usize {
    let mut instants = Vec::new();
    for row in rows.iter().filter(|row| row.scheduled()) {
        let (first, last) = (row.fire_at().as_second(), row.at("last_fire_at").unwrap().as_second());
        let answered: Vec<i64> = (first..=last).step_by(step.try_into().unwrap()).collect();
        assert_eq!(answered.len(), usize::try_from(row.count()).unwrap(), "{row:?} counts something else than it spans");
        instants.extend(answered);
    }
    instants.sort_unstable();
    for pair in instants.windows(2) {
        assert_eq!(pair[1] - pair[0], step, "between {} and {} there are answers missing, or too many", pair[0], pair[1]);
    }
    instants.len()
}

/// A script for `/bin/sh` that says so in the file `doubles` when another one of the same task runs.
pub(crate) fn alone(script: &str) -> String {
    format!("exec 9>>held.$TASKRUN_INSTANCE; flock -n 9 || echo $TASKRUN_RUN >> doubles; {script}")
}

/// A task that runs a script, with more keys such as `schedule: ...`.
pub(crate) fn task(name: &str, keys: &str, script: &str) -> String {
    let script = script.replace('\\', "\\\\").replace('"', "\\\"");
    let keys = if keys.is_empty() { String::new() } else { format!(", {keys}") };
    format!("  {name}: {{ handler: command{keys}, with: {{ run: \"{script}\", shell: true }} }}\n")
}

/// A folder of this world's on a disk of its own.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Reads a file that a script writes, once it is there with a whole line.
#[track_caller]
pub(crate) fn wait_for_line(path: &Path) -> String {
    wait_for(&format!("{} has a line", path.display()), SOON, || {
        let text = fs::read_to_string(path).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    })
}
