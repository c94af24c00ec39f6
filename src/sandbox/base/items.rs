//! Reading a shop: who it is, its items, one of them, a search.
use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde_json::{Map, Value, json};

use super::{Answer, BAD_REQUEST, DB, Fields, admit, answer, refuse};
use crate::sandbox::{Noted, Practice, base, operation::Operation, reply, state::Item};

const PAGE_MAX: i64 = 100;
/// How deep a search goes.
const DEPTH_MAX: i64 = 10_000;
const SIZES: [&str; 8] = ["origin", "76", "146", "300", "500", "640", "sp_480", "sp_640"];

/// `GET /1/users/me`.
pub(in crate::sandbox) async fn me(State(practice): State<Arc<Practice>>, headers: HeaderMap) -> Response {
    let me = admit(&practice, &headers, Operation::Me).map(|account| {
        let user = json!({
            "shop_id": account, "shop_name": format!("練習用ショップ {account}"), "shop_introduction": "", "shop_url": "https://practice.example",
            "twitter_id": null, "facebook_id": null, "ameba_id": null, "instagram_id": null, "background": null, "display_background": 0,
            "repeat_background": 0, "logo": null, "display_logo": 0,
        });
        reply(StatusCode::OK, &json!({ "user": user }), Noted { account, ..Noted::default() })
    });
    answer(me)
}

/// `GET /1/items`.
pub(in crate::sandbox) async fn items(State(practice): State<Arc<Practice>>, headers: HeaderMap, Query(query): Query<Fields>) -> Response {
    answer(page(&practice, &headers, &query))
}

fn number(query: &Fields, name: &str, default: i64) -> Option<i64> {
    query.get(name).map_or(Some(default), |text| text.parse().ok())
}

fn page(practice: &Practice, headers: &HeaderMap, query: &Fields) -> Answer {
    let account = admit(practice, headers, Operation::Items)?;
    let (Some(limit), Some(offset)) = (number(query, "limit", 20), number(query, "offset", 0)) else {
        return refuse(BAD_REQUEST, &account);
    };
    let word = |name: &str| query.get(name).map_or("", String::as_str);
    // The order of creation and of the list are the same here: the order of the numbers.
    let order = match (word("order"), word("sort")) {
        ("modified", "desc") => "modified DESC, item_id DESC",
        ("modified", _) => "modified, item_id",
        (_, "desc") => "item_id DESC",
        (_, _) => "item_id",
    };
    let Ok(items) = practice.state.items(&account, order, limit.clamp(0, PAGE_MAX), offset.max(0)) else { return refuse(DB, &account) };
    list(practice, account, &items, offset, query)
}

fn list(practice: &Practice, account: String, items: &[Item], offset: i64, query: &Fields) -> Answer {
    let Some(images) = number(query, "max_image_no", 5).filter(|number| (1..=20).contains(number)) else {
        return refuse(BAD_REQUEST, &account);
    };
    let sizes: Vec<_> = query.get("image_size").map_or("origin", String::as_str).split(',').collect();
    let detail = format!("offset={offset}: {} items", items.len());
    let shown: Vec<_> = items.iter().map(|item| shown(practice, item, images, &sizes)).collect();
    Ok(reply(StatusCode::OK, &json!({ "items": shown }), Noted { account, detail }))
}

/// `GET /1/items/search`: an added item is found within an hour, not at once.
pub(in crate::sandbox) async fn search(State(practice): State<Arc<Practice>>, headers: HeaderMap, Query(query): Query<Fields>) -> Response {
    answer(find(&practice, &headers, &query))
}

fn find(practice: &Practice, headers: &HeaderMap, query: &Fields) -> Answer {
    let account = admit(practice, headers, Operation::Search)?;
    let (Some(limit), Some(offset)) = (number(query, "limit", 10), number(query, "offset", 0)) else {
        return refuse(BAD_REQUEST, &account);
    };
    if offset > DEPTH_MAX {
        return refuse(("search_error", "Request depth (10001) exceeded, limit=10000"), &account);
    }
    let words: Vec<_> = query.get("q").map_or("", String::as_str).split_whitespace().collect();
    if words.is_empty() {
        return refuse(BAD_REQUEST, &account);
    }
    let Ok(found) = practice.state.found(&account, &words, practice.now_ms()) else { return refuse(DB, &account) };
    let (skip, take) = (usize::try_from(offset).unwrap_or(0), usize::try_from(limit.clamp(0, PAGE_MAX)).unwrap_or(0));
    let found: Vec<_> = found.into_iter().skip(skip).take(take).collect();
    list(practice, account, &found, offset, query)
}

/// `GET /1/items/detail/:item_id`: the path form only.
pub(in crate::sandbox) async fn detail(State(practice): State<Arc<Practice>>, headers: HeaderMap, path: Option<Path<String>>) -> Response {
    let found = admit(&practice, &headers, Operation::Detail).and_then(|account| {
        let Some(Path(item_id)) = path else { return refuse(base::NO_ITEM_ID, &account) };
        let item = item_id.parse().ok().and_then(|item_id| practice.state.item(&account, item_id).ok().flatten());
        let Some(item) = item else { return refuse(("no_item", "商品が見つかりませんでした。"), &account) };
        Ok(reply(StatusCode::OK, &json!({ "item": whole(&practice, &item) }), Noted { account, detail: item_id }))
    });
    answer(found)
}

/// An item with all it has.
pub(super) fn whole(practice: &Practice, item: &Item) -> Value {
    shown(practice, item, 5, &SIZES)
}

fn shown(practice: &Practice, item: &Item, images: i64, sizes: &[&str]) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("item_id", item.item_id.into());
    put("title", item.title.as_str().into());
    put("detail", item.detail.as_str().into());
    put("price", item.price.into());
    put("proper_price", Value::Null);
    put("item_tax_type", 1.into());
    put("stock", item.stock.into());
    put("visible", i32::from(item.visible).into());
    put("list_order", item.item_id.into());
    put("identifier", item.identifier.clone().into());
    put("modified", item.modified.into());
    put("variations", json!([]));
    let urls = practice.state.images(item.item_id).unwrap_or_default();
    let last = urls.last().map_or(images, |(number, _)| images.max(*number));
    for number in 1..=last {
        for size in sizes.iter().filter(|size| SIZES.contains(size)) {
            // The other sizes are made later, by a batch that has not come yet.
            let url = urls.iter().find(|(known, _)| *known == number && *size == "origin").map(|(_, url)| url.as_str());
            put(&format!("img{number}_{size}"), url.into());
        }
    }
    Value::Object(shown)
}
