//! Sources of goods: items that are put up, and sold or ended after a while, by rule; and a search over them.
//!
//! An item's number says when it was put up: `DAY-N`, days since 1970. So any number can be asked for, and the same number and instant always give
//! the same answer. A test may say otherwise of one item, or of a whole source.
use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use super::{Noted, Practice, reply, seed::roll};

const DAY_MS: i64 = 86_400_000;
/// How long an item stays at most, in days.
const LIVES_DAYS: u64 = 20;
/// Items put up on so many days are searched.
const SEARCHED_DAYS: i64 = 3;
/// Most results of a search.
const RESULTS_MAX: usize = 50;

/// How an item stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    status: &'static str,
    price: u64,
}

/// The number of the `n`-th item that is put up on the day of this instant.
pub fn item_of(at_ms: i64, n: u32) -> String {
    format!("{}-{n}", at_ms.div_euclid(DAY_MS))
}

/// `None`: there is no such item.
fn by_rule(source: &str, id: &str, now_ms: i64) -> Option<Shown> {
    let (day, n) = id.split_once('-')?;
    let (day, _): (i64, u32) = (day.parse().ok()?, n.parse().ok()?);
    let name = format!("{source}/{id}");
    let price = 500 + roll(&name, 1) % 4_500;
    // Put up some time on its day, and there for some days from then on.
    let began_ms = day.saturating_mul(DAY_MS);
    let hours = i64::try_from(12 + roll(&name, 2) % (LIVES_DAYS * 24)).unwrap_or(12);
    if now_ms < began_ms {
        return None;
    }
    let is_there = now_ms < began_ms.saturating_add(hours.saturating_mul(3_600_000));
    let gone = if roll(&name, 3).is_multiple_of(3) { "ended" } else { "sold" };
    Some(Shown { status: if is_there { "on_sale" } else { gone }, price })
}

/// As a test said, or by rule.
fn look(practice: &Practice, source: &str, id: &str) -> Option<Shown> {
    let rule = by_rule(source, id, practice.now_ms());
    let said = [format!("item:{source}/{id}"), format!("item:{source}/*")];
    let said = said.iter().find_map(|key| practice.state.setting(key).ok().flatten());
    let status = match said.as_deref() {
        None | Some("rule") => return rule,
        Some("on_sale") => "on_sale",
        Some("sold") => "sold",
        Some("ended") => "ended",
        Some(_) => return None,
    };
    Some(Shown { status, price: rule.map_or(1_000, |shown| shown.price) })
}

fn as_json(source: &str, id: &str, shown: &Shown) -> Value {
    json!({ "id": id, "status": shown.status, "price": shown.price, "title": format!("{source} {id}") })
}

/// `GET /source/{source}/items/{id}`.
pub(super) async fn item(State(practice): State<Arc<Practice>>, Path((source, id)): Path<(String, String)>) -> Response {
    let noted = Noted { account: source.clone(), detail: id.clone() };
    match look(&practice, &source, &id) {
        Some(shown) => reply(StatusCode::OK, &as_json(&source, &id, &shown), noted),
        None => reply(StatusCode::NOT_FOUND, &json!({ "error": "item_not_found" }), noted),
    }
}

/// `GET /source/{source}/search?q=&max_price=&limit=`.
pub(super) async fn search(
    State(practice): State<Arc<Practice>>,
    Path(source): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let word = query.get("q").map_or("", String::as_str);
    let max_price: u64 = query.get("max_price").and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    let limit = query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(10_usize).min(RESULTS_MAX);
    let today = practice.now_ms().div_euclid(DAY_MS);
    let mut items = Vec::new();
    // Nothing can be found for a word that says so.
    let numbers = if word.contains("nothing") { 0 } else { 20_u64 };
    for day in 0..SEARCHED_DAYS {
        for n in 0..numbers {
            let id = format!("{}-{}", today.saturating_sub(day), roll(&format!("{source}/{word}"), n) % 1_000_000);
            let found = look(&practice, &source, &id).filter(|shown| shown.status == "on_sale" && shown.price <= max_price);
            items.extend(found.map(|shown| as_json(&source, &id, &shown)));
        }
    }
    items.truncate(limit);
    reply(StatusCode::OK, &json!({ "items": items }), Noted { account: source, detail: word.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_there_for_some_days_and_never_comes_back() {
        let began = 20_000 * DAY_MS;
        let mut gone = 0;
        for n in 0..200 {
            let id = item_of(began, n);
            assert_eq!(by_rule("yahoo", &id, began - 1), None, "it is not there before it is put up");
            assert_eq!(by_rule("yahoo", &id, began).unwrap().status, "on_sale");
            let hours = (0..=LIVES_DAYS * 24 + 12).map(|hour| i64::try_from(hour).unwrap());
            let states: Vec<bool> =
                hours.map(|hour| by_rule("yahoo", &id, began + hour * 3_600_000).unwrap().status == "on_sale").collect();
            assert!(states.is_sorted_by_key(|there| !there), "{id}");
            gone += usize::from(!states.last().unwrap());
        }
        assert_eq!(gone, 200);
        assert_eq!(by_rule("yahoo", "nonsense", began), None);
    }
}
