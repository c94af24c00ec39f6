//! Signals of Unix, as messages.
use std::io;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{Signal, WAITING_MAX};

/// Takes over the signals from their default, which would be to die. The receiver gives each as it comes.
///
/// # Errors
/// The system does not let us listen.
pub fn listen() -> io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            let came = tokio::select! {
                Some(()) = terminate.recv() => Signal::Terminate,
                Some(()) = interrupt.recv() => Signal::Interrupt,
                Some(()) = hang_up.recv() => Signal::HangUp,
                () = sender.closed() => return,
            };
            if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(came) {
                return;
            }
        }
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Sent, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn each_signal_comes_as_a_message() {
        let mut signals = listen().unwrap();
        for (sent, expected) in
            [(Sent::HUP, Signal::HangUp), (Sent::TERM, Signal::Terminate), (Sent::INT, Signal::Interrupt), (Sent::TERM, Signal::Terminate)]
        {
            kill_process(getpid(), sent).unwrap();
            assert_eq!(signals.recv().await, Some(expected));
        }
    }
}
