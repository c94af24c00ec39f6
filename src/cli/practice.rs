//! Practice: the made-up marketplace in place of the real ones, and its clock.
//!
//! Practice time stands still while nobody runs and goes on from where it stood. `clock.json` in the practice folder says how it goes: at the real
//! instant `real` it was `practice`, and ran `speed` times as fast from then on; `seen` is how far it is known to have come.
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fd_lock::RwLock;
use jiff::{SignedDuration, Timestamp, civil::Time, tz::TimeZone};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::{
    exit::{Exit, Failure},
    place::State,
};
use crate::{
    clock::{Anchor, Clock, ScaledClock},
    config::{Account, Amazon, Base, Config, Platform, Secret, notify::Via},
    engine::process::{self, timestamp},
    os,
    sandbox::{
        self, Running, SandboxOptions,
        seed::{Seeded, catalogue},
    },
    shop::product::Asin,
    store::shop::{AccountKey, NewListing, ShopStore},
};

/// How the practice clock goes.
const CLOCK: &str = "clock.json";
/// Who holds it decides how the clock goes on; held for moments.
const CLOCK_LOCK: &str = "clock.lock";
/// Where the daemon's marketplace listens.
const ADDRESS: &str = "marketplace.addr";
/// The marketplace's own state.
const MARKETPLACE: &str = "marketplace";
/// How often a running process notes how far the clock has come: a killed one loses no more of it.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// Products in a new practice marketplace.
pub(crate) const ITEMS: u32 = 240;

/// Japan's, where the file names none.
const MARKETPLACE_ID: &str = "A1VC38T7YXB528";

/// How the practice clock goes, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    #[serde(with = "timestamp")]
    real: Timestamp,
    #[serde(with = "timestamp")]
    practice: Timestamp,
    speed: u32,
    /// The practice time at which it was last seen going.
    #[serde(with = "timestamp")]
    seen: Timestamp,
    /// `seen` is where it stopped.
    stopped: bool,
}

impl Kept {
    fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(CLOCK)).ok()?).ok()
    }

    /// Replaces the file as a whole: whoever reads it sees the old or the new.
    fn write(self, dir: &Path) -> io::Result<()> {
        let draft = dir.join(format!("{CLOCK}.{}", std::process::id()));
        fs::write(&draft, serde_json::to_vec(&self)?)?;
        os::rename(&draft, &dir.join(CLOCK))
    }

    fn anchor(self) -> Anchor {
        Anchor { real: self.real, practice: self.practice, speed: self.speed }
    }

    /// What the clock shows while it goes.
    fn going(self, now: Timestamp) -> Timestamp {
        let speed = i32::try_from(self.speed).unwrap_or(i32::MAX);
        self.practice.saturating_add(now.duration_since(self.real).saturating_mul(speed)).unwrap_or(self.seen)
    }

    /// Where it goes on once nobody runs any more: where it stopped; after a kill, as far as it may have come, so that it is never set back.
    fn resumes_at(self, now: Timestamp) -> Timestamp {
        if self.stopped {
            return self.seen;
        }
        let speed = i32::try_from(self.speed).unwrap_or(i32::MAX);
        let unseen = SignedDuration::try_from(NOTE_EVERY).unwrap_or_default().saturating_mul(speed);
        self.seen.saturating_add(unseen).unwrap_or(self.seen).min(self.going(now))
    }
}

/// When practice begins: that day's morning.
fn morning(now: Timestamp, zone: &TimeZone) -> Timestamp {
    now.to_zoned(zone.clone()).with().time(Time::constant(8, 55, 0, 0)).build().map_or(now, |morning| morning.timestamp())
}

/// The practice time, for commands that only look.
pub(crate) fn time(state: &State, now: Timestamp) -> Timestamp {
    match Kept::read(&state.dir) {
        None => now,
        Some(kept) if anyone_runs(&state.records, None) => kept.going(now),
        Some(kept) => kept.resumes_at(now),
    }
}

fn anyone_runs(records: &Path, but: Option<&str>) -> bool {
    let others = process::records(records).unwrap_or_default();
    others.iter().filter(|record| Some(record.as_str()) != but).any(|record| !process::is_dead(records, record))
}

/// The practice clock of this process.
#[derive(Debug)]
pub(crate) struct PracticeClock {
    pub(crate) clock: Arc<ScaledClock>,
    pub(crate) speed: u32,
    dir: PathBuf,
    kept: Kept,
    notes: JoinHandle<()>,
}

