//! Listings Items: one call for each listing that changes. A change that Amazon finds fault with comes back with 200.
use std::sync::Arc;

use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Seller, http::Answer};
use crate::{
    access::{Caller, Planned},
    marketplace::{
        CallError, Written,
        http::{self, Trace},
        limit::Budget,
    },
    shop::quota::Rule,
    store::{
        Answer as Kept, Fence,
        shop::{Fate, Guarded, IntentId, Push, ShopStore},
    },
};

const WHAT: &str = "Amazon's change of a listing";
const WHAT_DELETE: &str = "Amazon's deletion of a listing";
const WHAT_PREVIEW: &str = "Amazon's preview of a change";
/// The only channel that sellers fill themselves.
const CHANNEL: &str = "DEFAULT";

/// What one-listing calls are bound by: five a second each.
#[derive(Debug)]
pub(super) struct Budgets {
    patch: Budget,
    delete: Budget,
}

impl Budgets {
    pub(super) fn new(budget: impl Fn(&'static str, Rule, &'static str) -> Budget) -> Self {
        let rule = Rule::Bucket { interval_ms: 200, burst: 5 };
        Self {
            patch: budget("patchListingsItem", rule, "Amazon's changes of listings"),
            delete: budget("deleteListingsItem", rule, "Amazon's deletions of listings"),
        }
    }
}

/// A push, written down before it is made. What was made stays written down until the caller has kept Amazon's answer.
struct PushTrace<'a> {
    store: &'a dyn ShopStore,
    account: &'a Arc<str>,
    push: &'a Push,
}

impl Trace for PushTrace<'_> {
    fn open(&self, fence: Fence, at: Timestamp) -> Kept<Guarded<IntentId>> {
        self.store.open_push(fence, Arc::clone(self.account), self.push.clone(), at)
    }

    fn settle(&self, fence: Fence, id: IntentId, fate: Fate, _at: Timestamp) -> Kept<Guarded<()>> {
        match fate {
            Fate::Made => Box::pin(std::future::ready(Ok(Guarded::Done(())))),
            Fate::NotMade => self.store.close_push(fence, id),
        }
    }
}

#[derive(Deserialize)]
struct Submission {
    status: String,
    #[serde(default)]
    issues: Vec<Issue>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Issue {
    code: String,
    message: String,
    severity: String,
}

/// The patches that give a listing a quantity; the same in a call and in a feed.
pub(super) fn patches(stock: u32) -> Value {
    json!([{
        "op": "replace", "path": "/attributes/fulfillment_availability",
        "value": [{ "fulfillment_channel_code": CHANNEL, "quantity": stock }],
    }])
}

impl Seller {
    /// Tells one listing its stock, or deletes it, through the one door for writes. An absolute number: telling it again changes nothing.
    ///
    /// # Errors
    /// When it was not made, or nobody knows. What Amazon finds fault with is a refusal of the item.
    pub async fn push(&self, caller: &Caller, push: &Push, planned: Planned) -> Result<Written, CallError> {
        let trace = PushTrace { store: self.store.as_ref(), account: &self.key.account, push };
        let (budget, what) = match push.stock {
            Some(_) => (&self.listings.patch, WHAT),
            None => (&self.listings.delete, WHAT_DELETE),
        };
        let prepare = || self.prepare(caller, budget);
        let send = |(access, place)| async move {
            let answer = self.ask(caller, what, (budget, place), &access, self.change(what, push, None)?).await;
            match answer {
                // Somebody was faster.
                Err(CallError::Refused { status: 404, .. }) if push.stock.is_none() => Ok(()),
                answer => accepted(what, answer),
            }
        };
        http::write(caller, &trace, planned, prepare, send).await
    }

    /// What Amazon would say of a change; nothing is changed.
    ///
    /// # Errors
    /// When it would find fault with it, or it can't be told.
    pub async fn preview(&self, caller: &Caller, push: &Push) -> Result<(), CallError> {
        http::read(caller, || async {
            let request = self.change(WHAT_PREVIEW, push, Some("VALIDATION_PREVIEW"))?;
            accepted(WHAT_PREVIEW, self.call(caller, WHAT_PREVIEW, &self.listings.patch, request).await)
        })
        .await
    }

    fn change(&self, what: &'static str, push: &Push, mode: Option<&str>) -> Result<RequestBuilder, CallError> {
        let path = format!("/listings/2021-08-01/items/{}/{}", http::path_part(self.seller_id(what)?), http::path_part(&push.sku));
        let query = [("marketplaceIds", self.marketplace_id.as_str()), ("issueLocale", "ja_JP")];
        Ok(match push.stock {
            Some(stock) => {
                let request = self.http.patch(what, &path)?.query(&query).query(&mode.map(|mode| [("mode", mode)]));
                request.json(&json!({ "productType": "PRODUCT", "patches": patches(stock) }))
            }
            None => self.http.delete(what, &path)?.query(&query),
        })
    }
}

/// Whether a change was taken.
fn accepted(what: &'static str, answer: Result<Answer, CallError>) -> Result<(), CallError> {
    let refused = |status, code, text| CallError::Refused { what, status, code, text, item: true };
    let answer = match answer {
        // Of one listing, these are about the listing.
        Err(CallError::Refused { status: status @ (400 | 404), code, text, .. }) => return Err(refused(status, code, text)),
        answer => answer?,
    };
    let submission: Submission = serde_json::from_slice(&answer.body).map_err(|_| http::unreadable(what, &answer))?;
    match submission.status.as_str() {
        "ACCEPTED" | "VALID" => Ok(()),
        "INVALID" => {
            let issue = submission.issues.into_iter().find(|issue| issue.severity == "ERROR").unwrap_or_default();
            let code = if issue.code.is_empty() { "INVALID".to_owned() } else { http::said(&issue.code, &[]) };
            Err(refused(200, code, http::said(&issue.message, &[])))
        }
        _ => Err(http::unreadable(what, &answer)),
    }
}
