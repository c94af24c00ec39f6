//! What people are told, and how the channels fare.
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::notices::{ChannelRow, NoticeRow};

/// The outbox, as JSON; stable.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NoticesView {
    pub channels: Vec<ChannelView>,
    pub notices: Vec<NoticeView>,
}

/// How a channel fares.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChannelView {
    pub channel: String,
    /// Messages that it took.
    pub sent: u32,
    pub last_sent_at: Option<String>,
    /// Since its last success.
    pub failures: u32,
    pub failing_since: Option<String>,
    pub error: Option<String>,
    /// It is not tried before then.
    pub retry_at: Option<String>,
}

/// What happened to a subject, folded.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NoticeView {
    pub event: &'static str,
    pub level: &'static str,
    pub subject: String,
    pub text: String,
    pub run: Option<i64>,
    pub count: u32,
    pub first_at: String,
    pub last_at: String,
    /// What it tells of is over.
    pub over: bool,
    pub sends: Vec<SendView>,
}

/// What a channel has told of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SendView {
    pub channel: String,
    /// How many of them it has told; the rest waits.
    pub told: u32,
    pub told_at: String,
    /// The channel never confirmed it.
    pub doubtful: bool,
}

impl NoticesView {
    /// Rows of the store.
    pub fn of(channels: &[ChannelRow], notices: &[NoticeRow]) -> Self {
        Self { channels: channels.iter().map(ChannelView::of).collect(), notices: notices.iter().map(NoticeView::of).collect() }
    }
}

impl ChannelView {
    fn of(row: &ChannelRow) -> Self {
        let (since, error) = row.failing.clone().map_or((None, None), |(since, error)| (Some(since.to_string()), Some(error)));
        Self {
            channel: row.name.to_string(),
            sent: row.sent,
            last_sent_at: row.last_sent.map(|at| at.to_string()),
            failures: row.failures,
            failing_since: since,
            error,
            retry_at: row.retry_at.map(|at| at.to_string()),
        }
    }
}

impl NoticeView {
    fn of(row: &NoticeRow) -> Self {
        let told = &row.told;
        let sends = row.sends.iter().map(|(channel, told, at, doubtful)| SendView {
            channel: channel.to_string(),
            told: *told,
            told_at: at.to_string(),
            doubtful: *doubtful,
        });
        Self {
            event: told.notice.event.word(),
            level: told.notice.level.word(),
            subject: told.notice.subject.to_string(),
            text: told.notice.text.clone(),
            run: told.run.map(|run| run.0),
            count: told.count,
            first_at: told.first.to_string(),
            last_at: told.last.to_string(),
            over: told.over,
            sends: sends.collect(),
        }
    }
}
