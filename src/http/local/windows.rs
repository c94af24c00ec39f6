//! Named pipes of Windows.
//!
//! A pipe has no file: its name is made of the record's, which is drawn by chance, so nobody can have it before us. Those who may write to it are
//! the user taskrun runs as, administrators and the system; that is what Windows gives to a pipe by itself. No other machine gets in.
use std::{ffi::OsString, io, path::Path, time::Duration};

use axum::serve::Listener;
use reqwest::ClientBuilder;
use tokio::{
    net::windows::named_pipe::{NamedPipeServer, ServerOptions},
    task::JoinSet,
};

/// Clients that can come in at the same instant: one that finds no free end of the pipe is refused.
const FREE_ENDS: usize = 8;
/// After an error of the system, the next try waits this long.
const REST: Duration = Duration::from_millis(100);

/// The pipe that stands for a socket's path.
#[derive(Debug)]
pub(in crate::http) struct Near(OsString);

impl Near {
    pub(in crate::http) fn to(socket: &Path) -> Self {
        let mut name = OsString::from(r"\\.\pipe\taskrun-");
        name.push(socket.file_stem().unwrap_or_default());
        Self(name)
    }

    /// Has a client's connections go there.
    pub(in crate::http) fn connect(&self, builder: ClientBuilder) -> ClientBuilder {
        builder.windows_named_pipe(self.0.as_os_str())
    }
}

/// Listens there.
pub(in crate::http) fn listen(socket: &Path) -> io::Result<Pipe> {
    let name = Near::to(socket).0;
    let first = ServerOptions::new().first_pipe_instance(true).create(&name)?;
    let mut free = JoinSet::new();
    free.spawn(connected(first));
    Ok(Pipe { name, free })
}

/// A pipe is gone with its process.
#[expect(clippy::unnecessary_wraps, reason = "a socket can fail here")]
pub(in crate::http) fn clear(_socket: &Path) -> io::Result<()> {
    Ok(())
}

/// A pipe that is listened on: its ends that nobody has taken yet.
pub(in crate::http) struct Pipe {
    name: OsString,
    free: JoinSet<io::Result<NamedPipeServer>>,
}

async fn connected(end: NamedPipeServer) -> io::Result<NamedPipeServer> {
    end.connect().await?;
    Ok(end)
}

impl Pipe {
    async fn taken(&mut self) -> io::Result<NamedPipeServer> {
        while self.free.len() < FREE_ENDS {
            self.free.spawn(connected(ServerOptions::new().create(&self.name)?));
        }
        match self.free.join_next().await {
            Some(taken) => taken.map_err(io::Error::other)?,
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Listener for Pipe {
    type Io = NamedPipeServer;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.taken().await {
                Ok(end) => return (end, ()),
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(())
    }
}