impl PracticeClock {
    /// Joins the clock of the processes that practise already; otherwise it goes on from where it stood, at this speed. The first time it is a
    /// little before nine in the morning, so that a newcomer sees the shop open. `me`: this process's record.
    pub(crate) fn start(state: &State, speed: u32, me: &str, now: Timestamp, zone: &TimeZone) -> io::Result<Self> {
        let dir = state.dir.clone();
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(CLOCK_LOCK))?;
        let mut lock = RwLock::new(file);
        let held = lock.write()?;
        let kept = match Kept::read(&dir) {
            Some(kept) if anyone_runs(&state.records, Some(me)) => kept,
            kept => {
                let practice = kept.map_or_else(|| morning(now, zone), |kept| kept.resumes_at(now));
                let kept = Kept { real: now, practice, speed, seen: practice, stopped: false };
                kept.write(&dir)?;
                kept
            }
        };
        drop(held);
        let clock = ScaledClock::new(kept.anchor());
        let notes = tokio::spawn(note(dir.clone(), kept, Arc::clone(&clock)));
        Ok(Self { clock, speed: kept.speed, dir, kept, notes })
    }

    /// Writes down where the clock stands.
    pub(crate) fn stop(self) {
        self.notes.abort();
        let stopped = Kept { seen: self.clock.now().wall, stopped: true, ..self.kept };
        if let Err(error) = stopped.write(&self.dir) {
            tracing::warn!(%error, "where the practice clock stands could not be written down");
        }
    }
}

async fn note(dir: PathBuf, kept: Kept, clock: Arc<ScaledClock>) {
    loop {
        tokio::time::sleep(NOTE_EVERY).await;
        let kept = Kept { seen: clock.now().wall, stopped: false, ..kept };
        if let Err(error) = kept.write(&dir) {
            tracing::debug!(%error, "how far the practice clock has come could not be written down");
        }
    }
}

/// The practice marketplace that this process uses.
#[derive(Debug)]
pub(crate) enum Marketplace {
    /// Of this process. `published`: where other processes find its address.
    Own { running: Running, published: Option<PathBuf> },
    /// Of the practice daemon.
    Daemons { endpoint: String },
}

