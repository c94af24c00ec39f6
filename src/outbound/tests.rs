use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse as _, Redirect},
    routing::get,
};

use super::*;

/// Answers each question with the next of these; the last one goes on.
#[derive(Debug)]
struct Script(Mutex<Vec<Vec<IpAddr>>>);

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect()).collect();
        Arc::new(Self(Mutex::new(answers)))
    }
}

impl Resolver for Script {
    fn resolve(&self, _host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// A server on this machine that counts who comes.
async fn server() -> (u16, Arc<AtomicUsize>) {
    let met = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&met);
    let count = axum::middleware::from_fn(move |request: axum::extract::Request, next: axum::middleware::Next| {
        counted.fetch_add(1, Ordering::SeqCst);
        next.run(request)
    });
    let router = Router::new()
        .route("/", get(|| async { "fine" }).post(|| async { "made" }))
        .route("/round", get(|| async { Redirect::temporary("/round") }))
        .route("/once", get(|| async { Redirect::temporary("/") }).post(|| async { Redirect::temporary("/") }))
        .route("/away", get(|| async { Redirect::temporary("https://evil.example/") }))
        .route("/port", get(|| async { Redirect::temporary("http://shop.example:1/") }))
        .route("/file", get(|| async { (StatusCode::FOUND, [("location", "file:///etc/passwd")]).into_response() }))
        .route("/long", get(|| async { "x".repeat(2_000) }))
        .layer(count);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (port, met)
}

fn outbound(hosts: &[(&str, bool)], resolver: Arc<Script>) -> Outbound {
    let hosts = hosts.iter().map(|(host, is_private)| AllowedHost::parse(host, *is_private).unwrap()).collect();
    Outbound::new(Some(hosts), resolver)
}

fn ask(method: Method, url: &str) -> Request {
    Request { method, url: url.to_owned(), headers: Vec::new(), body: None, timeout: Duration::from_secs(10), body_max: 1_000 }
}

#[tokio::test]
async fn a_name_that_leads_home_is_not_connected_unless_the_file_says_so() {
    let (port, met) = server().await;
    let host = format!("shop.example:{port}");
    let url = format!("https://{host}/");
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "fd00:ec2::254", "0.0.0.0", "::1", "fe80::1"] {
        // One good address among bad ones makes none of them better.
        let outbound = outbound(&[(&host, false)], Script::new(&[&["93.184.215.14", address]]));
        let fault = outbound.call(&ask(Method::GET, &url)).await.unwrap_err();
        assert!(
            matches!(&fault, CallFault::Address { address: found, .. } if *found == address.parse::<IpAddr>().unwrap()),
            "{address}: {fault}"
        );
        assert!(!fault.is_passing());
    }
    assert_eq!(met.load(Ordering::SeqCst), 0);
    let outbound = outbound(&[(&host, true)], Script::new(&[&["127.0.0.1"]]));
    let reply = outbound.call(&ask(Method::GET, &format!("http://{host}/"))).await.unwrap();
    assert_eq!((reply.status, &*reply.body), (200, &b"fine"[..]));
}

