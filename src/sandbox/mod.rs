//! The practice marketplace: Amazon's and BASE's protocols from the other side, with state and a ledger of their own.
//!
//! It names nothing else of ours and shares no code with the clients, so that a mistake in one cannot hide in the other. What it has answered
//! survives `kill -9`. It answers any product by rule ([`seed`]), never by a table.
use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State as Extract},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

mod amazon;
mod base;
mod faults;
mod ledger;
pub mod seed;
mod state;

pub use faults::{Fault, FaultKind, Force};
pub use seed::practice_keys;
pub use state::{Account, Client, Entry, Item, Side, World};

/// The marketplace's clock: milliseconds UTC.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Access tokens of both sides live an hour.
const ACCESS_LIVES_MS: i64 = 3_600_000;

/// How to start it.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Where its state is; created where missing. A folder that has some goes on from there.
    pub dir: PathBuf,
    /// Port 0: any free one.
    pub listen: SocketAddr,
    /// Products of a new practice world; at least 1.
    pub items: u32,
    /// The clock.
    pub now: Now,
}

impl fmt::Debug for SandboxOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxOptions")
            .field("dir", &self.dir)
            .field("listen", &self.listen)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The folder or its files.
    #[error("failed to open the practice marketplace's folder `{path}`")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The state.
    #[error("failed to open the practice marketplace's state in `{path}`")]
    State {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    /// The address.
    #[error("the practice marketplace can't listen on {addr}")]
    Listen {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// A practice marketplace that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Stops it when cancelled.
    pub shutdown: CancellationToken,
    practice: Arc<Practice>,
    served: JoinHandle<io::Result<()>>,
}

/// What all requests share.
struct Practice {
    state: state::State,
    faults: faults::Faults,
    ledger: ledger::File,
    buckets: amazon::Buckets,
    now: Now,
}

impl fmt::Debug for Practice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Practice").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Starts it with the practice world.
///
/// # Errors
/// When the folder, the state or the address can't be had.
pub async fn start(options: SandboxOptions) -> Result<Running, SandboxError> {
    let world = World::practice(options.items.max(1), (options.now)());
    start_with(options, world).await
}

/// Starts it with this world, which a folder that has state already does not take in.
///
/// # Errors
/// When the folder, the state or the address can't be had.
pub async fn start_with(options: SandboxOptions, world: World) -> Result<Running, SandboxError> {
    let SandboxOptions { dir, listen, now, .. } = options;
    let folder = |source| SandboxError::Folder { path: dir.clone(), source };
    fs::create_dir_all(&dir).map_err(folder)?;
    let ledger = ledger::File::open(&dir).map_err(folder)?;
    let state = open_state(&dir, &world, now())?;
    let practice = Arc::new(Practice { state, faults: faults::Faults::default(), ledger, buckets: amazon::Buckets::default(), now });
    let listener = TcpListener::bind(listen).await.map_err(|source| SandboxError::Listen { addr: listen, source })?;
    let addr = listener.local_addr().map_err(|source| SandboxError::Listen { addr: listen, source })?;
    let shutdown = CancellationToken::new();
    let router = router(&practice);
    let served = tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned()).into_future());
    Ok(Running { addr, shutdown, practice, served })
}

fn open_state(dir: &Path, world: &World, now_ms: i64) -> Result<state::State, SandboxError> {
    let path = dir.join("sandbox.db");
    state::State::open(&path, world, now_ms).map_err(|source| SandboxError::State { path, source })
}

impl Running {
    /// The address as an endpoint for both sides.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops it and waits until it has.
    ///
    /// # Errors
    /// What the listener met.
    pub async fn stop(self) -> io::Result<()> {
        self.shutdown.cancel();
        self.served.await.map_err(io::Error::other)?
    }

    /// Every request so far, oldest first.
    pub fn ledger(&self) -> Vec<Entry> {
        self.practice.state.ledger(0, i64::MAX).unwrap_or_default()
    }

    /// Makes some requests go wrong.
    pub fn inject(&self, fault: Fault) {
        self.practice.faults.add(fault);
    }

    /// Has a product offered otherwise than by rule; `None`: by rule again.
    pub fn force(&self, asin: &str, force: Option<Force>) {
        self.practice.faults.force(asin, force);
    }