impl Marketplace {
    /// Starts one; a daemon's is for every `once` beside it.
    pub(crate) async fn start(state: &State, clock: Arc<dyn Clock>, daemon: bool) -> Result<Self, Failure> {
        if !daemon && let Some(endpoint) = of_daemon(state) {
            return Ok(Self::Daemons { endpoint });
        }
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let running = open(state.dir.join(MARKETPLACE), listen, ITEMS, clock).await?;
        let published = daemon.then(|| state.dir.join(ADDRESS));
        if let Some(path) = &published {
            fs::write(path, running.endpoint())?;
        }
        Ok(Self::Own { running, published })
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> String {
        match self {
            Self::Own { running, .. } => running.endpoint(),
            Self::Daemons { endpoint } => endpoint.clone(),
        }
    }

    pub(crate) async fn stop(self) {
        let Self::Own { running, published } = self else { return };
        if let Some(Err(error)) = published.map(fs::remove_file) {
            tracing::debug!(%error, "the practice marketplace's address could not be removed");
        }
        if let Err(error) = running.stop().await {
            tracing::debug!(%error, "the practice marketplace did not stop in order");
        }
    }
}

/// Where the running daemon's marketplace listens.
fn of_daemon(state: &State) -> Option<String> {
    state.daemon()?;
    fs::read_to_string(state.dir.join(ADDRESS)).ok()
}

/// Opens a practice marketplace whose state lies in `dir`.
pub(crate) async fn open(dir: PathBuf, listen: SocketAddr, items: u32, clock: Arc<dyn Clock>) -> Result<Running, Failure> {
    let now = Arc::new(move || clock.now().wall.as_millisecond());
    let options = SandboxOptions { dir, listen, items, now };
    sandbox::start(options).await.map_err(|error| {
        let failure = Failure::because(Exit::Failed, "practice cannot begin", &error);
        match error {
            sandbox::SandboxError::Listen { .. } => failure.advise("`taskrun sandbox --listen 127.0.0.1:0` takes any free port"),
            sandbox::SandboxError::Folder { .. } | sandbox::SandboxError::State { .. } => failure,
        }
    })
}

/// Puts the practice marketplace in place of the real ones: no key of the real world goes anywhere.
pub(crate) fn stand_in(config: &mut Config, endpoint: &str) {
    // Nobody outside is called.
    config.http_hosts = None;
    let keys = sandbox::practice_keys();
    let amazon = config.marketplaces.amazon.take();
    config.marketplaces.amazon = Some(Amazon {
        marketplace_id: amazon.map_or_else(|| MARKETPLACE_ID.to_owned(), |amazon| amazon.marketplace_id),
        client_id: keys.lwa_client_id.to_owned(),
        client_secret: Secret::new(keys.lwa_client_secret),
        endpoint: endpoint.to_owned(),
        lwa_endpoint: endpoint.to_owned(),
    });
    let calls = config.marketplaces.base.take().map(|base| base.calls).unwrap_or_default();
    config.marketplaces.base = Some(Base {
        client_id: keys.base_client_id.to_owned(),
        client_secret: Secret::new(keys.base_client_secret),
        redirect_uri: Some(keys.base_redirect_uri.to_owned()),
        endpoint: endpoint.to_owned(),
        calls,
    });
    if let Some(ebay) = &mut config.marketplaces.ebay {
        keys.ebay_client_id.clone_into(&mut ebay.client_id);
        endpoint.clone_into(&mut ebay.endpoint);
        ebay.client_secret = Secret::new(keys.ebay_client_secret);
    }
    for (name, source) in &mut config.sources {
        (source.token, source.proxy) = (None, None);
        source.endpoint = format!("{endpoint}/source/{name}");
    }
    for channel in &mut config.notify.channels {
        // What would be sent can be seen in practice even where nobody has a key yet. There is no mail server to practise with.
        channel.enabled = !matches!(channel.via, Via::Email { .. });
        match &mut channel.via {
            Via::Chatwork { room_id, token, endpoint: chatwork } => {
                keys.chatwork_room.clone_into(room_id);
                *token = Secret::new(keys.chatwork_token);
                endpoint.clone_into(chatwork);
            }
            Via::Webhook { url, headers, .. } => {
                *url = Secret::new(format!("{endpoint}/hook/{}", channel.name));
                headers.clear();
            }
            Via::Email { .. } => {}
        }
    }
    for account in config.accounts.values_mut() {
        account.refresh_token = None;
        account.proxy = None;
    }
    // The shop at eBay is there for those who have one.
    let of_ebay = config.marketplaces.ebay.is_some().then_some(&keys.ebay);
    for key in keys.accounts.iter().chain(of_ebay) {
        let Some(platform) = Platform::from_word(key.platform) else { continue };
        let new = || Account {
            platform,
            enabled: true,
            refresh_token: None,
            proxy: None,
            seller_id: None,
            daily_limit: None,
            calls_per_hour: None,
            calls_per_day: None,
        };
        let account = config.accounts.entry(key.name.into()).or_insert_with(new);
        account.refresh_token = Some(Secret::new(key.refresh_token));
        account.seller_id = (platform == Platform::Amazon).then(|| sandbox::seed::seller_id(key.name).into());
    }
}

/// Takes the practice listings into the catalogue; those that are there already stay as they are.
pub(crate) async fn seed(shop: &dyn ShopStore, now: Timestamp) -> Result<(), Failure> {
    let listing = |seeded: Seeded| {
        let shop = AccountKey { platform: Platform::Base, account: seeded.account.into() };
        let item_id = Some(Arc::from(seeded.item_id.to_string()));
        Some(NewListing { asin: Asin::parse(&seeded.asin)?, title: Some(seeded.title), shop, item_id, sku: seeded.sku.into() })
    };
    let listings = catalogue(ITEMS).into_iter().filter_map(listing).collect();
    shop.add_listings(listings, now).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(stopped: bool) -> Kept {
        let real: Timestamp = "2026-11-22T04:00:00Z".parse().unwrap();
        let practice: Timestamp = "2026-11-25T00:00:00Z".parse().unwrap();
        Kept { real, practice, speed: 60, seen: practice + SignedDuration::from_mins(10), stopped }
    }

    #[test]
    fn practice_time_stands_still_while_nobody_runs() {
        let later: Timestamp = "2026-11-23T04:00:00Z".parse().unwrap();
        assert_eq!(kept(true).resumes_at(later).to_string(), "2026-11-25T00:10:00Z");
    }

    #[test]
    fn after_a_kill_practice_time_is_never_set_back() {
        let much_later: Timestamp = "2026-11-23T04:00:00Z".parse().unwrap();
        assert_eq!(kept(false).resumes_at(much_later).to_string(), "2026-11-25T00:15:00Z");
        let soon: Timestamp = "2026-11-22T04:00:12Z".parse().unwrap();
        assert_eq!(kept(false).resumes_at(soon), kept(false).going(soon));
    }

    #[test]
    fn the_kept_clock_survives_its_file() {
        let temp = tempfile::tempdir().unwrap();
        kept(false).write(temp.path()).unwrap();
        assert_eq!(Kept::read(temp.path()), Some(kept(false)));
    }
}
