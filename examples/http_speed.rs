//! How fast the HTTP API answers with a thousand tasks and ten thousand runs in history, at rest and while a thousand slow connections hang.
//!
//! `cargo build --release && cargo run --release --example http_speed` starts the program beside it in a temporary folder, needs about a minute, and prints a line
//! a path: the median and the 99th percentile of a hundred requests. The aims: /api/v1/status 100 ms, /metrics 50 ms, /health at p99 100 ms while they hang.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use jiff::SignedDuration;
use taskrun::clock::{Clock as _, SystemClock};

type Failed = Box<dyn Error + Send + Sync>;

const TASKS: u32 = 1_000;
const RUNS: u32 = 10_000;
const SLOW: usize = 1_000;
const REQUESTS: usize = 100;

fn main() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    configure(folder.path())?;
    // The first start makes the store.
    drop(Daemon::start(folder.path())?);
    fill(folder.path())?;
    let daemon = Daemon::start(folder.path())?;
    for path in ["/health", "/ready", "/api/v1/status", "/api/v1/tasks", "/api/v1/runs", "/metrics", "/"] {
        measure("at rest", path, &daemon.address)?;
    }
    let hanging = hang(&daemon.address)?;
    for path in ["/health", "/metrics"] {
        measure("while 1,000 hang", path, &daemon.address)?;
    }
    drop(hanging);
    Ok(())
}

fn configure(folder: &Path) -> Result<(), Failed> {
    let mut text = "timezone: Asia/Tokyo\nhttp: { listen: \"127.0.0.1:0\" }\nlog: { console: false }\ntasks:\n".to_owned();
    for task in 0..TASKS {
        let (minute, hour) = (task % 60, task % 24);
        writeln!(text, "  task_{task}: {{ handler: command, schedule: \"{minute} {hour} 1 1 *\", with: {{ run: [\"true\"] }} }}")?;
    }
    Ok(fs::write(folder.join("tasks.yaml"), text)?)
}

/// Runs of the last days, as the daemon writes them.
fn fill(folder: &Path) -> Result<(), Failed> {
    let mut store = rusqlite::Connection::open(folder.join("state/taskrun.db"))?;
    let writes = store.transaction()?;
    let now = SystemClock::start().now().wall.as_millisecond();
    for run in 0..RUNS {
        let (task, at) = (format!("task_{}", run % TASKS), now - i64::from(RUNS - run) * 60_000);
        writes.execute(
            "INSERT INTO runs (instance, fire_at_ms, trigger, state, generation, attempts, run_end, started_at_ms, ended_at_ms, text)
             VALUES (?1, ?2, 'schedule', 'ended', ?3, 1, 'succeeded', ?2, ?2 + 1500, 'done')",
            (task, at, 1 + run / TASKS),
        )?;
    }
    Ok(writes.commit()?)
}

struct Daemon {
    child: Child,
    address: String,
}

impl Daemon {
    fn start(folder: &Path) -> Result<Self, Failed> {
        let program = std::env::current_exe()?.parent().and_then(Path::parent).map(|folder| folder.join("taskrun")).ok_or("no folder")?;
        let mut child = Command::new(program).arg("run").current_dir(folder).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no output")?).lines();
        let web = lines.find(|line| line.as_ref().is_ok_and(|line| line.trim_start().starts_with("web"))).ok_or("it does not listen")??;
        std::thread::spawn(move || lines.for_each(drop));
        let address = web.split("//").nth(1).ok_or("no address")?.trim_end_matches('/').to_owned();
        let daemon = Self { child, address };
        get("/health", &daemon.address)?;
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn get(path: &str, address: &str) -> Result<usize, Failed> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(answer.len()) } else { Err(answer.into()) }
}

fn measure(when: &str, path: &str, address: &str) -> Result<(), Failed> {
    let clock = SystemClock::start();
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..REQUESTS {
        let begun = clock.now().uptime;
        bytes = get(path, address)?;
        times.push(clock.now().uptime.saturating_sub(begun));
    }
    times.sort_unstable();
    let at = |share: usize| times.get(REQUESTS * share / 100).copied().unwrap_or_default();
    let ms = |time: SignedDuration| time.as_secs_f64() * 1000.0;
    println!("{path:16} {when:16} median {:7.1} ms, p99 {:7.1} ms, {bytes} bytes", ms(at(50)), ms(at(99)));
    Ok(())
}

/// Connections that say little, and one after the other say it again when they are sent away.
fn hang(address: &str) -> Result<Vec<TcpStream>, Failed> {
    let mut hanging = Vec::new();
    for _ in 0..SLOW {
        let mut stream = TcpStream::connect(address)?;
        // One that was sent away already cannot be written to.
        drop(stream.write_all(b"GET /health HTTP/1.1\r\nHost: loc"));
        hanging.push(stream);
    }
    Ok(hanging)
}
