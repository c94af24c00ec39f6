//! Every wrong combination of host, origin, method, type and token is refused.
use crate::daemon::Daemon;

const PATHS: &[&str] = &["/", "/health", "/metrics", "/api/v1/status"];

#[test]
fn every_wrong_combination_is_refused_and_every_right_one_is_not() {
    let daemon = Daemon::start();
    let (address, token) = (daemon.address.clone(), daemon.token());
    let port = address.split_once(':').unwrap().1;
    let hosts = [
        (address.clone(), true),
        (format!("localhost:{port}"), true),
        (format!("[::1]:{port}"), true),
        ("evil.example".to_owned(), false),
        (format!("127.0.0.1.evil.example:{port}"), false),
        (format!("localhost.evil.example:{port}"), false),
        (format!("user@localhost:{port}"), false),
        ("192.168.1.1".to_owned(), false),
        (String::new(), false),
    ];
    let origins = |host: &str| {
        [
            (None, true),
            (Some(format!("http://{host}")), true),
            (Some("http://evil.example".to_owned()), false),
            (Some(format!("https://{host}")), false),
            (Some(format!("http://localhost:{}", port.parse::<u16>().unwrap() ^ 1)), false),
            (Some("null".to_owned()), false),
        ]
    };
    let sites = [(None, true), (Some("same-origin"), true), (Some("none"), true), (Some("cross-site"), false), (Some("same-site"), false)];
    let types =
        [(Some("application/json"), true), (Some("application/json; charset=utf-8"), true), (Some("text/plain"), false), (None, false)];
    let wrong = "0".repeat(token.len());
    let bearers = [
        (Some(format!("Bearer {token}")), true),
        (Some(format!("bearer {token}")), true),
        (Some(format!("Bearer {wrong}")), false),
        (Some(format!("Bearer {token}0")), false),
        (Some("Bearer ".to_owned()), false),
        (Some(format!("Basic {token}")), false),
        (Some(token.clone()), false),
        (None, false),
    ];
    let mut tried = 0;
    for (host, good_host) in &hosts {
        for (origin, good_origin) in &origins(host) {
            for (site, good_site) in &sites {
                let mut lines = vec![("Host", host.as_str())];
                lines.extend(origin.as_deref().map(|origin| ("Origin", origin)));
                lines.extend(site.map(|site| ("Sec-Fetch-Site", site)));
                let is_in = *good_host && *good_origin && *good_site;
                // Reads on this machine need no token. A link to the page may stand anywhere.
                for path in PATHS.iter().filter(|path| is_in || **path != "/") {
                    tried += 1;
                    let answer = daemon.send("GET", path, &lines, "");
                    assert_eq!(answer.status < 300, is_in, "{path} {lines:?}: {answer:?}");
                }
                for (kind, good_type) in &types {
                    for (bearer, good_token) in &bearers {
                        // All pairs of faults are enough: what is wrong twice over is refused for either.
                        let faults = [!good_host, !good_origin, !good_site, !good_type, !good_token].iter().filter(|wrong| **wrong).count();
                        if faults > 2 {
                            continue;
                        }
                        tried += 1;
                        let mut lines = lines.clone();
                        lines.extend(kind.map(|kind| ("Content-Type", kind)));
                        lines.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
                        let answer = daemon.send("POST", "/api/v1/poke", &lines, "{}");
                        assert_eq!(answer.status == 200, faults == 0, "{lines:?}: {answer:?}");
                        assert!(answer.status < 500, "{lines:?}: {answer:?}");
                    }
                }
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn what_is_wrong_has_its_own_status() {
    let daemon = Daemon::start();
    let host = ("Host", daemon.address.as_str());
    let token = format!("Bearer {}", daemon.token());
    let (bearer, json) = (("Authorization", token.as_str()), ("Content-Type", "application/json"));
    let status = |method: &str, path: &str, lines: &[(&str, &str)], body: &str| daemon.send(method, path, lines, body).status;
    assert_eq!(status("GET", "/health", &[("Host", "evil.example")], ""), 421);
    assert_eq!(status("GET", "/health", &[], ""), 400);
    assert_eq!(status("GET", "/health", &[host, ("Host", "evil.example")], ""), 400);
    assert_eq!(status("GET", "http://evil.example/health", &[host], ""), 421);
    assert_eq!(status("GET", "/health", &[host, ("Origin", "http://evil.example")], ""), 403);
    assert_eq!(status("POST", "/api/v1/poke", &[host, json], "{}"), 401);
    assert_eq!(status("POST", "/api/v1/poke", &[host, bearer], "{}"), 415);
    assert_eq!(status("POST", "/api/v1/poke", &[host, bearer, json], "{"), 400);
    assert_eq!(status("POST", "/api/v1/poke", &[host, bearer, json], "{\"a\": 1}"), 400);
    assert_eq!(status("POST", "/api/v1/poke", &[host, bearer, json], &" ".repeat((1 << 20) + 1)), 413);
    assert_eq!(status("POST", "/api/v1/trigger", &[host, bearer, json], "{\"name\": \"nobody\"}"), 404);
    assert_eq!(status("GET", "/api/v1/nothing", &[host], ""), 404);
    assert_eq!(status("GET", "/api/v1/poke", &[host], ""), 405);
    assert_eq!(status("OPTIONS", "/api/v1/poke", &[host, bearer], ""), 405);
    for method in ["PUT", "DELETE", "PATCH"] {
        assert_eq!(status(method, "/api/v1/status", &[host, bearer, json], "{}"), 405, "{method}");
    }
    assert_eq!(status("GET", "/health", &[host, ("X-Long", &"x".repeat(40_000))], ""), 431);
}

#[test]
fn every_answer_tells_the_browser_to_keep_others_out() {
    let daemon = Daemon::start();
    for path in ["/", "/health", "/api/v1/status", "/nothing", "/api/v1/poke"] {
        let answer = daemon.get(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
    assert_eq!(daemon.get("/api/v1/status").header("cache-control"), Some("no-store"));
}

#[test]
fn only_the_owner_can_read_the_token() {
    use std::os::unix::fs::PermissionsExt as _;
    let daemon = Daemon::start();
    let file = daemon.folder.path().join("state/practice/http.token");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(daemon.token().len(), 64);
    let log = std::fs::read_to_string(daemon.folder.path().join("state/practice/logs/taskrun.log")).unwrap_or_default();
    assert!(!log.contains(&daemon.token()));
}
