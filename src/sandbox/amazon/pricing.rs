//! Offers: the batch, and one product a call.
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};
use serde_json::{Value, json};

use super::{MARKETPLACE, error, serve, words};
use crate::sandbox::{
    Noted, Practice,
    faults::Force,
    ledger::instant,
    operation::Operation,
    reply,
    seed::{self, Availability},
};

/// Requests in one batch.
const BATCH_MAX: usize = 20;
const CONDITIONS: [&str; 5] = ["New", "Used", "Collectible", "Refurbished", "Club"];

/// `POST /batches/products/pricing/v0/itemOffers`.
pub(in crate::sandbox) async fn batch(State(practice): State<Arc<Practice>>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    serve(&practice, Operation::Offers, &headers, |account| {
        let noted = |detail| Noted { account: account.to_owned(), detail };
        let now_ms = practice.now_ms();
        match asked(&method, &body) {
            Err(message) => error(StatusCode::BAD_REQUEST, "InvalidInput", message, noted(String::new())),
            Ok(asked) => {
                let mut answers: Vec<_> = asked.iter().map(|request| answer(&practice, request, now_ms)).collect();
                // Amazon does not promise an order.
                let by = usize::try_from(now_ms.unsigned_abs()).unwrap_or(0) % answers.len().max(1);
                answers.rotate_left(by);
                reply(StatusCode::OK, &json!({ "responses": answers }), noted(asked.iter().map(asin).collect::<Vec<_>>().join(" ")))
            }
        }
    })
}

/// `GET /products/pricing/v0/items/{Asin}/offers`.
pub(in crate::sandbox) async fn one(
    State(practice): State<Arc<Practice>>,
    Path(asin): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    serve(&practice, Operation::ItemOffers, &headers, |account| {
        let word = |name: &str| query.get(name).map_or("", String::as_str);
        let noted = Noted { account: account.to_owned(), detail: asin.clone() };
        if word("MarketplaceId").is_empty() || !CONDITIONS.contains(&word("ItemCondition")) {
            return error(StatusCode::BAD_REQUEST, "InvalidInput", "Request has missing or invalid parameters.", noted);
        }
        let (status, body) = found(&practice, &asin, practice.now_ms());
        reply(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body, noted)
    })
}

/// The requests of a batch, or what is wrong with it as a whole.
fn asked(method: &Method, body: &Bytes) -> Result<Vec<Value>, &'static str> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "Could not parse the request body.")?;
    let requests =
        body.get("requests").and_then(Value::as_array).filter(|_| method == Method::POST).ok_or("Missing required field: requests")?;
    if requests.is_empty() || requests.len() > BATCH_MAX {
        return Err("The number of requests must be between 1 and 20.");
    }
    let known = |request: &Value| request.get("MarketplaceId").is_some_and(Value::is_string) && request.get("queryParams").is_none();
    if !requests.iter().all(known) {
        return Err("Requested MarketplaceId is invalid, unsupported, or does not exist.");
    }
    let condition = |request: &Value| request.get("ItemCondition").and_then(Value::as_str).is_some_and(|word| CONDITIONS.contains(&word));
    if !requests.iter().all(condition) {
        return Err("Invalid ItemCondition: one of New, Used, Collectible, Refurbished, Club.");
    }
    let distinct: BTreeSet<_> = requests.iter().map(uri).collect();
    if distinct.len() < requests.len() {
        return Err("Duplicate requests submitted. Cannot run batch request.");
    }
    Ok(requests.clone())
}

fn uri(request: &Value) -> &str {
    request.get("uri").and_then(Value::as_str).unwrap_or_default()
}

/// The product that a request of a batch is for.
fn asin(request: &Value) -> &str {
    uri(request).strip_prefix("/products/pricing/v0/items/").and_then(|rest| rest.strip_suffix("/offers")).unwrap_or_default()
}

/// The answer to one request of a batch.
fn answer(practice: &Practice, request: &Value, now_ms: i64) -> Value {
    let asin = asin(request);
    let (status, body) = found(practice, asin, now_ms);
    let echo = |key: &str| request.get(key).cloned().unwrap_or_default();
    json!({
        "headers": { "x-amzn-RequestId": format!("{:032x}", fastrand::u128(..)) },
        "status": { "statusCode": status, "reasonPhrase": if status == 200 { "OK" } else { "Error" } },
        "request": { "MarketplaceId": echo("MarketplaceId"), "ItemCondition": echo("ItemCondition"), "CustomerType": echo("CustomerType"), "Asin": asin },
        "body": body,
    })
}

