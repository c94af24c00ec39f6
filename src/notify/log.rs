//! The log as a channel: a line for each notice.
use super::{Level, Notice, Notifier};

/// Writes notices into the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogNotifier;

impl Notifier for LogNotifier {
    fn notify(&self, notice: Notice) {
        let event = notice.event.word();
        match notice.level {
            Level::Info => tracing::info!(event, "{notice}"),
            Level::Warning => tracing::warn!(event, "{notice}"),
            Level::Alert => tracing::error!(event, "{notice}"),
        }
    }
}
