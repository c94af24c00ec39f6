//! A chat that takes messages, a store, and a post office between them.
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use taskrun::{
    clock::{Anchor, Clock, ScaledClock},
    config::{self, LoadOptions, Secrets},
    notify::{Event, Level, Notice, Post, Settings},
    observe::log,
    sandbox::{self, Operation, Running, SandboxOptions, practice_keys},
    store::{notices::Outbox as _, sqlite::SqliteStore},
};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Whatever should happen soon happens sooner, on a machine that does other things, too.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The room of the tests.
pub(crate) const ROOM: &str = "100000001";

pub(crate) struct Bench {
    pub(crate) chat: Running,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) clock: Arc<ScaledClock>,
    dir: TempDir,
}

/// A post office at work until this is dropped.
pub(crate) struct Office {
    pub(crate) post: Arc<Post>,
    _closing: DropGuard,
}

impl Bench {
    /// One whose clocks run so many times as fast.
    pub(crate) async fn open(speed: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let clock = ScaledClock::new(Anchor { real: now, practice: now, speed });
        let of_chat = Arc::clone(&clock);
        let options = SandboxOptions {
            dir: dir.path().join("chat"),
            listen: ([127, 0, 0, 1], 0).into(),
            items: 1,
            now: Arc::new(move || of_chat.now().wall.as_millisecond()),
        };
        let chat = sandbox::start(options).await.unwrap();
        let store = Arc::new(SqliteStore::open(&dir.path().join("taskrun.db")).unwrap());
        Self { chat, store, clock, dir }
    }

    /// The same store as another process sees it.
    pub(crate) fn store_again(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(&self.dir.path().join("taskrun.db")).unwrap())
    }

    /// The settings that a `notify:` block means. `${TOKEN}` is the good token, `${WRONG}` another, `${HOOK}` a webhook of the chat.
    pub(crate) fn settings(&self, notify: &str) -> Settings {
        settings(&self.chat.endpoint(), notify)
    }

    /// A room of the chat, as a `notify:` block.
    pub(crate) fn room(&self, more: &str) -> String {
        format!(
            "  chatwork: {{ room_id: \"{ROOM}\", token: \"${{TOKEN}}\", endpoint: \"{}\", per_day: 100000 }}\n{more}",
            self.chat.endpoint()
        )
    }

    /// Opens a post office and sends.
    pub(crate) async fn office(&self, notify: &str) -> Office {
        let store = &self.store;
        let post = Post::open(store.clone(), store.clone(), self.clock.clone(), self.settings(notify)).await.unwrap();
        let closing = CancellationToken::new();
        tokio::spawn(Arc::clone(&post).run(closing.clone()));
        Office { post, _closing: closing.drop_guard() }
    }

    pub(crate) async fn tell(&self, event: Event, subject: &str, text: &str) {
        let notice = Notice { event, level: Level::Alert, subject: subject.into(), text: text.to_owned() };
        self.store.tell(notice, self.clock.now().wall).await.unwrap();
    }

    /// What a room, or a hook, has taken, oldest first.
    pub(crate) fn taken(&self, operation: Operation) -> Vec<String> {
        let taken = self.chat.ledger().into_iter().filter(|entry| entry.operation() == Some(operation) && entry.status == 200);
        taken.map(|entry| entry.detail).collect()
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.taken(Operation::ChatworkMessage)
    }

    /// Waits until the room has taken so many messages, and gives them.
    #[track_caller]
    pub(crate) fn wait_for_messages(&self, count: usize) -> impl Future<Output = Vec<String>> + '_ {
        let place = std::panic::Location::caller();
        async move {
            let since = Instant::now();
            while self.messages().len() < count {
                assert!(since.elapsed() < SOON, "{place}: waited for {count} messages: {:#?}", self.messages());
                pause().await;
            }
            self.messages()
        }
    }
}

impl Office {
    /// Says it as handlers and the engine do.
    pub(crate) fn notify(&self, event: Event, level: Level, subject: &str, text: &str) {
        self.post.notifier().notify_people(Notice { event, level, subject: subject.into(), text: text.to_owned() });
    }
}

pub(crate) fn settings(endpoint: &str, notify: &str) -> Settings {
    let endpoint = endpoint.to_owned();
    let env = move |name: &str| match name {
        "TOKEN" => Some(practice_keys().chatwork_token.to_owned()),
        "WRONG" => Some("wrong-token-hunter22".to_owned()),
        "HOOK" => Some(format!("{endpoint}/hook/ops")),
        "PASSWORD" => Some("swordfish".to_owned()),
        _ => None,
    };
    let options = LoadOptions { handlers: &[], practice: false, secrets: Secrets::Required, env: &env, now: Timestamp::now() };
    let text = format!("timezone: Asia/Tokyo\nnotify:\n{notify}\ntasks: {{}}\n");
    let config = config::read(&text, Path::new("tasks.yaml"), &options).unwrap();
    let secrets = config.notify.channels.iter().flat_map(|channel| channel.via.secrets()).map(|secret| secret.expose().to_owned());
    Settings { secrets: log::Secrets::new(secrets), notify: config.notify, zone: config.timezone, practice: false }
}

/// Between two looks.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let since = Instant::now();
    while !look() {
        assert!(since.elapsed() < SOON, "waited in vain until {what}");
        pause().await;
    }
}
