//! HTTP for channels: one request, a deadline, a bounded answer, no redirect, and errors without addresses, which may be secret.
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, header::HeaderMap, redirect};

use super::channel::{SEND_MAX, SendError};
use crate::outbound::certificates;

/// A host that is there answers a connection at once.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Of an answer, more is not read.
const BODY_MAX: usize = 16 * 1024;
/// Of what a service says, more is not repeated.
const TEXT_MAX: usize = 200;

/// What a service answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// A client; or why there is none.
pub(super) fn client(is_here: bool) -> Result<Client, String> {
    certificates::build(|| {
        let builder = Client::builder()
            .user_agent(concat!("taskrun/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_MAX)
            .timeout(SEND_MAX)
            .redirect(redirect::Policy::none())
            // Messages are rare: a connection that was kept would be dead by the next one.
            .pool_max_idle_per_host(0);
        Ok(if is_here { builder.no_proxy() } else { builder })
    })
}

/// Makes a request and reads the answer, whatever its status.
pub(super) async fn ask(request: RequestBuilder) -> Result<Answer, SendError> {
    let mut response = request.send().await.map_err(lost)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    // The status says all that matters: an answer that breaks off is good enough.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if BODY_MAX < body.len() {
            break;
        }
    }
    Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn lost(error: reqwest::Error) -> SendError {
    let unsent = error.is_connect() || error.is_builder();
    let why = crate::errors::chain(&error.without_url());
    if unsent { SendError::Unreachable(why) } else { SendError::NoAnswer(why) }
}

impl Answer {
    /// What the answer means, where it is the same for all services.
    pub(super) fn judge(self, said: impl FnOnce(&Self) -> Option<String>) -> Result<Self, SendError> {
        let why = said(&self).unwrap_or_else(|| self.body.clone());
        let why: String = why.chars().take(TEXT_MAX).collect();
        let why = if why.trim().is_empty() {
            format!("HTTP {}", self.status)
        } else {
            format!("HTTP {}: {}", self.status, super::text::visible(&why))
        };
        match self.status {
            200..300 => Ok(self),
            429 => Err(SendError::Limited { why, wait: self.retry_after(), until: None }),
            408 | 425 | 500.. => Err(SendError::Unwell(why)),
            _ => Err(SendError::Refused(why)),
        }
    }

    /// `Retry-After` in seconds, which Discord gives a fraction.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds: f64 = self.headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// A header with an instant in seconds.
    pub(super) fn instant(&self, name: &str) -> Option<Timestamp> {
        let seconds: i64 = self.headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
        Timestamp::from_second(seconds).ok()
    }
}
