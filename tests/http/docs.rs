//! The examples of the manual work as they stand there.
use std::process::Command;

use crate::daemon::{Daemon, until};

const MANUAL: &str = include_str!("../../docs/http.md");

#[test]
fn every_curl_of_the_manual_works() {
    let daemon = Daemon::start();
    until("run 1 has ended", || daemon.get("/api/v1/runs/1").body.contains("\"succeeded\""));
    let token = daemon.token();
    let document = daemon.get("/api/v1/openapi.json").json();
    let mut examples: Vec<&str> = MANUAL.lines().filter(|line| line.starts_with("curl ")).collect();
    // After that one there is nobody to ask.
    examples.sort_by_key(|line| line.contains("/stop"));
    assert!(examples.len() >= 20, "{}", examples.len());
    for example in examples {
        let line = example.replace("127.0.0.1:9700", &daemon.address).replace("$(cat state/http.token)", &token);
        let line = line.replace("curl ", "curl -sS --fail-with-body ");
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        let is_stream = example.contains("/events");
        // The run of the example has ended meanwhile.
        let is_over = example.contains("/cancel");
        assert!(output.status.success() || is_stream || is_over, "{example}: {output:?}");
        assert!(!output.stdout.is_empty(), "{example}: {output:?}");
    }
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(MANUAL.contains(&path.replace("{run}", "1")), "the manual has no example of {path}");
    }
}
