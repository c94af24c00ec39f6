//! What a shop has to sell, by its own number of it: put there whole, shown, taken away.
use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{Answer, Error, INVENTORY, admit, answer, broken, general, language, object, refuse, said};
use crate::sandbox::{Noted, Practice, operation::Operation, reply};

const SKU_MAX: usize = 50;
const TITLE_MAX: usize = 80;
const QUANTITY: &str = "/availability/shipToLocationAvailability/quantity";

/// `PUT`, `GET`, `DELETE /sell/inventory/v1/inventory_item/{sku}`.
pub(in crate::sandbox) async fn item(
    State(practice): State<Arc<Practice>>,
    (method, uri): (Method, Uri),
    headers: HeaderMap,
    Path(sku): Path<String>,
    body: Bytes,
) -> Response {
    let operation = Operation::of(method.as_str(), uri.path());
    let admitted = admit(&practice, &headers, operation.unwrap_or(Operation::PutItem));
    answer(admitted.and_then(|account| match operation {
        Some(Operation::PutItem) => put(&practice, &account, &sku, &headers, &body),
        Some(Operation::GetItem) => get(&practice, account, &sku),
        Some(Operation::DeleteItem) => delete(&practice, account, &sku),
        _ => refuse(405, general(405), &account),
    }))
}

/// It takes the place of the whole item, so the same one may be put there any number of times.
fn put(practice: &Practice, account: &str, sku: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
    let language = language(headers, account)?;
    let mut item = object(body, account)?;
    if sku.is_empty() || SKU_MAX < sku.len() {
        return refuse(
            400,
            Error::new(25_707, INVENTORY, "Invalid sku. sku has to be alphanumeric with upto 50 characters in length"),
            account,
        );
    }
    let title_fits = said(&item, "/product/title").is_none_or(|title| title.chars().count() <= TITLE_MAX);
    let quantity_fits = item.pointer(QUANTITY).is_none_or(|quantity| quantity.as_i64().is_some_and(|quantity| 0 <= quantity));
    if !title_fits || !quantity_fits {
        let what = if title_fits { QUANTITY } else { "/product/title" };
        return refuse(400, Error::user("Invalid value.").with("field", what), account);
    }
    if let Some(fields) = item.as_object_mut() {
        fields.insert("locale".to_owned(), language.replace('-', "_").into());
    }
    let Ok(was_there) = practice.state.put_stock(account, sku, &item) else { return broken(account) };
    let mut response = if was_there { StatusCode::NO_CONTENT } else { StatusCode::CREATED }.into_response();
    response.extensions_mut().insert(Noted { account: account.to_owned(), detail: sku.to_owned() });
    Ok(response)
}

fn get(practice: &Practice, account: String, sku: &str) -> Answer {
    let Ok(found) = practice.state.stock(&account, sku) else { return broken(&account) };
    let Some(mut item) = found else { return refuse(404, general(404), &account) };
    if let Value::Object(fields) = &mut item {
        fields.insert("sku".to_owned(), sku.into());
    }
    Ok(reply(StatusCode::OK, &item, Noted { account, detail: sku.to_owned() }))
}

/// Its offers go with it, and so do their listings.
fn delete(practice: &Practice, account: String, sku: &str) -> Answer {
    match practice.state.remove_stock(&account, sku) {
        Ok(true) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            response.extensions_mut().insert(Noted { account, detail: sku.to_owned() });
            Ok(response)
        }
        Ok(false) => refuse(404, general(404), &account),
        Err(_) => broken(&account),
    }
}
