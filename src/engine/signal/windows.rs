//! Events of the Windows console, as messages. A service has no console: what its manager wants comes another way, as the same messages.
use std::io;

use tokio::{
    signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown},
    sync::mpsc,
};

use super::{Signal, WAITING_MAX};

/// Takes over the console's events from their default, which would be to die. The receiver gives each as it comes. Once the window is closed or
/// the system goes down, Windows leaves us seconds. That somebody logs off is not listened to: services hear it of anybody, and go on.
///
/// # Errors
/// The system does not let us listen.
pub fn listen() -> io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let (mut interrupt, mut broken) = (ctrl_c()?, ctrl_break()?);
    let (mut closed, mut shut_down) = (ctrl_close()?, ctrl_shutdown()?);
    tokio::spawn(async move {
        loop {
            let came = tokio::select! {
                Some(()) = interrupt.recv() => Signal::Interrupt,
                Some(()) = broken.recv() => Signal::Interrupt,
                Some(()) = closed.recv() => Signal::Terminate,
                Some(()) = shut_down.recv() => Signal::Terminate,
                () = sender.closed() => return,
            };
            if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(came) {
                return;
            }
        }
    });
    Ok(receiver)
}
