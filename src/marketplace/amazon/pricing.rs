//! Product Pricing v0: the offers of twenty products in one call.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Number, json};

use super::{Fault, Seller};
use crate::{
    access::Caller,
    core::task::words,
    marketplace::{CallError, http},
    shop::{
        offer::{self, Condition, Finding, Offer, OfferRule},
        product::Asin,
        quota::Rule,
    },
};

const WHAT: &str = "Amazon's offers";
const WHAT_SINGLE: &str = "Amazon's offers of one product";

/// One call in ten seconds, until a response's header says otherwise.
pub(super) const OFFERS_BATCH: Rule = Rule::Bucket { interval_ms: 10_000, burst: 1 };
/// One call in two seconds, likewise.
pub(super) const OFFERS_SINGLE: Rule = Rule::Bucket { interval_ms: 2_000, burst: 1 };

words! {
    /// An operation that offers are read by. Each has a quota of its own.
    Lane {
        /// `getItemOffersBatch`: twenty products a call.
        Batch = "batch",
        /// `getItemOffers`: one product a call.
        Single = "single",
    }
}

impl Lane {
    /// Products in one call.
    pub fn products_max(self) -> usize {
        match self {
            Self::Batch => Seller::OFFERS_BATCH_MAX,
            Self::Single => 1,
        }
    }

    /// Whether an error is about what was asked for in this call: Amazon may dislike something about it. The login's refusals come with a 400, too.
    pub fn is_the_calls(self, error: &CallError) -> bool {
        let own = match self {
            Self::Batch => WHAT,
            Self::Single => WHAT_SINGLE,
        };
        matches!(error, CallError::Refused { what, status: 400, .. } if *what == own)
    }
}

impl Seller {
    /// Products in one call of the batch.
    const OFFERS_BATCH_MAX: usize = 20;

    /// What is offered for these products, as many as one call of the lane takes; the same answer by whichever lane.
    ///
    /// # Errors
    /// When a call as a whole gave nothing; nothing is known about any of them then.
    pub async fn offers_by(
        &self,
        lane: Lane,
        caller: &Caller,
        asins: &[Asin],
        rule: &OfferRule,
    ) -> Result<BTreeMap<Asin, Finding>, CallError> {
        match lane {
            Lane::Batch => self.offers(caller, asins, rule).await,
            Lane::Single => {
                let mut findings = BTreeMap::new();
                for asin in asins {
                    findings.insert(asin.clone(), self.offers_of_one(caller, asin, rule).await?);
                }
                Ok(findings)
            }
        }
    }

    /// What is offered for these products, at most twenty, each named once, by the rule. Each of them has a finding, errors included.
    ///
    /// # Errors
    /// When the call as a whole gave nothing; nothing is known about any of them then.
    async fn offers(&self, caller: &Caller, asins: &[Asin], rule: &OfferRule) -> Result<BTreeMap<Asin, Finding>, CallError> {
        let requests: Vec<_> = asins.iter().map(|asin| request(asin, &self.marketplace_id, rule.condition)).collect();
        let body = json!({ "requests": requests });
        http::read(caller, || async {
            let answer =
                self.call(caller, WHAT, &self.offers, self.http.post(WHAT, "/batches/products/pricing/v0/itemOffers")?.json(&body)).await?;
            let batch = serde_json::from_slice::<Batch>(&answer.body).map_err(|_| http::unreadable(WHAT, &answer))?;
            Ok(findings(asins, batch, rule))
        })
        .await
    }

