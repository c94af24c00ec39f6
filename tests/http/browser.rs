//! A real browser, driven by the W3C `WebDriver` protocol (<https://www.w3.org/TR/webdriver2/>) over plain HTTP.
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::daemon::PATIENCE;

/// A headless Chromium with one window.
pub(crate) struct Browser {
    driver: Child,
    address: String,
    session: String,
    profile: tempfile::TempDir,
}

impl Browser {
    /// None where chromedriver is not installed (Debian: chromium-driver).
    pub(crate) fn start() -> Option<Self> {
        let mut command = Command::new("chromedriver");
        // A group of its own, so that the browser can be ended with it.
        let mut driver = command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().ok()?;
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let said =
            lines.find_map(|line| line.ok()?.split_once("successfully on port ").map(|(_, port)| port.trim_end_matches('.').to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self { driver, address: format!("127.0.0.1:{}", said.unwrap()), session: String::new(), profile };
        let args = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--window-size=1400,1000".to_owned(),
            format!("--user-data-dir={}", browser.profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL" }, "unhandledPromptBehavior": "ignore",
        } } });
        let answer = browser.call("POST", "/session", &wanted);
        browser.session = answer["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}")).to_owned();
        Some(browser)
    }

    /// The `value` of an answer.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n");
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
                length = value.trim().parse().unwrap();
            }
        }
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes).unwrap();
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        answer["value"].clone()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.call(method, &format!("/session/{}{path}", self.session), body);
        assert!(answer.get("error").is_none(), "{path}: {answer}");
        answer
    }

    pub(crate) fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url }));
    }

    /// What a function body gives.
    pub(crate) fn eval(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&self, expression: &str) {
        let begun = Instant::now();
        while self.eval(&format!("return Boolean({expression});")) != json!(true) {
            let page = self.eval("return document.body.innerText.slice(0, 2000);");
            assert!(begun.elapsed() < PATIENCE, "waited for {expression}; the page says {page}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// The whole text of the page.
    pub(crate) fn text(&self) -> String {
        self.eval("return document.body.textContent;").as_str().unwrap().to_owned()
    }

    /// Errors of the console since the last look: what failed to load, what the content policy refused, what a script threw.
    pub(crate) fn errors(&self) -> Vec<String> {
        let lines = self.ask("POST", "/se/log", &json!({ "type": "browser" }));
        let severe = lines.as_array().unwrap().iter().filter(|line| line["level"] == "SEVERE");
        severe.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Sets the window's size.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.ask("POST", "/window/rect", &json!({ "width": width, "height": height }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.call("DELETE", &format!("/session/{}", self.session), &Value::Null)
        })));
        kill_process_group(Pid::from_child(&self.driver), Signal::KILL).unwrap_or_default();
        drop(self.driver.wait());
    }
}
