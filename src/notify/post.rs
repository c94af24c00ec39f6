//! The post office of a process: takes in what people are to hear of, and keeps a sender at work for each channel.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp, civil::Time, tz::TimeZone};
use tokio::{runtime::Handle, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Event, Level, LogNotifier, Notice, Notifier,
    channel::{Channel, SEND_MAX},
    report,
    sender::Sender,
    text::{Message, Style},
};
use crate::{
    clock::Clock,
    config::notify::{Channel as Configured, Notify},
    errors::chain,
    observe::log::Secrets,
    store::{
        StoreResult,
        notices::{Claimed, Outbox, Told},
        shop::ShopStore,
    },
};

/// A first notice waits so long for others to come along, in real time: what fails together is told together.
const GATHER: Duration = Duration::from_secs(2);
/// The store is asked so often to take a notice, a second apart, before people are told without it.
const KEEP_TRIES: u32 = 5;
const KEEP_AGAIN: Duration = Duration::from_secs(1);
/// Without the store, nothing is folded: people are told no more often than this.
const DIRECT_EVERY: SignedDuration = SignedDuration::from_mins(10);
/// A daemon that was down at the time of the report still makes it within this long.
const REPORT_LATE_MAX: SignedDuration = SignedDuration::from_hours(3);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Between two looks at the clock while a report is waited for.
const REPORT_LOOK: Duration = Duration::from_secs(30);
/// What happened last before so long is forgotten.
const FORGET: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What the configuration says, and how messages are written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The channels, and what is told.
    pub notify: Notify,
    /// The zone of the times in messages.
    pub zone: TimeZone,
    /// What no message shows.
    pub secrets: Secrets,
    /// Messages say that it is only practice.
    pub practice: bool,
}

/// Which channels do not work, and why.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<Arc<str>, String>>>);

impl Health {
    /// Each channel that does not work, in a sentence.
    pub fn troubles(&self) -> Vec<String> {
        let troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.iter().map(|(channel, why)| format!("the channel `{channel}` takes no messages: {why}")).collect()
    }

    pub(super) fn set(&self, channel: &Arc<str>, why: Option<String>) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => troubles.insert(Arc::clone(channel), why),
            None => troubles.remove(channel),
        };
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What a channel said to a test message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The channel.
    pub channel: Arc<str>,
    /// What it answered, or why it took nothing.
    pub result: Result<String, String>,
}

/// The post office of a process.
#[derive(Debug)]
pub struct Post {
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) shop: Arc<dyn ShopStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) health: Health,
    /// Counts what was taken in: senders look when it changes.
    pub(super) came: watch::Sender<u64>,
    settings: watch::Sender<Arc<Settings>>,
    told_directly: Mutex<Option<SignedDuration>>,
}

