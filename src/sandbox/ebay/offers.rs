//! Offers: what an item is to cost at one of eBay's marketplaces. One that is published is a listing, which buyers see.
use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Answer, Error, INVENTORY, Refusal, admit, answer, broken, general, is_price, language, object, refuse, said, shown};
use crate::sandbox::{Noted, Practice, operation::Operation, reply, state::Offer};

/// What an offer must say before it can be published, and its item.
const OFFER_NEEDS: [&str; 5] = [
    "/categoryId",
    "/merchantLocationKey",
    "/listingPolicies/fulfillmentPolicyId",
    "/listingPolicies/paymentPolicyId",
    "/listingPolicies/returnPolicyId",
];
const ITEM_NEEDS: [&str; 3] = ["/product/title", "/product/imageUrls/0", "/condition"];

/// `POST /sell/inventory/v1/offer`, and `GET` with `?sku=`.
pub(in crate::sandbox) async fn offers(
    State(practice): State<Arc<Practice>>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
    body: Bytes,
) -> Response {
    let operation = if method == Method::GET { Operation::FindOffers } else { Operation::CreateOffer };
    answer(admit(&practice, &headers, operation).and_then(|account| match method {
        Method::POST => create(&practice, &account, &headers, &body),
        Method::GET => find(&practice, account, &query),
        _ => refuse(405, general(405), &account),
    }))
}

/// `GET`, `DELETE /sell/inventory/v1/offer/{offerId}`, and `POST` of its `/publish` and `/withdraw`.
pub(in crate::sandbox) async fn offer(
    State(practice): State<Arc<Practice>>,
    (method, uri): (Method, Uri),
    headers: HeaderMap,
    Path(path): Path<HashMap<String, String>>,
) -> Response {
    let operation = Operation::of(method.as_str(), uri.path());
    let answered = admit(&practice, &headers, operation.unwrap_or(Operation::Publish)).and_then(|account| {
        let offer = one(&practice, &account, path.get("offer_id").map_or("", String::as_str))?;
        match operation {
            Some(Operation::GetOffer) => Ok(reply(StatusCode::OK, &shown(&offer), noted(&offer))),
            Some(Operation::DeleteOffer) => delete(&practice, &offer),
            Some(Operation::Publish) => publish(&practice, &offer),
            Some(Operation::Withdraw) => withdraw(&practice, &offer),
            _ => refuse(405, general(405), &account),
        }
    });
    answer(answered)
}

fn noted(offer: &Offer) -> Noted {
    Noted { account: offer.account.clone(), detail: format!("offer={} sku={}", offer.offer_id, offer.sku) }
}

fn missing<T>(account: &str) -> Result<T, Refusal> {
    refuse(404, Error::new(25_713, INVENTORY, "This Offer is not available."), account)
}

fn one(practice: &Practice, account: &str, offer_id: &str) -> Result<Offer, Refusal> {
    let offer = offer_id.parse().ok().and_then(|offer_id| practice.state.offer(offer_id).ok().flatten());
    offer.filter(|offer| offer.account == account).map_or_else(|| missing(account), Ok)
}

/// A second one for an item and a marketplace is refused, and the refusal names the first.
fn create(practice: &Practice, account: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
    language(headers, account)?;
    let body = object(body, account)?;
    let (Some(sku), Some(marketplace)) = (said(&body, "/sku"), said(&body, "/marketplaceId")) else {
        return refuse(400, Error::user("sku and marketplaceId are required.").with("field", "sku, marketplaceId"), account);
    };
    if body.pointer("/pricingSummary/price").is_some_and(|price| !is_price(price)) {
        return refuse(400, Error::user("Invalid price.").with("field", "pricingSummary.price"), account);
    }
    match practice.state.stock(account, sku) {
        Ok(Some(_)) => {}
        Ok(None) => return refuse(404, Error::new(25_702, INVENTORY, format!("{sku} could not be found.")).with("sku", sku), account),
        Err(_) => return broken(account),
    }
    match practice.state.add_offer(account, sku, marketplace, &body) {
        Ok(Ok(offer)) => Ok(reply(StatusCode::CREATED, &json!({ "offerId": offer.offer_id.to_string() }), noted(&offer))),
        Ok(Err(there)) => refuse(400, Error::user("Offer entity already exists.").with("offerId", &there.to_string()), account),
        Err(_) => broken(account),
    }
}

fn find(practice: &Practice, account: String, query: &HashMap<String, String>) -> Answer {
    let Some(sku) = query.get("sku").filter(|sku| !sku.is_empty()) else {
        return refuse(400, Error::user("sku is required.").with("field", "sku"), &account);
    };
    let Ok(offers) = practice.state.offers(&account, Some(sku)) else { return broken(&account) };
    let offers: Vec<_> =
        offers.iter().filter(|offer| query.get("marketplace_id").is_none_or(|wanted| *wanted == offer.marketplace)).collect();
    if offers.is_empty() {
        return missing(&account);
    }
    let body =
        json!({ "total": offers.len(), "size": offers.len(), "offers": offers.iter().map(|offer| shown(offer)).collect::<Vec<_>>() });
    Ok(reply(StatusCode::OK, &body, Noted { account, detail: format!("sku={sku}") }))
}

/// What is not there that must be, before buyers can see it.
fn lacks(offer: &Value, item: &Value) -> Option<&'static str> {
    let price = offer.pointer("/pricingSummary/price").is_some_and(is_price);
    let stock = item.pointer("/availability/shipToLocationAvailability/quantity").and_then(Value::as_i64).unwrap_or(0) > 0;
    let offer = OFFER_NEEDS.into_iter().find(|pointer| said(offer, pointer).is_none());
    let item = ITEM_NEEDS.into_iter().find(|pointer| said(item, pointer).is_none());
    offer
        .or(item)
        .or((!price).then_some("/pricingSummary/price"))
        .or((!stock).then_some("/availability/shipToLocationAvailability/quantity"))
}

fn publish(practice: &Practice, offer: &Offer) -> Answer {
    let account = &offer.account;
    let Ok(Some(item)) = practice.state.stock(account, &offer.sku) else { return broken(account) };
    if let Some(field) = lacks(&offer.body, &item) {
        return refuse(400, Error::user("The offer is not complete.").with("field", field), account);
    }
    match practice.state.publish(offer, practice.now_ms()) {
        Ok(Some(listing_id)) => Ok(reply(StatusCode::OK, &json!({ "listingId": listing_id.to_string() }), noted(offer))),
        Ok(None) => refuse(400, Error::user("The offer is published already.").with("offerId", &offer.offer_id.to_string()), account),
        Err(_) => broken(account),
    }
}

/// Its listing ends; the offer stays, and can be published again.
fn withdraw(practice: &Practice, offer: &Offer) -> Answer {
    let Some(listing_id) = offer.listing_id else { return refuse(400, Error::user("The offer is not published."), &offer.account) };
    match practice.state.withdraw(offer.offer_id) {
        Ok(()) => Ok(reply(StatusCode::OK, &json!({ "listingId": listing_id.to_string() }), noted(offer))),
        Err(_) => broken(&offer.account),
    }
}

/// Its listing ends as well.
fn delete(practice: &Practice, offer: &Offer) -> Answer {
    if practice.state.remove_offer(offer.offer_id).is_err() {
        return broken(&offer.account);
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.extensions_mut().insert(noted(offer));
    Ok(response)
}
