//! A channel as the sender sees it: it takes messages or says why not, within a deadline, and can be tried without a message.
use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{chatwork::Chatwork, email::Email, text::Message, webhook::Webhook};
use crate::{
    config::notify::{Channel as Configured, Preset, Via},
    shop::quota::{PerPurpose, Period, Rule},
    store::{
        notices::Wants,
        shop::{Limit, QuotaKey},
    },
};

/// A whole exchange with a channel takes no longer.
pub(super) const SEND_MAX: Duration = Duration::from_secs(30);

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// What the configuration says can't work.
    #[error("it can't be used: {0}")]
    Unusable(String),
    /// Nothing was sent.
    #[error("it can't be reached: {0}")]
    Unreachable(String),
    /// It may have arrived.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// No more for now: until this instant of the server's, or for this long.
    #[error("it takes no more messages for now: {why}")]
    Limited {
        /// What it said.
        why: String,
        /// For how long, where it says so.
        wait: Option<Duration>,
        /// Until when, where it says so.
        until: Option<Timestamp>,
    },
    /// It will not be better by itself.
    #[error("refused: {0}")]
    Refused(String),
    /// It may be better later.
    #[error("it is not well: {0}")]
    Unwell(String),
}

/// One channel, ready to send.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) wants: Wants,
    pub(super) limits: Arc<[Limit]>,
    wire: Wire,
}

#[derive(Debug)]
enum Wire {
    Chatwork(Chatwork),
    Webhook(Webhook),
    Email(Box<Email>),
}

impl Channel {
    /// `gather` and `flap` are of the clock by which people live, which in practice is fast.
    pub(super) fn new(configured: &Configured, repeat_after: SignedDuration, gather: SignedDuration) -> Self {
        let wants = Wants {
            channel: Arc::clone(&configured.name),
            events: Arc::clone(&configured.events),
            min_level: configured.min_level,
            gather,
            repeat_after,
            flap: FLAP.min(repeat_after),
        };
        let wire = match &configured.via {
            Via::Chatwork { room_id, token, endpoint } => Wire::Chatwork(Chatwork::new(endpoint, room_id, token)),
            Via::Webhook { url, preset, template, headers } => Wire::Webhook(Webhook::new(url, *preset, template.as_deref(), headers)),
            Via::Email { host, port, tls, login, from, to } => {
                Wire::Email(Box::new(Email::new((host, *port), *tls, login.as_ref(), from, to)))
            }
        };
        Self { wants, limits: limits(configured), wire }
    }

    /// Sends a message. What the channel answered, for people.
    pub(super) async fn send(&self, message: &Message) -> Result<String, SendError> {
        let sent = async {
            match &self.wire {
                Wire::Chatwork(chatwork) => chatwork.send(message).await,
                Wire::Webhook(webhook) => webhook.send(message).await,
                Wire::Email(email) => email.send(message).await,
            }
        };
        tokio::time::timeout(SEND_MAX, sent)
            .await
            .unwrap_or_else(|_| Err(SendError::NoAnswer(format!("not within {} s", SEND_MAX.as_secs()))))
    }

    /// Tries the channel without a message. What it said, for people.
    pub(super) async fn check(&self) -> Result<String, SendError> {
        let checked = async {
            match &self.wire {
                Wire::Chatwork(chatwork) => chatwork.check().await,
                Wire::Webhook(webhook) => webhook.check().await,
                Wire::Email(email) => email.check().await,
            }
        };
        tokio::time::timeout(SEND_MAX, checked)
            .await
            .unwrap_or_else(|_| Err(SendError::NoAnswer(format!("not within {} s", SEND_MAX.as_secs()))))
    }

    /// How the configuration names it.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.wants.channel
    }
}

/// What was over and begins anew within this time is told only then.
const FLAP: SignedDuration = SignedDuration::from_mins(10);

/// What a channel may be sent. A bucket of `burst` lets up to twice its burst through in the time that it takes to fill, so each is half of what the
/// service allows: Chatwork 10 in 10 s to a room and 300 in 5 min of a token, Discord 5 in 2 s and 30 a minute, Slack one a second.
fn limits(configured: &Configured) -> Arc<[Limit]> {
    let bucket = |operation, interval_ms, burst| (operation, Rule::Bucket { interval_ms, burst });
    let (application, rules) = match &configured.via {
        Via::Chatwork { .. } => ("chatwork", vec![bucket("messages_per_room", 2_000, 5), bucket("requests", 2_000, 100)]),
        Via::Webhook { preset: Preset::Slack, .. } => ("slack", vec![bucket("messages", 1_200, 1)]),
        Via::Webhook { preset: Preset::Discord, .. } => ("discord", vec![bucket("messages", 2_500, 4)]),
        Via::Webhook { preset: Preset::Generic, .. } => ("webhook", vec![bucket("messages", 1_000, 5)]),
        Via::Email { .. } => ("email", vec![bucket("messages", 5_000, 5)]),
    };
    let day = ("messages_per_day", Rule::Window { period: Period::Day, calls: configured.per_day, reserve: PerPurpose::default() });
    let limit = |(operation, rule)| Limit {
        key: QuotaKey { application: application.into(), account: Arc::clone(&configured.name), operation },
        rule,
    };
    rules.into_iter().chain([day]).map(limit).collect()
}
