//! Connections whose answers can be spoiled: bytes that HTTP would never send, too few of them, too slowly, or without an end.
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body,
    extract::connect_info::Connected,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    serve::{IncomingStream, Listener},
};
use serde_json::{Number, Value};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::faults::FaultKind;

/// How big a huge body is.
const HUGE: usize = 64 << 20;
/// A packed body of this many bytes unpacks to 10 GiB.
const BOMB: usize = 10 << 20;
/// Lists within lists.
const DEEP: usize = 100_000;
/// What is sent at once of bodies without end.
const CHUNK: usize = 16 << 10;
/// A file of gzip that goes on with zero bytes for ever: each byte of it unpacks to about a thousand.
const BOMB_HEAD: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xec\xc1\x81\x00\x00\x00\x00\x80\x20\x95\xfd\x29\x17\xa9\x0a";

/// The listener whose connections know their line.
#[derive(Debug)]
pub(super) struct Door(pub(super) TcpListener);

/// One connection, as the server sees it.
#[derive(Debug)]
pub(super) struct Wire(Line);

/// The same connection, for whoever spoils it.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stream: TcpStream,
    /// The server may say nothing more.
    spoilt: AtomicBool,
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (stream, addr) = Listener::accept(&mut self.0).await;
        (Wire(Line(Arc::new(Inner { stream, spoilt: AtomicBool::new(false) }))), addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for Line {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().0.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = &self.0.0.stream;
        loop {
            ready!(stream.poll_read_ready(context))?;
            match stream.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Inner { stream, spoilt } = &*self.0.0;
        if spoilt.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.end())
    }
}

impl Line {
    /// Sends an answer in the way that the trouble wants; where that needs more than HTTP, what is returned reaches nobody.
    pub(super) async fn spoil(&self, kind: FaultKind, answer: Response, shutdown: &CancellationToken) -> Response {
        let own = matches!(
            kind,
            FaultKind::Status(_)
                | FaultKind::StatusAfter(..)
                | FaultKind::Html
                | FaultKind::Page
                | FaultKind::Empty
                | FaultKind::Error200
                | FaultKind::Redirect(_)
                | FaultKind::Delay(_)
        );
        if own {
            return answer;
        }
        self.0.spoilt.store(true, Ordering::SeqCst);
        // A client that has gone away has had its trouble; and who stops the marketplace does not wait for one that has not.
        let sent = shutdown.run_until_cancelled(self.play(kind, answer)).await;
        if let Some(Err(error)) = sent {
            tracing::debug!(%error, "a spoilt answer did not reach its end");
        }
        StatusCode::OK.into_response()
    }

    async fn play(&self, kind: FaultKind, answer: Response) -> io::Result<()> {
        match kind {
            FaultKind::Drop | FaultKind::DropAnswer => Ok(()),
            FaultKind::Hang => std::future::pending().await,
            FaultKind::Endless => self.endless().await,
            FaultKind::Huge => {
                self.send(&head("application/json", "", HUGE)).await?;
                self.fill(b' ', HUGE).await
            }
            FaultKind::Bomb => {
                self.send(&head("application/json", "content-encoding: gzip\r\n", BOMB_HEAD.len() + BOMB)).await?;
                self.send(BOMB_HEAD).await?;
                self.fill(0, BOMB).await
            }
            FaultKind::Deep => {
                let text = "[".repeat(DEEP) + &"]".repeat(DEEP);
                self.send(&head("application/json", "", text.len())).await?;
                self.send(text.as_bytes()).await?;
                self.hear_out().await
            }
            _ => self.spoil_true(kind, answer).await,
        }
    }

    /// Spoils what would have been the answer.
    async fn spoil_true(&self, kind: FaultKind, answer: Response) -> io::Result<()> {
        let (parts, text) = answer.into_parts();
        let mut text = body::to_bytes(text, usize::MAX).await.map_err(io::Error::other)?.to_vec();
        if kind == FaultKind::Mistyped {
            text = serde_json::from_slice(&text).map(|body| mistype(body).to_string().into_bytes()).unwrap_or(text);
        }
        let (half, _) = text.split_at(text.len() / 2);
        let length = match kind {
            FaultKind::Short => half.len(),
            FaultKind::Long => text.len() + 10,
            _ => text.len(),
        };
        let mut lines = vec![format!("HTTP/1.1 {}", parts.status).into_bytes(), format!("content-length: {length}").into_bytes()];
        for (name, value) in parts.headers.iter().filter(|(name, _)| **name != header::CONTENT_LENGTH) {
            lines.push([name.as_str().as_bytes(), b": ", value.as_bytes()].concat());
        }
        if kind == FaultKind::Twice {
            for extra in ["content-type: text/html", "x-amzn-RateLimit-Limit: 1000", "retry-after: 1", "retry-after: 7200"] {
                lines.push(extra.as_bytes().to_vec());
            }
        }
        let head = [lines.join(&b"\r\n"[..]), b"\r\n\r\n".to_vec()].concat();
        match kind {
            FaultKind::Cut | FaultKind::HalfClose | FaultKind::Reset => {
                self.send(&[&head, half].concat()).await?;
                if kind == FaultKind::Reset {
                    // The half must have arrived: a reset overtakes what is still on its way.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    return self.0.stream.set_zero_linger();
                }
                if kind == FaultKind::HalfClose {
                    self.end()?;
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
            FaultKind::Slow(pause) => {
                for byte in [head, text].concat() {
                    self.send(&[byte]).await?;
                    tokio::time::sleep(pause).await;
                }
                self.hear_out().await
            }
            FaultKind::Long => {
                self.send(&[head, text].concat()).await?;
                std::future::pending().await
            }
            _ => {
                self.send(&[head, text].concat()).await?;
                self.hear_out().await
            }
        }
    }

    async fn endless(&self) -> io::Result<()> {
        self.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        let chunk = [format!("{CHUNK:x}\r\n").into_bytes(), vec![b' '; CHUNK], b"\r\n".to_vec()].concat();
        loop {
            self.send(&chunk).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn fill(&self, byte: u8, count: usize) -> io::Result<()> {
        let chunk = vec![byte; CHUNK];
        for _ in 0..count / CHUNK {
            self.send(&chunk).await?;
        }
        self.hear_out().await
    }

    async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.0.stream.writable().await?;
            match self.0.stream.try_write(bytes) {
                Ok(sent) => bytes = bytes.split_at(sent).1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Leaves the client the time to read to the end: closing at once could take back what is still on its way.
    async fn hear_out(&self) -> io::Result<()> {
        self.end()?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }

    /// Ends this side's direction.
    fn end(&self) -> io::Result<()> {
        socket2::SockRef::from(&self.0.stream).shutdown(std::net::Shutdown::Write)
    }
}

fn head(kind: &str, more: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{more}content-length: {length}\r\n\r\n").into_bytes()
}

/// The same shape with other types.
fn mistype(value: Value) -> Value {
    match value {
        Value::Array(values) => Value::Array(values.into_iter().map(mistype).collect()),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (name, mistype(value))).collect()),
        Value::Number(number) => Value::String(format!("about {number}")),
        Value::String(_) => Value::Number(Number::from(1)),
        Value::Bool(_) => Value::Null,
        Value::Null => Value::Bool(true),
    }
}
