//! What all requests share: the state, the trouble to come, the clock, and who is in at the moment.
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::{
    Now, amazon, base,
    control::Switch,
    ebay,
    faults::{Faults, Force},
    ledger,
    operation::Operation,
    state::{Count, Entry, FeedFate, Side, State},
};

/// The marketplace.
pub(super) struct Practice {
    pub(super) state: State,
    pub(super) faults: Faults,
    pub(super) crowd: Crowd,
    pub(super) shutdown: CancellationToken,
    ledger: ledger::File,
    now: Now,
    /// How far its clock is ahead of `now`.
    ahead_ms: AtomicI64,
}

impl fmt::Debug for Practice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Practice").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Practice {
    /// Its clock is never set back: where its state has seen a later time than the clock shows, it goes on from there.
    pub(super) fn new(state: State, ledger: ledger::File, now: Now, shutdown: CancellationToken) -> rusqlite::Result<Self> {
        let set: i64 = state.setting("clock_ms")?.and_then(|text| text.parse().ok()).unwrap_or(0);
        let ahead_ms = AtomicI64::new((state.last_ms()?.max(set) - now()).max(0));
        Ok(Self { state, faults: Faults::default(), crowd: Crowd::default(), shutdown, ledger, now, ahead_ms })
    }

    /// The marketplace's time, in milliseconds since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        (self.now)().saturating_add(self.ahead_ms.load(Ordering::SeqCst))
    }

    /// Sets its clock forward.
    pub(super) fn advance(&self, by_ms: i64) -> rusqlite::Result<()> {
        self.ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
        self.state.set("clock_ms", &self.now_ms().to_string())
    }

    /// Writes a request into the ledger.
    pub(super) fn record(&self, mut entry: Entry) -> rusqlite::Result<()> {
        entry.seq = self.state.record(&entry)?;
        self.ledger.append(&entry);
        Ok(())
    }

    /// Changes the rate of one of Amazon's operations, in calls per second, and its burst, in calls; false: that operation has none.
    pub(super) fn set_rate(&self, operation: Operation, rate: f64, burst: Option<f64>) -> rusqlite::Result<bool> {
        let Some(usual) = amazon::usual(operation) else { return Ok(false) };
        let new = (rate, burst.unwrap_or(usual.1));
        self.state.set_rate(operation, usual, new, self.now_ms()).map(|()| true)
    }

    /// What a product is forced to be.
    pub(super) fn forced(&self, asin: &str) -> Option<Force> {
        self.state.forced(asin).ok().flatten().and_then(|text| serde_json::from_str(&text).ok())
    }

    /// All or none of these.
    pub(super) fn force(&self, forces: impl IntoIterator<Item = (String, Option<Force>)>) -> rusqlite::Result<()> {
        let text = |force: Force| serde_json::to_string(&force).ok();
        let forces: Vec<_> = forces.into_iter().map(|(asin, force)| (asin, force.and_then(text))).collect();
        self.state.force(&forces)
    }

    fn switched(&self, name: &str, account: &str) -> Option<String> {
        self.state.setting(&format!("{name}:{account}")).ok().flatten()
    }

    /// What an account is refused: `no`; a shop's `writes` or `all`; a seller's `role` or `secret`.
    pub(super) fn restricted(&self, account: &str) -> String {
        self.switched("restricted", account).unwrap_or_else(|| "no".to_owned())
    }

    /// `participating`, `not`, `missing` or `suspended`.
    pub(super) fn participation(&self, account: &str) -> String {
        self.switched("participation", account).unwrap_or_else(|| "participating".to_owned())
    }

    /// How long a refresh token still works after it was used, in milliseconds.
    pub(super) fn grace_ms(&self, account: &str) -> i64 {
        self.switched("grace_s", account).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0).saturating_mul(1000)
    }

    /// What becomes of the feed that a seller hands in now; asked once for each.
    pub(super) fn next_feed(&self, account: &str) -> rusqlite::Result<FeedFate> {
        let set = self.switched("next_feed", account).and_then(|word| FeedFate::from_word(&word)).unwrap_or(FeedFate::Done);
        if set != FeedFate::Done {
            self.state.set(&format!("next_feed:{account}"), FeedFate::Done.word())?;
        }
        Ok(set)
    }

    /// Sets what the switch names, and nothing else.
    pub(super) fn switch(&self, account: &str, switch: &Switch) -> rusqlite::Result<()> {
        let Switch { restricted, participation, grace_s, next_feed } = switch;
        let values = [
            ("restricted", restricted.map(|word| word.word().to_owned())),
            ("participation", participation.map(|word| word.word().to_owned())),
            ("grace_s", grace_s.map(|seconds| seconds.to_string())),
            ("next_feed", next_feed.map(|fate| fate.word().to_owned())),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                self.state.set(&format!("{name}:{account}"), &value)?;
            }
        }
        Ok(())
    }

    /// The shop that sits before BASE's login page: the one that is asked for, the one that was set, or the first.
    pub(super) fn visitor(&self, asked: Option<&str>) -> Option<String> {
        let shops = self.state.accounts(Side::Base).unwrap_or_default();
        let set = self.state.setting("visitor").ok().flatten();
        match asked.or(set.as_deref()) {
            Some(name) => shops.into_iter().map(|(shop, _)| shop).find(|shop| shop == name),
            None => shops.into_iter().map(|(shop, _)| shop).next(),
        }
    }

    /// When the period began that counts for this account.
    pub(super) fn began(&self, account: &str, what: Count) -> i64 {
        let of_ebay = self.state.accounts(Side::Ebay).unwrap_or_default().iter().any(|(name, _)| name == account);
        if of_ebay && what == Count::Day { ebay::began(self.now_ms()) } else { base::began(what, self.now_ms()) }
    }

    /// Whether there is an account of this name.
    pub(super) fn knows(&self, account: &str) -> bool {
        Side::ALL.into_iter().any(|side| {
            let accounts = self.state.accounts(side).unwrap_or_default();
            accounts.iter().any(|(name, _)| name == account)
        })
    }
}

/// Who is in at the moment, and the most there were at once, by operation and account.
#[derive(Debug, Default)]
pub(super) struct Crowd(Mutex<BTreeMap<(Operation, String), (u32, u32)>>);

/// A request that is in.
#[derive(Debug)]
pub(super) struct Within<'a> {
    crowd: &'a Crowd,
    key: Option<(Operation, String)>,
}

impl Crowd {
    pub(super) fn enter(&self, operation: Option<Operation>, account: &str) -> Within<'_> {
        let key = operation.map(|operation| (operation, account.to_owned()));
        if let Some(key) = &key {
            let mut crowd = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (now, most) = crowd.entry(key.clone()).or_default();
            *now = now.saturating_add(1);
            *most = (*most).max(*now);
        }
        Within { crowd: self, key }
    }

    /// The most there were at once since this process began.
    pub(super) fn most(&self, operation: Operation, account: &str) -> u32 {
        let crowd = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crowd.get(&(operation, account.to_owned())).map_or(0, |(_, most)| *most)
    }
}

impl Drop for Within<'_> {
    fn drop(&mut self) {
        let Some(key) = &self.key else { return };
        let mut crowd = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((now, _)) = crowd.get_mut(key) {
            *now = now.saturating_sub(1);
        }
    }
}
