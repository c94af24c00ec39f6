//! What happens, as server-sent events: `hello` at the beginning, `runs` when the open runs or their progress change, `changed` when
//! runs, tasks or the configuration are no longer what they were, `heartbeat` now and then.
use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response, Sse, sse::Event},
};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::{ApiError, ReadErrors},
    places::{Answering, Seat},
};
use crate::{engine::view::RunView, view::Desk};

/// Streams at once: some open dashboards, and places left for everybody else.
pub(super) const STREAMS_MAX: usize = 16;
/// How often the open runs are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After so many looks without news there is a heartbeat.
const BEAT_AFTER: u32 = 10;

/// The streams that may still begin.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) free: Arc<Semaphore>,
    /// The end of the server is the end of each stream.
    pub(super) closing: CancellationToken,
}

/// The first event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct HelloView {
    pid: u32,
    version: String,
    now: String,
}

/// An event when there is no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct BeatView {
    now: String,
}

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(events))
}

/// What happens, as server-sent events.
///
/// `hello` at the beginning; `runs` with all open runs whenever one begins, ends or gets on; `changed` when a run began or ended, a fire was skipped,
/// a task was paused or the configuration read again: look again; each at most once a second. `heartbeat` after ten seconds without another event. Whoever hears nothing for thirty seconds should connect again.
#[utoipa::path(get, path = "/events", tag = "status", responses(
    (status = 200, content_type = "text/event-stream", body = String, description = "An endless stream."),
    ReadErrors,
))]
async fn events(
    State(desk): State<Desk>,
    Extension(streams): Extension<Streams>,
    seat: Option<Extension<Seat>>,
) -> Result<Response, ApiError> {
    let Ok(permit) = streams.free.try_acquire_owned() else {
        let message = format!("there are {STREAMS_MAX} streams already; close another dashboard");
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many", message));
    };
    let answering = seat.map(|Extension(seat)| seat.answering());
    let watcher = Watcher {
        desk,
        closing: streams.closing,
        runs: None,
        news: None,
        quiet: 0,
        greeted: false,
        waiting: VecDeque::new(),
        _permit: permit,
        _answering: answering,
    };
    Ok(Sse::new(watcher.stream()).into_response())
}

/// Whoever listens to one stream.
struct Watcher {
    desk: Desk,
    closing: CancellationToken,
    /// What was last said of the open runs.
    runs: Option<Vec<RunView>>,
    /// What happened until the last look.
    news: Option<u64>,
    /// Looks without news.
    quiet: u32,
    greeted: bool,
    /// What is to be said next.
    waiting: VecDeque<Event>,
    _permit: OwnedSemaphorePermit,
    _answering: Option<Answering>,
}

impl Watcher {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut watcher| async move { watcher.next().await.map(|event| (Ok(event), watcher)) })
    }

    /// The next event; nothing when the engine has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.quiet = 0;
                return Some(event);
            }
            if !self.greeted {
                self.greeted = true;
                let version = env!("CARGO_PKG_VERSION").to_owned();
                self.say("hello", &HelloView { pid: std::process::id(), version, now: self.desk.now().to_string() });
            } else if self.runs.is_some() {
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = self.closing.cancelled() => return None,
                }
            }
            self.look().await?;
        }
    }

    async fn look(&mut self) -> Option<()> {
        let news = self.desk.tally.news();
        let is_changed = self.news.replace(news).is_some_and(|before| before != news);
        let runs = self.desk.control.runs().await.ok()?;
        self.quiet += 1;
        let beat = BeatView { now: self.desk.now().to_string() };
        if is_changed {
            self.say("changed", &beat);
        }
        if self.runs.as_ref() != Some(&runs) {
            self.say("runs", &runs);
            self.runs = Some(runs);
        } else if BEAT_AFTER <= self.quiet {
            self.say("heartbeat", &beat);
        }
        Some(())
    }

    fn say(&mut self, name: &str, data: &impl Serialize) {
        self.waiting.extend(event(name, data));
    }
}

fn event(name: &str, data: &impl Serialize) -> Option<Event> {
    Event::default().event(name).json_data(data).ok()
}
