//! Prices and stocks of up to 25 items in one call, each of which fares by itself.
use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};
use serde_json::{Value, json};

use super::{Answer, Error, INVENTORY, admit, answer, began, general, is_price, object, refuse, said};
use crate::sandbox::{Noted, Practice, operation::Operation, reply, state::Count};

const REQUESTS_MAX: usize = 25;
/// How often a listing can be revised on a calendar day.
const REVISIONS_MAX: i64 = 250;

/// `POST /sell/inventory/v1/bulk_update_price_quantity`.
pub(in crate::sandbox) async fn update(State(practice): State<Arc<Practice>>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    answer(admit(&practice, &headers, Operation::Bulk).and_then(|account| match method {
        Method::POST => each(&practice, account, &body),
        _ => refuse(405, general(405), &account),
    }))
}

fn each(practice: &Practice, account: String, body: &[u8]) -> Answer {
    let body = object(body, &account)?;
    let requests = body.get("requests").and_then(Value::as_array).filter(|requests| (1..=REQUESTS_MAX).contains(&requests.len()));
    let Some(requests) = requests else {
        return refuse(400, Error::user(format!("requests must be 1 to {REQUESTS_MAX}.")).with("field", "requests"), &account);
    };
    let responses: Vec<_> = requests.iter().flat_map(|request| one(practice, &account, request)).collect();
    let detail = format!("{} of {} requests", responses.iter().filter(|response| response["statusCode"] == 200).count(), responses.len());
    Ok(reply(StatusCode::OK, &json!({ "responses": responses }), Noted { account, detail }))
}

/// What became of an item's stock and of each of its offers.
fn one(practice: &Practice, account: &str, request: &Value) -> Vec<Value> {
    let sku = said(request, "/sku").unwrap_or_default();
    let told = |offer_id: Option<&str>, done: Result<(), (u16, Error)>| {
        let (status, errors) = match done {
            Ok(()) => (200, Vec::new()),
            Err((status, error)) => (status, vec![error.told(status)]),
        };
        json!({ "statusCode": status, "sku": sku, "offerId": offer_id, "errors": errors })
    };
    if let Some(quantity) = request.pointer("/shipToLocationAvailability/quantity")
        && let Err(wrong) = set_stock(practice, account, sku, quantity)
    {
        return vec![told(None, Err(wrong))];
    }
    let offers = request.get("offers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if offers.is_empty() {
        return vec![told(None, Ok(()))];
    }
    offers.iter().map(|change| told(said(change, "/offerId"), set_offer(practice, account, sku, change))).collect()
}

fn wrong(field: &str) -> (u16, Error) {
    (400, Error::user("Invalid value.").with("field", field))
}

fn set_stock(practice: &Practice, account: &str, sku: &str, quantity: &Value) -> Result<(), (u16, Error)> {
    let quantity = quantity.as_i64().filter(|quantity| 0 <= *quantity).ok_or_else(|| wrong("quantity"))?;
    match practice.state.set_stock(account, sku, quantity) {
        Ok(true) => Ok(()),
        Ok(false) => Err((404, Error::new(25_702, INVENTORY, format!("{sku} could not be found.")).with("sku", sku))),
        Err(_) => Err((500, general(500))),
    }
}

fn set_offer(practice: &Practice, account: &str, sku: &str, change: &Value) -> Result<(), (u16, Error)> {
    let offer_id = said(change, "/offerId").and_then(|text| text.parse().ok());
    let offer = offer_id.and_then(|offer_id| practice.state.offer(offer_id).ok().flatten());
    let offer = offer.filter(|offer| offer.account == account && offer.sku == sku);
    let mut offer = offer.ok_or_else(|| (404, Error::new(25_713, INVENTORY, "This Offer is not available.")))?;
    let Some(fields) = offer.body.as_object_mut() else { return Err((500, general(500))) };
    if let Some(price) = change.get("price") {
        if !is_price(price) {
            return Err(wrong("price"));
        }
        fields.insert("pricingSummary".to_owned(), json!({ "price": price }));
    }
    if let Some(quantity) = change.get("availableQuantity") {
        let quantity = quantity.as_i64().filter(|quantity| 0 <= *quantity).ok_or_else(|| wrong("availableQuantity"))?;
        fields.insert("availableQuantity".to_owned(), quantity.into());
    }
    if let Some(listing_id) = offer.listing_id {
        let revised = practice.state.count(&format!("listing {listing_id}"), Count::Day, began(practice.now_ms()), REVISIONS_MAX);
        if !revised.unwrap_or(false) {
            return Err((400, Error::user("The listing cannot be revised any more today.").with("listingId", &listing_id.to_string())));
        }
    }
    practice.state.change_offer(&offer).map_err(|_| (500, general(500)))
}
