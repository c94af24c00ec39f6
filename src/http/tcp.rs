//! The TCP side: listens where the configuration says, over TLS where it has a certificate, and follows a reload.
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Extension, Router, middleware};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    guard::{self, Guard, HEAD_MAX},
    places::{Places, Seat},
};
use crate::{
    config::{Config, HttpConfig, TlsFiles},
    core::value::Secret,
    errors::chain,
    os,
};

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to say what it wants; for TLS, to shake hands.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// After an error of the system, as when it has no more file descriptors, the next connection waits this long.
const REST: Duration = Duration::from_millis(100);
/// The token's file in the state folder.
pub const TOKEN_FILE: &str = "http.token";

/// Why nobody can listen there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has the port, or the address is not this machine's.
    #[error("failed to listen on {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The certificate or its key.
    #[error("failed to read the certificate of `http.tls` from `{path}`")]
    Certificate {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The token's file.
    #[error("failed to make the file of the token, `{path}`")]
    Token {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Not from beyond this machine without a token and a certificate.
    #[error("{address} can be reached from other machines; that needs `http.token` and `http.tls`")]
    Open { address: SocketAddr },
}

impl ListenError {
    /// Whether another program has the port.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

/// A place to listen at, bound.
pub struct Bound {
    listener: TcpListener,
    terms: Terms,
}

/// On what terms connections are taken.
#[derive(Clone)]
struct Terms {
    config: HttpConfig,
    tls: Option<TlsAcceptor>,
    guard: Arc<Guard>,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bound").field("config", &self.terms.config).finish_non_exhaustive()
    }
}

impl Bound {
    /// Where it listens: `http://127.0.0.1:9700/`.
    pub fn url(&self) -> String {
        let scheme = if self.terms.tls.is_some() { "https" } else { "http" };
        let address = self.listener.local_addr().unwrap_or(self.terms.config.listen);
        format!("{scheme}://{address}/")
    }
}

/// Listens. In practice only on this machine, and where another taskrun has the port, on whichever is free.
///
/// # Errors
/// See [`ListenError`].
pub async fn bind(config: &HttpConfig, state_dir: &Path, practice: bool) -> Result<Bound, ListenError> {
    let mut config = config.clone();
    if practice {
        config.listen.set_ip(Ipv4Addr::LOCALHOST.into());
        config.tls = None;
    }
    let terms = Terms::new(&config, state_dir)?;
    let listen =
        |address: SocketAddr| async move { TcpListener::bind(address).await.map_err(|source| ListenError::Bind { address, source }) };
    let listener = match listen(config.listen).await {
        Err(error) if practice && error.is_taken() => listen(SocketAddr::new(config.listen.ip(), 0)).await?,
        listener => listener?,
    };
    Ok(Bound { listener, terms })
}

impl Terms {
    fn new(config: &HttpConfig, state_dir: &Path) -> Result<Self, ListenError> {
        let address = config.listen;
        if !address.ip().is_loopback() && (config.token.is_none() || config.tls.is_none()) {
            return Err(ListenError::Open { address });
        }
        let token = match &config.token {
            Some(token) => token.clone(),
            None => kept_token(&state_dir.join(TOKEN_FILE))?,
        };
        let tls = config.tls.as_ref().map(acceptor).transpose()?;
        let guard = Guard { token, address: address.ip(), hosts: config.allowed_hosts.clone(), is_tls: tls.is_some() };
        Ok(Self { config: config.clone(), tls, guard: Arc::new(guard) })
    }
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, ListenError> {
    type Source = Box<dyn std::error::Error + Send + Sync>;
    let failed = |path: &Path, source: Source| ListenError::Certificate { path: path.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(&files.cert, error.into()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| failed(&files.key, error.into()))?;
    drop(rustls::crypto::ring::default_provider().install_default());
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.map_err(|error| failed(&files.cert, error.into()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The token in the file; made where there is none, and anew where others could have read it. Whoever can read the file is who runs taskrun.
fn kept_token(path: &Path) -> Result<Secret, ListenError> {
    let failed = |source| ListenError::Token { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() && os::open_to_others(path).is_none() => return Ok(Secret::new(text.trim())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = [0_u8; 32];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| failed(io::Error::other("the system gives no randomness")))?;
    let token = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    // 0600, and under its name only when it is whole.
    let mut file = tempfile::NamedTempFile::new_in(os::above(path)).map_err(failed)?;
    io::Write::write_all(&mut file, format!("{token}\n").as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(Secret::new(token))
}

/// What of the configuration could not be followed; the server goes on as before.
#[derive(Clone, Debug, Default)]
pub struct ListenTrouble(Arc<Mutex<Option<String>>>);

impl ListenTrouble {
    /// What is wrong right now.
    pub fn now(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, trouble: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// The server beyond the local socket.
#[derive(Debug)]
pub struct Server {
    pub app: Router,
    pub state_dir: PathBuf,
    /// The configurations in force, one after the other.
    pub config: watch::Receiver<Arc<Config>>,
    pub practice: bool,
    pub trouble: ListenTrouble,
}

impl Server {
    /// Listens where the configuration in force says, until `closing`. `first`: what it says now.
    pub fn start(self, first: Option<Bound>, closing: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(self.follow(first, closing))
    }

    async fn follow(mut self, mut bound: Option<Bound>, closing: CancellationToken) {
        let places = Places::new(CONNECTIONS_MAX);
        let mut in_force = self.config.borrow_and_update().http.clone();
        loop {
            // Those who came in on other terms leave with them.
            let terms_end = closing.child_token();
            let taking = async {
                match &bound {
                    Some(bound) => take(bound, &self.app, &places, &terms_end).await,
                    None => std::future::pending().await,
                }
            };
            let changed = async {
                while self.config.changed().await.is_ok() {
                    let http = self.config.borrow_and_update().http.clone();
                    if http != in_force {
                        return http;
                    }
                }
                std::future::pending().await
            };
            let wanted = tokio::select! {
                () = closing.cancelled() => return,
                () = taking => return,
                wanted = changed => wanted,
            };
            terms_end.cancel();
            in_force.clone_from(&wanted);
            bound = self.other(bound, wanted.as_ref()).await;
        }
    }

    /// Follows a configuration; what cannot be done is said, and what was before goes on.
    async fn other(&self, before: Option<Bound>, wanted: Option<&HttpConfig>) -> Option<Bound> {
        let Some(wanted) = wanted else {
            self.trouble.set(None);
            return None;
        };
        let result = match before {
            // The same port cannot be bound twice.
            Some(before) if before.terms.config.listen == wanted.listen || self.practice => match Terms::new(wanted, &self.state_dir) {
                Ok(terms) => Ok(Bound { terms, ..before }),
                Err(error) => Err((Some(before), error)),
            },
            before => bind(wanted, &self.state_dir, self.practice).await.map_err(|error| (before, error)),
        };
        match result {
            Ok(bound) => {
                tracing::info!("the dashboard listens at {}", bound.url());
                self.trouble.set(None);
                Some(bound)
            }
            Err((before, error)) => {
                let error = chain(&error);
                tracing::error!("`http` of the new configuration cannot be followed: {error}; it stays as it was");
                self.trouble.set(Some(error));
                before
            }
        }
    }
}

async fn take(bound: &Bound, app: &Router, places: &Places, closing: &CancellationToken) {
    let app = app.clone().layer(middleware::from_fn_with_state(Arc::clone(&bound.terms.guard), guard::check));
    let app = app.layer(middleware::from_fn(guard::with_headers));
    loop {
        let stream = match bound.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        // All are being answered: that takes milliseconds, and whoever comes back finds a place.
        let Some(seat) = places.take() else { continue };
        let connection = Connection { app: app.clone(), seat, closing: closing.clone() };
        tokio::spawn(connection.talk(stream, bound.terms.tls.clone()));
    }
}

struct Connection {
    app: Router,
    seat: Seat,
    closing: CancellationToken,
}

impl Connection {
    async fn talk(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        drop(stream.set_nodelay(true));
        let Some(tls) = tls else { return self.serve(stream).await };
        let gone = self.seat.gone().clone();
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(HEAD_LIMIT, tls.accept(stream)) => shaken,
            () = gone.cancelled() => return,
            () = self.closing.cancelled() => return,
        };
        if let Ok(Ok(stream)) = shaken {
            self.serve(stream).await;
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Self { app, seat, closing } = self;
        let gone = seat.gone().clone();
        let service = TowerToHyperService::new(app.layer(Extension(seat)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(HEAD_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let result = tokio::select! {
            result = &mut connection => result,
            () = gone.cancelled() => return,
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(HEAD_LIMIT, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended in the middle");
        }
    }
}
