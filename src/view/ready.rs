//! Whether all is well, and if not, why.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Desk, desk::DeskError};
use crate::{
    config::Config,
    core::schedule::Schedule,
    engine::view::{InstanceView, StatusView},
    store::shop::{AccountKey, Parked},
};

/// Whether all is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyView {
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<ReasonView>,
}

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonView {
    /// `degraded`, `stopping`, `unscheduled`, `data_stale`, `token_dead`, `http`.
    pub code: String,
    /// For people.
    pub text: String,
}

fn reason(code: &str, text: impl Into<String>) -> ReasonView {
    ReasonView { code: code.to_owned(), text: text.into() }
}

impl Desk {
    /// Whether all is well.
    ///
    /// # Errors
    /// The engine stops, or the store fails.
    pub async fn ready(&self) -> Result<ReadyView, DeskError> {
        let status = self.control.status().await?;
        let config = self.config();
        let mut reasons: Vec<ReasonView> = status.degraded.iter().map(|trouble| reason("degraded", trouble)).collect();
        if status.stopping {
            reasons.push(reason("stopping", "taskrun is stopping"));
        }
        reasons.extend(self.trouble.iter().filter_map(|trouble| trouble()).map(|trouble| reason("http", trouble)));
        reasons.extend(unscheduled(&status, &config));
        reasons.extend(self.data().await.and_then(|data| {
            let stale = data.too_old.saturating_sub(data.never_fetched);
            (0 < stale).then(|| reason("data_stale", format!("products whose data is too old to be written by: {stale}")))
        }));
        reasons.extend(self.dead_tokens(&config).await?);
        Ok(ReadyView { ready: reasons.is_empty(), reasons })
    }

    async fn dead_tokens(&self, config: &Config) -> Result<Vec<ReasonView>, DeskError> {
        let mut reasons = Vec::new();
        let parks = self.shop.parks(None, self.now()).await?;
        for (name, account) in config.accounts.iter().filter(|(_, account)| account.enabled) {
            let key = AccountKey { platform: account.platform, account: name.clone() };
            let refused = self.shop.token(key.clone(), None).await?.and_then(|token| token.refused);
            let parked = || parks.iter().find(|park| park.account == key && park.cause == Parked::Login).map(|park| park.detail.clone());
            if let Some(why) = refused.or_else(parked) {
                reasons.push(reason("token_dead", format!("{name} has to be logged in again: {why}")));
            }
        }
        Ok(reasons)
    }
}

/// Tasks that should fire by themselves, and have no time at which they will.
fn unscheduled<'a>(status: &'a StatusView, config: &'a Config) -> impl Iterator<Item = ReasonView> + 'a {
    let by_the_clock = |view: &InstanceView| {
        let instance = config.instances.values().find(|instance| instance.name.as_str() == view.instance);
        instance.is_some_and(|instance| {
            instance.timing.schedules.iter().any(|schedule| matches!(schedule, Schedule::Cron { .. } | Schedule::Every { .. }))
        })
    };
    let stuck =
        status.instances.iter().filter(move |view| !status.stopping && view.enabled && view.next_at.is_none() && by_the_clock(view));
    stuck.map(|view| reason("unscheduled", format!("{} has no fire time ahead", view.instance)))
}
