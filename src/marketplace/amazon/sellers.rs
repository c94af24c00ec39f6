//! Sellers: where they sell, and whether they may. The call that shows whether a seller's credentials work.
use serde::Deserialize;

use super::Seller;
use crate::{
    access::Caller,
    core::value::Secret,
    marketplace::{CallError, http},
    shop::quota::Rule,
};

const WHAT: &str = "Amazon's seller page";

/// Our word for a seller who does not sell at the configured marketplace.
pub(in crate::marketplace) const NOT_PARTICIPATING: &str = "not_participating";

/// 0.016 calls a second.
pub(super) const PARTICIPATIONS: Rule = Rule::Bucket { interval_ms: 62_500, burst: 15 };

/// How a seller stands at the configured marketplace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It sells there.
    Good,
    /// Its credentials are good, and it does not sell there.
    Inactive,
    /// It sells there, and some of its listings are suspended.
    Suspended,
}

#[derive(Deserialize)]
struct Participations {
    payload: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    marketplace: Marketplace,
    participation: Participation,
}

#[derive(Deserialize)]
struct Marketplace {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Participation {
    is_participating: bool,
    #[serde(default)]
    has_suspended_listings: bool,
}

impl Seller {
    /// Keeps a refresh token that Amazon showed to the seller, if it is good.
    ///
    /// # Errors
    /// When Amazon refuses it, or does not answer.
    pub async fn log_in(&self, caller: &Caller, refresh_token: Secret) -> Result<(), CallError> {
        self.tokens.log_in(caller, refresh_token).await
    }

    /// Gets a new access token, however long the old one would last: shows that the authorisation stands. Not stopped by parks.
    ///
    /// # Errors
    /// When there is no new one. The old one goes on as long as it lasts.
    pub async fn renew_tokens(&self, caller: &Caller) -> Result<(), CallError> {
        self.tokens.renew_now(caller).await
    }

    /// That the seller takes part in the configured marketplace. An answer that it does not is a refusal, as its listings can't be changed then.
    ///
    /// # Errors
    /// When it does not, or it can't be told.
    pub async fn takes_part(&self, caller: &Caller) -> Result<(), CallError> {
        let found = http::read(caller, || async {
            let answer =
                self.call(caller, WHAT, &self.participations, self.http.get(WHAT, "/sellers/v1/marketplaceParticipations")?).await?;
            serde_json::from_slice::<Participations>(&answer.body).map_err(|_| http::unreadable(WHAT, &answer))
        })
        .await?;
        match standing(&found, &self.marketplace_id) {
            Standing::Good | Standing::Suspended => Ok(()),
            Standing::Inactive => Err(CallError::Refused {
                what: WHAT,
                status: 200,
                code: NOT_PARTICIPATING.to_owned(),
                text: format!("the seller does not take part in the marketplace {}", self.marketplace_id),
                item: false,
            }),
        }
    }

    /// Looks whether the credentials are good and how the seller stands: a new access token, and a call with it. Not stopped by parks.
    ///
    /// # Errors
    /// When they are not, or it can't be told.
    pub async fn check(&self, caller: &Caller) -> Result<Standing, CallError> {
        self.renew_tokens(caller).await?;
        let found = http::read(caller, || async {
            let access = self.tokens.access(caller).await?;
            let place = self.participations.spend(caller).await?;
            let request = self.http.get(WHAT, "/sellers/v1/marketplaceParticipations")?;
            let answer = self.ask(caller, WHAT, (&self.participations, place), &access, request).await?;
            serde_json::from_slice::<Participations>(&answer.body).map_err(|_| http::unreadable(WHAT, &answer))
        })
        .await?;
        Ok(standing(&found, &self.marketplace_id))
    }
}

fn standing(found: &Participations, marketplace_id: &str) -> Standing {
    match found.payload.iter().find(|entry| entry.marketplace.id == marketplace_id) {
        Some(Entry { participation, .. }) if !participation.is_participating => Standing::Inactive,
        Some(Entry { participation, .. }) if participation.has_suspended_listings => Standing::Suspended,
        Some(_) => Standing::Good,
        None => Standing::Inactive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_seller_stands_is_read_from_its_own_marketplace() {
        let read = |participation: &str| {
            let entry =
                |id: &str, participation: &str| format!(r#"{{"marketplace":{{"id":"{id}","name":"x"}},"participation":{participation}}}"#);
            let us = entry("ATVPDKIKX0DER", r#"{"isParticipating":true,"hasSuspendedListings":true}"#);
            let jp = if participation.is_empty() { String::new() } else { format!(",{}", entry("A1VC38T7YXB528", participation)) };
            standing(&serde_json::from_str(&format!(r#"{{"payload":[{us}{jp}]}}"#)).unwrap(), "A1VC38T7YXB528")
        };
        assert_eq!(read(r#"{"isParticipating":true,"hasSuspendedListings":false}"#), Standing::Good);
        assert_eq!(read(r#"{"isParticipating":true,"hasSuspendedListings":true}"#), Standing::Suspended);
        assert_eq!(read(r#"{"isParticipating":false}"#), Standing::Inactive);
        assert_eq!(read(""), Standing::Inactive);
    }
}