impl Post {
    /// A post office over a store. From now on, what happens is told by the channels of the settings.
    pub async fn open(
        outbox: Arc<dyn Outbox>,
        shop: Arc<dyn ShopStore>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> StoreResult<Arc<Self>> {
        outbox.keep_channels(names(&settings.notify), clock.now().wall).await?;
        let (came, _) = watch::channel(0);
        let (settings, _) = watch::channel(Arc::new(settings));
        Ok(Arc::new(Self { outbox, shop, clock, health: Health::default(), came, settings, told_directly: Mutex::new(None) }))
    }

    /// Where handlers and engine say what people are to hear. To be called where tokio runs.
    pub fn notifier(self: &Arc<Self>) -> Arc<dyn Notifier> {
        Arc::new(Outgoing { post: Arc::clone(self), runtime: Handle::current() })
    }

    /// Which channels do not work.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Puts other settings in force.
    pub fn configure(&self, settings: Settings) {
        self.settings.send_replace(Arc::new(settings));
    }

    /// Sends what is due until `closing`: a daemon's.
    pub async fn run(self: Arc<Self>, closing: CancellationToken) {
        let mut in_force = self.settings.subscribe();
        self.forget_old().await;
        loop {
            let settings = Arc::clone(&in_force.borrow_and_update());
            let now = self.clock.now().wall;
            if let Err(error) = self.outbox.keep_channels(names(&settings.notify), now).await {
                tracing::warn!(error = chain(&error), "the channels could not be registered in the store");
            }
            self.health.clear();
            let (stop, tasks) = (closing.child_token(), TaskTracker::new());
            for sender in self.senders(&settings, self.clock.wall(GATHER)) {
                tasks.spawn(sender.work(stop.clone()));
            }
            if let Some(time) = settings.notify.daily_report {
                tasks.spawn(Arc::clone(&self).report_daily(Arc::clone(&settings), time, stop.clone()));
            }
            tasks.close();
            let is_over = tokio::select! {
                () = closing.cancelled() => true,
                changed = in_force.changed() => changed.is_err(),
            };
            stop.cancel();
            // What is being sent is sent to its end: nobody would know whether it arrived.
            drop(tokio::time::timeout(SEND_MAX, tasks.wait()).await);
            if is_over {
                return;
            }
        }
    }

    /// Sends what waits, at once and for so long at most: for a `once` without a daemon. What is left is for the next taskrun.
    pub async fn drain(self: &Arc<Self>, limit: Duration) {
        let settings = Arc::clone(&self.settings.borrow());
        let stop = CancellationToken::new();
        let senders = self.senders(&settings, SignedDuration::ZERO);
        let sent = join_all(senders.into_iter().map(|sender| sender.drain(stop.clone())));
        if tokio::time::timeout(limit, sent).await.is_err() {
            tracing::warn!("not every notice was sent in time; the next taskrun goes on with them");
        }
    }

    /// Sends a test message by a channel, or by all that are enabled. Empty: there is no such channel.
    pub async fn test(&self, channel: Option<&str>, host: &str) -> Vec<Tested> {
        let settings = Arc::clone(&self.settings.borrow());
        let style = style(&settings);
        let meant = |configured: &&Configured| configured.enabled && channel.is_none_or(|name| &*configured.name == name);
        let tests = settings.notify.channels.iter().filter(meant).map(|configured| {
            let (channel, message) =
                (Channel::new(configured, settings.notify.repeat_after, SignedDuration::ZERO), Message::test(&style, host));
            let style = &style;
            async move {
                let result = channel.send(&message).await;
                let result = result.map(|said| style.clean(&said)).map_err(|error| style.clean(&error.to_string()));
                Tested { channel: Arc::clone(channel.name()), result }
            }
        });
        join_all(tests).await
    }

    fn senders(self: &Arc<Self>, settings: &Settings, gather: SignedDuration) -> Vec<Sender> {
        let enabled = settings.notify.channels.iter().filter(|channel| channel.enabled);
        let channel = |configured| Channel::new(configured, settings.notify.repeat_after, gather);
        enabled.map(|configured| Sender::new(Arc::clone(self), channel(configured), style(settings))).collect()
    }

    /// Makes the report of the day before, once a day.
    async fn report_daily(self: Arc<Self>, settings: Arc<Settings>, time: Time, stop: CancellationToken) {
        let mut made = None;
        loop {
            let now = self.clock.now().wall;
            let date = now.to_zoned(settings.zone.clone()).date();
            let due = date.to_datetime(time).to_zoned(settings.zone.clone()).map(|due| due.timestamp());
            if let Ok(due) = due
                && made != Some(date)
                && due <= now
            {
                let is_late = REPORT_LATE_MAX < now.duration_since(due);
                match if is_late { Ok(()) } else { self.report(&settings, date.to_string(), due).await } {
                    Ok(()) => made = Some(date),
                    Err(error) => tracing::warn!(error = chain(&error), "the daily report could not be made; trying again"),
                }
                self.forget_old().await;
            }
            if stop.run_until_cancelled(tokio::time::sleep(self.report_nap(due.ok(), now))).await.is_none() {
                return;
            }
        }
    }

    /// Until the report is due; in practice, where days are short, not past it.
    fn report_nap(&self, due: Option<Timestamp>, now: Timestamp) -> Duration {
        let due = due.map(|due| self.clock.real(due.duration_since(now))).filter(|due| !due.is_zero());
        due.unwrap_or(REPORT_LOOK)
            .clamp(Duration::from_millis(100), REPORT_LOOK)
            .min(self.clock.real(DAY / 48).max(Duration::from_millis(100)))
    }

    async fn report(&self, settings: &Settings, date: String, due: Timestamp) -> StoreResult<()> {
        let from = due.saturating_sub(DAY).unwrap_or(Timestamp::MIN);
        let figures = self.outbox.figures(from, due).await?;
        let now = self.clock.now().wall;
        let oldest = report::age(self.shop.data_age(now).await?.oldest, now);
        let text = report::text(&figures, oldest, settings.notify.language);
        let notice = Notice { event: Event::DailyReport, level: Level::Info, subject: date.into(), text };
        self.outbox.tell_once(notice, now).await?;
        self.came.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    async fn forget_old(&self) {
        let before = self.clock.now().wall.saturating_sub(FORGET).unwrap_or(Timestamp::MIN);
        if let Err(error) = self.outbox.prune_notices(before).await {
            tracing::debug!(error = chain(&error), "old notices could not be forgotten");
        }
    }

    /// Keeps a notice in the store; while that takes none, people are told without it.
    async fn keep(self: Arc<Self>, notice: Notice, at: Timestamp, first: crate::store::Answer<()>) {
        let mut attempt = first;
        for _ in 0..KEEP_TRIES {
            match attempt.await {
                Ok(()) => return self.came.send_modify(|count| *count = count.wrapping_add(1)),
                Err(error) => tracing::debug!(error = chain(&error), "a notice could not be kept; trying again"),
            }
            tokio::time::sleep(KEEP_AGAIN).await;
            attempt = self.outbox.tell(notice.clone(), at);
        }
        self.send_directly(notice, at).await;
    }

    async fn send_directly(&self, notice: Notice, at: Timestamp) {
        let now = self.clock.now().uptime;
        let was = { self.told_directly.lock().unwrap_or_else(PoisonError::into_inner).replace(now) };
        if was.is_some_and(|was| now.saturating_sub(was) < DIRECT_EVERY) {
            return tracing::warn!("a notice is in this log only, as the store does not take it: {notice}");
        }
        let settings = Arc::clone(&self.settings.borrow());
        let told = Told { notice, run: None, first: at, last: at, count: 1, over: false, before: None };
        let message = Message::of(&Claimed { number: 0, notices: vec![told.clone()] }, &style(&settings));
        for configured in settings.notify.channels.iter().filter(|channel| channel.enabled) {
            let channel = Channel::new(configured, settings.notify.repeat_after, SignedDuration::ZERO);
            if channel.wants.min_level <= told.notice.level
                && channel.wants.events.contains(&told.notice.event)
                && let Err(error) = channel.send(&message).await
            {
                tracing::error!("`{}` was not told of what the store does not take ({}): {error}", channel.name(), told.notice);
            }
        }
    }
}

fn names(notify: &Notify) -> Vec<Arc<str>> {
    notify.channels.iter().filter(|channel| channel.enabled).map(|channel| Arc::clone(&channel.name)).collect()
}

fn style(settings: &Settings) -> Style {
    Style {
        language: settings.notify.language,
        zone: settings.zone.clone(),
        secrets: settings.secrets.clone(),
        practice: settings.practice,
    }
}

/// Tells the log and the outbox.
#[derive(Debug)]
struct Outgoing {
    post: Arc<Post>,
    /// Handlers run on threads of their own.
    runtime: Handle,
}

impl Notifier for Outgoing {
    fn notify(&self, notice: Notice) {
        LogNotifier.notify(notice.clone());
        self.notify_people(notice);
    }

    fn notify_people(&self, notice: Notice) {
        // Before it is kept: what is kept is cut, and half a secret is not known as one.
        let text = self.post.settings.borrow().secrets.mask(&notice.text).into_owned();
        let (notice, at) = (Notice { text, ..notice }, self.post.clock.now().wall);
        // The store has it from here on, whatever becomes of this process: nothing waits for the answer.
        let first = self.post.outbox.tell(notice.clone(), at);
        self.runtime.spawn(Arc::clone(&self.post).keep(notice, at, first));
    }

    fn over(&self, event: Event, subject: &str) {
        let (post, resolved) = (Arc::clone(&self.post), self.post.outbox.resolve(event, subject.into(), self.post.clock.now().wall));
        self.runtime.spawn(async move {
            match resolved.await {
                Ok(_) => post.came.send_modify(|count| *count = count.wrapping_add(1)),
                Err(error) => tracing::debug!(error = chain(&error), "that a trouble is over could not be kept"),
            }
        });
    }
}