/// Status and body for a product.
fn found(practice: &Practice, asin: &str, now_ms: i64) -> (u16, Value) {
    let forced = practice.forced(asin);
    let well_formed = asin.len() == 10 && asin.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    match forced {
        Some(Force::ItemError(status)) => {
            let (code, message) = words(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
            (status, json!({ "errors": [{ "code": code, "message": message, "details": "" }] }))
        }
        _ if !well_formed => {
            let message = format!("{asin} is an invalid ASIN for marketplace {MARKETPLACE}");
            (400, json!({ "errors": [{ "message": message, "details": "", "code": "InvalidInput" }] }))
        }
        _ => (200, json!({ "payload": payload(asin, forced, now_ms) })),
    }
}

/// What is said of a product, and at what price.
pub(in crate::sandbox) fn standing(asin: &str, forced: Option<Force>, now_ms: i64) -> (Availability, i64) {
    match forced {
        Some(Force::NoOffer | Force::TooSoon) => (Availability::Nothing, seed::cost(asin, now_ms)),
        Some(Force::Filtered) => (Availability::Unfit, seed::cost(asin, now_ms)),
        Some(Force::Cost(cost)) => (Availability::Buyable, cost),
        Some(Force::ItemError(_)) | None => (seed::availability(asin, now_ms), seed::cost(asin, now_ms)),
    }
}

fn payload(asin: &str, forced: Option<Force>, now_ms: i64) -> Value {
    let (availability, cost) = standing(asin, forced, now_ms);
    let offers = offers(asin, cost, availability);
    let status = match availability {
        _ if forced == Some(Force::TooSoon) => "ActiveButTooSoonForProcessing",
        // Both happen: an own status, and a success without offers.
        Availability::Nothing if seed::roll(asin, 51).is_multiple_of(2) => "NoBuyableOffers",
        Availability::Nothing | Availability::Unfit | Availability::Buyable => "Success",
    };
    json!({
        "marketplaceId": MARKETPLACE, "ASIN": asin, "SKU": null, "ItemCondition": "New", "status": status,
        "Identifier": { "MarketplaceId": MARKETPLACE, "ItemCondition": "New", "ASIN": asin },
        "Summary": summary(offers.len(), forced == Some(Force::TooSoon), now_ms),
        "Offers": offers,
    })
}

fn summary(offers: usize, too_soon: bool, now_ms: i64) -> Value {
    if !too_soon {
        return json!({ "TotalOfferCount": offers });
    }
    json!({ "TotalOfferCount": offers, "OffersAvailableTime": instant(now_ms + 3_600_000) })
}

/// The offers of a product: those that anybody would take, and beside them cheaper ones with a catch.
fn offers(asin: &str, cost: i64, availability: Availability) -> Vec<Value> {
    let offer = |seller: u64, price: i64, shipping: i64, hours: Option<i64>| {
        let time = match hours {
            // Cheapest of all, and not to be had before a date.
            Some(hours) if seller == 66 => {
                json!({ "minimumHours": 0, "maximumHours": hours, "availabilityType": "FUTURE_WITH_DATE", "availableDate": "2099-01-01T00:00:00Z" })
            }
            Some(hours) => json!({ "minimumHours": 0, "maximumHours": hours, "availabilityType": "NOW" }),
            None => json!({ "availabilityType": "NOW" }),
        };
        json!({
            "SubCondition": "new", "SellerId": format!("A{:013X}", seed::roll(asin, seller) >> 12), "ShippingTime": time,
            "ListingPrice": { "CurrencyCode": "JPY", "Amount": price }, "Shipping": { "CurrencyCode": "JPY", "Amount": shipping },
            "ShipsFrom": { "Country": "JP" }, "IsFulfilledByAmazon": shipping == 0, "IsBuyBoxWinner": seller == 61,
        })
    };
    let mut offers = Vec::new();
    if availability == Availability::Buyable {
        offers.push(offer(61, cost, 0, Some(24)));
        offers.push(offer(62, cost * 21 / 20, 0, Some(48)));
    }
    if availability != Availability::Nothing {
        offers.push(offer(63, cost * 9 / 10, 0, Some(240)));
        offers.push(offer(64, cost * 8 / 10, 450, Some(24)));
        offers.push(offer(65, cost * 7 / 10, 0, None));
        offers.push(offer(66, cost * 6 / 10, 0, Some(24)));
    }
    offers
}
