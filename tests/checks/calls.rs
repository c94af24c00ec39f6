//! `http_request` against a server that means no good.
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request as Asked,
    http::{HeaderMap, StatusCode},
    response::IntoResponse as _,
    routing::{any, get},
};
use futures_util::stream;
use taskrun::{
    handlers::{Access, Handler as _, HandlerError, Plan, Report, http_request::HttpRequest},
    outbound::{Outbound, SystemResolver},
};

use super::{
    bench::Bench,
    file::{TOKEN, fault, task},
};

/// What the server was asked: method, path, headers and body.
type Met = Arc<Mutex<Vec<(String, String, HeaderMap, String)>>>;

/// A server, and a way to call it as a task would.
struct Desk {
    bench: Bench,
    port: u16,
    met: Met,
}

impl Desk {
    async fn new() -> Self {
        let met = Met::default();
        let kept = Arc::clone(&met);
        let echo = any(|asked: Asked| async move {
            let (parts, body) = asked.into_parts();
            let body = axum::body::to_bytes(body, 100_000).await.unwrap();
            let told = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
            kept.lock().unwrap().push((
                parts.method.to_string(),
                parts.uri.to_string(),
                parts.headers,
                String::from_utf8_lossy(&body).into_owned(),
            ));
            format!("{{\"you\": \"{told} {}\", \"state\": \"open\"}}", parts.uri)
        });
        let endless = get(|| async { Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 1_000])))) });
        let hang = get(|| async { std::future::pending::<&str>().await });
        let router = Router::new()
            .route("/endless", endless)
            .route("/hang", hang)
            .route("/bytes", get(|| async { Bytes::from_static(b"\xff\xfe\x00\x1b[31mred\r\n") }))
            .route("/busy", get(|| async { (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "120")], "later").into_response() }))
            .route("/no", get(|| async { (StatusCode::FORBIDDEN, "no").into_response() }))
            .fallback(echo);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { bench: Bench::with_items(1).await, port, met }
    }

    fn hosts(&self) -> String {
        format!("http_hosts: [{{ host: \"127.0.0.1:{}\", private: true }}]", self.port)
    }

    async fn call_as(&self, with: &str, access: Access) -> Result<Report, HandlerError> {
        let config = task("http_request", &self.hosts(), &with.replace("HERE", &format!("http://127.0.0.1:{}", self.port))).unwrap();
        let mut ctx = self.bench.context(access);
        ctx.params = config.instances[&"t".into()].with.clone();
        let handler = HttpRequest::new(Outbound::new(config.http_hosts, Arc::new(SystemResolver)));
        tokio::time::timeout(Duration::from_secs(30), handler.run(&ctx)).await.expect("it takes too long")
    }

    async fn call(&self, with: &str) -> Result<Report, HandlerError> {
        self.call_as(with, Access::Live(self.bench.admit().await)).await
    }
}

#[tokio::test]
async fn a_call_says_what_came_back_and_never_a_secret() {
    let desk = Desk::new().await;
    let with = "url: \"HERE/hook/${TOKEN}?key=${TOKEN}\", method: POST, headers: {Authorization: \"Bearer ${TOKEN}\"}, \
                json: {text: \"it is ${TOKEN}\", n: 3, list: [true, null, \"1\"]}, idempotency_key: true, expect: {json: {state: open}}";
    let summary = desk.call(with).await.unwrap().summary;
    assert!(summary.starts_with(&format!("POST http://127.0.0.1:{}/hook/***?***: 200 in ", desk.port)), "{summary}");
    assert!(summary.contains("Bearer ***") && !summary.contains("canary"), "{summary}");
    let (method, path, headers, body) = desk.met.lock().unwrap()[0].clone();
    assert_eq!((&*method, &*path), ("POST", &*format!("/hook/{TOKEN}?key={TOKEN}")));
    assert_eq!(
        (headers["authorization"].to_str().unwrap(), headers["content-type"].to_str().unwrap()),
        (&*format!("Bearer {TOKEN}"), "application/json")
    );
    assert!(headers["idempotency-key"].to_str().unwrap().starts_with("sync_inventory-"));
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, serde_json::json!({"text": format!("it is {TOKEN}"), "n": 3, "list": [true, null, "1"]}));
    let config = task("http_request", &desk.hosts(), &format!("url: \"http://127.0.0.1:{}/${{TOKEN}}\"", desk.port)).unwrap();
    assert!(!format!("{config:?}").contains("canary"));
}

#[tokio::test]
async fn all_attempts_of_a_run_have_one_key() {
    let desk = Desk::new().await;
    let fence = desk.bench.admit().await;
    for _ in 0..2 {
        desk.call_as("url: HERE/, method: POST, idempotency_key: true", Access::Live(fence.clone())).await.unwrap();
    }
    desk.call("url: HERE/, method: POST, idempotency_key: true").await.unwrap();
    let keys: Vec<_> = desk.met.lock().unwrap().iter().map(|(_, _, headers, _)| headers["idempotency-key"].clone()).collect();
    assert!(keys[0] == keys[1] && keys[1] != keys[2], "{keys:?}");
}

