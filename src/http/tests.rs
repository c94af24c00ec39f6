//! The local API over a real socket, with a made-up engine behind it.
use std::path::PathBuf;

use std::sync::Arc;

use super::{client::Client, *};
use crate::{
    clock::SystemClock,
    config::{self, Secrets},
    core::task::RunId,
    engine::{
        control::{Control, Request},
        view::{ConfigView, ReloadView, StatusView, TriggeredView},
    },
    store::sqlite::SqliteStore,
    view::trends::Trends,
};

/// A desk over an engine that is made up and a store that is real.
fn desk(folder: &Path, control: Control) -> Desk {
    let env = |_: &str| None;
    let options =
        config::LoadOptions { handlers: &[], practice: false, secrets: Secrets::Required, env: &env, now: jiff::Timestamp::UNIX_EPOCH };
    let config = config::read("tasks: {}\n", Path::new("tasks.yaml"), &options).unwrap();
    let store = Arc::new(SqliteStore::open(&folder.join("taskrun.db")).unwrap());
    let config = tokio::sync::watch::Sender::new(Arc::new(config)).subscribe();
    Desk {
        control,
        runs: store.clone(),
        shop: store.clone(),
        outbox: store,
        clock: SystemClock::start(),
        config,
        tally: Arc::default(),
        log: None,
        trouble: Vec::new(),
        trends: Trends::default(),
    }
}

/// The routes over a made-up engine.
fn app(folder: &Path, closing: &CancellationToken) -> Router {
    let (control, requests) = Control::channel();
    tokio::spawn(engine(requests));
    router(desk(folder, control), closing.clone())
}

fn status_view() -> StatusView {
    StatusView {
        version: "9.9.9".to_owned(),
        pid: 4711,
        started_at: "2026-11-22T04:48:00Z".to_owned(),
        now: "2026-11-22T04:48:01Z".to_owned(),
        practice_speed: None,
        config: ConfigView { path: "tasks.yaml".to_owned(), loaded_at: String::new(), reloads: 0, last_reload_faults: Vec::new() },
        stuck: 0,
        degraded: Vec::new(),
        stopping: false,
        instances: Vec::new(),
        runs: Vec::new(),
    }
}

/// An engine that knows one task, `sync`, and one run, 7.
async fn engine(mut requests: tokio::sync::mpsc::Receiver<Request>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Status { reply } => reply.send(status_view()).unwrap(),
            Request::Runs { reply } => reply.send(Vec::new()).unwrap(),
            Request::Trigger { name, reply, .. } => {
                let known = (name == "sync").then_some(TriggeredView { instance: name, run: Some(7), skipped: None });
                reply.send(known.into_iter().collect()).unwrap();
            }
            Request::Cancel { run, reply } => reply.send(run == RunId(7)).unwrap(),
            Request::Reload { dry, reply } => {
                reply.send(ReloadView { applied: !dry, differences: Vec::new(), faults: Vec::new() }).unwrap();
            }
            Request::Stop | Request::Poke => {}
        }
    }
}

/// A served socket.
async fn with_server<F: Future>(test: impl FnOnce(PathBuf) -> F) -> F::Output {
    let temp = tempfile::tempdir().unwrap();
    let socket = temp.path().join("p.sock");
    let closing = CancellationToken::new();
    let served = serve(&socket, app(temp.path(), &closing), closing.clone()).unwrap();
    let output = test(socket.clone()).await;
    closing.cancel();
    served.await.unwrap().unwrap();
    assert!(!socket.exists(), "the socket is removed at the end");
    output
}

#[tokio::test]
async fn each_request_reaches_the_engine_and_its_answer_comes_back() {
    with_server(|socket| async move {
        let client = Client::of(&socket).unwrap();
        assert_eq!(client.ping().await.unwrap().pid, std::process::id());
        assert_eq!(client.status().await.unwrap().status, status_view());
        assert_eq!(client.trigger("sync").await.unwrap().first().unwrap().run, Some(7));
        assert!(client.cancel(7).await.unwrap().accepted);
        assert!(client.reload().await.unwrap().applied);
        assert!(!client.diff().await.unwrap().applied);
        assert!(client.stop().await.unwrap().accepted);
        assert!(client.poke().await.unwrap().accepted);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_a_code() {
    with_server(|socket| async move {
        let client = Client::of(&socket).unwrap();
        assert!(client.trigger("snyc").await.unwrap_err().is("unknown_task"));
        assert!(client.cancel(8).await.unwrap_err().is("not_open"));
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_open_the_socket() {
    use std::os::unix::fs::PermissionsExt as _;
    with_server(|socket| async move {
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_socket_in_a_folder_that_is_deep_is_reached_all_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let deep = temp.path().join("深いフォルダ".repeat(10)).join("在庫同期".repeat(10));
    std::fs::create_dir_all(&deep).unwrap();
    let socket = deep.join("p.sock");
    let closing = CancellationToken::new();
    let served = serve(&socket, app(temp.path(), &closing), closing.clone()).unwrap();
    assert!(client::answers(&socket).await);
    closing.cancel();
    served.await.unwrap().unwrap();
    assert!(!socket.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_answers_where_nobody_listens_or_the_listener_hangs() {
    let temp = tempfile::tempdir().unwrap();
    let socket = temp.path().join("p.sock");
    assert!(!client::answers(&socket).await);
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(!client::answers(&socket).await);
}
