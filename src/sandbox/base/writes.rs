//! Changing a shop: items added, edited and deleted, their stock and their images.
use std::sync::Arc;

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    ADDS, ADDS_LIMIT, Answer, BAD_ITEM, BAD_PARAMS, DB, Fields, HOUR_MS, INVALID, NO_ITEM_ID, NOT_POST, Refusal, admit, answer, began,
    items, refuse,
};
use crate::sandbox::{
    Noted, Practice,
    operation::Operation,
    reply, seed,
    state::{Count, Item},
};

/// Images of an item.
const IMAGES_MAX: i64 = 20;

/// A request to change something, as every operation of this file gets it.
struct Change<'a> {
    practice: &'a Practice,
    account: String,
    fields: &'a Fields,
}

/// `POST /1/items/add`, `edit`, `delete`, `edit_stock`, `add_image`, `delete_image`.
pub(in crate::sandbox) async fn write(
    State(practice): State<Arc<Practice>>,
    (method, uri): (Method, Uri),
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Response {
    let fields = form.map(|Form(fields)| fields).unwrap_or_default();
    let operation = Operation::of(method.as_str(), uri.path()).unwrap_or(Operation::Edit);
    answer(begin(&practice, &method, &headers, &fields, operation).and_then(|change| match operation {
        Operation::Add => add(&change),
        Operation::Delete => delete(&change),
        Operation::EditStock => edit_stock(&change),
        Operation::AddImage => add_image(&change),
        Operation::DeleteImage => delete_image(&change),
        _ => edit(&change),
    }))
}

fn begin<'a>(
    practice: &'a Practice,
    method: &Method,
    headers: &HeaderMap,
    fields: &'a Fields,
    operation: Operation,
) -> Result<Change<'a>, Refusal> {
    let account = admit(practice, headers, operation)?;
    if method != Method::POST {
        return refuse(NOT_POST, &account);
    }
    Ok(Change { practice, account, fields })
}

impl Change<'_> {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn refuse<T>(&self, what: (&'static str, &'static str)) -> Result<T, Refusal> {
        refuse(what, &self.account)
    }

    /// The item that it is about.
    fn item(&self) -> Result<Item, Refusal> {
        let item_id = self.field("item_id").and_then(|text| text.parse().ok());
        let item = item_id.and_then(|item_id| self.practice.state.item(&self.account, item_id).ok().flatten());
        item.map_or_else(|| self.refuse(BAD_ITEM), Ok)
    }

    fn done(&self, body: &Value) -> Response {
        let mut named: Vec<_> = self.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        named.sort();
        reply(StatusCode::OK, body, Noted { account: self.account.clone(), detail: named.join(" ") })
    }

    fn shows(&self, item: &Item) -> Response {
        self.done(&json!({ "item": items::whole(self.practice, item) }))
    }
}

fn add(change: &Change<'_>) -> Answer {
    let practice = change.practice;
    let now_ms = practice.now_ms();
    let empty = Item {
        item_id: 0,
        account: change.account.clone(),
        title: String::new(),
        detail: String::new(),
        price: 0,
        stock: 0,
        visible: true,
        identifier: None,
        modified: 0,
    };
    let complete = ["title", "price", "stock"].iter().all(|name| change.field(name).is_some());
    let Some(item) = changed(empty, change.fields, now_ms).filter(|_| complete) else { return change.refuse(INVALID) };
    let counted = practice.state.count(&change.account, Count::Adds, began(Count::Adds, now_ms), ADDS_LIMIT);
    match counted {
        Ok(true) => {}
        Ok(false) => return change.refuse(ADDS),
        Err(_) => return change.refuse(DB),
    }
    // The search knows it within an hour; when in the hour, the item's own words say.
    let lag = i64::try_from(seed::roll(&item.title, 71) % 3_600_000).unwrap_or(0).min(HOUR_MS);
    match practice.state.add_item(item, now_ms, now_ms + lag) {
        Ok(item) => Ok(change.shows(&item)),
        Err(_) => change.refuse(DB),
    }
}

fn edit(change: &Change<'_>) -> Answer {
    let before = change.item()?;
    let now_ms = change.practice.now_ms();
    if changed(before.clone(), change.fields, now_ms).is_none() {
        return change.refuse(INVALID);
    }
    let edited = change.practice.state.change_item(before.item_id, |item| {
        if let Some(edited) = changed(item.clone(), change.fields, now_ms) {
            *item = edited;
        }
    });
    match edited {
        Ok(Some(item)) => Ok(change.shows(&item)),
        Ok(None) => change.refuse(BAD_ITEM),
        Err(_) => change.refuse(DB),
    }
}

fn edit_stock(change: &Change<'_>) -> Answer {
    change.item()?;
    if change.field("variation_id").is_some() {
        // No item here has variations.
        return change.refuse(("bad_variation_id", "不正なvariation_idです。"));
    }
    if change.field("stock").is_none() {
        return change.refuse(BAD_PARAMS);
    }
    edit(change)
}

fn delete(change: &Change<'_>) -> Answer {
    if change.field("item_id").is_none() {
        return change.refuse(NO_ITEM_ID);
    }
    let item = change.item()?;
    match change.practice.state.remove_item(item.item_id) {
        Ok(true) => Ok(change.done(&json!({ "result": true }))),
        Ok(false) => change.refuse(BAD_ITEM),
        Err(_) => change.refuse(DB),
    }
}

fn image_no(change: &Change<'_>) -> Result<i64, Refusal> {
    let number = change.field("image_no").and_then(|text| text.parse().ok()).filter(|number| (1..=IMAGES_MAX).contains(number));
    number.map_or_else(|| change.refuse(BAD_PARAMS), Ok)
}

fn add_image(change: &Change<'_>) -> Answer {
    let item = change.item()?;
    let number = image_no(change)?;
    let Some(url) = change.field("image_url") else { return change.refuse(BAD_PARAMS) };
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return change.refuse(("no_image", "画像を取得できませんでした。"));
    }
    match change.practice.state.set_image(item.item_id, number, Some(url)) {
        Ok(_) => Ok(change.shows(&item)),
        Err(_) => change.refuse(DB),
    }
}

fn delete_image(change: &Change<'_>) -> Answer {
    let item = change.item()?;
    let number = image_no(change)?;
    match change.practice.state.set_image(item.item_id, number, None) {
        Ok(true) => Ok(change.shows(&item)),
        Ok(false) => change.refuse(("no_image", "画像が存在しません。")),
        Err(_) => change.refuse(DB),
    }
}

/// The item with what the fields name; `None` where one of them is not valid.
fn changed(mut item: Item, fields: &Fields, now_ms: i64) -> Option<Item> {
    for (name, value) in fields {
        match name.as_str() {
            "title" => item.title = plain(value).filter(|title| !title.is_empty())?,
            "detail" => item.detail = plain(value)?,
            "price" => item.price = value.parse().ok().filter(|price| *price > 0)?,
            "stock" => item.stock = value.parse().ok().filter(|stock| *stock >= 0)?,
            "visible" => item.visible = ["0", "1"].iter().position(|word| word == value)? == 1,
            "identifier" if value.chars().any(char::is_whitespace) => return None,
            "identifier" => item.identifier = Some(value.clone()),
            _ => {}
        }
    }
    item.modified = now_ms.div_euclid(1000);
    Some(item)
}

/// BASE takes no characters of four bytes, which is what emoji are.
fn plain(text: &str) -> Option<String> {
    text.chars().all(|character| character.len_utf8() < 4).then(|| text.to_owned())
}