    /// Changes the rate of the offers batch, in calls per second.
    pub fn set_offers_rate(&self, rate: f64) {
        self.practice.buckets.set_rate(rate);
    }

    /// The items of a shop.
    pub fn items(&self, account: &str) -> Vec<Item> {
        self.practice.state.items(account, "item_id", i64::MAX, 0).unwrap_or_default()
    }

    /// Changes an item as its owner's hand would, or adds it.
    pub fn put_item(&self, item: &Item) {
        note_failure(self.practice.state.put_item(item));
    }

    /// Deletes an item as its owner's hand would.
    pub fn remove_item(&self, item_id: i64) {
        note_failure(self.practice.state.remove_item(item_id));
    }

    /// Says that a shop has made so many calls in this period (an hour or a day, in milliseconds).
    pub fn set_calls(&self, account: &str, length_ms: i64, count: i64) {
        let began_ms = base::began(length_ms, (self.practice.now)());
        note_failure(self.practice.state.set_calls(account, length_ms, began_ms, count));
    }
}

fn note_failure(done: rusqlite::Result<()>) {
    if let Err(error) = done {
        tracing::error!(%error, "the practice marketplace's state can't be written");
    }
}

fn router(practice: &Arc<Practice>) -> Router {
    let practised = Router::new()
        .route("/auth/o2/token", any(amazon::token))
        .route("/batches/products/pricing/v0/itemOffers", any(amazon::item_offers))
        .route("/1/oauth/token", any(base::token))
        .route("/1/users/me", any(base::me))
        .route("/1/items", any(base::items))
        .route("/1/items/detail/{item_id}", any(base::detail))
        .route("/1/items/edit", any(base::edit))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(practice), witness));
    Router::new().route("/sandbox/ledger", get(ledger::show)).merge(practised).with_state(Arc::clone(practice))
}

/// What a handler tells the ledger about a request.
#[derive(Clone, Debug, Default)]
struct Noted {
    account: String,
    detail: String,
}

/// An answer, and what the ledger shall say about it.
fn reply(status: StatusCode, body: &Value, noted: Noted) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    response.extensions_mut().insert(noted);
    response
}

async fn unknown(request: Request) -> Response {
    if request.uri().path().starts_with("/1/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    amazon::error(StatusCode::FORBIDDEN, "MissingAuthenticationToken", "Missing Authentication Token", Noted::default())
}

/// Stands before every request: makes the trouble that was asked for, and writes the request down before it is answered.
async fn witness(Extract(practice): Extract<Arc<Practice>>, request: Request, next: Next) -> Response {
    let at_ms = (practice.now)();
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let fault = practice.faults.meet(&path);
    let mut response = match fault {
        Some(FaultKind::Status(status)) => trouble(&path, status),
        Some(FaultKind::Html) => (StatusCode::BAD_GATEWAY, "<html><body><h1>502 Bad Gateway</h1></body></html>").into_response(),
        Some(FaultKind::Delay(_) | FaultKind::DropAnswer) | None => next.run(request).await,
    };
    let noted = response.extensions_mut().remove::<Noted>().unwrap_or_default();
    let write = method == "POST" && path.starts_with("/1/items/");
    let status = response.status().as_u16();
    let mut entry = Entry { seq: 0, at_ms, method, path, account: noted.account, write, status, detail: noted.detail };
    match practice.state.record(&entry) {
        Ok(seq) => {
            entry.seq = seq;
            practice.ledger.append(&entry);
        }
        // Nothing is answered that is not in the ledger.
        Err(error) => {
            tracing::error!(%error, "the practice marketplace can't write its ledger");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    }
    match fault {
        Some(FaultKind::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(FaultKind::DropAnswer) => *response.body_mut() = Body::from_stream(tokio_util::io::ReaderStream::new(Broken)),
        Some(FaultKind::Status(_) | FaultKind::Html) | None => {}
    }
    response
}

/// The usual body for a status that was asked for.
fn trouble(path: &str, status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if path.starts_with("/1/") {
        return base::trouble(status);
    }
    let (code, message) = amazon::words(status);
    amazon::error(status, code, message, Noted::default())
}

/// A body that breaks off before its first byte.
struct Broken;

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
        _buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}
