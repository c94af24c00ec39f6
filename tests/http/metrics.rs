//! The metrics are what Prometheus wants them to be.
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use crate::daemon::{Daemon, until};

#[test]
fn promtool_has_nothing_to_say() {
    let daemon = Daemon::start();
    until("a run has ended", || daemon.get("/api/v1/runs?task=sync_inventory").body.contains("\"succeeded\""));
    assert_eq!(daemon.post("/api/v1/reload", "{}").status, 200);
    let answer = daemon.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "taskrun_runs_total{task=\"sync_inventory\",account=\"\",end=\"succeeded\"} 1",
        "taskrun_runs_total{task=\"hello\",account=\"\",end=\"failed\"} 0",
        "taskrun_reloads_total{result=\"applied\"} 1",
        "taskrun_practice 1",
        "taskrun_last_reload_successful 1",
        "taskrun_log_write_failures_total 0",
        "taskrun_queue_dead_items",
        "taskrun_data_products 240",
        "taskrun_quota_refusals_total{",
        "taskrun_token_refused{",
        "taskrun_run_duration_seconds_count{task=\"sync_inventory\"} 1",
        "taskrun_store_write_duration_seconds_bucket{le=\"0.001\"}",
        "taskrun_http_requests_total{route=\"/api/v1/reload\",status=\"200\"} 1",
    ] {
        assert!(answer.body.contains(line), "{line} is not in {}", answer.body);
    }
    let Ok(mut promtool) = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn() else {
        eprintln!("promtool is not installed (Debian: prometheus): not checked by it");
        return;
    };
    promtool.stdin.take().unwrap().write_all(answer.body.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn who_accepts_open_metrics_gets_it() {
    let daemon = Daemon::start();
    let accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let answer = daemon.send("GET", "/metrics", &[("Host", &daemon.address), ("Accept", accept)], "");
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(answer.body.ends_with("# EOF\n") && answer.body.contains("# TYPE taskrun_runs counter\n"), "{}", answer.body);
}
