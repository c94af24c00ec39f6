//! What deploy/ has for Prometheus and Grafana works with what the daemon really says. Debian's package `prometheus` has what this needs; without it, it is skipped.
use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::daemon::{self, Daemon, PATIENCE};

/// A file of the repository.
fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Whether a program of Debian's package is there.
fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("{program} is not installed (Debian: prometheus): skipped");
    }
    found
}

/// The queries of the dashboard's panels with the panels' titles, and what the dashboard itself asks for.
fn queries() -> Vec<(String, String)> {
    let dashboard: serde_json::Value = serde_json::from_str(&text("deploy/grafana/taskrun.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let of = |panel: &serde_json::Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    panels.flat_map(of).collect()
}

/// The names of our metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metric = |word: &str| {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word);
        (word.starts_with("taskrun_") && word != "taskrun_").then(|| family.to_owned())
    };
    words.filter_map(metric).collect()
}

#[test]
fn each_metric_that_is_asked_for_is_one_of_ours() {
    let ours = names(&format!("{}{}", text("src/tally.rs"), text("src/view/metrics.rs")));
    let asked: String = queries().into_iter().map(|(_, query)| query + "\n").collect();
    let asked = names(&format!("{asked}{}", text("deploy/prometheus/alerts.yaml").replace("taskrun-", "")));
    let foreign: Vec<_> = asked.difference(&ours).collect();
    assert!(foreign.is_empty() && asked.len() > 40, "{foreign:?}, {}", asked.len());
}

#[test]
fn each_metric_is_in_the_manual() {
    let manual = text("docs/http.md");
    let (_, manual) = manual.split_once("## Metrics").unwrap();
    // Where rows share a beginning, the table has only what follows it: `_paused`.
    let is_told = |name: &&String| {
        manual.contains(&***name)
            || manual
                .match_indices("`_")
                .any(|(at, _)| manual.get(at + 1..).and_then(|rest| rest.split('`').next()).is_some_and(|end| name.ends_with(end)))
    };
    let ours = names(&format!("{}{}", text("src/tally.rs").split("#[cfg(test)]").next().unwrap(), text("src/view/metrics.rs")));
    let untold: Vec<_> = ours.iter().filter(|name| !is_told(name)).collect();
    assert!(untold.is_empty(), "{untold:?}");
}

#[test]
fn each_alert_fires_when_it_has_to_and_only_then() {
    let (rules, tests) = (text("deploy/prometheus/alerts.yaml"), text("deploy/prometheus/alerts.test.yaml"));
    let runbook = text("docs/runbook.md");
    let letter = |c: char| if c == ' ' { Some('-') } else { Some(c).filter(|c| c.is_alphanumeric() || *c == '-') };
    let anchors: BTreeSet<String> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| title.to_lowercase().chars().filter_map(letter).collect())
        .collect();
    for link in rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")) {
        assert!(link.strip_prefix("docs/runbook.md#").is_some_and(|anchor| anchors.contains(anchor)), "{link}: {anchors:?}");
    }
    for name in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        for kind in ["fires", "keeps quiet"] {
            assert!(tests.contains(&format!("'{name} {kind}'")), "{name} {kind}");
        }
    }
    if !is_there("promtool") {
        return;
    }
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yaml"]] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
        let output = Command::new("promtool").args(arguments).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    }
}

/// A Prometheus that reads a daemon's metrics, as the example says.
struct Prometheus {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn watching(daemon: &Daemon) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/alerts.yaml");
        let config = text("deploy/prometheus/prometheus.yml").replace("127.0.0.1:9700", &daemon.address).replace("15s", "1s");
        std::fs::write(folder.path().join("prometheus.yml"), config.replace("alerts.yaml", rules.to_str().unwrap())).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .spawn();
        Self { child: child.unwrap(), port, _folder: folder }
    }

    /// Whether a query gives something.
    fn gives(&self, query: &str) -> Result<bool, String> {
        let query = query.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return Ok(false) };
        write!(stream, "GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n").map_err(|error| error.to_string())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
        if answer.contains("\"status\":\"error\"") { Err(answer) } else { Ok(answer.contains("\"metric\":")) }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn each_panel_shows_something() {
    if !is_there("prometheus") {
        return;
    }
    let folder = daemon::folder("{}");
    std::fs::create_dir(folder.path().join("deploy")).unwrap();
    std::fs::write(folder.path().join("deploy/publish-rules.yaml"), text("deploy/publish-rules.yaml")).unwrap();
    let tasks = text("tasks.yaml").replace("listen: \"127.0.0.1:9700\"", "listen: \"127.0.0.1:0\"");
    std::fs::write(folder.path().join("tasks.yaml"), tasks).unwrap();
    let daemon = Daemon::of(folder, &["--sandbox"]);
    let prometheus = Prometheus::watching(&daemon);
    let mut open = queries();
    let begun = Instant::now();
    while !open.is_empty() {
        assert!(begun.elapsed() < 2 * PATIENCE, "nothing is shown for {open:#?}");
        std::thread::sleep(Duration::from_secs(1));
        open.retain(|(title, query)| {
            let query = query.replace("$__rate_interval", "1m").replace("$job", "taskrun").replace("$instance", ".*");
            // It is enough that there was something at one time or another.
            let gives = prometheus.gives(&format!("last_over_time(({query})[3m:1s])"));
            !gives.unwrap_or_else(|why| panic!("{title}: {query}: {why}"))
        });
    }
}
