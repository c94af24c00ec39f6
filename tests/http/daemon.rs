//! A daemon in practice, and plain HTTP spoken to it, byte by byte.
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// What a test waits for at most; far more than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon of its own folder.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    /// `127.0.0.1:40123`.
    pub(crate) address: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// A folder with a small tasks.yaml: `http` is what stands behind `http:`.
pub(crate) fn folder(http: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, http);
    folder
}

pub(crate) fn write(folder: &tempfile::TempDir, http: &str) {
    let text = format!(
        "timezone: Asia/Tokyo\nhttp: {http}\ntasks:\n  hello: {{ handler: command, schedule: \"0 9 * * *\", with: {{ run: [echo, hello] }} }}\n  \
         sync_inventory: {{ handler: sync_inventory, schedule: \"0 3 * * *\" }}\n"
    );
    std::fs::write(folder.path().join("tasks.yaml"), text).unwrap();
}

pub(crate) fn taskrun(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskrun"));
    command.current_dir(folder.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::of(folder("{ listen: \"127.0.0.1:0\" }"), &["--sandbox"])
    }

    pub(crate) fn of(folder: tempfile::TempDir, flags: &[&str]) -> Self {
        let mut child = taskrun(&folder).arg("run").args(flags).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("no address was said: {said:?}") };
            if let Some((_, rest)) = line.split_once("http://127.0.0.1:").filter(|_| line.trim_start().starts_with("web")) {
                break format!("127.0.0.1:{}", rest.trim_end_matches('/'));
            }
            said.push(line);
        };
        // What it says from now on is read, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, folder, address }
    }

    pub(crate) fn token(&self) -> String {
        let state = self.folder.path().join("state");
        let files: [PathBuf; 2] = [state.join("practice/http.token"), state.join("http.token")];
        let file = files.iter().find(|file| file.exists()).unwrap();
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// Sends these bytes and reads until the end of the connection.
    pub(crate) fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = Vec::new();
        // Whoever is refused early may find the connection reset after the answer.
        let end = stream.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { panic!("no answer to {request:?}: {end:?} {text:?}") };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A request with these lines in its head.
    pub(crate) fn send(&self, method: &str, path: &str, lines: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in lines {
            request.extend([name, ": ", value, "\r\n"]);
        }
        if method != "GET" || !body.is_empty() {
            request.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        self.raw(&format!("{request}\r\n{body}"))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("Host", &self.address)], "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        let token = format!("Bearer {}", self.token());
        self.send("POST", path, &[("Host", &self.address), ("Authorization", &token), ("Content-Type", "application/json")], body)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