#[tokio::test]
async fn a_dry_run_reads_and_writes_nothing() {
    let desk = Desk::new().await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let plan = Plan::default();
        let with = format!("url: \"HERE/x?key=${{TOKEN}}\", method: {method}");
        let summary = desk.call_as(&with, Access::Dry(plan.clone())).await.unwrap().summary;
        assert!(summary.starts_with("would call"), "{summary}");
        assert!(plan.planned().len() == 1 && !format!("{plan:?}").contains("canary"), "{plan:?}");
    }
    assert_eq!(desk.met.lock().unwrap().len(), 0);
    for method in ["GET", "HEAD"] {
        desk.call_as(&format!("url: HERE/x, method: {method}"), Access::Dry(Plan::default())).await.unwrap();
    }
    assert_eq!(desk.met.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_that_means_no_good_is_survived() {
    let desk = Desk::new().await;
    for (with, passing, expected) in [
        ("url: HERE/endless, max_body: 50KB", false, "longer than 50000 bytes"),
        ("url: HERE/hang, timeout: 300ms", true, "no answer from"),
        ("url: HERE/busy", true, "the answer was 503, not 200-299: later"),
        ("url: HERE/no", false, "the answer was 403"),
        ("url: HERE/, expect: {body_contains: shut}", true, "\"shut\" does not stand in the answer"),
        ("url: HERE/, expect: {json: {state: shut}}", true, "`state` of the answer is \"open\", not \"shut\""),
        ("url: HERE/, body: a, json: {a: 1}", false, "both given"),
    ] {
        let error = desk.call(with).await.unwrap_err();
        assert_eq!(matches!(error, HandlerError::Transient { .. }), passing, "{with}: {error:?}");
        assert!(error.to_string().contains(expected), "{with}: {error}");
    }
    let error = desk.call("url: HERE/busy").await.unwrap_err();
    assert!(matches!(error, HandlerError::Transient { retry_after: Some(after), .. } if after.as_secs() == 120), "{error:?}");
    let summary = desk.call("url: HERE/bytes").await.unwrap().summary;
    assert!(summary.ends_with("[31mred") && !summary.contains(['\u{1b}', '\r', '\n', '\0']), "{summary:?}");
    assert_eq!(desk.call("url: HERE/no, expect: {status: [200-299, 403]}").await.map(drop).ok(), Some(()));
}

#[tokio::test]
async fn a_run_that_is_told_to_stop_hangs_on_nobody() {
    let desk = Desk::new().await;
    let cancel = desk.bench.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    assert!(matches!(desk.call("url: HERE/hang, timeout: 20s").await, Err(HandlerError::Cancelled)));
}

#[test]
fn what_is_wrong_with_a_call_is_a_fault_when_the_file_is_loaded() {
    let hosts = "http_hosts: [api.example.com, \"*.example.org:8443\", { host: \"10.0.0.5:9000\", private: true }]";
    for with in [
        "url: https://api.example.com/a?b=c",
        "url: https://a.example.org:8443",
        "url: http://10.0.0.5:9000/",
        "url: \"https://api.example.com/${TOKEN}\"",
    ] {
        task("http_request", hosts, with).unwrap();
    }
    for (top, with, expected) in [
        ("", "url: https://api.example.com/", "this file does not say that `api.example.com` may be called"),
        (hosts, "url: https://evil.example.com/", "may be called"),
        (hosts, "url: https://api.example.com:8443/", "`api.example.com:8443` may be called"),
        (hosts, "url: http://api.example.com/", "in the clear"),
        (hosts, "url: \"https://user:x@api.example.com/\"", "a user or a password does not belong"),
        (hosts, "url: \"ftp://api.example.com/\"", "not an http or https URL"),
        (hosts, "url: https://api.example.com/, method: TRACE", "is not one of"),
        (hosts, "url: https://api.example.com/, headers: {\"a b\": c}", "is no header"),
        (hosts, "url: https://api.example.com/, headers: {Host: c}", "made by the connection"),
        (hosts, "url: https://api.example.com/, expect: {status: [2xx]}", "`2xx` is no status"),
        ("http_hosts: [\"https://a.example\"]", "url: https://a.example/", "is not a host"),
    ] {
        let faults = task("http_request", top, with).unwrap_err().to_string();
        assert!(faults.contains(expected), "{with}: {faults}");
    }
    let told = fault(task("http_request", "", "url: \"https://api.example.com/${TOKEN}\""));
    assert!(told.contains("`http_hosts`") && !told.contains("canary"), "{told}");
}
