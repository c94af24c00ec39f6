//! A seller's listings: one call each. Any SKU is listed until somebody takes it away.
use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};
use serde_json::{Value, json};

use super::{MARKETPLACE, error, feeds::settle, field, serve, trouble, words};
use crate::sandbox::{Noted, Practice, operation::Operation, reply, seed, state::SellerListing};

/// What asks for a change to be judged and not made.
pub(in crate::sandbox) const PREVIEW: &str = "mode=VALIDATION_PREVIEW";
/// Amazon's longest.
const SKU_MAX: usize = 40;
const QUANTITY_MAX: i64 = 1_000_000;

/// A listing as it stands; one that nobody has touched is live.
pub(super) fn standing(practice: &Practice, account: &str, sku: &str) -> rusqlite::Result<SellerListing> {
    let untouched = || SellerListing { sku: sku.to_owned(), quantity: 1, state: "live".to_owned() };
    Ok(practice.state.seller_listing(account, sku)?.unwrap_or_else(untouched))
}

/// What is wrong with a change: a code, the words, the attribute.
pub(super) type Issue = (&'static str, String, &'static str);

/// What patches make of a listing, or what is wrong with them.
pub(super) fn patched(listing: SellerListing, patches: &Value) -> Result<SellerListing, Issue> {
    const ATTRIBUTE: &str = "fulfillment_availability";
    if listing.sku.is_empty() || listing.sku.chars().count() > SKU_MAX || listing.state == "gone" {
        return Err(("13013", format!("This SKU does not exist in the Amazon.co.jp catalog: {}", listing.sku), "sku"));
    }
    if listing.state == "invalid" {
        return Err(("90220", "'[item_weight]' is required but not supplied.".to_owned(), "item_weight"));
    }
    let mut listing = listing;
    let patches = patches.as_array().filter(|patches| !patches.is_empty());
    for patch in patches.ok_or(("4000001", "There are no patches.".to_owned(), "patches"))? {
        let is_known = matches!(field(patch, "op").as_str(), Some("replace" | "merge" | "add"))
            && *field(patch, "path") == format!("/attributes/{ATTRIBUTE}");
        let value = field(patch, "value")
            .as_array()
            .and_then(|values| values.iter().find(|value| field(value, "fulfillment_channel_code") == "DEFAULT"));
        let quantity = value.and_then(|value| field(value, "quantity").as_i64()).filter(|quantity| (0..=QUANTITY_MAX).contains(quantity));
        match quantity.filter(|_| is_known) {
            Some(quantity) => listing.quantity = quantity,
            None => return Err(("90000900", "The provided value for 'quantity' is invalid.".to_owned(), ATTRIBUTE)),
        }
    }
    Ok(listing)
}

/// `PATCH`, `GET` and `DELETE /listings/2021-08-01/items/{sellerId}/{sku}`.
pub(in crate::sandbox) async fn item(
    State(practice): State<Arc<Practice>>,
    Path((seller, sku)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    (method, headers): (Method, HeaderMap),
    body: Bytes,
) -> Response {
    let operation = match method.as_str() {
        "PATCH" => Operation::PatchListing,
        "GET" => Operation::GetListing,
        "DELETE" => Operation::DeleteListing,
        _ => return error(StatusCode::BAD_REQUEST, "InvalidInput", "The method is not allowed here.", Noted::default()),
    };
    serve(&practice, operation, &headers, |account| {
        let noted = Noted { account: account.to_owned(), detail: sku.clone() };
        if seller != seed::seller_id(account) {
            let (code, message) = words(StatusCode::FORBIDDEN);
            return error(StatusCode::FORBIDDEN, code, message, noted);
        }
        if query.get("marketplaceIds").is_none_or(|ids| ids != MARKETPLACE) {
            return error(StatusCode::BAD_REQUEST, "InvalidInput", "marketplaceIds is missing or invalid.", noted);
        }
        settle(&practice, account);
        let is_preview = query.get("mode").is_some_and(|mode| mode == "VALIDATION_PREVIEW");
        let answer = match operation {
            Operation::PatchListing => patch(&practice, noted, &sku, &body, is_preview),
            Operation::DeleteListing => delete(&practice, noted, &sku),
            _ => get(&practice, noted, &sku),
        };
        answer.unwrap_or_else(|_| trouble(StatusCode::INTERNAL_SERVER_ERROR))
    })
}

fn patch(practice: &Practice, noted: Noted, sku: &str, body: &Bytes, is_preview: bool) -> rusqlite::Result<Response> {
    let before = standing(practice, &noted.account, sku)?;
    if before.state == "gone" {
        return Ok(error(StatusCode::NOT_FOUND, "NOT_FOUND", &format!("SKU '{sku}' not found in marketplace {MARKETPLACE}"), noted));
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if field(&body, "productType").as_str().is_none_or(str::is_empty) {
        return Ok(error(StatusCode::BAD_REQUEST, "InvalidInput", "productType is missing.", noted));
    }
    let submission = format!("{:032x}", fastrand::u128(..));
    Ok(match patched(before, field(&body, "patches")) {
        Ok(after) => {
            let noted = Noted { detail: format!("{sku}={}", after.quantity), ..noted };
            if !is_preview {
                practice.state.put_seller_listing(&noted.account, &after, practice.now_ms())?;
            }
            let status = if is_preview { "VALID" } else { "ACCEPTED" };
            reply(StatusCode::OK, &json!({ "sku": sku, "status": status, "submissionId": submission, "issues": [] }), noted)
        }
        Err((code, message, attribute)) => {
            let issue = json!({ "code": code, "message": message, "severity": "ERROR", "attributeNames": [attribute], "categories": ["INVALID_ATTRIBUTE"] });
            let noted = Noted { detail: format!("{sku}: {code}"), ..noted };
            reply(StatusCode::OK, &json!({ "sku": sku, "status": "INVALID", "submissionId": submission, "issues": [issue] }), noted)
        }
    })
}

fn get(practice: &Practice, noted: Noted, sku: &str) -> rusqlite::Result<Response> {
    let listing = standing(practice, &noted.account, sku)?;
    if listing.state == "gone" {
        return Ok(error(StatusCode::NOT_FOUND, "NOT_FOUND", &format!("SKU '{sku}' not found in marketplace {MARKETPLACE}"), noted));
    }
    let body = json!({
        "sku": sku, "summaries": [{ "marketplaceId": MARKETPLACE, "productType": "PRODUCT", "status": ["BUYABLE", "DISCOVERABLE"] }],
        "fulfillmentAvailability": [{ "fulfillmentChannelCode": "DEFAULT", "quantity": listing.quantity }], "issues": [],
    });
    Ok(reply(StatusCode::OK, &body, noted))
}

fn delete(practice: &Practice, noted: Noted, sku: &str) -> rusqlite::Result<Response> {
    let listing = standing(practice, &noted.account, sku)?;
    if listing.state == "gone" {
        return Ok(error(StatusCode::NOT_FOUND, "NOT_FOUND", &format!("SKU '{sku}' not found in marketplace {MARKETPLACE}"), noted));
    }
    let gone = SellerListing { state: "gone".to_owned(), quantity: 0, ..listing };
    practice.state.put_seller_listing(&noted.account, &gone, practice.now_ms())?;
    let body = json!({ "sku": sku, "status": "ACCEPTED", "submissionId": format!("{:032x}", fastrand::u128(..)), "issues": [] });
    Ok(reply(StatusCode::OK, &body, noted))
}
