//! The queue: its items, and how each account stands.
use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::{Account, Config},
    core::calendar::{BusinessHours, parse_windows},
    shop::{
        spread::{Lane, day_of},
        upload::{DAILY_LIMIT, HOURS, State, Work},
    },
    store::{
        StoreResult,
        shop::{AccountKey, Item, ShopStore, Today},
    },
};

/// What people call the handler that lists items; its instance has an account's hours.
const HANDLER: &str = "upload_tick";

/// An account's days, hours and cap.
pub fn lane(config: &Config, name: &str, account: &Account) -> Lane {
    let instance = config.instances.values().find(|instance| &*instance.handler == HANDLER && instance.account.as_deref() == Some(name));
    let usual = || parse_windows(HOURS).ok().map(|windows| BusinessHours { windows, holidays: Vec::new(), text: HOURS.into() });
    Lane {
        zone: instance.map_or_else(|| config.timezone.clone(), |instance| instance.timing.zone.clone()),
        hours: instance.map_or_else(usual, |instance| instance.timing.hours.clone()),
        daily_limit: Some(account.daily_limit.unwrap_or(DAILY_LIMIT)),
    }
}

/// An item of the queue as JSON; stable.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ItemView {
    pub id: i64,
    pub asin: String,
    pub platform: &'static str,
    pub account: String,
    pub state: &'static str,
    pub priority: u8,
    pub scheduled_at: String,
    /// It was put back and is not due before then.
    pub retry_at: Option<String>,
    pub attempts: u32,
    /// The run that has it.
    pub run: Option<i64>,
    pub lease_until: Option<String>,
    /// What it comes to once its worker is done with it.
    pub wish: Option<&'static str>,
    /// The shop's number of it.
    pub item_id: Option<String>,
    pub approved: bool,
    pub error_code: Option<String>,
    pub error: Option<String>,
    pub created_at: String,
    pub ended_at: Option<String>,
}

impl ItemView {
    /// A row of the store.
    pub fn of(item: &Item) -> Self {
        Self {
            id: item.id.0,
            asin: item.subject.to_string(),
            platform: item.account.platform.word(),
            account: item.account.account.to_string(),
            state: item.state.word(),
            priority: item.priority,
            scheduled_at: item.scheduled_at.to_string(),
            retry_at: item.retry_at.map(|at| at.to_string()),
            attempts: item.attempts,
            run: item.lease.map(|lease| lease.run.0),
            lease_until: item.lease.map(|lease| lease.until.to_string()),
            wish: item.wish.map(State::word),
            item_id: item.item_id.as_ref().map(ToString::to_string),
            approved: item.approved,
            error_code: item.error.as_ref().map(|error| error.code.to_string()),
            error: item.error.as_ref().map(|error| error.text.to_string()),
            created_at: item.created_at.to_string(),
            ended_at: item.ended_at.map(|at| at.to_string()),
        }
    }
}

/// How an account stands.
#[derive(Debug)]
pub struct Standing {
    pub account: AccountKey,
    pub counts: BTreeMap<State, u32>,
    pub today: Today,
    pub daily_limit: Option<u32>,
}

impl Standing {
    /// All items.
    pub fn total(&self) -> u32 {
        self.counts.values().sum()
    }

    /// The same as JSON.
    pub fn view(&self) -> StandingView {
        StandingView {
            platform: self.account.platform.word(),
            account: self.account.account.to_string(),
            items: State::ALL.iter().map(|state| (state.word(), self.counts.get(state).copied().unwrap_or(0))).collect(),
            total: self.total(),
            due: self.today.due,
            oldest_due_at: self.today.oldest.map(|at| at.to_string()),
            today: self.today.counted,
            daily_limit: self.daily_limit,
        }
    }
}

/// How an account stands, as JSON; stable.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StandingView {
    pub platform: &'static str,
    pub account: String,
    /// By state; states that no item is in are there with 0.
    pub items: BTreeMap<&'static str, u32>,
    pub total: u32,
    pub due: u32,
    pub oldest_due_at: Option<String>,
    /// Items that count for the cap of its day.
    pub today: u32,
    pub daily_limit: Option<u32>,
}

/// The accounts that sell, and those that have left the file and still have items.
///
/// # Errors
/// When the store fails.
pub async fn standings(store: &dyn ShopStore, config: &Config, now: Timestamp) -> StoreResult<Vec<Standing>> {
    let mut counts: BTreeMap<AccountKey, BTreeMap<State, u32>> = BTreeMap::new();
    for count in store.item_counts(Work::Upload).await? {
        counts.entry(count.account).or_default().insert(count.state, count.items);
    }
    let platforms: Vec<_> = counts.keys().map(|account| account.platform).collect();
    for (name, account) in config.accounts.iter().filter(|(_, account)| platforms.contains(&account.platform)) {
        counts.entry(AccountKey { platform: account.platform, account: Arc::clone(name) }).or_default();
    }
    let mut standings = Vec::new();
    for (account, counts) in counts {
        let lane = config.accounts.get(&account.account).map(|known| lane(config, &account.account, known));
        let zone = lane.as_ref().map_or(&config.timezone, |lane| &lane.zone);
        let today = store.today(Work::Upload, account.clone(), day_of(now, zone), now).await?;
        standings.push(Standing { account, counts, today, daily_limit: lane.and_then(|lane| lane.daily_limit) });
    }
    Ok(standings)
}