#[tokio::test]
async fn a_name_that_is_bound_anew_between_two_requests_gains_nothing() {
    let (port, met) = server().await;
    let host = format!("shop.example:{port}");
    let outbound = outbound(&[(&host, true)], Script::new(&[&["127.0.0.1"], &["169.254.169.254"]]));
    outbound.call(&ask(Method::GET, &format!("http://{host}/"))).await.unwrap();
    // The second hop asks again, and what it is told then is what is judged and what would be connected.
    let fault = outbound.call(&ask(Method::GET, &format!("http://{host}/"))).await.unwrap_err();
    assert!(matches!(fault, CallFault::Address { .. }), "{fault}");
    assert_eq!(met.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_was_judged_is_what_is_connected() {
    let (port, met) = server().await;
    let host = format!("shop.example:{port}");
    // The first answer is good and the second would be home: with one question for a connection there is no second.
    let script = Script::new(&[&["192.88.98.1"], &["127.0.0.1"]]);
    let outbound = outbound(&[(&host, false)], Arc::clone(&script));
    let request = Request { timeout: Duration::from_millis(200), ..ask(Method::GET, &format!("https://{host}/")) };
    outbound.call(&request).await.unwrap_err();
    assert_eq!((script.0.lock().unwrap().len(), met.load(Ordering::SeqCst)), (1, 0), "one question, and nobody came");
}

#[tokio::test]
async fn an_address_in_any_disguise_is_judged_like_itself() {
    let (port, met) = server().await;
    let good = format!("shop.example:{port}");
    let script = || Script::new(&[&["127.0.0.1"]]);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
        "shop.example.",
    ] {
        let fault = outbound(&[(&good, true)], script()).call(&ask(Method::GET, &format!("http://{host}:{port}/"))).await.unwrap_err();
        assert!(matches!(fault, CallFault::Host { .. }), "{host}: {fault}");
    }
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254"] {
        let named = format!("{host}:{port}");
        let fault = outbound(&[(&named, false)], script()).call(&ask(Method::GET, &format!("https://{named}/"))).await.unwrap_err();
        assert!(matches!(fault, CallFault::Address { .. }), "{host}: {fault}");
    }
    assert_eq!(met.load(Ordering::SeqCst), 0);
    let named = format!("127.0.0.1:{port}");
    outbound(&[(&named, true)], script()).call(&ask(Method::GET, &format!("http://0x7f.1:{port}/"))).await.unwrap();
}

#[tokio::test]
async fn redirects_stay_within_their_host_and_reads_alone_follow_them() {
    let (port, met) = server().await;
    let host = format!("shop.example:{port}");
    let outbound = outbound(&[(&host, true), ("evil.example", false), ("shop.example:1", true)], Script::new(&[&["127.0.0.1"]]));
    let url = |path: &str| format!("http://{host}{path}");
    assert_eq!(outbound.call(&ask(Method::GET, &url("/once"))).await.unwrap().body, b"fine");
    assert_eq!(outbound.call(&ask(Method::POST, &url("/once"))).await.unwrap().status, 307, "a write is made once, where it was meant");
    for path in ["/away", "/port", "/file"] {
        let fault = outbound.call(&ask(Method::GET, &url(path))).await.unwrap_err();
        assert!(matches!(fault, CallFault::Redirect { .. }), "{path}: {fault}");
    }
    met.store(0, Ordering::SeqCst);
    let fault = outbound.call(&ask(Method::GET, &url("/round"))).await.unwrap_err();
    assert!(matches!(fault, CallFault::Redirects(_)), "{fault}");
    assert_eq!(met.load(Ordering::SeqCst), REDIRECTS_MAX + 1);
}

#[tokio::test]
async fn what_is_not_meant_is_refused_before_anybody_is_asked() {
    let (port, met) = server().await;
    let host = format!("shop.example:{port}");
    let script = || Script::new(&[&["127.0.0.1"]]);
    let way = outbound(&[(&host, false)], script());
    let refused = |fault: CallFault| fault.to_string();
    assert!(refused(way.call(&ask(Method::GET, &format!("http://{host}/"))).await.unwrap_err()).contains("plain http"));
    assert!(refused(way.call(&ask(Method::GET, &format!("https://u:canary@{host}/"))).await.unwrap_err()).contains("does not belong"));
    assert!(refused(way.call(&ask(Method::GET, "ftp://shop.example/")).await.unwrap_err()).contains("neither http nor https"));
    let practice = Outbound::new(None, script()).call(&ask(Method::GET, &format!("https://{host}/"))).await.unwrap_err();
    assert!(matches!(practice, CallFault::Practice));
    let long = outbound(&[(&host, true)], script()).call(&ask(Method::GET, &format!("http://{host}/long"))).await.unwrap_err();
    assert!(matches!(long, CallFault::Long { max: 1_000, .. }), "{long}");
    assert_eq!(met.load(Ordering::SeqCst), 1);
}

#[test]
fn a_url_is_shown_without_its_secrets() {
    assert_eq!(shown("https://user:canary@a.example/x?key=canary#canary"), "https://a.example/x?***");
    assert_eq!(shown("https://a.example/x"), "https://a.example/x");
    assert_eq!(shown("canary"), "a URL that can't be read");
}