    /// What is offered for one product, by the rule: the same answer as the batch's, under a quota of its own.
    ///
    /// # Errors
    /// When the call gave nothing, and not because of the product.
    async fn offers_of_one(&self, caller: &Caller, asin: &Asin, rule: &OfferRule) -> Result<Finding, CallError> {
        let query =
            [("MarketplaceId", self.marketplace_id.as_str()), ("ItemCondition", word(rule.condition)), ("CustomerType", "Consumer")];
        let path = path(asin);
        let read = http::read(caller, || async {
            let answer = self.call(caller, WHAT_SINGLE, &self.single_offers, self.http.get(WHAT_SINGLE, &path)?.query(&query)).await?;
            let body: Body = serde_json::from_slice(&answer.body).map_err(|_| http::unreadable(WHAT_SINGLE, &answer))?;
            let is_its = body.payload.as_ref().and_then(|payload| payload.asin.as_deref()).is_none_or(|named| named == asin.as_str());
            Ok(if is_its { judge(answer.status, body, rule) } else { unanswered() })
        });
        match read.await {
            // Of a batch, these would be the item's own answer.
            Err(CallError::Refused { what: WHAT_SINGLE, status: 400 | 404, code, text, .. }) => {
                Ok(Finding::Error { code, message: text, retry: false })
            }
            read => read,
        }
    }
}

fn path(asin: &Asin) -> String {
    format!("/products/pricing/v0/items/{asin}/offers")
}

fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::New => "New",
        Condition::Used => "Used",
    }
}

fn request(asin: &Asin, marketplace_id: &str, condition: Condition) -> serde_json::Value {
    json!({
        "uri": path(asin), "method": "GET",
        "MarketplaceId": marketplace_id, "ItemCondition": word(condition), "CustomerType": "Consumer",
    })
}

fn unanswered() -> Finding {
    Finding::Error { code: "no_answer".to_owned(), message: "the answer says nothing about it".to_owned(), retry: true }
}

/// Matches the answers with what was asked, by product and never by position.
fn findings(asked: &[Asin], batch: Batch, rule: &OfferRule) -> BTreeMap<Asin, Finding> {
    let mut findings: BTreeMap<_, _> = asked.iter().map(|asin| (asin.clone(), unanswered())).collect();
    for item in batch.responses {
        let named = item.request.asin.as_deref().or_else(|| item.body.payload.as_ref().and_then(|payload| payload.asin.as_deref()));
        if let Some(finding) = named.and_then(Asin::parse).and_then(|asin| findings.get_mut(&asin)) {
            *finding = judge(item.status.status_code, item.body, rule);
        }
    }
    findings
}

/// What an item's answer means. Whatever is not understood is an error, never `no offer`.
fn judge(status: u16, body: Body, rule: &OfferRule) -> Finding {
    let Some(payload) = body.payload.filter(|_| (200..300).contains(&status)) else {
        let fault = body.errors.into_iter().next().unwrap_or_default();
        let message = http::said(&format!("{status}: {}", fault.message), &[]);
        let code = if fault.code.is_empty() { format!("status_{status}") } else { http::said(&fault.code, &[]) };
        return Finding::Error { code, message, retry: status == 429 || status >= 500 };
    };
    let seen = payload.summary.and_then(|summary| summary.total_offer_count);
    match payload.status.as_deref() {
        Some("Success") if payload.offers.is_empty() && seen.is_some_and(|count| count > 0) => {
            Finding::Error { code: "offers_missing".to_owned(), message: "offers are counted and none is shown".to_owned(), retry: true }
        }
        Some("Success") => offer::judge(&payload.offers.iter().map(offer_of).collect::<Vec<_>>(), rule),
        Some("NoBuyableOffers") => Finding::NoOffer,
        other => {
            let message = http::said(&format!("no data: {}", other.unwrap_or("no status")), &[]);
            Finding::Error { code: "no_data".to_owned(), message, retry: false }
        }
    }
}

fn offer_of(wire: &WireOffer) -> Offer {
    let time = wire.shipping_time.as_ref();
    Offer {
        is_new: wire.sub_condition.as_deref().is_some_and(|condition| condition.eq_ignore_ascii_case("new")),
        price: wire.listing_price.as_ref().and_then(yen),
        shipping: wire.shipping.as_ref().and_then(yen),
        available_now: time.and_then(|time| time.availability_type.as_deref()) == Some("NOW"),
        hours_max: time.and_then(|time| time.maximum_hours),
    }
}

/// Whole yen; anything else is no price for us.
fn yen(money: &Money) -> Option<i64> {
    let amount = money.amount.as_ref().filter(|_| money.currency_code.as_deref() == Some("JPY"))?.to_string();
    match amount.split_once('.') {
        Some((yen, rest)) if rest.bytes().all(|digit| digit == b'0') => yen.parse().ok(),
        Some(_) => None,
        None => amount.parse().ok(),
    }
}

