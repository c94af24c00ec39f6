//! What Amazon says about a seller.
use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde_json::json;

use super::{MARKETPLACE, serve};
use crate::sandbox::{Noted, Practice, operation::Operation, reply};

/// `GET /sellers/v1/marketplaceParticipations`.
pub(in crate::sandbox) async fn participations(State(practice): State<Arc<Practice>>, headers: HeaderMap) -> Response {
    serve(&practice, Operation::Sellers, &headers, |account| {
        let state = practice.participation(account);
        let entry = |id: &str, country: &str, currency: &str, domain: &str, participating: bool, suspended: bool| {
            json!({
                "marketplace": {
                    "id": id, "name": format!("Amazon {country}"), "countryCode": country, "defaultCurrencyCode": currency,
                    "defaultLanguageCode": "ja_JP", "domainName": domain,
                },
                "participation": { "isParticipating": participating, "hasSuspendedListings": suspended },
                "storeName": format!("練習用ショップ {account}"),
            })
        };
        let mut payload = vec![entry("A39IBJ37TRP1C6", "AU", "AUD", "www.amazon.com.au", false, false)];
        if state != "missing" {
            payload.push(entry(MARKETPLACE, "JP", "JPY", "www.amazon.co.jp", state != "not", state == "suspended"));
        }
        reply(StatusCode::OK, &json!({ "payload": payload }), Noted { account: account.to_owned(), detail: state })
    })
}