/// What is read of an answer; what is absent is absent, and what is more is left.
#[derive(Debug, Deserialize)]
struct Batch {
    responses: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    status: Status,
    #[serde(default)]
    request: Echo,
    #[serde(default)]
    body: Body,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    status_code: u16,
}

#[derive(Debug, Default, Deserialize)]
struct Echo {
    #[serde(rename = "Asin")]
    asin: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    payload: Option<Payload>,
    errors: Vec<Fault>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Payload {
    #[serde(rename = "ASIN")]
    asin: Option<String>,
    #[serde(rename = "status")]
    status: Option<String>,
    summary: Option<Summary>,
    offers: Vec<WireOffer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Summary {
    total_offer_count: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct WireOffer {
    sub_condition: Option<String>,
    shipping_time: Option<ShippingTime>,
    listing_price: Option<Money>,
    shipping: Option<Money>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ShippingTime {
    maximum_hours: Option<i64>,
    availability_type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Money {
    currency_code: Option<String>,
    amount: Option<Number>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::offer::Filter;

    fn found(item: &serde_json::Value) -> Finding {
        let asin = Asin::parse("B0TEST0001").unwrap();
        let batch = serde_json::from_value(json!({ "responses": [item] })).unwrap();
        findings(std::slice::from_ref(&asin), batch, &OfferRule::default()).remove(&asin).unwrap()
    }

    fn answered(payload: &serde_json::Value) -> Finding {
        found(&json!({ "status": { "statusCode": 200 }, "request": { "Asin": "B0TEST0001" }, "body": { "payload": payload } }))
    }

    fn offer(amount: &serde_json::Value, hours: Option<i64>) -> serde_json::Value {
        json!({
            "SubCondition": "New", "ShippingTime": { "maximumHours": hours, "availabilityType": "NOW" },
            "ListingPrice": { "CurrencyCode": "JPY", "Amount": amount }, "Shipping": { "CurrencyCode": "JPY", "Amount": 0 },
        })
    }

    fn is_error(finding: &Finding, may_retry: bool) -> bool {
        matches!(finding, Finding::Error { retry, .. } if *retry == may_retry)
    }

    #[test]
    fn offers_are_read_and_judged() {
        let offers = json!([offer(&json!(2000.0), Some(24)), offer(&json!(1980), Some(48)), offer(&json!(1.5), Some(1))]);
        assert_eq!(answered(&json!({ "status": "Success", "Offers": offers })), Finding::Ok { cost: 1980 });
        assert_eq!(answered(&json!({ "status": "Success", "Offers": [] })), Finding::NoOffer);
        assert_eq!(answered(&json!({ "status": "NoBuyableOffers" })), Finding::NoOffer);
        let invited = json!([offer(&json!(1980), None)]);
        assert_eq!(answered(&json!({ "status": "Success", "Offers": invited })), Finding::Filtered(Filter::NoDeliveryTime));
    }

    #[test]
    fn what_is_not_understood_is_an_error_and_never_no_offer() {
        assert!(is_error(&answered(&json!({ "status": "ActiveButTooSoonForProcessing" })), false));
        assert!(is_error(&answered(&json!({ "status": "SomethingNew" })), false));
        assert!(is_error(&answered(&json!({})), false));
        assert!(is_error(&answered(&json!({ "status": "Success", "Summary": { "TotalOfferCount": 3 }, "Offers": [] })), true));
        let failed = |status: u16| {
            let errors = json!({ "errors": [{ "code": "QuotaExceeded", "message": "…" }] });
            found(&json!({ "status": { "statusCode": status }, "request": { "Asin": "B0TEST0001" }, "body": errors }))
        };
        assert!(is_error(&failed(429), true) && is_error(&failed(500), true) && is_error(&failed(400), false));
        let other =
            json!({ "status": { "statusCode": 200 }, "request": { "Asin": "B0OTHER001" }, "body": { "payload": { "status": "Success" } } });
        assert!(is_error(&found(&other), true), "an answer for something else is no answer");
    }
}
